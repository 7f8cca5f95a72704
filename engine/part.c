#include "engine/part.h"

#include <stdatomic.h>

#include "base/base.h"

struct part_held {
	struct part_held *older;
	struct part *part;
};

struct part *part_new(void)
{
	struct part *p = xcalloc(1, sizeof(*p));

	atomic_init(&p->refs, 1);
	p->arena.grain = PART_GRAIN;
	return p;
}

struct part *part_get(struct part *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void part_put(struct part *p)
{
	if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	arena_fini(&p->arena);
	free(p);
}

const void *parts_use(struct parts *parts, struct part *p, struct arena *a)
{
	struct part_held *h;

	if (!p)
		return NULL;
	h = arena_get(a, sizeof(*h));
	*h = (struct part_held){ parts->newest, part_get(p) };
	parts->newest = h;
	return p->object;
}

void parts_put(struct parts *parts)
{
	for (const struct part_held *h = parts->newest; h; h = h->older)
		part_put(h->part);
	parts->newest = NULL;
}
