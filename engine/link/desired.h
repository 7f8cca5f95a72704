/*
 * desired - what the controller wants of this engine: objects, as of a commit.
 *
 * Changes are staged and become visible at once, by desired_commit(), which
 * tells the true differences. What is held is kept in a file: with its format
 * version, epoch, revision and digest. Secrets (private keys) are sealed there.
 */
#ifndef SPANWIRE_ENGINE_LINK_DESIRED_H
#define SPANWIRE_ENGINE_LINK_DESIRED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

#define DESIRED_FORMAT 2 /* 1: nothing was sealed */

struct seal;

struct desired {
	char epoch[64];     /* "": never heard of a controller */
	uint64_t revision;
	uint64_t digest;    /* net/digest.h, over all held */
	json_t *held;       /* "kind/uuid" -> {kind, uuid, revision, object, digest} */
	json_t *staged;     /* the same, or null: to be removed */
	bool replaces;      /* what is staged is everything: what is not there goes */
};

struct desired_diff {
	void (*put)(void *arg, const char *kind, const char *uuid, uint64_t revision,
		    const json_t *object);
	void (*removed)(void *arg, const char *kind, const char *uuid);
};

void desired_init(struct desired *d);
void desired_fini(struct desired *d);

/*
 * 0: loaded, -ENOENT: there is no such file. Otherwise an error with a sentence, and D is empty;
 * -EKEYREJECTED: what is sealed does not open with S.
 */
int desired_load(struct desired *d, const char *path, const struct seal *s, struct err *e);
/* Does the file hold anything sealed? Then it is of no use without its key. */
bool desired_is_sealed(const char *path);
/* Contents of the file. Caller frees. */
char *desired_text(const struct desired *d, const struct seal *s);

/* Forget what is staged; a new batch begins. REPLACES: it will be everything. */
void desired_begin(struct desired *d, bool replaces);
/* OBJECT is borrowed and kept by reference. */
void desired_put(struct desired *d, const char *kind, const char *uuid, uint64_t revision,
		 json_t *object);
void desired_remove(struct desired *d, const char *kind, const char *uuid);
/* The staged becomes the held; DIFF hears what differs. A new, empty batch begins. */
void desired_commit(struct desired *d, const char *epoch, uint64_t revision,
		    const struct desired_diff *diff, void *arg);

/*
 * {"kind/uuid": digest}: what an engine says it holds when it meets its controller again. New
 * reference.
 */
json_t *desired_digests(const struct desired *d);

/* NULL when it is not held. */
const json_t *desired_get(const struct desired *d, const char *kind, const char *uuid);

#endif
