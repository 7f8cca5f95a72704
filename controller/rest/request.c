#include "controller/rest/request.h"

#include <errno.h>
#include <stdarg.h>

#include "base/base.h"

int status_of(int code)
{
	/*
	 * A reference in a body that cannot be resolved is the body's fault: 400, not 404, because
	 * clients take 404 for "the object you named is gone" and drop it from their state. Routes
	 * answer 404 themselves.
	 */
	/* clang-format off */
	static const struct { int code, status; } map[] = {
		{ -EINVAL, 400 }, { -ENOENT, 400 }, { -EACCES, 403 }, { -EPERM, 403 }, { -EEXIST, 409 },
		{ -ESTALE, 412 }, { -EBUSY, 412 },  { -EFBIG, 413 },  { -EAGAIN, 503 }, { -ENOSPC, 503 },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (map[i].code == code)
			return map[i].status;
	return 500;
}

void request_header(struct request *q, const char *name, const char *value)
{
	must(q->n_headers < REQUEST_HEADERS_MAX);
	q->header[q->n_headers].name = name;
	q->header[q->n_headers++].value = xstrdup(value);
}

void request_json(struct request *q, int status, json_t *v)
{
	must(!q->status);
	q->status = status;
	/* 15 digits: 15.2 is told as 15.2. */
	q->text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	must(q->text);
	json_decref(v);
}

void request_refuse(struct request *q, int status, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	json_t *s;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s = json_string(text);
	/* vsnprintf may have cut a character in two. */
	for (size_t n = strlen(text); !s && n; s = json_stringn(text, --n))
		;
	request_json(q, status, json_pack("{s:o}", "error", s));
}

void request_error(struct request *q, const struct err *e)
{
	request_refuse(q, status_of(e->code), "%s", err_line(e));
}

void request_empty(struct request *q, int status)
{
	must(!q->status);
	q->status = status;
}

void request_file(struct request *q, int fd, uint64_t size)
{
	must(!q->status);
	q->status = 200;
	q->file = fd;
	q->file_bytes = size;
}
