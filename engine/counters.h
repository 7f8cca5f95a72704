/*
 * counters - numbers that outlive the proxy.
 *
 * They live in a memory file that the warden made and the proxy maps: a block
 * per worker, in it one set for the engine and one slot per service or
 * server. Each number has one writer (its worker), who stores relaxed; the
 * warden sums the blocks when it reads. Nothing is ever zeroed under a reader
 * but the gauges of a proxy that is gone.
 *
 * The sets are structs made from engine/counters.def, so a counter is used by
 * its name: counter_add(&service->counters->bytes_to_client, n).
 */
#ifndef SPANWIRE_ENGINE_COUNTERS_H
#define SPANWIRE_ENGINE_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

#define COUNTERS_SLOTS   65536
#define COUNTERS_NO_SLOT COUNTERS_SLOTS /* a slot that swallows: when all are taken */
#define COUNTERS_SLOT_BYTES 1024

#define SERVICE(name, kind, unit, help) uint64_t name;
struct service_counters {
#include "engine/counters.def"
};
#define SERVER(name, kind, unit, help) uint64_t name;
struct server_counters {
#include "engine/counters.def"
};
#define RULE(name, kind, unit, help) uint64_t name;
struct rule_counters {
#include "engine/counters.def"
};
#define ENGINE(name, kind, unit, help) uint64_t name;
struct engine_counters {
#include "engine/counters.def"
};

_Static_assert(sizeof(struct service_counters) <= COUNTERS_SLOT_BYTES, "a slot holds a service");
_Static_assert(sizeof(struct server_counters) <= COUNTERS_SLOT_BYTES, "a slot holds a server");
_Static_assert(sizeof(struct rule_counters) <= COUNTERS_SLOT_BYTES, "a slot holds a rule");
_Static_assert(sizeof(struct engine_counters) <= COUNTERS_SLOT_BYTES, "a slot holds an engine");

/* Only the owner of the block writes: no lock prefix is needed, only that a reader never sees half a number. */
static inline void counter_add(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

static inline void counter_sub(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c - n, __ATOMIC_RELAXED);
}

struct records;

struct counters {
	uint8_t *mem;
	size_t bytes;
	unsigned workers;
	int fd;
	struct records *records;         /* what the workers write beside them; NULL: none. Borrowed */
};

/* One line of the tables. */
struct counter_desc {
	const char *name, *unit, *help;
	size_t offset;
	bool gauge;
};

struct counter_set {
	const char *name;                /* "service", "server", "engine" */
	const struct counter_desc *counters;
	size_t n;
};

extern const struct counter_set counters_service, counters_server, counters_rule, counters_engine;

/*
 * Blocks for WORKERS workers and one more, the last, of the process' main thread (the warden's own numbers too).
 * The file cannot be shrunk: a proxy gone wild cannot take the memory from under the warden.
 */
int counters_new(struct counters *c, unsigned workers);
/* Map the file that the warden made. Takes FD. */
int counters_map(struct counters *c, int fd, unsigned workers);
void counters_fini(struct counters *c);

/* WORKER == workers is the main thread's block. */
struct engine_counters *counters_engine_of(const struct counters *c, unsigned worker);
struct service_counters *counters_service_of(const struct counters *c, unsigned worker, unsigned slot);
struct server_counters *counters_server_of(const struct counters *c, unsigned worker, unsigned slot);
struct rule_counters *counters_rule_of(const struct counters *c, unsigned worker, unsigned slot);

/* Another number when the sums over all blocks are others, as good as certainly. */
uint64_t counters_digest(const struct counters *c, const struct counter_set *set, unsigned slot);
/* As counters_read(), without the counters that are zero; gauges come in any case. */
json_t *counters_read_some(const struct counters *c, const struct counter_set *set, unsigned slot);
/* The sums over all blocks as {name: value}; for the engine SLOT is ignored. New reference. */
json_t *counters_read(const struct counters *c, const struct counter_set *set, unsigned slot);
/* The proxy is gone, and what its gauges counted with it. */
void counters_drop_gauges(struct counters *c, const struct counter_set *set, unsigned slot);
/* A slot is given to somebody else. */
void counters_clear(struct counters *c, unsigned slot);

#endif
