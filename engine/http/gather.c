#include "engine/http/gather.h"

#include <errno.h>

#include "base/base.h"
#include "engine/conn.h"

#define FLAT_MAX 2048 /* bytes that are copied together sooner than the kernel reads of so many slices where they are */

void gather_init(struct gather *g, struct conn *to)
{
	g->to = to;
	g->pool = NULL;
	g->into = NULL;
	g->rc = 0;
	g->n = 0;
	g->bytes = 0;
	g->text_n = 0;
}

void gather_into(struct gather *g, struct buffer_pool *pool, struct buffer **into)
{
	gather_init(g, NULL);
	g->pool = pool;
	g->into = into;
}

void gather_add(struct gather *g, const char *p, size_t n)
{
	if (n == 0)
		return;
	g->bytes += n;
	if (g->n > 0) {
		struct iovec *last = &g->slices[g->n - 1];

		if ((const char *)last->iov_base + last->iov_len == p) {
			last->iov_len += n;
			return;
		}
	}
	if (g->n == GATHER_SLICES)
		gather_send(g, true);
	g->slices[g->n++] = (struct iovec){ (char *)p, n };
}

void gather_text(struct gather *g, const char *p, size_t n)
{
	must(n <= GATHER_TEXT);
	if (g->text_n + n > GATHER_TEXT || g->n == GATHER_SLICES)
		gather_send(g, true);
	memcpy(g->text + g->text_n, p, n);
	gather_add(g, g->text + g->text_n, n);
	g->text_n += n;
}

static void append(struct gather *g, const struct iovec *slice)
{
	g->rc = buffer_room(g->pool, g->into, slice->iov_len);
	if (g->rc < 0)
		return;
	memcpy((*g->into)->data + (*g->into)->end, slice->iov_base, slice->iov_len);
	(*g->into)->end += (uint32_t)slice->iov_len;
}

static ssize_t send_slices(const struct gather *g, bool more)
{
	char flat[FLAT_MAX];
	size_t n = 0;

	if (g->n == 1)
		return conn_send(g->to, g->slices, 1, more);
	for (int i = 0; i < g->n; i++) {
		const struct iovec *slice = &g->slices[i];

		if (n + slice->iov_len > FLAT_MAX)
			return conn_send(g->to, g->slices, g->n, more);
		memcpy(flat + n, slice->iov_base, slice->iov_len);
		n += slice->iov_len;
	}
	return conn_send(g->to, &(struct iovec){ flat, n }, 1, more);
}

int gather_send(struct gather *g, bool more)
{
	struct conn *to = g->to;
	size_t done = 0;

	if (g->n > 0 && g->rc == 0 && to && !to->out) {
		ssize_t put = send_slices(g, more);

		if (put < 0 && put != -EAGAIN)
			g->rc = (int)put;
		else
			done = put < 0 ? 0 : (size_t)put;
	}
	for (int i = 0; i < g->n && g->rc == 0; i++) {
		size_t skip = MIN(done, g->slices[i].iov_len);

		if (!to) {
			append(g, &g->slices[i]);
			continue;
		}
		done -= skip;
		g->rc = conn_put(to, (char *)g->slices[i].iov_base + skip,
				 g->slices[i].iov_len - skip);
	}
	if (to && to->out && g->rc == 0)
		conn_want_out(to);
	g->n = 0;
	g->text_n = 0;
	return g->rc;
}
