#include "base/proc.h"

#include <stdarg.h>

#include "base/base.h"

#define FILE_MAX (1 << 20)

char *proc_text(const char *fmt, ...)
{
	char path[64], *text;
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return file_read(path, FILE_MAX, &text, &len) < 0 ? xstrdup("") : text;
}

const char *proc_line(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		p += strspn(p, " ");
		if (strncmp(p, name, n) == 0 && p[n] == ':')
			return p + n + 1;
	}
	return NULL;
}

uint64_t proc_number(const char *text, const char *name)
{
	const char *p = proc_line(text, name);

	return p ? strtoull(p, NULL, 10) : 0;
}
