/*
 * disk - what the store keeps in its folder: one SQLite file, written in transactions.
 *
 * It knows rows, not rules: the store (store.c) holds every object in memory, decides what is
 * legal, and hands over what a transaction changed. Another back end (etcd) would have this same
 * face.
 *
 *	DIR/store.db       objects, events, values; with -wal beside it
 *	DIR/store.lock     held while a controller uses the folder
 *
 * After a failed write or sync nothing more is written: what the kernel then holds is not known
 * to be on the disk.
 */
#ifndef SPANWIRE_CONTROLLER_STORE_DISK_H
#define SPANWIRE_CONTROLLER_STORE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Of the folder's contents. A release reads what older ones wrote, never what newer ones did. */
#define DISK_FORMAT 3 /* 2: secrets are sealed; 3: no log of changes */

/* So many events are remembered. */
#define DISK_EVENTS_KEPT 100000

struct disk;

struct disk_state {
	char epoch[33];
	uint64_t revision;
	uint64_t last_us; /* newest stamp of an object or an event */
	uint64_t first_event; /* id of the oldest event that is kept: all before it were dropped */
	uint64_t next_event;
};

struct disk_row {
	const char *kind, *uuid, *tenant, *cloud, *name;
	const char *body; /* canonical JSON */
	uint64_t revision, created_revision, last_modified_us;
	bool system;
};

/* Open or create DIR, mode 0700, and lock it. Fills STATE. */
int disk_open(const char *dir, struct disk **out, struct disk_state *state, struct err *e);
void disk_close(struct disk *d);
/* Every object, in order of creation; stops and returns F's non-zero answer. */
int disk_load(struct disk *d, int (*f)(void *arg, const struct disk_row *r, struct err *e),
	      void *arg, struct err *e);

/*
 * A transaction: begin, any of the writes, then commit or roll back. The first write that fails
 * is remembered: the later ones do nothing and disk_commit() rolls back and reports it. SYNC:
 * what was committed survives power loss; without it only the death of the process, until the
 * next commit with it.
 */
void disk_begin(struct disk *d, bool sync);
void disk_create(struct disk *d, const struct disk_row *r);
void disk_update(struct disk *d, const struct disk_row *r);
void disk_delete(struct disk *d, const char *kind, const char *uuid);
void disk_set(struct disk *d, const char *space, const char *key,
	      const char *value); /* NULL deletes */
void disk_event(struct disk *d, uint64_t id, uint64_t us, const char *body);
/* STATE is what holds afterwards. */
int disk_commit(struct disk *d, const struct disk_state *state, struct err *e);

/* Nothing that was overwritten or deleted is left in the files. Not inside a transaction. */
int disk_sweep(struct disk *d, struct err *e);

/* Caller frees; NULL when there is none. */
char *disk_value(struct disk *d, const char *space, const char *key);
/* In order of keys. F must not call into the disk. */
int disk_values(struct disk *d, const char *space,
		int (*f)(void *arg, const char *key, const char *value), void *arg);
/* In order of spaces and keys. F must not call into the disk. */
int disk_all_values(struct disk *d,
		    int (*f)(void *arg, const char *space, const char *key, const char *value),
		    void *arg);
/* Newest first. F must not call into the disk. */
int disk_events(struct disk *d, uint64_t start_us, uint64_t end_us,
		int (*f)(void *arg, uint64_t id, uint64_t us, const char *body), void *arg);

#endif
