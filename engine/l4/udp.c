#include "engine/l4/udp.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/base.h"
#include "base/table.h"
#include "engine/admission.h"
#include "engine/clone/mark.h"
#include "engine/lack.h"
#include "engine/log_plan.h"
#include "engine/records.h"
#include "engine/persist.h"
#include "engine/pool_state.h"
#include "engine/upstream.h"
#include "engine/worker.h"
#include "model/structs.h"

#define BATCH        32          /* datagrams read by one call */
#define ROUNDS       4           /* calls a turn of one socket */
#define DATAGRAM_MAX 65536
#define TRIES        3           /* servers that a datagram is offered to */
#define IDLE_MS      10000       /* where no profile says */
#define CLONE_LINGER_S 5     /* the copy outlives the flow, which is timed apart from it */
/*
 * A server that nobody listens at is left out for so long: trying it costs a question its answer. Longer than the five
 * seconds after which resolvers ask again, or they would meet the next trial.
 */
#define REFUSED_NS   (10 * NS_PER_S)
#define MERGE_FROM   8           /* answers at once that make merging worth its system call */

struct flow {
	struct watch watch;              /* the socket towards the server */
	struct timer idle;
	struct grave grave;
	struct table_link by_client;
	struct list of_listener, of_backend;
	struct slab *slab;               /* when it is buried its listener may be gone */
	struct listener *listener;
	struct worker_backend *backend;
	struct throttled throttled;
	union address client;
	uint64_t opened_ns, seen_ns;
	uint64_t heard_ns;               /* of its server; at first, when it was opened */
	uint64_t bytes[2];               /* from the client, from the server */
	uint32_t packets[2];
	enum record_reason reason;
	uint64_t revision;               /* of the configuration that let it in */
	uint32_t id;                     /* in traces */
	uint32_t source;                 /* number of the address that the server sees */
	bool merged;                     /* answers come merged by the kernel */
	bool per_packet;                 /* found by client and server */
};

struct datagrams {
	struct mmsghdr at[BATCH];
	struct iovec iov[BATCH];
	union address peer[BATCH];
	char control[BATCH][CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint32_t))];
	char *bytes;
};

struct udp {
	struct table flows;
	struct slab slab;
	uint64_t key[2];                 /* strangers choose what is hashed */
	struct datagrams in;
};

struct udp *udp_new(void)
{
	struct udp *u = xcalloc(1, sizeof(*u));

	slab_init(&u->slab, sizeof(struct flow), UDP_FLOWS_MAX);
	must(getrandom(u->key, sizeof(u->key), 0) == sizeof(u->key));
	return u;
}

void udp_free(struct udp *u)
{
	must(u->flows.n == 0);
	table_fini(&u->flows);
	slab_fini(&u->slab);
	free(u->in.bytes);
	free(u);
}

/* ---- the table ---- */

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* B: only when each datagram has a server of its own. */
static uint64_t hash_of(const struct udp *u, const struct listener *ls, const union address *client,
			const struct worker_backend *b)
{
	uint64_t ip[2];

	address_mapped(client, (uint8_t *)ip);
	return fold(fold(ip[0] ^ u->key[0], ip[1] ^ u->key[1]) ^ address_port(client) ^ u->key[1],
		    (uintptr_t)ls ^ (uintptr_t)b << 1 ^ u->key[0]);
}

static bool same_client(const union address *a, const union address *b)
{
	return address_equal(a, b) &&
	       (a->sa.sa_family != AF_INET6 || a->in6.sin6_scope_id == b->in6.sin6_scope_id);
}

static struct flow *find(const struct udp *u, uint64_t hash, const struct listener *ls, const union address *client,
			 const struct worker_backend *b)
{
	for (struct table_link *l = table_first(&u->flows, hash); l; l = table_next(l)) {
		struct flow *f = CONTAINER_OF(l, struct flow, by_client);

		if (f->listener == ls && f->per_packet == (b != NULL) && (!b || f->backend == b) &&
		    same_client(&f->client, client))
			return f;
	}
	return NULL;
}

/* ---- the life of a flow ---- */

static struct worker *worker_of(const struct flow *f)
{
	return f->listener->service->worker;
}

static void flow_release(struct grave *g)
{
	struct flow *f = CONTAINER_OF(g, struct flow, grave);

	slab_put(f->slab, f);
}

static void record(const struct flow *f)
{
	const struct listener *ls = f->listener;
	const struct worker *w = ls->service->worker;
	const struct snapshot_pool *pool = f->backend->pool->now;
	char room[RECORD_BYTES] __attribute__((aligned(8)));
	struct record *rec = (struct record *)room;
	uint64_t total_us = (f->seen_ns - f->opened_ns) / 1000;

	if (!records_kept(w->counters->records))
		return;
	memset(rec, 0, sizeof(*rec));
	rec->type = RECORD_CONNECTION;
	rec->udp = true;
	rec->reason = (uint8_t)f->reason;
	rec->report_us = wall_us();
	rec->total_us = (uint32_t)MIN(total_us, (uint64_t)UINT32_MAX);
	rec->client = f->client;
	rec->vip = ls->address;
	rec->port = (uint16_t)address_port(&ls->address);
	rec->server = f->backend->member.backend->address;
	rec->rx_bytes = rec->server_tx_bytes = f->bytes[0];
	rec->tx_bytes = rec->server_rx_bytes = f->bytes[1];
	if (ls->snapshot && ls->snapshot->uuid)
		record_text(rec, RECORD_T_VS, ls->snapshot->uuid, strlen(ls->snapshot->uuid));
	rec->sides[0] = (struct record_side){ .rx_packets = f->packets[0], .tx_packets = f->packets[1] };
	rec->sides[1] = (struct record_side){ .rx_packets = f->packets[1], .tx_packets = f->packets[0] };
	record_pool(rec, f->backend->pool->uuid, pool ? pool->name : NULL);
	log_plan_put(ls->snapshot, w, ls->service->counters, rec);
}

static void flow_end(struct flow *f)
{
	struct worker *w = worker_of(f);

	record(f);
	trace_put(TRACE_CLOSE, f->id, 0, CONN_SERVER);
	table_take(&w->udp->flows, &f->by_client);
	watch_stop(w->loop, &f->watch);
	timer_stop(w->loop, &f->idle);
	close(f->watch.fd);
	list_remove(&f->of_listener);
	list_remove(&f->of_backend);
	list_remove(&f->throttled.link);
	counter_sub(&f->listener->service->counters->conn_open, 1);
	counter_sub(&f->backend->counters->conn_open, 1);
	lb_release(&f->backend->pool->lb, &f->backend->member);
	admission_left(f->listener->service);
	worker_backend_left(f->backend);
	loop_bury(w->loop, &f->grave, flow_release);
}

static uint64_t idle_ms(const struct flow *f)
{
	const struct snapshot *s = f->listener->snapshot;

	return s && s->idle_ms ? s->idle_ms : IDLE_MS;
}

/* Datagrams only note the time: the timer is set again when it finds that something moved. */
static void flow_idle(struct timer *t)
{
	struct flow *f = CONTAINER_OF(t, struct flow, idle);
	struct loop *l = worker_of(f)->loop;
	uint64_t end = f->seen_ns + idle_ms(f) * NS_PER_MS;

	if (end > loop_now(l))
		timer_at(l, t, end, flow_idle);
	else
		flow_end(f);
}

static void flow_ready(struct watch *watch, uint32_t events);

/* ---- the throttle: who waits hears of errors only ---- */

static bool must_wait(struct throttle *t, struct throttled *who, struct watch *w)
{
	if (!t->mbps || !throttle_waits(t, who))
		return false;
	must(watch_set(t->loop, w, 0) == 0);
	return true;
}

static void flow_goes_on(struct throttled *who)
{
	struct flow *f = CONTAINER_OF(who, struct flow, throttled);

	must(watch_set(worker_of(f)->loop, &f->watch, EPOLLIN) == 0);
}

static void listener_goes_on(struct throttled *who)
{
	struct listener *ls = CONTAINER_OF(who, struct listener, throttled);

	must(watch_set(ls->service->worker->loop, &ls->watch, EPOLLIN) == 0);
}

/* So many datagrams are read by one call: each may be as long as they get, or many that the kernel merged. */
static unsigned batch_of(const struct throttle *t, unsigned max)
{
	return t->mbps ? (unsigned)MIN(MAX(t->share / DATAGRAM_MAX, (size_t)1), (size_t)max) : max;
}

static void took(struct throttle *t, size_t n)
{
	if (t->mbps && n)
		throttle_took(t, n);
}

static int flow_connect(struct listener *ls, const union address *to, int device, const struct source *from,
			const union address *client, struct server_counters *server)
{
	const struct snapshot *s = ls->snapshot;
	bool here;
	int fd = lack_server(ls->service->worker->engine, socket(to->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)), rc;

	if (fd < 0)
		return fd;
	/* Before the first datagram, so that the copy has the whole flow. */
	if ((s->clone.on || s->clone.follow) && mark_put(ls->service, fd, client, &ls->address, s, (unsigned)(s->idle_ms / 1000) + CLONE_LINGER_S) < 0)
		counter_add(&ls->service->counters->clone_unmarked, 1);
	rc = backend_bind(fd, device);
	if (rc == 0)
		rc = source_bind(from, fd);
	here = rc == 0;
	if (rc == 0 && connect(fd, &to->sa, address_len(to)) == 0)
		return fd;
	rc = rc ? rc : -errno;
	/* Of datagrams a port serves one server: the kernel says EAGAIN when there is none. */
	if (here && (rc == -EADDRNOTAVAIL || rc == -EAGAIN)) {
		counter_add(&ls->service->counters->server_no_port, 1);
		counter_add(&server->conn_no_port, 1);
	} else if (rc == -EADDRNOTAVAIL) {
		counter_add(&ls->service->counters->server_no_source, 1);
	}
	close(fd);
	return rc;
}

/* A flow to M, whose load was taken, of a client that was let in; both are given back when there is none. */
static struct flow *flow_open(struct listener *ls, const union address *client, struct lb_member *m, bool per_packet)
{
	struct worker_backend *b = CONTAINER_OF(m, struct worker_backend, member);
	struct worker *w = ls->service->worker;
	struct udp *u = w->udp;
	struct flow *f = slab_get(&u->slab);
	union address to = m->backend->address;
	const struct source *from = source_of(&ls->snapshot->sources, &ls->address, to.sa.sa_family);
	int fd;

	if (b->pool->now && b->pool->now->service_port)
		address_set_port(&to, address_port(&ls->address));
	fd = f ? flow_connect(ls, &to, backend_device(m->backend), from, client, b->counters) : -ENOMEM;

	if (fd < 0 || watch_start(w->loop, &f->watch, fd, EPOLLIN, flow_ready) < 0) {
		if (fd >= 0)
			close(fd);
		if (f)
			slab_put(&u->slab, f);
		lb_release(&b->pool->lb, m);
		admission_left(ls->service);
		return NULL;
	}
	f->slab = &u->slab;
	f->listener = ls;
	f->backend = b;
	f->client = *client;
	f->per_packet = per_packet;
	f->source = from->number;
	f->revision = ls->snapshot->revision;
	f->id = ++w->next_id;
	list_init(&f->of_listener);
	list_init(&f->of_backend);
	list_init(&f->throttled.link);
	f->throttled.go_on = flow_goes_on;
	list_insert(&ls->flows, &f->of_listener);
	list_insert(&b->flows, &f->of_backend);
	table_put(&u->flows, &f->by_client, hash_of(u, ls, client, per_packet ? b : NULL));
	b->n_conns++;
	f->opened_ns = f->seen_ns = f->heard_ns = loop_now(w->loop);
	timer_in(w->loop, &f->idle, idle_ms(f), flow_idle);
	trace_put(TRACE_CONNECT, f->id, fd, m->backend->slot);
	counter_add(&ls->service->counters->conn_total, 1);
	counter_add(&ls->service->counters->conn_open, 1);
	counter_add(&b->counters->conn_total, 1);
	counter_add(&b->counters->conn_open, 1);
	return f;
}

/* ---- sending ---- */

/* 0: a single datagram. */
static size_t segment_of(struct msghdr *m, uint32_t *queue_drops)
{
	size_t size = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		int segment;

		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&segment, CMSG_DATA(c), sizeof(segment));
			size = segment > 0 ? (size_t)segment : 0;
		} else if (queue_drops && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(queue_drops, CMSG_DATA(c), sizeof(*queue_drops));
		}
	}
	return size;
}

static unsigned pieces_of(size_t n, size_t segment)
{
	return segment ? (unsigned)((n + segment - 1) / segment) : 1;
}

static int send_one(int fd, const union address *to, void *p, size_t n, size_t segment)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control = { 0 };
	struct iovec iov = { p, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t rc;

	if (to) {
		m.msg_name = (void *)(uintptr_t)to;
		m.msg_namelen = address_len(to);
	}
	if (segment && segment < n) {
		uint16_t size = (uint16_t)segment;
		struct cmsghdr *c;

		m.msg_control = &control;
		m.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(size));
		memcpy(CMSG_DATA(c), &size, sizeof(size));
	}
	do
		rc = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

/* What did not leave. */
struct loss {
	unsigned pieces;
	size_t bytes;
};

static void lose(struct loss *lost, unsigned pieces, size_t bytes)
{
	lost->pieces += pieces;
	lost->bytes += bytes;
}

/* 0, or what befell the first; LOST is added to. */
static int send_pieces(int fd, const union address *to, char *p, size_t n, size_t segment, struct loss *lost)
{
	int rc = send_one(fd, to, p, n, segment);

	if (rc == 0)
		return rc;
	if (rc == -ECONNREFUSED || !segment || segment >= n) {
		lose(lost, pieces_of(n, segment), n);
		return rc;
	}
	/* An interface that does not cut (or another MTU): one by one. */
	for (size_t at = 0; at < n; at += segment)
		if (send_one(fd, to, p + at, MIN(segment, n - at), 0) < 0)
			lose(lost, 1, MIN(segment, n - at));
	return 0;
}

/* ---- from clients ---- */

static void refused(struct flow *f)
{
	struct worker_backend *b = f->backend;
	uint64_t now = loop_now(worker_of(f)->loop);

	/* The client that asks again may be another worker's: its socket may be a new one. */
	atomic_store(&b->member.backend->refused_ns, now);
	if (b->pool->now)
		atomic_store(&b->pool->now->state->refused_ns, now);
	counter_add(&b->counters->conn_failed, 1);
	f->reason = RECORD_SERVER_REFUSED;
	flow_end(f);
}

/* THEN may be after NOW, when it was another worker's. */
static bool lately(uint64_t then, uint64_t now)
{
	return then && now < then + REFUSED_NS;
}

static bool refuses(struct backend *b, uint64_t now)
{
	return lately(atomic_load(&b->refused_ns), now);
}

/* Its server fell; or refused somebody else, and said nothing here since. */
static bool is_lost(const struct flow *f)
{
	const struct snapshot_pool *pool = f->backend->pool->now;
	struct backend *b = f->backend->member.backend;

	if (!backend_is_usable(b))
		return true;
	/* Where a server has many ports it may have been another one of them. */
	return refuses(b, loop_now(worker_of(f)->loop)) && atomic_load(&b->refused_ns) > f->heard_ns && pool &&
	       !pool->service_port;
}

static struct lb_member *pick(const struct listener *ls, const union address *client)
{
	struct worker_service *s = ls->service;
	struct upstream_ask how = upstream_ask_of(client, s, ls->snapshot);
	struct lb_ask ask = { .now = loop_now(s->worker->loop), .key = how.key };
	struct worker_pool *p;
	struct lb_member *m;
	uint8_t key[16];
	int why;

	if (!how.pool)
		return NULL;
	p = s->pool_at[how.pool - ls->snapshot->pools];
	if (lately(atomic_load(&how.pool->state->refused_ns), ask.now))
		for (size_t i = 0; i < p->lb.n && ask.avoid_n < LB_AVOID; i++)
			if (refuses(p->lb.members[i]->backend, ask.now))
				ask.avoid[ask.avoid_n++] = p->lb.members[i];
	if (how.pool->persist.by_address) {
		struct backend *had;

		persist_key(client, how.pool->persist.mask, key);
		had = persist_find(how.pool->state->persist, key, ask.now, how.pool->persist.keep_ns);
		why = 0;
		m = had && !(refuses(had, ask.now) && how.pool->persist.down == HM_DOWN_PICK_NEW_SERVER)
			? upstream_stay(p, had, &why) : NULL;
		if (had)
			counter_add(m ? &s->counters->persist_kept : &s->counters->persist_lost, 1);
		backend_put(had);
		if (m || (had && why == -EHOSTDOWN))
			return m;
	}
	m = lb_pick(&p->lb, &ask, &why);
	if (!m && ask.avoid_n) {
		ask.avoid_n = 0; /* better than nobody */
		m = lb_pick(&p->lb, &ask, &why);
	}
	if (m && how.pool->persist.by_address &&
	    persist_set(how.pool->state->persist, key, m->backend, ask.now, how.pool->persist.keep_ns))
		counter_add(&s->counters->persist_evicted, 1);
	return m;
}

/*
 * A flow that a newer policy does not let be ends; its client may ask again. So does one whose server would see another
 * address now: it would hold the old one for as long as its client speaks.
 */
static struct flow *still(struct flow *f)
{
	const struct snapshot *s = f->listener->snapshot;
	int family = f->backend->member.backend->address.sa.sa_family;
	bool same = f->source == source_of(&s->sources, &f->listener->address, family)->number;

	if (same && f->revision == s->revision)
		return f;
	f->revision = s->revision;
	if (same && admission_still(f->listener->service, s, &f->client, address_port(&f->listener->address)))
		return f;
	flow_end(f);
	return NULL;
}

/* The flow that this datagram goes by; NULL: it is lost, and counted. */
static struct flow *flow_for(struct listener *ls, const union address *client, unsigned pieces)
{
	struct worker_service *s = ls->service;
	struct udp *u = s->worker->udp;
	bool per_packet = ls->snapshot->per_packet;
	struct worker_backend *b = NULL;
	struct lb_member *m = NULL;
	struct flow *f;

	if (per_packet) {
		m = pick(ls, client);
		if (!m) {
			counter_add(&s->counters->conn_refused_server, pieces);
			return NULL;
		}
		b = CONTAINER_OF(m, struct worker_backend, member);
	}
	f = find(u, hash_of(u, ls, client, b), ls, client, b);
	if (f && is_lost(f)) {
		flow_end(f); /* to another server */
		f = NULL;
	}
	if (f)
		f = still(f);
	if (f) {
		if (m)
			lb_release(&b->pool->lb, m); /* its load is the flow's */
		return f;
	}
	if (admission_ask(s, ls->snapshot, client, address_port(&ls->address)) != ADMIT) {
		if (m)
			lb_release(&b->pool->lb, m);
		return NULL;
	}
	if (!m)
		m = pick(ls, client);
	if (!m) {
		admission_left(s);
		counter_add(&s->counters->conn_refused_server, pieces);
		return NULL;
	}
	f = flow_open(ls, client, m, per_packet);
	if (!f)
		counter_add(&s->counters->udp_flows_refused, pieces);
	return f;
}

static void from_client(struct listener *ls, const union address *client, char *p, size_t n, size_t segment)
{
	struct service_counters *counters = ls->service->counters;
	unsigned pieces = pieces_of(n, segment);

	for (unsigned try = 0; try < TRIES; try++) {
		struct flow *f = flow_for(ls, client, pieces);
		struct server_counters *server;
		struct loss lost = { 0 };
		int rc;

		if (!f)
			return;
		server = f->backend->counters;
		rc = send_pieces(f->watch.fd, NULL, p, n, segment, &lost);
		if (rc == -ECONNREFUSED) {
			/* Of an earlier datagram: nobody listens there. This one was not sent: the next server. */
			counter_add(&counters->server_retry, 1);
			refused(f);
			continue;
		}
		if (rc == -EMSGSIZE && try + 1 < TRIES)
			continue; /* of an earlier one, too */
		f->seen_ns = loop_now(worker_of(f)->loop);
		counter_add(&counters->udp_lost, lost.pieces);
		counter_add(&counters->udp_from_client, pieces - lost.pieces);
		f->bytes[0] += n - lost.bytes;
		f->packets[0] += (uint32_t)(pieces - lost.pieces);
		counter_add(&counters->bytes_from_client, n - lost.bytes);
		took(&ls->service->throttle, n - lost.bytes);
		counter_add(&server->bytes_to_server, n - lost.bytes);
		return;
	}
	counter_add(&counters->udp_lost, pieces);
}

/* Datagrams read, or -errno. */
static int receive(struct udp *u, int fd, bool named, unsigned max)
{
	struct datagrams *d = &u->in;
	int n;

	if (!d->bytes)
		d->bytes = xmalloc((size_t)BATCH * DATAGRAM_MAX);
	for (unsigned i = 0; i < max; i++) {
		d->iov[i] = (struct iovec){ d->bytes + (size_t)i * DATAGRAM_MAX, DATAGRAM_MAX };
		d->at[i].msg_hdr = (struct msghdr){
			.msg_name = named ? &d->peer[i] : NULL,
			.msg_namelen = named ? sizeof(d->peer[i]) : 0,
			.msg_iov = &d->iov[i],
			.msg_iovlen = 1,
			.msg_control = d->control[i],
			.msg_controllen = sizeof(d->control[i]),
		};
	}
	do
		n = recvmmsg(fd, d->at, max, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void udp_ready(struct watch *watch, uint32_t events)
{
	struct listener *ls = CONTAINER_OF(watch, struct listener, watch);
	struct throttle *t = &ls->service->throttle;
	struct udp *u = ls->service->worker->udp;
	struct datagrams *d = &u->in;
	/* With a limit no more at once than a flow reads of answers: else those were lost for what nobody will answer. */
	unsigned rounds = t->mbps ? 1 : ROUNDS;
	int batch = (int)batch_of(t, BATCH), n = batch;

	(void)events;
	for (unsigned round = 0; round < rounds && n == batch && !must_wait(t, &ls->throttled, watch); round++) {
		n = receive(u, watch->fd, true, (unsigned)batch);
		for (int i = 0; i < n; i++) {
			uint32_t drops = ls->queue_drops;
			size_t segment = segment_of(&d->at[i].msg_hdr, &drops);

			/* The kernel's count wraps around, and so does the difference. */
			counter_add(&ls->service->counters->udp_queue_full, drops - ls->queue_drops);
			ls->queue_drops = drops;
			from_client(ls, &d->peer[i], d->iov[i].iov_base, d->at[i].msg_len, segment);
		}
	}
}

/* ---- from servers ---- */

/* Send the N datagrams that were read to F's client. */
static void to_client(struct flow *f, struct datagrams *d, unsigned n)
{
	struct service_counters *service = f->listener->service->counters;
	int fd = f->listener->watch.fd;
	unsigned pieces = 0;
	size_t segments[BATCH], bytes = 0;
	struct loss lost = { 0 };

	for (unsigned i = 0; i < n; i++) {
		segments[i] = segment_of(&d->at[i].msg_hdr, NULL);
		d->iov[i].iov_len = d->at[i].msg_len;
		d->at[i].msg_hdr = (struct msghdr){
			.msg_name = &f->client,
			.msg_namelen = address_len(&f->client),
			.msg_iov = &d->iov[i],
			.msg_iovlen = 1,
		};
		pieces += pieces_of(d->iov[i].iov_len, segments[i]);
		bytes += d->iov[i].iov_len;
	}
	for (unsigned i = 0; i < n;) {
		unsigned plain = i;
		int sent = 0;

		while (plain < n && !segments[plain])
			plain++;
		if (plain > i)
			sent = sendmmsg(fd, d->at + i, plain - i, MSG_NOSIGNAL);
		if (sent > 0) {
			i += (unsigned)sent;
			continue;
		}
		send_pieces(fd, &f->client, d->iov[i].iov_base, d->iov[i].iov_len, segments[i], &lost);
		i++;
	}
	counter_add(&service->udp_to_client, pieces - lost.pieces);
	counter_add(&service->udp_lost, lost.pieces);
	f->bytes[1] += bytes - lost.bytes;
	f->packets[1] += (uint32_t)(pieces - lost.pieces);
	counter_add(&service->bytes_to_client, bytes - lost.bytes);
	took(&f->listener->service->throttle, bytes - lost.bytes);
	counter_add(&f->backend->counters->bytes_from_server, bytes);
}

static void flow_ready(struct watch *watch, uint32_t events)
{
	struct flow *f = CONTAINER_OF(watch, struct flow, watch);
	struct throttle *t = &f->listener->service->throttle;
	struct worker *w = worker_of(f);
	int n;

	if (!(events & EPOLLERR) && must_wait(t, &f->throttled, watch))
		return;
	n = receive(w->udp, watch->fd, false, batch_of(t, f->merged ? BATCH : MERGE_FROM));
	/* EMSGSIZE is of a router, with the size that passes: the kernel cuts what comes from now on. */
	if (n == -EAGAIN || n == -EMSGSIZE)
		return;
	if (n < 0) {
		/* ICMP says that nobody is there: the client's next datagram goes to another server. */
		refused(f);
		return;
	}
	f->seen_ns = f->heard_ns = loop_now(w->loop);
	to_client(f, &w->udp->in, (unsigned)n);
	if (n >= MERGE_FROM && !f->merged) {
		int one = 1;

		f->merged = true;
		setsockopt(watch->fd, SOL_UDP, UDP_GRO, &one, sizeof(one));
	}
}

/* ---- what the configuration does ---- */

void udp_follow(struct listener *ls)
{
	int one = 1, merge = !ls->snapshot->per_packet;
	uint32_t memory[SK_MEMINFO_VARS];
	socklen_t len = sizeof(memory);

	setsockopt(ls->watch.fd, SOL_UDP, UDP_GRO, &merge, sizeof(merge));
	if (ls->watch.active)
		return;
	ls->throttled.go_on = listener_goes_on;
	setsockopt(ls->watch.fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one));
	/* What was lost before this proxy was there is not its own. */
	if (getsockopt(ls->watch.fd, SOL_SOCKET, SO_MEMINFO, memory, &len) == 0)
		ls->queue_drops = memory[SK_MEMINFO_DROPS];
}

void udp_mark(struct listener *ls)
{
	const struct snapshot *s = ls->snapshot;

	LIST_FOREACH(l, &ls->flows) {
		struct flow *f = LIST_ENTRY(l, struct flow, of_listener);

		mark_follow(ls->service, f->watch.fd, &f->client, &ls->address, s, (unsigned)(s->idle_ms / 1000) + CLONE_LINGER_S, 0);
	}
}

static void cut(struct flow *f)
{
	f->reason = RECORD_CUT;
	flow_end(f);
}

void udp_cut_listener(struct listener *ls, uint64_t *counter)
{
	while (!list_empty(&ls->flows)) {
		if (counter)
			counter_add(counter, 1);
		cut(LIST_ENTRY(ls->flows.next, struct flow, of_listener));
	}
}

void udp_cut_backend(struct worker_backend *b)
{
	while (!list_empty(&b->flows)) {
		counter_add(&b->service->counters->conn_cut_server, 1);
		cut(LIST_ENTRY(b->flows.next, struct flow, of_backend));
	}
}
