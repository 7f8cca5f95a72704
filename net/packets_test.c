#include "base/test.h"

#include "net/packets.h"

#include <endian.h>

static void what_is_put_is_taken(void **state)
{
	struct buf b = BUF_INIT;
	const struct packets_frame in = { .at_ns = 1700000000123456789, .flow = 0xfeedfacecafebeef, .port = 3,
					  .wire_len = 1514, .worker = 2, .leg = PACKETS_SERVER_LEG, .flags = PACKETS_OUT | PACKETS_PEER,
					  .client = { 1, 2, 3 }, .client_port = 40000, .len = 5, .data = (const uint8_t *)"hello" };
	struct packets_item item;
	const uint8_t *p;
	size_t len;
	struct err e = { 0 };

	(void)state;
	packets_put_text(&b, PACKETS_PORT, 3, "front0");
	packets_put_frame(&b, &in);
	packets_put_text(&b, PACKETS_SECRET, 0, "CLIENT_RANDOM 00 11");
	p = (const uint8_t *)b.data;
	len = b.len;
	assert_int_equal(packets_take(&p, &len, &item, &e), 1);
	assert_int_equal(item.kind, PACKETS_PORT);
	assert_int_equal(item.said.number, 3);
	assert_string_equal(item.said.text, "front0");
	assert_int_equal(packets_take(&p, &len, &item, &e), 1);
	assert_int_equal(item.kind, PACKETS_FRAME);
	assert_true(item.frame.at_ns == in.at_ns && item.frame.flow == in.flow);
	assert_int_equal(item.frame.wire_len, 1514);
	assert_int_equal(item.frame.worker, 2);
	assert_int_equal(item.frame.client_port, 40000);
	assert_int_equal(item.frame.client[2], 3);
	assert_memory_equal(item.frame.data, "hello", 5);
	assert_int_equal(packets_take(&p, &len, &item, &e), 1);
	assert_string_equal(item.said.text, "CLIENT_RANDOM 00 11");
	assert_int_equal(packets_take(&p, &len, &item, &e), 0);
	buf_fini(&b);
}

/* Each byte of each item, changed; each beginning of it: refused with a sentence, or something else that is whole. */
static void nothing_broken_is_believed(void **state)
{
	struct buf b = BUF_INIT;
	struct packets_item item;
	uint8_t copy[256];
	size_t whole;

	(void)state;
	packets_put_frame(&b, &(struct packets_frame){ .wire_len = 60, .len = 4, .data = (const uint8_t *)"abcd" });
	packets_put_text(&b, PACKETS_PORT, 1, "eth0");
	whole = b.len;
	assert_true(whole <= sizeof(copy));
	for (size_t cut = 0; cut < whole; cut++) {
		const uint8_t *p = (const uint8_t *)b.data;
		size_t len = cut;
		struct err e = { 0 };
		int rc;

		while ((rc = packets_take(&p, &len, &item, &e)) == 1)
			;
		assert_true(rc == 0 || (rc == -EINVAL && e.text[0]));
	}
	for (size_t i = 0; i < whole; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			const uint8_t *p = copy;
			size_t len = whole;

			memcpy(copy, b.data, whole);
			copy[i] ^= (uint8_t)(1 << bit);
			while (packets_take(&p, &len, &item, NULL) == 1)
				if (item.kind == PACKETS_FRAME)
					assert_true(item.frame.data >= copy && item.frame.data + item.frame.len <= copy + whole);
		}
	buf_fini(&b);
}

static void names_are_one_line(void **state)
{
	struct buf b = BUF_INIT;
	struct packets_item item;
	struct err e = { 0 };
	const uint8_t *p;
	size_t len;

	(void)state;
	packets_put_text(&b, PACKETS_SECRET, 0, "one\ntwo");
	p = (const uint8_t *)b.data;
	len = b.len;
	assert_int_equal(packets_take(&p, &len, &item, &e), -EINVAL);
	buf_fini(&b);
}

static void notes_are_taken_as_put(void **state)
{
	struct buf b = BUF_INIT;
	const struct packets_note in = { .at_ns = 5, .flow = 6, .leg = PACKETS_SERVER_LEG, .what = NOTE_ANSWERED, .flags = NOTE_TLS, .retry = 2, .port = 3,
					 .server_port = 4, .server = { 1, 2 }, .span = { { 5, 6 }, { UINT32_MAX, 8 } },
					 .request = "an-id" };
	struct packets_item item;
	struct err e = { 0 };
	const uint8_t *p;
	size_t len;

	(void)state;
	packets_put_note(&b, &in);
	p = (const uint8_t *)b.data;
	len = b.len;
	assert_int_equal(packets_take(&p, &len, &item, &e), 1);
	assert_int_equal(item.kind, PACKETS_NOTE);
	assert_true(item.note.at_ns == 5 && item.note.flow == 6 && item.note.leg == PACKETS_SERVER_LEG && item.note.what == NOTE_ANSWERED &&
		    item.note.flags == NOTE_TLS && item.note.retry == 2 && item.note.port == 3 && item.note.server_port == 4 &&
		    memcmp(item.note.server, in.server, 16) == 0 && memcmp(item.note.span, in.span, sizeof(in.span)) == 0);
	assert_string_equal(item.note.request, "an-id");
	/* The leg, and a letter of the id. */
	for (unsigned at = 24; at <= 72; at += 48) {
		char was = b.data[at];

		b.data[at] = '\n';
		p = (const uint8_t *)b.data;
		len = b.len;
		assert_int_equal(packets_take(&p, &len, &item, &e), -EINVAL);
		b.data[at] = was;
	}
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_put_is_taken), cmocka_unit_test(nothing_broken_is_believed),
					    cmocka_unit_test(names_are_one_line), cmocka_unit_test(notes_are_taken_as_put) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
