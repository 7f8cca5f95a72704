/*
 * config_parts - what the four files of `config` share, and nobody else sees.
 *
 * config.c keeps the objects and the services and runs a commit; pool.c keeps the pools that
 * services use; tls.c makes TLS contexts of profiles; build.c makes a snapshot of a
 * service.
 */
#ifndef SPANWIRE_ENGINE_CONFIG_PARTS_H
#define SPANWIRE_ENGINE_CONFIG_PARTS_H

#include "base/arena.h"
#include "base/list.h"
#include "base/table.h"
#include "engine/config/config.h"
#include "engine/snapshot.h"
#include "model/structs.h"

struct admission;
struct netsec;
struct pool_state;
struct secure;

/* A pool with its backends; config_pool is what others see of it. */
struct pool_entry {
	struct list link;
	struct table_link by_uuid;
	struct config_pool seen;
	struct snapshot_part *part; /* what seen.pool and the monitors are in, and snapshots share */
	char *uuid;
	char *vrf;                 /* of the services that use it */
	struct config_server *servers;
	json_t *by_name;           /* "ip:port" -> place in servers */
	struct pool_state *state;
	json_t *deps;              /* "kind/uuid" -> true: what it is made of, beside its object */
	json_t *names;             /* of its servers, to be asked for */
	unsigned users;            /* of this commit */
	bool changed;              /* in this commit */
	struct secure *tls;        /* with its servers; NULL: plain */
	json_t *tls_deps;          /* "kind/uuid" -> true: what that is made of */
	json_t *monitor_deps;      /* what its health monitors are made of */
};

/* What a snapshot is made of, beside the service itself. */
enum { DEP_SERVICE, DEP_APPLICATION, DEP_NETWORK, DEP_ANALYTICS, DEP_CLONE, DEPS };

struct service_entry {
	struct list link;
	struct table_link by_uuid;
	char *uuid;
	unsigned index;
	char *deps[DEPS];          /* "kind/uuid", NULL: none */
	json_t *more;              /* "kind/uuid" -> true: of single ports, and of TLS */
	bool built, dirty;
	struct secure *clients_tls; /* of the newest snapshot; NULL: none */
	struct snapshot_clone clone;
	json_t *sources;           /* from which servers are spoken to, as the warden tells them; NULL: from the machine's */
	json_t *plain;             /* its rules, as the warden tells them; NULL: packets as they are */
	json_t *named;             /* "kind/uuid" -> true: the pools that it names, also those that are not here */
	struct pool_entry **pools;
	size_t n_pools;
	struct admission *admission;
	struct netsec *netsec;     /* the newest: its rates go on in the next */
};

struct config {
	json_t *names;             /* as names_all(); NULL: nothing is known */
	bool names_changed;        /* since the last commit */
	struct worker **workers;
	unsigned n_workers;
	struct inbox *home;
	struct config_user *user;
	json_t *objects;           /* "kind/uuid" -> object */
	json_t *changed;           /* keys put or deleted since the last commit */
	json_t *vrfs;              /* as the warden tells them */
	json_t *source_numbers;    /* address -> number of it */
	json_t *slots_services, *slots_servers, *slots_rules;
	struct list services, pools;
	struct table service_table, pool_table; /* the same by uuid: a thousand are found as fast as ten */
	json_t *used;              /* index -> true */
	unsigned lowest;           /* no smaller index is free */
	struct snapshot_part *last[DEPS]; /* made in this commit, and what of: most services name the same profiles */
	const json_t *last_of[DEPS];
	struct snapshot *fresh[128]; /* of this commit, and not with the workers yet; references */
	size_t n_fresh;
};

/* ---- config.c ---- */

/* KEY is "kind/uuid"; NULL when it is NULL or there is none. Borrowed until the next put. */
struct json_t *config_object(struct config *c, const char *key);
/* Did any of these "kind/uuid" change since the last commit? */
bool config_any_changed(struct config *c, json_t *keys);
void config_dep_set(struct service_entry *s, unsigned which, const char *kind, const char *uuid);

/* ---- pool.c ---- */

/* KEY is "pool/uuid". One use more, of this commit; NULL when there is no such pool. */
struct pool_entry *config_pool_use(struct config *c, const char *key, const char *vrf);
void config_pool_free(struct config *c, struct pool_entry *p);
/* Pools whose parts changed are built anew, and no commit uses any yet. */
void config_pools_refresh(struct config *c);
/* Those that this commit does not use go. */
void config_pools_sweep(struct config *c);
/* The user learns whose addresses are wanted. */
void config_names_tell(struct config *c);

/* ---- tls.c ---- */

/* Into p->tls, by the pool's profiles. */
void config_tls_servers(struct config *c, struct pool_entry *p, const struct pool *pool);
/* How the HTTPS monitor M speaks TLS, in A; NULL: by the defaults, or not at all. */
const struct tls_settings *config_tls_monitor(struct config *c, struct pool_entry *p, const struct health_monitor *m,
					      struct arena *a);
/* Into s->clients_tls, by the service's certificates and profile. */
void config_tls_clients(struct config *c, struct service_entry *s, const struct virtual_service *vs);

/* ---- build.c ---- */

/* A new snapshot of S, with the pools that it uses in this commit. The caller's reference. */
struct snapshot *config_build(struct config *c, struct service_entry *s, uint64_t revision);

#endif
