#include "base/test.h"

#include "base/base.h"
#include "base/moment.h"

#define AT (1795254312ULL * 1000000 + 1234)

static void every_form_is_utc(void **state)
{
	static const char *const want[] = {
		[MOMENT_MICROS] = "2026-11-21T09:45:12.001234+00:00", [MOMENT_MICROS_Z] = "2026-11-21T09:45:12.001234Z",
		[MOMENT_SECONDS] = "2026-11-21T09:45:12+00:00",	      [MOMENT_Z] = "2026-11-21T09:45:12Z",
		[MOMENT_PLAIN] = "2026-11-21 09:45:12",		      [MOMENT_IN_NAME] = "20261121_094512",
	};
	char text[MOMENT_MAX];

	(void)state;
	setenv("TZ", "Asia/Tokyo", 1);
	tzset();
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_string_equal(moment_text(AT, (enum moment_form)i, text), want[i]);
}

static void no_time_is_too_far(void **state)
{
	struct tm old = { .tm_year = -50, .tm_mday = 1 };
	char text[MOMENT_MAX];

	(void)state;
	assert_string_equal(moment_text(0, MOMENT_MICROS, text), "1970-01-01T00:00:00.000000+00:00");
	assert_string_equal(moment_text(UINT64_MAX, MOMENT_MICROS, text), "586524-01-19T08:01:49.551615+00:00");
	assert_string_equal(moment_text_tm(&old, MOMENT_PLAIN, text), "1850-01-01 00:00:00");
}

static void iso_8601_is_read_in_all_its_forms(void **state)
{
	static const struct { const char *text; uint64_t us; } good[] = {
		{ "2026-11-21T09:45:12.001234+00:00", AT },  { "2026-11-21T09:45:12.001234Z", AT },
		{ "2026-11-21T09:45:12.001234", AT },	     { "2026-11-21T09:45:12.001234 00:00", AT },
		{ "2026-11-21T11:45:12.001234+02:00", AT },  { "2026-11-21 04:15:12.001234-0530", AT },
		{ "2026-11-21T10:45:12.0012349999+01", AT }, { "2026-11-21T09:45:12.001Z", AT - 234 },
		{ "2026-11-21T09:45", AT - 12001234 },	     { "1970-01-01", 0 },
		{ "1970-01-01T00:00:00+05:00", 0 },	     { "2024-02-29", 1709164800ULL * 1000000 },
	};
	static const char *const bad[] = {
		"", "now", "2026", "2026-11", "2026-13-01", "2026-11-31", "2026-02-29", "2026-11-21T", "2026-11-21T9:45",
		"2026-11-21T24:01", "2026-11-21T09:45:12.", "2026-11-21T09:45:12X", "2026-11-21T09:45:12+2", "2026-11-21T09:45:12+02:",
		"2026-11-21T09:45:12ZZ", "1969-12-31", "1795254312",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		uint64_t us = 1;

		if (moment_read(good[i].text, &us) != 0 || us != good[i].us)
			fail_msg("%s: %llu", good[i].text, (unsigned long long)us);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint64_t us;

		if (moment_read(bad[i], &us) != -EINVAL)
			fail_msg("%s", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_is_utc),
		cmocka_unit_test(no_time_is_too_far),
		cmocka_unit_test(iso_8601_is_read_in_all_its_forms),
	};

	return cmocka_run_group_tests_name("moment", tests, NULL, NULL);
}
