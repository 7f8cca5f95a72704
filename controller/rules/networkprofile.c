/*
 * networkprofile: the ports of those who use it were checked by its protocol.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/rules.h"

static int first_user(void *arg, const struct object *o)
{
	*(const struct object **)arg = o;
	return 1;
}

static const char *type_of(const json_t *stored)
{
	return json_str(json_object_get(stored, "profile"), "type", "");
}

static int check(struct change *c, const char *uuid, const json_t *old, json_t *new,
		 struct err *e)
{
	const struct object *user = NULL;

	if (!old || strcmp(type_of(old), type_of(new)) == 0)
		return 0;
	store_referrers(c->store, "networkprofile", uuid, first_user, &user);
	if (!user)
		return 0;
	return err_set(e, -EINVAL, "profile.type",
		       "Cannot change from %s to %s while %s '%s' uses it: its ports are bound by it.",
		       type_of(old), type_of(new), user->kind->msg->name, user->name);
}

const struct rule rule_networkprofile = { "networkprofile", NULL, check, NULL };
