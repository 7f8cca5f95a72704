#include "controller/rest/user_token.h"

#include <openssl/hmac.h>

#include "base/base.h"
#include "base/moment.h"
#include "controller/rest/handlers.h"

enum { HOURS_MAX = 10 * 365 * 24 };

int user_token_init(struct rest *r, struct err *e)
{
	CLEANUP_FREE char *key = store_value(r->c->store, "secret", "user-token");
	char fresh[2 * sizeof(r->token_key) + 1];
	struct txn *t;
	int rc = 0;

	if (!key) {
		random_bytes(r->token_key, sizeof(r->token_key));
		hex_encode(fresh, r->token_key, sizeof(r->token_key));
		key = xstrdup(fresh);
		t = txn_begin(r->c->store);
		rc = txn_set(t, "secret", "user-token", key, e);
		if (rc < 0)
			txn_abort(t);
		else
			rc = txn_commit(t, NULL, e);
	}
	for (size_t i = 0; i < sizeof(r->token_key); i++) {
		char two[3] = { 0 };

		memcpy(two, key + 2 * i, strnlen(key + 2 * i, 2));
		r->token_key[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	return rc;
}

static void token_of(const struct rest *r, const char *uuid, char out[static 65])
{
	unsigned char mac[32];
	unsigned n = sizeof(mac);

	must(HMAC(EVP_sha256(), r->token_key, sizeof(r->token_key), (const unsigned char *)uuid,
		  strlen(uuid), mac, &n));
	hex_encode(out, mac, sizeof(mac));
}

struct lookup {
	struct rest *r;
	const char *user, *token;
	json_t *list;
};

/* What VALUE says of a token, if it is L's user's and has not expired; else NULL. New reference. */
static json_t *alive(const struct lookup *l, const char *value)
{
	CLEANUP_JSON json_t *v = NULL;

	if (json_read(value, strlen(value), &v, NULL) < 0 || strcmp(json_str(v, "user", ""), l->user) != 0 ||
	    json_int(v, "expires_us", 0) < (json_int_t)wall_us())
		return NULL;
	return json_incref(v);
}

static int fits(void *arg, const char *key, const char *value)
{
	const struct lookup *l = arg;
	CLEANUP_JSON json_t *v = alive(l, value);
	char token[65];

	if (!v)
		return 0;
	token_of(l->r, key, token);
	return secret_equal(token, l->token, 64);
}

bool user_token_fits(struct rest *r, const char *user, const char *token)
{
	struct lookup l = { .r = r, .user = user, .token = token };

	return strlen(token) == 64 && store_values(r->c->store, "user-token", fits, &l) == 1;
}

static json_t *token_json(struct rest *r, const char *uuid, const char *username, const json_t *v)
{
	char token[65], text[MOMENT_MAX];

	token_of(r, uuid, token);
	return json_pack("{s:s, s:s, s:s, s:s, s:I}", "uuid", uuid, "token", token, "username",
			 username, "expires_at",
			 moment_text((uint64_t)json_int(v, "expires_us", 0), MOMENT_SECONDS, text), "hours", json_int(v, "hours", 0));
}

static int add(void *arg, const char *key, const char *value)
{
	const struct lookup *l = arg;
	CLEANUP_JSON json_t *v = alive(l, value);

	if (v)
		json_array_append_new(l->list, token_json(l->r, key, l->token, v));
	return 0;
}

enum result user_token_list(struct request *q)
{
	struct lookup l = { q->rest, q->user->uuid, q->user->name, json_array() };

	store_values(q->rest->c->store, "user-token", add, &l);
	request_json(q, 200,
		     json_pack("{s:I, s:o}", "count", (json_int_t)json_array_size(l.list),
			       "results", l.list));
	return RESULT_NOW;
}

static void write_value(struct request *q, const char *uuid, const char *value, struct err *e)
{
	struct txn *t = txn_begin(q->rest->c->store);

	if (txn_set(t, "user-token", uuid, value, e) < 0)
		txn_abort(t);
	else
		txn_commit(t, NULL, e);
}

enum result user_token_make(struct request *q)
{
	struct err e = { 0 };
	/* "24" as text is how the SDK sends it. */
	json_t *h = json_object_get(q->json, "hours");
	json_int_t hours = json_is_string(h) ? strtoll(json_string_value(h), NULL, 10)
			   : h		     ? json_integer_value(h)
					     : 24;
	CLEANUP_JSON json_t *v = NULL;
	CLEANUP_FREE char *value = NULL;
	char id[37], uuid[64];

	if (q->json && !json_is_object(q->json)) {
		request_refuse(q, 400, "A token is asked for with a JSON object: {\"hours\": 24}.");
		return RESULT_NOW;
	}
	if (hours < 1 || hours > HOURS_MAX) {
		request_refuse(q, 400, "hours: a number from 1 to %d is wanted.", HOURS_MAX);
		return RESULT_NOW;
	}
	uuid4(id);
	snprintf(uuid, sizeof(uuid), "authtoken-%s", id);
	v = json_pack("{s:s, s:I, s:I}", "user", q->user->uuid, "hours", hours, "expires_us",
		      (json_int_t)wall_us() + hours * 3600 * 1000000);
	value = json_text(v);
	write_value(q, uuid, value, &e);
	if (e.code)
		request_error(q, &e);
	else
		request_json(q, 201, token_json(q->rest, uuid, q->user->name, v));
	return RESULT_NOW;
}

enum result user_token_delete(struct request *q)
{
	CLEANUP_JSON json_t *v = store_value_json(q->rest->c->store, "user-token", q->uuid);
	struct err e = { 0 };

	if (strcmp(json_str(v, "user", ""), q->user->uuid) != 0) {
		request_refuse(q, 404, "AuthToken object not found!");
		return RESULT_NOW;
	}
	write_value(q, q->uuid, NULL, &e);
	if (e.code)
		request_error(q, &e);
	else
		request_empty(q, 204);
	return RESULT_NOW;
}
