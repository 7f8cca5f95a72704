/*
 * scheduler: one of `admin` exports the full system, which is for superusers.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/backup/schedule.h"
#include "controller/resolve.h"
#include "controller/rules.h"

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	const char *tenant = ref_target(json_str(new, "tenant_ref", NULL));
	struct schedule s;

	(void)uuid;
	(void)old;
	if (c->by.viewer && !access_is_superuser(c->by.viewer) && strcmp(tenant, TENANT_ADMIN) == 0)
		return err_set(e, -EACCES, NULL, "A scheduler of admin backs up the full system: only a superuser makes one.");
	return schedule_read(new, &s, e);
}

static int note_made(void *arg, const struct object *o)
{
	if (strcmp(o->kind->path, "backup") == 0)
		json_array_append_new(arg, json_string(o->uuid));
	return 0;
}

/* What it made stays, and says no more by whom. */
static int leaving(struct change *c, const char *uuid, struct err *e)
{
	CLEANUP_JSON json_t *made = json_array();
	const struct kind_desc *k = kind_find("backup");
	json_t *one;
	size_t i;
	int rc = 0;

	store_referrers(c->store, "scheduler", uuid, note_made, made);
	json_array_foreach(made, i, one) {
		CLEANUP_JSON json_t *body =
			json_copy((json_t *)store_get(c->store, "backup", json_string_value(one))->body);

		json_object_del(body, "scheduler_ref");
		if (rc == 0)
			rc = change_update(c, k, json_string_value(one), body, 0, e);
	}
	return rc;
}

static int gone(struct change *c, const char *uuid, const json_t *old, struct err *e)
{
	(void)old;
	return txn_set(c->txn, "scheduler", uuid, NULL, e);
}

const struct rule rule_scheduler = { .kind = "scheduler", .check = check, .leaving = leaving, .gone = gone };
