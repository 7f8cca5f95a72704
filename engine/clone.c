/*
 * How it is done. All slots are looked at anew (slot_settle), once a turn, when
 * something changed that could matter: interfaces, addresses, a neighbour, what
 * production uses. Settling computes the kernel's entry from what is known and
 * writes it when it differs: it keeps no state of its own that could go stale.
 *
 * A neighbour is a clone server's address on an interface, shared by all slots
 * that send there. The kernel keeps it resolved (a managed entry); once a
 * second we ask for it by broadcast, because the kernel alone notices a changed
 * MAC address late, and forgets its entries when the carrier goes.
 *
 * An exit is an interface that copies leave by, in one of two ways: directly,
 * with `tx off`, or through a cutter. When the way changes, a new exit is made
 * first; the old one goes a second later.
 */
#include "engine/clone.h"

#include <errno.h>
#include <inttypes.h>

#include "base/log.h"
#include "engine/bpf/datapath.h"
#include "engine/herald.h"
#include "engine/netlink.h"
#include "engine/offload.h"
#include "engine/outlet.h"

enum {
	SET_MAX = 64,
	SWEEP_MS = 100,       /* this often we look at */
	SWEEP_BUDGET = 4096,  /* so many flows, and remove those that are */
	LINGER_S = 5,         /* so long closed, or */
	IDLE_S = 3600,        /* so long unused */
	MARKED_S = 2,         /* a socket that was marked under the old set has sent its SYN by then */
	RETIRE_MS = 1000,
	ASK_MS = 1000,
	JUDGED_MAX = 64,
};

struct neighbour {
	struct list link;
	unsigned users;
	int ifindex;
	struct in6_addr ip;
	struct herald *herald;    /* NULL: no socket; the kernel asks alone */
	uint8_t own_mac[6];       /* that the herald speaks with */
	bool resolved;
	uint8_t mac[6];
};

struct exit {
	struct list link;
	struct timer retire;
	struct grave grave;
	struct clones *table;
	unsigned users;
	int ifindex;
	char name[IF_NAMESIZE];
	bool cuts;                /* through `cutter` */
	bool had_offload;         /* directly: what to put back */
	struct netlink_cutter cutter;
	int via;                  /* ifindex that copies are given to */
};

struct slot {
	struct clone_set *set;
	uint32_t index;
	struct clone_want want;
	struct exit *exit;
	struct neighbour *neighbour; /* NULL: its MAC is given, or no interface leads to it */
	struct target written;    /* as the kernel has it */
	struct target_counters base;
	uint64_t device_base;
	bool ended;               /* its clone server was taken away: no more copies, also not of running flows */
	struct clone_books *last; /* what it counted, when the slot itself is no longer its; else NULL */
	const char *state;
};

struct clone_set {
	struct list link;
	struct clones *table;
	struct clone_range range;
	struct clone_plan plan;
	bool planned;             /* and the kernel has it, by the number of the first slot */
	uint64_t retired_ns;      /* 0: not */
	bool vacated;             /* its slots are not its any more */
	struct slot slots[];
};

struct clones {
	struct loop *loop;
	struct netlink *netlink;
	struct datapath *datapath;
	struct outlet *outlet;    /* NULL: there is none */
	struct netlink_watch watch;
	struct timer sweep, ask, settle;
	struct list sets, exits, neighbours;
	bool used[TARGETS_MAX];
	uint32_t next;            /* slots are given out in turn: one that was freed rests */
	uint32_t generation;
	unsigned cutters;         /* made so far: their names */
	bool production_known;
	struct in6_addr *production;
	size_t production_n;
	struct {
		int ifindex;
		bool shared;
	} judged[JUDGED_MAX];     /* answers of iface_is_shared(), until something changes */
	size_t judged_n;
};

/* ---- is an interface production's, or must be treated so? ---- */

/* Most servers beyond routers share one: a neighbour of the last one asked about is not asked about again. */
static bool routed_by(struct clones *t, const struct iface *i)
{
	const struct in6_addr *last = NULL;

	for (size_t k = 0; k < t->production_n; k++) {
		const struct in6_addr *ip = &t->production[k];
		int by = 0;
		if (last && ip_within(ip, last, ip_is_v4(ip) ? 24 : 64))
			continue;
		if (netlink_iface_towards(t->netlink, ip))
			continue;
		last = ip;
		if (netlink_route(t->netlink, ip, &by) == 0 && by == i->index)
			return true;
	}
	return false;
}

static bool connects(struct clones *t, const struct iface *i)
{
	for (size_t a = 0; a < i->addrs_n; a++) {
		if (i->addrs[a].ours)
			return true;
		for (size_t k = 0; k < t->production_n; k++)
			if (ip_within(&t->production[k], &i->addrs[a].addr, i->addrs[a].prefix_len))
				return true;
	}
	return false;
}

static bool iface_is_shared(struct clones *t, const struct iface *i)
{
	for (size_t k = 0; k < t->judged_n; k++)
		if (t->judged[k].ifindex == i->index)
			return t->judged[k].shared;

	/* What stands on it inherits its offloads. */
	bool shared = !t->production_known || netlink_iface_carries(t->netlink, i) || connects(t, i) ||
		      routed_by(t, i) || netlink_tx_offload_is_fixed(i->name);
	if (t->judged_n < JUDGED_MAX) {
		t->judged[t->judged_n].ifindex = i->index;
		t->judged[t->judged_n++].shared = shared;
	}
	return shared;
}

/* ---- exits ---- */

static void exit_free(struct grave *g)
{
	free(CONTAINER_OF(g, struct exit, grave));
}

static void exit_close(struct exit *x)
{
	struct clones *t = x->table;
	int rc;

	timer_stop(t->loop, &x->retire);
	list_remove(&x->link);
	if (!x->cuts)
		(void)datapath_own_exit(t->datapath, x->via, false);
	if (x->cuts)
		rc = netlink_cutter_delete(t->netlink, &x->cutter);
	else
		rc = x->had_offload ? offload_give_back(x->name) : 0;
	if (rc && rc != -ENODEV)
		log_warn("clone.exit_left interface=%s error=\"%s\"", x->name, strerror(-rc));
	loop_bury(t->loop, &x->grave, exit_free);
}

static void exit_retire(struct timer *timer)
{
	exit_close(CONTAINER_OF(timer, struct exit, retire));
}

static void exit_put(struct slot *s)
{
	struct exit *x = s->exit;

	s->exit = NULL;
	if (x && --x->users == 0)
		timer_in(x->table->loop, &x->retire, RETIRE_MS, exit_retire);
}

static struct netlink_cutter cutter_named(unsigned number)
{
	struct netlink_cutter c;

	snprintf(c.bridge, sizeof(c.bridge), NETLINK_OWN_PREFIX "c%u", number);
	snprintf(c.port, sizeof(c.port), NETLINK_OWN_PREFIX "n%u", number);
	snprintf(c.far_end, sizeof(c.far_end), NETLINK_OWN_PREFIX "f%u", number);
	return c;
}

static int cutter_open(struct exit *x)
{
	struct clones *t = x->table;
	struct err e = { 0 };

	x->cutter = cutter_named(++t->cutters);

	int rc = netlink_cutter_add(t->netlink, &x->cutter);
	if (!rc)
		rc = netlink_tx_offload(x->cutter.bridge, false, NULL);
	if (!rc)
		rc = datapath_attach_cutter(t->datapath, (int)if_nametoindex(x->cutter.port), &e);
	x->via = (int)if_nametoindex(x->cutter.bridge);
	if (rc)
		(void)netlink_cutter_delete(t->netlink, &x->cutter);
	return rc;
}

static int exit_get(struct clones *t, const struct iface *i, struct exit **out)
{
	bool cuts = iface_is_shared(t, i);

	LIST_FOREACH(l, &t->exits) {
		struct exit *x = LIST_ENTRY(l, struct exit, link);
		if (x->ifindex != i->index || x->cuts != cuts)
			continue;
		timer_stop(t->loop, &x->retire);
		x->users++;
		*out = x;
		return 0;
	}

	struct exit *x = xcalloc(1, sizeof(*x));
	x->table = t;
	x->users = 1;
	x->ifindex = i->index;
	x->via = i->index;
	x->cuts = cuts;
	memcpy(x->name, i->name, sizeof(x->name));
	int rc = cuts ? cutter_open(x) : offload_take(i->name, &x->had_offload);
	if (rc) {
		log_error("clone.exit interface=%s error=\"%s\"", i->name, strerror(-rc));
		free(x);
		return rc;
	}
	if (!cuts)
		(void)datapath_own_exit(t->datapath, x->via, true);
	list_init(&x->link);
	list_insert(&t->exits, &x->link);
	log_info("clone.exit interface=%s way=%s", x->name, cuts ? x->cutter.bridge : "direct");
	*out = x;
	return 0;
}

/* ---- neighbours ---- */

static void neighbour_manage(struct clones *t, struct neighbour *nb)
{
	int rc = netlink_neighbour_manage(t->netlink, nb->ifindex, &nb->ip);

	/* Without carrier there is nobody to ask. */
	if (rc && rc != -ENETDOWN && rc != -ENODEV)
		log_error("clone.neighbour error=\"%s\"", strerror(-rc));
}

static void neighbour_put(struct slot *s)
{
	struct neighbour *nb = s->neighbour;

	s->neighbour = NULL;
	if (!nb || --nb->users)
		return;
	(void)netlink_neighbour_forget(s->set->table->netlink, nb->ifindex, &nb->ip);
	if (nb->herald)
		herald_free(nb->herald);
	list_remove(&nb->link);
	free(nb);
}

static void neighbour_get(struct slot *s, int ifindex)
{
	struct clones *t = s->set->table;

	if (s->want.has_mac || (s->neighbour && s->neighbour->ifindex == ifindex))
		return;
	neighbour_put(s);
	LIST_FOREACH(l, &t->neighbours) {
		struct neighbour *nb = LIST_ENTRY(l, struct neighbour, link);
		if (nb->ifindex != ifindex || !ip_equal(&nb->ip, &s->want.ip))
			continue;
		nb->users++;
		s->neighbour = nb;
		return;
	}

	struct neighbour *nb = xcalloc(1, sizeof(*nb));
	nb->users = 1;
	nb->ifindex = ifindex;
	nb->ip = s->want.ip;
	list_init(&nb->link);
	list_insert(&t->neighbours, &nb->link);
	s->neighbour = nb;
	neighbour_manage(t, nb);
}

/* An address of ours that NB will answer to; NULL: none. */
static const struct in6_addr *neighbour_asker(const struct iface *i, const struct neighbour *nb)
{
	for (size_t k = 0; k < i->addrs_n; k++)
		if (!i->addrs[k].ours && ip_within(&nb->ip, &i->addrs[k].addr, i->addrs[k].prefix_len))
			return &i->addrs[k].addr;
	return NULL;
}

static void neighbour_ask(struct clones *t, struct neighbour *nb)
{
	const struct iface *i = netlink_iface(t->netlink, nb->ifindex);
	const struct in6_addr *own = i && i->up && i->carrier ? neighbour_asker(i, nb) : NULL;

	if (!own)
		return;
	if (!nb->resolved)
		neighbour_manage(t, nb);
	if (nb->herald && memcmp(nb->own_mac, i->mac, 6)) {
		herald_free(nb->herald);
		nb->herald = NULL;
	}
	if (!nb->herald && herald_new(t->loop, i->index, i->mac, NULL, &nb->herald))
		return;
	memcpy(nb->own_mac, i->mac, 6);
	(void)herald_ask(nb->herald, own, &nb->ip);
}

static void ask_all(struct timer *timer)
{
	struct clones *t = CONTAINER_OF(timer, struct clones, ask);

	LIST_FOREACH(l, &t->neighbours)
		neighbour_ask(t, LIST_ENTRY(l, struct neighbour, link));
	timer_in(t->loop, &t->ask, ASK_MS, ask_all);
}

/* ---- slots ---- */

static const struct iface *slot_iface(const struct slot *s)
{
	const struct netlink *n = s->set->table->netlink;

	if (s->want.has_subnet)
		return netlink_iface_within(n, &s->want.subnet, s->want.subnet_len);
	return netlink_iface_towards(n, &s->want.ip);
}

/* NULL: not known. */
static const uint8_t *slot_mac(const struct slot *s)
{
	if (s->want.has_mac)
		return s->want.mac;
	return s->neighbour && s->neighbour->resolved ? s->neighbour->mac : NULL;
}

static void slot_write(struct slot *s, const struct target *t)
{
	if (!memcmp(t, &s->written, sizeof(*t)))
		return;
	int rc = datapath_target_set(s->set->table->datapath, s->index, t);
	if (rc)
		log_error("clone.target error=\"%s\"", strerror(-rc));
	else
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

static void slot_settle(struct slot *s)
{
	struct clones *c = s->set->table;
	struct target t = { .generation = s->set->range.generation, .flags = s->ended ? TARGET_ENDED : 0,
			    .plan = s->set->planned ? s->set->range.first : 0 };
	const struct iface *i = s->ended ? NULL : slot_iface(s), *via;

	if (!i) {
		s->state = s->ended ? "it was taken away" : "no interface of this engine is in its network";
		slot_write(s, &t);
		neighbour_put(s);
		exit_put(s);
		return;
	}
	if (!s->exit || s->exit->ifindex != i->index || s->exit->cuts != iface_is_shared(c, i)) {
		struct exit *x;
		if (exit_get(c, i, &x)) {
			s->state = "its interface cannot be prepared for copies";
			slot_write(s, &t);
			return;
		}
		bool moved = !s->exit || s->exit->ifindex != x->ifindex;
		struct exit *old = s->exit;
		s->exit = x;
		if (moved)
			s->device_base = device_dropped(s);
		if (old && --old->users == 0)
			timer_in(c->loop, &old->retire, RETIRE_MS, exit_retire);
	}
	neighbour_get(s, i->index);

	t.via = (uint32_t)s->exit->via;
	t.out = (uint32_t)i->index;
	t.mtu = i->mtu;
	t.flags = s->exit->cuts ? TARGET_CUT : 0;
	if (s->set->plan.bits_per_s || s->set->plan.packets_per_s)
		t.flags |= TARGET_LIMITED;
	memcpy(t.src_mac, s->set->plan.plain ? s->set->plan.marker : i->mac, 6);
	if (slot_mac(s))
		memcpy(t.dst_mac, slot_mac(s), 6);
	via = netlink_iface(c->netlink, s->exit->via);
	s->state = "ready";
	if (slot_mac(s))
		t.flags |= TARGET_READY;
	else
		s->state = "its MAC address is not known: nobody answers";
	/* A cutter that was just made may not be in the table yet; it is up. */
	if (!i->up || !i->carrier || (via && !via->up)) {
		t.flags |= TARGET_DOWN;
		s->state = "its interface is down or has no carrier";
	}
	slot_write(s, &t);
}

static void set_settle(struct clone_set *s)
{
	for (uint32_t k = 0; k < s->range.count && !s->vacated; k++)
		slot_settle(&s->slots[k]);
}

static void settle_all(struct timer *timer)
{
	struct clones *t = CONTAINER_OF(timer, struct clones, settle);

	LIST_FOREACH(l, &t->sets)
		set_settle(LIST_ENTRY(l, struct clone_set, link));
}

/* Not at once: news come in swarms, and some from within what we ask the kernel. */
static void settle_soon(struct clones *t)
{
	t->judged_n = 0;
	timer_in(t->loop, &t->settle, 0, settle_all);
}

/* ---- what changes ---- */

static void iface_changed(struct netlink_watch *w, const struct iface *i, bool gone)
{
	struct clones *t = CONTAINER_OF(w, struct clones, watch);

	if (gone)
		LIST_FOREACH(l, &t->exits) {
			struct exit *x = LIST_ENTRY(l, struct exit, link);
			/* An index can be given again: what stood for it must not be taken for the new one. */
			if (x->ifindex == i->index || x->via == i->index)
				x->ifindex = -1;
		}
	settle_soon(t);
}

static void neighbour_changed(struct netlink_watch *w, int ifindex, const struct in6_addr *ip, const uint8_t *mac)
{
	struct clones *t = CONTAINER_OF(w, struct clones, watch);

	LIST_FOREACH(l, &t->neighbours) {
		struct neighbour *nb = LIST_ENTRY(l, struct neighbour, link);
		bool same;
		if (nb->ifindex != ifindex || !ip_equal(&nb->ip, ip))
			continue;
		same = nb->resolved == (mac != NULL) && (!mac || !memcmp(nb->mac, mac, 6));
		nb->resolved = mac != NULL;
		if (mac)
			memcpy(nb->mac, mac, 6);
		if (!same)
			settle_soon(t);
		return;
	}
}

void clones_production(struct clones *t, const struct in6_addr *addrs, size_t n)
{
	size_t size = n * sizeof(*addrs);

	if (t->production_known && t->production_n == n &&
	    (!n || !memcmp(t->production, addrs, size)))
		return;
	t->production_known = true;
	t->production = xrealloc(t->production, size ? size : 1);
	t->production_n = n;
	if (n)
		memcpy(t->production, addrs, size);
	settle_soon(t);
}

static void sweep(struct timer *timer)
{
	struct clones *t = CONTAINER_OF(timer, struct clones, sweep);
	int rc = datapath_sweep(t->datapath, SWEEP_BUDGET, LINGER_S * NS_PER_S, IDLE_S * NS_PER_S);

	if (rc < 0)
		log_error("clone.sweep error=\"%s\"", strerror(-rc));
	timer_in(t->loop, &t->sweep, SWEEP_MS, sweep);
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
	if (!w->has_ip && !w->has_mac)
		return err_set(e, -EINVAL, path, "neither an address nor a MAC address");
	if (!w->has_ip && !w->has_subnet)
		return err_set(e, -EINVAL, path, "a MAC address alone does not say which interface");
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

/* The slots are given back; what they counted is kept. */
static void set_vacate(struct clone_set *set)
{
	for (uint32_t k = 0; k < set->range.count && !set->vacated; k++) {
		struct slot *s = &set->slots[k];
		struct clone_books *last = xmalloc(sizeof(*last));

		if (set->table->outlet)
			outlet_set(set->table->outlet, s->index, 0, true);
		slot_write(s, &(struct target){ 0 });
		clone_set_read(set, k, last);
		s->last = last;
		neighbour_put(s);
		exit_put(s);
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
		slot_count(s, &s->base);
		if (t->outlet)
			outlet_set(t->outlet, s->index, set->range.generation, false);
	}
	int rc = plan_make(set, e);
	if (rc) {
		clone_set_free(set);
		return rc;
	}
	set_settle(set);
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
	if (!set->retired_ns)
		set->retired_ns = mono_ns();
	for (uint32_t k = 0; k < set->range.count; k++) {
		struct slot *s = &set->slots[k];

		/* One that is taken away and comes back is another one: no flow is copied with a hole. */
		s->ended = s->ended || !has_server(next, &s->want);
		if (s->ended && set->table->outlet && !set->vacated)
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
	return set->vacated || (set->retired_ns && !has_plain_flows(set) && datapath_flows_none(set->table->datapath, set->range.first,
								       set->range.count,
								       set->retired_ns + MARKED_S * NS_PER_S));
}

void clone_set_free(struct clone_set *set)
{
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
	return mtu;
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
	if (slot_mac(s))
		memcpy(out->mac, slot_mac(s), 6);
	memcpy(out->own_mac, s->written.src_mac, 6);
	if (s->exit) {
		snprintf(out->interface, sizeof(out->interface), "%s", s->exit->name);
		out->device_dropped = device_dropped(s) - s->device_base;
	}
}

/* ---- life ---- */

/* Cutters of a warden that died; their programs speak to maps that are nobody's now. */
struct stale {
	unsigned numbers[64];
	size_t n;
};

static void stale_find(void *arg, const struct iface *i)
{
	struct stale *s = arg;

	static const char *const parts[] = { NETLINK_OWN_PREFIX "c%u", NETLINK_OWN_PREFIX "n%u" };
	unsigned number;

	/* Both: also what was not made whole. */
	for (size_t k = 0; k < ARRAY_SIZE(parts) && s->n < ARRAY_SIZE(s->numbers); k++)
		if (sscanf(i->name, parts[k], &number) == 1)
			s->numbers[s->n++] = number;
}

int clones_new(struct loop *l, struct netlink *n, struct datapath *d, struct clones **out, struct err *e)
{
	struct stale stale = { .n = 0 };

	netlink_each(n, stale_find, &stale);
	for (size_t i = 0; i < stale.n; i++) {
		struct netlink_cutter c = cutter_named(stale.numbers[i]);
		int rc = netlink_cutter_delete(n, &c);
		if (rc && rc != -ENODEV)
			return err_set(e, rc, NULL, "the interface %s of an earlier run cannot be removed: %s",
				       c.bridge, strerror(-rc));
	}

	netlink_neighbours_forget(n);

	struct clones *t = xcalloc(1, sizeof(*t));
	t->loop = l;
	t->netlink = n;
	t->datapath = d;
	t->next = 1;
	t->watch.iface = iface_changed;
	t->watch.neighbour = neighbour_changed;
	list_init(&t->sets);
	list_init(&t->exits);
	list_init(&t->neighbours);
	netlink_watch(n, &t->watch);
	timer_in(l, &t->sweep, SWEEP_MS, sweep);
	timer_in(l, &t->ask, ASK_MS, ask_all);
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

void clones_free(struct clones *t)
{
	if (!t)
		return;
	netlink_unwatch(&t->watch);
	timer_stop(t->loop, &t->sweep);
	timer_stop(t->loop, &t->ask);
	timer_stop(t->loop, &t->settle);
	while (!list_empty(&t->sets))
		clone_set_free(LIST_ENTRY(t->sets.next, struct clone_set, link));
	LIST_FOREACH(l, &t->exits)
		exit_close(LIST_ENTRY(l, struct exit, link));
	free(t->production);
	free(t);
}
