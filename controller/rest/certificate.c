/*
 * certificate - bodies with keys and certificates: read and made on the pool before anything is stored.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/audit.h"
#include "controller/certificate.h"
#include "controller/change.h"
#include "controller/pool.h"
#include "controller/rest/handlers.h"
#include "controller/rest/subresource.h"

/* A macro makes keys for as long as its request waits, and others wait behind it. */
enum { MACRO_MAX = 16 };

struct preparing {
	struct job job;
	struct request *request;
	json_t *body; /* a copy of its own: references are not counted across threads */
	json_t *was;  /* the same of how the stored object's texts came */
	json_t *old;  /* the same of what a PUT replaces; NULL: nothing. Of a macro, a list */
	size_t at;    /* how far a macro is in it */
	const struct kind_desc *macro; /* kind of its data; NULL: the body is a certificate's */
	int rc;
	struct err e;
};

/* One operation of a PATCH: how its texts are to be opened may stand in the object. */
static int open_op(json_t *op, const json_t *was, struct err *e)
{
	static const char *const texts[] = { "key", "certificate" };
	CLEANUP_JSON json_t *wire = json_deep_copy(was), *facts = NULL;
	const char *pem;
	int rc;

	json_object_update(wire, op);
	if (!json_object_get(op, "key"))
		json_object_del(wire, "key");
	rc = certificate_open(wire, e);
	for (size_t i = 0; i < ARRAY_SIZE(texts) && rc == 0; i++)
		if (json_object_get(wire, texts[i]))
			json_object_set(op, texts[i], json_object_get(wire, texts[i]));
	pem = json_str(json_object_get(op, "certificate"), "certificate", "");
	if (rc == 0 && *pem) { /* remembered, for the rule */
		rc = certificate_read(pem, &facts, e);
		if (rc < 0)
			err_within(e, "certificate.certificate");
	}
	return rc;
}

static void prepare_work(struct job *j)
{
	static const char *const ops[] = { "add", "replace" };
	struct preparing *p = CONTAINER_OF(j, struct preparing, job);

	p->rc = certificate_prepare(p->body, p->old, &p->e);
	/* A PATCH has them one level deeper. What it lacks is in the store: the rule looks at the whole. */
	for (size_t i = 0; i < ARRAY_SIZE(ops) && p->rc == 0; i++) {
		json_t *op = json_object_get(p->body, ops[i]);

		p->rc = json_is_object(op) ? open_op(op, p->was, &p->e) : 0;
		if (p->rc < 0)
			err_within(&p->e, ops[i]);
	}
}

/* Authorities, of which there may be hundreds: read, so that the rule finds them remembered. It says what is wrong. */
static void authorities_work(struct job *j)
{
	static const char *const ops[] = { "add", "replace" };
	struct preparing *p = CONTAINER_OF(j, struct preparing, job);

	for (size_t i = 0; i <= ARRAY_SIZE(ops); i++) {
		json_t *holder = i ? json_object_get(p->body, ops[i - 1]) : p->body, *one;
		size_t k;

		json_array_foreach(json_object_get(holder, "ca_certs"), k, one) {
			json_t *facts = NULL;

			if (certificate_read(json_str(one, "certificate", ""), &facts, NULL) < 0)
				return;
			json_decref(facts);
		}
	}
}

/* What is not made anew when it is asked for again. */
static const char *const kept[] = { "key", "certificate" };

/* Copies of what the stored object has of FIELDS. */
static json_t *had(const struct object *o, const char *const *fields, size_t n)
{
	json_t *out = json_object(), *v;

	for (size_t i = 0; i < n && o; i++) {
		v = json_object_get(o->body, fields[i]);
		if (v)
			json_object_set_new(out, fields[i], json_deep_copy(v));
	}
	return out;
}

/* ---- macros ------------------------------------------------------------------------ */

typedef int each_one(void *arg, json_t *one, struct err *e);

static int each_in_message(const struct message_desc *m, json_t *o, each_one *f, void *arg, struct err *e);

/* Calls F for each certificate in O, an object of K as a macro has it; stops at the first error. */
static int each_in_object(const struct kind_desc *k, json_t *o, each_one *f, void *arg, struct err *e)
{
	int rc = json_is_object(o) && strcmp(k->path, "sslkeyandcertificate") == 0 ? f(arg, o, e) : 0;

	return rc < 0 ? rc : each_in_message(k->msg, o, f, arg, e);
}

static int each_in_value(const struct field_desc *f, json_t *v, each_one *g, void *arg, struct err *e)
{
	const struct kind_desc *k = f->type == FT_REF ? kind_find(f->ref) : NULL;

	if (k)
		return each_in_object(k, v, g, arg, e);
	return f->type == FT_MSG ? each_in_message(f->msg, v, g, arg, e) : 0;
}

static int each_in_message(const struct message_desc *m, json_t *o, each_one *f, void *arg, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && json_is_object(o) && i < m->n_fields; i++) {
		CLEANUP_FREE char *name = xasprintf("%s%s", m->fields[i].name, m->fields[i].type == FT_REF ? "_data" : "");
		json_t *v = json_object_get(o, name), *item;
		char at[32];
		size_t j;

		if (!json_is_array(v))
			rc = each_in_value(&m->fields[i], v, f, arg, e);
		json_array_foreach(v, j, item) {
			rc = each_in_value(&m->fields[i], item, f, arg, e);
			if (rc == 0)
				continue;
			snprintf(at, sizeof(at), "[%zu]", j);
			err_within(e, at);
			break;
		}
		if (rc < 0)
			err_within(e, name);
	}
	return rc;
}

static int prepare_one(void *arg, json_t *one, struct err *e)
{
	struct preparing *p = arg;

	return certificate_prepare(one, json_array_get(p->old, p->at++), e);
}

static void macro_work(struct job *j)
{
	struct preparing *p = CONTAINER_OF(j, struct preparing, job);

	p->rc = each_in_object(p->macro, json_object_get(p->body, "data"), prepare_one, p, &p->e);
	if (p->rc < 0)
		err_within(&p->e, "data");
}

/* What a macro's certificates replace, in the order in which they stand in it. */
struct gathering {
	const struct request *q;
	json_t *old;
};

static int gather_one(void *arg, json_t *one, struct err *e)
{
	struct gathering *g = arg;
	struct store *s = g->q->rest->c->store;
	const char *tenant = strcmp(g->q->tenant_id, "*") == 0 ? TENANT_ADMIN : g->q->tenant_id, *uuid = json_str(one, "uuid", "");
	const struct object *o = *uuid ? store_get(s, "sslkeyandcertificate", uuid)
				       : store_find(s, "sslkeyandcertificate", tenant, NULL, json_str(one, "name", ""));

	json_array_append_new(g->old, o && strcmp(o->tenant, tenant) == 0 ? had(o, kept, ARRAY_SIZE(kept)) : json_null());
	return json_array_size(g->old) <= MACRO_MAX
		       ? 0
		       : err_set(e, -EINVAL, NULL, "A macro has at most %d certificates.", MACRO_MAX);
}

static enum result write_now(struct request *q)
{
	if (strcmp(q->path, "/api/macro") == 0)
		return macro_write_now(q);
	if (q->method == METHOD_POST)
		return object_create(q);
	return q->method == METHOD_PUT ? object_replace(q) : object_patch(q);
}

static void prepare_done(struct job *j)
{
	struct preparing *p = CONTAINER_OF(j, struct preparing, job);
	struct request *q = p->request;

	/* The objects that Q borrowed may have gone in the meantime. */
	if (auth_user(q) == AUTH_GOOD) {
		if (p->rc < 0) {
			request_error(q, &p->e);
		} else {
			json_decref(q->json);
			q->json = json_incref(p->body);
			write_now(q);
		}
	}
	json_decref(p->body);
	json_decref(p->was);
	json_decref(p->old);
	free(p);
	route_done(q);
}

/* OLD: of a macro; it is taken. */
static enum result prepare_later(struct request *q, void (*work)(struct job *j), const struct kind_desc *macro, json_t *old)
{
	static const char *const was[] = { "format", "key_base64", "certificate_base64", "key_passphrase" };
	const struct object *o =
		q->kind && q->uuid ? store_get(q->rest->c->store, "sslkeyandcertificate", q->uuid) : NULL;
	struct preparing *p = xcalloc(1, sizeof(*p));

	p->job.work = work;
	p->job.done = prepare_done;
	p->request = q;
	p->macro = macro;
	p->body = json_deep_copy(q->json);
	p->was = had(o, was, ARRAY_SIZE(was));
	p->old = o && q->method == METHOD_PUT ? had(o, kept, ARRAY_SIZE(kept)) : old;
	if (pool_post(q->rest->c->pool, &p->job) == 0)
		return RESULT_LATER;
	json_decref(p->body);
	json_decref(p->was);
	json_decref(p->old);
	free(p);
	request_refuse(q, 503, "Too many certificates at once: try again.");
	return RESULT_NOW;
}

enum result certificate_macro(struct request *q, const struct kind_desc *k, json_t *data)
{
	struct gathering g = { q, json_array() };
	struct err e = { 0 };

	if (each_in_object(k, data, gather_one, &g, &e) == 0 && json_array_size(g.old))
		return prepare_later(q, macro_work, k, g.old);
	json_decref(g.old);
	if (!e.code)
		return macro_write_now(q);
	err_within(&e, "data");
	request_error(q, &e);
	return RESULT_NOW;
}

static enum result write_later(struct request *q, const char *kind, void (*work)(struct job *j))
{
	const struct object *o;
	const char *tenant;

	q->kind = (char *)kind;
	o = q->uuid ? store_get(q->rest->c->store, q->kind, q->uuid) : NULL;
	tenant = o ? o->tenant : strcmp(q->tenant_id, "*") == 0 ? TENANT_ADMIN : q->tenant_id;
	/* Who may not write them shall not make the pool work for him: he is told so at once. */
	if (!json_is_object(q->json) || auth_may(q, q->kind, tenant, true, NULL) < 0)
		return write_now(q);
	return prepare_later(q, work, NULL, NULL);
}

enum result certificate_write(struct request *q)
{
	return write_later(q, "sslkeyandcertificate", prepare_work);
}

enum result authorities_write(struct request *q)
{
	return write_later(q, "pkiprofile", authorities_work);
}

/* ---- POST .../renew ---------------------------------------------------------------- */

static json_t *renew(void *arg, const struct subresource_call *call, struct err *e)
{
	struct rest *r = arg;
	const struct object *o = call->object;
	struct change_by by = { .user = "system", .client = "", .tenant = o->tenant, .internal = true };
	const json_t *cert = json_object_get(o->body, "certificate");
	CLEANUP_JSON json_t *body = json_deep_copy(o->body);
	CLEANUP_FREE char *uuid = xstrdup(o->uuid), *pem = NULL;
	struct change c;
	int rc = certificate_renew(json_str(cert, "certificate", ""), json_str(o->body, "key", ""), &pem, e);

	if (rc < 0)
		return NULL;
	json_object_set_new(json_object_get(body, "certificate"), "certificate", json_string(pem));
	change_begin(&c, r->c->store, &by);
	rc = change_update(&c, o->kind, uuid, body, 0, e);
	if (rc == 0)
		txn_event(c.txn, audit_event("SSL_CERT_RENEW", "CERT", "sslkeyandcertificate", uuid, json_str(body, "name", ""), by.tenant, NULL,
					     "Certificate %s was renewed.", json_str(body, "name", "")));
	if (rc == 0)
		rc = change_commit(&c, e);
	else
		change_abort(&c);
	model_notes_fini(&c.notes);
	return rc == 0 ? json_pack("{s:s}", "status", "SYSERR_SUCCESS") : NULL;
}

void certificate_actions(struct rest *r)
{
	static struct subresource action = { .kind = "sslkeyandcertificate", .path = "renew", .post = renew };

	action.arg = r;
	subresource_add(r, &action);
}
