/*
 * seal - secrets on a disk, readable only with a key that lies elsewhere.
 *
 * AES-256-GCM with a random nonce. What a secret belongs to (kind, uuid, field) is bound to it as
 * associated data, so that a sealed text that is moved to another object does not open there.
 *
 * The key-encryption key is 64 hexadecimal digits in a file of its own: the credential
 * "spanwire-kek" of the systemd unit when there is one ($CREDENTIALS_DIRECTORY), else DIR/kek, mode
 * 0600. No backup and no export holds it.
 */
#ifndef SPANWIRE_NET_SEAL_H
#define SPANWIRE_NET_SEAL_H

#include <stdbool.h>

#include "base/err.h"

struct seal;

/*
 * MAKE: a key that is not there is made in DIR; without it (something is sealed already) it must be
 * there. Refused with one sentence: -ENOENT, -EPERM (open to others), -EINVAL (no key).
 */
int seal_open(const char *dir, bool make, struct seal **out, struct err *e);
/* With a key of 32 bytes that comes from elsewhere (a passphrase). Never fails. */
struct seal *seal_with(const unsigned char key[static 32]);
/* NULL is legal. */
void seal_free(struct seal *s);
/* Where the key is, for sentences; NULL: in no file. */
const char *seal_path(const struct seal *s);

/* Does it look like what seal_put() makes? */
bool seal_is(const char *text);
/* "sealed:1:BASE64". Caller frees. */
char *seal_put(const struct seal *s, const char *bound_to, const char *text);
/* The text of a sealed one; NULL when it does not open: other key, other owner, damaged. Caller frees. */
char *seal_take(const struct seal *s, const char *bound_to, const char *sealed);

#endif
