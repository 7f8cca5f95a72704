#include "controller/profile.h"

#include "base/base.h"
#include "controller/resolve.h"
#include "model/structs.h"

#define SPACE "password" /* user uuid: {"set_us", "history": [records, newest first]} */
#define TOKENS "user-token" /* of a token: {"user", ...} (controller/rest/user_token.c) */

enum { HISTORY_MAX = 64 };

void profile_of(struct store *s, const struct object *user, struct profile *out)
{
	const char *ref = user ? ref_target(json_str(user->body, "user_profile_ref", NULL)) : "";
	const struct object *o = *ref ? store_get(s, "useraccountprofile", ref)
				      : store_find(s, "useraccountprofile", NULL, NULL,
						   "Default-User-Account-Profile");
	const struct user_account_profile *p;
	struct arena a = ARENA_INIT;

	*out = (struct profile){ 0 };
	if (!o)
		return;
	p = model_load(&user_account_profile_message, o->body, &a);
	out->failures = (uint64_t)p->max_login_failure_count;
	out->lock_ns = (uint64_t)p->account_lock_timeout * 60 * NS_PER_S;
	out->window_ns = (uint64_t)p->login_failure_count_expiry_window * 60 * NS_PER_S;
	out->sessions = (uint64_t)p->max_concurrent_sessions;
	out->age_us = (uint64_t)p->credentials_timeout_threshold * 24 * 3600 * 1000000;
	out->history = (size_t)MIN(p->max_password_history_count, HISTORY_MAX);
	arena_fini(&a);
}

struct tokens {
	const char *user;
	json_t *keys;
};

static int note_token(void *arg, const char *key, const char *value)
{
	struct tokens *t = arg;
	CLEANUP_JSON json_t *v = NULL;

	if (json_read(value, strlen(value), &v, NULL) == 0 && strcmp(json_str(v, "user", ""), t->user) == 0)
		json_array_append_new(t->keys, json_string(key));
	return 0;
}

static int end_tokens(struct store *s, struct txn *t, const char *uuid, struct err *e)
{
	CLEANUP_JSON json_t *keys = json_array();
	struct tokens tokens = { uuid, keys };
	int rc = 0;

	store_values(s, TOKENS, note_token, &tokens);
	for (size_t i = 0; rc == 0 && i < json_array_size(keys); i++)
		rc = txn_set(t, TOKENS, json_string_value(json_array_get(keys, i)), NULL, e);
	return rc;
}

int password_replaced(struct store *s, struct txn *t, const char *uuid, const char *old,
		      uint64_t now_us, struct err *e)
{
	CLEANUP_JSON json_t *was = store_value_json(s, SPACE, uuid),
			    *v = json_pack("{s:I}", "set_us", (json_int_t)now_us);
	CLEANUP_FREE char *text = NULL;
	json_t *history = json_array();
	int rc = end_tokens(s, t, uuid, e);

	if (old)
		json_array_append_new(history, json_string(old));
	json_array_extend(history, json_object_get(was, "history"));
	while (json_array_size(history) > HISTORY_MAX)
		json_array_remove(history, HISTORY_MAX);
	json_object_set_new(v, "history", history);
	text = json_text(v);
	return rc < 0 ? rc : txn_set(t, SPACE, uuid, text, e);
}

int password_forgotten(struct store *s, struct txn *t, const char *uuid, struct err *e)
{
	int rc = txn_set(t, SPACE, uuid, NULL, e);

	return rc < 0 ? rc : end_tokens(s, t, uuid, e);
}

uint64_t password_set_us(struct store *s, const char *uuid)
{
	CLEANUP_JSON json_t *v = store_value_json(s, SPACE, uuid);

	return (uint64_t)json_int(v, "set_us", 0);
}

json_t *password_history(struct store *s, const struct object *user, size_t n)
{
	CLEANUP_JSON json_t *v = store_value_json(s, SPACE, user->uuid);
	json_t *out = json_array();

	if (json_object_get(user->body, "password"))
		json_array_append(out, json_object_get(user->body, "password"));
	json_array_extend(out, json_object_get(v, "history"));
	while (json_array_size(out) > n)
		json_array_remove(out, json_array_size(out) - 1);
	return out;
}
