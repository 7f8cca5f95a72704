/*
 * moment - a time as text, always in UTC.
 *
 * Microseconds since 1970, as of wall_us(). Who shows a time on the clock of its reader (the shell) does so itself.
 */
#ifndef SPANWIRE_BASE_MOMENT_H
#define SPANWIRE_BASE_MOMENT_H

#include <stdint.h>
#include <time.h>

/* Fits every form. */
#define MOMENT_MAX 48

enum moment_form {
	MOMENT_MICROS,   /* 2026-11-21T09:45:12.123456+00:00 */
	MOMENT_MICROS_Z, /* 2026-11-21T09:45:12.123456Z */
	MOMENT_SECONDS,  /* 2026-11-21T09:45:12+00:00 */
	MOMENT_Z,	 /* 2026-11-21T09:45:12Z */
	MOMENT_PLAIN,	 /* 2026-11-21 09:45:12 */
	MOMENT_IN_NAME,  /* 20261121_094512 */
};

/* Fills and returns OUT. */
const char *moment_text(uint64_t us, enum moment_form form, char out[static MOMENT_MAX]);
/* Of a calendar, also before 1970; it has no micros. */
const char *moment_text_tm(const struct tm *tm, enum moment_form form, char out[static MOMENT_MAX]);

/*
 * Microseconds since 1970 of a time as people and programs write it (ISO 8601): 2026-11-21, 2026-11-21T09:45,
 * 2026-11-21 09:45:12.123456Z, ...+02:00, +0200, +02; UTC when no zone is said. A blank for the '+' is what a URL makes of
 * it. -EINVAL: it is none.
 */
int moment_read(const char *text, uint64_t *us);

#endif
