#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/base.h"

void buf_fini(struct buf *b)
{
	free(b->base);
	*b = (struct buf)BUF_INIT;
}

size_t buf_avail(const struct buf *b)
{
	return b->base ? b->size - (size_t)(b->data - b->base) - b->len : 0;
}

char *buf_end(struct buf *b)
{
	return b->data + b->len;
}

int buf_room(struct buf *b, size_t n)
{
	size_t size = b->size ? b->size : 256;

	if (b->limit && b->len + n > b->limit)
		return -ENOBUFS;
	if (buf_avail(b) >= n && b->base)
		return 0;
	while (size < b->len + n)
		size *= 2;
	if (size == b->size) { /* there is room once the taken bytes are gone */
		memmove(b->base, b->data, b->len);
	} else {
		char *base = xmalloc(size);

		if (b->len)
			memcpy(base, b->data, b->len);
		free(b->base);
		b->base = base;
		b->size = size;
	}
	b->data = b->base;
	return 0;
}

void buf_added(struct buf *b, size_t n)
{
	must(n <= buf_avail(b));
	b->len += n;
}

void buf_take(struct buf *b, size_t n)
{
	must(n <= b->len);
	if (!n)
		return; /* data may be NULL */
	b->data += n;
	b->len -= n;
	if (b->len == 0)
		b->data = b->base;
}

int buf_put(struct buf *b, const void *p, size_t n)
{
	int rc = buf_room(b, n);

	if (rc < 0)
		return rc;
	if (n)
		memcpy(buf_end(b), p, n);
	b->len += n;
	return 0;
}

int buf_puts(struct buf *b, const char *s)
{
	return buf_put(b, s, strlen(s));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	rc = buf_room(b, (size_t)n + 1);
	if (rc < 0)
		return rc;
	va_start(ap, fmt);
	vsnprintf(buf_end(b), (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}

char *buf_cstr(struct buf *b)
{
	size_t limit = b->limit;

	b->limit = 0; /* the NUL is not data */
	buf_room(b, 1);
	b->limit = limit;
	b->data[b->len] = '\0';
	return b->data;
}
