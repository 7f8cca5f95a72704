#include "engine/ports.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "base/list.h"
#include "base/log.h"

#define BACKLOG        65535 /* the kernel cuts it to somaxconn */
#define KEEPALIVE_STEP 30
#define KEEPALIVE_N    5
#define UDP_QUEUE      (4 << 20) /* bytes of datagrams that wait for the proxy; the kernel counts in buffers, not in payload */

/* An address and port of a service: a socket per worker. */
struct place {
	struct list link;
	char *service;
	union address address;
	bool udp;
	bool wanted;
	struct port ports[];
};

struct ports {
	struct list places;
	unsigned workers;
	uint64_t next_id;
	struct ports_user *user;
};

struct ports *ports_new(unsigned workers, struct ports_user *u)
{
	struct ports *t = xcalloc(1, sizeof(*t));

	t->workers = workers;
	t->user = u;
	list_init(&t->places);
	return t;
}

static void place_close(struct ports *t, struct place *p, bool tell)
{
	for (unsigned w = 0; w < t->workers; w++) {
		if (p->ports[w].fd < 0)
			continue;
		if (tell)
			t->user->closed(t->user, &p->ports[w]);
		close(p->ports[w].fd);
	}
	list_remove(&p->link);
	free(p->service);
	free(p);
}

void ports_free(struct ports *t)
{
	if (!t)
		return;
	while (!list_empty(&t->places))
		place_close(t, LIST_ENTRY(t->places.next, struct place, link), false);
	free(t);
}

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* Options that accepted sockets inherit are set here, once, and not at each accept. */
static int options_tcp(int fd)
{
	int rc;

	if ((rc = set(fd, SOL_SOCKET, SO_REUSEADDR, 1)) < 0 || (rc = set(fd, IPPROTO_TCP, TCP_NODELAY, 1)) < 0 ||
	    (rc = set(fd, SOL_SOCKET, SO_KEEPALIVE, 1)) < 0 ||
	    (rc = set(fd, IPPROTO_TCP, TCP_KEEPIDLE, PORT_KEEPALIVE_S)) < 0 ||
	    (rc = set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_STEP)) < 0)
		return rc;
	return set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_N);
}

/* Without SO_REUSEADDR, by which anybody could take datagrams away. A proxy that is replaced finds what came meanwhile. */
static int options_udp(int fd)
{
	return set(fd, SOL_SOCKET, SO_RCVBUFFORCE, UDP_QUEUE) < 0 ? set(fd, SOL_SOCKET, SO_RCVBUF, UDP_QUEUE) : 0;
}

static int open_socket(const struct port_want *want, int *out)
{
	const union address *a = &want->address;
	bool v6 = a->sa.sa_family == AF_INET6;
	int type = want->udp ? SOCK_DGRAM : SOCK_STREAM;
	CLEANUP_FD int fd = socket(a->sa.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	if ((rc = set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) < 0 ||
	    (rc = set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, 1)) < 0 ||
	    (v6 && (rc = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) < 0) ||
	    (rc = want->udp ? options_udp(fd) : options_tcp(fd)) < 0)
		return rc;
	if (bind(fd, &a->sa, address_len(a)) < 0 || (!want->udp && listen(fd, BACKLOG) < 0))
		return -errno;
	*out = fd;
	fd = -1;
	return 0;
}

static struct place *find(struct ports *t, const char *service, const struct port_want *want)
{
	LIST_FOREACH(l, &t->places) {
		struct place *p = LIST_ENTRY(l, struct place, link);

		if (address_equal(&p->address, &want->address) && p->udp == want->udp &&
		    (!service || strcmp(p->service, service) == 0))
			return p;
	}
	return NULL;
}

static int place_open(struct ports *t, const char *service, const struct port_want *want, struct err *e)
{
	const struct place *other = find(t, NULL, want);
	const char *proto = want->udp ? "UDP" : "TCP";
	struct place *p;
	char text[ADDRESS_TEXT];

	address_text(&want->address, text);
	/* The kernel would let both have it, and give each a part of the clients. */
	if (other)
		return err_set(e, -EADDRINUSE, NULL, "Cannot listen on %s (%s): service %s does.", text, proto,
			       other->service);
	p = xcalloc(1, sizeof(*p) + t->workers * sizeof(p->ports[0]));
	p->service = xstrdup(service);
	p->address = want->address;
	p->udp = want->udp;
	p->wanted = true;
	list_init(&p->link);
	for (unsigned w = 0; w < t->workers; w++)
		p->ports[w].fd = -1;
	for (unsigned w = 0; w < t->workers; w++) {
		int rc = open_socket(want, &p->ports[w].fd);

		if (rc < 0) {
			p->ports[w].fd = -1;
			place_close(t, p, false);
			return err_set(e, rc, NULL, "Cannot listen on %s (%s): %s.", text, proto, strerror(-rc));
		}
		p->ports[w] = (struct port){ ++t->next_id, p->service, p->address, p->udp, w, p->ports[w].fd };
	}
	list_insert(&t->places, &p->link);
	for (unsigned w = 0; w < t->workers; w++)
		t->user->opened(t->user, &p->ports[w]);
	log_info("listening address=%s protocol=%s service=%s", text, proto, service);
	return 0;
}

int ports_set(struct ports *t, const char *service, const struct port_want *want, size_t n, struct err *e)
{
	struct err first = { 0 };

	LIST_FOREACH(l, &t->places) {
		struct place *p = LIST_ENTRY(l, struct place, link);

		if (strcmp(p->service, service) == 0)
			p->wanted = false;
	}
	for (size_t i = 0; i < n; i++) {
		struct place *p = find(t, service, &want[i]);

		if (p)
			p->wanted = true;
	}
	/* Closed before others are opened: an address may move from one service to another in one commit. */
	LIST_FOREACH(l, &t->places) {
		struct place *p = LIST_ENTRY(l, struct place, link);

		if (!p->wanted)
			place_close(t, p, true);
	}
	for (size_t i = 0; i < n; i++)
		if (!find(t, service, &want[i])) {
			struct err e1 = { 0 };

			if (place_open(t, service, &want[i], &e1) < 0 && !first.code)
				first = e1;
		}
	return first.code ? err_set(e, first.code, NULL, "%s", first.text) : 0;
}

void ports_each(struct ports *t, void (*f)(void *arg, const struct port *p), void *arg)
{
	LIST_FOREACH(l, &t->places)
		for (unsigned w = 0; w < t->workers; w++)
			f(arg, &LIST_ENTRY(l, struct place, link)->ports[w]);
}
