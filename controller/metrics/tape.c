#include "controller/metrics/tape.h"

#include <string.h>

#include "base/base.h"
#include "controller/metrics/catalogue.h"

#define VARINT_MAX 10

void tape_init(struct tape *t, unsigned step_s, size_t pages_max, void (*forget)(void *arg, uint32_t series), void *arg)
{
	*t = (struct tape){ .step_s = step_s, .pages_max = pages_max, .forget = forget, .arg = arg };
	t->room = pages_max + 1;
	t->pages = xcalloc(t->room, sizeof(*t->pages));
}

void tape_fini(struct tape *t)
{
	while (t->n)
		tape_drop_oldest(t);
	free(t->pages);
}

/* ---- writing ---- */

static void room_for(void **p, size_t *room, size_t want, size_t size)
{
	if (want <= *room)
		return;
	*room = MAX(want, *room * 2);
	*p = xrealloc(*p, *room * size);
}

static size_t varint_put(uint8_t *p, uint64_t x)
{
	size_t n = 0;

	for (; x >= 0x80; x >>= 7)
		p[n++] = (uint8_t)(x | 0x80);
	p[n++] = (uint8_t)x;
	return n;
}

static const uint8_t *varint_get(const uint8_t *p, uint64_t *x)
{
	unsigned shift = 0;

	*x = 0;
	do
		*x |= (uint64_t)(*p & 0x7f) << shift, shift += 7;
	while (*p++ & 0x80);
	return p;
}

bool draft_put(struct draft *d, uint32_t series, const int64_t *v, size_t n)
{
	uint64_t mask = 0;
	uint8_t *p;

	for (size_t i = 0; i < n; i++)
		if (v[i] > 0)
			mask |= 1ULL << i;
	if (!mask)
		return false;
	room_for((void **)&d->entries, &d->entries_room, d->entries_n + 1, sizeof(*d->entries));
	room_for((void **)&d->packed, &d->packed_room, d->packed_n + (n + 1) * VARINT_MAX, 1);
	d->entries[d->entries_n++] = (struct page_entry){ series, (uint32_t)d->packed_n };
	p = d->packed + d->packed_n;
	p += varint_put(p, mask);
	for (size_t i = 0; i < n; i++)
		if (v[i] > 0)
			p += varint_put(p, (uint64_t)v[i]);
	d->packed_n = (size_t)(p - d->packed);
	return true;
}

void draft_hear(struct draft *d, uint32_t engine, uint32_t reports)
{
	room_for((void **)&d->heard, &d->heard_room, d->heard_n + 1, sizeof(*d->heard));
	d->heard[d->heard_n++] = (struct page_heard){ engine, reports };
}

static int by_series(const void *a, const void *b)
{
	uint32_t x = ((const struct page_entry *)a)->series, y = ((const struct page_entry *)b)->series;

	return x < y ? -1 : x > y;
}

static struct page *page_of(const struct draft *d)
{
	size_t entries = d->entries_n * sizeof(*d->entries), heard = d->heard_n * sizeof(*d->heard),
	       all = sizeof(struct page) + entries + heard + d->packed_n;
	struct page *p = xmalloc(all);
	uint8_t *packed;

	*p = (struct page){ .at_s = d->at_s, .covered_ms = d->covered_ms, .entries_n = (uint32_t)d->entries_n,
			    .heard_n = (uint32_t)d->heard_n, .bytes = all };
	p->entries = (struct page_entry *)(p + 1);
	p->heard = (struct page_heard *)(p->entries + d->entries_n);
	packed = (uint8_t *)(p->heard + d->heard_n);
	p->packed = packed;
	if (entries)
		memcpy(p->entries, d->entries, entries);
	if (heard)
		memcpy(p->heard, d->heard, heard);
	if (d->packed_n)
		memcpy(packed, d->packed, d->packed_n);
	qsort(p->entries, p->entries_n, sizeof(*p->entries), by_series);
	return p;
}

void tape_write(struct tape *t, struct draft *d)
{
	struct page *p = page_of(d);

	must(!t->n || tape_newest(t)->at_s < p->at_s);
	if (t->n == t->pages_max)
		tape_drop_oldest(t);
	t->pages[(t->first + t->n++) % t->room] = p;
	t->bytes += p->bytes;
	free(d->entries);
	free(d->heard);
	free(d->packed);
	*d = (struct draft){ 0 };
}

/* ---- reading ---- */

struct page *tape_at(const struct tape *t, size_t i)
{
	return t->pages[(t->first + i) % t->room];
}

const struct page *tape_newest(const struct tape *t)
{
	return t->n ? tape_at(t, t->n - 1) : NULL;
}

const struct page *tape_page(const struct tape *t, uint64_t at_s)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (tape_at(t, middle)->at_s < at_s)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->n && tape_at(t, low)->at_s == at_s ? tape_at(t, low) : NULL;
}

bool page_add(const struct page *p, uint32_t series, int64_t *v, size_t n)
{
	const struct page_entry key = { series, 0 }, *e;
	const uint8_t *at;
	uint64_t mask, x;

	e = p->entries_n ? bsearch(&key, p->entries, p->entries_n, sizeof(key), by_series) : NULL;
	if (!e)
		return false;
	at = varint_get(p->packed + e->offset, &mask);
	for (size_t i = 0; i < n; i++)
		if (mask >> i & 1) {
			at = varint_get(at, &x);
			v[i] = sum_of(v[i], (int64_t)x);
		}
	return true;
}

uint32_t page_reports(const struct page *p, uint32_t engine)
{
	for (size_t i = 0; i < p->heard_n; i++)
		if (p->heard[i].engine == engine)
			return p->heard[i].reports;
	return 0;
}

/* ---- dropping ---- */

static void drop(struct tape *t, struct page *p)
{
	t->bytes -= p->bytes;
	t->n--;
	for (size_t i = 0; i < p->entries_n; i++)
		t->forget(t->arg, p->entries[i].series);
	free(p);
}

void tape_drop_oldest(struct tape *t)
{
	struct page *p = tape_at(t, 0);

	t->first = (t->first + 1) % t->room;
	drop(t, p);
}

void tape_drop_from(struct tape *t, uint64_t at_s)
{
	while (t->n && tape_newest(t)->at_s >= at_s)
		drop(t, tape_at(t, t->n - 1));
}
