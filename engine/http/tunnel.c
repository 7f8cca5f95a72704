#include "engine/http/tunnel.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/base.h"
#include "engine/counters.h"
#include "engine/http/exchange.h"

#define TUNNEL_READ (64u << 10)
#define IDLE_MS     3600000

static void broken(struct exchange *x)
{
	exchange_drop(x, true);
	x->ops->abort(x);
}

static void pass(struct exchange *x, struct conn *from, struct conn *to)
{
	uint64_t *bytes = from->side == CONN_CLIENT ? &exchange_counters(x)->bytes_from_client
						    : &exchange_counters(x)->bytes_to_client;
	struct gather g;
	ssize_t n = -EAGAIN;

	if (to->out)
		return;
	if (conn_in_len(from) == 0)
		n = conn_fill(from, TUNNEL_READ);
	if (n < 0 && n != -EAGAIN && n != -ENOBUFS) {
		broken(x);
		return;
	}
	gather_init(&g, to);
	gather_add(&g, conn_in(from), conn_in_len(from));
	counter_add(bytes, g.bytes);
	if (gather_send(&g, false) < 0) {
		broken(x);
		return;
	}
	conn_take(from, conn_in_len(from));
	conn_want_in(from, !to->out && !from->eof);
	if (from->eof && !to->out) {
		conn_shutdown(to);
		if (to->eof && !from->out) {
			exchange_drop(x, false);
			x->keep = false;
			x->ops->over(x);
			return;
		}
	}
	conn_deadline(x->client, IDLE_MS);
}

void tunnel_begin(struct exchange *x)
{
	struct conn *server = x->upstream.server;

	conn_deadline(server, 0);
	conn_deadline(x->client, IDLE_MS);
	conn_want_in(x->client, !x->client->eof);
	conn_want_in(server, true);
	/* What either said right behind its head. */
	pass(x, server, x->client);
	if (x->state == EXCHANGE_TUNNEL)
		pass(x, x->client, server);
}

void tunnel_ready(struct exchange *x, struct conn *c, uint32_t events)
{
	struct conn *other = c == x->client ? x->upstream.server : x->client;

	if (events & EPOLLERR) {
		broken(x);
		return;
	}
	if (events & EPOLLOUT && c->out) {
		int rc = conn_flush(c);

		if (rc < 0)
			broken(x);
		else if (rc == 0)
			pass(x, other, c);
		return;
	}
	if (other->out && events & EPOLLHUP)
		conn_park(c); /* a hang-up that cannot be acted on now would wake us for ever */
	else if (events & (EPOLLIN | EPOLLHUP))
		pass(x, c, other);
}
