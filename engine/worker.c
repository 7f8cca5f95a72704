#include "engine/worker.h"

#include <openssl/evp.h>

#include "base/base.h"
#include "engine/admission.h"
#include "engine/clone/plain.h"
#include "engine/http/h1.h"
#include "engine/http/h2.h"
#include "engine/l4/l4.h"
#include "engine/l4/pipe.h"
#include "engine/l4/udp.h"
#include "engine/records.h"
#include "engine/tls/tls.h"
#include "engine/upstream.h"

#define CONNS_MAX       400000        /* per worker: 100,000 clients with their servers, and room */
#define BUFFERS_MAX     (1ULL << 30)  /* per worker, bytes */

/* ---- services ---- */

/* NULL: it is not here. */
static struct worker_service *service_find(const struct worker *w, unsigned index)
{
	return index < w->n_services ? w->services[index] : NULL;
}

static struct worker_service *service_make(struct worker *w, unsigned index)
{
	struct worker_service *s;

	if (index >= w->n_services) {
		size_t n = MAX(w->n_services * 2, (size_t)index + 16);

		w->services = xrealloc(w->services, n * sizeof(w->services[0]));
		memset(w->services + w->n_services, 0, (n - w->n_services) * sizeof(w->services[0]));
		w->n_services = n;
	}
	s = w->services[index];
	if (!s) {
		s = w->services[index] = xcalloc(1, sizeof(*s));
		s->worker = w;
		s->index = index;
		throttle_init(&s->throttle, w->loop);
		list_init(&s->listeners);
		list_init(&s->clients);
		list_init(&s->pools);
	}
	return s;
}

/* A capture begins: it wants to know of the connections that are there already, too. */
static void server_follow(struct conn *c)
{
	if (c->upstream)
		upstream_follow(c->upstream, c, c->service->snapshot);
}

static void follow_all(struct worker_service *s)
{
	worker_pools_each_busy(s, server_follow);
	LIST_FOREACH(l, &s->listeners)
		if (LIST_ENTRY(l, struct listener, link)->udp)
			udp_mark(LIST_ENTRY(l, struct listener, link));
}

/* HTTP tells at the next request; where there are none, it is now. */
static void server_tell(struct conn *c)
{
	if (c->upstream && c->session && c->proto == &l4_proto)
		retell_pair(c->upstream->client, c);
}

static void service_update(struct worker *w, struct snapshot *snap)
{
	struct worker_service *s = service_make(w, snap->index);
	struct snapshot *old = s->snapshot;

	trace_put(TRACE_SNAPSHOT, snap->index, (int64_t)snap->revision, (int64_t)snap->n_pools);
	s->snapshot = snap;
	s->counters = counters_service_of(w->counters, w->id, snap->slot);
	if (!s->admission) /* the same for the life of the service */
		s->admission = admission_get(snap->admission.shared);
	throttle_set(&s->throttle, s->admission ? snap->admission.mbps : 0, s->admission ? &s->admission->bytes : NULL,
		     &s->counters->throughput_waits);
	worker_pools_follow(s, snap);
	LIST_FOREACH(l, &s->listeners)
		listener_follow(LIST_ENTRY(l, struct listener, link));
	if (old && snap->clone.follow && !old->clone.follow)
		follow_all(s);
	if (old && snap->clone.capture && snap->clone.capture != old->clone.capture)
		worker_pools_each_busy(s, server_tell);
	if (old && snap->cuts_clients) {
		listener_cut_clients(s, NULL, CONN_CUT_CONFIG);
		LIST_FOREACH(l, &s->listeners)
			udp_cut_listener(LIST_ENTRY(l, struct listener, link), &s->counters->conn_cut_config);
	}
	snapshot_put(old);
}

struct service_grave {
	struct grave grave;
	struct worker_service *service;
};

static void service_release(struct grave *g)
{
	struct service_grave *sg = CONTAINER_OF(g, struct service_grave, grave);

	admission_put(sg->service->admission);
	free(sg->service->pool_at);
	free(sg->service);
	free(sg);
}

static void service_remove(struct worker *w, unsigned index)
{
	struct worker_service *s = service_find(w, index);
	struct service_grave *sg;

	if (!s)
		return;
	while (!list_empty(&s->listeners))
		listener_close(LIST_ENTRY(s->listeners.next, struct listener, link));
	listener_cut_clients(s, NULL, w->stopping ? CONN_CUT_STOP : CONN_CUT_LISTENER);
	worker_pools_follow(s, NULL);
	must(list_empty(&s->pools) && list_empty(&s->clients));
	throttle_fini(&s->throttle);
	w->services[index] = NULL;
	snapshot_put(s->snapshot);
	s->snapshot = NULL;
	/* Connections that were closed in this turn still name it; the graves are emptied in order. */
	sg = xcalloc(1, sizeof(*sg));
	sg->service = s;
	loop_bury(w->loop, &sg->grave, service_release);
}

/* ---- the inbox ---- */

enum post_kind { POST_SNAPSHOT, POST_REMOVED, POST_LISTENER, POST_UNLISTEN, POST_DOWN, POST_MARK_MAP,
		 POST_BADGES, POST_PLAIN, POST_TICKETS, POST_STOP };

struct post {
	struct message message;
	struct worker *worker;
	enum post_kind kind;
	unsigned index;
	uint64_t id;
	int fd;
	union address address;
	unsigned last;
	bool udp;
	struct snapshot *snapshot;
	struct backend *backend;
	struct tickets *tickets;
	struct plain *plain;
	struct badge *badges;
};

static void unlisten(struct worker *w, unsigned index, uint64_t id)
{
	struct worker_service *s = service_find(w, index);

	if (!s)
		return;
	LIST_FOREACH(l, &s->listeners) {
		struct listener *ls = LIST_ENTRY(l, struct listener, link);

		if (ls->id == id)
			listener_close(ls);
	}
}

static void down(struct worker *w, unsigned index, const struct backend *fallen)
{
	struct worker_service *s = service_find(w, index);

	if (s && s->snapshot)
		worker_pools_down(s, fallen);
}

static void worker_end(struct worker *w)
{
	w->stopping = true;
	for (unsigned i = 0; i < w->n_services; i++)
		service_remove(w, i);
	loop_stop(w->loop);
}

static void post_deliver(struct message *m)
{
	struct post *p = CONTAINER_OF(m, struct post, message);
	struct worker *w = p->worker;

	switch (p->kind) {
	case POST_SNAPSHOT:
		service_update(w, p->snapshot);
		break;
	case POST_REMOVED:
		service_remove(w, p->index);
		break;
	case POST_LISTENER:
		listener_open(service_make(w, p->index), p->id, p->fd, &p->address, p->last, p->udp);
		break;
	case POST_UNLISTEN:
		unlisten(w, p->index, p->id);
		break;
	case POST_DOWN:
		down(w, p->index, p->backend);
		backend_put(p->backend);
		break;
	case POST_MARK_MAP:
		w->mark_map = p->fd;
		w->flow_seed = p->id;
		break;
	case POST_BADGES:
		badges_init(&w->badges, p->badges, w->id, p->index);
		break;
	case POST_PLAIN:
		w->plain = p->plain;
		break;
	case POST_TICKETS:
		w->tickets = *p->tickets;
		explicit_bzero(p->tickets, sizeof(*p->tickets));
		free(p->tickets);
		break;
	case POST_STOP:
		worker_end(w);
		break;
	}
	free(p);
}

static void post(struct worker *w, struct post p)
{
	struct post *copy = xmalloc(sizeof(*copy));

	p.worker = w;
	*copy = p;
	inbox_post(&w->inbox, &copy->message, post_deliver);
}

void worker_post_snapshot(struct worker *w, struct snapshot *s)
{
	post(w, (struct post){ .kind = POST_SNAPSHOT, .snapshot = snapshot_get(s) });
}

void worker_post_removed(struct worker *w, unsigned index)
{
	post(w, (struct post){ .kind = POST_REMOVED, .index = index });
}

void worker_post_listener(struct worker *w, unsigned index, uint64_t id, int fd, const union address *a, unsigned last,
			  bool udp)
{
	post(w, (struct post){ .kind = POST_LISTENER, .index = index, .id = id, .fd = fd, .address = *a, .last = last,
			       .udp = udp });
}

void worker_post_unlisten(struct worker *w, unsigned index, uint64_t id)
{
	post(w, (struct post){ .kind = POST_UNLISTEN, .index = index, .id = id });
}

void worker_post_down(struct worker *w, unsigned index, struct backend *b)
{
	post(w, (struct post){ .kind = POST_DOWN, .index = index, .backend = backend_get(b) });
}

void worker_post_tickets(struct worker *w, const struct tickets *t)
{
	struct tickets *copy = xmalloc(sizeof(*copy));

	*copy = *t;
	post(w, (struct post){ .kind = POST_TICKETS, .tickets = copy });
}

void worker_post_mark_map(struct worker *w, int fd, uint64_t flow_seed)
{
	post(w, (struct post){ .kind = POST_MARK_MAP, .fd = fd, .id = flow_seed });
}

void worker_post_badges(struct worker *w, struct badge *all, unsigned workers)
{
	post(w, (struct post){ .kind = POST_BADGES, .badges = all, .index = workers });
}

void worker_post_plain(struct worker *w, struct plain *p)
{
	post(w, (struct post){ .kind = POST_PLAIN, .plain = p });
}

struct round {
	struct message home_message;
	struct inbox *home;
	atomic_uint left;
	void (*done)(void *arg, uint64_t number);
	void *arg;
	uint64_t number;
	struct round_visit {
		struct message message;
		struct round *round;
	} visits[];
};

static void round_home(struct message *m)
{
	struct round *r = CONTAINER_OF(m, struct round, home_message);

	r->done(r->arg, r->number);
	free(r);
}

static void round_visited(struct message *m)
{
	struct round *r = CONTAINER_OF(m, struct round_visit, message)->round;

	if (atomic_fetch_sub_explicit(&r->left, 1, memory_order_acq_rel) != 1)
		return;
	if (r->home)
		inbox_post(r->home, &r->home_message, round_home);
	else
		round_home(&r->home_message);
}

void workers_round(struct worker **w, unsigned n, struct inbox *home, void (*done)(void *arg, uint64_t number),
		   void *arg, uint64_t number)
{
	struct round *r = xcalloc(1, sizeof(*r) + n * sizeof(r->visits[0]));

	*r = (struct round){ .home = home, .done = done, .arg = arg, .number = number };
	atomic_init(&r->left, n);
	for (unsigned i = 0; i < n; i++) {
		r->visits[i].round = r;
		inbox_post(&w[i]->inbox, &r->visits[i].message, round_visited);
	}
}

/* ---- the thread ---- */

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	trace_use(&w->trace, w->loop);
	must(loop_run(w->loop) == 0);
	return NULL;
}

struct worker *worker_start(unsigned id, struct counters *counters)
{
	struct worker *w = xcalloc(1, sizeof(*w));

	w->id = id;
	w->counters = counters;
	w->engine = counters_engine_of(counters, id);
	w->mark_map = -1;
	w->scratch = xmalloc(WORKER_SCRATCH);
	w->buffers.limit = BUFFERS_MAX;
	w->buffers.gauge = &w->engine->buffers_used;
	w->loop = loop_new();
	must(inbox_init(&w->inbox, w->loop) == 0);
	w->udp = udp_new();
	slab_init(&w->conns, sizeof(struct conn), CONNS_MAX);
	slab_init(&w->sessions_l4, l4_session_size, CONNS_MAX);
	slab_init(&w->sessions_http, h1_session_size, CONNS_MAX);
	slab_init(&w->sessions_h2, h2_session_size, CONNS_MAX);
	slab_init(&w->streams, h2_stream_size, CONNS_MAX);
	slab_init(&w->tls, sizeof(struct conn_tls), CONNS_MAX);
	list_init(&w->shaking);
	w->shaking_max = TLS_SHAKING_MAX;
	tickets_rotate(&w->tickets);
	slab_init(&w->notes, RECORD_BYTES, CONNS_MAX);
	must(pthread_create(&w->thread, NULL, worker_run, w) == 0);
	return w;
}

void worker_stop(struct worker *w)
{
	post(w, (struct post){ .kind = POST_STOP });
	pthread_join(w->thread, NULL);
	inbox_fini(&w->inbox);
	plain_free(w->plain);
	loop_free(w->loop);
	slab_fini(&w->conns);
	slab_fini(&w->sessions_l4);
	slab_fini(&w->sessions_http);
	slab_fini(&w->sessions_h2);
	slab_fini(&w->streams);
	slab_fini(&w->tls);
	EVP_CIPHER_free(w->ticket_cipher);
	slab_fini(&w->notes);
	buffer_pool_fini(&w->buffers);
	badges_fini(&w->badges);
	pipes_fini(w);
	udp_free(w->udp);
	free(w->services);
	free(w->scratch);
	free(w);
}
