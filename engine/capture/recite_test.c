#include "base/test.h"

#include "base/ip.h"
#include "engine/capture/recite.h"

struct said {
	struct excerpt_record r;
	char id[EXCERPT_ID_MAX + EXCERPT_SNAP];
};

static struct excerpt_end end_of(const char *ip, uint16_t port)
{
	struct excerpt_end e = { .port = port };
	struct in6_addr a;

	assert_int_equal(ip_parse(ip, &a), 0);
	memcpy(e.addr, &a, sizeof(e.addr));
	return e;
}

static struct said said(const char *from, const char *to, uint16_t port, enum excerpt_what what, bool out, const char *text)
{
	struct said s = { .r = { .at_ns = 7, .flow = 99, .worker = 1, .what = (uint8_t)what, .out = out, .id_len = 2,
				 .len = (uint16_t)strlen(text), .wire = (uint32_t)strlen(text) + 1000 } };

	s.r.from = s.r.client = end_of(from, 40000);
	s.r.to = end_of(to, port);
	memcpy(s.id, "r1", 2);
	memcpy(s.id + 2, text, strlen(text));
	return s;
}

static uint32_t get(const uint8_t *p, size_t n)
{
	uint32_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

static unsigned sum(const uint8_t *p, size_t n)
{
	uint32_t s = 0;

	for (size_t i = 0; i < n; i += 2)
		s += get(p + i, 2);
	return ((s >> 16) + (s & 0xffff)) & 0xffff;
}

/* Of IPv4: all of it sums up to nothing. */
static void pseudo_right(const uint8_t *frame, size_t len)
{
	uint8_t all[RECITE_BYTES + 12] = { 0 };

	memcpy(all, frame + 26, 8);
	all[9] = 6;
	all[10] = (uint8_t)((len - 34) >> 8);
	all[11] = (uint8_t)(len - 34);
	memcpy(all + 12, frame + 34, len - 34);
	assert_int_equal(sum(all, (12 + len - 34 + 1) & ~1ul), 0xffff);
}

static void messages_are_cut_packets_of_one_conversation(void **state)
{
	struct said asked = said("192.0.2.7", "198.51.100.1", 443, EXCERPT_REQUEST, false, "GET /"),
		    told = said("192.0.2.7", "198.51.100.1", 443, EXCERPT_ANSWER, true, "HTTP/1.1 200");
	struct recital *r = recital_new();
	uint8_t one[RECITE_BYTES], two[RECITE_BYTES], three[RECITE_BYTES];
	struct packets_frame f;

	(void)state;
	asked.r.nth = 4;
	recital_frame(r, &asked.r, &f, one);
	assert_true(f.len == 14 + 40 + 5 && f.wire_len == f.len + 1000 && f.flow == 99 && f.worker == 1);
	assert_int_equal(f.flags, PACKETS_PLAIN | PACKETS_PEER | PACKETS_OLDER);
	assert_memory_equal(one + 54, "GET /", 5);
	assert_int_equal(sum(one + 14, 20), 0xffff);
	assert_int_equal(get(one + 16, 2), 40 + 1005);
	assert_true(get(one + 26, 4) == 0xc0000207 && get(one + 30, 4) == 0xc6336401);
	assert_true(get(one + 34, 2) == 40000 && get(one + 36, 2) == 80);
	recital_frame(r, &told.r, &f, two);
	assert_int_equal(f.flags, PACKETS_PLAIN | PACKETS_PEER | PACKETS_OUT);
	assert_true(get(two + 34, 2) == 80 && get(two + 36, 2) == 40000);
	assert_memory_equal(one, two + 6, 6);
	/* What is there as a whole has its checksum. */
	assert_int_equal(get(one + 50, 2), 0);
	told.r.wire = told.r.len;
	recital_free(r);
	r = recital_new();
	asked.r.wire = asked.r.len; /* an odd number */
	recital_frame(r, &asked.r, &f, three);
	pseudo_right(three, f.len);
	recital_free(r);
	r = recital_new();
	asked.r.wire = asked.r.len + 1000U;
	recital_frame(r, &asked.r, &f, one);
	recital_frame(r, &told.r, &f, two);
	pseudo_right(two, f.len);
	/* Each goes on where the other one is. */
	assert_int_equal(get(two + 42, 4), get(one + 38, 4) + 1005);
	asked.r.nth = 5;
	recital_frame(r, &asked.r, &f, three);
	assert_int_equal(f.flags, PACKETS_PLAIN | PACKETS_PEER);
	assert_int_equal(get(three + 38, 4), get(two + 42, 4));
	assert_int_equal(get(three + 42, 4), get(two + 38, 4) + told.r.wire);
	recital_free(r);
}

static void a_server_s_leg_is_one_for_all_clients(void **state)
{
	struct said asked = said("fd00::1", "fd00::2", 80, EXCERPT_REQUEST, true, "GET /"), other = asked;
	struct recital *r = recital_new();
	uint8_t one[RECITE_BYTES], two[RECITE_BYTES];
	struct packets_frame f;
	struct packets_note n;

	(void)state;
	asked.r.leg = other.r.leg = PACKETS_SERVER_LEG;
	other.r.flow = 100;
	other.r.nth = 1;
	recital_frame(r, &asked.r, &f, one);
	assert_true(f.len == 14 + 60 + 5 && get(one + 12, 2) == 0x86dd && get(one + 18, 2) == 20 + 1005);
	assert_int_equal(get(one + 54 + 2, 2), 8080);
	recital_frame(r, &other.r, &f, two);
	assert_int_equal(get(two + 54 + 4, 4), get(one + 54 + 4, 4) + 1005);
	assert_int_equal(f.flags & PACKETS_OLDER, 0);
	/* Which request is where: its end is the client's. */
	assert_true(recital_note(&asked.r, &n) && n.port == 40000 && n.server_port == 80 && n.what == NOTE_THERE);
	assert_string_equal(n.request, "r1");
	asked.r.what = EXCERPT_ANSWER;
	assert_false(recital_note(&asked.r, &n));
	asked.r.leg = PACKETS_CLIENT_LEG;
	asked.id[0] = '\n';
	assert_true(recital_note(&asked.r, &n) && n.what == NOTE_OVER);
	assert_string_equal(n.request, "?1");
	asked.r.what = EXCERPT_STREAM;
	assert_false(recital_note(&asked.r, &n));
	recital_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_cut_packets_of_one_conversation),
		cmocka_unit_test(a_server_s_leg_is_one_for_all_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
