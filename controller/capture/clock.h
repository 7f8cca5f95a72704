/*
 * clock - how far an engine's clock is ahead of ours, as the link tells.
 *
 * A pong says the engine's time; half the way there and back is taken for its way, so that the error is at most the
 * other half. Of the last CLOCK_SAMPLES measurements the one with the shortest way counts. One that cannot be true of the
 * same clock says that it was set, or that the engine began anew: then what was measured before is forgotten.
 */
#ifndef SPANWIRE_CONTROLLER_CAPTURE_CLOCK_H
#define SPANWIRE_CONTROLLER_CAPTURE_CLOCK_H

#include <stdint.h>

#define CLOCK_SAMPLES 64

struct clock {
	struct {
		int64_t ahead_us;
		uint64_t rtt_us;
	} samples[CLOCK_SAMPLES];
	unsigned n; /* of all measurements */
};

/* 0 before the first measurement. */
static inline int64_t clock_ahead_us(const struct clock *c, uint64_t *rtt_us)
{
	unsigned n = c->n < CLOCK_SAMPLES ? c->n : CLOCK_SAMPLES, best = 0;

	for (unsigned i = 1; i < n; i++)
		if (c->samples[i].rtt_us < c->samples[best].rtt_us)
			best = i;
	*rtt_us = n ? c->samples[best].rtt_us : 0;
	return n ? c->samples[best].ahead_us : 0;
}

static inline void clock_measured(struct clock *c, int64_t ahead_us, uint64_t rtt_us)
{
	uint64_t best_us;
	const int64_t before_us = clock_ahead_us(c, &best_us);
	const uint64_t apart_us = ahead_us > before_us ? (uint64_t)ahead_us - (uint64_t)before_us : (uint64_t)before_us - (uint64_t)ahead_us;

	/* Each is off by half its way at most, and by what is lost in whole microseconds. */
	if (apart_us > best_us / 2 + rtt_us / 2 + 2)
		c->n = 0;
	c->samples[c->n % CLOCK_SAMPLES].ahead_us = ahead_us;
	c->samples[c->n++ % CLOCK_SAMPLES].rtt_us = rtt_us;
}

#endif
