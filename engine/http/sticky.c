#include "engine/http/sticky.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/base.h"
#include "model/structs.h"

#define ID    12
#define PROOF 8

struct id {
	uint8_t id[ID];
	uint32_t key, place;
};

struct sticky {
	char name[STICKY_NAME];
	bool always, http_only, persistent;
	uint32_t minutes;          /* how long one holds; 0: for ever */
	size_t n_keys;
	uint8_t (*keys)[SHA256_DIGEST_LENGTH];
	size_t n_servers, n_ids;
	struct id *ids;            /* sorted */
	const uint8_t (*own)[ID];  /* of the first key, by place */
};

static void mac(const uint8_t key[static SHA256_DIGEST_LENGTH], const void *p, size_t n,
		uint8_t out[static SHA256_DIGEST_LENGTH])
{
	unsigned len = SHA256_DIGEST_LENGTH;

	must(HMAC(EVP_sha256(), key, SHA256_DIGEST_LENGTH, p, n, out, &len) != NULL);
}

static void add_key(struct sticky *s, const char *name, const char *aes, const char *hmac)
{
	const char *parts[] = { name ? name : "", aes ? aes : "", hmac ? hmac : "" };
	uint8_t *out = s->keys[s->n_keys];
	CLEANUP_FREE char *all = NULL;

	if (!*parts[1] && !*parts[2])
		return;
	all = xasprintf("%s%c%s%c%s", parts[0], 1, parts[1], 1, parts[2]);
	SHA256((const uint8_t *)all, strlen(all), out);
	OPENSSL_cleanse(all, strlen(all));
	s->n_keys++;
}

static int by_id(const void *a, const void *b)
{
	return memcmp(((const struct id *)a)->id, ((const struct id *)b)->id, ID);
}

static void name_it(struct sticky *s, const char *name)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	/* What no cookie can be called would end the line, or be taken for another one. */
	if (name && *name && strlen(name) < STICKY_NAME && strcspn(name, " \t\r\n;,=\"()<>@:/[]?{}\\") == strlen(name)) {
		snprintf(s->name, sizeof(s->name), "%s", name);
		return;
	}
	mac(s->keys[0], "name", 4, digest);
	snprintf(s->name, sizeof(s->name), "SW%02x%02x%02x%02x%02x", digest[0], digest[1], digest[2], digest[3],
		 digest[4]);
}

const struct sticky *sticky_new(struct arena *a, const struct http_cookie_persistence_profile *p, const char *pool_uuid,
				const char *const *names, size_t n)
{
	struct sticky *s = arena_get(a, sizeof(*s));
	uint8_t (*own)[ID];

	if (!p)
		return NULL;
	s->keys = arena_get(a, (p->key_n + 1) * sizeof(s->keys[0]));
	for (size_t i = 0; i < p->key_n; i++)
		add_key(s, p->key[i].name, p->key[i].aes_key, p->key[i].hmac_key);
	if (!s->n_keys)
		add_key(s, "", p->encryption_key, "");
	if (!s->n_keys)
		return NULL;
	s->always = p->always_send_cookie;
	s->http_only = p->http_only;
	s->persistent = p->is_persistent_cookie;
	s->minutes = (uint32_t)p->timeout;
	name_it(s, p->cookie_name);
	s->n_servers = n;
	s->ids = arena_get(a, (n * s->n_keys + 1) * sizeof(s->ids[0]));
	own = arena_get(a, (n + 1) * sizeof(own[0]));
	for (size_t k = 0; k < s->n_keys; k++)
		for (size_t i = 0; i < n; i++) {
			CLEANUP_FREE char *text = xasprintf("server/%s/%s", pool_uuid, names[i]);
			struct id *id = &s->ids[s->n_ids++];
			uint8_t digest[SHA256_DIGEST_LENGTH];

			mac(s->keys[k], text, strlen(text), digest);
			memcpy(id->id, digest, ID);
			id->key = (uint32_t)k;
			id->place = (uint32_t)i;
			if (k == 0)
				memcpy(own[i], digest, ID);
		}
	s->own = (const uint8_t (*)[ID])own;
	qsort(s->ids, s->n_ids, sizeof(s->ids[0]), by_id);
	return s;
}

const char *sticky_name(const struct sticky *s)
{
	return s->name;
}

bool sticky_is_always_sent(const struct sticky *s)
{
	return s->always;
}

static void proof_of(const struct sticky *s, size_t key, const uint8_t body[static ID + 4], uint8_t out[static PROOF])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	mac(s->keys[key], body, ID + 4, digest);
	memcpy(out, digest, PROOF);
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool unpack(const char *text, uint8_t out[static 24])
{
	for (size_t i = 0; i < STICKY_VALUE; i += 4) {
		uint32_t bits = 0;

		for (size_t j = 0; j < 4; j++) {
			const char *at = text[i + j] ? strchr(alphabet, text[i + j]) : NULL;

			if (!at)
				return false;
			bits = bits << 6 | (uint32_t)(at - alphabet);
		}
		out[i / 4 * 3] = (uint8_t)(bits >> 16);
		out[i / 4 * 3 + 1] = (uint8_t)(bits >> 8);
		out[i / 4 * 3 + 2] = (uint8_t)bits;
	}
	return true;
}

size_t sticky_find(const struct sticky *s, const char *value, size_t len, uint32_t minute)
{
	uint8_t raw[24], proof[PROOF];
	const struct id *id;
	struct id wanted;
	uint32_t made;

	if (len != STICKY_VALUE || !unpack(value, raw))
		return SIZE_MAX;
	memcpy(wanted.id, raw, ID);
	id = bsearch(&wanted, s->ids, s->n_ids, sizeof(s->ids[0]), by_id);
	if (!id)
		return SIZE_MAX;
	proof_of(s, id->key, raw, proof);
	if (CRYPTO_memcmp(proof, raw + ID + 4, PROOF) != 0)
		return SIZE_MAX;
	made = (uint32_t)raw[ID] << 24 | (uint32_t)raw[ID + 1] << 16 | (uint32_t)raw[ID + 2] << 8 | raw[ID + 3];
	/* Another engine's clock may be ahead of ours. */
	if (s->minutes && minute > made && minute - made > s->minutes)
		return SIZE_MAX;
	return id->place;
}

size_t sticky_value(const struct sticky *s, size_t place, uint32_t minute, char out[static STICKY_LINE])
{
	uint8_t raw[24];
	char value[STICKY_VALUE + 1] = "", age[32] = "";
	int n;

	must(place < s->n_servers);
	memcpy(raw, s->own[place], ID);
	for (int i = 0; i < 4; i++)
		raw[ID + i] = (uint8_t)(minute >> (24 - 8 * i));
	proof_of(s, 0, raw, raw + ID + 4);
	for (size_t i = 0; i < sizeof(raw); i += 3) {
		uint32_t bits = (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | raw[i + 2];

		for (size_t j = 0; j < 4; j++)
			value[i / 3 * 4 + j] = alphabet[bits >> (18 - 6 * j) & 63];
	}
	if (s->persistent && s->minutes)
		snprintf(age, sizeof(age), "; Max-Age=%u", s->minutes * 60);
	n = snprintf(out, STICKY_LINE, "%s=%s; Path=/%s%s", s->name, value, age, s->http_only ? "; HttpOnly" : "");
	must(n > 0 && n < STICKY_LINE);
	return (size_t)n;
}
