/*
 * pcapng - the blocks of a capture file, put behind each other in a buf.
 *
 * draft-ietf-opsawg-pcapng: one section in the byte order of this machine, stamps in nanoseconds. Texts are UTF-8; what is
 * longer than an option can be is cut. The classic form (pcap, nanoseconds, Ethernet) has a head and packets only.
 */
#ifndef SPANWIRE_CONTROLLER_CAPTURE_PCAPNG_H
#define SPANWIRE_CONTROLLER_CAPTURE_PCAPNG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define PCAPNG_SNAPLEN 262144
#define PCAPNG_PACKET  6 /* type of the block of a packet */

struct pcapng_packet {
	uint64_t at_ns;
	uint32_t interface;       /* in the order in which they were put, from 0 */
	uint32_t wire_len, len;
	const uint8_t *data;
	bool out;
	const char *comment;      /* as long as an option may be, at most */
	size_t comment_len;       /* 0: none */
};

struct pcapng_name {
	struct in6_addr ip;
	const char *name;
};

void pcapng_section(struct buf *b, const char *hardware, const char *comment);
void pcapng_interface(struct buf *b, const char *name, const char *description, const char *comment);
void pcapng_packet(struct buf *b, const struct pcapng_packet *p);
void pcapng_names(struct buf *b, const struct pcapng_name *names, size_t n);
/* Lines of a TLS key log. */
void pcapng_secrets(struct buf *b, const char *lines, size_t len);
/* What interface INTERFACE gave from START_NS to END_NS: RECEIVED and delivered, and DROPPED on the way. */
void pcapng_statistics(struct buf *b, uint32_t interface, uint64_t start_ns, uint64_t end_ns, uint64_t received,
		       uint64_t dropped, const char *comment);

void pcap_head(struct buf *b);
void pcap_packet(struct buf *b, const struct pcapng_packet *p);

/* How many bytes pcapng_packet() and pcap_packet() put. */
size_t pcapng_packet_size(const struct pcapng_packet *p);

#endif
