#include "net/cookie.h"

#include <string.h>

#include "base/base.h"

static size_t skip_blanks(const char *text, size_t n)
{
	size_t i = 0;

	while (i < n && (text[i] == ' ' || text[i] == '\t'))
		i++;
	return i;
}

const char *cookie_find(const char *text, size_t n, const char *name, size_t name_len, size_t *value_len)
{
	const char *end = text + n;

	while (text < end) {
		const char *next = memchr(text, ';', (size_t)(end - text)), *stop = next ? next : end, *equals, *last;

		text += skip_blanks(text, (size_t)(stop - text));
		equals = memchr(text, '=', (size_t)(stop - text));
		last = equals;
		while (last && last > text && (last[-1] == ' ' || last[-1] == '\t'))
			last--;
		if (equals && (size_t)(last - text) == name_len && memcmp(text, name, name_len) == 0) {
			text = equals + 1;
			text += skip_blanks(text, (size_t)(stop - text));
			while (stop > text && (stop[-1] == ' ' || stop[-1] == '\t'))
				stop--;
			if (stop - text >= 2 && *text == '"' && stop[-1] == '"') {
				text++;
				stop--;
			}
			*value_len = (size_t)(stop - text);
			return text;
		}
		if (!next)
			break;
		text = next + 1;
	}
	return NULL;
}
