/*
 * How it is done. All slots are looked at anew (slot_settle), once a turn, when
 * something changed that could matter: interfaces, addresses, a neighbour, what
 * production uses. Settling computes the kernel's entry from what is known and
 * writes it when it differs: it keeps no state of its own that could go stale.
 */
#include "engine/clone/clone.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "engine/bpf/datapath.h"
#include "engine/clone/exit.h"
#include "engine/clone/neighbour.h"
#include "engine/clone/series.h"
#include "engine/clone/wrap.h"
#include "engine/reach/netlink.h"
#include "engine/clone/outlet.h"
#include "engine/reach/route.h"
#include "engine/reach/sockets.h"

enum {
	SET_MAX = 64,
	SWEEP_MS = 100,       /* this often we look at */
	SWEEP_REST_MS = 500,  /* or, when we have seen all of them: an empty table is as long to walk through */
	SWEEP_BUDGET = 4096,  /* so many flows, and remove those that are */
	LINGER_S = 5,         /* so long closed, or */
	IDLE_S = 600,         /* so long unused, and without a socket */
	MARKED_S = 2,         /* a socket that was marked under the old set has sent its SYN by then */
	MTU_UNKNOWN = 1500,   /* of a path, until it is known */
	LINGER_MS = 250,      /* what an answer to a FIN takes, and some */
	STOPPED_S = 5,        /* a packet that was under way in the programs when its set was stopped is counted by then */
};

struct slot {
	struct clone_set *set;
	uint32_t index;
	struct clone_want want;
	struct clone_exit *exit;
	struct clone_neighbour *neighbour; /* NULL: its MAC is given, or no interface leads to it */
	struct target written;    /* as the kernel has it */
	struct wrap wrap;         /* likewise; `len` 0: none */
	uint32_t series;          /* of whose numbers, when its frames are numbered */
	unsigned mtu;             /* of the path; 0: not known */
	struct target_counters base;
	uint64_t device_base;
	bool ended;               /* its clone server was taken away: no more copies, also not of running flows */
	struct clone_books *last; /* what it counted, when the slot itself is no longer its; else NULL */
	char state[192];
};

struct clone_set {
	struct list link;
	struct clones *table;
	struct clone_range range;
	struct clone_plan plan;
	bool planned;             /* and the kernel has it, by the number of the first slot */
	uint64_t retired_ns;      /* 0: not */
	uint64_t stopped_ns;      /* 0: not */
	bool vacated;             /* its slots are not its any more */
	unsigned room;
	struct slot slots[];
};

struct clones {
	struct loop *loop;
	struct netlink *netlink;
	struct datapath *datapath;
	struct outlet *outlet;    /* NULL: there is none */
	struct clones_user *user;
	struct clone_exits *exits;
	struct clone_neighbours *neighbours;
	struct routes *routes;
	struct series *series;
	struct netlink_watch watch;
	struct timer sweep, settle;
	struct list sets;
	int socket_table;         /* sockets_open(); -1: it cannot be asked */
	bool keeps;               /* see clones_keep() */
	bool used[TARGETS_MAX];
	uint32_t next;            /* slots are given out in turn: one that was freed rests */
	uint32_t generation;
};

/* ---- slots ---- */

static const uint8_t flood_mac[6] = CLONE_FLOOD_MAC;

/* NULL: not known, and its copies are dropped. */
static const uint8_t *slot_mac(const struct slot *s, const struct clone_way *w)
{
	const uint8_t *mac = clone_neighbour_mac(s->neighbour);

	if (s->want.has_mac)
		return s->want.mac;
	if (clone_neighbour_answers(s->neighbour) || (mac && w->floods))
		return mac;
	return w->floods ? flood_mac : NULL;
}

static void slot_write(struct slot *s, const struct target *t)
{
	if (!memcmp(t, &s->written, sizeof(*t)))
		return;
	datapath_target_set(s->set->table->datapath, s->index, t);
	s->written = *t;
}

static uint64_t device_dropped(struct slot *s)
{
	uint64_t n = 0;

	if (s->exit)
		(void)netlink_tx_dropped(s->set->table->netlink, s->exit->ifindex, &n);
	return n;
}

/* What kernel and proxy counted for its number, ever. */
static void slot_count(const struct slot *s, struct target_counters *out)
{
	struct clones *t = s->set->table;
	struct outlet_book b;
	uint64_t *sum;

	*out = (struct target_counters){ 0 };
	(void)datapath_target_read(t->datapath, s->index, out);
	if (!t->outlet)
		return;
	outlet_read(t->outlet, s->index, &b);
	sum = (uint64_t *)out;
	for (size_t i = 0; i < sizeof(b.c) / sizeof(*sum); i++)
		sum[i] += ((const uint64_t *)&b.c)[i];
}

/*
 * The source MAC address of plaintext that leaves by I. Unless the profile says it, it is the engine's own: two engines behind
 * one switch with the same one would look like a loop.
 */
static void marker_of(const struct clone_plan *p, const struct iface *i, uint8_t out[6])
{
	static const uint8_t unset[6], flood[6] = CLONE_FLOOD_MAC;

	memcpy(out, p->marker, 6);
	if (memcmp(out, unset, 6) != 0)
		return;
	memcpy(out, flood, 4);
	memcpy(out + 4, i->mac + 4, 2);
	if (!memcmp(out, flood, 6))
		out[5]--;
}

/* Its headers reach the kernel before the target that says that there are some. */
static void slot_wrap(struct slot *s, const struct clone_way *w)
{
	struct wrap wrap = { 0 };
	int rc;

	if (!s->want.wrap)
		return;
	clone_wrap_fill(&s->want, &w->source, &wrap);
	wrap.series = s->series;
	if (s->set->plan.plain) {
		wrap.flags |= WRAP_MARKED;
		marker_of(&s->set->plan, w->iface, wrap.marker);
	}
	if (!memcmp(&wrap, &s->wrap, sizeof(wrap)))
		return;
	rc = datapath_wrap_set(s->set->table->datapath, s->index, &wrap);
	if (rc)
		log_error("clone.wrap error=\"%s\"", strerror(-rc));
	else
		s->wrap = wrap;
}

static int slot_exit(struct slot *s, const struct iface *i)
{
	struct clone_exit *old = s->exit, *x;
	int rc;

	if (clone_exit_fits(old, i, s->want.wrap))
		return 0;
	rc = clone_exit_get(s->set->table->exits, i, s->want.wrap, &x);
	if (rc)
		return rc;
	s->exit = x;
	if (!old || old->ifindex != x->ifindex)
		s->device_base = device_dropped(s);
	clone_exit_put(old);
	return 0;
}

static void slot_neighbour(struct slot *s, const struct clone_way *w)
{
	struct clone_neighbour *old = s->neighbour;

	if (w->iface && !ip_is_zero(&w->next_hop)) {
		if (clone_neighbour_is(old, w->iface->index, &w->next_hop))
			return;
		s->neighbour = clone_neighbour_get(s->set->table->neighbours, w->iface->index, &w->next_hop);
	} else {
		s->neighbour = NULL;
	}
	clone_neighbour_put(old);
}

static void slot_say(struct slot *s, const struct clone_way *w, const struct target *t)
{
	const bool answers = clone_neighbour_answers(s->neighbour), v4 = ip_is_v4(&w->next_hop);
	char hop[IP_TEXT_MAX], ip[IP_TEXT_MAX], mac[18];

	ip_text(&w->next_hop, hop);
	if (t->flags & TARGET_DOWN)
		snprintf(s->state, sizeof(s->state), "%s is down or has no carrier", w->iface->name);
	else if (!s->neighbour || answers)
		snprintf(s->state, sizeof(s->state), "ready");
	else if (t->flags & TARGET_READY)
		snprintf(s->state, sizeof(s->state), "ready: %s does not answer %s, copies go to %s", hop,
			 v4 ? "ARP" : "neighbour discovery", mac_text(t->dst_mac, mac));
	else if (ip_equal(&w->next_hop, &s->want.ip))
		snprintf(s->state, sizeof(s->state), "%s does not answer %s on %s", hop,
			 v4 ? "ARP" : "neighbour discovery", w->iface->name);
	else
		snprintf(s->state, sizeof(s->state), "%s, the next hop to %s, does not answer %s on %s", hop,
			 ip_text(&s->want.ip, ip), v4 ? "ARP" : "neighbour discovery", w->iface->name);
}

static void slot_settle(struct slot *s)
{
	struct clones *c = s->set->table;
	struct target t = { .generation = s->set->range.generation, .flags = s->ended ? TARGET_ENDED : 0,
			    .plan = s->set->planned ? s->set->range.first : 0 };
	struct clone_way w = { .trouble = "it was taken away" };
	const struct iface *i, *via;

	if (!s->ended)
		clone_way_find(&s->want, c->netlink, c->routes, c->user, &w);
	i = w.iface;
	s->mtu = w.mtu;
	slot_neighbour(s, &w);
	if (!i) {
		snprintf(s->state, sizeof(s->state), "%s", w.trouble);
		slot_write(s, &t);
		clone_exit_put(s->exit);
		s->exit = NULL;
		return;
	}
	if (slot_exit(s, i)) {
		snprintf(s->state, sizeof(s->state), "%s cannot be prepared for copies", i->name);
		slot_write(s, &t);
		return;
	}
	slot_wrap(s, &w);

	t.via = (uint32_t)s->exit->via;
	t.out = (uint32_t)i->index;
	t.mtu = w.mtu;
	t.flags = (s->exit->cuts ? TARGET_CUT : 0) | (s->want.wrap ? TARGET_WRAP : 0);
	if (s->set->plan.bits_per_s || s->set->plan.packets_per_s)
		t.flags |= TARGET_LIMITED;
	/* Of an encapsulated copy the marker is within: slot_wrap(). */
	if (s->set->plan.plain && !s->want.wrap)
		marker_of(&s->set->plan, i, t.src_mac);
	else
		memcpy(t.src_mac, i->mac, 6);
	if (slot_mac(s, &w)) {
		memcpy(t.dst_mac, slot_mac(s, &w), 6);
		t.flags |= TARGET_READY;
	}
	via = netlink_iface(c->netlink, s->exit->via);
	/* A cutter that was just made may not be in the table yet; it is up. */
	if (!i->up || !i->carrier || (via && !via->up))
		t.flags |= TARGET_DOWN;
	slot_say(s, &w, &t);
	slot_write(s, &t);
}

/* True: there is another amount of room in its packets now. */
static bool set_settle(struct clone_set *s)
{
	unsigned before = s->room;

	for (uint32_t k = 0; k < s->range.count && !s->vacated && !s->stopped_ns; k++)
		slot_settle(&s->slots[k]);
	s->room = clone_set_room(s);
	return s->room != before;
}

static void settle_all(struct timer *timer)
{
	struct clones *t = CONTAINER_OF(timer, struct clones, settle);

	bool room = false;

	LIST_FOREACH(l, &t->sets)
		room |= set_settle(LIST_ENTRY(l, struct clone_set, link));
	if (room && t->user && t->user->room)
		t->user->room(t->user);
}

/* Not at once: news come in swarms, and some from within what we ask the kernel. */
static void settle_soon(struct clones *t)
{
	clone_exits_doubt(t->exits);
	timer_in(t->loop, &t->settle, 0, settle_all);
}

/* ---- what changes ---- */

static void iface_changed(struct netlink_watch *w, const struct iface *i, bool gone)
{
	struct clones *t = CONTAINER_OF(w, struct clones, watch);

	if (gone)
		clone_exits_gone(t->exits, i->index);
	settle_soon(t);
}

static void others_changed(void *arg)
{
	settle_soon(arg);
}

void clones_look(struct clones *t)
{
	settle_soon(t);
}

void clones_production(struct clones *t, const struct in6_addr *addrs, size_t n)
{
	if (clone_exits_production(t->exits, addrs, n))
		settle_soon(t);
}

static bool flow_lives(void *arg, const struct flow_key *k, uint32_t ifindex)
{
	const struct clones *t = arg;

	return t->socket_table >= 0 && sockets_have(t->socket_table, k, ifindex);
}

static void sweep(struct timer *timer)
{
	struct clones *t = CONTAINER_OF(timer, struct clones, sweep);
	const struct datapath_patience p = { LINGER_S * NS_PER_S, IDLE_S * NS_PER_S, flow_lives, t };
	int rc = datapath_sweep(t->datapath, SWEEP_BUDGET, &p);

	if (rc < 0)
		log_error("clone.sweep error=\"%s\"", strerror(-rc));
	timer_in(t->loop, &t->sweep, datapath_is_sweeping(t->datapath) ? SWEEP_MS : SWEEP_REST_MS, sweep);
}

/* ---- sets ---- */

bool clone_want_is(const struct clone_want *a, const struct clone_want *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static int want_check(const struct clone_want *w, size_t at, struct err *e)
{
	char path[48];
	static const uint8_t zero[6];

	snprintf(path, sizeof(path), "clone_servers[%zu]", at);
	if (!w->has_ip && w->wrap)
		return err_set(e, -EINVAL, path, "an encapsulation needs the address of its far end");
	if (!w->has_ip && !w->has_subnet)
		return err_set(e, -EINVAL, path, "%s", w->has_mac ? "a MAC address alone does not say which interface"
								  : "neither an address nor a subnet");
	if (w->has_mac && ((w->mac[0] & 1) || !memcmp(w->mac, zero, 6)))
		return err_set(e, -EINVAL, path, "the MAC address is not that of one host");
	return 0;
}

/* N slots in a row; 0: none. Slot 0 is never given out. */
static uint32_t slots_find(struct clones *t, uint32_t n)
{
	for (uint32_t tried = 0, run = 0; tried < 2 * TARGETS_MAX; tried++, t->next++) {
		if (t->next >= TARGETS_MAX) {
			t->next = 1;
			run = 0;
		}
		run = t->used[t->next] ? 0 : run + 1;
		if (run < n)
			continue;
		uint32_t first = t->next++ - n + 1;
		memset(t->used + first, true, n);
		return first;
	}
	return 0;
}

/* ---- plans ---- */

static uint32_t plan_clients(const struct clone_set *set, struct plan_client out[static PLAN_CLIENTS_MAX])
{
	const struct clone_plan *p = &set->plan;

	for (size_t i = 0; i < p->prefixes_n; i++) {
		unsigned len = p->prefixes[i].len + (ip_is_v4(&p->prefixes[i].net) ? 96 : 0);

		out[i] = (struct plan_client){ .prefixlen = PLAN_CLIENT_BITS - 128 + len, .plan = set->range.first };
		memcpy(out[i].addr, &p->prefixes[i].net, 16);
	}
	return (uint32_t)p->prefixes_n;
}

static int plan_make(struct clone_set *set, struct err *e)
{
	const struct clone_plan *p = &set->plan;
	struct plan_client clients[PLAN_CLIENTS_MAX];
	struct copy_plan made = { .clients = plan_clients(set, clients), .bytes_per_s = p->bits_per_s / 8,
			     .frames_per_s = p->packets_per_s };
	int rc;

	if (p->sample_percent && p->sample_percent < 100)
		made.sample = p->sample_percent * 65536 / 100;
	if (!made.clients && !made.sample && !made.bytes_per_s && !made.frames_per_s)
		return 0;
	rc = datapath_plan_set(set->table->datapath, set->range.first, &made, clients);
	if (rc)
		return err_set(e, rc, "filter", "the kernel does not take it: %s", strerror(-rc));
	set->planned = true;
	return 0;
}

static void plan_drop(struct clone_set *set)
{
	struct plan_client clients[PLAN_CLIENTS_MAX];
	uint32_t n = plan_clients(set, clients);

	if (set->planned)
		datapath_plan_clear(set->table->datapath, set->range.first, clients, n);
	set->planned = false;
}

/* ---- slots are taken and given back ---- */

void clone_set_stop(struct clone_set *set)
{
	if (set->stopped_ns || set->table->keeps)
		return;
	for (uint32_t k = 0; k < set->range.count; k++) {
		struct slot *s = &set->slots[k];

		if (set->table->outlet)
			outlet_set(set->table->outlet, s->index, 0, true);
		slot_write(s, &(struct target){ 0 });
	}
	set->stopped_ns = mono_ns();
}

/* The slots are given back; what they counted is kept. */
static void set_vacate(struct clone_set *set)
{
	clone_set_stop(set);
	for (uint32_t k = 0; k < set->range.count && !set->vacated; k++) {
		struct slot *s = &set->slots[k];
		struct clone_books *last = xmalloc(sizeof(*last));

		clone_set_read(set, k, last);
		s->last = last;
		clone_neighbour_put(s->neighbour);
		clone_exit_put(s->exit);
		s->neighbour = NULL;
		s->exit = NULL;
		if (s->wrap.len)
			(void)datapath_wrap_set(set->table->datapath, s->index, NULL);
		if (clone_wrap_is_numbered(&s->want))
			series_put(set->table->series, s->series);
		set->table->used[s->index] = false;
	}
	plan_drop(set);
	set->vacated = true;
}

/* The one that was retired first. NULL: none. */
static struct clone_set *oldest_retired(struct clones *t)
{
	struct clone_set *oldest = NULL;

	LIST_FOREACH(l, &t->sets) {
		struct clone_set *s = LIST_ENTRY(l, struct clone_set, link);

		if (s->retired_ns && !s->vacated && (!oldest || s->retired_ns < oldest->retired_ns))
			oldest = s;
	}
	return oldest;
}

static uint32_t slots_take(struct clones *t, uint32_t n)
{
	for (;;) {
		uint32_t first = slots_find(t, n);
		struct clone_set *s = first ? NULL : oldest_retired(t);

		if (!s)
			return first;
		log_warn("clone.vacated first=%u count=%u", s->range.first, s->range.count);
		set_vacate(s);
	}
}

int clone_set_new(struct clones *t, const struct clone_plan *p, const struct clone_want *w, size_t n,
		  struct clone_set **out, struct err *e)
{
	if (!n || n > SET_MAX)
		return err_set(e, -EINVAL, "clone_servers", "between 1 and %d clone servers are possible", SET_MAX);
	for (size_t i = 0; i < n; i++) {
		int rc = want_check(&w[i], i, e);
		if (rc)
			return rc;
	}

	uint32_t first = slots_take(t, (uint32_t)n);
	if (!first)
		return err_set(e, -ENOSPC, NULL, "all %d clone targets of the engine are in use", TARGETS_MAX - 1);

	struct clone_set *set = xcalloc(1, sizeof(*set) + n * sizeof(set->slots[0]));
	set->table = t;
	if (p)
		set->plan = *p;
	set->range = (struct clone_range){ .first = first, .count = (uint32_t)n, .generation = ++t->generation };
	list_init(&set->link);
	list_insert(&t->sets, &set->link);
	for (uint32_t k = 0; k < n; k++) {
		struct slot *s = &set->slots[k];
		s->set = set;
		s->index = first + k;
		s->want = w[k];
		if (clone_wrap_is_numbered(&s->want))
			s->series = series_get(t->series, &s->want);
		slot_count(s, &s->base);
		if (t->outlet)
			outlet_set(t->outlet, s->index, set->range.generation, false);
	}
	int rc = plan_make(set, e);
	if (rc) {
		clone_set_free(set);
		return rc;
	}
	(void)set_settle(set);
	*out = set;
	return 0;
}

static bool has_server(const struct clone_set *set, const struct clone_want *w)
{
	for (uint32_t k = 0; set && k < set->range.count; k++)
		if (clone_want_is(&set->slots[k].want, w))
			return true;
	return false;
}

void clone_set_retire(struct clone_set *set, const struct clone_set *next)
{
	if (set->table->keeps)
		return;
	if (!set->retired_ns)
		set->retired_ns = mono_ns();
	for (uint32_t k = 0; k < set->range.count; k++) {
		struct slot *s = &set->slots[k];

		/* One that is taken away and comes back is another one: no flow is copied with a hole. */
		s->ended = s->ended || !has_server(next, &s->want);
		if (s->ended && set->table->outlet && !set->vacated && !set->stopped_ns)
			outlet_set(set->table->outlet, s->index, set->range.generation, true);
	}
	set_settle(set);
}

static bool has_plain_flows(const struct clone_set *set)
{
	for (uint32_t k = 0; k < set->range.count && set->table->outlet && set->plan.plain; k++)
		if (outlet_has_flows(set->table->outlet, set->slots[k].index))
			return true;
	return false;
}

bool clone_set_is_over(const struct clone_set *set)
{
	if (set->vacated || set->stopped_ns)
		return set->vacated || mono_ns() - set->stopped_ns > STOPPED_S * NS_PER_S;
	return set->retired_ns && !has_plain_flows(set) && datapath_flows_none(set->table->datapath, set->range.first,
							       set->range.count,
							       set->retired_ns + MARKED_S * NS_PER_S);
}

void clone_set_free(struct clone_set *set)
{
	if (set->table->keeps)
		return; /* it goes with all the others */
	set_vacate(set);
	list_remove(&set->link);
	for (uint32_t k = 0; k < set->range.count; k++)
		free(set->slots[k].last);
	free(set);
}

struct clone_range clone_set_range(const struct clone_set *s)
{
	return s->range;
}

const struct clone_want *clones_want(const struct clones *t, uint32_t slot, uint32_t generation)
{
	LIST_FOREACH(l, &t->sets) {
		const struct clone_set *s = LIST_ENTRY(l, struct clone_set, link);

		if (s->range.generation == generation && slot - s->range.first < s->range.count)
			return &s->slots[slot - s->range.first].want;
	}
	return NULL;
}

const struct clone_want *clone_set_want(const struct clone_set *s, uint32_t i)
{
	must(i < s->range.count);
	return &s->slots[i].want;
}

const struct clone_plan *clone_set_plan(const struct clone_set *set)
{
	return &set->plan;
}

unsigned clone_set_mtu(const struct clone_set *s)
{
	unsigned mtu = 1500;

	for (uint32_t k = 0; k < s->range.count; k++)
		if (s->slots[k].written.mtu)
			mtu = MIN(mtu, s->slots[k].written.mtu);
	return s->room && s->room < mtu ? s->room : mtu;
}

unsigned clone_set_room(const struct clone_set *set)
{
	unsigned room = 0;

	for (uint32_t k = 0; k < set->range.count; k++) {
		const struct slot *s = &set->slots[k];
		unsigned mtu = s->mtu ? s->mtu : MTU_UNKNOWN, over = clone_wrap_overhead(&s->want);

		if (over && mtu > over && (!room || mtu - over < room))
			room = mtu - over;
	}
	return room;
}

/* ---- books ---- */

void clone_set_read(struct clone_set *set, uint32_t i, struct clone_books *out)
{
	must(i < set->range.count);

	struct slot *s = &set->slots[i];
	struct target_counters now;

	if (s->last) {
		*out = *s->last;
		return;
	}
	memset(out, 0, sizeof(*out));
	slot_count(s, &now);

	const uint64_t *n = (const uint64_t *)&now, *base = (const uint64_t *)&s->base;
	uint64_t *sum = (uint64_t *)&out->c;
	for (size_t k = 0; k < sizeof(now) / sizeof(*n); k++)
		sum[k] = n[k] - base[k];

	out->state = s->state;
	if (s->written.flags & TARGET_READY)
		memcpy(out->mac, s->written.dst_mac, 6);
	memcpy(out->own_mac, s->written.src_mac, 6);
	if (s->exit) {
		snprintf(out->interface, sizeof(out->interface), "%s", s->exit->name);
		out->device_dropped = device_dropped(s) - s->device_base;
	}
}

/* ---- life ---- */

int clones_new(struct loop *l, struct netlink *n, struct datapath *d, struct clones_user *u, struct clones **out,
	       struct err *e)
{
	struct clones *t = xcalloc(1, sizeof(*t));
	int rc = clone_exits_new(l, n, d, &t->exits, e);

	t->loop = l;
	t->netlink = n;
	t->datapath = d;
	t->user = u;
	t->next = 1;
	t->series = series_new();
	t->socket_table = sockets_open();
	t->watch.iface = iface_changed;
	list_init(&t->sets);
	if (!rc)
		rc = routes_new(l, others_changed, t, &t->routes, e);
	if (rc) {
		clones_free(t);
		return rc;
	}
	t->neighbours = clone_neighbours_new(l, n, others_changed, t);
	netlink_watch(n, &t->watch);
	timer_in(l, &t->sweep, SWEEP_MS, sweep);
	*out = t;
	return 0;
}

void clones_outlet(struct clones *c, struct outlet *t)
{
	c->outlet = t;
}

int clones_open_outlet(struct clones *c, struct err *e)
{
	must(c->outlet);
	return outlet_open(c->outlet, c->netlink, c->datapath, e);
}

void clones_keep(struct clones *t)
{
	t->keeps = true;
}

void clones_linger(struct clones *t)
{
	struct timespec pause = { .tv_nsec = 5 * (long)NS_PER_MS };
	uint64_t deadline = mono_ns() + LINGER_MS * NS_PER_MS;

	while (mono_ns() < deadline && datapath_flows_closing(t->datapath))
		nanosleep(&pause, NULL);
}

void clones_free(struct clones *t)
{
	if (!t)
		return;
	t->keeps = false;
	netlink_unwatch(&t->watch);
	timer_stop(t->loop, &t->sweep);
	timer_stop(t->loop, &t->settle);
	while (!list_empty(&t->sets))
		clone_set_free(LIST_ENTRY(t->sets.next, struct clone_set, link));
	clone_neighbours_free(t->neighbours);
	routes_free(t->routes);
	clone_exits_free(t->exits);
	series_free(t->series);
	if (t->socket_table >= 0)
		close(t->socket_table);
	free(t);
}
