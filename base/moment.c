#include "base/moment.h"

#include <ctype.h>
#include <errno.h>
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

/* N digits at *P, as a number up to MAX; -1: they are not there. */
static int digits(const char **p, int n, int max)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		if (!isdigit((unsigned char)(*p)[i]))
			return -1;
		v = v * 10 + (*p)[i] - '0';
	}
	*p += n;
	return v <= max ? v : -1;
}

static bool skip(const char **p, const char *any)
{
	if (!**p)
		return false;
	for (; *any; any++)
		if (**p == *any) {
			++*p;
			return true;
		}
	return false;
}

/* Seconds east of Greenwich. */
static bool zone_read(const char *p, int64_t *east)
{
	int sign = *p == '-' ? -1 : 1, h, m = 0;

	*east = 0;
	if (!*p || (skip(&p, "Zz") && !*p))
		return true;
	if (!skip(&p, "+- "))
		return false;
	h = digits(&p, 2, 23);
	if (*p) {
		skip(&p, ":");
		m = digits(&p, 2, 59);
	}
	*east = sign * (h * 3600 + m * 60);
	return h >= 0 && m >= 0 && !*p;
}

static bool clock_read(const char **p, struct tm *tm, int64_t *micros)
{
	tm->tm_hour = digits(p, 2, 23);
	if (!skip(p, ":"))
		return false;
	tm->tm_min = digits(p, 2, 59);
	if (skip(p, ":"))
		tm->tm_sec = digits(p, 2, 60);
	if (tm->tm_hour < 0 || tm->tm_min < 0 || tm->tm_sec < 0)
		return false;
	if (skip(p, ".,")) {
		if (!isdigit((unsigned char)**p))
			return false;
		for (int64_t unit = 100000; isdigit((unsigned char)**p); unit /= 10)
			*micros += (*(*p)++ - '0') * unit;
	}
	return true;
}

int moment_read(const char *text, uint64_t *us)
{
	struct tm tm = { 0 }, same;
	int64_t micros = 0, east, at;
	const char *p = text;

	tm.tm_year = digits(&p, 4, 9999) - 1900;
	if (!skip(&p, "-"))
		return -EINVAL;
	tm.tm_mon = digits(&p, 2, 12) - 1;
	if (!skip(&p, "-"))
		return -EINVAL;
	tm.tm_mday = digits(&p, 2, 31);
	if (tm.tm_year < 70 || tm.tm_mon < 0 || tm.tm_mday < 1)
		return -EINVAL;
	if (skip(&p, "Tt ") && !clock_read(&p, &tm, &micros))
		return -EINVAL;
	if (!zone_read(p, &east))
		return -EINVAL;
	same = tm;
	at = (int64_t)timegm(&same);
	if (same.tm_mday != tm.tm_mday && tm.tm_sec < 60)
		return -EINVAL; /* the 31st of a month that has 30 days */
	at = (at - east) * 1000000 + micros;
	*us = at > 0 ? (uint64_t)at : 0;
	return 0;
}
