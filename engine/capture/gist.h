/*
 * gist - the first bytes of what is said inside TLS, kept for a while before anybody asks for them.
 *
 * Memory that both processes share and that is overwritten for ever. A service has a place, there each worker a ring of its
 * own: one writes, the newest pushes the oldest out, nobody waits, and no service takes another's room. Places are address
 * space; memory they have when somebody writes there, and none any more when the service gives its place up. All rings are
 * of one size, a power of two of places: when there are more services than places, the rings become half as long, and keep
 * what is newest.
 *
 * The warden says whose a place is and reads; workers write. The reader believes nothing that the memory says of itself.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_GIST_H
#define SPANWIRE_ENGINE_CAPTURE_GIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GIST_PLACES 1024
#define GIST_SNAP   512 /* most bytes of a message */
#define GIST_ID_MAX 64
#define GIST_MORE   16384u /* most bytes of a message that are told behind those that are there: a frame is no longer */

enum gist_what { GIST_REQUEST, GIST_ANSWER, GIST_STREAM /* of no protocol that is known here */ };

struct gist_end {
	uint8_t addr[16];
	uint16_t port;
};

struct gist_record {
	uint64_t at_ns;           /* CLOCK_MONOTONIC */
	uint64_t flow;
	uint32_t size;            /* with what is behind it: the id, the text */
	uint32_t service;
	uint32_t wire;            /* bytes of the message, as far as it is known; at least `len`, at most GIST_MORE above it */
	uint32_t nth;             /* so many were said before on this connection */
	uint16_t len, retry, worker;
	uint8_t leg, what, out;   /* enum packets_leg; enum gist_what; the engine said it */
	uint8_t id_len;
	struct gist_end from, to; /* who opened the connection, and whom to */
	struct gist_end client;   /* for whom */
};

struct gist {
	uint8_t *mem;
	size_t room;              /* of a ring that has a place for itself */
	unsigned workers;
	int fd;
	/* The warden's. */
	unsigned n;               /* rings share the memory by so many; a power of two */
	uint32_t owners[GIST_PLACES];   /* services; 0: nobody's */
	uint64_t born_ns[GIST_PLACES];
	uint32_t generations[GIST_PLACES];
};

/* ---- the warden's ---- */

/* BYTES of all rings together; 0: nothing is ever kept. -errno. */
int gist_new(struct gist *g, unsigned workers, size_t bytes);
void gist_fini(struct gist *g);
/* SERVICE's place and one more, from now on; 0: there is none for it. */
unsigned gist_give(struct gist *g, uint32_t service);
/* What it held is forgotten, and wiped. */
void gist_take_back(struct gist *g, uint32_t service);

/* What a service's place holds, to be read on any thread. False: it has none. */
struct gist_view {
	const struct gist *gist;
	unsigned place;
	uint32_t service;
	uint64_t born_ns;
};
bool gist_view(const struct gist *g, uint32_t service, struct gist_view *out);

struct gist_past {
	uint8_t *bytes;
	size_t size;
	const struct gist_record **at; /* in the order of time */
	size_t n;
	uint64_t whole_ns;        /* from then on none is missing */
};
/* Messages of SINCE_NS and later, before UNTIL_NS; for gist_past_fini(). */
void gist_read(const struct gist_view *v, uint64_t since_ns, uint64_t until_ns, struct gist_past *out);
void gist_past_fini(struct gist_past *p);

static inline const char *gist_id(const struct gist_record *r)
{
	return (const char *)(r + 1);
}

static inline const char *gist_text(const struct gist_record *r)
{
	return gist_id(r) + r->id_len;
}

/* ---- a worker's ---- */

/* The warden's memory in the proxy. Takes FD. */
int gist_map(struct gist *g, int fd, unsigned workers, size_t bytes);
/* R, as long as its id and text, into its worker's ring; nothing when the place is nobody's just now. */
void gist_put(const struct gist *g, unsigned place, struct gist_record *r, const char *id, const char *text);

#endif
