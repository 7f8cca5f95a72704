/*
 * wire - numbers and checksums as packets carry them.
 *
 * Numbers are big-endian, at any address.
 *
 * Checksums are the Internet's (RFC 1071). A sum is taken of 16-bit words as they lie in memory, so what is folded
 * is copied into a packet as it is, in no other order; and a packet whose checksum is right folds to 0xffff.
 */
#ifndef SPANWIRE_BASE_WIRE_H
#define SPANWIRE_BASE_WIRE_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t wire_get16(const void *at)
{
	uint16_t v;

	memcpy(&v, at, 2);
	return ntohs(v);
}

static inline uint32_t wire_get32(const void *at)
{
	uint32_t v;

	memcpy(&v, at, 4);
	return ntohl(v);
}

/* Those that put return what is behind. */
static inline uint8_t *wire_put(void *at, const void *p, size_t n)
{
	memcpy(at, p, n);
	return (uint8_t *)at + n;
}

static inline uint8_t *wire_put16(void *at, unsigned v)
{
	uint16_t n = htons((uint16_t)v);

	return wire_put(at, &n, 2);
}

static inline uint8_t *wire_put32(void *at, uint32_t v)
{
	v = htonl(v);
	return wire_put(at, &v, 4);
}

/* SUM, and N bytes more; where N is odd they are the last of what is summed up. */
uint64_t wire_sum(uint64_t sum, const void *p, size_t n);
/* SUM, and a number as a packet would carry it in two bytes, or in four. */
uint64_t wire_sum_number(uint64_t sum, uint32_t v);
/* A sum in 16 bits; its complement is the checksum. */
uint16_t wire_fold(uint64_t sum);
/* The checksum of N bytes, in which it is still zero. */
uint16_t wire_checksum(const void *p, size_t n);

#endif
