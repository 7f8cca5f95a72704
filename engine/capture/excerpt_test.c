#include "base/test.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/capture/excerpt.h"

#define BYTES (16u << 20)

/* A message whose text says when it was. */
static void say(const struct excerpt *g, unsigned place, uint32_t service, unsigned worker, uint64_t at)
{
	struct excerpt_record r = { .at_ns = at, .service = service, .worker = (uint16_t)worker, .id_len = (uint8_t)(at % 33),
				 .len = (uint16_t)(at * 37 % EXCERPT_SNAP) };
	char text[EXCERPT_SNAP], id[EXCERPT_ID_MAX];

	memset(text, (int)at, sizeof(text));
	memset(id, 'a' + (int)(at % 26), sizeof(id));
	r.wire = r.len + 5u;
	excerpt_put(g, place, &r, id, text);
}

static void is_whole(const struct excerpt_record *r)
{
	assert_true(r->len == r->at_ns * 37 % EXCERPT_SNAP && r->id_len == r->at_ns % 33);
	for (unsigned i = 0; i < r->len; i++)
		assert_int_equal((uint8_t)excerpt_text(r)[i], (uint8_t)r->at_ns);
	for (unsigned i = 0; i < r->id_len; i++)
		assert_int_equal(excerpt_id(r)[i], 'a' + (int)(r->at_ns % 26));
}

static struct excerpt_past read_all(const struct excerpt *g, uint32_t service)
{
	struct excerpt_past past;
	struct excerpt_view v;

	assert_true(excerpt_view(g, service, &v));
	excerpt_read(&v, 0, UINT64_MAX, &past);
	for (size_t i = 0; i < past.n; i++)
		is_whole(past.at[i]);
	return past;
}

static void the_newest_are_there_in_the_order_of_time(void **state)
{
	struct excerpt_past past;
	struct excerpt_view v;
	struct excerpt g;
	unsigned place;

	(void)state;
	assert_int_equal(excerpt_new(&g, 2, BYTES), 0);
	assert_false(excerpt_view(&g, 7, &v));
	place = excerpt_give(&g, 7);
	assert_int_equal(place, 1);
	assert_int_equal(excerpt_give(&g, 7), place);
	for (uint64_t at = 1; at <= 100; at++)
		say(&g, place - 1, 7, at % 2, at);
	past = read_all(&g, 7);
	assert_int_equal(past.n, 100);
	for (size_t i = 0; i < past.n; i++)
		assert_int_equal(past.at[i]->at_ns, i + 1);
	/* Nothing was pushed out: all is there since it is the service's. */
	assert_true(past.whole_ns > 100);
	excerpt_past_fini(&past);
	assert_true(excerpt_view(&g, 7, &v));
	excerpt_read(&v, 10, 20, &past);
	assert_true(past.n == 10 && past.at[0]->at_ns == 10);
	excerpt_past_fini(&past);
	/* Around several times: the rest of what was is as long as the ring. */
	v.born_ns = 0;
	for (uint64_t at = 101; at <= 200000; at++)
		say(&g, place - 1, 7, 0, at);
	excerpt_read(&v, 0, UINT64_MAX, &past);
	assert_true(past.n > 20000 && past.at[past.n - 1]->at_ns == 200000);
	assert_true(past.at[0]->at_ns == 1 && past.whole_ns > 150000); /* of the other worker there is all */
	assert_int_equal(past.at[50]->at_ns, past.whole_ns);
	excerpt_past_fini(&past);
	excerpt_fini(&g);
}

static void a_service_takes_no_room_of_another(void **state)
{
	struct excerpt_past past;
	struct excerpt g;
	unsigned first, other;

	(void)state;
	assert_int_equal(excerpt_new(&g, 1, BYTES), 0);
	first = excerpt_give(&g, 1);
	for (uint64_t at = 1; at <= 100000; at++)
		say(&g, first - 1, 1, 0, at);
	past = read_all(&g, 1);
	size_t whole = past.n;

	excerpt_past_fini(&past);
	/* Rings become half as long, and keep what is newest. */
	other = excerpt_give(&g, 2);
	assert_true(other && other != first);
	past = read_all(&g, 1);
	assert_true(past.n > whole / 2 - 100 && past.n < whole / 2 + 100);
	for (size_t i = 0; i < past.n; i++)
		assert_int_equal(past.at[i]->at_ns, 100000 - past.n + 1 + i);
	assert_true(past.whole_ns >= past.at[0]->at_ns);
	excerpt_past_fini(&past);
	say(&g, first - 1, 1, 0, 100001);
	for (uint64_t at = 1; at <= 300000; at++)
		say(&g, other - 1, 2, 0, at);
	past = read_all(&g, 1);
	assert_true(past.n > whole / 2 - 100 && past.at[past.n - 1]->at_ns == 100001);
	excerpt_past_fini(&past);
	/* Down to the last place. */
	for (uint32_t service = 3; service <= EXCERPT_PLACES; service++)
		assert_true(excerpt_give(&g, service));
	assert_int_equal(excerpt_give(&g, EXCERPT_PLACES + 1), 0);
	past = read_all(&g, 1);
	assert_true(past.n > 5 && past.at[past.n - 1]->at_ns == 100001);
	excerpt_past_fini(&past);
	excerpt_fini(&g);
}

static void what_is_taken_back_is_gone(void **state)
{
	struct excerpt_past past;
	struct excerpt_view v;
	struct excerpt g;
	unsigned place;

	(void)state;
	assert_int_equal(excerpt_new(&g, 1, BYTES), 0);
	place = excerpt_give(&g, 1);
	say(&g, place - 1, 1, 0, 3);
	assert_non_null(memmem(g.mem, g.room, "\3\3\3\3\3\3\3\3\3\3\3\3", 12));
	excerpt_take_back(&g, 1);
	assert_false(excerpt_view(&g, 1, &v));
	assert_null(memmem(g.mem, g.room, "\3\3\3\3\3\3\3\3\3\3\3\3", 12));
	/* Who is late writes nothing, and who comes next finds nothing. */
	say(&g, place - 1, 1, 0, 3);
	assert_null(memmem(g.mem, g.room, "\3\3\3\3\3\3\3\3\3\3\3\3", 12));
	assert_int_equal(excerpt_give(&g, 1), place);
	past = read_all(&g, 1);
	assert_int_equal(past.n, 0);
	excerpt_past_fini(&past);
	say(&g, place - 1, 1, 0, 4);
	say(&g, place - 1, 9, 0, 5); /* meant for another */
	past = read_all(&g, 1);
	assert_int_equal(past.n, 1);
	excerpt_past_fini(&past);
	excerpt_fini(&g);
	/* None is kept. */
	assert_int_equal(excerpt_new(&g, 1, 0), 0);
	assert_int_equal(excerpt_give(&g, 1), 0);
	excerpt_take_back(&g, 1);
	excerpt_fini(&g);
}

static void who_reads_believes_nothing(void **state)
{
	uint64_t seed = 88172645463325252ULL;
	struct excerpt_past past;
	struct excerpt_view v;
	struct excerpt g;
	unsigned place;

	(void)state;
	assert_int_equal(excerpt_new(&g, 2, 2u << 20), 0);
	place = excerpt_give(&g, 1);
	assert_true(excerpt_view(&g, 1, &v));
	for (unsigned round = 0; round < 600; round++) {
		if (round % 50 == 0)
			for (uint64_t at = 1; at < 2000; at++)
				say(&g, place - 1, 1, at % 2, at);
		for (unsigned i = 0; i < 40; i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			/* The heads of both rings, and the beginning of what is in them. */
			g.mem[(seed >> 20) % 2 * (4096 + g.room) + (round % 3 ? 4096 + seed % 4096 : seed % 128)] = (uint8_t)(seed >> 40);
		}
		excerpt_read(&v, 0, UINT64_MAX, &past);
		for (size_t i = 0; i < past.n; i++)
			assert_true(past.at[i]->len <= EXCERPT_SNAP && past.at[i]->id_len <= EXCERPT_ID_MAX && past.at[i]->leg <= 1);
		excerpt_past_fini(&past);
	}
	/* Nor does who writes lose his way. */
	for (uint64_t at = 1; at < 2000; at++)
		say(&g, place - 1, 1, at % 2, at);
	excerpt_fini(&g);
}

static void what_is_read_while_it_is_written_is_whole(void **state)
{
	struct excerpt_past past;
	unsigned place, seen = 0;
	struct excerpt g;
	pid_t writer;

	(void)state;
	assert_int_equal(excerpt_new(&g, 1, 1u << 20), 0);
	place = excerpt_give(&g, 1);
	writer = fork();
	if (writer == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever becomes of the test, it does not write for ever */
		for (uint64_t at = 1;; at++)
			say(&g, place - 1, 1, 0, at);
	}
	while (seen < 20) {
		past = read_all(&g, 1);
		seen += past.n > 0;
		for (size_t i = 1; i < past.n; i++)
			assert_int_equal(past.at[i]->at_ns, past.at[0]->at_ns + i);
		excerpt_past_fini(&past);
	}
	/* In the middle of a word it is stopped, or not: what it held is gone either way. */
	excerpt_take_back(&g, 1);
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	excerpt_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_are_there_in_the_order_of_time),
		cmocka_unit_test(a_service_takes_no_room_of_another),
		cmocka_unit_test(what_is_taken_back_is_gone),
		cmocka_unit_test(who_reads_believes_nothing),
		cmocka_unit_test(what_is_read_while_it_is_written_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
