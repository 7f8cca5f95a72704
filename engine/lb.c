#include "engine/lb.h"

#include <errno.h>
#include <limits.h>

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

/* Its load; UINT_MAX: it may not be chosen now. */
static unsigned load_of(const struct lb *lb, const struct lb_member *m)
{
	unsigned load = atomic_load_explicit(&m->backend->load, memory_order_relaxed);

	return usable(m) && !m->avoid && (!lb->max_load || load < lb->max_load) ? load : UINT_MAX;
}

/*
 * Smooth: each candidate earns its ratio, the richest is chosen and pays what
 * all earned. Sums stay bounded, also when candidates come and go. LEAST: the
 * candidates are only those with the smallest load for their ratio.
 */
static struct lb_member *smooth(struct lb *lb, bool least)
{
	uint64_t least_load = UINT64_MAX, least_ratio = 1;
	struct lb_member *best = NULL;
	int64_t total = 0;

	/* a/b < c/d as a*d < c*b: nothing is rounded away. */
	for (size_t i = 0; least && i < lb->n; i++) {
		unsigned load = load_of(lb, lb->members[i]);

		if (load == UINT_MAX || (least_load != UINT64_MAX &&
					 load * least_ratio >= least_load * lb->members[i]->ratio))
			continue;
		least_load = load;
		least_ratio = lb->members[i]->ratio;
	}
	for (size_t i = 0; i < lb->n; i++) {
		struct lb_member *m = lb->members[i];
		unsigned load = load_of(lb, m);

		if (load == UINT_MAX || (least && load * least_ratio > least_load * m->ratio))
			continue;
		m->current += m->ratio;
		total += m->ratio;
		if (!best || m->current > best->current)
			best = m;
	}
	/* Other workers choose at the same time: where they took the last place, whoever has one will do. */
	if (!best)
		return in_turn(lb);
	best->current -= total;
	return backend_take(best->backend, lb->max_load) ? best : in_turn(lb);
}

static struct lb_member *pick(struct lb *lb)
{
	if (lb->kind == LB_LEAST_CONNECTIONS)
		return smooth(lb, true);
	return lb->weighted ? smooth(lb, false) : in_turn(lb);
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
