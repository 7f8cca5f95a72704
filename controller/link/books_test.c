#include "base/test.h"

#include "base/err.h"
#include "controller/link/books.h"

static void take(struct books *b, const char *text)
{
	CLEANUP_JSON json_t *stats = NULL;

	assert_int_equal(json_read(text, strlen(text), &stats, NULL), 0);
	books_take(b, stats);
}

static json_int_t get(const struct books *b, const char *group, const char *key, const char *item, const char *counter)
{
	CLEANUP_JSON json_t *all = books_get(b, group, key, item);

	return json_int(all, counter, 0);
}

static void totals_never_go_backwards(void **state)
{
	struct books b;

	(void)state;
	books_init(&b);
	take(&b, "{\"services\":{\"a\":{\"conn_total\":10,\"conn_open\":3}},\"engine\":{\"starts\":1}}");
	take(&b, "{\"services\":{\"a\":{\"conn_total\":12,\"conn_open\":1}},\"engine\":{\"starts\":1,\"warden_turn_ms\":80}}");
	assert_int_equal(get(&b, "services", "a", NULL, "conn_total"), 12);
	assert_int_equal(get(&b, "services", "a", NULL, "conn_open"), 1);
	books_end(&b); /* killed */
	assert_int_equal(get(&b, "services", "a", NULL, "conn_total"), 12);
	assert_int_equal(get(&b, "services", "a", NULL, "conn_open"), 0);
	take(&b, "{\"services\":{\"a\":{\"conn_total\":1,\"conn_open\":1}},\"engine\":{\"starts\":1,\"warden_turn_ms\":50}}");
	assert_int_equal(get(&b, "services", "a", NULL, "conn_total"), 13);
	assert_int_equal(get(&b, "engine", NULL, NULL, "starts"), 2);
	assert_int_equal(get(&b, "engine", NULL, NULL, "warden_turn_ms"), 50);
	books_fini(&b);
}

static void an_operator_begins_anew(void **state)
{
	struct books b;

	(void)state;
	books_init(&b);
	take(&b, "{\"services\":{\"a\":{\"conn_total\":10,\"conn_open\":3},\"b\":{\"conn_total\":7}},"
		 "\"servers\":{\"p\":{\"1:80\":{\"conn_total\":4}}}}");
	books_clear(&b, "services", "a");
	books_clear(&b, "servers", "p");
	books_clear(&b, "rules", "nobody");
	assert_int_equal(get(&b, "services", "a", NULL, "conn_total"), 0);
	assert_int_equal(get(&b, "services", "a", NULL, "conn_open"), 3);
	assert_int_equal(get(&b, "services", "b", NULL, "conn_total"), 7);
	assert_int_equal(get(&b, "servers", "p", "1:80", "conn_total"), 0);
	take(&b, "{\"services\":{\"a\":{\"conn_total\":12,\"conn_open\":1},\"b\":{\"conn_total\":7}}}");
	assert_int_equal(get(&b, "services", "a", NULL, "conn_total"), 2);
	/* The engine's end and its next life count on from there; and once more. */
	books_end(&b);
	take(&b, "{\"services\":{\"a\":{\"conn_total\":5,\"conn_open\":1}}}");
	assert_int_equal(get(&b, "services", "a", NULL, "conn_total"), 7);
	books_clear(&b, "services", "a");
	assert_int_equal(get(&b, "services", "a", NULL, "conn_total"), 0);
	take(&b, "{\"services\":{\"a\":{\"conn_total\":6,\"conn_open\":1},\"b\":{\"conn_total\":8}},\"engine\":{\"starts\":3}}");
	books_clear(&b, "services", NULL);
	books_clear(&b, "engine", NULL);
	assert_int_equal(get(&b, "services", "a", NULL, "conn_total"), 0);
	assert_int_equal(get(&b, "services", "b", NULL, "conn_total"), 0);
	assert_int_equal(get(&b, "services", "a", NULL, "conn_open"), 1);
	assert_int_equal(get(&b, "engine", NULL, NULL, "starts"), 0);
	books_fini(&b);
}

/* The list of hurt flows has an end: the oldest go, whatever the engine says more than that. */
static void the_newest_of_the_hurt_flows_are_kept(void **state)
{
	CLEANUP_JSON json_t *list = json_array(), *stats = json_pack("{s:O}", "hurt", list), *kept = NULL, *other = NULL;
	struct books b;

	(void)state;
	books_init(&b);
	for (int number = 1; number <= 300; number++) {
		json_array_clear(list);
		json_array_append_new(list, json_pack("{s:i, s:s, s:i, s:i}", "number", number, "virtualservice", number % 3 ? "a" : "b",
						      "time_us", number * 10, "frames", 1));
		books_take(&b, stats);
	}
	kept = books_hurt(&b, "a");
	other = books_hurt(&b, "b");
	assert_int_equal(json_array_size(kept) + json_array_size(other), 256);
	assert_int_equal(json_int(json_array_get(kept, 0), "number", 0), 299); /* the newest first */
	assert_int_equal(json_int(json_array_get(other, 0), "number", 0), 300);
	assert_in_range(json_int(json_array_get(kept, json_array_size(kept) - 1), "number", 0), 45, 46);
	/* News of one that is there takes its place, and no other's. */
	json_array_clear(list);
	json_array_append_new(list, json_pack("{s:i, s:s, s:i, s:i}", "number", 299, "virtualservice", "a", "time_us", 2990, "frames", 7));
	books_take(&b, stats);
	json_decref(kept);
	kept = books_hurt(&b, "a");
	assert_int_equal(json_int(json_array_get(kept, 0), "frames", 0), 7);
	assert_int_equal(json_int(json_array_get(kept, 1), "number", 0), 298);
	books_fini(&b);
}

static void what_moves_away_is_kept(void **state)
{
	struct books b;

	(void)state;
	books_init(&b);
	take(&b, "{\"services\":{\"a\":{\"n\":5}},\"servers\":{\"p\":{\"s1\":{\"n\":1},\"s2\":{\"n\":2}}}}");
	take(&b, "{\"services\":{},\"servers\":{\"p\":{\"s2\":{\"n\":3}}}}");
	assert_int_equal(get(&b, "services", "a", NULL, "n"), 5);
	assert_int_equal(get(&b, "servers", "p", "s1", "n"), 1);
	assert_int_equal(get(&b, "servers", "p", "s2", "n"), 3);
	/* And back again: it begins at zero there. */
	take(&b, "{\"services\":{\"a\":{\"n\":1}},\"servers\":{}}");
	assert_int_equal(get(&b, "services", "a", NULL, "n"), 6);
	assert_int_equal(get(&b, "servers", "p", "s2", "n"), 3);
	books_fini(&b);
}

static void what_is_not_told_of_is_as_it_was(void **state)
{
	struct books b;

	(void)state;
	books_init(&b);
	take(&b, "{\"services\":{\"a\":{\"n\":5,\"m\":2},\"b\":{\"n\":7},\"c\":{\"n\":1}},"
		 "\"servers\":{\"p\":{\"s1\":{\"n\":1},\"s2\":{\"n\":2}}}}");
	take(&b, "{\"part\":true,\"services\":{\"a\":{\"n\":6},\"c\":{\"n\":4}},\"gone\":[\"b\",\"c\",\"d\",3],"
		 "\"servers\":{\"p\":{\"s2\":{\"n\":3}}}}");
	assert_int_equal(get(&b, "services", "a", NULL, "n"), 6);
	assert_int_equal(get(&b, "services", "a", NULL, "m"), 2);
	assert_int_equal(get(&b, "servers", "p", "s1", "n"), 1);
	assert_int_equal(get(&b, "servers", "p", "s2", "n"), 3);
	/* Gone: its total stays. Gone and back within one message: it counts anew. */
	assert_int_equal(get(&b, "services", "b", NULL, "n"), 7);
	assert_int_equal(get(&b, "services", "c", NULL, "n"), 5);
	take(&b, "{\"part\":true,\"services\":{\"b\":{\"n\":1}},\"gone\":[],\"servers\":{}}");
	assert_int_equal(get(&b, "services", "b", NULL, "n"), 8);
	assert_int_equal(get(&b, "services", "a", NULL, "n"), 6);
	books_fini(&b);
}

static json_int_t clone(const struct books *b, const char *ip, const char *counter)
{
	CLEANUP_JSON json_t *all = books_clones(b, "a");

	return json_int(json_object_get(all, ip), counter, 0);
}

static void clones_are_summed_by_address(void **state)
{
	CLEANUP_JSON json_t *all = NULL;
	struct books b;

	(void)state;
	books_init(&b);
	take(&b, "{\"clones\":{\"a\":[{\"ip\":\"10.0.0.9\",\"index\":0,\"sent\":4,\"state\":\"ready\"},"
		 "{\"ip\":\"10.0.0.9\",\"index\":1,\"sent\":3},{\"ip\":\"10.0.0.8\",\"index\":2,\"sent\":1}]}}");
	assert_int_equal(clone(&b, "10.0.0.9", "sent"), 7);
	assert_int_equal(clone(&b, "10.0.0.8", "sent"), 1);
	assert_int_equal(clone(&b, "10.0.0.9", "index"), 0);
	/*
	 * Another set at the same place begins at zero, and what the old one counted is not lost.
	 */
	take(&b, "{\"clones\":{\"a\":[{\"ip\":\"10.0.0.9\",\"index\":0,\"sent\":1,\"state\":\"link down\"}]}}");
	assert_int_equal(clone(&b, "10.0.0.9", "sent"), 8);
	assert_int_equal(clone(&b, "10.0.0.8", "sent"), 1);
	all = books_copies(&b, "a");
	assert_string_equal(json_str(json_object_get(all, "10.0.0.9"), "state", ""), "link down");
	books_fini(&b);
}

static json_int_t copy(const struct books *b, const char *name, const char *counter)
{
	CLEANUP_JSON json_t *all = books_copies(b, "a");

	return json_int(json_object_get(all, name), counter, -1);
}

static void copies_begin_anew_with_the_profile(void **state)
{
	struct books b;

	(void)state;
	books_init(&b);
	take(&b, "{\"clones\":{\"a\":[{\"ip\":\"10.0.0.9\",\"index\":0,\"sent\":4,\"since\":{\"sent\":4},\"set\":\"0\",\"state\":\"ready\"},"
		 "{\"ip\":null,\"mac\":\"02:00:00:00:00:01\",\"index\":1,\"sent\":3,\"since\":{\"sent\":3},\"set\":\"0\",\"state\":\"ready\"}]}}");
	assert_int_equal(copy(&b, "10.0.0.9", "sent"), 4);
	assert_int_equal(copy(&b, "02:00:00:00:00:01", "sent"), 3);
	/* The engine starts again, and the profile is the same. */
	books_end(&b);
	take(&b, "{\"clones\":{\"a\":[{\"ip\":\"10.0.0.9\",\"index\":0,\"sent\":1,\"since\":{\"sent\":1},\"set\":\"0\",\"state\":\"ready\"}]}}");
	assert_int_equal(copy(&b, "10.0.0.9", "sent"), 5);
	assert_int_equal(copy(&b, "02:00:00:00:00:01", "sent"), 3);
	/* Another profile; what flows of the former one still send counts for the sums only. */
	take(&b, "{\"clones\":{\"a\":[{\"ip\":\"10.0.0.9\",\"index\":0,\"sent\":9,\"since\":{\"sent\":2},\"set\":\"1\",\"state\":\"ready\"},"
		 "{\"ip\":null,\"mac\":\"02:00:00:00:00:01\",\"index\":1,\"sent\":1}]}}");
	assert_int_equal(copy(&b, "10.0.0.9", "sent"), 2);
	assert_int_equal(copy(&b, "02:00:00:00:00:01", "sent"), -1);
	assert_int_equal(clone(&b, "10.0.0.9", "sent"), 13);
	assert_int_equal(clone(&b, "02:00:00:00:00:01", "sent"), 4);
	/* Switched off. */
	take(&b, "{\"clones\":{\"a\":[{\"ip\":\"10.0.0.9\",\"index\":0,\"sent\":9}]}}");
	assert_int_equal(copy(&b, "10.0.0.9", "sent"), -1);
	assert_int_equal(clone(&b, "10.0.0.9", "sent"), 13);
	books_fini(&b);
}

static void nonsense_is_passed_over(void **state)
{
	struct books b;

	(void)state;
	books_init(&b);
	take(&b, "{\"services\":7,\"servers\":{\"p\":[1]},\"clones\":{\"a\":{\"b\":1},\"c\":[1,{\"ip\":3}]},\"engine\":\"x\"}");
	take(&b, "{\"clones\":{\"a\":[{\"state\":\"ready\",\"since\":7,\"set\":[1]},{\"ip\":\"x y z\",\"state\":\"q\",\"set\":\"a b\"}]},"
		 "\"copies\":{\"a\":{\"q\":1}}}");
	take(&b, "{\"services\":{\"a\":{\"n\":\"5\"}},\"servers\":{\"p\":{\"s\":1}}}");
	take(&b, "{\"services\":{\"a\":{\"n\":5}}}");
	assert_int_equal(get(&b, "services", "a", NULL, "n"), 5);
	books_fini(&b);
}

static void counting_ends_at_the_largest_number(void **state)
{
	struct books b;

	(void)state;
	books_init(&b);
	for (int i = 0; i < 3; i++) {
		take(&b, "{\"engine\":{\"n\":9223372036854775807},\"services\":{\"a\":{\"n\":9223372036854775807}}}");
		take(&b, "{\"engine\":{\"n\":1},\"services\":{\"a\":{\"n\":1}}}");
	}
	assert_true(get(&b, "services", "a", NULL, "n") == INT64_MAX);
	books_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(totals_never_go_backwards),
		cmocka_unit_test(an_operator_begins_anew),
		cmocka_unit_test(the_newest_of_the_hurt_flows_are_kept),
		cmocka_unit_test(what_moves_away_is_kept),
		cmocka_unit_test(what_is_not_told_of_is_as_it_was),
		cmocka_unit_test(clones_are_summed_by_address),
		cmocka_unit_test(copies_begin_anew_with_the_profile),
		cmocka_unit_test(nonsense_is_passed_over),
		cmocka_unit_test(counting_ends_at_the_largest_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
