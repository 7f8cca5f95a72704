#include "base/test.h"

#include "base/filter.h"

static bool passes(const char *text, const char *object)
{
	CLEANUP_JSON json_t *o = json_loads(object, 0, NULL);
	struct filter f;

	assert_non_null(o);
	assert_int_equal(filter_read(text, &f, NULL), 0);
	return filter_passes(&f, o);
}

static void each_word_means_what_it_says(void **state)
{
	static const struct { const char *filter; bool yes; } cases[] = {
		{ "eq(n,503)", true },	 { "eq(n,50)", false },	 { "ne(n,200)", true },	    { "gt(n,99)", true },
		{ "lt(n,1000)", true },	 { "ge(n,503)", true },	 { "le(n,502)", false },    { "co(s,CAT)", true },
		{ "nc(s,dog)", true },	 { "nc(s,cat)", false }, { "sw(s,a)", true },	    { "sw(s,cat)", false },
		{ "eq(o.p,x)", true },	 { "eq(o.q,x)", false }, { "eq(l,two)", true },	    { "co(l,thr)", false },
		{ "ne(l,two)", false },	 { "ne(l,six)", true },	 { "eq(t,true)", true },    { "eq(none,)", false },
		{ "ne(none,x)", true },	 { "gt(s,a)", true },	 { "eq(n,503.0)", true },   { "eq(r,2.5)", true },
		{ "gt(r,2)", true },	 { "lt(none,5)", false }, { "eq(t,True)", true },   { "eq(t,1)", true },
		{ "ne(t,false)", true }, { "eq(s,\"a cat\")", true }, { "eq(s, a cat )", true }, { "co(c,(X11; Linux, x)", true },
		{ "sw(c,Agent (X)", true }, { "ge(w,2026-11-21T08:00:00Z)", true }, { "lt(w,2026-11-21T08:00:00.5Z)", true },
		{ "gt(w,2026-11-21T10:00:00+02:00)", false }, { "co(all,\"cAt\")", true }, { "eq(all,x)", true },
		{ "nc(all,dog)", true }, { "nc(all,Linux)", false }, { "ne(all,two)", false }, { "eq(all,50)", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct filter f;
		bool yes = filter_read(cases[i].filter, &f, NULL) == 0 &&
			   passes(cases[i].filter, "{\"n\": 503, \"s\": \"a cat\", \"o\": {\"p\": \"x\"}, "
						   "\"l\": [\"one\", \"two\"], \"t\": true, \"r\": 2.5, "
						   "\"c\": \"Agent (X) (X11; Linux, x) y\", "
						   "\"w\": \"2026-11-21T08:00:00.000000+00:00\"}");

		if (yes != cases[i].yes)
			fail_msg("%s", cases[i].filter);
	}
}

static void what_is_no_filter_is_refused_with_a_sentence(void **state)
{
	static const char *const bad[] = { "", "eq", "eq(a,b", "eq(a,b)x", "like(a,b)", "eq(,b)", "EQ(a,b)", "eq(a)" };
	struct filter f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = { 0 };

		assert_int_equal(filter_read(bad[i], &f, &e), -EINVAL);
		assert_non_null(strstr(e.text, "OP(FIELD,VALUE)"));
	}
	assert_int_equal(filter_read(NULL, &f, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_word_means_what_it_says),
		cmocka_unit_test(what_is_no_filter_is_refused_with_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
