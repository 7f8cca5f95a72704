#include "engine/health/dns.h"

#include <errno.h>
#include <strings.h>

#include "base/base.h"
#include "base/wire.h"

#define HEADER   12
#define NAME_LONGEST 255
#define LABEL_MAX 63
#define FLAG_QR  0x8000
#define FLAG_TC  0x0200
#define FLAG_RD  0x0100
#define CLASS_IN 1

int dns_query(uint8_t out[static DNS_QUERY_MAX], uint16_t id, const char *name, unsigned type)
{
	size_t at = HEADER;

	memset(out, 0, HEADER);
	wire_put16(out, id);
	wire_put16(out + 2, FLAG_RD);
	wire_put16(out + 4, 1);
	while (*name && strcmp(name, ".") != 0) {
		size_t n = strcspn(name, ".");

		if (n == 0 || n > LABEL_MAX || at + n + 2 > HEADER + NAME_LONGEST)
			return -EINVAL;
		out[at++] = (uint8_t)n;
		memcpy(out + at, name, n);
		at += n;
		name += n + (name[n] == '.');
	}
	out[at++] = 0;
	wire_put16(out + at, type);
	wire_put16(out + at + 2, CLASS_IN);
	return (int)at + 4;
}

/* Behind the name at AT; 0: there is none. What it points at is not read. */
static size_t name_end(const uint8_t *p, size_t n, size_t at)
{
	while (at < n) {
		if ((p[at] & 0xc0) == 0xc0)
			return at + 2 <= n ? at + 2 : 0;
		if (p[at] > LABEL_MAX)
			return 0;
		if (p[at] == 0)
			return at + 1;
		at += p[at] + 1u;
	}
	return 0;
}

/* The question comes back as it was asked; upper and lower case are one. */
static bool asked(const uint8_t *p, size_t n, const char *name, unsigned type, size_t *end)
{
	uint8_t mine[DNS_QUERY_MAX];
	int len = dns_query(mine, 0, name, type);

	if (len < 0 || n < (size_t)len || wire_get16(p + 4) != 1)
		return false;
	*end = (size_t)len;
	for (size_t i = HEADER; i < (size_t)len - 4; i++) {
		uint8_t a = p[i], b = mine[i];

		if (a >= 'A' && a <= 'Z')
			a += 'a' - 'A';
		if (b >= 'A' && b <= 'Z')
			b += 'a' - 'A';
		if (a != b)
			return false;
	}
	return memcmp(p + len - 4, mine + len - 4, 4) == 0;
}

static bool is_address(const uint8_t *data, unsigned len, unsigned type, const char *address)
{
	uint8_t want[16];
	bool v6 = type == DNS_TYPE_AAAA;

	return address && len == (v6 ? 16u : 4u) && inet_pton(v6 ? AF_INET6 : AF_INET, address, want) == 1 &&
	       memcmp(want, data, len) == 0;
}

bool dns_read(const uint8_t *p, size_t n, uint16_t id, const char *name, unsigned type, const char *address,
	      struct dns_answer *out)
{
	unsigned count;
	size_t at;

	memset(out, 0, sizeof(*out));
	if (n < HEADER || wire_get16(p) != id || !(wire_get16(p + 2) & FLAG_QR))
		return false;
	out->rcode = wire_get16(p + 2) & 15;
	out->truncated = wire_get16(p + 2) & FLAG_TC;
	if (!asked(p, n, name, type, &at))
		return false;
	count = wire_get16(p + 6);
	for (unsigned i = 0; i < count; i++) {
		unsigned rtype, len;

		at = name_end(p, n, at);
		if (!at || n - at < 10)
			return out->truncated;
		rtype = wire_get16(p + at);
		len = wire_get16(p + at + 8);
		at += 10;
		if (n - at < len)
			return out->truncated;
		out->records++;
		out->of_type += rtype == type || type == DNS_TYPE_ANY;
		if (rtype == type && is_address(p + at, len, rtype, address))
			out->has_address = true;
		at += len;
	}
	return true;
}

const char *dns_type_text(unsigned type)
{
	static const char *const low[] = { [1] = "A",	   [2] = "NS",	[5] = "CNAME", [6] = "SOA",  [12] = "PTR",  [13] = "HINFO", [15] = "MX",
					   [16] = "TXT", [17] = "RP", [28] = "AAAA", [33] = "SRV", [46] = "RRSIG", [48] = "DNSKEY" };

	if (type == DNS_TYPE_ANY)
		return "ANY";
	return type < ARRAY_SIZE(low) && low[type] ? low[type] : "?";
}

const char *dns_rcode_text(unsigned rcode)
{
	static const char *const texts[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" };

	return rcode < ARRAY_SIZE(texts) ? texts[rcode] : NULL;
}
