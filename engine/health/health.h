/*
 * health - which servers may be used, and why not.
 *
 * It lives on the proxy's main thread. The configuration says which monitors
 * check which servers (health_pool_set, again after each change: what stays
 * keeps its history); health tells its user what it found, who writes it into
 * the backend, where the workers' balancers see it at once.
 *
 * A server is up when all its monitors pass, or as many as the pool wants. A
 * server without a monitor is up. A disabled server is not checked. While the
 * monitors have not made up their mind, a server may be used. One that says
 * that it is in maintenance gets no new connections, and is not down.
 *
 * Ten thousand servers are asked evenly: what begins together is spread, and
 * each goes its own way in the interval. The last changes of each server's
 * state are kept with their times.
 */
#ifndef SPANWIRE_ENGINE_HEALTH_HEALTH_H
#define SPANWIRE_ENGINE_HEALTH_HEALTH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "engine/backend.h"
#include "net/loop.h"

struct health;
struct health_monitor;
struct server_counters;
struct tls_settings;

/* What the user hears. It may not set or drop pools in here. */
struct health_user {
	/* B's health is not what B says: set it. */
	void (*found)(struct health_user *u, struct backend *b, enum backend_health health);
	/*
	 * Something that health_report() tells of this pool is new. At most once per pool and
	 * turn of the loop.
	 */
	void (*news)(struct health_user *u, const char *pool_uuid);
};

/* A server as the pool has it now. */
struct health_server {
	struct backend *backend;            /* health takes a reference of its own */
	struct server_counters *counters;   /* checks are counted there; NULL: nowhere. Borrowed */
	bool enabled;
};

struct health_pool {
	/* Borrowed for the call. TLS of each, for HTTPS; NULL: the library's defaults for all. */
	const struct health_monitor *const *monitors;
	const struct tls_settings *const *tls;
	size_t monitors_n;
	unsigned min_up;                    /* monitors that must pass; 0: all */
	bool enabled;                       /* false: no server is checked */
	unsigned tasks_s;                   /* HTTP monitors ask as often for X-Server-Tasks, into the backend; 0: not */
	const struct health_server *servers;
	size_t servers_n;
};

/* SECOND_MS is 1000; tests have shorter seconds. */
struct health *health_new(struct loop *l, struct health_user *u, unsigned second_ms);
/* Where echo requests go out: a socket of ping_open(). Takes FD. */
void health_ping_socket(struct health *h, bool v6, int fd);
/* Ends all checks. The backends keep the health that they have. */
void health_free(struct health *h);

void health_pool_set(struct health *h, const char *pool_uuid, const struct health_pool *p);
void health_pool_drop(struct health *h, const char *pool_uuid);

/*
 * The `servers` of a `health` message: [{"ip", "port", "state", "reason", "since_us", "checks",
 * "failures", "history": [[microseconds since 1970, state, reason] ...]}], in the pool's order, the newest change last.
 * New reference; NULL: no such pool. PART in: only those that are other than in the last report are wanted, each with
 * its place "at"; out: so it is. After health_pool_set() a report is whole.
 */
json_t *health_report(struct health *h, const char *pool_uuid, bool *part);

#endif
