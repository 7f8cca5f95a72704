#include "engine/address.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/base.h"

int address_parse(union address *a, const char *ip, unsigned port)
{
	memset(a, 0, sizeof(*a));
	if (port > UINT16_MAX)
		return -EINVAL;
	if (inet_pton(AF_INET, ip, &a->in.sin_addr) == 1) {
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons((uint16_t)port);
		return 0;
	}
	if (inet_pton(AF_INET6, ip, &a->in6.sin6_addr) == 1) {
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = htons((uint16_t)port);
		return 0;
	}
	return -EINVAL;
}

socklen_t address_len(const union address *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in);
}

void address_set_port(union address *a, unsigned port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons((uint16_t)port);
	else
		a->in.sin_port = htons((uint16_t)port);
}

unsigned address_port(const union address *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port);
}

bool address_equal(const union address *a, const union address *b)
{
	if (a->sa.sa_family != b->sa.sa_family || address_port(a) != address_port(b))
		return false;
	if (a->sa.sa_family == AF_INET6)
		return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr)) == 0;
	return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
}

void address_mapped(const union address *a, uint8_t out[static 16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	if (a->sa.sa_family == AF_INET6) {
		memcpy(out, &a->in6.sin6_addr, 16);
		return;
	}
	memcpy(out, prefix, sizeof(prefix));
	memcpy(out + sizeof(prefix), &a->in.sin_addr, 4);
}

bool address_same_ip(const union address *a, const union address *b)
{
	uint8_t x[16], y[16];

	address_mapped(a, x);
	address_mapped(b, y);
	return memcmp(x, y, sizeof(x)) == 0;
}

void address_ip(const union address *a, char out[static ADDRESS_TEXT])
{
	const void *p = a->sa.sa_family == AF_INET6 ? (const void *)&a->in6.sin6_addr
						    : (const void *)&a->in.sin_addr;

	if (!inet_ntop(a->sa.sa_family == AF_INET6 ? AF_INET6 : AF_INET, p, out, ADDRESS_TEXT))
		out[0] = '\0';
}

void address_text(const union address *a, char out[static ADDRESS_TEXT])
{
	char ip[ADDRESS_TEXT];

	address_ip(a, ip);
	snprintf(out, ADDRESS_TEXT, a->sa.sa_family == AF_INET6 ? "[%.46s]:%u" : "%.46s:%u", ip,
		 address_port(a));
}
