/*
 * Sessions replayed by the clock of a script: what happens at which second is written down, and
 * the seconds pass when the script says so.
 */
#include "engine/http/http_world.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_ "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n" /* as it arrives */
#define POST "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
#define POST_                                                                                      \
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 2\r\n\r\nok"

/* ---- the script ---- */

enum verb { V_END, V_TOLD, V_AT, V_CONNECTS, V_ACCEPTS, V_SAYS, V_HEARS, V_SILENT, V_CLOSED };
enum who { CLIENT, SERVER };

struct step {
	enum verb verb;
	enum who who;
	const char *text;
	double second; /* since the beginning */
	size_t n;      /* of text; 0: it ends with its NUL */
};

#define END                                                                                        \
	{                                                                                          \
		V_END                                                                              \
	}
#define AT(s)                                                                                      \
	{                                                                                          \
		V_AT, .second = (s)                                                                \
	}
#define CONNECTS                                                                                   \
	{                                                                                          \
		V_CONNECTS                                                                         \
	}
#define ACCEPTS                                                                                    \
	{                                                                                          \
		V_ACCEPTS                                                                          \
	}
#define SAYS(who, t)                                                                               \
	{                                                                                          \
		V_SAYS, who, t                                                                     \
	}
#define FRAMES(who, t)                                                                             \
	{                                                                                          \
		V_SAYS, who, t, 0, sizeof(t) - 1                                                   \
	}
#define TOLD(who)                                                                                  \
	{                                                                                          \
		V_TOLD, who                                                                        \
	} /* something, whatever it is */
#define HEARS(who, t)                                                                              \
	{                                                                                          \
		V_HEARS, who, t                                                                    \
	} /* these bytes, or more that begin so */
#define SILENT(who)                                                                                \
	{                                                                                          \
		V_SILENT, who                                                                      \
	}
#define CLOSED(who)                                                                                \
	{                                                                                          \
		V_CLOSED, who                                                                      \
	}

static int party[2];

static int limited(int fd)
{
	struct timeval tv = { .tv_sec = LIMIT_S };

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return fd;
}

static void hears(int fd, const char *want)
{
	size_t n = strlen(want), have = 0;
	char got[4096];

	while (have < n) {
		ssize_t r = recv(fd, got + have, sizeof(got) - have, 0);

		if (r <= 0)
			fail_msg("wanted \"%s\", heard \"%.*s\" and then the end", want, (int)have,
				 got);
		have += (size_t)r;
		if (without_ids(got, &have))
			fail_msg("half of an id");
	}
	assert_memory_equal(got, want, n);
}

static void step(const struct step *s, uint64_t begun)
{
	int fd = party[s->who];
	const uint64_t *heard = s->who == CLIENT ? &service()->bytes_from_client : &server_of(0)->bytes_from_server;
	char byte, all[4096];
	uint64_t before;
	size_t n;

	switch (s->verb) {
	case V_TOLD:
		assert_true(recv(fd, all, sizeof(all), 0) > 0);
		settle(w.worker);
		while (recv(fd, all, sizeof(all), MSG_DONTWAIT) > 0)
			; /* the rest of it */
		break;
	case V_AT:
		settle(w.worker);
		atomic_store(&clock_ns, begun + (uint64_t)(s->second * 1e9));
		settle(w.worker);
		break;
	case V_CONNECTS:
		fd = party[CLIENT] = limited(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
		assert_int_equal(connect(fd, &w.front.sa, address_len(&w.front)), 0);
		counted(&service()->conn_open, 1);
		break;
	case V_ACCEPTS:
		limited(w.server_fd[0]);
		party[SERVER] = limited(accept4(w.server_fd[0], NULL, NULL, SOCK_CLOEXEC));
		break;
	case V_SAYS:
		n = s->n ? s->n : strlen(s->text);
		before = now(heard);
		assert_int_equal(send(fd, s->text, n, MSG_NOSIGNAL), n);
		counted(heard, before + n); /* before time goes on */
		break;
	case V_HEARS:
		hears(fd, s->text);
		break;
	case V_SILENT:
		settle(w.worker);
		assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
		assert_int_equal(errno, EAGAIN);
		break;
	case V_CLOSED:
		while (recv(fd, &byte, 1, 0) > 0)
			; /* the rest of an answer */
		assert_true(errno != EAGAIN);
		close(fd);
		party[s->who] = -1;
		break;
	case V_END:
		break;
	}
}

static void play(const struct step *script)
{
	uint64_t begun = atomic_load(&clock_ns);

	party[CLIENT] = party[SERVER] = -1;
	/* What the contract fills in when nobody says otherwise. */
	w.http.post_accept_timeout = w.http.client_body_timeout = w.http.keepalive_timeout = 30000;
	w.http.client_header_timeout = 10000;
	configure();
	for (const struct step *s = script; s->verb != V_END; s++) {
		errno = 0;
		step(s, begun);
	}
	for (int i = 0; i < 2; i++)
		if (party[i] >= 0)
			close(party[i]);
	counted(&service()->conn_open, 0);
}

/* ---- the scripts ---- */

static void who_says_nothing_is_left_after_half_a_minute(void **state)
{
	static const struct step script[] = {
		CONNECTS, AT(29.9), SILENT(CLIENT), AT(30.1), CLOSED(CLIENT), END,
	};

	(void)state;
	play(script);
}

static void a_head_has_ten_seconds_however_it_drips(void **state)
{
	static const struct step script[] = {
		CONNECTS,
		SAYS(CLIENT, "GET / HT"),
		AT(5),
		SAYS(CLIENT, "TP/1.1\r\n"),
		AT(9.9),
		SAYS(CLIENT, "Host: a\r\n"),
		SILENT(CLIENT),
		AT(10.1),
		HEARS(CLIENT, "HTTP/1.1 408 "),
		CLOSED(CLIENT),
		END,
	};

	(void)state;
	play(script);
}

static void a_body_may_pause_for_less_than_its_time(void **state)
{
	static const struct step script[] = {
		CONNECTS,
		SAYS(CLIENT, POST "he"),
		ACCEPTS,
		HEARS(SERVER, POST_ "he"),
		AT(29),
		SAYS(CLIENT, "llo"),
		HEARS(SERVER, "llo"),
		AT(58),
		SILENT(CLIENT),
		AT(59.2),
		HEARS(CLIENT, "HTTP/1.1 408 "),
		CLOSED(CLIENT),
		CLOSED(SERVER),
		END,
	};

	(void)state;
	play(script);
}

static void a_server_has_the_time_of_its_pool(void **state)
{
	static const struct step script[] = {
		CONNECTS,	SAYS(CLIENT, GET),
		ACCEPTS,	HEARS(SERVER, GET_),
		AT(4.9),	SILENT(CLIENT),
		AT(5.1),	HEARS(CLIENT, "HTTP/1.1 504 "),
		CLOSED(SERVER), END,
	};

	(void)state;
	w.pool.server_timeout = 5000;
	play(script);
}

static void a_client_that_pauses_is_not_its_server_s_fault(void **state)
{
	static const struct step script[] = {
		CONNECTS,
		SAYS(CLIENT, POST "he"),
		ACCEPTS,
		HEARS(SERVER, POST_ "he"),
		AT(20),
		SILENT(CLIENT),
		SAYS(CLIENT, "llowarde"),
		HEARS(SERVER, "llowarde"),
		AT(24.9),
		SILENT(CLIENT),
		AT(25.1),
		HEARS(CLIENT, "HTTP/1.1 504 "),
		CLOSED(SERVER),
		END,
	};

	(void)state;
	w.pool.server_timeout = 5000;
	play(script);
	counted(&service()->http_server_late, 1);
}

static void a_server_that_is_asked_to_continue_has_its_time(void **state)
{
#define EXPECTS "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
	static const struct step script[] = {
		CONNECTS,
		SAYS(CLIENT, EXPECTS "\r\n"),
		ACCEPTS,
		HEARS(SERVER, EXPECTS "X-Forwarded-For: 127.0.0.1\r\n\r\n"),
		AT(4.9),
		SILENT(CLIENT),
		AT(5.1),
		HEARS(CLIENT, "HTTP/1.1 504 "),
		CLOSED(CLIENT),
		CLOSED(SERVER),
		END,
	};

	(void)state;
	w.pool.server_timeout = 5000;
	w.http.respond_with_100_continue = false;
	play(script);
}

static void between_requests_a_connection_rests_half_a_minute(void **state)
{
	static const struct step script[] = {
		CONNECTS,
		SAYS(CLIENT, GET),
		ACCEPTS,
		HEARS(SERVER, GET_),
		SAYS(SERVER, OK),
		HEARS(CLIENT, OK),
		AT(29),
		SAYS(CLIENT, GET),
		HEARS(SERVER, GET_),
		SAYS(SERVER, OK),
		HEARS(CLIENT, OK),
		AT(58.9),
		SILENT(CLIENT),
		AT(59.2),
		CLOSED(CLIENT),
		SILENT(SERVER),
		END,
	};

	(void)state;
	play(script);
	counted(&server_of(0)->conn_reused, 1);
}

/* ---- HTTP/2 ---- */

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
/* GET / of host a, on stream 1; a POST whose body comes later; a head that goes on. */
#define GET2	"\0\0\6\1\5\0\0\0\1\x82\x86\x84\1\1a"
#define POST2	"\0\0\6\1\4\0\0\0\1\x83\x86\x84\1\1a"
#define BEGIN2	"\0\0\3\1\1\0\0\0\1\x82\x86\x84"
#define DATA2	"\0\0\5\0\0\0\0\0\1hello"

static void play2(const struct step *script)
{
	w.http2 = true;
	play(script);
	counted(&service()->http2_connections, 1);
}

static void a_head_of_http2_has_ten_seconds(void **state)
{
	static const struct step script[] = {
		CONNECTS, FRAMES(CLIENT, PREFACE BEGIN2), TOLD(CLIENT), AT(9.9), SILENT(CLIENT),
		AT(10.1), TOLD(CLIENT), /* GOAWAY */ CLOSED(CLIENT), END,
	};

	(void)state;
	play2(script);
	counted(&service()->http_client_late, 1);
}

static void a_body_of_http2_may_pause_for_less_than_its_time(void **state)
{
	static const struct step script[] = {
		CONNECTS, FRAMES(CLIENT, PREFACE POST2), TOLD(CLIENT), ACCEPTS,
		HEARS(SERVER, "POST / HTTP/1.1\r\nHost: a\r\n"), AT(29), FRAMES(CLIENT, DATA2),
		HEARS(SERVER, "5\r\nhello\r\n"), AT(58), SILENT(CLIENT),
		AT(59.2), TOLD(CLIENT), /* 408 */ CLOSED(SERVER), AT(61.3), TOLD(CLIENT), /* RST_STREAM */
		AT(91.5), TOLD(CLIENT), /* GOAWAY */ CLOSED(CLIENT), END,
	};

	(void)state;
	play2(script);
	counted(&service()->http_client_late, 1);
}

static void a_server_of_http2_has_the_time_of_its_pool(void **state)
{
	static const struct step script[] = {
		CONNECTS, FRAMES(CLIENT, PREFACE GET2), TOLD(CLIENT), ACCEPTS,
		HEARS(SERVER, "GET / HTTP/1.1\r\nHost: a\r\n"), AT(4.9), SILENT(CLIENT),
		AT(5.1), TOLD(CLIENT), /* 504 */ CLOSED(SERVER), AT(35.2), TOLD(CLIENT), CLOSED(CLIENT), END,
	};

	(void)state;
	w.pool.server_timeout = 5000;
	play2(script);
	counted(&service()->http_server_late, 1);
	counted(&service()->conn_idle_timeout, 1);
}

int main(void)
{
#define SCRIPT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		SCRIPT(who_says_nothing_is_left_after_half_a_minute),
		SCRIPT(a_head_has_ten_seconds_however_it_drips),
		SCRIPT(a_body_may_pause_for_less_than_its_time),
		SCRIPT(a_server_has_the_time_of_its_pool),
		SCRIPT(a_client_that_pauses_is_not_its_server_s_fault),
		SCRIPT(a_server_that_is_asked_to_continue_has_its_time),
		SCRIPT(between_requests_a_connection_rests_half_a_minute),
		SCRIPT(a_head_of_http2_has_ten_seconds),
		SCRIPT(a_body_of_http2_may_pause_for_less_than_its_time),
		SCRIPT(a_server_of_http2_has_the_time_of_its_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
