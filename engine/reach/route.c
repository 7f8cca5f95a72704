/*
 * A socket of its own for news: tables of a router change thousands of times a second, and the news of them must neither
 * crowd out those of interfaces (engine/reach/netlink.c) nor be read one by one. What they say is not looked at.
 */
#include "engine/reach/route.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "engine/reach/rtnl.h"

enum {
	BUFFER = 8 << 10,
	READ_MAX = 16,   /* pieces of news a turn */
	SETTLE_MS = 50,
};

struct routes {
	struct loop *loop;
	struct mnl_socket *news;
	struct rtnl rtnl;
	struct watch watch;
	struct timer settle;
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
	int rc;

	r->loop = l;
	r->changed = changed;
	r->arg = arg;
	rc = rtnl_open(&r->rtnl);
	if (!rc)
		rc = rtnl_listen(groups, ARRAY_SIZE(groups), &r->news);
	if (!rc)
		rc = watch_start(l, &r->watch, mnl_socket_get_fd(r->news), EPOLLIN, news_ready);
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
	rtnl_close(&r->rtnl);
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

/* A question after the way to IP, in BUF. */
static struct nlmsghdr *question(char *buf, const struct in6_addr *ip, uint32_t flags)
{
	struct nlmsghdr *h = rtnl_message(buf, RTM_GETROUTE, 0);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	size_t len;
	const uint8_t *bytes = ip_bytes(ip, &len);

	m->rtm_family = len == 4 ? AF_INET : AF_INET6;
	m->rtm_dst_len = (uint8_t)(len * 8);
	m->rtm_flags = flags;
	mnl_attr_put(h, RTA_DST, len, bytes);
	return h;
}

int route_find(struct routes *r, const struct in6_addr *ip, int via, struct route *out)
{
	char buf[128];
	/* The entry of the table: bound to an interface, the kernel would say of any address that it is on its network. */
	struct nlmsghdr *h = question(buf, ip, RTM_F_FIB_MATCH);
	struct answer x = { .route = out, .via = via };
	int rc;

	memset(out, 0, sizeof(*out));
	if (via)
		mnl_attr_put_u32(h, RTA_OIF, (uint32_t)via);
	rc = rtnl_ask(&r->rtnl, h, on_route, &x);
	if (rc || out->local)
		return rc;
	return out->ifindex && (!via || out->ifindex == via) ? 0 : -ENETUNREACH;
}

int route_out(struct rtnl *r, const struct in6_addr *ip, int *ifindex)
{
	struct route found = { 0 };
	struct answer x = { .route = &found };
	char buf[128];
	int rc = rtnl_ask(r, question(buf, ip, 0), on_route, &x);

	*ifindex = found.ifindex;
	return rc || *ifindex ? rc : -ENETUNREACH;
}
