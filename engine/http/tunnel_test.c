/*
 * What an exchange passes on without end: large bodies, and bytes behind a 101.
 */
#include "engine/http/talk_test.h"

#include <pthread.h>
#include <time.h>

#define UPGRADES "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n"
#define SWITCHED "HTTP/1.1 101 Switching Protocols\r\n" UPGRADES

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
	assert_true(fills(c));
	assert_in_range(standing(w.worker, &service()->bytes_from_client), 1,
			KERNEL); /* nobody reads: it must stop */
	drain(s, LARGE);
	pthread_join(t, NULL);
	say(s, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: " LARGE_TEXT "\r\n\r\n");
	f = (struct flood){ s, LARGE };
	assert_int_equal(pthread_create(&t, NULL, pour, &f), 0);
	hear(c, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: " LARGE_TEXT "\r\n\r\n");
	assert_true(fills(s));
	assert_in_range(standing(w.worker, &server_of(0)->bytes_from_server), 1, KERNEL);
	drain(c, LARGE);
	pthread_join(t, NULL);
	say(c, GET);
	hear(s, GET_);
	say(s, OK);
	hear(c, OK);
	close(c);
	close(s);
}

#define MEASURED_MS 200

/* What the worker's thread has computed, ever. */
static uint64_t cpu_ms(void)
{
	struct timespec t;
	clockid_t clock;

	assert_int_equal(pthread_getcpuclockid(w.worker->thread, &clock), 0);
	assert_int_equal(clock_gettime(clock, &t), 0);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / NS_PER_MS;
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
	do { /* until the client's side is full */
		say_bytes(s, block, sizeof(block));
		sent += sizeof(block);
	} while (standing(w.worker, &service()->bytes_to_client) >= head + sent);
	close(s);
	settle(w.worker);
	used = cpu_ms();
	poll(NULL, 0, MEASURED_MS); /* the measurement itself */
	assert_in_range(cpu_ms() - used, 0, MEASURED_MS / 10);
	while ((n = recv(c, block, sizeof(block), 0)) > 0)
		got += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(got, sent);
	close(c);
	counted(&service()->conn_open, 0);
	counted(&server_of(0)->conn_open, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(websockets_pass),
		TEST(another_upgrade_beside_it_is_none),
		TEST(large_bodies_pass_without_being_held),
		TEST(a_tunnel_that_nobody_reads_costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
