#include "engine/l4/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/base.h"
#include "engine/lack.h"
#include "engine/worker.h"

struct pipe *pipe_get(struct worker *w)
{
	struct pipe *p = w->pipes;
	int fds[2];

	if (p) {
		w->pipes = p->next;
		return p;
	}
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
		return NULL;
	/* It can be done without one. */
	if (lack_after_client(MAX(fds[0], fds[1]))) {
		close(fds[0]);
		close(fds[1]);
		return NULL;
	}
	/* A user may have only so much of it; a smaller pipe works as well. */
	fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
	p = xcalloc(1, sizeof(*p));
	p->out = fds[0];
	p->in = fds[1];
	return p;
}

static void destroy(struct pipe *p)
{
	close(p->in);
	close(p->out);
	free(p);
}

void pipe_put(struct worker *w, struct pipe *p)
{
	if (!p)
		return;
	if (p->n) {
		destroy(p);
		return;
	}
	p->next = w->pipes;
	w->pipes = p;
}

void pipes_fini(struct worker *w)
{
	while (w->pipes) {
		struct pipe *p = w->pipes;

		w->pipes = p->next;
		destroy(p);
	}
}

static ssize_t move(int from, int to, size_t n)
{
	ssize_t moved;

	do
		moved = splice(from, NULL, to, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (moved < 0 && errno == EINTR);
	return moved < 0 ? -errno : moved;
}

ssize_t pipe_fill(struct pipe *p, int fd, size_t max)
{
	ssize_t n = move(fd, p->in, max);

	if (n > 0)
		p->n += (size_t)n;
	return n;
}

ssize_t pipe_drain(struct pipe *p, int fd)
{
	ssize_t n = move(p->out, fd, p->n);

	if (n > 0)
		p->n -= (size_t)n;
	return n;
}
