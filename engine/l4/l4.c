#include "engine/l4/l4.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/base.h"
#include "engine/capture/jot.h"
#include "engine/conn_record.h"
#include "engine/l4/pipe.h"
#include "engine/l4/proxy_header.h"
#include "engine/log_plan.h"
#include "engine/records.h"
#include "engine/significance.h"
#include "engine/tls/tls.h"
#include "engine/upstream.h"
#include "engine/worker.h"

/* A connection that could go on for ever lets the others have their turn after so many bytes. */
#define TURN_BYTES (4 * WORKER_SCRATCH)

struct session {
	struct upstream upstream;
	struct conn *client;
	enum l4_state state;
	bool bulk[2];              /* by the sender's side: much comes at once, it is spliced */
	struct pipe *stuck[2];     /* by the receiver's side: what it has not taken yet; its c->out is empty then */
	struct grave grave;
	struct conn *spoke;        /* whoever said something last; never followed */
	uint64_t bytes[2];         /* by the sender's side */
	enum record_reason reason; /* why it did not go well; NONE: it did */
};

const size_t l4_session_size = sizeof(struct session);

static void move(struct session *s, enum l4_state to)
{
#define X(state, text, next) [state] = next,
	static const unsigned allowed[] = { L4_STATES(X) };
#undef X

	must(allowed[s->state] & 1u << to);
	trace_put(TRACE_STATE, s->client->id, s->state, to);
	s->state = to;
}

static void session_release(struct grave *g)
{
	struct session *s = CONTAINER_OF(g, struct session, grave);

	slab_put(&s->client->worker->sessions_l4, s);
}

static void record(const struct session *s)
{
	struct conn *c = s->client;
	const struct snapshot *snap = s->upstream.snapshot ? s->upstream.snapshot : c->listener->snapshot;
	const struct snapshot_pool *pool = s->upstream.snapshot ? s->upstream.pool : NULL;
	char room[RECORD_BYTES] __attribute__((aligned(8)));
	struct record *rec = (struct record *)room;

	if (!records_kept(c->worker->counters->records))
		return;
	memset(rec, 0, sizeof(*rec));
	conn_record_begin(rec, c, s->upstream.server, snap);
	rec->reason = (uint8_t)s->reason;
	rec->rx_bytes = rec->server_tx_bytes = s->bytes[CONN_CLIENT];
	rec->tx_bytes = rec->server_rx_bytes = s->bytes[CONN_SERVER];
	if (pool)
		record_pool(rec, pool->uuid, pool->name);
	significance_judge(rec, snap);
	log_plan_put(snap, c->worker, c->service->counters, rec);
}

/* RESET: both peers learn that something was lost. */
static void end(struct session *s, bool reset)
{
	struct loop *l = s->client->worker->loop;

	if (s->state == L4_ENDED)
		return;
	move(s, L4_ENDED);
	record(s);
	upstream_cancel(&s->upstream, reset);
	pipe_put(s->client->worker, s->stuck[CONN_CLIENT]);
	pipe_put(s->client->worker, s->stuck[CONN_SERVER]);
	loop_bury(l, &s->grave, session_release);
	if (reset)
		conn_reset(s->client);
	else
		conn_close(s->client);
}

static void refused(struct session *s)
{
	counter_add(&s->client->service->counters->conn_refused_server, 1);
	s->reason = RECORD_NO_SERVER;
	end(s, true);
}

static struct conn *other_of(struct session *s, const struct conn *c)
{
	return c->side == CONN_CLIENT ? s->upstream.server : s->client;
}

/* Something is on its way to C that it has not taken: nobody reads for it meanwhile. */
static bool is_behind(const struct session *s, const struct conn *c)
{
	return c->out || s->stuck[c->side];
}

static void count_passed(struct session *s, const struct conn *from, size_t n)
{
	struct service_counters *service = s->client->service->counters;
	struct server_counters *server = s->upstream.server->backend->counters;

	s->bytes[from->side] += n;
	if (from->side == CONN_CLIENT) {
		counter_add(&service->bytes_from_client, n);
		counter_add(&server->bytes_to_server, n);
	} else {
		counter_add(&service->bytes_to_client, n);
		counter_add(&server->bytes_from_server, n);
	}
}

static void broken(struct session *s, const struct conn *c, int rc)
{
	s->reason = rc == -ENOBUFS ? RECORD_NO_MEMORY : c->side == CONN_CLIENT ? RECORD_CLIENT_RESET : RECORD_SERVER_RESET;
	if (rc == -ECONNRESET || rc == -EPIPE) {
		if (c->side == CONN_CLIENT)
			counter_add(&c->service->counters->conn_reset, 1);
		else
			counter_add(&c->backend->counters->conn_reset, 1);
	} else if (rc == -ENOBUFS) {
		counter_add(&c->service->counters->conn_refused_memory, 1);
	}
	end(s, true);
}

static void half_closed(struct session *s, enum l4_state to)
{
	move(s, to);
	if (s->upstream.snapshot->keepalive_halfclosed)
		return;
	conn_option(s->client, SOL_SOCKET, SO_KEEPALIVE, 0);
	conn_option(s->upstream.server, SOL_SOCKET, SO_KEEPALIVE, 0);
}

/* FROM sends no more, and TO has taken all it sent: pass the end on. */
static void pass_end(struct session *s, struct conn *from, struct conn *to)
{
	int rc;

	conn_want_in(from, false);
	if (is_behind(s, to))
		return; /* when it has taken all */
	rc = conn_shutdown(to);
	if (rc < 0 && rc != -ENOTCONN)
		broken(s, to, rc);
	else if (to->eof && !is_behind(s, from))
		end(s, false);
	else if (s->state == L4_PASSING)
		half_closed(s, from->side == CONN_CLIENT ? L4_CLIENT_ENDED : L4_SERVER_ENDED);
}

static void still_alive(struct session *s)
{
	if (s->upstream.snapshot->close_idle)
		conn_deadline(s->client, s->upstream.snapshot->idle_ms);
}

/* TO is slow: the rest waits, and FROM is not read until it is gone. */
static void hold_back(struct conn *from, struct conn *to)
{
	conn_want_in(from, false);
	conn_want_out(to);
}

/* Bytes moved, 0: the end, -EAGAIN, or another -errno; *CULPRIT is whose. */
static ssize_t pass_copied(struct session *s, struct conn *from, struct conn *to, struct conn **culprit)
{
	char *scratch = s->client->worker->scratch;
	ssize_t n = conn_recv(from, scratch, WORKER_SCRATCH), put;
	struct iovec iov = { scratch, (size_t)n };

	*culprit = from;
	if (n <= 0)
		return n;
	if (s->spoke != from && (from->tls || to->tls))
		jot_stream(from, to, scratch, (size_t)n);
	s->spoke = from;
	s->bulk[from->side] = (size_t)n == WORKER_SCRATCH && !from->retold && from->stream == &stream_tcp &&
			      to->stream == &stream_tcp;
	*culprit = to;
	put = conn_send(to, &iov, 1, false);
	if (put == -EAGAIN)
		put = 0;
	if (put < 0)
		return put;
	if (put < n) {
		int rc = conn_put(to, scratch + put, (size_t)(n - put));

		if (rc < 0)
			return rc;
		hold_back(from, to);
	}
	return n;
}

/* The same without looking at them; what is not bulk is cheaper copied. */
static ssize_t pass_spliced(struct session *s, struct conn *from, struct conn *to, struct conn **culprit)
{
	struct worker *w = s->client->worker;
	ssize_t n, put;
	struct pipe *p;

	*culprit = from;
	if (from->throttle->mbps && conn_must_wait(from))
		return -EAGAIN;
	p = pipe_get(w);
	if (!p) {
		s->bulk[from->side] = false;
		return pass_copied(s, from, to, culprit);
	}
	n = pipe_fill(p, from->watch.fd, throttle_share(from->throttle, PIPE_BYTES));
	if (n > 0) {
		conn_took(s->client, n); /* there or back */
		s->bulk[from->side] = (size_t)n >= WORKER_SCRATCH / 2;
		*culprit = to;
		put = pipe_drain(p, to->watch.fd);
		if (put < 0 && put != -EAGAIN)
			n = put;
		if (p->n && n > 0) {
			s->stuck[to->side] = p;
			hold_back(from, to);
			return n;
		}
	}
	pipe_put(w, p);
	return n;
}

/* Move what FROM has to TO. */
static void pass(struct session *s, struct conn *from, struct conn *to)
{
	for (size_t moved = 0; moved < TURN_BYTES && !is_behind(s, to);) {
		struct conn *culprit = NULL;
		ssize_t n = s->bulk[from->side] && !from->retold ? pass_spliced(s, from, to, &culprit)
						: pass_copied(s, from, to, &culprit);

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			broken(s, culprit, (int)n);
			return;
		}
		if (n == 0) {
			from->eof = true;
			pass_end(s, from, to);
			return;
		}
		moved += (size_t)n;
		count_passed(s, from, (size_t)n);
		if (!s->bulk[from->side])
			break; /* that was all, most likely: the loop tells if not */
	}
	still_alive(s);
}

/* 0: TO has taken all; 1: not yet; -errno. */
static int catch_up(struct session *s, struct conn *to)
{
	struct pipe **stuck = &s->stuck[to->side];

	if (*stuck) {
		ssize_t n = pipe_drain(*stuck, to->watch.fd);

		if (n < 0 && n != -EAGAIN)
			return (int)n;
		if ((*stuck)->n)
			return 1;
		pipe_put(s->client->worker, *stuck);
		*stuck = NULL;
	}
	return conn_flush(to);
}

static void flush(struct session *s, struct conn *to, struct conn *from)
{
	int rc = catch_up(s, to);

	still_alive(s);
	if (rc < 0)
		broken(s, to, rc);
	else if (rc == 0 && from->eof)
		pass_end(s, from, to);
	else if (rc == 0)
		conn_want_in(from, true);
}

static void ready(struct conn *c, uint32_t events)
{
	struct session *s = c->session;
	struct conn *other = other_of(s, c);

	if (events & EPOLLERR) {
		broken(s, c, conn_error(c));
		return;
	}
	if (s->state == L4_CONNECTING) { /* a client that hung up before it was served */
		if (events & EPOLLHUP)
			end(s, true);
		return;
	}
	if (events & EPOLLOUT && is_behind(s, c)) {
		flush(s, c, other);
		if (s->state == L4_ENDED)
			return;
	}
	if (c->eof || is_behind(s, other)) {
		/* Not to be read now; a hang-up that cannot be acted on would wake us for ever. */
		if (events & EPOLLHUP && !is_behind(s, c))
			conn_park(c);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP))
		pass(s, c, other);
}

/* The server learns whom it serves before anything else. It has a fresh connection: there is room. */
static int introduce(struct session *s)
{
	const unsigned version = s->upstream.snapshot->proxy_header;
	struct conn *c = s->client, *server = s->upstream.server;
	char header[PROXY_HEADER_MAX];
	struct iovec iov = { header, 0 };
	ssize_t n;

	if (!version)
		return 0;
	iov.iov_len = proxy_header(version, &c->peer, &c->listener->address, c->port, header);
	n = conn_send(server, &iov, 1, false);
	if (n < 0 && n != -EAGAIN)
		return (int)n;
	n = MAX(n, 0);
	if ((size_t)n == iov.iov_len)
		return 0;
	conn_want_out(server);
	return conn_put(server, header + n, iov.iov_len - (size_t)n);
}

static void start(struct session *s)
{
	int rc;

	retell_pair(s->client, s->upstream.server);
	rc = introduce(s);
	if (rc < 0) {
		broken(s, s->upstream.server, rc);
		return;
	}
	upstream_answered(&s->upstream); /* by the handshake: what an answer is, nobody knows here */
	upstream_judge(&s->upstream, true);
	move(s, L4_PASSING);
	conn_want_in(s->client, !is_behind(s, s->upstream.server));
	still_alive(s);
}

static void connected(struct upstream *u, int rc)
{
	struct session *s = u->session;

	if (rc == 0)
		start(s);
	else
		refused(s);
}

static void server_cut(struct upstream *u)
{
	struct session *s = u->session;

	s->reason = RECORD_CUT;
	end(s, true);
}

static const struct upstream_user user = { &l4_proto, connected, server_cut };

static void accepted(struct conn *client)
{
	struct worker *w = client->worker;
	struct session *s = slab_get(&w->sessions_l4);
	struct upstream_ask ask;

	if (!s) {
		counter_add(&client->service->counters->conn_refused_memory, 1);
		conn_reset(client);
		return;
	}
	s->client = client;
	s->state = L4_CONNECTING;
	client->session = s;
	conn_want_in(client, false); /* what it says waits in the kernel until somebody listens */
	upstream_init(&s->upstream, &user, s, client);
	ask = upstream_ask_of(&client->peer, client->service, client->listener->snapshot);
	switch (upstream_open(&s->upstream, client->listener->snapshot, &ask)) {
	case UPSTREAM_READY:
		start(s);
		break;
	case UPSTREAM_WAIT:
		break;
	default:
		refused(s);
	}
}

static void expired(struct conn *c)
{
	struct session *s = c->session;

	counter_add(&c->service->counters->conn_idle_timeout, 1);
	s->reason = RECORD_IDLE;
	end(s, true);
}

static void cut(struct conn *client, enum conn_cut why)
{
	struct session *s = client->session;

	s->reason = why == CONN_CUT_STOP ? RECORD_NONE : RECORD_CUT;
	end(s, true);
}

const struct proto_ops l4_proto = {
	.name = "l4",
	.accepted = accepted,
	.ready = ready,
	.expired = expired,
	.cut = cut,
};
