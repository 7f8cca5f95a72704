/*
 * why - GET /api/virtualservice/UUID/why: the chain of a virtual service from its address to its
 * servers, and the first link of it that is broken, in a sentence.
 *
 *	{"verdict": "shop does not answer. No server of pool web is up: ...", "broken": "servers",
 *	 "chain": [{"link": "service", "state": "ok", "text": "..."}, ...]}
 *
 * `broken` is null when requests are answered. A link that cannot be judged because an earlier one is
 * broken is "unknown". It reads what the runtime views answer and has no knowledge of its own.
 */
#include <stdarg.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/moment.h"
#include "controller/link/clones.h"
#include "controller/link/lacks.h"
#include "controller/link/servers.h"
#include "controller/pools.h"
#include "controller/resolve.h"
#include "controller/rest/subresource.h"

enum { REASONS_MAX = 3, REASON_MAX = 400, EVENTS_MAX = 20000, LONG_TURN_MS = 500, COMMIT_US = 1000, COMMIT_MAX_US = 1000000 };

struct why {
	struct fleet *fleet;
	const struct subresource_call *call;
	const json_t *service; /* stored */
	const char *name;
	json_t *runtime;
	json_t *chain;
	const char *broken;    /* name of a link */
	char *sentence;	       /* of the first broken link */
	char *warning;	       /* the first */
};

static void add(struct why *w, const char *link, const char *state, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void add(struct why *w, const char *link, const char *state, const char *fmt, ...)
{
	struct err text = { 0 };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text.text, sizeof(text.text), fmt, ap);
	va_end(ap);
	text_clean(text.text);
	if (strcmp(state, "broken") == 0 && !w->broken) {
		w->broken = link;
		w->sentence = xstrdup(text.text);
	} else if (strcmp(state, "warning") == 0 && !w->warning) {
		w->warning = xstrdup(text.text);
	}
	json_array_append_new(w->chain, json_pack("{s:s, s:s, s:s}", "link", link, "state", state,
						  "text", text.text));
}

/* "the first; the second; and 3 more" of what was put in one at a time. */
struct some {
	struct buf text;
	size_t n;
};

static void some_add(struct some *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void some_add(struct some *s, const char *fmt, ...)
{
	char one[REASON_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(one, sizeof(one), fmt, ap);
	va_end(ap);
	if (s->n++ < REASONS_MAX)
		buf_printf(&s->text, "%s%s", s->n > 1 ? "; " : "", one);
}

static const char *some_text(struct some *s)
{
	if (s->n > REASONS_MAX) {
		buf_printf(&s->text, "; and %zu more", s->n - REASONS_MAX);
		s->n = REASONS_MAX;
	}
	return s->text.len ? buf_cstr(&s->text) : "";
}

/* "It is refused." within a sentence: without the period. */
static const char *clause(const char *sentence, char out[static REASON_MAX])
{
	size_t n;

	snprintf(out, REASON_MAX, "%s", sentence);
	n = strlen(out);
	if (n && out[n - 1] == '.')
		out[n - 1] = '\0';
	return out;
}

static const struct object *target(struct why *w, const char *kind, const json_t *from,
				   const char *field)
{
	return store_get(w->fleet->store, kind, ref_target(json_str(from, field, NULL)));
}

/* ---- address, owner, listener -------------------------------------------------- */

static void look_at_service(struct why *w)
{
	struct some ports = { 0 };
	json_t *services = json_object_get(w->service, "services"), *s;
	size_t i;

	json_array_foreach(services, i, s) {
		json_int_t port = json_int(s, "port", 0), end = json_int(s, "port_range_end", 0);

		if (end > port)
			some_add(&ports, "%lld-%lld", (long long)port, (long long)end);
		else
			some_add(&ports, "%lld", (long long)port);
	}
	if (!json_bool(w->service, "enabled", true))
		add(w, "service", "broken", "It is disabled: enabled is false.");
	else if (!json_bool(w->service, "traffic_enabled", true))
		add(w, "service", "broken", "It lets no traffic in: traffic_enabled is false.");
	else if (!json_array_size(services))
		add(w, "service", "broken", "It has no port: services is empty.");
	else
		add(w, "service", "ok", "Enabled, port %s.", some_text(&ports));
	buf_fini(&ports.text);
}

static void look_at_vip(struct why *w)
{
	const struct object *vsvip = target(w, "vsvip", w->service, "vsvip_ref");
	struct some addresses = { 0 };
	json_t *vip;
	size_t i;

	json_array_foreach(json_object_get(vsvip ? vsvip->body : NULL, "vip"), i, vip) {
		static const char *const families[] = { "ip_address", "ip6_address" };

		for (size_t f = 0; f < ARRAY_SIZE(families) && json_bool(vip, "enabled", true); f++) {
			const char *addr =
				json_str(json_object_get(vip, families[f]), "addr", NULL);

			if (addr)
				some_add(&addresses, "%s", addr);
		}
	}
	if (!vsvip)
		add(w, "vip", "broken", "It has no VIP: vsvip_ref is not set.");
	else if (!addresses.n)
		add(w, "vip", "broken", "VsVip %s has no address that is enabled.", vsvip->name);
	else
		add(w, "vip", "ok", "%s.", some_text(&addresses));
	buf_fini(&addresses.text);
}

static void look_at_owner(struct why *w)
{
	const json_t *vips = json_object_get(w->runtime, "vip_summary"), *vip, *engine;
	const json_t *oper = json_object_get(w->runtime, "oper_status");
	const json_t *told = json_array_get(json_object_get(oper, "reason"), 0);
	const char *reason;
	struct some owners = { 0 }, without = { 0 };
	size_t i, j, dumb = 0;
	char text[REASON_MAX];

	reason = clause(told ? json_string_value(told) : "No service engine has it", text);
	if (w->broken) {
		add(w, "owner", "unknown", "Nobody needs to have it.");
		return;
	}
	json_array_foreach((json_t *)vips, i, vip) {
		const json_t *engines = json_object_get(vip, "service_engine");

		if (!json_array_size(engines))
			some_add(&without, "%s", json_str(vip, "vip_id", ""));
		json_array_foreach((json_t *)engines, j, engine) {
			some_add(&owners, "%s", json_str(engine, "name", ""));
			dumb += !json_bool(engine, "connected", false);
		}
	}
	if (!owners.n)
		add(w, "owner", "broken", "%s.", reason);
	else if (dumb)
		add(w, "owner", "broken", "Service engine %s is not connected (%s).",
		    some_text(&owners), reason);
	else if (without.n)
		add(w, "owner", "warning", "Service engine %s; nobody has VIP %s.",
		    some_text(&owners), some_text(&without));
	else
		add(w, "owner", "ok", "Service engine %s.", some_text(&owners));
	buf_fini(&owners.text);
	buf_fini(&without.text);
}

/*
 * A process that once did one thing for so long did nothing else meanwhile. It says nothing of now, so it is told beside
 * what is found, and found wrong by nobody.
 */
static void note_turns(struct why *w, const char *uuid, const char *name, struct some *turns)
{
	static const struct {
		const char *counter, *held_up;
	} loops[] = {
		{ "warden_turn_ms", "addresses and changes" },
		{ "proxy_turn_ms", "changes and health checks" },
	};
	const struct engine *e = fleet_engine(w->fleet, uuid);
	CLEANUP_JSON json_t *own = e ? books_get(&e->books, "engine", NULL, NULL) : NULL;

	for (size_t i = 0; i < ARRAY_SIZE(loops); i++) {
		long long ms = json_int(own, loops[i].counter, 0);

		if (ms >= LONG_TURN_MS)
			some_add(turns, "%s once kept %s waiting for %lld ms", name, loops[i].held_up, ms);
	}
}

static void note_lack(void *arg, const char *sentence)
{
	char text[REASON_MAX];

	some_add(arg, "%s", clause(sentence, text));
}

static void look_at_listener(struct why *w)
{
	const json_t *engines = json_object_get(w->runtime, "service_engines"), *engine;
	struct some down = { 0 }, behind = { 0 }, remarks = { 0 }, turns = { 0 }, lacks = { 0 };
	CLEANUP_FREE char *once = NULL;
	char text[REASON_MAX];
	size_t i, up = 0;

	if (w->broken) {
		add(w, "listener", "unknown", "Nobody can say.");
		return;
	}
	json_array_foreach((json_t *)engines, i, engine) {
		const char *name = json_str(engine, "name", "");
		const char *reason = clause(json_str(engine, "reason", ""), text);
		const struct engine *e = fleet_engine(w->fleet, json_str(engine, "uuid", ""));

		if (e)
			lacks_each(e, note_lack, &lacks);
		note_turns(w, json_str(engine, "uuid", ""), name, &turns);
		if (strcmp(json_str(engine, "state", ""), "OPER_UP") != 0) {
			some_add(&down, "%s: %s", name, *reason ? reason : "it has not said so yet");
			continue;
		}
		up++;
		if (*reason)
			some_add(&remarks, "%s: %s", name, reason);
		if (!json_bool(engine, "up_to_date", false))
			some_add(&behind, "%s", name);
	}
	once = turns.n ? xasprintf(" (%s.)", some_text(&turns)) : xstrdup("");
	if (!up)
		add(w, "listener", "broken", "The address is not served (%s).%s", some_text(&down), once);
	else if (down.n)
		add(w, "listener", "warning", "Part of it is not served (%s).%s", some_text(&down), once);
	else if (lacks.n)
		add(w, "listener", "warning", "%s.%s", some_text(&lacks), once);
	else if (behind.n)
		add(w, "listener", "warning", "%s does not run the newest configuration yet.%s",
		    some_text(&behind), once);
	else if (remarks.n)
		add(w, "listener", "warning", "%s.%s", some_text(&remarks), once);
	else
		add(w, "listener", "ok", "Announced, and runs the newest configuration.%s", once);
	buf_fini(&down.text);
	buf_fini(&behind.text);
	buf_fini(&remarks.text);
	buf_fini(&turns.text);
	buf_fini(&lacks.text);
}

/* ---- what servers see ------------------------------------------------------------- */

/* Which families do the servers of POOL have? ARG: two of bool, IPv4 and IPv6. */
static int note_families(void *arg, const struct object *pool, enum pools_role role)
{
	bool *are = arg;
	json_t *server;
	size_t i;

	json_array_foreach(json_object_get(role == POOLS_IDLE ? NULL : pool->body, "servers"), i, server) {
		const json_t *ip = json_object_get(server, "ip");
		bool v6 = strcmp(json_str(ip, "type", ""), "V6") == 0;

		are[v6] = are[v6] || v6 || strcmp(json_str(ip, "type", ""), "V4") == 0;
	}
	return 0;
}

struct short_of {
	const struct engine *engine;
	struct some *servers;
};

static void note_short(void *arg, const char *server)
{
	const struct short_of *s = arg;

	some_add(s->servers, "%s on %s", server, s->engine->name);
}

/* Of which servers of POOL has an engine no port left now? */
static int note_ports(void *arg, const struct object *pool, enum pools_role role)
{
	void **args = arg;
	struct why *w = args[0];

	LIST_FOREACH(l, &w->fleet->engines) {
		const struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);

		if (role != POOLS_IDLE)
			lacks_ports_each(e, pool->uuid, note_short, &(struct short_of){ e, args[1] });
	}
	return 0;
}

static void look_at_source(struct why *w)
{
	const json_t *vips = json_object_get(w->runtime, "vip_summary"), *vip, *engine;
	static const char *const fields[] = { "snat_ip", "snat_ip6_address" };
	json_int_t no_port = 0, no_source = 0;
	struct some sources = { 0 }, ports = { 0 };
	bool are[2] = { 0 }, has[2] = { 0 };
	size_t i, k;

	json_array_foreach((json_t *)vips, i, vip)
		json_array_foreach(json_object_get(vip, "service_engine"), k, engine)
			for (size_t f = 0; f < ARRAY_SIZE(fields); f++) {
				const char *addr = json_str(json_object_get(engine, fields[f]), "addr", NULL);

				if (!addr)
					continue;
				has[f] = true;
				some_add(&sources, "%s on %s", addr, json_str(engine, "name", ""));
			}
	LIST_FOREACH(l, &w->fleet->engines) {
		const struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);
		CLEANUP_JSON json_t *stats = books_get(&e->books, "services", w->call->object->uuid, NULL);

		no_port += json_int(stats, "server_no_port", 0);
		no_source += json_int(stats, "server_no_source", 0);
	}
	pools_each(w->fleet->store, w->service, note_families, are);
	pools_each(w->fleet->store, w->service, note_ports, (void *[]){ w, &ports });
	if (ports.n)
		add(w, "source", "warning", "%lld connections to servers were not begun: all ports of %s were in use (to %s).",
		    (long long)no_port, sources.n ? some_text(&sources) : "the service engine's address", some_text(&ports));
	else if (no_source)
		add(w, "source", "warning", "%lld connections to servers were not begun: the SNAT address was not there (%s).",
		    (long long)no_source, some_text(&sources));
	else if (sources.n && ((are[0] && !has[0]) || (are[1] && !has[1])))
		add(w, "source", "warning", "Servers see %s; those with %s see the service engine's own address: there is no such SNAT address.",
		    some_text(&sources), has[0] ? "IPv6" : "IPv4");
	else if (sources.n)
		add(w, "source", "ok", "Servers see %s.", some_text(&sources));
	buf_fini(&sources.text);
	buf_fini(&ports.text);
}

/* ---- rules, certificates --------------------------------------------------------- */

static int note_rule(void *arg, const char *path, const char *kind, const char *uuid)
{
	static const char *const kinds[] = { "networksecuritypolicy", "httppolicyset", "l4policyset",
					     "vsdatascriptset", "wafpolicy" };
	void **args = arg;
	struct why *w = args[0];
	const struct object *o = store_get(w->fleet->store, kind, uuid);

	(void)path;
	for (size_t i = 0; o && i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kind, kinds[i]) == 0)
			some_add(args[1], "%s %s", kind, o->name);
	return 0;
}

static void look_at_rules(struct why *w)
{
	struct some rules = { 0 };
	void *args[] = { w, &rules };

	model_refs(w->call->object->kind, w->service, note_rule, args);
	if (rules.n)
		add(w, "rules", "ok", "%s.", some_text(&rules));
	else
		add(w, "rules", "ok", "None: everybody is let in.");
	buf_fini(&rules.text);
}

static void look_at_certificates(struct why *w)
{
	const json_t *refs = json_object_get(w->service, "ssl_key_and_certificate_refs"), *ref, *s;
	struct some good = { 0 }, bad = { 0 };
	bool ssl = false;
	size_t i;

	json_array_foreach(json_object_get(w->service, "services"), i, s)
		ssl = ssl || json_bool(s, "enable_ssl", false);
	if (!ssl)
		return;
	json_array_foreach((json_t *)refs, i, ref) {
		const struct object *o = store_get(w->fleet->store, "sslkeyandcertificate",
						   ref_target(json_string_value(ref)));
		const json_t *c = json_object_get(o ? o->body : NULL, "certificate");
		const char *expiry = json_str(c, "expiry_status", "");

		if (!o)
			continue;
		if (strcmp(json_str(o->body, "status", ""), "SSL_CERTIFICATE_PENDING") == 0)
			some_add(&bad, "%s waits for its certificate to be signed", o->name);
		else if (strcmp(expiry, "SSL_CERTIFICATE_EXPIRED") == 0)
			some_add(&bad, "%s expired on %s", o->name, json_str(c, "not_after", "?"));
		else if (strcmp(expiry, "SSL_CERTIFICATE_EXPIRY_WARNING") == 0)
			some_add(&bad, "%s expires on %s", o->name, json_str(c, "not_after", "?"));
		else
			some_add(&good, "%s until %s", o->name, json_str(c, "not_after", "?"));
	}
	if (!good.n && !bad.n)
		add(w, "tls", "broken", "A port has enable_ssl, and there is no certificate.");
	else if (bad.n)
		add(w, "tls", "warning", "Certificate %s.", some_text(&bad));
	else
		add(w, "tls", "ok", "Certificate %s.", some_text(&good));
	buf_fini(&good.text);
	buf_fini(&bad.text);
}

/* ---- servers -------------------------------------------------------------------------- */

struct pools {
	struct why *why;
	struct some down; /* servers that should be up, and why not */
	struct some names, off, backups;
	struct servers sum;
	size_t pools, backups_up;
};

static void note_server(void *arg, const struct server_seen *s)
{
	struct pools *p = arg;
	char text[REASON_MAX];

	if (strcmp(s->state, "OPER_DOWN") == 0)
		some_add(&p->down, strchr(s->ip, ':') ? "[%s]:%lld %s" : "%s:%lld %s", s->ip, (long long)s->port,
			 clause(s->reason, text));
}

/* One that stands in matters while the others have nobody. */
static void note_backup(struct pools *p, const struct object *pool)
{
	struct servers n;

	servers_look(p->why->fleet, pool, &n, NULL, NULL);
	if (json_bool(pool->body, "enabled", true) && n.up >= servers_needed(pool)) {
		p->backups_up++;
		some_add(&p->backups, "%s", pool->name);
	}
}

static int note_pool(void *arg, const struct object *pool, enum pools_role role)
{
	struct pools *p = arg;
	struct servers n;

	if (role == POOLS_BACKUP)
		note_backup(p, pool);
	if (role != POOLS_OWN)
		return 0;
	p->pools++;
	some_add(&p->names, "%s", pool->name);
	if (!json_bool(pool->body, "enabled", true)) {
		some_add(&p->off, "%s", pool->name);
		return 0;
	}
	servers_look(p->why->fleet, pool, &n, note_server, p);
	p->sum.all += n.all;
	p->sum.enabled += n.enabled;
	p->sum.up += n.up;
	return 0;
}

static void look_at_pools(struct why *w)
{
	struct pools p = { .why = w };
	const char *name, *bad, *instead, *backups;

	pools_each(w->fleet->store, w->service, note_pool, &p);
	name = some_text(&p.names);
	backups = some_text(&p.backups);
	/* Requests are answered as long as somebody stands in. */
	bad = p.backups_up ? "warning" : "broken";
	instead = p.backups_up ? "; the backup pool answers: " : "";
	if (!p.pools)
		add(w, "pool", "broken", "It has no pool.");
	else if (p.off.n == p.pools)
		add(w, "pool", bad, "Pool %s is disabled: enabled is false%s%s.", name, instead, backups);
	else if (!p.sum.all)
		add(w, "pool", bad, "Pool %s has no servers%s%s.", name, instead, backups);
	else if (!p.sum.enabled)
		add(w, "pool", bad, "No server of pool %s is enabled%s%s.", name, instead, backups);
	else
		add(w, "pool", "ok", "%s, %zu servers, %zu enabled.", name, p.sum.all, p.sum.enabled);
	if (!p.sum.enabled)
		;
	else if (p.down.n == p.sum.enabled)
		add(w, "servers", bad, "No server of pool %s is up (%s)%s%s.", name, some_text(&p.down), instead, backups);
	else if (p.down.n)
		add(w, "servers", "warning", "%zu of %zu servers are up (%s).", p.sum.up, p.sum.enabled,
		    some_text(&p.down));
	else if (!p.sum.up)
		add(w, "servers", "unknown", "Nobody has said yet whether they are up.");
	else
		add(w, "servers", "ok", "%zu of %zu are up.", p.sum.up, p.sum.enabled);
	buf_fini(&p.down.text);
	buf_fini(&p.names.text);
	buf_fini(&p.off.text);
	buf_fini(&p.backups.text);
}

/* ---- copies ------------------------------------------------------------------------------ */

/* Nobody misses what the profile left out. */
static bool was_wanted(const char *reason)
{
	return strcmp(reason, "dropped_sampled_out") == 0 || strcmp(reason, "dropped_ended") == 0;
}

static void count_clone(struct some *lacks, const char *engine, const json_t *line, json_int_t sums[static 3])
{
	const char *ip = json_str(json_object_get(line, "ip"), "addr", json_str(line, "mac", "?")), *key;
	const char *state = json_str(line, "state", NULL);
	json_int_t dropped = json_int(line, "dropped", 0);
	json_t *v;

	sums[0] += json_int(line, "eligible", 0);
	sums[1] += json_int(line, "sent", 0);
	sums[2] += dropped;
	if (!state) /* it copied once, and does not now */
		return;
	if (strncmp(state, "ready", 5) != 0)
		some_add(lacks, "%s on %s: %s", ip, engine, state);
	if (json_int(line, "flows_hurt", 0))
		some_add(lacks, "%s got %lld connections with gaps", ip, (long long)json_int(line, "flows_hurt", 0));
	json_object_foreach((json_t *)line, key, v)
		if (strncmp(key, "dropped_", 8) == 0 && json_integer_value(v) > 0 && !was_wanted(key))
			some_add(lacks, "%s lost %lld copies, %s", ip,
				 (long long)json_integer_value(v), key + 8);
}

static void look_at_clones(struct why *w)
{
	const struct object *profile =
		target(w, "trafficcloneprofile", w->service, "traffic_clone_profile_ref");
	CLEANUP_JSON json_t *stats = NULL;
	json_int_t sums[3] = { 0 };
	struct some lacks = { 0 };
	json_t *engine, *line;
	size_t i, j;

	if (!profile)
		return;
	if (!json_array_size(json_object_get(profile->body, "clone_servers")))
		some_add(&lacks, "it has no clone server");
	stats = view_clones(w->fleet, w->call, NULL);
	json_array_foreach(stats, i, engine)
		json_array_foreach(json_object_get(engine, "clone_srvr_stats"), j, line)
			count_clone(&lacks, json_str(engine, "se_name", "?"), line, sums);
	if (sums[0] < sums[1] + sums[2])
		some_add(&lacks, "%lld copies were eligible, and more are accounted for",
			 (long long)sums[0]);
	add(w, "clone", lacks.n ? "warning" : "ok",
	    "%s: %lld copies eligible, %lld sent, %lld dropped%s%s.", profile->name,
	    (long long)sums[0], (long long)sums[1], (long long)sums[2], lacks.n ? "; " : "",
	    some_text(&lacks));
	buf_fini(&lacks.text);
}

/* ---- the last change ----------------------------------------------------------------------- */

struct search {
	struct why *w;
	json_t *uuids; /* the service's and those of all that it refers to; when each was modified, in us */
	json_t *event;
	uint64_t us;
	bool found; /* in this look */
	size_t looked_at;
};

static int note_ref(void *arg, const char *path, const char *kind, const char *uuid)
{
	struct search *s = arg;
	const struct object *o = store_get(s->w->fleet->store, kind, uuid);

	(void)path;
	/* What everything belongs to changes nothing of a service. */
	if (!o || strcmp(kind, "tenant") == 0 || strcmp(kind, "cloud") == 0 ||
	    json_object_get(s->uuids, uuid))
		return 0;
	json_object_set_new(s->uuids, uuid, json_integer((json_int_t)o->last_modified_us));
	return model_refs(o->kind, o->body, note_ref, s);
}

static int take_event(void *arg, uint64_t id, uint64_t us, const json_t *event)
{
	struct search *s = arg;

	(void)id;
	if (strncmp(json_str(event, "event_id", ""), "CONFIG_", 7) == 0 &&
	    json_object_get(s->uuids, json_str(event, "obj_uuid", ""))) {
		if (us > s->us) {
			json_decref(s->event);
			s->event = json_incref((json_t *)event);
			s->us = us;
		}
		s->found = true;
		return 1;
	}
	return ++s->looked_at >= EVENTS_MAX;
}

static const char *user_of(const json_t *event)
{
	const char *key;
	json_t *v;

	json_object_foreach(json_object_get(event, "event_details"), key, v) {
		const char *user = json_str(v, "user", NULL);

		if (user)
			return user;
	}
	return "somebody";
}

static void look_at_change(struct why *w)
{
	struct search s = { .w = w, .uuids = json_object() };
	const struct object *o = w->call->object;
	char at[MOMENT_MAX];
	const char *uuid;
	json_t *modified;

	note_ref(&s, "", o->kind->path, o->uuid);
	/*
	 * An event is written with the objects that it tells of: the newest is right behind one of their moments, and most
	 * often so close that none of a busy second are read in vain.
	 */
	json_object_foreach(s.uuids, uuid, modified) {
		uint64_t then = (uint64_t)json_integer_value(modified);

		s.found = false;
		for (uint64_t us = COMMIT_US; !s.found && us <= COMMIT_MAX_US; us *= 10)
			store_events(w->fleet->store, then, then + us, take_event, &s);
	}
	/* None: these were written by no user, but after an import, say. */
	s.looked_at = 0;
	if (!s.event)
		store_events(w->fleet->store, 0, UINT64_MAX, take_event, &s);
	if (s.event)
		add(w, "change", "ok", "%s by %s: %s", moment_text(s.us, MOMENT_Z, at), user_of(s.event),
		    json_str(s.event, "event_description", ""));
	else
		add(w, "change", "ok", "None in the newest %zu events.", s.looked_at);
	json_decref(s.event);
	json_decref(s.uuids);
}

/* ---- the view ---------------------------------------------------------------------------------- */

static json_t *service_why(void *arg, const struct subresource_call *call, struct err *err)
{
	struct why w = { .fleet = arg, .call = call, .service = call->object->body,
			 .name = call->object->name, .chain = json_array() };
	CLEANUP_FREE char *verdict = NULL;
	json_t *out;

	w.runtime = view_service(arg, call, err);
	look_at_service(&w);
	look_at_vip(&w);
	look_at_owner(&w);
	look_at_listener(&w);
	look_at_source(&w);
	look_at_rules(&w);
	look_at_certificates(&w);
	look_at_pools(&w);
	look_at_clones(&w);
	look_at_change(&w);
	if (w.broken)
		verdict = xasprintf("%s does not answer. %s", w.name, w.sentence);
	else if (w.warning)
		verdict = xasprintf("%s answers, but: %s", w.name, w.warning);
	else
		verdict = xasprintf("%s answers.", w.name);
	out = json_pack("{s:s, s:s?, s:O, s:O}", "verdict", verdict, "broken", w.broken,
			"oper_status", json_object_get(w.runtime, "oper_status"), "chain", w.chain);
	json_decref(w.chain);
	json_decref(w.runtime);
	free(w.sentence);
	free(w.warning);
	return out;
}

void why_open(struct fleet *f)
{
	static struct subresource view = { .kind = "virtualservice", .path = "why",
					   .get = service_why };

	view.arg = f;
	subresource_add(f->controller->rest, &view);
}
