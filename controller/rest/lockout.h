/*
 * lockout - logins that failed, by the name that was tried; and for how long such a name is locked.
 *
 * Names of nobody are counted like those of users, so that a lock tells no stranger who exists. In memory and
 * bounded: the name that failed longest ago is forgotten first. The limits are those of the user's useraccountprofile.
 */
#ifndef SPANWIRE_CONTROLLER_REST_LOCKOUT_H
#define SPANWIRE_CONTROLLER_REST_LOCKOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/table.h"

enum { LOCKOUT_NAMES = 4096 };

struct lockout {
	struct table by_name;
	struct list by_use; /* newest last */
	unsigned n;
	uint64_t seed;
};

struct lockout_limits {
	uint64_t failures;  /* 0: no limit */
	uint64_t lock_ns;   /* 0: until a password is set */
	uint64_t window_ns; /* failures that are older do not count; 0: all do */
};

void lockout_init(struct lockout *l);
void lockout_fini(struct lockout *l);

bool lockout_holds(struct lockout *l, const char *name, uint64_t now_ns);
/* One more. True: this one locked the name. */
bool lockout_failed(struct lockout *l, const char *name, const struct lockout_limits *limits,
		    uint64_t now_ns);
/* A good login, or a new password: nothing counts any more. */
void lockout_forget(struct lockout *l, const char *name);

#endif
