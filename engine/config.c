#include "engine/config.h"

#include "base/base.h"
#include "base/buf.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/table.h"
#include "engine/http/http.h"
#include "engine/l4/l4.h"
#include "engine/http/sticky.h"
#include "engine/members.h"
#include "engine/persist.h"
#include "engine/pool_state.h"
#include "engine/ports.h"
#include "engine/secure.h"
#include "engine/tls_profile.h"
#include "model/structs.h"

#define TLS_IDENTITIES 64 /* certificates of one service */
#define DSCP_MAX   63
#define CONNECT_MS 2000 /* long enough for a lost SYN, short enough to try another server */

/* A pool with its backends; config_pool is what others see of it. */
struct pool_entry {
	struct list link;
	struct table_link by_uuid;
	struct config_pool seen;
	struct arena arena;
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
	json_t *slots_services, *slots_servers, *slots_rules;
	struct list services, pools;
	struct table service_table, pool_table; /* the same by uuid: a thousand are found as fast as ten */
	json_t *used;              /* index -> true */
	unsigned lowest;           /* no smaller index is free */
};

static struct json_t *object_of(struct config *c, const char *key)
{
	return key ? json_object_get(c->objects, key) : NULL;
}

struct config *config_new(struct worker **workers, unsigned n_workers, struct inbox *home, struct config_user *u)
{
	struct config *c = xcalloc(1, sizeof(*c));

	c->workers = workers;
	c->n_workers = n_workers;
	c->home = home;
	c->user = u;
	c->objects = json_object();
	c->changed = json_object();
	c->vrfs = json_object();
	c->slots_services = json_object();
	c->slots_servers = json_object();
	c->slots_rules = json_object();
	c->used = json_object();
	list_init(&c->services);
	list_init(&c->pools);
	return c;
}

/* Did any of these "kind/uuid" change since the last commit? */
static bool any_changed(struct config *c, json_t *keys)
{
	const char *key;
	json_t *v;

	json_object_foreach(keys, key, v)
		if (json_object_get(c->changed, key))
			return true;
	return false;
}

/* ---- TLS ---- */

/* Objects that TLS is made of, for a service or a pool, which remember what was asked for. */
struct tls_lookup {
	struct tls_source source;
	struct config *config;
	json_t *asked;             /* borrowed */
	struct arena arena;
};

static const void *tls_get_object(struct tls_source *source, const char *kind, const char *uuid)
{
	struct tls_lookup *l = CONTAINER_OF(source, struct tls_lookup, source);
	CLEANUP_FREE char *key = xasprintf("%s/%s", kind, uuid ? uuid : "");
	const json_t *o;

	if (!uuid || !*uuid)
		return NULL;
	json_object_set_new(l->asked, key, json_true());
	o = object_of(l->config, key);
	return o ? model_load(kind_find(kind)->msg, o, &l->arena) : NULL;
}

/* WHAT NULL: none. What is the same stays. */
static void tls_make(struct config *c, const struct secure_what *what, struct secure **at, const char *who)
{
	struct secure *new = NULL;
	struct err e = { 0 };

	if (what && secure_new(what, c->n_workers, *at, &new, &e) < 0)
		log_error("tls_unusable name=%s reason=\"%s\"", who, err_line(&e));
	secure_put(*at);
	*at = new;
}

static void servers_tls(struct config *c, struct pool_entry *p, const struct pool *pool)
{
	struct tls_lookup l = { .source = { tls_get_object }, .config = c, .asked = p->tls_deps };
	struct tls_identity id;
	struct secure_what what = { .settings = { .identities = &id }, .scope = p->uuid, .sni = pool->sni_enabled };
	struct tls_settings *t = &what.settings;
	bool wanted = pool->ssl_profile_ref && *pool->ssl_profile_ref;

	json_object_clear(p->tls_deps);
	if (wanted) {
		tls_profile_ssl(t, tls_get_object(&l.source, "sslprofile", pool->ssl_profile_ref), &l.arena);
		tls_profile_pki(t, tls_get_object(&l.source, "pkiprofile", pool->pki_profile_ref), &l.arena);
		/* Who cannot be verified is not believed either. */
		what.broken = pool->pki_profile_ref && *pool->pki_profile_ref && !t->verify;
		t->n_identities = tls_profile_identity(&id,
						       tls_get_object(&l.source, "sslkeyandcertificate",
								      pool->ssl_key_and_certificate_ref),
						       &l.source, &l.arena);
		if (pool->server_name && *pool->server_name)
			what.server_name = pool->server_name;
		if (pool->host_check_enabled && pool->domain_name_n) {
			t->hosts = pool->domain_name;
			t->n_hosts = pool->domain_name_n;
		} else if (pool->host_check_enabled && what.server_name) {
			t->hosts = &what.server_name;
			t->n_hosts = 1;
		}
	}
	tls_make(c, wanted ? &what : NULL, &p->tls, pool->name);
	arena_fini(&l.arena);
}

/* ---- pools ---- */

static void pool_entry_clear(struct pool_entry *p)
{
	for (size_t i = 0; i < p->seen.n; i++)
		backend_put(p->servers[i].backend);
	free(p->servers);
	json_decref(p->by_name);
	arena_fini(&p->arena);
}

static void pool_entry_free(struct config *c, struct pool_entry *p)
{
	list_remove(&p->link);
	table_take(&c->pool_table, &p->by_uuid);
	pool_entry_clear(p);
	secure_put(p->tls);
	json_decref(p->tls_deps);
	json_decref(p->monitor_deps);
	pool_state_put(p->state);
	json_decref(p->deps);
	json_decref(p->names);
	free(p->uuid);
	free(p->vrf);
	free(p);
}

static unsigned slot_of_server(struct config *c, const char *pool_uuid, const char *name)
{
	const json_t *pool = json_object_get(c->slots_servers, pool_uuid);

	return (unsigned)json_int(pool, name, COUNTERS_NO_SLOT);
}

/* How the HTTPS monitor M speaks TLS; in A for as long as the user is told. */
static const struct tls_settings *monitor_tls(struct config *c, struct pool_entry *p, const struct health_monitor *m,
					      struct arena *a)
{
	const struct health_monitor_ssl_attributes *ssl = m->https_monitor ? m->https_monitor->ssl_attributes : NULL;
	struct tls_lookup l = { .source = { tls_get_object }, .config = c, .asked = p->monitor_deps, .arena = *a };
	struct tls_settings *t;
	struct tls_identity *id;

	if (m->type != HEALTH_MONITOR_HTTPS || !ssl)
		return NULL;
	t = arena_get(&l.arena, sizeof(*t));
	id = arena_get(&l.arena, sizeof(*id));
	tls_profile_ssl(t, tls_get_object(&l.source, "sslprofile", ssl->ssl_profile_ref), &l.arena);
	tls_profile_pki(t, tls_get_object(&l.source, "pkiprofile", ssl->pki_profile_ref), &l.arena);
	/* Who cannot be verified is not believed either. */
	t->verify |= ssl->pki_profile_ref && *ssl->pki_profile_ref;
	t->identities = id;
	t->n_identities = tls_profile_identity(id, tls_get_object(&l.source, "sslkeyandcertificate",
								  ssl->ssl_key_and_certificate_ref),
					       &l.source, &l.arena);
	if (t->verify && ssl->server_name && *ssl->server_name) {
		t->hosts = &ssl->server_name;
		t->n_hosts = 1;
	}
	*a = l.arena;
	return t;
}

/* The user learns of P as it is now. */
static void pool_tell(struct config *c, struct pool_entry *p)
{
	const struct pool *pool = p->seen.pool;
	struct arena arena = ARENA_INIT; /* keys are in it: not a moment longer than they are needed */
	size_t n = pool->health_monitor_refs_n + 1;
	const struct health_monitor **m = arena_get(&p->arena, n * sizeof(*m));
	const struct tls_settings **tls = arena_get(&p->arena, n * sizeof(*tls));

	p->seen.n_monitors = 0;
	json_object_clear(p->monitor_deps);
	for (size_t i = 0; i < pool->health_monitor_refs_n; i++) {
		CLEANUP_FREE char *key = xasprintf("healthmonitor/%s", pool->health_monitor_refs[i]);
		const json_t *o = object_of(c, key);

		json_object_set_new(p->monitor_deps, key, json_true());
		if (!o)
			continue;
		m[p->seen.n_monitors] = model_load(&health_monitor_message, o, &p->arena);
		tls[p->seen.n_monitors] = monitor_tls(c, p, m[p->seen.n_monitors], &arena);
		p->seen.n_monitors++;
	}
	p->seen.monitors = m;
	p->seen.monitors_tls = tls;
	c->user->pool(c->user, &p->seen);
	p->seen.monitors_tls = NULL;
	arena_fini(&arena);
}

/* The list of servers in the making. */
struct gathering {
	struct config *config;
	struct pool_entry *p;
	struct config_server *servers;
	size_t n, room;
	json_t *by_name;
};

/* What was there keeps its backend; who was there twice stays once. */
static void gather_server(void *arg, const struct member *m)
{
	struct gathering *g = arg;
	struct config_server s = { .line = m->line, .ratio = m->ratio, .enabled = m->enabled };
	struct pool_entry *p = g->p;
	const json_t *place;
	struct backend *b = backend_new(p->uuid, &m->address, COUNTERS_NO_SLOT);

	if (json_object_get(g->by_name, b->name)) {
		backend_put(b);
		return;
	}
	place = json_object_get(p->by_name, b->name);
	if (place) {
		const struct config_server *old = &p->servers[json_integer_value(place)];

		backend_put(b);
		b = backend_get(old->backend);
		if (!old->enabled && s.enabled)
			atomic_store_explicit(&b->since_ns, mono_ns(), memory_order_relaxed);
	} else {
		b->slot = slot_of_server(g->config, p->uuid, b->name);
		if (p->seen.pool)
			atomic_store_explicit(&b->since_ns, mono_ns(), memory_order_relaxed);
	}
	json_object_set_new(g->by_name, b->name, json_integer((json_int_t)g->n));
	if (g->n == g->room) {
		g->room = g->room * 2 + 16;
		g->servers = xrealloc(g->servers, g->room * sizeof(g->servers[0]));
	}
	s.backend = b;
	g->servers[g->n++] = s;
}

/* From here on P is built anew when this object changes. */
static void pool_depends(struct pool_entry *p, const char *kind, const char *uuid)
{
	CLEANUP_FREE char *key = xasprintf("%s/%s", kind, uuid ? uuid : "");

	if (uuid && *uuid)
		json_object_set_new(p->deps, key, json_true());
}

/* The interface by which a server is reached in a routing domain; 0: the kernel knows, -1: none. */
static int device_towards(const json_t *routes, const union address *server)
{
	struct in6_addr ip;
	json_t *one;
	size_t i;
	int best = -1, device = -1;

	if (!routes)
		return 0;
	address_mapped(server, ip.s6_addr);
	json_array_foreach(routes, i, one) {
		struct in6_addr net;
		int len = (int)json_integer_value(json_array_get(one, 1));

		if (len > best && ip_parse(json_string_value(json_array_get(one, 0)), &net) == 0 &&
		    ip_within(&ip, &net, (unsigned)len)) {
			best = len;
			device = (int)json_integer_value(json_array_get(one, 2));
		}
	}
	return device;
}

/* True: connections go another way than before. */
static bool pool_bind(struct config *c, struct pool_entry *p)
{
	const json_t *routes = json_object_get(c->vrfs, p->vrf);
	bool changed = false;

	for (size_t i = 0; i < p->seen.n; i++) {
		struct backend *b = p->servers[i].backend;
		int device = device_towards(routes, &b->address);

		changed = changed || device != backend_device(b);
		atomic_store_explicit(&b->device, device, memory_order_relaxed);
	}
	return changed;
}

void config_vrfs(struct config *c, const json_t *vrfs)
{
	json_decref(c->vrfs);
	c->vrfs = vrfs ? json_incref((json_t *)vrfs) : json_object();
	LIST_FOREACH(l, &c->pools) {
		struct pool_entry *p = LIST_ENTRY(l, struct pool_entry, link);

		if (pool_bind(c, p))
			c->user->pool(c->user, &p->seen); /* health checks go the same way */
	}
}

/* (Re)build P from its object; servers that stay keep their backends. */
static void pool_load(struct config *c, struct pool_entry *p, const json_t *object)
{
	struct arena arena = ARENA_INIT;
	const struct pool *pool = model_load(&pool_message, object, &arena);
	struct gathering g = { .config = c, .p = p, .by_name = json_object() };
	const struct ip_addr_group *group = NULL;

	json_object_clear(p->deps);
	pool_depends(p, "applicationpersistenceprofile", pool->application_persistence_profile_ref);

	pool_depends(p, "ipaddrgroup", pool->ipaddrgroup_ref);
	json_object_clear(p->names);
	for (size_t i = 0; i < pool->servers_n; i++)
		if (member_name(&pool->servers[i]))
			json_object_set_new(p->names, member_name(&pool->servers[i]), json_true());
	if (pool->ipaddrgroup_ref) {
		CLEANUP_FREE char *key = xasprintf("ipaddrgroup/%s", pool->ipaddrgroup_ref);
		const json_t *o = object_of(c, key);

		group = o ? model_load(&ip_addr_group_message, o, &arena) : NULL;
	}
	members_each(pool, group, c->names, gather_server, &g);
	pool_entry_clear(p);
	p->arena = arena;
	p->servers = g.servers;
	p->by_name = g.by_name;
	p->seen = (struct config_pool){ .uuid = p->uuid, .pool = pool, .n = g.n, .servers = g.servers };
	servers_tls(c, p, pool);
	pool_bind(c, p);
}

/* KEY is "pool/uuid"; NULL when there is none. */
static struct pool_entry *pool_find(struct config *c, const char *uuid)
{
	for (struct table_link *l = table_first(&c->pool_table, table_hash(TABLE_SEED, uuid)); l; l = table_next(l))
		if (strcmp(CONTAINER_OF(l, struct pool_entry, by_uuid)->uuid, uuid) == 0)
			return CONTAINER_OF(l, struct pool_entry, by_uuid);
	return NULL;
}

static struct pool_entry *pool_use(struct config *c, const char *key, const char *vrf)
{
	const json_t *object = object_of(c, key);
	struct pool_entry *p;

	if (!object)
		return NULL;
	p = pool_find(c, strchr(key, '/') + 1);
	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->uuid = xstrdup(strchr(key, '/') + 1);
		p->vrf = xstrdup(vrf);
		p->by_name = json_object();
		p->state = pool_state_new();
		p->deps = json_object();
		p->names = json_object();
		p->tls_deps = json_object();
		p->monitor_deps = json_object();
		list_init(&p->link);
		list_insert(&c->pools, &p->link);
		table_put(&c->pool_table, &p->by_uuid, table_hash(TABLE_SEED, p->uuid));
		pool_load(c, p, object);
		p->changed = true;
		pool_tell(c, p);
	}
	p->users++;
	return p;
}

static void pools_refresh(struct config *c)
{
	LIST_FOREACH(l, &c->pools) {
		struct pool_entry *p = LIST_ENTRY(l, struct pool_entry, link);
		CLEANUP_FREE char *key = xasprintf("pool/%s", p->uuid);
		const json_t *object = object_of(c, key);

		p->users = 0;
		p->changed = json_object_get(c->changed, key) || any_changed(c, p->deps) ||
			     (c->names_changed && json_object_size(p->names));
		p->changed |= any_changed(c, p->tls_deps);
		if (!object || (!p->changed && !any_changed(c, p->monitor_deps)))
			continue;
		pool_load(c, p, object);
		pool_tell(c, p);
	}
}

static void pools_sweep(struct config *c)
{
	LIST_FOREACH(l, &c->pools) {
		struct pool_entry *p = LIST_ENTRY(l, struct pool_entry, link);

		if (p->users)
			continue;
		c->user->pool_gone(c->user, p->uuid);
		pool_entry_free(c, p);
	}
}

/* ---- services ---- */

static struct service_entry *service_find(struct config *c, const char *uuid)
{
	for (struct table_link *l = table_first(&c->service_table, table_hash(TABLE_SEED, uuid)); l; l = table_next(l))
		if (strcmp(CONTAINER_OF(l, struct service_entry, by_uuid)->uuid, uuid) == 0)
			return CONTAINER_OF(l, struct service_entry, by_uuid);
	return NULL;
}

static struct service_entry *service_make(struct config *c, const char *uuid)
{
	struct service_entry *s = service_find(c, uuid);
	char key[16];

	if (s)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->uuid = xstrdup(uuid);
	s->more = json_object();
	s->admission = admission_new();
	s->dirty = true;
	s->named = json_object();
	/* The smallest free number: the workers' tables stay dense. */
	s->index = c->lowest;
	do
		snprintf(key, sizeof(key), "%u", s->index++);
	while (json_object_get(c->used, key));
	c->lowest = s->index--;
	json_object_set_new(c->used, key, json_true());
	list_init(&s->link);
	list_insert(&c->services, &s->link);
	table_put(&c->service_table, &s->by_uuid, table_hash(TABLE_SEED, uuid));
	return s;
}

static void service_free(struct config *c, struct service_entry *s)
{
	char key[16];

	snprintf(key, sizeof(key), "%u", s->index);
	json_object_del(c->used, key);
	c->lowest = MIN(c->lowest, s->index);
	table_take(&c->service_table, &s->by_uuid);
	for (unsigned i = 0; i < DEPS; i++)
		free(s->deps[i]);
	json_decref(s->more);
	free(s->pools);
	json_decref(s->named);
	secure_put(s->clients_tls);
	admission_put(s->admission);
	netsec_put(s->netsec);
	list_remove(&s->link);
	free(s->uuid);
	free(s);
}

static void dep_set(struct service_entry *s, unsigned which, const char *kind, const char *uuid)
{
	free(s->deps[which]);
	s->deps[which] = uuid && *uuid ? xasprintf("%s/%s", kind, uuid) : NULL;
}

static const void *dep_load(struct config *c, struct service_entry *s, unsigned which, const struct message_desc *m,
			    struct arena *a)
{
	const json_t *o = object_of(c, s->deps[which]);

	return o ? model_load(m, o, a) : NULL;
}

static const struct proto_ops *proto_of(const struct application_profile *app)
{
	return app && app->type == APPLICATION_PROFILE_TYPE_HTTP ? &http_proto : &l4_proto;
}

static int64_t times(int64_t n, int64_t unit)
{
	return n < 0 ? -1 : n * unit;
}

static void network_tcp(struct snapshot *n, const struct tcp_proxy_profile *tcp)
{
	n->client.nodelay = !tcp->nagles_algorithm;
	n->close_idle = tcp->idle_connection_type == CLOSE_IDLE && tcp->idle_connection_timeout > 0;
	n->idle_ms = (uint64_t)tcp->idle_connection_timeout * 1000;
	n->client.keepalive_s = n->close_idle ? 0 : (unsigned)tcp->idle_connection_timeout;
	n->keepalive_halfclosed = tcp->keepalive_in_halfclose_state;
	/* "Pass through" has nothing to pass at a proxy: the packets are its own. */
	n->dscp = tcp->ip_dscp <= DSCP_MAX ? (unsigned)tcp->ip_dscp : 0;
	tuning_from(&n->client, tcp);
}

static void snapshot_network(struct snapshot *n)
{
	const struct network_profile_union *p = n->network ? n->network->profile : NULL;

	n->client.nodelay = true;
	n->client.keepalive_s = PORT_KEEPALIVE_S;
	n->keepalive_halfclosed = true;
	if (!p)
		return;
	switch (p->type) {
	case PROTOCOL_TYPE_TCP_FAST_PATH:
		n->idle_ms = (uint64_t)p->tcp_fast_path_profile->session_idle_timeout * 1000;
		n->close_idle = n->idle_ms;
		break;
	case PROTOCOL_TYPE_UDP_FAST_PATH:
		n->idle_ms = (uint64_t)p->udp_fast_path_profile->session_idle_timeout * 1000;
		n->per_packet = p->udp_fast_path_profile->per_pkt_loadbalance;
		break;
	default:
		network_tcp(n, p->tcp_proxy_profile);
	}
	n->server = n->client;
}

static enum lb_kind kind_of(const struct pool *pool)
{
	switch (pool->lb_algorithm) {
	case LB_ALGORITHM_ROUND_ROBIN:
		return LB_ROUND_ROBIN;
	case LB_ALGORITHM_FASTEST_RESPONSE:
		return LB_FASTEST_RESPONSE;
	case LB_ALGORITHM_CONSISTENT_HASH:
		return LB_CONSISTENT_HASH;
	case LB_ALGORITHM_LEAST_LOAD:
		return LB_LEAST_LOAD;
	case LB_ALGORITHM_FEWEST_SERVERS:
		return LB_FEWEST_SERVERS;
	case LB_ALGORITHM_RANDOM:
		return LB_RANDOM;
	case LB_ALGORITHM_FEWEST_TASKS:
		return LB_FEWEST_TASKS;
	case LB_ALGORITHM_CORE_AFFINITY:
		return LB_CORE_AFFINITY;
	default:
		return LB_LEAST_CONNECTIONS;
	}
}

/* The tables that the algorithm reads: built here, once for all workers. */
static void snapshot_rules(struct snapshot *n, struct snapshot_pool *sp)
{
	const struct pool *pool = sp->pool;

	sp->rules = (struct lb_rules){
		.kind = kind_of(pool),
		.max_load = (unsigned)MAX(pool->max_concurrent_connections_per_server, (int64_t)0),
		.ramp_ns = (uint64_t)pool->connection_ramp_duration * 60 * NS_PER_S,
		.core_sharing = (unsigned)pool->lb_algorithm_core_nonaffinity,
	};
	if (sp->rules.kind == LB_CONSISTENT_HASH) {
		struct lb_hash_server *s = xcalloc(sp->n_servers + 1, sizeof(*s));

		for (size_t i = 0; i < sp->n_servers; i++) {
			const struct backend *b = sp->servers[i].backend;
			size_t name = strlen(b->name), used = name;

			if (pool->ignore_server_port)
				used = (size_t)(strrchr(b->name, ':') - b->name);
			s[i] = (struct lb_hash_server){
				.name = lb_hash_mix(lb_hash_bytes(LB_HASH_SEED, b->name, used)),
				.tie = lb_hash_mix(lb_hash_bytes(LB_HASH_SEED, b->name, name)),
				.ratio = sp->servers[i].ratio,
			};
		}
		sp->rules.hash = lb_hash_new(&n->arena, s, sp->n_servers);
		free(s);
	}
	if (sp->rules.kind == LB_ROUND_ROBIN && pool->lb_algo_rr_per_se) {
		unsigned *ratios = xcalloc(sp->n_servers + 1, sizeof(*ratios));

		for (size_t i = 0; i < sp->n_servers; i++)
			ratios[i] = sp->servers[i].ratio;
		sp->rules.wheel = lb_wheel_new(&n->arena, &sp->state->turn, ratios, sp->n_servers);
		free(ratios);
	}
}

/* What the Host header of requests to S is; NULL: what the client wrote. */
static const char *host_of(struct snapshot *n, const struct pool *pool, const struct server *s, const struct backend *b)
{
	unsigned port = address_port(&b->address);
	const char *name = NULL;

	if (pool->rewrite_host_header_to_sni && pool->server_name && *pool->server_name)
		name = pool->server_name;
	else if (s && (pool->rewrite_host_header_to_server_name || s->rewrite_host_header))
		name = s->hostname;
	/* What would end the line is no name. */
	if (!name || !*name || strpbrk(name, " \t\r\n"))
		return NULL;
	if (pool->append_port == NEVER || (pool->append_port == NON_DEFAULT_80_443 && (port == 80 || port == 443)))
		return name;
	name = strchr(name, ':') && *name != '[' ? xasprintf("[%s]:%u", name, port) : xasprintf("%s:%u", name, port);
	char *kept = arena_strdup(&n->arena, name);

	free((char *)name);
	return kept;
}

static void snapshot_rate(struct snapshot_pool *sp)
{
	const struct rate_limiter *r =
		sp->pool->max_conn_rate_per_server ? sp->pool->max_conn_rate_per_server->rate_limiter : NULL;

	/* No burst given: what a period allows may come at once. */
	if (r && r->count)
		sp->rate = rate_limit_of((uint64_t)r->count, (uint64_t)r->period * NS_PER_S,
					 (uint64_t)(r->burst_sz ? r->burst_sz : r->count));
}

/* How clients stay with their servers. */
static void snapshot_persist(struct config *c, struct snapshot *n, struct snapshot_pool *sp)
{
	const char *ref = sp->pool->application_persistence_profile_ref;
	CLEANUP_FREE char *key = xasprintf("applicationpersistenceprofile/%s", ref ? ref : "");
	const json_t *o = ref ? object_of(c, key) : NULL;
	const struct application_persistence_profile *p =
		o ? model_load(&application_persistence_profile_message, o, &n->arena) : NULL;
	const struct ip_persistence_profile *ip = p ? p->ip_persistence_profile : NULL;
	const char **names;

	if (!p)
		return;
	sp->persist.down = (int)p->server_hm_down_recovery;
	sp->persist.while_disabled = sp->pool->server_disable_type == ALLOW_NEW_CONNECTION_IF_PERSISTENCE_PRESENT;
	switch (p->persistence_type) {
	case PERSISTENCE_TYPE_CLIENT_IP_ADDRESS:
	case PERSISTENCE_TYPE_CLIENT_IPV6_ADDRESS:
		sp->persist.by_address = true;
		sp->persist.keep_ns = (uint64_t)(ip ? ip->ip_persistent_timeout : 5) * 60 * NS_PER_S;
		sp->persist.mask = ip ? (unsigned)ip->ip_mask : 0;
		if (!sp->state->persist)
			sp->state->persist = persist_new(PERSIST_MAX);
		break;
	case PERSISTENCE_TYPE_HTTP_COOKIE:
		names = xcalloc(sp->n_servers + 1, sizeof(names[0]));
		for (size_t i = 0; i < sp->n_servers; i++)
			names[i] = sp->servers[i].backend->name;
		sp->persist.cookie =
			sticky_new(&n->arena, p->http_cookie_persistence_profile, sp->uuid, names, sp->n_servers);
		free(names);
		break;
	default:
		break;
	}
}

static void snapshot_pool(struct config *c, struct snapshot *n, struct snapshot_pool *sp, const struct pool_entry *p)
{
	CLEANUP_FREE char *key = xasprintf("pool/%s", p->uuid);
	const struct pool *pool = model_load(&pool_message, object_of(c, key), &n->arena);
	const struct conn_pool_properties *keep = pool->conn_pool_properties;

	sp->pool = pool;
	sp->uuid = arena_strdup(&n->arena, p->uuid);
	sp->name = pool->name;
	sp->state = pool_state_get(p->state);
	sp->tls = p->tls ? secure_get(p->tls) : NULL;
	sp->disable_ms = times(pool->graceful_disable_timeout, 60000);
	sp->down_ms = times(pool->graceful_hm_down_disable_timeout, 1000);
	sp->connect_ms = CONNECT_MS;
	if (pool->server_timeout)
		sp->connect_ms = MIN(sp->connect_ms, (uint64_t)pool->server_timeout);
	sp->keep.idle_ms = keep ? (uint64_t)keep->upstream_connpool_conn_idle_tmo : 60000;
	sp->keep.life_ms = keep ? (uint64_t)keep->upstream_connpool_conn_life_tmo : 600000;
	sp->keep.max_reuse = keep ? (uint64_t)keep->upstream_connpool_conn_max_reuse : 0;
	sp->keep.max_idle = keep ? (uint64_t)keep->upstream_connpool_server_max_cache : 0;
	sp->passive = pool->inline_health_monitor;
	sp->min_up = (unsigned)pool->min_servers_up;
	sp->service_port = pool->use_service_port;
	sp->queue_max = pool->request_queue_enabled ? (unsigned)pool->request_queue_depth : 0;
	sp->servers = arena_get(&n->arena, (p->seen.n + 1) * sizeof(sp->servers[0]));
	/* A pool that is switched off has no servers: all its connections are closed. */
	for (size_t i = 0; i < p->seen.n && pool->enabled; i++) {
		const struct config_server *from = &p->servers[i];
		const struct server *line = from->line < pool->servers_n ? &pool->servers[from->line] : NULL;

		sp->servers[sp->n_servers++] = (struct snapshot_server){
			.backend = backend_get(from->backend),
			.ratio = MAX(from->ratio, 1u),
			.enabled = from->enabled,
			.server = line,
			.host = host_of(n, pool, line, from->backend),
		};
	}
	snapshot_persist(c, n, sp);
	snapshot_rules(n, sp);
	snapshot_rate(sp);
}

/* Smaller comes first: the place among the labels, or else the larger number. */
static int64_t order_of(const struct pool_group_member *m, const struct priority_labels *labels)
{
	const char *label = m->priority_label ? m->priority_label : "";

	for (size_t i = 0; labels && i < labels->equivalent_labels_n; i++)
		for (size_t j = 0; j < labels->equivalent_labels[i].labels_n; j++)
			if (strcmp(labels->equivalent_labels[i].labels[j], label) == 0)
				return (int64_t)i - INT32_MAX;
	return labels ? 0 : -(int64_t)strtol(label, NULL, 10);
}

struct ordered {
	struct snapshot_member member;
	int64_t order;
};

static int by_order(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return (x->member.pool > y->member.pool) - (x->member.pool < y->member.pool);
}

static void snapshot_group(struct config *c, const struct service_entry *s, struct snapshot *n)
{
	CLEANUP_FREE char *key = xasprintf("poolgroup/%s", n->vs->pool_group_ref ? n->vs->pool_group_ref : "");
	const json_t *object = object_of(c, key);
	const struct pool_group *g = object ? model_load(&pool_group_message, object, &n->arena) : NULL;
	CLEANUP_FREE char *labels_key = xasprintf("prioritylabels/%s", g && g->priority_labels_ref ? g->priority_labels_ref : "");
	const json_t *labels_object = object_of(c, labels_key);
	const struct priority_labels *labels =
		labels_object ? model_load(&priority_labels_message, labels_object, &n->arena) : NULL;
	struct ordered *all;

	if (!g)
		return;
	all = xcalloc(g->members_n + 1, sizeof(all[0]));
	for (size_t i = 0; i < g->members_n; i++)
		for (size_t p = 0; p < s->n_pools; p++)
			if (strcmp(s->pools[p]->uuid, g->members[i].pool_ref) == 0)
				all[n->n_members++] = (struct ordered){ { .pool = p, .ratio = (unsigned)g->members[i].ratio },
									order_of(&g->members[i], labels) };
	qsort(all, n->n_members, sizeof(all[0]), by_order);
	n->members = arena_get(&n->arena, (n->n_members + 1) * sizeof(n->members[0]));
	for (size_t i = 0; i < n->n_members; i++) {
		n->members[i] = all[i].member;
		if (i)
			n->members[i].rank = n->members[i - 1].rank + (all[i].order != all[i - 1].order);
	}
	free(all);
	n->group_min = (unsigned)g->min_servers;
	n->group_fail = g->fail_action;
}

static void snapshot_pools(struct config *c, const struct service_entry *s, struct snapshot *n)
{
	n->pools = arena_get(&n->arena, (s->n_pools + 1) * sizeof(n->pools[0]));
	for (size_t i = 0; i < s->n_pools; i++)
		snapshot_pool(c, n, &n->pools[n->n_pools++], s->pools[i]);
	snapshot_group(c, s, n);
}

/* From here on S is built anew when this object changes. */
static const void *more_load(struct config *c, struct service_entry *s, const char *kind, const char *uuid,
			     struct arena *a)
{
	CLEANUP_FREE char *key = xasprintf("%s/%s", kind, uuid);
	const json_t *o = object_of(c, key);

	json_object_set_new(s->more, key, json_true());
	return o ? model_load(kind_find(kind)->msg, o, a) : NULL;
}

static void snapshot_application(struct snapshot *n)
{
	n->proto = proto_of(n->application);
	n->multiplex = n->proto == &http_proto && (!n->application->http_profile ||
						   n->application->http_profile->connection_multiplexing_enabled);
}

/* ---- TLS with clients ---- */

static void clients_tls(struct config *c, struct service_entry *s, const struct virtual_service *vs)
{
	struct tls_lookup l = { .source = { tls_get_object }, .config = c, .asked = s->more };
	struct tls_identity ids[TLS_IDENTITIES];
	struct secure_what what = { .settings = { .server = true, .identities = ids }, .scope = s->uuid };
	size_t n = 0;

	for (size_t i = 0; i < vs->ssl_key_and_certificate_refs_n && n < ARRAY_SIZE(ids); i++)
		n += tls_profile_identity(&ids[n],
					  tls_get_object(&l.source, "sslkeyandcertificate",
							  vs->ssl_key_and_certificate_refs[i]),
					  &l.source, &l.arena);
	what.settings.n_identities = n;
	tls_profile_ssl(&what.settings, tls_get_object(&l.source, "sslprofile", vs->ssl_profile_ref), &l.arena);
	tls_make(c, n ? &what : NULL, &s->clients_tls, vs->name);
	arena_fini(&l.arena);
}

static void snapshot_tls_ports(const struct service_entry *s, struct snapshot *n)
{
	const struct virtual_service *vs = n->vs;
	struct snapshot_tls_port *p = arena_get(&n->arena, (vs->services_n + 1) * sizeof(*p));

	n->tls_ports = p;
	for (size_t i = 0; i < vs->services_n; i++) {
		const struct service *port = &vs->services[i];

		if (!port->enable_ssl)
			continue;
		*p++ = (struct snapshot_tls_port){
			.first = (unsigned)port->port,
			.last = (unsigned)MAX(port->port_range_end, port->port),
			.alpn = n->proto != &http_proto	? NULL
				: port->enable_http2	? "\x02h2\x08http/1.1"
							: "\x08http/1.1",
		};
		n->n_tls_ports++;
	}
	n->clients_tls = n->n_tls_ports && s->clients_tls ? secure_get(s->clients_tls) : NULL;
}

static void snapshot_clients_tls(struct config *c, struct service_entry *s, struct snapshot *n)
{
	clients_tls(c, s, n->vs);
	snapshot_tls_ports(s, n);
}

/* ---- who may come in ---- */

struct groups {
	struct config *config;
	struct service_entry *service;
	struct arena *arena;
};

static const struct ip_addr_group *group_of(void *arg, const char *uuid)
{
	struct groups *g = arg;

	return more_load(g->config, g->service, "ipaddrgroup", uuid, g->arena);
}

static const uint32_t *rule_slots(struct config *c, const struct service_entry *s, const struct netsec *n,
				  struct arena *a)
{
	const json_t *known = json_object_get(c->slots_rules, s->uuid);
	uint32_t *slots = arena_get(a, (netsec_rules(n) + 1) * sizeof(slots[0]));

	for (uint32_t i = 0; i < netsec_rules(n); i++)
		slots[i] = (uint32_t)json_int(known, netsec_rule_name(n, i), COUNTERS_NO_SLOT);
	return slots;
}

/* A policy that is named and not there lets nobody in: its silence would be a hole. */
static void policy_load(struct config *c, struct service_entry *s, const char *uuid)
{
	static const struct network_security_rule closed[] = {
		{ .name = "missing policy", .enable = true, .action = NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY } };
	static const struct network_security_policy missing = { .rules = closed, .rules_n = 1 };
	struct arena arena = ARENA_INIT;
	struct groups g = { c, s, &arena };
	const struct network_security_policy *p = NULL;
	struct netsec *fresh = NULL;

	if (uuid) {
		p = more_load(c, s, "networksecuritypolicy", uuid, &arena);
		if (!p)
			log_warn("policy_missing service=%s policy=%s", s->uuid, uuid);
		fresh = netsec_new(p ? p : &missing, group_of, &g, s->netsec);
	}
	netsec_put(s->netsec);
	s->netsec = fresh;
	arena_fini(&arena);
}

static struct rate_limit limit_of(const struct rate_profile *p)
{
	const struct rate_limiter *l = p ? p->rate_limiter : NULL;

	return l ? rate_limit_of((uint64_t)l->count, (uint64_t)l->period * NS_PER_S,
				 (uint64_t)MAX(l->burst_sz, l->count))
		 : (struct rate_limit){ 0 };
}

static enum limit_action action_of(const struct rate_profile *p)
{
	switch (p && p->action ? p->action->type : RL_ACTION_NONE) {
	case RL_ACTION_DROP_CONN:
	case RL_ACTION_RESET_CONN:
		return LIMIT_RESET;
	case RL_ACTION_CLOSE_CONN:
		return LIMIT_CLOSE;
	case RL_ACTION_LOCAL_RSP:
		return LIMIT_ANSWER;
	default:
		return LIMIT_COUNT;
	}
}

static int status_of(const struct rate_profile *p)
{
	static const int statuses[] = {
		[HTTP_LOCAL_RESPONSE_STATUS_CODE_200] = 200, [HTTP_LOCAL_RESPONSE_STATUS_CODE_204] = 204,
		[HTTP_LOCAL_RESPONSE_STATUS_CODE_403] = 403, [HTTP_LOCAL_RESPONSE_STATUS_CODE_404] = 404,
		[HTTP_LOCAL_RESPONSE_STATUS_CODE_429] = 429, [HTTP_LOCAL_RESPONSE_STATUS_CODE_501] = 501,
	};

	return p && p->action ? statuses[p->action->status_code] : 429;
}

/* Servers may be spoken to in another way than clients. */
static void snapshot_server_network(struct config *c, struct service_entry *s, struct snapshot *n)
{
	const char *uuid = n->vs->server_network_profile_ref;
	const struct network_profile *p = uuid ? more_load(c, s, "networkprofile", uuid, &n->arena) : NULL;
	struct snapshot other = { .network = p };

	if (!p || !p->profile || p->profile->type != PROTOCOL_TYPE_TCP_PROXY)
		return;
	snapshot_network(&other);
	n->server = other.server;
}

static void snapshot_admission(struct config *c, struct service_entry *s, struct snapshot *n)
{
	const struct virtual_service *vs = n->vs;

	n->admission = (struct admission_plan){
		.shared = admission_get(s->admission),
		.netsec = netsec_get(s->netsec),
		.rule_slots = rule_slots(c, s, s->netsec, &n->arena),
		.open_max = vs->performance_limits
				    ? (unsigned)MAX(vs->performance_limits->max_concurrent_connections, (int64_t)0)
				    : 0,
		.connections = limit_of(vs->connections_rate_limit),
		.connections_action = action_of(vs->connections_rate_limit),
		.requests = limit_of(vs->requests_rate_limit),
		.requests_action = action_of(vs->requests_rate_limit),
		.requests_status = status_of(vs->requests_rate_limit),
		.punish = vs->limit_doser,
	};
	if (!vs->max_cps_per_client)
		return;
	n->admission.each_client = rate_limit_of((uint64_t)vs->max_cps_per_client, NS_PER_S,
					      (uint64_t)vs->max_cps_per_client);
	if (!s->admission->clients)
		s->admission->clients = rate_table_new();
	n->admission.clients = s->admission->clients;
}

/* N as a port sees it whose profiles are others. */
static struct snapshot *snapshot_port_build(struct config *c, struct service_entry *s, const struct snapshot *n,
					    const struct service *port)
{
	struct snapshot *p = snapshot_new();

	p->index = n->index;
	p->slot = n->slot;
	p->revision = n->revision;
	p->uuid = arena_strdup(&p->arena, n->uuid);
	p->vs = dep_load(c, s, DEP_SERVICE, &virtual_service_message, &p->arena);
	p->name = p->vs->name;
	p->application = port->override_application_profile_ref
				 ? more_load(c, s, "applicationprofile", port->override_application_profile_ref,
					     &p->arena)
				 : dep_load(c, s, DEP_APPLICATION, &application_profile_message, &p->arena);
	p->network = port->override_network_profile_ref
			     ? more_load(c, s, "networkprofile", port->override_network_profile_ref, &p->arena)
			     : dep_load(c, s, DEP_NETWORK, &network_profile_message, &p->arena);
	p->analytics = dep_load(c, s, DEP_ANALYTICS, &analytics_profile_message, &p->arena);
	snapshot_application(p);
	snapshot_network(p);
	p->clone = s->clone;
	snapshot_admission(c, s, p);
	snapshot_server_network(c, s, p);
	snapshot_pools(c, s, p);
	snapshot_tls_ports(s, p);
	return p;
}

static bool network_is_udp(const struct network_profile *p)
{
	return p && p->profile &&
	       (p->profile->type == PROTOCOL_TYPE_UDP_FAST_PATH || p->profile->type == PROTOCOL_TYPE_UDP_PROXY);
}

static void snapshot_ports(struct config *c, struct service_entry *s, struct snapshot *n)
{
	n->ports = arena_get(&n->arena, (n->vs->services_n + 1) * sizeof(n->ports[0]));
	for (size_t i = 0; i < n->vs->services_n; i++) {
		const struct service *port = &n->vs->services[i];
		struct snapshot_port *p = &n->ports[n->n_ports];

		if (!port->override_application_profile_ref && !port->override_network_profile_ref)
			continue;
		p->as = snapshot_port_build(c, s, n, port);
		p->udp = network_is_udp(p->as->network);
		p->first = (unsigned)port->port;
		p->last = (unsigned)MAX(port->port_range_end, port->port);
		n->n_ports++;
	}
}

static struct snapshot *service_build(struct config *c, struct service_entry *s, uint64_t revision)
{
	struct snapshot *n = snapshot_new();
	const struct virtual_service *vs;

	n->index = s->index;
	n->revision = revision;
	n->slot = (unsigned)json_int(c->slots_services, s->uuid, COUNTERS_NO_SLOT);
	n->uuid = arena_strdup(&n->arena, s->uuid);
	vs = n->vs = dep_load(c, s, DEP_SERVICE, &virtual_service_message, &n->arena);
	n->name = vs->name;
	dep_set(s, DEP_APPLICATION, "applicationprofile", vs->application_profile_ref);
	dep_set(s, DEP_NETWORK, "networkprofile", vs->network_profile_ref);
	dep_set(s, DEP_ANALYTICS, "analyticsprofile", vs->analytics_profile_ref);
	dep_set(s, DEP_CLONE, "trafficcloneprofile", vs->traffic_clone_profile_ref);
	n->application = dep_load(c, s, DEP_APPLICATION, &application_profile_message, &n->arena);
	n->network = dep_load(c, s, DEP_NETWORK, &network_profile_message, &n->arena);
	n->analytics = dep_load(c, s, DEP_ANALYTICS, &analytics_profile_message, &n->arena);
	snapshot_application(n);
	snapshot_network(n);
	n->clone = s->clone;
	json_object_clear(s->more);
	policy_load(c, s, vs->network_security_policy_ref);
	snapshot_admission(c, s, n);
	snapshot_server_network(c, s, n);
	snapshot_pools(c, s, n);
	snapshot_clients_tls(c, s, n);
	snapshot_ports(c, s, n);
	return n;
}

static bool service_touched(struct config *c, const struct service_entry *s)
{
	if (s->dirty)
		return true;
	for (unsigned i = 0; i < DEPS; i++)
		if (s->deps[i] && json_object_get(c->changed, s->deps[i]))
			return true;
	if (any_changed(c, s->more) || any_changed(c, s->named))
		return true;
	for (size_t i = 0; i < s->n_pools; i++)
		if (s->pools[i]->changed)
			return true;
	return false;
}

/* Anything but servers, and where copies go. */
static bool settings_changed(struct config *c, const struct service_entry *s)
{
	static const unsigned settings[] = { DEP_SERVICE, DEP_APPLICATION, DEP_NETWORK, DEP_ANALYTICS };

	for (unsigned i = 0; i < ARRAY_SIZE(settings); i++)
		if (s->deps[settings[i]] && json_object_get(c->changed, s->deps[settings[i]]))
			return true;
	return any_changed(c, s->more);
}

static void service_add_pool(struct config *c, struct service_entry *s, const char *ref)
{
	const char *uuid = strrchr(ref, '/');
	CLEANUP_FREE char *key = xasprintf("pool/%s", uuid ? uuid + 1 : ref);
	const char *vrf = json_str(object_of(c, s->deps[DEP_SERVICE]), "vrf_context_ref", ""), *slash = strrchr(vrf, '/');
	struct pool_entry *p = pool_use(c, key, slash ? slash + 1 : vrf);

	json_object_set_new(s->named, key, json_true());
	for (size_t i = 0; i < s->n_pools && p; i++)
		if (s->pools[i] == p)
			return;
	if (!p)
		return;
	s->pools = xrealloc(s->pools, (s->n_pools + 1) * sizeof(s->pools[0]));
	s->pools[s->n_pools++] = p;
}

/* The pools that the objects name; deps follow only when the snapshot is built. */
static void service_pools(struct config *c, struct service_entry *s, const json_t *vs)
{
	const char *group = json_str(vs, "pool_group_ref", ""), *uuid = strrchr(group, '/'), *labels;
	CLEANUP_FREE char *key = xasprintf("poolgroup/%s", uuid ? uuid + 1 : group);
	const json_t *object = *group ? object_of(c, key) : NULL, *member;
	size_t i;

	s->n_pools = 0;
	json_object_clear(s->named);
	service_add_pool(c, s, json_str(vs, "pool_ref", ""));
	if (!*group)
		return;
	json_object_set_new(s->named, key, json_true());
	labels = strrchr(json_str(object, "priority_labels_ref", ""), '/');
	if (labels) {
		CLEANUP_FREE char *named = xasprintf("prioritylabels%s", labels);

		json_object_set_new(s->named, named, json_true());
	}
	json_array_foreach(json_object_get(object, "members"), i, member)
		service_add_pool(c, s, json_str(member, "pool_ref", ""));
}

static void service_commit(struct config *c, struct service_entry *s, uint64_t revision)
{
	const json_t *vs = object_of(c, s->deps[DEP_SERVICE]);
	struct snapshot *n;

	if (!vs) {
		if (!s->deps[DEP_SERVICE])
			return; /* its listeners came first */
		for (unsigned i = 0; i < c->n_workers; i++)
			worker_post_removed(c->workers[i], s->index);
		service_free(c, s);
		return;
	}
	if (!service_touched(c, s)) {
		for (size_t i = 0; i < s->n_pools; i++)
			s->pools[i]->users++;
		return;
	}
	service_pools(c, s, vs);
	n = service_build(c, s, revision);
	n->cuts_clients = n->vs->close_client_conn_on_config_update && settings_changed(c, s);
	s->built = true;
	s->dirty = false;
	for (unsigned i = 0; i < c->n_workers; i++)
		worker_post_snapshot(c->workers[i], n);
	snapshot_put(n);
}

static void round_done(void *arg, uint64_t revision)
{
	struct config *c = arg;

	c->user->applied(c->user, revision);
}

static void names_tell(struct config *c)
{
	CLEANUP_JSON json_t *wanted = json_object();

	LIST_FOREACH(l, &c->pools)
		json_object_update(wanted, LIST_ENTRY(l, struct pool_entry, link)->names);
	if (c->user->names)
		c->user->names(c->user, wanted);
}

void config_commit(struct config *c, uint64_t revision)
{
	const char *key;
	json_t *value;

	json_object_foreach(c->changed, key, value) {
		if (strncmp(key, "virtualservice/", 15) == 0) {
			struct service_entry *s = service_make(c, key + 15);

			dep_set(s, DEP_SERVICE, "virtualservice", s->uuid);
		}
	}
	pools_refresh(c);
	LIST_FOREACH(l, &c->services)
		service_commit(c, LIST_ENTRY(l, struct service_entry, link), revision);
	pools_sweep(c);
	json_object_clear(c->changed);
	c->names_changed = false;
	names_tell(c);
	workers_round(c->workers, c->n_workers, c->home, round_done, c, revision);
}

void config_free(struct config *c)
{
	while (!list_empty(&c->services))
		service_free(c, LIST_ENTRY(c->services.next, struct service_entry, link));
	while (!list_empty(&c->pools))
		pool_entry_free(c, LIST_ENTRY(c->pools.next, struct pool_entry, link));
	json_decref(c->objects);
	json_decref(c->changed);
	json_decref(c->vrfs);
	json_decref(c->slots_services);
	json_decref(c->slots_servers);
	json_decref(c->slots_rules);
	json_decref(c->used);
	table_fini(&c->service_table);
	table_fini(&c->pool_table);
	json_decref(c->names);
	free(c);
}

/* ---- messages ---- */

void config_put(struct config *c, const char *kind, const char *uuid, const json_t *object)
{
	CLEANUP_FREE char *key = xasprintf("%s/%s", kind, uuid);

	json_object_set(c->objects, key, (json_t *)object);
	json_object_set_new(c->changed, key, json_true());
}

void config_delete(struct config *c, const char *kind, const char *uuid)
{
	CLEANUP_FREE char *key = xasprintf("%s/%s", kind, uuid);

	json_object_del(c->objects, key);
	json_object_set_new(c->changed, key, json_true());
}

static void slots_add(json_t *to, json_t *from)
{
	const char *of;
	json_t *slots;

	json_object_foreach(from, of, slots) {
		json_t *known = json_object_get(to, of);

		if (known)
			json_object_update(known, slots);
		else
			json_object_set_new(to, of, json_copy(slots));
	}
}

void config_slots(struct config *c, const json_t *m)
{
	json_object_update(c->slots_services, json_object_get(m, "services"));
	slots_add(c->slots_servers, json_object_get(m, "servers"));
	slots_add(c->slots_rules, json_object_get(m, "rules"));
}

void config_names(struct config *c, json_t *names)
{
	if (!json_is_object(names))
		return;
	json_decref(c->names);
	c->names = json_incref(names);
	c->names_changed = true;
}

/* How a server does that is a name: as the best of its addresses. */
static json_t *report_name(const struct pool_entry *p, size_t line, const json_t *record, const json_t *servers)
{
	const struct server *s = &p->seen.pool->servers[line];
	int64_t port = s->has_port && s->port ? s->port : p->seen.pool->default_server_port;
	const char *name = member_name(s), *error = json_str(record, "error", NULL);
	const json_t *one, *best = NULL, *value;
	struct buf text = BUF_INIT;
	json_t *out;
	size_t i, k;

	json_array_foreach(json_object_get(record, "now"), i, value) {
		buf_printf(&text, "%s%s", i ? ", " : "", json_string_value(value));
		json_array_foreach(servers, k, one)
			if (json_int(one, "port", 0) == port &&
			    strcmp(json_str(one, "ip", ""), json_string_value(value)) == 0 &&
			    (!best || strcmp(json_str(one, "state", ""), "OPER_UP") == 0))
				best = one;
	}
	out = best ? json_copy((json_t *)best) : json_object();
	json_object_set_new(out, "ip", json_string(s->ip->addr));
	json_object_set_new(out, "port", json_integer(port));
	if (!best)
		json_object_set_new(out, "state", json_string(error && !i ? "OPER_DOWN" : "OPER_INITIALIZING"));
	if (error && !i)
		json_object_set_new(out, "reason", json_sprintf("The address of %.200s is not known: %.200s", name, error));
	else if (error)
		json_object_set_new(out, "reason", json_sprintf("%.200s is still taken for %.600s: %.200s", name,
								buf_cstr(&text), error));
	else if (!i)
		json_object_set_new(out, "reason", json_sprintf("The address of %.200s is being asked for.", name));
	else
		json_object_set_new(out, "reason", json_sprintf("%.200s is %.600s. %.300s", name, buf_cstr(&text),
								json_str(best, "reason", "")));
	buf_fini(&text);
	return out;
}

bool config_has_names(const struct config *c, const char *pool_uuid)
{
	LIST_FOREACH(l, &((struct config *)c)->pools) {
		const struct pool_entry *p = LIST_ENTRY(l, struct pool_entry, link);

		if (strcmp(p->uuid, pool_uuid) == 0)
			return json_object_size(p->names);
	}
	return false;
}

void config_report_names(const struct config *c, const char *pool_uuid, json_t *servers)
{
	LIST_FOREACH(l, &((struct config *)c)->pools) {
		const struct pool_entry *p = LIST_ENTRY(l, struct pool_entry, link);
		CLEANUP_JSON json_t *more = json_array();

		if (strcmp(p->uuid, pool_uuid) != 0 || !json_object_size(p->names))
			continue;
		for (size_t i = 0; i < p->seen.pool->servers_n; i++) {
			const char *name = member_name(&p->seen.pool->servers[i]);

			if (name && strcmp(name, p->seen.pool->servers[i].ip->addr) == 0)
				json_array_append_new(more, report_name(p, i, json_object_get(c->names, name), servers));
		}
		json_array_extend(servers, more);
	}
}

void config_clone(struct config *c, const json_t *m)
{
	struct service_entry *s = service_make(c, json_str(m, "virtualservice", ""));

	s->dirty = true;
	s->clone = (struct snapshot_clone){
		.on = json_bool(m, "on", false),
		.preserve_client_ip = json_bool(m, "preserve_client_ip", false),
		.service = (uint32_t)json_int(m, "service", 0),
		.first = (uint32_t)json_int(m, "first", 0),
		.n = (uint32_t)json_int(m, "count", 0),
		.generation = (uint32_t)json_int(m, "generation", 0),
	};
}

void config_listener(struct config *c, const char *vs_uuid, unsigned worker, uint64_t id, int fd,
		     const union address *a, unsigned last, bool udp)
{
	must(worker < c->n_workers);
	worker_post_listener(c->workers[worker], service_make(c, vs_uuid)->index, id, fd, a, last, udp);
}

void config_unlisten(struct config *c, const char *vs_uuid, unsigned worker, uint64_t id)
{
	struct service_entry *s = service_find(c, vs_uuid);

	must(worker < c->n_workers);
	if (s)
		worker_post_unlisten(c->workers[worker], s->index, id);
}

void config_health(struct config *c, struct backend *b, enum backend_health health)
{
	int old = atomic_exchange_explicit(&b->health, health, memory_order_relaxed);

	if (old == (int)health)
		return;
	if (old == BACKEND_DOWN)
		atomic_store_explicit(&b->since_ns, mono_ns(), memory_order_relaxed);
	LIST_FOREACH(l, &c->services) {
		struct service_entry *s = LIST_ENTRY(l, struct service_entry, link);

		for (size_t j = 0; j < s->n_pools && s->built; j++)
			if (strcmp(s->pools[j]->uuid, b->pool) == 0)
				for (unsigned i = 0; i < c->n_workers; i++)
					worker_post_down(c->workers[i], s->index, b);
	}
}
