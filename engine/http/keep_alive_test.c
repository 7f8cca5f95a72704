/*
 * Connections of HTTP/1.1: how long clients keep theirs, who shares those to servers, and what ends them: errors, time,
 * a change of the configuration.
 */
#include "engine/http/talk_test.h"

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
	c = first_request(&s);
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
	c = first_request(&s);
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

/* It lies there before the next request, whoever asks; a body of an answer that has none is how it comes about. */
static void what_a_server_says_unasked_answers_nothing(void **state)
{
	int c[2], s;

	(void)state;
	configure();
	c[0] = client();
	c[1] = client();
	for (int i = 0; i < 20; i++) {
		say(c[0], GET);
		s = server(0);
		hear(s, GET_);
		say(s, OK);
		hear(c[0], OK);
		say(s, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
		say(c[i % 2], GET);
		close(s);
		s = server(0);
		hear(s, GET_);
		say(s, OK);
		hear(c[i % 2], OK);
		close(s);
	}
	counted(&service()->http_again, 0);
	close(c[0]);
	close(c[1]);
}

static void another_server_is_asked(void **state)
{
	int c, s;

	(void)state;
	w.n_servers = 2;
	deafen(0);
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
	c = first_request(&s);
	close(c);
	pass_until(w.worker, s, NULL);
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
	c = first_request(&s);
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

/* The worker has heard it before time goes on. */
static void say_first(int fd, const char *text)
{
	uint64_t before = now(&service()->bytes_from_client);

	say(fd, text);
	counted(&service()->bytes_from_client, before + strlen(text));
}

static void whoever_is_late_is_told(void **state)
{
	int c, s;

	(void)state;
	w.http.client_header_timeout = w.http.client_body_timeout = 50;
	w.http.keepalive_timeout = w.http.post_accept_timeout = 60;
	w.pool.server_timeout = 70;
	configure();
	c = client(); /* says nothing at all */
	counted(&service()->conn_open, 1);
	pass_ms(w.worker, 59);
	assert_true(is_silent(c));
	pass_ms(w.worker, 2);
	hear_end(c);
	close(c);
	c = client();
	say_first(c, "GET / HTTP/1.1\r\n");
	pass_ms(w.worker, 49);
	assert_true(is_silent(c));
	pass_ms(w.worker, 2);
	hear_refusal(c, 408, true);
	close(c);
	c = client();
	say_first(c, "POST / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nh");
	s = server(0);
	pass_ms(w.worker, 49);
	assert_true(is_silent(c));
	pass_ms(w.worker, 2);
	hear_refusal(c, 408, true);
	close(c);
	close(s);
	c = client();
	say(c, GET);
	s = server(0);
	hear(s, GET_);
	pass_ms(w.worker, 69);
	assert_true(is_silent(c));
	pass_ms(w.worker, 2);
	hear_refusal(c, 504, false);
	hear_broken(s);
	close(s);
	pass_ms(w.worker, 59);
	assert_true(is_silent(c));
	pass_ms(w.worker, 2);
	hear_end(c); /* keep-alive is over */
	close(c);
	c = client(); /* an empty line behind a request does not begin the next one */
	say(c, GET "\r\n");
	s = server(0);
	hear(s, GET_);
	say(s, OK);
	hear(c, OK);
	pass_ms(w.worker, 61);
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
	c = first_request(&s);
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

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(clients_share_server_connections),
		TEST(an_error_may_end_the_server_s_connection),
		TEST(pipelined_requests_are_answered_in_order),
		TEST(requests_refused_in_a_row_do_not_pile_up),
		TEST(without_a_server_the_connection_is_closed_with_words),
		TEST(a_stale_connection_is_replaced),
		TEST(what_a_server_says_unasked_answers_nothing),
		TEST(another_server_is_asked),
		TEST(a_client_that_leaves_takes_its_request_along),
		TEST(a_connection_has_so_many_requests),
		TEST(a_client_is_told_how_long_it_may_rest),
		TEST(whoever_is_late_is_told),
		TEST(an_edit_disturbs_no_exchange),
		TEST(a_service_that_goes_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
