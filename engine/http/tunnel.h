/*
 * tunnel - an exchange whose server switched protocols: from there on bytes mean nothing to us.
 */
#ifndef SPANWIRE_ENGINE_HTTP_TUNNEL_H
#define SPANWIRE_ENGINE_HTTP_TUNNEL_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct exchange;

/* The 101 went to the client. Ends by ops->over(), or ops->abort(). */
void tunnel_begin(struct exchange *x);
/* C, the client's or the server's connection, has something, or takes more. */
void tunnel_ready(struct exchange *x, struct conn *c, uint32_t events);

#endif
