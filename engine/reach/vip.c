/*
 * How it is done. One timer renews the lease of all (tick), which is one word;
 * each address is open or closed under it, and has a timer of its own for what
 * its state does next. The moment of the check is read
 * from the clock before anything is checked, and the deadline is counted from
 * it: a warden that is stopped anywhere in between writes the past. One that
 * is stopped between two probes begins them again.
 *
 * Two that probe at the same time hear each other: the one with the lower MAC
 * address goes on. What is announced first wins over what is probed.
 */
#include "engine/reach/vip.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#include "base/log.h"
#include "engine/bpf/datapath.h"
#include "engine/reach/herald.h"
#include "engine/reach/netlink.h"

/* All times that matter, in milliseconds; those that others must know are in vip.h. */
enum {
	RETRY_MS = 200,       /* after a probe was answered; doubles up to */
	RETRY_MAX_MS = 500,
	DEFEND_MS = 1000,     /* announcements against another's claim, at most one in this time */
	REANNOUNCE_MS = 20000, /* so that two networks that became one find out */
	BUCKETS = 256,
};
/* After it was opened: announced at once, and again after each of these. */
static const unsigned announce_after_ms[] = { 50, 100, 250, 500, 1000 };

#define LEASE_NS (VIP_LEASE_MS * NS_PER_MS)

/* The allowed moves; every other one is a bug. */
#define TO(s) (1u << VIP_##s)
static const unsigned moves[] = {
	[VIP_ABSENT] = TO(PROBING) | TO(WITHDRAWN),
	[VIP_PROBING] = TO(ABSENT) | TO(WAITING) | TO(OWNED) | TO(WITHDRAWN),
	[VIP_WAITING] = TO(ABSENT) | TO(PROBING) | TO(WITHDRAWN),
	[VIP_OWNED] = TO(ABSENT) | TO(WAITING) | TO(LAPSED) | TO(WITHDRAWN),
	[VIP_LAPSED] = TO(ABSENT) | TO(PROBING) | TO(WITHDRAWN),
	[VIP_WITHDRAWN] = 0,
};
#undef TO

static const char *const names[] = {
#define X(name, meaning) #name,
	VIP_STATES(X)
#undef X
};

/* An interface on which VIPs live. */
struct port {
	struct list link;
	int ifindex;
	uint8_t mac[6];
	unsigned users;
	struct herald *herald;
};

struct vip {
	struct list link;         /* in its bucket */
	struct timer timer;       /* what its state does next */
	struct grave grave;
	struct vips *table;
	unsigned holds;
	unsigned lingering;        /* of the holds; when all do it is given to whoever asks for it */
	bool mute;                 /* its last holder leaves: packets pass, claims do not */
	struct in6_addr addr;
	unsigned vrf;
	char interface[IF_NAMESIZE];
	uint64_t term;
	enum vip_state state;
	char reason[160];
	struct port *port;        /* NULL when ABSENT */
	bool added;               /* the address is on the interface */
	unsigned probes;          /* unanswered so far */
	uint64_t probed_ns;
	unsigned retry_ms;
	bool asked;               /* WAITING: a probe is out */
	bool open;                /* as the kernel has it: under the lease of all */
	unsigned announced;
	uint64_t defended_ns;
};

struct vips {
	struct loop *loop;
	struct netlink *netlink;
	struct datapath *datapath;
	struct vips_user *user;
	struct herald_user ear;
	struct netlink_watch watch;
	struct timer tick;
	uint64_t ticked_ns;
	uint64_t lease_ns;        /* of all, as the kernel has it */
	bool unclosed;            /* the kernel did not take that a gate is closed: no lease until it does */
	struct list buckets[BUCKETS];
	struct list ports;
	int *attached;
	size_t attached_n;
	struct seen *seen;
	size_t seen_n;
};

/* What of an interface matters to its VIPs. */
struct seen {
	int ifindex;
	bool data, up, carrier;
	uint8_t mac[6];
	char name[IF_NAMESIZE];
};

const char *vip_state_name(enum vip_state s)
{
	return names[s];
}

static struct list *bucket(struct vips *t, const struct in6_addr *addr)
{
	uint32_t h = 0;

	for (size_t i = 0; i < 16; i++)
		h = h * 31 + addr->s6_addr[i];
	return &t->buckets[h % BUCKETS];
}

static struct vip *vip_find(struct vips *t, unsigned vrf, const struct in6_addr *addr)
{
	LIST_FOREACH(l, bucket(t, addr)) {
		struct vip *v = LIST_ENTRY(l, struct vip, link);
		if (v->vrf == vrf && ip_equal(&v->addr, addr))
			return v;
	}
	return NULL;
}

/* The one that lives on this interface. */
static struct vip *vip_on(struct vips *t, int ifindex, const struct in6_addr *addr)
{
	LIST_FOREACH(l, bucket(t, addr)) {
		struct vip *v = LIST_ENTRY(l, struct vip, link);
		if (v->port && v->port->ifindex == ifindex && ip_equal(&v->addr, addr))
			return v;
	}
	return NULL;
}

/* The state with its sentence; says so when either changed. */
__attribute__((format(printf, 3, 4)))
static void vip_enter(struct vip *v, enum vip_state to, const char *fmt, ...)
{
	char reason[sizeof(v->reason)], text[IP_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	must(to == v->state || (moves[v->state] & (1u << to)));
	if (to == v->state && !strcmp(reason, v->reason))
		return;
	if (to != v->state)
		log_info("vip.%s vip=%s interface=%s term=%" PRIu64 " was=%s reason=\"%s\"", names[to],
			 ip_text(&v->addr, text), v->interface, v->term, names[v->state], reason);
	v->state = to;
	memcpy(v->reason, reason, sizeof(reason));
	if (v->table->user->changed)
		v->table->user->changed(v->table->user, v);
}

static void vip_next(struct vip *v, uint64_t ms, void (*step)(struct timer *t))
{
	timer_at(v->table->loop, &v->timer, mono_ns() + ms * NS_PER_MS, step);
}

/* ---- the kernel's half ---- */

static void lease_set(struct vips *t, uint64_t until)
{
	t->lease_ns = until;
	datapath_lease_set(t->datapath, until);
}

static int gate_set(struct vip *v, bool open)
{
	uint64_t until_ns = open ? VIP_OPEN : 0;
	int rc = datapath_vip_set(v->table->datapath, v->vrf, &v->addr, v->port ? v->port->ifindex : 0,
				  v->mute ? 0 : until_ns, until_ns);

	if (rc)
		log_error("vip.gate error=\"%s\"", strerror(-rc));
	else
		v->open = open;
	if (rc && v->open && !open) {
		v->table->unclosed = true;
		lease_set(v->table, 0);
	}
	return rc;
}

/* Silent at once, then gone from the interface, in this order. */
static void shut(struct vip *v)
{
	(void)gate_set(v, false);
	if (v->added && v->port) {
		int rc = netlink_addr_delete(v->table->netlink, v->port->ifindex, &v->addr);
		if (rc && rc != -EADDRNOTAVAIL && rc != -ENODEV)
			log_error("vip.address_stays error=\"%s\"", strerror(-rc));
	}
	v->added = false;
}

/* How far a lease may reach that is written after a check which began at T0; 0: not at all. */
static uint64_t lease_until(struct vips *t, uint64_t t0)
{
	uint64_t proof = t->user->proof_ns(t->user), until = MIN(t0, proof) + LEASE_NS;

	return proof && until > t0 ? until : 0;
}

/* ---- ports ---- */

static int port_take(struct vips *t, const struct iface *i, struct port **out)
{
	LIST_FOREACH(l, &t->ports) {
		struct port *p = LIST_ENTRY(l, struct port, link);
		if (p->ifindex == i->index && !memcmp(p->mac, i->mac, 6)) {
			p->users++;
			*out = p;
			return 0;
		}
	}

	struct port *p = xcalloc(1, sizeof(*p));
	p->ifindex = i->index;
	p->users = 1;
	memcpy(p->mac, i->mac, 6);
	int rc = herald_new(t->loop, i->index, i->mac, &t->ear, &p->herald);
	if (rc) {
		free(p);
		return rc;
	}
	list_init(&p->link);
	list_insert(&t->ports, &p->link);
	*out = p;
	return 0;
}

static void port_put(struct vip *v)
{
	struct port *p = v->port;

	if (!p)
		return;
	v->port = NULL;
	herald_leave(p->herald, &v->addr);
	if (--p->users)
		return;
	list_remove(&p->link);
	herald_free(p->herald);
	free(p);
}

/* ---- the states' steps ---- */

static void lease_renew(struct vips *t, uint64_t t0);
static void probe_step(struct timer *timer);
static void wait_step(struct timer *timer);

static void announce_step(struct timer *timer)
{
	struct vip *v = CONTAINER_OF(timer, struct vip, timer);
	unsigned wait = REANNOUNCE_MS;

	(void)herald_announce(v->port->herald, &v->addr, v->announced & 1);
	if (v->announced < ARRAY_SIZE(announce_after_ms))
		wait = announce_after_ms[v->announced];
	v->announced++;
	vip_next(v, wait, announce_step);
}

static void probing(struct vip *v)
{
	v->probes = 0;
	v->asked = false;
	vip_enter(v, VIP_PROBING, "asking whether another host has it");
	vip_next(v, 0, probe_step);
}

static void own(struct vip *v, uint64_t t0)
{
	struct vips *t = v->table;
	uint64_t until = lease_until(t, t0);
	int rc;

	if (!until) {
		v->probes = 0;
		vip_enter(v, VIP_PROBING, "the proxy does not answer");
		vip_next(v, VIP_TICK_MS, probe_step);
		return;
	}
	lease_renew(t, t0);
	rc = netlink_addr_add(t->netlink, v->port->ifindex, &v->addr);
	v->added = !rc || rc == -EEXIST;
	if (!v->added || gate_set(v, true)) {
		v->probes = 0;
		vip_enter(v, VIP_PROBING, "the address cannot be set on %s: %s", v->interface,
			  rc ? strerror(-rc) : "no room in the map");
		vip_next(v, RETRY_MAX_MS, probe_step);
		return;
	}
	v->announced = 0;
	v->retry_ms = RETRY_MS;
	announce_step(&v->timer);
	vip_enter(v, VIP_OWNED, "%s", "");
}

static void probe_step(struct timer *timer)
{
	struct vip *v = CONTAINER_OF(timer, struct vip, timer);
	uint64_t t0 = mono_ns();
	int rc;

	/* An answer may lie unread: timers come before descriptors. */
	herald_listen(v->port->herald);
	if (v->state != VIP_PROBING)
		return;
	/* Stopped for a while: what happened meanwhile was not asked about. */
	if (v->probes && t0 - v->probed_ns > 3 * VIP_PROBE_MS * NS_PER_MS)
		v->probes = 0;
	if (v->probes == VIP_PROBES) {
		own(v, t0);
		return;
	}
	if (!lease_until(v->table, t0)) {
		v->probes = 0;
		vip_enter(v, VIP_PROBING, "the proxy does not answer");
		vip_next(v, VIP_TICK_MS, probe_step);
		return;
	}
	v->probed_ns = t0;
	rc = herald_probe(v->port->herald, &v->addr);
	if (rc) {
		v->probes = 0;
		vip_enter(v, VIP_PROBING, "cannot probe on %s: %s", v->interface, strerror(-rc));
	} else {
		v->probes++;
		vip_enter(v, VIP_PROBING, "asking whether another host has it");
	}
	vip_next(v, VIP_PROBE_MS, probe_step);
}

static void waiting(struct vip *v, const uint8_t mac[static 6], const char *does)
{
	char text[18];
	uint16_t jitter;

	random_bytes(&jitter, sizeof(jitter));
	shut(v);
	v->asked = false;
	vip_enter(v, VIP_WAITING, "%s %s, waiting until it falls silent", does, mac_text(mac, text));
	vip_next(v, v->retry_ms + jitter % (v->retry_ms / 4), wait_step);
	v->retry_ms = MIN(v->retry_ms * 2, (unsigned)RETRY_MAX_MS);
}

static void wait_step(struct timer *timer)
{
	struct vip *v = CONTAINER_OF(timer, struct vip, timer);

	herald_listen(v->port->herald);
	if (v->asked) {
		probing(v);
		return;
	}
	v->asked = herald_probe(v->port->herald, &v->addr) == 0;
	vip_next(v, VIP_PROBE_MS, wait_step);
}

static void lapsed_step(struct timer *timer)
{
	probing(CONTAINER_OF(timer, struct vip, timer));
}

static void lapse(struct vip *v, const char *why)
{
	(void)gate_set(v, false);
	vip_enter(v, VIP_LAPSED, "%s", why);
	vip_next(v, 0, lapsed_step);
}

static void absent(struct vip *v, const char *why)
{
	shut(v);
	port_put(v);
	timer_stop(v->table->loop, &v->timer);
	vip_enter(v, VIP_ABSENT, "interface %s %s", v->interface, why);
}

/* Its interface came, went or changed; or it was just born. */
static void reconsider(struct vip *v)
{
	const struct iface *i = netlink_iface_named(v->table->netlink, v->interface);
	const char *why = !i		? "does not exist" :
			  !i->data	? "is not one that carries a VIP" :
			  !i->up	? "is down" :
			  !i->carrier	? "has no carrier" :
					  NULL;

	if (v->port && (why || v->port->ifindex != i->index || memcmp(v->port->mac, i->mac, 6)))
		absent(v, why ? why : "changed its address");
	if (why) {
		absent(v, why);
		return;
	}
	if (v->port)
		return;

	int rc = port_take(v->table, i, &v->port);
	if (!rc)
		rc = herald_join(v->port->herald, &v->addr);
	if (!rc)
		rc = gate_set(v, false);
	if (rc) {
		absent(v, strerror(-rc));
		return;
	}
	v->retry_ms = RETRY_MS;
	probing(v);
}

/* ---- what is heard ---- */

static bool lingers(const struct vip *v)
{
	return v->lingering && v->lingering == v->holds;
}

static void heard(struct herald_user *u, int ifindex, enum herald_word what, const struct in6_addr *ip,
		  const uint8_t mac[static 6])
{
	struct vips *t = CONTAINER_OF(u, struct vips, ear);
	struct vip *v = vip_on(t, ifindex, ip);
	uint64_t now = mono_ns();

	if (!v)
		return;
	switch (v->state) {
	case VIP_PROBING:
		if (what == HERALD_CLAIM)
			waiting(v, mac, "an owner is alive:");
		else if (memcmp(mac, v->port->mac, 6) < 0)
			waiting(v, mac, "another asks for it as well:");
		break;
	case VIP_WAITING:
		if (what == HERALD_CLAIM && !lingers(v))
			waiting(v, mac, "an owner is alive:");
		break;
	case VIP_OWNED:
		if (lingers(v)) {
			shut(v);
			timer_stop(t->loop, &v->timer);
			vip_enter(v, VIP_WAITING, "given to who asked for it");
			break;
		}
		if (what == HERALD_PROBE)
			break; /* the kernel answers */
		if (t->user->defend && t->user->defend(t->user, v)) {
			if (now - v->defended_ns < DEFEND_MS * NS_PER_MS)
				break;
			v->defended_ns = now;
			(void)herald_announce(v->port->herald, &v->addr, false);
			vip_enter(v, VIP_OWNED, "%s", "");
		} else {
			waiting(v, mac, "another claims it:");
		}
		break;
	default:
		break;
	}
}

/* ---- the lease ---- */

static void lapse_all(struct vips *t, const char *why)
{
	for (size_t b = 0; b < BUCKETS; b++)
		LIST_FOREACH(l, &t->buckets[b]) {
			struct vip *v = LIST_ENTRY(l, struct vip, link);
			if (v->state == VIP_OWNED)
				lapse(v, why);
		}
}

/* True: every gate that ought to be closed is. */
static bool all_closed(struct vips *t)
{
	if (!t->unclosed)
		return true;
	t->unclosed = false;
	for (size_t b = 0; b < BUCKETS; b++)
		LIST_FOREACH(l, &t->buckets[b]) {
			struct vip *v = LIST_ENTRY(l, struct vip, link);
			if (v->state != VIP_OWNED && v->open)
				(void)gate_set(v, false);
		}
	return !t->unclosed;
}

/* After a check that began at T0. Whoever has lapsed is closed by itself before there is a lease again. */
static void lease_renew(struct vips *t, uint64_t t0)
{
	uint64_t was = t->lease_ns, until = lease_until(t, t0);

	if (t0 >= was)
		lapse_all(t, "the lease was not renewed in time");
	if (until <= was || !all_closed(t))
		return; /* no newer proof: it ends by itself */
	lease_set(t, until);
	/* Stopped between the check and the write, for longer than was left: another may have begun to probe. */
	if (t0 < was && mono_ns() >= was) {
		lease_set(t, 0);
		lapse_all(t, "the lease was renewed too late");
	}
}

static void tick(struct timer *timer)
{
	struct vips *t = CONTAINER_OF(timer, struct vips, tick);
	uint64_t t0 = mono_ns();

	t->ticked_ns = t0;
	timer_at(t->loop, &t->tick, t0 + VIP_TICK_MS * NS_PER_MS, tick);
	lease_renew(t, t0);
}

/* Who comes too late here, or was stopped, is left for the tick to find: a deadline that is wrong is the past. */
void vips_renew(struct vips *t)
{
	uint64_t t0 = mono_ns(), was = t->lease_ns, until = lease_until(t, t0);

	if (t0 - t->ticked_ns < VIP_TICK_MS * NS_PER_MS)
		return;
	t->ticked_ns = t0;
	if (t0 >= was || until <= was || t->unclosed)
		return;
	lease_set(t, until);
	if (mono_ns() >= was)
		lease_set(t, 0);
}

/* ---- interfaces ---- */

static void attach(struct vips *t, const struct iface *i, bool gone)
{
	size_t at = 0;
	struct err e = { 0 };

	while (at < t->attached_n && t->attached[at] != i->index)
		at++;
	bool is = at < t->attached_n, wanted = i->data && !gone;
	if (is == wanted)
		return;
	if (wanted) {
		if (datapath_attach(t->datapath, i->index, &e)) {
			log_error("vip.unguarded interface=%s error=\"%s\"", i->name, err_line(&e));
			return;
		}
		t->attached = xrealloc(t->attached, (t->attached_n + 1) * sizeof(*t->attached));
		t->attached[t->attached_n++] = i->index;
	} else {
		if (!gone)
			(void)datapath_detach(i->index);
		t->attached[at] = t->attached[--t->attached_n];
	}
}

/* Is it news? Each address that is added, a VIP too, is told as a change of its interface. */
static bool look(struct vips *t, const struct iface *i, bool gone)
{
	struct seen now;
	size_t at = 0;

	memset(&now, 0, sizeof(now)); /* compared as bytes */
	now.ifindex = i->index;
	now.data = i->data;
	now.up = i->up;
	now.carrier = i->carrier;
	memcpy(now.mac, i->mac, sizeof(now.mac));
	memcpy(now.name, i->name, sizeof(now.name));
	while (at < t->seen_n && t->seen[at].ifindex != i->index)
		at++;
	if (gone) {
		if (at < t->seen_n)
			t->seen[at] = t->seen[--t->seen_n];
		return true;
	}
	if (at == t->seen_n)
		t->seen = xrealloc(t->seen, ++t->seen_n * sizeof(now));
	else if (memcmp(&t->seen[at], &now, sizeof(now)) == 0)
		return false;
	memcpy(&t->seen[at], &now, sizeof(now));
	return true;
}

static void iface_changed(struct netlink_watch *w, const struct iface *i, bool gone)
{
	struct vips *t = CONTAINER_OF(w, struct vips, watch);

	if (!look(t, i, gone))
		return;

	attach(t, i, gone);
	for (size_t b = 0; b < BUCKETS; b++)
		LIST_FOREACH(l, &t->buckets[b]) {
			struct vip *v = LIST_ENTRY(l, struct vip, link);
			if (!gone && (!strcmp(v->interface, i->name) || (v->port && v->port->ifindex == i->index)))
				reconsider(v);
			else if (gone && v->port && v->port->ifindex == i->index)
				absent(v, "is gone");
		}
}

enum leftover_step { LEFTOVER_GUARD, LEFTOVER_REMOVE };
struct leftover {
	struct vips *table;
	enum leftover_step step;
	int rc;
};

/* Addresses of a warden that died: known to the gate before the programs change, removed after. */
static void leftover(void *arg, const struct iface *i)
{
	struct leftover *x = arg;
	struct vips *t = x->table;

	for (size_t k = 0; k < i->addrs_n; k++) {
		const struct in6_addr *addr = &i->addrs[k].addr;
		int rc = 0;
		if (!i->addrs[k].ours)
			continue;
		if (x->step == LEFTOVER_GUARD) {
			rc = datapath_vip_set(t->datapath, 0, addr, i->index, 0, 0);
		} else {
			rc = netlink_addr_delete(t->netlink, i->index, addr);
			if (!rc)
				rc = datapath_vip_delete(t->datapath, 0, addr);
			if (rc == -ENOENT) /* the same address on two interfaces, of two domains */
				rc = 0;
		}
		if (rc && !x->rc)
			x->rc = rc;
	}
}

static void attach_each(void *arg, const struct iface *i)
{
	attach(arg, i, false);
	/* One that was an earlier run's, and is no longer ours. */
	if (!i->data)
		(void)datapath_detach(i->index);
}

int vips_new(struct loop *l, struct netlink *n, struct datapath *d, struct vips_user *u, struct vips **out,
	     struct err *e)
{
	struct vips *t = xcalloc(1, sizeof(*t));
	struct leftover x = { .table = t, .step = LEFTOVER_GUARD };

	t->loop = l;
	t->netlink = n;
	t->datapath = d;
	t->user = u;
	t->ear.heard = heard;
	t->watch.iface = iface_changed;
	list_init(&t->ports);
	for (size_t b = 0; b < BUCKETS; b++)
		list_init(&t->buckets[b]);

	netlink_each(n, leftover, &x);
	if (!x.rc) {
		netlink_each(n, attach_each, t);
		x.step = LEFTOVER_REMOVE;
		netlink_each(n, leftover, &x);
	}
	if (x.rc) {
		free(t->attached);
		free(t);
		return err_set(e, x.rc, NULL, "the VIPs of an earlier run cannot be taken over: %s", strerror(-x.rc));
	}
	netlink_watch(n, &t->watch);
	timer_in(l, &t->tick, VIP_TICK_MS, tick);
	*out = t;
	return 0;
}

static void vip_bury(struct grave *g)
{
	free(CONTAINER_OF(g, struct vip, grave));
}

static void withdraw(struct vip *v)
{
	shut(v);
	port_put(v);
	timer_stop(v->table->loop, &v->timer);
	(void)datapath_vip_delete(v->table->datapath, v->vrf, &v->addr);
	vip_enter(v, VIP_WITHDRAWN, "released");
	list_remove(&v->link);
	loop_bury(v->table->loop, &v->grave, vip_bury);
}

void vips_withdraw(struct vips *t)
{
	for (size_t b = 0; b < BUCKETS; b++)
		LIST_FOREACH(l, &t->buckets[b])
			withdraw(LIST_ENTRY(l, struct vip, link));
}

void vips_free(struct vips *t)
{
	if (!t)
		return;
	vips_withdraw(t);
	for (size_t i = 0; i < t->attached_n; i++)
		(void)datapath_detach(t->attached[i]);
	netlink_unwatch(&t->watch);
	timer_stop(t->loop, &t->tick);
	free(t->seen);
	free(t->attached);
	free(t);
}

/* ---- holding ---- */

struct foreign {
	struct vips *table;
	unsigned vrf;
	const struct in6_addr *addr;
	const char *name;
};

static void foreign(void *arg, const struct iface *i)
{
	struct foreign *f = arg;

	if (f->table->user->domain && f->table->user->domain(f->table->user, i->index) != f->vrf)
		return;
	for (size_t k = 0; k < i->addrs_n; k++)
		if (!i->addrs[k].ours && ip_equal(&i->addrs[k].addr, f->addr))
			f->name = i->name;
}

const char *vips_foreign(struct vips *t, unsigned vrf, const struct in6_addr *addr)
{
	struct foreign f = { .table = t, .vrf = vrf, .addr = addr };

	netlink_each(t->netlink, foreign, &f);
	return f.name;
}

static bool can_be_vip(const struct in6_addr *a)
{
	if (ip_is_zero(a))
		return false;
	if (ip_is_v4(a))
		return a->s6_addr[12] != 127 && a->s6_addr[12] < 224 && a->s6_addr[12] != 0;
	return !IN6_IS_ADDR_MULTICAST(a) && !IN6_IS_ADDR_LOOPBACK(a) && !IN6_IS_ADDR_LINKLOCAL(a);
}

int vip_hold(struct vips *t, unsigned vrf, const struct in6_addr *addr, const char *interface, uint64_t term,
	     struct vip **out, struct err *e)
{
	const char *has = vips_foreign(t, vrf, addr);
	char text[IP_TEXT_MAX];
	struct vip *v = vip_find(t, vrf, addr);

	ip_text(addr, text);
	if (!can_be_vip(addr))
		return err_set(e, -EINVAL, NULL, "%s cannot be a VIP", text);
	if (has)
		return err_set(e, -EADDRINUSE, NULL, "%s is the engine's own address on %s", text, has);
	if (v) {
		if (lingers(v) && v->state == VIP_WAITING)
			probing(v);
		v->holds++;
		if (v->mute) {
			v->mute = false;
			gate_set(v, v->open);
		}
		v->term = MAX(v->term, term);
		if (strcmp(v->interface, interface)) {
			absent(v, "is not the VIP's any more");
			snprintf(v->interface, sizeof(v->interface), "%s", interface);
			reconsider(v);
		}
		*out = v;
		return 0;
	}

	v = xcalloc(1, sizeof(*v));
	v->table = t;
	v->holds = 1;
	v->addr = *addr;
	v->vrf = vrf;
	v->term = term;
	v->state = VIP_ABSENT;
	snprintf(v->interface, sizeof(v->interface), "%s", interface);
	list_init(&v->link);
	/* Closed before anything else: from here on the address is guarded. */
	int rc = gate_set(v, false);
	if (rc) {
		free(v);
		return err_set(e, rc, NULL, "no room for %s in the lease gate: %s", text, strerror(-rc));
	}
	list_insert(bucket(t, addr), &v->link);
	*out = v;
	reconsider(v);
	return 0;
}

void vip_mute(struct vip *v)
{
	if (v->holds > 1 || v->state != VIP_OWNED)
		return;
	v->mute = true;
	gate_set(v, v->open);
}

void vip_linger(struct vip *v)
{
	v->lingering++;
}

void vip_end_linger(struct vip *v)
{
	v->lingering--;
	vip_release(v);
}

void vip_release(struct vip *v)
{
	if (--v->holds == 0)
		withdraw(v);
}

const struct in6_addr *vip_addr(const struct vip *v)
{
	return &v->addr;
}

const char *vip_interface(const struct vip *v)
{
	return v->interface;
}

enum vip_state vip_state(const struct vip *v)
{
	return v->state;
}

const char *vip_reason(const struct vip *v)
{
	return v->reason;
}

void vips_each(struct vips *t, void (*f)(void *arg, const struct vip *v), void *arg)
{
	for (size_t b = 0; b < BUCKETS; b++)
		LIST_FOREACH(l, &t->buckets[b])
			f(arg, LIST_ENTRY(l, struct vip, link));
}
