/*
 * A worker that speaks HTTP, between clients and servers that are this test: what one side says,
 * and what arrives at the other, byte by byte.
 */
#include "engine/http/talk_test.h"

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
	c = first_request(&s);
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
	c = first_request(&s);
	say(s, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 9\r\n\r\nok");
	close(s);
	hear_broken(c);
	close(c);
	counted(&server_of(0)->http_cut_short, 1);
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
		TEST(an_early_answer_is_passed_on),
		TEST(an_old_request_gets_a_host),
		TEST(expectations_are_met),
		TEST(an_id_has_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
