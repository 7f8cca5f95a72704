#include "net/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/base.h"
#include "net/tls.h"

#define READ_SIZE   (64u << 10)
#define CORK_FROM   (32u << 10)
#define READ_BUDGET (1u << 20) /* bytes a stream may read in one turn before others get theirs */

static ssize_t tcp_read(struct stream *s, void *p, size_t n, struct err *e)
{
	ssize_t got = recv(s->fd, p, n, 0);

	return got >= 0 ? got
			: err_set(e, -errno, NULL, "reading from %s: %s", s->peer, strerror(errno));
}

static ssize_t tcp_write(struct stream *s, const void *p, size_t n, struct err *e)
{
	ssize_t put = send(s->fd, p, n, MSG_NOSIGNAL);

	return put >= 0 ? put
			: err_set(e, -errno, NULL, "writing to %s: %s", s->peer, strerror(errno));
}

static const struct stream_ops tcp_ops = { .read = tcp_read, .write = tcp_write };

void stream_close(struct stream *s)
{
	if (s->state == STREAM_CLOSED)
		return;
	if (s->state == STREAM_OPEN)
		stream_flush(s);
	if (s->ops->close)
		s->ops->close(s);
	timer_stop(s->loop, &s->timer);
	watch_stop(s->loop, &s->watch);
	close(s->fd);
	s->fd = -1;
	s->state = STREAM_CLOSED;
	buf_fini(&s->in);
	buf_fini(&s->out);
}

static void fail(struct stream *s, const struct err *why)
{
	struct err copy = *why; /* it may live in what closed() frees */

	/* What cannot be read or written any more is not flushed either. */
	s->out.len = 0;
	stream_close(s);
	s->user->closed(s, &copy);
}

static void timed_out(struct timer *t)
{
	struct stream *s = CONTAINER_OF(t, struct stream, timer);
	struct err e = { 0 };

	if (s->state == STREAM_OPEN) /* stream_flush() met an error, or stream_write() the limit */
		err_set(&e, -EPIPE, NULL, "%s does not take what is written to it", s->peer);
	else
		err_set(&e, -ETIMEDOUT, NULL, "no %s with %s in time",
			s->state == STREAM_CONNECTING ? "connection" : "TLS handshake", s->peer);
	fail(s, &e);
}

static void set_events(struct stream *s)
{
	watch_set(s->loop, &s->watch, EPOLLIN | (s->out.len || s->wants_write ? EPOLLOUT : 0));
}

static void cork(struct stream *s, int yes)
{
	setsockopt(s->fd, IPPROTO_TCP, TCP_CORK, &yes, sizeof(yes));
}

/* 0, or a negative errno that must end the stream. */
static int flush(struct stream *s, struct err *e)
{
	/* TLS writes 16 KB at a time: the kernel makes larger segments of them, each of which has a long way to go. */
	const bool is_much = s->out.len >= CORK_FROM;
	int rc = 0;

	if (is_much)
		cork(s, 1);
	while (s->out.len && rc >= 0) {
		ssize_t n = s->ops->write(s, s->out.data, s->out.len, e);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			rc = (int)n;
		else
			buf_take(&s->out, (size_t)n);
	}
	if (is_much)
		cork(s, 0);
	return rc;
}

bool stream_write(struct stream *s, const void *p, size_t n)
{
	if (s->state != STREAM_OPEN)
		return false;
	if (s->out.len + n > STREAM_OUT_MAX) {
		timer_in(s->loop, &s->timer, 0, timed_out);
		return false;
	}
	buf_put(&s->out, p, n);
	s->bytes_out += n;
	s->is_full = s->is_full || stream_is_full(s);
	return true;
}

void stream_flush(struct stream *s)
{
	if (s->state != STREAM_OPEN)
		return;
	/*
	 * An error shows itself again when the loop tries, which is where closed() may be called.
	 */
	flush(s, NULL);
	set_events(s);
}

static void opened(struct stream *s)
{
	timer_stop(s->loop, &s->timer);
	s->state = STREAM_OPEN;
	s->wants_write = false;
	set_events(s);
	s->user->opened(s);
}

static void handshake(struct stream *s)
{
	struct err e = { 0 };
	int rc = s->ops->open ? s->ops->open(s, &e) : 0;

	if (rc == 0)
		opened(s);
	else if (rc == -EAGAIN)
		set_events(s);
	else
		fail(s, &e);
}

static void read_in(struct stream *s)
{
	struct err e = { 0 };
	size_t total = 0;

	/*
	 * The user may close the stream in readable(), and may even free what is around it at the
	 * end of the turn.
	 */
	while (s->state == STREAM_OPEN && total < READ_BUDGET) {
		ssize_t n;

		must(buf_room(&s->in, READ_SIZE) == 0);
		n = s->ops->read(s, buf_end(&s->in), READ_SIZE, &e);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			if (n == 0)
				err_set(&e, 0, NULL, "%s closed the connection", s->peer);
			fail(s, &e);
			return;
		}
		buf_added(&s->in, (size_t)n);
		s->bytes_in += (uint64_t)n;
		total += (size_t)n;
		s->user->readable(s);
	}
	/*
	 * The budget is used up. TLS may hold bytes that epoll knows nothing of: they wait at
	 * most until the next timer of 1 ms, which also lets others have their turn.
	 */
	if (s->state == STREAM_OPEN)
		s->wants_write = true;
}

static void ready(struct watch *w, uint32_t events)
{
	struct stream *s = CONTAINER_OF(w, struct stream, watch);
	struct err e = { 0 };

	if (s->state == STREAM_CONNECTING) {
		int error = 0;
		socklen_t len = sizeof(error);

		getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error) {
			err_set(&e, -error, NULL, "connecting to %s: %s", s->peer, strerror(error));
			fail(s, &e);
			return;
		}
		s->state = STREAM_OPENING;
	}
	if (s->state == STREAM_OPENING) {
		handshake(s);
		return;
	}
	s->wants_write = false;
	if (events & EPOLLOUT) {
		if (flush(s, &e) < 0) {
			fail(s, &e);
			return;
		}
		if (s->is_full && s->out.len < STREAM_OUT_HIGH / 2) {
			s->is_full = false;
			if (s->user->drained)
				s->user->drained(s);
		}
	}
	if (s->state == STREAM_OPEN)
		read_in(s);
	if (s->state == STREAM_OPEN)
		set_events(s);
}

static void name_peer(struct stream *s, const struct sockaddr *a)
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (a->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)a;

		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
		snprintf(s->peer, sizeof(s->peer), "%s:%u", text, ntohs(in->sin_port));
	} else if (a->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)a;

		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
		snprintf(s->peer, sizeof(s->peer), "[%s]:%u", text, ntohs(in6->sin6_port));
	} else {
		snprintf(s->peer, sizeof(s->peer), "a local peer");
	}
}

static void stream_init(struct stream *s, struct loop *l, int fd, const struct stream_user *user)
{
	*s = (struct stream){ .ops = &tcp_ops, .user = user, .loop = l, .fd = fd };
}

/* Watch it and arm the timer. On error everything is undone. */
static int begin(struct stream *s, struct tls *t, uint32_t events, unsigned timeout_ms,
		 struct err *e)
{
	int one = 1, rc = 0;

	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (t)
		rc = tls_begin(s, t, e);
	if (rc == 0) {
		rc = watch_start(s->loop, &s->watch, s->fd, events, ready);
		if (rc < 0)
			err_set(e, rc, NULL, "watching a socket: %s", strerror(-rc));
	}
	if (rc < 0) {
		stream_close(s);
		return rc;
	}
	timer_in(s->loop, &s->timer, timeout_ms, timed_out);
	return 0;
}

int stream_connect(struct stream *s, struct loop *l, const struct sockaddr *addr, socklen_t len,
		   struct tls *t, unsigned timeout_ms, const struct stream_user *user,
		   struct err *e)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	stream_init(s, l, fd, user);
	if (fd < 0)
		return err_set(e, -errno, NULL, "socket: %s", strerror(errno));
	s->state = STREAM_CONNECTING;
	name_peer(s, addr);
	if (connect(fd, addr, len) < 0 && errno != EINPROGRESS) {
		int rc = err_set(e, -errno, NULL, "connecting to %s: %s", s->peer, strerror(errno));

		stream_close(s);
		return rc;
	}
	return begin(s, t, EPOLLOUT, timeout_ms, e);
}

int stream_accept(struct stream *s, struct loop *l, int fd, struct tls *t, unsigned timeout_ms,
		  const struct stream_user *user, struct err *e)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);

	stream_init(s, l, fd, user);
	s->state = STREAM_OPENING;
	getpeername(fd, (struct sockaddr *)&addr, &len);
	name_peer(s, (struct sockaddr *)&addr);
	/* EPOLLOUT: a plain stream is open at once; opened() comes from the loop in any case. */
	return begin(s, t, EPOLLIN | EPOLLOUT, timeout_ms, e);
}

int stream_name(const char *text, char host[static STREAM_HOST_MAX], char port[static STREAM_PORT_MAX],
		struct err *e)
{
	static const char scheme[] = "https://";
	const char *at = text, *colon, *end;
	unsigned long number;
	size_t n;

	if (strncmp(at, scheme, sizeof(scheme) - 1) == 0)
		at += sizeof(scheme) - 1;
	colon = strrchr(at, ':');
	if (!colon || colon == at)
		return err_set(e, -EINVAL, NULL, "\"%s\" is not ADDRESS:PORT", text);
	number = strtoul(colon + 1, (char **)&end, 10);
	if (*end == '/')
		end++;
	if (colon[1] < '0' || colon[1] > '9' || *end || number > 65535)
		return err_set(e, -EINVAL, NULL, "\"%s\" does not end with a port", text);
	n = (size_t)(colon - at);
	if (*at == '[' && n >= 2 && at[n - 1] == ']') {
		at++;
		n -= 2;
	}
	if (n >= STREAM_HOST_MAX)
		return err_set(e, -EINVAL, NULL, "\"%s\" has too long a name", text);
	memcpy(host, at, n);
	host[n] = '\0';
	snprintf(port, STREAM_PORT_MAX, "%lu", number);
	return 0;
}

int stream_address(const char *text, struct sockaddr_storage *out, socklen_t *len, struct err *e)
{
	char host[STREAM_HOST_MAX], port[STREAM_PORT_MAX];
	struct sockaddr_in *in = (void *)out;
	struct sockaddr_in6 *in6 = (void *)out;
	int rc = stream_name(text, host, port, e);

	if (rc < 0)
		return rc;
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)atoi(port));
		*len = sizeof(*in);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)atoi(port));
		*len = sizeof(*in6);
		return 0;
	}
	return err_set(e, -EINVAL, NULL, "\"%s\" does not begin with an IPv4 or IPv6 address", text);
}
