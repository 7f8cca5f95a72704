/*
 * lb - which server is next.
 *
 * A balancer belongs to one worker and one pool of one service; what it shares
 * with other workers is what stands in the backend: load, health, tasks. Members
 * are in the order of the pool. LB_KINDS is the list of algorithms.
 *
 * All but two keep the members in a heap, by what the algorithm goes by (`key`), and
 * among equals by whose turn it is: each choice costs a member 1/ratio of a turn, so that
 * ratios hold and a server of ratio 3 among three of 1 does not get three in a
 * row. Loads change under us, by other workers: the member at the top is looked at
 * anew before it is taken, and each choice looks at LB_LOOKS further ones, in
 * turn. With that many members or fewer the choice is exact; with thousands it is
 * exact for what this worker did, and soon for the rest.
 *
 * Choosing takes the backend's load, so a limit of connections holds over
 * all workers: whoever was chosen must be given back by lb_release().
 */
#ifndef SPANWIRE_ENGINE_LB_LB_H
#define SPANWIRE_ENGINE_LB_LB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "engine/backend.h"
#include "engine/lb/hash.h"

#define LB_KINDS(X)                                                                                        \
	X(LB_ROUND_ROBIN,       "in turn")                                                                 \
	X(LB_LEAST_CONNECTIONS, "smallest load / ratio")                                                   \
	X(LB_FASTEST_RESPONSE,  "smallest time to the first byte of an answer x (load + 1) / ratio; times " \
				"fade while nobody measures them, so that a slow server is tried again") \
	X(LB_LEAST_LOAD,        "fewest bytes: those of the last second, and for each exchange under way " \
				"what one usually has, / ratio")                                            \
	X(LB_FEWEST_SERVERS,    "the first of the pool that is not at its capacity, which is found out: it " \
				"grows while answers stay quick and shrinks when they take twice as long") \
	X(LB_FEWEST_TASKS,      "smallest number that the server told of itself, and what it was given since, / ratio") \
	X(LB_CORE_AFFINITY,     "each worker has servers of its own, and takes its neighbours' when none of them is up") \
	X(LB_RANDOM,            "by chance, as the ratios say")                                            \
	X(LB_CONSISTENT_HASH,   "by the exchange's key (engine/lb/hash.h)")

enum lb_kind {
#define X(kind, text) kind,
	LB_KINDS(X)
#undef X
};

#define LB_LOOKS 32
#define LB_AVOID 8             /* members that an exchange has tried */

struct lb_member {
	struct backend *backend;
	unsigned ratio;            /* at least 1 */
	bool enabled;              /* takes new connections, as far as the configuration is concerned */
	const uint64_t *bytes;     /* counter of what this worker got of the server; NULL: nobody counts */

	/* The balancer's. */
	double key;
	uint64_t pass;             /* when its turn is; wraps */
	uint32_t weight;           /* ratio in 1/LB_WHOLE, less while it ramps */
	uint32_t place;            /* in lb->members */
	uint32_t at;               /* in the heap, from 1; 0: not there */
	bool ramping, seen;
	double answer_ns;          /* time to the first byte of an answer, smoothed; 0: not known */
	double best_ns;
	uint64_t answered_ns;      /* when that was */
	double recent_bytes;
	uint64_t bytes_then, bytes_at_end, looked_ns;
	double capacity;
};

#define LB_WHOLE 256

/* Servers in an order that keeps the ratios, and whose turn it is over all workers. */
struct lb_wheel {
	atomic_uint *turn;         /* borrowed */
	size_t n;
	uint32_t *places;
};

/* How to choose; what it points to is borrowed until the next lb_set(). */
struct lb_rules {
	enum lb_kind kind;
	unsigned max_load;         /* connections per server; 0: no limit */
	uint64_t ramp_ns;          /* a fresh server's share grows for so long; where load decides */
	unsigned core_sharing;     /* LB_CORE_AFFINITY: how many workers share a server */
	const struct lb_hash *hash;   /* LB_CONSISTENT_HASH */
	const struct lb_wheel *wheel; /* LB_ROUND_ROBIN over all workers; NULL: each by itself */
};

/* Zeroed is valid. */
struct lb {
	struct lb_rules rules;
	unsigned core, cores;      /* which worker of how many; set before the first lb_set() */
	size_t n;
	struct lb_member **members; /* borrowed */

	struct lb_member **heap;   /* from 1 */
	size_t heap_n;
	size_t look;               /* whose turn it is to be looked at */
	unsigned ramping;
	uint64_t ramped_ns;
	uint64_t now;              /* the last that was told */
	uint64_t turn;             /* pass of the last choice */
	uint64_t random;
	double usual_ns, usual_bytes; /* of an answer, all members together */
	double usual_tasks;           /* of those that told any */
	bool tasks_told;              /* did anybody? */
	uint32_t *alias;           /* RANDOM */
	uint32_t *chance;
	uint64_t overflows;        /* members passed over because they were full */
};

/* What one exchange asks for. */
struct lb_ask {
	uint64_t now;              /* ns */
	uint64_t key;              /* CONSISTENT_HASH: of lb_hash_bytes() */
	const struct lb_member *avoid[LB_AVOID]; /* to be compared only */
	unsigned avoid_n;
};

void lb_fini(struct lb *lb);
/* Members (borrowed) and rules from now on. Members that stay keep what is known of them; others must be zeroed. */
void lb_set(struct lb *lb, const struct lb_rules *rules, struct lb_member **members, size_t n);
/* M is no member any more: before it is freed, and before lb_set(). */
void lb_drop(struct lb *lb, struct lb_member *m);
/* Health or `enabled` of M changed. */
void lb_look(struct lb *lb, struct lb_member *m);

/*
 * The next member, its load taken. NULL with *WHY: -ENOENT nobody is enabled and up, -EBUSY those who are have all
 * the connections they may have.
 */
struct lb_member *lb_pick(struct lb *lb, const struct lb_ask *ask, int *why);
/* M itself, when it may be chosen and has room: takes its load. */
bool lb_take(struct lb *lb, struct lb_member *m);
/* The exchange is over. */
void lb_release(struct lb *lb, struct lb_member *m);
/* The first byte of an answer (or, where none is known, of the handshake) took NS. */
void lb_answered(struct lb *lb, struct lb_member *m, uint64_t ns);

/* For a snapshot: lives in A. */
const struct lb_wheel *lb_wheel_new(struct arena *a, atomic_uint *turn, const unsigned *ratios, size_t n);

#endif
