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

enum { MONITORS_GRAIN = 128 }; /* a pool has few, and most have one */

static void pool_entry_clear(struct pool_entry *p)
{
	for (size_t i = 0; i < p->seen.n; i++)
		backend_put(p->servers[i].backend);
	free(p->servers);
	free(p->places);
	table_fini(&p->by_name);
	part_put(p->part);
}

void config_pool_free(struct config *c, struct pool_entry *p)
{
	list_remove(&p->link);
	table_take(&c->pool_table, &p->by_uuid);
	pool_entry_clear(p);
	secure_put(p->tls);
	needs_fini(&p->needs, &c->objects);
	needs_fini(&p->tls_needs, &c->objects);
	needs_fini(&p->monitor_needs, &c->objects);
	parts_put(&p->monitors);
	arena_fini(&p->arena);
	pool_state_put(p->state);
	json_decref(p->names);
	object_put(&c->objects, p->object);
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
	const struct health_monitor **m;
	const struct tls_settings **tls;

	parts_put(&p->monitors);
	arena_fini(&p->arena);
	needs_clear(&p->monitor_needs, &c->objects);
	p->seen.n_monitors = 0;
	m = arena_get(&p->arena, (pool->health_monitor_refs_n + 1) * sizeof(*m));
	tls = arena_get(&p->arena, (pool->health_monitor_refs_n + 1) * sizeof(*tls));
	for (size_t i = 0; i < pool->health_monitor_refs_n; i++) {
		const struct object *o = needs_add(&p->monitor_needs, &c->objects, "healthmonitor", pool->health_monitor_refs[i]);

		if (!object_is(o))
			continue;
		m[p->seen.n_monitors] = parts_use(&p->monitors, o->part, &p->arena);
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
	const struct pool_entry *p;
	struct config_server *servers;
	size_t n, room;
};

static void gather_server(void *arg, const struct member *m)
{
	struct gathering *g = arg;

	if (g->n == g->room) {
		g->room = g->room * 2 + 4;
		g->servers = xrealloc(g->servers, g->room * sizeof(g->servers[0]));
	}
	g->servers[g->n++] = (struct config_server){
		.backend = backend_new(g->p->uuid, &m->address, COUNTERS_NO_SLOT),
		.line = m->line, .ratio = m->ratio, .enabled = m->enabled,
	};
}

/* SIZE_MAX: P has no such server. */
static size_t place_of(const struct pool_entry *p, const char *name)
{
	for (const struct table_link *l = table_first(&p->by_name, table_hash(TABLE_SEED, name)); l; l = table_next(l))
		if (strcmp(p->servers[l - p->places].backend->name, name) == 0)
			return (size_t)(l - p->places);
	return SIZE_MAX;
}

/* P has S: what was there (in OLD) keeps its backend, who was there twice stays once. */
static void server_take(struct config *c, struct pool_entry *p, const struct pool_entry *old, struct config_server s)
{
	size_t before = place_of(old, s.backend->name);

	if (place_of(p, s.backend->name) != SIZE_MAX) {
		backend_put(s.backend);
		return;
	}
	if (before != SIZE_MAX) {
		backend_put(s.backend);
		s.backend = backend_get(old->servers[before].backend);
		if (!old->servers[before].enabled && s.enabled)
			atomic_store_explicit(&s.backend->since_ns, mono_ns(), memory_order_relaxed);
	} else {
		s.backend->slot = slot_of_server(c, p->uuid, s.backend->name);
		if (old->seen.pool)
			atomic_store_explicit(&s.backend->since_ns, mono_ns(), memory_order_relaxed);
	}
	p->servers[p->seen.n] = s;
	table_put(&p->by_name, &p->places[p->seen.n++], table_hash(TABLE_SEED, s.backend->name));
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
static void pool_load(struct config *c, struct pool_entry *p)
{
	struct pool_entry old = *p;
	struct part *part = part_get(p->object->part);
	const struct pool *pool = part->object;
	struct gathering g = { .p = p };

	needs_clear(&p->needs, &c->objects);
	needs_add(&p->needs, &c->objects, "applicationpersistenceprofile", pool->application_persistence_profile_ref);
	json_decref(p->names);
	p->names = NULL;
	for (size_t i = 0; i < pool->servers_n; i++)
		if (member_name(&pool->servers[i])) {
			p->names = p->names ? p->names : json_object();
			json_object_set_new(p->names, member_name(&pool->servers[i]), json_true());
		}
	members_each(pool, object_is(needs_add(&p->needs, &c->objects, "ipaddrgroup", pool->ipaddrgroup_ref)), c->names, gather_server, &g);
	p->part = part;
	p->servers = g.servers;
	p->places = xcalloc(g.n + 1, sizeof(p->places[0]));
	p->by_name = (struct table)TABLE_INIT;
	p->seen = (struct config_pool){ .uuid = p->uuid, .pool = pool, .servers = p->servers };
	for (size_t i = 0; i < g.n; i++)
		server_take(c, p, &old, g.servers[i]);
	pool_entry_clear(&old);
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

struct pool_entry *config_pool_use(struct config *c, struct object *object, const char *vrf)
{
	struct pool_entry *p;

	if (!object_is(object))
		return NULL;
	p = pool_find(c, object->uuid);
	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->object = object_get(object);
		p->uuid = object->uuid;
		p->vrf = xstrdup(vrf);
		p->state = pool_state_new();
		p->arena.grain = MONITORS_GRAIN;
		list_init(&p->link);
		list_insert(&c->pools, &p->link);
		table_put(&c->pool_table, &p->by_uuid, table_hash(TABLE_SEED, p->uuid));
		pool_load(c, p);
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

		p->users = 0;
		p->changed = object_changed(p->object) || needs_changed(&p->needs) || needs_changed(&p->tls_needs) ||
			     (c->names_changed && p->names);
		if (!object_is(p->object) || (!p->changed && !needs_changed(&p->monitor_needs)))
			continue;
		loop_breathe(c->home->loop);
		pool_load(c, p);
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
		if (LIST_ENTRY(l, struct pool_entry, link)->names)
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
			return p->names != NULL;
	}
	return false;
}

void config_report_names(const struct config *c, const char *pool_uuid, json_t *servers)
{
	const struct pool_entry *p = pool_find(c, pool_uuid);
	CLEANUP_JSON json_t *more = json_array();

	for (size_t i = 0; p && p->names && i < p->seen.pool->servers_n; i++) {
		const char *name = member_name(&p->seen.pool->servers[i]);

		if (name && strcmp(name, p->seen.pool->servers[i].ip->addr) == 0)
			json_array_append_new(more, report_name(p, i, json_object_get(c->names, name), servers));
	}
	json_array_extend(servers, more);
}
