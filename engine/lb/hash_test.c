#include "base/test.h"

#include "engine/lb/hash.h"

#define KEYS 20000

struct farm {
	struct arena arena;
	size_t n;
	struct lb_hash_server *s;
	bool *down;
	const struct lb_hash *h;
};

static void build(struct farm *f)
{
	f->h = lb_hash_new(&f->arena, f->s, f->n);
}

static void make(struct farm *f, size_t n)
{
	*f = (struct farm){ .n = n, .s = xcalloc(n + 1, sizeof(f->s[0])), .down = xcalloc(n + 1, sizeof(bool)) };
	for (size_t i = 0; i < n; i++)
		f->s[i] = (struct lb_hash_server){ lb_hash_mix(i + 1), i, 1 };
	build(f);
}

static void drop(struct farm *f)
{
	arena_fini(&f->arena);
	free(f->s);
	free(f->down);
}

static bool may(void *arg, size_t place)
{
	return !((const struct farm *)arg)->down[place];
}

/* The name of KEY's server; 0: nobody's. */
static uint64_t owner(struct farm *f, unsigned key)
{
	size_t place = lb_hash_find(f->h, lb_hash_mix(key), may, f);

	return place == LB_HASH_NONE ? 0 : f->s[place].name;
}

static void owners(struct farm *f, uint64_t *who)
{
	for (unsigned k = 0; k < KEYS; k++)
		who[k] = owner(f, k);
}

/* Keys that changed hands. */
static unsigned moved(struct farm *f, const uint64_t *before)
{
	unsigned n = 0;

	for (unsigned k = 0; k < KEYS; k++)
		n += owner(f, k) != before[k];
	return n;
}

static unsigned owned(const uint64_t *who, uint64_t name)
{
	unsigned n = 0;

	for (unsigned k = 0; k < KEYS; k++)
		n += who[k] == name;
	return n;
}

static uint64_t before[KEYS], after[KEYS];

static void shares_are_near_the_ratios(void **state)
{
	static const size_t sizes[] = { 2, 3, 10, 100 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct farm f;
		unsigned sum = 0;

		make(&f, sizes[i]);
		for (size_t j = 0; j < f.n; j++)
			sum += f.s[j].ratio = j % 3 + 1;
		build(&f);
		owners(&f, before);
		for (size_t j = 0; j < f.n; j++) {
			double want = (double)KEYS * f.s[j].ratio / sum, got = owned(before, f.s[j].name);

			if (got < want * 0.8 - 30 || got > want * 1.2 + 30)
				fail_msg("%zu servers: %.0f keys, %.0f expected", f.n, got, want);
		}
		drop(&f);
	}
}

static void order_means_nothing(void **state)
{
	struct farm f;

	(void)state;
	make(&f, 100);
	owners(&f, before);
	for (size_t i = f.n - 1; i > 0; i--) {
		size_t j = lb_hash_mix(i) % (i + 1);
		struct lb_hash_server s = f.s[i];

		f.s[i] = f.s[j];
		f.s[j] = s;
	}
	build(&f);
	assert_int_equal(moved(&f, before), 0);
	drop(&f);
}

static void added_server_takes_its_share_and_moves_no_other_key(void **state)
{
	struct farm f;
	unsigned n;

	(void)state;
	make(&f, 50);
	owners(&f, before);
	f.s[f.n] = (struct lb_hash_server){ lb_hash_mix(777), 777, 1 };
	f.n++;
	build(&f);
	owners(&f, after);
	n = moved(&f, before);
	assert_int_equal(n, owned(after, f.s[50].name)); /* whoever moved, moved to it */
	assert_in_range(n, KEYS / 51 * 7 / 10, KEYS / 51 * 13 / 10);
	drop(&f);
}

static void removed_down_and_full_are_the_same_and_move_their_own_keys_only(void **state)
{
	struct farm f;
	unsigned n;

	(void)state;
	make(&f, 50);
	owners(&f, before);
	f.down[7] = true;
	owners(&f, after);
	n = moved(&f, before);
	assert_int_equal(n, owned(before, f.s[7].name));
	/* To many: nobody else is flooded. */
	for (size_t i = 0; i < f.n; i++)
		assert_true(owned(after, f.s[i].name) < owned(before, f.s[i].name) + n / 4);
	f.down[7] = false;
	f.s[7] = f.s[--f.n];
	build(&f);
	assert_int_equal(moved(&f, after), 0);
	drop(&f);
}

static void nobody_is_found_where_nobody_may(void **state)
{
	struct farm f;

	(void)state;
	make(&f, 0);
	assert_int_equal(owner(&f, 1), 0);
	drop(&f);
	make(&f, 5);
	for (int i = 0; i < 5; i++)
		f.down[i] = true;
	assert_int_equal(owner(&f, 1), 0);
	f.down[3] = false;
	for (unsigned k = 0; k < 100; k++)
		assert_int_equal(owner(&f, k), f.s[3].name);
	drop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_near_the_ratios),
		cmocka_unit_test(order_means_nothing),
		cmocka_unit_test(added_server_takes_its_share_and_moves_no_other_key),
		cmocka_unit_test(removed_down_and_full_are_the_same_and_move_their_own_keys_only),
		cmocka_unit_test(nobody_is_found_where_nobody_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
