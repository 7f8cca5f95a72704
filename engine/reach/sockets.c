#include "engine/reach/sockets.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"

int sockets_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	return fd < 0 ? -errno : fd;
}

static bool is_connection(unsigned state)
{
	return state != TCP_LISTEN && state != TCP_TIME_WAIT && state != TCP_CLOSE;
}

static void put_addr(__be32 out[4], const uint8_t *addr, bool v4)
{
	memcpy(out, addr + (v4 ? 12 : 0), v4 ? 4 : 16);
}

bool sockets_have(int fd, const struct flow_key *k, uint32_t ifindex)
{
	struct in6_addr local;
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} ask = { .h = { .nlmsg_len = sizeof(ask), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
		  .r = { .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u,
			 .id = { .idiag_sport = k->local_port, .idiag_dport = k->remote_port, .idiag_if = ifindex,
				 .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } } };
	char answer[4096] __attribute__((aligned(8)));
	const struct nlmsghdr *h = (const struct nlmsghdr *)answer;
	ssize_t n;
	bool v4;

	memcpy(&local, k->local, sizeof(local));
	v4 = ip_is_v4(&local);
	ask.r.sdiag_family = v4 ? AF_INET : AF_INET6;
	put_addr(ask.r.id.idiag_src, k->local, v4);
	put_addr(ask.r.id.idiag_dst, k->remote, v4);
	/* The kernel answers before send() returns. */
	if (send(fd, &ask, sizeof(ask), 0) < 0)
		return false;
	n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct inet_diag_msg)) || h->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return false;
	return is_connection(((const struct inet_diag_msg *)NLMSG_DATA(h))->idiag_state);
}

#define STATES_THAT_RUN                                                                                       \
	(1u << TCP_ESTABLISHED | 1u << TCP_SYN_SENT | 1u << TCP_FIN_WAIT1 | 1u << TCP_FIN_WAIT2 |             \
	 1u << TCP_CLOSE_WAIT | 1u << TCP_LAST_ACK | 1u << TCP_CLOSING)

bool sockets_run_from(const struct in6_addr *local)
{
	CLEANUP_FD int fd = sockets_open();
	bool v4 = ip_is_v4(local);
	const struct inet_diag_hostcond cond = { .family = v4 ? AF_INET : AF_INET6, .prefix_len = v4 ? 32 : 128, .port = -1 };
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
		struct nlattr a;
		struct inet_diag_bc_op op;
		__be32 cond[sizeof(cond) / 4], addr[4];
	} ask = { .h = { .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		  .r = { .sdiag_family = v4 ? AF_INET : AF_INET6, .sdiag_protocol = IPPROTO_TCP, .idiag_states = STATES_THAT_RUN } };
	uint16_t op = (uint16_t)(sizeof(ask.op) + sizeof(ask.cond) + (v4 ? 4 : 16));
	char answer[32768] __attribute__((aligned(8)));
	bool any = false, more = fd >= 0;

	/* "From this address: yes is the end of the program, no is beyond it." */
	ask.op = (struct inet_diag_bc_op){ .code = INET_DIAG_BC_S_COND, .yes = (uint8_t)op, .no = (uint16_t)(op + 4) };
	ask.a = (struct nlattr){ .nla_len = (uint16_t)(sizeof(ask.a) + op), .nla_type = INET_DIAG_REQ_BYTECODE };
	ask.h.nlmsg_len = (uint32_t)(offsetof(typeof(ask), op) + op);
	memcpy(ask.cond, &cond, sizeof(cond));
	put_addr(ask.addr, local->s6_addr, v4);
	if (fd >= 0 && send(fd, &ask, ask.h.nlmsg_len, 0) < 0)
		return false;
	while (more) {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);
		const struct nlmsghdr *h = (const struct nlmsghdr *)answer;

		more = n > 0;
		for (; more && NLMSG_OK(h, (size_t)n); h = NLMSG_NEXT(h, n)) {
			more = h->nlmsg_type == SOCK_DIAG_BY_FAMILY;
			any = any || more;
		}
		more = more && !any;
	}
	return any;
}
