#include "base/wire.h"

static uint64_t add(uint64_t sum, uint64_t v)
{
	sum += v;
	return sum + (sum < v);
}

uint64_t wire_sum(uint64_t sum, const void *p, size_t n)
{
	const uint8_t *at = p;
	uint64_t v;

	for (; n >= 8; at += 8, n -= 8) {
		memcpy(&v, at, 8);
		sum = add(sum, v);
	}
	if (n) {
		v = 0;
		memcpy(&v, at, n);
		sum = add(sum, v);
	}
	return sum;
}

uint64_t wire_sum_number(uint64_t sum, uint32_t v)
{
	return add(sum, htonl(v));
}

uint16_t wire_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint16_t wire_checksum(const void *p, size_t n)
{
	return (uint16_t)~wire_fold(wire_sum(0, p, n));
}
