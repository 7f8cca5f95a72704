#include "engine/lb/hash.h"

#include "base/base.h"

#define GOLDEN 0x9E3779B97F4A7C15ULL

struct point {
	uint64_t at, tie;
	uint32_t place;
};

struct lb_hash {
	size_t n;
	unsigned shift;            /* of a place on the ring: which of the slices it is in */
	uint32_t *slice;           /* the first point at or behind the slice's beginning */
	struct point *points;
};

uint64_t lb_hash_bytes(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3ULL;
	return h;
}

uint64_t lb_hash_mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static int by_place(const void *a, const void *b)
{
	const struct point *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->tie > y->tie) - (x->tie < y->tie);
}

const struct lb_hash *lb_hash_new(struct arena *a, const struct lb_hash_server *s, size_t n)
{
	struct lb_hash *h = arena_get(a, sizeof(*h));
	size_t slices = 16, at = 0;

	for (size_t i = 0; i < n; i++)
		h->n += (size_t)s[i].ratio * LB_HASH_POINTS;
	h->points = arena_get(a, (h->n + 1) * sizeof(h->points[0]));
	for (size_t i = 0; i < n; i++)
		for (unsigned j = 0; j < s[i].ratio * LB_HASH_POINTS; j++)
			h->points[at++] = (struct point){ .at = lb_hash_mix(s[i].name + (j + 1) * GOLDEN),
							  .tie = s[i].tie, .place = (uint32_t)i };
	qsort(h->points, h->n, sizeof(h->points[0]), by_place);
	h->shift = 60;
	while (slices < h->n && h->shift > 40) {
		slices *= 2;
		h->shift--;
	}
	h->slice = arena_get(a, slices * sizeof(h->slice[0]));
	for (size_t i = 0, p = 0; i < slices; i++) {
		while (p < h->n && h->points[p].at < (uint64_t)i << h->shift)
			p++;
		h->slice[i] = (uint32_t)p;
	}
	return h;
}

size_t lb_hash_find(const struct lb_hash *h, uint64_t key, bool (*may)(void *arg, size_t place), void *arg)
{
	uint64_t best = UINT64_MAX;
	size_t found = LB_HASH_NONE;

	for (unsigned i = 0; i < LB_HASH_PROBES && h->n; i++) {
		uint64_t at = lb_hash_mix(key + (i + 1) * GOLDEN);
		size_t p = h->slice[at >> h->shift], steps = 0;

		while (p < h->n && h->points[p].at < at)
			p++;
		/* One ring: behind the last point comes the first, and the distance wraps as well. */
		for (; steps < h->n; steps++, p++) {
			const struct point *x = &h->points[p < h->n ? p : (p -= h->n)];

			if (found != LB_HASH_NONE && x->at - at >= best)
				break;
			if (!may(arg, x->place))
				continue;
			best = x->at - at;
			found = x->place;
			break;
		}
		if (found == LB_HASH_NONE)
			break; /* all the way round */
	}
	return found;
}
