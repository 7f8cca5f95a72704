/*
 * A worker that speaks HTTP, between clients and servers that are this test: what one side says,
 * and what arrives at the other, byte by byte.
 */
#include "engine/http/http_world.h"

#include <pthread.h>

#define H     "Host: a\r\n"
#define XFF   "X-Forwarded-For: 127.0.0.1\r\n"
#define DATE  "Date: today\r\n"
#define GET   "GET / HTTP/1.1\r\n" H "\r\n"
#define GET_  "GET / HTTP/1.1\r\n" H XFF "\r\n" /* as it arrives */
#define OK    "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\n\r\nok"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

/* ---- the vocabulary ---- */

static void limit_waits(int fd)
{
	struct timeval tv = { .tv_sec = LIMIT_S };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int client(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	limit_waits(fd);
	assert_int_equal(connect(fd, &w.front.sa, address_len(&w.front)), 0);
	return fd;
}

/* The next connection that server I gets. */
static int server(int i)
{
	int fd;

	limit_waits(w.server_fd[i]);
	fd = accept4(w.server_fd[i], NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	limit_waits(fd);
	return fd;
}

static void say_bytes(int fd, const char *text, size_t n)
{
	assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

static void say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text));
}

static void hear(int fd, const char *text)
{
	size_t n = strlen(text), have = 0, owed = 0;
	CLEANUP_FREE char *got = xcalloc(1, n + ID_LINE + 1);

	while (have < n || owed) {
		ssize_t r = recv(fd, got + have, owed ? owed : n - have, 0);

		if (r <= 0) {
			assert_string_equal(got, text); /* shows the difference */
			fail_msg("nothing more came");
		}
		have += (size_t)r;
		owed = without_ids(got, &have);
		got[have] = '\0';
		if (!owed && memcmp(got, text, have) != 0)
			assert_string_equal(got, text);
	}
}

static void hear_end(int fd)
{
	char c = 0;
	ssize_t n = recv(fd, &c, 1, 0);

	if (n != 0)
		fail_msg("expected the end, got %zd ('%c', %s)", n, c,
			 n < 0 ? strerror(errno) : "");
}

static void hear_broken(int fd)
{
	char c[64];
	ssize_t n;

	while ((n = recv(fd, c, sizeof(c), 0)) > 0)
		;
	assert_int_equal(n, -1);
	assert_int_equal(errno, ECONNRESET);
}

static bool is_silent(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

/* Our own answer: STATUS, and what its head says of the connection. */
static void hear_refusal(int fd, int status, bool closes)
{
	char head[1024] = "", want[32];
	size_t n = 0;
	const char *end, *length;

	while (!(end = strstr(head, "\r\n\r\n"))) {
		assert_true(n < sizeof(head) - 1);
		if (recv(fd, head + n, 1, 0) != 1)
			fail_msg("expected %d, got '%s'", status, head);
		n++;
	}
	snprintf(want, sizeof(want), "HTTP/1.1 %d ", status);
	if (strncmp(head, want, strlen(want)) != 0)
		fail_msg("expected %d, got %s", status, head);
	assert_non_null(strstr(head, "\r\nDate: "));
	assert_int_equal(strstr(head, "\r\nConnection: close\r\n") != NULL, closes);
	length = strstr(head, "Content-Length: ");
	assert_non_null(length);
	n = strtoul(length + 16, NULL, 10);
	assert_in_range(n, 10, 200);
	assert_int_equal(recv(fd, head, n, MSG_WAITALL), n);
}

/* ---- there and back ---- */

struct trip {
	const char *says, *arrives;      /* request: at the client, at the server */
	const char *answers, *returns;   /* response: at the server, at the client */
	enum { KEPT, CLOSED } client;    /* afterwards */
	enum { RESTS, ENDS, HANGS_UP } server; /* HANGS_UP: that is the end of its answer */
};

static const struct trip trips[] = {
	{ GET, GET_, OK, OK },
	{ "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", GET_, OK,
	  "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\nConnection: close\r\n\r\nok", CLOSED },
	/* what is of the connection goes no further */
	{ "GET / HTTP/1.1\r\n" H
	  "Connection: X-a, keep-alive\r\nX-A: 1\r\nX-B: 2\r\nKeep-Alive: 3\r\nTE: gzip\r\n"
	  "Proxy-Connection: x\r\nUpgrade: h2c\r\n\r\n",
	  "GET / HTTP/1.1\r\n" H "X-B: 2\r\n" XFF "\r\n",
	  "HTTP/1.1 200 OK\r\n" DATE
	  "Connection: X-s\r\nX-S: 1\r\nKeep-Alive: x\r\nContent-Length: 0\r\nX-T: 2\r\n\r\n",
	  "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 0\r\nX-T: 2\r\n\r\n" },
	{ "GET / HTTP/1.1\r\n" H "x-forwarded-for: 6.6.6.6\r\nX: y\r\n\r\n",
	  "GET / HTTP/1.1\r\n" H "X: y\r\n" XFF "\r\n", OK, OK },
	{ "GET http://b:81/p?q HTTP/1.1\r\n" H "X: y\r\n\r\n",
	  "GET /p?q HTTP/1.1\r\nX: y\r\nHost: b:81\r\n" XFF "\r\n", OK, OK },
	{ "OPTIONS http://b HTTP/1.1\r\n" H "\r\n", "OPTIONS * HTTP/1.1\r\nHost: b\r\n" XFF "\r\n",
	  OK, OK },
	{ "GET http://b?q HTTP/1.1\r\n" H "\r\n", "GET /?q HTTP/1.1\r\nHost: b\r\n" XFF "\r\n", OK,
	  OK },
	{ "\r\nGET / HTTP/1.1\r\n" H "\r\n", GET_, OK, OK },
	/* HTTP/1.0 */
	{ "GET / HTTP/1.0\r\n" H "\r\n", GET_, OK,
	  "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\nConnection: close\r\n\r\nok", CLOSED },
	{ "GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n", GET_,
	  "HTTP/1.0 200 OK\r\n" DATE "Content-Length: 2\r\n\r\nok",
	  "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\nConnection: keep-alive\r\n\r\nok", KEPT,
	  ENDS },
	{ "GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n", GET_,
	  "HTTP/1.1 200 OK\r\n" DATE CHUNKED "\r\n2\r\nok\r\n0\r\n\r\n",
	  "HTTP/1.1 200 OK\r\n" DATE "Connection: close\r\n\r\nok", CLOSED },
	/* Whoever says no reason says the blank before it. */
	{ GET, GET_, "HTTP/1.1 200\r\n" DATE "Content-Length: 2\r\n\r\nok", "HTTP/1.1 200 \r\n" DATE "Content-Length: 2\r\n\r\nok" },
	{ GET, GET_, "HTTP/1.0 200\r\n" DATE "Content-Length: 2\r\n\r\nok", "HTTP/1.1 200 \r\n" DATE "Content-Length: 2\r\n\r\nok", KEPT, ENDS },
	{ "GET / HTTP/1.0\r\n" H "\r\n", GET_, "HTTP/1.1 200 OK\r\n" DATE "\r\nuntil the end",
	  "HTTP/1.1 200 OK\r\n" DATE "Connection: close\r\n\r\nuntil the end", CLOSED, HANGS_UP },
	/* bodies */
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello",
	  "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n" XFF "\r\nhello", OK, OK },
	{ "POST / HTTP/1.1\r\n" H CHUNKED
	  "\r\n5;x=\"y\"\r\nhello\r\n1\r\n!\r\n0\r\nT: v\r\nConnection: t\r\n\r\n",
	  "POST / HTTP/1.1\r\n" H XFF CHUNKED "\r\n6\r\nhello!\r\n0\r\nT: v\r\n\r\n", OK, OK },
	{ GET, GET_,
	  "HTTP/1.1 200 OK\r\n" DATE CHUNKED "\r\n1\r\no\r\n001;e\r\nk\r\n0\r\nT: v\r\n\r\n",
	  "HTTP/1.1 200 OK\r\n" DATE CHUNKED "\r\n2\r\nok\r\n0\r\n\r\n" },
	{ "GET / HTTP/1.1\r\n" H "TE: trailers\r\n\r\n",
	  "GET / HTTP/1.1\r\n" H XFF "TE: trailers\r\nConnection: te\r\n\r\n",
	  "HTTP/1.1 200 OK\r\n" DATE CHUNKED "\r\n2\r\nok\r\n0\r\nT: v\r\n\r\n",
	  "HTTP/1.1 200 OK\r\n" DATE CHUNKED "\r\n2\r\nok\r\n0\r\nT: v\r\n\r\n" },
	{ GET, GET_, "HTTP/1.1 200 OK\r\n" DATE "\r\nuntil the end",
	  "HTTP/1.1 200 OK\r\n" DATE CHUNKED "\r\nd\r\nuntil the end\r\n0\r\n\r\n", KEPT,
	  HANGS_UP },
	{ GET, GET_, "HTTP/1.1 200 OK\r\n" DATE "Connection: close\r\nContent-Length: 2\r\n\r\nok",
	  OK, KEPT, ENDS },
	/* no bodies */
	{ "HEAD / HTTP/1.1\r\n" H "\r\n", "HEAD / HTTP/1.1\r\n" H XFF "\r\n",
	  "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\n\r\n",
	  "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\n\r\n" },
	{ "HEAD / HTTP/1.1\r\n" H "\r\n", "HEAD / HTTP/1.1\r\n" H XFF "\r\n",
	  "HTTP/1.1 200 OK\r\n" DATE CHUNKED "\r\n", "HTTP/1.1 200 OK\r\n" DATE "\r\n" },
	{ GET, GET_, "HTTP/1.1 204 No Content\r\n" DATE "Content-Length: 0\r\n\r\n",
	  "HTTP/1.1 204 No Content\r\n" DATE "\r\n" },
	{ GET, GET_, "HTTP/1.1 304 Not Modified\r\n" DATE "Content-Length: 7\r\n\r\n",
	  "HTTP/1.1 304 Not Modified\r\n" DATE "Content-Length: 7\r\n\r\n" },
	/* answers before the answer */
	{ GET, GET_, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK,
	  "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK },
	{ "GET / HTTP/1.0\r\n" H "\r\n", GET_, "HTTP/1.1 103 Early Hints\r\n\r\n" OK,
	  "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\nConnection: close\r\n\r\nok", CLOSED },
};

static void what_is_said_arrives(void **state)
{
	(void)state;
	configure();
	for (size_t i = 0; i < ARRAY_SIZE(trips); i++) {
		const struct trip *t = &trips[i];
		int c = client(), s;

		say(c, t->says);
		s = server(0);
		hear(s, t->arrives);
		say(s, t->answers);
		if (t->server == HANGS_UP) {
			close(s);
			s = -1;
		}
		hear(c, t->returns);
		if (t->client == CLOSED) {
			hear_end(c);
		} else {
			say(c, GET);
			if (t->server != RESTS) {
				if (s >= 0)
					close(s);
				s = server(0);
			}
			hear(s, GET_);
			say(s, OK);
			hear(c, OK);
		}
		close(c);
		if (s >= 0)
			close(s);
		counted(&service()->conn_open, 0);
		counted(&server_of(0)->conn_open, 0);
	}
}

/* The same in drops: nothing may depend on how the bytes come. */
static void drops_arrive_as_well(void **state)
{
	static const char says[] = "POST /a HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello";
	static const char answers[] = "HTTP/1.1 200 OK\r\n" DATE CHUNKED "\r\n2\r\nok\r\n0\r\n\r\n";
	int c, s;

	(void)state;
	configure();
	c = client();
	for (size_t i = 0; i < sizeof(says) - 1; i++) {
		say_bytes(c, says + i, 1);
		counted(&service()->bytes_from_client, i + 1);
	}
	s = server(0);
	hear(s, "POST /a HTTP/1.1\r\n" H "Content-Length: 5\r\n" XFF "\r\nhello");
	for (size_t i = 0; i < sizeof(answers) - 1; i++) {
		say_bytes(s, answers + i, 1);
		counted(&server_of(0)->bytes_from_server, i + 1);
	}
	hear(c, "HTTP/1.1 200 OK\r\n" DATE CHUNKED "\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n");
	close(c);
	close(s);
}

static void a_bad_header_name_of_the_profile_is_not_used(void **state)
{
	int c, s;

	(void)state;
	w.http.xff_alternate_name = "X-Real: 1\r\nX-Admin";
	configure();
	c = client();
	say(c, GET);
	s = server(0);
	hear(s, GET_);
	close(c);
	close(s);
}

static void forwarded_for_follows_the_profile(void **state)
{
	static const struct { enum xff_update update; const char *says, *arrives;
	} cases[] = {
		{ APPEND_TO_THE_XFF_HEADER, "",
		  "Real-IP: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n" },
		{ APPEND_TO_THE_XFF_HEADER, "real-ip: 6.6.6.6 \r\nX: y\r\n",
		  "real-ip: 6.6.6.6, 127.0.0.1\r\nX: y\r\nX-Forwarded-Proto: http\r\n" },
		{ APPEND_TO_THE_XFF_HEADER,
		  "real-ip: 6\r\nReal-IP: 7\r\nX-Forwarded-Proto: https\r\n",
		  "real-ip: 6\r\nReal-IP: 7, 127.0.0.1\r\nX-Forwarded-Proto: http\r\n" },
		{ ADD_NEW_XFF_HEADER, "real-ip: 6\r\n",
		  "real-ip: 6\r\nReal-IP: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n" },
		{ REPLACE_XFF_HEADERS, "real-ip: 6\r\nReal-IP: 7\r\n",
		  "Real-IP: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n" },
	};
	char text[256];
	int c, s = -1;

	(void)state;
	w.http.xff_alternate_name = "Real-IP";
	w.http.x_forwarded_proto_enabled = true;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		w.http.xff_update = cases[i].update;
		configure();
		c = client();
		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" H "%s\r\n", cases[i].says);
		say(c, text);
		if (s < 0)
			s = server(0);
		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" H "%s\r\n", cases[i].arrives);
		hear(s, text);
		say(s, OK);
		hear(c, OK);
		close(c);
		counted(&service()->conn_open, 0);
	}
	close(s);
}

/* ---- refusals ---- */

static void bad_requests_are_answered_here(void **state)
{
	static const struct { const char *says; int status; size_t counter;
	} cases[] = {
#define COUNTER(name) offsetof(struct service_counters, name)
		{ "GET / HTTP/1.1\r\n\r\n", 400, COUNTER(http_bad_request) },
		{ "GET / HTTP/1.1\nHost: a\n\n", 400, COUNTER(http_bad_request) },
		{ "\x16\x03\x01\x02", 400, COUNTER(http_bad_request) },
		{ "GET / HTTP/1.1\r\n" H "X : y\r\n\r\n", 400, COUNTER(http_bad_request) },
		{ "GET / HTTP/2.0\r\n" H "\r\n", 505, COUNTER(http_bad_version) },
		{ "GET / HTTP/1.1\r\n" H "Expect: x\r\n\r\n", 417, COUNTER(http_bad_request) },
		{ "CONNECT a:80 HTTP/1.1\r\n" H "\r\n", 501, COUNTER(http_bad_method) },
		{ "TRACE / HTTP/1.1\r\n" H "\r\n", 501, COUNTER(http_bad_method) },
		{ "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n" CHUNKED "\r\n0\r\n\r\n", 400,
		  COUNTER(http_bad_framing) },
		{ "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400,
		  COUNTER(http_bad_framing) },
		{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501,
		  COUNTER(http_bad_framing) },
		{ "POST / HTTP/1.1\r\n" H "Content-Length: 1025\r\n\r\n", 413,
		  COUNTER(http_body_large) },
	};
	char *c0 = (char *)service();

	(void)state;
	w.http.client_max_body_size = 1;
	configure();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t before = now((uint64_t *)(void *)(c0 + cases[i].counter));
		int c = client();

		say(c, cases[i].says);
		hear_refusal(c, cases[i].status, true);
		hear_end(c);
		close(c);
		counted((uint64_t *)(void *)(c0 + cases[i].counter), before + 1);
	}
	counted(&service()->http_requests, ARRAY_SIZE(cases));
	assert_int_equal(now(&service()->http_4xx) + now(&service()->http_5xx), ARRAY_SIZE(cases));
	assert_int_equal(now(&server_of(0)->conn_total), 0);
}

static void large_heads_are_refused(void **state)
{
	char line[13000];
	int c;

	(void)state;
	configure();
	memset(line, 'x', sizeof(line));
	c = client();
	say(c, "GET /");
	say_bytes(c, line, sizeof(line));
	hear_refusal(c, 414, true);
	close(c);
	c = client();
	say(c, "GET / HTTP/1.1\r\n" H "X: ");
	say_bytes(c, line, sizeof(line));
	hear_refusal(c, 431, true);
	close(c);
	c = client();
	say(c, "GET / HTTP/1.1\r\n" H);
	for (int i = 0; i < 256; i++)
		say(c, "X: y\r\n");
	say(c, "\r\n");
	hear_refusal(c, 431, true);
	hear_end(c);
	close(c);
	counted(&service()->http_head_large, 3);
}

static void a_large_head_of_an_answer_is_not_passed_on(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ";
	char whole[sizeof(head) - 1 + 3000];
	int c, s;

	(void)state;
	/* In one piece: the connection may be gone before a second one. */
	memset(whole, 'x', sizeof(whole));
	memcpy(whole, head, sizeof(head) - 1);
	memcpy(whole + sizeof(whole) - 4, "\r\n\r\n", 4);
	for (int kib = 2; kib <= 4; kib += 2) {
		w.http.max_response_headers_size = kib;
		configure();
		c = client();
		say(c, GET);
		s = server(0);
		hear(s, GET_);
		say_bytes(s, whole, sizeof(whole));
		if (kib == 2)
			hear_refusal(c, 502, false);
		else
			hear(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: xxx");
		close(c);
		close(s);
	}
	counted(&server_of(0)->http_malformed, 1);
}

static void a_bad_chunk_ends_the_request(void **state)
{
	int c, s;

	(void)state;
	configure();
	c = client();
	say(c, "POST / HTTP/1.1\r\n" H CHUNKED "\r\n3\r\nabc\r\n");
	s = server(0);
	hear(s, "POST / HTTP/1.1\r\n" H XFF CHUNKED "\r\n3\r\nabc\r\n");
	say(c, "x\r\n");
	hear_refusal(c, 400, true);
	hear_broken(s);
	close(c);
	close(s);
	counted(&service()->http_bad_framing, 1);
}

static void bad_answers_are_never_passed_on(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" CHUNKED "\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"HTTP/1.1 200 OK\r\nX\r\n\r\n",
		"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
		"ICY 200 OK\r\n\r\n",
	};
	int c, s;

	(void)state;
	configure();
	c = client();
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		say(c, GET);
		s = server(0);
		hear(s, GET_);
		say(s, answers[i]);
		hear_refusal(c, 502, false); /* the client's connection is clean */
		close(s);
	}
	counted(&service()->http_server_malformed, ARRAY_SIZE(answers));
	counted(&server_of(0)->http_malformed, ARRAY_SIZE(answers));
	close(c);
}

static void an_answer_cut_short_is_seen_as_such(void **state)
{
	int c, s;

	(void)state;
	configure();
	c = client();
	say(c, GET);
	s = server(0);
	hear(s, GET_);
	say(s, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 9\r\n\r\nok");
	close(s);
	hear_broken(c);
	close(c);
	counted(&server_of(0)->http_cut_short, 1);
}

/* ---- connections ---- */

static void clients_share_server_connections(void **state)
{
	int a, b, s;

	(void)state;
	configure();
	a = client();
	b = client();
	say(a, GET);
	s = server(0);
	hear(s, GET_);
	say(s, OK);
	hear(a, OK);
	say(b, GET);
	hear(s, GET_);
	say(s, OK);
	hear(b, OK);
	counted(&server_of(0)->conn_total, 1);
	counted(&server_of(0)->conn_reused, 1);
	close(a);
	close(b);
	close(s);
}

static void an_error_may_end_the_server_s_connection(void **state)
{
	static const char error[] = "HTTP/1.1 404 Not Found\r\n" DATE "Content-Length: 0\r\n\r\n";
	int c, s;

	(void)state;
	w.http.close_server_side_connection_on_error = true;
	configure();
	c = client();
	say(c, GET);
	s = server(0);
	hear(s, GET_);
	say(s, OK);
	hear(c, OK);
	say(c, GET);
	hear(s, GET_);
	say(s, error);
	hear(c, error);
	hear_end(s);
	close(s);
	close(c);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	int c, s;

	(void)state;
	configure();
	c = client();
	say(c, "GET /1 HTTP/1.1\r\n" H "\r\nPOST /2 HTTP/1.1\r\n" H
	       "Content-Length: 2\r\n\r\nxyGET /3 HTTP/1.1\r\n" H "\r\n");
	shutdown(c, SHUT_WR);
	s = server(0);
	hear(s, "GET /1 HTTP/1.1\r\n" H XFF "\r\n");
	assert_true(is_silent(s));
	say(s, OK);
	hear(s, "POST /2 HTTP/1.1\r\n" H "Content-Length: 2\r\n" XFF "\r\nxy");
	say(s, OK);
	hear(s, "GET /3 HTTP/1.1\r\n" H XFF "\r\n");
	say(s, OK);
	hear(c, OK OK OK);
	hear_end(c);
	close(c);
	close(s);
}

static void requests_refused_in_a_row_do_not_pile_up(void **state)
{
	int c;

	(void)state;
	close(w.server_fd[0]);
	w.server_fd[0] = -1;
	w.max_load = 1;
	atomic_store(&w.backend[0]->load, 1); /* somebody else has the only connection */
	configure();
	c = client();
	for (int i = 0; i < 1500; i++)
		say(c, "GET / HTTP/1.1\r\nHost:\r\n\r\n");
	for (int i = 0; i < 1500; i++)
		hear_refusal(c, 503, false);
	counted(&service()->http_servers_busy, 1500);
	close(c);
	atomic_store(&w.backend[0]->load, 0);
}

static void without_a_server_the_connection_is_closed_with_words(void **state)
{
	int c;

	(void)state;
	w.n_servers = 0;
	configure();
	c = client();
	say(c, GET GET);
	hear_refusal(c, 503, true);
	hear_end(c);
	close(c);
	counted(&service()->http_no_server, 1);
}

static void a_stale_connection_is_replaced(void **state)
{
	int c, s;

	(void)state;
	configure();
	c = client();
	say(c, GET);
	s = server(0);
	hear(s, GET_);
	say(s, OK);
	hear(c, OK);
	say(c, GET);
	hear(s, GET_);
	close(s); /* nobody knows whether it was done, but it may be done again */
	s = server(0);
	hear(s, GET_);
	say(s, OK);
	hear(c, OK);
	counted(&service()->http_again, 1);
	say(c, "POST / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi");
	hear(s, "POST / HTTP/1.1\r\n" H "Content-Length: 2\r\n" XFF "\r\nhi");
	close(s); /* this may not */
	hear_refusal(c, 502, false);
	counted(&service()->http_server_lost, 1);
	close(c);
}

static void another_server_is_asked(void **state)
{
	int c, s;

	(void)state;
	w.n_servers = 2;
	close(w.server_fd[0]);
	w.server_fd[0] = -1;
	configure();
	for (int i = 0; i < 2; i++) {
		c = client();
		say(c, "POST / HTTP/1.1\r\n" H "Content-Length: 2\r\nConnection: close\r\n\r\nhi");
		if (i == 0)
			s = server(1);
		hear(s, "POST / HTTP/1.1\r\n" H "Content-Length: 2\r\n" XFF "\r\nhi");
		say(s, OK);
		hear(c,
		     "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\nConnection: close\r\n\r\nok");
		close(c);
	}
	close(s);
	assert_true(now(&server_of(0)->conn_failed) > 0);
	w.n_servers = 1;
	configure();
	c = client();
	say(c, GET);
	hear_refusal(c, 503, false);
	close(c);
	counted(&service()->http_server_refused, 1);
}

static void a_client_that_leaves_takes_its_request_along(void **state)
{
	int c, s;

	(void)state;
	configure();
	c = client();
	say(c, GET);
	s = server(0);
	hear(s, GET_);
	close(c);
	hear_broken(s);
	close(s);
	counted(&service()->http_client_gone, 1);
	/* one that closed one direction only, without having said so, gets what comes soon */
	c = client();
	say(c, GET);
	shutdown(c, SHUT_WR);
	s = server(0);
	hear(s, GET_);
	say(s, OK);
	hear(c, OK);
	hear_end(c);
	close(c);
	close(s);
	/* one that said that this is all waits for its answer */
	c = client();
	say(c, "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
	shutdown(c, SHUT_WR);
	s = server(0);
	hear(s, GET_);
	say(s, OK);
	hear(c, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\nConnection: close\r\n\r\nok");
	hear_end(c);
	close(c);
	close(s);
}

static void an_early_answer_is_passed_on(void **state)
{
	int c, s;

	(void)state;
	configure();
	c = client();
	say(c, "POST / HTTP/1.1\r\n" H "Content-Length: 100000\r\n\r\nbegin");
	s = server(0);
	hear(s, "POST / HTTP/1.1\r\n" H "Content-Length: 100000\r\n" XFF "\r\nbegin");
	say(s, "HTTP/1.1 403 No\r\n" DATE "Content-Length: 2\r\n\r\nno");
	hear(c, "HTTP/1.1 403 No\r\n" DATE "Content-Length: 2\r\nConnection: close\r\n\r\nno");
	say(c, "more of the body, which nobody wants");
	hear_end(c);
	close(c);
	close(s);
}

/* HTTP/1.1 to the server needs a Host, even when nobody named one: the server's own name it is. */
static void an_old_request_gets_a_host(void **state)
{
	char head[160];
	int c, s;

	(void)state;
	configure();
	c = client();
	say(c, "GET / HTTP/1.0\r\nX: y\r\n\r\n");
	s = server(0);
	snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nX: y\r\nHost: 127.0.0.1:%u\r\n" XFF "\r\n",
		 address_port(&w.backend[0]->address));
	hear(s, head);
	close(c);
	close(s);
}

static void expectations_are_met(void **state)
{
	static const char head[] = "POST / HTTP/1.1\r\n" H
				   "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
	int c, s;

	(void)state;
	configure();
	c = client();
	say(c, head);
	hear(c, "HTTP/1.1 100 Continue\r\n\r\n");
	say(c, "hi");
	s = server(0);
	hear(s, "POST / HTTP/1.1\r\n" H "Content-Length: 2\r\n" XFF "\r\nhi");
	say(s, OK);
	hear(c, OK);
	close(c);
	counted(&service()->conn_open, 0);
	w.http.respond_with_100_continue = false;
	configure();
	c = client();
	say(c, head);
	hear(s, "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n" XFF "\r\n");
	say(s, "HTTP/1.1 100 Continue\r\n\r\n");
	hear(c, "HTTP/1.1 100 Continue\r\n\r\n");
	say(c, "hi");
	hear(s, "hi");
	say(s, OK);
	hear(c, OK);
	close(c);
	close(s);
}

static void websockets_pass(void **state)
{
	int c, s;

	(void)state;
	configure();
	c = client();
	say(c,
	    "GET / HTTP/1.1\r\n" H
	    "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
	       "Sec-WebSocket-Key: x\r\n\r\n");
	s = server(0);
	hear(s, "GET / HTTP/1.1\r\n" H "Sec-WebSocket-Key: x\r\n" XFF
		"Upgrade: WebSocket\r\nConnection: upgrade\r\n\r\n");
	say(s,
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	       "Connection: Upgrade\r\nX: y\r\n\r\nfirst");
	hear(c,
	     "HTTP/1.1 101 Switching Protocols\r\nX: y\r\nUpgrade: websocket\r\n"
		"Connection: upgrade\r\n\r\nfirst");
	say(c, "GET these are only bytes now");
	hear(s, "GET these are only bytes now");
	say(s, "\x81\x02hi");
	hear(c, "\x81\x02hi");
	close(s);
	hear_end(c);
	close(c);
	counted(&service()->http_upgrades, 1);
}

/* h2c beside websocket: a server that likes it better must not get to choose. */
static void another_upgrade_beside_it_is_none(void **state)
{
	int c, s;

	(void)state;
	configure();
	c = client();
	say(c, "GET / HTTP/1.1\r\n" H
	       "Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n");
	s = server(0);
	hear(s, GET_);
	say(s, OK);
	hear(c, OK);
	close(c);
	close(s);
}

static void a_connection_has_so_many_requests(void **state)
{
	int c, s;

	(void)state;
	w.http.max_keepalive_requests = 2;
	configure();
	c = client();
	say(c, GET GET);
	s = server(0);
	hear(s, GET_);
	say(s, OK);
	hear(c, OK);
	hear(s, GET_);
	say(s, OK);
	hear(c, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\nConnection: close\r\n\r\nok");
	hear_end(c);
	close(c);
	close(s);
}

static void a_client_is_told_how_long_it_may_rest(void **state)
{
	int c, s;

	(void)state;
	w.http.keepalive_header = true;
	configure();
	c = client();
	say(c, GET);
	s = server(0);
	hear(s, GET_);
	say(s, OK);
	hear(c, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\nKeep-Alive: timeout=5\r\n\r\nok");
	/* Not where it may not. */
	say(c, "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
	hear(s, GET_);
	say(s, OK);
	hear(c, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\nConnection: close\r\n\r\nok");
	close(c);
	close(s);
}

/* ---- time ---- */

static void whoever_is_late_is_told(void **state)
{
	int c, s;

	(void)state;
	w.http.client_header_timeout = w.http.client_body_timeout = 50;
	w.http.keepalive_timeout = w.http.post_accept_timeout = 60;
	w.pool.server_timeout = 70;
	configure();
	c = client(); /* says nothing at all */
	hear_end(c);
	close(c);
	c = client();
	say(c, "GET / HTTP/1.1\r\n");
	hear_refusal(c, 408, true);
	close(c);
	c = client();
	say(c, "POST / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nh");
	hear_refusal(c, 408, true);
	close(c);
	s = server(0);
	close(s);
	c = client();
	say(c, GET);
	hear_refusal(c, 504, false);
	s = server(0);
	hear(s, GET_);
	hear_broken(s);
	close(s);
	hear_end(c); /* keep-alive is over */
	close(c);
	c = client(); /* an empty line behind a request does not begin the next one */
	say(c, GET "\r\n");
	s = server(0);
	hear(s, GET_);
	say(s, OK);
	hear(c, OK);
	hear_end(c);
	close(c);
	close(s);
	counted(&service()->http_client_late, 2);
	counted(&service()->http_server_late, 1);
}

/* ---- change ---- */

static void an_edit_disturbs_no_exchange(void **state)
{
	int c, s;

	(void)state;
	configure();
	c = client();
	say(c, GET);
	s = server(0);
	hear(s, GET_);
	w.http.xff_enabled = false;
	configure();
	say(s, OK);
	hear(c, OK);
	say(c, GET);
	hear(s, GET);
	say(s, OK);
	hear(c, OK);
	close(c);
	close(s);
}

static void a_service_that_goes_says_so(void **state)
{
	int c, s, idle;

	(void)state;
	configure();
	idle = client();
	say(idle, GET);
	s = server(0);
	hear(s, GET_);
	say(s, OK);
	hear(idle, OK);
	c = client();
	say(c, GET);
	hear(s, GET_);
	worker_post_unlisten(w.worker, 0, 0);
	hear_refusal(c, 503, true);
	hear_end(c);
	hear_end(idle);
	close(c);
	close(idle);
	close(s);
}

/* ---- volume ---- */

struct flood {
	int fd;
	size_t n;
};

static void *pour(void *arg)
{
	struct flood *f = arg;
	char block[10000];

	memset(block, 'z', sizeof(block));
	for (size_t left = f->n; left > 0;) {
		ssize_t n = send(f->fd, block, MIN(left, sizeof(block)), MSG_NOSIGNAL);

		if (n < 0)
			break;
		left -= (size_t)n;
	}
	return NULL;
}

static void drain(int fd, size_t n)
{
	char block[65536];

	while (n > 0) {
		ssize_t got = recv(fd, block, MIN(n, sizeof(block)), 0);

		assert_true(got > 0);
		assert_int_equal(block[0], 'z');
		n -= (size_t)got;
	}
}

/* What C has come to once it stands still. */
static uint64_t standing(const uint64_t *c)
{
	uint64_t last;

	do {
		last = now(c);
		usleep(50000);
	} while (now(c) != last || last == 0);
	return last;
}

#define LARGE      (64 << 20)
#define LARGE_TEXT "67108864"
#define KERNEL     (32 << 20) /* more than all socket buffers on the way can hold */

static void large_bodies_pass_without_being_held(void **state)
{
	pthread_t t;
	struct flood f;
	int c, s;

	(void)state;
	configure();
	c = client();
	say(c, "POST / HTTP/1.1\r\n" H "Content-Length: " LARGE_TEXT "\r\n\r\n");
	s = server(0);
	hear(s, "POST / HTTP/1.1\r\n" H "Content-Length: " LARGE_TEXT "\r\n" XFF "\r\n");
	f = (struct flood){ c, LARGE };
	assert_int_equal(pthread_create(&t, NULL, pour, &f), 0);
	assert_in_range(standing(&service()->bytes_from_client), 1,
			KERNEL); /* nobody reads: it must stop */
	drain(s, LARGE);
	pthread_join(t, NULL);
	say(s, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: " LARGE_TEXT "\r\n\r\n");
	f = (struct flood){ s, LARGE };
	assert_int_equal(pthread_create(&t, NULL, pour, &f), 0);
	hear(c, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: " LARGE_TEXT "\r\n\r\n");
	assert_in_range(standing(&server_of(0)->bytes_from_server), 1, KERNEL);
	drain(c, LARGE);
	pthread_join(t, NULL);
	say(c, GET);
	hear(s, GET_);
	say(s, OK);
	hear(c, OK);
	close(c);
	close(s);
}

#define UPGRADES "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n"
#define SWITCHED "HTTP/1.1 101 Switching Protocols\r\n" UPGRADES

static uint64_t cpu_ms(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Both have said their last word, and a client takes nothing of what is left: nobody waits busily for it. */
static void a_tunnel_that_nobody_reads_costs_nothing(void **state)
{
	static char block[64 << 10];
	size_t sent = 0, got = 0;
	uint64_t head, used;
	ssize_t n;
	int c, s;

	(void)state;
	configure();
	c = client();
	say(c, "GET / HTTP/1.1\r\n" H UPGRADES);
	s = server(0);
	hear(s, "GET / HTTP/1.1\r\n" H XFF UPGRADES);
	say(s, SWITCHED);
	hear(c, SWITCHED);
	head = now(&service()->bytes_to_client);
	assert_int_equal(shutdown(c, SHUT_WR), 0);
	hear_end(s);
	for (int idle = 0; idle < 50;) { /* until the client's side is full */
		if (now(&service()->bytes_to_client) >= head + sent) {
			say_bytes(s, block, sizeof(block));
			sent += sizeof(block);
			idle = 0;
		} else {
			usleep(2000);
			idle++;
		}
	}
	close(s);
	usleep(50000);
	used = cpu_ms();
	usleep(300000);
	assert_in_range(cpu_ms() - used, 0, 100);
	while ((n = recv(c, block, sizeof(block), 0)) > 0)
		got += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(got, sent);
	close(c);
	counted(&service()->conn_open, 0);
	counted(&server_of(0)->conn_open, 0);
}

/* A request whose other words fill its record has an id all the same. */
static void an_id_has_its_room(void **state)
{
	char said[8192], word[1201], got[8192] = "";
	size_t n = 0;
	int c, s;

	(void)state;
	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	snprintf(said, sizeof(said), "%.30s /%s?%s HTTP/1.1\r\nHost: %.200s\r\nUser-Agent: %s\r\nReferer: %s\r\n"
		 "X-Forwarded-For: %s\r\n\r\n", word, word, word, word, word, word, word);
	configure();
	c = client();
	say(c, said);
	s = server(0);
	while (!strstr(got, "\r\n\r\n")) {
		ssize_t r = recv(s, got + n, sizeof(got) - 1 - n, 0);

		assert_true(r > 0);
		n += (size_t)r;
	}
	n = strlen(got);
	assert_non_null(strstr(got, ID_NAME));
	assert_int_equal(strspn(strstr(got, ID_NAME) + sizeof(ID_NAME) - 1, "0123456789abcdef"), 32);
	assert_int_equal(without_ids(got, &n), 0);
	got[n] = '\0';
	assert_null(strstr(got, ID_NAME));
	close(c);
	close(s);
}

/* ---- HTTP/2 ---- */

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
#define DATA    16000
#define PIECES  4 /* of it, less than a stream may send ahead */

static int client2(void)
{
	int fd;

	w.http2 = true;
	configure();
	fd = client();
	say_bytes(fd, PREFACE, sizeof(PREFACE) - 1);
	return fd;
}

static void frame(int fd, char type, char flags, uint32_t stream, const char *payload, size_t n)
{
	char head[9] = { (char)(n >> 16), (char)(n >> 8), (char)n, type, flags, (char)(stream >> 24),
			 (char)(stream >> 16), (char)(stream >> 8), (char)stream };

	say_bytes(fd, head, sizeof(head));
	if (n)
		say_bytes(fd, payload, n);
}

/* The next frame of TYPE; its payload's first bytes are in the LEN bytes at TO. Its length. */
static size_t next_frame(int fd, unsigned type, char *to, size_t len)
{
	unsigned char head[9];
	char rest[16384];

	for (;;) {
		size_t n;

		assert_int_equal(recv(fd, head, sizeof(head), MSG_WAITALL), sizeof(head));
		n = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
		assert_in_range(n, 0, sizeof(rest));
		if (n)
			assert_int_equal(recv(fd, rest, n, MSG_WAITALL), n);
		if (head[3] == 7 && type != 7)
			fail_msg("GOAWAY, error %u", (unsigned char)rest[7]);
		if (head[3] == 3 && type != 3)
			fail_msg("RST_STREAM, error %u", (unsigned char)rest[3]);
		if (head[3] != type || (type == 6 && !(head[4] & 1)))
			continue;
		memcpy(to, rest, MIN(n, len));
		return n;
	}
}

static void an_idle_connection_ends_whatever_comes_beside_requests(void **state)
{
	uint64_t began = mono_ns();
	char rest[512];
	ssize_t n;
	int c;

	(void)state;
	w.http.post_accept_timeout = 300;
	c = client2();
	do {
		static const char windows[] = "\0\0\4\10\0\0\0\0\0\0\0\0\1";

		send(c, windows, sizeof(windows) - 1, MSG_NOSIGNAL);
		usleep(10000);
		n = recv(c, rest, sizeof(rest), MSG_DONTWAIT);
		assert_true(mono_ns() - began < LIMIT_S * NS_PER_S);
	} while (n > 0 || (n < 0 && errno == EAGAIN));
	assert_true(mono_ns() - began >= 290 * NS_PER_MS);
	counted(&service()->conn_idle_timeout, 1);
	close(c);
}

/* What was sent ahead for a stream that is gone may be sent again by another one. */
static void cancelled_uploads_give_their_window_back(void **state)
{
	static char data[DATA];
	char pong[8];
	int c, filler[4];

	(void)state;
	/* A server that takes no connection. */
	assert_int_equal(listen(w.server_fd[0], 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(filler); i++) {
		struct sockaddr_in6 a;
		socklen_t len = sizeof(a);

		assert_int_equal(getsockname(w.server_fd[0], (struct sockaddr *)&a, &len), 0);
		filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(filler[i], (struct sockaddr *)&a, len);
	}
	c = client2();
	for (uint32_t id = 1; id < 2 * 24; id += 2) { /* one and a half times what a connection may send ahead */
		frame(c, 1, 4, id, "\x83\x86\x84\1\1a", 6);
		for (int i = 0; i < PIECES; i++)
			frame(c, 0, 0, id, data, sizeof(data));
		frame(c, 3, 0, id, "\0\0\0\10", 4);
		frame(c, 6, 0, 0, "pingpong", 8);
		assert_int_equal(next_frame(c, 6, pong, sizeof(pong)), 8);
		assert_memory_equal(pong, "pingpong", 8);
	}
	counted(&service()->http_client_gone, 24);
	close(c);
	for (size_t i = 0; i < ARRAY_SIZE(filler); i++)
		close(filler[i]);
	counted(&service()->conn_open, 0);
}

/* As large as the profile lets it be. */
static void a_large_head_of_an_answer_reaches_a_client_of_http2(void **state)
{
	static char lines[8 * 15000 + 1];
	char first[1];
	size_t n;
	int c, s;

	(void)state;
	w.http.max_response_headers_size = 256;
	w.http.httponly_enabled = true; /* each is written anew */
	for (int i = 0; i < 8; i++) {
		char *line = lines + i * 15000;

		memset(line, 'v', 15000);
		memcpy(line, "Set-Cookie: n=", 14);
		memcpy(line + 14998, "\r\n", 2);
	}
	c = client2();
	frame(c, 1, 5, 1, "\x82\x86\x84\1\1a", 6);
	s = server(0);
	hear(s, "GET / HTTP/1.1\r\n" H XFF "\r\n");
	say(s, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\n");
	say(s, lines);
	say(s, "\r\nok");
	n = next_frame(c, 1, first, sizeof(first));
	assert_int_equal(first[0], (char)0x88);
	while (n < 8 * 15000 * 7 / 8) /* a letter has seven bits in HPACK */
		n += next_frame(c, 9, first, sizeof(first));
	close(c);
	close(s);
	counted(&service()->conn_open, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_said_arrives),
		TEST(drops_arrive_as_well),
		TEST(forwarded_for_follows_the_profile),
		TEST(a_bad_header_name_of_the_profile_is_not_used),
		TEST(bad_requests_are_answered_here),
		TEST(large_heads_are_refused),
		TEST(a_large_head_of_an_answer_is_not_passed_on),
		TEST(a_bad_chunk_ends_the_request),
		TEST(bad_answers_are_never_passed_on),
		TEST(an_answer_cut_short_is_seen_as_such),
		TEST(clients_share_server_connections),
		TEST(an_error_may_end_the_server_s_connection),
		TEST(pipelined_requests_are_answered_in_order),
		TEST(requests_refused_in_a_row_do_not_pile_up),
		TEST(without_a_server_the_connection_is_closed_with_words),
		TEST(a_stale_connection_is_replaced),
		TEST(another_server_is_asked),
		TEST(a_client_that_leaves_takes_its_request_along),
		TEST(an_early_answer_is_passed_on),
		TEST(an_old_request_gets_a_host),
		TEST(expectations_are_met),
		TEST(websockets_pass),
		TEST(another_upgrade_beside_it_is_none),
		TEST(a_connection_has_so_many_requests),
		TEST(a_client_is_told_how_long_it_may_rest),
		TEST(whoever_is_late_is_told),
		TEST(an_edit_disturbs_no_exchange),
		TEST(a_service_that_goes_says_so),
		TEST(large_bodies_pass_without_being_held),
		TEST(a_tunnel_that_nobody_reads_costs_nothing),
		TEST(an_id_has_its_room),
		TEST(an_idle_connection_ends_whatever_comes_beside_requests),
		TEST(cancelled_uploads_give_their_window_back),
		TEST(a_large_head_of_an_answer_reaches_a_client_of_http2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
