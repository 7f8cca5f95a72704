#include "engine/guard.h"

#include <errno.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "engine/bpf/datapath.h"
#include "engine/link/link.h"
#include "engine/netsec.h"
#include "engine/ports.h"
#include "net/loop.h"
#include "model/structs.h"

struct guard {
	struct list link;
	char *vs;
	char *asked;              /* the ports that it was asked for, as text */
	json_t *made_of;          /* the policy and its groups, as they were; objects that are held do not change */
	uint32_t number;          /* of its denials; 0: none */
	struct netsec *policy;    /* that they were made from */
	struct port_want *ports;  /* that are turned to it */
	size_t n_ports;
	json_t *hits;             /* name of the rule -> place in the kernel's counters */
	uint64_t past;            /* denied by rules that are no more */
};

struct guards {
	struct list all;
	struct loop *loop;
	struct datapath *datapath;
	uint32_t next_number;
	uint32_t next_hits;       /* all before it are taken */
	bool taken[GUARD_HITS_MAX];
};

struct guards *guards_new(struct loop *l, struct datapath *d)
{
	struct guards *g = xcalloc(1, sizeof(*g));

	list_init(&g->all);
	g->loop = l;
	g->datapath = d;
	return g;
}

static struct guard *find(const struct guards *g, const char *vs)
{
	LIST_FOREACH(l, &((struct guards *)g)->all)
		if (strcmp(LIST_ENTRY(l, struct guard, link)->vs, vs) == 0)
			return LIST_ENTRY(l, struct guard, link);
	return NULL;
}

/* ---- counters of rules ---- */

static uint32_t hits_take(struct guards *g)
{
	uint32_t at;

	while (g->next_hits < GUARD_HITS_MAX && g->taken[g->next_hits])
		g->next_hits++;
	at = g->next_hits;
	if (at < GUARD_HITS_MAX) {
		g->taken[at] = true;
		datapath_hits_clear(g->datapath, at);
	}
	return at; /* GUARD_HITS_MAX: not counted */
}

static void hits_give(struct guards *g, uint32_t at)
{
	g->taken[at] = false;
	g->next_hits = MIN(g->next_hits, at);
}

/* Exactly the rules of POLICY have a place; those that go leave what they counted in `past`. */
static void hits_follow(struct guards *g, struct guard *x, const struct netsec *policy)
{
	json_t *now = json_object(), *v;
	const char *name;

	for (uint32_t i = 0; i < netsec_rules(policy); i++) {
		name = netsec_rule_name(policy, i);
		v = json_object_get(x->hits, name);
		if (v)
			json_object_set(now, name, v);
		else if (!json_object_get(now, name))
			json_object_set_new(now, name, json_integer(hits_take(g)));
		loop_breathe(g->loop);
	}
	json_object_foreach(x->hits, name, v) {
		uint32_t at = (uint32_t)json_integer_value(v);

		if (json_object_get(now, name) || at == GUARD_HITS_MAX)
			continue;
		x->past += datapath_hits(g->datapath, at);
		hits_give(g, at);
		loop_breathe(g->loop);
	}
	json_decref(x->hits);
	x->hits = now;
}

/* ---- denials ---- */

struct denials {
	struct guards *guards;
	const struct guard *guard;
	const struct netsec *policy;
	uint32_t number;
	unsigned n;
};

static int deny(void *arg, uint32_t rule, const struct in6_addr *net, unsigned len)
{
	struct denials *d = arg;
	uint32_t hits = (uint32_t)json_int(d->guard->hits, netsec_rule_name(d->policy, rule), GUARD_HITS_MAX);
	int rc = datapath_deny(d->guards->datapath, d->number, net, len, hits);

	d->n += rc == 0;
	loop_breathe(d->guards->loop);
	return rc;
}

static int undeny(void *arg, uint32_t rule, const struct in6_addr *net, unsigned len)
{
	struct denials *d = arg;

	(void)rule;
	datapath_undeny(d->guards->datapath, d->number, net, len);
	loop_breathe(d->guards->loop);
	return 0;
}

static void port_turn(struct guards *g, const struct port_want *p, uint32_t number)
{
	uint16_t first = (uint16_t)address_port(&p->address), last = (uint16_t)MAX(p->last, address_port(&p->address));
	uint8_t proto = p->udp ? IPPROTO_UDP : IPPROTO_TCP;
	struct in6_addr ip;

	address_mapped(&p->address, ip.s6_addr);
	if (number)
		datapath_guard_ports(g->datapath, p->device, &ip, proto, first, last, number);
	else
		datapath_unguard_ports(g->datapath, p->device, &ip, proto, first, last);
}

static bool has_port(const struct port_want *ports, size_t n, const struct port_want *p)
{
	for (size_t i = 0; i < n; i++)
		if (ports[i].udp == p->udp && ports[i].last == p->last && ports[i].device == p->device &&
		    address_equal(&ports[i].address, &p->address))
			return true;
	return false;
}

/* Takes POLICY. */
static void guard_set(struct guards *g, struct guard *x, struct netsec *policy, const struct port_want *ports, size_t n)
{
	struct denials fresh = { g, x, policy, 0, 0 }, old = { g, x, x->policy, x->number, 0 };
	int rc = 0;

	hits_follow(g, x, policy);
	if (policy && n) {
		fresh.number = ++g->next_number ? g->next_number : ++g->next_number;
		rc = netsec_denied(policy, deny, &fresh);
		if (rc < 0)
			log_warn("guard_incomplete service=%s networks=%u reason=\"%s\"", x->vs, fresh.n,
				 strerror(-rc));
	}
	if (!fresh.n)
		n = 0; /* nothing is denied by the address alone: nothing to look for */
	/* Ports that go first: a range may have become another one that begins at the same port. */
	for (size_t i = 0; i < x->n_ports; i++)
		if (!has_port(ports, n, &x->ports[i]))
			port_turn(g, &x->ports[i], 0);
	for (size_t i = 0; i < n; i++)
		port_turn(g, &ports[i], fresh.number);
	if (old.number && old.policy)
		netsec_denied(old.policy, undeny, &old);
	netsec_put(x->policy);
	x->policy = policy;
	x->number = fresh.number;
	free(x->ports);
	x->ports = xmalloc((n + 1) * sizeof(ports[0]));
	if (n)
		memcpy(x->ports, ports, n * sizeof(ports[0]));
	x->n_ports = n;
}

/* ---- what the configuration says ---- */

struct reading {
	const struct link *link;
	struct arena *arena;
};

static const struct ip_addr_group *group(void *arg, const char *uuid)
{
	struct reading *r = arg;
	const json_t *o = link_object(r->link, "ipaddrgroup", uuid);

	return o ? model_load(&ip_addr_group_message, o, r->arena) : NULL;
}

/* POLICY (NULL: none) and the groups that its rules name. */
static json_t *parts_of(const json_t *policy, const struct link *k)
{
	json_t *parts = json_array();
	const json_t *rule, *ref;
	size_t i, j;

	json_array_append(parts, (json_t *)policy);
	json_array_foreach(json_object_get(policy, "rules"), i, rule) {
		const json_t *client = json_object_get(json_object_get(rule, "match"), "client_ip");

		json_array_foreach(json_object_get(client, "group_refs"), j, ref)
			json_array_append(parts, (json_t *)link_object(k, "ipaddrgroup",
								       ref_target(json_string_value(ref))));
	}
	return parts;
}

/* The same objects, not ones that say the same. */
static bool parts_same(const json_t *a, const json_t *b)
{
	if (json_array_size(a) != json_array_size(b))
		return false;
	for (size_t i = 0; i < json_array_size(a); i++)
		if (json_array_get(a, i) != json_array_get(b, i))
			return false;
	return true;
}

static void ports_text(const struct port_want *ports, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		char text[ADDRESS_TEXT];

		address_text(&ports[i].address, text);
		buf_printf(out, "%s-%u/%d@%d ", text, ports[i].last, ports[i].udp, ports[i].device);
	}
}

void guards_follow(struct guards *g, const char *vs, const struct link *k, const struct port_want *ports, size_t n)
{
	const char *ref = json_str(link_object(k, "virtualservice", vs), "network_security_policy_ref", "");
	const json_t *o = *ref ? link_object(k, "networksecuritypolicy", ref_target(ref)) : NULL;
	struct guard *x = find(g, vs);
	struct arena arena = ARENA_INIT;
	struct reading r = { k, &arena };
	struct buf asked = BUF_INIT;
	struct netsec *policy = NULL;
	CLEANUP_JSON json_t *parts = NULL;

	if (!x && !o)
		return;
	if (!x) {
		x = xcalloc(1, sizeof(*x));
		x->vs = xstrdup(vs);
		x->asked = xstrdup("");
		x->made_of = json_array();
		x->hits = json_object();
		list_init(&x->link);
		list_insert(&g->all, &x->link);
	}
	parts = parts_of(o, k);
	ports_text(ports, n, &asked);
	if (!parts_same(parts, x->made_of) || strcmp(buf_cstr(&asked), x->asked) != 0) {
		json_decref(x->made_of);
		x->made_of = json_incref(parts);
		free(x->asked);
		x->asked = xstrdup(buf_cstr(&asked));
		if (o)
			policy = netsec_new(model_load(&network_security_policy_message, o, &arena), group, &r, NULL);
		guard_set(g, x, policy, ports, n);
	}
	buf_fini(&asked);
	arena_fini(&arena);
}

void guards_gone(struct guards *g, const char *vs)
{
	struct guard *x = find(g, vs);

	if (!x)
		return;
	guard_set(g, x, NULL, NULL, 0);
	list_remove(&x->link);
	json_decref(x->hits);
	free(x->ports);
	json_decref(x->made_of);
	free(x->asked);
	free(x->vs);
	free(x);
}

void guards_free(struct guards *g)
{
	if (!g)
		return;
	while (!list_empty(&g->all))
		guards_gone(g, LIST_ENTRY(g->all.next, struct guard, link)->vs);
	free(g);
}

static void add(json_t *to, const char *counter, uint64_t n)
{
	if (to)
		json_object_set_new(to, counter, json_integer(json_int(to, counter, 0) + (json_int_t)n));
}

void guards_stats(struct guards *g, json_t *stats)
{
	LIST_FOREACH(l, &g->all) {
		struct guard *x = LIST_ENTRY(l, struct guard, link);
		json_t *rules = json_object_get(json_object_get(stats, "rules"), x->vs), *v;
		uint64_t sum = x->past;
		const char *name;

		json_object_foreach(x->hits, name, v) {
			uint32_t at = (uint32_t)json_integer_value(v);
			uint64_t n = at < GUARD_HITS_MAX ? datapath_hits(g->datapath, at) : 0;

			add(json_object_get(rules, name), "matched", n);
			add(json_object_get(rules, name), "refused", n);
			sum += n;
		}
		add(json_object_get(json_object_get(stats, "services"), x->vs), "conn_refused_policy", sum);
	}
}
