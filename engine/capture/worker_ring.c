#include "engine/capture/worker_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"

#define HEAD_BYTES 4096u

struct ring {
	uint64_t head;            /* bytes ever put; the writer's */
	uint64_t lost;
	uint8_t apart[112];
	uint64_t tail;            /* bytes ever taken; the reader's */
};

static size_t bytes_for(unsigned workers)
{
	return (size_t)workers * WORKER_RING_PLACES * (HEAD_BYTES + WORKER_RING_BYTES);
}

static struct ring *ring_of(const struct worker_ring *c, unsigned worker, unsigned place)
{
	must(worker < c->workers && place < WORKER_RING_PLACES);
	return (struct ring *)(void *)(c->mem + ((size_t)place * c->workers + worker) * (HEAD_BYTES + WORKER_RING_BYTES));
}

static uint8_t *data_of(struct ring *r)
{
	return (uint8_t *)r + HEAD_BYTES;
}

int worker_ring_map(struct worker_ring *c, int fd, unsigned workers)
{
	void *at = mmap(NULL, bytes_for(workers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (at == MAP_FAILED) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	*c = (struct worker_ring){ .mem = at, .workers = workers, .fd = fd };
	return 0;
}

int worker_ring_new(struct worker_ring *c, unsigned workers)
{
	int fd = memfd_create("spanwire-worker_ring", MFD_CLOEXEC | MFD_ALLOW_SEALING), rc;

	*c = (struct worker_ring){ .fd = -1 };
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes_for(workers)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return worker_ring_map(c, fd, workers);
}

void worker_ring_fini(struct worker_ring *c)
{
	if (c->mem)
		munmap(c->mem, bytes_for(c->workers));
	if (c->fd >= 0)
		close(c->fd);
	*c = (struct worker_ring){ .fd = -1 };
}

static void copy_in(struct ring *r, uint64_t at, const void *p, size_t n)
{
	size_t from = at % WORKER_RING_BYTES, first = MIN(n, WORKER_RING_BYTES - from);

	memcpy(data_of(r) + from, p, first);
	memcpy(data_of(r), (const uint8_t *)p + first, n - first);
}

static void copy_out(struct ring *r, uint64_t at, void *p, size_t n)
{
	size_t from = at % WORKER_RING_BYTES, first = MIN(n, WORKER_RING_BYTES - from);

	memcpy(p, data_of(r) + from, first);
	memcpy((uint8_t *)p + first, data_of(r), n - first);
}

bool worker_ring_put(const struct worker_ring *c, unsigned worker, unsigned place, const struct told *t, const struct iovec *iov, int n)
{
	struct ring *r = ring_of(c, worker, place);
	uint64_t head = r->head, tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE), at = head + sizeof(*t);

	must(t->len <= WORKER_RING_DATA_MAX);
	if (head - tail + sizeof(*t) + t->len > WORKER_RING_BYTES) {
		__atomic_store_n(&r->lost, r->lost + 1, __ATOMIC_RELAXED);
		return false;
	}
	copy_in(r, head, t, sizeof(*t));
	for (int i = 0; i < n; i++) {
		copy_in(r, at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	__atomic_store_n(&r->head, at, __ATOMIC_RELEASE);
	return true;
}

bool worker_ring_take(const struct worker_ring *c, unsigned worker, unsigned place, struct told *t, uint8_t *data)
{
	struct ring *r = ring_of(c, worker, place);
	uint64_t tail = r->tail, head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE), there = head - tail;

	if (there == 0)
		return false;
	if (there >= sizeof(*t) && there <= WORKER_RING_BYTES) {
		copy_out(r, tail, t, sizeof(*t));
		if (t->len <= WORKER_RING_DATA_MAX && sizeof(*t) + t->len <= there) {
			copy_out(r, tail + sizeof(*t), data, t->len);
			t->note.request[PACKETS_REQUEST_MAX] = '\0';
			__atomic_store_n(&r->tail, tail + sizeof(*t) + t->len, __ATOMIC_RELEASE);
			return true;
		}
	}
	/* Nobody of ours wrote that: on with what comes now. */
	__atomic_store_n(&r->tail, head, __ATOMIC_RELEASE);
	return false;
}

void worker_ring_clear(const struct worker_ring *c, unsigned place, bool free)
{
	for (unsigned w = 0; w < c->workers; w++) {
		struct ring *r = ring_of(c, w, place);
		off_t at = (uint8_t *)r - c->mem;

		__atomic_store_n(&r->tail, __atomic_load_n(&r->head, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
		if (free)
			(void)!fallocate(c->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at + HEAD_BYTES, WORKER_RING_BYTES);
	}
}

uint64_t worker_ring_lost(const struct worker_ring *c, unsigned place)
{
	uint64_t n = 0;

	for (unsigned w = 0; w < c->workers; w++)
		n += __atomic_load_n(&ring_of(c, w, place)->lost, __ATOMIC_RELAXED);
	return n;
}
