#include "engine/clone/cutter.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <sys/socket.h>

#include "base/base.h"
#include "engine/reach/rtnl.h"

enum {
	ADDR_GEN_NONE = 1, /* IN6_ADDR_GEN_MODE_NONE */
	CUTTER_MTU = 65535,
};

static int set_up(struct rtnl *r, const char *name, bool up)
{
	char buf[256];
	struct nlmsghdr *h = rtnl_message(buf, RTM_NEWLINK, 0);
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
	return rtnl_ask(r, h, NULL, NULL);
}

int own_link_up(struct rtnl *r, const char *name)
{
	int rc = set_up(r, name, false);

	/* Without IPv6 in the kernel there is nothing to switch off. */
	return !rc || rc == -EAFNOSUPPORT ? set_up(r, name, true) : rc;
}

static int link_delete(struct rtnl *r, const char *name)
{
	char buf[256];
	struct nlmsghdr *h = rtnl_message(buf, RTM_DELLINK, 0);

	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	return rtnl_ask(r, h, NULL, NULL);
}

static int pair_add(struct rtnl *r, const char *near_end, const char *far_end)
{
	char buf[512];
	struct nlmsghdr *h = rtnl_message(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);

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
	return rtnl_ask(r, h, NULL, NULL);
}

static int bridge_add(struct rtnl *r, const char *name)
{
	char buf[256];
	struct nlmsghdr *h = rtnl_message(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);

	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(h, info);
	return rtnl_ask(r, h, NULL, NULL);
}

static int enslave(struct rtnl *r, const char *port, const char *bridge)
{
	char buf[256];
	struct nlmsghdr *h = rtnl_message(buf, RTM_NEWLINK, 0);

	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, port);
	mnl_attr_put_u32(h, IFLA_MASTER, if_nametoindex(bridge));
	return rtnl_ask(r, h, NULL, NULL);
}

int cutter_add(struct rtnl *r, const struct cutter *c)
{
	const char *parts[] = { c->far_end, c->port, c->bridge };
	int rc = bridge_add(r, c->bridge);

	if (!rc)
		rc = pair_add(r, c->port, c->far_end);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(parts); i++)
		rc = own_link_up(r, parts[i]);
	/* Last: a port that is up forwards at once. */
	if (!rc)
		rc = enslave(r, c->port, c->bridge);
	return rc;
}

int cutter_delete(struct rtnl *r, const struct cutter *c)
{
	int pair = link_delete(r, c->port), bridge = link_delete(r, c->bridge);

	return pair == -ENODEV ? bridge : bridge == -ENODEV ? pair : pair ? pair : bridge;
}
