#include "engine/http/refusal.h"

#include <time.h>

#include "base/base.h"

#define COUNTER(name) offsetof(struct service_counters, name)

#define X(name, status, counter, text)                                                             \
	const struct refusal refusal_##name = { status, COUNTER(counter), text };
REFUSALS(X)
#undef X

static const struct { int status; const char *reason;
} reasons[] = {
	{ 200, "OK" },
	{ 204, "No Content" },
	{ 400, "Bad Request" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 408, "Request Timeout" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 417, "Expectation Failed" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
};

struct refusal refusal_of(enum http1_error e)
{
	struct refusal r = { http1_error_status(e), COUNTER(http_bad_request),
			     http1_error_text(e) };

	switch (e) {
	case HTTP1_E_LENGTH:
	case HTTP1_E_LENGTH_TWICE:
	case HTTP1_E_LENGTH_AND_CODING:
	case HTTP1_E_CODING:
	case HTTP1_E_CODING_ORDER: case HTTP1_E_CODING_OLD: case HTTP1_E_CHUNK_SIZE:
	case HTTP1_E_CHUNK_EXTENSION: case HTTP1_E_CHUNK_END: case HTTP1_E_TRAILER_FIELD:
		r.counter = COUNTER(http_bad_framing);
		break;
	case HTTP1_E_TARGET_LONG:
	case HTTP1_E_FIELD_LONG:
	case HTTP1_E_HEAD_LONG:
	case HTTP1_E_FIELD_COUNT:
	case HTTP1_E_TRAILER_LONG:
		r.counter = COUNTER(http_head_large);
		break;
	case HTTP1_E_VERSION:
		r.counter = COUNTER(http_bad_version);
		break;
	default:
		break;
	}
	return r;
}

const char *http_date_line(size_t *len)
{
	static _Thread_local char line[48];
	static _Thread_local size_t line_len;
	static _Thread_local time_t of;
	time_t now = time(NULL);
	struct tm t;

	if (now != of) {
		of = now;
		gmtime_r(&now, &t);
		line_len = strftime(line, sizeof(line), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &t);
	}
	*len = line_len;
	return line;
}

static const char *reason_of(int status)
{
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Error";
}

size_t refusal_text(const struct refusal *r, char text[static REFUSAL_TEXT])
{
	int n = r->status == 204
			? snprintf(text, REFUSAL_TEXT, "HTTP/1.1 204 No Content\r\n\r\n")
			: snprintf(text, REFUSAL_TEXT,
			 "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s\n",
			 r->status, reason_of(r->status), strlen(r->text) + 1, r->text);

	must(n > 0 && n < REFUSAL_TEXT);
	return (size_t)n;
}
