#include "engine/config/config.h"

#include "base/base.h"
#include "engine/config/parts.h"
#include "engine/clone/flow_log.h"
#include "engine/log_plan.h"
#include "engine/netsec.h"
#include "engine/tls/secure.h"

struct config *config_new(struct worker **workers, unsigned n_workers, struct inbox *home, struct config_user *u)
{
	struct config *c = xcalloc(1, sizeof(*c));

	c->workers = workers;
	c->n_workers = n_workers;
	c->home = home;
	c->user = u;
	objects_init(&c->objects);
	c->vrfs = json_object();
	c->source_numbers = json_object();
	c->slots_services = json_object();
	c->slots_servers = json_object();
	c->slots_rules = json_object();
	c->used = json_object();
	list_init(&c->services);
	list_init(&c->pools);
	return c;
}

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
	s->admission = admission_new();
	s->dirty = true;
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
		object_put(&c->objects, s->deps[i]);
	needs_fini(&s->more, &c->objects);
	json_decref(s->plain);
	json_decref(s->sources);
	flow_sink_put(s->clone.sink);
	free(s->pools);
	needs_fini(&s->named, &c->objects);
	secure_put(s->clients_tls);
	admission_put(s->admission);
	netsec_put(s->netsec);
	log_share_put(s->log_share);
	list_remove(&s->link);
	free(s->uuid);
	free(s);
}

void config_dep_set(struct config *c, struct service_entry *s, unsigned which, const char *kind, const char *uuid)
{
	struct object *old = s->deps[which];

	s->deps[which] = object_of(&c->objects, kind, uuid);
	object_put(&c->objects, old);
}

static bool service_touched(const struct service_entry *s)
{
	if (s->dirty)
		return true;
	for (unsigned i = 0; i < DEPS; i++)
		if (object_changed(s->deps[i]))
			return true;
	if (needs_changed(&s->more) || needs_changed(&s->named))
		return true;
	for (size_t i = 0; i < s->n_pools; i++)
		if (s->pools[i]->changed)
			return true;
	return false;
}

/* Anything but servers, and where copies go. */
static bool settings_changed(const struct service_entry *s)
{
	static const unsigned settings[] = { DEP_SERVICE, DEP_APPLICATION, DEP_NETWORK, DEP_ANALYTICS };

	for (unsigned i = 0; i < ARRAY_SIZE(settings); i++)
		if (object_changed(s->deps[settings[i]]))
			return true;
	return needs_changed(&s->more);
}

/* Also those that stand in for it. */
static void service_add_pool(struct config *c, struct service_entry *s, const char *vrf, const char *uuid);

static void service_add_backup(struct config *c, struct service_entry *s, const char *vrf, const struct fail_action *fail)
{
	if (fail && fail->type == FAIL_ACTION_BACKUP_POOL && fail->backup_pool)
		service_add_pool(c, s, vrf, fail->backup_pool->backup_pool_ref);
}

static void service_add_pool(struct config *c, struct service_entry *s, const char *vrf, const char *uuid)
{
	struct object *object = needs_add(&s->named, &c->objects, "pool", uuid);
	struct pool_entry *p = object ? config_pool_use(c, object, vrf) : NULL;

	for (size_t i = 0; i < s->n_pools && p; i++)
		if (s->pools[i] == p)
			return;
	if (!p)
		return;
	s->pools = xrealloc(s->pools, (s->n_pools + 1) * sizeof(s->pools[0]));
	s->pools[s->n_pools++] = p;
	service_add_backup(c, s, vrf, p->seen.pool->fail_action);
}

/* The pools that the objects name; deps follow only when the snapshot is built. */
static void service_pools(struct config *c, struct service_entry *s, const struct virtual_service *vs)
{
	const char *vrf = vs->vrf_context_ref ? vs->vrf_context_ref : "";
	const struct pool_group *group;

	s->n_pools = 0;
	needs_clear(&s->named, &c->objects);
	service_add_pool(c, s, vrf, vs->pool_ref);
	group = object_is(needs_add(&s->named, &c->objects, "poolgroup", vs->pool_group_ref));
	if (!group)
		return;
	needs_add(&s->named, &c->objects, "prioritylabels", group->priority_labels_ref);
	for (size_t i = 0; i < group->members_n; i++)
		service_add_pool(c, s, vrf, group->members[i].pool_ref);
	service_add_backup(c, s, vrf, group->fail_action);
}

/*
 * Many at once: a worker that is woken for each of them would take the time that the next one is made in. Not all at
 * once: it has the first hundreds by the time that the last one is made.
 */
static void fresh_post(struct config *c)
{
	for (size_t k = 0; k < c->n_fresh; k++) {
		for (unsigned i = 0; i < c->n_workers; i++)
			worker_post_snapshot(c->workers[i], c->fresh[k]);
		snapshot_put(c->fresh[k]);
	}
	c->n_fresh = 0;
}

static void service_commit(struct config *c, struct service_entry *s, uint64_t revision)
{
	const struct virtual_service *vs = object_is(s->deps[DEP_SERVICE]);
	struct snapshot *n;

	if (!vs) {
		if (!s->deps[DEP_SERVICE])
			return; /* its listeners came first */
		for (unsigned i = 0; i < c->n_workers; i++)
			worker_post_removed(c->workers[i], s->index);
		service_free(c, s);
		return;
	}
	if (!service_touched(s)) {
		for (size_t i = 0; i < s->n_pools; i++)
			s->pools[i]->users++;
		return;
	}
	service_pools(c, s, vs);
	n = config_build(c, s, revision);
	n->cuts_clients = n->vs->close_client_conn_on_config_update && settings_changed(s);
	s->built = true;
	s->dirty = false;
	c->fresh[c->n_fresh++] = n;
	if (c->n_fresh == ARRAY_SIZE(c->fresh))
		fresh_post(c);
}

static void round_done(void *arg, uint64_t revision)
{
	struct config *c = arg;

	c->user->applied(c->user, revision);
}

void config_commit(struct config *c, uint64_t revision)
{
	LIST_FOREACH(l, &c->objects.changed) {
		const struct object *one = LIST_ENTRY(l, struct object, news);

		if (one->kind->msg == &virtual_service_message)
			config_dep_set(c, service_make(c, one->uuid), DEP_SERVICE, one->kind->path, one->uuid);
	}
	config_pools_refresh(c);
	LIST_FOREACH(l, &c->services) {
		service_commit(c, LIST_ENTRY(l, struct service_entry, link), revision);
		loop_breathe(c->home->loop);
	}
	fresh_post(c);
	config_pools_sweep(c);
	objects_settle(&c->objects);
	c->names_changed = false;
	config_names_tell(c);
	workers_round(c->workers, c->n_workers, c->home, round_done, c, revision);
}

void config_free(struct config *c)
{
	while (!list_empty(&c->services))
		service_free(c, LIST_ENTRY(c->services.next, struct service_entry, link));
	while (!list_empty(&c->pools))
		config_pool_free(c, LIST_ENTRY(c->pools.next, struct pool_entry, link));
	objects_fini(&c->objects);
	json_decref(c->vrfs);
	json_decref(c->source_numbers);
	json_decref(c->slots_services);
	json_decref(c->slots_servers);
	json_decref(c->slots_rules);
	json_decref(c->used);
	table_fini(&c->service_table);
	table_fini(&c->pool_table);
	json_decref(c->names);
	free(c);
}

void config_put(struct config *c, const char *kind, const char *uuid, const json_t *object)
{
	objects_put(&c->objects, kind, uuid, object);
}

void config_delete(struct config *c, const char *kind, const char *uuid)
{
	objects_delete(&c->objects, kind, uuid);
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

/* Where ENGINE's lines about copied flows go: a descriptor of the warden's, or a collector's address. NULL: nowhere. */
static struct flow_sink *sink_of(const json_t *log, const char *engine, int fd)
{
	bool syslog = json_bool(log, "syslog", false);
	union address to;

	if (fd >= 0)
		return flow_sink_new(fd, syslog, NULL, engine);
	if (!log || address_parse(&to, json_str(log, "ip", ""), (unsigned)json_int(log, "port", 0)) < 0)
		return NULL;
	fd = socket(to.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return fd < 0 ? NULL : flow_sink_new(fd, syslog, &to, engine);
}

void config_clone(struct config *c, const json_t *m, int fd)
{
	struct service_entry *s = service_make(c, json_str(m, "virtualservice", ""));

	s->dirty = true;
	flow_sink_put(s->clone.sink);
	json_decref(s->plain);
	s->plain = json_incref(json_object_get(m, "plain"));
	s->clone = (struct snapshot_clone){
		.on = json_bool(m, "on", false),
		.preserve_client_ip = json_bool(m, "preserve_client_ip", false),
		.one_client = json_bool(m, "one_client", false),
		.by_client = json_bool(m, "by_client", false),
		.follow = json_bool(m, "follow", false),
		.clients = json_bool(m, "clients", false),
		.keys = json_bool(m, "keys", false),
		.tells = (uint8_t)json_int(m, "tells", 0),
		.retells = json_bool(m, "retells", false),
		.excerpt = (uint16_t)json_int(m, "excerpt", 0),
		.capture = (uint32_t)json_int(m, "capture", 0),
		.service = (uint32_t)json_int(m, "service", 0),
		.first = (uint32_t)json_int(m, "first", 0),
		.n = (uint32_t)json_int(m, "count", 0),
		.generation = (uint32_t)json_int(m, "generation", 0),
		.sink = sink_of(json_object_get(s->plain, "log"), json_str(m, "engine", ""), fd),
		.room = (unsigned)json_int(m, "room", 0),
		.client_room = (unsigned)json_int(m, "client_room", 0),
	};
}

void config_sources(struct config *c, const json_t *m)
{
	struct service_entry *s = service_make(c, json_str(m, "virtualservice", ""));

	s->dirty = true;
	json_decref(s->sources);
	s->sources = json_incref(json_object_get(m, "sources"));
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
