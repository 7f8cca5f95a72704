#include "base/ip.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

int ip_parse(const char *text, struct in6_addr *out)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return ip_from_bytes(out, &v4, 4) ? 0 : -EINVAL;
	return inet_pton(AF_INET6, text, out) == 1 ? 0 : -EINVAL;
}

int ip_parse_prefix(const char *text, struct in6_addr *out, unsigned *len)
{
	char host[IP_TEXT_MAX];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);

	if (n >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = 0;
	if (ip_parse(host, out))
		return -EINVAL;

	unsigned max = ip_is_v4(out) ? 32 : 128;
	if (!slash) {
		*len = max;
		return 0;
	}
	char *end;
	unsigned long bits = strtoul(slash + 1, &end, 10);
	if (slash[1] < '0' || slash[1] > '9' || *end || bits > max)
		return -EINVAL;
	*len = (unsigned)bits;
	return 0;
}

const char *ip_text(const struct in6_addr *ip, char out[static IP_TEXT_MAX])
{
	if (ip_is_v4(ip))
		inet_ntop(AF_INET, ip->s6_addr + 12, out, IP_TEXT_MAX);
	else
		inet_ntop(AF_INET6, ip, out, IP_TEXT_MAX);
	return out;
}

bool ip_bytes_are_v4(const uint8_t ip[static 16])
{
	return memcmp(ip, mapped, sizeof(mapped)) == 0;
}

bool ip_is_v4(const struct in6_addr *ip)
{
	return ip_bytes_are_v4(ip->s6_addr);
}

bool ip_equal(const struct in6_addr *a, const struct in6_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool ip_is_zero(const struct in6_addr *ip)
{
	size_t n;
	const uint8_t *b = ip_bytes(ip, &n);

	for (size_t i = 0; i < n; i++)
		if (b[i])
			return false;
	return true;
}

bool ip_within(const struct in6_addr *ip, const struct in6_addr *net, unsigned len)
{
	if (ip_is_v4(ip) != ip_is_v4(net))
		return false;

	unsigned bits = ip_is_v4(ip) ? len + 96 : len;
	if (memcmp(ip, net, bits / 8))
		return false;
	if (bits % 8 == 0)
		return true;
	uint8_t mask = (uint8_t)(0xff << (8 - bits % 8));
	return ((ip->s6_addr[bits / 8] ^ net->s6_addr[bits / 8]) & mask) == 0;
}

bool ip_from_bytes(struct in6_addr *out, const void *p, size_t n)
{
	if (n == 16) {
		memcpy(out, p, 16);
		return true;
	}
	if (n != 4)
		return false;
	memcpy(out->s6_addr, mapped, sizeof(mapped));
	memcpy(out->s6_addr + 12, p, 4);
	return true;
}

const uint8_t *ip_bytes(const struct in6_addr *ip, size_t *n)
{
	*n = ip_is_v4(ip) ? 4 : 16;
	return ip->s6_addr + 16 - *n;
}

int mac_parse(const char *text, uint8_t out[static 6])
{
	for (int i = 0; i < 6; i++) {
		unsigned v = 0;
		for (int k = 0; k < 2; k++, text++) {
			const char *digits = "0123456789abcdef", *d;
			char c = *text >= 'A' && *text <= 'F' ? (char)(*text + 32) : *text;
			if (!c || !(d = strchr(digits, c)))
				return -EINVAL;
			v = v << 4 | (unsigned)(d - digits);
		}
		out[i] = (uint8_t)v;
		if (i < 5 ? *text != ':' && *text != '-' : *text)
			return -EINVAL;
		if (i < 5)
			text++;
	}
	return 0;
}

const char *mac_text(const uint8_t m[static 6], char out[static 18])
{
	snprintf(out, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
	return out;
}

unsigned __int128 ip_number(const struct in6_addr *ip)
{
	uint64_t half[2];

	memcpy(half, ip->s6_addr, sizeof(half));
	return (unsigned __int128)be64toh(half[0]) << 64 | be64toh(half[1]);
}
