#include "engine/l4/proxy_header.h"

#include "base/base.h"

static size_t as_line(const union address *client, const union address *vip, unsigned port, char *out)
{
	char from[ADDRESS_TEXT], to[ADDRESS_TEXT];

	address_ip(client, from);
	address_ip(vip, to);
	return (size_t)snprintf(out, PROXY_HEADER_MAX, "PROXY TCP%c %s %s %u %u\r\n",
				client->sa.sa_family == AF_INET ? '4' : '6', from, to, address_port(client), port);
}

struct binary {
	uint8_t signature[12], command, family;
	uint16_t len;
	union {
		struct {
			struct in_addr from, to;
			uint16_t from_port, to_port;
		} four;
		struct {
			struct in6_addr from, to;
			uint16_t from_port, to_port;
		} six;
	} at;
};
_Static_assert(sizeof(struct binary) == 52, "as it is on the wire");

static size_t as_binary(const union address *client, const union address *vip, unsigned port, char *out)
{
	struct binary b = { .signature = "\r\n\r\n\0\r\nQUIT\n", .command = 0x21 }; /* 2: version; 1: for somebody else */
	const size_t head = offsetof(struct binary, at);
	size_t len;

	if (client->sa.sa_family == AF_INET) {
		b.family = 0x11;
		b.at.four.from = client->in.sin_addr;
		b.at.four.to = vip->in.sin_addr;
		b.at.four.from_port = client->in.sin_port;
		b.at.four.to_port = htons((uint16_t)port);
		len = sizeof(b.at.four);
	} else {
		b.family = 0x21;
		b.at.six.from = client->in6.sin6_addr;
		b.at.six.to = vip->in6.sin6_addr;
		b.at.six.from_port = client->in6.sin6_port;
		b.at.six.to_port = htons((uint16_t)port);
		len = sizeof(b.at.six);
	}
	b.len = htons((uint16_t)len);
	memcpy(out, &b, head + len);
	return head + len;
}

size_t proxy_header(unsigned version, const union address *client, const union address *vip, unsigned port,
		    char out[static PROXY_HEADER_MAX])
{
	return version == 2 ? as_binary(client, vip, port, out) : as_line(client, vip, port, out);
}
