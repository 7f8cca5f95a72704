#include "engine/capture/cut.h"

#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "base/base.h"
#include "base/wire.h"

#define FRAME_MAX 65536

/* Where things are; l4 0: not TCP or UDP, or cut off before its end. */
struct layout {
	uint32_t l3, l4, payload;
	bool v6, fragment;
	uint8_t proto;
};

/* The extension headers that may stand before TCP or UDP. */
static bool skip_extensions(const uint8_t *d, uint32_t len, struct layout *l, uint32_t *at, uint8_t next)
{
	while (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS || next == IPPROTO_FRAGMENT) {
		if (*at + 8 > len)
			return false;
		if (next == IPPROTO_FRAGMENT)
			l->fragment = true;
		next = d[*at];
		*at += d[*at + 1] && !l->fragment ? (d[*at + 1] + 1U) * 8 : 8;
	}
	l->proto = next;
	return true;
}

static struct layout lay_out(const uint8_t *d, uint32_t len)
{
	struct layout l = { .l3 = ETH_HLEN };
	uint32_t at;

	if (len < ETH_HLEN + 20)
		return l;
	if (wire_get16(d + 12) == ETH_P_IP) {
		at = ETH_HLEN + (d[ETH_HLEN] & 15) * 4U;
		l.proto = d[ETH_HLEN + 9];
		l.fragment = wire_get16(d + ETH_HLEN + 6) & 0x3fff;
	} else if (wire_get16(d + 12) == ETH_P_IPV6 && len >= ETH_HLEN + 40) {
		l.v6 = true;
		at = ETH_HLEN + 40;
		if (!skip_extensions(d, len, &l, &at, d[ETH_HLEN + 6]))
			return l;
	} else {
		return l;
	}
	if (l.fragment)
		return l;
	if (l.proto == IPPROTO_TCP && at + 20 <= len) {
		l.payload = at + (d[at + 12] >> 4) * 4U;
		l.l4 = l.payload <= len && l.payload >= at + 20 ? at : 0;
	} else if (l.proto == IPPROTO_UDP && at + 8 <= len) {
		l.payload = at + 8;
		l.l4 = at;
	}
	return l;
}

static uint64_t pseudo(const uint8_t *d, const struct layout *l, uint32_t l4_len)
{
	uint64_t sum = l->v6 ? wire_sum(0, d + l->l3 + 8, 32) : wire_sum(0, d + l->l3 + 12, 8);

	return wire_sum_number(wire_sum_number(sum, l->proto), l4_len);
}

static uint8_t *checksum_at(uint8_t *d, const struct layout *l)
{
	return d + l->l4 + (l->proto == IPPROTO_TCP ? 16 : 6);
}

/* Over the LEN bytes of a whole frame. */
static void complete(uint8_t *d, const struct layout *l, uint32_t len)
{
	uint8_t *at = checksum_at(d, l);
	uint16_t c;

	wire_put16(at, 0);
	c = (uint16_t)~wire_fold(wire_sum(pseudo(d, l, len - l->l4), d + l->l4, len - l->l4));
	if (!c && l->proto != IPPROTO_TCP)
		c = 0xffff; /* zero is no checksum in UDP, and one in TCP (RFC 1624) */
	memcpy(at, &c, 2);
}

static void ip_header(uint8_t *d, const struct layout *l, uint32_t len, unsigned number)
{
	uint8_t *ip = d + l->l3;
	uint16_t c;

	if (l->v6) {
		wire_put16(ip + 4, (uint16_t)(len - l->l3 - 40));
		return;
	}
	wire_put16(ip + 2, (uint16_t)(len - l->l3));
	wire_put16(ip + 4, (uint16_t)(wire_get16(ip + 4) + number));
	wire_put16(ip + 10, 0);
	c = wire_checksum(ip, (ip[0] & 15) * 4U);
	memcpy(ip + 10, &c, 2);
}

/* Padding up to the smallest frame is no part of the packet. */
static uint32_t ip_end(const uint8_t *d, const struct layout *l)
{
	return l->v6 ? l->l3 + 40U + wire_get16(d + l->l3 + 4) : l->l3 + wire_get16(d + l->l3 + 2);
}

/* Has the card still to complete the checksum? It finds the sum of the pseudo header there. */
static bool is_to_be_made(uint8_t *d, const struct layout *l, uint32_t end)
{
	uint16_t c = wire_fold(pseudo(d, l, end - l->l4));

	return memcmp(checksum_at(d, l), &c, 2) == 0;
}

static unsigned one_frame(const struct cut *c, const struct layout *l, bool (*f)(void *arg, const struct cut_frame *), void *arg)
{
	static _Thread_local uint8_t copy[FRAME_MAX + ETH_HLEN];
	struct cut_frame frame = { c->data, c->snap ? MIN(c->len, c->snap) : c->len, c->wire_len };
	uint32_t end = l->l4 ? ip_end(c->data, l) : 0;
	bool zero = l->proto == IPPROTO_UDP && l->l4 && wire_get16(c->data + l->l4 + 6) == 0; /* IPv4 may go without */

	if (l->l4 && c->len == c->wire_len && end <= c->len && end >= l->payload && c->len <= sizeof(copy) && !zero) {
		memcpy(copy, c->data, c->len);
		if (c->own || is_to_be_made(copy, l, end)) {
			complete(copy, l, end);
			frame.data = copy;
		}
	}
	f(arg, &frame);
	return 1;
}

unsigned cut_frames(const struct cut *c, bool (*f)(void *arg, const struct cut_frame *frame), void *arg)
{
	static _Thread_local uint8_t copy[FRAME_MAX + ETH_HLEN];
	struct layout l = lay_out(c->data, c->len);
	uint32_t payload = l.l4 ? c->wire_len - l.payload : 0, seq;
	unsigned n = 0;

	if (!c->gso_size || !l.l4 || c->wire_len <= l.payload || payload <= c->gso_size || c->gso_size > FRAME_MAX - 256)
		return one_frame(c, &l, f, arg);
	seq = l.proto == IPPROTO_TCP ? wire_get32(c->data + l.l4 + 4) : 0;
	for (uint32_t at = 0; at < payload; at += c->gso_size) {
		uint32_t part = MIN(c->gso_size, payload - at), from = l.payload + at;
		uint32_t kept = c->len > from ? MIN(part, c->len - from) : 0;
		struct cut_frame frame = { copy, l.payload + kept, l.payload + part };
		bool last = at + part == payload;

		memcpy(copy, c->data, l.payload);
		memcpy(copy + l.payload, c->data + from, kept);
		ip_header(copy, &l, l.payload + part, n);
		if (l.proto == IPPROTO_TCP) {
			wire_put32(copy + l.l4 + 4, seq + at);
			if (!last)
				copy[l.l4 + 13] &= (uint8_t)~(0x01 | 0x08); /* FIN, PSH: of the last */
			if (n)
				copy[l.l4 + 13] &= (uint8_t)~0x80; /* CWR: of the first */
		} else {
			wire_put16(copy + l.l4 + 4, (uint16_t)(8 + part));
		}
		if (kept == part)
			complete(copy, &l, l.payload + part);
		if (c->snap)
			frame.len = MIN(frame.len, c->snap);
		n++;
		if (!f(arg, &frame))
			break;
	}
	return n;
}
