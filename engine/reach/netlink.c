#include "engine/reach/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/log.h"

enum {
	LOWER_UP = 1 << 16,     /* IFF_LOWER_UP: <linux/if.h> and <net/if.h> exclude each other */
	ADDR_GEN_NONE = 1,      /* IN6_ADDR_GEN_MODE_NONE */
	BUFFER = 32 << 10,      /* a dump's piece */
	RECEIVE_BUFFER = 4 << 20,
	CUTTER_MTU = 65535,
};

struct netlink {
	struct loop *loop;
	struct mnl_socket *events, *asks;
	struct watch watch;
	unsigned seq;
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
			got.ours = mnl_attr_get_u8(a) == NETLINK_OURS;
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

/* ---- asking ---- */

static struct nlmsghdr *message(char *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	return h;
}

/* Sends H and reads until the kernel's last word; what it tells goes to CB, which may ask again. */
static int ask(struct netlink *n, struct nlmsghdr *h, mnl_cb_t cb, void *arg)
{
	unsigned seq = ++n->seq;
	char buf[BUFFER];

	h->nlmsg_seq = seq;
	/* NLM_F_DUMP is two bits, and other messages have either of them for other things. */
	if ((h->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		h->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(n->asks, h, h->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t got = mnl_socket_recvfrom(n->asks, buf, sizeof(buf));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		int rc = mnl_cb_run(buf, (size_t)got, seq, mnl_socket_get_portid(n->asks), cb, arg);
		if (rc < 0)
			return -errno;
		if (rc == MNL_CB_STOP)
			return 0;
	}
}

static int dump(struct netlink *n, uint16_t type)
{
	char buf[128];
	struct nlmsghdr *h = message(buf, type, NLM_F_DUMP);

	mnl_nlmsg_put_extra_header(h, type == RTM_GETLINK ? sizeof(struct ifinfomsg) : sizeof(struct ifaddrmsg));
	return ask(n, h, on_message, n);
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
	const struct timeval patience = { .tv_sec = 2 };
	int rc = 0, size = RECEIVE_BUFFER, group;

	n->loop = l;
	list_init(&n->ifaces);
	list_init(&n->watches);
	n->events = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	n->asks = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!n->events || !n->asks || mnl_socket_bind(n->events, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_bind(n->asks, 0, MNL_SOCKET_AUTOPID) < 0)
		rc = -errno;
	for (size_t i = 0; !rc && i < ARRAY_SIZE(groups); i++) {
		group = groups[i];
		if (mnl_socket_setsockopt(n->events, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			rc = -errno;
	}
	if (!rc) {
		/* Best effort: without the right to force it the limit of the system holds. */
		(void)setsockopt(mnl_socket_get_fd(n->events), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		/* The kernel answers in microseconds; were an answer lost, the leases must not wait for it for ever. */
		(void)setsockopt(mnl_socket_get_fd(n->asks), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
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
	if (n->asks)
		mnl_socket_close(n->asks);
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

const struct iface *netlink_iface_within(const struct netlink *n, const struct in6_addr *net, unsigned len)
{
	LIST_FOREACH(l, &n->ifaces) {
		const struct iface *i = LIST_ENTRY(l, struct iface, link);
		for (size_t k = 0; i->data && k < i->addrs_n; k++)
			if (!i->addrs[k].ours && ip_within(&i->addrs[k].addr, net, len))
				return i;
	}
	return NULL;
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
	char buf[256];
	struct nlmsghdr *h = message(buf, type, flags);
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	size_t len;
	const uint8_t *bytes = ip_bytes(addr, &len);

	m->ifa_family = len == 4 ? AF_INET : AF_INET6;
	m->ifa_prefixlen = (uint8_t)(len * 8);
	m->ifa_flags = len == 4 ? 0 : IFA_F_NODAD;
	m->ifa_index = (unsigned)ifindex;
	mnl_attr_put(h, IFA_LOCAL, len, bytes);
	mnl_attr_put(h, IFA_ADDRESS, len, bytes);
	mnl_attr_put_u8(h, IFA_PROTO, NETLINK_OURS);
	return ask(n, h, NULL, NULL);
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
	struct nlmsghdr *h = message(buf, type, flags);
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
	mnl_attr_put_u8(h, NDA_PROTOCOL, NETLINK_OURS);
	int rc = ask(n, h, NULL, NULL);
	if (rc)
		return rc;
	/* An entry that was there already makes no event. */
	h = neighbour_message(buf, RTM_GETNEIGH, 0, ifindex, ip, 0);
	rc = ask(n, h, on_message, n);
	return rc == -ENOENT ? 0 : rc;
}

/* NTF_USE keeps the entry and what is known: others may use it. */
int netlink_neighbour_forget(struct netlink *n, int ifindex, const struct in6_addr *ip)
{
	char buf[256];

	return ask(n, neighbour_message(buf, RTM_NEWNEIGH, NLM_F_REPLACE, ifindex, ip, NTF_USE), NULL, NULL);
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
			ours = mnl_attr_get_u8(a) == NETLINK_OURS;
	}
	if (known && ours)
		(void)netlink_neighbour_forget(arg, m->ndm_ifindex, &ip);
	return MNL_CB_OK;
}

void netlink_neighbours_forget(struct netlink *n)
{
	char buf[128];
	struct nlmsghdr *h = message(buf, RTM_GETNEIGH, NLM_F_DUMP);

	mnl_nlmsg_put_extra_header(h, sizeof(struct ndmsg));
	(void)ask(n, h, forget_ours, n);
}

static int link_up(struct netlink *n, const char *name, bool up)
{
	char buf[256];
	struct nlmsghdr *h = message(buf, RTM_NEWLINK, 0);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ifi_family = AF_UNSPEC;
	m->ifi_change = IFF_UP;
	m->ifi_flags = up ? IFF_UP : 0;
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	if (!up) {
		/* No link-local address: nothing but copies is to pass there. */
		struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
		struct nlattr *inet6 = mnl_attr_nest_start(h, AF_INET6);
		mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_NONE);
		mnl_attr_nest_end(h, inet6);
		mnl_attr_nest_end(h, spec);
	}
	return ask(n, h, NULL, NULL);
}

int netlink_link_up(struct netlink *n, const char *name)
{
	int rc = link_up(n, name, false);

	/* Without IPv6 in the kernel there is nothing to switch off. */
	return !rc || rc == -EAFNOSUPPORT ? link_up(n, name, true) : rc;
}

int netlink_link_delete(struct netlink *n, const char *name)
{
	char buf[256];
	struct nlmsghdr *h = message(buf, RTM_DELLINK, 0);

	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	return ask(n, h, NULL, NULL);
}

static int pair_add(struct netlink *n, const char *near_end, const char *far_end)
{
	char buf[512];
	struct nlmsghdr *h = message(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);

	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, near_end);
	mnl_attr_put_u32(h, IFLA_MTU, CUTTER_MTU);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	struct nlattr *peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, far_end);
	mnl_attr_put_u32(h, IFLA_MTU, CUTTER_MTU);
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	return ask(n, h, NULL, NULL);
}

static int bridge_add(struct netlink *n, const char *name)
{
	char buf[256];
	struct nlmsghdr *h = message(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);

	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(h, info);
	return ask(n, h, NULL, NULL);
}

static int enslave(struct netlink *n, const char *port, const char *bridge)
{
	char buf[256];
	struct nlmsghdr *h = message(buf, RTM_NEWLINK, 0);

	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, port);
	mnl_attr_put_u32(h, IFLA_MASTER, if_nametoindex(bridge));
	return ask(n, h, NULL, NULL);
}

int netlink_cutter_add(struct netlink *n, const struct netlink_cutter *c)
{
	const char *parts[] = { c->far_end, c->port, c->bridge };
	int rc = bridge_add(n, c->bridge);

	if (!rc)
		rc = pair_add(n, c->port, c->far_end);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(parts); i++)
		rc = netlink_link_up(n, parts[i]);
	/* Last: a port that is up forwards at once. */
	if (!rc)
		rc = enslave(n, c->port, c->bridge);
	return rc;
}

int netlink_cutter_delete(struct netlink *n, const struct netlink_cutter *c)
{
	int pair = netlink_link_delete(n, c->port), bridge = netlink_link_delete(n, c->bridge);

	return pair == -ENODEV ? bridge : bridge == -ENODEV ? pair : pair ? pair : bridge;
}

static int rule_change(struct netlink *n, uint16_t type, uint16_t flags, const struct netlink_path *p)
{
	char buf[256];
	struct nlmsghdr *h = message(buf, type, flags);
	struct fib_rule_hdr *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

	r->family = p->v4 ? AF_INET : AF_INET6;
	r->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(h, FRA_TABLE, p->table);
	mnl_attr_put_u32(h, FRA_PRIORITY, p->priority);
	mnl_attr_put_u8(h, FRA_PROTOCOL, NETLINK_OURS);
	if (p->interface[0])
		mnl_attr_put_strz(h, p->inwards ? FRA_IIFNAME : FRA_OIFNAME, p->interface);
	return ask(n, h, NULL, NULL);
}

static void put_address(struct nlmsghdr *h, uint16_t attr, const struct in6_addr *ip)
{
	size_t len;
	const uint8_t *bytes = ip_bytes(ip, &len);

	if (!ip_is_zero(ip))
		mnl_attr_put(h, attr, len, bytes);
}

static int route_change(struct netlink *n, uint16_t type, uint16_t flags, const struct netlink_path *p)
{
	char buf[256];
	struct nlmsghdr *h = message(buf, type, flags);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	const bool refuses = !p->ifindex;

	m->rtm_family = p->v4 ? AF_INET : AF_INET6;
	m->rtm_dst_len = p->dst_len;
	m->rtm_table = RT_TABLE_UNSPEC;
	m->rtm_protocol = NETLINK_OURS;
	m->rtm_type = refuses ? RTN_UNREACHABLE : RTN_UNICAST;
	m->rtm_scope = refuses || !ip_is_zero(&p->gateway) || !p->v4 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	mnl_attr_put_u32(h, RTA_TABLE, p->table);
	mnl_attr_put_u32(h, RTA_PRIORITY, p->priority);
	if (p->dst_len)
		put_address(h, RTA_DST, &p->dst);
	put_address(h, RTA_GATEWAY, &p->gateway);
	put_address(h, RTA_PREFSRC, &p->source);
	if (!refuses)
		mnl_attr_put_u32(h, RTA_OIF, (uint32_t)p->ifindex);
	return ask(n, h, NULL, NULL);
}

int netlink_path_add(struct netlink *n, const struct netlink_path *p)
{
	int rc = p->rule ? rule_change(n, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, p)
			 : route_change(n, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, p);

	return p->rule && rc == -EEXIST ? 0 : rc;
}

int netlink_path_delete(struct netlink *n, const struct netlink_path *p)
{
	int rc = p->rule ? rule_change(n, RTM_DELRULE, 0, p) : route_change(n, RTM_DELROUTE, 0, p);

	return rc == -ESRCH || rc == -ENOENT || rc == -ENODEV ? 0 : rc;
}

struct found_paths {
	struct nlmsghdr **at;
	size_t n;
};

static bool is_ours(const struct nlmsghdr *h)
{
	const struct nlattr *a;

	if (h->nlmsg_type == RTM_NEWROUTE)
		return ((const struct rtmsg *)mnl_nlmsg_get_payload(h))->rtm_protocol == NETLINK_OURS;
	mnl_attr_for_each(a, h, sizeof(struct fib_rule_hdr))
		if (mnl_attr_get_type(a) == FRA_PROTOCOL)
			return mnl_attr_get_u8(a) == NETLINK_OURS;
	return false;
}

static int on_path(const struct nlmsghdr *h, void *arg)
{
	struct found_paths *f = arg;

	if ((h->nlmsg_type != RTM_NEWROUTE && h->nlmsg_type != RTM_NEWRULE) || !is_ours(h))
		return MNL_CB_OK;
	f->at = xrealloc(f->at, (f->n + 1) * sizeof(struct nlmsghdr *));
	f->at[f->n] = xmalloc(h->nlmsg_len);
	memcpy(f->at[f->n++], h, h->nlmsg_len);
	return MNL_CB_OK;
}

/* What the kernel tells of a rule or route is what it wants to hear to delete it. */
int netlink_paths_sweep(struct netlink *n)
{
	static const uint16_t types[] = { RTM_GETRULE, RTM_GETROUTE };
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct found_paths f = { 0 };
	int rc = 0;

	for (size_t t = 0; t < ARRAY_SIZE(types); t++)
		for (size_t k = 0; k < ARRAY_SIZE(families); k++) {
			char buf[128];
			struct nlmsghdr *h = message(buf, types[t], NLM_F_DUMP);
			struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
			int one;

			m->rtm_family = families[k];
			one = ask(n, h, on_path, &f);
			if (one && one != -EAFNOSUPPORT && one != -EOPNOTSUPP)
				rc = one;
		}
	for (size_t i = 0; i < f.n; i++) {
		struct nlmsghdr *h = f.at[i];

		h->nlmsg_type = h->nlmsg_type == RTM_NEWRULE ? RTM_DELRULE : RTM_DELROUTE;
		h->nlmsg_flags = NLM_F_REQUEST;
		(void)ask(n, h, NULL, NULL);
		free(h);
	}
	free(f.at);
	return rc;
}

static int on_route(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(struct rtmsg))
		if (mnl_attr_get_type(a) == RTA_OIF)
			*(int *)arg = (int)mnl_attr_get_u32(a);
	return MNL_CB_OK;
}

int netlink_route(struct netlink *n, const struct in6_addr *ip, int *ifindex)
{
	char buf[128];
	struct nlmsghdr *h = message(buf, RTM_GETROUTE, 0);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	size_t len;
	const uint8_t *bytes = ip_bytes(ip, &len);

	m->rtm_family = len == 4 ? AF_INET : AF_INET6;
	m->rtm_dst_len = (uint8_t)(len * 8);
	mnl_attr_put(h, RTA_DST, len, bytes);
	*ifindex = 0;
	int rc = ask(n, h, on_route, ifindex);
	return rc || *ifindex ? rc : -ENETUNREACH;
}

/* ---- lists for people ---- */

enum { LISTED_MAX = 4096 };

struct listing {
	const struct netlink *netlink;
	int family;
	json_t *out;
};

static void put_interface(const struct listing *l, json_t *one, int index)
{
	const struct iface *i = find((struct netlink *)l->netlink, index);

	if (i)
		json_object_set_new(one, "interface", json_string(i->name));
}

static bool put_ip(json_t *one, const char *name, const struct nlattr *a)
{
	struct in6_addr ip;
	char text[IP_TEXT_MAX];

	if (!ip_from_bytes(&ip, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a)))
		return false;
	json_object_set_new(one, name, json_string(ip_text(&ip, text)));
	return true;
}

static int list_neighbour(const struct nlmsghdr *h, void *arg)
{
	static const struct {
		uint16_t bit;
		const char *name;
	} states[] = { { NUD_REACHABLE, "REACHABLE" }, { NUD_PERMANENT, "PERMANENT" },
		       { NUD_STALE, "STALE" },	       { NUD_DELAY, "DELAY" },
		       { NUD_PROBE, "PROBE" },	       { NUD_INCOMPLETE, "INCOMPLETE" },
		       { NUD_FAILED, "FAILED" } };
	const struct ndmsg *m = mnl_nlmsg_get_payload(h);
	struct listing *l = arg;
	const struct nlattr *a;
	const char *state = "NONE";
	json_t *one;
	char mac[18];

	/* Those that need no resolving are no entries to anybody but the kernel. */
	if (m->ndm_family != l->family || (m->ndm_state & NUD_NOARP) ||
	    json_array_size(l->out) >= LISTED_MAX)
		return MNL_CB_OK;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (m->ndm_state & states[i].bit) {
			state = states[i].name;
			break;
		}
	one = json_pack("{s:s}", "state", state);
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		const uint8_t *p = mnl_attr_get_payload(a);

		if (mnl_attr_get_type(a) == NDA_DST) {
			put_ip(one, "ip_addr", a);
		} else if (mnl_attr_get_type(a) == NDA_LLADDR && mnl_attr_get_payload_len(a) == 6) {
			snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", p[0], p[1],
				 p[2], p[3], p[4], p[5]);
			json_object_set_new(one, "mac", json_string(mac));
		}
	}
	put_interface(l, one, m->ndm_ifindex);
	json_array_append_new(l->out, one);
	return MNL_CB_OK;
}

json_t *netlink_neighbours_json(struct netlink *n, int family)
{
	struct listing l = { n, family, json_array() };
	char buf[128];
	struct nlmsghdr *h = message(buf, RTM_GETNEIGH, NLM_F_DUMP);
	struct ndmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ndm_family = (uint8_t)family;
	ask(n, h, list_neighbour, &l);
	return l.out;
}

static int list_route(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct listing *l = arg;
	uint32_t table = m->rtm_table;
	const struct nlattr *a;
	json_t *one;

	if (m->rtm_family != l->family || m->rtm_type != RTN_UNICAST ||
	    (m->rtm_flags & RTM_F_CLONED) || json_array_size(l->out) >= LISTED_MAX)
		return MNL_CB_OK;
	one = json_object();
	json_object_set_new(one, "destination",
			    json_string(l->family == AF_INET ? "0.0.0.0" : "::"));
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(a)) {
		case RTA_DST:
			put_ip(one, "destination", a);
			break;
		case RTA_GATEWAY:
			put_ip(one, "gateway", a);
			break;
		case RTA_PREFSRC:
			put_ip(one, "source", a);
			break;
		case RTA_OIF:
			put_interface(l, one, (int)mnl_attr_get_u32(a));
			break;
		case RTA_PRIORITY:
			json_object_set_new(one, "metric", json_integer(mnl_attr_get_u32(a)));
			break;
		case RTA_TABLE:
			table = mnl_attr_get_u32(a);
			break;
		}
	}
	json_object_set_new(one, "destination",
			    json_sprintf("%s/%u", json_str(one, "destination", ""),
					 m->rtm_dst_len));
	json_object_set_new(one, "table", json_integer(table));
	json_array_append_new(l->out, one);
	return MNL_CB_OK;
}

json_t *netlink_routes_json(struct netlink *n)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct listing l = { n, 0, json_array() };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		char buf[128];
		struct nlmsghdr *h = message(buf, RTM_GETROUTE, NLM_F_DUMP);
		struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

		m->rtm_family = families[i];
		l.family = families[i];
		ask(n, h, list_route, &l);
	}
	return l.out;
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
	struct nlmsghdr *h = message(buf, RTM_GETLINK, 0);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ifi_index = ifindex;
	*out = 0;
	return ask(n, h, on_stats, out);
}

/* ethtool's generic calls: CMD with V. */
static int ethtool(const char *name, uint32_t cmd, uint32_t *v)
{
	CLEANUP_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_value value = { .cmd = cmd, .data = *v };
	struct ifreq r = { .ifr_data = (char *)&value };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &r))
		return -errno;
	*v = value.data;
	return 0;
}

int netlink_tx_offload(const char *name, bool on, bool *was)
{
	uint32_t v = 0, wanted = on;
	int rc = was ? ethtool(name, ETHTOOL_GTXCSUM, &v) : 0;

	if (rc)
		return rc;
	if (was)
		*was = v;
	return ethtool(name, ETHTOOL_STXCSUM, &wanted);
}

bool netlink_tx_offload_is_fixed(const char *name)
{
	uint32_t v = 0;

	/* Set to what it is: nothing changes, but the kernel says whether it could. */
	return ethtool(name, ETHTOOL_GTXCSUM, &v) || ethtool(name, ETHTOOL_STXCSUM, &v);
}
