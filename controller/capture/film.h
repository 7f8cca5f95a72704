/*
 * film - the file of one capture while it is made: a thread that takes apart what engines send, merges and writes.
 *
 * The core hands blocks over and goes on; what waits for the disk is bounded, and beyond that blocks are lost and
 * counted. The file can be read while it grows: it always ends with a whole block, but for the one that is being
 * written. When it may not grow any more it says so once, and takes nothing after that.
 */
#ifndef SPANWIRE_CONTROLLER_CAPTURE_FILM_H
#define SPANWIRE_CONTROLLER_CAPTURE_FILM_H

#include "base/err.h"
#include "controller/capture/pcapng.h"
#include "net/inbox.h"

struct film;

struct film_config {
	const char *path;
	/* NULL, or: at the end the same without what was said inside TLS is made there, when any of that is in it. */
	const char *open_path;
	bool classic;              /* pcap, not pcapng */
	const char *comment;       /* of the section */
	const char *hardware;
	const struct pcapng_name *names;
	size_t n_names;
	bool keys;                 /* TLS secrets are taken */
	uint64_t bytes_max;        /* of the file; it is never larger */
	/* More than one: what is full goes on without the oldest of so many pieces; twice the room is needed meanwhile. */
	unsigned pieces;
	uint64_t packets_max;      /* 0: no limit */
	bool past;                 /* all that comes is old: it is written when all of it is here */
	struct inbox *home;
	/* On the home's thread. REASON: "size", "packets", or a sentence about the disk. Once, perhaps never. */
	void (*full)(void *arg, const char *reason);
	/* On the home's thread: the file is whole; FILM is gone. Once, after film_end(). */
	void (*done)(void *arg, const char *trouble);
	void *arg;
};

struct film_count {
	uint64_t packets, bytes;   /* of packets in the file; BYTES as they were on the wire */
};

/* Everything in C is copied. */
int film_new(const struct film_config *c, struct film **out, struct err *e);
/*
 * A source begins: NAME of the engine; CLOCK_NS: its clock is so far ahead, measured over a way of RTT_NS there and back.
 * Its number counts from 0.
 */
unsigned film_source(struct film *f, const char *name, int64_t clock_ns, uint64_t rtt_ns);
/* Takes BYTES (malloc'ed). UNTIL_NS: the engine's clock; nothing older follows. False: lost, the disk is too slow. */
bool film_block(struct film *f, unsigned source, void *bytes, size_t len, uint64_t until_ns);
/* Nothing comes from it any more; DROPS were lost before they came here. */
void film_source_end(struct film *f, unsigned source, uint64_t drops);
/* What waits is written, then done(). */
void film_end(struct film *f);

/* The file of a controller that was killed: ends with its last whole packet. How many packets there are. */
uint64_t film_mend(const char *path);

uint64_t film_size(const struct film *f);
uint64_t film_packets(const struct film *f);
/* Those of them that are no packets, but what was said inside TLS. */
uint64_t film_plaintext(const struct film *f);
/* Blocks that could not be read, of a source that is broken. */
uint64_t film_refused(const struct film *f);
struct film_count film_count(const struct film *f, unsigned source);

#endif
