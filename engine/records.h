/*
 * records - what was asked and answered: one record for each request, and for each connection of a client.
 *
 * They lie in a memory file that the warden made, beside the counters: per worker three rings, one
 * of the significant ones (errors), one of the connections that requests came on, one of the rest, so that
 * good traffic does not push out what somebody will look for. A worker writes only its own rings and never waits; what is overwritten
 * is counted. The warden reads them when it is asked, without the proxy, and also when that is gone. A record that
 * is written while it is read is passed over.
 *
 * Whoever writes may have gone wild: the reader believes no length and no index.
 */
#ifndef SPANWIRE_ENGINE_RECORDS_H
#define SPANWIRE_ENGINE_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "engine/address.h"

#define RECORD_BYTES 1024
#define RECORD_TEXT  704
#define RECORDS_MB   16    /* per engine, when nobody says otherwise */

enum record_type { RECORD_CONNECTION, RECORD_REQUEST };

/* Why a record is significant, in the contract's words. */
#define RECORD_REASONS(X)                                                                          \
	X(NONE, "")                                                                                \
	X(STATUS_4XX, "ADF_RESPONSE_CODE_4XX")                                                     \
	X(STATUS_5XX, "ADF_RESPONSE_CODE_5XX")                                                     \
	X(BAD_REQUEST, "ADF_HTTP_BAD_REQUEST_INVALID_REQUEST_LINE")                                \
	X(BAD_FRAMING, "ADF_HTTP_BAD_REQUEST_CLIENT_SENT_INVALID_CONTENT_LENGTH")                  \
	X(HEAD_LARGE, "ADF_HTTP_BAD_REQUEST_HEADER_TOO_LARGE")                                     \
	X(BODY_LARGE, "ADF_DOS_CLIENT_REQUEST_ENTITY_TOO_LARGE")                                   \
	X(CLIENT_LATE, "ADF_HTTP_REQUEST_TIMEOUT_WAITING_FOR_CLIENT")                              \
	X(CLIENT_GONE, "ADF_CLIENT_CONN_ABORTED")                                                  \
	X(CLIENT_RESET, "ADF_CLIENT_SENT_RESET")                                                   \
	X(NO_MEMORY, "ADF_MEMORY_EXHAUSTED")                                                       \
	X(NO_SERVER, "ADF_LOAD_BALANCING_FAILED")                                                  \
	X(SERVER_REFUSED, "ADF_SERVER_CONN_SETUP_REFUSED")                                         \
	X(SERVER_LATE, "ADF_SERVER_UPSTREAM_TIMEOUT")                                              \
	X(SERVER_LOST, "ADF_SERVER_UPSTREAM_READ_ERROR")                                           \
	X(SERVER_RESET, "ADF_SERVER_SENT_RESET")                                                   \
	X(SSL_HANDSHAKE, "ADF_CLIENT_SSL_HANDSHAKE_FAILURE")                                       \
	X(CLOSED_EARLY, "ADF_CLIENT_CONNECTION_CLOSED_BEFORE_REQUEST")                             \
	X(REQUEST_LATE, "ADF_CLIENT_REQUEST_TIMEOUT")                                              \
	X(IDLE, "ADF_IDLE_TIMEDOUT")                                                               \
	X(CUT, "ADF_USER_DELETE_OPERATION")

enum record_reason {
#define X(name, text) RECORD_##name,
	RECORD_REASONS(X)
#undef X
	RECORD_REASONS_N
};

/* Texts of a record: in which member they are shown, and how much of them is kept. */
#define RECORD_TEXTS(X)                                                                            \
	X(VS, "virtualservice", 64)                                                                \
	X(POOL, "pool", 64)                                                                        \
	X(POOL_NAME, "pool_name", 64)                                                              \
	X(REQUEST_ID, "request_id", 64)                                                            \
	X(SNI, "sni_hostname", 96)                                                                 \
	X(TLS_VERSION, "ssl_version", 16)                                                          \
	X(TLS_CIPHER, "ssl_cipher", 48)                                                            \
	X(METHOD, "method", 32)                                                                    \
	X(HOST, "host", 255)                                                                       \
	X(PATH, "uri_path", 256)                                                                   \
	X(QUERY, "uri_query", 128)                                                                 \
	X(AGENT, "user_agent", 128)                                                                \
	X(REFERER, "referer", 96)                                                                  \
	X(XFF, "xff", 64)                                                                          \
	X(FILTER, "client_log_filter_name", 64)

enum record_text {
#define X(name, member, max) RECORD_T_##name,
	RECORD_TEXTS(X)
#undef X
	RECORD_TEXTS_N
};

/* Of a connection, as the kernel counted it; of datagrams what we did. */
struct record_side {
	uint32_t rx_packets, tx_packets, retransmits, out_of_orders;
};

struct record {
	uint64_t seq;           /* odd: it is being written */
	uint64_t id;
	uint64_t report_us;     /* wall clock, when it was complete */
	uint64_t rx_bytes, tx_bytes;               /* client's side */
	uint64_t server_rx_bytes, server_tx_bytes; /* from, to the server */
	uint32_t total_us, first_byte_us, app_us, transfer_us, client_rtt_us, server_rtt_us;
	union address client, vip, server;
	struct record_side sides[2]; /* client's, server's */
	uint32_t requests;        /* that came on the connection */
	uint8_t source[16];       /* ours, of the connection to the server, mapped; valid with ... */
	uint16_t server_src_port; /* its port; 0: there was none */
	uint16_t mss;             /* of the client's connection */
	uint8_t type, reason;
	uint8_t version;        /* 10, 11, 20 */
	bool tls, udp, http;
	bool filtered;          /* a filter of the analytics policy means it */
	bool reused;            /* the server's connection had served before */
	uint16_t status, server_status;
	uint16_t worker;
	uint16_t port;          /* that the client came to: one of a range */
	uint16_t text_used;
	struct { uint16_t at, len; } texts[RECORD_TEXTS_N];
	char text[];
};

_Static_assert(sizeof(struct record) + RECORD_TEXT <= RECORD_BYTES, "a record holds its texts");

enum record_ring { RECORD_RING_REST, RECORD_RING_SIGNIFICANT, RECORD_RING_CARRIERS, RECORD_RINGS };

struct records {
	uint8_t *mem;
	size_t bytes;
	unsigned workers;
	size_t slots[RECORD_RINGS]; /* of a worker */
	int fd;
};

/* BYTES for all. 0 bytes: nothing is kept. */
int records_new(struct records *r, unsigned workers, size_t bytes);
/* Map the file that the warden made. Takes FD. */
int records_map(struct records *r, int fd, unsigned workers);
void records_fini(struct records *r);

/* ---- who writes: a worker ---- */

/* Keep N bytes at P, or as many as there is room for. Once for each text. */
void record_text(struct record *rec, enum record_text which, const char *p, size_t n);
/* Does anybody keep them? R may be NULL. */
static inline bool records_kept(const struct records *r)
{
	return r && r->mem;
}
/* The pool that was asked. Late, and there is room for it always. */
void record_pool(struct record *rec, const char *uuid, const char *name);
/* A copy of REC gets its place. R may be NULL. */
void records_put(struct records *r, unsigned worker, const struct record *rec);

/* ---- who reads ---- */

struct record_filter;

/*
 * {"records": an enum record_type, "virtualservice", "start_us", "end_us", "significant", "filtered", "rest": bool, "oldest_first": bool, "max",
 * "filters": ["eq(response_code,503)"]}.
 * Calls GIVE with the matching records, in order, as the contract names their members (new references), at most `max`.
 * Number of all that match; *OVERWRITTEN: of those that were and are no more, of any service; -EINVAL.
 * Takes a while: not for a thread that anybody waits for.
 */
int64_t records_read(const struct records *r, const json_t *query, void (*give)(void *arg, json_t *record), void *arg,
		     uint64_t *overwritten);

/* Whose connections a request was on. */
struct record_request {
	union address client, server; /* SERVER: of no family when none had it */
	uint16_t server_src_port;     /* ours; 0: not known */
	uint64_t from_us, to_us;      /* wall clock */
};
/* The newest of virtual service VS that is called ID; false: it is not known. Takes a while, as records_read(). */
bool records_request(const struct records *r, const char *vs, const char *id, struct record_request *out);

struct filter;
/* Do all of the N filters hold of REC, as logs show it? */
bool records_match(const struct record *rec, const struct filter *filters, size_t n);

#endif
