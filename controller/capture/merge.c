#include "controller/capture/merge.h"

#include "base/base.h"

struct source {
	bool open;
	uint64_t until_ns;
};

/* A heap with the oldest on top; of the same stamp, the one that came first. */
struct entry {
	struct merged *p;
	uint64_t n;
};

struct merge {
	struct source *sources;
	unsigned n_sources;
	struct entry *heap;
	size_t n, room, bytes;
	uint64_t put;
	bool held;
};

struct merge *merge_new(void)
{
	return xcalloc(1, sizeof(struct merge));
}

void merged_free(struct merged *p)
{
	free(p);
}

void merge_free(struct merge *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++)
		merged_free(m->heap[i].p);
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

static bool before(const struct entry *a, const struct entry *b)
{
	return a->p->at_ns != b->p->at_ns ? a->p->at_ns < b->p->at_ns : a->n < b->n;
}

static void swap(struct entry *a, struct entry *b)
{
	struct entry t = *a;

	*a = *b;
	*b = t;
}

void merge_put(struct merge *m, unsigned source, uint64_t at_ns, const struct packets_frame *f)
{
	struct merged *p = xmalloc(sizeof(*p) + f->len);
	size_t at = m->n;

	*p = (struct merged){ at_ns, source, *f };
	memcpy(p + 1, f->data, f->len);
	p->frame.data = (const uint8_t *)(p + 1);
	if (m->n == m->room) {
		m->room = m->room ? m->room * 2 : 1024;
		m->heap = xrealloc(m->heap, m->room * sizeof(*m->heap));
	}
	m->heap[m->n++] = (struct entry){ p, m->put++ };
	m->bytes += sizeof(*p) + f->len;
	for (; at && before(&m->heap[at], &m->heap[(at - 1) / 2]); at = (at - 1) / 2)
		swap(&m->heap[at], &m->heap[(at - 1) / 2]);
}

void merge_hold(struct merge *m, bool yes)
{
	m->held = yes;
}

struct merged *merge_take(struct merge *m, uint64_t late_ns)
{
	uint64_t until = m->held ? 0 : UINT64_MAX;
	struct merged *p;
	size_t at = 0;

	if (!m->n)
		return NULL;
	for (unsigned i = 0; i < m->n_sources; i++)
		if (m->sources[i].open)
			until = MIN(until, m->sources[i].until_ns);
	p = m->heap[0].p;
	if (p->at_ns >= until && p->at_ns >= late_ns && m->bytes <= MERGE_BYTES_MAX)
		return NULL;
	m->bytes -= sizeof(*p) + p->frame.len;
	m->heap[0] = m->heap[--m->n];
	for (;;) {
		size_t child = 2 * at + 1;

		if (child < m->n && child + 1 < m->n && before(&m->heap[child + 1], &m->heap[child]))
			child++;
		if (child >= m->n || !before(&m->heap[child], &m->heap[at]))
			return p;
		swap(&m->heap[child], &m->heap[at]);
		at = child;
	}
}
