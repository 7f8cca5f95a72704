/*
 * steady - requests at a constant rate, and how long each took from the moment at which it was due.
 *
 *	steady IP PORT PATH RATE SECONDS CONNECTIONS
 *
 * A request that has to wait for the answer to the one before it on its connection has waited: what is late is not
 * left out ("coordinated omission"). Request k is due at k/RATE and belongs to connection k modulo CONNECTIONS.
 * Says: requests N p50 US p99 US max US
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ULL

struct line {
	int fd;
	uint64_t due[1024];     /* released and not yet answered, a ring; the oldest is under way */
	unsigned first, released;
	size_t got, whole;      /* of the answer; 0: its length is not known yet */
	char in[16384];
};

static char request[1024];
static size_t request_len;
static uint32_t *took_us;
static size_t answered;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void ask(const struct line *l)
{
	if (send(l->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
		err(1, "send");
}

static void release(struct line *l, uint64_t due_ns)
{
	if (l->released == sizeof(l->due) / sizeof(l->due[0]))
		errx(1, "a thousand requests of one connection wait");
	l->due[(l->first + l->released) % (sizeof(l->due) / sizeof(l->due[0]))] = due_ns;
	if (l->released++ == 0)
		ask(l);
}

static size_t length_of(const char *in)
{
	const char *end = strstr(in, "\r\n\r\n"), *field = strcasestr(in, "\r\nContent-Length:");

	if (!end)
		return 0;
	if (strncmp(in, "HTTP/1.1 200", 12) || !field || field > end)
		errx(1, "no plain answer: %.40s", in);
	return (size_t)(end - in) + 4 + strtoul(field + 17, NULL, 10);
}

static void hear(struct line *l)
{
	ssize_t n = recv(l->fd, l->in + l->got, sizeof(l->in) - 1 - l->got, 0);

	if (n <= 0)
		err(1, "recv: %zd", n);
	l->got += (size_t)n;
	l->in[l->got] = '\0';
	if (!l->whole)
		l->whole = length_of(l->in);
	if (!l->whole || l->got < l->whole)
		return;
	took_us[answered++] = (uint32_t)((now_ns() - l->due[l->first]) / 1000);
	l->first = (l->first + 1) % (sizeof(l->due) / sizeof(l->due[0]));
	l->got = l->whole = 0;
	if (--l->released)
		ask(l);
}

static int connected(const char *ip, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || inet_pton(AF_INET, ip, &a.sin_addr) != 1 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
		err(1, "%s:%u", ip, port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	if (argc != 7)
		errx(2, "usage: steady IP PORT PATH RATE SECONDS CONNECTIONS");
	uint64_t rate = strtoul(argv[4], NULL, 10), all = rate * strtoul(argv[5], NULL, 10);
	size_t lines_n = strtoul(argv[6], NULL, 10);
	struct line *lines = calloc(lines_n, sizeof(*lines));
	int ready = epoll_create1(EPOLL_CLOEXEC);

	took_us = calloc(all, sizeof(*took_us));
	if (!rate || !all || !lines_n || !lines || !took_us || ready < 0)
		errx(2, "numbers above 0 are wanted");
	request_len = (size_t)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", argv[3], argv[1]);
	if (request_len >= sizeof(request))
		errx(2, "the path is too long");
	prctl(PR_SET_TIMERSLACK, 1);
	for (size_t i = 0; i < lines_n; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = &lines[i] };

		lines[i].fd = connected(argv[1], (uint16_t)strtoul(argv[2], NULL, 10));
		epoll_ctl(ready, EPOLL_CTL_ADD, lines[i].fd, &e);
	}

	uint64_t began = now_ns(), k = 0;

	while (answered < all) {
		uint64_t now = now_ns(), due;

		while (k < all && (due = began + k * NS_PER_S / rate) <= now)
			release(&lines[k++ % lines_n], due);

		struct timespec wait = { .tv_sec = 5 };
		struct epoll_event events[64];

		if (k < all) {
			now = now_ns();
			due = began + k * NS_PER_S / rate;
			wait.tv_sec = 0;
			wait.tv_nsec = due > now ? (long)(due - now) : 0;
		}
		int n = epoll_pwait2(ready, events, 64, &wait, NULL);

		if ((n < 0 && errno != EINTR) || (n == 0 && k == all))
			errx(1, "%zu of %llu requests were answered", answered, (unsigned long long)all);
		for (int i = 0; i < n; i++)
			hear(events[i].data.ptr);
	}
	qsort(took_us, answered, sizeof(*took_us), by_size);
	printf("requests %zu p50 %u p99 %u max %u\n", answered, took_us[answered / 2], took_us[answered * 99 / 100],
	       took_us[answered - 1]);
	return 0;
}
