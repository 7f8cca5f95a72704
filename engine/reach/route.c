/*
 * Two sockets of its own: tables of a router change thousands of times a second, and the news of them must neither
 * crowd out those of interfaces (engine/reach/netlink.c) nor be read one by one. What they say is not looked at.
 */
#include "engine/reach/route.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/log.h"

enum {
	BUFFER = 8 << 10,
	READ_MAX = 16,   /* pieces of news a turn */
	SETTLE_MS = 50,
};

struct routes {
	struct loop *loop;
	struct mnl_socket *news, *asks;
	struct watch watch;
	struct timer settle;
	unsigned seq;
	void (*changed)(void *arg);
	void *arg;
};

static void settled(struct timer *t)
{
	struct routes *r = CONTAINER_OF(t, struct routes, settle);

	r->changed(r->arg);
}

static void news_ready(struct watch *w, uint32_t events)
{
	struct routes *r = CONTAINER_OF(w, struct routes, watch);
	char buf[BUFFER];

	(void)events;
	for (int i = 0; i < READ_MAX; i++)
		/* That some were lost is news as well. */
		if (recv(w->fd, buf, sizeof(buf), MSG_DONTWAIT) <= 0 && errno != ENOBUFS)
			break;
	if (!r->settle.active)
		timer_in(r->loop, &r->settle, SETTLE_MS, settled);
}

int routes_new(struct loop *l, void (*changed)(void *arg), void *arg, struct routes **out, struct err *e)
{
	struct routes *r = xcalloc(1, sizeof(*r));
	static const int groups[] = { RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE };
	const struct timeval patience = { .tv_sec = 2 };
	int rc = 0, group;

	r->loop = l;
	r->changed = changed;
	r->arg = arg;
	r->news = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	r->asks = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!r->news || !r->asks || mnl_socket_bind(r->news, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_bind(r->asks, 0, MNL_SOCKET_AUTOPID) < 0)
		rc = -errno;
	for (size_t i = 0; !rc && i < ARRAY_SIZE(groups); i++) {
		group = groups[i];
		if (mnl_socket_setsockopt(r->news, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			rc = -errno;
	}
	if (!rc) {
		(void)setsockopt(mnl_socket_get_fd(r->asks), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		rc = watch_start(l, &r->watch, mnl_socket_get_fd(r->news), EPOLLIN, news_ready);
	}
	if (rc) {
		routes_free(r);
		return err_set(e, rc, NULL, "the kernel does not tell its routes: %s", strerror(-rc));
	}
	*out = r;
	return 0;
}

void routes_free(struct routes *r)
{
	if (!r)
		return;
	timer_stop(r->loop, &r->settle);
	if (r->watch.active)
		watch_stop(r->loop, &r->watch);
	if (r->news)
		mnl_socket_close(r->news);
	if (r->asks)
		mnl_socket_close(r->asks);
	free(r);
}

static void put_address(const struct nlattr *a, struct in6_addr *out)
{
	(void)ip_from_bytes(out, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
}

/* An IPv4 route whose gateway is an IPv6 address, or the other way about. */
static void put_via(const struct nlattr *a, struct in6_addr *out)
{
	const struct rtvia *v = mnl_attr_get_payload(a);

	if (mnl_attr_get_payload_len(a) > sizeof(*v))
		(void)ip_from_bytes(out, v->rtvia_addr, mnl_attr_get_payload_len(a) - sizeof(*v));
}

/* Of several next hops the first, or the first by VIA: a flow has to stay with one anyhow. */
static void put_multipath(const struct nlattr *a, int via, struct route *r)
{
	const struct rtnexthop *nh = mnl_attr_get_payload(a);
	int left = (int)mnl_attr_get_payload_len(a);

	for (; RTNH_OK(nh, left); left -= RTNH_ALIGN(nh->rtnh_len), nh = RTNH_NEXT(nh)) {
		const struct nlattr *attr; /* the macro calls it so */

		if ((via && nh->rtnh_ifindex != via) || nh->rtnh_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN))
			continue;
		r->ifindex = nh->rtnh_ifindex;
		mnl_attr_for_each_payload((void *)RTNH_DATA(nh), nh->rtnh_len - sizeof(*nh)) {
			if (mnl_attr_get_type(attr) == RTA_GATEWAY)
				put_address(attr, &r->gateway);
			else if (mnl_attr_get_type(attr) == RTA_VIA)
				put_via(attr, &r->gateway);
		}
		return;
	}
}

struct answer {
	struct route *route;
	int via;
};

static int on_route(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct answer *x = arg;
	struct route *r = x->route;
	const struct nlattr *a, *metric;

	if (h->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	r->local = m->rtm_type == RTN_LOCAL;
	r->dst_len = m->rtm_dst_len;
	mnl_attr_for_each(a, h, sizeof(*m)) {
		switch (mnl_attr_get_type(a)) {
		case RTA_OIF:
			r->ifindex = (int)mnl_attr_get_u32(a);
			break;
		case RTA_GATEWAY:
			put_address(a, &r->gateway);
			break;
		case RTA_VIA:
			put_via(a, &r->gateway);
			break;
		case RTA_PREFSRC:
			put_address(a, &r->source);
			break;
		case RTA_PRIORITY:
			r->metric = mnl_attr_get_u32(a);
			break;
		case RTA_MULTIPATH:
			put_multipath(a, x->via, r);
			break;
		case RTA_METRICS:
			mnl_attr_for_each_nested(metric, a)
				if (mnl_attr_get_type(metric) == RTAX_MTU)
					r->mtu = mnl_attr_get_u32(metric);
			break;
		}
	}
	return MNL_CB_OK;
}

int route_find(struct routes *r, const struct in6_addr *ip, int via, struct route *out)
{
	char buf[BUFFER];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	struct answer x = { .route = out, .via = via };
	unsigned seq = ++r->seq, port = mnl_socket_get_portid(r->asks);
	size_t len;
	const uint8_t *bytes = ip_bytes(ip, &len);
	int rc = MNL_CB_OK;

	memset(out, 0, sizeof(*out));
	h->nlmsg_type = RTM_GETROUTE;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = seq;
	m->rtm_family = len == 4 ? AF_INET : AF_INET6;
	m->rtm_dst_len = (uint8_t)(len * 8);
	/* The entry of the table: bound to an interface, the kernel would say of any address that it is on its network. */
	m->rtm_flags = RTM_F_FIB_MATCH;
	mnl_attr_put(h, RTA_DST, len, bytes);
	if (via)
		mnl_attr_put_u32(h, RTA_OIF, (uint32_t)via);
	if (mnl_socket_sendto(r->asks, h, h->nlmsg_len) < 0)
		return -errno;
	while (rc == MNL_CB_OK) {
		ssize_t got = mnl_socket_recvfrom(r->asks, buf, sizeof(buf));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		rc = mnl_cb_run(buf, (size_t)got, seq, port, on_route, &x);
		if (rc < 0)
			return -errno;
	}
	if (out->local)
		return 0;
	return out->ifindex && (!via || out->ifindex == via) ? 0 : -ENETUNREACH;
}
