#include "engine/health/ping.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "base/wire.h"
#include "engine/health/ask.h"
#include "engine/health/probe.h"

#define REPLY_MAX 1500
#define ECHOES    65536 /* sequence numbers */

/* Both families begin alike: type, code, checksum, identity, number. */
struct echo {
	uint8_t type, code;
	uint16_t checksum, id, sequence;
	uint64_t cookie;
};
_Static_assert(sizeof(struct echo) == 16, "on the wire");

struct pinger {
	struct loop *loop;
	struct watch sockets[2];     /* IPv4, IPv6 */
	uint16_t id, next;
	struct probe **waiting;      /* by sequence number; made when the first one asks */
};

int ping_open(bool v6)
{
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
			v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	struct icmp6_filter six;
	uint32_t four = ~(1u << ICMP_ECHOREPLY);
	int rc;

	if (fd < 0)
		return -errno;
	ICMP6_FILTER_SETBLOCKALL(&six);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &six);
	rc = v6 ? setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &six, sizeof(six))
		: setsockopt(fd, SOL_RAW, 1 /* ICMP_FILTER */, &four, sizeof(four));
	if (rc < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

/* ---- replies ---- */

static void heard(struct pinger *g, const struct echo *e, const union address *from)
{
	struct probe *p = g->waiting && e->id == g->id ? g->waiting[ntohs(e->sequence)] : NULL;

	if (p && p->cookie == e->cookie && address_same_ip(&p->address, from))
		probe_end(p, VERDICT_UP, "answered the echo request");
}

/* Every process on this machine hears every reply: most may be somebody else's. */
static void listen_to(struct pinger *g, int fd, bool v6)
{
	for (int i = 0; i < 64; i++) {
		uint8_t data[REPLY_MAX];
		union address from = { 0 };
		socklen_t len = sizeof(from);
		struct echo e;
		ssize_t n = recvfrom(fd, data, sizeof(data), 0, &from.sa, &len);
		size_t skip = 0;

		if (n <= 0)
			return;
		if (!v6)
			skip = (size_t)(data[0] & 15) * 4;
		if ((size_t)n < skip + sizeof(e))
			continue;
		memcpy(&e, data + skip, sizeof(e));
		if (e.type == (v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) && e.code == 0)
			heard(g, &e, &from);
	}
}

static void ready4(struct watch *w, uint32_t events)
{
	(void)events;
	listen_to(CONTAINER_OF(w, struct pinger, sockets[0]), w->fd, false);
}

static void ready6(struct watch *w, uint32_t events)
{
	(void)events;
	listen_to(CONTAINER_OF(w, struct pinger, sockets[1]), w->fd, true);
}

/* ---- requests ---- */

/* The next number that nobody waits for; -EAGAIN: all are taken. */
static int number(struct pinger *g, struct probe *p)
{
	if (!g->waiting)
		g->waiting = xcalloc(ECHOES, sizeof(*g->waiting));
	for (unsigned i = 0; i < ECHOES; i++) {
		uint16_t at = g->next++;

		if (g->waiting[at])
			continue;
		g->waiting[at] = p;
		p->id = at;
		return 0;
	}
	return -EAGAIN;
}

/* By the interface DEVICE, as in struct backend: the socket is shared, so each packet says it. */
static int send_by(int fd, const void *data, size_t len, const union address *to, int device)
{
	bool v6 = to->sa.sa_family == AF_INET6;
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control = { 0 };
	const struct in_pktinfo four = { .ipi_ifindex = device };
	const struct in6_pktinfo six = { .ipi6_ifindex = (unsigned)device };
	size_t size = v6 ? sizeof(six) : sizeof(four);
	struct iovec io = { (void *)data, len };
	struct msghdr m = { .msg_name = (void *)to, .msg_namelen = address_len(to), .msg_iov = &io, .msg_iovlen = 1 };

	if (device < 0)
		return -ENETUNREACH;
	if (device) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(size);
		*CMSG_FIRSTHDR(&m) = (struct cmsghdr){ .cmsg_len = CMSG_LEN(size), .cmsg_level = v6 ? IPPROTO_IPV6 : IPPROTO_IP,
						       .cmsg_type = v6 ? IPV6_PKTINFO : IP_PKTINFO };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), v6 ? (const void *)&six : (const void *)&four, size);
	}
	return sendmsg(fd, &m, 0) < 0 ? -errno : 0;
}

static void begin(struct probe *p)
{
	struct pinger *g = p->pinger;
	bool v6 = p->address.sa.sa_family == AF_INET6;
	struct watch *w = &g->sockets[v6];
	struct echo e = { .type = v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO, .id = g->id };
	union address to = p->address;
	int rc;

	probe_move(p, PROBE_READING);
	if (!w->active) {
		probe_end(p, VERDICT_DOWN, "this engine may not send ICMP%s", v6 ? "v6" : "");
		return;
	}
	random_bytes(&p->cookie, sizeof(p->cookie));
	if (number(g, p) < 0) {
		probe_failed(p, -EAGAIN);
		return;
	}
	e.sequence = htons(p->id);
	e.cookie = p->cookie;
	if (!v6) /* the kernel does it for ICMPv6 */
		e.checksum = wire_checksum(&e, sizeof(e));
	/* A port means nothing here, and to ICMPv6 it is an error. */
	if (v6)
		to.in6.sin6_port = 0;
	probe_mark(p, w->fd);
	rc = send_by(w->fd, &e, sizeof(e), &to, p->device);
	if (rc < 0)
		probe_failed(p, rc);
}

static void late(struct probe *p)
{
	probe_end(p, VERDICT_DOWN, "no echo reply within %g s", probe_timeout_s(p));
}

static void stop(struct probe *p)
{
	struct pinger *g = p->pinger;

	if (g->waiting && g->waiting[p->id] == p)
		g->waiting[p->id] = NULL;
}

const struct ask_ops ask_ping = { begin, late, stop };

/* ---- life ---- */

struct pinger *pinger_new(struct loop *l)
{
	struct pinger *g = xcalloc(1, sizeof(*g));

	g->loop = l;
	random_bytes(&g->id, sizeof(g->id));
	return g;
}

void pinger_socket(struct pinger *g, bool v6, int fd)
{
	struct watch *w = &g->sockets[v6];

	if (w->active || watch_start(g->loop, w, fd, EPOLLIN, v6 ? ready6 : ready4) < 0)
		close(fd);
}

void pinger_free(struct pinger *g)
{
	for (int i = 0; i < 2; i++) {
		int fd = g->sockets[i].fd;

		if (!g->sockets[i].active)
			continue;
		watch_stop(g->loop, &g->sockets[i]);
		close(fd);
	}
	free(g->waiting);
	free(g);
}
