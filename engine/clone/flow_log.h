/*
 * flow_log - one line of JSON for each plaintext flow: what a sensor cannot see any more, because TLS is gone.
 *
 * Who asked whom, how the copy looks, what both sides agreed on in TLS, what the client is known by (engine/tls/hello.h),
 * how much was said. A line is written when the client no longer uses the copied conversation: at its end, or when
 * another client's request goes over the same connection.
 *
 * A sink takes a line or not, at once: what it does not take is counted (clone_log_lost). The kernel's queue of the
 * descriptor is the only one.
 */
#ifndef SPANWIRE_ENGINE_CLONE_FLOW_LOG_H
#define SPANWIRE_ENGINE_CLONE_FLOW_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/address.h"
#include "engine/tls/hello.h"

struct conn;
struct service_counters;
struct synth;

#define FLOW_LINE 8192 /* longer than any line: all strings escaped */

/* Shared by snapshots and flows. */
struct flow_sink {
	atomic_uint refs;
	int fd;
	bool syslog;                  /* with a header of RFC 5424 */
	union address to;             /* family 0: FD is connected */
	char engine[64];              /* whose lines they are, in letters that a host name has */
};

/* Takes FD. TO may be NULL. ENGINE: its name; where several engines write to one collector it tells them apart. */
struct flow_sink *flow_sink_new(int fd, bool syslog, const union address *to, const char *engine);
struct flow_sink *flow_sink_get(struct flow_sink *s);
/* NULL is legal. */
void flow_sink_put(struct flow_sink *s);
/* true: the sink took it. LINE has no line feed. */
bool flow_sink_say(struct flow_sink *s, const char *line, size_t n);

/* What is known of one TLS session; empty: there is none. Words of the library are borrowed for ever. */
struct flow_tls {
	const char *version, *cipher; /* NULL: plain */
	char name[256], alpn[32];
	char subject[256];            /* of the peer's certificate */
};

/* Of one client and one conversation. */
struct flow_note {
	struct flow_sink *sink;       /* a reference */
	uint32_t client_id;
	union address client, vip, server;
	uint64_t begun_us, bytes[2];  /* by who spoke: client, server */
	struct flow_tls client_tls, server_tls;
	struct hello hello;           /* empty: not known */
	char service[64], name[128];
};

/* Of the server's side, once. */
void flow_note_init(struct flow_note *n, struct flow_sink *sink, const struct conn *server);
/* CLIENT begins to use it: everything about clients starts anew. */
void flow_note_client(struct flow_note *n, const struct conn *client, const char *service, const char *name);
/* There is no server's side: of CLIENT's own conversation. */
void flow_note_client_alone(struct flow_note *n, struct flow_sink *sink, const struct conn *client, const char *service,
			    const char *name);
/* The line of what was noted; nothing when nothing was said. */
void flow_note_say(struct flow_note *n, const struct synth *copy, bool hurt, struct service_counters *counters);
void flow_note_fini(struct flow_note *n);

/* The text of it, at most SIZE with its NUL; its length. For tests. */
size_t flow_note_text(const struct flow_note *n, const struct synth *copy, bool hurt, uint64_t now_us, char *out,
		      size_t size);

#endif
