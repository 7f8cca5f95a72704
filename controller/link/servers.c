#include "controller/link/servers.h"

#include "base/base.h"
#include "controller/resolve.h"

size_t servers_needed(const struct object *o)
{
	return (size_t)MAX(json_int(o->body, "min_servers_up", 1), (json_int_t)1);
}

unsigned servers_score(const struct object *o, const struct servers *n)
{
	bool fit = n->enabled && n->up >= servers_needed(o) && json_bool(o->body, "enabled", true);

	return fit ? (unsigned)(n->up * 100 / n->enabled) : 0;
}

const json_t *servers_find(const json_t *health, const char *ip, json_int_t port, size_t hint)
{
	size_t n = json_array_size(health);

	for (size_t i = 0; i < n; i++) {
		const json_t *s = json_array_get(health, (hint + i) % n);

		if (json_int(s, "port", 0) == port && strcmp(json_str(s, "ip", ""), ip) == 0)
			return s;
	}
	return NULL;
}

static void count(struct servers *n, const char *state)
{
	n->up += strcmp(state, "OPER_UP") == 0;
	n->down += strcmp(state, "OPER_DOWN") == 0;
}

struct servers servers_heard(const json_t *health)
{
	struct servers n = { 0 };
	struct in6_addr ip;
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)health, i, one) {
		const char *state = json_str(one, "state", "");

		/* A name has a line of its own beside those of its addresses: the best of them. */
		if (strcmp(state, "OPER_UP") == 0 && ip_parse(json_str(one, "ip", ""), &ip) < 0)
			continue;
		n.all++;
		n.said++;
		n.enabled += strcmp(state, "OPER_DISABLED") != 0;
		count(&n, state);
	}
	return n;
}

static void look_at(struct server_seen *s, struct servers *out, servers_fn fn, void *arg)
{
	s->state = !s->enabled ? "OPER_DISABLED" : s->said ? json_str(s->said, "state", "OPER_UNKNOWN") : "OPER_UNKNOWN";
	s->reason = !s->enabled ? "It is disabled."
		    : s->said	? json_str(s->said, "reason", "")
				: "No service engine carries the pool.";
	out->all++;
	out->enabled += s->enabled;
	out->said += s->said != NULL;
	count(out, s->state);
	if (fn)
		fn(arg, s);
}

/* The first engine that checks it. */
static void ask_engines(struct fleet *f, const char *pool, struct server_seen *s, size_t hint)
{
	LIST_FOREACH(l, &f->engines) {
		const struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);

		s->said = servers_find(json_object_get(e->health, pool), s->ip, s->port, hint);
		s->by = s->said ? e : NULL;
		if (s->said)
			return;
	}
}

static bool is_listed(const json_t *servers, const char *ip, json_int_t port, json_int_t dflt)
{
	struct in6_addr a;
	char text[IP_TEXT_MAX];
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)servers, i, one)
		if ((json_int(one, "port", 0) ? json_int(one, "port", 0) : dflt) == port &&
		    ip_parse(json_str(json_object_get(one, "ip"), "addr", ""), &a) == 0 &&
		    strcmp(ip_text(&a, text), ip) == 0)
			return true;
	return false;
}

/* Who is in the address group only engines say. */
static void look_at_members(struct fleet *f, const struct object *o, json_int_t dflt, struct servers *out, servers_fn fn,
			    void *arg)
{
	LIST_FOREACH(l, &f->engines) {
		const struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);
		const json_t *health = json_object_get(e->health, o->uuid), *one;
		size_t i;

		json_array_foreach((json_t *)health, i, one) {
			struct server_seen s = { .ip = json_str(one, "ip", ""), .port = json_int(one, "port", 0),
						 .enabled = true, .said = one, .by = e };

			if (!is_listed(json_object_get(o->body, "servers"), s.ip, s.port, dflt))
				look_at(&s, out, fn, arg);
		}
		if (health)
			return;
	}
}

void servers_look(struct fleet *f, const struct object *o, struct servers *out, servers_fn fn, void *arg)
{
	json_int_t dflt = json_int(o->body, "default_server_port", 80);
	json_t *own;
	size_t i;

	*out = (struct servers){ 0 };
	json_array_foreach(json_object_get(o->body, "servers"), i, own) {
		const char *given = json_str(json_object_get(own, "ip"), "addr", "");
		struct server_seen s = { .own = own, .ip = given, .port = json_int(own, "port", 0),
					 .enabled = json_bool(own, "enabled", true) };
		struct in6_addr address;
		char text[IP_TEXT_MAX];

		/* Engines have one form for an address, whatever the configuration wrote. */
		if (ip_parse(given, &address) == 0)
			s.ip = ip_text(&address, text);
		if (!s.port)
			s.port = dflt;
		ask_engines(f, o->uuid, &s, i);
		look_at(&s, out, fn, arg);
	}
	if (json_object_get(o->body, "ipaddrgroup_ref"))
		look_at_members(f, o, dflt, out, fn, arg);
}
