#include "base/test.h"

#include <argp.h>
#include <unistd.h>

#include "base/settings.h"

static const struct argp_option options[] = {
	{ "config", 'c', "FILE", 0, "", 0 },
	{ "listen", 'l', "ADDR", 0, "", 0 },
	{ "data", 'd', "DIR", 0, "", 0 },
	{ 0 },
};

static char path[64], program[] = "program", config[] = "--config", flag[] = "-l", x[] = "x", data[] = "--data=y";

static int write_file(const char *text)
{
	snprintf(path, sizeof(path), "/tmp/swsettings-%d", getpid());
	return file_replace(path, text, strlen(text), 0600);
}

static void the_file_comes_before_the_words(void **state)
{
	char *given[] = { program, flag, x, config, path, data, NULL }, **argv = given;
	static const char *const want[] = { "program", "--data=/var/a b", "--listen=[::]:1", "-l", "x", "--data=y" };
	int argc = ARRAY_SIZE(given) - 1;
	struct err e;

	(void)state;
	assert_int_equal(write_file("# comment\n\n data =  /var/a b \nlisten=[::]:1\nlisten =\n"), 0);
	assert_int_equal(settings_expand(options, &argc, &argv, &e), 0);
	assert_int_equal(argc, ARRAY_SIZE(want));
	for (int i = 0; i < argc; i++)
		assert_string_equal(argv[i], want[i]);
	assert_null(argv[argc]);
	for (int i = 1; i < 3; i++)
		free(argv[i]);
	free(argv);
}

static void what_is_wrong_has_its_line(void **state)
{
	static const struct {
		const char *text, *sentence;
	} cases[] = {
		{ "data = /a\nlisten\n", "line 2: expected name = value." },
		{ "\n\ndatas = /a\n", "line 3: there is no setting 'datas'." },
		{ "config = /a\n", "line 1: there is no setting 'config'." },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *given[] = { program, config, path, NULL }, **argv = given;
		char want[128];
		int argc = 3;
		struct err e;

		assert_int_equal(write_file(cases[i].text), 0);
		snprintf(want, sizeof(want), "%s %s", path, cases[i].sentence);
		assert_true(settings_expand(options, &argc, &argv, &e) < 0);
		assert_string_equal(e.text, want);
		assert_ptr_equal(argv, given);
	}
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_comes_before_the_words),
		cmocka_unit_test(what_is_wrong_has_its_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
