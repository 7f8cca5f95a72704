#include "base/test.h"

#include "engine/netsec.h"
#include "model/structs.h"

#define PREFIXES 10000

static struct ip_addr_prefix prefixes[PREFIXES];
static struct ip_addr nets[PREFIXES];
static char texts[PREFIXES][20];
static struct ip_addr_group blocked = { .prefixes = prefixes, .prefixes_n = PREFIXES };

static const struct ip_addr_group *group(void *arg, const char *uuid)
{
	(void)arg;
	return strcmp(uuid, "blocked") == 0 ? &blocked : NULL;
}

static void make_group(void)
{
	for (unsigned i = 0; i < PREFIXES; i++) {
		snprintf(texts[i], sizeof(texts[i]), "10.%u.%u.0", i >> 8, i & 255);
		nets[i] = (struct ip_addr){ .addr = texts[i], .type = V4 };
		prefixes[i] = (struct ip_addr_prefix){ .ip_addr = &nets[i], .mask = i % 2 ? 24 : 25 };
	}
}

static enum netsec_verdict ask(struct netsec *n, const char *ip, unsigned port, uint32_t *rule)
{
	union address a;

	assert_int_equal(address_parse(&a, ip, 4000), 0);
	return netsec_ask(n, &a, port, mono_ns(), rule);
}

static void thousands_of_networks_cost_a_dozen_comparisons(void **state)
{
	static const char *const refs[] = { "blocked", "missing" };
	const struct ip_addr_match in = { .group_refs = refs, .group_refs_n = 2, .match_criteria = IS_IN };
	const struct network_security_match_target match = { .client_ip = &in };
	const struct network_security_rule rules[] = {
		{ .name = "b", .index = 2, .enable = true, .match = &match,
		  .action = NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY } };
	const struct network_security_policy p = { .rules = rules, .rules_n = 1 };
	struct netsec *n;
	uint64_t t0;
	uint32_t rule;

	(void)state;
	make_group();
	n = netsec_new(&p, group, NULL, NULL);
	assert_int_equal(ask(n, "10.0.1.200", 80, &rule), NETSEC_DENY);
	assert_int_equal(rule, 0);
	assert_int_equal(ask(n, "10.0.2.200", 80, &rule), NETSEC_ALLOW); /* the other half of a /25 */
	assert_int_equal(rule, NETSEC_NO_RULE);
	assert_int_equal(ask(n, "::ffff:10.0.1.200", 80, &rule), NETSEC_DENY);
	assert_int_equal(ask(n, "fd00::1", 80, &rule), NETSEC_ALLOW);
	t0 = mono_ns();
	for (unsigned i = 0; i < 100000; i++)
		ask(n, "10.20.3.4", 80, &rule);
	print_message("measured: %llu ns a question with %d networks\n",
		      (unsigned long long)((mono_ns() - t0) / 100000), PREFIXES);
	netsec_put(n);
}

static void rates_go_on_in_the_next_policy(void **state)
{
	const struct network_security_policy_action_rl_param slow = { .max_rate = 1, .burst_size = 2 },
							      fast = { .max_rate = 1, .burst_size = 3 };
	struct network_security_rule rules[] = {
		{ .name = "r", .index = 1, .enable = true, .rl_param = &slow,
		  .action = NETWORK_SECURITY_POLICY_ACTION_TYPE_RATE_LIMIT } };
	const struct network_security_policy p = { .rules = rules, .rules_n = 1 };
	struct netsec *first = netsec_new(&p, group, NULL, NULL), *second, *third;
	uint32_t rule;

	(void)state;
	assert_int_equal(ask(first, "10.0.0.1", 80, &rule), NETSEC_ALLOW);
	assert_int_equal(ask(first, "10.0.0.1", 80, &rule), NETSEC_ALLOW);
	assert_int_equal(ask(first, "10.0.0.1", 80, &rule), NETSEC_LIMITED);
	second = netsec_new(&p, group, NULL, first);
	netsec_put(first);
	assert_int_equal(ask(second, "10.0.0.1", 80, &rule), NETSEC_LIMITED);
	rules[0].rl_param = &fast; /* another rate begins anew */
	third = netsec_new(&p, group, NULL, second);
	netsec_put(second);
	assert_int_equal(ask(third, "10.0.0.1", 80, &rule), NETSEC_ALLOW);
	netsec_put(third);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousands_of_networks_cost_a_dozen_comparisons),
		cmocka_unit_test(rates_go_on_in_the_next_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
