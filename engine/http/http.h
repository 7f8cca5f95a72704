/*
 * http - a reverse proxy for HTTP.
 *
 * A client's connection is spoken by a codec (engine/http/h1.h, h2.h), each request on it is an exchange
 * (engine/http/exchange.h). Requests are understood by net/http1 and nothing else; what it refuses
 * is answered here and never forwarded. Bodies pass through in the pieces in which they come, and
 * chunks are framed anew.
 */
#ifndef SPANWIRE_ENGINE_HTTP_HTTP_H
#define SPANWIRE_ENGINE_HTTP_HTTP_H

#include "engine/conn.h"

extern const struct proto_ops http_proto;

/* Does the port that CLIENT came to speak HTTP/2 (services[].enable_http2)? */
bool http_speaks_h2(const struct conn *client);

#endif
