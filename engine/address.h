/*
 * address - an IPv4 or IPv6 address with a port.
 */
#ifndef SPANWIRE_ENGINE_ADDRESS_H
#define SPANWIRE_ENGINE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

#define ADDRESS_TEXT 64

/* "10.0.0.5" or "fd00::5". -EINVAL. */
int address_parse(union address *a, const char *ip, unsigned port);
socklen_t address_len(const union address *a);
unsigned address_port(const union address *a);
void address_set_port(union address *a, unsigned port);
bool address_equal(const union address *a, const union address *b);
/* Whatever the ports; ::ffff:10.0.0.5 is 10.0.0.5. */
bool address_same_ip(const union address *a, const union address *b);
/* 16 bytes, IPv4 as ::ffff:a.b.c.d. */
void address_mapped(const union address *a, uint8_t out[static 16]);
/* Only the address: "10.0.0.5", "fd00::5". */
void address_ip(const union address *a, char out[static ADDRESS_TEXT]);
/* "10.0.0.5:80", "[fd00::5]:80". */
void address_text(const union address *a, char out[static ADDRESS_TEXT]);

#endif
