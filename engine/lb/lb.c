#include "engine/lb/lb.h"

#include <errno.h>

#include "base/base.h"

/* What a ratio of 1 pays for a turn: every ratio divides it, so that no rounding ever adds up. */
#define STRIDE        (232792560ULL * LB_WHOLE)
#define RAMP_FLOOR    0.1             /* a fresh server begins with a tenth of its share */
#define RAMP_STEP_NS  1000000000ULL
#define FADE_NS       1e9             /* an answer's time counts half after so long */
#define SMOOTH        0.2             /* share of a new measurement */
#define RECENT_NS     1e9
#define CAPACITY      16.0            /* connections that a server of ratio 1 is trusted with at first */
#define CAPACITY_LEAST 4.0
#define SLOWER        2.0             /* times its best: too slow */
#define SLACK_NS      1e6
#define FULL_KEY      1e9             /* behind all places in the order of FEWEST_SERVERS */
#define RANDOM_TRIES  16

/* ---- what a member is worth ---- */

static bool usable(const struct lb_member *m)
{
	return m->enabled && backend_is_usable(m->backend);
}

static unsigned load_of(const struct lb_member *m)
{
	return atomic_load_explicit(&m->backend->load, memory_order_relaxed);
}

static bool is_full(const struct lb *lb, const struct lb_member *m)
{
	return lb->rules.max_load && load_of(m) >= lb->rules.max_load;
}

/* Does the algorithm go by load? Then a fresh server would get everything at once. */
static bool ramps(const struct lb *lb)
{
	switch (lb->rules.kind) {
	case LB_LEAST_CONNECTIONS:
	case LB_FASTEST_RESPONSE:
	case LB_LEAST_LOAD:
	case LB_FEWEST_TASKS:
		return lb->rules.ramp_ns > 0;
	default:
		return false;
	}
}

static void weigh(struct lb *lb, struct lb_member *m)
{
	uint64_t since = atomic_load_explicit(&m->backend->since_ns, memory_order_relaxed);
	uint32_t whole = m->ratio * LB_WHOLE;
	bool was = m->ramping;

	m->weight = whole;
	m->ramping = ramps(lb) && since && lb->now < since + lb->rules.ramp_ns;
	if (m->ramping) {
		double part = lb->now > since ? (double)(lb->now - since) / (double)lb->rules.ramp_ns : 0;

		m->weight = MAX((uint32_t)(whole * MAX(part, RAMP_FLOOR)), 1u);
	}
	lb->ramping += m->ramping;
	lb->ramping -= was;
}

static double answer_of(const struct lb *lb, const struct lb_member *m)
{
	double age = lb->now > m->answered_ns ? (double)(lb->now - m->answered_ns) : 0;

	if (m->answer_ns <= 0)
		return lb->usual_ns > 0 ? lb->usual_ns / 2 : 1; /* it is worth a try */
	return m->answer_ns / (1 + age / FADE_NS);
}

/* Bytes of the last second or so; what was counted since the last look is added to it. */
static void look_at_bytes(struct lb *lb, struct lb_member *m)
{
	uint64_t bytes = m->bytes ? __atomic_load_n(m->bytes, __ATOMIC_RELAXED) : 0;

	if (m->looked_ns && lb->now > m->looked_ns)
		m->recent_bytes /= 1 + (double)(lb->now - m->looked_ns) / RECENT_NS;
	if (m->looked_ns && bytes > m->bytes_then)
		m->recent_bytes += (double)(bytes - m->bytes_then);
	m->bytes_then = bytes;
	m->looked_ns = lb->now;
}

/* Of a server that told nothing: as many as the others have. */
static double tasks_of(struct lb *lb, const struct lb_member *m, unsigned load)
{
	int tasks = atomic_load_explicit(&m->backend->tasks, memory_order_relaxed);
	unsigned then = atomic_load_explicit(&m->backend->tasks_load, memory_order_relaxed);

	if (tasks >= 0) {
		lb->usual_tasks = lb->tasks_told ? lb->usual_tasks + (tasks - lb->usual_tasks) / 16 : tasks;
		lb->tasks_told = true;
	} else if (!lb->tasks_told) {
		return load;
	}
	return (tasks < 0 ? lb->usual_tasks : tasks) + (load > then ? load - then : 0);
}

/* How far its workers are from this one, going round. */
static double distance_of(const struct lb *lb, const struct lb_member *m)
{
	unsigned cores = MAX(lb->cores, 1u), sharing = MIN(MAX(lb->rules.core_sharing, 1u), cores), home, way;

	home = m->place % cores;
	way = (lb->core + cores - home) % cores; /* 0 .. sharing-1: it is ours */
	return way < sharing ? 0 : cores - way;
}

static double key_of(struct lb *lb, struct lb_member *m)
{
	unsigned load = load_of(m);
	double weight = m->weight;

	switch (lb->rules.kind) {
	case LB_LEAST_CONNECTIONS:
		return load / weight;
	case LB_FASTEST_RESPONSE:
		return answer_of(lb, m) * (load + 1) / weight;
	case LB_LEAST_LOAD:
		if (!m->bytes)
			return load / weight;
		look_at_bytes(lb, m);
		return (m->recent_bytes + load * (lb->usual_bytes + 1)) / weight;
	case LB_FEWEST_SERVERS:
		return load < m->capacity ? m->place : FULL_KEY + load / m->capacity;
	case LB_FEWEST_TASKS:
		return tasks_of(lb, m, load) / weight;
	case LB_CORE_AFFINITY:
		return distance_of(lb, m);
	default:
		return 0;
	}
}

static bool uses_heap(const struct lb *lb)
{
	return lb->rules.kind != LB_RANDOM && lb->rules.kind != LB_CONSISTENT_HASH && !lb->rules.wheel;
}

/* ---- the heap ---- */

/* Workers begin with different servers, or all would with the same. */
static size_t rank_of(const struct lb *lb, const struct lb_member *m)
{
	return (m->place + lb->n - lb->core % lb->n) % lb->n;
}

static bool before(const struct lb *lb, const struct lb_member *a, const struct lb_member *b)
{
	if (a->key != b->key)
		return a->key < b->key;
	if (a->pass != b->pass)
		return (int64_t)(a->pass - b->pass) < 0;
	return rank_of(lb, a) < rank_of(lb, b);
}

static void heap_at(struct lb *lb, size_t i, struct lb_member *m)
{
	lb->heap[i] = m;
	m->at = (uint32_t)i;
}

static void heap_move(struct lb *lb, struct lb_member *m)
{
	size_t i = m->at;

	while (i > 1 && before(lb, m, lb->heap[i / 2])) {
		heap_at(lb, i, lb->heap[i / 2]);
		i /= 2;
	}
	for (size_t child = 2 * i; child <= lb->heap_n; child = 2 * i) {
		if (child < lb->heap_n && before(lb, lb->heap[child + 1], lb->heap[child]))
			child++;
		if (!before(lb, lb->heap[child], m))
			break;
		heap_at(lb, i, lb->heap[child]);
		i = child;
	}
	heap_at(lb, i, m);
}

static void heap_add(struct lb *lb, struct lb_member *m)
{
	heap_at(lb, ++lb->heap_n, m);
	heap_move(lb, m);
}

static void heap_remove(struct lb *lb, struct lb_member *m)
{
	struct lb_member *last = lb->heap[lb->heap_n--];
	size_t at = m->at;

	m->at = 0;
	if (last == m)
		return;
	heap_at(lb, at, last);
	heap_move(lb, last);
}

/* Bring M to where it belongs now. */
static void settle(struct lb *lb, struct lb_member *m)
{
	bool in = usable(m) && !is_full(lb, m);

	if (!in) {
		if (m->at)
			heap_remove(lb, m);
		return;
	}
	if (!m->at && (int64_t)(m->pass - lb->turn) < 0)
		m->pass = lb->turn; /* what it missed while it was away is not made up for */
	if (!m->at) {
		m->key = key_of(lb, m);
		heap_add(lb, m);
	} else {
		double key = key_of(lb, m);

		if (key != m->key) {
			m->key = key;
			heap_move(lb, m);
		}
	}
}

/* ---- changes ---- */

void lb_fini(struct lb *lb)
{
	free(lb->heap);
	free(lb->alias);
	free(lb->chance);
	lb->heap = NULL;
	lb->alias = lb->chance = NULL;
}

void lb_drop(struct lb *lb, struct lb_member *m)
{
	if (m->at)
		heap_remove(lb, m);
	lb->ramping -= m->ramping;
	m->ramping = m->seen = false;
}

void lb_look(struct lb *lb, struct lb_member *m)
{
	weigh(lb, m);
	if (uses_heap(lb))
		settle(lb, m);
}

/* Walker's tables, as Vose builds them: one throw and one comparison choose by ratio. */
static void alias_build(struct lb *lb)
{
	uint64_t sum = 0;
	size_t small_n = 0, large_n = 0;
	uint64_t *share = xcalloc(lb->n + 1, sizeof(share[0]));
	uint32_t *small = xcalloc(lb->n + 1, sizeof(small[0])), *large = xcalloc(lb->n + 1, sizeof(large[0]));

	lb->alias = xrealloc(lb->alias, (lb->n + 1) * sizeof(lb->alias[0]));
	lb->chance = xrealloc(lb->chance, (lb->n + 1) * sizeof(lb->chance[0]));
	for (size_t i = 0; i < lb->n; i++)
		sum += lb->members[i]->ratio;
	for (size_t i = 0; i < lb->n; i++) {
		share[i] = lb->members[i]->ratio * (uint64_t)lb->n; /* of `sum`, the average */
		lb->chance[i] = UINT32_MAX;
		lb->alias[i] = (uint32_t)i;
		if (share[i] < sum)
			small[small_n++] = (uint32_t)i;
		else
			large[large_n++] = (uint32_t)i;
	}
	while (small_n && large_n) {
		uint32_t s = small[--small_n], l = large[large_n - 1];

		lb->chance[s] = (uint32_t)((double)share[s] / (double)sum * UINT32_MAX);
		lb->alias[s] = l;
		share[l] -= sum - share[s];
		if (share[l] < sum) {
			large_n--;
			small[small_n++] = l;
		}
	}
	free(share);
	free(small);
	free(large);
}

/* Part of the golden ratio's multiple: any N of them in a row lie as far apart as N points can. */
static double spread(size_t i)
{
	double golden = (double)i * 0.6180339887498949;

	return golden - (double)(uint64_t)golden;
}

/* A ratio of 3 among three of 1 is spread between them: turns begin at places that no ratio divides. */
static uint64_t first_pass(const struct lb *lb, const struct lb_member *m, bool weighted)
{
	return lb->turn + (weighted ? (uint64_t)(spread(rank_of(lb, m)) * (double)(STRIDE / m->weight)) : 0);
}

void lb_set(struct lb *lb, const struct lb_rules *rules, struct lb_member **members, size_t n)
{
	bool other = rules->kind != lb->rules.kind || !lb->heap, weighted = false;

	for (size_t i = 1; i <= lb->heap_n; i++)
		lb->heap[i]->at = 0;
	lb->heap_n = 0;
	lb->rules = *rules;
	lb->members = members;
	lb->n = n;
	lb->heap = xrealloc(lb->heap, (n + 1) * sizeof(lb->heap[0]));
	if (!lb->random)
		lb->random = lb_hash_mix(lb->core + 1) | 1;
	for (size_t i = 1; i < n; i++)
		weighted |= members[i]->ratio != members[0]->ratio;
	for (size_t i = 0; i < n; i++) {
		struct lb_member *m = members[i];

		m->place = (uint32_t)i;
		weigh(lb, m);
		if (m->capacity <= 0)
			m->capacity = CAPACITY * m->ratio;
		if (!m->seen || other)
			m->pass = first_pass(lb, m, weighted);
		m->seen = true;
		if (uses_heap(lb) && usable(m) && !is_full(lb, m)) {
			m->key = key_of(lb, m);
			heap_add(lb, m);
		}
	}
	if (rules->kind == LB_RANDOM)
		alias_build(lb);
}

/* ---- choosing ---- */

static bool is_avoided(const struct lb_ask *ask, const struct lb_member *m)
{
	for (unsigned i = 0; i < ask->avoid_n; i++)
		if (ask->avoid[i] == m)
			return true;
	return false;
}

static bool take(struct lb *lb, struct lb_member *m)
{
	if (backend_take(m->backend, lb->rules.max_load))
		return true;
	lb->overflows++;
	return false;
}

/* The wheel of time: shares that grow, and members whose state others changed. */
static void look_around(struct lb *lb)
{
	size_t n = MIN(lb->n, (size_t)LB_LOOKS);

	if (lb->ramping && lb->now >= lb->ramped_ns + RAMP_STEP_NS) {
		lb->ramped_ns = lb->now;
		for (size_t i = 0; i < lb->n; i++)
			if (lb->members[i]->ramping)
				lb_look(lb, lb->members[i]);
	}
	for (size_t i = 0; i < n; i++) {
		if (++lb->look >= lb->n)
			lb->look = 0;
		settle(lb, lb->members[lb->look]);
	}
}

static struct lb_member *pick_heap(struct lb *lb, const struct lb_ask *ask)
{
	struct lb_member *aside[LB_AVOID], *m = NULL;
	unsigned aside_n = 0;

	look_around(lb);
	while (lb->heap_n) {
		m = lb->heap[1];
		if (!usable(m)) {
			heap_remove(lb, m);
		} else if (is_avoided(ask, m)) {
			heap_remove(lb, m);
			aside[aside_n++] = m;
		} else {
			double key = key_of(lb, m);

			if (key > m->key) { /* it is worse than it looked: the next one may be better */
				m->key = key;
				heap_move(lb, m);
				continue;
			}
			if (take(lb, m))
				break;
			heap_remove(lb, m);
		}
		m = NULL;
	}
	for (unsigned i = 0; i < aside_n; i++)
		heap_add(lb, aside[i]);
	if (!m)
		return NULL;
	if ((int64_t)(m->pass - lb->turn) > 0)
		lb->turn = m->pass;
	else if ((int64_t)(lb->turn - m->pass) > (int64_t)(STRIDE / m->weight))
		m->pass = lb->turn - STRIDE / m->weight;
	m->pass += STRIDE / m->weight;
	m->key = key_of(lb, m);
	heap_move(lb, m);
	return m;
}

static uint64_t throw(struct lb *lb)
{
	/* xorshift64* (Vigna, 2014). */
	lb->random ^= lb->random >> 12;
	lb->random ^= lb->random << 25;
	lb->random ^= lb->random >> 27;
	return lb->random * 0x2545F4914F6CDD1DULL;
}

static struct lb_member *pick_random(struct lb *lb, const struct lb_ask *ask)
{
	for (unsigned i = 0; i < RANDOM_TRIES && lb->n; i++) {
		uint64_t r = throw(lb);
		size_t place = (size_t)((r >> 32) * lb->n >> 32);
		struct lb_member *m;

		if ((uint32_t)r > lb->chance[place])
			place = lb->alias[place];
		m = lb->members[place];
		if (usable(m) && !is_avoided(ask, m) && take(lb, m))
			return m;
	}
	return NULL;
}

struct candidate {
	struct lb *lb;
	const struct lb_ask *ask;
};

static bool may_be(void *arg, size_t place)
{
	const struct candidate *c = arg;
	const struct lb_member *m = c->lb->members[place];

	return usable(m) && !is_full(c->lb, m) && !is_avoided(c->ask, m);
}

static struct lb_member *pick_hash(struct lb *lb, const struct lb_ask *ask)
{
	struct candidate c = { lb, ask };

	/* Again only when another worker took the last place. */
	for (unsigned i = 0; i < RANDOM_TRIES; i++) {
		size_t place = lb_hash_find(lb->rules.hash, lb_hash_mix(ask->key), may_be, &c);

		if (place == LB_HASH_NONE)
			return NULL;
		if (take(lb, lb->members[place]))
			return lb->members[place];
	}
	return NULL;
}

static struct lb_member *pick_wheel(struct lb *lb, const struct lb_ask *ask)
{
	const struct lb_wheel *wheel = lb->rules.wheel;
	unsigned turn = atomic_fetch_add_explicit(wheel->turn, 1, memory_order_relaxed);

	for (size_t i = 0; i < wheel->n; i++) {
		struct lb_member *m = lb->members[wheel->places[(turn + i) % wheel->n]];

		if (usable(m) && !is_avoided(ask, m) && take(lb, m))
			return m;
	}
	return NULL;
}

/* Whoever will do: nobody was found, and that is either so or other workers have just been here. */
static struct lb_member *pick_any(struct lb *lb, const struct lb_ask *ask, int *why)
{
	*why = -ENOENT;
	for (size_t i = 0; i < lb->n; i++) {
		struct lb_member *m = lb->members[(i + lb->look) % lb->n];

		if (!usable(m) || is_avoided(ask, m))
			continue;
		if (take(lb, m))
			return m;
		*why = -EBUSY;
	}
	return NULL;
}

struct lb_member *lb_pick(struct lb *lb, const struct lb_ask *ask, int *why)
{
	struct lb_member *m;

	lb->now = MAX(lb->now, ask->now);
	if (lb->rules.kind == LB_RANDOM)
		m = pick_random(lb, ask);
	else if (lb->rules.kind == LB_CONSISTENT_HASH && lb->rules.hash)
		m = pick_hash(lb, ask);
	else if (lb->rules.wheel)
		m = pick_wheel(lb, ask);
	else
		m = pick_heap(lb, ask);
	return m ? m : pick_any(lb, ask, why);
}

bool lb_take(struct lb *lb, struct lb_member *m)
{
	if (!take(lb, m))
		return false;
	if (uses_heap(lb) && m->at)
		settle(lb, m);
	return true;
}

void lb_release(struct lb *lb, struct lb_member *m)
{
	backend_release(m->backend);
	if (!m->seen)
		return; /* not a member any more */
	if (lb->rules.kind == LB_LEAST_LOAD) {
		/* What came since the last end, as the exchange's: among several at once the sum is right. */
		uint64_t bytes = m->bytes ? __atomic_load_n(m->bytes, __ATOMIC_RELAXED) : 0;

		lb->usual_bytes += SMOOTH / 4 * ((double)(bytes - m->bytes_at_end) - lb->usual_bytes);
		m->bytes_at_end = bytes;
	}
	if (uses_heap(lb))
		settle(lb, m);
}

/* Too slow for what it carries: less. Quick although it is at its limit: more. */
static void capacity_learn(struct lb_member *m)
{
	unsigned load = load_of(m);

	if (m->answer_ns > SLOWER * m->best_ns + SLACK_NS)
		m->capacity = MAX(m->capacity - m->capacity / 8, CAPACITY_LEAST * m->ratio);
	else if (load + 1 >= m->capacity)
		m->capacity += 1;
}

void lb_answered(struct lb *lb, struct lb_member *m, uint64_t ns)
{
	double t = (double)MAX(ns, (uint64_t)1);

	m->answer_ns = m->answer_ns > 0 ? m->answer_ns + SMOOTH * (t - m->answer_ns) : t;
	m->answered_ns = lb->now;
	lb->usual_ns = lb->usual_ns > 0 ? lb->usual_ns + SMOOTH / 4 * (t - lb->usual_ns) : t;
	/* The best is forgotten slowly: a server may have become slower for good. */
	m->best_ns = m->best_ns > 0 && m->best_ns < t ? m->best_ns + (t - m->best_ns) / 1024 : t;
	if (lb->rules.kind == LB_FEWEST_SERVERS)
		capacity_learn(m);
	if (m->seen && uses_heap(lb))
		settle(lb, m);
}

/* ---- the wheel ---- */

struct spoke {
	double at;
	uint32_t place;
};

static int by_time(const void *a, const void *b)
{
	const struct spoke *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

const struct lb_wheel *lb_wheel_new(struct arena *a, atomic_uint *turn, const unsigned *ratios, size_t n)
{
	struct lb_wheel *w = arena_get(a, sizeof(*w));
	struct spoke *spokes;
	bool weighted = false;
	size_t at = 0;

	w->turn = turn;
	for (size_t i = 0; i < n; i++)
		weighted |= ratios[i] != ratios[0];
	for (size_t i = 0; i < n; i++)
		w->n += weighted ? ratios[i] : 1;
	spokes = xcalloc(w->n + 1, sizeof(spokes[0]));
	w->places = arena_get(a, (w->n + 1) * sizeof(w->places[0]));
	for (size_t i = 0; i < n; i++) {
		double first = weighted ? spread(i) : 0;
		unsigned ratio = weighted ? ratios[i] : 1;

		for (unsigned j = 0; j < ratio; j++)
			spokes[at++] = (struct spoke){ (j + first) / ratio, (uint32_t)i };
	}
	qsort(spokes, w->n, sizeof(spokes[0]), by_time);
	for (size_t i = 0; i < w->n; i++)
		w->places[i] = spokes[i].place;
	free(spokes);
	return w;
}
