/* pool, poolgroup: the monitors that it uses must be built, and who stands in leads on. */
#include <errno.h>

#include "base/base.h"
#include "controller/pools.h"
#include "controller/resolve.h"
#include "controller/rules.h"
#include "controller/rules/tls.h"
#include "controller/rules/vrf.h"

#define BACKUP_REF "fail_action.backup_pool.backup_pool_ref"

/* Pools that stand in lead to others, but not back to UUID, and not for ever. */
static int check_backup(struct change *c, const char *uuid, const json_t *new, struct err *e)
{
	const char *next = pools_backup(new);

	if (!next && strcmp(json_str(json_object_get(new, "fail_action"), "type", ""), "FAIL_ACTION_BACKUP_POOL") == 0)
		return err_set(e, -EINVAL, "fail_action.backup_pool", "FAIL_ACTION_BACKUP_POOL wants to know which pool.");
	for (unsigned n = 1; next; n++) {
		const struct object *o;

		if (strcmp(next, uuid) == 0)
			return err_set(e, -EINVAL, BACKUP_REF, n == 1 ? "A pool cannot stand in for itself."
								      : "The reference is circular: that pool's backup leads back here.");
		if (n > POOLS_BACKUPS_MAX)
			return err_set(e, -EINVAL, BACKUP_REF, "More than %d pools stand in, one for the other.",
				       POOLS_BACKUPS_MAX);
		o = txn_get(c->txn, "pool", next);
		next = o ? pools_backup(o->body) : NULL;
	}
	return 0;
}

/* Fewer than must be up: it will never be. Servers may still come, so it is no refusal. */
static void warn_of_too_few(struct change *c, const json_t *pool)
{
	static const struct {
		const char *least, *list, *what;
	} needs[] = { { "min_servers_up", "servers", "the pool" },
		      { "min_health_monitors_up", "health_monitor_refs", "a server" } };

	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		json_int_t least = json_int(pool, needs[i].least, 0);
		size_t have = json_array_size(json_object_get(pool, needs[i].list));

		if (have && least > (json_int_t)have && !json_object_get(pool, "ipaddrgroup_ref"))
			change_warn(c, "%s: More than there are in %s (%zu): %s is never up.", needs[i].least, needs[i].list, have,
				    needs[i].what);
	}
}

/* A label that tells no order counts as the lowest. */
static void warn_of_labels(struct change *c, const json_t *group)
{
	const char *ref = json_str(group, "priority_labels_ref", NULL);
	const struct object *order = ref ? txn_get(c->txn, "prioritylabels", ref_target(ref)) : NULL;
	const json_t *member, *level, *known;
	size_t i, j, k;

	json_array_foreach(json_object_get(group, "members"), i, member) {
		const char *label = json_str(member, "priority_label", "");
		bool found = !*label || (!order && label[strspn(label, "0123456789")] == '\0');

		json_array_foreach(json_object_get(order ? order->body : NULL, "equivalent_labels"), j, level)
			json_array_foreach(json_object_get(level, "labels"), k, known)
				found |= strcmp(json_string_value(known), label) == 0;
		if (found)
			continue;
		if (order)
			change_warn(c, "members[%zu].priority_label: %.60s is none of the labels of '%.60s': the pool comes last.", i,
				    label, order->name);
		else
			change_warn(c, "members[%zu].priority_label: %.60s is not a number, and no priority_labels_ref says its place: "
				       "the pool comes last.", i, label);
	}
}

static int check_group(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	(void)old;
	int rc = check_backup(c, uuid, new, e);

	warn_of_labels(c, new);

	return rc < 0 ? rc : rule_vrf_of_group(c, uuid, new, e);
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		 struct err *e)
{
	(void)old;
	int rc = rule_uses_built(c, kind_find("pool"), new, e);

	if (rc == 0)
		rc = check_backup(c, uuid, new, e);
	if (rc == 0)
		rc = rule_vrf_of_pool(c, uuid, new, e);
	warn_of_too_few(c, new);
	return rc < 0 ? rc : rule_tls_of_pool(c, new, e);
}

const struct rule rule_pool = { .kind = "pool", .check = check };
const struct rule rule_poolgroup = { .kind = "poolgroup", .check = check_group };
