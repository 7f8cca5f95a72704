/*
 * archive - the configuration as a file: JSON, its secrets sealed with a passphrase.
 *
 *	{"META": {"format": 1, "version": ..., "scope": "full_system", ...}, "Tenant": [...], "Pool": [...], ...}
 *
 * Objects stand in their stored form under the name of their kind, in the order in which they were made. Secrets are sealed with
 * AES-256-GCM under a key that argon2id makes of the passphrase, each bound to its object and field; without a passphrase they are
 * left out. The whole carries a digest, keyed where there is a passphrase. The key-encryption key of a controller is never in it,
 * nor are enrolment tokens.
 *
 *   full_system  everything that a fresh controller needs to be this one: all objects, what parts keep in the store, the CA
 *   tenant       the objects of one tenant, with names beside the references, for another tenant or controller
 *
 * Taking a snapshot is quick and for the core; making the text of it and reading one are slow, and for the pool.
 */
#ifndef SPANWIRE_CONTROLLER_BACKUP_ARCHIVE_H
#define SPANWIRE_CONTROLLER_BACKUP_ARCHIVE_H

#include "controller/access.h"
#include "controller/store/store.h"

enum { ARCHIVE_FORMAT = 1, ARCHIVE_PASSPHRASE_MAX = 1024, ARCHIVE_BYTES_MAX = 256 * 1024 * 1024 };

struct snapshot;

/* Everything. DIR: where the CA's files are. */
int snapshot_full(struct store *s, const char *dir, struct snapshot **out, struct err *e);
/* What V sees and may read of its tenant's own objects; without a user, all of them. */
struct snapshot *snapshot_tenant(struct store *s, struct viewer *v);
void snapshot_free(struct snapshot *n);
/* The file's text. PASSPHRASE NULL: without secrets. Caller frees; never fails. */
char *archive_make(const struct snapshot *n, const char *passphrase);

struct archive {
	json_t *root;
	bool full, sealed; /* sealed: it holds secrets */
	struct seal *seal; /* to open them; NULL: there are none */
};

/*
 * Reads TEXT. Refused with a sentence each: damaged or cut off, no such file, of a newer release, a wrong passphrase, none where one
 * is needed. Secrets are still sealed.
 */
int archive_open(const char *text, size_t len, const char *passphrase, struct archive *out, struct err *e);
void archive_close(struct archive *a);

/*
 * Calls F for each object with its kind and its body, secrets opened, checked by the model; a body without secrets has
 * "<sensitive>" in their place. Stops and returns F's non-zero answer, or an errno with a sentence of its own.
 */
int archive_objects(const struct archive *a,
		    int (*f)(void *arg, const struct kind_desc *k, json_t *body, bool system, struct err *e), void *arg,
		    struct err *e);
/*
 * For the fuzzer, which cannot make digests: a wrong one passes, and a key costs little.
 */
extern bool archive_test;

/* What parts keep in the store. */
int archive_values(const struct archive *a,
		   int (*f)(void *arg, const char *space, const char *key, const char *value, struct err *e), void *arg,
		   struct err *e);
/* A file of the CA: "ca.key", "ca.pem". Caller frees; NULL: it is not there, or does not open. */
char *archive_file(const struct archive *a, const char *name);

#endif
