/*
 * hello - what a TLS client is known by: JA3 and JA4, of its first words.
 *
 * A sensor that gets plaintext does not see the handshake, so it is told. Values that only probe for tolerance
 * (GREASE, RFC 8701) count in neither.
 */
#ifndef SPANWIRE_ENGINE_TLS_HELLO_H
#define SPANWIRE_ENGINE_TLS_HELLO_H

#include <stddef.h>
#include <stdint.h>

struct hello {
	char ja3[33]; /* MD5, 32 hexadecimal digits */
	char ja4[37]; /* "t13d1516h2_8daaf6152771_e5627efa2ab1" */
};

/* A ClientHello as the handshake carries it, with its four bytes of type and length. -EINVAL: it is none. */
int hello_read(const uint8_t *p, size_t n, struct hello *out);

#endif
