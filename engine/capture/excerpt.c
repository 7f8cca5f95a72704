#include "engine/capture/excerpt.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"

#define HEAD_BYTES  4096u
#define ALIGN       8u
#define RECORD_MAX  (sizeof(struct excerpt_record) + EXCERPT_ID_MAX + EXCERPT_SNAP + ALIGN)
#define WAIT_NS     (2 * NS_PER_MS) /* that a worker gets to finish what it writes */
#define GENERATION  40    /* of a word: bits of the size below it */

_Static_assert(sizeof(struct excerpt_record) % ALIGN == 0, "records follow each other");

/* A word says how large the ring is and whose, by a number that is never used again; 0: nobody writes there. */
struct ring {
	uint64_t word;            /* the warden's */
	uint8_t apart[56];
	uint64_t written;         /* under this word all below was written */
	uint64_t head, tail;      /* bytes ever put, and ever pushed out */
	uint32_t writing;
	uint32_t full;            /* something was pushed out */
};

static uint64_t size_of(uint64_t word)
{
	return word & ((1ULL << GENERATION) - 1);
}

static size_t stride(const struct excerpt *g)
{
	return HEAD_BYTES + g->room;
}

static size_t bytes_for(const struct excerpt *g)
{
	return (size_t)EXCERPT_PLACES * g->workers * stride(g);
}

static struct ring *ring_of(const struct excerpt *g, unsigned worker, unsigned place)
{
	must(worker < g->workers && place < EXCERPT_PLACES);
	return (struct ring *)(void *)(g->mem + ((size_t)place * g->workers + worker) * stride(g));
}

static uint8_t *data_of(const struct ring *r)
{
	return (uint8_t *)r + HEAD_BYTES;
}

/* ---- memory ---- */

int excerpt_map(struct excerpt *g, int fd, unsigned workers, size_t bytes)
{
	void *at;

	/* Halves of it are whole records' as well, down to the last place. */
	*g = (struct excerpt){ .fd = -1, .workers = workers, .n = 1, .room = bytes / workers / (EXCERPT_PLACES * ALIGN) * (EXCERPT_PLACES * ALIGN) };
	at = mmap(NULL, bytes_for(g), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (at == MAP_FAILED) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	g->mem = at;
	g->fd = fd;
	/* Never in a core file. */
	madvise(at, bytes_for(g), MADV_DONTDUMP);
	return 0;
}

int excerpt_new(struct excerpt *g, unsigned workers, size_t bytes)
{
	int fd, rc;

	*g = (struct excerpt){ .fd = -1, .workers = workers, .room = bytes / workers / (EXCERPT_PLACES * ALIGN) * (EXCERPT_PLACES * ALIGN) };
	if (!g->room)
		return 0;
	fd = memfd_create("spanwire-excerpt", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes_for(g)) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return excerpt_map(g, fd, workers, bytes);
}

void excerpt_fini(struct excerpt *g)
{
	if (g->mem)
		munmap(g->mem, bytes_for(g));
	if (g->fd >= 0)
		close(g->fd);
	*g = (struct excerpt){ .fd = -1 };
}

/* ---- a worker's ---- */

static void copy_in(struct ring *r, uint64_t room, uint64_t at, const void *p, size_t n)
{
	size_t from = at % room, first = MIN(n, room - from);

	memcpy(data_of(r) + from, p, first);
	memcpy(data_of(r), (const uint8_t *)p + first, n - first);
}

static void copy_out(const struct ring *r, uint64_t room, uint64_t at, void *p, size_t n)
{
	size_t from = at % room, first = MIN(n, room - from);

	memcpy(p, data_of(r) + from, first);
	memcpy((uint8_t *)p + first, data_of(r), n - first);
}

/* Of the record at AT; 0: what stands there is none of ours. */
static uint32_t record_size(const struct ring *r, uint64_t room, uint64_t at, uint64_t there)
{
	struct excerpt_record one;

	if (there < sizeof(one))
		return 0;
	copy_out(r, room, at, &one, sizeof(one));
	return one.size < sizeof(one) || one.size > RECORD_MAX || one.size % ALIGN || one.size > there ? 0 : one.size;
}

/* The oldest go until N bytes fit into ROOM. */
static void push_out(struct ring *r, uint64_t room, size_t n)
{
	uint64_t head = r->head, tail = r->tail;

	if (head - tail > room) /* nobody of ours wrote that */
		tail = head;
	while (head + n - tail > room) {
		uint32_t size = record_size(r, room, tail, head - tail);

		tail = size ? tail + size : head;
		__atomic_store_n(&r->full, 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&r->tail, tail, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void put(struct ring *r, uint64_t word, size_t most, const struct excerpt_record *rec, const char *id, const char *text)
{
	uint64_t room = size_of(word), at;

	if (room < RECORD_MAX || room > most)
		return;
	if (r->written != word) {
		__atomic_store_n(&r->tail, r->head, __ATOMIC_RELAXED);
		__atomic_store_n(&r->full, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&r->written, word, __ATOMIC_RELEASE);
	}
	push_out(r, room, rec->size);
	at = r->head;
	copy_in(r, room, at, rec, sizeof(*rec));
	copy_in(r, room, at + sizeof(*rec), id, rec->id_len);
	copy_in(r, room, at + sizeof(*rec) + rec->id_len, text, rec->len);
	__atomic_store_n(&r->head, at + rec->size, __ATOMIC_RELEASE);
}

void excerpt_put(const struct excerpt *g, unsigned place, struct excerpt_record *rec, const char *id, const char *text)
{
	struct ring *r = ring_of(g, rec->worker, place);

	must(rec->len <= EXCERPT_SNAP && rec->id_len <= EXCERPT_ID_MAX);
	rec->size = (uint32_t)((sizeof(*rec) + rec->id_len + rec->len + ALIGN - 1) / ALIGN * ALIGN);
	__atomic_store_n(&r->writing, 1, __ATOMIC_SEQ_CST);
	put(r, __atomic_load_n(&r->word, __ATOMIC_SEQ_CST), g->room, rec, id, text);
	__atomic_store_n(&r->writing, 0, __ATOMIC_RELEASE);
}

/* ---- the warden's: places ---- */

/* Nobody writes there any more. False: somebody was stopped, or died, while he did. */
static bool rest(struct ring *r)
{
	uint64_t since = mono_ns();

	__atomic_store_n(&r->word, 0, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&r->writing, __ATOMIC_SEQ_CST)) {
		if (mono_ns() - since > WAIT_NS) {
			__atomic_store_n(&r->writing, 0, __ATOMIC_RELAXED); /* once is enough */
			return false;
		}
		sched_yield();
	}
	return true;
}

/* Memory behind the first ROOM bytes of R goes back. */
static void wipe(const struct excerpt *g, const struct ring *r, uint64_t room)
{
	off_t at = data_of(r) - g->mem + (off_t)room;

	if (room < g->room)
		(void)!fallocate(g->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, (off_t)(g->room - room));
}

static uint64_t word_of(struct excerpt *g, unsigned place)
{
	return (uint64_t)g->generations[place] << GENERATION | g->room / g->n;
}

/*
 * R, which rests, is half as long: its newest bytes stand there as if they had always been written so. Each has one place
 * there, which none of those that stay has already.
 */
static void halve(struct ring *r, uint64_t was, uint64_t room)
{
	uint64_t at, head;

	push_out(r, was, was - room);
	head = r->head;
	at = head - r->tail > room ? head : r->tail;
	while (at < head) {
		uint64_t n = MIN(room - at % room, head - at);

		if (at % was != at % room)
			memcpy(data_of(r) + at % room, data_of(r) + at % was, n);
		at += n;
	}
}

static void shorten(struct excerpt *g, unsigned place)
{
	uint64_t was = word_of(g, place) - g->room / g->n + g->room / (g->n / 2);

	for (unsigned w = 0; w < g->workers; w++) {
		struct ring *r = ring_of(g, w, place);

		if (rest(r) && r->written == was && size_of(was) / 2 >= RECORD_MAX) {
			halve(r, size_of(was), size_of(was) / 2);
			__atomic_store_n(&r->written, word_of(g, place), __ATOMIC_RELAXED);
		}
		wipe(g, r, g->room / g->n);
		__atomic_store_n(&r->word, word_of(g, place), __ATOMIC_SEQ_CST);
	}
}

static unsigned place_of(const struct excerpt *g, uint32_t service)
{
	unsigned i = 0;

	while (i < g->n && g->owners[i] != service)
		i++;
	return i;
}

unsigned excerpt_give(struct excerpt *g, uint32_t service)
{
	unsigned i = g->mem ? place_of(g, service) : 0;

	if (!g->mem)
		return 0;
	if (i < g->n)
		return i + 1;
	i = place_of(g, 0);
	if (i == g->n) {
		if (g->n == EXCERPT_PLACES || g->room / g->n / 2 < 2 * RECORD_MAX)
			return 0;
		g->n *= 2;
		for (unsigned k = 0; k < i; k++)
			shorten(g, k);
	}
	g->owners[i] = service;
	g->born_ns[i] = mono_ns();
	g->generations[i]++;
	for (unsigned w = 0; w < g->workers; w++)
		__atomic_store_n(&ring_of(g, w, i)->word, word_of(g, i), __ATOMIC_SEQ_CST);
	return i + 1;
}

void excerpt_take_back(struct excerpt *g, uint32_t service)
{
	unsigned i = g->mem ? place_of(g, service) : 0;

	if (!g->mem || i == g->n)
		return;
	for (unsigned w = 0; w < g->workers; w++) {
		struct ring *r = ring_of(g, w, i);

		rest(r);
		wipe(g, r, 0);
	}
	g->owners[i] = 0;
	for (i = 0; i < g->n && !g->owners[i];)
		i++;
	if (i == g->n)
		g->n = 1;
}

/* ---- reading ---- */

bool excerpt_view(const struct excerpt *g, uint32_t service, struct excerpt_view *out)
{
	unsigned i = g->mem ? place_of(g, service) : 0;

	if (!g->mem || i == g->n)
		return false;
	*out = (struct excerpt_view){ g, i, service, g->born_ns[i] };
	return true;
}

static bool is_right(const struct excerpt_record *r, const struct excerpt_view *v, unsigned worker)
{
	return r->service == v->service && r->worker == worker && r->len <= EXCERPT_SNAP && r->id_len <= EXCERPT_ID_MAX &&
	       r->size >= sizeof(*r) + r->id_len + r->len && r->wire >= r->len &&
	       r->wire - r->len <= EXCERPT_MORE && r->leg <= 1 && r->what <= EXCERPT_STREAM;
}

/* What is whole of R, in the order in which it was put, at TO. Bytes of it; *FULL: there was more. */
static size_t take_whole(const struct ring *r, size_t most, uint8_t *to, bool *full)
{
	uint64_t word = __atomic_load_n(&r->word, __ATOMIC_ACQUIRE), written = __atomic_load_n(&r->written, __ATOMIC_ACQUIRE),
		 room = size_of(word), tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE), now,
		 head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);

	*full = false;
	if (!room || room > most || word != written || head < tail || head - tail > room)
		return 0;
	copy_out(r, room, tail, to, head - tail);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	now = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
	if (__atomic_load_n(&r->word, __ATOMIC_ACQUIRE) != word || now < tail)
		return 0;
	*full = __atomic_load_n(&r->full, __ATOMIC_RELAXED);
	now = MIN(now, head);
	memmove(to, to + (now - tail), head - now);
	return head - now;
}

static int by_time(const void *a, const void *b)
{
	const struct excerpt_record *x = *(const struct excerpt_record *const *)a, *y = *(const struct excerpt_record *const *)b;

	/* Of one instant: as they were said. */
	return x->at_ns < y->at_ns ? -1 : x->at_ns > y->at_ns ? 1 : x < y ? -1 : x > y;
}

void excerpt_read(const struct excerpt_view *v, uint64_t since_ns, uint64_t until_ns, struct excerpt_past *out)
{
	const struct excerpt *g = v->excerpt;
	size_t all = 0, room = 0;

	*out = (struct excerpt_past){ .whole_ns = v->born_ns };
	if (!g) /* nobody's */
		return;
	for (unsigned w = 0; w < g->workers; w++)
		room = MAX(room, size_of(__atomic_load_n(&ring_of(g, w, v->place)->word, __ATOMIC_RELAXED)));
	room = MIN(room, g->room);
	out->size = room * g->workers + 1;
	out->bytes = xmalloc(out->size);
	for (unsigned w = 0; w < g->workers; w++) {
		bool full;
		uint8_t *at = out->bytes + all;
		size_t n = take_whole(ring_of(g, w, v->place), room, at, &full), used = 0;
		uint64_t oldest_ns = 0;

		while (n - used >= sizeof(struct excerpt_record)) {
			const struct excerpt_record *r = (const struct excerpt_record *)(const void *)(at + used);

			if (r->size < sizeof(*r) || r->size > RECORD_MAX || r->size % ALIGN || r->size > n - used)
				break;
			used += r->size;
			if (!is_right(r, v, w))
				continue;
			oldest_ns = oldest_ns ? MIN(oldest_ns, r->at_ns) : r->at_ns;
			if (r->at_ns < since_ns || r->at_ns >= until_ns)
				continue;
			if (out->n % 1024 == 0)
				out->at = xrealloc(out->at, (out->n + 1024) * sizeof(*out->at));
			out->at[out->n++] = r;
		}
		if (full)
			out->whole_ns = MAX(out->whole_ns, oldest_ns);
		all += used;
	}
	if (out->n)
		qsort(out->at, out->n, sizeof(*out->at), by_time);
}

void excerpt_past_fini(struct excerpt_past *p)
{
	if (p->bytes)
		explicit_bzero(p->bytes, p->size);
	free(p->bytes);
	free(p->at);
	*p = (struct excerpt_past){ 0 };
}
