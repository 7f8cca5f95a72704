/*
 * HTTP/2, frame by frame.
 */
#include "engine/http/talk_test.h"

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
	static const char windows[] = "\0\0\4\10\0\0\0\0\0\0\0\0\1";
	uint64_t said = sizeof(PREFACE) - 1;
	char rest[512];
	ssize_t n;
	int c;

	(void)state;
	w.http.post_accept_timeout = 300;
	c = client2();
	for (int ms = 0; ms < 290; ms += 10) {
		say_bytes(c, windows, sizeof(windows) - 1);
		said += sizeof(windows) - 1;
		counted(&service()->bytes_from_client, said);
		pass_ms(w.worker, 10);
		assert_int_equal(now(&service()->conn_open), 1);
	}
	pass_ms(w.worker, 11);
	while ((n = recv(c, rest, sizeof(rest), 0)) > 0)
		;
	assert_int_equal(n, 0);
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
		TEST(an_idle_connection_ends_whatever_comes_beside_requests),
		TEST(cancelled_uploads_give_their_window_back),
		TEST(a_large_head_of_an_answer_reaches_a_client_of_http2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
