/*
 * shelf - the objects in memory: where each is, and who refers to whom.
 *
 * An identity (kind, uuid) has a slot: the place where the object is, and the list of those who
 * refer to it. What is in a slot is a `held`: an object, never changed, with its references. A
 * write makes a new one and lets it enter where the old one left; whoever may want the old one
 * back keeps it. A slot lives as long as any `held` is made for it or refers to it.
 *
 * One thread (the store's).
 */
#ifndef SPANWIRE_CONTROLLER_STORE_SHELF_H
#define SPANWIRE_CONTROLLER_STORE_SHELF_H

#include "base/list.h"
#include "base/table.h"
#include "controller/store/store.h"

struct shelf {
	const struct kind_desc *kind;
	struct list slots; /* with an object in them, in order of creation */
	size_t n;
};

struct slot {
	struct table_link by_id;
	struct list in_shelf;
	struct shelf *shelf;
	struct held *held; /* NULL: referred to only, or deleted in this transaction */
	size_t pins;
	struct list referrers; /* struct ref, each from another object */
	size_t n_referrers;
	char uuid[];
};

struct ref {
	struct list in_target;
	struct held *from;
	struct slot *target;
};

struct held {
	struct object o;
	struct slot *slot;
	struct table_link by_name;
	struct ref *refs;
	size_t n_refs;
	char *name, *tenant, *cloud;
	json_t *body;
};

struct shelves {
	struct shelf *of; /* one per kind, in the order of model_kinds */
	struct table ids, names;
};

void shelves_init(struct shelves *s);
/* With all that is in them. */
void shelves_fini(struct shelves *s);

/* NULL: no such kind. */
struct shelf *shelf_of(struct shelves *s, const char *kind);
/* NULL: nobody is there, nor referred to. */
struct slot *slot_find(struct shelves *s, const char *kind, const char *uuid);
/* NULL: nothing of that name; TENANT, CLOUD (uuids) NULL: of any. */
struct held *held_find(struct shelves *s, const char *kind, const char *tenant, const char *cloud,
		       const char *name);

/* The name that an object would have; "" when the kind has none. Borrowed. */
const char *name_of(const json_t *body);
/* Takes a reference of its own to BODY. It is nowhere yet: see held_enter(). */
struct held *held_make(struct shelves *s, struct shelf *shelf, const char *uuid, const char *tenant,
		       const char *cloud, const json_t *body);
/* It has left, or never entered. */
void held_free(struct shelves *s, struct held *h);
/* Into its slot, found by name and by those it refers to. Its place in the shelf is the slot's matter. */
void held_enter(struct shelves *s, struct held *h);
void held_leave(struct shelves *s, struct held *h);

/* Into the order of its shelf, in front of BEFORE (the shelf's `slots`: at the end). */
void shelve(struct slot *slot, struct list *before);
void unshelve(struct slot *slot);

#endif
