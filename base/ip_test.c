#include "base/test.h"

#include "base/ip.h"

static void parse_and_print(void **state)
{
	(void)state;
	static const char *const good[] = { "10.0.0.5", "fd00::5", "::", "0.0.0.0", "255.255.255.255", "::1" };
	static const char *const bad[] = { "", "10.0.0", "10.0.0.256", "fd00:::5", " 10.0.0.1", "10.0.0.1/8" };
	char text[IP_TEXT_MAX];
	struct in6_addr ip;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(ip_parse(good[i], &ip), 0);
		assert_string_equal(ip_text(&ip, text), good[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ip_parse(bad[i], &ip), -EINVAL);
	assert_int_equal(ip_parse("0.0.0.0", &ip), 0);
	assert_true(ip_is_zero(&ip));
	assert_int_equal(ip_parse("::", &ip), 0);
	assert_true(ip_is_zero(&ip));
}

static bool within(const char *ip, const char *net)
{
	struct in6_addr a, n;
	unsigned len;

	assert_int_equal(ip_parse(ip, &a), 0);
	assert_int_equal(ip_parse_prefix(net, &n, &len), 0);
	return ip_within(&a, &n, len);
}

static void prefixes(void **state)
{
	(void)state;
	struct in6_addr n;
	unsigned len;

	assert_true(within("10.0.0.5", "10.0.0.0/24"));
	assert_false(within("10.0.1.5", "10.0.0.0/24"));
	assert_true(within("10.0.1.5", "10.0.0.0/23"));
	assert_true(within("10.0.1.5", "0.0.0.0/0"));
	assert_true(within("10.0.1.5", "10.0.1.5"));
	assert_false(within("fd00::1", "0.0.0.0/0"));
	assert_false(within("10.0.0.5", "::/0"));
	assert_true(within("fd00:1::1", "fd00:1::/32"));
	assert_false(within("fd00:3::1", "fd00:1::/31"));
	assert_int_equal(ip_parse_prefix("10.0.0.0/33", &n, &len), -EINVAL);
	assert_int_equal(ip_parse_prefix("10.0.0.0/", &n, &len), -EINVAL);
	assert_int_equal(ip_parse_prefix("10.0.0.0/-1", &n, &len), -EINVAL);
	assert_int_equal(ip_parse_prefix("fd00::/129", &n, &len), -EINVAL);
}

static void macs(void **state)
{
	(void)state;
	uint8_t m[6];
	char text[18];

	assert_int_equal(mac_parse("02:00:5E:aa:0b:ff", m), 0);
	assert_string_equal(mac_text(m, text), "02:00:5e:aa:0b:ff");
	assert_int_equal(mac_parse("02-00-5e-aa-0b-ff", m), 0);
	assert_int_equal(mac_parse("02:00:5e:aa:0b", m), -EINVAL);
	assert_int_equal(mac_parse("02:00:5e:aa:0b:f", m), -EINVAL);
	assert_int_equal(mac_parse("02:00:5e:aa:0b:ff:", m), -EINVAL);
	assert_int_equal(mac_parse("0x:00:5e:aa:0b:ff", m), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_and_print),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(macs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
