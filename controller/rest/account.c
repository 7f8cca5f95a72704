/*
 * account - passwords that change: hashed on the pool before anything is stored.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/audit.h"
#include "controller/pool.h"
#include "controller/profile.h"
#include "controller/resolve.h"
#include "controller/rest/handlers.h"

/* A password to hash, and what goes on after it. */
struct hashing {
	struct job job;
	struct request *request;
	enum result (*then)(struct request *q, const char *record);
	char *password;
	json_t *history; /* records that must not come again; counted on the core's thread */
	bool again;
	/* The present one, which may come again: tools send a whole user with each of his changes. */
	char present[PASSWORD_RECORD_MAX];
	char record[PASSWORD_RECORD_MAX];
};

bool password_is_old(struct rest *r, const struct object *user)
{
	uint64_t set_us = password_set_us(r->c->store, user->uuid);
	struct profile p;

	profile_of(r->c->store, user, &p);
	return p.age_us && set_us && wall_us() > set_us && wall_us() - set_us > p.age_us;
}

static void hash_work(struct job *j)
{
	struct hashing *h = CONTAINER_OF(j, struct hashing, job);

	if (*h->present && password_verify(h->present, h->password)) {
		memcpy(h->record, h->present, sizeof(h->record));
		return;
	}
	for (size_t i = 0; i < json_array_size(h->history) && !h->again; i++)
		h->again = password_verify(json_string_value(json_array_get(h->history, i)),
					   h->password);
	if (!h->again)
		password_hash(h->password, h->record);
}

static void hash_done(struct job *j)
{
	struct hashing *h = CONTAINER_OF(j, struct hashing, job);
	struct request *q = h->request;

	/* The objects that Q borrowed may have gone in the meantime. */
	if (h->again)
		request_refuse(q, 400,
			       "password: it is one of the last %zu, which are not taken again.",
			       json_array_size(h->history));
	if (!h->again && auth_user(q) == AUTH_GOOD && h->then(q, h->record) == RESULT_LATER)
		;
	else
		route_done(q);
	explicit_bzero(h->password, strlen(h->password));
	free(h->password);
	json_decref(h->history);
	free(h);
}

static enum result user_hashed(struct request *q, const char *record);

/* USER: whose it will be; NULL: he does not exist yet. */
static enum result hash(struct request *q, const char *password, const struct object *user,
			enum result (*then)(struct request *q, const char *record))
{
	struct hashing *h = xcalloc(1, sizeof(*h));

	h->job.work = hash_work;
	h->job.done = hash_done;
	h->request = q;
	h->then = then;
	h->password = xstrdup(password);
	if (user) {
		struct profile p;

		profile_of(q->rest->c->store, user, &p);
		h->history = password_history(q->rest->c->store, user, p.history);
		/* Who changes his own wants another one. */
		if (then == user_hashed)
			snprintf(h->present, sizeof(h->present), "%s",
				 json_str(user->body, "password", ""));
	}
	if (pool_post(q->rest->c->pool, &h->job) == 0)
		return RESULT_LATER;
	free(h->password);
	json_decref(h->history);
	free(h);
	request_refuse(q, 503, "Too many passwords at once: try again.");
	return RESULT_NOW;
}

/* Limits of systemconfiguration.portal_configuration. */
static int password_fits(struct request *q, const char *password, struct err *e)
{
	const struct object *s = store_get(q->rest->c->store, "systemconfiguration", "default");
	json_t *portal = s ? json_object_get(s->body, "portal_configuration") : NULL;
	json_int_t min = json_int(portal, "minimum_password_length", 8);
	bool lower = false, upper = false, digit = false, other = false;

	if ((json_int_t)strlen(password) < min)
		return err_set(e, -EINVAL, "password", "A password has at least %lld characters.",
			       (long long)min);
	if (strlen(password) > PASSWORD_MAX)
		return err_set(e, -EINVAL, "password", "A password has at most %d bytes.",
			       PASSWORD_MAX);
	for (const char *p = password; *p; p++) {
		lower |= *p >= 'a' && *p <= 'z';
		upper |= *p >= 'A' && *p <= 'Z';
		digit |= *p >= '0' && *p <= '9';
		other |= !((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			   (*p >= '0' && *p <= '9'));
	}
	if (json_bool(portal, "password_strength_check", false) &&
	    lower + upper + digit + other < 3)
		return err_set(
			e, -EINVAL, "password",
			"A password has characters of three of: small, capital, digit, other.");
	return 0;
}

/* ---- objects of the kind `user` ------------------------------------------------------- */

static const char *password_at(const json_t *parent)
{
	const char *s = json_str(parent, "password", NULL);

	return s && strcmp(s, "<sensitive>") != 0 ? s : NULL;
}

/*
 * The object within the body that carries the password. At most one: a PATCH has one operation on
 * it.
 */
static json_t *password_holder(json_t *body, const char **member)
{
	static const char *const ops[] = { "add", "replace" };
	json_t *op;
	size_t i;

	*member = "password";
	if (password_at(body))
		return body;
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		if (password_at(json_object_get(body, ops[i])))
			return json_object_get(body, ops[i]);
	json_array_foreach(json_object_get(body, "json_patch"), i, op) {
		if (strcmp(json_str(op, "path", ""), "/password") == 0 &&
		    json_str(op, "value", NULL)) {
			*member = "value";
			return op;
		}
	}
	return NULL;
}

static enum result write_now(struct request *q)
{
	if (q->method == METHOD_POST)
		return object_create(q);
	return q->method == METHOD_PUT ? object_replace(q) : object_patch(q);
}

/* A new password ends the sessions that the old one opened, but not this one, and a lock. */
static void password_changed(struct request *q, const char *uuid)
{
	const struct object *u = store_get(q->rest->c->store, "user", uuid);

	session_drop_user(&q->rest->sessions, uuid, q->session);
	if (q->session && strcmp(q->session->user, uuid) == 0)
		q->session->must_change = false;
	if (u)
		lockout_forget(&q->rest->lockout, json_str(u->body, "username", u->name));
}

static enum result user_hashed(struct request *q, const char *record)
{
	const struct object *was;
	const char *member;
	json_t *holder = password_holder(q->json, &member);
	bool same;

	json_object_set_new(holder, member, json_string(record));
	if (password_holder(q->json, &member) && password_holder(q->json, &member) != holder) {
		request_refuse(q, 400, "password: it is set in more than one place.");
		return RESULT_NOW;
	}
	was = q->uuid ? store_get(q->rest->c->store, "user", q->uuid) : NULL;
	same = was && strcmp(json_str(was->body, "password", ""), record) == 0;
	write_now(q);
	if (q->status < 300 && q->uuid && !same)
		password_changed(q, q->uuid);
	return RESULT_NOW;
}

enum result user_write(struct request *q)
{
	const char *member;
	json_t *holder = json_is_object(q->json) ? password_holder(q->json, &member) : NULL;
	struct err e = { 0 };

	q->kind = (char *)"user";
	if (!holder)
		return write_now(q);
	/* Who may not write users shall not make the pool work for him. */
	if (auth_may(q, "user", "", true, &e) < 0) {
		request_error(q, &e);
		return RESULT_NOW;
	}
	if (password_fits(q, json_str(holder, member, ""), &e) < 0) {
		request_error(q, &e);
		return RESULT_NOW;
	}
	return hash(q, json_str(holder, member, ""),
		    q->uuid ? store_get(q->rest->c->store, "user", q->uuid) : NULL, user_hashed);
}

/* ---- one's own account ------------------------------------------------------------------- */

enum result useraccount_get(struct request *q)
{
	request_json(q, 200,
		     json_pack("{s:s, s:s, s:s, s:s, s:b}", "username",
			       json_str(q->user->body, "username", q->user->name), "name",
			       q->user->name, "full_name", json_str(q->user->body, "full_name", ""),
			       "email", json_str(q->user->body, "email", ""), "local",
			       json_bool(q->user->body, "local", true)));
	return RESULT_NOW;
}

/* The caller's own object with what of the body is his to change. RECORD may be NULL. */
static enum result account_store(struct request *q, const char *record)
{
	static const char *const mine[] = { "full_name", "email", "ui_property" };
	CLEANUP_JSON json_t *body = json_deep_copy(q->user->body);
	CLEANUP_FREE char *uuid = xstrdup(q->user->uuid), *name = xstrdup(q->user->name);
	struct change_by by = change_by(q);
	struct change c;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(mine); i++)
		if (json_object_get(q->json, mine[i]))
			json_object_set(body, mine[i], json_object_get(q->json, mine[i]));
	if (record)
		json_object_set_new(body, "password", json_string(record));
	/* No right is needed for one's own name, and none is in reach. */
	by.viewer = NULL;
	by.internal = true;
	change_begin(&c, q->rest->c->store, &by);
	if (change_update(&c, kind_find("user"), uuid, body, 0, &e) < 0) {
		change_abort(&c);
	} else {
		if (record)
			txn_event(c.txn,
				  audit_event("USER_PASSWORD_CHANGE_REQUEST", "CONFIG", "user",
					      uuid, name, TENANT_ADMIN,
					      json_pack("{s:{s:s, s:s, s:s}}",
							"config_password_change_request_details",
							"user", name, "client_ip", q->client,
							"status", "SYSERR_SUCCESS"),
					      "User %s changed the password.", name));
		change_commit(&c, &e);
	}
	model_notes_fini(&c.notes);
	if (e.code) {
		request_error(q, &e);
		return RESULT_NOW;
	}
	if (record)
		password_changed(q, uuid);
	request_empty(q, 200);
	return RESULT_NOW;
}

/* A playbook that sets the password says so each time it runs. One that is too old is another matter: it has to go. */
static bool stays(struct request *q)
{
	return strcmp(json_str(q->json, "password", ""), json_str(q->json, "old_password", "")) ==
		       0 &&
	       !password_is_old(q->rest, q->user);
}

static void old_checked(struct request *q, const char *uuid)
{
	if (q->status)
		;
	else if (!uuid)
		request_refuse(q, 400, "old_password: it is not the present password.");
	else if (auth_user(q) != AUTH_GOOD)
		;
	else if (stays(q))
		account_store(q, NULL);
	else if (hash(q, json_str(q->json, "password", ""), q->user, account_store) == RESULT_LATER)
		return;
	route_done(q);
}

enum result useraccount_put(struct request *q)
{
	const char *password = json_str(q->json, "password", NULL),
		   *old = json_str(q->json, "old_password", NULL);
	const char *user = json_str(q->json, "username", NULL);
	struct err e = { 0 };

	if (!json_is_object(q->json)) {
		request_refuse(q, 400, "An account is a JSON object.");
		return RESULT_NOW;
	}
	if (user && strcmp(user, json_str(q->user->body, "username", q->user->name)) != 0) {
		request_refuse(q, 400, "username: this is not the account of this session.");
		return RESULT_NOW;
	}
	if (!password)
		return account_store(q, NULL);
	if (!old) {
		request_refuse(q, 400, "old_password: it is needed to set another one.");
		return RESULT_NOW;
	}
	if (password_fits(q, password, &e) < 0) {
		request_error(q, &e);
		return RESULT_NOW;
	}
	password_check(q, json_str(q->user->body, "username", q->user->name), old, old_checked);
	return RESULT_LATER;
}
