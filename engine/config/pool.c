/*
 * The pools of the configuration: servers keep their backends over all changes, as health monitors
 * and connections know them by these.
 */
#include "base/base.h"
#include "base/buf.h"
#include "base/ip.h"
#include "engine/config/parts.h"
#include "engine/config/members.h"
#include "engine/pool_state.h"
#include "engine/tls/secure.h"

static void pool_entry_clear(struct pool_entry *p)
{
	for (size_t i = 0; i < p->seen.n; i++)
		backend_put(p->servers[i].backend);
	free(p->servers);
	json_decref(p->by_name);
	snapshot_part_put(p->part);
}

void config_pool_free(struct config *c, struct pool_entry *p)
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

/* The user learns of P as it is now. */
static void pool_tell(struct config *c, struct pool_entry *p)
{
	const struct pool *pool = p->seen.pool;
	struct arena arena = ARENA_INIT; /* keys are in it: not a moment longer than they are needed */
	size_t n = pool->health_monitor_refs_n + 1;
	const struct health_monitor **m = arena_get(&p->part->arena, n * sizeof(*m));
	const struct tls_settings **tls = arena_get(&p->part->arena, n * sizeof(*tls));

	p->seen.n_monitors = 0;
	json_object_clear(p->monitor_deps);
	for (size_t i = 0; i < pool->health_monitor_refs_n; i++) {
		CLEANUP_FREE char *key = xasprintf("healthmonitor/%s", pool->health_monitor_refs[i]);
		const json_t *o = config_object(c, key);

		json_object_set_new(p->monitor_deps, key, json_true());
		if (!o)
			continue;
		m[p->seen.n_monitors] = model_load(&health_monitor_message, o, &p->part->arena);
		tls[p->seen.n_monitors] = config_tls_monitor(c, p, m[p->seen.n_monitors], &arena);
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
	struct snapshot_part *part = snapshot_part_new();
	const struct pool *pool = part->object = model_load(&pool_message, object, &part->arena);
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
		const json_t *o = config_object(c, key);

		group = o ? model_load(&ip_addr_group_message, o, &arena) : NULL;
	}
	members_each(pool, group, c->names, gather_server, &g);
	pool_entry_clear(p);
	arena_fini(&arena);
	p->part = part;
	p->servers = g.servers;
	p->by_name = g.by_name;
	p->seen = (struct config_pool){ .uuid = p->uuid, .pool = pool, .n = g.n, .servers = g.servers };
	config_tls_servers(c, p, pool);
	pool_bind(c, p);
}

static struct pool_entry *pool_find(const struct config *c, const char *uuid)
{
	for (struct table_link *l = table_first(&c->pool_table, table_hash(TABLE_SEED, uuid)); l; l = table_next(l))
		if (strcmp(CONTAINER_OF(l, struct pool_entry, by_uuid)->uuid, uuid) == 0)
			return CONTAINER_OF(l, struct pool_entry, by_uuid);
	return NULL;
}

struct pool_entry *config_pool_use(struct config *c, const char *key, const char *vrf)
{
	const json_t *object = config_object(c, key);
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

void config_pools_refresh(struct config *c)
{
	LIST_FOREACH(l, &c->pools) {
		struct pool_entry *p = LIST_ENTRY(l, struct pool_entry, link);
		CLEANUP_FREE char *key = xasprintf("pool/%s", p->uuid);
		const json_t *object = config_object(c, key);

		p->users = 0;
		p->changed = json_object_get(c->changed, key) || config_any_changed(c, p->deps) ||
			     (c->names_changed && json_object_size(p->names));
		p->changed |= config_any_changed(c, p->tls_deps);
		if (!object || (!p->changed && !config_any_changed(c, p->monitor_deps)))
			continue;
		loop_breathe(c->home->loop);
		pool_load(c, p, object);
		pool_tell(c, p);
	}
}

void config_pools_sweep(struct config *c)
{
	LIST_FOREACH(l, &c->pools) {
		struct pool_entry *p = LIST_ENTRY(l, struct pool_entry, link);

		if (p->users)
			continue;
		c->user->pool_gone(c->user, p->uuid);
		config_pool_free(c, p);
	}
}

void config_names_tell(struct config *c)
{
	CLEANUP_JSON json_t *wanted = json_object();

	LIST_FOREACH(l, &c->pools)
		json_object_update(wanted, LIST_ENTRY(l, struct pool_entry, link)->names);
	if (c->user->names)
		c->user->names(c->user, wanted);
}

void config_names(struct config *c, json_t *names)
{
	if (!json_is_object(names))
		return;
	json_decref(c->names);
	c->names = json_incref(names);
	c->names_changed = true;
}

#define SHOWN 8 /* addresses of a name, in its sentence */

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
		if (i < SHOWN)
			buf_printf(&text, "%s%s", i ? ", " : "", json_string_value(value));
		json_array_foreach(servers, k, one)
			if (json_int(one, "port", 0) == port &&
			    strcmp(json_str(one, "ip", ""), json_string_value(value)) == 0 &&
			    (!best || strcmp(json_str(one, "state", ""), "OPER_UP") == 0))
				best = one;
	}
	if (i > SHOWN)
		buf_printf(&text, " and %zu more", i - SHOWN);
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
		json_object_set_new(out, "reason", json_sprintf("%.200s is %.600s: %.300s", name, buf_cstr(&text),
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
	const struct pool_entry *p = pool_find(c, pool_uuid);
	CLEANUP_JSON json_t *more = json_array();

	for (size_t i = 0; p && json_object_size(p->names) && i < p->seen.pool->servers_n; i++) {
		const char *name = member_name(&p->seen.pool->servers[i]);

		if (name && strcmp(name, p->seen.pool->servers[i].ip->addr) == 0)
			json_array_append_new(more, report_name(p, i, json_object_get(c->names, name), servers));
	}
	json_array_extend(servers, more);
}
