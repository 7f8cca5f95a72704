#include "engine/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"

#define COUNTER false
#define GAUGE   true

#define SERVICE(name, kind, unit, help) { #name, unit, help, offsetof(struct service_counters, name), kind },
static const struct counter_desc service_descs[] = {
#include "engine/counters.def"
};
#define SERVER(name, kind, unit, help) { #name, unit, help, offsetof(struct server_counters, name), kind },
static const struct counter_desc server_descs[] = {
#include "engine/counters.def"
};
#define RULE(name, kind, unit, help) { #name, unit, help, offsetof(struct rule_counters, name), kind },
static const struct counter_desc rule_descs[] = {
#include "engine/counters.def"
};
#define ENGINE(name, kind, unit, help) { #name, unit, help, offsetof(struct engine_counters, name), kind },
static const struct counter_desc engine_descs[] = {
#include "engine/counters.def"
};

const struct counter_set counters_service = { "service", service_descs, ARRAY_SIZE(service_descs) };
const struct counter_set counters_server = { "server", server_descs, ARRAY_SIZE(server_descs) };
const struct counter_set counters_rule = { "rule", rule_descs, ARRAY_SIZE(rule_descs) };
const struct counter_set counters_engine = { "engine", engine_descs, ARRAY_SIZE(engine_descs) };

/* A block: the engine's set, the slots, and the slot that swallows. */
#define BLOCK_BYTES ((size_t)(1 + COUNTERS_SLOTS + 1) * COUNTERS_SLOT_BYTES)

static int map(struct counters *c, int fd, unsigned workers)
{
	void *p;

	*c = (struct counters){ .workers = workers, .fd = fd, .bytes = (workers + 1) * BLOCK_BYTES };
	/* Sparse: only the slots that are used take memory. */
	p = mmap(NULL, c->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED) {
		int rc = -errno;

		close(fd);
		c->fd = -1;
		return rc;
	}
	c->mem = p;
	return 0;
}

int counters_new(struct counters *c, unsigned workers)
{
	CLEANUP_FD int fd = memfd_create("spanwire-counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int take;

	if (fd < 0 || ftruncate(fd, (off_t)((workers + 1) * BLOCK_BYTES)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	take = fd;
	fd = -1;
	return map(c, take, workers);
}

int counters_map(struct counters *c, int fd, unsigned workers)
{
	return map(c, fd, workers);
}

void counters_fini(struct counters *c)
{
	if (c->mem)
		munmap(c->mem, c->bytes);
	if (c->fd >= 0)
		close(c->fd);
	c->mem = NULL;
	c->fd = -1;
}

static uint8_t *at(const struct counters *c, unsigned worker, unsigned place)
{
	must(worker <= c->workers && place <= 1 + COUNTERS_SLOTS);
	return c->mem + worker * BLOCK_BYTES + (size_t)place * COUNTERS_SLOT_BYTES;
}

struct engine_counters *counters_engine_of(const struct counters *c, unsigned worker)
{
	return (struct engine_counters *)at(c, worker, 0);
}

struct service_counters *counters_service_of(const struct counters *c, unsigned worker, unsigned slot)
{
	return (struct service_counters *)at(c, worker, 1 + slot);
}

struct server_counters *counters_server_of(const struct counters *c, unsigned worker, unsigned slot)
{
	return (struct server_counters *)at(c, worker, 1 + slot);
}

struct rule_counters *counters_rule_of(const struct counters *c, unsigned worker, unsigned slot)
{
	return (struct rule_counters *)at(c, worker, 1 + slot);
}

static uint64_t *number(const struct counters *c, const struct counter_set *set, size_t i, unsigned worker,
			unsigned slot)
{
	unsigned place = set == &counters_engine ? 0 : 1 + slot;

	return (uint64_t *)(at(c, worker, place) + set->counters[i].offset);
}

static uint64_t sum_of(const struct counters *c, const struct counter_set *set, size_t i, unsigned slot)
{
	uint64_t sum = 0;

	for (unsigned w = 0; w <= c->workers; w++)
		sum += __atomic_load_n(number(c, set, i, w, slot), __ATOMIC_RELAXED);
	return sum;
}

uint64_t counters_digest(const struct counters *c, const struct counter_set *set, unsigned slot)
{
	uint64_t x = 0xcbf29ce484222325ULL, sums[COUNTERS_SLOT_BYTES / sizeof(uint64_t)] = { 0 };

	/* Block by block: once a second this is done for each of ten thousand servers. */
	for (unsigned w = 0; w <= c->workers; w++) {
		const uint64_t *block = number(c, set, 0, w, slot);

		for (size_t i = 0; i < set->n; i++)
			sums[i] += __atomic_load_n(&block[i], __ATOMIC_RELAXED);
	}
	for (size_t i = 0; i < set->n; i++) {
		x = (x ^ sums[i]) * 0x9E3779B97F4A7C15ULL;
		x ^= x >> 29;
	}
	return x;
}

json_t *counters_read_some(const struct counters *c, const struct counter_set *set, unsigned slot)
{
	json_t *o = json_object();

	for (size_t i = 0; i < set->n; i++) {
		uint64_t sum = sum_of(c, set, i, slot);

		if (sum || set->counters[i].gauge)
			json_object_set_new(o, set->counters[i].name, json_integer((json_int_t)sum));
	}
	return o;
}

json_t *counters_read(const struct counters *c, const struct counter_set *set, unsigned slot)
{
	json_t *o = json_object();

	for (size_t i = 0; i < set->n; i++)
		json_object_set_new(o, set->counters[i].name, json_integer((json_int_t)sum_of(c, set, i, slot)));
	return o;
}

void counters_drop_gauges(struct counters *c, const struct counter_set *set, unsigned slot)
{
	for (size_t i = 0; i < set->n; i++)
		for (unsigned w = 0; set->counters[i].gauge && w <= c->workers; w++)
			__atomic_store_n(number(c, set, i, w, slot), 0, __ATOMIC_RELAXED);
}

void counters_clear(struct counters *c, unsigned slot)
{
	for (unsigned w = 0; w <= c->workers; w++)
		memset(at(c, w, 1 + slot), 0, COUNTERS_SLOT_BYTES);
}
