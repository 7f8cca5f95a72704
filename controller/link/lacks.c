#include "controller/link/lacks.h"

#include "base/base.h"
#include "controller/audit.h"
#include "controller/link/fleet.h"

enum { QUIET_STATS = 5, SENTENCE_MAX = 512, LACKS_MAX = 4096 };

static const struct {
	const char *counter; /* of the engine */
	const char *what, *then;
} things[] = {
	{ "lack_descriptors", "descriptors",
	  "it has as many open as its limit lets it, so clients and connections to servers wait: raise LimitNOFILE of "
	  "spanwire-engine.service on its host, or give it fewer services" },
	{ "lack_descriptors_machine", "descriptors",
	  "its host has as many files open as it may, so clients and connections to servers wait: raise fs.file-max there" },
	{ "lack_memory", "memory for sockets",
	  "its host has none left in the kernel, so clients and connections to servers wait: give the host more memory, or the "
	  "service engine fewer services" },
};

static void sentence(const struct engine *e, size_t thing, char out[static SENTENCE_MAX])
{
	snprintf(out, SENTENCE_MAX, "Service engine %s lacks %s: %s.", e->name, things[thing].what, things[thing].then);
}

static json_int_t rise(const json_t *now, const json_t *last, const char *counter)
{
	json_int_t n = json_int(now, counter, 0);

	return n ? n - json_int(last, counter, 0) : 0;
}

/* KEY lacks, as of these statistics. True: since now, and that is to be told. */
static bool begins(struct engine *e, const char *key)
{
	static const struct restraint_rate rate = { .burst = 10, .per_minute = 2 };
	json_t *had = json_object_get(e->lacking, key);
	CLEANUP_FREE char *news = NULL;
	unsigned held;
	bool tell;

	if (had) {
		json_object_set_new(had, "quiet", json_integer(-1)); /* and is 0 at the end of them */
		return false;
	}
	if (json_object_size(e->lacking) >= LACKS_MAX)
		return false;
	news = xasprintf("%s/lacks/%s", e->uuid, key);
	tell = restraint_allows(&e->fleet->news, news, rate, wall_us() / 1000000, &held) && engine_may_tell(e);
	json_object_set_new(e->lacking, key, json_pack("{s:i, s:b}", "quiet", -1, "told", (int)tell));
	return tell;
}

/* Of a server: "POOL/ip:port". NULL: there is no such pool any more. */
static const struct object *pool_of(const struct engine *e, const char *key, const char **server)
{
	const char *end = strchr(key, '/');
	char uuid[128];

	if (!end || (size_t)(end - key) >= sizeof(uuid))
		return NULL;
	*server = end + 1;
	snprintf(uuid, sizeof(uuid), "%.*s", (int)(end - key), key);
	return store_get(e->fleet->store, "pool", uuid);
}

static void tell_ports(struct engine *e, const char *id, const char *key, bool lacks)
{
	const char *server = "";
	const struct object *pool = pool_of(e, key, &server);

	if (!pool)
		return;
	store_event(e->fleet->store,
		    audit_event(id, "SE_POOL", "pool", pool->uuid, pool->name, pool->tenant, NULL,
				lacks ? "Service engine %s has no port left for another connection to server %s of pool %s: widen "
					"net.ipv4.ip_local_port_range on its host, or give the virtual service another snat_ip or the "
					"pool more servers."
				      : "Service engine %s has ports again for connections to server %s of pool %s.",
				e->name, server, pool->name),
		    NULL);
}

static void is_over(struct engine *e, const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(things); i++)
		if (strcmp(things[i].counter, key) == 0) {
			engine_event(e, "SE_RESOURCES_AVAILABLE", "Service engine %s has %s again.", e->name, things[i].what);
			return;
		}
	tell_ports(e, "SERVER_PORTS_AVAILABLE", key, false);
}

static void look_for_ends(struct engine *e)
{
	const char *key;
	void *next;
	json_t *v;

	json_object_foreach_safe(e->lacking, next, key, v) {
		json_int_t quiet = json_int(v, "quiet", 0) + 1;

		json_object_set_new(v, "quiet", json_integer(quiet));
		if (quiet < QUIET_STATS)
			continue;
		if (json_bool(v, "told", false))
			is_over(e, key);
		json_object_del(e->lacking, key);
	}
}

void lacks_stats(struct engine *e, const json_t *stats)
{
	const json_t *last = json_object_get(e->books.last, "servers");
	const char *pool, *server;
	char text[SENTENCE_MAX];
	json_t *servers, *now;

	for (size_t i = 0; i < ARRAY_SIZE(things); i++)
		if (rise(json_object_get(stats, "engine"), json_object_get(e->books.last, "engine"), things[i].counter) > 0 &&
		    begins(e, things[i].counter)) {
			sentence(e, i, text);
			engine_event(e, "SE_RESOURCES_EXHAUSTED", "%s", text);
		}
	json_object_foreach(json_object_get(stats, "servers"), pool, servers)
		json_object_foreach(servers, server, now)
			if (rise(now, json_object_get(json_object_get(last, pool), server), "conn_no_port") > 0) {
				CLEANUP_FREE char *key = xasprintf("%s/%s", pool, server);

				if (begins(e, key))
					tell_ports(e, "SERVER_PORTS_EXHAUSTED", key, true);
			}
	look_for_ends(e);
}

void lacks_each(const struct engine *e, void (*f)(void *arg, const char *sentence), void *arg)
{
	char text[SENTENCE_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(things); i++)
		if (json_object_get(e->lacking, things[i].counter)) {
			sentence(e, i, text);
			f(arg, text);
		}
}

void lacks_ports_each(const struct engine *e, const char *pool, void (*f)(void *arg, const char *server), void *arg)
{
	const char *key;
	json_t *v;

	json_object_foreach(e->lacking, key, v) {
		const char *server = "";
		const struct object *o = pool_of(e, key, &server);

		if (o && strcmp(o->uuid, pool) == 0)
			f(arg, server);
	}
}
