/*
 * store - the configuration: objects, revisions, references, events, in transactions.
 *
 * Promised: what store_commit() acknowledged survives kill -9 and power loss;
 * what it did not acknowledge is there whole or not at all. Every commit that
 * changes objects has a revision number, one larger than the last; a revision is
 * (epoch, number), and the epoch changes when a store is restored from elsewhere,
 * so that nobody mistakes a restored past for the present.
 *
 * One thread (the core's) owns a store. Objects are stored forms (model.h);
 * what a get returns is borrowed and immutable: copy before changing. The
 * audit event of a change is part of the same transaction.
 *
 * All objects are in memory: a question about objects never reads the disk and
 * never scans. The back end (disk.h) only keeps what transactions wrote.
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
	const char *tenant; /* uuid of the tenant; "" when the kind has none */
	const char *cloud; /* uuid of the cloud; "" when the kind has none */
	const json_t *body; /* stored form */
	uint64_t revision; /* of its last change */
	uint64_t created_revision;
	uint64_t last_modified_us; /* strictly larger with every write */
	bool system; /* came with the controller: cannot be deleted */
};

/*
 * Open or create. Refused with a sentence: a folder that another controller uses (-EBUSY), one of
 * a newer format (-EPROTONOSUPPORT), a damaged file (-EUCLEAN), a folder that is open to others
 * and holds other things (-EPERM).
 */
int store_open(const char *dir, struct store **out, struct err *e);
void store_close(struct store *s);

/* Random, made when the store was made or restored; 32 hex digits. */
const char *store_epoch(const struct store *s);
uint64_t store_revision(const struct store *s);
/*
 * This store was restored, or has found out that it was: nobody may take its revisions for those
 * of before.
 */
int store_new_epoch(struct store *s, struct err *e);

/* NULL when there is none. Borrowed until the next commit. */
const struct object *store_get(struct store *s, const char *kind, const char *uuid);
/* By name in a tenant (uuid, NULL: any) and a cloud (uuid, NULL: any). */
const struct object *store_find(struct store *s, const char *kind, const char *tenant,
				const char *cloud, const char *name);
/* In order of creation. Stops and returns F's non-zero answer. F must not write. */
int store_each(struct store *s, const char *kind, int (*f)(void *arg, const struct object *o),
	       void *arg);
size_t store_count(struct store *s, const char *kind);
/*
 * Objects that refer to this one, each once; those in a tenant or cloud refer to it. F must not
 * write.
 */
int store_referrers(struct store *s, const char *kind, const char *uuid,
		    int (*f)(void *arg, const struct object *o), void *arg);

/*
 * One transaction at a time, begun and ended in one turn of the loop: reads (store_get,
 * store_find, store_each, store_referrers, txn_get, store_value) see what it wrote so far.
 * Constraint errors come at once, with the sentence that clients match; that every reference
 * leads to an object is checked at commit (-ENOENT with the path), so the order inside a
 * transaction is free. After an error the transaction goes on as if the failed call had not been
 * made.
 */
struct txn *txn_begin(struct store *s);
/*
 * -EEXIST: (kind, tenant, cloud, name) or uuid is taken: "... already exists". Takes a reference
 * of its own to BODY.
 */
int txn_create(struct txn *t, const struct kind_desc *k, const char *uuid, const char *tenant,
	       const char *cloud, const json_t *body, bool system, struct err *e);
/* EXPECT_US: 0, or the _last_modified that the caller has seen; another one is stored: -ESTALE. */
int txn_update(struct txn *t, const struct kind_desc *k, const char *uuid, const json_t *body,
	       uint64_t expect_us, struct err *e);
/*
 * -ENOENT; -EBUSY when referred to, naming by whom; -EPERM for system objects ("Cannot delete
 * system default object").
 */
int txn_delete(struct txn *t, const struct kind_desc *k, const char *uuid, struct err *e);
const struct object *txn_get(struct txn *t, const char *kind, const char *uuid);
/* Part of the transaction; stamped at commit. EVENT is taken. */
void txn_event(struct txn *t, json_t *event);
/*
 * Durable when it returns 0; *REVISION (may be NULL) is the store's revision then. Ends the
 * transaction in any case: when it fails nothing has changed. -ENOSPC may be tried again; after
 * -EIO the store refuses all writes until it is opened anew.
 */
int txn_commit(struct txn *t, uint64_t *revision, struct err *e);
/*
 * The same, but for one thing: until store_sync(), or the next txn_commit(), it survives only the
 * death of the process. For those who have more to commit before they tell anybody: several
 * requests share one sync. Nobody outside may learn of it before.
 */
int txn_commit_soon(struct txn *t, uint64_t *revision, struct err *e);
/* Everything is durable when it returns 0. Not inside a transaction. */
int store_sync(struct store *s, struct err *e);
bool store_is_synced(const struct store *s);
void txn_abort(struct txn *t);

/* Small values outside the model: sessions, tokens, the CA. Same durability. NULL VALUE deletes. */
int txn_set(struct txn *t, const char *space, const char *key, const char *value, struct err *e);
/* Caller frees; NULL when there is none. */
char *store_value(struct store *s, const char *space, const char *key);
/* The same, read as JSON; NULL also when it is none. New reference. */
json_t *store_value_json(struct store *s, const char *space, const char *key);
/*
 * All of a space as last committed, in order of keys. Stops and returns F's non-zero answer. F
 * must not ask for values.
 */
int store_values(struct store *s, const char *space,
		 int (*f)(void *arg, const char *key, const char *value), void *arg);

/* Of all spaces: what a backup holds besides the objects. */
int store_all_values(struct store *s,
		     int (*f)(void *arg, const char *space, const char *key, const char *value),
		     void *arg);

/* What a commit did to an object. */
struct store_change {
	uint64_t revision;
	const struct kind_desc *kind;
	const char *uuid;
	bool deleted;
};

/*
 * Called on the core's thread after each commit that changed objects, before txn_commit()
 * returns. Each object is in CHANGES once. The store already shows the new state; COMMITTED must
 * not write.
 */
struct store_watch {
	void (*committed)(struct store_watch *w, uint64_t revision,
			  const struct store_change *changes, size_t n);
	struct store_watch *next;
};
void store_watch(struct store *s, struct store_watch *w);
void store_unwatch(struct store *s, struct store_watch *w);

/*
 * Events: newest first. F gets (id, microseconds, event); ids count from 1 without gaps,
 * microseconds rise strictly. Bounded: the last 100,000 are kept, what was dropped is counted. An
 * event outside a transaction is written by store_event() (runtime: SE_UP, SERVER_DOWN ...): it
 * survives kill -9 at once, power loss from the next commit on.
 */
int store_event(struct store *s, json_t *event, struct err *e); /* takes event */
int store_events(struct store *s, uint64_t start_us, uint64_t end_us,
		 int (*f)(void *arg, uint64_t id, uint64_t us, const json_t *event), void *arg);
uint64_t store_events_dropped(const struct store *s);

#endif
