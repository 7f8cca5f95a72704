#include "base/test.h"

#include "engine/http/redaction.h"
#include "model/structs.h"

static struct sensitive_field_rule rule(int64_t index, enum string_match_criteria how, const char *const *words, bool stars)
{
	static struct string_match matches[16];
	static size_t n;
	struct string_match *m = &matches[n++];

	*m = (struct string_match){ .match_criteria = how, .match_str = words, .match_str_n = 1 };
	return (struct sensitive_field_rule){ .index = index, .enabled = true, .match = m,
					      .action = stars ? LOG_FIELD_MASKOFF : LOG_FIELD_REMOVE };
}

static enum redaction_how how(const struct redaction *v, const char *name)
{
	return redaction_header(v, name, strlen(name));
}

static void says(const struct redaction *v, const char *query, const char *shown)
{
	size_t n = strlen(query);
	const char *text = redaction_query(v, query, &n);

	assert_int_equal(n, strlen(shown));
	assert_memory_equal(text, shown, n);
}

static void credentials_are_never_shown(void **state)
{
	(void)state;
	assert_int_equal(how(NULL, "Authorization"), REDACTION_STARS);
	assert_int_equal(how(NULL, "set-cookie"), REDACTION_STARS);
	assert_int_equal(how(NULL, "Set-Cookie2"), REDACTION_NONE);
	assert_int_equal(how(NULL, "Host"), REDACTION_NONE);
	says(NULL, "a=1&token=x", "a=1&token=x");
}

static void rules_are_by_name_the_lowest_index_first(void **state)
{
	static const char *const internal[] = { "x-internal-" }, *const key[] = { "key" }, *const expression[] = { "^x-[0-9]+$" },
			   *const broken[] = { "(" }, *const cookie[] = { "Cookie" };
	struct arena a = ARENA_INIT;
	struct sensitive_field_rule rules[] = {
		rule(9, CONTAINS, key, true), rule(1, BEGINS_WITH, internal, false), rule(5, REGEX_MATCH, expression, true), rule(2, EQUALS, cookie, false),
		rule(10, EQUALS, broken, true),
	};
	struct sensitive_log_profile p = { .header_field_rules = rules, .header_field_rules_n = 5, .uri_query_field_rules = rules,
					   .uri_query_field_rules_n = 1 };
	struct redaction *v;

	(void)state;
	assert_null(redaction_new(NULL, &a));
	v = redaction_new(&p, &a);
	assert_int_equal(how(v, "X-Internal-Key"), REDACTION_GONE);
	assert_int_equal(how(v, "X-Api-KEYS"), REDACTION_STARS);
	assert_int_equal(how(v, "x-17"), REDACTION_STARS);
	assert_int_equal(how(v, "x-17a"), REDACTION_NONE);
	assert_int_equal(how(v, "cookie"), REDACTION_GONE);
	assert_int_equal(how(v, "Accept"), REDACTION_NONE);
	says(v, "a=1&Api_Key=secret&b&key&=x&monkey=banana", "a=1&Api_Key=***&b&key&=x&monkey=***");
	says(v, "", "");
	says(v, "&&", "");
	redaction_fini(v);
	/* What cannot be understood hides all, rather than nothing; a rule that is off hides nothing. */
	rules[4].match = rule(0, REGEX_MATCH, broken, true).match;
	rules[0].enabled = false;
	v = redaction_new(&p, &a);
	assert_int_equal(how(v, "Accept"), REDACTION_STARS);
	says(v, "key=1", "key=1");
	redaction_fini(v);
	/* All but these. */
	rules[0] = rule(0, DOES_NOT_EQUAL, key, false);
	v = redaction_new(&p, &a);
	says(v, "a=1&key=2&b=3", "key=2");
	redaction_fini(v);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(credentials_are_never_shown),
		cmocka_unit_test(rules_are_by_name_the_lowest_index_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
