#include "base/machine.h"

#include "base/base.h"
#include "base/test.h"

static void what_the_kernel_tells_is_read(void **state)
{
	struct machine m = { 0 };

	(void)state;
	machine_parse(&m, "cpu  100 0 50 1000 10 5 5 99 0 0\ncpu0 1 2 3 4 5 6 7 8\n",
		      "MemTotal:        2000 kB\nMemFree:  10 kB\nMemAvailable:    500 kB\n");
	assert_int_equal(m.cpu_busy_ms * 1010, m.cpu_idle_ms * 160);
	assert_int_equal(m.memory_permille, 750);
	machine_parse(&m, "", "MemTotal: 5 kB\nMemAvailable: 7 kB\n");
	assert_true(!m.cpu_busy_ms && !m.cpu_idle_ms && !m.memory_permille);
}

static void this_machine_says_something(void **state)
{
	struct machine m = { 0 };

	(void)state;
	machine_read(&m, "/");
	assert_true(m.cpu_busy_ms + m.cpu_idle_ms > 0);
	assert_in_range(m.memory_permille, 1, 999);
	assert_in_range(m.disk_permille, 0, 1000);
	machine_read(&m, "/no/such/path");
	assert_int_equal(m.disk_permille, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_kernel_tells_is_read),
		cmocka_unit_test(this_machine_says_something),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
