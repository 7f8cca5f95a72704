/*
 * taking - one capture, while packets of it are taken: what its thread does, and what it shares with the warden's.
 *
 * The thread reads the kernel's ring and what workers tell, or what the recorder has, and puts what passes the sieve into
 * blocks; the warden's gives those to the link (engine/capture/capture.c, which makes takings and ends them).
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_TAKING_H
#define SPANWIRE_ENGINE_CAPTURE_TAKING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "engine/capture/recorder.h"
#include "engine/records.h"

#define TAKING_WORKERS 1024
#define TAKING_FLOWS   4096 /* whose worker is known; a power of two */
#define TAKING_PORTS   64
#define TAKING_SPARE   8    /* memory of blocks that are gone: what is new the kernel has to clear first */

struct captures;
struct worker_ring;
struct datapath;
struct recital;
struct records;
struct ring_buffer;
struct sieve;

struct block {
	struct block *next;
	struct buf bytes;
	uint64_t until_ns, packets, drops;
	const char *ended;      /* the last one: why; NULL: others follow */
};

struct taking {
	struct list link;
	struct captures *all;
	const struct datapath *datapath; /* of it, for the thread */
	const struct worker_ring *worker_ring;
	const struct records *requests;
	unsigned workers;
	char *uuid, *service;
	uint32_t number;        /* of the service, in the kernel's tables; 0: of the engine, all its packets */
	uint32_t slot;
	struct sieve *sieve;
	uint32_t capture;       /* its number in the worker_ring */
	uint64_t worker_ring_lost;    /* of its place, before it began */
	bool keys;              /* TLS secrets are wanted */
	bool plaintext;         /* what is said inside TLS */
	bool monitors;          /* their checks are to be known */
	struct ring_buffer *ring;   /* NULL: it is of the past */
	struct recorder_view past;
	struct excerpt_view said;       /* its plaintext; nobody's when none is wanted */
	struct recital *recital;
	uint64_t since_ns, until_ns; /* of the past: nothing older, nothing of then or later */
	uint64_t asked_ns, after_ns;
	uint64_t held_ns, said_ns;   /* so far back everything was there, and all that was said inside TLS */
	struct {
		char *service, *id;  /* NULL: it is not about one */
		struct record_request is;
		bool noted;          /* it was said which packets are its own */
	} request;
	pthread_t thread;
	bool joined;
	bool told;              /* its last block is on its way to the controller */
	uint64_t over_ns;       /* when nobody wanted it any more */
	uint32_t stops;         /* atomic: the thread ends */

	/* Between both threads. */
	pthread_mutex_t lock;
	pthread_cond_t room;    /* less waits than did */
	struct block *first, **last;
	size_t waiting;
	uint64_t drops;         /* as of the last block */
	bool is_over;           /* the thread has put its last block */
	struct buf spare[TAKING_SPARE];
	unsigned n_spare;

	/* The thread's. */
	int64_t offset_ns;
	uint32_t snap;
	uint64_t packets_max;   /* of a worker; 0: no limit */
	uint64_t taken[TAKING_WORKERS];
	unsigned full;          /* workers that have all theirs */
	struct buf out;
	uint64_t sealed_ns, packets, lost;
	struct {
		uint64_t flow;
		uint16_t worker;
	} flows[TAKING_FLOWS];
	uint32_t ports[TAKING_PORTS];
	size_t n_ports;
};

/* ---- the thread's ---- */

/* Until somebody says so (t->stops), or it has all: of what comes, and of what was. */
void *taking_run(void *t);
void *taking_run_past(void *t);
/* A record of the kernel's ring, or of the recorder. */
int taking_record(void *t, void *data, size_t size);
/* What was put leaves as a block, when there is room; UNTIL_NS: nothing older follows. ENDED: it is the last. */
void taking_seal(struct taking *t, uint64_t until_ns, const char *ended);

/* ---- the warden's ---- */

bool taking_stops(const struct taking *t);
/* To read a full ring, or to sort the past, takes the thread longer than a lease: who has other things to do asks first. */
bool taking_is_over(struct taking *t);
/* The oldest block; NULL: there is none now. */
struct block *taking_first(struct taking *t);
void taking_pop(struct taking *t);
/* A line of a key log, in a block of its own, which leaves before the packets that it opens: those wait for the next look. */
void taking_secret(struct taking *t, const char *text);

#endif
