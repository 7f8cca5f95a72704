/*
 * graph - which engine holds which objects, and why.
 *
 * An engine is told to hold a few roots (its assignments, itself); what these
 * refer to it holds as well, transitively. Each object is held as often as
 * something that is held refers to it. So a change of one object costs the
 * engines that hold it, times what it refers to, however large the world is.
 *
 * References are followed from kinds to later kinds of graph_kinds[] only, so
 * there can be no ring that holds itself.
 *
 * What an engine was sent is known by digest; graph_flush() tells the
 * difference between that and what it should hold.
 */
#ifndef SPANWIRE_CONTROLLER_LINK_GRAPH_H
#define SPANWIRE_CONTROLLER_LINK_GRAPH_H

#include "base/json.h"
#include "base/list.h"
#include "model/model.h"

struct graph;

extern const char *const graph_kinds[];
extern const size_t graph_n_kinds;

/* Where objects come from. */
struct graph_source {
	/* Borrowed until the next change; NULL: there is no such object. */
	const json_t *(*object)(struct graph_source *s, const char *kind, const char *uuid,
				const char **name, uint64_t *revision);
};

/* What one engine holds; a member of the engine. */
struct holder {
	struct list held, dirty;
	uint64_t digest;   /* of all that it was sent and not told to delete */
	size_t n;
};

struct graph *graph_new(struct graph_source *source);
/* No holder holds anything any more. */
void graph_free(struct graph *g);

void holder_init(struct holder *h);
/* Gives up all roots and all that hangs on them. */
void holder_fini(struct graph *g, struct holder *h);

/* A root; holds are counted, and each needs its release. */
void graph_hold(struct graph *g, struct holder *h, const char *kind, const char *uuid);
void graph_release(struct graph *g, struct holder *h, const char *kind, const char *uuid);

/*
 * The source's object was made, changed or deleted. Calls F (may be NULL) for each holder that
 * has to be flushed.
 */
void graph_changed(struct graph *g, const char *kind, const char *uuid,
		   void (*f)(void *arg, struct holder *h), void *arg);

/*
 * H was met again and says what it holds: {"kind/uuid": digest}; NULL: nothing. What it should
 * not hold goes to REMOVE, what it lacks becomes dirty.
 */
void graph_met(struct graph *g, struct holder *h, const json_t *digests,
	       void (*remove)(void *arg, const char *kind, const char *uuid), void *arg);

struct graph_sink {
	void (*put)(void *arg, const char *kind, const char *uuid, const char *name,
		    uint64_t revision, const json_t *object);
	void (*remove)(void *arg, const char *kind, const char *uuid);
};
static inline bool holder_is_dirty(const struct holder *h)
{
	return !list_empty(&h->dirty);
}
/* All differences go to SINK; they count as sent. How many there were. */
size_t graph_flush(struct graph *g, struct holder *h, const struct graph_sink *sink, void *arg);

/* Holds H the object, or was it told to hold it and not yet to drop it? */
bool holder_has(struct graph *g, const struct holder *h, const char *kind, const char *uuid);
/* The uuids of one kind that H holds. */
void graph_each(const struct holder *h, const char *kind, void (*f)(void *arg, const char *uuid),
		void *arg);

#endif
