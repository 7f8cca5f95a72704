/*
 * login: form (Python) and JSON (Go) alike, with a password or a user token.
 *
 * A password that was verified before costs a hash of microseconds; a new one goes to the pool for
 * argon2id.
 */
#include <errno.h>
#include <strings.h>

#include "base/base.h"
#include "controller/audit.h"
#include "controller/pool.h"
#include "controller/resolve.h"
#include "controller/profile.h"
#include "controller/rest/handlers.h"
#include "controller/rest/state.h"
#include "controller/rest/user_token.h"

enum { LOGIN_BODY_MAX = 16 * 1024 };

/* ---- checks of passwords -------------------------------------------------------------- */

struct check {
	struct job job;
	struct request *request;
	void (*then)(struct request *q, const char *uuid);
	char user[192]; /* uuid; "" when there is no such user */
	char *name;	/* that was tried */
	char *password;
	char record[PASSWORD_RECORD_MAX];
	bool good;
};

static int same_login(void *arg, const struct object *o)
{
	const char **name = arg;

	if (strcmp(json_str(o->body, "username", o->name), *name) != 0)
		return 0;
	*name = o->uuid;
	return 1;
}

/* By the login name: `username`, or `name` where there is none. */
static const struct object *user_find(struct store *s, const char *name)
{
	const char *found = name;

	return store_each(s, "user", same_login, &found) ? store_get(s, "user", found) : NULL;
}

static const char *record_of(const struct object *u)
{
	const char *record = u && json_bool(u->body, "is_active", true)
				     ? json_str(u->body, "password", "")
				     : "";

	return strlen(record) < PASSWORD_RECORD_MAX ? record : "";
}

static void check_work(struct job *j)
{
	struct check *c = CONTAINER_OF(j, struct check, job);

	c->good = password_verify(c->record, c->password);
}

/* What anybody who is refused is told: AKO gives up for good on the first two words. */
#define REFUSED "Invalid credentials."

static void refused(struct request *q, const char *name, const struct object *u)
{
	struct rest *r = q->rest;
	struct profile p;
	struct lockout_limits limits;

	profile_of(r->c->store, u, &p);
	limits = (struct lockout_limits){ p.failures, p.lock_ns, p.window_ns };
	if (!lockout_failed(&r->lockout, name, &limits, mono_ns()) || !u)
		return;
	store_event(
		r->c->store,
		audit_event(
			"USER_LOGIN", "CONFIG", "user", u->uuid, u->name, TENANT_ADMIN,
			json_pack("{s:{s:s, s:s, s:b, s:s}}", "config_user_login_details", "user",
				  u->name, "client_ip", q->client, "local", 1, "status",
				  "SYSERR_FAILURE"),
			"The account of user %s is locked after %llu failed logins, the last one from %s.",
			u->name, (unsigned long long)p.failures, q->client),
		NULL);
}

static void check_done(struct job *j)
{
	struct check *c = CONTAINER_OF(j, struct check, job);
	struct request *q = c->request;
	const struct object *u = store_get(q->rest->c->store, "user", c->user);
	/* The user may have got another password while this one was checked. */
	bool good = c->good && u && strcmp(record_of(u), c->record) == 0;

	/* Guesses that were let in all at once count one after the other: the account may be locked by now. */
	good = good && !lockout_holds(&q->rest->lockout, c->name, mono_ns());

	if (good) {
		password_remember(&q->rest->passwords, c->user, c->record, c->password, mono_ns());
		lockout_forget(&q->rest->lockout, c->name);
	} else {
		refused(q, c->name, u);
	}
	c->then(q, good ? c->user : NULL);
	explicit_bzero(c->password, strlen(c->password));
	free(c->password);
	free(c->name);
	free(c);
}

void password_check(struct request *q, const char *user, const char *password,
		    void (*then)(struct request *q, const char *uuid))
{
	struct rest *r = q->rest;
	const struct object *u = user_find(r->c->store, user);
	const char *record = record_of(u);
	struct check *c;

	if (strlen(password) > PASSWORD_MAX) {
		then(q, NULL);
		return;
	}
	if (lockout_holds(&r->lockout, user, mono_ns())) {
		request_refuse(q, 401,
			       REFUSED " Too many of them: this account is locked for a while.");
		then(q, NULL);
		return;
	}
	if (*record && password_cached(&r->passwords, u->uuid, record, password, mono_ns())) {
		CLEANUP_FREE char *uuid = xstrdup(u->uuid);

		lockout_forget(&r->lockout, user);
		then(q, uuid);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->job.work = check_work;
	c->job.done = check_done;
	c->request = q;
	c->then = then;
	c->password = xstrdup(password);
	c->name = xstrdup(user);
	snprintf(c->user, sizeof(c->user), "%s", u ? u->uuid : "");
	snprintf(c->record, sizeof(c->record), "%s", record);
	if (pool_post(r->c->pool, &c->job) == 0)
		return;
	free(c->password);
	free(c->name);
	free(c);
	request_refuse(q, 503, "Too many logins at once: try again.");
	then(q, NULL);
}

/* ---- login ------------------------------------------------------------------------------ */

/*
 * Refused logins make one event a second at most, with the number of those in between: whoever guesses
 * passwords must not be able to wash the audit log away.
 */
static void login_event(struct request *q, const char *user, bool good)
{
	struct rest *r = q->rest;
	uint64_t now = mono_ns();
	char more[64] = "";
	json_t *d;

	if (!good && now - r->refusal_told_ns < NS_PER_S) {
		r->refusals_untold++;
		return;
	}
	d = json_pack("{s:{s:s, s:s, s:b, s:s}}", "config_user_login_details", "user", user,
		      "client_ip", q->client, "local", 1, "status",
		      good ? "SYSERR_SUCCESS" : "SYSERR_FAILURE");
	/* A user name that is not UTF-8 cannot be a user's. */
	if (!d)
		return;
	if (!good) {
		if (r->refusals_untold)
			snprintf(more, sizeof(more), ", and %u more since", r->refusals_untold);
		r->refusal_told_ns = now;
		r->refusals_untold = 0;
	}
	store_event(r->c->store,
		    audit_event("USER_LOGIN", "CONFIG", "user", NULL, user, TENANT_ADMIN, d,
				good ? "User %s logged in from %s%s."
				     : "Login of %s from %s refused%s.",
				user, q->client, more),
		    NULL);
}

static const char *field(const struct request *q, const struct query *form, const char *name)
{
	return q->json ? json_str(q->json, name, NULL) : query_get(form, name);
}

void login_renew(struct request *q, const struct session *x)
{
	CLEANUP_FREE char *one =
		xasprintf("avi-sessionid=%s; HttpOnly; Max-Age=86400; Path=/; Secure", x->id);
	CLEANUP_FREE char *two = xasprintf("sessionid=%s; HttpOnly; Max-Age=86400; Path=/; Secure",
					   x->id);

	request_header(q, "Set-Cookie", one);
	request_header(q, "Set-Cookie", two);
}

static void set_cookies(struct request *q, const struct session *x)
{
	CLEANUP_FREE char *csrf = xasprintf("csrftoken=%s; Max-Age=31449600; Path=/; Secure",
					    x->csrf);

	request_header(q, "Set-Cookie", csrf);
	login_renew(q, x);
}

struct tenants {
	const struct request *q;
	json_t *list;
};

static int add_tenant(void *arg, const struct object *o)
{
	const struct tenants *t = arg;

	if (access_enters(&t->q->viewer, o->uuid))
		json_array_append_new(t->list, json_pack("{s:o, s:s, s:s, s:b}", "url",
							 json_sprintf("%s/api/tenant/%s", t->q->base_url, o->uuid),
							 "uuid", o->uuid, "name", o->name, "local",
							 json_bool(o->body, "local", true)));
	return 0;
}

/* Where the user has a role, also for who may not read tenants: tools find the name for their header here. */
static json_t *tenants_json(struct request *q)
{
	struct tenants tenants = { q, json_array() };

	store_each(q->rest->c->store, "tenant", add_tenant, &tenants);
	return tenants.list;
}

enum result user_tenant_list(struct request *q)
{
	request_json(q, 200, json_pack("{s:o}", "tenants", tenants_json(q)));
	return RESULT_NOW;
}

static json_t *user_json(struct request *q, const struct object *u)
{
	const char *home =
		ref_target(json_str(u->body, "default_tenant_ref", "/api/tenant/" TENANT_ADMIN));

	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:s, s:o}", "username",
			 json_str(u->body, "username", u->name), "name", u->name, "full_name",
			 json_str(u->body, "full_name", u->name), "email",
			 json_str(u->body, "email", ""), "is_superuser",
			 json_bool(u->body, "is_superuser", false), "local",
			 json_bool(u->body, "local", true), "uuid", u->uuid, "ui_property",
			 json_str(u->body, "ui_property", ""), "default_tenant_ref",
			 json_sprintf("%s/api/tenant/%s", q->base_url, home));
}

static void login_good(struct request *q, const char *uuid)
{
	struct rest *r = q->rest;
	struct store *s = r->c->store;
	const struct object *u = store_get(s, "user", uuid), *config, *props;
	struct session *x = session_new(&r->sessions, uuid, mono_ns());
	struct profile profile;
	json_t *answer;

	profile_of(s, u, &profile);
	if (profile.sessions)
		session_limit(&r->sessions, uuid, (unsigned)profile.sessions);
	x->must_change = q->by_password && password_is_old(r, u);
	set_cookies(q, x);
	q->user = u;
	snprintf(q->tenant_id, sizeof(q->tenant_id), TENANT_ADMIN);
	q->viewer = (struct viewer){ .store = s, .user = u, .tenant = q->tenant_id };
	config = store_get(s, "systemconfiguration", "default");
	props = store_get(s, "controllerproperties", "global");
	answer = json_pack("{s:o, s:s, s:b, s:o, s:o, s:{s:I}}", "version", state_version(),
			   "session_cookie_name", "avi-sessionid", "user_initialized", 1, "user",
			   user_json(q, u), "tenants", tenants_json(q), "controller",
			   "api_idle_timeout",
			   props ? json_int(props->body, "api_idle_timeout", 15) : (json_int_t)15);
	must(answer);
	if (config && auth_is_superuser(q)) {
		struct view v;

		view_init(&v, q, config->kind, NULL);
		json_object_set_new(answer, "system_config", view_object(&v, q, config));
	}
	login_event(q, u->name, true);
	request_json(q, 200, answer);
}

static void login_checked(struct request *q, const char *uuid)
{
	if (!uuid && (!q->status || q->status == 401))
		login_event(q, q->login, false);
	if (uuid)
		login_good(q, uuid);
	else if (!q->status)
		request_refuse(q, 401, REFUSED);
	route_done(q);
}

enum result login(struct request *q)
{
	struct query form = { 0 };
	const char *user, *password, *token;
	struct err e = { 0 };
	const char *body = q->body.len ? buf_cstr(&q->body) : "";
	/* curl says "form" of whatever follows its -d. */
	bool is_json = strcasestr(q->content_type, "json") ||
		       body[strspn(body, " \t\r\n")] == '{';
	char uuid[192];
	int rc;

	/* Whoever is not known yet shall not make the core read megabytes. */
	if (q->body.len > LOGIN_BODY_MAX)
		rc = err_set(&e, -EFBIG, NULL, "A login has at most %d bytes.", LOGIN_BODY_MAX);
	else
		rc = is_json ? json_read(body, q->body.len, &q->json, &e)
			     : query_parse(&form, body, q->body.len, &e);

	if (rc < 0) {
		request_error(q, &e);
		return RESULT_NOW;
	}
	user = field(q, &form, "username");
	password = field(q, &form, "password");
	token = field(q, &form, "token");
	if (!user || (!password && !token)) {
		request_refuse(q, 400,
			       "A login needs username and password, or username and token.");
		query_fini(&form);
		return RESULT_NOW;
	}
	snprintf(q->login, sizeof(q->login), "%s", user);
	q->by_password = password != NULL;
	if (password) {
		password_check(q, user, password, login_checked);
	} else {
		const struct object *u = user_find(q->rest->c->store, user);
		bool good = u && json_bool(u->body, "is_active", true) &&
			    user_token_fits(q->rest, u->uuid, token);

		snprintf(uuid, sizeof(uuid), "%s", good ? u->uuid : "");
		login_checked(q, good ? uuid : NULL);
	}
	query_fini(&form);
	return RESULT_LATER;
}

enum result logout(struct request *q)
{
	json_t *d = json_pack("{s:{s:s, s:s, s:b, s:s}}", "config_user_logout_details", "user",
			      q->user->name, "client_ip", q->client, "local", 1, "status",
			      "SYSERR_SUCCESS");

	store_event(q->rest->c->store,
		    audit_event("USER_LOGOUT", "CONFIG", "user", q->user->uuid, q->user->name,
				TENANT_ADMIN, d, "User %s logged out from %s.", q->user->name,
				q->client),
		    NULL);
	if (q->session)
		session_drop(&q->rest->sessions, q->session);
	q->session = NULL;
	request_json(q, 200, json_object());
	return RESULT_NOW;
}
