/* ask - what of a request decides about its server. */
#ifndef SPANWIRE_ENGINE_HTTP_ASK_H
#define SPANWIRE_ENGINE_HTTP_ASK_H

#include "engine/http/exchange.h"

/* For the request head H, which stands at IN, under the newest snapshot. */
struct upstream_ask ask_of(struct exchange *x, const struct http1_head *h, const char *in);

#endif
