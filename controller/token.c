#include "controller/token.h"

#include <errno.h>
#include <openssl/sha.h>

#include "base/base.h"

#define PREFIX "swt1."
enum { SECRET_BYTES = 16, SECRET_LEN = 2 * SECRET_BYTES, FINGERPRINT_LEN = 64 };

static void hash_secret(const char *secret, char key[static 65])
{
	unsigned char md[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)secret, SECRET_LEN, md);
	hex_encode(key, md, sizeof(md));
}

static bool is_hex(const char *s, size_t n)
{
	return strnlen(s, n) == n && strspn(s, "0123456789abcdef") >= n;
}

const char *token_fingerprint(const char *text)
{
	const char *p = text + strlen(PREFIX);

	if (strncmp(text, PREFIX, strlen(PREFIX)) != 0 || !is_hex(p, SECRET_LEN) ||
	    p[SECRET_LEN] != '.')
		return NULL;
	p += SECRET_LEN + 1;
	return is_hex(p, FINGERPRINT_LEN) && p[FINGERPRINT_LEN] == '\0' ? p : NULL;
}

int token_make(struct txn *t, const char *group, const char *ca_fingerprint, uint64_t expires_us,
	       int64_t uses, char *text, struct err *e)
{
	unsigned char raw[SECRET_BYTES];
	char secret[SECRET_LEN + 1], key[65];
	CLEANUP_JSON json_t *v = json_pack("{s:s, s:I, s:I}", "group", group, "expires_us",
					   (json_int_t)expires_us, "uses", (json_int_t)uses);
	CLEANUP_FREE char *value = json_text(v);

	random_bytes(raw, sizeof(raw));
	hex_encode(secret, raw, sizeof(raw));
	hash_secret(secret, key);
	snprintf(text, TOKEN_MAX, PREFIX "%s.%s", secret, ca_fingerprint);
	return txn_set(t, "token", key, value, e);
}

int token_spend(struct store *s, struct txn *t, const char *text, uint64_t now_us,
		struct token *out, struct err *e)
{
	char key[65];
	CLEANUP_FREE char *rest = NULL;
	CLEANUP_JSON json_t *v = NULL;

	memset(out, 0, sizeof(*out));
	if (!token_fingerprint(text))
		return err_set(e, -EACCES, "token", "This is not an enrolment token.");
	hash_secret(text + strlen(PREFIX), key);
	v = store_value_json(s, "token", key);
	if (!v)
		return err_set(e, -EACCES, "token", "The enrolment token is unknown or used up.");
	snprintf(out->group, sizeof(out->group), "%s", json_str(v, "group", ""));
	out->expires_us = (uint64_t)json_int(v, "expires_us", 0);
	out->uses = json_int(v, "uses", 0) - 1;
	if (out->expires_us <= now_us)
		return err_set(e, -EACCES, "token", "The enrolment token has expired.");
	if (out->uses > 0) {
		json_object_set_new(v, "uses", json_integer(out->uses));
		rest = json_text(v);
	}
	return txn_set(t, "token", key, rest, e);
}
