/*
 * loop - one thread's turn: timers, epoll, the watchers that are ready, then the dead.
 *
 * A loop belongs to the thread that runs it; nothing in it is locked. What
 * other threads want of it goes through its inbox (net/inbox.h), which is the
 * one thing they may touch.
 *
 * The watchers and timers live inside the things they serve. A callback may
 * stop any watcher or timer, also of things whose event was read in the same
 * turn: what is stopped is not called any more. Memory must outlive the turn:
 * give it to loop_bury(), which frees when nothing of this turn can name it.
 */
#ifndef SPANWIRE_NET_LOOP_H
#define SPANWIRE_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct loop;

/* A descriptor that is watched. Zero it before first use; the fields are read-only outside loop.c. */
struct watch {
	void (*ready)(struct watch *w, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR ... */
	int fd;
	uint32_t events;
	uint32_t pending;      /* events of this turn that were not handled yet */
	bool active;
	bool patient;
	struct list link;      /* in the loop's ready list */
};

/* A deadline. Zero it before first use. */
struct timer {
	void (*fire)(struct timer *t);
	uint64_t at_ns;        /* CLOCK_MONOTONIC */
	bool active;
	struct list link;
};

/* Something that is freed at the end of the turn. */
struct grave {
	void (*release)(struct grave *g);
	struct list link;
};

struct loop *loop_new(void);
/* Nothing may be watched any more. */
void loop_free(struct loop *l);

/* Turns until loop_stop(); 0 or negative errno. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* One turn that waits at most MAX_WAIT_MS (-1: as long as the next timer allows). */
int loop_turn(struct loop *l, int max_wait_ms);

/* The time this turn began, CLOCK_MONOTONIC. What timeouts are counted from. */
uint64_t loop_now(const struct loop *l);
/* How many turns there were. */
uint64_t loop_number(const struct loop *l);
/* The longest turn so far, ns, without what it waited: so long did whoever was ready wait in vain at the worst. */
uint64_t loop_longest(const struct loop *l);

/*
 * Watch FD for EVENTS (level-triggered unless EPOLLET is given). -errno of epoll_ctl.
 * The descriptor stays the caller's.
 */
int watch_start(struct loop *l, struct watch *w, int fd, uint32_t events,
		void (*ready)(struct watch *w, uint32_t events));
/*
 * The same for what is many and in no hurry: it does not wake the thread, but is looked at, with all others of its
 * kind, at each multiple of LOOP_PATIENCE_MS. A wake-up costs more than most of what it is for.
 */
#define LOOP_PATIENCE_MS 10
int watch_start_patient(struct loop *l, struct watch *w, int fd, uint32_t events,
			void (*ready)(struct watch *w, uint32_t events));
/* Change the events; nothing happens, and no system call is made, when they are the same. */
int watch_set(struct loop *l, struct watch *w, uint32_t events);
/* Also legal when it is not active. Call it before closing the descriptor. */
void watch_stop(struct loop *l, struct watch *w);
/* The same, and closes the descriptor, which nobody else has a copy of: the kernel forgets it by itself. */
void watch_close(struct loop *l, struct watch *w);
/*
 * Has the kernel, which was asked in this turn, nothing to tell of W? True only of one that was watched for EPOLLIN since
 * an earlier turn, whose loop_number() was SINCE.
 */
bool watch_is_quiet(const struct loop *l, const struct watch *w, uint64_t since);
/*
 * ready() is called with EVENTS in the next turn, whatever the kernel says: for what was read from the descriptor
 * and not yet from whoever holds it.
 */
void watch_again(struct loop *l, struct watch *w, uint32_t events);

/*
 * Fire once at the absolute time AT_NS, with the wheel's grain of 1 ms, never early. Restarts an active timer. When
 * more are due than a turn has time for, the oldest go first and the watchers have their turn in between.
 */
void timer_at(struct loop *l, struct timer *t, uint64_t at_ns, void (*fire)(struct timer *t));
/* Fire once, DELAY_MS after the beginning of this turn. */
void timer_in(struct loop *l, struct timer *t, uint64_t delay_ms, void (*fire)(struct timer *t));
/* The same, at the next multiple of LOOP_PATIENCE_MS: together with all others of its kind. */
void timer_in_patient(struct loop *l, struct timer *t, uint64_t delay_ms, void (*fire)(struct timer *t));
void timer_stop(struct loop *l, struct timer *t);

/*
 * What may not wait for the end of a long turn, whatever that turn has to do: a sign of life, a lease. Long work calls
 * loop_breathe() between its pieces, as often as it likes; take() is called when it was not for LOOP_BREATH_MS, and must
 * not touch what anybody may be working at. A loop has one breath, or none (NULL).
 */
#define LOOP_BREATH_MS 20
struct breath {
	void (*take)(struct breath *b);
};
void loop_set_breath(struct loop *l, struct breath *b);
void loop_breathe(struct loop *l);

/* Takes G: release() is called at the end of this turn. */
void loop_bury(struct loop *l, struct grave *g, void (*release)(struct grave *g));

#endif
