#include "base/test.h"

#include <time.h>

#include "controller/backup/schedule.h"

static uint64_t at(const char *text)
{
	struct tm tm = { 0 };

	assert_non_null(strptime(text, "%Y-%m-%d %H:%M", &tm));
	return (uint64_t)timegm(&tm) * 1000000;
}

static struct schedule schedule(const char *json)
{
	CLEANUP_JSON json_t *v = NULL;
	struct schedule s;
	struct err e = { 0 };

	assert_int_equal(json_read(json, strlen(json), &v, &e), 0);
	if (schedule_read(v, &s, &e) < 0)
		fail_msg("%s", err_line(&e));
	return s;
}

static void refused(const char *json, const char *field)
{
	CLEANUP_JSON json_t *v = NULL;
	struct schedule s;
	struct err e = { 0 };

	assert_int_equal(json_read(json, strlen(json), &v, &e), 0);
	assert_true(schedule_read(v, &s, &e) < 0);
	assert_string_equal(e.path, field);
}

static void a_period_keeps_its_times(void **state)
{
	struct schedule s = schedule("{\"frequency\": 6, \"frequency_unit\": \"SCHEDULER_FREQUENCY_UNIT_HOUR\","
				     " \"start_date_time\": \"2026-01-01T03:00:00Z\", \"end_date_time\": \"2026-01-03 00:00:00\"}");
	uint64_t made = at("2025-12-24 12:00");

	(void)state;
	assert_int_equal(schedule_next(&s, 0, made), at("2026-01-01 03:00"));
	assert_int_equal(schedule_next(&s, at("2026-01-01 03:00"), made), at("2026-01-01 09:00"));
	/* A run that was late does not move those that follow. */
	assert_int_equal(schedule_next(&s, at("2026-01-01 09:17"), made), at("2026-01-01 15:00"));
	/* Made after it began: the next time, and not at once. */
	assert_int_equal(schedule_next(&s, 0, at("2026-01-01 04:00")), at("2026-01-01 09:00"));
	/* Down for a day: one run makes up for all, since the next is long due. */
	assert_int_equal(schedule_next(&s, at("2026-01-01 03:00"), made), at("2026-01-01 09:00"));
	assert_int_equal(schedule_next(&s, at("2026-01-02 21:00"), made), 0);
}

static void months_have_their_lengths(void **state)
{
	struct schedule s = schedule("{\"frequency\": 1, \"frequency_unit\": \"SCHEDULER_FREQUENCY_UNIT_MONTH\","
				     " \"run_mode\": \"RUN_MODE_PERIODIC\", \"start_date_time\": \"2026-01-31T02:00:00\"}");
	uint64_t last = at("2026-01-01 00:00");
	const char *const want[] = { "2026-01-31 02:00", "2026-02-28 02:00", "2026-03-31 02:00", "2026-04-30 02:00" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		last = schedule_next(&s, last, 0);
		assert_int_equal(last, at(want[i]));
	}
}

static void once_is_once(void **state)
{
	struct schedule now = schedule("{\"run_mode\": \"RUN_MODE_NOW\"}");
	struct schedule then = schedule("{\"run_mode\": \"RUN_MODE_AT\", \"start_date_time\": \"2026-01-01T03:00:00+00:00\"}");

	(void)state;
	assert_int_equal(schedule_next(&now, 0, 77), 77);
	assert_int_equal(schedule_next(&now, 78, 77), 0);
	assert_int_equal(schedule_next(&then, 0, 77), at("2026-01-01 03:00"));
	assert_int_equal(schedule_next(&then, at("2026-01-01 03:01"), 77), 0);
}

static void what_says_no_time_is_never_due(void **state)
{
	struct schedule nothing = schedule("{}"), no_start = schedule("{\"run_mode\": \"RUN_MODE_AT\"}");

	(void)state;
	assert_int_equal(schedule_next(&nothing, 0, 77), 0);
	assert_int_equal(schedule_next(&no_start, 0, 77), 0);
}

static void nonsense_is_told(void **state)
{
	(void)state;
	refused("{\"frequency\": 0, \"frequency_unit\": \"SCHEDULER_FREQUENCY_UNIT_DAY\"}", "frequency");
	refused("{\"frequency\": 3}", "frequency_unit");
	refused("{\"run_mode\": \"RUN_MODE_NOW\", \"start_date_time\": \"tomorrow\"}", "start_date_time");
	refused("{\"run_mode\": \"RUN_MODE_NOW\", \"end_date_time\": \"2026-01-01T00:00:00+02:00\"}", "end_date_time");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_period_keeps_its_times),
		cmocka_unit_test(months_have_their_lengths),
		cmocka_unit_test(once_is_once),
		cmocka_unit_test(what_says_no_time_is_never_due),
		cmocka_unit_test(nonsense_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
