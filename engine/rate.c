#include "engine/rate.h"

#include <sys/random.h>

#include "base/base.h"

#define SETS      16384         /* x WAYS clients at a time */
#define WAYS      4
#define PUNISH_NS (10 * NS_PER_S)

struct rate_limit rate_limit_of(uint64_t count, uint64_t period_ns, uint64_t burst)
{
	uint64_t each = MAX(period_ns / MAX(count, (uint64_t)1), (uint64_t)1), room;

	if (__builtin_mul_overflow(each, burst ? burst - 1 : 0, &room))
		room = UINT64_MAX / 4;
	return (struct rate_limit){ each, MIN(room, UINT64_MAX / 4) };
}

/* *EMPTY is what the bucket says; false: too much. */
static bool take(_Atomic uint64_t *at, const struct rate_limit *l, uint64_t now, uint64_t punish)
{
	uint64_t empty = atomic_load_explicit(at, memory_order_relaxed), next;
	bool ok;

	do {
		uint64_t from = MAX(empty, now);

		ok = from - now <= l->room_ns;
		if (!ok && (!punish || from - now >= l->room_ns + punish))
			return false;
		next = from + l->each_ns;
	} while (!atomic_compare_exchange_weak_explicit(at, &empty, next, memory_order_relaxed, memory_order_relaxed));
	return ok;
}

bool rate_take(struct rate *r, const struct rate_limit *l, uint64_t now_ns)
{
	return !l->each_ns || take(&r->empty_ns, l, now_ns, 0);
}

/* ---- many clients ---- */

struct entry {
	_Atomic uint64_t who;      /* a keyed hash: strangers choose their addresses */
	_Atomic uint64_t empty_ns;
};

struct rate_table {
	uint64_t key[2];
	struct entry at[SETS][WAYS];
};

struct rate_table *rate_table_new(void)
{
	struct rate_table *t = xcalloc(1, sizeof(*t));

	must(getrandom(t->key, sizeof(t->key), 0) == sizeof(t->key));
	return t;
}

void rate_table_free(struct rate_table *t)
{
	free(t);
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t who_is(const struct rate_table *t, const union address *client)
{
	uint64_t ip[2];

	address_mapped(client, (uint8_t *)ip);
	return fold(fold(ip[0] ^ t->key[0], ip[1] ^ t->key[1]) ^ t->key[0], t->key[1] | 1) | 1;
}

bool rate_table_take(struct rate_table *t, const union address *client, const struct rate_limit *l, bool punish,
		     uint64_t now_ns)
{
	uint64_t who = who_is(t, client);
	struct entry *set = t->at[who >> 32 & (SETS - 1)], *mine = &set[0];

	if (!l->each_ns)
		return true;
	for (unsigned i = 0; i < WAYS; i++) {
		if (atomic_load_explicit(&set[i].who, memory_order_relaxed) == who)
			return take(&set[i].empty_ns, l, now_ns, punish ? PUNISH_NS : 0);
		if (atomic_load_explicit(&set[i].empty_ns, memory_order_relaxed) <
		    atomic_load_explicit(&mine->empty_ns, memory_order_relaxed))
			mine = &set[i];
	}
	/* Two workers that do so at once give one client a little more than its due. */
	atomic_store_explicit(&mine->empty_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&mine->who, who, memory_order_relaxed);
	return take(&mine->empty_ns, l, now_ns, 0);
}
