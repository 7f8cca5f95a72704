#include "base/test.h"

#include "controller/capture/expression.h"

static void what_tcpdump_takes(void **state)
{
	static const char *const taken[] = {
		"", "tcp port 80 and host 10.0.0.5", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "ip6 host fd00::5 or net 10.0.0.0/8",
		"port http or https", "src port domain and udp", "ip proto \\tcp", "ether host 02:00:00:00:00:01", "vlan 5 && ip",
		"ether host 02-00-00-00-00-01", "icmp[icmptype] = icmp-echo", "len > 0x100 or greater 200", "not (src 10.0.0.1 or dst 10.0.0.2)",
		"src or dst port 80", "ip proto ospf", "tcp[((tcp[12]&0xf0)>>2):4]=0x47455420", "net 10", "port 80\n",
		"tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)", "host ::1",
	};
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		if (expression_check(taken[i], &e) < 0)
			fail_msg("%s: %s", taken[i], err_line(&e));
}

/* Nobody is asked for them: `localhost` is in a file, and is refused all the same. */
static void names_of_hosts_are_refused(void **state)
{
	static const struct { const char *text, *name; } refused[] = {
		{ "host localhost", "localhost" }, { "host 10.0.0.1 or localhost", "localhost" }, { "port http and src www.example.com", "www.example.com" },
		{ "net 1and1.example", "1and1.example" }, { "ether host gate", "gate" }, { "gateway 10.0.0.1 and host \"x\"", "x" },
		{ "tcp and shop", "shop" }, { "port 80 or host http", "http" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		CLEANUP_FREE char *said = xasprintf("It is no filter expression: \"%s\" is none", refused[i].name);
		struct err e = { 0 };

		assert_int_equal(expression_check(refused[i].text, &e), -EINVAL);
		assert_ptr_equal(strstr(e.text, said), e.text);
	}
}

static void what_is_none_is_refused_with_a_sentence(void **state)
{
	static const char *const refused[] = { "tcp port 80 and", "((((", "tcp[13", "tcp port 99999", "net 10.0.0.0/33", "ip proto nosuchprotocol" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct err e = { 0 };

		assert_int_equal(expression_check(refused[i], &e), -EINVAL);
		assert_non_null(strstr(e.text, "It is no filter expression: "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_tcpdump_takes),
		cmocka_unit_test(names_of_hosts_are_refused),
		cmocka_unit_test(what_is_none_is_refused_with_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
