#include "base/test.h"

#include "controller/capture/merge.h"

static void put(struct merge *m, unsigned source, uint64_t at)
{
	merge_put(m, source, at, &(struct packets_frame){ .flow = at, .len = 1, .wire_len = 1, .data = (const uint8_t *)"x" });
}

static uint64_t take(struct merge *m, uint64_t late)
{
	struct merged *p = merge_take(m, late);
	uint64_t at = p ? p->at_ns : 0;

	merged_free(p);
	return at;
}

static void the_oldest_of_all_comes_first(void **state)
{
	struct merge *m = merge_new();

	(void)state;
	merge_open(m, 0);
	merge_open(m, 1);
	put(m, 0, 10);
	put(m, 0, 30);
	put(m, 1, 20);
	merge_until(m, 0, 31);
	/* The other may still have an older one. */
	assert_int_equal(take(m, 0), 0);
	merge_until(m, 1, 21);
	assert_int_equal(take(m, 0), 10);
	assert_int_equal(take(m, 0), 20);
	assert_int_equal(take(m, 0), 0);
	/* Who is gone holds nobody up. */
	merge_close(m, 1);
	assert_int_equal(take(m, 0), 30);
	assert_int_equal(take(m, 0), 0);
	merge_free(m);
}

static void who_is_silent_holds_the_others_for_a_while_only(void **state)
{
	struct merge *m = merge_new();

	(void)state;
	merge_open(m, 0);
	merge_open(m, 1);
	put(m, 0, 100);
	merge_until(m, 0, 200);
	assert_int_equal(take(m, 99), 0);
	assert_int_equal(take(m, 101), 100);
	merge_free(m);
}

static void any_order_comes_out_in_order(void **state)
{
	struct merge *m = merge_new();
	uint64_t x = 1, last = 0;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		put(m, (unsigned)(x >> 60), x >> 33);
	}
	for (int i = 0; i < 5000; i++) {
		uint64_t at = take(m, UINT64_MAX);

		assert_true(at >= last);
		last = at;
	}
	assert_null(merge_take(m, UINT64_MAX));
	merge_free(m);
}

static void what_waits_is_bounded(void **state)
{
	struct merge *m = merge_new();
	static uint8_t large[PACKETS_DATA_MAX];
	unsigned n = 0;

	(void)state;
	merge_open(m, 0);
	for (uint64_t at = 1; at <= MERGE_BYTES_MAX / sizeof(large) + 10; at++)
		merge_put(m, 0, at, &(struct packets_frame){ .len = sizeof(large), .wire_len = sizeof(large), .data = large });
	while (take(m, 0))
		n++;
	assert_true(n >= 10 && n <= 12);
	merge_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oldest_of_all_comes_first),
		cmocka_unit_test(who_is_silent_holds_the_others_for_a_while_only),
		cmocka_unit_test(any_order_comes_out_in_order),
		cmocka_unit_test(what_waits_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
