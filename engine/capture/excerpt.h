/*
 * excerpt - the first bytes of each message inside TLS, kept for a while before anybody asks for them: the flight
 * recorder's decrypted half.
 *
 * Memory that both processes share and that is overwritten for ever. A service has a place, there each worker a ring of its
 * own: one writes, the newest pushes the oldest out, nobody waits, and no service takes another's room. Places are address
 * space; memory they have when somebody writes there, and none any more when the service gives its place up. All rings are
 * of one size, a power of two of places: when there are more services than places, the rings become half as long, and keep
 * what is newest.
 *
 * The warden says whose a place is and reads; workers write. The reader believes nothing that the memory says of itself.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_EXCERPT_H
#define SPANWIRE_ENGINE_CAPTURE_EXCERPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXCERPT_PLACES 1024
#define EXCERPT_SNAP   512 /* most bytes of a message */
#define EXCERPT_ID_MAX 64
#define EXCERPT_MORE   16384u /* most bytes of a message that are told behind those that are there: a frame is no longer */

enum excerpt_what { EXCERPT_REQUEST, EXCERPT_ANSWER, EXCERPT_STREAM /* of no protocol that is known here */ };

struct excerpt_end {
	uint8_t addr[16];
	uint16_t port;
};

struct excerpt_record {
	uint64_t at_ns;           /* CLOCK_MONOTONIC */
	uint64_t flow;
	uint32_t size;            /* with what is behind it: the id, the text */
	uint32_t service;
	uint32_t wire;            /* bytes of the message, as far as it is known; at least `len`, at most EXCERPT_MORE above it */
	uint32_t nth;             /* so many were said before on this connection */
	uint16_t len, retry, worker;
	uint8_t leg, what, out;   /* enum packets_leg; enum excerpt_what; the engine said it */
	uint8_t id_len;
	struct excerpt_end from, to; /* who opened the connection, and whom to */
	struct excerpt_end client;   /* for whom */
};

struct excerpt {
	uint8_t *mem;
	size_t room;              /* of a ring that has a place for itself */
	unsigned workers;
	int fd;
	/* The warden's. */
	unsigned n;               /* rings share the memory by so many; a power of two */
	uint32_t owners[EXCERPT_PLACES];   /* services; 0: nobody's */
	uint64_t born_ns[EXCERPT_PLACES];
	uint32_t generations[EXCERPT_PLACES];
};

/* ---- the warden's ---- */

/* BYTES of all rings together; 0: nothing is ever kept. -errno. */
int excerpt_new(struct excerpt *g, unsigned workers, size_t bytes);
void excerpt_fini(struct excerpt *g);
/* SERVICE's place and one more, from now on; 0: there is none for it. */
unsigned excerpt_give(struct excerpt *g, uint32_t service);
/* What it held is forgotten, and wiped. */
void excerpt_take_back(struct excerpt *g, uint32_t service);

/* What a service's place holds, to be read on any thread. False: it has none. */
struct excerpt_view {
	const struct excerpt *excerpt;
	unsigned place;
	uint32_t service;
	uint64_t born_ns;
};
bool excerpt_view(const struct excerpt *g, uint32_t service, struct excerpt_view *out);

struct excerpt_past {
	uint8_t *bytes;
	size_t size;
	const struct excerpt_record **at; /* in the order of time */
	size_t n;
	uint64_t whole_ns;        /* from then on none is missing */
};
/* Messages of SINCE_NS and later, before UNTIL_NS; for excerpt_past_fini(). */
void excerpt_read(const struct excerpt_view *v, uint64_t since_ns, uint64_t until_ns, struct excerpt_past *out);
void excerpt_past_fini(struct excerpt_past *p);

static inline const char *excerpt_id(const struct excerpt_record *r)
{
	return (const char *)(r + 1);
}

static inline const char *excerpt_text(const struct excerpt_record *r)
{
	return excerpt_id(r) + r->id_len;
}

/* ---- a worker's ---- */

/* The warden's memory in the proxy. Takes FD. */
int excerpt_map(struct excerpt *g, int fd, unsigned workers, size_t bytes);
/* R, as long as its id and text, into its worker's ring; nothing when the place is nobody's just now. */
void excerpt_put(const struct excerpt *g, unsigned place, struct excerpt_record *r, const char *id, const char *text);

#endif
