#include "base/test.h"

#include "net/cookie.h"

static const struct {
	const char *header, *value; /* of "a"; NULL: there is none */
} cases[] = {
	{ "a=1", "1" },
	{ "b=2; a=1", "1" },
	{ "a=1; a=2", "1" },
	{ "b=2;a=1;c=3", "1" },
	{ " a = 1 ; b", "1" },
	{ "a=\"1\"", "1" },
	{ "a=\"", "\"" },
	{ "a=", "" },
	{ "a==", "=" },
	{ "a=b=c", "b=c" },
	{ "A=1", NULL },
	{ "ab=1; ba=2", NULL },
	{ "a", NULL },
	{ "", NULL },
	{ ";;;", NULL },
	{ "x=a=1", NULL },
	{ "; a=1;", "1" },
	{ "=1; a=2", "2" },
};

static void cookies_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = 0;
		const char *v = cookie_find(cases[i].header, strlen(cases[i].header), "a", 1, &n);

		if ((v == NULL) != (cases[i].value == NULL))
			fail_msg("'%s': %s", cases[i].header, v ? "found" : "not found");
		if (v && (n != strlen(cases[i].value) || memcmp(v, cases[i].value, n) != 0))
			fail_msg("'%s': '%.*s'", cases[i].header, (int)n, v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(cookies_are_found) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
