/*
 * slab - many things of one size, from one owner.
 *
 * Memory is taken in chunks and never given back before slab_fini(); what was
 * put is handed out again, the last one first, while it is warm in the cache.
 * A slab may carry a limit of things: slab_get() then gives NULL.
 */
#ifndef SPANWIRE_BASE_SLAB_H
#define SPANWIRE_BASE_SLAB_H

#include <stddef.h>

struct slab_chunk;
struct slab_item;

struct slab {
	size_t size;               /* of one thing */
	size_t limit;              /* most things in use; 0: none */
	size_t used;
	struct slab_item *free;
	struct slab_chunk *chunks;
};

void slab_init(struct slab *s, size_t size, size_t limit);
/* Everything that was got is gone with it. */
void slab_fini(struct slab *s);
/* Zeroed. NULL only at the limit. */
void *slab_get(struct slab *s);
void slab_put(struct slab *s, void *p);

#endif
