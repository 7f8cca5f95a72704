/*
 * inventory - GET /api/KIND-inventory: objects with what a dashboard's row shows of them.
 *
 * A row has `config` (the object) and what `include` names of `runtime`, `health_score`, `alert`,
 * `faults` and `metrics`; without `include` all of them but the last. The runtime is the sub-resource `runtime` of the object,
 * whoever provides it (subresource_add): a kind that has none shows an empty one. Filters, order
 * and pages are those of the kind's list.
 */
#include <errno.h>

#include "base/base.h"
#include "base/moment.h"
#include "controller/derived.h"
#include "controller/pools.h"
#include "controller/resolve.h"
#include "controller/rest/handlers.h"
#include "controller/rest/selection.h"

static const struct {
	const char *name, *kind;
	/* Kind of those that use it, and the row's list of them; NULL: none. */
	const char *user_kind, *users;
} inventories[] = {
	{ "virtualservice-inventory", "virtualservice", NULL, NULL },
	{ "pool-inventory", "pool", "virtualservice", "virtualservices" },
	{ "poolgroupinventory", "poolgroup", "virtualservice", "virtualservices" },
	{ "poolgroup-inventory", "poolgroup", "virtualservice", "virtualservices" },
	{ "vsvip-inventory", "vsvip", "virtualservice", "virtualservices" },
	{ "serviceengine-inventory", "serviceengine", NULL, NULL },
	{ "serviceenginegroup-inventory", "serviceenginegroup", "serviceengine", "serviceengines" },
	{ "network-inventory", "network", NULL, NULL },
	{ "cloud-inventory", "cloud", NULL, NULL },
};

static size_t inventory_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(inventories); i++)
		if (strlen(inventories[i].name) == len &&
		    memcmp(inventories[i].name, name, len) == 0)
			return i;
	return ARRAY_SIZE(inventories);
}

bool inventory_exists(const char *name, size_t len)
{
	return inventory_find(name, len) < ARRAY_SIZE(inventories);
}

const char *inventory_name(size_t i)
{
	return i < ARRAY_SIZE(inventories) ? inventories[i].name : NULL;
}

/* ---- the parts of a row ------------------------------------------------------------------ */

static const char *state_of(const json_t *runtime)
{
	return json_str(json_object_get(runtime, "oper_status"), "state", NULL);
}

/* What the runtime says of itself; else up is all of it, down is nothing. In any other state nobody knows. */
static json_t *health_score(const json_t *runtime)
{
	const char *state = state_of(runtime);
	bool up = state && strcmp(state, "OPER_UP") == 0,
	     down = state && strcmp(state, "OPER_DOWN") == 0;
	int score = up ? (int)json_int(runtime, "performance_score", 100) : 0;

	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:b}", "health_score", score,
			 "performance_score", score, "resources_penalty", 0,
			 "anomaly_penalty", 0, "security_penalty", 0, "is_null_data", !up && !down);
}

static json_t *faults(const json_t *runtime)
{
	static const char *const harmless[] = { "OPER_UP", "OPER_DISABLED", "OPER_UNUSED" };
	const char *state = state_of(runtime);
	json_t *out = json_array(), *reason;
	size_t i;

	for (i = 0; state && i < ARRAY_SIZE(harmless); i++)
		if (strcmp(state, harmless[i]) == 0)
			return out;
	json_array_foreach(json_object_get(json_object_get(runtime, "oper_status"), "reason"), i,
			   reason)
		json_array_append_new(out, json_pack("{s:s, s:O}", "severity", "HIGH",
						     "description", reason));
	return out;
}

static bool asked_for(const struct request *q, const char *part)
{
	const char *include = query_get(&q->query, "include");
	size_t n = strlen(part);

	if (!include || !*include)
		return true;
	for (const char *p = include; *p; p += strcspn(p, ","), p += *p == ',')
		if (strcspn(p, ",") == n && strncmp(p, part, n) == 0)
			return true;
	return false;
}

/* {id: {value, units}} of the newest step; empty for what has none. */
static json_t *metrics_of(const struct view *v, struct request *q, const struct object *o)
{
	CLEANUP_JSON json_t *view = subresource_show(v, q, o, "metrics");
	json_t *out = json_object(), *row;
	size_t i;

	json_array_foreach(json_object_get(view, "metrics"), i, row) {
		json_t *one = json_copy(row);

		json_object_set(one, "timestamp", json_object_get(view, "timestamp"));
		json_object_set_new(out, json_str(row, "metric_id", ""), one);
	}
	return out;
}

struct users {
	struct request *q;
	const struct view *view;
	const char *kind;
	json_t *list;
};

/* New reference; NULL: not for the caller. */
static json_t *ref_of(const struct users *u, const struct object *o)
{
	bool named = u->view->write.include_name;

	if (!o || !auth_sees(u->q, o) || !access_reads(&u->q->viewer, o))
		return NULL;
	return json_sprintf("%s/api/%s/%s%s%s", u->q->base_url, o->kind->path, o->uuid, named ? "#" : "", named ? o->name : "");
}

static int add_user(void *arg, const struct object *o)
{
	struct users *u = arg;
	json_t *ref = strcmp(o->kind->path, u->kind) == 0 ? ref_of(u, o) : NULL;

	if (ref)
		json_array_append_new(u->list, json_pack("{s:o, s:s}", "ref", ref, "uuid", o->uuid));
	return 0;
}

/* Addresses, which newer objects do not have themselves, where those who make lists look for them. */
static void put_addresses(const struct view *v, struct request *q, const struct object *o, json_t *config)
{
	const struct view plain = { .write = v->write };
	const struct object *vsvip = store_get(q->rest->c->store, "vsvip", ref_target(json_str(o->body, "vsvip_ref", NULL)));
	const json_t *nets = json_object_get(json_object_get(config, "mgmt_vnic"), "vnic_networks");
	json_t *at = json_object_get(json_object_get(json_array_get(nets, 0), "ip"), "ip_addr");

	if (at)
		json_object_set(config, "mgmt_ip_address", at);
	if (vsvip && auth_sees(q, vsvip) && !json_object_get(config, "vip")) {
		CLEANUP_JSON json_t *shown = view_object(&plain, q, vsvip);
		json_t *vip = json_object_get(shown, "vip");

		if (vip)
			json_object_set(config, "vip", vip);
	}
}

static int add_pool(void *arg, const struct object *pool, enum pools_role role)
{
	(void)role;
	return add_user(arg, pool);
}

/* The services that an engine carries, as far as the caller may see them. */
static void put_services(const struct view *v, struct request *q, const json_t *runtime, json_t *config)
{
	struct users u = { q, v, "virtualservice", json_array() };
	json_t *uuid;
	size_t i;

	json_array_foreach(json_object_get(runtime, "virtualservices"), i, uuid) {
		json_t *ref = ref_of(&u, store_get(q->rest->c->store, u.kind, json_string_value(uuid)));

		if (ref)
			json_array_append_new(u.list, ref);
	}
	json_object_set_new(config, "virtualservice_refs", u.list);
}

static json_t *row(const struct view *v, struct request *q, const struct object *o)
{
	size_t i = inventory_find(q->kind, strlen(q->kind));
	json_t *config = view_object(v, q, o), *out, *status;
	CLEANUP_JSON json_t *runtime = NULL;

	if (!config)
		return NULL;
	if (!v->fields)
		put_addresses(v, q, o, config);
	runtime = subresource_show(v, q, o, "runtime");
	if (!runtime)
		runtime = json_object();
	if (!v->fields && strcmp(o->kind->path, "serviceengine") == 0)
		put_services(v, q, runtime, config);
	out = json_pack("{s:o, s:s, s:o}", "url",
			json_sprintf("%s/api/%s/%s", q->base_url, inventories[i].name, o->uuid),
			"uuid", o->uuid, "config", config);
	if (asked_for(q, "runtime"))
		json_object_set(out, "runtime", runtime);
	/* Of a cloud: who makes one waits until it is ready. */
	status = asked_for(q, "runtime") ? subresource_show(v, q, o, "status") : NULL;
	if (status)
		json_object_set_new(out, "status", status);
	if (asked_for(q, "health_score"))
		json_object_set_new(out, "health_score", health_score(runtime));
	/* There are no alerts yet. */
	if (asked_for(q, "alert"))
		json_object_set_new(out, "alert",
				    json_pack("{s:i, s:i, s:i}", "high", 0, "medium", 0, "low", 0));
	if (asked_for(q, "faults"))
		json_object_set_new(out, "faults", faults(runtime));
	/* Only on request: they are many. */
	if (query_get(&q->query, "include") && *query_get(&q->query, "include") && asked_for(q, "metrics"))
		json_object_set_new(out, "metrics", metrics_of(v, q, o));
	if (!v->fields && strcmp(o->kind->path, "virtualservice") == 0) {
		struct users u = { q, v, "pool", json_array() };

		pools_each(q->rest->c->store, o->body, add_pool, &u);
		json_object_set_new(out, "pools", u.list);
	}
	if (inventories[i].users) {
		struct users u = { q, v, inventories[i].user_kind, json_array() };

		store_referrers(q->rest->c->store, o->kind->path, o->uuid, add_user, &u);
		json_object_set_new(out, inventories[i].users, u.list);
	}
	return out;
}

/* ---- handlers ------------------------------------------------------------------------------ */

/* Answers 400 when `include` names what no row has, and 404 while the kind is not there. */
static const struct kind_desc *kind_of(struct request *q)
{
	static const char *const parts[] = { "config", "runtime", "health_score", "alert",
					     "faults", "metrics", "anomaly" };
	const char *include = query_get(&q->query, "include");
	const struct kind_desc *k =
		kind_find(inventories[inventory_find(q->kind, strlen(q->kind))].kind);

	for (const char *p = include; p && *p; p += strcspn(p, ","), p += *p == ',') {
		size_t n = strcspn(p, ","), i = 0;

		while (i < ARRAY_SIZE(parts) &&
		       (strlen(parts[i]) != n || strncmp(parts[i], p, n) != 0))
			i++;
		if (n && i == ARRAY_SIZE(parts)) {
			request_refuse(q, 400, "include: A row has no part '%.*s'.",
				       (int)MIN(n, 60), p);
			return NULL;
		}
	}
	if (!k)
		request_refuse(q, 404, "There is nothing at %s.", q->path);
	return k;
}

enum result inventory_list(struct request *q)
{
	const struct kind_desc *k = kind_of(q);

	return k ? list_answer(q, k, row) : RESULT_NOW;
}

enum result inventory_get(struct request *q)
{
	const struct kind_desc *k = kind_of(q);
	CLEANUP_DERIVED struct derived d = { 0 };
	const struct object *o = k ? object_of(q, k, ACCESS_READ, &d) : NULL;
	struct err e = { 0 };
	struct view v;

	if (o && view_init(&v, q, k, &e) == 0)
		request_json(q, 200, row(&v, q, o));
	else if (o)
		request_error(q, &e);
	return RESULT_NOW;
}

/* The contract's series of scores, of which only the present one is known. Latency, resources and security take nothing from it. */
static json_t *series_of(const struct object *o, const json_t *runtime)
{
	static const char *const penalties[] = { "anomaly_penalty", "resources_penalty", "security_penalty" };
	CLEANUP_JSON json_t *score = health_score(runtime);
	const json_t *reasons = json_object_get(json_object_get(runtime, "oper_status"), "reason");
	char now[MOMENT_MAX];
	json_t *one = json_pack("{s:s, s:O, s:O, s:O, s:i, s:s}", "timestamp", moment_text(wall_us(), MOMENT_SECONDS, now), "value",
				json_object_get(score, "health_score"), "performance_value",
				json_object_get(score, "performance_score"), "is_null", json_object_get(score, "is_null_data"),
				"num_samples", 1, "reason", json_array_size(reasons) ? json_string_value(json_array_get(reasons, 0)) : "");

	for (size_t i = 0; i < ARRAY_SIZE(penalties); i++)
		json_object_set_new(one, penalties[i], json_integer(0));
	return json_pack("{s:s, s:s, s:i, s:[{s:{s:s, s:s, s:s}, s:[o]}]}", "entity_uuid", o->uuid, "metric_id",
			 "healthscore.health_score_value", "limit", 1, "series", "header", "name",
			 "healthscore.health_score_value", "entity_uuid", o->uuid, "units", "METRIC_COUNT", "data", one);
}

enum result health_score_get(struct request *q)
{
	const struct kind_desc *k = kind_find(q->kind);
	CLEANUP_DERIVED struct derived d = { 0 };
	const struct object *o = k ? object_of(q, k, ACCESS_READ, &d) : NULL;
	CLEANUP_JSON json_t *runtime = NULL;
	struct err e = { 0 };
	struct view v;

	if (o && view_init(&v, q, k, &e) < 0) {
		request_error(q, &e);
		return RESULT_NOW;
	}
	if (o)
		runtime = subresource_show(&v, q, o, "runtime");
	if (runtime && json_object_get(runtime, "oper_status"))
		request_json(q, 200, series_of(o, runtime));
	else if (o || !k)
		request_refuse(q, 404, "There is nothing at %s: objects of the kind '%.60s' have no score.", q->path, q->kind);
	return RESULT_NOW;
}
