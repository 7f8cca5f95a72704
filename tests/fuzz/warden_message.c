/*
 * What a proxy that was taken over says to its warden: the first byte says in which pieces the rest arrives, the second
 * which of the first pieces bring a descriptor. In whatever pieces it comes, the warden hears the same, and every
 * descriptor is handed over or closed.
 */
#include "base/base.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct heard {
	struct channel_user user;
	struct buf said;
	size_t fds;
	bool closed;
	int rc;
};

static void on_message(struct channel_user *u, const char *type, const json_t *m, int fd)
{
	struct heard *h = CONTAINER_OF(u, struct heard, user);
	CLEANUP_FREE char *text = json_text(m);

	must(!h->closed && strcmp(type, json_str(m, "type", "")) == 0);
	buf_printf(&h->said, "%s %s\n", text, fd >= 0 ? "fd" : "");
	if (fd >= 0) {
		must(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		close(fd);
		h->fds++;
	}
}

static void on_closed(struct channel_user *u, int rc)
{
	struct heard *h = CONTAINER_OF(u, struct heard, user);

	must(!h->closed);
	h->closed = true;
	h->rc = rc;
}

static void say(int to, const uint8_t *data, size_t len, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
		*CMSG_FIRSTHDR(&m) = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof(int));
	}
	must(sendmsg(to, &m, MSG_NOSIGNAL) == (ssize_t)len);
}

/* PIECE 0: all at once. */
static void talk(struct heard *h, const uint8_t *data, size_t len, size_t piece, uint8_t with)
{
	struct loop *l = loop_new();
	struct channel *c;
	int pair[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	*h = (struct heard){ .user = { on_message, on_closed } };
	c = channel_new(l, pair[0], &h->user);
	for (size_t at = 0, n = 0; at < len && !h->closed; n++) {
		size_t some = piece && n < 64 ? MIN(piece, len - at) : len - at;

		say(pair[1], data + at, some, n < 8 && with >> n & 1 ? null : -1);
		at += some;
		loop_turn(l, 0);
	}
	close(null);
	close(pair[1]);
	while (!h->closed)
		loop_turn(l, 0);
	channel_free(c);
	loop_turn(l, 0);
	loop_free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct heard whole, cut;

	if (len < 2 || len > 16384)
		return 0;
	talk(&whole, data + 2, len - 2, 0, 0);
	talk(&cut, data + 2, len - 2, data[0], 0);
	must(whole.rc == cut.rc && whole.said.len == cut.said.len &&
	     memcmp(buf_cstr(&whole.said), buf_cstr(&cut.said), whole.said.len) == 0);
	buf_fini(&cut.said);
	talk(&cut, data + 2, len - 2, data[0], data[1]);
	must(cut.fds <= 8);
	buf_fini(&whole.said);
	buf_fini(&cut.said);
	return 0;
}
