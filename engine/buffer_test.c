#include "base/test.h"

#include "engine/buffer.h"

static void sizes_are_powers_and_the_limit_holds(void **state)
{
	struct buffer_pool p = { .limit = 64 << 10 };
	struct buffer *a = buffer_get(&p, 1), *b = buffer_get(&p, (16 << 10) + 1);

	(void)state;
	assert_int_equal(a->size, 16 << 10);
	assert_int_equal(b->size, 32 << 10);
	assert_null(buffer_get(&p, 32 << 10));
	assert_null(buffer_get(&p, BUFFER_MAX + 1));
	buffer_put(&p, b);
	b = buffer_get(&p, 32 << 10); /* what came back is given again */
	assert_int_equal(p.kept, 0);
	buffer_put(&p, a);
	buffer_put(&p, b);
	assert_int_equal(p.used, 0);
	buffer_pool_fini(&p);
}

static void room_keeps_what_is_unread(void **state)
{
	struct buffer_pool p = { 0 };
	struct buffer *b = NULL;

	(void)state;
	assert_int_equal(buffer_room(&p, &b, 10), 0);
	memcpy(b->data, "0123456789", 10);
	b->end = 10;
	b->start = 4;
	assert_int_equal(buffer_room(&p, &b, BUFFER_MIN - 6), 0); /* by moving to the front */
	assert_int_equal(b->size, BUFFER_MIN);
	assert_int_equal(buffer_room(&p, &b, BUFFER_MIN), 0);     /* by a larger one */
	assert_int_equal(b->size, 2 * BUFFER_MIN);
	assert_int_equal(buffer_len(b), 6);
	assert_memory_equal(b->data + b->start, "456789", 6);
	assert_int_equal(buffer_room(&p, &b, BUFFER_MAX), -ENOBUFS);
	assert_int_equal(buffer_len(b), 6);
	buffer_put(&p, b);
	buffer_pool_fini(&p);
}

static void gauge_shows_what_is_given_out(void **state)
{
	uint64_t gauge = 0;
	struct buffer_pool p = { .gauge = &gauge };
	struct buffer *b = NULL;

	(void)state;
	assert_int_equal(buffer_room(&p, &b, 1), 0);
	assert_int_equal(gauge, BUFFER_MIN);
	assert_int_equal(buffer_room(&p, &b, BUFFER_MIN + 1), 0);
	assert_int_equal(gauge, 2 * BUFFER_MIN);
	buffer_put(&p, b);
	assert_int_equal(gauge, 0);
	buffer_pool_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_powers_and_the_limit_holds),
		cmocka_unit_test(room_keeps_what_is_unread),
		cmocka_unit_test(gauge_shows_what_is_given_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
