#include "engine/reach/rtnl.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/base.h"

enum {
	BUFFER = 32 << 10, /* a dump's piece */
};

int rtnl_open(struct rtnl *r)
{
	/* The kernel answers in microseconds; were an answer lost, the leases must not wait for it for ever. */
	const struct timeval patience = { .tv_sec = 2 };

	r->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!r->socket || mnl_socket_bind(r->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	(void)setsockopt(mnl_socket_get_fd(r->socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
			 sizeof(patience));
	return 0;
}

void rtnl_close(struct rtnl *r)
{
	if (r->socket)
		mnl_socket_close(r->socket);
	r->socket = NULL;
}

int rtnl_listen(const int *groups, size_t n, struct mnl_socket **out)
{
	*out = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!*out || mnl_socket_bind(*out, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	for (size_t i = 0; i < n; i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(*out, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return -errno;
	}
	return 0;
}

struct nlmsghdr *rtnl_message(char *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	return h;
}

int rtnl_ask(struct rtnl *r, struct nlmsghdr *h, mnl_cb_t cb, void *arg)
{
	unsigned seq = ++r->seq;
	char buf[BUFFER];

	h->nlmsg_seq = seq;
	/* NLM_F_DUMP is two bits, and other messages have either of them for other things. */
	if ((h->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		h->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(r->socket, h, h->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t got = mnl_socket_recvfrom(r->socket, buf, sizeof(buf));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		int rc = mnl_cb_run(buf, (size_t)got, seq, mnl_socket_get_portid(r->socket), cb,
				    arg);
		if (rc < 0)
			return -errno;
		if (rc == MNL_CB_STOP)
			return 0;
	}
}
