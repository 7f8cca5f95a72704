/*
 * far_end_test - the clients and servers of a worker that is tested: sockets on the loopback address, on which no step
 * takes longer than LIMIT_S of the machine's time, and the counters that say what became of them. The worker's own time
 * is that of base/clock_test.h: the programs are linked for it. Include base/test.h first.
 */
#ifndef SPANWIRE_ENGINE_FAR_END_TEST_H
#define SPANWIRE_ENGINE_FAR_END_TEST_H

#include <poll.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock_test.h"
#include "engine/worker.h"

#define LIMIT_S 60 /* who waits so long waits in vain, on any machine */

static inline void limit_waits(int fd)
{
	struct timeval tv = { .tv_sec = LIMIT_S };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

/* A port at which nobody listens, nor will as long as the descriptor lives: it refuses. */
static inline int deaf_on(union address *a)
{
	socklen_t len = sizeof(*a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(address_parse(a, "127.0.0.1", 0), 0);
	assert_int_equal(bind(fd, &a->sa, address_len(a)), 0);
	assert_int_equal(getsockname(fd, &a->sa, &len), 0);
	return fd;
}

static inline int listen_on(union address *a)
{
	int fd = deaf_on(a);

	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

static inline int connect_to(const union address *a)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	limit_waits(fd);
	assert_int_equal(connect(fd, &a->sa, address_len(a)), 0);
	return fd;
}

static inline int accept_from(int listening)
{
	int fd;

	limit_waits(listening);
	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	limit_waits(fd);
	return fd;
}

static inline void say_bytes(int fd, const char *text, size_t n)
{
	assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

static inline void say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text));
}

static inline void hear_end(int fd)
{
	char c = 0;
	ssize_t n = recv(fd, &c, 1, 0);

	if (n != 0)
		fail_msg("expected the end, got %zd ('%c', %s)", n, c, n < 0 ? strerror(errno) : "");
}

static inline void hear_reset(int fd)
{
	char c;

	assert_int_equal(recv(fd, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
}

static inline void reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static inline bool can(int fd, short events)
{
	struct pollfd p = { fd, events, 0 };

	return poll(&p, 1, 0) == 1;
}

/* Which of the N sockets at FDS (-1: none) has something to read, soon. */
static inline int first_ready(const int *fds, int n)
{
	struct pollfd p[8];

	assert_in_range(n, 1, ARRAY_SIZE(p));
	for (int i = 0; i < n; i++)
		p[i] = (struct pollfd){ fds[i], POLLIN, 0 };
	assert_true(poll(p, (nfds_t)n, LIMIT_S * 1000) > 0);
	for (int i = 0; i < n; i++)
		if (p[i].revents)
			return i;
	return -1;
}

static inline uint64_t deadline(void)
{
	return __real_mono_ns() + LIMIT_S * NS_PER_S;
}

/* Until what another thread pours into FD fills every buffer on the way; false: it does not. For any thread. */
static inline bool fills(int fd)
{
	uint64_t limit = deadline();

	while (can(fd, POLLOUT)) {
		if (__real_mono_ns() > limit)
			return false;
		usleep(200);
	}
	return true;
}

static inline uint64_t now(const uint64_t *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}

/* C comes to WANT or more, soon. */
static inline void reaches(const uint64_t *c, uint64_t want)
{
	uint64_t limit = deadline();

	while (now(c) < want) {
		assert_true(__real_mono_ns() < limit);
		usleep(200);
	}
}

/* C comes to WANT, soon. */
static inline void counted(const uint64_t *c, uint64_t want)
{
	uint64_t limit = deadline();

	while (now(c) != want) {
		if (__real_mono_ns() > limit)
			assert_int_equal(now(c), want);
		usleep(200);
	}
}

struct visit {
	struct message message;
	struct grave grave;
	struct worker *worker;
	sem_t over;
};

static inline void visit_left(struct grave *g)
{
	sem_post(&CONTAINER_OF(g, struct visit, grave)->over);
}

static inline void visit_delivered(struct message *m)
{
	struct visit *v = CONTAINER_OF(m, struct visit, message);

	loop_bury(v->worker->loop, &v->grave, visit_left); /* at the end of this turn */
}

/* W has done all that was posted, and all that was due: a turn of its loop that began since is over. */
static inline void settle(struct worker *w)
{
	struct visit v = { .worker = w };

	/* The first may come into a turn whose timers ran before a test's clock moved. */
	for (int i = 0; i < 2; i++) {
		sem_init(&v.over, 0, 0);
		inbox_post(&w->inbox, &v.message, visit_delivered);
		while (sem_wait(&v.over) < 0)
			must(errno == EINTR);
		sem_destroy(&v.over);
	}
}

/* The time of W, which stands still, goes on by MS; what is due by then is done. */
static inline void pass_ms(struct worker *w, uint64_t ms)
{
	settle(w);
	clock_move(ms * NS_PER_MS);
	settle(w);
}

/* The same, until something can be read from FD, or C has come to 0. */
static inline void pass_until(struct worker *w, int fd, const uint64_t *c)
{
	uint64_t limit = deadline();

	while (c ? now(c) != 0 : !can(fd, POLLIN)) {
		assert_true(__real_mono_ns() < limit);
		pass_ms(w, 10);
	}
}

/* What C, which W counts, has come to once it stands still. */
static inline uint64_t standing(struct worker *w, const uint64_t *c)
{
	uint64_t last;

	do {
		last = now(c);
		settle(w);
	} while (now(c) != last || last == 0);
	return last;
}

#endif
