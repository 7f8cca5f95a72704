/*
 * token - the one-time key by which an engine joins.
 *
 * Text: "swt1.SECRET.FINGERPRINT": 32 hex digits of secret and the SHA-256 of
 * the CA certificate, so that an engine knows whom it joins before it says a
 * word. The store holds only the hash of the secret, in the space "token",
 * with the service engine group, the deadline and the uses that are left.
 *
 * Spending is part of the transaction that creates the engine: a crash in
 * between neither loses a use nor gives one away.
 */
#ifndef SPANWIRE_CONTROLLER_TOKEN_H
#define SPANWIRE_CONTROLLER_TOKEN_H

#include <stdint.h>

#include "base/err.h"
#include "controller/store/store.h"

#define TOKEN_MAX 128

struct token {
	char group[128]; /* uuid of the serviceenginegroup that the engine joins */
	uint64_t expires_us; /* wall clock */
	int64_t uses; /* left, after this one */
};

/* Make a token for a group; TEXT takes TOKEN_MAX bytes. */
int token_make(struct txn *t, const char *group, const char *ca_fingerprint, uint64_t expires_us,
	       int64_t uses, char *text, struct err *e);
/*
 * Use it once. -EACCES: it is malformed, unknown, used up or too old, in a sentence that does not
 * tell which of unknown and used up. S must be the store of T; nothing is written before T is
 * committed.
 */
int token_spend(struct store *s, struct txn *t, const char *text, uint64_t now_us,
		struct token *out, struct err *e);

/* For the engine's side and tests: the fingerprint in a token, NULL when it is malformed. */
const char *token_fingerprint(const char *text);

#endif
