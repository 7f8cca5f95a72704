#include "controller/capture/triggers.h"
#include "controller/link/ask.h"
#include "controller/link/fleet.h"
#include "controller/link/records.h"
#include "controller/link/servers.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "controller/audit.h"
#include "controller/ca.h"
#include "controller/change.h"
#include "controller/place/place.h"
#include "controller/resolve.h"
#include "net/tls.h"

/* ---- settling -------------------------------------------------------- */

static void settle(struct timer *t)
{
	struct fleet *f = CONTAINER_OF(t, struct fleet, settle);

	/* No engine runs what the controller might not know any more when the power comes back. */
	if (store_sync(f->store, NULL) < 0) {
		fleet_settle_later(f);
		return;
	}
	placement_run(f->placement);
	LIST_FOREACH(l, &f->engines)
		session_flush(LIST_ENTRY(l, struct engine, in_fleet));
}

void fleet_settle(struct fleet *f)
{
	if (!f->settle.active)
		timer_in(f->loop, &f->settle, 0, settle);
}

static void settle_again(struct timer *t)
{
	fleet_settle(CONTAINER_OF(t, struct fleet, again));
}

void fleet_settle_later(struct fleet *f)
{
	timer_in(f->loop, &f->again, FLEET_DEAD_MS, settle_again);
}

/* ---- events ---------------------------------------------------------- */

void engine_event(struct engine *e, const char *id, const char *fmt, ...)
{
	struct fleet *f = e->fleet;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_clean(text);
	log_info("%s engine=%s text=\"%s\"", id, e->name, text);
	store_event(f->store,
		    audit_event(id, "SEMGR", "serviceengine", e->uuid, e->name, TENANT_ADMIN, NULL,
				"%s", text),
		    NULL);
}

/* ---- life ------------------------------------------------------------ */

static void grace_over(struct timer *t);

static void set_life(struct engine *e, enum place_life life)
{
	e->life = life;
	e->since_us = wall_us();
	placement_engine_changed(e->fleet->placement, e);
	fleet_settle(e->fleet);
}

void engine_alive(struct engine *e)
{
	timer_stop(e->fleet->loop, &e->death);
	if (e->life == PLACE_ALIVE)
		return;
	engine_event(e, "SE_UP", "Service engine %s is up.", e->name);
	set_life(e, PLACE_ALIVE);
}

void engine_dead(struct engine *e, const char *why)
{
	timer_stop(e->fleet->loop, &e->death);
	if (e->life == PLACE_DEAD)
		return;
	engine_event(e, "SE_DOWN", "Service engine %s is down: %s.", e->name, why);
	json_object_clear(e->services);
	json_object_clear(e->health);
	set_life(e, PLACE_DEAD);
}

/*
 * A controller that was stopped for a while finds that its engines have hung up, and they come back
 * one by one. Whoever comes first must not be given what the others are serving.
 */
static void heart(struct timer *t)
{
	struct fleet *f = CONTAINER_OF(t, struct fleet, heart);
	uint64_t now = loop_now(f->loop);

	if (now - f->beat_ns > FLEET_DEAD_MS * NS_PER_MS) {
		log_warn("stood_still ms=%llu", (unsigned long long)((now - f->beat_ns) / NS_PER_MS));
		f->stood_still_ns = now;
		f->in_grace = true;
		timer_in(f->loop, &f->grace, FLEET_GRACE_MS, grace_over);
	}
	f->beat_ns = now;
	timer_in(f->loop, &f->heart, FLEET_PING_MS, heart);
}

void engine_lost(struct engine *e)
{
	struct fleet *f = e->fleet;
	uint64_t since = loop_now(f->loop) - f->stood_still_ns;

	if (!f->stood_still_ns || since > FLEET_GRACE_MS * NS_PER_MS)
		engine_dead(e, "its connection was lost");
	else if (e->life == PLACE_ALIVE)
		set_life(e, PLACE_UNSEEN);
}

static void grace_over(struct timer *t)
{
	struct fleet *f = CONTAINER_OF(t, struct fleet, grace);

	f->in_grace = false;
	LIST_FOREACH(l, &f->engines) {
		struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);

		if (e->life == PLACE_UNSEEN)
			engine_dead(e, "it has not connected since the controller started or stood still");
	}
}

void fleet_new_epoch(struct fleet *f, const char *why)
{
	struct err e = { 0 };

	if (store_new_epoch(f->store, &e) < 0)
		log_error("new_epoch_failed error=\"%s\"", err_line(&e));
	log_warn("new_epoch epoch=%s reason=\"%s\"", store_epoch(f->store), why);
	LIST_FOREACH(l, &f->engines) {
		struct engine *x = LIST_ENTRY(l, struct engine, in_fleet);

		if (x->control)
			session_end(x->control, "the controller's store begins a new epoch");
	}
}

/* ---- engines --------------------------------------------------------- */

static bool follow_domains(struct engine *e);

struct engine *fleet_engine(struct fleet *f, const char *uuid)
{
	for (struct table_link *l = table_first(&f->by_uuid, table_hash(TABLE_SEED, uuid)); l;
	     l = table_next(l))
		if (strcmp(CONTAINER_OF(l, struct engine, link)->uuid, uuid) == 0)
			return CONTAINER_OF(l, struct engine, link);
	return NULL;
}

static enum place_use use_of(const struct object *o)
{
	static const char *const words[] = { "SE_STATE_ENABLED", "SE_STATE_DISABLED_FOR_PLACEMENT",
					     "SE_STATE_DISABLED", "SE_STATE_DISABLED_FORCE" };
	const char *state = json_str(o->body, "enable_state", words[0]);
	size_t i = 0;

	while (i < ARRAY_SIZE(words) - 1 && strcmp(words[i], state) != 0)
		i++;
	return (enum place_use)i;
}

static void engine_free(struct engine *e)
{
	struct fleet *f = e->fleet;

	if (e->control)
		session_end(e->control, "the service engine was deleted from the controller");
	if (e->bulk)
		session_end(e->bulk, "the service engine was deleted from the controller");
	placement_forget(f->placement, e);
	session_forget(e);
	timer_stop(f->loop, &e->death);
	graph_release(f->graph, &e->holder, "serviceengine", e->uuid);
	holder_fini(f->graph, &e->holder);
	list_remove(&e->in_fleet);
	table_take(&f->by_uuid, &e->link);
	arena_fini(&e->arena);
	books_fini(&e->books);
	json_decref(e->services);
	json_decref(e->throttled);
	json_decref(e->health);
	json_decref(e->copying);
	json_decref(e->gateways);
	free(e->capture);
	free(e->uuid);
	free(e->name);
	free(e->group);
	free(e->cloud);
	free(e);
}

static void reset(char **text, const char *to)
{
	free(*text);
	*text = xstrdup(to);
}

/* Its gateways are watched before anything is placed: else a service would come and find them silent. */
static void hold_global(struct fleet *f, struct engine *e, const struct object *o)
{
	const struct object *global = store_find(f->store, "vrfcontext", NULL, o->cloud, "global");

	if (global)
		graph_hold(f->graph, &e->holder, "vrfcontext", global->uuid);
}

static void engine_changed(struct fleet *f, const char *uuid)
{
	const struct object *o = store_get(f->store, "serviceengine", uuid);
	struct engine *e = fleet_engine(f, uuid);
	const char *group;

	if (!o) {
		if (e)
			engine_free(e);
		return;
	}
	group = ref_target(json_str(o->body, "se_group_ref", NULL));
	if (!e) {
		e = xcalloc(1, sizeof(*e));
		e->fleet = f;
		e->uuid = xstrdup(uuid);
		e->life = f->in_grace ? PLACE_UNSEEN : PLACE_DEAD;
		e->since_us = wall_us();
		e->services = json_object();
		e->throttled = json_object();
		e->health = json_object();
		e->copying = json_object();
		e->gateways = json_array();
		e->group = xstrdup(group);
		list_init(&e->commits);
		list_init(&e->in_fleet);
		books_init(&e->books);
		holder_init(&e->holder);
		list_insert(&f->engines, &e->in_fleet);
		table_put(&f->by_uuid, &e->link, table_hash(TABLE_SEED, uuid));
		graph_hold(f->graph, &e->holder, "serviceengine", uuid);
		hold_global(f, e, o);
	} else if (use_of(o) != e->use || strcmp(group, e->group) != 0) {
		placement_engine_changed(f->placement, e);
	}
	e->use = use_of(o);
	reset(&e->name, o->name);
	reset(&e->group, group);
	reset(&e->cloud, o->cloud);
	if (follow_domains(e))
		placement_engine_changed(f->placement, e);
}

static int engine_seen(void *arg, const struct object *o)
{
	engine_changed(arg, o->uuid);
	return 0;
}

/* ---- interfaces ------------------------------------------------------ */

static bool read_address(const char *text, struct place_net *net)
{
	return text && ip_parse_prefix(text, &net->addr, &net->len) == 0 &&
	       net->len < (ip_is_v4(&net->addr)
				   ? 32u
				   : 128u) && /* a VIP, or the like: no network to announce on */
	       !(ip_bytes(&net->addr, &(size_t){ 0 })[0] == 0xfe &&
		 !ip_is_v4(&net->addr)); /* link-local */
}

/* What the operator says of the interface NAME in the engine's object; NULL: nothing. */
static const json_t *vnic_of(const struct engine *e, const char *name)
{
	const struct object *o = store_get(e->fleet->store, "serviceengine", e->uuid);
	json_t *all = o ? json_object_get(o->body, "data_vnics") : NULL, *v;
	size_t i;

	json_array_foreach(all, i, v)
		if (strcmp(json_str(v, "linux_name", ""), name) == 0)
			return v;
	v = o ? json_object_get(o->body, "mgmt_vnic") : NULL;
	return strcmp(json_str(v, "linux_name", ""), name) == 0 ? v : NULL;
}

/* The routing domain of an interface: its own, that of the network that it is on, or `global`. */
static const char *vrf_of(const struct engine *e, const char *name)
{
	struct store *s = e->fleet->store;
	const json_t *vnic = vnic_of(e, name);
	const struct object *network =
		store_get(s, "network", ref_target(json_str(vnic, "network_ref", NULL)));
	const char *ref = json_str(vnic, "vrf_ref", NULL);
	const struct object *global;

	if (!ref && network)
		ref = json_str(network->body, "vrf_context_ref", NULL);
	if (ref)
		return ref_target(ref);
	global = store_find(s, "vrfcontext", NULL, e->cloud, "global");
	return global ? global->uuid : "";
}

/* Does a gateway of the domain not answer? */
static bool gateway_down(const struct engine *e, const char *vrf)
{
	json_t *g;
	size_t i;

	json_array_foreach(e->gateways, i, g)
		if (!json_bool(g, "up", true) && strcmp(json_str(g, "vrf", ""), vrf) == 0)
			return true;
	return false;
}

bool engine_gateway_up(const struct engine *e)
{
	json_t *g;
	size_t i;

	json_array_foreach(e->gateways, i, g)
		if (!json_bool(g, "up", true))
			return false;
	return true;
}

static const json_t *gateway_of(const json_t *all, const json_t *like)
{
	json_t *g;
	size_t i;

	json_array_foreach(all, i, g)
		if (strcmp(json_str(g, "ip", ""), json_str(like, "ip", "")) == 0 &&
		    strcmp(json_str(g, "vrf", ""), json_str(like, "vrf", "")) == 0)
			return g;
	return NULL;
}

void engine_gateways(struct engine *e, json_t *gateways)
{
	CLEANUP_JSON json_t *before = e->gateways;
	json_t *g;
	size_t i;

	e->gateways = json_incref(gateways);
	json_array_foreach(gateways, i, g) {
		bool up = json_bool(g, "up", true),
		     was = json_bool(gateway_of(before, g), "up", true);
		const struct object *vrf =
			store_get(e->fleet->store, "vrfcontext", json_str(g, "vrf", ""));

		if (up != was && vrf)
			engine_event(e, up ? "SE_GATEWAY_HEARTBEAT_SUCCESS" : "SE_GATEWAY_HEARTBEAT_FAILED",
				     "Gateway %s of VRF %s %s service engine %s.", json_str(g, "ip", ""),
				     vrf->name, up ? "answers again to" : "does not answer to", e->name);
	}
	if (!follow_domains(e))
		return;
	placement_engine_changed(e->fleet->placement, e);
	fleet_settle(e->fleet);
}

/* The object says other routing domains, or gateways fell silent or answer. True: something is different. */
static bool follow_domains(struct engine *e)
{
	const struct object *group = store_get(e->fleet->store, "serviceenginegroup", e->group);
	bool moves = group && json_bool(group->body, "host_gateway_monitor", false);
	bool changed = false;

	for (size_t i = 0; i < e->n_interfaces; i++) {
		struct place_interface *f = &e->interfaces[i];
		const char *vrf = vrf_of(e, f->name);
		bool cut_off = moves && gateway_down(e, vrf);

		if (strcmp(f->vrf, vrf) == 0 && f->cut_off == cut_off)
			continue;
		f->vrf = strcmp(f->vrf, vrf) == 0 ? f->vrf : arena_strdup(&e->arena, vrf);
		f->cut_off = cut_off;
		changed = true;
	}
	return changed;
}

static void read_interfaces(struct engine *e, const json_t *interfaces)
{
	size_t n = json_array_size(interfaces);

	arena_fini(&e->arena);
	e->arena = (struct arena)ARENA_INIT;
	e->interfaces = arena_get(&e->arena, (n + 1) * sizeof(*e->interfaces));
	e->n_interfaces = 0;
	for (size_t i = 0; i < n; i++) {
		const json_t *one = json_array_get(interfaces, i),
			     *addresses = json_object_get(one, "addresses");
		size_t n_addresses = json_array_size(addresses);
		struct place_net *nets = arena_get(&e->arena, (n_addresses + 1) * sizeof(*nets));
		struct place_interface *f = &e->interfaces[e->n_interfaces++];

		*f = (struct place_interface){ .name = arena_strdup(&e->arena,
								    json_str(one, "name", "")),
					       .vrf = "",
					       .up = json_bool(one, "up", false),
					       .nets = nets };
		for (size_t a = 0; a < n_addresses; a++)
			if (read_address(json_string_value(json_array_get(addresses, a)),
					 &nets[f->n_nets]))
				f->n_nets++;
	}
	follow_domains(e);
}

/*
 * The object's form of one interface. *LOCAL: has it the address from which the engine dialled?
 * New reference.
 */
static json_t *make_vnic(const struct engine *e, const json_t *one, const char *dialled, bool *local)
{
	static const char *const operators[] = { "vrf_ref", "network_ref", "enabled" };
	const json_t *addresses = json_object_get(one, "addresses");
	const char *name = json_str(one, "name", "");
	json_t *nets = json_array(), *vnic, *said;

	*local = false;
	for (size_t i = 0; i < json_array_size(addresses); i++) {
		const char *text = json_string_value(json_array_get(addresses, i));
		struct place_net net = { 0 };
		char ip[IP_TEXT_MAX];

		if (!text || ip_parse_prefix(text, &net.addr, &net.len) < 0)
			continue;
		ip_text(&net.addr, ip);
		*local = *local || strcmp(ip, dialled) == 0;
		if (read_address(text, &net))
			json_array_append_new(nets, json_pack("{s:{s:{s:s, s:s}, s:i}, s:s}", "ip",
							      "ip_addr", "addr", ip, "type",
							      ip_is_v4(&net.addr) ? "V4" : "V6",
							      "mask", net.len, "mode", "STATIC"));
	}
	vnic = json_pack("{s:s, s:s, s:s, s:i, s:b, s:b, s:b, s:o}", "if_name", name, "linux_name",
			 name, "mac_address", json_str(one, "mac", ""), "mtu",
			 (int)json_int(one, "mtu", 1500), "link_up", json_bool(one, "up", false),
			 "connected", json_bool(one, "up", false), "is_mgmt", *local,
			 "vnic_networks", nets);
	/* Whose word is the operator's stays. */
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
		said = json_object_get(vnic_of(e, name), operators[i]);
		if (said)
			json_object_set(vnic, operators[i], said);
	}
	return vnic;
}

/* The serviceengine object shows what the engine says; it is written only when that differs. */
static void write_object(struct engine *e, const json_t *interfaces, const char *dialled)
{
	const struct change_by by = { .user = "system",
				      .client = "",
				      .tenant = TENANT_ADMIN,
				      .internal = true };
	const struct object *o = store_get(e->fleet->store, "serviceengine", e->uuid);
	CLEANUP_JSON json_t *wire = json_copy((json_t *)o->body), *data = json_array();
	struct change c;
	struct err err = { 0 };
	int rc;

	json_object_del(wire, "mgmt_vnic");
	for (size_t i = 0; i < json_array_size(interfaces); i++) {
		const json_t *one = json_array_get(interfaces, i);
		bool local;
		json_t *vnic = make_vnic(e, one, dialled, &local);

		if (!json_str(one, "mac", NULL))
			json_decref(vnic);
		else if (local)
			json_object_set_new(wire, "mgmt_vnic", vnic);
		else
			json_array_append_new(data, vnic);
	}
	json_object_set(wire, "data_vnics", data);
	if (json_array_size(data) == 0)
		json_object_del(wire, "data_vnics");
	if (json_equal(wire, o->body))
		return;
	change_begin(&c, e->fleet->store, &by);
	rc = change_update(&c, o->kind, e->uuid, wire, 0, &err);
	if (rc == 0)
		rc = change_commit(&c, &err);
	else
		change_abort(&c);
	model_notes_fini(&c.notes);
	if (rc < 0)
		log_error("engine_object_not_written engine=%s error=\"%s\"", e->name,
			  err_line(&err));
}

void engine_interfaces(struct engine *e, const json_t *interfaces, const char *local)
{
	read_interfaces(e, interfaces);
	e->known = true;
	write_object(e, interfaces, local);
	placement_engine_changed(e->fleet->placement, e);
	fleet_settle(e->fleet);
}

/* ---- what engines say of services and servers ------------------------ */

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

void engine_service(struct engine *e, const char *vs, json_t *said)
{
	const char *state = json_str(said, "state", ""), *reason = json_str(said, "reason", "");
	CLEANUP_JSON json_t *before = json_incref(json_object_get(e->services, vs));
	bool was_up = strcmp(json_str(before, "state", ""), "OPER_UP") == 0,
	     is_up = strcmp(state, "OPER_UP") == 0;

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
	if (is_up && !was_up)
		service_event(e->fleet, vs, "VS_UP", "up", "", e);
	else if (!is_up && was_up)
		service_event(e->fleet, vs, "VS_DOWN", "down", reason, e);
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

void engine_stats(struct engine *e, const json_t *stats)
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

void engine_health(struct engine *e, const char *pool, json_t *servers, bool part)
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

/* ---- the store ------------------------------------------------------- */

static const json_t *source_object(struct graph_source *src, const char *kind, const char *uuid,
				   const char **name, uint64_t *revision)
{
	struct fleet *f = CONTAINER_OF(src, struct fleet, source);
	const struct object *o;

	*name = "";
	*revision = 0;
	if (strcmp(kind, "assignment") == 0)
		return placement_assignment(f->placement, uuid, revision);
	o = store_get(f->store, kind, uuid);
	if (!o)
		return NULL;
	*name = o->name;
	*revision = o->revision;
	return o->body;
}

/* Placement looks at everything again. */
static void network_changed(struct fleet *f)
{
	LIST_FOREACH(l, &f->engines)
		follow_domains(LIST_ENTRY(l, struct engine, in_fleet));
}

/* An engine holds the capture of its own packets while that runs. */
static void capture_changed(struct fleet *f, const char *uuid)
{
	const struct object *o = store_get(f->store, "capture", uuid);
	struct engine *e = o ? fleet_engine(f, ref_target(json_str(o->body, "serviceengine_ref", ""))) : NULL;
	bool runs = o && json_bool(o->body, "running", false), held = e && e->capture && strcmp(e->capture, uuid) == 0;

	if (!e || runs == held || (runs && e->capture))
		return;
	if (runs)
		graph_hold(f->graph, &e->holder, "capture", uuid);
	else
		graph_release(f->graph, &e->holder, "capture", uuid);
	free(e->capture);
	e->capture = runs ? xstrdup(uuid) : NULL;
}

static void committed(struct store_watch *w, uint64_t revision, const struct store_change *changes,
		      size_t n)
{
	struct fleet *f = CONTAINER_OF(w, struct fleet, watch);

	(void)revision;
	for (size_t i = 0; i < n; i++) {
		const char *kind = changes[i].kind->path;

		if (strcmp(kind, "serviceengine") == 0)
			engine_changed(f, changes[i].uuid);
		else if (strcmp(kind, "network") == 0 || strcmp(kind, "serviceenginegroup") == 0)
			network_changed(f);
		else if (strcmp(kind, "capture") == 0)
			capture_changed(f, changes[i].uuid);
		placement_changed(f->placement, kind, changes[i].uuid);
		graph_changed(f->graph, kind, changes[i].uuid, NULL, NULL);
	}
	fleet_settle(f);
}

/* ---- life of the fleet ----------------------------------------------- */

#define ACCEPT_PAUSE_MS 100

static void accept_ready(struct watch *w, uint32_t events);

static void accept_again(struct timer *t)
{
	struct fleet *f = CONTAINER_OF(t, struct fleet, accept_again);

	must(watch_start(f->loop, &f->listener, f->fd, EPOLLIN, accept_ready) == 0);
}

static void accept_ready(struct watch *w, uint32_t events)
{
	struct fleet *f = CONTAINER_OF(w, struct fleet, listener);

	(void)events;
	for (int i = 0; i < 64; i++) { /* the others want their turn as well */
		int fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
				return;
			/*
			 * Out of descriptors: the listener stays readable, and trying at once
			 * would be all that we do.
			 */
			log_error("accept_failed error=\"%s\"", strerror(errno));
			watch_stop(f->loop, w);
			timer_in(f->loop, &f->accept_again, ACCEPT_PAUSE_MS, accept_again);
			return;
		}
		session_accept(f, fd);
	}
}

int fleet_open(struct controller *c, int fd, struct fleet **out, struct err *e)
{
	struct fleet *f = xcalloc(1, sizeof(*f));
	CLEANUP_FREE char *chain = xasprintf("%s%s", ca_server_pem(c->ca), ca_pem(c->ca));
	const struct tls_config tls = { .server = true,
					.certificate = chain,
					.key = ca_server_key_pem(c->ca),
					.ca = ca_pem(c->ca) };
	int rc;

	f->controller = c;
	f->store = c->store;
	f->loop = c->loop;
	f->fd = fd;
	f->in_grace = true;
	list_init(&f->engines);
	list_init(&f->sessions);
	list_init(&f->asks);
	rc = tls_new(&tls, &f->tls, e);
	if (rc == 0) {
		rc = watch_start(f->loop, &f->listener, fd, EPOLLIN, accept_ready);
		if (rc < 0)
			err_set(e, rc, NULL, "watching the engine port: %s", strerror(-rc));
	}
	if (rc < 0) {
		tls_free(f->tls);
		close(fd);
		free(f);
		return rc;
	}
	f->source.object = source_object;
	f->graph = graph_new(&f->source);
	/*
	 * The graph may ask for assignments, placement may say that they changed: both must stand
	 * before either speaks.
	 */
	f->placement = placement_new(f);
	store_each(f->store, "serviceengine", engine_seen, f);
	f->watch.committed = committed;
	store_watch(f->store, &f->watch);
	/* The loop's clock is as old as the loop: reading the store and making keys is neither grace nor standing still. */
	f->beat_ns = mono_ns();
	timer_at(f->loop, &f->grace, f->beat_ns + FLEET_GRACE_MS * NS_PER_MS, grace_over);
	timer_in(f->loop, &f->heart, FLEET_PING_MS, heart);
	fleet_settle(f);
	views_open(f);
	ground_open(f);
	tallies_open(f);
	tools_open(f);
	trial_open(f);
	why_open(f);
	records_open(f);
	*out = f;
	return 0;
}

void fleet_quiesce(struct fleet *f)
{
	asks_stop(f);
}

void fleet_close(struct fleet *f)
{
	if (!f)
		return;
	store_unwatch(f->store, &f->watch);
	watch_stop(f->loop, &f->listener);
	close(f->fd);
	sessions_end(f, "the controller stops");
	while (!list_empty(&f->engines))
		engine_free(LIST_ENTRY(f->engines.next, struct engine, in_fleet));
	placement_free(f->placement);
	graph_free(f->graph);
	timer_stop(f->loop, &f->settle);
	timer_stop(f->loop, &f->again);
	timer_stop(f->loop, &f->grace);
	timer_stop(f->loop, &f->accept_again);
	timer_stop(f->loop, &f->heart);
	tls_free(f->tls);
	table_fini(&f->by_uuid);
	free(f);
}
