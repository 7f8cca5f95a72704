/* enrol - POST /api/serviceenginegroup/UUID/token: what an engine needs to join. */
#include <errno.h>

#include "base/base.h"
#include "base/moment.h"
#include "controller/audit.h"
#include "controller/ca.h"
#include "controller/rest/handlers.h"
#include "controller/token.h"

enum { HOURS_MAX = 24 * 366, USES_MAX = 10000 };

/* A whole number from 1 to MAX; numbers may come as strings, as everywhere. */
static int number(const json_t *body, const char *name, json_int_t max, json_int_t *out,
		  struct err *e)
{
	const json_t *v = json_object_get(body, name);
	char *end = (char *)"";

	if (!v)
		return 0;
	*out = json_is_string(v) ? strtoll(json_string_value(v), &end, 10) : json_integer_value(v);
	if (*end || *out < 1 || *out > max || json_is_real(v))
		return err_set(e, -EINVAL, name, "A whole number from 1 to %lld is wanted.",
			       (long long)max);
	return 0;
}

enum result token_post(struct request *q)
{
	struct store *s = q->rest->c->store;
	const struct object *o = store_get(s, "serviceenginegroup", q->uuid);
	json_int_t hours = 1, uses = 1;
	struct err e = { 0 };
	char token[TOKEN_MAX], text[MOMENT_MAX];
	struct txn *t;
	uint64_t expires;

	if (!o || !auth_sees(q, o)) {
		request_refuse(q, 404, "ServiceEngineGroup object not found!");
		return RESULT_NOW;
	}
	if (auth_may(q, "enrolment_token", o->tenant, true, &e) < 0) {
		request_error(q, &e);
		return RESULT_NOW;
	}
	if ((q->json && !json_is_object(q->json) &&
	     err_set(&e, -EINVAL, NULL, "The body must be a JSON object.")) ||
	    number(q->json, "hours", HOURS_MAX, &hours, &e) < 0 ||
	    number(q->json, "uses", USES_MAX, &uses, &e) < 0) {
		request_error(q, &e);
		return RESULT_NOW;
	}
	expires = wall_us() + (uint64_t)hours * 3600 * 1000000;
	moment_text(expires, MOMENT_SECONDS, text);
	t = txn_begin(s);
	if (token_make(t, o->uuid, ca_fingerprint(q->rest->c->ca), expires, uses, token, &e) < 0) {
		txn_abort(t);
	} else {
		json_t *d = json_pack("{s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s}}",
				      "config_action_details", "action_name", "token",
				      "resource_type", o->kind->msg->name, "resource_name", o->name,
				      "user", q->user->name, "client_ip", q->client, "path",
				      q->path, "status", "SYSERR_SUCCESS");

		txn_event(t,
			  audit_event("CONFIG_ACTION", "CONFIG", "serviceenginegroup", o->uuid,
				      o->name, o->tenant, d,
				      "Enrolment token for %s made by %s: %lld uses, %lld hours.",
				      o->name, q->user->name, (long long)uses, (long long)hours));
		txn_commit(t, NULL, &e);
	}
	if (e.code)
		request_error(q, &e);
	else
		request_json(q, 200,
			     json_pack("{s:s, s:s, s:I}", "token", token, "expires_at", text,
				       "uses", uses));
	return RESULT_NOW;
}
