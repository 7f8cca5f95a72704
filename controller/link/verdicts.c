#include "controller/link/verdicts.h"

#include "controller/audit.h"
#include "controller/capture/triggers.h"
#include "controller/link/fleet.h"
#include "controller/link/servers.h"
#include "controller/place/place.h"

/* One that comes and goes; and a pool, of which many servers may go at once. */
static const struct restraint_rate news_of_one = { .burst = 10, .per_minute = 2 },
				   news_of_pool = { .burst = 1000, .per_minute = 600 };

#define HELD_TEXT 64

/* HELD: what to say of those before it that were not told. */
static bool is_news(struct fleet *f, const char *uuid, const char *part, struct restraint_rate rate,
		    char held[static HELD_TEXT])
{
	CLEANUP_FREE char *key = xasprintf("%s/%s", uuid, part);
	unsigned n;

	if (!restraint_allows(&f->news, key, rate, wall_us() / 1000000, &n))
		return false;
	*held = '\0';
	if (n)
		snprintf(held, HELD_TEXT, " (%u changes before it were not told.)", n);
	return true;
}

static void service_event(struct fleet *f, const char *vs, const char *id, const char *state,
			  const char *reason, const struct engine *e)
{
	const struct object *o = store_get(f->store, "virtualservice", vs);
	char held[HELD_TEXT];

	if (o && is_news(f, vs, "", news_of_one, held))
		store_event(f->store,
			    audit_event(id, "VSERVER", "virtualservice", vs, o->name, o->tenant,
					NULL, "%s on service engine %s is %s%s%s%s", o->name, e->name,
					state, *reason ? ": " : ".", reason, held),
			    NULL);
}

static bool is_up(const json_t *said)
{
	return strcmp(json_str(said, "state", ""), "OPER_UP") == 0;
}

/* Of a service that has several: each for itself. */
static void vip_events(struct engine *e, const char *vs, const json_t *said, const json_t *before)
{
	const struct object *o = store_get(e->fleet->store, "virtualservice", vs);
	const json_t *were = json_object_get(before, "vips");
	const char *id;
	json_t *vip;

	json_object_foreach(json_object_get(said, "vips"), id, vip) {
		bool up = is_up(vip);
		const char *reason = up ? "" : json_str(vip, "reason", "");
		char held[HELD_TEXT], name[48];

		if (!o || up == is_up(were ? json_object_get(were, id) : before) ||
		    !is_news(e->fleet, vs, "vips", news_of_one, held))
			continue;
		snprintf(name, sizeof(name), "%.40s", id);
		text_clean(name);
		store_event(e->fleet->store,
			    audit_event(up ? "VIP_UP" : "VIP_DOWN", "VSERVER", "virtualservice", vs, o->name, o->tenant, NULL,
					"VIP %s of %s on service engine %s is %s%s%s%s", name, o->name, e->name, up ? "up" : "down",
					*reason ? ": " : ".", reason, held),
			    NULL);
	}
}

void verdicts_link(struct engine *e, const char *interface, bool up)
{
	CLEANUP_FREE char *part = xasprintf("link/%s", interface);
	char held[HELD_TEXT];

	if (is_news(e->fleet, e->uuid, part, news_of_one, held))
		engine_event(e, up ? "SE_VNIC_UP_EVENT" : "SE_VNIC_DOWN_EVENT", "Interface %s of service engine %s %s.%s", interface,
			     e->name, up ? "has a link" : "has no link", held);
}

void verdicts_service(struct engine *e, const char *vs, json_t *said)
{
	const char *state = json_str(said, "state", ""), *reason = json_str(said, "reason", "");
	CLEANUP_JSON json_t *before = json_incref(json_object_get(e->services, vs));
	bool was = is_up(before), is = is_up(said);

	if (!store_get(e->fleet->store, "virtualservice", vs))
		return; /* deleted while it spoke */
	json_object_set_new(said, "since_us",
			    json_integer(strcmp(state, json_str(before, "state", "")) == 0
						 ? json_int(before, "since_us", 0)
						 : (json_int_t)wall_us()));
	json_object_set(e->services, vs, said);
	/* Of what it does not carry it may speak (it held it when it was last here), but that is no news. */
	if (!holder_has(e->fleet->graph, &e->holder, "assignment", vs))
		return;
	if (is && !was)
		service_event(e->fleet, vs, "VS_UP", "up", "", e);
	else if (!is && was)
		service_event(e->fleet, vs, "VS_DOWN", "down", reason, e);
	vip_events(e, vs, said, before);
	if (strcmp(state, json_str(before, "state", "")) != 0 ||
	    !json_equal(json_object_get(said, "vips"), json_object_get(before, "vips"))) {
		placement_service_said(e->fleet->placement, vs);
		fleet_settle(e->fleet);
	}
}

#define QUIET_S 60 /* a service that was below its limit for so long makes news when it comes to it again */

static void forget_quiet(json_t *throttled, json_int_t now)
{
	const char *vs;
	json_t *v;
	void *next;

	json_object_foreach_safe(throttled, next, vs, v)
		if (now - json_integer_value(v) > QUIET_S)
			json_object_del(throttled, vs);
}

void verdicts_stats(struct engine *e, const json_t *stats)
{
	const json_t *last = json_object_get(e->books.last, "services");
	json_int_t now = (json_int_t)(wall_us() / 1000000);
	const char *vs;
	json_t *v;

	json_object_foreach(json_object_get(stats, "services"), vs, v) {
		json_int_t waits = json_int(v, "throughput_waits", 0);
		const struct object *o;
		bool news;

		if (waits <= json_int(json_object_get(last, vs), "throughput_waits", 0))
			continue;
		o = store_get(e->fleet->store, "virtualservice", vs);
		forget_quiet(e->throttled, now);
		news = !json_object_get(e->throttled, vs);
		json_object_set_new(e->throttled, vs, json_integer(now));
		if (o && news)
			store_event(e->fleet->store,
				    audit_event("VS_THROUGHPUT_LIMITED", "VSERVER", "virtualservice", vs, o->name, o->tenant, NULL,
						"%s carries as much on service engine %s as performance_limits.max_throughput "
						"lets it: clients and servers wait.", o->name, e->name),
				    NULL);
	}
}

static bool is_state(const json_t *server, const char *state)
{
	return strcmp(json_str(server, "state", ""), state) == 0;
}

/*
 * What WAS (NULL: nothing was known) becoming NOW is called; NULL: it is no news. That a server was disabled by its
 * configuration has an event already.
 */
static const char *server_news(const json_t *was, const json_t *now)
{
	if (is_state(now, "OPER_UP"))
		return was && is_state(was, "OPER_UP") ? NULL : "SERVER_UP";
	if (was && is_state(was, json_str(now, "state", "")))
		return NULL;
	if (is_state(now, "OPER_DOWN"))
		return "SERVER_DOWN";
	return is_state(now, "OPER_DISABLED") && strcmp(json_str(now, "reason", ""), "disabled") != 0
		       ? "SERVER_MAINTENANCE"
		       : NULL;
}

static bool enough_up(const struct object *o, const json_t *health)
{
	return servers_heard(health).up >= servers_needed(o);
}

static void server_event(struct engine *e, const struct object *o, const char *id, const json_t *now)
{
	const char *why = json_str(now, "reason", ""), *ip = json_str(now, "ip", "");
	const char *is = strcmp(id, "SERVER_UP") == 0 ? "up" : strcmp(id, "SERVER_DOWN") == 0 ? "down" : "in maintenance";
	json_int_t port = json_int(now, "port", 0);
	CLEANUP_FREE char *server = xasprintf("%s:%lld", ip, (long long)port);
	char held[HELD_TEXT], others[HELD_TEXT];

	if (!is_news(e->fleet, o->uuid, server, news_of_one, held) ||
	    !is_news(e->fleet, o->uuid, "servers", news_of_pool, others))
		return;
	store_event(e->fleet->store,
		    audit_event(id, "SE_HM", "pool", o->uuid, o->name, o->tenant,
				json_pack("{s:s, s:I, s:s}", "ip", ip, "port", port, "reason", why),
				"Server %s:%lld of %s is %s on service engine %s%s%s%s%s", ip, (long long)port, o->name, is,
				e->name, *why ? ": " : ".", why, held, others),
		    NULL);
}

static void pool_event(struct engine *e, const struct object *o, bool up)
{
	char held[HELD_TEXT];

	if (!is_news(e->fleet, o->uuid, "", news_of_one, held))
		return;
	store_event(e->fleet->store,
		    audit_event(up ? "POOL_UP" : "POOL_DOWN", "SE_POOL", "pool", o->uuid, o->name, o->tenant, NULL,
				up ? "Pool %s is up, seen by service engine %s.%s"
				   : "Pool %s has fewer servers up than it needs, seen by service engine %s.%s",
				o->name, e->name, held),
		    NULL);
}

static void server_trigger(struct engine *e, const struct object *o, const json_t *now)
{
	CLEANUP_FREE char *text = xasprintf("%s:%lld of %s: %s", json_str(now, "ip", ""), (long long)json_int(now, "port", 0), o->name,
					    json_str(now, "reason", ""));

	triggers_pool(e->fleet->controller->triggers, o->uuid, "server_down", text);
}

void verdicts_health(struct engine *e, const char *pool, json_t *servers, bool part)
{
	CLEANUP_JSON json_t *before = json_incref(json_object_get(e->health, pool));
	const struct object *o = store_get(e->fleet->store, "pool", pool);
	bool was_up = o && before && enough_up(o, before), now_up;

	if (part && (!o || !before))
		return;
	if (!json_array_size(servers) || !o) {
		if (!part)
			json_object_del(e->health, pool);
		return;
	}
	if (!part)
		json_object_set(e->health, pool, servers);
	for (size_t i = 0; i < json_array_size(servers); i++) {
		json_t *now = json_array_get(servers, i);
		size_t at = part ? (size_t)json_int(now, "at", -1) : i;
		const json_t *was = servers_find(before, json_str(now, "ip", ""), json_int(now, "port", 0), at);
		const char *id = server_news(was, now);

		if (id && was && is_state(was, "OPER_UP") && is_state(now, "OPER_DOWN"))
			server_trigger(e, o, now);
		if (id)
			server_event(e, o, id, now);
		if (part)
			json_array_set(before, at, now);
	}
	now_up = enough_up(o, json_object_get(e->health, pool));
	if (was_up != now_up && (before || now_up))
		pool_event(e, o, now_up);
	if (was_up && !now_up)
		triggers_pool(e->fleet->controller->triggers, o->uuid, "pool_down", o->name);
}
