/*
 * buf - bytes that grow at the end and are taken from the front.
 *
 * `data` points at the first unread byte; it is NULL only while nothing was
 * ever put. Taking does not move memory until room is needed. A buf may carry
 * a limit: buf_room() then fails with -ENOBUFS instead of growing past it.
 */
#ifndef SPANWIRE_BASE_BUF_H
#define SPANWIRE_BASE_BUF_H

#include <stddef.h>

struct buf {
	char *data;    /* first unread byte */
	size_t len;    /* unread bytes */
	char *base;    /* what malloc gave */
	size_t size;   /* bytes at base */
	size_t limit;  /* most unread bytes; 0: none */
};

#define BUF_INIT { 0 }

void buf_fini(struct buf *b);
/* Make N bytes writable behind the unread ones; 0 or -ENOBUFS (the limit). */
int buf_room(struct buf *b, size_t n);
/* Bytes that can be written at buf_end() right now. */
size_t buf_avail(const struct buf *b);
char *buf_end(struct buf *b);
/* N bytes were written at buf_end(). */
void buf_added(struct buf *b, size_t n);
/* N unread bytes are done with. */
void buf_take(struct buf *b, size_t n);
int buf_put(struct buf *b, const void *p, size_t n);
int buf_puts(struct buf *b, const char *s);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* NUL-terminate behind the unread bytes (not counted in len) and return data. */
char *buf_cstr(struct buf *b);

#endif
