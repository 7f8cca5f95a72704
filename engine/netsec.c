#include "engine/netsec.h"

#include "base/base.h"
#include "base/ipset.h"
#include "engine/rate.h"
#include "model/structs.h"

struct ports {
	bool any;                 /* nothing is said of them */
	bool inverted;
	struct port_span {
		unsigned first, last;
	} *spans;
	size_t n;
};

struct rule {
	char *name;
	enum network_security_policy_action_type action;
	int64_t index;
	bool any_client, inverted;
	struct ipset clients;
	struct ports client_ports, ports;
	struct rate_limit limit;
	struct shared_rate *rate;
};

/* Outlives the policy in the next one. */
struct shared_rate {
	atomic_uint refs;
	struct rate rate;
};

struct netsec {
	atomic_uint refs;
	uint32_t n;
	struct rule *rules;       /* enabled ones, by index */
};

/* ---- making it ---- */

static void add_address(struct ipset *s, const struct ip_addr *a)
{
	struct in6_addr ip;

	if (a && ip_parse(a->addr, &ip) == 0)
		ipset_add(s, &ip);
}

static void add_prefix(struct ipset *s, const struct ip_addr_prefix *p)
{
	struct in6_addr ip;

	if (p->ip_addr && ip_parse(p->ip_addr->addr, &ip) == 0)
		ipset_add_prefix(s, &ip, (unsigned)p->mask);
}

static void add_range(struct ipset *s, const struct ip_addr_range *r)
{
	struct in6_addr first, last;

	if (r->begin && r->end && ip_parse(r->begin->addr, &first) == 0 && ip_parse(r->end->addr, &last) == 0)
		ipset_add_range(s, &first, &last);
}

/* A match and a group have the same three lists. */
#define ADD_ALL(s, from)                                                \
	do {                                                            \
		for (size_t i_ = 0; i_ < (from)->addrs_n; i_++)         \
			add_address(s, &(from)->addrs[i_]);             \
		for (size_t i_ = 0; i_ < (from)->prefixes_n; i_++)      \
			add_prefix(s, &(from)->prefixes[i_]);           \
		for (size_t i_ = 0; i_ < (from)->ranges_n; i_++)        \
			add_range(s, &(from)->ranges[i_]);              \
	} while (0)

static void clients_of(struct rule *r, const struct ip_addr_match *m, netsec_group *group, void *arg)
{
	r->any_client = !m;
	if (!m)
		return;
	r->inverted = m->match_criteria == IS_NOT_IN;
	ADD_ALL(&r->clients, m);
	for (size_t i = 0; i < m->group_refs_n; i++) {
		const struct ip_addr_group *g = group(arg, m->group_refs[i]);

		if (g)
			ADD_ALL(&r->clients, g);
	}
	ipset_seal(&r->clients);
}

static void span(struct ports *p, int64_t first, int64_t last)
{
	p->spans = xrealloc(p->spans, (p->n + 1) * sizeof(p->spans[0]));
	p->spans[p->n++] = (struct port_span){ (unsigned)first, (unsigned)last };
}

static void client_ports_of(struct ports *p, const struct port_match_generic *m)
{
	p->any = !m;
	if (!m)
		return;
	p->inverted = m->match_criteria == IS_NOT_IN;
	for (size_t i = 0; i < m->ports_n; i++)
		span(p, m->ports[i], m->ports[i]);
	for (size_t i = 0; i < m->ranges_n; i++)
		span(p, m->ranges[i].start, m->ranges[i].end);
}

static void ports_of(struct ports *p, const struct port_match *m)
{
	p->any = !m;
	if (!m)
		return;
	p->inverted = m->match_criteria == IS_NOT_IN;
	for (size_t i = 0; i < m->ports_n; i++)
		span(p, m->ports[i], m->ports[i]);
}

static void rate_of(struct rule *r, const struct network_security_policy_action_rl_param *p, const struct netsec *old)
{
	if (!p)
		return;
	r->limit = rate_limit_of((uint64_t)p->max_rate, NS_PER_S, (uint64_t)p->burst_size);
	for (uint32_t i = 0; old && i < old->n; i++) {
		const struct rule *was = &old->rules[i];

		if (was->rate && strcmp(was->name, r->name) == 0 && was->limit.each_ns == r->limit.each_ns &&
		    was->limit.room_ns == r->limit.room_ns) {
			r->rate = was->rate;
			atomic_fetch_add_explicit(&r->rate->refs, 1, memory_order_relaxed);
			return;
		}
	}
	r->rate = xcalloc(1, sizeof(*r->rate));
	atomic_init(&r->rate->refs, 1);
}

static int by_index(const void *a, const void *b)
{
	const struct rule *x = a, *y = b;

	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	return strcmp(x->name, y->name); /* an order, whatever it is */
}

struct netsec *netsec_new(const struct network_security_policy *p, netsec_group *group, void *arg,
			  const struct netsec *old)
{
	struct netsec *n = xcalloc(1, sizeof(*n));

	atomic_init(&n->refs, 1);
	n->rules = xcalloc(p->rules_n + 1, sizeof(n->rules[0]));
	for (size_t i = 0; i < p->rules_n; i++) {
		const struct network_security_rule *from = &p->rules[i];
		struct rule *r = &n->rules[n->n];

		if (!from->enable)
			continue;
		r->name = xstrdup(from->name);
		r->action = from->action;
		r->index = from->index;
		clients_of(r, from->match ? from->match->client_ip : NULL, group, arg);
		client_ports_of(&r->client_ports, from->match ? from->match->client_port : NULL);
		ports_of(&r->ports, from->match ? from->match->vs_port : NULL);
		if (r->action == NETWORK_SECURITY_POLICY_ACTION_TYPE_RATE_LIMIT)
			rate_of(r, from->rl_param, old);
		n->n++;
	}
	qsort(n->rules, n->n, sizeof(n->rules[0]), by_index);
	return n;
}

struct netsec *netsec_get(struct netsec *n)
{
	if (n)
		atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
	return n;
}

void netsec_put(struct netsec *n)
{
	if (!n || atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (uint32_t i = 0; i < n->n; i++) {
		struct rule *r = &n->rules[i];

		if (r->rate && atomic_fetch_sub_explicit(&r->rate->refs, 1, memory_order_acq_rel) == 1)
			free(r->rate);
		ipset_fini(&r->clients);
		free(r->client_ports.spans);
		free(r->ports.spans);
		free(r->name);
	}
	free(n->rules);
	free(n);
}

/* ---- asking ---- */

static bool port_matches(const struct ports *p, unsigned port)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->spans[i].first <= port && port <= p->spans[i].last)
			return !p->inverted;
	return p->any || p->inverted;
}

enum netsec_verdict netsec_ask(struct netsec *n, const union address *client, unsigned port, uint64_t now_ns,
			       uint32_t *rule)
{
	struct in6_addr ip;

	address_mapped(client, ip.s6_addr);
	for (uint32_t i = 0; i < n->n; i++) {
		struct rule *r = &n->rules[i];

		if (!port_matches(&r->ports, port) || !port_matches(&r->client_ports, address_port(client)) ||
		    (!r->any_client && ipset_has(&r->clients, &ip) == r->inverted))
			continue;
		*rule = i;
		if (r->action == NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY)
			return NETSEC_DENY;
		if (r->rate && now_ns && !rate_take(&r->rate->rate, &r->limit, now_ns))
			return NETSEC_LIMITED;
		return NETSEC_ALLOW;
	}
	*rule = NETSEC_NO_RULE;
	return NETSEC_ALLOW;
}

struct denied {
	int (*f)(void *arg, uint32_t rule, const struct in6_addr *net, unsigned len);
	void *arg;
	uint32_t rule;
};

static int denied_network(void *arg, const struct in6_addr *net, unsigned len)
{
	struct denied *d = arg;

	return d->f(d->arg, d->rule, net, len);
}

int netsec_denied(const struct netsec *n, int (*f)(void *arg, uint32_t rule, const struct in6_addr *net, unsigned len),
		  void *arg)
{
	struct ipset left = ipset_everybody(), all = ipset_everybody(); /* whom no rule so far has decided about */
	struct denied d = { .f = f, .arg = arg };
	int rc = 0;

	for (; d.rule < n->n && rc == 0; d.rule++) {
		const struct rule *r = &n->rules[d.rule];
		const struct ipset *who = r->any_client ? &all : &r->clients;
		bool without = !r->any_client && r->inverted;
		struct ipset rest;

		if (r->action == NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY && r->ports.any && r->client_ports.any) {
			struct ipset here = ipset_and(&left, who, without);

			rc = ipset_networks(&here, denied_network, &d);
			ipset_fini(&here);
		}
		/* A rule that asks for ports as well may or may not decide: the proxy will know. */
		rest = ipset_and(&left, who, !without);
		ipset_fini(&left);
		left = rest;
	}
	ipset_fini(&left);
	ipset_fini(&all);
	return rc;
}

uint32_t netsec_rules(const struct netsec *n)
{
	return n ? n->n : 0;
}

const char *netsec_rule_name(const struct netsec *n, uint32_t i)
{
	return n->rules[i].name;
}
