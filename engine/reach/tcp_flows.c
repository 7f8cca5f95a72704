#include "engine/reach/tcp_flows.h"

#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>

#include "base/base.h"
#include "engine/address.h"

/* As the kernel numbers them; those that listen are no connections. */
static const char *const states[] = { [1] = "ESTABLISHED", "SYN_SENT",   "SYN_RECV",   "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT",
				      "CLOSE",		   "CLOSE_WAIT", "LAST_ACK", [11] = "CLOSING", "SYN_RECV" };

struct look {
	json_t *states, *flows;
	size_t n;
	bool more;
};

static json_t *end_of(int family, const void *ip, uint16_t port)
{
	union address a = { .sa.sa_family = (sa_family_t)family };
	char text[ADDRESS_TEXT];

	if (family == AF_INET)
		memcpy(&a.in.sin_addr, ip, sizeof(a.in.sin_addr));
	else
		memcpy(&a.in6.sin6_addr, ip, sizeof(a.in6.sin6_addr));
	address_set_port(&a, ntohs(port));
	address_text(&a, text);
	return json_string(text);
}

static void show(struct look *l, const struct nlmsghdr *h, const struct inet_diag_msg *m, const char *state)
{
	const struct nlattr *attr;
	struct tcp_info info = { 0 };

	mnl_attr_for_each(attr, h, sizeof(*m))
		if (mnl_attr_get_type(attr) == INET_DIAG_INFO)
			memcpy(&info, mnl_attr_get_payload(attr), MIN(sizeof(info), (size_t)mnl_attr_get_payload_len(attr)));
	json_array_append_new(
		l->flows, json_pack("{s:o, s:o, s:s, s:I, s:I, s:I, s:I}", "local",
				    end_of(m->idiag_family, m->id.idiag_src, m->id.idiag_sport), "remote",
				    end_of(m->idiag_family, m->id.idiag_dst, m->id.idiag_dport), "state", state, "rtt_us",
				    (json_int_t)info.tcpi_rtt, "retransmits", (json_int_t)info.tcpi_total_retrans, "send_queue",
				    (json_int_t)m->idiag_wqueue, "receive_queue", (json_int_t)m->idiag_rqueue));
}

static int on_flow(const struct nlmsghdr *h, void *arg)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(h);
	struct look *l = arg;
	const char *state = m->idiag_state < ARRAY_SIZE(states) ? states[m->idiag_state] : NULL;

	if (!state)
		return MNL_CB_OK;
	if (++l->n > TCP_FLOWS_LOOKED_AT) {
		l->more = true;
		return MNL_CB_STOP;
	}
	json_object_set_new(l->states, state, json_integer(json_int(l->states, state, 0) + 1));
	if (json_array_size(l->flows) < TCP_FLOWS_SHOWN)
		show(l, h, m, state);
	else
		l->more = true;
	return MNL_CB_OK;
}

static void look_at(struct look *l, uint8_t family)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	char buf[32768];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *ask = mnl_nlmsg_put_extra_header(h, sizeof(*ask));
	int rc = MNL_CB_OK;

	h->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = 1;
	*ask = (struct inet_diag_req_v2){ .sdiag_family = family, .sdiag_protocol = IPPROTO_TCP,
					  .idiag_ext = 1 << (INET_DIAG_INFO - 1), .idiag_states = ~0u };
	if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0 && mnl_socket_sendto(s, h, h->nlmsg_len) > 0)
		while (rc == MNL_CB_OK) {
			ssize_t n = mnl_socket_recvfrom(s, buf, sizeof(buf));

			rc = n > 0 ? mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(s), on_flow, l) : MNL_CB_STOP;
		}
	if (s)
		mnl_socket_close(s);
}

json_t *tcp_flows_json(void)
{
	struct look l = { .states = json_object(), .flows = json_array() };

	look_at(&l, AF_INET);
	look_at(&l, AF_INET6);
	return json_pack("{s:o, s:o, s:b}", "states", l.states, "flows", l.flows, "more", l.more);
}
