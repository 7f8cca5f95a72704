/*
 * role: the system's own stay as they are; nobody makes one that grants more than he has himself.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/resolve.h"
#include "controller/rules.h"

static int covered(struct change *c, const json_t *role, struct err *e)
{
	if (!c->by.viewer || !role)
		return 0;
	return access_covers(c->by.viewer, ref_target(json_str(role, "tenant_ref", NULL)),
			     json_object_get(role, "privileges"), e);
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		 struct err *e)
{
	const struct object *o = old ? txn_get(c->txn, "role", uuid) : NULL;
	int rc;

	/* Written back as it was read, as clients do, it is no change. */
	if (o && o->system && c->by.viewer && !c->same)
		return err_set(e, -EPERM, NULL, "Cannot change system default object '%s': make a role of your own.",
			       o->name);
	rc = covered(c, old, e);
	if (rc == 0)
		rc = covered(c, new, e);
	if (rc < 0)
		err_within(e, "privileges");
	return rc;
}

static int gone(struct change *c, const char *uuid, const json_t *old, struct err *e)
{
	(void)uuid;
	return covered(c, old, e);
}

const struct rule rule_role = { .kind = "role", .check = check, .gone = gone };
