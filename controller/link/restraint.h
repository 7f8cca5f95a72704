/*
 * restraint - how often one object may make news: one that comes and goes for hours, or an engine that was taken over, may not
 * wash the log of events away. What is not told is counted, and the next event that is says how many.
 */
#ifndef SPANWIRE_CONTROLLER_LINK_RESTRAINT_H
#define SPANWIRE_CONTROLLER_LINK_RESTRAINT_H

#include <stdbool.h>
#include <stdint.h>

enum { RESTRAINT_SLOTS = 4096 };

struct restraint {
	struct {
		uint64_t key; /* hash; 0: free */
		uint64_t since_s;
		unsigned left, held;
	} slot[RESTRAINT_SLOTS]; /* the one that slept longest makes room */
	uint64_t held; /* of all, ever */
};

/* So many at once, and so many a minute. */
struct restraint_rate {
	unsigned burst, per_minute;
};

/* May KEY be told of at NOW_S? Then *HELD is how many were not since it last was. */
bool restraint_allows(struct restraint *r, const char *key, struct restraint_rate rate, uint64_t now_s, unsigned *held);

#endif
