/*
 * What engines have counted, by subject: GET virtualservice/UUID/tcpstat and the like.
 *
 * An array, an element for each engine that carries the object or did; `statistics` has the
 * counters of engine/counters.def that the subject is about; a pool's have a row per server.
 */
#include "base/base.h"
#include "controller/controller.h"
#include "controller/link/fleet.h"
#include "controller/rest/subresource.h"

struct tally {
	const char *kind, *path;
	const char *group; /* of the books */
	const char *part;  /* whose counters they are, a row for each; NULL: the object's own */
	const char *about[12]; /* beginnings of counters; none: all of them */
	json_t *(*get)(void *arg, const struct subresource_call *call,
		       struct err *e); /* NULL: tally_get() */
	struct subresource view;
	struct fleet *fleet;
};

static bool is_about(const struct tally *t, const char *counter)
{
	if (!t->about[0])
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(t->about) && t->about[i]; i++)
		if (strncmp(counter, t->about[i], strlen(t->about[i])) == 0)
			return true;
	return false;
}

static void keep_about(const struct tally *t, json_t *counters)
{
	const char *key;
	json_t *v;
	void *next;

	json_object_foreach_safe(counters, next, key, v)
		if (!is_about(t, key))
			json_object_del(counters, key);
}

/* Names of the parts of OBJECT that E has counted, now or in an earlier life. */
static json_t *parts_of(const struct tally *t, const struct engine *e, const char *object)
{
	json_t *names = json_object();
	const json_t *books[] = { e->books.base, e->books.last };

	for (size_t i = 0; i < ARRAY_SIZE(books); i++) {
		json_t *parts = json_object_get(json_object_get(books[i], t->group), object), *v;
		const char *name;

		json_object_foreach(parts, name, v)
			if (json_is_object(v))
				json_object_set_new(names, name, json_true());
	}
	return names;
}

static json_t *rows_of(const struct tally *t, const struct engine *e, const char *object)
{
	CLEANUP_JSON json_t *names = parts_of(t, e, object);
	json_t *rows = json_array(), *counters, *unused, *row;
	const char *name;

	json_object_foreach(names, name, unused) {
		counters = books_get(&e->books, t->group, object, name);
		keep_about(t, counters);
		row = json_pack("{s:s, s:o}", t->part, name, "statistics", counters);
		json_array_append_new(rows, row);
	}
	return rows;
}

static bool counts(const struct tally *t, const struct engine *e, const char *object)
{
	return json_object_get(json_object_get(e->books.last, t->group), object) ||
	       json_object_get(json_object_get(e->books.base, t->group), object);
}

static json_t *tally_get(void *arg, const struct subresource_call *call, struct err *err)
{
	const struct tally *t = arg;
	json_t *out = json_array();

	(void)err;
	LIST_FOREACH(l, &t->fleet->engines) {
		const struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);
		json_t *one, *counters;

		if (!counts(t, e, call->object->uuid))
			continue;
		one = json_pack("{s:s, s:s, s:o, s:I}", "se_uuid", e->uuid, "se_name", e->name,
				"se_ref", subresource_ref(call, "serviceengine", e->uuid, e->name),
				"time_us", (json_int_t)e->books.time_us);
		if (t->part) {
			json_object_set_new(one, "statistics", rows_of(t, e, call->object->uuid));
		} else {
			counters = books_get(&e->books, t->group, call->object->uuid, NULL);
			keep_about(t, counters);
			json_object_set_new(one, "statistics", counters);
		}
		json_array_append_new(out, one);
	}
	return out;
}

/* Of an engine: the sums over its services; whose they are is not for everybody who may read the engine. */
static json_t *engine_get(void *arg, const struct subresource_call *call, struct err *err)
{
	const struct tally *t = arg;
	const struct engine *e = fleet_engine(t->fleet, call->object->uuid);
	json_t *sums = json_object(), *services, *unused, *v;
	const char *uuid, *key;

	(void)err;
	services = e ? json_object_get(e->books.last, t->group) : NULL;
	json_object_foreach(services, uuid, unused) {
		CLEANUP_JSON json_t *counters = books_get(&e->books, t->group, uuid, NULL);

		keep_about(t, counters);
		json_object_foreach(counters, key, v)
			json_object_set_new(
				sums, key,
				json_integer(json_int(sums, key, 0) + json_integer_value(v)));
	}
	return json_pack("[{s:s, s:s, s:o, s:o}]", "se_uuid", call->object->uuid, "se_name",
			 call->object->name, "se_ref",
			 subresource_ref(call, "serviceengine", call->object->uuid,
					 call->object->name),
			 "statistics", sums);
}

/* ---- beginning anew ---- */

/* The groups of the books that are about objects of a kind, and how they begin anew at one engine. */
struct clearing {
	const char *kind, *groups[4];
	void (*clear)(const struct clearing *c, const struct object *o, struct engine *e);
	struct subresource action;
	struct fleet *fleet;
};

static void clear_own(const struct clearing *c, const struct object *o, struct engine *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(c->groups) && c->groups[i]; i++)
		books_clear(&e->books, c->groups[i], o->uuid);
}

/* Those of the pools that it has now. */
static void clear_members(const struct clearing *c, const struct object *o, struct engine *e)
{
	const json_t *member;
	size_t i;

	json_array_foreach(json_object_get(o->body, "members"), i, member)
		books_clear(&e->books, c->groups[0], ref_target(json_str(member, "pool_ref", "")));
}

static void clear_engine(const struct clearing *c, const struct object *o, struct engine *e)
{
	for (size_t i = 0; strcmp(e->uuid, o->uuid) == 0 && i < ARRAY_SIZE(c->groups) && c->groups[i]; i++)
		books_clear(&e->books, c->groups[i], NULL);
}

static struct clearing clearings[] = {
	{ .kind = "virtualservice", .groups = { "services", "rules" }, .clear = clear_own },
	{ .kind = "pool", .groups = { "servers" }, .clear = clear_own },
	{ .kind = "poolgroup", .groups = { "servers" }, .clear = clear_members },
	{ .kind = "serviceengine", .groups = { "services", "rules", "servers", "engine" }, .clear = clear_engine },
};

static json_t *clear(void *arg, const struct subresource_call *call, struct err *err)
{
	const struct clearing *c = arg;

	(void)err;
	LIST_FOREACH(l, &c->fleet->engines)
		c->clear(c, call->object, LIST_ENTRY(l, struct engine, in_fleet));
	return json_pack("{s:s}", "status", "ok");
}

/* clang-format off */
/* What was refused because it was too much, too slow, too large, or no request at all. */
#define TROUBLE \
	{ "conn_refused_", "conn_over_", "tls_late", "tls_flooded", "http_bad_", "http_head_large", "http_body_large", \
	  "http_client_late", "http_over_", "http_refused_", "http2_flood", "udp_flows_refused" }

static struct tally tallies[] = {
	{ "virtualservice", "tcpstat",         "services", .about = { "conn_", "bytes_", "server_", "queue_" } },
	{ "virtualservice", "connections",     "services", .about = { "conn_" } },
	{ "virtualservice", "httpconnections", "services", .about = { "conn_", "http_" } },
	{ "virtualservice", "udpstat",         "services", .about = { "udp_" } },
	{ "virtualservice", "httpstats",       "services", .about = { "http_" } },
	{ "virtualservice", "sslsessioncache", "services", .about = { "tls_new", "tls_reused" } },
	{ "virtualservice", "vslogstats",      "services", .about = { "records_" } },
	{ "virtualservice", "dosstat",         "services", .about = TROUBLE },
	{ "serviceengine",  "dosstat",         "services", .about = TROUBLE, .get = engine_get },
	{ "virtualservice", "networksecuritypolicystats", "rules", .part = "rule" },
	{ "pool",           "algo",            "servers",  .part = "server", .about = { "conn_", "http_requests" } },
	{ "pool",           "connpool",        "servers",  .part = "server",
	  .about = { "conn_open", "conn_total", "conn_reused" } },
	{ "pool",           "httpstats",       "servers",  .part = "server", .about = { "http_" } },
};
/* clang-format on */

void tallies_open(struct fleet *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(tallies); i++) {
		struct tally *t = &tallies[i];

		t->fleet = f;
		t->view = (struct subresource){ .kind = t->kind,
						.path = t->path,
						.get = t->get ? t->get : tally_get,
						.arg = t };
		subresource_add(f->controller->rest, &t->view);
	}
	for (size_t i = 0; i < ARRAY_SIZE(clearings); i++) {
		struct clearing *c = &clearings[i];

		c->fleet = f;
		c->action = (struct subresource){
			.kind = c->kind, .path = "runtime/stats/clear", .post = clear, .arg = c
		};
		subresource_add(f->controller->rest, &c->action);
	}
}
