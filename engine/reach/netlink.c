#include "engine/reach/netlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "engine/reach/rtnl.h"

enum {
	LOWER_UP = 1 << 16,     /* IFF_LOWER_UP: <linux/if.h> and <net/if.h> exclude each other */
	BUFFER = 32 << 10,      /* a piece of news */
	RECEIVE_BUFFER = 4 << 20,
};

struct netlink {
	struct loop *loop;
	struct rtnl rtnl;
	struct mnl_socket *events;
	struct watch watch;
	bool filling;           /* first fill: nobody is told */
	struct list ifaces, watches;
};

/* ---- the table ---- */

static struct iface *find(const struct netlink *n, int index)
{
	LIST_FOREACH(l, &n->ifaces) {
		struct iface *i = LIST_ENTRY(l, struct iface, link);
		if (i->index == index)
			return i;
	}
	return NULL;
}

static void tell_iface(struct netlink *n, const struct iface *i, bool gone)
{
	if (n->filling)
		return;
	LIST_FOREACH(l, &n->watches) {
		struct netlink_watch *w = LIST_ENTRY(l, struct netlink_watch, link);
		if (w->iface)
			w->iface(w, i, gone);
	}
}

static void iface_free(struct iface *i)
{
	list_remove(&i->link);
	free(i->addrs);
	free(i);
}

/* A veth names its peer where others name what they stand on. */
static bool is_veth(const struct nlattr *info)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, info)
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			return !strcmp(mnl_attr_get_str(a), "veth");
	return false;
}

static void on_link(struct netlink *n, const struct nlmsghdr *h)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
	struct iface *i = find(n, m->ifi_index), was;
	const struct nlattr *a;
	bool port = false, veth = false;
	int lower = 0;

	/* What a bridge says of its ports is not news of the interface. */
	if (m->ifi_family == AF_BRIDGE)
		return;
	if (h->nlmsg_type == RTM_DELLINK) {
		if (!i)
			return;
		i->up = i->carrier = false;
		tell_iface(n, i, true);
		iface_free(i);
		return;
	}
	bool fresh = !i;
	if (fresh) {
		i = xcalloc(1, sizeof(*i));
		i->index = m->ifi_index;
		list_init(&i->link);
		list_insert(&n->ifaces, &i->link);
	}
	was = *i;
	i->up = m->ifi_flags & IFF_UP;
	i->carrier = m->ifi_flags & LOWER_UP;
	mnl_attr_for_each(a, h, sizeof(*m)) {
		size_t len = mnl_attr_get_payload_len(a);
		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME:
			snprintf(i->name, sizeof(i->name), "%s", mnl_attr_get_str(a));
			break;
		case IFLA_ADDRESS:
			if (len == 6)
				memcpy(i->mac, mnl_attr_get_payload(a), 6);
			break;
		case IFLA_MTU:
			i->mtu = mnl_attr_get_u32(a);
			break;
		case IFLA_LINK:
			lower = (int)mnl_attr_get_u32(a);
			break;
		case IFLA_LINKINFO:
			veth = is_veth(a);
			break;
		case IFLA_MASTER:
			port = mnl_attr_get_u32(a) != 0;
			break;
		}
	}
	i->lower = veth || lower == i->index ? 0 : lower;
	i->data = m->ifi_type == ARPHRD_ETHER && !(m->ifi_flags & IFF_LOOPBACK) && !port &&
		  strncmp(i->name, NETLINK_OWN_PREFIX, strlen(NETLINK_OWN_PREFIX)) != 0;
	/* The kernel repeats itself, for counters and such. */
	if (fresh || memcmp(&was, i, sizeof(was)))
		tell_iface(n, i, false);
}

static void on_addr(struct netlink *n, const struct nlmsghdr *h)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct iface *i = find(n, (int)m->ifa_index);
	struct iface_addr got = { .prefix_len = m->ifa_prefixlen, .link_local = m->ifa_scope == RT_SCOPE_LINK };
	const struct nlattr *a;
	bool known = false, local = false;

	if (!i)
		return;
	mnl_attr_for_each(a, h, sizeof(*m)) {
		const void *p = mnl_attr_get_payload(a);
		size_t len = mnl_attr_get_payload_len(a);
		switch (mnl_attr_get_type(a)) {
		case IFA_ADDRESS: /* of the peer, on point-to-point links; IFA_LOCAL is ours, where it is given */
			if (!local)
				known |= ip_from_bytes(&got.addr, p, len);
			break;
		case IFA_LOCAL:
			local = ip_from_bytes(&got.addr, p, len);
			known |= local;
			break;
		case IFA_PROTO:
			got.ours = mnl_attr_get_u8(a) == RTNL_OURS;
			break;
		}
	}
	if (!known)
		return;

	size_t at = 0;
	while (at < i->addrs_n && !(ip_equal(&i->addrs[at].addr, &got.addr) &&
				    i->addrs[at].prefix_len == got.prefix_len))
		at++;
	if (h->nlmsg_type == RTM_DELADDR) {
		if (at == i->addrs_n)
			return;
		i->addrs[at] = i->addrs[--i->addrs_n];
	} else if (at < i->addrs_n) {
		if (!memcmp(&i->addrs[at], &got, sizeof(got)))
			return;
		i->addrs[at] = got;
	} else {
		i->addrs = xrealloc(i->addrs, (i->addrs_n + 1) * sizeof(got));
		i->addrs[i->addrs_n++] = got;
	}
	tell_iface(n, i, false);
}

static void on_neighbour(struct netlink *n, const struct nlmsghdr *h)
{
	const struct ndmsg *m = mnl_nlmsg_get_payload(h);
	const uint8_t *mac = NULL;
	struct in6_addr ip;
	const struct nlattr *a;
	bool known = false;

	if (m->ndm_family != AF_INET && m->ndm_family != AF_INET6)
		return;
	mnl_attr_for_each(a, h, sizeof(*m)) {
		size_t len = mnl_attr_get_payload_len(a);
		if (mnl_attr_get_type(a) == NDA_DST)
			known = ip_from_bytes(&ip, mnl_attr_get_payload(a), len);
		else if (mnl_attr_get_type(a) == NDA_LLADDR && len == 6)
			mac = mnl_attr_get_payload(a);
	}
	if (!known)
		return;
	const uint16_t valid = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY;
	if (h->nlmsg_type == RTM_DELNEIGH || !(m->ndm_state & valid))
		mac = NULL;
	LIST_FOREACH(l, &n->watches) {
		struct netlink_watch *w = LIST_ENTRY(l, struct netlink_watch, link);
		if (w->neighbour)
			w->neighbour(w, m->ndm_ifindex, &ip, mac);
	}
}

static int on_message(const struct nlmsghdr *h, void *arg)
{
	struct netlink *n = arg;

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		on_link(n, h);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		on_addr(n, h);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		on_neighbour(n, h);
		break;
	}
	return MNL_CB_OK;
}

static int dump(struct netlink *n, uint16_t type)
{
	char buf[128];
	struct nlmsghdr *h = rtnl_message(buf, type, NLM_F_DUMP);

	mnl_nlmsg_put_extra_header(h, type == RTM_GETLINK ? sizeof(struct ifinfomsg) : sizeof(struct ifaddrmsg));
	return rtnl_ask(&n->rtnl, h, on_message, n);
}

static int fill(struct netlink *n)
{
	int rc = dump(n, RTM_GETLINK);

	return rc ? rc : dump(n, RTM_GETADDR);
}

/* Events were lost: what is no longer there must be found out as well. */
static void refill(struct netlink *n)
{
	log_warn("netlink.overrun");
	LIST_FOREACH(l, &n->ifaces) {
		struct iface *i = LIST_ENTRY(l, struct iface, link);
		char name[IF_NAMESIZE];
		i->addrs_n = 0;
		if (if_indextoname((unsigned)i->index, name))
			continue;
		i->up = i->carrier = false;
		tell_iface(n, i, true);
		iface_free(i);
	}
	int rc = fill(n);
	if (rc)
		log_error("netlink.fill error=\"%s\"", strerror(-rc));
}

static void events_ready(struct watch *w, uint32_t events)
{
	struct netlink *n = CONTAINER_OF(w, struct netlink, watch);
	char buf[BUFFER];

	(void)events;
	for (;;) {
		ssize_t got = recv(w->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (got < 0 && errno == ENOBUFS) {
			refill(n);
			continue;
		}
		if (got <= 0)
			return;
		mnl_cb_run(buf, (size_t)got, 0, 0, on_message, n);
	}
}

int netlink_new(struct loop *l, struct netlink **out, struct err *e)
{
	struct netlink *n = xcalloc(1, sizeof(*n));
	static const int groups[] = { RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_NEIGH };
	int rc, size = RECEIVE_BUFFER;

	n->loop = l;
	list_init(&n->ifaces);
	list_init(&n->watches);
	rc = rtnl_open(&n->rtnl);
	if (!rc)
		rc = rtnl_listen(groups, ARRAY_SIZE(groups), &n->events);
	if (!rc) {
		/* Best effort: without the right to force it the limit of the system holds. */
		(void)setsockopt(mnl_socket_get_fd(n->events), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		n->filling = true;
		rc = fill(n);
		n->filling = false;
	}
	if (!rc)
		rc = watch_start(l, &n->watch, mnl_socket_get_fd(n->events), EPOLLIN, events_ready);
	if (rc) {
		netlink_free(n);
		return err_set(e, rc, NULL, "the kernel does not tell its interfaces: %s", strerror(-rc));
	}
	*out = n;
	return 0;
}

void netlink_free(struct netlink *n)
{
	if (!n)
		return;
	if (n->watch.active)
		watch_stop(n->loop, &n->watch);
	LIST_FOREACH(l, &n->watches)
		list_remove(l);
	LIST_FOREACH(l, &n->ifaces)
		iface_free(LIST_ENTRY(l, struct iface, link));
	if (n->events)
		mnl_socket_close(n->events);
	rtnl_close(&n->rtnl);
	free(n);
}

void netlink_watch(struct netlink *n, struct netlink_watch *w)
{
	list_init(&w->link);
	list_insert(&n->watches, &w->link);
}

void netlink_unwatch(struct netlink_watch *w)
{
	if (w->link.next)
		list_remove(&w->link);
}

struct rtnl *netlink_rtnl(struct netlink *n)
{
	return &n->rtnl;
}

/* ---- reading ---- */

const struct iface *netlink_iface(const struct netlink *n, int index)
{
	return find(n, index);
}

const struct iface *netlink_iface_named(const struct netlink *n, const char *name)
{
	LIST_FOREACH(l, &n->ifaces) {
		const struct iface *i = LIST_ENTRY(l, struct iface, link);
		if (!strcmp(i->name, name))
			return i;
	}
	return NULL;
}

bool netlink_iface_carries(const struct netlink *n, const struct iface *i)
{
	LIST_FOREACH(l, &n->ifaces)
		if (LIST_ENTRY(l, struct iface, link)->lower == i->index)
			return true;
	return false;
}

const struct iface *netlink_iface_towards(const struct netlink *n, const struct in6_addr *ip)
{
	const struct iface *best = NULL;
	int longest = -1;

	LIST_FOREACH(l, &n->ifaces) {
		const struct iface *i = LIST_ENTRY(l, struct iface, link);
		for (size_t k = 0; i->data && k < i->addrs_n; k++) {
			const struct iface_addr *a = &i->addrs[k];
			if (a->ours || a->prefix_len <= longest || !ip_within(ip, &a->addr, a->prefix_len))
				continue;
			best = i;
			longest = a->prefix_len;
		}
	}
	return best;
}

void netlink_each(const struct netlink *n, void (*f)(void *arg, const struct iface *i), void *arg)
{
	LIST_FOREACH(l, &n->ifaces)
		f(arg, LIST_ENTRY(l, struct iface, link));
}

json_t *netlink_interfaces_json(const struct netlink *n)
{
	json_t *all = json_array();

	LIST_FOREACH(l, &n->ifaces) {
		const struct iface *i = LIST_ENTRY(l, struct iface, link);
		char mac[18], text[IP_TEXT_MAX];
		if (!i->data)
			continue;
		json_t *addresses = json_array();
		for (size_t k = 0; k < i->addrs_n; k++)
			if (!i->addrs[k].ours && !i->addrs[k].link_local)
				json_array_append_new(addresses,
						      json_sprintf("%s/%u", ip_text(&i->addrs[k].addr, text),
								   i->addrs[k].prefix_len));
		json_array_append_new(all, json_pack("{s:s, s:s, s:i, s:b, s:o}", "name", i->name, "mac",
						     mac_text(i->mac, mac), "mtu", (int)i->mtu, "up",
						     i->up && i->carrier, "addresses", addresses));
	}
	return all;
}

/* All interfaces, with what we added to them. */
json_t *netlink_vnics_json(const struct netlink *n)
{
	json_t *all = json_array();

	LIST_FOREACH(l, &n->ifaces) {
		const struct iface *i = LIST_ENTRY(l, struct iface, link);
		json_t *addresses = json_array(), *vips = json_array();
		char mac[18], text[IP_TEXT_MAX];

		for (size_t k = 0; k < i->addrs_n; k++)
			json_array_append_new(i->addrs[k].ours ? vips : addresses,
					      json_sprintf("%s/%u", ip_text(&i->addrs[k].addr, text), i->addrs[k].prefix_len));
		json_array_append_new(all, json_pack("{s:s, s:i, s:s, s:i, s:b, s:b, s:o, s:o}", "linux_name", i->name,
						     "if_index", i->index, "mac_address", mac_text(i->mac, mac), "mtu",
						     (int)i->mtu, "enabled", i->up, "link_up", i->carrier, "addresses", addresses, "vips", vips));
	}
	return all;
}

/* ---- changing ---- */

static int addr_change(struct netlink *n, uint16_t type, uint16_t flags, int ifindex, const struct in6_addr *addr)
{
	const struct ifa_cacheinfo old = { .ifa_valid = UINT32_MAX };
	char buf[256];
	struct nlmsghdr *h = rtnl_message(buf, type, flags);
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	size_t len;
	const uint8_t *bytes = ip_bytes(addr, &len);

	m->ifa_family = len == 4 ? AF_INET : AF_INET6;
	m->ifa_prefixlen = (uint8_t)(len * 8);
	m->ifa_flags = len == 4 ? 0 : IFA_F_NODAD;
	m->ifa_index = (unsigned)ifindex;
	mnl_attr_put(h, IFA_LOCAL, len, bytes);
	mnl_attr_put(h, IFA_ADDRESS, len, bytes);
	mnl_attr_put_u8(h, IFA_PROTO, RTNL_OURS);
	/* Deprecated: the kernel takes it for nothing that did not ask for it, though it may be the nearest to a neighbour. */
	if (len == 16)
		mnl_attr_put(h, IFA_CACHEINFO, sizeof(old), &old);
	return rtnl_ask(&n->rtnl, h, NULL, NULL);
}

int netlink_addr_add(struct netlink *n, int ifindex, const struct in6_addr *addr)
{
	return addr_change(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifindex, addr);
}

int netlink_addr_delete(struct netlink *n, int ifindex, const struct in6_addr *addr)
{
	return addr_change(n, RTM_DELADDR, 0, ifindex, addr);
}

static struct nlmsghdr *neighbour_message(char *buf, uint16_t type, uint16_t flags, int ifindex,
					  const struct in6_addr *ip, uint8_t ndm_flags)
{
	struct nlmsghdr *h = rtnl_message(buf, type, flags);
	struct ndmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	size_t len;
	const uint8_t *bytes = ip_bytes(ip, &len);

	m->ndm_family = len == 4 ? AF_INET : AF_INET6;
	m->ndm_ifindex = ifindex;
	m->ndm_flags = ndm_flags;
	mnl_attr_put(h, NDA_DST, len, bytes);
	return h;
}

int netlink_neighbour_manage(struct netlink *n, int ifindex, const struct in6_addr *ip)
{
	char buf[256];
	struct nlmsghdr *h = neighbour_message(buf, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, ifindex, ip, 0);

	mnl_attr_put_u32(h, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
	mnl_attr_put_u8(h, NDA_PROTOCOL, RTNL_OURS);
	int rc = rtnl_ask(&n->rtnl, h, NULL, NULL);
	if (rc)
		return rc;
	/* An entry that was there already makes no event. */
	h = neighbour_message(buf, RTM_GETNEIGH, 0, ifindex, ip, 0);
	rc = rtnl_ask(&n->rtnl, h, on_message, n);
	return rc == -ENOENT ? 0 : rc;
}

/* NTF_USE keeps the entry and what is known: others may use it. */
int netlink_neighbour_forget(struct netlink *n, int ifindex, const struct in6_addr *ip)
{
	char buf[256];

	return rtnl_ask(&n->rtnl, neighbour_message(buf, RTM_NEWNEIGH, NLM_F_REPLACE, ifindex, ip, NTF_USE), NULL, NULL);
}

static int forget_ours(const struct nlmsghdr *h, void *arg)
{
	const struct ndmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	struct in6_addr ip;
	bool known = false, ours = false;

	if (m->ndm_family != AF_INET && m->ndm_family != AF_INET6)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m)) {
		if (mnl_attr_get_type(a) == NDA_DST)
			known = ip_from_bytes(&ip, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
		else if (mnl_attr_get_type(a) == NDA_PROTOCOL)
			ours = mnl_attr_get_u8(a) == RTNL_OURS;
	}
	if (known && ours)
		(void)netlink_neighbour_forget(arg, m->ndm_ifindex, &ip);
	return MNL_CB_OK;
}

void netlink_neighbours_forget(struct netlink *n)
{
	char buf[128];
	struct nlmsghdr *h = rtnl_message(buf, RTM_GETNEIGH, NLM_F_DUMP);

	mnl_nlmsg_put_extra_header(h, sizeof(struct ndmsg));
	(void)rtnl_ask(&n->rtnl, h, forget_ours, n);
}

static int on_stats(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(struct ifinfomsg)) {
		struct rtnl_link_stats64 s = { 0 };
		if (mnl_attr_get_type(a) != IFLA_STATS64)
			continue;
		memcpy(&s, mnl_attr_get_payload(a), MIN(sizeof(s), (size_t)mnl_attr_get_payload_len(a)));
		*(uint64_t *)arg = s.tx_dropped;
	}
	return MNL_CB_OK;
}

int netlink_tx_dropped(struct netlink *n, int ifindex, uint64_t *out)
{
	char buf[128];
	struct nlmsghdr *h = rtnl_message(buf, RTM_GETLINK, 0);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ifi_index = ifindex;
	*out = 0;
	return rtnl_ask(&n->rtnl, h, on_stats, out);
}
