#include "base/test.h"

#include "controller/jsonpatch.h"

static json_t *parse(const char *text)
{
	json_t *v;

	assert_int_equal(json_read(text, strlen(text), &v, NULL), 0);
	return v;
}

static const struct { const char *doc, *ops, *result; } good[] = {
	{ "{\"a\":1}", "[]", "{\"a\":1}" },
	{ "{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":2}]", "{\"a\":2}" },
	{ "{}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":[1]}]", "{\"b\":[1]}" },
	{ "{\"l\":[1,3]}", "[{\"op\":\"add\",\"path\":\"/l/1\",\"value\":2}]", "{\"l\":[1,2,3]}" },
	{ "{\"l\":[1]}", "[{\"op\":\"add\",\"path\":\"/l/-\",\"value\":2}]", "{\"l\":[1,2]}" },
	{ "{\"l\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/l/0\"}]", "{\"l\":[2]}" },
	{ "{\"l\":[1,2]}", "[{\"op\":\"replace\",\"path\":\"/l/0\",\"value\":9}]", "{\"l\":[9,2]}" },
	{ "{\"o\":{\"x\":{\"y\":1}}}", "[{\"op\":\"remove\",\"path\":\"/o/x/y\"}]", "{\"o\":{\"x\":{}}}" },
	{ "{\"a/b\":1,\"m~n\":2}", "[{\"op\":\"remove\",\"path\":\"/a~1b\"},{\"op\":\"remove\",\"path\":\"/m~0n\"}]", "{}" },
	{ "{\"a\":1}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/b\"}]", "{\"b\":1}" },
	{ "{\"a\":[1]}", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"},{\"op\":\"add\",\"path\":\"/b/-\",\"value\":2}]",
	  "{\"a\":[1],\"b\":[1,2]}" },
	{ "{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":1}]", "{\"a\":1}" },
};

static const struct { const char *doc, *ops; } bad[] = {
	{ "{}", "{}" },
	{ "{}", "[1]" },
	{ "{}", "[{\"op\":\"add\",\"value\":1}]" },
	{ "{}", "[{\"op\":\"add\",\"path\":\"/a\"}]" },
	{ "{}", "[{\"op\":\"shake\",\"path\":\"/a\"}]" },
	{ "{}", "[{\"op\":\"remove\",\"path\":\"/a\"}]" },
	{ "{}", "[{\"op\":\"add\",\"path\":\"\",\"value\":1}]" },
	{ "{}", "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]" },
	{ "{}", "[{\"op\":\"add\",\"path\":\"/a/b\",\"value\":1}]" },
	{ "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a/b\",\"value\":1}]" },
	{ "{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]" },
	{ "{\"l\":[1]}", "[{\"op\":\"add\",\"path\":\"/l/2\",\"value\":1}]" },
	{ "{\"l\":[1]}", "[{\"op\":\"add\",\"path\":\"/l/00\",\"value\":1}]" },
	{ "{\"l\":[1]}", "[{\"op\":\"add\",\"path\":\"/l/x\",\"value\":1}]" },
	{ "{\"l\":[1]}", "[{\"op\":\"replace\",\"path\":\"/l/1\",\"value\":1}]" },
	{ "{\"l\":[1]}", "[{\"op\":\"replace\",\"path\":\"/l/~2\",\"value\":1}]" },
	{ "{\"l\":[1]}", "[{\"op\":\"move\",\"path\":\"/x\"}]" },
	{ "{\"l\":[1]}", "[{\"op\":\"move\",\"from\":\"/y\",\"path\":\"/x\"}]" },
};

static void operations_do_what_the_rfc_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		CLEANUP_JSON json_t *doc = parse(good[i].doc), *ops = parse(good[i].ops), *out = NULL;
		CLEANUP_FREE char *before = json_text(doc), *after = NULL, *text = NULL;

		assert_int_equal(jsonpatch_apply(doc, ops, &out, NULL), 0);
		text = json_text(out);
		assert_string_equal(text, good[i].result);
		after = json_text(doc);
		assert_string_equal(before, after);
	}
}

static void wrong_operations_are_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CLEANUP_JSON json_t *doc = parse(bad[i].doc), *ops = parse(bad[i].ops);
		struct err e = { 0 };
		json_t *out = NULL;

		assert_int_equal(jsonpatch_apply(doc, ops, &out, &e), -EINVAL);
		assert_null(out);
		assert_int_equal(strncmp(e.path, "json_patch", 10), 0);
		assert_true(strlen(e.text) > 10);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_do_what_the_rfc_says),
		cmocka_unit_test(wrong_operations_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
