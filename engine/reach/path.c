#include "engine/reach/path.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <sys/socket.h>

#include "base/base.h"
#include "engine/reach/rtnl.h"

static int rule_change(struct rtnl *r, uint16_t type, uint16_t flags, const struct path *p)
{
	char buf[256];
	struct nlmsghdr *h = rtnl_message(buf, type, flags);
	struct fib_rule_hdr *f = mnl_nlmsg_put_extra_header(h, sizeof(*f));

	f->family = p->v4 ? AF_INET : AF_INET6;
	f->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(h, FRA_TABLE, p->table);
	mnl_attr_put_u32(h, FRA_PRIORITY, p->priority);
	mnl_attr_put_u8(h, FRA_PROTOCOL, RTNL_OURS);
	if (p->interface[0])
		mnl_attr_put_strz(h, p->inwards ? FRA_IIFNAME : FRA_OIFNAME, p->interface);
	return rtnl_ask(r, h, NULL, NULL);
}

static void put_address(struct nlmsghdr *h, uint16_t attr, const struct in6_addr *ip)
{
	size_t len;
	const uint8_t *bytes = ip_bytes(ip, &len);

	if (!ip_is_zero(ip))
		mnl_attr_put(h, attr, len, bytes);
}

static int route_change(struct rtnl *r, uint16_t type, uint16_t flags, const struct path *p)
{
	char buf[256];
	struct nlmsghdr *h = rtnl_message(buf, type, flags);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	const bool refuses = !p->ifindex;

	m->rtm_family = p->v4 ? AF_INET : AF_INET6;
	m->rtm_dst_len = p->dst_len;
	m->rtm_table = RT_TABLE_UNSPEC;
	m->rtm_protocol = RTNL_OURS;
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
	return rtnl_ask(r, h, NULL, NULL);
}

int path_add(struct rtnl *r, const struct path *p)
{
	int rc = p->rule ? rule_change(r, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, p)
			 : route_change(r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, p);

	return p->rule && rc == -EEXIST ? 0 : rc;
}

int path_delete(struct rtnl *r, const struct path *p)
{
	int rc = p->rule ? rule_change(r, RTM_DELRULE, 0, p) : route_change(r, RTM_DELROUTE, 0, p);

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
		return ((const struct rtmsg *)mnl_nlmsg_get_payload(h))->rtm_protocol == RTNL_OURS;
	mnl_attr_for_each(a, h, sizeof(struct fib_rule_hdr))
		if (mnl_attr_get_type(a) == FRA_PROTOCOL)
			return mnl_attr_get_u8(a) == RTNL_OURS;
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
int paths_sweep(struct rtnl *r)
{
	static const uint16_t types[] = { RTM_GETRULE, RTM_GETROUTE };
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct found_paths f = { 0 };
	int rc = 0;

	for (size_t t = 0; t < ARRAY_SIZE(types); t++)
		for (size_t k = 0; k < ARRAY_SIZE(families); k++) {
			char buf[128];
			struct nlmsghdr *h = rtnl_message(buf, types[t], NLM_F_DUMP);
			struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
			int one;

			m->rtm_family = families[k];
			one = rtnl_ask(r, h, on_path, &f);
			if (one && one != -EAFNOSUPPORT && one != -EOPNOTSUPP)
				rc = one;
		}
	for (size_t i = 0; i < f.n; i++) {
		struct nlmsghdr *h = f.at[i];

		h->nlmsg_type = h->nlmsg_type == RTM_NEWRULE ? RTM_DELRULE : RTM_DELROUTE;
		h->nlmsg_flags = NLM_F_REQUEST;
		(void)rtnl_ask(r, h, NULL, NULL);
		free(h);
	}
	free(f.at);
	return rc;
}
