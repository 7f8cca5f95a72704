#include "engine/clone/legs.h"

#include <netinet/in.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/bpf/datapath.h"
#include "engine/ports.h"

struct legs {
	struct datapath *datapath;
	struct leg want;          /* without idle_s, which is the port's */
	struct port_want *ports;
	size_t n;
};

struct legs *legs_new(struct datapath *d, uint32_t service)
{
	struct legs *l = xcalloc(1, sizeof(*l));

	l->datapath = d;
	l->want.service = service;
	return l;
}

static void port_write(struct legs *l, const struct port_want *p, bool wanted)
{
	uint16_t first = (uint16_t)address_port(&p->address), last = (uint16_t)MAX(p->last, address_port(&p->address));
	uint8_t proto = p->udp ? IPPROTO_UDP : IPPROTO_TCP;
	struct leg leg = l->want;
	struct in6_addr ip;
	int rc = 0;

	address_mapped(&p->address, ip.s6_addr);
	leg.idle_s = p->udp ? p->idle_s : 0;
	if (wanted)
		rc = datapath_leg_set(l->datapath, p->device, &ip, proto, first, last, &leg);
	else
		datapath_leg_clear(l->datapath, p->device, &ip, proto, first, last);
	if (rc < 0)
		log_error("leg_incomplete port=%u-%u error=\"%s\"", first, last, strerror(-rc));
}

static void write_all(struct legs *l, bool wanted)
{
	for (size_t i = 0; i < l->n; i++)
		port_write(l, &l->ports[i], wanted);
}

static bool same(const struct port_want *a, const struct port_want *b)
{
	return a->udp == b->udp && a->last == b->last && a->device == b->device && a->idle_s == b->idle_s &&
	       address_equal(&a->address, &b->address);
}

static bool has(const struct port_want *ports, size_t n, const struct port_want *p)
{
	for (size_t i = 0; i < n; i++)
		if (same(&ports[i], p))
			return true;
	return false;
}

void legs_ports(struct legs *l, const struct port_want *ports, size_t n)
{
	bool wanted = l->want.flags;

	/* Those that go first: what comes may be a range that begins at the same port. */
	for (size_t i = 0; wanted && i < l->n; i++)
		if (!has(ports, n, &l->ports[i]))
			port_write(l, &l->ports[i], false);
	for (size_t i = 0; wanted && i < n; i++)
		if (!has(l->ports, l->n, &ports[i]))
			port_write(l, &ports[i], true);
	free(l->ports);
	l->ports = xmalloc((n + 1) * sizeof(*ports));
	if (n)
		memcpy(l->ports, ports, n * sizeof(*ports));
	l->n = n;
}

static void want(struct legs *l, struct leg leg)
{
	bool had = l->want.flags;

	l->want = leg;
	if (had || leg.flags)
		write_all(l, leg.flags);
}

void legs_clone(struct legs *l, struct clone_range r)
{
	struct leg leg = l->want;

	leg.flags = (leg.flags & ~(uint32_t)LEG_CLONE) | (r.count ? LEG_CLONE : 0);
	leg.first = r.first;
	leg.count = r.count;
	leg.generation = r.generation;
	leg.since_ns = mono_ns();
	want(l, leg);
}

void legs_follow(struct legs *l, bool yes)
{
	struct leg leg = l->want;

	leg.flags = (leg.flags & ~(uint32_t)LEG_FOLLOW) | (yes ? LEG_FOLLOW : 0);
	want(l, leg);
}

void legs_free(struct legs *l)
{
	if (!l)
		return;
	legs_ports(l, NULL, 0);
	free(l->ports);
	free(l);
}
