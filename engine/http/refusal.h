/*
 * refusal - the answers that are our own: a status, a sentence for the body, and the counter of
 * the reason.
 */
#ifndef SPANWIRE_ENGINE_HTTP_REFUSAL_H
#define SPANWIRE_ENGINE_HTTP_REFUSAL_H

#include "engine/counters.h"
#include "net/http1.h"

#define REFUSALS(X)										\
	X(METHOD, 501, http_bad_method, "This method is not offered here.")			\
	X(BODY_LARGE, 413, http_body_large, "The body is larger than the limit.")		\
	X(HEAD_LATE, 408, http_client_late, "The request did not arrive in time.")		\
	X(BODY_LATE, 408, http_client_late, "The body of the request did not arrive in time.")	\
	X(NO_MEMORY, 503, http_no_memory, "There is no room for another request at the moment.") \
	X(NO_SERVER, 503, http_no_server, "No server is available.")				\
	X(SERVER_DOWN, 503, http_no_server, "The server of this client is down.")		\
	X(SERVERS_BUSY, 503, http_servers_busy,							\
	  "All servers have as many connections as they may have.")				\
	X(OVER_RATE, 429, http_refused_rate, "More requests came than may come in the time.")	\
	X(SERVER_REFUSED, 503, http_server_refused, "No server took the connection.")		\
	X(SERVER_LOST, 502, http_server_lost,							\
	  "The server closed the connection before it answered.")				\
	X(SERVER_BAD, 502, http_server_malformed, "The answer of the server is not legal HTTP.") \
	X(SERVER_SILENT, 504, http_server_late, "The server did not answer in time.")		\
	X(SERVER_CUT, 503, http_server_cut, "The server was taken away before it answered.")

struct refusal {
	int status;
	size_t counter;     /* offset in struct service_counters */
	const char *text;
};

#define X(name, status, counter, text) extern const struct refusal refusal_##name;
REFUSALS(X)
#undef X

/* A request that the codec refused. */
struct refusal refusal_of(enum http1_error e);

/* R as a whole answer in the form of HTTP/1, for exchange_answer(). Bytes of it. */
#define REFUSAL_TEXT 512
size_t refusal_text(const struct refusal *r, char text[static REFUSAL_TEXT]);

/*
 * "Date: Sat, 21 Nov 2026 03:03:33 GMT\r\n", of this second. Borrowed, per thread, until the
 * next call.
 */
const char *http_date_line(size_t *len);

#endif
