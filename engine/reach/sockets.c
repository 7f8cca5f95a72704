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
#include "base/ip.h"

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
