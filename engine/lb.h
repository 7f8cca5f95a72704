/*
 * lb - which server is next.
 *
 * A balancer belongs to one worker and one service; what it shares with other
 * workers is each backend's load. Members are in the order of the pool.
 *
 *   round robin        in turn; with unequal ratios smooth: a server of ratio
 *                      3 among two of 1 gets every second-or-so, not three in
 *                      a row
 *   least connections  smallest load / ratio; among equals smooth round robin
 *
 * Choosing takes the backend's load, so a limit of connections holds over
 * all workers: whoever was chosen must be given back by backend_release().
 */
#ifndef SPANWIRE_ENGINE_LB_H
#define SPANWIRE_ENGINE_LB_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/backend.h"

enum lb_kind { LB_ROUND_ROBIN, LB_LEAST_CONNECTIONS };

struct lb_member {
	struct backend *backend;
	unsigned ratio;            /* at least 1 */
	bool enabled;              /* takes new connections, as far as the configuration is concerned */
	bool avoid;                /* not now: it failed this exchange; lb_pick()'s caller sets and clears it */
	int64_t current;           /* smooth round robin */
};

struct lb {
	enum lb_kind kind;
	bool weighted;             /* not all ratios are equal */
	unsigned max_load;         /* connections per server; 0: no limit */
	size_t n, next;            /* where the turn is */
	struct lb_member **members; /* borrowed */
};

/* The ratios or members changed. */
void lb_changed(struct lb *lb);
/*
 * The next member, its load taken. NULL with *WHY: -ENOENT nobody is enabled and up, -EBUSY those who are have all
 * the connections they may have. Those to avoid are taken only when nobody else is there and LAST_RESORT is set.
 */
struct lb_member *lb_pick(struct lb *lb, bool last_resort, int *why);

#endif
