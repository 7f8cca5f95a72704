#include "base/test.h"

#include "engine/clone/mask.h"

static const char *const some[] = { "cookie", "authorization", "set-cookie", "x", "x-y" };
static const struct mask_names names = { ARRAY_SIZE(some), some };

/* IN becomes OUT whatever the pieces are, and the head is BODY bytes shorter than IN. */
static void is(const char *in, const char *out, size_t body)
{
	size_t len = strlen(in);

	assert_int_equal(len, strlen(out));
	for (size_t piece = 1; piece <= len; piece++) {
		CLEANUP_FREE char *copy = xstrdup(in);
		size_t used = 0;
		struct mask m;

		mask_begin(&m);
		for (size_t at = 0; at < len && !m.done; at += piece)
			used += mask_run(&m, &names, copy + at, MIN(piece, len - at));
		assert_string_equal(copy, out);
		assert_int_equal(used, len - body);
		assert_int_equal(m.done, body || strcmp(in + len - 2, "\r\n") == 0);
	}
}

static void values_are_overwritten(void **state)
{
	(void)state;
	is("GET / HTTP/1.1\r\nHost: a\r\nCookie: s=1; t=2\r\nAccept: x\r\n\r\nCookie: body",
	   "GET / HTTP/1.1\r\nHost: a\r\nCookie: ********\r\nAccept: x\r\n\r\nCookie: body", 12);
	is("GET / HTTP/1.1\r\nAUTHORIZATION:\t Basic abc\r\nX: 1\r\nX-Y:2\r\nX-Yz: 3\r\nXX: 4\r\n\r\n",
	   "GET / HTTP/1.1\r\nAUTHORIZATION:\t *********\r\nX: *\r\nX-Y:*\r\nX-Yz: 3\r\nXX: 4\r\n\r\n", 0);
	/* The first line is no header, whatever it looks like. */
	is("Cookie: a\r\nCookie: a\r\n\r\n", "Cookie: a\r\nCookie: *\r\n\r\n", 0);
	is("GET / HTTP/1.1\r\nCookie:\r\nCookie: \r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nCookie:\r\nCookie: \r\nHost: a\r\n\r\n", 0);
}

static void what_is_not_legal_is_hidden_all_the_same(void **state)
{
	(void)state;
	is("GET / HTTP/1.1\nCookie: a b\n c\n\td\nHost: a\n e\n\nmore", "GET / HTTP/1.1\nCookie: ***\n *\n\t*\nHost: a\n e\n\nmore", 4);
	is("GET / HTTP/1.1\r\nCookie \t: abc\r\nCook ie: abc\r\n\r\n", "GET / HTTP/1.1\r\nCookie \t: ***\r\nCook ie: abc\r\n\r\n", 0);
	is("GET / HTTP/1.1\r\n\rCookie: abc\r\n\r\n", "GET / HTTP/1.1\r\n\rCookie: ***\r\n\r\n", 0);
	is("GET / HTTP/1.1\r\nCookie: abc", "GET / HTTP/1.1\r\nCookie: ***", 0);
	is("GET / HTTP/1.1\r\nCookie\r\nCookie: a: b\r\n\r\n", "GET / HTTP/1.1\r\nCookie\r\nCookie: ****\r\n\r\n", 0);
}

static void a_name_ends_where_it_ends(void **state)
{
	static const char head[] = "GET / HTTP/1.1\r\ncookie\0\0: abc\r\nCookie: abc\r\n\r\n";
	char copy[sizeof(head)];
	struct mask m;

	(void)state;
	memcpy(copy, head, sizeof(head));
	mask_begin(&m);
	assert_int_equal(mask_run(&m, &names, copy, sizeof(head) - 1), sizeof(head) - 1);
	assert_memory_equal(copy, "GET / HTTP/1.1\r\ncookie\0\0: abc\r\nCookie: ***\r\n\r\n", sizeof(head));
}

static void an_interim_answer_has_another_behind_it(void **state)
{
	(void)state;
	is("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nSet-Cookie: a\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: b\r\n\r\nSet-Cookie: c\r\n",
	   "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nSet-Cookie: *\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: *\r\n\r\nSet-Cookie: c\r\n", 15);
	is("HTTP/1.1 101 Switching Protocols\r\n\r\nX: 1\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\nX: 1\r\n", 6);
	is("HTTP/1.1 111 Odd\r\n\r\nHTTP/1.1 200 OK\r\nX: 1\r\n\r\nX: 1", "HTTP/1.1 111 Odd\r\n\r\nHTTP/1.1 200 OK\r\nX: *\r\n\r\nX: 1", 4);
}

static void trailers_are_headers(void **state)
{
	(void)state;
	/* Nothing that is in a chunk is looked at, whatever it looks like; sizes are, and what follows the last. */
	is("POST / HTTP/1.1\r\nCookie: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	   "1a;x=y\r\n0\r\nCookie: a\r\n\r\nX: 12\r\n\r\n\r\n3\r\nX:1\r\n0\r\nX-Y: abc\r\nOther: b\r\n\r\nX: 1",
	   "POST / HTTP/1.1\r\nCookie: *\r\nTransfer-Encoding: chunked\r\n\r\n"
	   "1a;x=y\r\n0\r\nCookie: a\r\n\r\nX: 12\r\n\r\n\r\n3\r\nX:1\r\n0\r\nX-Y: ***\r\nOther: b\r\n\r\nX: 1", 4);
	is("HTTP/1.1 200 OK\r\ntransfer-encoding:chunked\r\n\r\nA\r\n0123456789\r\n00;e\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n",
	   "HTTP/1.1 200 OK\r\ntransfer-encoding:chunked\r\n\r\nA\r\n0123456789\r\n00;e\r\nTransfer-Encoding: chunked\r\nX: *\r\n\r\n", 0);
	is("HTTP/1.1 200 OK\r\nTransfer-Encodings: a\r\nTransfer-Encodin: b\r\n\r\n0\r\nX: 1",
	   "HTTP/1.1 200 OK\r\nTransfer-Encodings: a\r\nTransfer-Encodin: b\r\n\r\n0\r\nX: 1", 7);
	is("HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\nX: 1\r\n\r\n0\r\nX: 1",
	   "HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\nX: *\r\n\r\n0\r\nX: 1", 7);
}

static void all_names_may_be_used(void **state)
{
	static char room[MASK_NAMES][8];
	const char *all[MASK_NAMES];
	struct mask_names many = { MASK_NAMES, all };
	char text[] = "GET / HTTP/1.1\r\nh31: abc\r\nh0: abc\r\nh32: abc\r\n\r\n";
	struct mask m;

	(void)state;
	for (size_t i = 0; i < MASK_NAMES; i++) {
		snprintf(room[i], sizeof(room[i]), "h%zu", i);
		all[i] = room[i];
	}
	mask_begin(&m);
	assert_int_equal(mask_run(&m, &many, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_string_equal(text, "GET / HTTP/1.1\r\nh31: ***\r\nh0: ***\r\nh32: abc\r\n\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_overwritten),
		cmocka_unit_test(what_is_not_legal_is_hidden_all_the_same),
		cmocka_unit_test(a_name_ends_where_it_ends),
		cmocka_unit_test(an_interim_answer_has_another_behind_it),
		cmocka_unit_test(trailers_are_headers),
		cmocka_unit_test(all_names_may_be_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
