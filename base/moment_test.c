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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_is_utc),
		cmocka_unit_test(no_time_is_too_far),
	};

	return cmocka_run_group_tests_name("moment", tests, NULL, NULL);
}
