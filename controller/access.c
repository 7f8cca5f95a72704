#include "controller/access.h"

#include <errno.h>

#include "base/base.h"
#include "controller/resolve.h"
#include "model/structs.h"

/* ---- the table ------------------------------------------------------------------------------ */

enum reach { OWN, SHARED, WHOLE };

static const struct guard {
	const char *name;
	enum permission_resource resource, act;
	enum reach reach;
} guards[] = {
#define GUARD(id, r, a, w) [GUARD_##id] = { #id, PERMISSION_##r, PERMISSION_##a, w },
#define ACT_FIELDS(id, fields)
#include "controller/access.def"
#undef GUARD
#undef ACT_FIELDS
};

static const char *const act_fields[ARRAY_SIZE(guards)] = {
#define GUARD(id, r, a, w)
#define ACT_FIELDS(id, fields) [GUARD_##id] = fields,
#include "controller/access.def"
#undef GUARD
#undef ACT_FIELDS
};

/* clang-format off */
/* A kind that does not compile here has no line in access.def. */
static const enum guard_id of_kind[] = {
#define MESSAGE(...)
#define KIND(id, ...)  KIND_(id)
#define KIND_(id)      GUARD_##id,
#define END()
#define ONE(...)
#define MAYBE_(...)
#define MANY(...)
#define NONE(...)
#include "model/table.h"
#include "model/kinds/all.def"
#include "model/table_end.h"
#undef KIND_
};
/* clang-format on */

enum guard_id guard_of(const struct kind_desc *k)
{
	static size_t last; /* lists ask for one kind many times; only the core's thread asks */

	if (model_kinds[last] == k)
		return of_kind[last];
	for (size_t i = 0; i < model_n_kinds; i++) {
		if (model_kinds[i] == k) {
			last = i;
			return of_kind[i];
		}
	}
	return GUARD_CLOSED;
}

enum guard_id guard_named(const char *name)
{
	const struct kind_desc *k = kind_find(name);

	if (k)
		return guard_of(k);
	for (size_t i = 1; i < ARRAY_SIZE(guards); i++)
		if (strcmp(guards[i].name, name) == 0)
			return (enum guard_id)i;
	return GUARD_CLOSED;
}

const char *guard_act_fields(enum guard_id g)
{
	return act_fields[g];
}

/* ---- roles in tenants ----------------------------------------------------------------------- */

/* NULL: he was deleted a moment ago, by himself. */
static const json_t *body(const struct viewer *v)
{
	return v->user ? v->user->body : NULL;
}

bool access_is_superuser(const struct viewer *v)
{
	return json_bool(body(v), "is_superuser", false);
}

/* TENANT NULL: anywhere. */
static bool holds_in(const json_t *entry, const char *tenant)
{
	return !tenant || json_bool(entry, "all_tenants", false) ||
	       strcmp(ref_target(json_str(entry, "tenant_ref", NULL)), tenant) == 0;
}

bool access_enters(const struct viewer *v, const char *tenant)
{
	json_t *a;
	size_t i;

	if (access_is_superuser(v))
		return true;
	json_array_foreach(json_object_get(body(v), "access"), i, a)
		if (holds_in(a, tenant))
			return true;
	return false;
}

bool access_enters_all(const struct viewer *v)
{
	json_t *a;
	size_t i;

	if (access_is_superuser(v))
		return true;
	json_array_foreach(json_object_get(body(v), "access"), i, a)
		if (json_bool(a, "all_tenants", false))
			return true;
	return false;
}

/* What ROLE grants of RESOURCE; several lines about one resource: the most. */
static enum access granted(const json_t *privileges, enum permission_resource resource)
{
	enum access most = NO_ACCESS;
	json_t *p;
	size_t i;

	json_array_foreach(privileges, i, p) {
		int type;

		if (word_index(words_permission_resource, json_str(p, "resource", "")) != (int)resource)
			continue;
		type = word_index(words_access, json_str(p, "type", ""));
		if (type == READ_ACCESS && most == NO_ACCESS)
			most = READ_ACCESS;
		else if (type == WRITE_ACCESS)
			most = WRITE_ACCESS;
	}
	return most;
}

/* What all roles together grant in TENANT; NULL: in any. */
static enum access level(struct viewer *v, enum permission_resource resource, const char *tenant)
{
	const json_t *list = json_object_get(body(v), "access");
	enum access most = NO_ACCESS;
	json_t *a;
	size_t i;

	if (v->last.level && v->last.access == list && v->last.resource == (int)resource &&
	    strcmp(v->last.tenant, tenant ? tenant : "") == 0)
		return (enum access)(v->last.level - 1);
	json_array_foreach(list, i, a) {
		const struct object *role = store_get(v->store, "role", ref_target(json_str(a, "role_ref", NULL)));
		enum access here;

		if (!role || !holds_in(a, tenant))
			continue;
		here = granted(json_object_get(role->body, "privileges"), resource);
		if (here == WRITE_ACCESS || most == NO_ACCESS)
			most = here;
	}
	v->last.access = list;
	v->last.resource = (int)resource;
	snprintf(v->last.tenant, sizeof(v->last.tenant), "%s", tenant ? tenant : "");
	v->last.level = 1 + (int)most;
	return most;
}

/* ---- what is seen --------------------------------------------------------------------------- */

bool access_tenant_setting(struct store *s, const json_t *tenant, const char *name, bool dflt)
{
	const struct object *config = store_get(s, "systemconfiguration", "default");
	const json_t *own = json_object_get(tenant, "config_settings");

	if (!own && config)
		own = json_object_get(config->body, "global_tenant_config");
	return json_bool(own, name, dflt);
}

/* Does `admin` share O, which is its own? */
static bool is_shared(struct store *s, const struct object *o)
{
	enum guard_id g = guard_of(o->kind);
	const struct object *p;

	if (o->system || guards[g].reach == SHARED)
		return true;
	if (g != GUARD_ssl_key_and_certificate)
		return false;
	p = store_get(s, "controllerproperties", "global");
	return p && json_bool(p->body, "shared_ssl_certificates", false);
}

/* And to TENANT? */
static bool provided(struct store *s, const struct object *o, const char *tenant)
{
	enum guard_id g = guard_of(o->kind);
	const struct object *t;

	if (!is_shared(s, o))
		return false;
	if (g != GUARD_service_engine && g != GUARD_service_engine_group)
		return true;
	/* A tenant with engines of its own has nothing to do with those of the provider. */
	t = store_get(s, "tenant", tenant);
	return access_tenant_setting(s, t ? t->body : NULL, "se_in_provider_context", true) &&
	       (g != GUARD_service_engine ||
		access_tenant_setting(s, t ? t->body : NULL, "tenant_access_to_provider_se", true));
}

bool access_reaches(struct store *s, const char *tenant, const struct object *o)
{
	if (strcmp(tenant, "*") == 0 || strcmp(o->tenant, tenant) == 0)
		return true;
	return strcmp(o->tenant, TENANT_ADMIN) == 0 && provided(s, o, tenant);
}

/* Through `*`: what any of his tenants shows. */
static bool sees_somewhere(const struct viewer *v, const struct object *o)
{
	json_t *a;
	size_t i;

	if (access_enters(v, o->tenant))
		return true;
	json_array_foreach(json_object_get(body(v), "access"), i, a)
		if (access_reaches(v->store, ref_target(json_str(a, "tenant_ref", NULL)), o))
			return true;
	return false;
}

/* All that a user has is in tenants that the viewer enters too. */
static bool sees_user(const struct viewer *v, const struct object *o)
{
	json_t *a;
	size_t i;

	if (v->user && strcmp(o->uuid, v->user->uuid) == 0)
		return true;
	if (json_bool(o->body, "is_superuser", false))
		return false;
	json_array_foreach(json_object_get(o->body, "access"), i, a)
		if (json_bool(a, "all_tenants", false)
			    ? !access_enters_all(v)
			    : !access_enters(v, ref_target(json_str(a, "tenant_ref", NULL))))
			return false;
	return true;
}

bool access_sees(const struct viewer *v, const struct object *o)
{
	if (o->kind->flags & K_TENANT)
		return strcmp(v->tenant, "*") == 0 ? sees_somewhere(v, o)
						   : access_reaches(v->store, v->tenant, o);
	if (access_is_superuser(v))
		return true;
	switch (guard_of(o->kind)) {
	case GUARD_tenant:
		/* Everybody's shared objects name `admin` as their tenant. */
		return strcmp(o->uuid, TENANT_ADMIN) == 0 || access_enters(v, o->uuid);
	case GUARD_user:
		return sees_user(v, o);
	default:
		return true;
	}
}

/* ---- what may be done ------------------------------------------------------------------------ */

/* The tenant in which a role must grant it; NULL: in any. */
static const char *where(const struct viewer *v, enum guard_id g, const char *tenant, enum access_verb verb)
{
	bool everywhere = strcmp(v->tenant, "*") == 0;

	if (guards[g].reach == WHOLE && g != GUARD_user)
		tenant = "";
	if (verb == ACCESS_READ) {
		if (strcmp(tenant, "*") == 0 || (everywhere && !*tenant))
			return NULL;
		/* What `admin` shows to all is read with a role of the tenant that looks. */
		return !everywhere && (!*tenant || strcmp(tenant, TENANT_ADMIN) == 0) ? v->tenant : tenant;
	}
	if (*tenant && strcmp(tenant, "*") != 0)
		return tenant;
	/* A user has no tenant, but roles in some: rules/user.c asks about each of them. */
	return g == GUARD_user && !everywhere ? v->tenant : TENANT_ADMIN;
}

static bool opens(struct viewer *v, enum guard_id g, const char *at, enum access_verb verb)
{
	enum access have = level(v, guards[g].resource, at);

	return have == WRITE_ACCESS || (verb == ACCESS_READ && have == READ_ACCESS) ||
	       (verb == ACCESS_ACT && level(v, guards[g].act, at) == WRITE_ACCESS);
}

/* What G guards, as clients call it. */
static const char *guarded(enum guard_id g)
{
	for (size_t i = 0; i < model_n_kinds; i++)
		if (of_kind[i] == g)
			return model_kinds[i]->path;
	return g == GUARD_CLOSED ? "such" : guards[g].name;
}

static int may_at(struct viewer *v, enum guard_id g, const char *at, enum access_verb verb, struct err *e)
{
	if (g != GUARD_CLOSED && (access_is_superuser(v) || opens(v, g, at, verb)))
		return 0;
	return err_set(e, -EACCES, NULL, "User '%s' has no permission to %s %s objects here.",
		       json_str(body(v), "name", ""),
		       verb == ACCESS_READ ? "read" : "write", guarded(g));
}

int access_may(struct viewer *v, enum guard_id g, const char *tenant, enum access_verb verb, struct err *e)
{
	return may_at(v, g, where(v, g, tenant, verb), verb, e);
}

int access_may_object(struct viewer *v, const struct object *o, enum access_verb verb, struct err *e)
{
	enum guard_id g = guard_of(o->kind);
	const char *at = where(v, g, o->tenant, verb);
	bool of_admin = verb == ACCESS_READ && (o->kind->flags & K_TENANT) && strcmp(o->tenant, TENANT_ADMIN) == 0;

	/* What `admin` keeps for itself is read with a role there, from wherever one looks. */
	if (of_admin && !is_shared(v->store, o))
		at = TENANT_ADMIN;
	/* What it shares, through `*`, with a role in any of the tenants that show it. */
	else if (of_admin && strcmp(v->tenant, "*") == 0 && may_at(v, g, NULL, verb, NULL) == 0)
		return 0;
	return may_at(v, g, at, verb, e);
}

bool access_reads(struct viewer *v, const struct object *o)
{
	const char *from = v->tenant;
	bool yes;

	v->tenant = "*";
	yes = access_sees(v, o) && access_may_object(v, o, ACCESS_READ, NULL) == 0;
	v->tenant = from;
	return yes;
}

int access_covers(struct viewer *v, const char *tenant, const json_t *privileges, struct err *e)
{
	json_t *p;
	size_t i;

	if (access_is_superuser(v))
		return 0;
	json_array_foreach(privileges, i, p) {
		const char *name = json_str(p, "resource", "");
		int resource = word_index(words_permission_resource, name);
		enum access wanted = resource < 0 ? NO_ACCESS : granted(privileges, (enum permission_resource)resource);
		enum access have = wanted == NO_ACCESS ? NO_ACCESS
						       : level(v, (enum permission_resource)resource, tenant);

		if (wanted != NO_ACCESS && have != WRITE_ACCESS && have != wanted)
			return err_set(e, -EACCES, NULL,
				       "User '%s' cannot give %s to %s: he does not hold it himself.", json_str(body(v), "name", ""),
				       wanted == WRITE_ACCESS ? "WRITE_ACCESS" : "READ_ACCESS", name);
	}
	return 0;
}
