#include "controller/rest/request.h"

#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

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

void request_json_large(struct request *q, int status, json_t *v)
{
	must(!q->status);
	q->status = status;
	q->large = v;
}

void request_large_to_text(struct request *q)
{
	/* 15 digits: 15.2 is told as 15.2. */
	q->text = json_dumps(q->large, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	must(q->text);
	json_decref(q->large);
	q->large = NULL;
}

void request_json(struct request *q, int status, json_t *v)
{
	request_json_large(q, status, v);
	request_large_to_text(q);
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

/* "bytes=FIRST-LAST", "bytes=FIRST-", "bytes=-N" (RFC 9110, 14.1.2). False: it is none of these, and means nothing. */
static bool range_reads(const char *text, uint64_t size, uint64_t *from, uint64_t *n)
{
	const char *dash = strchr(text, '-');
	char *end;
	uint64_t first, last = size ? size - 1 : 0;

	if (strncmp(text, "bytes=", 6) != 0 || !dash || strchr(text, ','))
		return false;
	text += 6;
	if (text == dash) {
		first = strtoull(dash + 1, &end, 10);
		if (end == dash + 1 || *end)
			return false;
		*n = MIN(first, size);
		*from = size - *n;
		return true;
	}
	if (*text < '0' || *text > '9')
		return false;
	first = strtoull(text, &end, 10);
	if (end != dash)
		return false;
	if (dash[1]) {
		last = strtoull(dash + 1, &end, 10);
		if (dash[1] < '0' || dash[1] > '9' || *end || last < first)
			return false;
	}
	*from = first;
	*n = first < size ? MIN(last, size - 1) - first + 1 : 0;
	return true;
}

void request_file_part(struct request *q, int fd, uint64_t size, const char *name)
{
	CLEANUP_FREE char *disposition = xasprintf("attachment; filename=\"%s\"", name);
	uint64_t from, n;
	char text[80];

	request_header(q, "Accept-Ranges", "bytes");
	for (char *p = disposition + 22; *p; p++)
		if ((unsigned char)*p < ' ' || *p == '\\' || (*p == '"' && p[1]) || (unsigned char)*p > '~')
			*p = '_';
	if (!*q->range || q->if_range || !range_reads(q->range, size, &from, &n)) {
		request_file(q, fd, size);
	} else if (!n) {
		close(fd);
		snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)size);
		request_header(q, "Content-Range", text);
		request_refuse(q, 416, "The file has %llu bytes.", (unsigned long long)size);
		return;
	} else {
		request_file(q, fd, n);
		q->status = 206;
		q->file_from = from;
		snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)from, (unsigned long long)(from + n - 1),
			 (unsigned long long)size);
		request_header(q, "Content-Range", text);
	}
	q->named = true;
	request_header(q, "Content-Disposition", disposition);
}
