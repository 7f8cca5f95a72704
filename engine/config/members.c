#include "engine/config/members.h"

#include "base/base.h"
#include "base/ip.h"
#include "model/structs.h"

struct walk {
	void (*f)(void *arg, const struct member *m);
	void *arg;
	size_t left;
};

static void give(struct walk *w, struct member m, const char *text, int64_t port)
{
	if (!w->left || address_parse(&m.address, text, (unsigned)port) < 0)
		return;
	w->left--;
	w->f(w->arg, &m);
}

const char *member_name(const struct server *s)
{
	union address a;

	if (s->ip && address_parse(&a, s->ip->addr, 0) < 0)
		return s->ip->addr;
	if (s->resolve_server_by_dns && s->hostname && *s->hostname && address_parse(&a, s->hostname, 0) < 0)
		return s->hostname;
	return NULL;
}

static void give_named(struct walk *w, struct member m, const json_t *record, int64_t port, bool keep_old)
{
	const json_t *value;
	size_t i;

	json_array_foreach(json_object_get(record, "now"), i, value)
		give(w, m, json_string_value(value), port);
	m.enabled = false;
	json_array_foreach(json_object_get(record, "old"), i, value)
		if (keep_old)
			give(w, m, json_string_value(value), port);
}

static bool next_ip(struct in6_addr *ip)
{
	for (int i = 15; i >= 0; i--)
		if (++ip->s6_addr[i])
			return true;
	return false;
}

static void give_range(struct walk *w, struct member m, const char *from, const char *to, int64_t port)
{
	struct in6_addr a, b;
	char text[IP_TEXT_MAX];

	if (ip_parse(from, &a) < 0 || ip_parse(to, &b) < 0)
		return;
	while (w->left && memcmp(&a, &b, sizeof(a)) <= 0) {
		give(w, m, ip_text(&a, text), port);
		if (!next_ip(&a))
			break;
	}
}

/* Of an IPv4 network neither the first nor the last address is a host's, when there are more. */
static void give_prefix(struct walk *w, struct member m, const struct ip_addr_prefix *p, int64_t port)
{
	struct in6_addr first, last;
	char from[IP_TEXT_MAX], to[IP_TEXT_MAX];
	unsigned len;

	if (ip_parse(p->ip_addr->addr, &first) < 0)
		return;
	len = (unsigned)p->mask + (ip_is_v4(&first) ? 96 : 0);
	last = first;
	for (unsigned bit = len; bit < 128; bit++) {
		first.s6_addr[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
		last.s6_addr[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
	}
	if (ip_is_v4(&first) && p->mask < 31) {
		first.s6_addr[15]++;
		last.s6_addr[15]--;
	}
	give_range(w, m, ip_text(&first, from), ip_text(&last, to), port);
}

static void give_group(struct walk *w, const struct ip_addr_group *g, int64_t port)
{
	struct member m = { .line = MEMBERS_MAX, .ratio = 1, .enabled = true };

	for (size_t i = 0; i < g->addrs_n; i++)
		give(w, m, g->addrs[i].addr, port);
	for (size_t i = 0; i < g->ip_ports_n; i++)
		if (g->ip_ports[i].ip)
			give(w, m, g->ip_ports[i].ip->addr, g->ip_ports[i].port);
	for (size_t i = 0; i < g->ranges_n; i++)
		give_range(w, m, g->ranges[i].begin->addr, g->ranges[i].end->addr, port);
	for (size_t i = 0; i < g->prefixes_n; i++)
		give_prefix(w, m, &g->prefixes[i], port);
}

void members_each(const struct pool *pool, const struct ip_addr_group *group, const json_t *names,
		  void (*f)(void *arg, const struct member *m), void *arg)
{
	struct walk w = { f, arg, MEMBERS_MAX };

	for (size_t i = 0; i < pool->servers_n; i++) {
		const struct server *s = &pool->servers[i];
		int64_t port = s->has_port && s->port ? s->port : pool->default_server_port;
		struct member m = { .line = i, .ratio = (unsigned)s->ratio, .enabled = s->enabled };
		const char *name = member_name(s);
		const json_t *record = name ? json_object_get(names, name) : NULL;

		if (json_array_size(json_object_get(record, "now")))
			give_named(&w, m, record, port, !pool->delete_server_on_dns_refresh);
		else /* the address that it is known by until its name tells; a name alone is none */
			give(&w, m, s->ip->addr, port);
	}
	if (group)
		give_group(&w, group, pool->default_server_port);
}
