/*
 * h1 - a client's connection that speaks HTTP/1.0 or HTTP/1.1.
 *
 * One exchange at a time; a pipeline waits in client->in. Answers leave as slices of what the
 * server sent with our own lines between them (engine/http/head.c). In steady state a request is
 * one recv and one send on either side, and no allocation.
 */
#ifndef SPANWIRE_ENGINE_HTTP_H1_H
#define SPANWIRE_ENGINE_HTTP_H1_H

#include "engine/conn.h"

extern const size_t h1_session_size;

/*
 * What a connection can be, and where it may go from there.
 *
 *	IDLE <--> EXCHANGE --> CLOSING --> ENDED
 *	  `----------------------^           ^   (from anywhere)
 */
#define H1_STATES(X)                                                                               \
	X(H1_IDLE,     "waits for a request", 1 << H1_EXCHANGE | 1 << H1_CLOSING | 1 << H1_ENDED)  \
	X(H1_EXCHANGE, "has one", 1 << H1_IDLE | 1 << H1_CLOSING | 1 << H1_ENDED)                  \
	X(H1_CLOSING,  "the last bytes go out", 1 << H1_ENDED)                                     \
	X(H1_ENDED,    "freed at the end of the turn", 0)

enum h1_state {
#define X(state, text, next) state,
	H1_STATES(X)
#undef X
};

#endif
