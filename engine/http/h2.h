/*
 * h2 - a client's connection that speaks HTTP/2.
 *
 * Frames, header compression and windows are nghttp2's. Each stream is an exchange: its head is
 * written down in the form of HTTP/1 and read by the same strict codec as any other, its body is
 * put behind it. So a stream can say nothing that a connection of HTTP/1 could not.
 *
 * What waits is bounded on both sides: a window is given back when the server has taken the bytes,
 * and of an answer one buffer is read ahead of the client's window. All streams' frames of a turn
 * of the loop leave as one piece at its end.
 *
 * A client that costs more than it asks (control frames, resets, empty frames, continuations,
 * answers that it does not take) is sent away with GOAWAY, and counted (http2_flood).
 */
#ifndef SPANWIRE_ENGINE_HTTP_H2_H
#define SPANWIRE_ENGINE_HTTP_H2_H

#include "engine/conn.h"

extern const size_t h2_session_size, h2_stream_size;

#define H2_PREFACE     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_PREFACE_LEN (sizeof(H2_PREFACE) - 1)

/*
 * CLIENT speaks HTTP/2 from its first byte on; what it said so far is in client->in. Its session is
 * h2's from now on. -ENOMEM: nothing happened.
 */
int h2_accept(struct conn *client);

#endif
