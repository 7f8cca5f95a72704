/*
 * objects - what the warden has put, each decoded as it comes: a commit finds it ready.
 *
 * What is built of objects remembers which ones, also those that are not here (yet); then to ask whether it must be built anew
 * is to look at them.
 */
#ifndef SPANWIRE_ENGINE_CONFIG_OBJECTS_H
#define SPANWIRE_ENGINE_CONFIG_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "base/list.h"
#include "base/table.h"
#include "engine/part.h"
#include "model/model.h"

struct object {
	struct table_link link;
	struct list news;             /* of objects->changed; alone: nothing happened to it */
	unsigned refs;                /* of those that remember it, and one while it is here or has news */
	const struct kind_desc *kind;
	struct part *part;            /* NULL: it is not here */
	char uuid[];
};

struct objects {
	struct table table;
	struct list changed;          /* put or deleted since objects_settle(), in this order */
};

void objects_init(struct objects *o);
/* Nobody remembers any of them. */
void objects_fini(struct objects *o);

/* Of kinds that the model does not know nothing is kept. */
void objects_put(struct objects *o, const char *kind, const char *uuid, const json_t *value);
void objects_delete(struct objects *o, const char *kind, const char *uuid);
/* From now on nothing has changed. */
void objects_settle(struct objects *o);

/* NULL: it is not here, and nobody remembers it. Borrowed. */
struct object *objects_find(const struct objects *o, const char *kind, const char *uuid);
/* The object, here or not; the caller's reference. NULL: no UUID (NULL or empty), or no such kind. */
struct object *object_of(struct objects *o, const char *kind, const char *uuid);
struct object *object_get(struct object *one);
/* ONE may be NULL. */
void object_put(struct objects *o, struct object *one);

/* Since objects_settle(). ONE may be NULL. */
static inline bool object_changed(const struct object *one)
{
	return one && !list_empty(&one->news);
}

/* Borrowed until it changes; NULL: it is not here. */
static inline const void *object_is(const struct object *one)
{
	return one && one->part ? one->part->object : NULL;
}

/* Those that something is made of. All zero: nothing yet. */
struct needs {
	size_t n, room;
	struct object **at;
};

/* One more: what NEEDS is made of. The object, here or not; NULL as object_of(). Borrowed for as long as NEEDS has it. */
struct object *needs_add(struct needs *needs, struct objects *o, const char *kind, const char *uuid);
bool needs_changed(const struct needs *needs);
/* Made of nothing; what it has taken of memory it keeps for the next time. */
void needs_clear(struct needs *needs, struct objects *o);
void needs_fini(struct needs *needs, struct objects *o);

#endif
