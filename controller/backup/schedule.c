#include "controller/backup/schedule.h"

#include <errno.h>
#include <time.h>

#include "base/base.h"

static const uint64_t SECOND = 1000000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

/* "2026-11-21T07:00:00", "2026-11-21 07:00:00.000000+00:00": UTC, whatever is said of a zone but another one. */
static int read_time(const json_t *stored, const char *field, uint64_t *us, struct err *e)
{
	const char *text = json_str(stored, field, ""), *p;
	struct tm tm = { 0 };

	*us = 0;
	if (!*text)
		return 0;
	p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!p)
		p = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
	if (p && *p == '.')
		p += 1 + strspn(p + 1, "0123456789");
	if (!p || (*p && strcmp(p, "Z") != 0 && strcmp(p, "+00:00") != 0 && strcmp(p, "+0000") != 0))
		return err_set(e, -EINVAL, field, "'%.40s' is not a time in UTC such as 2024-05-01T12:00:00Z.", text);
	*us = (uint64_t)timegm(&tm) * SECOND;
	return 0;
}

int schedule_read(const json_t *stored, struct schedule *out, struct err *e)
{
	static const struct {
		const char *unit;
		uint64_t us;
	} units[] = { { "SCHEDULER_FREQUENCY_UNIT_MIN", MINUTE },
		      { "SCHEDULER_FREQUENCY_UNIT_HOUR", HOUR },
		      { "SCHEDULER_FREQUENCY_UNIT_DAY", DAY },
		      { "SCHEDULER_FREQUENCY_UNIT_WEEK", 7 * DAY } };
	const char *mode = json_str(stored, "run_mode", "RUN_MODE_PERIODIC");
	const char *unit = json_str(stored, "frequency_unit", "");
	json_int_t every = json_int(stored, "frequency", 0);
	int rc;

	*out = (struct schedule){ .mode = strcmp(mode, "RUN_MODE_NOW") == 0  ? SCHEDULE_NOW
					  : strcmp(mode, "RUN_MODE_AT") == 0 ? SCHEDULE_AT
									     : SCHEDULE_PERIODIC };
	rc = read_time(stored, "start_date_time", &out->start_us, e);
	if (rc == 0)
		rc = read_time(stored, "end_date_time", &out->end_us, e);
	if (rc < 0)
		return rc;
	/* Clients make schedulers with a name alone: such a one is never due. */
	if (out->mode != SCHEDULE_PERIODIC || (!every && !*unit))
		return 0;
	if (every < 1)
		return err_set(e, -EINVAL, "frequency", "It is needed beside frequency_unit: 1 or more.");
	if (strcmp(unit, "SCHEDULER_FREQUENCY_UNIT_MONTH") == 0)
		out->every_months = (unsigned)every;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcmp(units[i].unit, unit) == 0)
			out->every_us = units[i].us * (uint64_t)every;
	return out->every_us || out->every_months
		       ? 0
		       : err_set(e, -EINVAL, "frequency_unit", "It is needed beside frequency.");
}

/* The same day and time MONTHS later; in a shorter month its last day. */
static uint64_t months_later(uint64_t us, unsigned months)
{
	time_t at = (time_t)(us / SECOND);
	struct tm tm, end;
	int day;

	gmtime_r(&at, &tm);
	day = tm.tm_mday;
	tm.tm_mon += (int)months;
	end = tm;
	end.tm_mon++;
	end.tm_mday = 0;
	timegm(&end); /* becomes the last day of the month */
	tm.tm_mday = MIN(day, end.tm_mday);
	return (uint64_t)timegm(&tm) * SECOND;
}

/* The first time of the period that is later than AFTER. */
static uint64_t period_after(const struct schedule *s, uint64_t start, uint64_t after)
{
	uint64_t next = start;

	if (after < start)
		return start;
	if (s->every_us)
		return start + ((after - start) / s->every_us + 1) * s->every_us;
	for (unsigned n = 1; next <= after; n++)
		next = months_later(start, n * s->every_months);
	return next;
}

uint64_t schedule_next(const struct schedule *s, uint64_t last_us, uint64_t made_us)
{
	uint64_t next;

	if (s->mode != SCHEDULE_PERIODIC) {
		if (last_us)
			return 0;
		return s->mode == SCHEDULE_NOW ? made_us : s->start_us;
	}
	if (!s->every_us && !s->every_months)
		return 0;
	next = period_after(s, s->start_us ? s->start_us : made_us, MAX(last_us, made_us));
	return s->end_us && next > s->end_us ? 0 : next;
}
