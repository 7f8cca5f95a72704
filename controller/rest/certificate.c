/*
 * certificate - bodies with keys and certificates: read and made on the pool before anything is stored.
 */
#include "base/base.h"
#include "controller/audit.h"
#include "controller/certificate.h"
#include "controller/change.h"
#include "controller/pool.h"
#include "controller/rest/handlers.h"
#include "controller/rest/subresource.h"

struct preparing {
	struct job job;
	struct request *request;
	json_t *body; /* a copy of its own: references are not counted across threads */
	int rc;
	struct err e;
};

static void prepare_work(struct job *j)
{
	static const char *const ops[] = { "add", "replace" };
	struct preparing *p = CONTAINER_OF(j, struct preparing, job);

	p->rc = certificate_prepare(p->body, &p->e);
	/* A PATCH has them one level deeper. What it lacks is in the store: the rule looks at the whole. */
	for (size_t i = 0; i < ARRAY_SIZE(ops) && p->rc == 0; i++) {
		json_t *op = json_object_get(p->body, ops[i]);
		const char *pem = json_str(json_object_get(op, "certificate"), "certificate", "");
		json_t *facts = NULL;

		if (*pem)
			p->rc = certificate_read(pem, &facts, &p->e);
		json_decref(facts);
		if (p->rc < 0) {
			err_within(&p->e, "certificate.certificate");
			err_within(&p->e, ops[i]);
		}
	}
}

static enum result write_now(struct request *q)
{
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
	free(p);
	route_done(q);
}

enum result certificate_write(struct request *q)
{
	struct preparing *p;
	const struct object *o;
	const char *tenant;

	q->kind = (char *)"sslkeyandcertificate";
	o = q->uuid ? store_get(q->rest->c->store, q->kind, q->uuid) : NULL;
	tenant = o ? o->tenant : strcmp(q->tenant_id, "*") == 0 ? TENANT_ADMIN : q->tenant_id;
	/* Who may not write them shall not make the pool work for him: he is told so at once. */
	if (!json_is_object(q->json) || auth_may(q, q->kind, tenant, true, NULL) < 0)
		return write_now(q);
	p = xcalloc(1, sizeof(*p));
	p->job.work = prepare_work;
	p->job.done = prepare_done;
	p->request = q;
	p->body = json_deep_copy(q->json);
	if (pool_post(q->rest->c->pool, &p->job) == 0)
		return RESULT_LATER;
	json_decref(p->body);
	free(p);
	request_refuse(q, 503, "Too many certificates at once: try again.");
	return RESULT_NOW;
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
