#include "base/test.h"

#include <pthread.h>

#include "engine/persist.h"

#define MIN_NS (60 * NS_PER_S)

static struct backend *server(unsigned n)
{
	union address a;

	assert_int_equal(address_parse(&a, "192.0.2.1", n), 0);
	return backend_new("pool-1", &a, n);
}

static void key_of(const char *ip, unsigned mask, uint8_t key[static 16])
{
	union address a;

	assert_int_equal(address_parse(&a, ip, 4242), 0);
	persist_key(&a, mask, key);
}

/* Whom IP gets at NOW; NULL: nobody. */
static struct backend *had(struct persist *p, const char *ip, unsigned mask, uint64_t now)
{
	struct backend *b;
	uint8_t key[16];

	key_of(ip, mask, key);
	b = persist_find(p, key, now, MIN_NS);
	backend_put(b);
	return b;
}

static bool get(struct persist *p, const char *ip, unsigned mask, struct backend *b, uint64_t now)
{
	uint8_t key[16];

	key_of(ip, mask, key);
	return persist_set(p, key, b, now, MIN_NS);
}

static void client_keeps_its_server_until_it_stays_away(void **state)
{
	struct persist *p = persist_new(PERSIST_MAX);
	struct backend *a = server(1), *b = server(2);

	(void)state;
	assert_null(had(p, "10.0.0.1", 0, 1));
	assert_false(get(p, "10.0.0.1", 0, a, 1));
	get(p, "fd00::1", 0, b, 1);
	assert_ptr_equal(had(p, "10.0.0.1", 0, 2), a);
	assert_ptr_equal(had(p, "fd00::1", 0, 2), b);
	assert_null(had(p, "10.0.0.2", 0, 2));
	/* Each time it comes the time begins anew. */
	for (uint64_t t = 1; t < 10; t++)
		assert_ptr_equal(had(p, "10.0.0.1", 0, t * MIN_NS / 2), a);
	assert_null(had(p, "10.0.0.1", 0, 10 * MIN_NS));
	get(p, "10.0.0.1", 0, a, 1);
	get(p, "10.0.0.1", 0, b, 1);
	assert_ptr_equal(had(p, "10.0.0.1", 0, 2), b);
	persist_free(p);
	assert_int_equal(atomic_load(&a->refs), 1);
	assert_int_equal(atomic_load(&b->refs), 1);
	backend_put(a);
	backend_put(b);
}

static void mask_makes_one_client_of_many(void **state)
{
	struct persist *p = persist_new(PERSIST_MAX);
	struct backend *a = server(1);

	(void)state;
	get(p, "10.1.2.3", 24, a, 1);
	assert_ptr_equal(had(p, "10.1.2.250", 24, 2), a);
	assert_null(had(p, "10.1.3.3", 24, 2));
	get(p, "fd00:1:2:3::9", 64, a, 1);
	assert_ptr_equal(had(p, "fd00:1:2:3:5::1", 64, 2), a);
	assert_null(had(p, "fd00:1:2:4::9", 64, 2));
	persist_free(p);
	backend_put(a);
}

static void no_more_than_so_many_are_known(void **state)
{
	struct persist *p = persist_new(PERSIST_STRIPES * 4);
	struct backend *a = server(1);
	unsigned forgot = 0, known = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		CLEANUP_FREE char *ip = xasprintf("10.0.%u.%u", i / 250, i % 250);

		forgot += get(p, ip, 0, a, i);
	}
	for (unsigned i = 0; i < 1000; i++) {
		CLEANUP_FREE char *ip = xasprintf("10.0.%u.%u", i / 250, i % 250);

		known += had(p, ip, 0, 1000) != NULL;
	}
	assert_int_equal(known + forgot, 1000);
	assert_in_range(known, PERSIST_STRIPES * 3, PERSIST_STRIPES * 4);
	assert_ptr_equal(had(p, "10.0.3.249", 0, 1000), a); /* the last one stays */
	persist_free(p);
	backend_put(a);
}

static struct backend *shared;

static void *worker(void *arg)
{
	struct persist *p = arg;

	for (unsigned i = 0; i < 20000; i++) {
		uint8_t key[16] = { (uint8_t)(i % 251) };
		struct backend *found = persist_find(p, key, i, 100);

		if (!found)
			persist_set(p, key, shared, i, 100);
		backend_put(found);
	}
	return NULL;
}

static void workers_share_it(void **state)
{
	struct persist *p = persist_new(PERSIST_STRIPES);
	pthread_t t[4];

	(void)state;
	shared = server(3);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, worker, p);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	persist_free(p);
	assert_int_equal(atomic_load(&shared->refs), 1);
	backend_put(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_keeps_its_server_until_it_stays_away),
		cmocka_unit_test(mask_makes_one_client_of_many),
		cmocka_unit_test(no_more_than_so_many_are_known),
		cmocka_unit_test(workers_share_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
