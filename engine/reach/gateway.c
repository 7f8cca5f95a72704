/*
 * Each ping has a socket of its own, connected to the gateway and bound to the
 * interface of the domain, and the next look at it is when the next ping is due:
 * what came by then is the answer. Nothing has to be told apart, and an
 * interface that changed is used at once.
 */
#include "engine/reach/gateway.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "base/ip.h"
#include "base/list.h"
#include "base/log.h"
#include "base/wire.h"
#include "engine/address.h"
#include "engine/backend.h"
#include "engine/health/ping.h"
#include "engine/link/link.h"
#include "engine/reach/vrf.h"
#include "model/structs.h"

struct gateway {
	struct list link;
	struct timer timer;
	struct gateways *table;
	struct grave grave;
	char *vrf, *ip;
	uint64_t interval_ms;
	unsigned fails, passes;   /* thresholds */
	unsigned failed, passed;  /* in a row */
	bool up, wanted;
	int fd;                   /* of the ping that is out; -1: none */
};

struct gateways {
	struct loop *loop;
	const struct vrfs *vrfs;
	struct gateways_user *user;
	struct list all;
};

/* The filter of the socket lets only echo replies through, the connection only this host's. */
static bool was_answered(struct gateway *w)
{
	char buf[128];
	bool any = w->fd >= 0 && recv(w->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0;

	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	return any;
}

static int ask(struct gateway *w)
{
	struct icmphdr e = { .type = ICMP_ECHO };
	union address to;
	struct in6_addr ip;
	unsigned number;
	bool v6;
	int rc;

	if (address_parse(&to, w->ip, 0) < 0 || ip_parse(w->ip, &ip) < 0)
		return -EINVAL;
	v6 = to.sa.sa_family == AF_INET6;
	w->fd = ping_open(v6);
	if (w->fd < 0)
		return w->fd;
	rc = vrfs_find(w->table->vrfs, w->vrf, &number) && number
		     ? backend_bind(w->fd, vrfs_towards(w->table->vrfs, w->vrf, &ip))
		     : 0;
	random_bytes(&e.un.echo.id, sizeof(e.un.echo.id));
	if (v6)
		e.type = ICMP6_ECHO_REQUEST; /* the kernel sums it up */
	else
		e.checksum = wire_checksum(&e, sizeof(e));
	if (rc == 0 && (connect(w->fd, &to.sa, address_len(&to)) < 0 || send(w->fd, &e, sizeof(e), MSG_NOSIGNAL) < 0))
		rc = -errno;
	return rc;
}

static void step(struct timer *t)
{
	struct gateway *w = CONTAINER_OF(t, struct gateway, timer);
	bool asked = w->fd >= 0, answered = was_answered(w), before = w->up;

	if (asked) {
		w->passed = answered ? w->passed + 1 : 0;
		w->failed = answered ? 0 : w->failed + 1;
		if (w->up ? w->failed >= w->fails : w->passed >= w->passes)
			w->up = !w->up;
	}
	timer_in(w->table->loop, &w->timer, w->interval_ms, step);
	/* What cannot even be sent is not answered either: the socket is there, and stays silent. */
	if (ask(w) < 0 && w->fd < 0)
		log_warn("gateway_not_asked ip=%s reason=\"%s\"", w->ip, strerror(errno));
	if (w->up == before)
		return;
	log_info("gateway_%s ip=%s vrf=%s", w->up ? "up" : "down", w->ip, w->vrf);
	w->table->user->changed(w->table->user);
}

static void gateway_bury(struct grave *g)
{
	struct gateway *w = CONTAINER_OF(g, struct gateway, grave);

	free(w->vrf);
	free(w->ip);
	free(w);
}

static void gateway_free(struct gateway *w)
{
	timer_stop(w->table->loop, &w->timer);
	(void)was_answered(w);
	list_remove(&w->link);
	loop_bury(w->table->loop, &w->grave, gateway_bury);
}

static void follow_one(struct gateways *g, const char *vrf, const struct gateway_monitor *m, bool *changed)
{
	struct gateway *w = NULL;

	LIST_FOREACH(l, &g->all) {
		struct gateway *x = LIST_ENTRY(l, struct gateway, link);

		if (strcmp(x->vrf, vrf) == 0 && strcmp(x->ip, m->gateway_ip->addr) == 0)
			w = x;
	}
	if (!w) {
		w = xcalloc(1, sizeof(*w));
		w->table = g;
		w->vrf = xstrdup(vrf);
		w->ip = xstrdup(m->gateway_ip->addr);
		w->up = true;
		w->fd = -1;
		list_init(&w->link);
		list_insert(&g->all, &w->link);
		timer_in(g->loop, &w->timer, 0, step);
		*changed = true;
	}
	w->wanted = true;
	w->interval_ms = (uint64_t)m->gateway_monitor_interval;
	w->fails = (unsigned)m->gateway_monitor_fail_threshold;
	w->passes = (unsigned)m->gateway_monitor_success_threshold;
}

struct following {
	struct gateways *table;
	bool changed;
};

static int follow_context(void *arg, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	struct following *f = arg;
	struct arena arena = ARENA_INIT;
	const struct vrf_context *c;

	(void)revision;
	if (strcmp(kind, "vrfcontext") != 0)
		return 0;
	c = model_load(&vrf_context_message, object, &arena);
	for (size_t i = 0; i < c->gateway_mon_n; i++)
		follow_one(f->table, uuid, &c->gateway_mon[i], &f->changed);
	arena_fini(&arena);
	return 0;
}

void gateways_follow(struct gateways *g, const struct link *k)
{
	struct following f = { g, false };

	LIST_FOREACH(l, &g->all)
		LIST_ENTRY(l, struct gateway, link)->wanted = false;
	link_each((struct link *)k, follow_context, &f);
	LIST_FOREACH(l, &g->all) {
		struct gateway *w = LIST_ENTRY(l, struct gateway, link);

		if (w->wanted)
			continue;
		gateway_free(w);
		f.changed = true;
	}
	if (f.changed)
		g->user->changed(g->user);
}

struct gateways *gateways_new(struct loop *l, const struct vrfs *v, struct gateways_user *u)
{
	struct gateways *g = xcalloc(1, sizeof(*g));

	g->loop = l;
	g->vrfs = v;
	g->user = u;
	list_init(&g->all);
	return g;
}

void gateways_free(struct gateways *g)
{
	if (!g)
		return;
	LIST_FOREACH(l, &g->all)
		gateway_free(LIST_ENTRY(l, struct gateway, link));
	free(g);
}

json_t *gateways_json(const struct gateways *g)
{
	json_t *all = json_array();

	LIST_FOREACH(l, &((struct gateways *)g)->all) {
		const struct gateway *w = LIST_ENTRY(l, struct gateway, link);

		json_array_append_new(all, json_pack("{s:s, s:s, s:b}", "vrf", w->vrf, "ip", w->ip, "up", w->up));
	}
	return all;
}
