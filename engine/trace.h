/*
 * trace - the last few thousand things that a worker did, always on.
 *
 * A ring of fixed records per thread; writing one is a few stores. must()
 * dumps the ring of the thread that failed to standard error before it aborts.
 */
#ifndef SPANWIRE_ENGINE_TRACE_H
#define SPANWIRE_ENGINE_TRACE_H

#include <stdint.h>

struct loop;

#define TRACE_EVENTS(X)                                                              \
	X(TRACE_ACCEPT, "accept")             /* id: connection, a: fd, b: service */     \
	X(TRACE_STATE, "state")               /* a: from, b: to */                        \
	X(TRACE_CONNECT, "connect")           /* a: fd, b: server's slot */               \
	X(TRACE_CONNECTED, "connected")       /* a: 0 or -errno */                        \
	X(TRACE_REUSE, "reuse")               /* a: uses before */                        \
	X(TRACE_CLOSE, "close")               /* a: 1 when reset */                       \
	X(TRACE_CUT, "cut")                   /* a: enum conn_cut */                      \
	X(TRACE_TLS, "tls")                   /* a: -errno, b: side */                    \
	X(TRACE_SNAPSHOT, "snapshot")         /* id: service, a: revision */              \
	X(TRACE_REQUEST, "request")           /* a, b: the protocol's */                  \
	X(TRACE_RESPONSE, "response")         /* a: status, b: the protocol's */

#define X(id, text) id,
enum trace_event { TRACE_EVENTS(X) TRACE_N };
#undef X

#define TRACE_RECORDS 4096

struct trace_record {
	uint64_t at_ns;
	uint32_t event;
	uint32_t id;
	int64_t a, b;
};

struct trace {
	uint64_t next;
	struct trace_record ring[TRACE_RECORDS];
};

/*
 * The ring of this thread; records of a thread without one are dropped. Their time is that of L's turn: to ask the clock
 * would be most of what they cost. Borrowed until trace_use(NULL, NULL).
 */
void trace_use(struct trace *t, const struct loop *l);
void trace_put(enum trace_event event, uint32_t id, int64_t a, int64_t b);
/* Makes must() dump the ring of its thread. */
void trace_on_must(void);

#endif
