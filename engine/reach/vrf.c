/*
 * What is wanted is made anew from objects and interfaces each time, and
 * compared with what was set. The kernel takes routes away by itself when an
 * interface goes down, so after a change of interfaces routes are set again.
 */
#include "engine/reach/vrf.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/bpf/datapath.h"
#include "engine/link/link.h"
#include "engine/reach/netlink.h"
#include "engine/reach/path.h"
#include "model/structs.h"

enum {
	TABLE = 0x5300,         /* of domain 0, for what stands in two domains; of domain n: TABLE + n */
	PRIORITY = 0x5300,      /* of rules by interface */
	PRIORITY_MAIN = 0x5301, /* of the rule for TABLE */
	METRIC = 83,            /* of static routes: before DHCP's, behind what an administrator wrote */
	METRIC_LAST = 4278198272u,
	SETTLE_MS = 20,
};

struct domain {
	struct list link;
	char *uuid;
	unsigned number;
};

/* An interface that is in a domain. */
struct place {
	int ifindex;
	unsigned number;
};

struct plan {
	struct path *at;
	size_t n;
};

struct vrfs {
	struct loop *loop;
	struct netlink *netlink;
	struct datapath *datapath;
	struct vrfs_user *user;
	const struct link *objects;
	struct netlink_watch watch;
	struct timer settle;
	bool again;               /* routes may have gone with an interface */
	struct list domains;
	unsigned next;
	struct place *places;
	size_t n_places;
	struct plan set;
	json_t *message, *troubles;
	bool arp_strict;
};

/* ---- which interface is where -------------------------------------------------------- */

static bool is_global(const struct vrfs *v, const char *uuid)
{
	const json_t *o = link_object(v->objects, "vrfcontext", uuid);

	return !o || strcmp(json_str(o, "name", ""), "global") == 0;
}

static struct domain *domain_get(struct vrfs *v, const char *uuid)
{
	struct domain *d;

	LIST_FOREACH(l, &v->domains)
		if (strcmp(LIST_ENTRY(l, struct domain, link)->uuid, uuid) == 0)
			return LIST_ENTRY(l, struct domain, link);
	d = xcalloc(1, sizeof(*d));
	d->uuid = xstrdup(uuid);
	d->number = ++v->next;
	list_init(&d->link);
	list_insert(&v->domains, &d->link);
	return d;
}

/* The VRF context that the engine's object says for an interface; "": global. */
static const char *said_of(const struct vrfs *v, const char *name)
{
	const json_t *engine = link_object(v->objects, "serviceengine", link_uuid(v->objects));
	const json_t *vnic = json_object_get(engine, "mgmt_vnic"), *network;
	const char *ref;
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(engine, "data_vnics"), i, one)
		if (strcmp(json_str(one, "linux_name", ""), name) == 0)
			vnic = one;
	if (strcmp(json_str(vnic, "linux_name", ""), name) != 0)
		return "";
	network = link_object(v->objects, "network", ref_target(json_str(vnic, "network_ref", "")));
	ref = json_str(vnic, "vrf_ref", json_str(network, "vrf_context_ref", ""));
	return *ref && !is_global(v, ref_target(ref)) ? ref_target(ref) : "";
}

bool vrfs_any(const struct vrfs *v)
{
	return v->n_places > 0;
}

unsigned vrfs_of(const struct vrfs *v, int ifindex)
{
	for (size_t i = 0; i < v->n_places; i++)
		if (v->places[i].ifindex == ifindex)
			return v->places[i].number;
	return 0;
}

static void place_iface(void *arg, const struct iface *i)
{
	struct vrfs *v = arg;
	const char *uuid = i->data ? said_of(v, i->name) : "";

	if (!*uuid)
		return;
	v->places = xrealloc(v->places, (v->n_places + 1) * sizeof(v->places[0]));
	v->places[v->n_places++] = (struct place){ i->index, domain_get(v, uuid)->number };
}

/* The kernel answers ARP for any address of its own on any interface, unless told: domains would hear of each other. */
static void arp_by_interface(void *arg, const struct iface *i)
{
	CLEANUP_FREE char *path = xasprintf("/proc/sys/net/ipv4/conf/%s/arp_ignore", i->name);
	CLEANUP_FD int fd = i->data ? open(path, O_WRONLY | O_CLOEXEC) : -1;

	(void)arg;
	if (i->data && (fd < 0 || write(fd, "1", 1) != 1))
		log_warn("arp_ignore_not_set interface=%s reason=\"%s\"", i->name, strerror(errno));
}

static void place_all(struct vrfs *v)
{
	struct place *old = v->places;
	size_t n_old = v->n_places;

	v->places = NULL;
	v->n_places = 0;
	netlink_each(v->netlink, place_iface, v);
	for (size_t i = 0; i < v->n_places; i++)
		(void)datapath_domain(v->datapath, v->places[i].ifindex, v->places[i].number);
	for (size_t i = 0; i < n_old; i++)
		if (!vrfs_of(v, old[i].ifindex))
			(void)datapath_domain(v->datapath, old[i].ifindex, 0);
	free(old);
	if (v->n_places)
		netlink_each(v->netlink, arp_by_interface, v);
}

/* ---- what is wanted ------------------------------------------------------------------- */

static void want(struct plan *p, const struct path *path)
{
	p->at = xrealloc(p->at, (p->n + 1) * sizeof(p->at[0]));
	p->at[p->n++] = *path;
}

static struct in6_addr masked(const struct in6_addr *a, unsigned len)
{
	struct in6_addr out = *a;
	unsigned bits = ip_is_v4(a) ? 96 + len : len;

	for (unsigned bit = bits; bit < 128; bit++)
		out.s6_addr[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	return out;
}

struct planner {
	struct vrfs *v;
	struct plan *plan;
	json_t *routes;           /* of the domain, for the proxy */
	unsigned number;
	const struct in6_addr *other; /* a network that stands in another domain */
	unsigned other_len;
};

static void tell_route(json_t *routes, const struct path *p)
{
	char text[IP_TEXT_MAX];

	/* A default route has no address of its own. */
	json_array_append_new(routes, json_pack("[s, i, i]",
						p->dst_len		? ip_text(&p->dst, text)
						: p->v4			? "0.0.0.0"
									: "::",
						(int)p->dst_len, p->ifindex));
}

/* Rules for an interface of the domain, and the networks that it is on. */
static void plan_iface(void *arg, const struct iface *i)
{
	struct planner *x = arg;
	struct path p = { .rule = true, .table = TABLE + x->number, .priority = PRIORITY };
	static const struct in6_addr link_local = { .s6_addr = { 0xfe, 0x80 } };

	if (!i->data || vrfs_of(x->v, i->index) != x->number)
		return;
	snprintf(p.interface, sizeof(p.interface), "%s", i->name);
	for (int family = 0; family < 2; family++)
		for (int direction = 0; direction < 2; direction++) {
			p.v4 = family == 0;
			p.inwards = direction == 1;
			want(x->plan, &p);
		}
	if (!i->up)
		return;
	p = (struct path){ .table = TABLE + x->number, .priority = 256, .ifindex = i->index };
	p.dst = link_local;
	p.dst_len = 64;
	want(x->plan, &p);
	for (size_t k = 0; k < i->addrs_n; k++) {
		const struct iface_addr *a = &i->addrs[k];

		if (a->ours || a->link_local)
			continue;
		p.v4 = ip_is_v4(&a->addr);
		p.dst = masked(&a->addr, a->prefix_len);
		p.dst_len = a->prefix_len;
		p.source = a->addr;
		want(x->plan, &p);
		tell_route(x->routes, &p);
	}
}

/* The interface of the domain with an address in whose prefix IP lies. */
struct towards {
	const struct vrfs *v;
	unsigned number;
	const struct in6_addr *ip;
	const char *name; /* only this one; "": any */
	int ifindex, len;
};

static void look_towards(void *arg, const struct iface *i)
{
	struct towards *t = arg;

	if (!i->data || !i->up || vrfs_of(t->v, i->index) != t->number ||
	    (*t->name && strcmp(t->name, i->name) != 0))
		return;
	for (size_t k = 0; k < i->addrs_n; k++)
		if (!i->addrs[k].ours && i->addrs[k].prefix_len > t->len &&
		    ip_within(t->ip, &i->addrs[k].addr, i->addrs[k].prefix_len)) {
			t->ifindex = i->index;
			t->len = i->addrs[k].prefix_len;
		}
	/* A link-local gateway, or one that is not in any prefix: the interface says it all. */
	if (*t->name && !t->ifindex)
		t->ifindex = i->index;
}

static void plan_static(struct planner *x, const struct vrf_context *c)
{
	for (size_t i = 0; i < c->static_routes_n; i++) {
		const struct static_route *r = &c->static_routes[i];
		struct path p = { .table = x->number ? TABLE + x->number : 254, .priority = METRIC };
		struct towards t = { .v = x->v, .number = x->number, .ip = &p.gateway, .len = -1,
				     .name = r->if_name ? r->if_name : "" };

		if (ip_parse(r->next_hop->addr, &p.gateway) < 0 || ip_parse(r->prefix->ip_addr->addr, &p.dst) < 0)
			continue;
		p.v4 = ip_is_v4(&p.dst);
		p.dst_len = (uint8_t)r->prefix->mask;
		p.dst = masked(&p.dst, p.dst_len);
		if (ip_is_v4(&p.gateway) == p.v4)
			netlink_each(x->v->netlink, look_towards, &t);
		if (!t.ifindex) {
			json_array_append_new(x->v->troubles,
					      json_sprintf("Route %s of VRF %s: no interface leads to the gateway %s.",
							   r->route_id, c->name, r->next_hop->addr));
			continue;
		}
		p.ifindex = t.ifindex;
		want(x->plan, &p);
		tell_route(x->routes, &p);
	}
}

/* A network of the main domain that another domain has as well: the main table may hold the wrong one first. */
static void plan_twins(void *arg, const struct iface *i)
{
	struct planner *x = arg;

	if (!i->data || !i->up || vrfs_of(x->v, i->index))
		return;
	for (size_t k = 0; k < i->addrs_n; k++) {
		const struct iface_addr *a = &i->addrs[k];
		struct path p = { .table = TABLE, .priority = 256, .ifindex = i->index, .dst_len = a->prefix_len,
					  .v4 = ip_is_v4(&a->addr), .source = a->addr };

		if (a->ours || a->link_local || a->prefix_len != x->other_len ||
		    !ip_within(&a->addr, x->other, x->other_len))
			continue;
		p.dst = masked(&a->addr, a->prefix_len);
		want(x->plan, &p);
		p = (struct path){ .rule = true, .v4 = p.v4, .table = TABLE, .priority = PRIORITY_MAIN };
		want(x->plan, &p);
	}
}

static void plan_domain(struct vrfs *v, struct plan *plan, const char *uuid, unsigned number, json_t *routes)
{
	struct planner x = { .v = v, .plan = plan, .routes = routes, .number = number };
	const json_t *o = link_object(v->objects, "vrfcontext", uuid);
	struct path refuse = { .table = TABLE + number, .priority = METRIC_LAST };
	struct arena arena = ARENA_INIT;
	size_t before = plan->n;

	if (number) {
		netlink_each(v->netlink, plan_iface, &x);
		if (plan->n == before)
			return; /* no interface is in it any more */
		want(plan, &refuse);
		refuse.v4 = true;
		want(plan, &refuse);
		for (size_t i = before, n = plan->n; i < n; i++) {
			struct in6_addr dst = plan->at[i].dst;

			x.other = &dst;
			x.other_len = plan->at[i].dst_len;
			if (!plan->at[i].rule && !ip_is_zero(&plan->at[i].source))
				netlink_each(v->netlink, plan_twins, &x);
		}
	}
	if (o)
		plan_static(&x, model_load(&vrf_context_message, o, &arena));
	arena_fini(&arena);
}

static int plan_global(void *arg, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	struct planner *x = arg;

	(void)revision;
	if (strcmp(kind, "vrfcontext") == 0 && strcmp(json_str(object, "name", ""), "global") == 0)
		plan_domain(x->v, x->plan, uuid, 0, x->routes);
	return 0;
}

/* ---- what is set ---------------------------------------------------------------------- */

static bool is_in(const struct plan *p, const struct path *path)
{
	for (size_t i = 0; i < p->n; i++)
		if (memcmp(&p->at[i], path, sizeof(*path)) == 0)
			return true;
	return false;
}

/* Interface routes before those by a gateway, which needs them; the old ones go last. */
static void carry_out(struct vrfs *v, struct plan *next)
{
	struct plan old = v->set;

	for (size_t i = 0; i < next->n; i++) {
		const struct path *p = &next->at[i];
		char text[IP_TEXT_MAX];
		int rc;

		if (is_in(&old, p) && (p->rule || !v->again))
			continue;
		rc = path_add(netlink_rtnl(v->netlink), p);
		if (rc == 0)
			continue;
		json_array_append_new(v->troubles,
				      json_sprintf("%s %s/%u in table %u: %s.", p->rule ? "Rule" : "Route",
						   p->dst_len ? ip_text(&p->dst, text) : "0", p->dst_len, p->table,
						   strerror(-rc)));
	}
	for (size_t i = 0; i < old.n; i++)
		if (!is_in(next, &old.at[i]))
			(void)path_delete(netlink_rtnl(v->netlink), &old.at[i]);
	free(old.at);
	v->set = *next;
	v->again = false;
}

static void follow(struct vrfs *v)
{
	CLEANUP_JSON json_t *before = v->message, *troubles = v->troubles, *unused = json_array();
	json_t *all = json_object();
	struct planner global = { .v = v, .routes = unused };
	struct plan next = { 0 };

	v->troubles = json_array();
	place_all(v);
	LIST_FOREACH(l, &v->domains) {
		struct domain *d = LIST_ENTRY(l, struct domain, link);
		json_t *routes = json_array();

		plan_domain(v, &next, d->uuid, d->number, routes);
		json_object_set_new(all, d->uuid, routes);
	}
	global.plan = &next;
	link_each((struct link *)v->objects, plan_global, &global);
	carry_out(v, &next);
	v->message = json_pack("{s:s, s:o}", "type", "vrfs", "vrfs", all);
	if (!json_equal(v->troubles, troubles)) {
		json_t *one;
		size_t i;

		json_array_foreach(v->troubles, i, one)
			log_warn("vrf_trouble text=\"%s\"", json_string_value(one));
	}
	if (!json_equal(before, v->message) && v->user->changed)
		v->user->changed(v->user);
}

void vrfs_follow(struct vrfs *v, const struct link *k)
{
	v->objects = k;
	follow(v);
}

static void settled(struct timer *t)
{
	follow(CONTAINER_OF(t, struct vrfs, settle));
}

static void iface_changed(struct netlink_watch *w, const struct iface *i, bool gone)
{
	struct vrfs *v = CONTAINER_OF(w, struct vrfs, watch);

	/* Addresses come by the hundred, VIPs among them: one look at the end. */
	if (!v->objects || (!i->data && !gone) || v->settle.active || (!v->set.n && list_empty(&v->domains)))
		return;
	v->again = true;
	timer_in(v->loop, &v->settle, SETTLE_MS, settled);
}

int vrfs_new(struct loop *l, struct netlink *n, struct datapath *d, struct vrfs_user *u, struct vrfs **out,
	     struct err *e)
{
	struct vrfs *v = xcalloc(1, sizeof(*v));
	int rc = paths_sweep(netlink_rtnl(n));

	if (rc < 0) {
		free(v);
		return err_set(e, rc, NULL, "the routes of an earlier run cannot be removed: %s", strerror(-rc));
	}
	v->loop = l;
	v->netlink = n;
	v->datapath = d;
	v->user = u;
	v->message = json_pack("{s:s, s:{}}", "type", "vrfs", "vrfs");
	v->troubles = json_array();
	list_init(&v->domains);
	v->watch.iface = iface_changed;
	netlink_watch(n, &v->watch);
	*out = v;
	return 0;
}

void vrfs_free(struct vrfs *v)
{
	if (!v)
		return;
	timer_stop(v->loop, &v->settle);
	netlink_unwatch(&v->watch);
	for (size_t i = v->set.n; i-- > 0;)
		(void)path_delete(netlink_rtnl(v->netlink), &v->set.at[i]);
	LIST_FOREACH(l, &v->domains) {
		struct domain *d = LIST_ENTRY(l, struct domain, link);

		list_remove(&d->link);
		free(d->uuid);
		free(d);
	}
	free(v->set.at);
	free(v->places);
	json_decref(v->message);
	json_decref(v->troubles);
	free(v);
}

/* ---- questions ------------------------------------------------------------------------ */

bool vrfs_find(const struct vrfs *v, const char *uuid, unsigned *number)
{
	*number = 0;
	if (!v->objects || is_global(v, uuid))
		return true;
	LIST_FOREACH(l, &((struct vrfs *)v)->domains) {
		const struct domain *d = LIST_ENTRY(l, struct domain, link);

		if (strcmp(d->uuid, uuid) != 0)
			continue;
		*number = d->number;
		for (size_t i = 0; i < v->n_places; i++)
			if (v->places[i].number == d->number)
				return true;
	}
	return false;
}

int vrfs_towards(const struct vrfs *v, const char *uuid, const struct in6_addr *ip)
{
	json_t *one;
	size_t i;
	int best = -1, ifindex = 0;

	json_array_foreach(json_object_get(json_object_get(v->message, "vrfs"), uuid), i, one) {
		struct in6_addr net;
		int len = (int)json_integer_value(json_array_get(one, 1));

		if (len > best && ip_parse(json_string_value(json_array_get(one, 0)), &net) == 0 &&
		    ip_within(ip, &net, (unsigned)len)) {
			best = len;
			ifindex = (int)json_integer_value(json_array_get(one, 2));
		}
	}
	return ifindex;
}

json_t *vrfs_message(const struct vrfs *v)
{
	return json_incref(v->message);
}
