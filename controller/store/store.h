/*
 * store - the configuration: objects, revisions, references, events, in transactions.
 *
 * Promised: what store_commit() acknowledged survives kill -9 and power loss;
 * what it did not acknowledge is there whole or not at all. Every commit has a
 * revision number, one larger than the last; a revision is (epoch, number), and
 * the epoch changes when a store is restored from elsewhere, so that nobody
 * mistakes a restored past for the present.
 *
 * One thread (the core's) owns a store. Objects are stored forms (model.h);
 * what a get returns is borrowed and immutable: copy before changing. The
 * audit event of a change is part of the same transaction.
 *
 * Back ends implement struct store_ops; the test suite runs against each.
 */
#ifndef SPANWIRE_CONTROLLER_STORE_STORE_H
#define SPANWIRE_CONTROLLER_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "model/model.h"

struct store;
struct txn;

struct object {
	const struct kind_desc *kind;
	const char *uuid;
	const char *name;
	const char *tenant;          /* uuid of the tenant; "" when the kind has none */
	const char *cloud;           /* uuid of the cloud; "" when the kind has none */
	const json_t *body;          /* stored form */
	uint64_t revision;           /* of its last change */
	uint64_t created_revision;
	uint64_t last_modified_us;   /* strictly larger with every write */
	bool system;                 /* came with the controller: cannot be deleted */
};

/* Open or create. A folder that belongs to a newer format is refused with a sentence. */
int store_open(const char *dir, struct store **out, struct err *e);
void store_close(struct store *s);

/* Random, made when the store was made or restored; 32 hex digits. */
const char *store_epoch(const struct store *s);
uint64_t store_revision(const struct store *s);

/* NULL when there is none. Borrowed until the next commit. */
const struct object *store_get(struct store *s, const char *kind, const char *uuid);
/* By name in a tenant (uuid, NULL: any) and a cloud (uuid, NULL: any). */
const struct object *store_find(struct store *s, const char *kind, const char *tenant, const char *cloud,
				const char *name);
/* In order of creation. Stops and returns F's non-zero answer. */
int store_each(struct store *s, const char *kind, int (*f)(void *arg, const struct object *o), void *arg);
size_t store_count(struct store *s, const char *kind);
/* Objects that refer to this one. */
int store_referrers(struct store *s, const char *kind, const char *uuid,
		    int (*f)(void *arg, const struct object *o), void *arg);

/*
 * One transaction at a time. Reads inside it (txn_get ...) see its own writes. Constraint errors come from txn_put
 * and txn_delete at once, with the sentence that clients match.
 */
struct txn *txn_begin(struct store *s);
/* -EEXIST: (kind, tenant, cloud, name) or uuid is taken: "... already exists". Takes a reference of its own to BODY. */
int txn_create(struct txn *t, const struct kind_desc *k, const char *uuid, const char *tenant, const char *cloud,
	       const json_t *body, bool system, struct err *e);
/* EXPECT_US: 0, or the _last_modified that the caller has seen; another one is stored: -ESTALE. */
int txn_update(struct txn *t, const struct kind_desc *k, const char *uuid, const json_t *body, uint64_t expect_us,
	       struct err *e);
/* -ENOENT; -EBUSY when referred to, naming by whom; -EPERM for system objects ("Cannot delete system default object"). */
int txn_delete(struct txn *t, const struct kind_desc *k, const char *uuid, struct err *e);
const struct object *txn_get(struct txn *t, const char *kind, const char *uuid);
/* Part of the transaction; stamped at commit. EVENT is taken. */
void txn_event(struct txn *t, json_t *event);
/* Durable when it returns 0; *REVISION (may be NULL) is its number. Ends the transaction in any case. */
int txn_commit(struct txn *t, uint64_t *revision, struct err *e);
void txn_abort(struct txn *t);

/* Small values outside the model: sessions, tokens, the CA. Same durability. NULL VALUE deletes. */
int txn_set(struct txn *t, const char *space, const char *key, const char *value, struct err *e);
/* Caller frees; NULL when there is none. */
char *store_value(struct store *s, const char *space, const char *key);

/* What changed, in order, after revision FROM. -ESPIPE when the log does not reach back that far: read everything. */
struct store_change {
	uint64_t revision;
	const struct kind_desc *kind;
	const char *uuid;
	bool deleted;
};
int store_changes(struct store *s, uint64_t from, int (*f)(void *arg, const struct store_change *c), void *arg);

/* Called on the core's thread after each commit that changed objects, before txn_commit() returns. */
struct store_watch {
	void (*committed)(struct store_watch *w, uint64_t revision, const struct store_change *changes, size_t n);
	struct store_watch *next;
};
void store_watch(struct store *s, struct store_watch *w);
void store_unwatch(struct store *s, struct store_watch *w);

/*
 * Events: newest first. F gets (id, microseconds, event). Bounded by count; what was dropped is counted and shown in
 * the answer. An event outside a transaction is written by store_event() (runtime: SE_UP, SERVER_DOWN ...).
 */
int store_event(struct store *s, json_t *event, struct err *e); /* takes event */
int store_events(struct store *s, uint64_t start_us, uint64_t end_us,
		 int (*f)(void *arg, uint64_t id, uint64_t us, const json_t *event), void *arg);

#endif
