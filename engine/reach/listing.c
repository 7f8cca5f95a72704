#include "engine/reach/listing.h"

#include <linux/neighbour.h>
#include <sys/socket.h>

#include "base/base.h"
#include "engine/reach/netlink.h"
#include "engine/reach/rtnl.h"

enum { LISTED_MAX = 4096 };

struct listing {
	const struct netlink *netlink;
	int family;
	json_t *out;
};

static void put_interface(const struct listing *l, json_t *one, int index)
{
	const struct iface *i = netlink_iface(l->netlink, index);

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
		if (mnl_attr_get_type(a) == NDA_DST) {
			put_ip(one, "ip_addr", a);
		} else if (mnl_attr_get_type(a) == NDA_LLADDR && mnl_attr_get_payload_len(a) == 6) {
			json_object_set_new(one, "mac", json_string(mac_text(mnl_attr_get_payload(a), mac)));
		}
	}
	put_interface(l, one, m->ndm_ifindex);
	json_array_append_new(l->out, one);
	return MNL_CB_OK;
}

json_t *listing_neighbours(struct netlink *n, int family)
{
	struct listing l = { n, family, json_array() };
	char buf[128];
	struct nlmsghdr *h = rtnl_message(buf, RTM_GETNEIGH, NLM_F_DUMP);
	struct ndmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ndm_family = (uint8_t)family;
	rtnl_ask(netlink_rtnl(n), h, list_neighbour, &l);
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

json_t *listing_routes(struct netlink *n)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct listing l = { n, 0, json_array() };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		char buf[128];
		struct nlmsghdr *h = rtnl_message(buf, RTM_GETROUTE, NLM_F_DUMP);
		struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

		m->rtm_family = families[i];
		l.family = families[i];
		rtnl_ask(netlink_rtnl(n), h, list_route, &l);
	}
	return l.out;
}
