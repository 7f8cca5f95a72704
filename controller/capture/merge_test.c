#include "base/test.h"

#include "controller/capture/merge.h"

static void put(struct merge *m, unsigned source, uint64_t at)
{
	char *bytes = xstrdup("x");

	merge_block(m, bytes, 1);
	merge_put(m, source, at, &(struct packets_frame){ .flow = at, .len = 1, .wire_len = 1, .data = (const uint8_t *)bytes });
}

static uint64_t take(struct merge *m, uint64_t late)
{
	const struct merged *p = merge_take(m, late);

	assert_true(!p || *p->frame.data == 'x');
	return p ? p->at_ns : 0;
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
	unsigned n = 0;

	(void)state;
	merge_open(m, 0);
	for (uint64_t at = 1; at <= MERGE_BYTES_MAX / PACKETS_DATA_MAX + 10; at++) {
		uint8_t *large = xcalloc(1, PACKETS_DATA_MAX);

		*large = 'x';
		merge_block(m, large, PACKETS_DATA_MAX);
		merge_put(m, 0, at, &(struct packets_frame){ .len = PACKETS_DATA_MAX, .wire_len = PACKETS_DATA_MAX, .data = large });
	}
	while (take(m, 0))
		n++;
	assert_true(n >= 10 && n <= 12);
	merge_free(m);
}

/* Two CPUs write into one ring, a little behind each other; those of one stamp stay as they came. */
static void stragglers_find_their_place(void **state)
{
	struct merge *m = merge_new();
	uint64_t last = 0, number = 0;
	const struct merged *p;
	unsigned n = 0;

	(void)state;
	for (uint64_t i = 0; i < 5000; i++) {
		char *bytes = xstrdup("xx");
		uint64_t at = 1000 + 10 * i - (i % 7 == 3 ? 35 : 0);

		merge_block(m, bytes, 2);
		for (uint32_t k = 0; k < 2; k++)
			merge_put(m, 0, at, &(struct packets_frame){ .flow = 2 * i + k, .len = 1, .wire_len = 1, .data = (const uint8_t *)bytes + k });
	}
	while ((p = merge_take(m, UINT64_MAX))) {
		assert_true(p->at_ns >= last && *p->frame.data == 'x');
		assert_true(p->at_ns > last || p->frame.flow > number);
		last = p->at_ns;
		number = p->frame.flow;
		n++;
	}
	assert_int_equal(n, 10000);
	merge_free(m);
}

/* Whoever ends in the middle loses nothing and keeps nothing: the sanitizers watch. */
static void what_waits_goes_with_the_merge(void **state)
{
	struct merge *m = merge_new();

	(void)state;
	for (uint64_t at = 100; at; at--)
		put(m, at % 3, at);
	assert_int_equal(take(m, UINT64_MAX), 1);
	merge_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oldest_of_all_comes_first),
		cmocka_unit_test(who_is_silent_holds_the_others_for_a_while_only),
		cmocka_unit_test(any_order_comes_out_in_order),
		cmocka_unit_test(what_waits_is_bounded),
		cmocka_unit_test(stragglers_find_their_place),
		cmocka_unit_test(what_waits_goes_with_the_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
