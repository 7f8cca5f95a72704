#include "base/test.h"

#include "engine/capture/sieve.h"

#include "base/ip.h"
#include "base/ipset.h"
#include "base/json.h"
#include "model/structs.h"

/* A frame of TCP (PROTO 6) or UDP from A to B. */
static uint32_t frame(uint8_t *d, const char *a, const char *b, unsigned sport, unsigned dport, uint8_t proto, uint8_t flags)
{
	struct in6_addr from, to;
	size_t n;
	unsigned at;

	assert_int_equal(ip_parse(a, &from), 0);
	assert_int_equal(ip_parse(b, &to), 0);
	memset(d, 0, 128);
	if (ip_is_v4(&from)) {
		memcpy(d + 12, "\x08\x00\x45", 3);
		d[17] = 40;
		d[23] = proto;
		memcpy(d + 26, ip_bytes(&from, &n), 4);
		memcpy(d + 30, ip_bytes(&to, &n), 4);
		at = 34;
	} else {
		memcpy(d + 12, "\x86\xdd\x60", 3);
		d[20] = proto;
		memcpy(d + 22, &from, 16);
		memcpy(d + 38, &to, 16);
		at = 54;
	}
	d[at] = (uint8_t)(sport >> 8);
	d[at + 1] = (uint8_t)sport;
	d[at + 2] = (uint8_t)(dport >> 8);
	d[at + 3] = (uint8_t)dport;
	d[at + 12] = 5 << 4;
	d[at + 13] = flags;
	return at + 20;
}

static struct sieve *made(const char *want)
{
	CLEANUP_JSON json_t *v = json_loads(want, 0, NULL);
	struct arena arena = ARENA_INIT;
	struct ipset servers = { 0 };
	struct in6_addr ip;
	struct sieve *s = NULL;
	struct err e = { 0 };

	assert_non_null(v);
	ip_parse("10.0.0.5", &ip);
	ipset_add(&servers, &ip);
	ipset_seal(&servers);
	assert_int_equal(sieve_new(model_load(&capture_message, v, &arena), &servers, &s, &e), 0);
	ipset_fini(&servers);
	arena_fini(&arena);
	return s;
}

enum { CLIENT_LEG, SERVER_LEG, MONITOR };

/* Of a packet on LEG whose client is CLIENT. */
static bool passes(const char *want, int leg, const char *client, const char *from, const char *to, unsigned sport, unsigned dport,
		   uint8_t proto, uint8_t flags, bool out)
{
	uint8_t d[128];
	struct sieve *s = made(want);
	struct sieve_packet p = { .monitor = leg == MONITOR, .is_client_leg = leg == CLIENT_LEG, .out = out, .data = d };
	bool answer;

	p.len = p.wire_len = frame(d, from, to, sport, dport, proto, flags);
	if (client)
		ip_parse(client, &p.client);
	answer = sieve_passes(s, &p);
	sieve_free(s);
	return answer;
}

static void both_legs_go_by_the_client(void **state)
{
	static const char *const wants[] = {
		"{\"debug_ip\": {\"addrs\": [{\"addr\": \"192.0.2.7\", \"type\": \"V4\"}]}}",
		"{\"debug_ip\": {\"prefixes\": [{\"ip_addr\": {\"addr\": \"192.0.2.0\", \"type\": \"V4\"}, \"mask\": 24}]}}",
		"{\"debug_ip\": {\"ranges\": [{\"begin\": {\"addr\": \"192.0.2.1\", \"type\": \"V4\"}, \"end\": {\"addr\": \"192.0.2.9\", \"type\": \"V4\"}}]}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wants); i++) {
		assert_true(passes(wants[i], CLIENT_LEG, "192.0.2.7", "192.0.2.7", "10.0.0.1", 4000, 80, 6, 2, false));
		assert_true(passes(wants[i], CLIENT_LEG, "192.0.2.7", "10.0.0.1", "192.0.2.7", 80, 4000, 6, 0x12, true));
		assert_true(passes(wants[i], SERVER_LEG, "192.0.2.7", "10.0.0.2", "10.0.0.5", 5000, 80, 6, 2, true));
		assert_true(passes(wants[i], SERVER_LEG, "192.0.2.7", "10.0.0.5", "10.0.0.2", 80, 5000, 6, 2, false));
		assert_false(passes(wants[i], CLIENT_LEG, "198.51.100.1", "198.51.100.1", "10.0.0.1", 4000, 80, 6, 2, false));
		assert_false(passes(wants[i], SERVER_LEG, "198.51.100.1", "10.0.0.2", "10.0.0.5", 5000, 80, 6, 2, true));
	}
}

static void a_server_is_asked_of_its_own_leg(void **state)
{
	static const char want[] = "{\"debug_ip\": {\"addrs\": [{\"addr\": \"10.0.0.5\", \"type\": \"V4\"}]}}";
	static const char others[] = "{\"debug_ip\": {\"addrs\": [{\"addr\": \"10.0.0.5\", \"type\": \"V4\"}], \"match_operation\": \"IS_NOT_IN\"}}";

	(void)state;
	assert_true(passes(want, SERVER_LEG, "192.0.2.7", "10.0.0.2", "10.0.0.5", 5000, 80, 6, 2, true));
	assert_true(passes(want, SERVER_LEG, "192.0.2.7", "10.0.0.5", "10.0.0.2", 80, 5000, 6, 2, false));
	assert_false(passes(want, SERVER_LEG, "192.0.2.7", "10.0.0.2", "10.0.0.6", 5000, 80, 6, 2, true));
	assert_false(passes(want, CLIENT_LEG, "192.0.2.7", "192.0.2.7", "10.0.0.1", 4000, 80, 6, 2, false));
	assert_false(passes(others, SERVER_LEG, "192.0.2.7", "10.0.0.2", "10.0.0.5", 5000, 80, 6, 2, true));
	assert_true(passes(others, CLIENT_LEG, "192.0.2.7", "192.0.2.7", "10.0.0.1", 4000, 80, 6, 2, false));
}

static void filters_look_at_the_packet(void **state)
{
	static const char v4_tcp[] = "{\"capture_filters\": {\"eth_proto\": \"ETH_TYPE_IPV4\", \"ip_proto\": \"IP_TYPE_TCP\", \"dst_port_start\": 80, \"dst_port_end\": 90}}";
	static const char syn[] = "{\"capture_filters\": {\"tcp_syn\": true}}";
	static const char clause[] = "{\"capture_pkt_filter\": {\"capture_tcp_filters\": [{\"tcpflag\": {\"tcp_syn\": true, \"tcp_ack\": true, \"filter_op\": \"AND\"}},"
				     "{\"dst_port_range\": {\"dst_port_start\": 443, \"dst_port_end\": 443}}]}}";
	static const char expression[] = "{\"capture_expression\": \"udp port 53 or ip6\"}";

	(void)state;
	assert_true(passes(v4_tcp, CLIENT_LEG, NULL, "192.0.2.7", "10.0.0.1", 4000, 85, 6, 2, false));
	assert_false(passes(v4_tcp, CLIENT_LEG, NULL, "192.0.2.7", "10.0.0.1", 4000, 91, 6, 2, false));
	assert_false(passes(v4_tcp, CLIENT_LEG, NULL, "192.0.2.7", "10.0.0.1", 4000, 85, 17, 0, false));
	assert_false(passes(v4_tcp, CLIENT_LEG, NULL, "fd00::7", "fd00::1", 4000, 85, 6, 2, false));
	assert_true(passes(syn, CLIENT_LEG, NULL, "fd00::7", "fd00::1", 4000, 85, 6, 0x12, false));
	assert_false(passes(syn, CLIENT_LEG, NULL, "fd00::7", "fd00::1", 4000, 85, 6, 0x10, false));
	assert_true(passes(clause, CLIENT_LEG, NULL, "10.0.0.1", "192.0.2.7", 80, 4000, 6, 0x12, true));
	assert_false(passes(clause, CLIENT_LEG, NULL, "192.0.2.7", "10.0.0.1", 4000, 80, 6, 0x02, false));
	assert_true(passes(clause, CLIENT_LEG, NULL, "192.0.2.7", "10.0.0.1", 4000, 443, 6, 0x10, false));
	assert_true(passes(expression, CLIENT_LEG, NULL, "192.0.2.7", "10.0.0.1", 4000, 53, 17, 0, false));
	assert_true(passes(expression, CLIENT_LEG, NULL, "fd00::7", "fd00::1", 4000, 85, 6, 2, false));
	assert_false(passes(expression, CLIENT_LEG, NULL, "192.0.2.7", "10.0.0.1", 4000, 80, 6, 2, false));
}

static void monitors_are_kept_when_they_are_wanted(void **state)
{
	(void)state;
	assert_false(passes("{}", MONITOR, NULL, "10.0.0.2", "10.0.0.5", 5000, 80, 6, 2, true));
	assert_true(passes("{\"debug_hm\": \"DEBUG_VS_HM_INCLUDE\"}", MONITOR, NULL, "10.0.0.2", "10.0.0.5", 5000, 80, 6, 2, true));
	assert_true(passes("{\"debug_hm\": \"DEBUG_VS_HM_ONLY\"}", MONITOR, NULL, "10.0.0.5", "10.0.0.2", 80, 5000, 6, 2, false));
	/* Of a server of other services. */
	assert_false(passes("{\"debug_hm\": \"DEBUG_VS_HM_ONLY\"}", MONITOR, NULL, "10.0.0.2", "10.0.0.6", 5000, 80, 6, 2, true));
	assert_false(passes("{\"debug_hm\": \"DEBUG_VS_HM_ONLY\"}", CLIENT_LEG, NULL, "192.0.2.7", "10.0.0.1", 4000, 80, 6, 2, false));
}

static void what_is_no_expression_has_a_sentence(void **state)
{
	CLEANUP_JSON json_t *v = json_pack("{s:s}", "capture_expression", "tcp porto 80");
	struct arena arena = ARENA_INIT;
	struct ipset none = { 0 };
	struct sieve *s = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(sieve_new(model_load(&capture_message, v, &arena), &none, &s, &e), -EINVAL);
	assert_string_equal(e.path, "capture_expression");
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_legs_go_by_the_client),
		cmocka_unit_test(a_server_is_asked_of_its_own_leg),
		cmocka_unit_test(filters_look_at_the_packet),
		cmocka_unit_test(monitors_are_kept_when_they_are_wanted),
		cmocka_unit_test(what_is_no_expression_has_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
