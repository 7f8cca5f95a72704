#include "controller/link/restraint.h"

#include "base/base.h"
#include "base/table.h"

enum { NEAR = 8 };

bool restraint_allows(struct restraint *r, const char *key, struct restraint_rate rate, uint64_t now_s, unsigned *held)
{
	uint64_t hash = table_hash(TABLE_SEED, key) | 1;
	size_t at = hash / 2 % RESTRAINT_SLOTS, oldest = at;
	uint64_t come;

	for (size_t i = 0; i < NEAR; i++) {
		size_t near = (at + i) % RESTRAINT_SLOTS;

		if (r->slot[near].key == hash) {
			oldest = near;
			break;
		}
		if (r->slot[near].since_s < r->slot[oldest].since_s)
			oldest = near;
	}
	at = oldest;
	if (r->slot[at].key != hash) {
		r->slot[at].key = hash;
		r->slot[at].since_s = now_s;
		r->slot[at].left = rate.burst;
		r->slot[at].held = 0;
	}
	come = (now_s - r->slot[at].since_s) * rate.per_minute / 60;
	if (come) {
		r->slot[at].left = (unsigned)MIN((uint64_t)rate.burst, r->slot[at].left + come);
		r->slot[at].since_s = now_s;
	}
	if (!r->slot[at].left) {
		r->slot[at].held++;
		r->held++;
		return false;
	}
	r->slot[at].left--;
	*held = r->slot[at].held;
	r->slot[at].held = 0;
	return true;
}
