#include "base/test.h"

#include "controller/rest/query.h"

static int parse(struct query *q, const char *text)
{
	return query_parse(q, text, strlen(text), NULL);
}

static void parameters_are_found(void **state)
{
	struct query q;

	(void)state;
	assert_int_equal(parse(&q, "include_refs=&include_name=&name=a%20b+c&x&&name=second"), 0);
	assert_int_equal(q.n, 5);
	assert_string_equal(query_get(&q, "name"), "a b c");
	assert_string_equal(query_get(&q, "x"), "");
	assert_null(query_get(&q, "y"));
	assert_true(query_flag(&q, "include_name"));
	assert_false(query_flag(&q, "y"));
	query_fini(&q);

	assert_int_equal(parse(&q, "include_name=false&a=0&b=true&c"), 0);
	assert_false(query_flag(&q, "include_name"));
	assert_false(query_flag(&q, "a"));
	assert_true(query_flag(&q, "b"));
	assert_true(query_flag(&q, "c"));
	query_fini(&q);

	assert_int_equal(parse(&q, ""), 0);
	assert_int_equal(q.n, 0);
	query_fini(&q);
}

static void broken_escapes_are_refused(void **state)
{
	static const char *const bad[] = { "a=%00", "a=%ff", "%c0%ae=1", "a=%0a", "a=\x01" };
	/* The Go SDK escapes no name. */
	static const char *const raw[][2] = { { "a=100%", "100%" },
					      { "a=%4", "%4" },
					      { "a=%zz", "%zz" },
					      { "a=%%41%", "%A%" },
					      { "a=b c%20d", "b c d" } };
	struct query q;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse(&q, bad[i]), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(raw); i++) {
		assert_int_equal(parse(&q, raw[i][0]), 0);
		assert_string_equal(query_get(&q, "a"), raw[i][1]);
		query_fini(&q);
	}
}

static void too_many_parameters_are_refused(void **state)
{
	char text[4 * QUERY_ARGS_MAX + 8];
	struct query q;

	(void)state;
	memset(text, '&', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(parse(&q, text), -EINVAL);
}

static void numbers_have_limits(void **state)
{
	struct query q;
	struct err e = { 0 };
	int64_t n;

	(void)state;
	assert_int_equal(parse(&q, "page=3&page_size=1000&neg=-1&text=x&huge=99999999999999999999"),
			 0);
	assert_int_equal(query_int(&q, "page", 1, 100, false, 1, &n, &e), 0);
	assert_int_equal(n, 3);
	assert_int_equal(query_int(&q, "page_size", 1, 200, true, 25, &n, &e), 0);
	assert_int_equal(n, 200);
	assert_int_equal(query_int(&q, "huge", 1, 200, true, 25, &n, &e), 0);
	assert_int_equal(n, 200);
	assert_int_equal(query_int(&q, "none", 1, 200, true, 25, &n, &e), 0);
	assert_int_equal(n, 25);
	assert_int_equal(query_int(&q, "page_size", 1, 200, false, 25, &n, &e), -EINVAL);
	assert_int_equal(query_int(&q, "neg", 1, 200, true, 25, &n, &e), -EINVAL);
	assert_int_equal(query_int(&q, "text", 1, 200, true, 25, &n, &e), -EINVAL);
	assert_string_equal(e.path, "text");
	query_fini(&q);
}

static void the_next_page_keeps_the_rest(void **state)
{
	struct query q;
	struct buf b = BUF_INIT;

	(void)state;
	assert_int_equal(parse(&q, "page=1&name=a%26b%3d&include_name"), 0);
	query_rebuild(&q, "page", &b);
	assert_string_equal(buf_cstr(&b), "name=a%26b%3D&include_name=");
	buf_fini(&b);
	query_fini(&q);
}

static void paths_are_normalised(void **state)
{
	static const struct {
		const char *target, *path;
	} good[] = {
		{ "/api/pool", "/api/pool" },
		{ "//api/pool", "/api/pool" },
		{ "//api//pool///x/?a=b//c", "/api/pool/x" },
		{ "/api/systemconfiguration/", "/api/systemconfiguration" },
		{ "/", "/" },
		{ "/api/p%6fol", "/api/pool" },
		{ "/api/a%2fb", "/api/a/b" },
		{ "/api/tenant/admin#admin", "/api/tenant/admin" },
		{ "/api/..x", "/api/..x" },
		{ "/api/a+b", "/api/a+b" },
	};
	static const char *const bad[] = {
		"",	    "api",	   "/api/../x",	 "/api/%2e%2e/x", "/api/..",
		"/api/./x", "/api/..%2fx", "/api/..\\x", "/a%5c..%5cb",	  "/a%00b",
		"/%ff",	    "/%",	   "*",		 "http://h/x"
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(path_normalise(good[i].target, out, sizeof(out), NULL), 0);
		assert_string_equal(out, good[i].path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(path_normalise(bad[i], out, sizeof(out), NULL), -EINVAL);
	assert_int_equal(path_normalise("/0123456789", out, 8, NULL), -EINVAL);
}

static int collect(void *arg, const char *name, const char *value)
{
	buf_printf(arg, "%s=%s|", name, value);
	return 0;
}

static void cookies_come_twice(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	cookie_each(
		"csrftoken=5b; avi-sessionid=b2; sessionid=b2; csrftoken=5b; sessionid=b3; avi-sessionid=\"b3\" ;x;=y",
		collect, &b);
	assert_string_equal(
		buf_cstr(&b),
		"csrftoken=5b|avi-sessionid=b2|sessionid=b2|csrftoken=5b|sessionid=b3|avi-sessionid=b3|=y|");
	buf_fini(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_are_found),
		cmocka_unit_test(broken_escapes_are_refused),
		cmocka_unit_test(too_many_parameters_are_refused),
		cmocka_unit_test(numbers_have_limits),
		cmocka_unit_test(the_next_page_keeps_the_rest),
		cmocka_unit_test(paths_are_normalised),
		cmocka_unit_test(cookies_come_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
