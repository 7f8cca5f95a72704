/*
 * part - an object of the configuration, decoded once and shared by all that is built of it.
 *
 * Who holds a reference may read it for as long, from any thread; nobody writes it. The last to let go frees it.
 */
#ifndef SPANWIRE_ENGINE_PART_H
#define SPANWIRE_ENGINE_PART_H

#include "base/arena.h"

/* Objects are small and many: a page that nobody touched costs nothing, and each that is touched a microsecond. */
enum { PART_GRAIN = 1024 };

struct part {
	_Atomic(unsigned) refs;
	struct arena arena;
	const void *object; /* as model_load() made it (model/structs.h), in the arena */
};

/* An empty one, for its maker to load; his reference. */
struct part *part_new(void);
struct part *part_get(struct part *p);
/* P may be NULL. */
void part_put(struct part *p);

/* References that somebody holds. All zero: none. */
struct parts {
	struct part_held *newest;
};

/* What is in P (NULL: NULL), which lives at least as long as PARTS; the reference is noted in A. */
const void *parts_use(struct parts *parts, struct part *p, struct arena *a);
/* None is held any more; before A goes. */
void parts_put(struct parts *parts);

#endif
