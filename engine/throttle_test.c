#include "base/test.h"

#include "base/clock_test.h"
#include "engine/throttle.h"

#define READERS 5
#define MBPS    80

struct reader {
	struct throttled who;
	struct throttle *throttle;
	uint64_t bytes;
	bool waits;
};

static void go_on(struct throttled *who)
{
	CONTAINER_OF(who, struct reader, who)->waits = false;
}

static void read_some(struct reader *r)
{
	if (r->waits)
		return;
	r->waits = throttle_waits(r->throttle, &r->who);
	if (r->waits)
		return;
	r->bytes += throttle_share(r->throttle, 1u << 20);
	throttle_took(r->throttle, throttle_share(r->throttle, 1u << 20));
}

/* Two throttles are two workers that share one bucket; each has readers that always find something. */
static void all_together_get_what_is_allowed_and_each_his_share(void **state)
{
	struct loop *loop;
	struct rate bytes = { 0 };
	uint64_t waits[2] = { 0 }, begin, ns, sum = 0, least = UINT64_MAX, most = 0;
	struct throttle t[2];
	struct reader r[READERS] = { 0 };
	unsigned turns = 0;

	(void)state;
	clock_stop();
	loop = loop_new();
	for (unsigned i = 0; i < 2; i++) {
		throttle_init(&t[i], loop);
		throttle_set(&t[i], MBPS, &bytes, &waits[i]);
	}
	for (unsigned i = 0; i < READERS; i++) {
		list_init(&r[i].who.link);
		r[i].who.go_on = go_on;
		r[i].throttle = &t[i % 2];
	}
	begin = mono_ns();
	do {
		bool all_wait = true;

		for (unsigned i = 0; i < READERS; i++) {
			read_some(&r[i]);
			all_wait &= r[i].waits;
		}
		loop_turn(loop, 0);
		clock_move(all_wait ? NS_PER_MS : 10 * NS_PER_US);
		turns++;
		ns = mono_ns() - begin;
	} while (ns < 500 * NS_PER_MS);
	for (unsigned i = 0; i < READERS; i++) {
		sum += r[i].bytes;
		least = MIN(least, r[i].bytes);
		most = MAX(most, r[i].bytes);
	}
	print_message("measured: %.1f of %d Mbit/s in %u turns, shares from %llu to %llu bytes\n", (double)sum * 8000 / (double)ns, MBPS,
		      turns, (unsigned long long)least, (unsigned long long)most);
	/* What may be overdrawn, or was left, comes on top, once, and the last share of each. */
	assert_true((double)sum <= (double)ns * MBPS / 8000 * 1.01 + 120e6 * MBPS / 8000 + READERS * (double)t[0].share);
	assert_true(waits[0] && waits[1]);
	assert_true(least * 4 >= most);
	assert_true((double)sum >= (double)ns * MBPS / 8000 * 0.99);
	/* Nobody spins: the timer's grain is a millisecond. */
	assert_true(turns < 40 * (ns / NS_PER_MS));

	/* Off: whoever waits goes on. */
	for (unsigned i = 0; i < READERS; i++)
		while (!r[i].waits)
			read_some(&r[i]);
	for (unsigned i = 0; i < 2; i++) {
		throttle_set(&t[i], 0, &bytes, &waits[i]);
		assert_int_equal(throttle_share(&t[i], 1u << 20), 1u << 20);
		throttle_fini(&t[i]);
	}
	for (unsigned i = 0; i < READERS; i++)
		assert_false(r[i].waits);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_together_get_what_is_allowed_and_each_his_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
