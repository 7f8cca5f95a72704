#include "base/arena.h"

#include "base/base.h"

#define GRAIN 4096

struct arena_chunk {
	struct arena_chunk *older;
	size_t size; /* bytes of mem */
	char mem[] __attribute__((aligned(16)));
};

static void drop(struct arena_chunk *c)
{
	while (c) {
		struct arena_chunk *older = c->older;

		free(c);
		c = older;
	}
}

void arena_fini(struct arena *a)
{
	drop(a->chunk);
	a->chunk = NULL;
	a->used = a->total = 0;
}

void *arena_get(struct arena *a, size_t n)
{
	void *p;

	n = (n + 15) & ~(size_t)15;
	if (!a->chunk || a->chunk->size - a->used < n) {
		size_t size = MAX(n, (a->grain ? a->grain : GRAIN) - sizeof(struct arena_chunk));
		struct arena_chunk *c;

		if (a->limit && a->total + size > a->limit)
			return NULL;
		c = xmalloc(sizeof(*c) + size);
		c->size = size;
		c->older = a->chunk;
		a->chunk = c;
		a->used = 0;
		a->total += size;
	}
	p = a->chunk->mem + a->used;
	a->used += n;
	return memset(p, 0, n);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p = arena_get(a, n + 1);

	if (p)
		memcpy(p, s, n);
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}
