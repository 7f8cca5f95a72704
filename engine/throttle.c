#include "engine/throttle.h"

#include "base/base.h"
#include "engine/counters.h"

#define ROOM_NS     (20 * NS_PER_MS) /* as much may be overdrawn before nobody reads */
#define AGAIN_NS    (15 * NS_PER_MS) /* and when it is as little somebody does: a timer may be late */
#define CREDIT_NS   (100 * NS_PER_MS) /* what was not used for so long may be used later: we may have been late */
#define SHARE_NS    (2 * NS_PER_MS)
#define SHARE_MIN   4096u
#define SHARE_MAX   (256u << 10)
#define GO_ON_AT_ONCE 16

/* A megabit a second is a bit in a microsecond. */
static uint64_t cost_ns(uint64_t mbps, size_t bytes)
{
	return bytes * 8000 / mbps;
}

void throttle_init(struct throttle *t, struct loop *l)
{
	*t = (struct throttle){ .loop = l };
	list_init(&t->waiting);
}

void throttle_fini(struct throttle *t)
{
	must(list_empty(&t->waiting));
	timer_stop(t->loop, &t->timer);
}

static uint64_t overdrawn_ns(const struct throttle *t)
{
	uint64_t empty = atomic_load_explicit(&t->bytes->empty_ns, memory_order_relaxed), now = mono_ns();

	return empty > now ? empty - now : 0;
}

static void look(struct timer *timer);

static void look_later(struct throttle *t, uint64_t over)
{
	timer_in(t->loop, &t->timer, 1 + (over > AGAIN_NS ? (over - AGAIN_NS) / NS_PER_MS : 0), look);
}

/* Those who wait longest; who finds nothing to read makes room for others a millisecond later. */
static void look(struct timer *timer)
{
	struct throttle *t = CONTAINER_OF(timer, struct throttle, timer);
	uint64_t over = overdrawn_ns(t);

	for (unsigned i = 0; i < GO_ON_AT_ONCE && over <= ROOM_NS && !list_empty(&t->waiting); i++) {
		struct throttled *who = LIST_ENTRY(t->waiting.next, struct throttled, link);

		list_remove(&who->link);
		who->go_on(who);
	}
	if (!list_empty(&t->waiting))
		look_later(t, over);
}

void throttle_set(struct throttle *t, uint64_t mbps, struct rate *bytes, uint64_t *waits)
{
	if (t->mbps && mbps != t->mbps)
		atomic_store_explicit(&t->bytes->empty_ns, 0, memory_order_relaxed); /* old debts were of another rate */
	t->mbps = mbps;
	t->bytes = bytes;
	t->waits = waits;
	t->share = mbps ? MIN(MAX((size_t)(SHARE_NS * mbps / 8000), (size_t)SHARE_MIN), (size_t)SHARE_MAX) : 0;
	if (mbps)
		return;
	timer_stop(t->loop, &t->timer);
	while (!list_empty(&t->waiting)) {
		struct throttled *who = LIST_ENTRY(t->waiting.next, struct throttled, link);

		list_remove(&who->link);
		who->go_on(who);
	}
}

bool throttle_waits(struct throttle *t, struct throttled *who)
{
	uint64_t over = overdrawn_ns(t);

	if (over <= ROOM_NS)
		return false;
	if (list_empty(&who->link)) {
		list_insert(&t->waiting, &who->link);
		counter_add(t->waits, 1);
	}
	if (!t->timer.active)
		look_later(t, over);
	return true;
}

void throttle_took(struct throttle *t, size_t n)
{
	_Atomic uint64_t *at = &t->bytes->empty_ns;
	uint64_t empty = atomic_load_explicit(at, memory_order_relaxed), now = mono_ns();

	while (!atomic_compare_exchange_weak_explicit(at, &empty, MAX(empty, now - CREDIT_NS) + cost_ns(t->mbps, n),
						      memory_order_relaxed, memory_order_relaxed))
		;
}
