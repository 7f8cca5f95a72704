#include "engine/netsec.h"

#include "base/base.h"
#include "base/ipmap.h"
#include "base/table.h"
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
	struct ports client_ports, ports;
	struct rate_limit limit;
	struct shared_rate *rate;
};

/* Outlives the policy in the next one. */
struct shared_rate {
	atomic_uint refs;
	struct rate rate;
};

/* Rules that demand the same of ports: a question about a client and ports is one about the client among them. */
struct kin {
	const struct rule *rule;  /* the first of them */
	uint32_t first;
	struct ipmap clients;
};

struct netsec {
	atomic_uint refs;
	uint32_t n;
	struct rule *rules;       /* enabled ones, by index */
	struct ipmap clients;     /* of all rules, whatever they demand of ports */
	size_t n_kin;
	struct kin *kin;          /* those with the earlier first rule come first */
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

struct ipset netsec_clients(const struct ip_addr_match *m, netsec_group *group, void *arg)
{
	struct ipset all = ipset_everybody(), named = { 0 }, others;

	if (!m)
		return all;
	ADD_ALL(&named, m);
	for (size_t i = 0; i < m->group_refs_n; i++) {
		const struct ip_addr_group *g = group(arg, m->group_refs[i]);

		if (g)
			ADD_ALL(&named, g);
	}
	ipset_seal(&named);
	if (m->match_criteria == IS_NOT_IN) {
		others = ipset_and(&all, &named, true);
		ipset_fini(&named);
		named = others;
	}
	ipset_fini(&all);
	return named;
}

static void span(struct ports *p, int64_t first, int64_t last)
{
	p->spans = xrealloc(p->spans, (p->n + 1) * sizeof(p->spans[0]));
	p->spans[p->n++] = (struct port_span){ (unsigned)first, (unsigned)last };
}

static void ports_one_by_one(struct ports *p, enum is_in how, const int64_t *at, size_t n)
{
	p->inverted = how == IS_NOT_IN;
	for (size_t i = 0; i < n; i++)
		span(p, at[i], at[i]);
}

static void client_ports_of(struct ports *p, const struct port_match_generic *m)
{
	p->any = !m;
	if (!m)
		return;
	ports_one_by_one(p, m->match_criteria, m->ports, m->ports_n);
	for (size_t i = 0; i < m->ranges_n; i++)
		span(p, m->ranges[i].start, m->ranges[i].end);
}

static void ports_of(struct ports *p, const struct port_match *m)
{
	p->any = !m;
	if (m)
		ports_one_by_one(p, m->match_criteria, m->ports, m->ports_n);
}

struct known_rate {
	struct table_link link;
	const struct rule *rule;
};

/* The rates of OLD by the names of their rules; what *ALL holds is to be freed. */
static struct table rates_of(const struct netsec *old, struct known_rate **all)
{
	struct table t = TABLE_INIT;
	uint32_t n = old ? old->n : 0;

	*all = xcalloc(n + 1, sizeof((*all)[0]));
	for (uint32_t i = 0; i < n; i++) {
		(*all)[i].rule = &old->rules[i];
		if (old->rules[i].rate)
			table_put(&t, &(*all)[i].link, table_hash(TABLE_SEED, old->rules[i].name));
	}
	return t;
}

static void rate_of(struct rule *r, const struct network_security_policy_action_rl_param *p, const struct table *known)
{
	if (!p)
		return;
	r->limit = rate_limit_of((uint64_t)p->max_rate, NS_PER_S, (uint64_t)p->burst_size);
	for (struct table_link *l = table_first(known, table_hash(TABLE_SEED, r->name)); l; l = table_next(l)) {
		const struct rule *was = CONTAINER_OF(l, struct known_rate, link)->rule;

		if (strcmp(was->name, r->name) == 0 && was->limit.each_ns == r->limit.each_ns &&
		    was->limit.room_ns == r->limit.room_ns) {
			r->rate = was->rate;
			atomic_fetch_add_explicit(&r->rate->refs, 1, memory_order_relaxed);
			return;
		}
	}
	r->rate = xcalloc(1, sizeof(*r->rate));
	atomic_init(&r->rate->refs, 1);
}

/* In the order of index. */
static int by_index(const void *a, const void *b)
{
	const struct network_security_rule *const *x = a, *const *y = b;

	if ((*x)->index != (*y)->index)
		return (*x)->index < (*y)->index ? -1 : 1;
	return strcmp((*x)->name, (*y)->name); /* an order, whatever it is */
}

static int ports_compare(const struct ports *a, const struct ports *b)
{
	if (a->any != b->any || a->inverted != b->inverted)
		return (a->any * 2 + a->inverted) - (b->any * 2 + b->inverted);
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return a->n ? memcmp(a->spans, b->spans, a->n * sizeof(a->spans[0])) : 0;
}

static int kin_compare(const struct rule *a, const struct rule *b)
{
	int c = ports_compare(&a->ports, &b->ports);

	return c ? c : ports_compare(&a->client_ports, &b->client_ports);
}

/* Kin beside each other, by index among themselves. */
static int by_kin(const void *a, const void *b, void *rules)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int c = kin_compare((struct rule *)rules + x, (struct rule *)rules + y);

	return c ? c : x < y ? -1 : x > y;
}

static int by_first_rule(const void *a, const void *b)
{
	const struct kin *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* CLIENTS: of each rule. */
static void index_rules(struct netsec *n, const struct ipset *clients)
{
	CLEANUP_FREE uint32_t *order = xcalloc(n->n + 1, sizeof(order[0]));

	for (uint32_t i = 0; i < n->n; i++)
		order[i] = i;
	n->clients = ipmap_new(clients, order, n->n);
	qsort_r(order, n->n, sizeof(order[0]), by_kin, n->rules);
	for (uint32_t i = 0, end; i < n->n; i = end) {
		const struct rule *r = &n->rules[order[i]];

		for (end = i + 1; end < n->n && kin_compare(r, &n->rules[order[end]]) == 0; end++)
			;
		n->kin = xrealloc(n->kin, (n->n_kin + 1) * sizeof(n->kin[0]));
		n->kin[n->n_kin++] = (struct kin){ r, order[i], ipmap_new(clients, order + i, end - i) };
	}
	if (n->n_kin)
		qsort(n->kin, n->n_kin, sizeof(n->kin[0]), by_first_rule);
}

struct netsec *netsec_new(const struct network_security_policy *p, netsec_group *group, void *arg,
			  const struct netsec *old)
{
	struct netsec *n = xcalloc(1, sizeof(*n));
	CLEANUP_FREE const struct network_security_rule **from = xcalloc(p->rules_n + 1, sizeof(from[0]));
	CLEANUP_FREE struct ipset *clients = xcalloc(p->rules_n + 1, sizeof(clients[0]));
	CLEANUP_FREE struct known_rate *rates = NULL;
	struct table known = rates_of(old, &rates);

	atomic_init(&n->refs, 1);
	n->rules = xcalloc(p->rules_n + 1, sizeof(n->rules[0]));
	for (size_t i = 0; i < p->rules_n; i++)
		if (p->rules[i].enable)
			from[n->n++] = &p->rules[i];
	qsort(from, n->n, sizeof(from[0]), by_index);
	for (uint32_t i = 0; i < n->n; i++) {
		const struct network_security_match_target *m = from[i]->match;
		struct rule *r = &n->rules[i];

		r->name = xstrdup(from[i]->name);
		r->action = from[i]->action;
		clients[i] = netsec_clients(m ? m->client_ip : NULL, group, arg);
		client_ports_of(&r->client_ports, m ? m->client_port : NULL);
		ports_of(&r->ports, m ? m->vs_port : NULL);
		if (r->action == NETWORK_SECURITY_POLICY_ACTION_TYPE_RATE_LIMIT)
			rate_of(r, from[i]->rl_param, &known);
	}
	index_rules(n, clients);
	for (uint32_t i = 0; i < n->n; i++)
		ipset_fini(&clients[i]);
	table_fini(&known);
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
		free(r->client_ports.spans);
		free(r->ports.spans);
		free(r->name);
	}
	for (size_t i = 0; i < n->n_kin; i++)
		ipmap_fini(&n->kin[i].clients);
	ipmap_fini(&n->clients);
	free(n->kin);
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
	uint32_t first = NETSEC_NO_RULE;
	const struct rule *r;

	address_mapped(client, ip.s6_addr);
	for (size_t i = 0; i < n->n_kin && n->kin[i].first < first; i++) {
		const struct kin *k = &n->kin[i];

		if (port_matches(&k->rule->ports, port) && port_matches(&k->rule->client_ports, address_port(client)))
			first = MIN(first, ipmap_first(&k->clients, &ip));
	}
	*rule = first;
	if (first == NETSEC_NO_RULE)
		return NETSEC_ALLOW;
	r = &n->rules[first];
	if (r->action == NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY)
		return NETSEC_DENY;
	return r->rate && now_ns && !rate_take(&r->rate->rate, &r->limit, now_ns) ? NETSEC_LIMITED : NETSEC_ALLOW;
}

struct denied {
	const struct netsec *netsec;
	int (*f)(void *arg, uint32_t rule, const struct in6_addr *net, unsigned len);
	void *arg;
};

/* A rule that asks for ports as well may or may not decide: the proxy will know. */
static bool denies_by_address(void *arg, uint32_t rule)
{
	const struct denied *d = arg;
	const struct rule *r = &d->netsec->rules[rule];

	return r->action == NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY && r->ports.any && r->client_ports.any;
}

static int denied_network(void *arg, uint32_t rule, const struct in6_addr *net, unsigned len)
{
	struct denied *d = arg;

	return d->f(d->arg, rule, net, len);
}

int netsec_denied(const struct netsec *n, int (*f)(void *arg, uint32_t rule, const struct in6_addr *net, unsigned len),
		  void *arg)
{
	struct denied d = { n, f, arg };

	return ipmap_networks(&n->clients, denies_by_address, denied_network, &d);
}

uint32_t netsec_rules(const struct netsec *n)
{
	return n ? n->n : 0;
}

const char *netsec_rule_name(const struct netsec *n, uint32_t i)
{
	return n->rules[i].name;
}
