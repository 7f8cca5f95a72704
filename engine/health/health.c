#include "engine/health/health.h"

#include "base/base.h"
#include "base/err.h"
#include "base/table.h"
#include "engine/counters.h"
#include "engine/health/ping.h"
#include "engine/health/probe.h"
#include "model/structs.h"

#define BUCKETS     4096
#define HISTORY     8    /* changes of a server's state that are kept ... */
#define HISTORY_ALL 4096 /* ... and reported of a pool: a report is one message, whatever its size */
#define NEWS_MS     200  /* between two reports */
#define STARTS_A_MS 5    /* first checks, of all pools together */

struct pool_health;

/* A server of a pool that is checked by a probe. */
struct subscription {
	struct list link; /* in probe->subscribers */
	struct probe *probe;
	struct member *member;
};

/* What a server became, and when. */
struct change {
	uint64_t us;
	const char *state;
	char reason[120];
};

/* A server of a pool. */
struct member {
	struct pool_health *pool;
	struct backend *backend;          /* a reference */
	struct server_counters *counters;
	bool enabled;                     /* with its pool */
	bool told;                        /* as it is now */
	const char *state;                /* an OperState */
	char reason[240];
	uint64_t since_us;
	struct change *history;           /* HISTORY of them, a ring; NULL: none yet */
	unsigned changes;
	struct subscription *checks;
	size_t checks_n;
};

struct pool_health {
	struct list link;
	struct table_link by_uuid;
	char uuid[64];
	bool told;                        /* else news() is owed */
	bool whole;                       /* what is reported next */
	unsigned min_up;
	struct member *members;
	size_t members_n;
};

struct health {
	struct loop *loop;
	struct health_user *user;
	unsigned second_ms;
	struct list pools, monitors;
	struct table pool_table;          /* the same by uuid */
	struct list probes[BUCKETS];
	struct pinger *pinger;
	struct timer news;
	uint64_t told_ns;
	uint64_t start_ns;                /* when the next first check may begin */
};

/* --- probes, shared --- */

static struct list *bucket(struct health *h, const struct monitor *m, const union address *a)
{
	uint64_t x = (uintptr_t)m;
	const uint8_t *p = (const uint8_t *)a;

	for (socklen_t i = 0; i < address_len(a); i++)
		x = (x ^ p[i]) * 0x100000001b3ULL;
	return &h->probes[(x ^ x >> 32) % BUCKETS];
}

static void set_port(union address *a, unsigned port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons((uint16_t)port);
	else
		a->in.sin_port = htons((uint16_t)port);
}

static void checked(struct probe *p, bool passed);

/* Until it is the turn of one more first check. */
static unsigned start_wait_ms(struct health *h)
{
	uint64_t now = loop_now(h->loop), at = MAX(h->start_ns, now);

	h->start_ns = at + NS_PER_MS / STARTS_A_MS;
	return (unsigned)((at - now) / NS_PER_MS);
}

/* POOL asks. */
static struct probe *probe_get(struct health *h, struct monitor *m, struct backend *server, const void *pool)
{
	const void *apart = m->question.apart ? pool : NULL;
	union address a = server->address;
	int device = backend_device(server);
	struct list *b;
	struct probe *p;

	if (m->question.port)
		set_port(&a, m->question.port);
	b = bucket(h, m, &a);
	LIST_FOREACH(l, b) {
		p = LIST_ENTRY(l, struct probe, link);
		if (p->monitor == m && p->apart == apart && p->device == device && address_equal(&p->address, &a)) {
			p->refs++;
			return p;
		}
	}
	p = probe_new(h->loop, m, &a, h->pinger, h, start_wait_ms(h), checked);
	p->apart = apart;
	p->device = device;
	p->refs = 1;
	m->refs++;
	list_insert(b, &p->link);
	return p;
}

static void monitor_put(struct monitor *m)
{
	if (--m->refs > 0)
		return;
	list_remove(&m->link);
	question_fini(&m->question);
	free(m);
}

static void probe_put(struct probe *p)
{
	struct monitor *m = p->monitor;

	if (--p->refs > 0)
		return;
	list_remove(&p->link);
	probe_free(p);
	monitor_put(m);
}

/* The monitor of MODEL as it is now; whoever has it already goes on with the new question. */
static struct monitor *monitor_get(struct health *h, const struct health_monitor *model, const struct tls_settings *tls,
				   unsigned tasks_s)
{
	const struct question *old = NULL;
	struct question new;
	struct monitor *m;

	LIST_FOREACH(l, &h->monitors) {
		m = LIST_ENTRY(l, struct monitor, link);
		if (!old && model->uuid && strcmp(m->question.uuid, model->uuid) == 0)
			old = &m->question;
	}
	question_init(&new, model, h->second_ms, tls, old);
	if (new.http && tasks_s) {
		new.tasks_ms = (uint64_t)tasks_s * h->second_ms;
		new.interval_ms = MIN(new.interval_ms, new.tasks_ms);
	}
	LIST_FOREACH(l, &h->monitors) {
		m = LIST_ENTRY(l, struct monitor, link);
		/* Pools that want to know of tasks ask for themselves. */
		if (strcmp(m->question.uuid, new.uuid) != 0 || m->question.tasks_ms != new.tasks_ms)
			continue;
		/* Another port is another address: those probes are made anew. */
		if (m->question.port != new.port || m->question.apart != new.apart || m->question.ask != new.ask)
			break;
		m->refs++;
		if (question_equal(&m->question, &new)) {
			question_fini(&new);
			return m;
		}
		/* Running checks end with the question that they asked. */
		struct question gone = m->question;

		m->question = new;
		for (size_t i = 0; i < BUCKETS; i++)
			LIST_FOREACH(k, &h->probes[i])
				if (LIST_ENTRY(k, struct probe, link)->monitor == m)
					probe_again(LIST_ENTRY(k, struct probe, link));
		question_fini(&gone);
		return m;
	}
	m = xcalloc(1, sizeof(*m));
	m->refs = 1;
	m->question = new;
	list_init(&m->link);
	list_insert(h->monitors.next, &m->link); /* before one with the old port */
	return m;
}

/* --- what it comes to --- */

static void tell(struct timer *t)
{
	struct health *h = CONTAINER_OF(t, struct health, news);

	h->told_ns = loop_now(h->loop);
	LIST_FOREACH(l, &h->pools) {
		struct pool_health *p = LIST_ENTRY(l, struct pool_health, link);

		if (!p->told) {
			p->told = true;
			h->user->news(h->user, p->uuid);
		}
	}
}

static void news(struct health *h, struct pool_health *p)
{
	uint64_t silent_ms = (loop_now(h->loop) - h->told_ns) / NS_PER_MS;

	p->told = false;
	if (!h->news.active)
		timer_in(h->loop, &h->news, silent_ms < NEWS_MS ? NEWS_MS - silent_ms : 0, tell);
}

/* M just became what it is. */
static void remember(struct member *m, const char *reason)
{
	struct change *c;

	if (!m->history)
		m->history = xcalloc(HISTORY, sizeof(*m->history));
	c = &m->history[m->changes++ % HISTORY];
	c->us = m->since_us;
	c->state = m->state;
	snprintf(c->reason, sizeof(c->reason), "%s", reason);
	text_clean(c->reason);
}

static void conclude(struct health *h, struct member *m, const char *state,
		     enum backend_health health, const char *reason)
{
	if (m->state != state) {
		m->state = state;
		m->since_us = wall_us();
		remember(m, reason);
		m->told = false;
		news(h, m->pool);
	}
	if (strcmp(m->reason, reason) != 0) {
		snprintf(m->reason, sizeof(m->reason), "%s", reason);
		m->told = false;
		news(h, m->pool);
	}
	if (atomic_load(&m->backend->health) != (int)health)
		h->user->found(h->user, m->backend, health);
}

/*
 * Count what the monitors say; the reason is that of one that speaks against the server, if
 * there is one.
 */
static void judge(struct health *h, struct member *m)
{
	size_t n[VERDICT_DOWN + 1] = { 0 }, need = m->pool->min_up ? MIN(m->pool->min_up, m->checks_n) : m->checks_n;
	const struct probe *says = NULL;
	char reason[sizeof(m->reason)];

	if (!m->enabled) {
		conclude(h, m, "OPER_DISABLED", BACKEND_UNKNOWN, "disabled");
		return;
	}
	if (m->checks_n == 0) {
		conclude(h, m, "OPER_UP", BACKEND_UNKNOWN, "no monitor checks it");
		return;
	}
	for (size_t i = 0; i < m->checks_n; i++) {
		const struct probe *p = m->checks[i].probe;

		n[p->verdict]++;
		if (!says || (p->verdict > says->verdict && p->verdict > VERDICT_UP))
			says = p;
	}
	if (m->checks_n > 1)
		snprintf(reason, sizeof(reason), "%s: %s", says->monitor->question.name,
			 says->reason);
	else
		snprintf(reason, sizeof(reason), "%s", says->reason);
	text_clean(reason); /* a long name of a monitor was cut */
	if (n[VERDICT_UP] >= need)
		conclude(h, m, "OPER_UP", BACKEND_UP, reason);
	else if (m->checks_n - n[VERDICT_DOWN] < need)
		conclude(h, m, "OPER_DOWN", BACKEND_DOWN, reason);
	else if (m->checks_n - n[VERDICT_DOWN] - n[VERDICT_MAINTENANCE] < need)
		conclude(h, m, "OPER_DISABLED", BACKEND_MAINTENANCE, reason);
	else
		conclude(h, m, "OPER_INITIALIZING", BACKEND_UNKNOWN, reason);
}

static void checked(struct probe *p, bool passed)
{
	struct health *h = p->owner;

	LIST_FOREACH(l, &p->subscribers) {
		struct member *m = LIST_ENTRY(l, struct subscription, link)->member;

		if (m->counters) {
			counter_add(&m->counters->health_checks, 1);
			counter_add(&m->counters->health_failures, !passed);
		}
		if (p->monitor->question.tasks_ms) {
			atomic_store_explicit(&m->backend->tasks_load, atomic_load(&m->backend->load), memory_order_relaxed);
			if (p->tasks >= 0)
				atomic_store_explicit(&m->backend->tasks, p->tasks, memory_order_relaxed);
		}
		judge(h, m);
	}
}

/* --- pools --- */

static struct pool_health *pool_find(const struct health *h, const char *uuid)
{
	for (struct table_link *l = table_first(&h->pool_table, table_hash(TABLE_SEED, uuid)); l; l = table_next(l)) {
		struct pool_health *p = CONTAINER_OF(l, struct pool_health, by_uuid);

		if (strcmp(p->uuid, uuid) == 0)
			return p;
	}
	return NULL;
}

static void unsubscribe(struct member *m)
{
	for (size_t i = 0; i < m->checks_n; i++) {
		list_remove(&m->checks[i].link);
		probe_put(m->checks[i].probe);
	}
	free(m->checks);
	m->checks = NULL;
	m->checks_n = 0;
}

static void members_free(struct member *members, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsubscribe(&members[i]);
		free(members[i].history);
		backend_put(members[i].backend);
	}
	free(members);
}

/*
 * The one that was there before. Lists mostly stay as they are, so looking begins where it is
 * likely to end.
 */
static struct member *member_find(struct member *members, size_t n, const struct backend *b,
				  size_t hint)
{
	for (size_t i = 0; i < n; i++)
		if (members[(hint + i) % n].backend == b)
			return &members[(hint + i) % n];
	return NULL;
}

static void member_init(struct health *h, struct member *m, struct pool_health *pool,
			const struct health_server *s, bool enabled, struct monitor **monitors,
			size_t n)
{
	m->pool = pool;
	m->backend = backend_get(s->backend);
	m->counters = s->counters;
	m->enabled = enabled;
	if (!enabled || n == 0)
		return;
	m->checks = xcalloc(n, sizeof(*m->checks));
	m->checks_n = n;
	for (size_t i = 0; i < n; i++) {
		struct subscription *c = &m->checks[i];

		c->member = m;
		c->probe = probe_get(h, monitors[i], s->backend, pool);
		list_init(&c->link);
		list_insert(&c->probe->subscribers, &c->link);
	}
}

void health_pool_set(struct health *h, const char *pool_uuid, const struct health_pool *p)
{
	struct pool_health *pool = pool_find(h, pool_uuid);
	CLEANUP_FREE struct monitor **monitors = xcalloc(p->monitors_n + 1,
							 sizeof(struct monitor *));
	struct member *old, *members = xcalloc(p->servers_n + 1, sizeof(*members));
	size_t old_n;

	if (!pool) {
		pool = xcalloc(1, sizeof(*pool));
		snprintf(pool->uuid, sizeof(pool->uuid), "%s", pool_uuid);
		list_init(&pool->link);
		list_insert(&h->pools, &pool->link);
		table_put(&h->pool_table, &pool->by_uuid, table_hash(TABLE_SEED, pool->uuid));
	}
	old = pool->members;
	old_n = pool->members_n;
	pool->members = members;
	pool->members_n = p->servers_n;
	pool->min_up = p->min_up;
	for (size_t i = 0; i < p->monitors_n; i++)
		monitors[i] = monitor_get(h, p->monitors[i], p->tls ? p->tls[i] : NULL, p->tasks_s);
	/* The new ones first: a probe that both have goes on. */
	for (size_t i = 0; i < p->servers_n; i++) {
		const struct health_server *s = &p->servers[i];
		struct member *was = member_find(old, old_n, s->backend, i);

		loop_breathe(h->loop);
		member_init(h, &members[i], pool, s, p->enabled && s->enabled, monitors, p->monitors_n);
		if (was) {
			members[i].state = was->state;
			members[i].since_us = was->since_us;
			members[i].changes = was->changes;
			members[i].history = was->history;
			was->history = NULL;
			memcpy(members[i].reason, was->reason, sizeof(was->reason));
		}
	}
	members_free(old, old_n);
	for (size_t i = 0; i < p->monitors_n; i++)
		monitor_put(monitors[i]);
	for (size_t i = 0; i < pool->members_n; i++)
		judge(h, &members[i]);
	pool->whole = true;
	news(h, pool);
}

void health_pool_drop(struct health *h, const char *pool_uuid)
{
	struct pool_health *p = pool_find(h, pool_uuid);

	if (!p)
		return;
	list_remove(&p->link);
	table_take(&h->pool_table, &p->by_uuid);
	members_free(p->members, p->members_n);
	free(p);
}

/* The last changes of M, MOST of them. */
static json_t *history_of(const struct member *m, size_t most)
{
	unsigned n = (unsigned)MIN((size_t)MIN(m->changes, (unsigned)HISTORY), most);
	json_t *list = json_array();

	for (unsigned i = m->changes - n; i != m->changes; i++) {
		const struct change *c = &m->history[i % HISTORY];

		json_array_append_new(list, json_pack("[I, s, s]", (json_int_t)c->us, c->state, c->reason));
	}
	return list;
}

static json_t *member_report(const struct member *m)
{
	json_int_t checks = 0, failures = 0;
	char ip[ADDRESS_TEXT];

	for (size_t k = 0; k < m->checks_n; k++) {
		checks += (json_int_t)m->checks[k].probe->checks;
		failures += (json_int_t)m->checks[k].probe->failures;
	}
	address_ip(&m->backend->address, ip);
	return json_pack("{s:s, s:i, s:s, s:s, s:I, s:I, s:I, s:o}", "ip", ip, "port",
			 (int)address_port(&m->backend->address), "state", m->state, "reason", m->reason, "since_us",
			 (json_int_t)m->since_us, "checks", checks, "failures", failures, "history",
			 history_of(m, MAX(HISTORY_ALL / m->pool->members_n, (size_t)1)));
}

json_t *health_report(struct health *h, const char *pool_uuid, bool *part)
{
	struct pool_health *p = pool_find(h, pool_uuid);
	json_t *servers;

	if (!p)
		return NULL;
	*part = *part && !p->whole;
	servers = json_array();
	for (size_t i = 0; i < p->members_n; i++) {
		struct member *m = &p->members[i];
		json_t *one;

		loop_breathe(h->loop);
		if (*part && m->told)
			continue;
		one = member_report(m);
		if (*part)
			json_object_set_new(one, "at", json_integer((json_int_t)i));
		json_array_append_new(servers, one);
		m->told = true;
	}
	p->whole = false;
	return servers;
}

/* --- life --- */

struct health *health_new(struct loop *l, struct health_user *u, unsigned second_ms)
{
	struct health *h = xcalloc(1, sizeof(*h));

	h->loop = l;
	h->user = u;
	h->second_ms = second_ms;
	h->pinger = pinger_new(l);
	list_init(&h->pools);
	list_init(&h->monitors);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&h->probes[i]);
	return h;
}

void health_ping_socket(struct health *h, bool v6, int fd)
{
	pinger_socket(h->pinger, v6, fd);
}

void health_free(struct health *h)
{
	LIST_FOREACH(l, &h->pools)
		health_pool_drop(h, LIST_ENTRY(l, struct pool_health, link)->uuid);
	timer_stop(h->loop, &h->news);
	table_fini(&h->pool_table);
	pinger_free(h->pinger);
	free(h);
}
