/*
 * http1 - the framing of HTTP/1.0 and HTTP/1.1 messages (RFC 9110, RFC 9112), strictly.
 *
 * Incremental and without memory of its own: the caller keeps the bytes, the
 * codec returns offsets into them, so the bytes may move between calls. A
 * message that is not complete yet is a value (HTTP1_MORE), a message that
 * must not be understood is one too (HTTP1_REFUSED, with a reason). How the
 * input was cut into pieces never changes a result.
 *
 * What two parsers could read differently is refused, never repaired: see
 * HTTP1_ERRORS below for the list, docs/http.md for the reasons.
 *
 *	struct http1_head h;
 *	http1_head_init(&h, HTTP1_REQUEST, fields, ARRAY_SIZE(fields), &limits);
 *	... read behind the bytes that are there ...
 *	switch (http1_head_parse(&h, data, len)) ...    // the same bytes again, and more
 *	http1_body_init(&body, &h);
 *	... http1_body_parse(&body, data + h.len, len - h.len, &part) ...
 */
#ifndef SPANWIRE_NET_HTTP1_H
#define SPANWIRE_NET_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Why a message is refused: name, status for the client, sentence. A refused
 * response is a 502 to the client whatever the status here says.
 */
#define HTTP1_ERRORS(X)                                                                            \
	X(NONE, 0, "No error.")                                                                    \
	X(BARE_CR, 400, "A carriage return stands without a line feed.")                           \
	X(BARE_LF, 400, "A line ends without a carriage return.")                                  \
	X(CONTROL, 400, "A control character stands where text is expected.")                      \
	X(METHOD, 400, "The method is not a token of at most 32 characters.")                      \
	X(TARGET, 400, "The request target is not of a form that its method has.")                 \
	X(TARGET_LONG, 414, "The request line is longer than the limit.")                          \
	X(VERSION_TEXT, 400, "The protocol version is not of the form HTTP/1.1.")                  \
	X(VERSION, 505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.")                             \
	X(STATUS, 400, "The status code is not a number from 100 to 599.")                         \
	X(FOLD, 400, "A header line begins with white space (obsolete folding).")                  \
	X(NAME, 400, "A header name is not a token.")                                              \
	X(COLON_SPACE, 400, "White space stands between a header name and its colon.")             \
	X(NO_COLON, 400, "A header line has no colon.")                                            \
	X(FIELD_LONG, 431, "A header line is longer than the limit.")                              \
	X(HEAD_LONG, 431, "The headers together are longer than the limit.")                       \
	X(FIELD_COUNT, 431, "There are more headers than the limit.")                              \
	X(HOST_MISSING, 400, "An HTTP/1.1 request has no Host header.")                            \
	X(HOST_TWICE, 400, "There is more than one Host header.")                                  \
	X(HOST, 400, "The Host header is not a host name with an optional port.")                  \
	X(LENGTH, 400, "The Content-Length is not a number.")                                      \
	X(LENGTH_TWICE, 400, "There is more than one Content-Length.")                             \
	X(LENGTH_AND_CODING, 400, "Content-Length and Transfer-Encoding stand together.")          \
	X(CODING, 501, "The transfer coding is not known; only chunked is.")                       \
	X(CODING_ORDER, 400, "Chunked is not the last transfer coding, or not alone.")            \
	X(CODING_OLD, 400, "HTTP/1.0 has no Transfer-Encoding.")                                   \
	X(EXPECT, 417, "The only expectation that can be met is 100-continue.")                    \
	X(CONNECTION, 400, "The Connection header is not a list of tokens.")                       \
	X(CHUNK_SIZE, 400, "A chunk size is not a hexadecimal number of at most 16 digits.")       \
	X(CHUNK_EXTENSION, 400, "The chunk extensions are longer than the limit.")                 \
	X(CHUNK_END, 400, "A chunk does not end where its size says.")                             \
	X(TRAILER_LONG, 431, "The trailers are longer than the limit.")                            \
	X(TRAILER_FIELD, 400, "A field of framing or routing stands among the trailers.")

enum http1_error {
#define X(name, status, text) HTTP1_E_##name,
	HTTP1_ERRORS(X)
#undef X
	HTTP1_E_COUNT
};

int http1_error_status(enum http1_error e);
const char *http1_error_text(enum http1_error e);
const char *http1_error_name(enum http1_error e); /* "chunk_size" */

enum http1_result {
	HTTP1_MORE,    /* offer the same unconsumed bytes again with more behind them */
	HTTP1_DONE,    /* the head, or the body, is complete */
	HTTP1_REFUSED, /* see `error`; nothing behind this point can be understood */
	HTTP1_ROOM,    /* head: `fields` is full; give a larger array and call again */
	HTTP1_DATA,    /* body: a piece of it */
	HTTP1_TRAILER, /* body: a field of the trailer section */
};

/* The fields that mean something to framing or to a proxy. */
#define HTTP1_FIELDS(X)                                                                            \
	X(HOST, "host")                                                                            \
	X(CONNECTION, "connection")                                                                \
	X(CONTENT_LENGTH, "content-length")                                                        \
	X(TRANSFER_ENCODING, "transfer-encoding")                                                  \
	X(TE, "te")                                                                                \
	X(TRAILER, "trailer")                                                                      \
	X(UPGRADE, "upgrade")                                                                      \
	X(EXPECT, "expect")                                                                        \
	X(KEEP_ALIVE, "keep-alive")                                                                \
	X(PROXY_CONNECTION, "proxy-connection")                                                    \
	X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                  \
	X(USER_AGENT, "user-agent")                                                                \
	X(REFERER, "referer")                                                                      \
	X(X_FORWARDED_FOR, "x-forwarded-for")                                                      \
	X(X_REQUEST_ID, "x-request-id")                                                            \
	X(DATE, "date")

enum http1_field_id {
	HTTP1_F_OTHER,
#define X(name, text) HTTP1_F_##name,
	HTTP1_FIELDS(X)
#undef X
	HTTP1_F_COUNT
};

#define HTTP1_METHODS(X)                                                                           \
	X(GET) X(HEAD) X(POST) X(PUT) X(DELETE) X(OPTIONS) X(PATCH) X(CONNECT) X(TRACE)

enum http1_method {
	HTTP1_M_OTHER, /* some other token: PROPFIND, PURGE ... */
#define X(name) HTTP1_M_##name,
	HTTP1_METHODS(X)
#undef X
};

/* RFC 9110 section 9.2.2: may be sent again when nobody knows whether the first one arrived. */
bool http1_method_is_idempotent(enum http1_method m);

/* LEN bytes at offset AT of the caller's bytes. */
struct http1_span {
	uint32_t at, len;
};

struct http1_field {
	struct http1_span value;  /* without the white space around it */
	uint32_t name_at;         /* also the beginning of the line */
	uint16_t name_len;
	uint8_t id;               /* enum http1_field_id */
	bool hop;                 /* not to be forwarded (RFC 9110 section 7.6.1) */
};

/* Bytes include the line ends. None may exceed HTTP1_HEAD_MAX. */
struct http1_limits {
	uint32_t line;      /* request or status line */
	uint32_t field;     /* one header line */
	uint32_t head;      /* all of it */
	uint32_t fields;    /* header lines */
};

#define HTTP1_HEAD_MAX          (1u << 24)
#define HTTP1_FIELD_MAX         65535u
#define HTTP1_CHUNK_EXTENSION   16384  /* bytes of extensions in one body */
#define HTTP1_TRAILER_MAX       8192   /* bytes of a trailer section */
#define HTTP1_TRAILER_FIELDS    64

extern const struct http1_limits http1_limits_default;

enum http1_side { HTTP1_REQUEST, HTTP1_RESPONSE };

enum http1_framing {
	HTTP1_NO_BODY,
	HTTP1_LENGTH,      /* content_length bytes, which may be 0 */
	HTTP1_CHUNKED,
	HTTP1_UNTIL_CLOSE, /* responses only */
};

struct http1_head {
	/* The caller's: valid from http1_head_init() on. */
	struct http1_field *fields;
	uint32_t fields_size;
	const struct http1_limits *limits;
	uint8_t side;
	bool to_head;              /* a response to HEAD: set it before parsing */

	/* Valid when DONE; `error` when REFUSED. */
	enum http1_error error;
	uint32_t len;              /* bytes of the head with its empty line; the body follows */
	uint32_t fields_n;
	uint8_t minor;             /* HTTP/1.x */
	uint8_t method;            /* enum http1_method */
	uint8_t framing;           /* enum http1_framing */
	uint16_t status;
	struct http1_span method_text, target, reason;
	struct http1_span path;      /* origin part of the target; empty: "/" ("*" for OPTIONS) */
	struct http1_span authority; /* of an absolute target, else the value of Host */
	bool absolute;               /* the target had a scheme and an authority */
	bool keep_alive;             /* the sender wants the connection to live on */
	bool expect_continue;
	bool upgrade;                /* Connection: upgrade, and Upgrade is there */
	bool te_trailers;            /* TE: trailers */
	uint64_t content_length;     /* HTTP1_LENGTH; also what an answer to HEAD says */

	/* Private. */
	uint32_t at;
	bool in_fields;
	uint32_t seen;             /* bit per field id */
	uint8_t options;           /* connection options */
};

void http1_head_init(struct http1_head *h, enum http1_side side, struct http1_field *fields,
		     uint32_t fields_size, const struct http1_limits *limits);
/* DATA begins where the message begins. MORE, DONE, REFUSED or ROOM. */
enum http1_result http1_head_parse(struct http1_head *h, const char *data, size_t len);

/* Case-insensitive for the characters of names; LOWER is lower case. */
bool http1_name_equal(const char *text, const char *lower, size_t len);
/* Could TEXT be the name of a field? RFC 9110 section 5.6.2. */
bool http1_is_token(const char *text, size_t len);
/*
 * The next element of a comma-separated list, without white space around it; empty elements are
 * passed over. Begin with *AT = 0.
 */
bool http1_list_next(const char *value, size_t len, size_t *at, struct http1_span *element);

struct http1_body {
	uint8_t framing;
	uint8_t state;
	uint8_t digits;
	uint8_t trailer_fields;
	uint16_t extension_bytes;
	uint16_t trailer_bytes;
	enum http1_error error;
	uint64_t left;          /* bytes of the body, or of the chunk, that are still to come */
};

/* What http1_body_parse() found. */
struct http1_part {
	size_t used;              /* bytes that are done with, those of the part included */
	struct http1_span data;   /* DATA: the piece; offsets from the DATA of this call */
	struct http1_field field; /* TRAILER */
};

void http1_body_init(struct http1_body *b, const struct http1_head *h);
/*
 * Look at the LEN bytes that come next. MORE (everything used but an unfinished trailer line),
 * DATA, TRAILER, DONE or REFUSED. A body until close is never DONE: the caller knows the end.
 */
enum http1_result http1_body_parse(struct http1_body *b, const char *data, size_t len,
				   struct http1_part *part);

#endif
