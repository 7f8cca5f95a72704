/*
 * conn - one TCP connection, to a client or to a server.
 *
 * It belongs to the worker that accepted or opened it and never changes it.
 * Its struct comes from the worker's slab; its buffers are there only while
 * bytes wait in them.
 *
 * Two tables say what differs: stream_ops how bytes move (tcp; tls), and
 * proto_ops what they mean (l4, h1). A proto's session owns the client
 * connection, and a server connection from upstream_open() to upstream_done();
 * in between server connections rest in the pool (engine/upstream.h).
 *
 * Everything a session does it does in a call of its proto_ops; conn_close()
 * is legal at any time, for the connection itself too: it is freed at the
 * end of the turn, and nothing of it is called any more.
 */
#ifndef SPANWIRE_ENGINE_CONN_H
#define SPANWIRE_ENGINE_CONN_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "engine/address.h"
#include "engine/buffer.h"
#include "engine/capture/retell.h"
#include "engine/throttle.h"
#include "net/loop.h"
#include "net/packets.h"

struct conn;
struct worker;
struct worker_service;
struct worker_backend;
struct listener;
struct conn_tls;

enum conn_side { CONN_CLIENT, CONN_SERVER };

/* Why the configuration takes a connection from its session. */
enum conn_cut {
	CONN_CUT_LISTENER,       /* its listener or its service was removed */
	CONN_CUT_CONFIG,         /* the service says that a change of it ends connections */
	CONN_CUT_SERVER,         /* its server was removed, or its time to drain is over */
	CONN_CUT_STOP,           /* the proxy ends */
};

/* How bytes move. */
struct stream_ops {
	const char *name;
	/* Bytes read; 0: the peer sends no more; -EAGAIN; -ECONNRESET and others: it is broken. */
	ssize_t (*recv)(struct conn *c, void *p, size_t n);
	/* Bytes written, perhaps fewer; -EAGAIN; -EPIPE and others. MORE: something follows at once. */
	ssize_t (*send)(struct conn *c, const struct iovec *iov, int n, bool more);
	/* Nothing more will be sent: FIN (tls: close_notify first). */
	int (*shutdown)(struct conn *c);
};

extern const struct stream_ops stream_tcp;

/* What bytes mean. `c->session` is the proto's own; it is NULL when accepted() is called. */
struct proto_ops {
	const char *name;
	/* A client connection is there; nothing was read. Set c->session. The proto counts nothing of it. */
	void (*accepted)(struct conn *client);
	/*
	 * Client or server connection (c->side): EPOLLIN and EPOLLOUT as far as they were wanted; EPOLLERR and EPOLLHUP
	 * (both directions are closed) always. They are level-triggered: read, close, or conn_park() it.
	 */
	void (*ready)(struct conn *c, uint32_t events);
	/* c->timer ran out. */
	void (*expired)(struct conn *c);
	/* Close CLIENT now: the reason has been counted. Sends what is fair (RST, 503 ...), never waits. */
	void (*cut)(struct conn *client, enum conn_cut why);
};

struct conn {
	struct watch watch;               /* watch.fd is the socket */
	struct timer timer;               /* the session's; of a server connection at rest the pool's */
	struct grave grave;
	struct list link;                 /* client: service->clients; server: busy or idle of its backend */
	struct worker *worker;
	struct worker_service *service;
	struct throttle *throttle;        /* of its service */
	struct throttled throttled;
	const struct stream_ops *stream;
	struct conn_tls *tls;             /* engine/tls/tls.h; NULL: bytes are as the kernel has them */
	const struct proto_ops *proto;
	void *session;                    /* the proto's; NULL: at rest */
	struct buffer *in, *out;          /* read and not consumed; to be sent. NULL: nothing */
	uint32_t id;                      /* in traces */
	enum conn_side side;
	bool closed;                      /* dead, waits for the end of the turn */
	bool eof;                         /* the peer sends no more */
	bool shut;                        /* we send no more */
	bool h2;                          /* client: TLS agreed on HTTP/2 (ALPN) */
	bool held, held_in;               /* the throttle lets nobody read; whether EPOLLIN is wanted then */
	bool open;                        /* established (a server connection may still be connecting) */
	uint8_t reason;                   /* client: why its record is significant (enum record_reason) */
	union address peer;               /* client's, or server's */
	uint64_t opened_ns;
	uint32_t rtt_us;                  /* server: the handshake took it; client: as the kernel says. 0: not known */

	/* Client: server connections that rest and may serve nobody else; server: the link in that list. */
	struct list bound;

	struct retold *retold;            /* engine/capture/retell.h; NULL: what it says is told to nobody */
	uint32_t keyed;                   /* the capture that has its TLS secrets; 0: none */
	uint16_t own_port;                /* server: of our end; 0: nobody asked yet */
	uint8_t own_ip[16];               /* ... known when the port is */
	uint32_t jots;                    /* messages on it of which the recorder got the first bytes */
	uint32_t received, sent;          /* bytes that the kernel gave and took, of TLS as they are on the wire; round */
	struct packets_span read;         /* of those, what what was read last came by, and what waits in c->in */

	/* Client side. */
	struct listener *listener;
	unsigned port;                    /* of the service, that the client came to */

	/* Server side. */
	struct worker_backend *backend;
	struct upstream *upstream;        /* whose exchange it serves; NULL: at rest */
	uint64_t rested;                  /* number of the loop's turn */
	uint64_t uses;                    /* exchanges it has served before; client: requests that came on it */
	uint16_t badge;                   /* where the kernel reads whom it serves; 0: it is told each time */
	bool cloned;                      /* it was marked when it was opened, under ... */
	uint32_t clone_generation;
	uint32_t source;                  /* it was opened from the source of that number */
	uint32_t client_id;               /* the only client it may serve; 0: any */
	struct plain_flow *plain;         /* engine/clone/plain.h; NULL: no plaintext of it is copied */
};

/* ---- making and ending ---- */

/* Takes FD, also on failure. NULL: no room in the slab; the descriptor is closed. */
struct conn *conn_new(struct worker *w, struct worker_service *s, enum conn_side side, int fd,
		      const union address *peer);
/* Orderly: what the kernel holds is still sent, then FIN. */
void conn_close(struct conn *c);
/* RST: the peer learns that something was lost. */
void conn_reset(struct conn *c);

/* ---- bytes ---- */

/* Does the throttle want it to read later? It stops hearing of EPOLLIN then by itself. */
bool conn_must_wait(struct conn *c);

/* N bytes passed between C and us; of a server they are counted when they reach its client. */
static inline void conn_took(struct conn *c, ssize_t n)
{
	if (c->throttle->mbps && n > 0 && c->side == CONN_CLIENT)
		throttle_took(c->throttle, (size_t)n);
}

static inline ssize_t conn_recv(struct conn *c, void *p, size_t n)
{
	ssize_t got;

	if (c->throttle->mbps && conn_must_wait(c))
		return -EAGAIN;
	got = c->stream->recv(c, p, throttle_share(c->throttle, n));
	conn_took(c, got);
	if (got > 0)
		c->read = (struct packets_span){ buffer_len(c->in) ? c->read.from : c->read.to, c->received };
	if (c->retold && got > 0)
		retell_heard(c, p, (size_t)got);
	else if (c->retold && got == 0)
		retell_end(c, false);
	return got;
}

static inline ssize_t conn_send(struct conn *c, const struct iovec *iov, int n, bool more)
{
	ssize_t sent = c->stream->send(c, iov, n, more);

	conn_took(c, sent);
	if (c->retold && sent > 0)
		retell_said(c, iov, (size_t)sent);
	return sent;
}

/*
 * Read once into c->in, which gets a buffer when it has none and grows up to MAX unread bytes.
 * Bytes read; 0: end of stream (c->eof is set); -EAGAIN; -ENOBUFS: MAX unread bytes are there, or no memory; -errno.
 */
ssize_t conn_fill(struct conn *c, size_t max);
/* N bytes at the front of c->in are done with; the buffer goes back when it is empty. */
void conn_take(struct conn *c, size_t n);
/* Append to c->out; nothing is sent. -ENOBUFS. */
int conn_put(struct conn *c, const void *p, size_t n);
/*
 * Send of c->out what the kernel takes. 0: all of it, the buffer went back; 1: some is left, and EPOLLOUT is wanted;
 * -errno: broken. EPOLLOUT is wanted exactly while c->out holds something.
 */
int conn_flush(struct conn *c);
/* No more from us, once c->out is empty. */
int conn_shutdown(struct conn *c);
/* Want EPOLLIN or not. Level-triggered: a session that does not read must not want it. */
void conn_want_in(struct conn *c, bool yes);
/* EPOLLOUT will come; conn_flush() sees to its end. */
void conn_want_out(struct conn *c);
/* Nothing is heard of it, not even EPOLLHUP, until something is wanted again. */
void conn_park(struct conn *c);
/* setsockopt() of a number; what is refused is left as it was. */
void conn_option(const struct conn *c, int level, int option, int value);
/* Of a server connection's end that is ours; asked of the kernel once. 0: it does not say. */
uint16_t conn_own_port(struct conn *c);
/* What SO_ERROR says, as -errno; 0: nothing is wrong. */
int conn_error(const struct conn *c);
/* The session's deadline; 0: none. Fires proto->expired(). */
void conn_deadline(struct conn *c, uint64_t delay_ms);

static inline size_t conn_in_len(const struct conn *c)
{
	return buffer_len(c->in);
}

static inline char *conn_in(const struct conn *c)
{
	return c->in ? c->in->data + c->in->start : NULL;
}

#endif
