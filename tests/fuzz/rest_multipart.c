/*
 * rest_multipart - forms with files: the first byte is the size of the pieces, the first line is
 * the Content-Type, the rest the body.
 *
 * However it is cut into pieces the same parts come out, with the same bytes and the same refusal.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "base/buf.h"
#include "controller/rest/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct multipart_user user;
	struct buf text;
	bool in_part;
	unsigned parts;
};

static int part(struct multipart_user *u, const char *name, const char *file, struct err *e)
{
	struct seen *s = CONTAINER_OF(u, struct seen, user);

	(void)e;
	must(!s->in_part && ++s->parts <= MULTIPART_PARTS_MAX);
	must(strlen(name) < 128 && (!file || strlen(file) < 1024));
	s->in_part = true;
	return buf_printf(&s->text, "(%s|%s|", name, file ? file : "-");
}

static int body(struct multipart_user *u, const char *data, size_t len, struct err *e)
{
	struct seen *s = CONTAINER_OF(u, struct seen, user);

	(void)e;
	must(s->in_part && len);
	return buf_put(&s->text, data, len);
}

static int part_over(struct multipart_user *u, struct err *e)
{
	struct seen *s = CONTAINER_OF(u, struct seen, user);

	(void)e;
	must(s->in_part);
	s->in_part = false;
	return buf_puts(&s->text, ")");
}

static void parse(const char *type, const char *data, size_t size, size_t step, struct seen *s)
{
	struct multipart m;
	struct err e = { 0 };
	int rc;

	*s = (struct seen){ .user = { part, body, part_over } };
	rc = multipart_init(&m, type, &s->user, &e);
	for (size_t at = 0; rc == 0 && at < size; at += step)
		rc = multipart_feed(&m, data + at, MIN(step, size - at), &e);
	if (rc == 0)
		rc = multipart_end(&m, &e);
	must((rc < 0) == (e.code < 0));
	must(rc < 0 || (s->parts && !s->in_part));
	buf_puts(&s->text, rc < 0 ? e.text : "whole");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
	CLEANUP_FREE char *type = NULL;
	struct seen whole, pieces;
	size_t n;

	if (!line || line == data)
		return 0;
	n = (size_t)(line - data) - 1;
	type = xmalloc(n + 1);
	memcpy(type, data + 1, n);
	type[n] = '\0';
	n = size - (size_t)(line - data) - 1;
	parse(type, (const char *)line + 1, n, n ? n : 1, &whole);
	parse(type, (const char *)line + 1, n, 1 + data[0] % 64, &pieces);
	must(whole.text.len == pieces.text.len &&
	     memcmp(whole.text.data, pieces.text.data, whole.text.len) == 0);
	buf_fini(&whole.text);
	buf_fini(&pieces.text);
	return 0;
}
