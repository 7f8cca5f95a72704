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
	const struct object *u = uuid ? store_get(q->rest->c->store, "user", uuid) : NULL;

	if (u) {
		q->must_change = password_is_old(q->rest, u);
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
	if (q->user && json_bool(q->user->body, "is_active", true)) {
		/* The tenant may be known already: a password was hashed in between. */
		q->viewer = (struct viewer){ .store = q->rest->c->store,
					     .user = q->user,
					     .tenant = *q->tenant_id ? q->tenant_id : TENANT_ADMIN };
		return AUTH_GOOD;
	}
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
	return access_is_superuser(&q->viewer);
}

/* ---- where ------------------------------------------------------------------------ */

/* The tenant that the request names; without a name `admin`, or where the user is at home. */
static const struct object *tenant_of(const struct request *q)
{
	struct store *s = q->rest->c->store;
	const char *home = ref_target(json_str(q->user->body, "default_tenant_ref", NULL));

	if (*q->tenant_uuid)
		return store_get(s, "tenant", q->tenant_uuid);
	if (*q->tenant)
		return store_find(s, "tenant", NULL, NULL, q->tenant);
	return store_get(s, "tenant",
			 access_enters(&q->viewer, TENANT_ADMIN) || !*home ? TENANT_ADMIN : home);
}

bool auth_tenant(struct request *q)
{
	const char *asked = *q->tenant_uuid ? q->tenant_uuid : *q->tenant ? q->tenant : TENANT_ADMIN;
	const struct object *t = NULL;
	bool all = strcmp(asked, "*") == 0;

	if (!all)
		t = tenant_of(q);
	/* Where one has no role, nobody shall learn whether there is such a tenant. */
	if (!all && (!t || !access_enters(&q->viewer, t->uuid))) {
		request_refuse(q, 403, "Tenant '%s' does not exist!%s%s%s", t && !*q->tenant && !*q->tenant_uuid ? t->name : asked,
			       auth_is_superuser(q) ? "" : " Or user '",
			       auth_is_superuser(q) ? "" : q->user->name,
			       auth_is_superuser(q) ? "" : "' has no role in it.");
		return false;
	}
	snprintf(q->tenant_id, sizeof(q->tenant_id), "%s", all ? "*" : t->uuid);
	q->viewer.tenant = q->tenant_id;
	return true;
}

/* ---- what -------------------------------------------------------------------------- */

bool auth_sees(const struct request *q, const struct object *o)
{
	return access_sees(&q->viewer, o);
}

int auth_may(struct request *q, const char *thing, const char *tenant, bool write, struct err *e)
{
	q->asked = true;
	return access_may(&q->viewer, guard_named(thing), tenant, write ? ACCESS_WRITE : ACCESS_READ, e);
}

int auth_may_object(struct request *q, const struct object *o, enum access_verb verb, struct err *e)
{
	q->asked = true;
	return access_may_object(&q->viewer, o, verb, e);
}
