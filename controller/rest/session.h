/*
 * session - who is logged in: thousands of them, in memory.
 *
 * Clients of playbooks log in for every task and never log out, so sessions
 * are cheap, bounded (the one that slept longest goes first) and expire: idle
 * for too long, or too old even if used. An expired one is remembered for a
 * while, because "expired" (419) and "never heard of" (401) are two answers.
 * They do not survive a restart of the controller: clients log in again on 401.
 *
 * A session is found by its id. Its CSRF token must come in a header with every write.
 */
#ifndef SPANWIRE_CONTROLLER_REST_SESSION_H
#define SPANWIRE_CONTROLLER_REST_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

enum { SESSION_ID_LEN = 32, SESSIONS_MAX = 20000 };

struct session {
	char id[SESSION_ID_LEN + 1];
	char csrf[SESSION_ID_LEN + 1];
	char user[128]; /* uuid */
	uint64_t made_ns, used_ns;
	bool expired;
	bool must_change;   /* the password is too old: it is good for setting another one */
	struct list by_use; /* newest last */
	struct session *next; /* in its bucket */
};

struct sessions {
	struct session **bucket;
	unsigned count, max;
	struct list by_use;
	uint64_t idle_ns, hard_ns; /* limits; 0: none */
};

void sessions_init(struct sessions *s, unsigned max);
void sessions_fini(struct sessions *s);

/* Never fails. Borrowed until the next call that takes S. */
struct session *session_new(struct sessions *s, const char *user, uint64_t now_ns);
/* Of USER stay the MAX that were used last. */
void session_limit(struct sessions *s, const char *user, unsigned max);
/* NULL: unknown. The caller looks at `expired`; a live one counts as used now. */
struct session *session_find(struct sessions *s, const char *id, uint64_t now_ns);
void session_drop(struct sessions *s, struct session *x);
/* All of USER but KEEP (may be NULL): after a new password, or when the user is gone. */
void session_drop_user(struct sessions *s, const char *user, const struct session *keep);

#endif
