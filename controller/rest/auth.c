#include <errno.h>
#include <strings.h>

#include <openssl/evp.h>

#include "base/base.h"
#include "controller/resolve.h"
#include "controller/rest/handlers.h"

/* ---- who ------------------------------------------------------------------------- */

void auth_limits(struct rest *r)
{
	const struct object *p = NULL, *s = NULL;
	json_int_t idle = 15, hard = 24;

	p = store_get(r->c->store, "controllerproperties", "global");
	s = store_get(r->c->store, "systemconfiguration", "default");
	if (p)
		idle = json_int(p->body, "api_idle_timeout", idle);
	if (s)
		hard = json_int(json_object_get(s->body, "portal_configuration"),
				"api_force_timeout", hard);
	r->sessions.idle_ns = (uint64_t)idle * 60 * NS_PER_S;
	r->sessions.hard_ns = (uint64_t)hard * 3600 * NS_PER_S;
}

struct search {
	struct rest *r;
	uint64_t now;
	struct session *live;
	bool expired;
};

/*
 * Clients send the session twice, and after a change of it the two differ: any copy that lives will
 * do.
 */
static int try_cookie(void *arg, const char *name, const char *value)
{
	struct search *s = arg;
	struct session *x;

	if (strcmp(name, "sessionid") != 0 && strcmp(name, "avi-sessionid") != 0)
		return 0;
	x = session_find(&s->r->sessions, value, s->now);
	if (x && x->expired)
		s->expired = true;
	else
		s->live = x;
	return s->live != NULL;
}

static bool basic_allowed(struct rest *r)
{
	const struct object *s = store_get(r->c->store, "systemconfiguration", "default");

	return s && json_bool(json_object_get(s->body, "portal_configuration"),
			      "allow_basic_authentication", false);
}

char *auth_basic(const struct request *q, char **password)
{
	const char *p = q->authorization;
	size_t n;
	char *text, *colon;
	int len;

	if (strncasecmp(p, "Basic ", 6) != 0)
		return NULL;
	p += 6 + strspn(p + 6, " ");
	n = strlen(p);
	if (n == 0 || n % 4 != 0)
		return NULL;
	text = xcalloc(1, n + 1);
	len = EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)p, (int)n);
	if (len < 0 || !(colon = strchr(text, ':'))) {
		free(text);
		return NULL;
	}
	/* EVP_DecodeBlock counts the padding; the NULs that it leaves end the text all the same. */
	*colon = '\0';
	*password = colon + 1;
	return text;
}

static void basic_checked(struct request *q, const char *uuid)
{
	if (uuid) {
		snprintf(q->basic_user, sizeof(q->basic_user), "%s", uuid);
		route_request(q);
		return;
	}
	if (!q->status)
		request_refuse(q, 401, "Invalid credentials.");
	route_done(q);
}

enum auth auth_user(struct request *q)
{
	struct search s = { .r = q->rest, .now = mono_ns() };
	const char *uuid = NULL;
	char *password;

	cookie_each(q->cookies.len ? buf_cstr(&q->cookies) : "", try_cookie, &s);
	q->session = s.live;
	if (s.live)
		uuid = s.live->user;
	else if (*q->basic_user)
		uuid = q->basic_user;
	else if (*q->authorization && basic_allowed(q->rest)) {
		CLEANUP_FREE char *user = auth_basic(q, &password);

		if (user) {
			password_check(q, user, password, basic_checked);
			return AUTH_LATER;
		}
	}
	q->user = uuid ? store_get(q->rest->c->store, "user", uuid) : NULL;
	if (q->user && json_bool(q->user->body, "is_active", true))
		return AUTH_GOOD;
	if (s.expired)
		request_refuse(q, 419, "The session has expired: log in again.");
	else
		request_refuse(
			q, 401,
			"Authentication credentials were not provided, or the session is unknown.");
	return AUTH_REFUSED;
}

bool auth_is_superuser(const struct request *q)
{
	return json_bool(q->user->body, "is_superuser", false);
}

/* ---- where ------------------------------------------------------------------------ */

/* Has the user any role in TENANT (uuid)? */
static bool has_access(const struct request *q, const char *tenant)
{
	json_t *a;
	size_t i;

	if (auth_is_superuser(q))
		return true;
	json_array_foreach(json_object_get(q->user->body, "access"), i, a) {
		if (json_bool(a, "all_tenants", false) ||
		    strcmp(ref_target(json_str(a, "tenant_ref", NULL)), tenant) == 0)
			return true;
	}
	return false;
}

bool auth_tenant(struct request *q)
{
	struct store *s = q->rest->c->store;
	const struct object *t = NULL;
	const char *asked = *q->tenant_uuid ? q->tenant_uuid : *q->tenant ? q->tenant : NULL;

	if (asked && strcmp(asked, "*") == 0) {
		snprintf(q->tenant_id, sizeof(q->tenant_id), "*");
		return true;
	}
	if (!asked) {
		/* Whoever has nothing in `admin` starts where he is at home. */
		const char *home = ref_target(json_str(q->user->body, "default_tenant_ref", NULL));

		t = store_get(s, "tenant",
			      has_access(q, TENANT_ADMIN) || !*home ? TENANT_ADMIN : home);
	} else if (*q->tenant_uuid) {
		t = store_get(s, "tenant", q->tenant_uuid);
	} else {
		t = store_find(s, "tenant", NULL, NULL, q->tenant);
	}
	if (!t) {
		request_refuse(q, 403, "Tenant '%s' does not exist!", asked ? asked : TENANT_ADMIN);
		return false;
	}
	if (!has_access(q, t->uuid)) {
		request_refuse(q, 403, "User '%s' has no role in tenant '%s'.", q->user->name,
			       t->name);
		return false;
	}
	snprintf(q->tenant_id, sizeof(q->tenant_id), "%s", t->uuid);
	return true;
}

/*
 * What `admin` provides for all: clouds with their networks, engines and routing domains. Its
 * applications are its own.
 */
static bool is_shared(const char *kind)
{
	static const char *const shared[] = {
		"cloud", "network", "role", "serviceengine", "serviceenginegroup", "vrfcontext"
	};

	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		if (strcmp(shared[i], kind) == 0)
			return true;
	return false;
}

bool auth_sees(const struct request *q, const struct object *o)
{
	if (!(o->kind->flags & K_TENANT))
		return true;
	if (strcmp(q->tenant_id, "*") == 0)
		return has_access(q, o->tenant);
	return strcmp(o->tenant, q->tenant_id) == 0 ||
	       (strcmp(o->tenant, TENANT_ADMIN) == 0 && (o->system || is_shared(o->kind->path)));
}

/* ---- what -------------------------------------------------------------------------- */

/* The resource of a role's privileges that stands for KIND. */
static void permission_of(const char *kind, char *out, size_t size)
{
	/* Where it is not simply the kind in upper case. */
	static const struct {
		const char *kind, *resource;
	} other[] = {
		{ "cluster", "PERMISSION_CONTROLLER" },
		{ "controllerproperties", "PERMISSION_CONTROLLER" },
		{ "vsvip", "PERMISSION_VIRTUALSERVICE" },
		{ "logs", "PERMISSION_VIRTUALSERVICE" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		if (strcmp(other[i].kind, kind) == 0) {
			snprintf(out, size, "%s", other[i].resource);
			return;
		}
	}
	snprintf(out, size, "PERMISSION_%s", kind);
	for (char *p = out; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p -= 'a' - 'A';
}

static bool role_grants(const json_t *role, const char *resource, bool write)
{
	json_t *p;
	size_t i;

	json_array_foreach(json_object_get(role, "privileges"), i, p) {
		const char *type = json_str(p, "type", "");

		if (strcmp(json_str(p, "resource", ""), resource) == 0 &&
		    (strcmp(type, "WRITE_ACCESS") == 0 ||
		     (!write && strcmp(type, "READ_ACCESS") == 0)))
			return true;
	}
	return false;
}

int auth_may(const struct request *q, const char *kind, const char *tenant, bool write,
	     struct err *e)
{
	struct store *s = q->rest->c->store;
	char resource[80];
	json_t *a;
	size_t i;

	if (auth_is_superuser(q))
		return 0;
	permission_of(kind, resource, sizeof(resource));
	/* What `admin` shows to all may be read with a role of the tenant that looks. */
	if (!write && strcmp(q->tenant_id, "*") != 0)
		tenant = q->tenant_id;
	json_array_foreach(json_object_get(q->user->body, "access"), i, a) {
		const char *at = ref_target(json_str(a, "tenant_ref", NULL));
		const struct object *role = store_get(s, "role",
						      ref_target(json_str(a, "role_ref", NULL)));
		bool here = json_bool(a, "all_tenants", false) ||
			    strcmp(at, *tenant ? tenant : TENANT_ADMIN) == 0;

		if (here && role && role_grants(role->body, resource, write))
			return 0;
	}
	return err_set(e, -EACCES, NULL, "User '%s' has no permission to %s %s objects here.",
		       q->user->name, write ? "write" : "read", kind);
}
