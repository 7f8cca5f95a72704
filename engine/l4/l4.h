/*
 * l4 - a client's bytes to a server and back, whatever they mean.
 *
 * Half-close is passed on, a reset is mirrored, and whoever is slow slows down
 * the other side. Bytes go through the worker's scratch memory; only what the
 * other side's kernel does not take at once gets a buffer. Who sends 64 KB at a
 * time is spliced instead (14 % less CPU for bulk, more for small pieces).
 */
#ifndef SPANWIRE_ENGINE_L4_L4_H
#define SPANWIRE_ENGINE_L4_L4_H

#include "engine/conn.h"

extern const struct proto_ops l4_proto;
extern const size_t l4_session_size;

/*
 * What a session can be, and where it may go from there.
 *
 *	CONNECTING --> PASSING --> CLIENT_ENDED --> ENDED
 *	     |            |`-----> SERVER_ENDED ----^
 *	     `------------+-------------------------^
 */
#define L4_STATES(X)                                                                            \
	X(L4_CONNECTING,   "a server was asked",           1 << L4_PASSING | 1 << L4_ENDED)      \
	X(L4_PASSING,      "both ways are open",           1 << L4_CLIENT_ENDED |                \
							   1 << L4_SERVER_ENDED | 1 << L4_ENDED) \
	X(L4_CLIENT_ENDED, "the client sends no more",     1 << L4_ENDED)                        \
	X(L4_SERVER_ENDED, "the server sends no more",     1 << L4_ENDED)                        \
	X(L4_ENDED,        "freed at the end of the turn", 0)

enum l4_state {
#define X(state, text, next) state,
	L4_STATES(X)
#undef X
};

#endif
