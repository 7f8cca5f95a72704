#include "engine/l4/l4.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/base.h"
#include "engine/upstream.h"
#include "engine/worker.h"

/* A connection that could go on for ever lets the others have their turn after so many bytes. */
#define TURN_BYTES (4 * WORKER_SCRATCH)

struct session {
	struct upstream upstream;
	struct conn *client;
	enum l4_state state;
	struct grave grave;
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

/* RESET: both peers learn that something was lost. */
static void end(struct session *s, bool reset)
{
	struct loop *l = s->client->worker->loop;

	if (s->state == L4_ENDED)
		return;
	move(s, L4_ENDED);
	upstream_cancel(&s->upstream, reset);
	loop_bury(l, &s->grave, session_release);
	if (reset)
		conn_reset(s->client);
	else
		conn_close(s->client);
}

static void refused(struct session *s)
{
	counter_add(&s->client->service->counters->conn_refused_server, 1);
	end(s, true);
}

static struct conn *other_of(struct session *s, const struct conn *c)
{
	return c->side == CONN_CLIENT ? s->upstream.server : s->client;
}

static void count_passed(const struct session *s, const struct conn *from, size_t n)
{
	struct service_counters *service = s->client->service->counters;
	struct server_counters *server = s->upstream.server->backend->counters;

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
	if (rc == -ECONNRESET || rc == -EPIPE) {
		if (c->side == CONN_CLIENT)
			counter_add(&c->service->counters->conn_reset, 1);
		else
			counter_add(&c->backend->counters->conn_reset, 1);
	}
	end(s, true);
}

/* FROM sends no more, and TO has taken all it sent: pass the end on. */
static void pass_end(struct session *s, struct conn *from, struct conn *to)
{
	int rc;

	conn_want_in(from, false);
	if (to->out)
		return; /* when it is empty */
	rc = conn_shutdown(to);
	if (rc < 0 && rc != -ENOTCONN)
		broken(s, to, rc);
	else if (to->eof && !from->out)
		end(s, false);
	else if (s->state == L4_PASSING)
		move(s, from->side == CONN_CLIENT ? L4_CLIENT_ENDED : L4_SERVER_ENDED);
}

/* Move what FROM has to TO. */
static void pass(struct session *s, struct conn *from, struct conn *to)
{
	char *scratch = s->client->worker->scratch;

	for (size_t moved = 0; moved < TURN_BYTES && !to->out;) {
		ssize_t n = conn_recv(from, scratch, WORKER_SCRATCH), put;
		struct iovec iov = { scratch, (size_t)n };

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			broken(s, from, (int)n);
			return;
		}
		if (n == 0) {
			from->eof = true;
			pass_end(s, from, to);
			return;
		}
		moved += (size_t)n;
		count_passed(s, from, (size_t)n);
		put = conn_send(to, &iov, 1, false);
		if (put < 0 && put != -EAGAIN) {
			broken(s, to, (int)put);
			return;
		}
		if (put < n) { /* TO is slow: the rest waits, and FROM is not read until it is gone */
			size_t done = put < 0 ? 0 : (size_t)put;

			if (conn_put(to, scratch + done, (size_t)n - done) < 0) {
				counter_add(&s->client->service->counters->conn_refused_memory, 1);
				end(s, true);
				return;
			}
			conn_want_in(from, false);
			conn_want_out(to);
			break;
		}
		if ((size_t)n < WORKER_SCRATCH)
			break; /* that was all, most likely: the loop tells if not */
	}
	if (s->upstream.snapshot->close_idle)
		conn_deadline(s->client, s->upstream.snapshot->idle_ms);
}

static void flush(struct session *s, struct conn *to, struct conn *from)
{
	int rc = conn_flush(to);

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
	if (events & EPOLLOUT && c->out) {
		flush(s, c, other);
		if (s->state == L4_ENDED)
			return;
	}
	if (c->eof || other->out) {
		/* Not to be read now; a hang-up that cannot be acted on would wake us for ever. */
		if (events & EPOLLHUP && !c->out)
			conn_park(c);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP))
		pass(s, c, other);
}

static void start(struct session *s)
{
	struct snapshot *snap = s->upstream.snapshot;

	move(s, L4_PASSING);
	conn_want_in(s->client, true);
	if (snap->close_idle)
		conn_deadline(s->client, snap->idle_ms);
}

static void connected(struct conn *client, struct conn *server, int rc)
{
	struct session *s = client->session;

	(void)rc;
	if (server)
		start(s);
	else
		refused(s);
}

static void accepted(struct conn *client)
{
	struct worker *w = client->worker;
	struct session *s = slab_get(&w->sessions_l4);

	if (!s) {
		counter_add(&client->service->counters->conn_refused_memory, 1);
		conn_reset(client);
		return;
	}
	s->client = client;
	s->state = L4_CONNECTING;
	client->session = s;
	conn_want_in(client, false); /* what it says waits in the kernel until somebody listens */
	switch (upstream_open(&s->upstream, client, client->service->snapshot)) {
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
	end(s, true);
}

static void cut(struct conn *client, enum conn_cut why)
{
	(void)why;
	end(client->session, true);
}

const struct proto_ops l4_proto = {
	.name = "l4",
	.accepted = accepted,
	.ready = ready,
	.expired = expired,
	.connected = connected,
	.cut = cut,
};
