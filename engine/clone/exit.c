#include "engine/clone/exit.h"

#include <errno.h>

#include "base/log.h"
#include "engine/bpf/datapath.h"
#include "engine/clone/offload.h"
#include "engine/reach/route.h"

enum {
	RETIRE_MS = 1000,
	JUDGED_MAX = 64,
};

struct clone_exits {
	struct loop *loop;
	struct netlink *netlink;
	struct datapath *datapath;
	struct list all;
	unsigned cutters;         /* made so far: their names */
	bool production_known;
	struct in6_addr *production;
	size_t production_n;
	struct {
		int ifindex;
		bool shared;
	} judged[JUDGED_MAX];     /* answers of is_shared(), until something changes */
	size_t judged_n;
};

/* ---- is an interface production's, or must be treated so? ---- */

/* Most servers beyond routers share one: a neighbour of the last one asked about is not asked about again. */
static bool routed_by(struct clone_exits *t, const struct iface *i)
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
		if (route_out(netlink_rtnl(t->netlink), ip, &by) == 0 && by == i->index)
			return true;
	}
	return false;
}

static bool connects(struct clone_exits *t, const struct iface *i)
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

static bool is_shared(struct clone_exits *t, const struct iface *i)
{
	for (size_t k = 0; k < t->judged_n; k++)
		if (t->judged[k].ifindex == i->index)
			return t->judged[k].shared;

	/* What stands on it inherits its offloads. */
	bool shared = !t->production_known || netlink_iface_carries(t->netlink, i) || connects(t, i) ||
		      routed_by(t, i) || offload_is_fixed(i->name);
	if (t->judged_n < JUDGED_MAX) {
		t->judged[t->judged_n].ifindex = i->index;
		t->judged[t->judged_n++].shared = shared;
	}
	return shared;
}

/* ---- exits ---- */

static void exit_free(struct grave *g)
{
	free(CONTAINER_OF(g, struct clone_exit, grave));
}

static void exit_close(struct clone_exit *x)
{
	struct clone_exits *t = x->table;
	int rc;

	timer_stop(t->loop, &x->retire);
	list_remove(&x->link);
	if (!x->cuts)
		(void)datapath_own_exit(t->datapath, x->via, false);
	if (x->cuts)
		rc = cutter_delete(netlink_rtnl(t->netlink), &x->cutter);
	else
		rc = x->had_offload ? offload_give_back(x->name) : 0;
	if (rc && rc != -ENODEV)
		log_warn("clone.exit_left interface=%s error=\"%s\"", x->name, strerror(-rc));
	loop_bury(t->loop, &x->grave, exit_free);
}

static void exit_retire(struct timer *timer)
{
	exit_close(CONTAINER_OF(timer, struct clone_exit, retire));
}

void clone_exit_put(struct clone_exit *x)
{
	if (x && --x->users == 0)
		timer_in(x->table->loop, &x->retire, RETIRE_MS, exit_retire);
}

static struct cutter cutter_named(unsigned number)
{
	struct cutter c;

	snprintf(c.bridge, sizeof(c.bridge), NETLINK_OWN_PREFIX "c%u", number);
	snprintf(c.port, sizeof(c.port), NETLINK_OWN_PREFIX "n%u", number);
	snprintf(c.far_end, sizeof(c.far_end), NETLINK_OWN_PREFIX "f%u", number);
	return c;
}

static int cutter_open(struct clone_exit *x)
{
	struct clone_exits *t = x->table;
	struct err e = { 0 };

	x->cutter = cutter_named(++t->cutters);

	int rc = cutter_add(netlink_rtnl(t->netlink), &x->cutter);
	if (!rc)
		rc = offload_set(x->cutter.bridge, false, NULL);
	if (!rc)
		rc = datapath_attach_cutter(t->datapath, (int)if_nametoindex(x->cutter.port), &e);
	x->via = (int)if_nametoindex(x->cutter.bridge);
	if (rc)
		(void)cutter_delete(netlink_rtnl(t->netlink), &x->cutter);
	return rc;
}

bool clone_exit_fits(const struct clone_exit *x, const struct iface *i, bool frames)
{
	return x && x->ifindex == i->index && x->cuts == (frames || is_shared(x->table, i));
}

int clone_exit_get(struct clone_exits *t, const struct iface *i, bool frames, struct clone_exit **out)
{
	bool cuts = frames || is_shared(t, i);

	LIST_FOREACH(l, &t->all) {
		struct clone_exit *x = LIST_ENTRY(l, struct clone_exit, link);
		if (x->ifindex != i->index || x->cuts != cuts)
			continue;
		timer_stop(t->loop, &x->retire);
		x->users++;
		*out = x;
		return 0;
	}

	struct clone_exit *x = xcalloc(1, sizeof(*x));
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
	list_insert(&t->all, &x->link);
	log_info("clone.exit interface=%s way=%s", x->name, cuts ? x->cutter.bridge : "direct");
	*out = x;
	return 0;
}

/* ---- what changes ---- */

bool clone_exits_production(struct clone_exits *t, const struct in6_addr *addrs, size_t n)
{
	size_t size = n * sizeof(*addrs);

	if (t->production_known && t->production_n == n && (!n || !memcmp(t->production, addrs, size)))
		return false;
	t->production_known = true;
	t->production = xrealloc(t->production, size ? size : 1);
	t->production_n = n;
	if (n)
		memcpy(t->production, addrs, size);
	return true;
}

void clone_exits_doubt(struct clone_exits *t)
{
	t->judged_n = 0;
}

void clone_exits_gone(struct clone_exits *t, int ifindex)
{
	LIST_FOREACH(l, &t->all) {
		struct clone_exit *x = LIST_ENTRY(l, struct clone_exit, link);

		/* An index can be given again: what stood for it must not be taken for the new one. */
		if (x->ifindex == ifindex || x->via == ifindex)
			x->ifindex = -1;
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

int clone_exits_new(struct loop *l, struct netlink *n, struct datapath *d, struct clone_exits **out, struct err *e)
{
	struct stale stale = { .n = 0 };

	netlink_each(n, stale_find, &stale);
	for (size_t i = 0; i < stale.n; i++) {
		struct cutter c = cutter_named(stale.numbers[i]);
		int rc = cutter_delete(netlink_rtnl(n), &c);
		if (rc && rc != -ENODEV)
			return err_set(e, rc, NULL, "the interface %s of an earlier run cannot be removed: %s",
				       c.bridge, strerror(-rc));
	}

	netlink_neighbours_forget(n);

	struct clone_exits *t = xcalloc(1, sizeof(*t));
	t->loop = l;
	t->netlink = n;
	t->datapath = d;
	list_init(&t->all);
	*out = t;
	return 0;
}

void clone_exits_free(struct clone_exits *t)
{
	if (!t)
		return;
	LIST_FOREACH(l, &t->all)
		exit_close(LIST_ENTRY(l, struct clone_exit, link));
	free(t->production);
	free(t);
}
