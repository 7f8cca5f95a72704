#include "base/test.h"

#include "engine/capture/worker_ring.h"

static struct told told(uint32_t len, uint64_t at)
{
	return (struct told){ .len = len, .service = 3, .capture = 5, .note = { .at_ns = at } };
}

static void what_is_put_is_taken_in_order(void **state)
{
	struct worker_ring c;
	uint8_t in[WORKER_RING_DATA_MAX], data[WORKER_RING_DATA_MAX];
	uint64_t put = 0, taken = 0;
	struct told t;

	(void)state;
	assert_int_equal(worker_ring_new(&c, 2), 0);
	assert_false(worker_ring_take(&c, 1, 4, &t, data));
	/* Around the ring several times, in pieces. */
	while (taken < 20000) {
		for (unsigned i = 0; i < 700; i++, put++) {
			uint32_t len = (uint32_t)(put * 37 % WORKER_RING_DATA_MAX);
			struct iovec iov[2] = { { in, len / 3 }, { in + len / 3, len - len / 3 } };

			memset(in, (int)put, len);
			assert_true(worker_ring_put(&c, 1, 4, &(struct told){ .len = len, .note.at_ns = put }, iov, 2));
		}
		while (worker_ring_take(&c, 1, 4, &t, data)) {
			assert_true(t.note.at_ns == taken && t.len == taken * 37 % WORKER_RING_DATA_MAX);
			for (uint32_t i = 0; i < t.len; i++)
				assert_int_equal(data[i], (uint8_t)taken);
			taken++;
		}
	}
	assert_false(worker_ring_take(&c, 0, 4, &t, data));
	assert_int_equal(worker_ring_lost(&c, 4), 0);
	worker_ring_fini(&c);
}

static void what_finds_no_room_is_counted(void **state)
{
	struct worker_ring c;
	uint8_t data[WORKER_RING_DATA_MAX] = { 0 };
	struct iovec iov = { data, sizeof(data) };
	unsigned put = 0;
	struct told t = told(sizeof(data), 1);

	(void)state;
	assert_int_equal(worker_ring_new(&c, 1), 0);
	while (worker_ring_put(&c, 0, 0, &t, &iov, 1))
		put++;
	assert_true(put > 1000 && worker_ring_lost(&c, 0) == 1);
	assert_false(worker_ring_put(&c, 0, 0, &t, &iov, 1));
	assert_int_equal(worker_ring_lost(&c, 0), 2);
	worker_ring_clear(&c, 0, true);
	assert_false(worker_ring_take(&c, 0, 0, &t, data));
	t = told(sizeof(data), 1);
	assert_true(worker_ring_put(&c, 0, 0, &t, &iov, 1));
	assert_true(worker_ring_take(&c, 0, 0, &t, data));
	worker_ring_fini(&c);
}

/* The writer parses what strangers send. */
static void nothing_broken_is_believed(void **state)
{
	struct worker_ring c;
	uint8_t data[WORKER_RING_DATA_MAX];
	struct told t = told(0, 1);

	(void)state;
	assert_int_equal(worker_ring_new(&c, 1), 0);
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t *head = (uint32_t *)(void *)c.mem;
		struct told *first = (struct told *)(void *)(c.mem + 4096);

		worker_ring_put(&c, 0, 0, &t, NULL, 0);
		random_bytes(first, sizeof(*first));
		if (i % 3 == 0)
			random_bytes(head, 8);
		if (i % 3 == 1)
			head[0] += (uint32_t)(i % 300);
		for (unsigned n = 0; n < 100 && worker_ring_take(&c, 0, 0, &t, data); n++)
			assert_true(t.len <= WORKER_RING_DATA_MAX && strlen(t.note.request) <= PACKETS_REQUEST_MAX);
		t = told(0, 1);
	}
	worker_ring_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_taken_in_order),
		cmocka_unit_test(what_finds_no_room_is_counted),
		cmocka_unit_test(nothing_broken_is_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
