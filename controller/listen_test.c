#include "base/test.h"

#include <unistd.h>

#include "controller/listen.h"

static void addresses_are_split(void **state)
{
	struct listen_at at;

	(void)state;
	assert_int_equal(listen_parse("0.0.0.0:9443", &at, NULL), 0);
	assert_string_equal(at.host, "0.0.0.0");
	assert_int_equal(at.port, 9443);
	assert_int_equal(listen_parse("[::1]:80", &at, NULL), 0);
	assert_string_equal(at.host, "::1");
	assert_string_equal(at.text, "[::1]:80");
}

static void nonsense_is_refused_in_words(void **state)
{
	static const char *const bad[] = { "",		 ":",
					   "1.2.3.4",	 "1.2.3.4:",
					   "1.2.3.4:x",	 "1.2.3.4:65536",
					   "::1:80",	 "localhost:80",
					   "[::1]",	 "1.2.3.4:-1",
					   "[1.2.3.4:80" };
	struct listen_at at;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = { 0 };

		assert_int_equal(listen_parse(bad[i], &at, &e), -EINVAL);
		assert_true(strlen(e.text) > 10);
	}
}

static void port_zero_is_told(void **state)
{
	struct listen_at at, again;
	struct err e = { 0 };
	int fd = listen_open("127.0.0.1:0", &at, &e);

	(void)state;
	assert_true(fd >= 0);
	assert_true(at.port > 0);
	assert_int_equal(listen_open(at.text, &again, &e), -EADDRINUSE);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_split),
		cmocka_unit_test(nonsense_is_refused_in_words),
		cmocka_unit_test(port_zero_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
