#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Length of the UTF-8 sequence at P that is whole and no control character; 0: none. */
static size_t printable(const unsigned char *p)
{
	size_t n = *p < 0x80 ? 1 : *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : *p >= 0xc2 ? 2 : 0;

	if (*p < 0x20 || *p == 0x7f || *p > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

void text_clean(char *s)
{
	while (*s) {
		size_t n = printable((unsigned char *)s);

		if (!n)
			*s = '?';
		s += n ? n : 1;
	}
}

int err_set(struct err *e, int code, const char *path, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	e->code = code;
	snprintf(e->path, sizeof(e->path), "%s", path ? path : "");
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	text_clean(e->path);
	text_clean(e->text);
	return code;
}

void err_within(struct err *e, const char *prefix)
{
	char joined[sizeof(e->path)];
	const char *dot;

	if (!e || !*prefix)
		return;
	dot = e->path[0] == '\0' || e->path[0] == '[' ? "" : ".";
	/* A path too deep to print whole is cut at its inner end: the outer names find the place. */
	if (snprintf(joined, sizeof(joined), "%s%s%s", prefix, dot, e->path) < 0)
		return;
	memcpy(e->path, joined, sizeof(joined));
}

const char *err_line(const struct err *e)
{
	static _Thread_local char line[sizeof(e->path) + sizeof(e->text) + 3];

	if (e->path[0])
		snprintf(line, sizeof(line), "%s: %s", e->path, e->text);
	else
		snprintf(line, sizeof(line), "%s", e->text);
	return line;
}
