#include "engine/clone/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"
#include "engine/bpf/abi.h"

struct outlet_slot {
	uint32_t generation, ended;
};

#define SLOTS_BYTES (TARGETS_MAX * sizeof(struct outlet_slot))
#define BOOKS_BYTES (TARGETS_MAX * sizeof(struct outlet_book))

static size_t bytes_for(unsigned workers)
{
	return SLOTS_BYTES + workers * BOOKS_BYTES;
}

int outlet_map(struct outlet *t, int fd, unsigned workers)
{
	void *p;

	*t = (struct outlet){ .workers = workers, .mem_fd = fd, .bytes = bytes_for(workers) };
	/* Sparse: only the targets that are used take memory. */
	p = mmap(NULL, t->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED) {
		int rc = -errno;

		close(fd);
		t->mem_fd = -1;
		return rc;
	}
	t->mem = p;
	return 0;
}

int outlet_new(struct outlet *t, unsigned workers)
{
	CLEANUP_FD int fd = memfd_create("spanwire-outlet", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int take;

	*t = (struct outlet){ .mem_fd = -1 };
	if (fd < 0 || ftruncate(fd, (off_t)bytes_for(workers)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	take = fd;
	fd = -1;
	return outlet_map(t, take, workers);
}

void outlet_fini(struct outlet *t)
{
	if (t->mem)
		munmap(t->mem, t->bytes);
	if (t->mem_fd >= 0)
		close(t->mem_fd);
	for (unsigned i = 0; t->queues && i < t->workers; i++)
		close(t->queues[i]);
	free(t->queues);
	*t = (struct outlet){ .mem_fd = -1 };
}

static struct outlet_slot *slot_of(const struct outlet *t, uint32_t slot)
{
	must(t->mem && slot < TARGETS_MAX);
	return (struct outlet_slot *)t->mem + slot;
}

void outlet_set(struct outlet *t, uint32_t slot, uint32_t generation, bool ended)
{
	__atomic_store_n(&slot_of(t, slot)->ended, ended, __ATOMIC_RELAXED);
	__atomic_store_n(&slot_of(t, slot)->generation, generation, __ATOMIC_RELAXED);
}

bool outlet_is_current(const struct outlet *t, uint32_t slot, uint32_t generation)
{
	return __atomic_load_n(&slot_of(t, slot)->generation, __ATOMIC_RELAXED) == generation;
}

bool outlet_has_ended(const struct outlet *t, uint32_t slot)
{
	return __atomic_load_n(&slot_of(t, slot)->ended, __ATOMIC_RELAXED);
}

bool outlet_has_flows(const struct outlet *t, uint32_t slot)
{
	for (unsigned w = 0; w < t->workers; w++)
		if (__atomic_load_n(&outlet_book(t, w, slot)->flows, __ATOMIC_RELAXED))
			return true;
	return false;
}

void outlet_drop_flows(struct outlet *t)
{
	for (unsigned w = 0; w < t->workers; w++)
		for (uint32_t slot = 0; slot < TARGETS_MAX; slot++)
			if (outlet_book(t, w, slot)->flows)
				__atomic_store_n(&outlet_book(t, w, slot)->flows, 0, __ATOMIC_RELAXED);
}

struct outlet_book *outlet_book(const struct outlet *t, unsigned worker, uint32_t slot)
{
	must(t->mem && worker < t->workers && slot < TARGETS_MAX);
	return (struct outlet_book *)(t->mem + SLOTS_BYTES + worker * BOOKS_BYTES) + slot;
}

void outlet_read(const struct outlet *t, uint32_t slot, struct outlet_book *out)
{
	uint64_t *sum = (uint64_t *)out;

	*out = (struct outlet_book){ 0 };
	for (unsigned w = 0; w < t->workers; w++) {
		const uint64_t *n = (const uint64_t *)outlet_book(t, w, slot);

		for (size_t i = 0; i < sizeof(*out) / sizeof(*sum); i++)
			sum[i] += __atomic_load_n(&n[i], __ATOMIC_RELAXED);
	}
}
