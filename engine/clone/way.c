#include "engine/clone/way.h"

#include "engine/reach/netlink.h"
#include "engine/reach/route.h"

struct search {
	const struct clone_want *want;
	struct netlink *netlink;
	struct routes *routes;
	struct clones_user *user;
	unsigned domain;
	bool by_subnet;             /* look for an interface in it, else for one towards the address */
	const struct iface *best;
	int score;
	struct route route;         /* the best one so far */
	bool routed;
};

static bool is_in_domain(const struct search *s, const struct iface *i)
{
	return !s->user || !s->user->domain_of || s->user->domain_of(s->user, i->index) == s->domain;
}

static bool works(const struct iface *i)
{
	return i->up && i->carrier;
}

/* Of several interfaces the one that works, then the one with the longest prefix. */
static void look(void *arg, const struct iface *i)
{
	struct search *s = arg;
	const struct clone_want *w = s->want;

	if (!i->data || !is_in_domain(s, i))
		return;
	for (size_t k = 0; k < i->addrs_n; k++) {
		const struct iface_addr *a = &i->addrs[k];
		int score = a->prefix_len + 1 + (works(i) ? 256 : 0);

		if (a->ours || score <= s->score)
			continue;
		if (s->by_subnet ? !ip_within(&a->addr, &w->subnet, w->subnet_len)
				 : !ip_within(&w->ip, &a->addr, a->prefix_len))
			continue;
		s->best = i;
		s->score = score;
	}
}

static const struct iface *find(struct search *s, bool by_subnet)
{
	s->by_subnet = by_subnet;
	s->best = NULL;
	s->score = 0;
	netlink_each(s->netlink, look, s);
	return s->best;
}

/* ---- routes ---- */

static void consider(struct search *s, int via)
{
	struct route r;

	if (route_find(s->routes, &s->want->ip, via, &r))
		return;
	if (s->routed && (r.dst_len < s->route.dst_len ||
			  (r.dst_len == s->route.dst_len && r.metric >= s->route.metric)))
		return;
	s->route = r;
	s->routed = true;
}

static void consider_iface(void *arg, const struct iface *i)
{
	struct search *s = arg;

	if (i->data && i->up && is_in_domain(s, i))
		consider(s, i->index);
}

/* An address of ours on I to send to W by: one on the next hop's network before another; never a VIP. */
static const struct in6_addr *own_address(const struct iface *i, const struct clone_want *w, const struct in6_addr *hop)
{
	const struct in6_addr *found = NULL;

	for (size_t k = 0; k < i->addrs_n; k++) {
		const struct iface_addr *a = &i->addrs[k];

		if (a->ours || a->link_local || ip_is_v4(&a->addr) != ip_is_v4(&w->ip))
			continue;
		if (ip_within(hop, &a->addr, a->prefix_len))
			return &a->addr;
		if (!found)
			found = &a->addr;
	}
	return found;
}

static void find_routed(struct search *s, const struct iface *only, struct clone_way *out)
{
	const struct in6_addr *source;
	const struct iface *i;
	char ip[IP_TEXT_MAX];

	ip_text(&s->want->ip, ip);
	if (only)
		consider(s, only->index);
	else if (s->domain)
		netlink_each(s->netlink, consider_iface, s);
	else
		consider(s, 0);
	if (s->routed && s->route.local) {
		snprintf(out->trouble, sizeof(out->trouble), "%s is an address of this engine", ip);
		return;
	}
	i = s->routed ? netlink_iface(s->netlink, s->route.ifindex) : NULL;
	if (!i || !is_in_domain(s, i)) {
		snprintf(out->trouble, sizeof(out->trouble), "no route of this engine leads to %s%s%s", ip,
			 only ? " by " : "", only ? only->name : "");
		return;
	}
	if (!i->data) {
		snprintf(out->trouble, sizeof(out->trouble), "the route to %s leads by %s, which is no Ethernet interface",
			 ip, i->name);
		return;
	}
	out->next_hop = ip_is_zero(&s->route.gateway) ? s->want->ip : s->route.gateway;
	source = ip_is_zero(&s->route.source) ? own_address(i, s->want, &out->next_hop) : &s->route.source;
	if (!source) {
		snprintf(out->trouble, sizeof(out->trouble), "%s has no IPv%c address to send to %s from", i->name,
			 ip_is_v4(&s->want->ip) ? '4' : '6', ip);
		return;
	}
	out->source = *source;
	out->mtu = s->route.mtu && s->route.mtu < i->mtu ? s->route.mtu : i->mtu;
	out->iface = i;
}

void clone_way_find(const struct clone_want *w, struct netlink *n, struct routes *r, struct clones_user *u,
		    struct clone_way *out)
{
	struct search s = { .want = w, .netlink = n, .routes = r, .user = u };
	const struct iface *i = NULL;
	char text[IP_TEXT_MAX];

	memset(out, 0, sizeof(*out));
	if (*w->vrf && u && u->domain && !u->domain(u, w->vrf, &s.domain)) {
		snprintf(out->trouble, sizeof(out->trouble), "no interface of this engine is in its VRF");
		return;
	}
	if (w->has_subnet) {
		i = find(&s, true);
		if (!i) {
			snprintf(out->trouble, sizeof(out->trouble), "no interface of this engine lies in %s/%u",
				 ip_text(&w->subnet, text), w->subnet_len);
			return;
		}
	}
	if (w->wrap) {
		find_routed(&s, i, out);
	} else {
		out->iface = i ? i : find(&s, false);
		if (!out->iface) {
			snprintf(out->trouble, sizeof(out->trouble), "%s is not adjacent and has no encapsulation",
				 ip_text(&w->ip, text));
			return;
		}
		out->mtu = out->iface->mtu;
		out->next_hop = w->ip;
		out->floods = w->has_subnet;
	}
	if (w->has_mac || !w->has_ip)
		out->next_hop = (struct in6_addr){ 0 };
}
