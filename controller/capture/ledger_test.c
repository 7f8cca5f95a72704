#include "base/test.h"

#include "controller/capture/ledger.h"

/* 10.0.0.1 to 10.0.0.2, with or without a byte of payload. */
static struct packets_frame frame(uint8_t data[static 60], unsigned leg, bool out, unsigned sport, unsigned dport, bool payload)
{
	memset(data, 0, 60);
	data[12] = 8;
	data[14] = 0x45;
	data[17] = (uint8_t)(40 + payload);
	data[23] = 6;
	memcpy(data + 26, "\x0a\0\0\1\x0a\0\0\2", 8);
	data[34] = (uint8_t)(sport >> 8);
	data[35] = (uint8_t)sport;
	data[36] = (uint8_t)(dport >> 8);
	data[37] = (uint8_t)dport;
	data[46] = 0x50;
	return (struct packets_frame){ .flow = 7, .leg = (uint8_t)leg, .flags = out ? PACKETS_OUT : 0, .len = 60, .wire_len = 60, .data = data };
}

static const uint8_t server[16] = { [10] = 0xff, 0xff, 10, 0, 0, 2 };

static void note(struct ledger *l, uint64_t at, unsigned leg, bool over, unsigned port, unsigned flags, unsigned retry, const char *id)
{
	struct packets_note n = { .at_ns = at, .flow = 7, .leg = (uint8_t)leg, .what = over ? NOTE_OVER : NOTE_THERE, .flags = (uint8_t)flags, .port = (uint16_t)port,
				  .retry = (uint16_t)retry, .server_port = leg == PACKETS_SERVER_LEG ? 443 : 0 };

	if (leg == PACKETS_SERVER_LEG)
		memcpy(n.server, server, 16);
	memcpy(n.request, id, strnlen(id, PACKETS_REQUEST_MAX));
	ledger_note(l, 0, &n);
}

static const char *client_leg(struct ledger *l, uint64_t at, bool out, bool payload)
{
	static char text[LEDGER_TEXT];
	uint8_t data[60];
	struct packets_frame f = out ? frame(data, PACKETS_CLIENT_LEG, true, 443, 5000, payload)
				     : frame(data, PACKETS_CLIENT_LEG, false, 5000, 443, payload);

	ledger_say(l, 0, &f, at, text);
	return text;
}

static const char *server_leg(struct ledger *l, uint64_t at, bool out, unsigned port)
{
	static char text[LEDGER_TEXT];
	uint8_t data[60];
	struct packets_frame f = out ? frame(data, PACKETS_SERVER_LEG, true, port, 443, true) : frame(data, PACKETS_SERVER_LEG, false, 443, port, true);

	/* The server is the other end. */
	if (!out)
		memcpy(data + 26, "\x0a\0\0\2\x0a\0\0\1", 8);
	ledger_say(l, 0, &f, at, text);
	return text;
}

static void a_packet_belongs_to_its_request(void **state)
{
	struct ledger *l = ledger_new();

	(void)state;
	assert_string_equal(client_leg(l, 50, false, true), "");
	note(l, 100, PACKETS_CLIENT_LEG, false, 5000, 0, 0, "one");
	note(l, 110, PACKETS_SERVER_LEG, false, 6000, 0, 0, "one");
	note(l, 120, PACKETS_SERVER_LEG, false, 6001, 0, 1, "one");
	note(l, 125, PACKETS_SERVER_LEG, false, 6001, 0, 1, "one");
	note(l, 200, PACKETS_CLIENT_LEG, true, 5000, 0, 0, "one");
	note(l, 300, PACKETS_CLIENT_LEG, false, 5000, 0, 0, "two");
	note(l, 310, PACKETS_SERVER_LEG, false, 6001, 0, 0, "two");
	note(l, 400, PACKETS_CLIENT_LEG, true, 5000, 0, 0, "two");
	/* What opens it is there before it is known as one; what acknowledges it comes after it is over. */
	assert_string_equal(client_leg(l, 90, false, true), ", request one, server 10.0.0.2 port 443, retry 1");
	assert_string_equal(client_leg(l, 150, true, true), ", request one, server 10.0.0.2 port 443, retry 1");
	assert_string_equal(client_leg(l, 210, false, false), ", request one, server 10.0.0.2 port 443, retry 1");
	assert_string_equal(client_leg(l, 299, false, true), ", request two, server 10.0.0.2 port 443, retry 0");
	assert_string_equal(client_leg(l, 999, true, true), ", request two, server 10.0.0.2 port 443, retry 0");
	assert_string_equal(server_leg(l, 105, true, 6000), ", request one, retry 0");
	assert_string_equal(server_leg(l, 250, false, 6001), ", request one, retry 1");
	assert_string_equal(server_leg(l, 315, true, 6001), ", request two, retry 0");
	assert_string_equal(server_leg(l, 315, true, 6002), "");
	ledger_free(l);
}

static void several_are_under_way_at_once(void **state)
{
	struct ledger *l = ledger_new();

	(void)state;
	note(l, 100, PACKETS_CLIENT_LEG, false, 5000, 0, 0, "one");
	note(l, 110, PACKETS_CLIENT_LEG, false, 5000, 0, 0, "two");
	note(l, 150, PACKETS_CLIENT_LEG, true, 5000, 0, 0, "one");
	assert_string_equal(client_leg(l, 120, true, true), ", request one, request two");
	assert_string_equal(client_leg(l, 160, true, true), ", request two");
	ledger_free(l);
}

/* HTTP/2: what brings requests is there before they are known, while others are under way. */
static void a_packet_brings_requests_to_others(void **state)
{
	const uint64_t ms = NS_PER_MS;
	struct ledger *l = ledger_new();

	(void)state;
	note(l, 100 * ms, PACKETS_CLIENT_LEG, false, 5000, 0, 0, "one");
	note(l, 110 * ms, PACKETS_CLIENT_LEG, false, 5000, 0, 0, "two");
	note(l, 110 * ms, PACKETS_CLIENT_LEG, false, 5000, 0, 0, "three");
	note(l, 120 * ms, PACKETS_CLIENT_LEG, false, 5000, 0, 0, "four");
	note(l, 150 * ms, PACKETS_CLIENT_LEG, true, 5000, 0, 0, "one");
	note(l, 160 * ms, PACKETS_CLIENT_LEG, true, 5000, 0, 0, "two");
	note(l, 160 * ms, PACKETS_CLIENT_LEG, true, 5000, 0, 0, "three");
	note(l, 900 * ms, PACKETS_CLIENT_LEG, true, 5000, 0, 0, "four");
	note(l, 800 * ms, PACKETS_CLIENT_LEG, false, 5000, 0, 0, "five");
	assert_string_equal(client_leg(l, 99 * ms, false, true), ", request one");
	assert_string_equal(client_leg(l, 109 * ms, false, true), ", request one, request two, request three");
	assert_string_equal(client_leg(l, 109 * ms, false, false), ", request one");
	assert_string_equal(client_leg(l, 109 * ms, true, true), ", request one");
	assert_string_equal(client_leg(l, 119 * ms, false, true), ", request one, request two, request three, request four");
	/* Nothing that came so long ago is read so late. */
	assert_string_equal(client_leg(l, 500 * ms, false, true), ", request four");
	ledger_free(l);
}

/* HTTP/1: a body's packets are not the next request's, however soon that comes. */
static void one_after_the_other_is_not_at_once(void **state)
{
	struct ledger *l = ledger_new();

	(void)state;
	note(l, 100, PACKETS_CLIENT_LEG, false, 5000, 0, 0, "one");
	note(l, 150, PACKETS_CLIENT_LEG, true, 5000, 0, 0, "one");
	note(l, 160, PACKETS_CLIENT_LEG, false, 5000, 0, 0, "two");
	assert_string_equal(client_leg(l, 149, false, true), ", request one");
	assert_string_equal(client_leg(l, 151, false, true), ", request two");
	assert_string_equal(client_leg(l, 151, false, false), ", request one");
	ledger_free(l);
}

/* From the client, LEN bytes with the sequence number SEQ; a SYN when there are none. */
static const char *bytes(struct ledger *l, uint64_t at, unsigned flags, uint32_t seq, unsigned len)
{
	static char text[LEDGER_TEXT];
	uint8_t data[60];
	struct packets_frame f = frame(data, PACKETS_CLIENT_LEG, false, 5000, 443, false);

	f.flags = (uint8_t)flags;
	data[16] = (uint8_t)((40 + len) >> 8);
	data[17] = (uint8_t)(40 + len);
	for (unsigned i = 0; i < 4; i++)
		data[38 + i] = (uint8_t)(seq >> (24 - 8 * i));
	data[47] = len ? 0x10 : 0x02;
	ledger_say(l, 0, &f, at, text);
	return text;
}

static void note_of_spans(struct ledger *l, uint64_t at, const char *id, enum note_what what, uint32_t from, uint32_t to,
			  uint32_t plain_from, uint32_t plain_to)
{
	struct packets_note n = { .at_ns = at, .flow = 7, .leg = PACKETS_CLIENT_LEG, .port = 5000, .what = (uint8_t)what,
				  .span = { { from, to }, { plain_from, plain_to } } };

	memcpy(n.request, id, strnlen(id, PACKETS_REQUEST_MAX));
	ledger_note(l, 0, &n);
}

static void note_of_bytes(struct ledger *l, uint64_t at, const char *id, uint32_t from, uint32_t to, uint32_t plain_from, uint32_t plain_to)
{
	note_of_spans(l, at, id, NOTE_THERE, from, to, plain_from, plain_to);
}

/* Packets may wait in the kernel while the ones before them are read: which was read when, only their bytes tell. */
static void bytes_tell_what_a_packet_brought(void **state)
{
	struct ledger *l = ledger_new();
	const uint32_t first = UINT32_MAX - 249; /* the numbers go round behind the second packet */

	(void)state;
	note_of_bytes(l, 300, "one", 0, 200, 0, 60);
	note_of_bytes(l, 301, "two", 0, 200, 0, 60);
	note_of_bytes(l, 400, "three", 200, 400, 60, 120);
	note_of_bytes(l, 900, "four", 600, 700, 120, 150);
	assert_string_equal(bytes(l, 100, 0, first - 1, 0), ", request one");
	/* All three are there before anybody read. */
	assert_string_equal(bytes(l, 200, 0, first, 100), ", request one, request two");
	assert_string_equal(bytes(l, 201, 0, first + 100, 100), ", request one, request two");
	assert_string_equal(bytes(l, 202, 0, first + 200, 200), ", request three");
	/* What waits while others are under way, and what belongs to those. */
	assert_string_equal(bytes(l, 350, 0, first + 200, 200), ", request one, request two, request three");
	assert_string_equal(bytes(l, 500, 0, first + 400, 200), ", request one, request two, request three");
	/* One that was read before a stamp says so is not there before its bytes are. */
	assert_string_equal(bytes(l, 950, 0, first + 400, 200), ", request one, request two, request three");
	/* One packet may be read in two parts. */
	assert_string_equal(bytes(l, 350, 0, first + 100, 200), ", request one, request two, request three");
	ledger_free(l);
}

static void plaintext_has_bytes_of_its_own(void **state)
{
	struct ledger *l = ledger_new();

	(void)state;
	note_of_bytes(l, 300, "one", 0, 200, 0, 60);
	note_of_bytes(l, 400, "two", 200, 400, 60, 120);
	bytes(l, 100, 0, 999, 0);
	bytes(l, 110, PACKETS_PLAIN, 4999, 0);
	assert_string_equal(bytes(l, 200, PACKETS_PLAIN, 5000 + 60, 60), ", request two");
	assert_string_equal(bytes(l, 200, PACKETS_PLAIN, 5000, 60), ", request one");
	assert_string_equal(bytes(l, 200, 0, 1000 + 199, 1), ", request one");
	assert_string_equal(bytes(l, 200, 0, 1000 + 200, 1), ", request two");
	ledger_free(l);
}

/* Where answers share a connection, time does not tell whose a packet is: it leaves when its request is over, and others are not. */
static void bytes_tell_whose_answer_it_is(void **state)
{
	static const char *const ids[] = { "one", "two", "three", "four", "five" };
	struct ledger *l = ledger_new();

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		note_of_bytes(l, 300, ids[i], 0, 200, 0, 60);
	note(l, 400, PACKETS_CLIENT_LEG, true, 5000, 0, 0, "one");
	note_of_spans(l, 410, "one", NOTE_ANSWERED, 0, 300, 0, 100);
	note_of_spans(l, 420, "two", NOTE_ANSWERED, 100, 400, 100, 200);
	note_of_spans(l, 430, "one", NOTE_ANSWERED, 2000, 3000, 1000, 2000);
	note_of_spans(l, 440, "stranger", NOTE_ANSWERED, 2000, 3000, 1000, 2000);
	bytes(l, 100, 0, 999, 0);
	bytes(l, 101, PACKETS_OUT, 4999, 0);
	bytes(l, 102, PACKETS_PLAIN, 6999, 0);
	bytes(l, 103, PACKETS_PLAIN | PACKETS_OUT, 8999, 0);
	/* What TLS adds is not known exactly: in between it may be either. */
	assert_string_equal(bytes(l, 500, PACKETS_OUT, 5000, 100), ", request one");
	assert_string_equal(bytes(l, 500, PACKETS_OUT, 5000, 200), ", request one, request two");
	assert_string_equal(bytes(l, 500, PACKETS_OUT, 5300, 100), ", request two");
	assert_string_equal(bytes(l, 500, PACKETS_OUT, 7000, 1000), ", request one");
	assert_string_equal(bytes(l, 500, PACKETS_OUT | PACKETS_PLAIN, 9000, 100), ", request one");
	assert_string_equal(bytes(l, 500, PACKETS_OUT | PACKETS_PLAIN, 9100, 100), ", request two");
	assert_string_equal(bytes(l, 500, PACKETS_OUT | PACKETS_PLAIN, 10000, 1), ", request one");
	/* Sent once more; and what is no answer. */
	assert_string_equal(bytes(l, 600, PACKETS_OUT, 5300, 100), ", request two");
	assert_string_equal(bytes(l, 600, PACKETS_OUT, 6000, 17), ", request three, request four, request five");
	ledger_free(l);
}

static void answers_that_are_remembered_are_bounded(void **state)
{
	struct ledger *l = ledger_new();
	char text[40];

	(void)state;
	note_of_bytes(l, 300, "one", 0, 200, 0, 0);
	note_of_bytes(l, 300, "two", 0, 200, 0, 0);
	bytes(l, 100, 0, 999, 0);
	bytes(l, 101, PACKETS_OUT, 4999, 0);
	for (uint32_t i = 0; i < 100000; i++)
		note_of_spans(l, 400, i % 2 ? "one" : "two", NOTE_ANSWERED, 10 * i, 10 * i + 10, 0, 0);
	for (uint32_t i = 99990; i < 100000; i++) {
		snprintf(text, sizeof(text), ", request %s", i % 2 ? "one" : "two");
		assert_string_equal(bytes(l, 500, PACKETS_OUT, 5000 + 10 * i, 10), text);
	}
	assert_string_equal(bytes(l, 500, PACKETS_OUT, 5000, 10), ", request one, request two");
	ledger_free(l);
}

/* A client may take its port again: the bytes of the connection before are not counted with those of this one. */
static void a_port_may_be_used_again(void **state)
{
	struct ledger *l = ledger_new();

	(void)state;
	note_of_bytes(l, 200, "old", 0, 5000, 0, 0);
	note(l, 900, PACKETS_CLIENT_LEG, true, 5000, 0, 0, "old");
	note_of_bytes(l, 1200, "new", 0, 100, 0, 0);
	note_of_bytes(l, 1300, "newer", 100, 200, 0, 0);
	bytes(l, 100, 0, 999, 0);
	assert_string_equal(bytes(l, 150, 0, 1000, 1000), ", request old");
	bytes(l, 1000, 0, 77776, 0);
	assert_string_equal(bytes(l, 1100, 0, 77777, 100), ", request new");
	assert_string_equal(bytes(l, 1100, 0, 77877, 100), ", request newer");
	ledger_free(l);
}

static void what_nobody_can_decrypt_is_said_once(void **state)
{
	struct ledger *l = ledger_new();

	(void)state;
	note(l, 100, PACKETS_CLIENT_LEG, false, 5000, NOTE_TLS | NOTE_RETOLD, 0, "");
	note(l, 100, PACKETS_SERVER_LEG, false, 6000, NOTE_TLS | NOTE_KEYED, 0, "");
	note(l, 100, PACKETS_SERVER_LEG, false, 6001, NOTE_TLS, 0, "");
	note(l, 100, PACKETS_SERVER_LEG, false, 6002, 0, 0, "");
	assert_string_equal(client_leg(l, 120, false, true), ", its TLS secrets are not in this file: its plaintext is");
	assert_string_equal(client_leg(l, 121, true, true), "");
	assert_string_equal(server_leg(l, 120, true, 6000), "");
	assert_string_equal(server_leg(l, 120, false, 6001), ", its TLS secrets are not in this file");
	assert_string_equal(server_leg(l, 121, true, 6001), "");
	assert_string_equal(server_leg(l, 120, true, 6002), "");
	ledger_free(l);
}

static void what_is_remembered_is_bounded(void **state)
{
	struct ledger *l = ledger_new();
	char id[20];

	(void)state;
	for (unsigned i = 0; i < 3 * LEDGER_REQUESTS; i++) {
		snprintf(id, sizeof(id), "r%u", i);
		note(l, 10 * i + 1, PACKETS_CLIENT_LEG, false, 5000, 0, 0, id);
		note(l, 10 * i + 9, PACKETS_CLIENT_LEG, true, 5000, 0, 0, id);
	}
	snprintf(id, sizeof(id), ", request r%u", 3 * LEDGER_REQUESTS - 5);
	assert_string_equal(client_leg(l, 10ull * (3 * LEDGER_REQUESTS - 5) + 5, true, true), id);
	ledger_free(l);
}

/* Notes are told long before packets are asked for: a busy connection has many requests by then. */
static void packets_may_come_much_later(void **state)
{
	struct ledger *l = ledger_new();
	char id[20], said[80];

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(id, sizeof(id), "r%u", i);
		note(l, 10 * i + 10, PACKETS_CLIENT_LEG, false, 5000, 0, 0, id);
		note(l, 10 * i + 12, PACKETS_SERVER_LEG, false, 6000, 0, 0, id);
		note(l, 10 * i + 18, PACKETS_CLIENT_LEG, true, 5000, 0, 0, id);
	}
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(said, sizeof(said), ", request r%u, server 10.0.0.2 port 443, retry 0", i);
		assert_string_equal(client_leg(l, 10 * i + 15, true, true), said);
		snprintf(said, sizeof(said), ", request r%u, retry 0", i);
		assert_string_equal(server_leg(l, 10 * i + 16, false, 6000), said);
	}
	ledger_free(l);
}

static void the_longest_words_have_room(void **state)
{
	struct ledger *l = ledger_new();
	char ids[4][PACKETS_REQUEST_MAX + 1];
	const char *said;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct packets_note n = { .at_ns = 110 + i, .flow = 7, .leg = PACKETS_SERVER_LEG, .port = 60000, .server_port = 65535,
					  .retry = 65535 };

		memset(ids[i], 'a' + (int)i, sizeof(ids[i]) - 1);
		ids[i][sizeof(ids[i]) - 1] = '\0';
		note(l, 100 + i, PACKETS_CLIENT_LEG, false, 5000, NOTE_TLS | NOTE_RETOLD, 0, ids[i]);
		memset(n.server, 0xaa, sizeof(n.server));
		memcpy(n.request, ids[i], sizeof(ids[i]));
		ledger_note(l, 0, &n);
	}
	said = client_leg(l, 150, true, true);
	assert_non_null(strstr(said, ids[3]));
	assert_non_null(strstr(said, ids[1]));
	assert_null(strstr(said, ids[0]));
	assert_string_equal(strstr(said, ", its"), ", its TLS secrets are not in this file: its plaintext is");
	ledger_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_packet_belongs_to_its_request),
		cmocka_unit_test(several_are_under_way_at_once),
		cmocka_unit_test(a_packet_brings_requests_to_others),
		cmocka_unit_test(one_after_the_other_is_not_at_once),
		cmocka_unit_test(bytes_tell_what_a_packet_brought),
		cmocka_unit_test(plaintext_has_bytes_of_its_own),
		cmocka_unit_test(bytes_tell_whose_answer_it_is),
		cmocka_unit_test(answers_that_are_remembered_are_bounded),
		cmocka_unit_test(a_port_may_be_used_again),
		cmocka_unit_test(what_nobody_can_decrypt_is_said_once),
		cmocka_unit_test(what_is_remembered_is_bounded),
		cmocka_unit_test(packets_may_come_much_later),
		cmocka_unit_test(the_longest_words_have_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
