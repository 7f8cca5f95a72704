#include "engine/lb.h"

#include <errno.h>

#include "base/base.h"

void lb_changed(struct lb *lb)
{
	lb->weighted = false;
	for (size_t i = 1; i < lb->n; i++)
		if (lb->members[i]->ratio != lb->members[0]->ratio)
			lb->weighted = true;
	if (lb->next >= lb->n)
		lb->next = 0;
}

static bool usable(const struct lb_member *m)
{
	return m->enabled && backend_is_usable(m->backend);
}

/* A candidate that is full is left out of this choice only: the caller asks again without it. */
static struct lb_member *in_turn(struct lb *lb)
{
	for (size_t i = 0; i < lb->n; i++) {
		struct lb_member *m = lb->members[(lb->next + i) % lb->n];

		if (!usable(m) || m->avoid || !backend_take(m->backend, lb->max_load))
			continue;
		lb->next = (lb->next + i + 1) % lb->n;
		return m;
	}
	return NULL;
}

/*
 * Smooth: each candidate earns its ratio, the richest is chosen and pays what
 * all earned. Sums stay bounded, also when candidates come and go.
 */
static struct lb_member *smooth(struct lb *lb)
{
	struct lb_member *best = NULL;
	int64_t total = 0;

	for (size_t i = 0; i < lb->n; i++) {
		struct lb_member *m = lb->members[i];

		if (!usable(m) || m->avoid)
			continue;
		if (lb->max_load && atomic_load_explicit(&m->backend->load, memory_order_relaxed) >= lb->max_load)
			continue;
		m->current += m->ratio;
		total += m->ratio;
		if (!best || m->current > best->current)
			best = m;
	}
	if (!best)
		return NULL;
	best->current -= total;
	/* Another worker may have taken the last place meanwhile: whoever has one will do. */
	return backend_take(best->backend, lb->max_load) ? best : in_turn(lb);
}

static struct lb_member *least(struct lb *lb)
{
	struct lb_member *best = NULL;
	uint64_t best_load = 0;
	size_t at = 0;

	for (size_t i = 0; i < lb->n; i++) {
		size_t pos = (lb->next + i) % lb->n;
		struct lb_member *m = lb->members[pos];
		uint64_t load;

		if (!usable(m) || m->avoid)
			continue;
		load = atomic_load_explicit(&m->backend->load, memory_order_relaxed);
		if (lb->max_load && load >= lb->max_load)
			continue;
		/*
		 * The load that it would have, divided by its ratio; cross-multiplied, so that
		 * nothing is rounded away.
		 */
		if (!best || (load + 1) * best->ratio < best_load * m->ratio) {
			best = m;
			best_load = load + 1;
			at = pos;
		}
	}
	if (!best)
		return NULL;
	if (!backend_take(best->backend, lb->max_load))
		return in_turn(lb);
	lb->next = (at + 1) % lb->n;
	return best;
}

static struct lb_member *pick(struct lb *lb)
{
	if (lb->kind == LB_LEAST_CONNECTIONS)
		return least(lb);
	return lb->weighted ? smooth(lb) : in_turn(lb);
}

struct lb_member *lb_pick(struct lb *lb, bool last_resort, int *why)
{
	struct lb_member *m = pick(lb);

	*why = -ENOENT;
	for (size_t i = 0; !m && i < lb->n; i++) {
		struct lb_member *other = lb->members[i];

		if (!usable(other))
			continue;
		if (!other->avoid) {
			*why = -EBUSY;
		} else if (last_resort) {
			if (backend_take(other->backend, lb->max_load))
				m = other;
			else
				*why = -EBUSY;
		}
	}
	return m;
}
