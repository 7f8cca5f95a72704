/*
 * probe - one health monitor asking one address, again and again.
 *
 * A probe has a verdict, and a sentence that says why. The first checks come
 * quickly, one after the other, until the verdict is there; then one each
 * send_interval, with a little jitter, so that many do not march in step.
 *
 * Servers of several pools with the same address and monitor share a probe.
 * Its sockets carry no clone mark: nobody's copy has health checks in it.
 */
#ifndef SPANWIRE_ENGINE_HEALTH_PROBE_H
#define SPANWIRE_ENGINE_HEALTH_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "engine/address.h"
#include "net/loop.h"

struct health_monitor;

/* What is asked, in the units of whoever asks. */
struct question {
	struct arena arena;          /* the strings */
	const char *uuid, *name;     /* of the health monitor */
	bool http;
	unsigned port;               /* 0: the server's */
	uint64_t interval_ms, timeout_ms;
	unsigned rises, falls;       /* checks in a row */
	const char *request;         /* NULL: only connect */
	const char *body;
	bool exact;                  /* send `request` as it is */
	const char *expect;          /* text that the first bytes must have; NULL: none */
	unsigned classes;            /* bit n: nxx is good; 0: all are */
	unsigned maintenance[4];     /* status codes; 0: none */
	const char *maintenance_text;
};

/* Copies what MODEL says. SECOND_MS is 1000; tests have shorter seconds. */
void question_init(struct question *q, const struct health_monitor *model, unsigned second_ms);
void question_fini(struct question *q);
bool question_equal(const struct question *a, const struct question *b);

/* Who asks it: shared by its probes, and changed in place. */
struct monitor {
	struct list link;
	unsigned refs;
	struct question question;
};

/* State, what it is doing, and where it may go from there. */
#define PROBE_STATES(X)                                                                          \
	X(WAITING,    "waits for its turn",            1 << PROBE_CONNECTING)                    \
	X(CONNECTING, "waits for the server's SYN",    1 << PROBE_SENDING | 1 << PROBE_WAITING)  \
	X(SENDING,    "sends its request",             1 << PROBE_READING | 1 << PROBE_WAITING)  \
	X(READING,    "waits for the answer",          1 << PROBE_WAITING)

enum probe_state {
#define X(name, text, moves) PROBE_##name,
	PROBE_STATES(X)
#undef X
};

enum verdict { VERDICT_UNKNOWN, VERDICT_UP, VERDICT_DOWN };

#define PROBE_READ    2048 /* bytes of an answer that are looked at */
#define PROBE_QUICK_MS 250 /* between checks while there is no verdict */

struct probe {
	struct loop *loop;
	void *owner;
	struct monitor *monitor;     /* a reference */
	union address address;       /* what is connected to */
	unsigned refs;
	struct list link;            /* in its hash bucket */
	struct list subscribers;     /* the owner's */
	/* After each check; verdict and reason are new. */
	void (*checked)(struct probe *p, bool passed);

	enum verdict verdict;
	char reason[160];            /* of the last check */
	uint64_t checks, failures;

	/* Private. */
	enum probe_state state;
	struct watch watch;
	struct timer timer;
	struct grave grave;
	uint64_t started_ns;
	unsigned passes, fails;      /* in a row */
	char *out, *in;              /* while a check runs */
	size_t out_len, sent, in_len;
};

/* Begins; the first result is there in a later turn. OWNER is the caller's. */
struct probe *probe_new(struct loop *l, struct monitor *m, const union address *a, void *owner,
			void (*checked)(struct probe *p, bool passed));
/* Frees at the end of the turn. */
void probe_free(struct probe *p);
/* The question changed: keep the verdict, check it soon. */
void probe_again(struct probe *p);

#endif
