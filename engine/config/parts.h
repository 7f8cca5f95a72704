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
#include "engine/config/objects.h"
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
	struct object *object;     /* its own; a reference */
	struct part *part;         /* of it, what `seen` was made of; a reference */
	const char *uuid;          /* in its object */
	char *vrf;                 /* of the services that use it */
	struct config_server *servers;
	struct table by_name;      /* the servers, by "ip:port" */
	struct table_link *places; /* of by_name: places[i] is servers[i] */
	struct pool_state *state;
	struct needs needs;        /* what it is made of, beside its object */
	json_t *names;             /* of its servers, to be asked for; NULL: none */
	unsigned users;            /* of this commit */
	bool changed;              /* in this commit */
	struct secure *tls;        /* with its servers; NULL: plain */
	struct needs tls_needs;    /* what that is made of */
	struct needs monitor_needs; /* what its health monitors are made of */
	struct arena arena;        /* of seen.monitors */
	struct parts monitors;     /* what they are in */
};

/* What a snapshot is made of, beside the service itself. */
enum { DEP_SERVICE, DEP_APPLICATION, DEP_NETWORK, DEP_ANALYTICS, DEP_CLONE, DEPS };

struct service_entry {
	struct list link;
	struct table_link by_uuid;
	char *uuid;
	unsigned index;
	struct object *deps[DEPS]; /* references; NULL: none */
	struct needs more;         /* of single ports, and of TLS */
	bool built, dirty;
	struct secure *clients_tls; /* of the newest snapshot; NULL: none */
	struct snapshot_clone clone;
	json_t *sources;           /* from which servers are spoken to, as the warden tells them; NULL: from the machine's */
	json_t *plain;             /* its rules, as the warden tells them; NULL: packets as they are */
	struct needs named;        /* the pools that it names, also those that are not here */
	struct pool_entry **pools;
	size_t n_pools;
	struct admission *admission;
	struct netsec *netsec;     /* the newest: its rates go on in the next */
	struct log_share *log_share; /* of the newest that had an analytics policy; NULL: none had */
};

struct config {
	json_t *names;             /* as names_all(); NULL: nothing is known */
	bool names_changed;        /* since the last commit */
	struct worker **workers;
	unsigned n_workers;
	struct inbox *home;
	struct config_user *user;
	struct objects objects;
	json_t *vrfs;              /* as the warden tells them */
	json_t *source_numbers;    /* address -> number of it */
	json_t *slots_services, *slots_servers, *slots_rules;
	struct list services, pools;
	struct table service_table, pool_table; /* the same by uuid: a thousand are found as fast as ten */
	json_t *used;              /* index -> true */
	unsigned lowest;           /* no smaller index is free */
	struct snapshot *fresh[128]; /* of this commit, and not with the workers yet; references */
	size_t n_fresh;
};

/* ---- config.c ---- */

/* UUID may be NULL: none. */
void config_dep_set(struct config *c, struct service_entry *s, unsigned which, const char *kind, const char *uuid);

/* ---- pool.c ---- */

/* The pool that OBJECT is: one use more, of this commit; NULL when it is not here. */
struct pool_entry *config_pool_use(struct config *c, struct object *object, const char *vrf);
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
