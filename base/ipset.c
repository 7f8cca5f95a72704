#include "base/ipset.h"

#include <errno.h>

typedef unsigned __int128 number;

/* ::ffff:0:0/96, in which IPv4 lies: of an IPv6 range what is before and what is behind it counts. */
#define V4_FIRST ((number)0xffff << 32)
#define V4_LAST  (V4_FIRST | 0xffffffffu)

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
	number n = ip_number(ip);

	add(s, n, n);
}

void ipset_add_prefix(struct ipset *s, const struct in6_addr *net, unsigned len)
{
	bool v4 = ip_is_v4(net);
	unsigned host = (v4 ? 32 : 128) - MIN(len, v4 ? 32u : 128u);
	number mask = host == 128 ? ~(number)0 : ((number)1 << host) - 1, n = ip_number(net);

	if (v4)
		add(s, n & ~mask, n | mask);
	else
		add_v6(s, n & ~mask, n | mask);
}

int ipset_add_range(struct ipset *s, const struct in6_addr *first, const struct in6_addr *last)
{
	number a = ip_number(first), b = ip_number(last);

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
	number n = ip_number(ip);
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

struct ipset ipset_everybody(void)
{
	struct ipset s = { 0 };

	add(&s, 0, ~(number)0);
	return s;
}

struct ipset ipset_and(const struct ipset *a, const struct ipset *b, bool without)
{
	struct ipset out = { 0 };
	size_t j = 0;

	for (size_t i = 0; i < a->n; i++) {
		number at = a->ranges[i].first, last = a->ranges[i].last;
		bool over = false;

		while (j < b->n && b->ranges[j].last < at)
			j++;
		for (size_t k = j; k < b->n && b->ranges[k].first <= last && !over; k++) {
			const struct ipset_range *r = &b->ranges[k];

			if (!without)
				add(&out, MAX(at, r->first), MIN(last, r->last));
			else if (r->first > at)
				add(&out, at, r->first - 1);
			over = r->last >= last;
			at = over ? at : r->last + 1;
		}
		if (without && !over)
			add(&out, at, last);
	}
	return out;
}

static struct in6_addr address_of(number n)
{
	struct in6_addr ip;

	for (unsigned i = sizeof(ip.s6_addr); i-- > 0; n >>= 8)
		ip.s6_addr[i] = (uint8_t)n;
	return ip;
}

/* The widest network that begins at FIRST and ends by LAST: its host bits. */
static unsigned widest(number first, number last)
{
	unsigned bits = 0;

	while (bits < 128) {
		number size_less_one = bits == 127 ? ~(number)0 : ((number)2 << bits) - 1;

		if ((first & size_less_one) || size_less_one > last - first)
			break;
		bits++;
	}
	return bits;
}

int ipset_networks(const struct ipset *s, int (*f)(void *arg, const struct in6_addr *net, unsigned len), void *arg)
{
	for (size_t i = 0; i < s->n; i++) {
		number at = s->ranges[i].first, last = s->ranges[i].last, size_less_one;

		do {
			unsigned bits = widest(at, last);
			struct in6_addr net = address_of(at);
			int rc = f(arg, &net, 128 - bits);

			if (rc)
				return rc;
			size_less_one = bits == 128 ? ~(number)0 : ((number)1 << bits) - 1;
			at += size_less_one;
		} while (at++ != last);
	}
	return 0;
}
