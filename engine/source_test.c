/* What is promised of the addresses from which servers are spoken to. */
#include "base/test.h"

#include "engine/source.h"

static void vip_has_its_own(void **state)
{
	CLEANUP_JSON json_t *list = json_pack("[{s:[s, s], s:s, s:s}, {s:[s, s], s:s, s:s}, {s:[s], s:s, s:s}]", "vips", "10.0.0.1",
					      "fd00::1", "v4", "10.1.0.9", "v6", "", "vips", "10.0.0.2", "no address", "v4",
					      "10.1.0.10", "v6", "fd00:1::9", "vips", "10.0.0.3", "v4", "10.1.0.9", "v6", "nonsense");
	CLEANUP_JSON json_t *numbers = json_object();
	struct arena arena = ARENA_INIT;
	struct sources s = sources_read(list, numbers, &arena), again;
	union address vip;
	uint32_t nine;

	(void)state;
	assert_int_equal(s.n, 4);
	address_parse(&vip, "10.0.0.1", 443); /* the port is no matter */
	nine = source_of(&s, &vip, AF_INET)->number;
	assert_int_not_equal(nine, 0);
	assert_int_equal(source_of(&s, &vip, AF_INET6)->number, 0);
	address_parse(&vip, "fd00::1", 0);
	assert_int_equal(source_of(&s, &vip, AF_INET)->number, nine);
	address_parse(&vip, "10.0.0.2", 0);
	assert_int_not_equal(source_of(&s, &vip, AF_INET)->number, nine);
	assert_int_not_equal(source_of(&s, &vip, AF_INET6)->number, 0);
	address_parse(&vip, "10.0.0.3", 0);
	assert_int_equal(source_of(&s, &vip, AF_INET)->number, nine);
	assert_int_equal(source_of(&s, &vip, AF_INET6)->number, 0);
	address_parse(&vip, "10.0.0.4", 0);
	assert_int_equal(source_of(&s, &vip, AF_INET)->number, 0);
	assert_true(source_is_used(&s, nine, AF_INET));
	assert_false(source_is_used(&s, nine, AF_INET6));
	assert_false(source_is_used(&s, 0, AF_INET));
	/* Numbers outlive what they were made for. */
	again = sources_read(NULL, numbers, &arena);
	assert_true(source_is_used(&again, 0, AF_INET));
	assert_false(source_is_used(&again, nine, AF_INET));
	again = sources_read(list, numbers, &arena);
	address_parse(&vip, "10.0.0.1", 0);
	assert_int_equal(source_of(&again, &vip, AF_INET)->number, nine);
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(vip_has_its_own) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
