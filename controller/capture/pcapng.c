#include "controller/capture/pcapng.h"

#include "base/base.h"
#include "base/ip.h"

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_NAMES = 4,
	BLOCK_STATISTICS = 5,
	BLOCK_PACKET = PCAPNG_PACKET,
	BLOCK_SECRETS = 10,
};

enum {
	OPT_END = 0,
	OPT_COMMENT = 1,
	SHB_HARDWARE = 2,
	SHB_OS = 3,
	SHB_APPLICATION = 4,
	IF_NAME = 2,
	IF_DESCRIPTION = 3,
	IF_TSRESOL = 9,
	EPB_FLAGS = 2,
	ISB_START = 2,
	ISB_END = 3,
	ISB_RECEIVED = 4,
	ISB_FILTERED = 6,
	ISB_DROPPED = 5,
	ISB_DELIVERED = 8,
	NRB_END = 0,
	NRB_IPV4 = 1,
	NRB_IPV6 = 2,
};

enum { LINK_ETHERNET = 1, SECRETS_TLS = 0x544c534b, OPTION_MAX = 65535 - 3, INBOUND = 1, OUTBOUND = 2 };

static size_t padded(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

static void put32(struct buf *b, uint32_t v)
{
	buf_put(b, &v, 4);
}

static void put16(struct buf *b, uint16_t v)
{
	buf_put(b, &v, 2);
}

static void put_padded(struct buf *b, const void *p, size_t n)
{
	static const char zero[4];

	buf_put(b, p, n);
	buf_put(b, zero, padded(n) - n);
}

/* The length stands at both ends of a block: it is written when it is known. */
static size_t begin(struct buf *b, uint32_t type)
{
	size_t at = b->len;

	put32(b, type);
	put32(b, 0);
	return at;
}

static void end(struct buf *b, size_t at)
{
	uint32_t total = (uint32_t)(b->len - at + 4);

	put32(b, total);
	memcpy(b->data + at + 4, &total, 4);
}

static void option(struct buf *b, uint16_t code, const void *p, size_t n)
{
	put16(b, code);
	put16(b, (uint16_t)n);
	put_padded(b, p, n);
}

static void option_text(struct buf *b, uint16_t code, const char *text)
{
	if (text && *text)
		option(b, code, text, MIN(strlen(text), (size_t)OPTION_MAX));
}

static void option_end(struct buf *b)
{
	option(b, OPT_END, "", 0);
}

static void option_u64(struct buf *b, uint16_t code, uint64_t v)
{
	option(b, code, &v, 8);
}

static void option_stamp(struct buf *b, uint16_t code, uint64_t ns)
{
	const uint32_t halves[2] = { (uint32_t)(ns >> 32), (uint32_t)ns };

	option(b, code, halves, 8);
}

void pcapng_section(struct buf *b, const char *hardware, const char *comment)
{
	size_t at = begin(b, BLOCK_SECTION);
	int64_t unknown = -1;

	put32(b, 0x1a2b3c4d);
	put16(b, 1);
	put16(b, 0);
	buf_put(b, &unknown, 8);
	option_text(b, OPT_COMMENT, comment);
	option_text(b, SHB_HARDWARE, hardware);
	option_text(b, SHB_OS, "Linux");
	option_text(b, SHB_APPLICATION, "Spanwire " SPANWIRE_VERSION);
	option_end(b);
	end(b, at);
}

void pcapng_interface(struct buf *b, const char *name, const char *description, const char *comment)
{
	size_t at = begin(b, BLOCK_INTERFACE);
	const uint8_t nanoseconds = 9;

	put16(b, LINK_ETHERNET);
	put16(b, 0);
	put32(b, PCAPNG_SNAPLEN);
	option_text(b, IF_NAME, name);
	option_text(b, IF_DESCRIPTION, description);
	option(b, IF_TSRESOL, &nanoseconds, 1);
	option_text(b, OPT_COMMENT, comment); /* last: there are readers that stop at it */
	option_end(b);
	end(b, at);
}

size_t pcapng_packet_size(const struct pcapng_packet *p)
{
	return 8 + 20 + padded(p->len) + (p->comment_len ? 4 + padded(p->comment_len) : 0) + 8 + 4 + 4;
}

static char *set_padded(char *at, const void *p, size_t n)
{
	memcpy(at, p, n);
	memset(at + n, 0, padded(n) - n);
	return at + padded(n);
}

/* The one block of which there are many: put at once. */
void pcapng_packet(struct buf *b, const struct pcapng_packet *p)
{
	const uint32_t size = (uint32_t)pcapng_packet_size(p);
	const uint32_t head[] = { BLOCK_PACKET, size, p->interface, (uint32_t)(p->at_ns >> 32), (uint32_t)p->at_ns, p->len, p->wire_len };
	const uint16_t comment[] = { OPT_COMMENT, (uint16_t)p->comment_len };
	const struct {
		uint16_t code, len;
		uint32_t flags, end, size;
	} tail = { EPB_FLAGS, 4, p->out ? OUTBOUND : INBOUND, OPT_END, size };
	char *at;

	must(p->comment_len <= OPTION_MAX && buf_room(b, size) == 0);
	at = buf_end(b);
	at = set_padded(at, head, sizeof(head));
	at = set_padded(at, p->data, p->len);
	if (p->comment_len) {
		at = set_padded(at, comment, sizeof(comment));
		at = set_padded(at, p->comment, p->comment_len);
	}
	set_padded(at, &tail, sizeof(tail));
	buf_added(b, size);
}

void pcapng_names(struct buf *b, const struct pcapng_name *names, size_t n)
{
	size_t at = begin(b, BLOCK_NAMES);

	for (size_t i = 0; i < n; i++) {
		size_t ip_len, len = strlen(names[i].name) + 1;
		const uint8_t *ip = ip_bytes(&names[i].ip, &ip_len);

		if (len + ip_len > OPTION_MAX)
			continue;
		put16(b, ip_len == 4 ? NRB_IPV4 : NRB_IPV6);
		put16(b, (uint16_t)(ip_len + len));
		buf_put(b, ip, ip_len);
		put_padded(b, names[i].name, len); /* an address is whole words */
	}
	put32(b, NRB_END);
	end(b, at);
}

void pcapng_secrets(struct buf *b, const char *lines, size_t len)
{
	size_t at = begin(b, BLOCK_SECRETS);

	put32(b, SECRETS_TLS);
	put32(b, (uint32_t)len);
	put_padded(b, lines, len);
	end(b, at);
}

void pcapng_statistics(struct buf *b, uint32_t interface, uint64_t start_ns, uint64_t end_ns, uint64_t received,
		       uint64_t dropped, const char *comment)
{
	size_t at = begin(b, BLOCK_STATISTICS);

	put32(b, interface);
	put32(b, (uint32_t)(end_ns >> 32));
	put32(b, (uint32_t)end_ns);
	option_text(b, OPT_COMMENT, comment);
	option_stamp(b, ISB_START, start_ns);
	option_stamp(b, ISB_END, end_ns);
	option_u64(b, ISB_RECEIVED, received + dropped);
	option_u64(b, ISB_DROPPED, dropped);
	option_u64(b, ISB_FILTERED, received);
	option_u64(b, ISB_DELIVERED, received);
	option_end(b);
	end(b, at);
}

/* ---- the classic form ---- */

void pcap_head(struct buf *b)
{
	put32(b, 0xa1b23c4d); /* nanoseconds */
	put16(b, 2);
	put16(b, 4);
	put32(b, 0);
	put32(b, 0);
	put32(b, PCAPNG_SNAPLEN);
	put32(b, LINK_ETHERNET);
}

void pcap_packet(struct buf *b, const struct pcapng_packet *p)
{
	put32(b, (uint32_t)(p->at_ns / NS_PER_S));
	put32(b, (uint32_t)(p->at_ns % NS_PER_S));
	put32(b, p->len);
	put32(b, p->wire_len);
	buf_put(b, p->data, p->len);
}
