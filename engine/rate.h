/*
 * rate - so many in a time, for whoever asks, on any thread.
 *
 * A leaky bucket in one number: when it would be empty (GCRA). One of the few
 * things that workers share; atomic, without a lock. Rates of many clients
 * have a table of fixed size: where it is full, the client whose bucket is
 * the emptiest is forgotten, so a flood of addresses makes limits softer and
 * never takes memory.
 */
#ifndef SPANWIRE_ENGINE_RATE_H
#define SPANWIRE_ENGINE_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/address.h"

/* What is allowed; part of a configuration. */
struct rate_limit {
	uint64_t each_ns;    /* what one costs; 0: no limit */
	uint64_t room_ns;    /* what may be owed: the burst, less one */
};

struct rate {
	_Atomic uint64_t empty_ns;
};

/* COUNT in PERIOD_NS, BURST at once (at least 1). */
struct rate_limit rate_limit_of(uint64_t count, uint64_t period_ns, uint64_t burst);
/* One more at NOW_NS? */
bool rate_take(struct rate *r, const struct rate_limit *l, uint64_t now_ns);

struct rate_table;

struct rate_table *rate_table_new(void);
void rate_table_free(struct rate_table *t);
/*
 * One more of this address at NOW_NS? PUNISH: who is refused pays for having asked, so that one who goes on and on is
 * let in ever less, until after ten seconds of peace.
 */
bool rate_table_take(struct rate_table *t, const union address *client, const struct rate_limit *l, bool punish,
		     uint64_t now_ns);

#endif
