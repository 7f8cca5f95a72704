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

static int check_group(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	(void)old;
	int rc = check_backup(c, uuid, new, e);

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
	return rc < 0 ? rc : rule_tls_of_pool(c, new, e);
}

const struct rule rule_pool = { .kind = "pool", .check = check };
const struct rule rule_poolgroup = { .kind = "poolgroup", .check = check_group };
