#include "base/test.h"

#include "net/http1.h"

/* A message and what becomes of it. Lines of a head are written with | for CR LF. */
struct message_case {
	const char *text;
	enum http1_error error;
	enum http1_framing framing;
	const char *body;  /* decoded */
	bool close;        /* keep_alive is false */
};

#define H "Host: a|"

static const struct message_case requests[] = {
	{ "GET / HTTP/1.1|" H "|", 0, HTTP1_NO_BODY },
	{ "|GET / HTTP/1.1|" H "|", 0, HTTP1_NO_BODY },
	{ "GET /?a=%zz&\"<>\\^`{|}~ HTTP/1.1", HTTP1_E_TARGET }, /* the | is a line end here */
	{ "GET /a?b=\"<>\\^`{}~ HTTP/1.1|" H "|", 0, HTTP1_NO_BODY },
	{ "GET http://b:80/x HTTP/1.1|" H "|", 0, HTTP1_NO_BODY },
	{ "GET HTTPS://[::1]:8443?q HTTP/1.1|" H "|", 0, HTTP1_NO_BODY },
	{ "OPTIONS * HTTP/1.1|" H "|", 0, HTTP1_NO_BODY },
	{ "CONNECT a:443 HTTP/1.1|" H "|", 0, HTTP1_NO_BODY },
	{ "PROPFIND / HTTP/1.1|" H "|", 0, HTTP1_NO_BODY },
	{ "GET / HTTP/1.0||", 0, HTTP1_NO_BODY, .close = true },
	{ "GET / HTTP/1.0|Connection: x, Keep-Alive||", 0, HTTP1_NO_BODY },
	{ "GET / HTTP/1.1|" H "Connection: close||", 0, HTTP1_NO_BODY, .close = true },
	{ "GET / HTTP/1.1|Host:||", 0, HTTP1_NO_BODY },
	{ "GET / HTTP/1.1|hOsT:\t [fe80::1%25e0]:80 \t||", 0, HTTP1_NO_BODY },
	{ "GET / HTTP/1.1|" H "X:|Y: \x80\xff\t z||", 0, HTTP1_NO_BODY },
	{ "POST / HTTP/1.1|" H "Content-Length: 5||hello", 0, HTTP1_LENGTH, "hello" },
	{ "POST / HTTP/1.1|" H "Content-Length: 0||", 0, HTTP1_LENGTH, "" },
	{ "POST / HTTP/1.1|" H "Content-Length: 005||hello", 0, HTTP1_LENGTH, "hello" },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding: Chunked||5|hello|0||", 0, HTTP1_CHUNKED,
	  "hello" },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding: chunked||2;x|he|3;y=\"z\"|llo|00|T: v||", 0,
	  HTTP1_CHUNKED, "hello" },
	{ "POST / HTTP/1.1|" H "Expect: 100-Continue|Content-Length: 1||x", 0, HTTP1_LENGTH, "x" },

	{ "GET  / HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "GET /  HTTP/1.1|" H "|", HTTP1_E_VERSION_TEXT },
	{ "GET / HTTP/1.1 |" H "|", HTTP1_E_VERSION_TEXT },
	{ "GET\t/ HTTP/1.1|" H "|", HTTP1_E_METHOD },
	{ " GET / HTTP/1.1|" H "|", HTTP1_E_METHOD },
	{ "G(T / HTTP/1.1|" H "|", HTTP1_E_METHOD },
	{ "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1|" H "|", HTTP1_E_METHOD },
	{ "||GET / HTTP/1.1|" H "|", HTTP1_E_METHOD },
	{ "\nGET / HTTP/1.1|" H "|", HTTP1_E_BARE_LF },
	{ "\rGET / HTTP/1.1|" H "|", HTTP1_E_BARE_CR },
	{ "GET /|", HTTP1_E_TARGET },
	{ "GET /a#b HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "GET /\x80 HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "GET /\x01 HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "GET a HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "GET * HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "OPTIONS ** HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "GET ftp://a/ HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "GET http://u@a/ HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "GET http:///x HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "GET http://[::1]:x/ HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "CONNECT / HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "CONNECT a HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "GET a:443 HTTP/1.1|" H "|", HTTP1_E_TARGET },
	{ "GET / HTTP/2.0|" H "|", HTTP1_E_VERSION },
	{ "GET / HTTP/1.2|" H "|", HTTP1_E_VERSION },
	{ "GET / HTTP/0.9|" H "|", HTTP1_E_VERSION },
	{ "GET / http/1.1|" H "|", HTTP1_E_VERSION_TEXT },
	{ "GET / HTTP/1.10|" H "|", HTTP1_E_VERSION_TEXT },
	{ "GET / HTTP/1,1|" H "|", HTTP1_E_VERSION_TEXT },
	{ "GET / HTTP/1.1\n" H "|", HTTP1_E_BARE_LF },
	{ "GET / HTTP/1.1|" H "X: y\n|", HTTP1_E_BARE_LF },
	{ "GET / HTTP/1.1|" H "X: y\rZ: y||", HTTP1_E_BARE_CR },
	{ "GET / HTTP/1.1|" H "X:\rTransfer-Encoding: chunked||", HTTP1_E_BARE_CR },
	{ "GET / HTTP/1.1|" H "\n", HTTP1_E_BARE_LF },
	{ "GET / HTTP/1.1|" H "\r\r\n", HTTP1_E_BARE_CR },
	{ "GET / HTTP/1.1|" H "X: a\x01||", HTTP1_E_CONTROL },
	{ "GET / HTTP/1.1|" H "X: a\x7f||", HTTP1_E_CONTROL },
	{ "GET / HTTP/1.1|" H "X: sixteen and more characters\x0b||", HTTP1_E_CONTROL },
	{ "GET / HTTP/1.1|" H "X: y| z||", HTTP1_E_FOLD },
	{ "GET / HTTP/1.1|" H "X: y|\tz||", HTTP1_E_FOLD },
	{ "GET / HTTP/1.1| " H "|", HTTP1_E_FOLD },
	{ "GET / HTTP/1.1|Host : a||", HTTP1_E_COLON_SPACE },
	{ "GET / HTTP/1.1|" H "X\t: a||", HTTP1_E_COLON_SPACE },
	{ "GET / HTTP/1.1|" H ": a||", HTTP1_E_NAME },
	{ "GET / HTTP/1.1|" H "X(: a||", HTTP1_E_NAME },
	{ "GET / HTTP/1.1|" H "X\x80: a||", HTTP1_E_NAME },
	{ "GET / HTTP/1.1|" H "X||", HTTP1_E_NO_COLON },
	{ "GET / HTTP/1.1||", HTTP1_E_HOST_MISSING },
	{ "GET http://a/ HTTP/1.1||", HTTP1_E_HOST_MISSING },
	{ "GET / HTTP/1.1|" H H "|", HTTP1_E_HOST_TWICE },
	{ "GET / HTTP/1.0|" H "host: b||", HTTP1_E_HOST_TWICE },
	{ "GET / HTTP/1.1|Host: a b||", HTTP1_E_HOST },
	{ "GET / HTTP/1.1|Host: a, b||", HTTP1_E_HOST },
	{ "GET / HTTP/1.1|Host: a/b||", HTTP1_E_HOST },
	{ "GET / HTTP/1.1|Host: u@a||", HTTP1_E_HOST },
	{ "GET / HTTP/1.1|Host: a:8o||", HTTP1_E_HOST },
	{ "GET / HTTP/1.1|Host: [::1||", HTTP1_E_HOST },
	{ "GET / HTTP/1.1|Host: [::]x||", HTTP1_E_HOST },
	{ "GET / HTTP/1.1|Host: :80||", HTTP1_E_HOST },
	{ "POST / HTTP/1.1|" H "Content-Length: +5||hello", HTTP1_E_LENGTH },
	{ "POST / HTTP/1.1|" H "Content-Length: -1||", HTTP1_E_LENGTH },
	{ "POST / HTTP/1.1|" H "Content-Length:||", HTTP1_E_LENGTH },
	{ "POST / HTTP/1.1|" H "Content-Length: 0x5||hello", HTTP1_E_LENGTH },
	{ "POST / HTTP/1.1|" H "Content-Length: 5, 5||hello", HTTP1_E_LENGTH },
	{ "POST / HTTP/1.1|" H "Content-Length: 9223372036854775808||", HTTP1_E_LENGTH },
	{ "POST / HTTP/1.1|" H "Content-Length: 18446744073709551621||", HTTP1_E_LENGTH },
	{ "POST / HTTP/1.1|" H "Content-Length: 5|content-length: 5||hello", HTTP1_E_LENGTH_TWICE },
	{ "POST / HTTP/1.1|" H "Content-Length: 5|Content-Length: 6||hello", HTTP1_E_LENGTH_TWICE },
	{ "POST / HTTP/1.1|" H "Content-Length: 5|Transfer-Encoding: chunked||0||",
	  HTTP1_E_LENGTH_AND_CODING },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding: chunked|Content-Length: 5||0||",
	  HTTP1_E_LENGTH_AND_CODING },
	{ "POST / HTTP/1.0|" H "Transfer-Encoding: chunked||0||", HTTP1_E_CODING_OLD },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding: gzip, chunked||0||", HTTP1_E_CODING },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding: xchunked||0||", HTTP1_E_CODING },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding: chunked;q=1||0||", HTTP1_E_CODING },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding: \x0b"
	  "chunked||0||",
	  HTTP1_E_CONTROL },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding:||0||", HTTP1_E_CODING },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding: chunked,||0||", HTTP1_E_CODING_ORDER },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding: , chunked||0||", HTTP1_E_CODING_ORDER },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding: chunked, identity||0||", HTTP1_E_CODING_ORDER },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding: chunked, chunked||0||", HTTP1_E_CODING_ORDER },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding: chunked|Transfer-Encoding: chunked||0||",
	  HTTP1_E_CODING_ORDER },
	{ "POST / HTTP/1.1|" H "Transfer-Encoding: chunked|Transfer-Encoding: x||0||",
	  HTTP1_E_CODING_ORDER },
	{ "GET / HTTP/1.1|" H "Expect: tea||", HTTP1_E_EXPECT },
	{ "GET / HTTP/1.1|" H "Connection: a b||", HTTP1_E_CONNECTION },

#define C "POST / HTTP/1.1|" H "Transfer-Encoding: chunked||"
	{ C "|", HTTP1_E_CHUNK_SIZE },
	{ C "g|", HTTP1_E_CHUNK_SIZE },
	{ C "-1|", HTTP1_E_CHUNK_SIZE },
	{ C "0x5|hello|0||", HTTP1_E_CHUNK_SIZE },
	{ C " 5|hello|0||", HTTP1_E_CHUNK_SIZE },
	{ C "5 |hello|0||", HTTP1_E_CHUNK_SIZE },
	{ C "5\nhello|0||", HTTP1_E_BARE_LF },
	{ C "5\rhello|0||", HTTP1_E_BARE_CR },
	{ C "5;a\nhello|0||", HTTP1_E_BARE_LF },
	{ C "5;a\rX|hello|0||", HTTP1_E_BARE_CR },
	{ C "5;\x01|hello|0||", HTTP1_E_CONTROL },
	{ C "8000000000000000|", HTTP1_E_CHUNK_SIZE },
	{ C "10000000000000005|hello|0||", HTTP1_E_CHUNK_SIZE },
	{ C "00000000000000005|hello|0||", HTTP1_E_CHUNK_SIZE },
	{ C "5|hello0||", HTTP1_E_CHUNK_END },
	{ C "5|hello!|0||", HTTP1_E_CHUNK_END },
	{ C "5|hello\rX0||", HTTP1_E_CHUNK_END },
	{ C "5|hello\n0||", HTTP1_E_CHUNK_END },
	{ C "0|X : y||", HTTP1_E_COLON_SPACE },
	{ C "0|X: y\n|", HTTP1_E_BARE_LF },
	{ C "0|\n", HTTP1_E_BARE_LF },
	{ C "0| X||", HTTP1_E_FOLD },
	{ C "0|Host: b||", HTTP1_E_TRAILER_FIELD },
	{ C "0|X: y|content-length: 3||", HTTP1_E_TRAILER_FIELD },
	{ C "0|Transfer-Encoding: chunked||", HTTP1_E_TRAILER_FIELD },
};

static const struct message_case responses[] = {
	{ "HTTP/1.1 200 OK|Content-Length: 2||ok", 0, HTTP1_LENGTH, "ok" },
	{ "HTTP/1.1 200|Content-Length: 2||ok", 0, HTTP1_LENGTH, "ok" },
	{ "HTTP/1.1 200 |Content-Length: 2||ok", 0, HTTP1_LENGTH, "ok" },
	{ "HTTP/1.1 200 OK||all of it", 0, HTTP1_UNTIL_CLOSE, "all of it", .close = true },
	{ "HTTP/1.0 200 OK||all of it", 0, HTTP1_UNTIL_CLOSE, "all of it", .close = true },
	{ "HTTP/1.0 200 OK|Content-Length: 2||ok", 0, HTTP1_LENGTH, "ok", .close = true },
	{ "HTTP/1.0 200 OK|Content-Length: 2|Connection: keep-alive||ok", 0, HTTP1_LENGTH, "ok" },
	{ "HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|ok|0||", 0, HTTP1_CHUNKED, "ok" },
	{ "HTTP/1.1 204 No Content||", 0, HTTP1_NO_BODY },
	{ "HTTP/1.1 204 No Content|Content-Length: 0||", 0, HTTP1_NO_BODY },
	{ "HTTP/1.1 304 Not Modified|Content-Length: 7||", 0, HTTP1_NO_BODY },
	{ "HTTP/1.1 100 Continue||", 0, HTTP1_NO_BODY },
	{ "HTTP/1.1 101 Switching Protocols|Connection: upgrade|Upgrade: x||", 0, HTTP1_NO_BODY },

	{ "HTTP/1.1  200 OK||", HTTP1_E_STATUS },
	{ "HTTP/1.1 2000 OK||", HTTP1_E_STATUS },
	{ "HTTP/1.1 099 OK||", HTTP1_E_STATUS },
	{ "HTTP/1.1 600 OK||", HTTP1_E_STATUS },
	{ "HTTP/1.1 20x OK||", HTTP1_E_STATUS },
	{ "HTTP/1.1 200\tOK||", HTTP1_E_STATUS },
	{ "HTTP/1.1 200 O\x01K||", HTTP1_E_CONTROL },
	{ "HTTP/1.1 200 OK\n|", HTTP1_E_BARE_LF },
	{ "HTTP/2.0 200 OK||", HTTP1_E_VERSION },
	{ "ICY 200 OK||", HTTP1_E_VERSION_TEXT },
	{ "|HTTP/1.1 200 OK||", HTTP1_E_VERSION_TEXT },
	{ "HTTP/1.1 200 OK|X: a| b||", HTTP1_E_FOLD },
	{ "HTTP/1.1 200 OK|Content-Length: 2|Content-Length: 2||ok", HTTP1_E_LENGTH_TWICE },
	{ "HTTP/1.1 200 OK|Content-Length: 2|Transfer-Encoding: chunked||0||",
	  HTTP1_E_LENGTH_AND_CODING },
	{ "HTTP/1.0 200 OK|Transfer-Encoding: chunked||0||", HTTP1_E_CODING_OLD },
	{ "HTTP/1.1 200 OK|Transfer-Encoding: gzip||x", HTTP1_E_CODING },
};

struct outcome {
	enum http1_result result;
	enum http1_error error;
	struct http1_head head;
	struct http1_field fields[64];
	char body[256];
	size_t body_len, trailers, used;
};

/* Feed TEXT in pieces that end at FIRST, FIRST + STEP, ...; all at once when STEP is 0. */
static void run(struct outcome *o, enum http1_side side, const char *text, size_t len, size_t first,
		size_t step)
{
	struct http1_body body = { 0 };
	struct http1_part part;
	bool in_body = false;
	size_t at = 0;

	memset(o, 0, sizeof(*o));
	http1_head_init(&o->head, side, o->fields, ARRAY_SIZE(o->fields), &http1_limits_default);
	for (size_t have = step ? first : len;; have = MIN(have + step, len)) {
		o->result = HTTP1_MORE;
		if (!in_body) {
			/* A copy of that size: the sanitizer sees a look behind the end. */
			CLEANUP_FREE char *copy = xmalloc(have + 1);

			memcpy(copy, text, have);
			o->result = http1_head_parse(&o->head, copy, have);
			o->error = o->head.error;
			if (o->result == HTTP1_DONE) {
				at = o->head.len;
				in_body = true;
				http1_body_init(&body, &o->head);
			}
		}
		while (in_body) {
			o->result = http1_body_parse(&body, text + at, have - at, &part);
			o->error = body.error;
			if (o->result == HTTP1_DATA) {
				assert_true(o->body_len + part.data.len <= sizeof(o->body));
				memcpy(o->body + o->body_len, text + at + part.data.at,
				       part.data.len);
				o->body_len += part.data.len;
			} else if (o->result == HTTP1_TRAILER) {
				o->trailers++;
			}
			at += part.used;
			if (o->result != HTTP1_DATA && o->result != HTTP1_TRAILER)
				break;
		}
		o->used = at;
		if (o->result == HTTP1_DONE || o->result == HTTP1_REFUSED || have == len)
			return;
	}
}

static char *spell(const char *text, size_t *len)
{
	char *out = xmalloc(strlen(text) * 2 + 1), *p = out;

	for (; *text; text++) {
		if (*text == '|')
			*p++ = '\r';
		*p++ = *text == '|' ? '\n' : *text;
	}
	*len = (size_t)(p - out);
	return out;
}

static void check(enum http1_side side, const struct message_case *m)
{
	struct outcome whole, cut;
	size_t len;
	CLEANUP_FREE char *text = spell(m->text, &len);

	run(&whole, side, text, len, 0, 0);
	if (whole.error != m->error)
		fail_msg("'%s': %s, expected %s", m->text, http1_error_name(whole.error),
			 http1_error_name(m->error));
	if (m->error) {
		assert_int_equal(whole.result, HTTP1_REFUSED);
	} else {
		if (whole.head.framing != m->framing || whole.head.keep_alive == m->close)
			fail_msg("'%s': framing %d, keep-alive %d", m->text, whole.head.framing,
				 whole.head.keep_alive);
		assert_int_equal(whole.result,
				 m->framing == HTTP1_UNTIL_CLOSE ? HTTP1_MORE : HTTP1_DONE);
		assert_int_equal(whole.used, len);
		if (m->body) {
			assert_int_equal(whole.body_len, strlen(m->body));
			assert_memory_equal(whole.body, m->body, whole.body_len);
		}
	}
	for (size_t first = 0; first <= len; first++)
		for (size_t step = 1; step <= len; step += len > 1 ? len - 1 : 1) {
			run(&cut, side, text, len, first, step);
			if (cut.result != whole.result || cut.error != whole.error ||
			    cut.used != whole.used || cut.trailers != whole.trailers ||
			    cut.body_len != whole.body_len ||
			    memcmp(cut.body, whole.body, whole.body_len) != 0 ||
			    memcmp(cut.fields, whole.fields, sizeof(cut.fields)) != 0)
				fail_msg(
					"'%s' cut at %zu, steps of %zu: %s at %zu, whole: %s at %zu",
					m->text, first, step, http1_error_name(cut.error), cut.used,
					http1_error_name(whole.error), whole.used);
		}
}

static void requests_are_framed_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		check(HTTP1_REQUEST, &requests[i]);
}

static void responses_are_framed_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(responses); i++)
		check(HTTP1_RESPONSE, &responses[i]);
}

static void nul_is_refused_everywhere(void **state)
{
	static const char text[] =
		"POST /a HTTP/1.1\r\nHost: a\r\nX: yy\r\nTransfer-Encoding: chunked\r\n"
		"\r\n3;x\r\nabc\r\n0\r\nT: v\r\n\r\n";
	size_t len = sizeof(text) - 1, data = (size_t)(strstr(text, "abc") - text);
	struct outcome o;

	(void)state;
	for (size_t i = 0; i < len; i++) {
		char copy[sizeof(text)];

		memcpy(copy, text, sizeof(text));
		copy[i] = '\0';
		run(&o, HTTP1_REQUEST, copy, len, 0, 0);
		if (i >= data && i < data + 3)
			assert_int_equal(o.result, HTTP1_DONE);
		else
			assert_int_equal(o.result, HTTP1_REFUSED);
	}
}

#define parse(text, limits) parse_text(&h, fields, ARRAY_SIZE(fields), limits, text)

static enum http1_result parse_text(struct http1_head *h, struct http1_field *fields, uint32_t n,
				    const struct http1_limits *limits, const char *text)
{
	http1_head_init(h, HTTP1_REQUEST, fields, n, limits);
	return http1_head_parse(h, text, strlen(text));
}

static void limits_have_their_statuses(void **state)
{
	static const struct http1_limits small = {
		.line = 30, .field = 20, .head = 60, .fields = 3
	};
	struct http1_field fields[8];
	struct http1_head h;

	(void)state;
	assert_int_equal(parse("GET /23456789012345 HTTP/1.1\r\nHost: a\r\n\r\n", &small),
			 HTTP1_DONE);
	assert_int_equal(parse("GET /234567890123456 HTTP/1.1\r\nHost: a\r\n\r\n", &small),
			 HTTP1_REFUSED);
	assert_int_equal(http1_error_status(h.error), 414);
	assert_int_equal(parse("GET /2345678901234567890123456", &small), HTTP1_REFUSED);
	assert_int_equal(h.error, HTTP1_E_TARGET_LONG);
	assert_int_equal(parse("GET / HTTP/1.1\r\nHost: 789012345678\r\n\r\n", &small), HTTP1_DONE);
	assert_int_equal(parse("GET / HTTP/1.1\r\nHost: 7890123456789\r\n\r\n", &small),
			 HTTP1_REFUSED);
	assert_int_equal(h.error, HTTP1_E_FIELD_LONG);
	assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a\r\nA:b\r\nC:d\r\n\r\n", &small),
			 HTTP1_DONE);
	assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a\r\nA:b\r\nC:d\r\nE:f\r\n\r\n", &small),
			 HTTP1_REFUSED);
	assert_int_equal(h.error, HTTP1_E_FIELD_COUNT);
	assert_int_equal(
		parse("GET / HTTP/1.1\r\nHost: a\r\nA: 4567890123456\r\nC: 45678901234\r\n\r\n",
		      &small),
		HTTP1_REFUSED);
	assert_int_equal(h.error, HTTP1_E_HEAD_LONG);
	assert_int_equal(http1_error_status(h.error), 431);
}

static void a_full_array_is_not_an_error(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n";
	struct http1_field fields[4];
	struct http1_head h;

	(void)state;
	http1_head_init(&h, HTTP1_REQUEST, fields, 1, &http1_limits_default);
	assert_int_equal(http1_head_parse(&h, text, sizeof(text) - 1), HTTP1_ROOM);
	h.fields_size = 4;
	assert_int_equal(http1_head_parse(&h, text, sizeof(text) - 1), HTTP1_DONE);
	assert_int_equal(h.fields_n, 3);
}

static void absolute_targets_name_the_authority(void **state)
{
	static const char text[] = "GET http://b.example:81?q=1 HTTP/1.1\r\nHost: a\r\n\r\n";
	struct http1_field fields[4];
	struct http1_head h;

	(void)state;
	assert_int_equal(parse(text, &http1_limits_default), HTTP1_DONE);
	assert_true(h.absolute);
	assert_int_equal(h.authority.len, 12);
	assert_memory_equal(text + h.authority.at, "b.example:81", 12);
	assert_int_equal(h.path.len, 4);
	assert_memory_equal(text + h.path.at, "?q=1", 4);
}

static void hop_by_hop_fields_are_marked(void **state)
{
	static const struct { const char *name; bool hop;
	} want[] = {
		{ "host", false },
		{ "connection", true },
		{ "x-a", true },
		{ "keep-alive", true },
		{ "te", true },
		{ "trailer", true },
		{ "transfer-encoding", true },
		{ "x-b", false },
		{ "upgrade", true },
		{ "proxy-connection", true },
	};
	static const char text[] =
		"POST / HTTP/1.1\r\nHost: a\r\nConnection: X-a, host,,Upgrade\r\nx-A: 1\r\n"
		"Keep-Alive: 1\r\nTE: trailers\r\nTrailer: t\r\n"
		"Transfer-Encoding: chunked\r\nX-B: 1\r\nUpgrade: w\r\n"
		"Proxy-Connection: k\r\n\r\n";
	struct http1_field fields[16];
	struct http1_head h;

	(void)state;
	assert_int_equal(parse(text, &http1_limits_default), HTTP1_DONE);
	assert_int_equal(h.fields_n, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_int_equal(fields[i].name_len, strlen(want[i].name));
		assert_true(http1_name_equal(text + fields[i].name_at, want[i].name, fields[i].name_len));
		assert_int_equal(fields[i].hop, want[i].hop);
	}
	assert_true(h.upgrade);
	assert_true(h.te_trailers);
	assert_true(h.keep_alive);
}

static void a_response_to_head_has_no_body(void **state)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
	struct http1_field fields[4];
	struct http1_head h;

	(void)state;
	http1_head_init(&h, HTTP1_RESPONSE, fields, ARRAY_SIZE(fields), &http1_limits_default);
	h.to_head = true;
	assert_int_equal(http1_head_parse(&h, text, sizeof(text) - 1), HTTP1_DONE);
	assert_int_equal(h.framing, HTTP1_NO_BODY);
	assert_int_equal(h.content_length, 7);
	assert_true(h.keep_alive);
}

static void endless_trailers_and_extensions_end(void **state)
{
	struct http1_head h = { .framing = HTTP1_CHUNKED };
	struct http1_body b;
	struct http1_part part;
	enum http1_result r;
	size_t n = 0;

	(void)state;
	http1_body_init(&b, &h);
	assert_int_equal(http1_body_parse(&b, "1;", 2, &part), HTTP1_MORE);
	while (http1_body_parse(&b, "x", 1, &part) == HTTP1_MORE)
		n++;
	assert_int_equal(b.error, HTTP1_E_CHUNK_EXTENSION);
	assert_int_equal(n, HTTP1_CHUNK_EXTENSION - 1); /* and the semicolon */

	http1_body_init(&b, &h);
	assert_int_equal(http1_body_parse(&b, "0\r\n", 3, &part), HTTP1_MORE);
	for (n = 0; (r = http1_body_parse(&b, "a: b\r\n", 6, &part)) == HTTP1_TRAILER; n++)
		;
	assert_int_equal(r, HTTP1_REFUSED);
	assert_int_equal(b.error, HTTP1_E_TRAILER_LONG);
	assert_int_equal(n, HTTP1_TRAILER_FIELDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_framed_or_refused),
		cmocka_unit_test(responses_are_framed_or_refused),
		cmocka_unit_test(nul_is_refused_everywhere),
		cmocka_unit_test(limits_have_their_statuses),
		cmocka_unit_test(a_full_array_is_not_an_error),
		cmocka_unit_test(absolute_targets_name_the_authority),
		cmocka_unit_test(hop_by_hop_fields_are_marked),
		cmocka_unit_test(a_response_to_head_has_no_body),
		cmocka_unit_test(endless_trailers_and_extensions_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
