/*
 * What a pool promises to requests: which server they get, and what happens when there is none or it fails.
 */
#include "engine/http/http_world.h"

#include <poll.h>

#define OK    "HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

static char asked[4096], answer[4096]; /* what the last server was asked, what the last client got */

static void limit_waits(int fd)
{
	struct timeval tv = { .tv_sec = LIMIT_S };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int client_from(const char *ip)
{
	union address from;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	limit_waits(fd);
	assert_int_equal(address_parse(&from, ip, 0), 0);
	assert_int_equal(bind(fd, &from.sa, address_len(&from)), 0);
	assert_int_equal(connect(fd, &w.front.sa, address_len(&w.front)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* A head and the body that its Content-Length tells, into TEXT. */
static void hear_message(int fd, char *text)
{
	size_t n = 0, whole = SIZE_MAX;

	memset(text, 0, 4096);
	while (n < whole) {
		ssize_t r = recv(fd, text + n, MIN(whole - n, 4095 - n), whole == SIZE_MAX ? MSG_PEEK : 0);
		char *end, *length;

		if (r <= 0)
			fail_msg("nothing more came after '%s'", text);
		if (whole != SIZE_MAX) {
			n += (size_t)r;
			continue;
		}
		end = strstr(text, "\r\n\r\n");
		if (!end)
			continue;
		length = strstr(text, "Content-Length: ");
		whole = (size_t)(end + 4 - text) + (length && length < end ? strtoul(length + 16, NULL, 10) : 0);
		memset(text, 0, 4096);
	}
}

/* The next connection, at whichever server; its request is in `asked`. */
static int next_server(int *fd)
{
	struct pollfd p[SERVERS];

	for (int i = 0; i < SERVERS; i++)
		p[i] = (struct pollfd){ w.server_fd[i], POLLIN, 0 };
	assert_true(poll(p, SERVERS, LIMIT_S * 1000) > 0);
	for (int i = 0; i < SERVERS; i++) {
		if (!p[i].revents)
			continue;
		*fd = accept4(w.server_fd[i], NULL, NULL, SOCK_CLOEXEC);
		limit_waits(*fd);
		hear_message(*fd, asked);
		return i;
	}
	return -1;
}

/* One exchange with one server, which says TEXT. Which it was. */
static int exchange(int client, const char *request, const char *text)
{
	int fd = -1, who;

	say(client, request);
	who = next_server(&fd);
	say(fd, text);
	close(fd);
	hear_message(client, answer);
	return who;
}

static int fetch(const char *ip, const char *request)
{
	int c = client_from(ip), who = exchange(c, request, OK);

	close(c);
	return who;
}

/* ---- consistent hash ---- */

/* Of N different ones, how many went to the first server; each of them asks twice. */
static int first_of(int n, const char *ip, const char *request)
{
	int first = 0;

	for (int i = 0; i < n; i++) {
		CLEANUP_FREE char *from = xasprintf(ip, i + 1), *text = xasprintf(request, i);
		int who = fetch(from, text);

		assert_int_equal(fetch(from, text), who);
		first += who == 0;
	}
	return first;
}

static void hash_goes_by_what_the_pool_says(void **state)
{
	(void)state;
	w.kind = LB_CONSISTENT_HASH;
	w.n_servers = 2;
	w.pool.lb_algorithm_hash = LB_ALGORITHM_CONSISTENT_HASH_URI;
	w.pool.lb_algorithm_consistent_hash_hdr = "X-Shard";
	configure();
	assert_in_range(first_of(30, "127.0.0.1", "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"), 5, 25);
	assert_int_equal(first_of(5, "127.0.0.%d", "GET /same HTTP/1.1\r\nHost: a\r\n\r\n") % 5, 0);
	w.pool.lb_algorithm_hash = LB_ALGORITHM_CONSISTENT_HASH_CUSTOM_HEADER;
	configure();
	assert_in_range(first_of(30, "127.0.0.1", "GET / HTTP/1.1\r\nHost: a\r\nx-shard: %d\r\n\r\n"), 5, 25);
	assert_int_equal(first_of(5, "127.0.0.1", "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n") % 5, 0);
	w.pool.lb_algorithm_hash = LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS;
	configure();
	assert_in_range(first_of(30, "127.0.0.%d", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 5, 25);
	w.pool.lb_algorithm_hash = LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS_AND_PORT;
	configure();
	/* Each connection has another port. */
	int first = 0;

	for (int i = 0; i < 30; i++)
		first += fetch("127.0.0.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n") == 0;
	assert_in_range(first, 5, 25);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hash_goes_by_what_the_pool_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
