/*
 * Clients and servers that do whatever comes to their minds: whole and half messages, nonsense,
 * silence, FIN and RST, while the configuration changes. Nothing is said about the answers; but
 * the worker lives, and when all have left nothing of them is left. The sanitizers watch.
 */
#include "engine/http/http_world.h"

#include <arpa/inet.h>

#define CLIENTS 24
#define PEERS   256
#define STEPS   100000

struct text {
	const char *text;
	size_t len;
};

#define T(s) { s, sizeof(s) - 1 }

#define HEAD2(method, flags, id)                                                                   \
	"\0\0\6\1" flags "\0\0\0" id method "\206\204\1\1a"
#define GET2(id)  HEAD2("\202", "\5", id)
#define POST2(id) HEAD2("\203", "\4", id)

static const struct text requests[] = {
	T("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	T("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"),
	T("GET / HT"),
	T("TP/1.1\r\nHost: a\r\n\r\n"),
	T("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
	T("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
	T("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello"),
	T("hello"),
	T("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
	T("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
	T("5\r\nhello\r\n"),
	T("0\r\n\r\n"),
	T("0\r\nT: v"),
	T("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
	T("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
	T("\x16\x03\x01"),
	T("\r\n"),
	T("X: y\r\n"),
	/* HTTP/2: */
	T("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"),
	T("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\6\4\0\0\0\0\0\0\4\0\0\0\1" GET2("\1")),
	T("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" GET2("\1") GET2("\3") GET2("\5")),
	T(GET2("\3")),
	T(GET2("\5")),
	T(POST2("\7")),
	T(POST2("\11") "\0\0\5\0\0\0\0\0\11hello"),
	T("\0\0\5\0\1\0\0\0\7hello"),
	T("\0\0\5\0\1\0\0\0\11hello"),
	T("\0\0\4\3\0\0\0\0\3\0\0\0\10"),
	T("\0\0\4\10\0\0\0\0\1\0\0\1\0"),
	T("\0\0\4\10\0\0\0\0\0\0\0\1\0"),
	T("\0\0\10\6\0\0\0\0\0pingpong"),
	T("\0\0\10\7\0\0\0\0\0\0\0\0\1\0\0\0\0"),
};

static const struct text answers[] = {
	T("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
	T("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
	T("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
	T("HTTP/1.1 200 OK\r\nContent-Le"),
	T("ngth: 2\r\n\r\nok"),
	T("HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\n\r\nuntil the end"),
	T("HTTP/1.1 204 No\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
	T("5\r\nhello\r\n"),
	T("0\r\n\r\n"),
	T("HTTP/1.1 100 Continue\r\n\r\n"),
	T("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nhi"),
	T("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"),
	T("nonsense\r\n"),
};

static unsigned seed;
static char block[60000];

static unsigned dice(unsigned n)
{
	return (unsigned)rand_r(&seed) / 7 % n;
}

static void leave(int *fd)
{
	if (dice(3) == 0) {
		struct linger now = { .l_onoff = 1 };

		setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	}
	close(*fd);
	*fd = -1;
}

static void act(int *fd, const struct text *texts, size_t n)
{
	switch (dice(12)) {
	case 0:
		leave(fd);
		return;
	case 1:
		shutdown(*fd, SHUT_WR);
		return;
	case 2:
		send(*fd, block, dice(sizeof(block)), MSG_NOSIGNAL | MSG_DONTWAIT);
		return;
	case 3: case 4: case 5: case 6:
		if (recv(*fd, block, sizeof(block), MSG_DONTWAIT) == 0)
			leave(fd);
		return;
	default: {
		const struct text *t = &texts[dice((unsigned)n)];

		send(*fd, t->text, t->len, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	}
}

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (connect(fd, &w.front.sa, address_len(&w.front)) < 0)
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

static void change(void)
{
	w.n_servers = dice(8) == 0 ? 0 : 1 + dice(SERVERS);
	w.http2 = dice(4) != 0;
	w.http.xff_update = dice(3);
	w.http.max_keepalive_requests = dice(4);
	w.http.respond_with_100_continue = dice(2);
	w.http.client_max_body_size = dice(2);
	w.max_load = dice(2) ? 0 : 3;
	configure();
}

/* Everything happened that should be survived: how soon depends on who runs first. */
static bool was_a_storm(void)
{
	return now(&service()->http_2xx) >= 100 && now(&service()->http_bad_request) >= 100 &&
	       now(&service()->http_server_malformed) >= 10 && now(&service()->http_again) >= 1 &&
	       now(&service()->http_client_gone) >= 10 && now(&service()->http_upgrades) >= 1 &&
	       now(&service()->http2_connections) >= 20;
}

static void nothing_is_left_of_a_storm(void **state)
{
	int clients[CLIENTS], peers[PEERS], used = 0;

	(void)state;
	seed = getenv("STORM_SEED") ? (unsigned)atoi(getenv("STORM_SEED")) : 1;
	memset(clients, -1, sizeof(clients));
	memset(peers, -1, sizeof(peers));
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < SERVERS; i++)
		fcntl(w.server_fd[i], F_SETFL, O_NONBLOCK);
	w.http.client_header_timeout = w.http.client_body_timeout = 20;
	w.http.keepalive_timeout = w.http.post_accept_timeout = 20;
	w.pool.server_timeout = 15;
	for (int step = 0; step < STEPS || (step < 50 * STEPS && !was_a_storm()); step++) {
		int *c = &clients[dice(CLIENTS)], *p = &peers[dice((unsigned)MIN(used + 1, PEERS))];

		if (step % 500 == 0)
			change();
		clock_move(10 * NS_PER_US);
		if (dice(256) == 0)
			settle(w.worker); /* or else the worker of a busy machine may see nothing but the end of each */
		if (*c < 0)
			*c = dial();
		else
			act(c, requests, ARRAY_SIZE(requests));
		if (*p >= 0)
			act(p, answers, ARRAY_SIZE(answers));
		else
			*p = accept4(w.server_fd[dice(SERVERS)], NULL, NULL,
				     SOCK_NONBLOCK | SOCK_CLOEXEC);
		used = MAX(used, (int)(p - peers) + (*p >= 0));
	}
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i] >= 0)
			close(clients[i]);
	for (int i = 0; i < PEERS; i++)
		if (peers[i] >= 0)
			close(peers[i]);
	pass_until(w.worker, -1, &service()->conn_open);
	/* Those that nobody accepted end with their listener. */
	for (unsigned i = 0; i < SERVERS; i++) {
		close(w.server_fd[i]);
		w.server_fd[i] = -1;
		pass_until(w.worker, -1, &server_of(i)->conn_open);
	}
	assert_int_equal(now(&service()->http_requests),
			 now(&service()->http_2xx) + now(&service()->http_3xx) +
				 now(&service()->http_4xx) + now(&service()->http_5xx) +
				 now(&service()->http_upgrades) +
				 now(&service()->http_client_gone));
	assert_true(was_a_storm());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_is_left_of_a_storm, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
