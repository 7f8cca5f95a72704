#include "base/moment.h"

#include <stdbool.h>
#include <stdio.h>

static const struct {
	const char *format;
	bool micros;
	const char *tail;
} forms[] = {
	[MOMENT_MICROS] = { "%Y-%m-%dT%H:%M:%S", true, "+00:00" },
	[MOMENT_MICROS_Z] = { "%Y-%m-%dT%H:%M:%S", true, "Z" },
	[MOMENT_SECONDS] = { "%Y-%m-%dT%H:%M:%S", false, "+00:00" },
	[MOMENT_Z] = { "%Y-%m-%dT%H:%M:%S", false, "Z" },
	[MOMENT_PLAIN] = { "%Y-%m-%d %H:%M:%S", false, "" },
	[MOMENT_IN_NAME] = { "%Y%m%d_%H%M%S", false, "" },
};

static const char *put(const struct tm *tm, unsigned micros, enum moment_form form, char *out)
{
	size_t n = strftime(out, MOMENT_MAX, forms[form].format, tm);

	if (forms[form].micros)
		n += (size_t)snprintf(out + n, MOMENT_MAX - n, ".%06u", micros);
	snprintf(out + n, MOMENT_MAX - n, "%s", forms[form].tail);
	return out;
}

const char *moment_text(uint64_t us, enum moment_form form, char out[static MOMENT_MAX])
{
	time_t at = (time_t)(us / 1000000);
	struct tm tm;

	if (!gmtime_r(&at, &tm))
		return out[0] = '\0', out; /* a year that no calendar has */
	return put(&tm, (unsigned)(us % 1000000), form, out);
}

const char *moment_text_tm(const struct tm *tm, enum moment_form form, char out[static MOMENT_MAX])
{
	return put(tm, 0, form, out);
}
