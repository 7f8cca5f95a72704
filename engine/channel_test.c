#include "base/test.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/channel.h"

#define LINES 20000

struct end {
	struct channel_user user;
	struct loop *loop;
	int got, with_fd, rc;
	bool closed;
};

static void on_message(struct channel_user *u, const char *type, const json_t *m, int fd)
{
	struct end *e = CONTAINER_OF(u, struct end, user);

	assert_string_equal(type, "line");
	assert_int_equal(json_int(m, "n", -1), e->got);
	if (fd >= 0) {
		char c = 0;

		/* The descriptor that came with line N reads N. */
		assert_int_equal(read(fd, &c, 1), 1);
		assert_int_equal(c, (char)e->got);
		close(fd);
		e->with_fd++;
	}
	e->got++;
}

static void on_closed(struct channel_user *u, int rc)
{
	struct end *e = CONTAINER_OF(u, struct end, user);

	e->closed = true;
	e->rc = rc;
}

static void pair(int sv[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
}

static void turn_until(struct loop *l, const bool *done, const int *count, int want)
{
	uint64_t deadline = mono_ns() + 60 * NS_PER_S;

	while (!(done && *done) && !(count && *count >= want)) {
		assert_true(mono_ns() < deadline);
		assert_int_equal(loop_turn(l, 100), 0);
	}
}

static void lines_and_descriptors_arrive_in_order(void **state)
{
	struct loop *l = loop_new();
	struct end a = { { on_message, on_closed }, l }, b = a;
	struct channel *ca, *cb;
	int sv[2], sent_fds = 0;

	(void)state;
	pair(sv);
	ca = channel_new(l, sv[0], &a.user);
	cb = channel_new(l, sv[1], &b.user);
	/* Far more than the kernel takes at once: most of it waits in the channel. */
	for (int i = 0; i < LINES; i++) {
		int p[2] = { -1, -1 };
		json_t *m = json_pack("{s:s, s:i, s:s}", "type", "line", "n", i, "pad", "0123456789012345678901234567890123");

		if (i % 500 == 0) {
			char c = (char)i;

			assert_int_equal(pipe2(p, O_CLOEXEC), 0);
			assert_int_equal(write(p[1], &c, 1), 1);
			json_object_set_new(m, "fd", json_true());
			sent_fds++;
		}
		channel_send(ca, m, p[0]);
		if (p[0] >= 0) {
			close(p[0]);
			close(p[1]);
		}
	}
	assert_true(channel_backlog(ca) > 0);
	turn_until(l, NULL, &b.got, LINES);
	assert_int_equal(b.got, LINES);
	assert_int_equal(b.with_fd, sent_fds);
	assert_int_equal(channel_backlog(ca), 0);
	channel_free(ca);
	turn_until(l, &b.closed, NULL, 0);
	assert_int_equal(b.rc, 0);
	channel_free(cb);
	loop_turn(l, 0);
	loop_free(l);
}

/* What a proxy gone wild might send: each ends the channel with an error, none the warden. */
static void nonsense_closes_with_an_error(void **state)
{
	static const char *const nonsense[] = {
		"\n", "{}\n", "[1]\n", "{\"type\": 5}\n", "{\"type\":\"line\",\"type\":\"line\"}\n", "{\"type\":\"x\"\n",
		"{\"type\":\"listener\",\"fd\":true}\n", "\xff\xfe\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++) {
		struct loop *l = loop_new();
		struct end e = { { on_message, on_closed }, l };
		struct channel *c;
		int sv[2];

		pair(sv);
		c = channel_new(l, sv[0], &e.user);
		assert_int_equal(write(sv[1], nonsense[i], strlen(nonsense[i])), (ssize_t)strlen(nonsense[i]));
		turn_until(l, &e.closed, NULL, 0);
		assert_int_equal(e.rc, -EPROTO);
		close(sv[1]);
		channel_free(c);
		loop_turn(l, 0);
		loop_free(l);
	}
}

static void endless_line_is_refused(void **state)
{
	struct loop *l = loop_new();
	struct end e = { { on_message, on_closed }, l };
	static char pad[65536];
	struct channel *c;
	uint64_t deadline = mono_ns() + 60 * NS_PER_S;
	int sv[2];

	(void)state;
	memset(pad, 'x', sizeof(pad));
	pair(sv);
	c = channel_new(l, sv[0], &e.user);
	while (!e.closed) {
		assert_true(mono_ns() < deadline);
		if (write(sv[1], pad, sizeof(pad)) < 0)
			assert_int_equal(errno, EAGAIN);
		loop_turn(l, 0);
	}
	assert_int_equal(e.rc, -EMSGSIZE);
	close(sv[1]);
	channel_free(c);
	loop_turn(l, 0);
	loop_free(l);
}

/* How many descriptors we have open. */
static size_t count_open(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void descriptors_that_nobody_asked_for_are_closed(void **state)
{
	enum { SENT = 12 };
	union {
		char bytes[CMSG_SPACE(SENT * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char byte = '{';
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	struct loop *l = loop_new();
	struct end e = { { on_message, on_closed }, l };
	size_t before = count_open();
	struct channel *c;
	int sv[2];

	(void)state;
	pair(sv);
	c = channel_new(l, sv[0], &e.user);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(SENT * sizeof(int));
	for (size_t i = 0; i < SENT; i++)
		memcpy(CMSG_DATA(h) + i * sizeof(int), &sv[1], sizeof(int));
	for (int i = 0; i < 2; i++) /* 24, and the channel keeps 16 */
		assert_int_equal(sendmsg(sv[1], &m, 0), 1);
	turn_until(l, &e.closed, NULL, 0);
	assert_int_equal(e.rc, -EPROTO);
	close(sv[1]);
	channel_free(c);
	loop_turn(l, 0);
	assert_int_equal(count_open(), before);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_and_descriptors_arrive_in_order),
		cmocka_unit_test(nonsense_closes_with_an_error),
		cmocka_unit_test(endless_line_is_refused),
		cmocka_unit_test(descriptors_that_nobody_asked_for_are_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
