/*
 * proxy_header - what stands before the first byte to a server that wants to know whom it serves: the header of the
 * PROXY protocol, as a line (version 1) or in binary form (version 2).
 */
#ifndef SPANWIRE_ENGINE_L4_PROXY_HEADER_H
#define SPANWIRE_ENGINE_L4_PROXY_HEADER_H

#include "engine/address.h"

#define PROXY_HEADER_MAX 108 /* the longest line, and its end */

/* CLIENT came to VIP, at PORT. Both are of one family. Bytes. */
size_t proxy_header(unsigned version, const union address *client, const union address *vip, unsigned port,
		    char out[static PROXY_HEADER_MAX]);

#endif
