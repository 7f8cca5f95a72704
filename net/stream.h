/*
 * stream - bytes both ways over one connection, without waiting: tcp, or TLS over it.
 *
 * A stream lives inside the thing that it serves. It is opening, open, or
 * closed; its user hears opened() at most once, then readable() and drained()
 * any number of times, then closed() exactly once with the reason as a
 * sentence, unless he closes it himself: then he hears nothing more.
 *
 * stream_write() only puts bytes into the write buffer; stream_flush() moves
 * them, so that many small lines leave in one TLS record. Between
 * stream_is_full() and drained() the user should hold back; a peer that lets
 * the buffer grow to STREAM_OUT_MAX is closed.
 *
 * The stream must outlive the turn of its loop in which it is closed
 * (loop_bury). How bytes move is a struct stream_ops: tcp here, tls in tls.c.
 */
#ifndef SPANWIRE_NET_STREAM_H
#define SPANWIRE_NET_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/loop.h"

#define STREAM_OUT_HIGH (1u << 20)   /* stream_is_full() from here */
#define STREAM_OUT_MAX  (256u << 20) /* and here is the end */

struct stream;
struct tls;

struct stream_user {
	void (*opened)(struct stream *s);   /* connected, and the handshake is done */
	void (*readable)(struct stream *s); /* s->in grew; take what is whole with buf_take() */
	void (*drained)(struct stream *s);  /* was full, is half empty now; may be NULL */
	void (*closed)(struct stream *s, const struct err *why); /* code 0: the peer said so */
};

/*
 * Each returns bytes moved, 0 at the end (read) or when done (open), -EAGAIN, or negative errno
 * with a sentence.
 */
struct stream_ops {
	int (*open)(struct stream *s, struct err *e); /* the handshake after connect; NULL: none */
	ssize_t (*read)(struct stream *s, void *p, size_t n, struct err *e);
	ssize_t (*write)(struct stream *s, const void *p, size_t n, struct err *e);
	void (*close)(struct stream *s);              /* before the descriptor is; NULL: nothing */
};

enum stream_state { STREAM_CLOSED, STREAM_CONNECTING, STREAM_OPENING, STREAM_OPEN };

struct stream {
	const struct stream_ops *ops;
	const struct stream_user *user;
	struct loop *loop;
	struct watch watch;
	struct timer timer;        /* for connect and handshake together */
	struct buf in, out;
	enum stream_state state;
	int fd;
	bool is_full, wants_write; /* wants_write: the ops said so */
	uint64_t bytes_in, bytes_out; /* of what the user sees, not of TLS */
	void *tls;                 /* the ops' own */
	char peer[64];             /* "10.0.0.5:4711", for people */
};

/*
 * Begin to connect; opened() or closed() follows within TIMEOUT_MS. T: NULL for plain tcp;
 * borrowed as long as the stream is. Fails at once, with a sentence, only where the kernel does.
 */
int stream_connect(struct stream *s, struct loop *l, const struct sockaddr *addr, socklen_t len,
		   struct tls *t, unsigned timeout_ms, const struct stream_user *user,
		   struct err *e);
/* Serve FD, which is connected already. Takes FD, also on error. opened() follows. */
int stream_accept(struct stream *s, struct loop *l, int fd, struct tls *t, unsigned timeout_ms,
		  const struct stream_user *user, struct err *e);

/* False when the stream is not open, or the buffer is at its end and the stream will be closed. */
bool stream_write(struct stream *s, const void *p, size_t n);
/* Move what there is. Errors are heard by closed(), in a later turn. */
void stream_flush(struct stream *s);
static inline bool stream_is_full(const struct stream *s)
{
	return s->out.len >= STREAM_OUT_HIGH;
}

/*
 * Flush what goes out without waiting, close, give the buffers back. The user hears nothing.
 * Legal when closed.
 */
void stream_close(struct stream *s);

#define STREAM_HOST_MAX 256 /* with its NUL; RFC 1035 */
#define STREAM_PORT_MAX 6

/* "https://NAME:PORT" into its parts; the scheme may be left out, an IPv6 address is in brackets. -EINVAL with a sentence. */
int stream_name(const char *text, char host[static STREAM_HOST_MAX], char port[static STREAM_PORT_MAX],
		struct err *e);
/* The same where the name must be an IPv4 or IPv6 address. */
int stream_address(const char *text, struct sockaddr_storage *out, socklen_t *len, struct err *e);

#endif
