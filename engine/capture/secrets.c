#include "engine/capture/secrets.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "engine/upstream.h"
#include "engine/worker.h"

#define ROOM (4 << 20)

static int writer = -1; /* set before anybody serves */

int secrets_pair(int *reader, int *to)
{
	int ends[2], room = ROOM;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	if (setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	*reader = ends[0];
	*to = ends[1];
	return 0;
}

void secrets_socket(int fd)
{
	__atomic_store_n(&writer, fd, __ATOMIC_RELEASE);
}

bool secrets_send(const struct secrets_line *l)
{
	int fd = __atomic_load_n(&writer, __ATOMIC_ACQUIRE);

	return fd < 0 || send(fd, l, offsetof(struct secrets_line, text) + l->len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static bool are_wanted(const struct conn *c)
{
	return c->service->snapshot && c->service->snapshot->clone.keys;
}

static void tell(const SSL *ssl, const char *text)
{
	struct conn *c = SSL_get_app_data(ssl);
	const struct conn *client = c && c->side == CONN_SERVER ? (c->upstream ? c->upstream->client : NULL) : c;
	struct secrets_line l = { .len = (uint32_t)strlen(text) };

	if (!client || !are_wanted(c) || l.len > sizeof(l.text))
		return;
	l.service = c->service->snapshot->clone.service;
	address_mapped(&client->peer, l.client);
	if (client != c)
		address_mapped(&c->peer, l.server);
	memcpy(l.text, text, l.len);
	if (!secrets_send(&l))
		counter_add(&c->service->counters->capture_secrets_lost, 1);
	else
		c->keyed = c->service->snapshot->clone.capture;
	explicit_bzero(&l, sizeof(l));
}

void secrets_watch(SSL_CTX *ctx, const struct conn *c)
{
	/* Those that share the context are asked each for itself: it is never taken back. */
	if (are_wanted(c) && !SSL_CTX_get_keylog_callback(ctx))
		SSL_CTX_set_keylog_callback(ctx, tell);
}

bool secrets_take(int reader, struct secrets_line *out)
{
	size_t head = offsetof(struct secrets_line, text);
	ssize_t n = recv(reader, out, sizeof(*out), MSG_DONTWAIT);

	/* The writer is our own program, but after a defect it may be anybody. */
	return n >= (ssize_t)head && (size_t)n == head + out->len;
}
