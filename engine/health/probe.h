/*
 * probe - one health monitor asking one address, again and again.
 *
 * A probe has a verdict, and a sentence that says why. The first checks come
 * quickly, one after the other, until the verdict is there; then one each
 * send_interval, with a little jitter, so that many do not march in step.
 * How it asks is a struct ask_ops.
 *
 * Servers of several pools with the same address and monitor share a probe.
 * Its sockets carry no clone mark: nobody's copy has health checks in it.
 */
#ifndef SPANWIRE_ENGINE_HEALTH_PROBE_H
#define SPANWIRE_ENGINE_HEALTH_PROBE_H

#include "engine/address.h"
#include "engine/health/question.h"
#include "net/loop.h"

struct pinger;

/* Who asks it: shared by its probes, and changed in place. */
struct monitor {
	struct list link;
	unsigned refs;
	struct question question;
};

/* State, what it is doing, and where it may go from there. */
#define PROBE_STATES(X)                                                                           \
	X(WAITING,    "waited for its turn",            1 << PROBE_CONNECTING | 1 << PROBE_READING) \
	X(CONNECTING, "waited for the server's SYN",    1 << PROBE_SHAKING | 1 << PROBE_SENDING | 1 << PROBE_WAITING) \
	X(SHAKING,    "was in the TLS handshake",       1 << PROBE_SENDING | 1 << PROBE_WAITING)    \
	X(SENDING,    "sent its request",               1 << PROBE_READING | 1 << PROBE_WAITING)    \
	X(READING,    "waited for the answer",          1 << PROBE_WAITING)

enum probe_state {
#define X(name, text, moves) PROBE_##name,
	PROBE_STATES(X)
#undef X
};

/* What a check came to, and what so many of them in a row make of the server. */
enum verdict { VERDICT_UNKNOWN, VERDICT_UP, VERDICT_MAINTENANCE, VERDICT_DOWN };

#define PROBE_QUICK_MS 250 /* between checks while there is no verdict */

struct probe {
	struct loop *loop;
	void *owner;
	struct monitor *monitor;     /* a reference */
	struct pinger *pinger;       /* borrowed */
	const void *apart;           /* for whom alone it asks; NULL: for all */
	union address address;       /* what is connected to */
	int device;                  /* by which interface, as in struct backend; the owner sets it after probe_new() */
	unsigned refs;
	struct list link;            /* in its hash bucket */
	struct list subscribers;     /* the owner's */
	/* After each check; verdict and reason are new. */
	void (*checked)(struct probe *p, bool passed);

	enum verdict verdict;
	char reason[160];            /* of the last check */
	uint64_t checks, failures;
	int tasks;                   /* what the last answer said of them; -1: nothing */

	/* Private to probe.c and the ways of asking. */
	enum probe_state state;
	struct watch watch;
	struct timer timer;
	struct grave grave;
	uint64_t started_ns;
	unsigned passes, fails, maintained; /* in a row */
	char *out;                   /* what is said, the same each time; NULL: not made yet */
	char *in;                    /* while a check runs */
	size_t out_len, sent, in_len;
	bool ended;                  /* the server has said all: its FIN is here */
	void *ssl;                   /* SSL */
	uint16_t id;                 /* DNS; of the echo */
	uint64_t cookie;             /* of the echo */
};

/* Begins soon after WAIT_MS; the first result is there in a later turn. OWNER is the caller's. */
struct probe *probe_new(struct loop *l, struct monitor *m, const union address *a, struct pinger *pinger, void *owner,
			unsigned wait_ms, void (*checked)(struct probe *p, bool passed));
/* Frees at the end of the turn. */
void probe_free(struct probe *p);
/* The question changed: keep the verdict, check it soon. */
void probe_again(struct probe *p);

/* ---- for the ways of asking ---- */

/* Socket FD, before it is connected: the kernel knows that what it says is a monitor's, if anybody wants that. */
void probe_mark(const struct probe *p, int fd);
/* The socket storage map for it; borrowed for ever. */
void probe_mark_map(int fd);
/* Is there anybody who wants to know? Else nothing is marked, as in the beginning. */
void probe_marks(bool wanted);

void probe_move(struct probe *p, enum probe_state to);
/* The check is over. FMT says why, as part of a sentence. */
void probe_end(struct probe *p, enum verdict result, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/*
 * The check failed with RC. What this machine lacks (descriptors, memory) is no news of the server: it is asked
 * again soon.
 */
void probe_failed(struct probe *p, int rc);
/* Does the answer so far hold TEXT? */
bool probe_heard(const struct probe *p, const char *text);
/* Seconds that an answer may take, for people. */
double probe_timeout_s(const struct probe *p);

#endif
