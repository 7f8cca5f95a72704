/*
 * http - a reverse proxy for HTTP/1.0 and HTTP/1.1.
 *
 * Requests are understood by net/http1 and nothing else; what it refuses is
 * answered here and never forwarded. Heads are rewritten by sending slices of
 * what was received with our own lines between them; bodies pass through in
 * the pieces in which they come, and chunks are framed anew. In steady state
 * a request is one recv and one send on either side, and no allocation.
 *
 * The exchange (one request and its answer) holds the snapshot under which it
 * began; the next one takes the newest.
 */
#ifndef SPANWIRE_ENGINE_HTTP_HTTP_H
#define SPANWIRE_ENGINE_HTTP_HTTP_H

#include "engine/conn.h"

extern const struct proto_ops http_proto;
extern const size_t http_session_size;

/*
 * What a session can be, and where it may go from there.
 *
 *	IDLE --> CONNECTING --> EXCHANGE --> TUNNEL
 *	 ^ |         |           |  |  |       |
 *	 | |         v           |  |  |       |
 *	 | `-----> CLOSING <-----'--|--'       |
 *	 |           |              |          |
 *	 `-----------|--------------'          |
 *	             `------> ENDED <----------'    (from anywhere)
 */
#define HTTP_STATES(X)                                                                             \
	X(HTTP_IDLE,       "waits for a request",                                                  \
	  1 << HTTP_CONNECTING | 1 << HTTP_EXCHANGE | 1 << HTTP_CLOSING | 1 << HTTP_ENDED)         \
	X(HTTP_CONNECTING, "a server was asked",                                                   \
	  1 << HTTP_EXCHANGE | 1 << HTTP_IDLE | 1 << HTTP_CLOSING | 1 << HTTP_ENDED)               \
	X(HTTP_EXCHANGE,   "request and answer",                                                   \
	  1 << HTTP_CONNECTING | 1 << HTTP_IDLE | 1 << HTTP_TUNNEL | 1 << HTTP_CLOSING |           \
	  1 << HTTP_ENDED)                                                                         \
	X(HTTP_TUNNEL,     "switched protocols",  1 << HTTP_ENDED)                                 \
	X(HTTP_CLOSING,    "the last bytes go out", 1 << HTTP_ENDED)                               \
	X(HTTP_ENDED,      "freed at the end of the turn", 0)

enum http_state {
#define X(state, text, next) state,
	HTTP_STATES(X)
#undef X
};

#endif
