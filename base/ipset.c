#include "base/ipset.h"

#include <errno.h>

typedef unsigned __int128 number;

/* ::ffff:0:0/96, in which IPv4 lies: of an IPv6 range what is before and what is behind it counts. */
#define V4_FIRST ((number)0xffff << 32)
#define V4_LAST  (V4_FIRST | 0xffffffffu)

static number number_of(const struct in6_addr *ip)
{
	number n = 0;

	for (unsigned i = 0; i < sizeof(ip->s6_addr); i++)
		n = n << 8 | ip->s6_addr[i];
	return n;
}

void ipset_fini(struct ipset *s)
{
	free(s->ranges);
	*s = (struct ipset){ 0 };
}

static void add(struct ipset *s, number first, number last)
{
	if (s->n == s->room) {
		s->room = s->room ? s->room * 2 : 8;
		s->ranges = xrealloc(s->ranges, s->room * sizeof(s->ranges[0]));
	}
	s->ranges[s->n++] = (struct ipset_range){ first, last };
}

static void add_v6(struct ipset *s, number first, number last)
{
	if (last < V4_FIRST || first > V4_LAST) {
		add(s, first, last);
		return;
	}
	if (first < V4_FIRST)
		add(s, first, V4_FIRST - 1);
	if (last > V4_LAST)
		add(s, V4_LAST + 1, last);
}

void ipset_add(struct ipset *s, const struct in6_addr *ip)
{
	number n = number_of(ip);

	add(s, n, n);
}

void ipset_add_prefix(struct ipset *s, const struct in6_addr *net, unsigned len)
{
	bool v4 = ip_is_v4(net);
	unsigned host = (v4 ? 32 : 128) - MIN(len, v4 ? 32u : 128u);
	number mask = host == 128 ? ~(number)0 : ((number)1 << host) - 1, n = number_of(net);

	if (v4)
		add(s, n & ~mask, n | mask);
	else
		add_v6(s, n & ~mask, n | mask);
}

int ipset_add_range(struct ipset *s, const struct in6_addr *first, const struct in6_addr *last)
{
	number a = number_of(first), b = number_of(last);

	if (ip_is_v4(first) != ip_is_v4(last) || a > b)
		return -EINVAL;
	if (ip_is_v4(first))
		add(s, a, b);
	else
		add_v6(s, a, b);
	return 0;
}

static int by_first(const void *a, const void *b)
{
	const struct ipset_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

void ipset_seal(struct ipset *s)
{
	size_t kept = 0;

	if (!s->n)
		return;
	qsort(s->ranges, s->n, sizeof(s->ranges[0]), by_first);
	for (size_t i = 1; i < s->n; i++) {
		struct ipset_range *r = &s->ranges[kept], *next = &s->ranges[i];

		if (r->last != ~(number)0 && next->first > r->last + 1)
			s->ranges[++kept] = *next;
		else if (next->last > r->last)
			r->last = next->last;
	}
	s->n = kept + 1;
}

bool ipset_has(const struct ipset *s, const struct in6_addr *ip)
{
	number n = number_of(ip);
	size_t low = 0, high = s->n;

	/* The first range that ends at or behind it. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->ranges[mid].last < n)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->n && s->ranges[low].first <= n;
}
