/*
 * What REST shows of the runtime: GET /api/KIND/UUID/runtime and the like.
 *
 * A list in which several engines answer is an array, an element for each that
 * carries the object or did. Shapes are the contract's; members beyond it
 * (`service_engines`, `link`) say which engine runs which revision.
 */
#include "base/ip.h"
#include "base/moment.h"
#include "controller/capture/captures.h"
#include "controller/capture/triggers.h"
#include "controller/link/clones.h"
#include "controller/link/fleet.h"
#include "controller/link/interfaces.h"
#include "controller/link/servers.h"
#include "controller/place/actions.h"
#include "controller/place/place.h"
#include "controller/pools.h"
#include "controller/resolve.h"
#include "controller/rest/subresource.h"

static json_t *status(const char *state, const char *reason, uint64_t since_us)
{
	json_t *reasons = json_array();

	if (*reason)
		json_array_append_new(reasons, json_string(reason));
	if (!since_us)
		return json_pack("{s:s, s:o}", "state", state, "reason", reasons);
	return json_pack("{s:s, s:o, s:{s:I, s:I}}", "state", state, "reason", reasons,
			 "last_changed_time", "secs", (json_int_t)(since_us / 1000000), "usecs",
			 (json_int_t)(since_us % 1000000));
}

static json_t *engine_ref(const struct subresource_call *call, const struct engine *e)
{
	return subresource_ref(call, "serviceengine", e->uuid, e->name);
}

/* ---- virtual services ------------------------------------------------ */

/* The pool is switched off, or has servers that E checks, and too few are up. */
static const char *pool_down(const struct object *pool, const struct engine *e, char why[static 256])
{
	struct servers n = servers_heard(json_object_get(e->health, pool->uuid));
	/* While nothing is known yet a server is used. */
	size_t usable = n.enabled - n.down, need = servers_needed(pool);

	if (!json_bool(pool->body, "enabled", true))
		snprintf(why, 256, "Pool %.200s is disabled.", pool->name);
	else if (!n.all || usable >= need)
		return NULL;
	else if (usable)
		snprintf(why, 256, "Pool %.150s has %zu server%s up and needs %zu.", pool->name, usable,
			 usable == 1 ? "" : "s", need);
	else
		snprintf(why, 256, "Pool %.200s has no server that is up.", pool->name);
	text_clean(why);
	return why;
}

struct pools_seen {
	const struct engine *e;
	char *why;
	size_t down, up, answer; /* own ones; all; those that requests may go to */
};

static int see_pool(void *arg, const struct object *pool, enum pools_role role)
{
	struct pools_seen *seen = arg;
	char why[256];

	if (!pool_down(pool, seen->e, why)) {
		seen->up++;
		seen->answer += role != POOLS_IDLE;
		return 0;
	}
	/* That those who stand in are down as well goes without saying. */
	if (role == POOLS_OWN && seen->down++ == 0)
		memcpy(seen->why, why, sizeof(why));
	return 0;
}

/* The same of all that the service has: its pool or those of its group, and those that stand in. */
static const char *pools_down(const struct fleet *f, const struct object *vs, const struct engine *e,
			      char why[static 256])
{
	const struct object *group = store_get(
		f->store, "poolgroup", ref_target(json_str(vs->body, "pool_group_ref", NULL)));
	struct pools_seen seen = { .e = e, .why = why };
	size_t need = (size_t)MAX(json_int(vs->body, "min_pools_up", 0), (json_int_t)0);

	pools_each(f->store, vs->body, see_pool, &seen);
	if (seen.up < need) {
		snprintf(why, 256, "%zu of its pools %s servers up, and it needs %zu.", seen.up, seen.up == 1 ? "has" : "have", need);
		return why;
	}
	if (seen.answer || (!group && !seen.down))
		return NULL;
	if (group && seen.down != 1)
		snprintf(why, 256, "No pool of group %.200s has servers enough that are up.", group->name);
	text_clean(why);
	return why;
}

/* State of a service at one VIP and why, over all that is known. */
static json_t *service_status(struct fleet *f, const struct object *vs, const struct placed *at,
			      const char *vip_id)
{
	const json_t *said = at->owner ? json_object_get(at->owner->services, vs->uuid) : NULL,
		     *own = json_object_get(json_object_get(said, "vips"), vip_id);
	uint64_t since = (uint64_t)json_int(said, "since_us", 0);
	const char *reason = json_str(own ? own : said, "reason", ""),
		   *state = json_str(own ? own : said, "state", NULL);
	char why[1024], pool[256];

	switch (at->verdict) {
	case PLACE_OFF:
		return status("OPER_DISABLED", at->reason, since);
	case PLACE_NONE:
		snprintf(why, sizeof(why), "No service engine can carry it: %s", at->reason);
		return status("OPER_RESOURCES", why, 0);
	case PLACE_WAITS:
		return status(at->owner && at->owner->life == PLACE_ALIVE ? "OPER_PARTITIONED"
									  : "OPER_UNKNOWN",
			      at->reason, since);
	case PLACE_OK:
		break;
	}
	if (!at->owner)
		return status("OPER_RESOURCES", "Its service engine was deleted.", 0);
	if (!state) {
		snprintf(why, sizeof(why), "Service engine %s has not said yet whether it runs.",
			 at->owner->name);
		return status("OPER_PROCESSING", why, 0);
	}
	if (strcmp(state, "OPER_UP") == 0 && pools_down(f, vs, at->owner, pool))
		return status("OPER_DOWN", pool, 0);
	return status(state, reason, since);
}

/* Which engine runs which revision. */
static json_t *service_on(const struct subresource_call *call, struct fleet *f,
			  const struct engine *e, const struct placed *at)
{
	const json_t *said = json_object_get(e->services, call->object->uuid);
	const struct holder *h = &e->holder;

	return json_pack("{s:s, s:s, s:o, s:b, s:I, s:I, s:I, s:b, s:s, s:s, s:I}", "uuid", e->uuid,
			 "name", e->name, "ref", engine_ref(call, e), "connected",
			 e->control != NULL, "revision", json_int(said, "revision", 0),
			 "wanted_revision", (json_int_t)call->object->revision,
			 "acknowledged_revision", (json_int_t)e->acked, "up_to_date",
			 e->control && list_empty(&h->dirty) && list_empty(&e->commits) &&
				 !f->settle.active,
			 "state", json_str(said, "state", "OPER_UNKNOWN"), "reason",
			 json_str(said, "reason", ""), "term", (json_int_t)at->term);
}

static const char *management_ip(const struct engine *e)
{
	const struct object *o = store_get(e->fleet->store, "serviceengine", e->uuid);
	const json_t *nets =
		o ? json_object_get(json_object_get(o->body, "mgmt_vnic"), "vnic_networks") : NULL;

	return json_str(json_object_get(json_object_get(json_array_get(nets, 0), "ip"), "ip_addr"),
			"addr", "");
}

static bool is_up(const json_t *oper)
{
	return strcmp(json_str(oper, "state", ""), "OPER_UP") == 0;
}

/* What servers see of the clients of one VIP, into the row of its engine. */
static void add_snats(struct fleet *f, const char *vs, const char *vip_id, json_t *row)
{
	uint64_t revision;
	const json_t *assignment = placement_assignment(f->placement, vs, &revision);
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(assignment, "snats"), i, v) {
		const char *v4 = json_str(v, "addr", NULL);

		if (strcmp(json_str(v, "vip_id", ""), vip_id) == 0)
			json_object_set_new(row, v4 ? "snat_ip" : "snat_ip6_address",
					    json_pack("{s:s, s:s}", "addr", v4 ? v4 : json_str(v, "addr6", ""), "type",
						      v4 ? "V4" : "V6"));
	}
}

/* Where one VIP is, and in which state: a row of vip_summary. */
static json_t *vip_runtime(const struct subresource_call *call, struct fleet *f,
			   const struct placed *at, const char *vip_id)
{
	json_t *oper = service_status(f, call->object, at, vip_id), *engines = json_array();

	if (at->owner && at->verdict != PLACE_NONE)
		json_array_append_new(engines,
				      json_pack("{s:s, s:o, s:o, s:s, s:b, s:b, s:b, s:b, s:s}", "uuid",
						at->owner->uuid, "ref", engine_ref(call, at->owner), "url",
						engine_ref(call, at->owner),
						"name", at->owner->name, "primary", 1, "standby", 0,
						"active_on_se", is_up(oper), "connected",
						at->owner->control != NULL, "mgmt_ip",
						management_ip(at->owner)));
	if (json_array_size(engines))
		add_snats(f, call->object->uuid, vip_id, json_array_get(engines, 0));
	return json_pack("{s:s, s:o, s:i, s:i, s:i, s:o, s:I}", "vip_id", vip_id, "oper_status", oper,
			 "num_se_assigned", (int)json_array_size(engines), "num_se_requested", 1,
			 "percent_ses_up", is_up(oper) ? 100 : 0, "service_engine", engines, "term",
			 (json_int_t)at->term);
}

/*
 * The state of the whole: that of its only VIP; with several, up as long as one of them is, and what
 * is wrong with the others is told.
 */
static json_t *whole_status(const json_t *summary)
{
	const json_t *best = NULL;
	json_t *row, *out, *reasons = json_array();
	size_t i, k;

	json_array_foreach(summary, i, row) {
		const json_t *oper = json_object_get(row, "oper_status");
		json_t *why;

		if (!best || (is_up(oper) && !is_up(best)))
			best = oper;
		json_array_foreach(json_object_get(oper, "reason"), k, why)
			json_array_append_new(reasons, json_array_size(summary) == 1
							       ? json_incref(why)
							       : json_sprintf("VIP %s: %s",
									      json_str(row, "vip_id", ""),
									      json_string_value(why)));
	}
	out = json_deep_copy(best);
	json_object_set_new(out, "reason", reasons);
	return out;
}

/* Of the pools that requests go to, and of those that answer when these have nobody. */
struct scores {
	struct fleet *fleet;
	unsigned sum, n, backup;
};

static int add_score(void *arg, const struct object *pool, enum pools_role role)
{
	struct scores *s = arg;
	struct servers n;
	unsigned one;

	if (role == POOLS_IDLE)
		return 0;
	servers_look(s->fleet, pool, &n, NULL, NULL);
	one = servers_score(pool, &n);
	if (role == POOLS_BACKUP) {
		s->backup = s->backup ? s->backup : one;
		return 0;
	}
	s->sum += one;
	s->n++;
	return 0;
}

/* UP of N VIPs are. */
static int service_score(struct fleet *f, const json_t *vs, const json_t *oper, size_t up, size_t n)
{
	struct scores s = { .fleet = f };

	if (!is_up(oper))
		return 0;
	pools_each(f->store, vs, add_score, &s);
	return (int)(up * (s.sum ? s.sum / s.n : s.n && s.backup ? s.backup : 100) / MAX(n, (size_t)1));
}

json_t *view_service(void *arg, const struct subresource_call *call, struct err *err)
{
	struct fleet *f = arg;
	const struct object *vsvip = store_get(
		f->store, "vsvip", ref_target(json_str(call->object->body, "vsvip_ref", NULL)));
	json_t *vips = vsvip ? json_object_get(vsvip->body, "vip") : NULL, *summary = json_array(),
	       *ons = json_array();
	CLEANUP_JSON json_t *oper = NULL, *seen = json_object();
	size_t n = json_array_size(vips), up = 0;
	uint64_t term = 0;

	(void)err;
	for (size_t i = 0; i < MAX(n, (size_t)1); i++) {
		const char *id = json_str(json_array_get(vips, i), "vip_id", "");
		struct placed at;
		json_t *row;

		if (!placement_of(f->placement, call->object->uuid, id, &at))
			at = (struct placed){ .verdict = PLACE_NONE, .reason = "it was not placed yet" };
		row = vip_runtime(call, f, &at, id);
		up += is_up(json_object_get(row, "oper_status"));
		term = MAX(term, at.term);
		json_array_append_new(summary, row);
		if (!at.owner || at.verdict == PLACE_NONE || json_object_get(seen, at.owner->uuid))
			continue;
		json_object_set_new(seen, at.owner->uuid, json_true());
		json_array_append_new(ons, service_on(call, f, at.owner, &at));
	}
	oper = whole_status(summary);
	if (!n)
		json_array_clear(summary);
	return json_pack("{s:O, s:i, s:i, s:o, s:o, s:I, s:I, s:o*, s:o*, s:o*}", "oper_status", oper, "performance_score",
			 service_score(f, call->object->body, oper, up, n), "percent_ses_up",
			 (int)(up * 100 / MAX(n, (size_t)1)), "vip_summary", summary,
			 "service_engines", ons, "revision", (json_int_t)call->object->revision,
			 "term", (json_int_t)term, "traffic_clone", clones_state(f, call), "capture",
			 captures_progress(f->controller->captures, call->object->uuid), "packet_triggers",
			 triggers_view(f->controller->triggers, call->object->uuid));
}

/* Where each VIP is. */
static json_t *service_places(void *arg, const struct subresource_call *call, struct err *err)
{
	CLEANUP_JSON json_t *whole = view_service(arg, call, err);

	return json_incref(json_object_get(whole, "vip_summary"));
}

/* Calls F for each engine that carries or has counted for the service. */
static bool counts_for(const struct engine *e, const char *group, const char *uuid)
{
	return json_object_get(json_object_get(e->books.last, group), uuid) ||
	       json_object_get(json_object_get(e->books.base, group), uuid);
}

/* Carries E one of the service's VIPs? AT: which, and how. */
static bool owns_any(struct fleet *f, const struct object *vs, const struct engine *e,
		     struct placed *at)
{
	const struct object *vsvip =
		store_get(f->store, "vsvip", ref_target(json_str(vs->body, "vsvip_ref", NULL)));
	json_t *vips = vsvip ? json_object_get(vsvip->body, "vip") : NULL, *v;
	size_t i;

	json_array_foreach(vips, i, v)
		if (placement_of(f->placement, vs->uuid, json_str(v, "vip_id", ""), at) &&
		    at->owner == e && at->verdict != PLACE_NONE)
			return true;
	return false;
}

static json_t *service_detail(void *arg, const struct subresource_call *call, struct err *err)
{
	struct fleet *f = arg;
	const char *uuid = call->object->uuid;
	json_t *out = json_array();

	(void)err;
	LIST_FOREACH(l, &f->engines) {
		const struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);
		struct placed at = { 0 };
		bool owns = owns_any(f, call->object, e, &at);
		json_t *one;

		if (!owns && !counts_for(e, "services", uuid))
			continue;
		one = service_on(call, f, e, &at);
		json_object_set_new(one, "se_uuid", json_string(e->uuid));
		json_object_set_new(one, "is_owner",
				    json_boolean(owns));
		json_object_set_new(one, "oper_status",
				    status(json_str(one, "state", ""), json_str(one, "reason", ""),
					   0));
		json_object_set_new(one, "stats", books_get(&e->books, "services", uuid, NULL));
		json_array_append_new(out, one);
	}
	return out;
}

/* ---- pools ----------------------------------------------------------- */

/* What became of a server, the newest last, as its engine remembers it. */
static json_t *server_history(const json_t *said)
{
	json_t *out = json_array(), *change;
	size_t i;

	json_array_foreach(json_object_get(said, "history"), i, change) {
		json_int_t us = json_integer_value(json_array_get(change, 0));
		const char *state = json_string_value(json_array_get(change, 1)),
			   *reason = json_string_value(json_array_get(change, 2));

		if (us > 0 && state && reason)
			json_array_append_new(out, json_pack("{s:{s:I, s:I}, s:s, s:s}", "at", "secs",
							     us / 1000000, "usecs", us % 1000000,
							     "state", state, "reason", reason));
	}
	return out;
}

/* The engine tells of a server when it is news; its counters come each second. */
static json_int_t counted(const json_t *said, const char *key, const json_t *stats, const char *counter)
{
	return MAX(json_int(said, key, 0), json_int(stats, counter, 0));
}

/* Of each engine that checks the pool: what it asked how often, and the way the servers went. */
static json_t *pool_hmonstat(void *arg, const struct subresource_call *call, struct err *err)
{
	struct fleet *f = arg;
	json_t *out = json_array(), *said;
	size_t i;

	(void)err;
	LIST_FOREACH(l, &f->engines) {
		const struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);
		json_t *servers, *rows;

		servers = json_object_get(e->health, call->object->uuid);
		if (!servers)
			continue;
		rows = json_array();
		json_array_foreach(servers, i, said) {
			const char *ip = json_str(said, "ip", "");
			CLEANUP_FREE char *key = xasprintf("%s:%lld", ip, (long long)json_int(said, "port", 0));
			CLEANUP_JSON json_t *stats = books_get(&e->books, "servers", call->object->uuid, key);

			json_array_append_new(
				rows,
				json_pack("{s:{s:s, s:s}, s:I, s:o, s:I, s:I, s:o}", "ip_addr", "addr", ip, "type",
					  strchr(ip, ':') ? "V6" : "V4", "port", json_int(said, "port", 0),
					  "oper_status",
					  status(json_str(said, "state", "OPER_UNKNOWN"),
						 json_str(said, "reason", ""),
						 (uint64_t)json_int(said, "since_us", 0)),
					  "checks", counted(said, "checks", stats, "health_checks"), "failures",
					  counted(said, "failures", stats, "health_failures"), "history",
					  server_history(said)));
		}
		json_array_append_new(out, json_pack("{s:o, s:s, s:o}", "se_ref", engine_ref(call, e),
						     "se_name", e->name, "servers", rows));
	}
	return out;
}

struct rows {
	struct fleet *fleet;
	const struct subresource_call *call;
	json_t *rows;
};

static void add_row(void *arg, const struct server_seen *s)
{
	struct rows *r = arg;
	json_t *stats = json_object(), *row, *ip_addr;
	const char *given = json_str(json_object_get(s->own, "ip"), "addr", s->ip);
	CLEANUP_FREE char *key = xasprintf("%s:%lld", s->ip, (long long)s->port);

	ip_addr = s->own ? json_incref(json_object_get(s->own, "ip"))
			 : json_pack("{s:s, s:s}", "addr", s->ip, "type", strchr(s->ip, ':') ? "V6" : "V4");
	row = json_pack("{s:o, s:I, s:s, s:b, s:I, s:o}", "ip_addr", ip_addr, "port", s->port,
			"hostname", json_str(s->own, "hostname", given), "enabled", s->enabled,
			"ratio", json_int(s->own, "ratio", 1), "oper_status",
			status(s->state, s->reason, s->enabled ? (uint64_t)json_int(s->said, "since_us", 0) : 0));
	if (s->said)
		json_object_set_new(row, "server_hm_stat",
				    json_pack("{s:o, s:I, s:I, s:o}", "se_ref", engine_ref(r->call, s->by),
					      "checks", json_int(s->said, "checks", 0), "failures",
					      json_int(s->said, "failures", 0), "history",
					      server_history(s->said)));
	LIST_FOREACH(l, &r->fleet->engines) {
		const struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);
		CLEANUP_JSON json_t *one = books_get(&e->books, "servers", r->call->object->uuid, key);

		books_add(stats, one, true);
	}
	json_object_set_new(row, "stats", stats);
	json_array_append_new(r->rows, row);
}

json_t *view_servers(void *arg, const struct subresource_call *call, struct err *err)
{
	struct rows r = { arg, call, json_array() };
	struct servers n;

	(void)err;
	servers_look(arg, call->object, &n, add_row, &r);
	return json_pack("{s:i, s:o}", "count", (int)n.all, "results", r.rows);
}

/* Collectors of statistics take them as a list, without a frame. */
static json_t *servers_detail(void *arg, const struct subresource_call *call, struct err *err)
{
	CLEANUP_JSON json_t *framed = view_servers(arg, call, err);

	return json_incref(json_object_get(framed, "results"));
}

json_t *view_pool(void *arg, const struct subresource_call *call, struct err *err)
{
	struct servers n;

	(void)err;
	servers_look(arg, call->object, &n, NULL, NULL);
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:o}", "num_servers", (int)n.all, "performance_score",
			 (int)servers_score(call->object, &n), "num_servers_enabled", (int)n.enabled, "num_servers_up", (int)n.up,
			 "percent_servers_up_enabled", n.enabled ? (int)(n.up * 100 / n.enabled) : 0,
			 "percent_servers_up_total", n.all ? (int)(n.up * 100 / n.all) : 0, "oper_status",
			 !json_bool(call->object->body, "enabled", true) ? status("OPER_DISABLED", "It is disabled.", 0)
			 : n.up >= servers_needed(call->object)		 ? status("OPER_UP", "", 0)
			 : n.up	  ? status("OPER_DOWN", "Fewer servers are up than it needs.", 0)
			 : n.said ? status("OPER_DOWN", "No server is up.", 0)
				  : status("OPER_UNUSED", "No service engine carries it.", 0));
}

struct users {
	const struct subresource_call *call;
	json_t *seen, *rows;
};

static int add_user(void *arg, const struct object *vs)
{
	struct users *u = arg;

	if (strcmp(vs->tenant, u->call->object->tenant) == 0 && !json_object_get(u->seen, vs->uuid)) {
		json_object_set_new(u->seen, vs->uuid, json_true());
		json_array_append_new(u->rows, json_pack("{s:s, s:s, s:o}", "uuid", vs->uuid, "name", vs->name, "ref",
							 subresource_ref(u->call, "virtualservice", vs->uuid, vs->name)));
	}
	return 0;
}

/* The virtual services that send requests to it, whatever lies between. */
static json_t *pool_users(void *arg, const struct subresource_call *call, struct err *err)
{
	struct fleet *f = arg;
	struct users u = { call, json_object(), json_array() };

	(void)err;
	pools_users(f->store, call->object->uuid, add_user, &u);
	json_decref(u.seen);
	return u.rows;
}

static json_t *pool_detail(void *arg, const struct subresource_call *call, struct err *err)
{
	json_t *one = view_pool(arg, call, err), *rows = view_servers(arg, call, err);

	json_object_set_new(one, "name", json_string(call->object->name));
	json_object_set_new(one, "uuid", json_string(call->object->uuid));
	json_object_set(one, "servers", json_object_get(rows, "results"));
	json_decref(rows);
	return json_pack("[o]", one);
}

/* ---- engines --------------------------------------------------------- */

static void add_service(void *arg, const char *uuid)
{
	json_array_append_new(arg, json_string(uuid));
}

static json_t *engine_runtime(void *arg, const struct subresource_call *call, struct err *err)
{
	static const char *const states[] = {
		[PLACE_DEAD] = "OPER_DOWN", [PLACE_UNSEEN] = "OPER_UNKNOWN", [PLACE_ALIVE] = "OPER_UP"
	};
	static const char *const reasons[] = {
		[PLACE_DEAD] = "It is not connected.",
		[PLACE_UNSEEN] = "It has not connected since the controller started.",
		[PLACE_ALIVE] = ""
	};
	struct fleet *f = arg;
	const struct engine *e = fleet_engine(f, call->object->uuid);
	json_t *services = json_array();
	CLEANUP_JSON json_t *own = NULL;
	char since[MOMENT_MAX];
	json_t *out;

	if (!e) {
		json_decref(services);
		err_set(err, -2, NULL, "The service engine is not known yet.");
		return NULL;
	}
	graph_each(&e->holder, "assignment", add_service, services);
	own = books_get(&e->books, "engine", NULL, NULL);
	out = json_pack("{s:o*, s:o, s:b, s:s, s:s, s:s, s:b, s:{s:i}, s:o, s:O}", "capture",
			captures_progress(f->controller->captures, call->object->uuid), "oper_status",
			status(states[e->life], reasons[e->life], e->since_us), "se_connected",
			e->control != NULL, "power_state", "SE_POWER_ON", "version",
			SPANWIRE_VERSION, "online_since", moment_text(e->since_us, MOMENT_PLAIN, since), "at_curr_ver", 1, "hb_status",
			"num_hb_misses", 0, "virtualservices", services, "stats", own);
	json_object_set_new(out, "gateway_up", json_boolean(interfaces_gateways_up(e)));
	json_object_set(out, "gateways", e->gateways);
	json_object_set_new(
		out, "link",
		json_pack("{s:s, s:I, s:b, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			  "instance", e->instance, "acknowledged_revision", (json_int_t)e->acked,
			  "up_to_date",
			  e->control && list_empty(&e->holder.dirty) && list_empty(&e->commits) &&
				  !f->settle.active,
			  "ack_ms", e->ack_ms, "bytes_out", (json_int_t)e->traffic.bytes_out,
			  "bytes_in", (json_int_t)e->traffic.bytes_in, "last_commit_bytes",
			  (json_int_t)e->traffic.last_commit_bytes, "puts",
			  (json_int_t)e->traffic.puts, "deletes", (json_int_t)e->traffic.deletes,
			  "commits", (json_int_t)e->traffic.commits, "resyncs",
			  (json_int_t)e->traffic.resyncs, "unknown_messages",
			  (json_int_t)e->traffic.unknown, "objects", (json_int_t)e->holder.n));
	/* Of all engines: one object has news from several. */
	json_object_set_new(out, "changes_not_told", json_integer((json_int_t)f->news.held));
	return out;
}

static struct subresource views[] = {
	{ .kind = "virtualservice", .path = "runtime", .get = view_service },
	{ .kind = "virtualservice", .path = "runtime/detail", .get = service_detail },
	{ .kind = "virtualservice", .path = "traffic_clone_stats", .get = view_clones },
	{ .kind = "virtualservice", .path = "placement", .get = service_places },
	{ .kind = "virtualservice", .path = "placement/status", .get = service_places },
	{ .kind = "virtualservice", .path = "scaleoutstatus", .get = service_places },
	{ .kind = "pool", .path = "runtime", .get = view_pool },
	{ .kind = "pool", .path = "runtime/detail", .get = pool_detail },
	{ .kind = "pool", .path = "runtime/server/hmonstat", .get = pool_hmonstat },
	{ .kind = "pool", .path = "hmon", .get = pool_hmonstat },
	{ .kind = "pool", .path = "vs", .get = pool_users },
	{ .kind = "pool", .path = "runtime/server", .get = view_servers },
	{ .kind = "pool", .path = "runtime/server/detail", .get = servers_detail },
	{ .kind = "serviceengine", .path = "runtime", .get = engine_runtime },
};

void views_open(struct fleet *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
		views[i].arg = f;
		subresource_add(f->controller->rest, &views[i]);
	}
	actions_open(f);
}
