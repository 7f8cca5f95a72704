/*
 * http2_frames - what a stranger sends behind the preface of HTTP/2, to a worker as it stands, on a real socket.
 *
 * The service has no server, so that every request is answered at once. Whatever came, the connection ends when its
 * client has ended, nothing of it is left, and each request was counted as answered or gone. The first byte chooses
 * limits of the profile; the rest is cut into two pieces at the second.
 */
#include "engine/http/http_world.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be(const uint64_t *c, uint64_t want)
{
	uint64_t limit = deadline();

	while (now(c) != want) {
		must(__real_mono_ns() < limit);
		usleep(10);
	}
}

static void world_of(unsigned limits)
{
	static const unsigned none = 256;
	static unsigned is = none;

	(void)teardown; /* the world ends with the process */

	if (is == none) {
		must(setup(NULL) == 0);
		clock_go();
	}
	if (is == limits)
		return;
	is = limits;
	w.http2 = true;
	w.n_servers = 0;
	w.http.client_max_body_size = limits & 1;
	w.http.client_max_request_size = limits & 2 ? 1 : 48;
	configure();
}

/* libFuzzer's clock interrupts now and then, and connect() goes on without us. */
static bool connected(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int error = 0;
	socklen_t len = sizeof(error);

	if (connect(fd, &w.front.sa, address_len(&w.front)) == 0)
		return true;
	if (errno != EINTR)
		return false;
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	/* The kernel keeps a pair of ports for a minute after its end: clients have addresses, as many as they need. */
	static uint32_t client;
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f010000 + client++ % 60000) };
	char answer[4096];
	size_t cut;
	int fd, one = 1;

	if (size < 2)
		return 0;
	world_of(data[0] & 3);
	cut = 2 + data[1] % (size - 1);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0);
	must(connected(fd));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (send(fd, preface, sizeof(preface) - 1, MSG_NOSIGNAL) > 0 &&
	    send(fd, data + 2, cut - 2, MSG_NOSIGNAL) >= 0 && send(fd, data + cut, size - cut, MSG_NOSIGNAL) >= 0)
		shutdown(fd, SHUT_WR);
	while (recv(fd, answer, sizeof(answer), 0) > 0)
		;
	close(fd);
	must_be(&service()->conn_open, 0);
	must(now(&service()->http_requests) ==
	     now(&service()->http_2xx) + now(&service()->http_3xx) + now(&service()->http_4xx) +
		     now(&service()->http_5xx) + now(&service()->http_upgrades) + now(&service()->http_client_gone));
	return 0;
}
