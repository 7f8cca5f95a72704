/*
 * Of each service that an engine copies for, engine.copying has
 *
 *	{vs: {"profile": "uuid revision", "instance", "since_us", "set", "down": {name: n}, "told": {name: true}, "shed", "quiet"}}
 *
 * An engine that starts again counts from zero and has the same profile: it goes on where it was.
 */
#include "controller/link/clones.h"

#include "base/base.h"
#include "base/ip.h"
#include "controller/audit.h"
#include "controller/link/fleet.h"
#include "controller/resolve.h"
#include "controller/rest/subresource.h"

enum {
	DOWN_STATS = 3,  /* as many statistics in a row, one a second: then it is news */
	QUIET_STATS = 10, /* so long without a flow that was shed, and shedding is over */
};

static const char *line_name(const json_t *line)
{
	const char *ip = json_str(line, "ip", NULL);

	return ip ? ip : json_str(line, "mac", "");
}

static void tell(struct engine *e, const struct object *vs, const char *id, json_t *details, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

static void tell(struct engine *e, const struct object *vs, const char *id, json_t *details, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!engine_may_tell(e)) {
		json_decref(details);
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_clean(text);
	json_object_set_new(details, "service_engine", json_string(e->name));
	store_event(e->fleet->store,
		    audit_event(id, "VSERVER", "virtualservice", vs->uuid, vs->name, vs->tenant,
				json_pack("{s:o}", "traffic_clone_details", details), "%s", text),
		    NULL);
}

/* "ready", or "ready: ..." with what is odd. */
static bool is_ready(const json_t *line)
{
	return strncmp(json_str(line, "state", "ready"), "ready", 5) == 0;
}

static const char *reason_of(const json_t *line)
{
	const char *state = json_str(line, "state", "");

	if (!is_ready(line))
		return state;
	return strncmp(state, "ready: ", 7) == 0 ? state + 7 : "";
}

/* Unreachable, and reachable again: once each. */
static void watch_line(struct engine *e, const struct object *vs, json_t *mine, const json_t *line)
{
	json_t *down = json_object_get(mine, "down"), *told = json_object_get(mine, "told");
	const char *name = line_name(line);
	json_int_t n = json_int(down, name, 0);

	if (is_ready(line)) {
		json_object_del(down, name);
		if (json_object_del(told, name) == 0)
			tell(e, vs, "VS_CLONE_SERVER_UP", json_pack("{s:s}", "clone_server", name),
			     "Clone server %s of virtual service %s can be reached again by service engine %s.", name,
			     vs->name, e->name);
		return;
	}
	json_object_set_new(down, name, json_integer(MIN(n + 1, DOWN_STATS)));
	if (n + 1 != DOWN_STATS || json_object_get(told, name))
		return;
	json_object_set_new(told, name, json_true());
	tell(e, vs, "VS_CLONE_SERVER_DOWN",
	     json_pack("{s:s, s:s}", "clone_server", name, "reason", json_str(line, "state", "")),
	     "Clone server %s of virtual service %s cannot be reached by service engine %s: %s.", name, vs->name, e->name,
	     json_str(line, "state", ""));
}

/* Who is no clone server any more is forgotten without a word. */
static void forget_lines(json_t *names, const json_t *list)
{
	const char *name;
	json_t *v, *line;
	void *next;
	size_t i;

	json_object_foreach_safe(names, next, name, v) {
		bool there = false;

		json_array_foreach((json_t *)list, i, line)
			there = there || (json_str(line, "state", NULL) && strcmp(line_name(line), name) == 0);
		if (!there)
			json_object_del(names, name);
	}
}

static json_t *present_line(const json_t *list)
{
	json_t *line;
	size_t i;

	json_array_foreach((json_t *)list, i, line)
		if (json_str(line, "state", NULL))
			return line;
	return NULL;
}

static char *profile_id(struct store *s, const struct object *vs)
{
	const struct object *o = store_get(s, "trafficcloneprofile",
					   ref_target(json_str(vs->body, "traffic_clone_profile_ref", NULL)));

	return o ? xasprintf("%s %llu", o->uuid, (unsigned long long)o->revision) : xstrdup("");
}

/* Which set the lines of LIST belong to: another one when the engine made one, and not because it began anew. */
static void follow_set(struct engine *e, const struct object *vs, json_t *mine, const json_t *list)
{
	json_t *present = present_line(list), *line;
	json_int_t since = json_int(json_object_get(present, "since"), "time_us", 0), set = json_int(mine, "set", 0);
	CLEANUP_FREE char *profile = profile_id(e->fleet->store, vs);
	bool first = !json_object_get(mine, "since_us"),
	     restarted = strcmp(json_str(mine, "instance", ""), e->instance) != 0,
	     same = strcmp(json_str(mine, "profile", ""), profile) == 0;
	size_t i;

	if (!present)
		return;
	if (!first && json_int(mine, "since_us", 0) != since && !(restarted && same)) {
		set++;
		tell(e, vs, "VS_CLONE_COUNTERS_RESET", json_object(),
		     "Copies of virtual service %s follow a changed profile on service engine %s: their counters begin anew.",
		     vs->name, e->name);
	}
	json_object_set_new(mine, "set", json_integer(set));
	json_object_set_new(mine, "since_us", json_integer(since));
	json_object_set_new(mine, "instance", json_string(e->instance));
	json_object_set_new(mine, "profile", json_string(profile));
	json_array_foreach((json_t *)list, i, line)
		if (json_is_object(line))
			json_object_set_new(line, "set", json_sprintf("%lld", (long long)set));
}

/* An episode of flows that are shed is told twice: when it begins, and when there was none for a while. */
static void watch_shedding(struct engine *e, const struct object *vs, json_t *mine, const json_t *list)
{
	json_int_t shed = 0, before = json_int(mine, "shed", 0), quiet = json_int(mine, "quiet", QUIET_STATS + 1);
	json_t *line;
	size_t i;

	json_array_foreach((json_t *)list, i, line)
		shed += json_int(line, "flows_shed", 0);
	if (shed > before && quiet >= QUIET_STATS) {
		json_object_set_new(mine, "shed_before", json_integer(before));
		tell(e, vs, "VS_CLONE_SHEDDING", json_object(),
		     "New connections of virtual service %s are not copied on service engine %s: the limit of its clone profile "
		     "is reached, or a clone server's queue overflows.", vs->name, e->name);
	}
	quiet = shed > before ? 0 : quiet + 1;
	if (quiet == QUIET_STATS) {
		json_int_t flows = shed - json_int(mine, "shed_before", 0);

		tell(e, vs, "VS_CLONE_SHEDDING_END", json_pack("{s:I}", "flows", flows),
		     "New connections of virtual service %s are copied again on service engine %s; %lld were not.", vs->name,
		     e->name, (long long)flows);
	}
	json_object_set_new(mine, "quiet", json_integer(MIN(quiet, QUIET_STATS + 1)));
	json_object_set_new(mine, "shed", json_integer(shed));
}

static void take_service(struct engine *e, const struct object *vs, json_t *list)
{
	json_t *mine = json_object_get(e->copying, vs->uuid), *line;
	size_t i;

	if (!mine) {
		mine = json_pack("{s:{}, s:{}}", "down", "told");
		json_object_set_new(e->copying, vs->uuid, mine);
	}
	follow_set(e, vs, mine, list);
	watch_shedding(e, vs, mine, list);
	json_array_foreach(list, i, line)
		if (json_str(line, "state", NULL))
			watch_line(e, vs, mine, line);
	forget_lines(json_object_get(mine, "down"), list);
	forget_lines(json_object_get(mine, "told"), list);
}

void clones_take(struct engine *e, json_t *stats)
{
	json_t *clones = json_object_get(stats, "clones"), *v;
	const char *uuid;
	void *next;

	json_object_foreach_safe(e->copying, next, uuid, v)
		if (!json_object_get(clones, uuid))
			json_object_del(e->copying, uuid);
	json_object_foreach(clones, uuid, v) {
		const struct object *vs = store_get(e->fleet->store, "virtualservice", uuid);

		/* Of what it does not carry it may speak, but that is no news. */
		if (vs && json_is_array(v) && holder_has(e->fleet->graph, &e->holder, "assignment", uuid))
			take_service(e, vs, v);
	}
}

/* ---- what REST shows ------------------------------------------------------------------ */

/* Our reasons by which the contract's count: what the driver refused, and what had no memory. */
static const char *const driver_failures[] = { "dropped_queue_full", "dropped_link_down", "dropped_no_interface",
					       "dropped_other" };

/* Sum of the counters that begin with "dropped_". */
static json_int_t dropped(const json_t *counters)
{
	json_int_t sum = 0;
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)counters, key, v)
		if (strncmp(key, "dropped_", 8) == 0)
			sum += json_integer_value(v);
	return sum;
}

/* {"ip": {...}} or {"mac": "..."} first, then the counters. Takes LINE. */
static json_t *row(const char *name, json_t *line)
{
	json_t *out = json_object();
	json_int_t driver = 0;
	struct in6_addr ip;

	for (size_t i = 0; i < ARRAY_SIZE(driver_failures); i++)
		driver += json_int(line, driver_failures[i], 0);
	if (ip_parse(name, &ip) == 0)
		json_object_set_new(out, "ip",
				    json_pack("{s:s, s:s}", "addr", name, "type", ip_is_v4(&ip) ? "V4" : "V6"));
	else
		json_object_set_new(out, "mac", json_string(name));
	/* What matters stands first, also where a shell shows it. */
	json_object_set_new(out, "eligible", json_integer(json_int(line, "eligible", 0)));
	json_object_set_new(out, "sent", json_integer(json_int(line, "sent", 0)));
	json_object_set_new(out, "dropped", json_integer(dropped(line)));
	json_object_set_new(out, "num_total_pkts_cloned", json_integer(json_int(line, "eligible", 0)));
	json_object_set_new(out, "num_succeeded", json_integer(json_int(line, "sent", 0)));
	json_object_set_new(out, "num_mbuf_alloc_failed", json_integer(json_int(line, "dropped_memory", 0)));
	json_object_set_new(out, "num_driver_failures", json_integer(driver));
	json_object_del(line, "ip");
	json_object_del(line, "set");
	json_object_update(out, line);
	return out;
}

/* Rows of {name: counters}, which is taken; their sum goes to TOTALS (may be NULL). */
static json_t *rows(json_t *by_name, json_t *totals)
{
	json_t *list = json_array(), *v;
	const char *name;

	json_object_foreach(by_name, name, v) {
		json_t *one = row(name, v);

		if (totals)
			books_add(totals, one, true);
		json_array_append_new(list, one);
	}
	json_decref(by_name);
	json_object_del(totals, "ip");
	return list;
}

static bool copies_for(const struct engine *e, const char *uuid)
{
	return json_object_get(json_object_get(e->books.last, "clones"), uuid) ||
	       json_object_get(json_object_get(e->books.base, "clones"), uuid);
}

json_t *view_clones(void *arg, const struct subresource_call *call, struct err *err)
{
	const char *uuid = call->object->uuid;
	struct fleet *f = arg;
	json_t *out = json_array();

	(void)err;
	LIST_FOREACH(l, &f->engines) {
		const struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);
		json_t *totals = json_object(), *present, *ever;

		if (!copies_for(e, uuid)) {
			json_decref(totals);
			continue;
		}
		present = rows(books_copies(&e->books, uuid), totals);
		ever = rows(books_clones(&e->books, uuid), NULL);
		json_array_append_new(
			out, json_pack("{s:s, s:s, s:o, s:s, s:b, s:I, s:I, s:o, s:o, s:o, s:o}", "se_uuid", e->uuid, "se_name",
				       e->name, "se_ref", subresource_ref(call, "serviceengine", e->uuid, e->name),
				       "proc_id", "PROC_Aggregate", "connected", e->bulk != NULL, "time_us",
				       (json_int_t)e->books.time_us, "since_us",
				       json_int(json_object_get(e->copying, uuid), "since_us", 0), "clone_srvr_stats",
				       present, "totals", totals, "lifetime", ever, "hurt_flows",
				       books_hurt(&e->books, uuid)));
	}
	return out;
}

json_t *clones_state(struct fleet *f, const struct subresource_call *call)
{
	json_t *out = json_array(), *line;
	const char *name;

	if (!*json_str(call->object->body, "traffic_clone_profile_ref", "")) {
		json_decref(out);
		return NULL;
	}
	LIST_FOREACH(l, &f->engines) {
		const struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);
		CLEANUP_JSON json_t *lines = NULL;

		if (!copies_for(e, call->object->uuid))
			continue;
		lines = books_copies(&e->books, call->object->uuid);
		json_object_foreach(lines, name, line) {
			const char *state = json_str(line, "state", NULL);

			if (!state) /* it copied once, and does not now */
				continue;
			json_array_append_new(
				out, json_pack("{s:s, s:s, s:s, s:s, s:s}", "service_engine", e->name, "clone_server", name,
					       "state", is_ready(line) ? "OPER_UP" : "OPER_DOWN", "reason",
					       reason_of(line), "interface", json_str(line, "interface", "")));
		}
	}
	return out;
}
