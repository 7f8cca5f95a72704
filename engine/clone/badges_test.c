#include "base/test.h"

#include <stdlib.h>

#include "engine/clone/badges.h"

static void all_places_are_given_out_once(void **state)
{
	struct badge *all = test_calloc(BADGES_MAX, sizeof(*all));
	uint8_t *seen = test_calloc(BADGES_MAX, 1);
	struct badges b[3] = { 0 };
	uint32_t n = 0;

	(void)state;
	for (unsigned w = 0; w < ARRAY_SIZE(b); w++) {
		uint16_t place;

		badges_init(&b[w], all, w, ARRAY_SIZE(b));
		while ((place = badge_take(&b[w]))) {
			assert_int_equal(seen[place]++, 0);
			assert_int_equal(all[place].turn, 1);
			n++;
		}
	}
	assert_true(n >= BADGES_MAX - ARRAY_SIZE(b)); /* 0 is nobody's, and the division may leave some */
	badge_put(&b[1], 0);
	badge_put(&b[1], 40000);
	badge_put(&b[1], 40001);
	assert_int_equal(badge_take(&b[1]), 40001);
	assert_int_equal(all[40001].turn, 2); /* another connection's: the flow of the one before knows */
	assert_int_equal(badge_take(&b[1]), 40000);
	assert_int_equal(badge_take(&b[1]), 0);
	for (unsigned w = 0; w < ARRAY_SIZE(b); w++)
		badges_fini(&b[w]);
	test_free(seen);
	test_free(all);
}

static void who_is_written(void **state)
{
	struct badge *all = test_calloc(BADGES_MAX, sizeof(*all));
	const uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 7 };
	struct badges b = { 0 }, none = { 0 };
	union address client;
	uint16_t place;

	(void)state;
	assert_int_equal(address_parse(&client, "192.0.2.7", 4711), 0);
	badges_init(&b, all, 0, 1);
	place = badge_take(&b);
	badge_write(&b, place, 42, &client);
	assert_int_equal(all[place].flow_id, 42);
	assert_int_equal(all[place].client_port, htons(4711));
	assert_memory_equal(all[place].client_addr, mapped, sizeof(mapped));
	badge_put(&b, place);
	assert_int_equal(all[place].flow_id, 42); /* its last packets are still on their way */
	badges_fini(&b);
	/* Where there is no map. */
	assert_int_equal(badge_take(&none), 0);
	badge_write(&none, 0, 42, &client);
	test_free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_places_are_given_out_once),
		cmocka_unit_test(who_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
