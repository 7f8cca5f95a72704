/*
 * servers - the servers of a pool by their states, as the object lists them and as engines see them.
 */
#ifndef SPANWIRE_CONTROLLER_LINK_SERVERS_H
#define SPANWIRE_CONTROLLER_LINK_SERVERS_H

#include "base/ip.h"
#include "controller/link/fleet.h"

/* How many; an enabled one is up, down, or nobody knows. */
struct servers {
	size_t all, enabled, up, down, said;
};

/* One of them. */
struct server_seen {
	const json_t *own;        /* in the pool; NULL: an engine found it in the pool's address group */
	const char *ip;           /* in the form of engines */
	json_int_t port;
	bool enabled;
	const json_t *said;       /* what the first engine says that checks it; NULL: nobody does */
	const struct engine *by;
	const char *state, *reason;
};

typedef void (*servers_fn)(void *arg, const struct server_seen *s);

/* Counts the servers of the pool O into OUT, and calls F (NULL: nothing) for each. */
void servers_look(struct fleet *f, const struct object *o, struct servers *out, servers_fn fn, void *arg);

/* How well the pool O does, 0 to 100: the share of its enabled servers that is up; 0 when those are too few. */
unsigned servers_score(const struct object *o, const struct servers *n);

/* HEALTH, what one engine says of a pool, counted. Nobody knows: they are being checked for the first time. */
struct servers servers_heard(const json_t *health);

/* So many of the pool O must be up for it to be. */
size_t servers_needed(const struct object *o);

/* Of HEALTH, the one that is LIKE this one; looking begins at HINT. NULL: none. */
const json_t *servers_find(const json_t *health, const char *ip, json_int_t port, size_t hint);

#endif
