#include "engine/ports.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "base/list.h"
#include "base/log.h"
#include "base/table.h"
#include "engine/lack.h"

#define BACKLOG        65535 /* the kernel cuts it to somaxconn */
#define KEEPALIVE_STEP 30
#define KEEPALIVE_N    5
#define UDP_QUEUE      (4 << 20) /* bytes of datagrams that wait for the proxy; the kernel counts in buffers, not in payload */

/* An address and port of a service: a socket per worker. */
struct place {
	struct list link;
	struct table_link of_service, of_address;
	char *service;
	union address address;
	unsigned last;
	bool udp;
	int device;
	bool wanted;
	int steered;       /* -1: not */
	unsigned n;
	struct port ports[];
};

struct ports {
	struct list places;
	struct table by_service, by_address; /* the address without its port */
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
	if (p->steered >= 0)
		t->user->unsteer(t->user, &p->ports[0], p->steered);
	for (unsigned i = 0; i < p->n; i++) {
		if (p->ports[i].fd < 0)
			continue;
		if (tell)
			t->user->closed(t->user, &p->ports[i]);
		close(p->ports[i].fd);
	}
	if (!list_empty(&p->link)) {
		table_take(&t->by_service, &p->of_service);
		table_take(&t->by_address, &p->of_address);
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
	table_fini(&t->by_service);
	table_fini(&t->by_address);
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

static int open_socket(const union address *a, bool udp, int device, int *out)
{
	bool v6 = a->sa.sa_family == AF_INET6;
	int type = udp ? SOCK_DGRAM : SOCK_STREAM;
	CLEANUP_FD int fd = socket(a->sa.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	if (lack_after_client(fd))
		return -EMFILE;
	if ((rc = set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) < 0 ||
	    (rc = set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, 1)) < 0 ||
	    (v6 && (rc = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) < 0) ||
	    (rc = udp ? options_udp(fd) : options_tcp(fd)) < 0)
		return rc;
	if (device && (rc = set(fd, SOL_SOCKET, SO_BINDTOIFINDEX, device)) < 0)
		return rc;
	if (bind(fd, &a->sa, address_len(a)) < 0 || (!udp && listen(fd, BACKLOG) < 0))
		return -errno;
	*out = fd;
	fd = -1;
	return 0;
}

static unsigned last_of(const struct port_want *w)
{
	return MAX(w->last, address_port(&w->address));
}

static uint64_t hash_of(const union address *a)
{
	uint8_t ip[16];
	uint64_t h = TABLE_SEED;

	address_mapped(a, ip);
	for (size_t i = 0; i < sizeof(ip); i++)
		h = (h ^ ip[i]) * 0x100000001b3ULL;
	return h;
}

static struct place *find(struct ports *t, const char *service, const struct port_want *want)
{
	for (struct table_link *l = table_first(&t->by_address, hash_of(&want->address)); l; l = table_next(l)) {
		struct place *p = CONTAINER_OF(l, struct place, of_address);

		if (address_equal(&p->address, &want->address) && p->udp == want->udp && p->last == last_of(want) &&
		    p->device == want->device && strcmp(p->service, service) == 0)
			return p;
	}
	return NULL;
}

/* Somebody who has a port of WANT already. */
static const struct place *taken_by(struct ports *t, const struct port_want *want)
{
	for (struct table_link *l = table_first(&t->by_address, hash_of(&want->address)); l; l = table_next(l)) {
		const struct place *p = CONTAINER_OF(l, struct place, of_address);
		union address same = want->address;

		address_set_port(&same, address_port(&p->address));
		/* Sockets of two interfaces do not meet. */
		if (p->device && want->device && p->device != want->device)
			continue;
		if (p->udp == want->udp && address_equal(&same, &p->address) &&
		    address_port(&p->address) <= last_of(want) && address_port(&want->address) <= p->last)
			return p;
	}
	return NULL;
}

#define RANGE_TEXT (ADDRESS_TEXT + 16)

static void range_text(const struct port_want *w, char out[static RANGE_TEXT])
{
	char text[ADDRESS_TEXT];

	address_text(&w->address, text);
	if (last_of(w) > address_port(&w->address))
		snprintf(out, RANGE_TEXT, "%s-%u (%s)", text, last_of(w), w->udp ? "UDP" : "TCP");
	else
		snprintf(out, RANGE_TEXT, "%s (%s)", text, w->udp ? "UDP" : "TCP");
}

/* Socket I of P, which is of WORKER. */
static int socket_open(struct ports *t, struct place *p, unsigned i, unsigned port, unsigned worker)
{
	union address a = p->address;
	int rc;

	address_set_port(&a, port);
	rc = open_socket(&a, p->udp, p->device, &p->ports[i].fd);
	if (rc < 0)
		p->ports[i].fd = -1;
	else
		p->ports[i] = (struct port){ ++t->next_id, p->service, a, p->udp ? port : p->last, p->udp,
					     p->device, worker, p->ports[i].fd };
	return rc;
}

static int sockets_open(struct ports *t, struct place *p)
{
	unsigned first = address_port(&p->address);
	int rc = 0;

	for (unsigned i = 0; i < p->n && rc == 0; i++) {
		if (p->udp && p->last > first)
			rc = socket_open(t, p, i, first + i, i % t->workers);
		else
			rc = socket_open(t, p, i, first, i);
	}
	if (rc < 0 || p->udp || p->last == first)
		return rc;
	p->steered = t->user->steer ? t->user->steer(t->user, &p->ports[0]) : -ENOSYS;
	return MIN(p->steered, 0);
}

static int place_open(struct ports *t, const char *service, const struct port_want *want, struct err *e)
{
	const struct place *other = taken_by(t, want);
	unsigned size = last_of(want) - address_port(&want->address) + 1, n;
	struct place *p;
	char text[RANGE_TEXT];
	int rc;

	range_text(want, text);
	/* The kernel would let both have it, and give each a part of the clients. */
	if (other)
		return err_set(e, -EADDRINUSE, NULL, "Cannot listen on %s: service %s does.", text, other->service);
	if (want->udp && size > PORTS_UDP_MAX)
		return err_set(e, -EINVAL, NULL, "Cannot listen on %s: a range of UDP has at most %d ports.", text,
			       PORTS_UDP_MAX);
	n = want->udp && size > 1 ? size : t->workers;
	p = xcalloc(1, sizeof(*p) + n * sizeof(p->ports[0]));
	p->service = xstrdup(service);
	p->address = want->address;
	p->last = last_of(want);
	p->udp = want->udp;
	p->device = want->device;
	p->wanted = true;
	p->steered = -1;
	p->n = n;
	list_init(&p->link);
	for (unsigned i = 0; i < n; i++)
		p->ports[i].fd = -1;
	rc = sockets_open(t, p);
	if (rc < 0) {
		place_close(t, p, false);
		return err_set(e, rc, NULL, "Cannot listen on %s: %s.", text, strerror(-rc));
	}
	list_insert(&t->places, &p->link);
	table_put(&t->by_service, &p->of_service, table_hash(TABLE_SEED, service));
	table_put(&t->by_address, &p->of_address, hash_of(&p->address));
	for (unsigned i = 0; i < n; i++)
		t->user->opened(t->user, &p->ports[i]);
	log_info("listening address=\"%s\" service=%s", text, service);
	return 0;
}

int ports_set(struct ports *t, const char *service, const struct port_want *want, size_t n, struct err *e)
{
	struct err first = { 0 };

	for (struct table_link *l = table_first(&t->by_service, table_hash(TABLE_SEED, service)); l; l = table_next(l)) {
		struct place *p = CONTAINER_OF(l, struct place, of_service);

		if (strcmp(p->service, service) == 0)
			p->wanted = false;
	}
	for (size_t i = 0; i < n; i++) {
		struct place *p = find(t, service, &want[i]);

		if (p)
			p->wanted = true;
	}
	/* Closed before others are opened: an address may move from one service to another in one commit. */
	for (struct table_link *l = table_first(&t->by_service, table_hash(TABLE_SEED, service)), *next; l; l = next) {
		next = table_next(l);
		if (!CONTAINER_OF(l, struct place, of_service)->wanted)
			place_close(t, CONTAINER_OF(l, struct place, of_service), true);
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
		for (unsigned i = 0; i < LIST_ENTRY(l, struct place, link)->n; i++)
			f(arg, &LIST_ENTRY(l, struct place, link)->ports[i]);
}
