#include "controller/capture/merge.h"

#include "base/base.h"

struct block {
	void *bytes;
	size_t len;
	size_t waiting;           /* packets in it; and one while it is the last */
};

struct entry {
	uint64_t at_ns, n;        /* of the same stamp, the one that came first */
	struct block *block;
	struct merged merged;
};

/* Entries in a circle; ROOM is a power of two. */
struct row {
	struct entry *entries;
	size_t head, n, room;
};

struct source {
	bool open;
	uint64_t until_ns;
	struct row row;           /* in order */
};

struct merge {
	struct source *sources;
	unsigned n_sources;
	struct entry *heap;       /* stragglers, the oldest on top */
	size_t n, room;
	size_t bytes;             /* of all blocks */
	struct block *last;
	struct entry given;       /* what merge_take() gave out, and its block; NULL: none */
	uint64_t put;
	bool held;
};

struct merge *merge_new(void)
{
	return xcalloc(1, sizeof(struct merge));
}

static void block_put(struct merge *m, struct block *b)
{
	if (!b || --b->waiting)
		return;
	m->bytes -= b->len;
	free(b->bytes);
	free(b);
}

static struct entry *row_at(struct row *r, size_t i)
{
	return &r->entries[(r->head + i) & (r->room - 1)];
}

static void row_add(struct row *r, const struct entry *e)
{
	if (r->n == r->room) {
		size_t room = r->room ? r->room * 2 : 1024;
		struct entry *entries = xmalloc(room * sizeof(*entries));

		for (size_t i = 0; i < r->n; i++)
			entries[i] = *row_at(r, i);
		free(r->entries);
		*r = (struct row){ .entries = entries, .n = r->n, .room = room };
	}
	*row_at(r, r->n++) = *e;
}

static struct entry row_take(struct row *r)
{
	struct entry e = *row_at(r, 0);

	r->head++;
	r->n--;
	return e;
}

void merge_free(struct merge *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++)
		block_put(m, m->heap[i].block);
	for (unsigned i = 0; i < m->n_sources; i++) {
		while (m->sources[i].row.n)
			block_put(m, row_take(&m->sources[i].row).block);
		free(m->sources[i].row.entries);
	}
	block_put(m, m->given.block);
	block_put(m, m->last);
	free(m->heap);
	free(m->sources);
	free(m);
}

static struct source *source_of(struct merge *m, unsigned source)
{
	if (source >= m->n_sources) {
		m->sources = xrealloc(m->sources, (source + 1) * sizeof(*m->sources));
		memset(m->sources + m->n_sources, 0, (source + 1 - m->n_sources) * sizeof(*m->sources));
		m->n_sources = source + 1;
	}
	return &m->sources[source];
}

void merge_open(struct merge *m, unsigned source)
{
	source_of(m, source)->open = true;
}

void merge_close(struct merge *m, unsigned source)
{
	source_of(m, source)->open = false;
}

void merge_until(struct merge *m, unsigned source, uint64_t until_ns)
{
	struct source *s = source_of(m, source);

	s->until_ns = MAX(s->until_ns, until_ns);
}

void merge_hold(struct merge *m, bool yes)
{
	m->held = yes;
}

void merge_block(struct merge *m, void *bytes, size_t len)
{
	struct block *b = xcalloc(1, sizeof(*b));

	*b = (struct block){ bytes, len, 1 };
	m->bytes += len;
	block_put(m, m->last);
	m->last = b;
}

static bool before(const struct entry *a, const struct entry *b)
{
	return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->n < b->n);
}

static void swap(struct entry *a, struct entry *b)
{
	struct entry t = *a;

	*a = *b;
	*b = t;
}

static void heap_add(struct merge *m, const struct entry *e)
{
	size_t at = m->n;

	if (m->n == m->room) {
		m->room = m->room ? m->room * 2 : 1024;
		m->heap = xrealloc(m->heap, m->room * sizeof(*m->heap));
	}
	m->heap[m->n++] = *e;
	for (; at && before(&m->heap[at], &m->heap[(at - 1) / 2]); at = (at - 1) / 2)
		swap(&m->heap[at], &m->heap[(at - 1) / 2]);
}

static struct entry heap_take(struct merge *m)
{
	struct entry e = m->heap[0];
	size_t at = 0;

	m->heap[0] = m->heap[--m->n];
	for (;;) {
		size_t child = 2 * at + 1;

		if (child < m->n && child + 1 < m->n && before(&m->heap[child + 1], &m->heap[child]))
			child++;
		if (child >= m->n || !before(&m->heap[child], &m->heap[at]))
			return e;
		swap(&m->heap[child], &m->heap[at]);
		at = child;
	}
}

void merge_put(struct merge *m, unsigned source, uint64_t at_ns, const struct packets_frame *f)
{
	struct row *row = &source_of(m, source)->row;
	struct entry e = { at_ns, m->put++, m->last, { at_ns, source, *f } };

	must(m->last);
	m->last->waiting++;
	if (!row->n || row_at(row, row->n - 1)->at_ns <= at_ns)
		row_add(row, &e);
	else
		heap_add(m, &e);
}

const struct merged *merge_take(struct merge *m, uint64_t late_ns)
{
	uint64_t until = m->held ? 0 : UINT64_MAX;
	struct entry *first = m->n ? m->heap : NULL;
	struct row *row = NULL;

	block_put(m, m->given.block);
	m->given.block = NULL;
	for (unsigned i = 0; i < m->n_sources; i++) {
		struct source *s = &m->sources[i];

		if (s->open)
			until = MIN(until, s->until_ns);
		if (s->row.n && (!first || before(row_at(&s->row, 0), first))) {
			row = &s->row;
			first = row_at(row, 0);
		}
	}
	if (!first || (first->at_ns >= until && first->at_ns >= late_ns && m->bytes <= MERGE_BYTES_MAX))
		return NULL;
	m->given = row ? row_take(row) : heap_take(m);
	return &m->given.merged;
}
