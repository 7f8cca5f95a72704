#include "base/ipmap.h"

#include <stdlib.h>

#include "base/base.h"

typedef unsigned __int128 number;

/* ---- the sweep: from the lowest address to the highest, with a heap of the ranges that are open there ---- */

struct heap {
	struct ipmap_range **at; /* the lowest set is the first */
	size_t n;
};

static void heap_swap(struct heap *h, size_t a, size_t b)
{
	struct ipmap_range *was = h->at[a];

	h->at[a] = h->at[b];
	h->at[b] = was;
}

static void heap_put(struct heap *h, struct ipmap_range *r)
{
	size_t i = h->n++;

	h->at[i] = r;
	for (; i && h->at[i]->set < h->at[(i - 1) / 2]->set; i = (i - 1) / 2)
		heap_swap(h, i, (i - 1) / 2);
}

static void heap_take(struct heap *h)
{
	size_t i = 0;

	h->at[0] = h->at[--h->n];
	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < h->n && h->at[child + 1]->set < h->at[child]->set)
			child++;
		if (child >= h->n || h->at[i]->set <= h->at[child]->set)
			return;
		heap_swap(h, i, child);
		i = child;
	}
}

static int by_first(const void *a, const void *b)
{
	const struct ipmap_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static void append(struct ipmap *m, number first, number last, uint32_t set)
{
	struct ipmap_range *end = m->n ? &m->ranges[m->n - 1] : NULL;

	if (end && end->set == set && end->last + 1 == first) {
		end->last = last;
		return;
	}
	if (m->n == m->room) {
		m->room = m->room ? m->room * 2 : 8;
		m->ranges = xrealloc(m->ranges, m->room * sizeof(m->ranges[0]));
	}
	m->ranges[m->n++] = (struct ipmap_range){ first, last, set };
}

struct ipmap ipmap_new(const struct ipset *sets, const uint32_t *which, size_t n_which)
{
	struct ipmap m = { 0 };
	CLEANUP_FREE struct ipmap_range *all = NULL;
	CLEANUP_FREE struct ipmap_range **open = NULL;
	struct heap heap;
	size_t n = 0, next = 0;
	number at = 0;

	for (size_t i = 0; i < n_which; i++)
		n += sets[which[i]].n;
	all = xcalloc(n + 1, sizeof(all[0]));
	open = xcalloc(n + 1, sizeof(open[0]));
	heap = (struct heap){ open, 0 };
	n = 0;
	for (size_t i = 0; i < n_which; i++)
		for (size_t j = 0; j < sets[which[i]].n; j++)
			all[n++] = (struct ipmap_range){ sets[which[i]].ranges[j].first,
							 sets[which[i]].ranges[j].last, which[i] };
	qsort(all, n, sizeof(all[0]), by_first);
	while (next < n || heap.n) {
		number last;

		if (!heap.n)
			at = all[next].first;
		while (next < n && all[next].first <= at)
			heap_put(&heap, &all[next++]);
		last = heap.at[0]->last;
		if (next < n && all[next].first <= last)
			last = all[next].first - 1;
		append(&m, at, last, heap.at[0]->set);
		if (last == ~(number)0)
			break;
		at = last + 1;
		while (heap.n && heap.at[0]->last < at)
			heap_take(&heap);
	}
	return m;
}

void ipmap_fini(struct ipmap *m)
{
	free(m->ranges);
	*m = (struct ipmap){ 0 };
}

uint32_t ipmap_first(const struct ipmap *m, const struct in6_addr *ip)
{
	number n = ip_number(ip);
	size_t low = 0, high = m->n;

	/* The first range that ends at or behind it. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->ranges[mid].last < n)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->n && m->ranges[low].first <= n ? m->ranges[low].set : IPMAP_NONE;
}

struct networks {
	int (*f)(void *arg, uint32_t set, const struct in6_addr *net, unsigned len);
	void *arg;
	uint32_t set;
};

static int network(void *arg, const struct in6_addr *net, unsigned len)
{
	struct networks *n = arg;

	return n->f(n->arg, n->set, net, len);
}

int ipmap_networks(const struct ipmap *m, bool (*wanted)(void *arg, uint32_t set),
		   int (*f)(void *arg, uint32_t set, const struct in6_addr *net, unsigned len), void *arg)
{
	for (size_t i = 0; i < m->n; i++) {
		struct ipset_range one = { m->ranges[i].first, m->ranges[i].last };
		struct ipset s = { .ranges = &one, .n = 1 };
		struct networks n = { f, arg, m->ranges[i].set };
		int rc = wanted(arg, n.set) ? ipset_networks(&s, network, &n) : 0;

		if (rc)
			return rc;
	}
	return 0;
}
