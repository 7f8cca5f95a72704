/*
 * user: a password left out of a PUT stays; what is stored is a hash.
 *
 * Hashing is slow and happens before, on the pool (controller/rest/account.c); what arrives here is
 * a record.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/rest/password.h"
#include "controller/rules.h"

static int prepare(struct change *c, const json_t *old, json_t *wire, struct err *e)
{
	json_t *was = json_object_get(old, "password");

	(void)c;
	(void)e;
	if (was && !json_object_get(wire, "password"))
		json_object_set(wire, "password", was);
	return 0;
}

static int count_superuser(void *arg, const struct object *o)
{
	int *n = arg;

	if (json_bool(o->body, "is_superuser", false) && json_bool(o->body, "is_active", true))
		(*n)++;
	return 0;
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		 struct err *e)
{
	const char *password = json_str(new, "password", NULL);
	int superusers = 0;

	(void)uuid;
	if (password && !password_is_record(password))
		return err_set(e, -EINVAL, "password", "It arrived unhashed, and was not stored.");
	if (!old || !json_bool(old, "is_superuser", false) || !json_bool(old, "is_active", true) ||
	    (json_bool(new, "is_superuser", false) && json_bool(new, "is_active", true)))
		return 0;
	store_each(c->store, "user", count_superuser, &superusers);
	return superusers > 1
		       ? 0
		       : err_set(e, -EINVAL,
				 json_bool(new, "is_active", true) ? "is_superuser" : "is_active",
				 "This is the last superuser who may log in.");
}

const struct rule rule_user = { .kind = "user", .prepare = prepare, .check = check };
