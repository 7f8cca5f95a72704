#include "base/test.h"

#include "base/table.h"

struct word {
	struct table_link link;
	char text[16];
};

static struct word *find(const struct table *t, const char *text)
{
	struct table_link *l = table_first(t, table_hash(TABLE_SEED, text));

	while (l && strcmp(CONTAINER_OF(l, struct word, link)->text, text))
		l = table_next(l);
	return l ? CONTAINER_OF(l, struct word, link) : NULL;
}

static void what_was_put_is_found_until_taken(void **state)
{
	enum { N = 10000 };
	struct word *words = xcalloc(N, sizeof(*words));
	struct table t = TABLE_INIT;
	(void)state;

	assert_null(find(&t, "0"));
	for (int i = 0; i < N; i++) {
		snprintf(words[i].text, sizeof(words[i].text), "%d", i);
		table_put(&t, &words[i].link, table_hash(TABLE_SEED, words[i].text));
	}
	assert_int_equal(t.n, N);
	for (int i = 0; i < N; i++)
		assert_ptr_equal(find(&t, words[i].text), &words[i]);
	for (int i = 0; i < N; i += 2)
		table_take(&t, &words[i].link);
	for (int i = 0; i < N; i++)
		assert_ptr_equal(find(&t, words[i].text), i % 2 ? &words[i] : NULL);
	table_fini(&t);
	free(words);
}

static void equal_hashes_come_in_order(void **state)
{
	struct word w[300] = { 0 };
	struct table t = TABLE_INIT;
	struct table_link *l;
	size_t i = 0;
	(void)state;

	for (size_t j = 0; j < ARRAY_SIZE(w); j++)
		table_put(&t, &w[j].link, j % 3);
	for (l = table_first(&t, 1); l; l = table_next(l))
		assert_ptr_equal(l, &w[1 + 3 * i++].link);
	assert_int_equal(i, 100);
	table_fini(&t);
}

static void the_ends_of_parts_count(void **state)
{
	(void)state;
	assert_true(table_hash(table_hash(TABLE_SEED, "ab"), "c") !=
		    table_hash(table_hash(TABLE_SEED, "a"), "bc"));
	assert_true(table_hash(table_hash(TABLE_SEED, "ab"), "") != table_hash(TABLE_SEED, "ab"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_found_until_taken),
		cmocka_unit_test(equal_hashes_come_in_order),
		cmocka_unit_test(the_ends_of_parts_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
