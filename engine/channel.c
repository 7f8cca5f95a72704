#include "engine/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"

#define READ_BYTES 65536
#define FDS_MAX    16 /* descriptors whose line has not come whole; the sender puts one on a line */

/* A line that waits for the kernel, and the descriptor that goes with its first byte. */
struct line {
	struct list link;
	char *text;
	size_t len, done;
	int fd;
};

struct channel {
	struct watch watch;
	struct grave grave;
	struct loop *loop;
	struct channel_user *user;
	struct buf in;
	struct list out;
	size_t backlog;
	int fds[FDS_MAX];
	size_t n_fds;
	bool closed;
};

static void fail(struct channel *c, int rc)
{
	if (c->closed)
		return;
	c->closed = true;
	watch_stop(c->loop, &c->watch);
	c->user->closed(c->user, rc);
}

/* ---- out ---- */

static void line_free(struct channel *c, struct line *l)
{
	c->backlog -= l->len - l->done;
	list_remove(&l->link);
	if (l->fd >= 0)
		close(l->fd);
	free(l->text);
	free(l);
}

/* Bytes of L that the kernel took; the descriptor goes with the first of them. */
static ssize_t line_send(const struct channel *c, const struct line *l)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { l->text + l->done, l->len - l->done };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (l->fd >= 0 && l->done == 0) {
		struct cmsghdr *h;

		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &l->fd, sizeof(int));
	}
	do
		n = sendmsg(c->watch.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == ETOOMANYREFS) /* descriptors that the peer has not taken yet: later */
		return -EAGAIN;
	return n < 0 ? -errno : n;
}

static int flush(struct channel *c)
{
	while (!list_empty(&c->out)) {
		struct line *l = LIST_ENTRY(c->out.next, struct line, link);
		ssize_t n = line_send(c, l);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			return (int)n;
		l->done += (size_t)n;
		c->backlog -= (size_t)n;
		if (l->done == l->len)
			line_free(c, l);
	}
	return watch_set(c->loop, &c->watch, EPOLLIN | (list_empty(&c->out) ? 0 : EPOLLOUT));
}

void channel_send(struct channel *c, json_t *m, int fd)
{
	struct line *l;
	char *text = json_text(m);

	json_decref(m);
	if (c->closed) {
		free(text);
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->len = strlen(text) + 1;
	l->text = xrealloc(text, l->len);
	l->text[l->len - 1] = '\n';
	l->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	list_init(&l->link);
	list_insert(&c->out, &l->link);
	c->backlog += l->len;
	/* A peer that is gone is told of by the read side, never from inside this call. */
	if (flush(c) < 0)
		watch_set(c->loop, &c->watch, EPOLLIN);
}

size_t channel_backlog(const struct channel *c)
{
	return c->backlog;
}

/* ---- in ---- */

static int take_fds(struct channel *c, struct msghdr *m)
{
	int rc = 0;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			if (c->n_fds < FDS_MAX) {
				c->fds[c->n_fds++] = fd;
			} else {
				close(fd); /* as are all that follow */
				rc = -EPROTO;
			}
		}
	}
	return m->msg_flags & MSG_CTRUNC ? -EPROTO : rc;
}

static int first_fd(struct channel *c)
{
	int fd = c->fds[0];

	c->n_fds--;
	memmove(c->fds, c->fds + 1, c->n_fds * sizeof(int));
	return fd;
}

static int deliver(struct channel *c, const char *line, size_t len)
{
	CLEANUP_JSON json_t *m = NULL;
	struct err e;
	int fd = -1;

	if (json_read(line, len, &m, &e) < 0 || !json_str(m, "type", NULL))
		return -EPROTO;
	/* The line itself says whether it brought one: a count that does not match is an error, not a mix-up. */
	if (json_bool(m, "fd", false)) {
		if (!c->n_fds)
			return -EPROTO;
		fd = first_fd(c);
	}
	c->user->message(c->user, json_str(m, "type", NULL), m, fd);
	return 0;
}

static int deliver_lines(struct channel *c)
{
	while (!c->closed && c->in.len) {
		char *end = memchr(c->in.data, '\n', c->in.len);
		size_t len;
		int rc;

		if (!end)
			return c->in.len > CHANNEL_LINE_MAX ? -EMSGSIZE : 0;
		len = (size_t)(end - c->in.data);
		rc = deliver(c, c->in.data, len);
		if (rc < 0)
			return rc;
		buf_take(&c->in, len + 1);
	}
	return 0;
}

static int receive(struct channel *c)
{
	union {
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	ssize_t n;
	int rc;

	buf_room(&c->in, READ_BYTES);
	iov = (struct iovec){ buf_end(&c->in), READ_BYTES };
	n = recvmsg(c->watch.fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	rc = take_fds(c, &m);
	if (rc < 0)
		return rc;
	buf_added(&c->in, (size_t)n);
	return deliver_lines(c);
}

static void ready(struct watch *w, uint32_t events)
{
	struct channel *c = CONTAINER_OF(w, struct channel, watch);
	int rc = 0;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		rc = receive(c);
	if (rc == 0 && events & EPOLLOUT && !c->closed)
		rc = flush(c);
	if (rc < 0)
		fail(c, rc == -EPIPE || rc == -ECONNRESET ? 0 : rc);
}

/* ---- life ---- */

struct channel *channel_new(struct loop *l, int fd, struct channel_user *u)
{
	struct channel *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->user = u;
	list_init(&c->out);
	must(watch_start(l, &c->watch, fd, EPOLLIN, ready) == 0);
	return c;
}

static void release(struct grave *g)
{
	struct channel *c = CONTAINER_OF(g, struct channel, grave);

	buf_fini(&c->in);
	free(c);
}

void channel_free(struct channel *c)
{
	if (!c)
		return;
	c->closed = true;
	watch_stop(c->loop, &c->watch);
	while (!list_empty(&c->out))
		line_free(c, LIST_ENTRY(c->out.next, struct line, link));
	while (c->n_fds)
		close(first_fd(c));
	close(c->watch.fd);
	loop_bury(c->loop, &c->grave, release);
}
