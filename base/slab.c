#include "base/slab.h"

#include "base/base.h"

#define CHUNK_BYTES (64u << 10)

struct slab_item {
	struct slab_item *next;
};

struct slab_chunk {
	struct slab_chunk *next;
	char mem[] __attribute__((aligned(16)));
};

void slab_init(struct slab *s, size_t size, size_t limit)
{
	*s = (struct slab){ .size = (MAX(size, sizeof(struct slab_item)) + 15) & ~(size_t)15, .limit = limit };
}

void slab_fini(struct slab *s)
{
	while (s->chunks) {
		struct slab_chunk *c = s->chunks;

		s->chunks = c->next;
		free(c);
	}
	s->free = NULL;
	s->used = 0;
}

static void grow(struct slab *s)
{
	size_t n = MAX(CHUNK_BYTES / s->size, (size_t)1);
	struct slab_chunk *c = xmalloc(sizeof(*c) + n * s->size);

	c->next = s->chunks;
	s->chunks = c;
	for (size_t i = n; i-- > 0;) {
		struct slab_item *item = (struct slab_item *)(c->mem + i * s->size);

		item->next = s->free;
		s->free = item;
	}
}

void *slab_get(struct slab *s)
{
	struct slab_item *item;

	if (s->limit && s->used >= s->limit)
		return NULL;
	if (!s->free)
		grow(s);
	item = s->free;
	s->free = item->next;
	s->used++;
	return memset(item, 0, s->size);
}

void slab_put(struct slab *s, void *p)
{
	struct slab_item *item = p;

	must(s->used > 0);
	s->used--;
	item->next = s->free;
	s->free = item;
}
