#include "engine/capture/recorder.h"

#include <errno.h>
#include <stdlib.h>

#include "base/base.h"

#define PLAINTEXT_PART 4
#define PLAINTEXT_MAX  ((size_t)256 << 20) /* the warden moves half of it when shares become smaller */

struct share {
	uint32_t service; /* 0: nobody's */
	uint64_t born_ns;
};

struct recorder {
	struct datapath *datapath;
	struct recorder_memory memory;
	uint32_t n; /* shares, a power of two */
	struct share shares[RECORDER_SHARES_MAX];
	struct excerpt excerpt;
};

struct recorder *recorder_new(struct datapath *d, unsigned workers, size_t bytes)
{
	struct recorder *r = xcalloc(1, sizeof(*r));

	r->datapath = d;
	r->memory = datapath_recorder(d);
	r->n = 1;
	must(excerpt_new(&r->excerpt, workers, MIN(bytes / PLAINTEXT_PART, PLAINTEXT_MAX)) == 0);
	return r;
}

void recorder_free(struct recorder *r)
{
	if (r)
		excerpt_fini(&r->excerpt);
	free(r);
}

bool recorder_records(const struct recorder *r)
{
	return r->memory.slots != NULL;
}

static struct recorder_share share_at(const struct recorder *r, uint32_t i)
{
	uint32_t count = r->memory.slice / r->n;

	return (struct recorder_share){ .first = i * count, .count = count, .number = i };
}

static int write_share(struct recorder *r, uint32_t i)
{
	struct recorder_share s = share_at(r, i);

	return datapath_record(r->datapath, r->shares[i].service, &s);
}

/* Each of now is the first half of what it was: its number doubles, and it begins where it began. */
static int divide(struct recorder *r)
{
	int rc = 0;

	if (r->n == RECORDER_SHARES_MAX || r->memory.slice / r->n < 2)
		return -ENOSPC;
	for (uint32_t i = r->n; i-- > 0;) {
		r->shares[2 * i] = r->shares[i];
		r->shares[2 * i + 1] = (struct share){ 0 };
	}
	r->n *= 2;
	for (uint32_t i = 0; i < r->n && rc == 0; i += 2)
		if (r->shares[i].service)
			rc = write_share(r, i);
	return rc;
}

static struct share *share_of(const struct recorder *r, uint32_t service)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (r->shares[i].service == service)
			return (struct share *)&r->shares[i];
	return NULL;
}

int recorder_follow(struct recorder *r, uint32_t service, bool yes)
{
	struct share *s = share_of(r, service);
	int rc = 0;

	if (!r->memory.slots || yes == (s != NULL))
		return 0;
	if (!yes) {
		datapath_record_end(r->datapath, service);
		*s = (struct share){ 0 };
		return 0;
	}
	s = share_of(r, 0);
	if (!s) {
		rc = divide(r);
		s = rc ? NULL : share_of(r, 0);
	}
	if (!s)
		return rc;
	*s = (struct share){ service, mono_ns() };
	rc = write_share(r, (uint32_t)(s - r->shares));
	if (rc)
		*s = (struct share){ 0 };
	return rc;
}

unsigned recorder_follow_plaintext(struct recorder *r, uint32_t service, bool yes)
{
	if (yes)
		return excerpt_give(&r->excerpt, service);
	excerpt_take_back(&r->excerpt, service);
	return 0;
}

const struct excerpt *recorder_excerpt(const struct recorder *r)
{
	return &r->excerpt;
}

bool recorder_view(const struct recorder *r, uint32_t service, struct recorder_view *out)
{
	const struct share *s = r->memory.slots ? share_of(r, service) : NULL;

	if (s)
		*out = (struct recorder_view){ r->memory, share_at(r, (uint32_t)(s - r->shares)), s->born_ns, service, r->datapath };
	return s != NULL;
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = ((const struct recorder_slot *)a)->r.at_ns, y = ((const struct recorder_slot *)b)->r.at_ns;

	return x < y ? -1 : x > y;
}

/* Whole, or it does not count: the kernel writes while we read. */
static bool copy(struct recorder_slot *to, const struct recorder_slot *from, uint32_t service)
{
	uint64_t at = __atomic_load_n(&from->r.at_ns, __ATOMIC_ACQUIRE);

	memcpy(to, from, sizeof(*to));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return at && at == __atomic_load_n(&from->r.at_ns, __ATOMIC_RELAXED) && to->r.at_ns == at && to->r.len <= RECORDER_SNAP &&
	       to->r.service == service;
}

/* The share of one CPU has all since then: since its oldest packet, when it went round, else since it is the service's. */
static uint64_t whole_since(const struct recorder_view *v, uint64_t oldest_ns, uint32_t unused)
{
	/* One may be being written. */
	return unused > 1 ? v->born_ns : oldest_ns;
}

struct recorder_slot *recorder_read(const struct recorder_view *v, uint64_t since_ns, uint64_t until_ns, size_t *n, uint64_t *whole_ns)
{
	const struct recorder_memory *m = &v->memory;
	struct recorder_slot *out = xcalloc((size_t)m->cpus * v->share.count + 1, sizeof(*out));

	*n = 0;
	*whole_ns = v->born_ns;
	for (uint32_t cpu = 0; cpu < m->cpus; cpu++) {
		uint64_t oldest_ns = UINT64_MAX;
		uint32_t unused = 0;

		for (uint32_t i = 0; i < v->share.count; i++) {
			const struct recorder_slot *s = &m->slots[(size_t)cpu * m->slice + v->share.first + i];
			uint64_t at = __atomic_load_n(&s->r.at_ns, __ATOMIC_RELAXED);

			if (at < v->born_ns)
				unused++;
			else
				oldest_ns = MIN(oldest_ns, at);
			if (at >= MAX(since_ns, v->born_ns) && at < until_ns && copy(&out[*n], s, v->service))
				(*n)++;
		}
		*whole_ns = MAX(*whole_ns, whole_since(v, oldest_ns, unused));
	}
	qsort(out, *n, sizeof(*out), by_time);
	return out;
}

void recorder_written(const struct recorder_view *v, struct recorder_written *out)
{
	struct recorder_cursor cursors[RECORDER_CPUS_MAX] = { 0 };

	if (!v->service) /* nobody's share */
		return;
	datapath_recorder_cursors(v->datapath, v->share.number, cursors, RECORDER_CPUS_MAX);
	for (uint32_t cpu = 0; cpu < MIN(v->memory.cpus, (uint32_t)RECORDER_CPUS_MAX); cpu++)
		out->of_cpu[cpu] = (uint64_t)cursors[cpu].rounds * v->share.count + cursors[cpu].next;
}

uint64_t recorder_lost(const struct recorder_view *v, const struct recorder_written *before, const struct recorder_written *now)
{
	uint64_t lost = 0;

	for (uint32_t cpu = 0; cpu < MIN(v->memory.cpus, (uint32_t)RECORDER_CPUS_MAX); cpu++) {
		uint64_t n = now->of_cpu[cpu] - before->of_cpu[cpu];

		lost += n > v->share.count ? n - v->share.count : 0;
	}
	return lost;
}
