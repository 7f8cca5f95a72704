/*
 * The timers hang in a wheel of four rings of 64 slots; the first ring's grain
 * is 1 ms, each further ring's is 64 times coarser. A timer is put into the
 * ring that its distance needs and moves inwards when the wheel turns over it,
 * so start and stop are O(1). Deadlines beyond the last ring (4.6 hours) wait
 * in its last slot and are put again from there.
 */
#include "net/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/base.h"

#define RING_BITS  6
#define RING_SLOTS (1u << RING_BITS)
#define RINGS      4
#define EVENTS_MAX 256
#define TIMERS_MS  5 /* so long may timers that are due keep the loop from its watchers */

struct loop {
	int epfd;
	int patient_fd;      /* its own epoll: nobody waits for it */
	size_t patient;      /* watches there */
	uint64_t patient_ns; /* when they are looked at next */
	bool stopped;
	uint64_t number;     /* of this turn */
	bool told_all;       /* of what was ready in this turn */
	uint64_t now_ns;
	uint64_t tick;  /* milliseconds up to which the wheel has turned */
	uint64_t woke_ns, fired_ns; /* the kernel's last answer; the last timer's end */
	uint64_t timers_ns;  /* what the timers of this turn took */
	uint64_t longest_ns;
	struct breath *breath;
	uint64_t breathed_ns;
	size_t timers;  /* how many are active */
	struct list ring[RINGS][RING_SLOTS];
	struct list due;   /* taken from the wheel, and not fired yet */
	struct list ready;
	struct list again; /* ready in the next turn */
	struct list dead;
};

struct loop *loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	l->patient_fd = epoll_create1(EPOLL_CLOEXEC);
	must(l->epfd >= 0 && l->patient_fd >= 0);
	l->now_ns = mono_ns();
	l->tick = l->now_ns / NS_PER_MS;
	for (unsigned r = 0; r < RINGS; r++)
		for (unsigned s = 0; s < RING_SLOTS; s++)
			list_init(&l->ring[r][s]);
	list_init(&l->due);
	list_init(&l->ready);
	list_init(&l->again);
	list_init(&l->dead);
	return l;
}

static void bury_all(struct loop *l)
{
	while (!list_empty(&l->dead)) {
		struct grave *g = LIST_ENTRY(l->dead.next, struct grave, link);

		list_remove(&g->link);
		g->release(g);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	bury_all(l);
	close(l->epfd);
	close(l->patient_fd);
	free(l);
}

uint64_t loop_now(const struct loop *l)
{
	return l->now_ns;
}

uint64_t loop_number(const struct loop *l)
{
	return l->number;
}

uint64_t loop_longest(const struct loop *l)
{
	return l->longest_ns;
}

void loop_set_breath(struct loop *l, struct breath *b)
{
	l->breath = b;
}

void loop_breathe(struct loop *l)
{
	uint64_t now;

	if (!l->breath)
		return;
	now = mono_ns();
	if (now - l->breathed_ns < LOOP_BREATH_MS * NS_PER_MS)
		return;
	l->breathed_ns = now;
	l->breath->take(l->breath);
}

/* The first multiple of LOOP_PATIENCE_MS from NS on. */
static uint64_t patience_ns(uint64_t ns)
{
	const uint64_t grain = LOOP_PATIENCE_MS * NS_PER_MS;

	return (ns + grain - 1) / grain * grain;
}

static int start(struct loop *l, struct watch *w, int fd, uint32_t events, bool patient,
		 void (*ready)(struct watch *w, uint32_t events))
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	must(!w->active);
	if (epoll_ctl(patient ? l->patient_fd : l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	if (patient && l->patient++ == 0)
		l->patient_ns = patience_ns(l->now_ns);
	w->ready = ready;
	w->fd = fd;
	w->events = events;
	w->pending = 0;
	w->active = true;
	w->patient = patient;
	list_init(&w->link);
	return 0;
}

int watch_start(struct loop *l, struct watch *w, int fd, uint32_t events,
		void (*ready)(struct watch *w, uint32_t events))
{
	return start(l, w, fd, events, false, ready);
}

int watch_start_patient(struct loop *l, struct watch *w, int fd, uint32_t events,
			void (*ready)(struct watch *w, uint32_t events))
{
	return start(l, w, fd, events, true, ready);
}

int watch_set(struct loop *l, struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	must(w->active);
	if (w->events == events)
		return 0;
	if (epoll_ctl(w->patient ? l->patient_fd : l->epfd, EPOLL_CTL_MOD, w->fd, &ev) < 0)
		return -errno;
	w->events = events;
	return 0;
}

static void forget(struct loop *l, struct watch *w)
{
	list_remove(&w->link);
	w->active = false;
	w->pending = 0;
	l->patient -= w->patient;
}

void watch_stop(struct loop *l, struct watch *w)
{
	if (!w->active)
		return;
	/* It may fail when the descriptor was closed first; the kernel has forgotten it then. */
	epoll_ctl(w->patient ? l->patient_fd : l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	forget(l, w);
}

void watch_close(struct loop *l, struct watch *w)
{
	if (!w->active)
		return;
	close(w->fd);
	forget(l, w);
}

void watch_again(struct loop *l, struct watch *w, uint32_t events)
{
	must(w->active);
	if (!w->pending)
		list_insert(&l->again, &w->link);
	w->pending |= events;
}

bool watch_is_quiet(const struct loop *l, const struct watch *w, uint64_t since)
{
	return l->told_all && since < l->number && w->active && !w->patient && !w->pending && w->events & EPOLLIN;
}

static struct list *slot_at(const struct loop *l, unsigned ring, uint64_t tick)
{
	return (struct list *)&l->ring[ring][(tick >> (RING_BITS * ring)) & (RING_SLOTS - 1)];
}

static void wheel_put(struct loop *l, struct timer *t)
{
	/* Rounded up: a timer may be late by the grain, never early. */
	uint64_t at = (t->at_ns + NS_PER_MS - 1) / NS_PER_MS;
	/*
	 * Counted from the tick that is fired next. Counted from the one before, what comes down in a
	 * cascade with the farthest slot of the inner ring would go up again, into the slot it came
	 * from, and wait another round.
	 */
	uint64_t next = l->tick + 1, away;
	unsigned r = 0;

	if (at < next)
		at = next;
	away = at - next;
	while (r < RINGS - 1 && away >= 1ULL << (RING_BITS * (r + 1)))
		r++;
	if (away >= 1ULL << (RING_BITS * RINGS))
		at = next + (1ULL << (RING_BITS * RINGS)) - 1;
	list_insert(slot_at(l, r, at), &t->link);
}

void timer_at(struct loop *l, struct timer *t, uint64_t at_ns, void (*fire)(struct timer *t))
{
	timer_stop(l, t);
	t->fire = fire;
	t->at_ns = at_ns;
	t->active = true;
	list_init(&t->link);
	l->timers++;
	wheel_put(l, t);
}

void timer_in(struct loop *l, struct timer *t, uint64_t delay_ms, void (*fire)(struct timer *t))
{
	timer_at(l, t, l->now_ns + delay_ms * NS_PER_MS, fire);
}

void timer_in_patient(struct loop *l, struct timer *t, uint64_t delay_ms, void (*fire)(struct timer *t))
{
	timer_at(l, t, patience_ns(l->now_ns + delay_ms * NS_PER_MS), fire);
}

void timer_stop(struct loop *l, struct timer *t)
{
	if (!t->active)
		return;
	list_remove(&t->link);
	t->active = false;
	l->timers--;
}

/* Hang all of SLOT into the ring that fits their distance now. */
static void cascade(struct loop *l, struct list *slot)
{
	struct list all;

	list_init(&all);
	if (!list_empty(slot)) { /* move the chain, so that what comes back to this slot waits */
		all = *slot;
		all.next->prev = all.prev->next = &all;
		list_init(slot);
	}
	while (!list_empty(&all)) {
		struct timer *t = LIST_ENTRY(all.next, struct timer, link);

		list_remove(&t->link);
		wheel_put(l, t);
	}
}

/* The oldest first, at least one; false: it is LATE, and some are left. */
static bool fire_due(struct loop *l, uint64_t late)
{
	while (!list_empty(&l->due)) {
		struct timer *t = LIST_ENTRY(l->due.next, struct timer, link);

		timer_stop(l, t);
		t->fire(t);
		l->fired_ns = mono_ns();
		if (l->fired_ns >= late)
			return list_empty(&l->due);
	}
	return true;
}

/* The wheel stays behind when there is too much to do for one turn: it goes on where it stopped. */
static void run_timers(struct loop *l)
{
	uint64_t now = l->now_ns / NS_PER_MS, late = l->now_ns + TIMERS_MS * NS_PER_MS;

	if (!l->timers) {
		l->tick = now;
		return;
	}
	while (fire_due(l, late) && l->tick < now) {
		uint64_t next = l->tick + 1;
		struct list *slot = slot_at(l, 0, next);

		/*
		 * Outer rings first: what falls due in this very tick comes down to the inner
		 * ring before it is fired. wheel_put() counts from l->tick, so it must not
		 * have advanced yet.
		 */
		for (unsigned r = RINGS - 1; r > 0; r--)
			if ((next & ((1ULL << (RING_BITS * r)) - 1)) == 0)
				cascade(l, slot_at(l, r, next));
		l->tick = next;
		while (!list_empty(slot)) {
			struct list *link = slot->next;

			list_remove(link);
			list_insert(&l->due, link);
		}
	}
}

/* Does an outer ring turn at TICK, with timers in the slot that ends then? */
static bool comes_down(const struct loop *l, uint64_t tick)
{
	for (unsigned r = 1; r < RINGS && (tick & ((1ULL << (RING_BITS * r)) - 1)) == 0; r++)
		if (!list_empty(slot_at(l, r, tick)))
			return true;
	return false;
}

static int until_ms(uint64_t tick)
{
	uint64_t now = mono_ns() / NS_PER_MS;

	return tick > now ? (int)(tick - now) : 0;
}

/* Milliseconds until the wheel must turn again; -1: no timer. */
static int wheel_wait_ms(const struct loop *l)
{
	uint64_t tick;

	if (!l->timers)
		return -1;
	if (!list_empty(&l->due))
		return 0;
	for (tick = l->tick + 1; tick <= l->tick + RING_SLOTS; tick++)
		if (!list_empty(slot_at(l, 0, tick)) || comes_down(l, tick))
			return until_ms(tick);
	/* Nobody is woken for a ring that turns without anything in it. */
	tick &= ~(uint64_t)(RING_SLOTS - 1);
	for (unsigned i = 0; i < RING_SLOTS && !comes_down(l, tick); i++)
		tick += RING_SLOTS;
	return until_ms(tick);
}

/* The same, for whatever the next turn has to do. */
static int wait_ms(const struct loop *l)
{
	int wait = wheel_wait_ms(l);

	if (l->stopped || !list_empty(&l->dead) || !list_empty(&l->again) || !list_empty(&l->ready))
		return 0;
	if (l->patient) {
		uint64_t now = mono_ns() / NS_PER_MS, then = l->patient_ns / NS_PER_MS;
		int left = then > now ? (int)(then - now) : 0;

		wait = wait < 0 ? left : MIN(wait, left);
	}
	return wait;
}

/* From the kernel into the list of those that are ready. How many it told of, or -errno. */
static int gather(struct loop *l, int epfd, int wait)
{
	struct epoll_event ev[EVENTS_MAX];
	int n = epoll_wait(epfd, ev, EVENTS_MAX, wait);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		struct watch *w = ev[i].data.ptr;

		if (!w->pending)
			list_insert(&l->ready, &w->link);
		w->pending |= ev[i].events;
	}
	return n;
}

/* After the timers: what they began may be ready by now. */
static int gather_patient(struct loop *l)
{
	int n;

	if (!l->patient || l->now_ns < l->patient_ns)
		return 0;
	n = gather(l, l->patient_fd, 0);
	if (n < EVENTS_MAX) /* else others are waiting */
		l->patient_ns = patience_ns(l->now_ns + 1);
	return n;
}

int loop_turn(struct loop *l, int max_wait_ms)
{
	int wait, n;

	l->now_ns = mono_ns();
	if (l->woke_ns) /* the turn before, as far as its waiting is not counted */
		l->longest_ns = MAX(l->longest_ns, l->timers_ns + l->now_ns - l->woke_ns);
	l->fired_ns = l->now_ns;
	run_timers(l);
	l->timers_ns = l->fired_ns - l->now_ns;
	n = gather_patient(l);
	if (n < 0)
		return n;
	wait = wait_ms(l);
	if (max_wait_ms >= 0 && (wait < 0 || wait > max_wait_ms))
		wait = max_wait_ms;
	n = gather(l, l->epfd, wait);
	if (n < 0)
		return n;
	l->number++;
	l->told_all = n < EVENTS_MAX;
	l->woke_ns = l->now_ns = mono_ns();
	while (!list_empty(&l->again)) {
		struct list *link = l->again.next;

		list_remove(link);
		list_insert(&l->ready, link);
	}
	while (!list_empty(&l->ready)) {
		struct watch *w = LIST_ENTRY(l->ready.next, struct watch, link);
		uint32_t events = w->pending;

		list_remove(&w->link);
		w->pending = 0;
		w->ready(w, events);
	}
	bury_all(l);
	return 0;
}

int loop_run(struct loop *l)
{
	l->stopped = false;
	while (!l->stopped) {
		int rc = loop_turn(l, -1);

		if (rc < 0)
			return rc;
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stopped = true;
}

void loop_bury(struct loop *l, struct grave *g, void (*release)(struct grave *g))
{
	g->release = release;
	list_init(&g->link);
	list_insert(&l->dead, &g->link);
}
