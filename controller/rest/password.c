#include "controller/rest/password.h"

#include <argon2.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/base.h"

/* OWASP's second choice for argon2id. */
enum { ARGON_PASSES = 2, ARGON_KIB = 19456, ARGON_LANES = 1, ARGON_SALT = 16, ARGON_HASH = 32 };

#define RECORD_PREFIX "$argon2id$"

void password_hash(const char *password, char *record)
{
	uint8_t salt[ARGON_SALT];

	random_bytes(salt, sizeof(salt));
	must(argon2id_hash_encoded(ARGON_PASSES, ARGON_KIB, ARGON_LANES, password, strlen(password),
				   salt, sizeof(salt), ARGON_HASH, record,
				   PASSWORD_RECORD_MAX) == ARGON2_OK);
}

bool password_is_record(const char *text)
{
	return strncmp(text, RECORD_PREFIX, strlen(RECORD_PREFIX)) == 0 &&
	       strlen(text) < PASSWORD_RECORD_MAX;
}

bool password_verify(const char *record, const char *password)
{
	char burnt[PASSWORD_RECORD_MAX];

	if (password_is_record(record))
		return argon2id_verify(record, password, strlen(password)) == ARGON2_OK;
	/* Who asks for a user that does not exist shall not learn it from the clock. */
	password_hash(password, burnt);
	return false;
}

void password_cache_init(struct password_cache *c)
{
	memset(c, 0, sizeof(*c));
	random_bytes(c->key, sizeof(c->key));
}

/* The NULs between the parts keep them apart; none of them can hold one. */
static void mac_of(const struct password_cache *c, const char *user, const char *record,
		   const char *password, uint8_t mac[static 32])
{
	CLEANUP_FREE char *text = NULL;
	size_t nu = strlen(user) + 1, nr = strlen(record) + 1, np = strlen(password);
	unsigned n = 32;

	text = xmalloc(nu + nr + np);
	memcpy(text, user, nu);
	memcpy(text + nu, record, nr);
	memcpy(text + nu + nr, password, np);
	must(HMAC(EVP_sha256(), c->key, sizeof(c->key), (unsigned char *)text, nu + nr + np, mac,
		  &n));
	explicit_bzero(text, nu + nr + np);
}

static size_t slot_of(const char *user)
{
	uint32_t h = 2166136261u;

	for (; *user; user++)
		h = (h ^ (unsigned char)*user) * 16777619u;
	return h % PASSWORD_CACHE;
}

bool password_cached(const struct password_cache *c, const char *user, const char *record,
		     const char *password, uint64_t now_ns)
{
	size_t i = slot_of(user);
	uint8_t mac[32];

	if (c->slot[i].until_ns <= now_ns)
		return false;
	mac_of(c, user, record, password, mac);
	return secret_equal(mac, c->slot[i].mac, sizeof(mac));
}

void password_remember(struct password_cache *c, const char *user, const char *record,
		       const char *password, uint64_t now_ns)
{
	size_t i = slot_of(user);

	mac_of(c, user, record, password, c->slot[i].mac);
	c->slot[i].until_ns = now_ns + PASSWORD_CACHE_MINUTES * 60 * NS_PER_S;
}
