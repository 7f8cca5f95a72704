/*
 * password - argon2id records, and logins that cost microseconds.
 *
 * A record is the PHC string "$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH": about
 * 20 ms of work, on purpose; hash and verify run on the pool's threads.
 * Playbooks log in once a task with the same password, so a good verification
 * is remembered for some minutes: HMAC-SHA256 under a key that dies with the process, over user,
 * record and password. A new password is a new record, so the memory of the
 * old one cannot match any more.
 */
#ifndef SPANWIRE_CONTROLLER_REST_PASSWORD_H
#define SPANWIRE_CONTROLLER_REST_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PASSWORD_RECORD_MAX = 128,
	PASSWORD_MAX = 1024,
	PASSWORD_CACHE = 1024,
	PASSWORD_CACHE_MINUTES = 15 /* from the slow check on, however often it was of use */
};

/* Slow. RECORD takes PASSWORD_RECORD_MAX bytes. */
void password_hash(const char *password, char *record);
/* Slow. False also when RECORD is no record: then it takes as long as with one. */
bool password_verify(const char *record, const char *password);
bool password_is_record(const char *text);

struct password_cache {
	uint8_t key[32];
	struct {
		uint8_t mac[32];
		uint64_t until_ns; /* 0: empty */
	} slot[PASSWORD_CACHE]; /* by user */
};

void password_cache_init(struct password_cache *c);
/* Fast. True: this very triple was verified before. */
bool password_cached(const struct password_cache *c, const char *user, const char *record,
		     const char *password, uint64_t now_ns);
void password_remember(struct password_cache *c, const char *user, const char *record,
		       const char *password, uint64_t now_ns);

#endif
