/*
 * config - the objects that a proxy holds, and what its workers get of them.
 *
 * Objects come and go in commits, as the warden forwards them. A commit finds
 * the virtual services that it touches, builds a snapshot of each and posts it
 * to every worker; when all of them have it, the revision is applied. The
 * pools that services use are kept with their servers' backends, for the
 * health monitors.
 *
 * Belongs to the proxy's main thread.
 */
#ifndef SPANWIRE_ENGINE_CONFIG_CONFIG_H
#define SPANWIRE_ENGINE_CONFIG_CONFIG_H

#include <stdint.h>

#include "base/json.h"
#include "engine/backend.h"
#include "engine/worker.h"

struct config;
struct health_monitor;
struct tls_settings;
struct pool;

/* A server of a pool, one for each address. */
struct config_server {
	struct backend *backend;
	size_t line;                         /* of pool->servers */
	unsigned ratio;
	bool enabled;
};

/* A pool that some service uses. Valid until the next pool() of the same uuid, or pool_gone(). */
struct config_pool {
	const char *uuid;
	const struct pool *pool;
	size_t n;
	const struct config_server *servers; /* no two with the same backend */
	size_t n_monitors;
	const struct health_monitor *const *monitors;
	/* How they speak TLS; only while pool() is called. */
	const struct tls_settings *const *monitors_tls;
};

struct config_user {
	/* Every worker runs REVISION. */
	void (*applied)(struct config_user *u, uint64_t revision);
	/* P is new or changed: its servers, or its monitors. Backends that were there before are the same. */
	void (*pool)(struct config_user *u, const struct config_pool *p);
	/* No service uses it any more. */
	void (*pool_gone)(struct config_user *u, const char *uuid);
	/* {name: true}: whose addresses are to be found; after each commit. NULL: nobody finds them. */
	void (*names)(struct config_user *u, const json_t *wanted);
};

/* All borrowed for its life. */
struct config *config_new(struct worker **workers, unsigned n_workers, struct inbox *home, struct config_user *u);
void config_free(struct config *c);

/* ---- as the warden's messages come ---- */

void config_put(struct config *c, const char *kind, const char *uuid, const json_t *object);
void config_delete(struct config *c, const char *kind, const char *uuid);
void config_commit(struct config *c, uint64_t revision);
/* {"virtualservice", "sources"}: as sources_read() takes them; runs with the next commit. */
void config_sources(struct config *c, const json_t *m);
/* {"services": {uuid: slot}, "servers": {pool uuid: {"ip:port": slot}}}: those that are new; before their commit. */
void config_slots(struct config *c, const json_t *m);
/* As names_all(); runs with the next commit. */
void config_names(struct config *c, json_t *names);
/* Add a line for each server of the pool that is a name to what its health monitors report. */
void config_report_names(const struct config *c, const char *pool_uuid, json_t *servers);
/* Has it servers that are names? */
bool config_has_names(const struct config *c, const char *pool_uuid);
/* {vrf uuid: [[network, length, ifindex] ...]}: by which interfaces servers are reached; others: as the kernel says. */
void config_vrfs(struct config *c, const json_t *vrfs);
/*
 * {"virtualservice", "on", "service", "first", "count", "generation", "preserve_client_ip", "by_client", "one_client"}, and
 * "engine", its name for the flow log; FD: the log's file, or -1. Runs with the next commit.
 */
void config_clone(struct config *c, const json_t *m, int fd);
/* Takes FD. */
void config_listener(struct config *c, const char *vs_uuid, unsigned worker, uint64_t id, int fd,
		     const union address *a, unsigned last, bool udp);
void config_unlisten(struct config *c, const char *vs_uuid, unsigned worker, uint64_t id);

/* What a monitor found. Workers see it with their next choice; connections follow the pool's rule for such servers. */
void config_health(struct config *c, struct backend *b, enum backend_health health);

#endif
