/*
 * exchange - one request and its answer, between a client of any version of HTTP and a server
 * that speaks HTTP/1.1.
 *
 * The client's connection is spoken by a codec (engine/http/h1.h, h2.h), which owns the exchange.
 * Whatever the version, a request comes to the exchange in the form of HTTP/1: its head and its
 * body stand in *x->in, and net/http1 has read the head. So there is one place that decides,
 * one that counts, and nothing reaches a server that the strict codec has not seen.
 *
 *	exchange_init(x, ops, client, &in, &out);
 *	exchange_begin(x, &head);      // *x->in begins with it
 *	exchange_body(x);              // more of the body stands in *x->in
 *	exchange_drained(x);           // *x->out was full and is empty now
 *	...
 *	ops->head(x, ...)              // the answer, from a server or our own
 *	ops->over(x)                   // and now it is free for the next
 *
 * A request that is there as a whole, body included, stays in *x->in (`kept` bytes) until the
 * exchange is over: as long as that, it can be sent to another server. A longer body is taken as
 * it comes.
 *
 * Whoever is slow stops the other side: nothing is read from one side while bytes wait for the
 * other. What the client's side has not taken is in *x->out.
 *
 * The exchange holds the snapshot under which it began; the next one takes the newest.
 */
#ifndef SPANWIRE_ENGINE_HTTP_EXCHANGE_H
#define SPANWIRE_ENGINE_HTTP_EXCHANGE_H

#include "engine/conn.h"
#include "engine/http/flow.h"
#include "engine/upstream.h"

struct exchange;
struct http_application_profile;
struct record;
struct refusal;

/*
 *	NONE --> CONNECTING --> PASSING --> TUNNEL
 *	 ^           |            | |         |
 *	 '-----------'------------'-'---------'
 */
#define EXCHANGE_STATES(X)                                                                         \
	X(EXCHANGE_NONE,       "no request",                                                       \
	  1 << EXCHANGE_CONNECTING | 1 << EXCHANGE_PASSING)                                        \
	X(EXCHANGE_CONNECTING, "a server was asked", 1 << EXCHANGE_PASSING | 1 << EXCHANGE_NONE)   \
	X(EXCHANGE_PASSING,    "request and answer",                                               \
	  1 << EXCHANGE_CONNECTING | 1 << EXCHANGE_TUNNEL | 1 << EXCHANGE_NONE)                    \
	X(EXCHANGE_TUNNEL,     "switched protocols", 1 << EXCHANGE_NONE)

enum exchange_state {
#define X(state, text, next) state,
	EXCHANGE_STATES(X)
#undef X
};

/* The codec of the client's connection, as the exchange sees it. */
struct exchange_ops {
	/*
	 * A head of an answer, interim or final, that stands at IN: send it, or put it into G, which
	 * leads to the client. x->down says how the body follows.
	 */
	void (*head)(struct exchange *x, const struct http1_head *h, const char *in,
		     struct gather *g);
	/* Something was put into *x->out, or x->down is done. NULL: nothing is to be done. */
	void (*said)(struct exchange *x);
	/* What is owed to us changed: read for the exchange or not, set the deadline. */
	void (*await)(struct exchange *x);
	/* The answer is complete, the server given back. x->up.done: the request was, too. */
	void (*over)(struct exchange *x);
	/* The exchange ended without its answer; the client must learn that something was lost. */
	void (*abort)(struct exchange *x);
};

struct exchange {
	struct upstream upstream;
	const struct exchange_ops *ops;
	struct conn *client;       /* its connection */
	struct buffer **in, **out; /* from it, in the form of HTTP/1; to it */
	const char *ip;            /* its address, as text; borrowed */
	enum exchange_state state;
	uint64_t body_max;         /* of this request; 0: no limit */

	/* Its note (engine/http/note.h). */
	struct record *note;
	uint64_t begun_ns, sent_ns, first_ns; /* 0: not yet */
	const char *id;            /* X-Request-ID, id_len bytes; it lies in the note */
	uint8_t id_len;
	bool id_given;             /* by the client: its header is passed on */

	struct flow up, down;      /* request body, response body */
	uint32_t kept;             /* bytes of *in: this request, whole; to send it again */
	uint32_t head_len;         /* bytes of *in: its head, until that was taken */
	size_t cookie_place;       /* of pool->servers: what its cookie names; SIZE_MAX: nothing */
	const char *set_cookie;    /* goes with the final head of the answer; NULL: none. For the time of ops->head() */
	size_t set_cookie_n;
	uint32_t reselects;        /* servers that had it and whose answer was not passed on */
	uint8_t method;            /* enum http1_method */
	uint8_t minor;             /* of the client's version; HTTP/2 counts as 1.1 */
	bool framed;               /* the codec frames answers itself: no chunks in *out */
	bool keep;                 /* the client's connection may go on after this */
	bool server_keep;          /* the server's connection may serve another */
	bool trailers;             /* the client takes them */
	bool upgrade;              /* the client asked to switch protocols */
	bool expects;              /* ... waits for 100, and it was not sent */
	bool defers;               /* ... and its server is the one to say it */
	bool sent;                 /* something may have reached the server */
	bool answered;             /* the head of the answer went to the client */
	bool switched;             /* ... with 101 */
	bool deaf;                 /* the server takes no more of the request */
};

/* Settings of the exchange, or between two of what the next one will have. */
const struct http_application_profile *exchange_profile(const struct exchange *x);
struct service_counters *exchange_counters(const struct exchange *x);

/* ---- for the codec ---- */

void exchange_init(struct exchange *x, const struct exchange_ops *ops, struct conn *client,
		   struct buffer **in, struct buffer **out);
/* A request head for http1_head_parse(), with the limits of the profile. */
void exchange_head_init(const struct exchange *x, struct http1_head *h,
			struct http1_limits *limits);
/* The request head H stands at the front of *x->in. */
void exchange_begin(struct exchange *x, const struct http1_head *h);
/* What came is no request: it is counted and answered as one all the same. */
void exchange_malformed(struct exchange *x, const struct refusal *r);
/* More of the request stands in *x->in. */
void exchange_body(struct exchange *x);
/* *x->out is empty again. */
void exchange_drained(struct exchange *x);
/* The client's deadline is over. */
void exchange_late(struct exchange *x);
/* The client is gone, for the reason RC (0: it hung up): count it and let the server go. ops->abort() follows. */
void exchange_left(struct exchange *x, int rc);
/* The end, now: the server's connection is closed (RESET: by RST). No op is called; legal in any state. */
void exchange_drop(struct exchange *x, bool reset);
/*
 * The end, because the configuration takes the client's connection away; no op but head() is called. True: the client
 * was told so, or nothing was under way.
 */
bool exchange_cut(struct exchange *x);

static inline char *exchange_in(const struct exchange *x)
{
	return *x->in ? (*x->in)->data + (*x->in)->start : NULL;
}

static inline size_t exchange_in_len(const struct exchange *x)
{
	return buffer_len(*x->in);
}

/* N bytes at the front of *x->in are done with. */
void exchange_take(struct exchange *x, size_t n);
/* What goes to the client. */
void exchange_gather(struct exchange *x, struct gather *g);

/* ---- answers of our own ---- */

/* With R's answer. Legal at any time before x->answered; after that the exchange is aborted. R's counter is counted. */
void exchange_refuse(struct exchange *x, const struct refusal *r);
/* With a whole answer in the form of HTTP/1: N bytes, head and body. */
void exchange_answer(struct exchange *x, const char *text, size_t n);

/* ---- heads (engine/http/head.c) ---- */

/* The request head H, which stands at IN, as the server gets it. */
void head_to_server(const struct exchange *x, const struct http1_head *h, const char *in,
		    struct gather *g);
/* Is the client told the id of its request? */
bool head_tells_id(const struct exchange *x, const struct http1_head *h);
/* Does a field of the response head H go on to the client, whatever version of HTTP he speaks? */
bool head_passes(const struct http1_head *h, const struct http1_field *f, bool tell_id);
/* The response head H as a client of HTTP/1 gets it; x->down and x->keep are set. */
void head_to_client(struct exchange *x, const struct http1_head *h, const char *in,
		    struct gather *g);

#endif
