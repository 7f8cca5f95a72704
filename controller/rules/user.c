/*
 * user: a password left out of a PUT stays; what is stored is a hash. Nobody gives rights, or takes
 * over whoever has them, that he does not hold himself.
 *
 * Hashing is slow and happens before, on the pool (controller/rest/account.c); what arrives here is
 * a record.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/profile.h"
#include "controller/resolve.h"
#include "controller/rest/password.h"
#include "controller/rules.h"

static int prepare(struct change *c, const char *uuid, const json_t *old, json_t *wire,
		   struct err *e)
{
	json_t *was = json_object_get(old, "password"), *a;
	bool below = false;
	size_t i;

	if (was && !json_object_get(wire, "password"))
		json_object_set(wire, "password", was);
	json_array_foreach(json_object_get(wire, "access"), i, a)
		below |= strstr(json_str(a, "role_ref", ""), "/tenant/") != NULL;
	return txn_set(c->txn, RULE_AS_SENT, uuid, below ? "role" : NULL, e);
}

/* Terraform writes a role below its tenant, /api/tenant/admin/role/UUID, and compares what it reads as text. */
static void show(struct store *s, const struct object *o, const struct model_write *w,
		 struct model_resolver *r, json_t *out)
{
	CLEANUP_FREE char *mark = store_value(s, RULE_AS_SENT, o->uuid);
	json_t *a;
	size_t i;

	(void)w;
	(void)r;
	json_array_foreach(mark ? json_object_get(out, "access") : NULL, i, a) {
		const char *ref = json_str(a, "role_ref", ""), *at = strstr(ref, "/api/role/");
		const json_t *stored = json_array_get(json_object_get(o->body, "access"), i);
		const struct object *role = store_get(s, "role",
						      ref_target(json_str(stored, "role_ref", "")));

		if (at && role)
			json_object_set_new(a, "role_ref",
					    json_sprintf("%.*s/api/tenant/%s/%s", (int)(at - ref),
							 ref, role->tenant, at + strlen("/api/")));
	}
}

static int count_superuser(void *arg, const struct object *o)
{
	int *n = arg;

	if (json_bool(o->body, "is_superuser", false) && json_bool(o->body, "is_active", true))
		(*n)++;
	return 0;
}

/* Two who log in by the same name would be one of them, and nobody knew which. */
struct login {
	const char *name, *uuid;
};

static int same_login(void *arg, const struct object *o)
{
	const struct login *l = arg;

	return strcmp(o->uuid, l->uuid) != 0 && strcmp(json_str(o->body, "username", o->name), l->name) == 0;
}

static int check_login(struct change *c, const char *uuid, const json_t *new, struct err *e)
{
	struct login l = { json_str(new, "username", json_str(new, "name", "")), uuid };

	if (!store_each(c->store, "user", same_login, &l))
		return 0;
	return err_set(e, -EEXIST, "username", "A user who logs in as '%s' already exists.", l.name);
}

/* One item of `access`: may the viewer give or take it? */
static int check_entry(struct change *c, const json_t *entry, struct err *e)
{
	struct viewer *v = c->by.viewer;
	const char *tenant = ref_target(json_str(entry, "tenant_ref", NULL));
	const struct object *role = txn_get(c->txn, "role", ref_target(json_str(entry, "role_ref", NULL)));
	bool all = json_bool(entry, "all_tenants", false);
	int rc;

	if (all && !access_enters_all(v))
		return err_set(e, -EACCES, "all_tenants", "User '%s' has no role in all tenants himself.",
			       v->user->name);
	if (all)
		tenant = TENANT_EVERY;
	rc = access_may(v, GUARD_user, tenant, ACCESS_WRITE, e);
	return rc == 0 && role ? access_covers(v, tenant, json_object_get(role->body, "privileges"), e) : rc;
}

static int check_access(struct change *c, const json_t *user, struct err *e)
{
	json_t *a;
	size_t i;

	json_array_foreach(json_object_get(user, "access"), i, a) {
		int rc = check_entry(c, a, e);
		char path[32];

		if (rc == 0)
			continue;
		snprintf(path, sizeof(path), "access[%zu]", i);
		err_within(e, path);
		return rc;
	}
	return 0;
}

/* Whoever writes a user holds all that the user holds, before and after: or he could become him. */
static int check_rights(struct change *c, const json_t *old, const json_t *new, struct err *e)
{
	int rc;

	if (!c->by.viewer || access_is_superuser(c->by.viewer))
		return 0;
	if (json_bool(old, "is_superuser", false) || json_bool(new, "is_superuser", false))
		return err_set(e, -EACCES, "is_superuser", "Only a superuser makes or changes one.");
	rc = check_access(c, old, e);
	return rc < 0 ? rc : check_access(c, new, e);
}

/* A role of a tenant holds there. */
static int check_roles(struct change *c, const json_t *new, struct err *e)
{
	json_t *a;
	size_t i;

	json_array_foreach(json_object_get(new, "access"), i, a) {
		const struct object *role = txn_get(c->txn, "role",
						    ref_target(json_str(a, "role_ref", NULL)));
		bool all = json_bool(a, "all_tenants", false);
		char path[48];

		if (!role || strcmp(role->tenant, TENANT_ADMIN) == 0 ||
		    (!all && strcmp(role->tenant, ref_target(json_str(a, "tenant_ref", NULL))) == 0))
			continue;
		snprintf(path, sizeof(path), "access[%zu].role_ref", i);
		return err_set(e, -EINVAL, path, "The role '%s' belongs to another tenant, and holds there only.",
			       role->name);
	}
	return 0;
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		 struct err *e)
{
	const char *password = json_str(new, "password", NULL);
	int superusers = 0, rc;

	if (password && !password_is_record(password))
		return err_set(e, -EINVAL, "password", "It arrived unhashed, and was not stored.");
	rc = check_rights(c, old, new, e);
	if (rc == 0)
		rc = check_roles(c, new, e);
	if (rc == 0)
		rc = check_login(c, uuid, new, e);
	if (rc == 0 && password && strcmp(password, json_str(old, "password", "")) != 0)
		rc = password_replaced(c->store, c->txn, uuid, json_str(old, "password", NULL),
				       wall_us(), e);
	if (rc < 0)
		return rc;
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

static int gone(struct change *c, const char *uuid, const json_t *old, struct err *e)
{
	int superusers = 0;
	int rc = password_forgotten(c->store, c->txn, uuid, e);

	if (rc == 0)
		rc = txn_set(c->txn, RULE_AS_SENT, uuid, NULL, e);
	if (rc < 0)
		return rc;
	if (json_bool(old, "is_superuser", false) && json_bool(old, "is_active", true)) {
		store_each(c->store, "user", count_superuser, &superusers);
		if (!superusers)
			return err_set(e, -EINVAL, NULL, "This is the last superuser who may log in.");
	}
	return check_rights(c, old, NULL, e);
}

const struct rule rule_user = {
	.kind = "user", .prepare = prepare, .check = check, .gone = gone, .show = show
};
