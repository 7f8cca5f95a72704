#include "base/test.h"

#include "net/lines.h"

static void whole_lines_come_out_however_they_arrive(void **state)
{
	static const char text[] = "{\"type\":\"ping\",\"n\":1}\n\n\r\n{\"n\":2,\"type\":\"pong\"}\r\n{\"type\":\"late";

	(void)state;
	for (size_t piece = 1; piece < sizeof(text); piece++) {
		struct buf b = BUF_INIT;
		size_t scanned = 0;
		json_int_t seen = 0;

		for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
			json_t *msg;
			const char *type;
			int rc;

			buf_put(&b, text + at, MIN(piece, sizeof(text) - 1 - at));
			while ((rc = lines_take(&b, &scanned, &msg, &type, NULL)) == 1) {
				assert_string_equal(type, seen ? "pong" : "ping");
				assert_int_equal(json_int(msg, "n", 0), ++seen);
				json_decref(msg);
			}
			assert_int_equal(rc, 0);
		}
		assert_int_equal(seen, 2);
		assert_int_equal(b.len, strlen("{\"type\":\"late"));
		buf_fini(&b);
	}
}

static void what_is_no_message_is_refused_with_a_sentence(void **state)
{
	static const char *const bad[] = {
		"[]\n", "{}\n", "{\"type\":7}\n", "null\n", "{\"type\":\"a\"} x\n", "{\"type\":\"a\",\"type\":\"b\"}\n",
		"{\"type\":\"\xff\"}\n", "ping\n", "{\"type\":\"a\",\n", "\"type\"\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct buf b = BUF_INIT;
		size_t scanned = 0;
		const char *type;
		json_t *msg;
		struct err e = { 0 };

		buf_puts(&b, bad[i]);
		assert_int_equal(lines_take(&b, &scanned, &msg, &type, &e), -EINVAL);
		assert_true(e.text[0] != '\0');
		buf_fini(&b);
	}
}

static void a_line_has_a_greatest_length(void **state)
{
	struct buf b = BUF_INIT;
	size_t scanned = 0, n = LINE_MAX_BYTES;
	const char *type;
	json_t *msg;

	(void)state;
	buf_puts(&b, "{\"type\":\"x\",\"a\":\"");
	while (b.len < n - 2)
		buf_put(&b, "a", 1);
	buf_puts(&b, "\"}");
	assert_int_equal(lines_take(&b, &scanned, &msg, &type, NULL), 0);
	buf_puts(&b, "\n");
	assert_int_equal(lines_take(&b, &scanned, &msg, &type, NULL), 1);
	json_decref(msg);
	/* One more is refused before its newline comes. */
	while (b.len < n + 1)
		buf_put(&b, "a", 1);
	assert_int_equal(lines_take(&b, &scanned, &msg, &type, NULL), -EMSGSIZE);
	buf_fini(&b);
}

static void what_is_put_can_be_taken(void **state)
{
	struct buf b = BUF_INIT;
	size_t scanned = 0;
	const char *type;
	json_t *msg;

	(void)state;
	lines_put(&b, json_pack("{s:s, s:s}", "type", "event", "text", "two\nlines \"quoted\" \xc3\xa9"));
	assert_ptr_equal(memchr(b.data, '\n', b.len), b.data + b.len - 1);
	assert_int_equal(lines_take(&b, &scanned, &msg, &type, NULL), 1);
	assert_string_equal(json_str(msg, "text", ""), "two\nlines \"quoted\" \xc3\xa9");
	json_decref(msg);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_lines_come_out_however_they_arrive),
		cmocka_unit_test(what_is_no_message_is_refused_with_a_sentence),
		cmocka_unit_test(a_line_has_a_greatest_length),
		cmocka_unit_test(what_is_put_can_be_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
