#include "base/test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/counters.h"

static void sums_over_workers_and_survives_its_writer(void **state)
{
	struct counters warden, proxy;
	CLEANUP_JSON json_t *sum = NULL;

	(void)state;
	assert_int_equal(counters_new(&warden, 3), 0);
	assert_int_equal(counters_map(&proxy, dup(warden.fd), 3), 0);
	for (unsigned w = 0; w <= 3; w++)
		counter_add(&counters_service_of(&proxy, w, 7)->bytes_to_client, 100 + w);
	counter_add(&counters_service_of(&proxy, 0, 8)->bytes_to_client, 9999);
	counters_fini(&proxy); /* a crash, as far as memory is concerned */
	sum = counters_read(&warden, &counters_service, 7);
	assert_int_equal(json_int(sum, "bytes_to_client", -1), 406);
	assert_int_equal(json_int(sum, "conn_total", -1), 0);
	assert_int_equal(json_object_size(sum), counters_service.n);
	counters_fini(&warden);
}

static void only_gauges_are_dropped_with_the_proxy(void **state)
{
	struct counters c;
	CLEANUP_JSON json_t *sum = NULL;

	(void)state;
	assert_int_equal(counters_new(&c, 2), 0);
	counter_add(&counters_server_of(&c, 1, 5)->conn_total, 4);
	counter_add(&counters_server_of(&c, 1, 5)->conn_open, 3);
	counters_drop_gauges(&c, &counters_server, 5);
	sum = counters_read(&c, &counters_server, 5);
	assert_int_equal(json_int(sum, "conn_total", -1), 4);
	assert_int_equal(json_int(sum, "conn_open", -1), 0);
	counters_fini(&c);
}

static void memory_cannot_be_taken_from_under_the_reader(void **state)
{
	struct counters c;

	(void)state;
	assert_int_equal(counters_new(&c, 1), 0);
	assert_int_equal(ftruncate(c.fd, 0), -1);
	assert_int_equal(errno, EPERM);
	counters_fini(&c);
}

static void tables_are_in_order(void **state)
{
	static const struct counter_set *const sets[] = { &counters_service, &counters_server, &counters_rule,
							   &counters_engine };

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(sets); s++)
		for (size_t i = 0; i < sets[s]->n; i++) {
			const struct counter_desc *d = &sets[s]->counters[i];

			assert_int_equal(d->help[strlen(d->help) - 1], '.');
			for (size_t j = 0; j < i; j++)
				assert_string_not_equal(d->name, sets[s]->counters[j].name);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_over_workers_and_survives_its_writer),
		cmocka_unit_test(only_gauges_are_dropped_with_the_proxy),
		cmocka_unit_test(memory_cannot_be_taken_from_under_the_reader),
		cmocka_unit_test(tables_are_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
