/* capture: clients read it and delete it; one that runs is ended first. */
#include <errno.h>

#include "base/base.h"
#include "controller/resolve.h"
#include "controller/rules.h"

static int leaving(struct change *c, const char *uuid, struct err *e)
{
	const struct object *o = store_get(c->store, "capture", uuid);

	if (!o || !json_bool(o->body, "running", false))
		return 0;
	return err_set(e, -EBUSY, NULL, "Capture %s runs: end it first, with capture false in debugvirtualservice.", o->name);
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	(void)uuid;
	(void)new;
	if (c->by.internal || !old)
		return 0;
	return err_set(e, -EPERM, NULL, "A capture is what was captured: nothing of it can be changed.");
}

bool rule_is_recorded(struct store *s, const json_t *vs)
{
	const struct object *group = store_get(s, "serviceenginegroup", ref_target(json_str(vs, "se_group_ref", "")));

	return json_bool(vs, "flight_recorder", true) && json_bool(group ? group->body : NULL, "flight_recorder", true);
}

const struct rule rule_capture = { .kind = "capture", .check = check, .leaving = leaving };
