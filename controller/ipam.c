/*
 * The index has an entry for each pair of address and VRF; a VRF of "" is
 * "somewhere", for those who do not say in which routing domain they live. Each
 * object that uses addresses has a list of them, so that its change can take
 * the old ones back. A network is kept as ranges, with how many of their
 * addresses are used: both follow the index, nothing is counted by walking.
 */
#include "controller/ipam.h"

#include <errno.h>

#include "base/base.h"
#include "base/ip.h"
#include "base/list.h"
#include "base/table.h"
#include "controller/audit.h"
#include "controller/resolve.h"
#include "controller/rules/snat.h"

#define COUNT_MAX    INT32_MAX /* clients read 32 bits */
#define ALMOST       90        /* percent used: an event says so */
#define NO_FREE      "No available free IPs"

/* Somebody uses ADDR in VRF. */
struct used {
	struct table_link link;
	struct in6_addr addr;
	unsigned n;
	char vrf[];
};

/* Addresses of one object. */
struct user {
	struct table_link link;
	struct used **used;
	size_t n;
	char key[]; /* "kind/uuid" */
};

struct range {
	struct in6_addr begin, end, net;
	unsigned len;
	size_t subnet; /* index in configured_subnets */
	uint64_t total, used;
};

struct ip_pool {
	struct list link;
	char *uuid, *vrf;
	struct range *ranges;
	size_t n;
	struct in6_addr last[2]; /* given last, of IPv4 and IPv6; zero: none */
};

struct ipam {
	struct list link;
	struct store *store;
	struct store_watch watch;
	struct table used, users;
	struct list networks;
};

static struct list ipams;

/* ---- addresses as numbers ------------------------------------------------------ */

/* The next address; false: there is none. */
static bool next(struct in6_addr *a)
{
	size_t first = ip_is_v4(a) ? 12 : 0;

	for (size_t i = 16; i-- > first;)
		if (++a->s6_addr[i])
			return true;
	return false;
}

static int order(const struct in6_addr *a, const struct in6_addr *b)
{
	return memcmp(a, b, sizeof(*a));
}

/* END - BEGIN + 1, or COUNT_MAX. */
static uint64_t size_of(const struct in6_addr *begin, const struct in6_addr *end)
{
	uint64_t n = 0;

	for (size_t i = 0; i < 16; i++) {
		/* May be negative on the way; the sum is not, and what is too large stays so. */
		int64_t step = (int64_t)end->s6_addr[i] - begin->s6_addr[i];

		if (n > COUNT_MAX)
			return COUNT_MAX;
		n = n * 256 + (uint64_t)step;
	}
	return MIN(n + 1, (uint64_t)COUNT_MAX);
}

static bool in_range(const struct range *r, const struct in6_addr *a)
{
	return order(&r->begin, a) <= 0 && order(a, &r->end) <= 0;
}

/* The network itself and its broadcast address are nobody's, however the range was written. */
static bool is_edge(const struct range *r, const struct in6_addr *a)
{
	size_t n;
	const uint8_t *b = ip_bytes(a, &n);
	unsigned zeros = 0, ones = 0, host = 32 - r->len;

	if (n != 4 || host < 2)
		return false;
	for (unsigned bit = r->len; bit < 32; bit++) {
		bool one = b[bit / 8] >> (7 - bit % 8) & 1;

		ones += one;
		zeros += !one;
	}
	return zeros == host || ones == host;
}

/* ---- who uses what ------------------------------------------------------------- */

static uint64_t addr_hash(const struct in6_addr *a)
{
	uint64_t h = TABLE_SEED;

	for (size_t i = 0; i < 16; i++)
		h = (h ^ a->s6_addr[i]) * 0x100000001b3ULL;
	return h;
}

static struct used *used_find(const struct ipam *i, const struct in6_addr *a, const char *vrf)
{
	for (struct table_link *l = table_first(&i->used, addr_hash(a)); l; l = table_next(l)) {
		struct used *u = CONTAINER_OF(l, struct used, link);

		if (ip_equal(&u->addr, a) && strcmp(u->vrf, vrf) == 0)
			return u;
	}
	return NULL;
}

static bool is_used(const struct ipam *i, const struct in6_addr *a, const char *vrf)
{
	return used_find(i, a, "") || used_find(i, a, vrf);
}

/* The address counts, or counts no more, in the books of the networks. */
static void books_count(struct ipam *i, const struct used *u, int step)
{
	LIST_FOREACH(l, &i->networks) {
		struct ip_pool *p = LIST_ENTRY(l, struct ip_pool, link);

		for (size_t r = 0; r < p->n; r++)
			if (in_range(&p->ranges[r], &u->addr) &&
			    (!*u->vrf || strcmp(u->vrf, p->vrf) == 0))
				p->ranges[r].used += (uint64_t)(int64_t)step;
	}
}

static struct used *used_take(struct ipam *i, const struct in6_addr *a, const char *vrf)
{
	struct used *u = used_find(i, a, vrf);

	if (!u) {
		u = xcalloc(1, sizeof(*u) + strlen(vrf) + 1);
		u->addr = *a;
		memcpy(u->vrf, vrf, strlen(vrf));
		table_put(&i->used, &u->link, addr_hash(a));
		books_count(i, u, 1);
	}
	u->n++;
	return u;
}

static void used_put(struct ipam *i, struct used *u)
{
	if (--u->n)
		return;
	books_count(i, u, -1);
	table_take(&i->used, &u->link);
	free(u);
}

static struct user *user_find(struct ipam *i, const char *key)
{
	for (struct table_link *l = table_first(&i->users, table_hash(TABLE_SEED, key)); l;
	     l = table_next(l))
		if (strcmp(CONTAINER_OF(l, struct user, link)->key, key) == 0)
			return CONTAINER_OF(l, struct user, link);
	return NULL;
}

static void user_free(struct ipam *i, struct user *u)
{
	for (size_t k = 0; k < u->n; k++)
		used_put(i, u->used[k]);
	table_take(&i->users, &u->link);
	free(u->used);
	free(u);
}

/* Every {"addr": ADDRESS} below V, whatever the kind calls it. */
static void collect(struct ipam *i, struct user *u, const json_t *v, const char *vrf)
{
	const char *text = json_str(v, "addr", NULL), *key;
	struct in6_addr a;
	json_t *child;
	size_t n;

	if (text && ip_parse(text, &a) == 0) {
		u->used = xrealloc(u->used, (u->n + 1) * sizeof(struct used *));
		u->used[u->n++] = used_take(i, &a, vrf);
	}
	json_object_foreach((json_t *)v, key, child)
		if (json_is_object(child) || json_is_array(child))
			collect(i, u, child, vrf);
	json_array_foreach(v, n, child)
		collect(i, u, child, vrf);
}

/*
 * Whose addresses are in use. FIELD: only below it. Of a vsvip only the addresses themselves count,
 * and not the subnets that it names.
 */
static const struct {
	const char *kind, *field;
} users[] = {
	{ "vsvip", "vip" },
	{ "virtualservice", "snat_ip" },
	{ "virtualservice", "snat_ip6_addresses" },
	{ "pool", "servers" },
	{ "trafficcloneprofile", "clone_servers" },
	{ "serviceengine", "data_vnics" },
	{ "serviceengine", "mgmt_vnic" },
	{ "vrfcontext", "static_routes" },
	{ "vrfcontext", "gateway_mon" },
};

static const char *const families[] = { "ip_address", "ip6_address" };

static void collect_vips(struct ipam *i, struct user *u, const json_t *vips, const char *vrf)
{
	json_t *v;
	size_t n;

	json_array_foreach(vips, n, v)
		for (size_t f = 0; f < ARRAY_SIZE(families); f++)
			collect(i, u, json_object_get(v, families[f]), vrf);
}

static void follow_user(struct ipam *i, const char *kind, const char *uuid)
{
	const struct object *o = store_get(i->store, kind, uuid);
	CLEANUP_FREE char *key = xasprintf("%s/%s", kind, uuid);
	struct user *old = user_find(i, key), *u;

	if (o) {
		u = xcalloc(1, sizeof(*u) + strlen(key) + 1);
		memcpy(u->key, key, strlen(key));
		for (size_t k = 0; k < ARRAY_SIZE(users); k++) {
			const json_t *below = json_object_get(o->body, users[k].field);

			if (strcmp(users[k].kind, kind) != 0)
				continue;
			if (strcmp(kind, "vsvip") == 0)
				collect_vips(i, u, below,
					     ref_target(json_str(o->body, "vrf_context_ref", NULL)));
			else
				collect(i, u, below, "");
		}
		table_put(&i->users, &u->link, table_hash(TABLE_SEED, key));
	}
	if (old)
		user_free(i, old);
}

/* ---- networks ------------------------------------------------------------------ */

static struct ip_pool *network_find(const struct ipam *i, const char *uuid)
{
	LIST_FOREACH(l, &((struct ipam *)i)->networks)
		if (strcmp(LIST_ENTRY(l, struct ip_pool, link)->uuid, uuid) == 0)
			return LIST_ENTRY(l, struct ip_pool, link);
	return NULL;
}

static void network_free(struct ip_pool *p)
{
	list_remove(&p->link);
	free(p->uuid);
	free(p->vrf);
	free(p->ranges);
	free(p);
}

static bool read_addr(const json_t *ip_addr, struct in6_addr *out)
{
	return ip_parse(json_str(ip_addr, "addr", ""), out) == 0;
}

/* Ranges that VIPs are taken from. */
static void read_ranges(struct ip_pool *p, const json_t *subnet, size_t at)
{
	const json_t *prefix = json_object_get(subnet, "prefix");
	json_t *one;
	size_t n;

	json_array_foreach(json_object_get(subnet, "static_ip_ranges"), n, one) {
		const json_t *between = json_object_get(one, "range");
		struct range r = { .len = (unsigned)json_int(prefix, "mask", 0), .subnet = at };

		if (strcmp(json_str(one, "type", ""), "STATIC_IPS_FOR_SE") == 0 ||
		    !read_addr(json_object_get(prefix, "ip_addr"), &r.net) ||
		    !read_addr(json_object_get(between, "begin"), &r.begin) ||
		    !read_addr(json_object_get(between, "end"), &r.end))
			continue;
		r.total = size_of(&r.begin, &r.end);
		r.total -= is_edge(&r, &r.begin);
		if (order(&r.begin, &r.end) != 0)
			r.total -= is_edge(&r, &r.end);
		p->ranges = xrealloc(p->ranges, (p->n + 1) * sizeof(r));
		p->ranges[p->n++] = r;
	}
}

/* The VRF of a network is the one that it names, or `global` of its cloud. */
static const char *vrf_of(struct store *s, const struct object *network)
{
	const char *ref = json_str(network->body, "vrf_context_ref", NULL);
	const struct object *global =
		ref ? NULL : store_find(s, "vrfcontext", NULL, network->cloud, "global");

	return ref ? ref_target(ref) : global ? global->uuid : "";
}

static void follow_network(struct ipam *i, const char *uuid)
{
	const struct object *o = store_get(i->store, "network", uuid);
	struct ip_pool *p = network_find(i, uuid);
	json_t *subnet;
	size_t n;

	if (!o) {
		if (p)
			network_free(p);
		return;
	}
	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->uuid = xstrdup(uuid);
		list_init(&p->link);
		list_insert(&i->networks, &p->link);
	}
	free(p->vrf);
	free(p->ranges);
	p->vrf = xstrdup(vrf_of(i->store, o));
	p->ranges = NULL;
	p->n = 0;
	json_array_foreach(json_object_get(o->body, "configured_subnets"), n, subnet)
		read_ranges(p, subnet, n);
	for (size_t b = 0; b < i->used.size; b++)
		for (struct table_link *l = i->used.heads[b]; l; l = l->next) {
			const struct used *u = CONTAINER_OF(l, struct used, link);

			for (size_t r = 0; r < p->n; r++)
				p->ranges[r].used += in_range(&p->ranges[r], &u->addr) &&
						     (!*u->vrf || strcmp(u->vrf, p->vrf) == 0);
		}
}

/* ---- life ---------------------------------------------------------------------- */

static void follow(struct ipam *i, const char *kind, const char *uuid)
{
	if (strcmp(kind, "network") == 0) {
		follow_network(i, uuid);
		return;
	}
	for (size_t k = 0; k < ARRAY_SIZE(users); k++)
		if (strcmp(users[k].kind, kind) == 0) {
			follow_user(i, kind, uuid);
			return;
		}
}

static void committed(struct store_watch *w, uint64_t revision, const struct store_change *changes,
		      size_t n)
{
	struct ipam *i = CONTAINER_OF(w, struct ipam, watch);

	(void)revision;
	for (size_t k = 0; k < n; k++)
		follow(i, changes[k].kind->path, changes[k].uuid);
}

static int seen(void *arg, const struct object *o)
{
	follow(arg, o->kind->path, o->uuid);
	return 0;
}

struct ipam *ipam_open(struct store *s)
{
	struct ipam *i = xcalloc(1, sizeof(*i));

	i->store = s;
	i->watch.committed = committed;
	list_init(&i->link);
	list_init(&i->networks);
	for (size_t k = 0; k < ARRAY_SIZE(users); k++)
		if (k == 0 || strcmp(users[k].kind, users[k - 1].kind) != 0)
			store_each(s, users[k].kind, seen, i);
	store_each(s, "network", seen, i);
	store_watch(s, &i->watch);
	if (!ipams.next)
		list_init(&ipams);
	list_insert(&ipams, &i->link);
	return i;
}

void ipam_close(struct ipam *i)
{
	if (!i)
		return;
	store_unwatch(i->store, &i->watch);
	list_remove(&i->link);
	for (size_t b = 0; b < i->users.size; b++)
		while (i->users.heads[b])
			user_free(i, CONTAINER_OF(i->users.heads[b], struct user, link));
	LIST_FOREACH(l, &i->networks)
		network_free(LIST_ENTRY(l, struct ip_pool, link));
	table_fini(&i->users);
	table_fini(&i->used);
	free(i);
}

struct ipam *ipam_of(const struct store *s)
{
	if (!ipams.next)
		return NULL;
	LIST_FOREACH(l, &ipams)
		if (LIST_ENTRY(l, struct ipam, link)->store == s)
			return LIST_ENTRY(l, struct ipam, link);
	return NULL;
}

/* ---- giving -------------------------------------------------------------------- */

/* One VIP that asks, and of what. */
struct ask {
	struct ipam *ipam;
	struct change *change;
	const char *uuid, *vrf, *cloud; /* of the vsvip */
	const json_t *vip;
	bool v6;
	size_t ranges, networks; /* that were looked through */
	char named[256]; /* the network that was asked for */
};

void ipam_vip_key(const char *vrf, const struct in6_addr *a, char key[static IPAM_VIP_KEY_MAX])
{
	static const unsigned char zero[12];
	unsigned char raw[16] = { 0 };
	char hex[33];
	size_t n;
	const uint8_t *b = ip_bytes(a, &n);

	memcpy(raw, b, n);
	hex_encode(hex, raw, 16);
	/* 10.0.0.1 and a00:1:: have the same first bytes, and the rest is zero. */
	snprintf(key, IPAM_VIP_KEY_MAX, "%.190s/%s%s", vrf, hex,
		 n == 16 && memcmp(raw + 4, zero, sizeof(zero)) == 0 ? "/6" : "");
}

static bool is_owned(const struct ask *q, const struct in6_addr *a)
{
	char key[IPAM_VIP_KEY_MAX];
	CLEANUP_FREE char *owner = NULL;

	ipam_vip_key(q->vrf, a, key);
	owner = store_value(q->change->store, "vip", key);
	return (owner && strcmp(owner, q->uuid) != 0) || snat_is_taken(q->change->store, q->vrf, a);
}

static bool is_prefix(const json_t *prefix, const struct in6_addr *net, unsigned len)
{
	struct in6_addr a;

	return read_addr(json_object_get(prefix, "ip_addr"), &a) && ip_is_v4(&a) == ip_is_v4(net) &&
	       (unsigned)json_int(prefix, "mask", 0) == len && ip_within(&a, net, len);
}

/* WHERE (IPNetworkSubnet or VipPlacementNetwork) names a subnet of our family, and it is another one. */
static bool is_ruled_out(const struct ask *q, const json_t *where, const struct range *r)
{
	const json_t *only = json_object_get(where, q->v6 ? "subnet6" : "subnet");

	return ip_is_v4(&r->net) == q->v6 || (only && !is_prefix(only, &r->net, r->len));
}

/* The first free address of the range between FROM and TO; also what this transaction took counts. */
static bool scan(const struct ask *q, const struct range *r, const json_t *given,
		 struct in6_addr from, const struct in6_addr *to, struct in6_addr *out)
{
	char text[IP_TEXT_MAX];

	while (order(&from, to) <= 0) {
		if (!is_edge(r, &from) && !is_used(q->ipam, &from, q->vrf) &&
		    !json_object_get(given, ip_text(&from, text)) && !is_owned(q, &from)) {
			*out = from;
			return true;
		}
		if (!next(&from))
			return false;
	}
	return false;
}

/* Begins behind the one that was given last, and comes round to it. */
static bool take_from(struct ask *q, struct ip_pool *p, const json_t *where, const json_t *given,
		      struct in6_addr *out)
{
	struct in6_addr *last = &p->last[q->v6];
	size_t first = 0;

	q->networks++;
	for (size_t r = 0; r < p->n; r++)
		if (!ip_is_zero(last) && in_range(&p->ranges[r], last))
			first = r;
	for (size_t k = 0; k <= p->n; k++) {
		const struct range *r = p->n ? &p->ranges[(first + k) % p->n] : NULL;
		struct in6_addr from, to;

		if (!r || is_ruled_out(q, where, r))
			continue;
		q->ranges++;
		from = r->begin;
		to = r->end;
		if (k == 0 && in_range(r, last)) {
			from = *last;
			if (!next(&from))
				continue;
		} else if (k == p->n) {
			if (!in_range(r, last))
				continue;
			to = *last;
		}
		if (scan(q, r, given, from, &to, out)) {
			*last = *out;
			return true;
		}
	}
	return false;
}

struct given {
	struct ip_pool *network;
	struct in6_addr addr;
};

static bool take_named(struct ask *q, const json_t *where, const json_t *given, struct given *out,
		       struct err *e)
{
	const char *uuid = ref_target(json_str(where, "network_ref", NULL));
	const struct object *o = txn_get(q->change->txn, "network", uuid);
	struct ip_pool *p = network_find(q->ipam, uuid);

	if (!o)
		return false;
	if (!*q->named)
		snprintf(q->named, sizeof(q->named), "%s", o->name);
	if (strcmp(vrf_of(q->change->store, o), q->vrf) != 0) {
		err_set(e, -EINVAL, NULL, "Network '%s' is in another VRF than the VIP.", o->name);
		return false;
	}
	if (!p || !take_from(q, p, where, given, &out->addr))
		return false;
	out->network = p;
	return true;
}

static bool take_any(struct ask *q, const json_t *where, const json_t *given, struct given *out)
{
	LIST_FOREACH(l, &q->ipam->networks) {
		struct ip_pool *p = LIST_ENTRY(l, struct ip_pool, link);
		const struct object *o = store_get(q->change->store, "network", p->uuid);

		if (!o || strcmp(o->cloud, q->cloud) != 0 || strcmp(p->vrf, q->vrf) != 0 || !p->n)
			continue;
		if (take_from(q, p, where, given, &out->addr)) {
			out->network = p;
			return true;
		}
	}
	return false;
}

/* From the network that is named for it, or one on which it is to be placed, or any that has ranges. */
static int take(struct ask *q, const json_t *given, struct given *out, struct err *e)
{
	const json_t *where = json_object_get(q->vip, "ipam_network_subnet");
	json_t *places = json_object_get(q->vip, "placement_networks"), *place;
	bool done = false;
	size_t i;

	e->code = 0;
	if (json_object_get(where, "network_ref"))
		done = take_named(q, where, given, out, e);
	else if (json_array_size(places))
		json_array_foreach(places, i, place) {
			done = done || take_named(q, place, given, out, e);
		}
	else if (json_object_get(q->vip, "network_ref"))
		done = take_named(q, q->vip, given, out, e);
	else
		done = take_any(q, where ? where : q->vip, given, out);
	if (done)
		return 0;
	if (e->code)
		return e->code;
	if (*q->named)
		return err_set(e, -EINVAL, NULL, NO_FREE " in network '%s'%s.", q->named,
			       q->ranges ? "" : ": it has no static range for VIPs of this family");
	return err_set(e, -EINVAL, NULL, NO_FREE ": %s.",
		       q->networks ? "the ranges of all networks are used up"
				   : "no network of this cloud and VRF has a static range for VIPs");
}

/* Events about the network from which an address was just taken. */
static void tell_rest(struct change *c, const struct ip_pool *p)
{
	const struct object *o = store_get(c->store, "network", p->uuid);
	uint64_t total = 0, used = 1; /* the one that is being given */
	bool last;

	for (size_t r = 0; r < p->n; r++) {
		total += p->ranges[r].total;
		used += p->ranges[r].used;
	}
	last = used >= total;
	if (!last && !(used * 100 >= total * ALMOST && (used - 1) * 100 < total * ALMOST))
		return;
	txn_event(c->txn,
		  audit_event(last ? "IP_POOL_EXHAUSTED" : "IP_POOL_ALMOST_EXHAUSTED", "RESMGR",
			      "network", p->uuid, o->name, o->tenant, NULL,
			      "%llu of %llu addresses for VIPs of network %s are in use.",
			      (unsigned long long)MIN(used, total), (unsigned long long)total,
			      o->name));
}

static const json_t *vip_of(const json_t *vsvip, const char *id)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(vsvip, "vip"), i, v)
		if (strcmp(json_str(v, "vip_id", ""), id) == 0)
			return v;
	return NULL;
}

static bool same(const json_t *a, const json_t *b, const char *field)
{
	const json_t *x = json_object_get(a, field), *y = json_object_get(b, field);

	return x == y || (x && y && json_equal(x, y));
}

/* Clients do not send what was given: it stays as long as they ask for the same. */
static bool stays(const json_t *was, const json_t *vip)
{
	static const char *const asks[] = { "ipam_network_subnet", "placement_networks",
					    "network_ref", "subnet", "subnet6" };

	for (size_t i = 0; i < ARRAY_SIZE(asks); i++)
		if (!same(was, vip, asks[i]))
			return false;
	return true;
}

static void show_network(json_t *vip, const struct given *g)
{
	char ref[UUID_MAX + 16];
	json_t *list = json_object_get(vip, "discovered_networks"), *one;
	size_t i;

	snprintf(ref, sizeof(ref), "/api/network/%s", g->network->uuid);
	json_array_foreach(list, i, one)
		if (strcmp(json_str(one, "network_ref", ""), ref) == 0)
			return;
	if (!list) {
		list = json_array();
		json_object_set_new(vip, "discovered_networks", list);
	}
	json_array_append_new(list, json_pack("{s:s}", "network_ref", ref));
}

/* The network of an address that stays; it is not shown to all who write it back. */
static void keep_network(const json_t *was, json_t *vip)
{
	if (!json_object_get(vip, "discovered_networks"))
		json_object_set(vip, "discovered_networks", json_object_get(was, "discovered_networks"));
}

static int fill_one(struct ask *q, const json_t *was, json_t *vip, json_t *given, struct err *e)
{
	const char *type = json_str(vip, "auto_allocate_ip_type", "V4_ONLY");
	bool wanted[] = { strcmp(type, "V6_ONLY") != 0, strcmp(type, "V4_ONLY") != 0 };
	bool ours = json_bool(was, "avi_allocated_vip", false) && was && stays(was, vip);
	bool any = false;

	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		json_t *has = json_object_get(vip, families[f]),
		       *had = json_object_get(was, families[f]);
		struct given g;
		char text[IP_TEXT_MAX];
		int rc;

		if (!wanted[f])
			continue;
		if (has) { /* as it was read, or an address that the client chose */
			if (ours && json_equal(has, had)) {
				keep_network(was, vip);
				any = true;
			}
			continue;
		}
		if (was && had && stays(was, vip)) {
			json_object_set(vip, families[f], had);
			keep_network(was, vip);
			any = any || ours;
			continue;
		}
		q->v6 = f == 1;
		rc = take(q, given, &g, e);
		if (rc < 0)
			return rc;
		ip_text(&g.addr, text);
		json_object_set_new(given, text, json_true());
		json_object_set_new(vip, families[f],
				    json_pack("{s:s, s:s}", "addr", text, "type", q->v6 ? "V6" : "V4"));
		show_network(vip, &g);
		tell_rest(q->change, g.network);
		any = true;
	}
	if (any)
		json_object_set_new(vip, "avi_allocated_vip", json_true());
	else
		json_object_del(vip, "avi_allocated_vip");
	return 0;
}

int ipam_fill(struct ipam *i, struct change *c, const char *uuid, const json_t *old, json_t *vsvip,
	      struct err *e)
{
	CLEANUP_JSON json_t *given = json_object();
	json_t *vip;
	size_t n;

	json_array_foreach(json_object_get(vsvip, "vip"), n, vip) {
		struct ask q = { .ipam = i,
				 .change = c,
				 .uuid = uuid,
				 .vrf = ref_target(json_str(vsvip, "vrf_context_ref", NULL)),
				 .cloud = ref_target(json_str(vsvip, "cloud_ref", NULL)),
				 .vip = vip };
		char path[32];
		int rc;

		if (!json_bool(vip, "auto_allocate_ip", false)) {
			json_object_del(vip, "avi_allocated_vip");
			continue;
		}
		rc = fill_one(&q, vip_of(old, json_str(vip, "vip_id", "")), vip, given, e);
		if (rc < 0) {
			snprintf(path, sizeof(path), "vip[%zu]", n);
			err_within(e, path);
			return rc;
		}
	}
	return 0;
}

/* ---- what is shown --------------------------------------------------------------- */

json_t *ipam_subnets(struct ipam *i, const struct object *network)
{
	const struct ip_pool *p = network_find(i, network->uuid);
	json_t *out = json_array(), *subnet;
	size_t n;

	json_array_foreach(json_object_get(network->body, "configured_subnets"), n, subnet) {
		uint64_t total = 0, used = 0;

		for (size_t r = 0; p && r < p->n; r++) {
			if (p->ranges[r].subnet != n)
				continue;
			total += p->ranges[r].total;
			used += p->ranges[r].used;
		}
		total = MIN(total, (uint64_t)COUNT_MAX);
		used = MIN(used, total);
		json_array_append_new(
			out, json_pack("{s:O, s:I, s:I, s:I}", "prefix",
				       json_object_get(subnet, "prefix"), "total_ip_count",
				       (json_int_t)total, "used_ip_count", (json_int_t)used,
				       "free_ip_count", (json_int_t)(total - used)));
	}
	return out;
}
