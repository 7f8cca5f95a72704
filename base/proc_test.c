#include "base/proc.h"

#include "base/base.h"
#include "base/test.h"

static void lines_are_found_by_their_names(void **state)
{
	static const char text[] = "MemTotal:  12 kB\n  eth0: 7 8\nMemTotalBut: 3\nlast:";

	(void)state;
	assert_int_equal(proc_number(text, "MemTotal"), 12);
	assert_int_equal(proc_number(text, "eth0"), 7);
	assert_int_equal(proc_number(text, "MemTotalBut"), 3);
	assert_string_equal(proc_line(text, "last"), "");
	assert_int_equal(proc_number(text, "last"), 0);
	assert_null(proc_line(text, "Mem"));
	assert_null(proc_line(text, "Total"));
	assert_null(proc_line("", "a"));
}

static void files_that_are_not_there_are_empty(void **state)
{
	CLEANUP_FREE char *ours = proc_text("/proc/%d/status", 0), *own = proc_text("/proc/self/status");

	(void)state;
	assert_string_equal(ours, "");
	assert_true(proc_number(own, "VmRSS") > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_found_by_their_names),
		cmocka_unit_test(files_that_are_not_there_are_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
