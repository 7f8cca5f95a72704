#include "base/test.h"

#include <netinet/in.h>

#include "net/lookup.h"

struct heard {
	struct loop *loop;
	struct lookup_answer answer;
	int times;
};

static void hear(void *arg, const struct lookup_answer *answer)
{
	struct heard *h = arg;

	h->answer = *answer;
	h->times++;
	loop_stop(h->loop);
}

static void name_has_its_address_and_port(void **state)
{
	struct heard h = { .loop = loop_new() };

	(void)state;
	assert_non_null(lookup_start(h.loop, "localhost", "9444", hear, &h));
	assert_int_equal(h.times, 0); /* never from inside the call */
	assert_int_equal(loop_run(h.loop), 0);
	assert_null(h.answer.error);
	assert_true(h.answer.n > 0);
	assert_int_equal(((struct sockaddr_in *)&h.answer.address[0])->sin_port, htons(9444));
	loop_free(h.loop);
}

static void unknown_name_is_said_in_words(void **state)
{
	struct heard h = { .loop = loop_new() };

	(void)state;
	/* A name that no resolver may know (RFC 6761), and that is no legal name besides. */
	assert_non_null(lookup_start(h.loop, "no..such.invalid", "1", hear, &h));
	assert_int_equal(loop_run(h.loop), 0);
	assert_non_null(h.answer.error);
	assert_int_equal(h.answer.n, 0);
	loop_free(h.loop);
}

static struct heard *waiting;

static void waited(struct timer *t)
{
	(void)t;
	loop_stop(waiting->loop);
}

static void cancelled_is_silent(void **state)
{
	struct heard h = { .loop = loop_new() };
	struct timer wake = { 0 };

	(void)state;
	lookup_cancel(lookup_start(h.loop, "localhost", "1", hear, &h));
	waiting = &h;
	timer_in(h.loop, &wake, 20, waited);
	assert_int_equal(loop_run(h.loop), 0);
	assert_int_equal(h.times, 0);
	loop_free(h.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_has_its_address_and_port),
		cmocka_unit_test(unknown_name_is_said_in_words),
		cmocka_unit_test(cancelled_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
