/*
 * talk_test - what HTTP tests say and hear: requests and answers that several of them have in common, byte by byte.
 */
#ifndef SPANWIRE_ENGINE_HTTP_TALK_TEST_H
#define SPANWIRE_ENGINE_HTTP_TALK_TEST_H

#include "engine/http/http_world.h"

#define H     "Host: a\r\n"
#define XFF   "X-Forwarded-For: 127.0.0.1\r\n"
#define DATE  "Date: today\r\n"
#define GET   "GET / HTTP/1.1\r\n" H "\r\n"
#define GET_  "GET / HTTP/1.1\r\n" H XFF "\r\n" /* as it arrives */
#define OK    "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\n\r\nok"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

/* ---- the vocabulary ---- */

static inline int client(void)
{
	return connect_to(&w.front);
}

/* The next connection that server I gets. */
static inline int server(int i)
{
	return accept_from(w.server_fd[i]);
}

static inline void hear(int fd, const char *text)
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

/* Whatever is said before is not looked at. */
static inline void hear_broken(int fd)
{
	char c[64];

	while (recv(fd, c, sizeof(c), 0) > 0)
		;
	assert_int_equal(errno, ECONNRESET);
}

static inline bool is_silent(int fd)
{
	return !can(fd, POLLIN);
}

/* Our own answer: STATUS, and what its head says of the connection. */
static inline void hear_refusal(int fd, int status, bool closes)
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

/* A client, whose first request *AT_SERVER has heard. */
static inline int first_request(int *at_server)
{
	int c;

	configure();
	c = client();
	say(c, GET);
	*at_server = server(0);
	hear(*at_server, GET_);
	return c;
}

#endif
