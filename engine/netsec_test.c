#include "base/test.h"

#include <time.h>

#include "base/ip.h"
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

/* ---- random rules, against the plain reading: one rule after the other ---- */

#define RULES 40

static unsigned seed = 1;

static unsigned any(unsigned below)
{
	seed = seed * 1103515245u + 12345;
	return (seed >> 12) % below;
}

struct drawn {
	struct ip_addr ends[4];
	char texts[4][24];
	struct ip_addr_range ranges[2];
	struct ip_addr_match clients;
	struct port_match_generic client_ports;
	struct port_match ports;
	int64_t numbers[2];
	struct network_security_match_target match;
	char name[12];
};

/* Over 10.0.0.0/24, three ports, and five client's ports. */
static void draw(struct network_security_rule *r, struct drawn *d, int64_t index)
{
	*d = (struct drawn){ 0 };
	*r = (struct network_security_rule){ .name = d->name, .index = index, .enable = any(8) != 0,
					     .action = any(2) ? NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY
							      : NETWORK_SECURITY_POLICY_ACTION_TYPE_ALLOW };
	snprintf(d->name, sizeof(d->name), "r%d", (int)index);
	if (any(6) == 0)
		return;
	r->match = &d->match;
	for (unsigned i = 0; i < 4; i += 2) {
		unsigned first = any(256), more = any(60), last = MIN(first + more, 255u);

		snprintf(d->texts[i], sizeof(d->texts[i]), "10.0.0.%u", first);
		snprintf(d->texts[i + 1], sizeof(d->texts[i]), "10.0.0.%u", last);
		d->ends[i] = (struct ip_addr){ .addr = d->texts[i], .type = V4 };
		d->ends[i + 1] = (struct ip_addr){ .addr = d->texts[i + 1], .type = V4 };
		d->ranges[i / 2] = (struct ip_addr_range){ .begin = &d->ends[i], .end = &d->ends[i + 1] };
	}
	d->clients = (struct ip_addr_match){ .ranges = d->ranges, .ranges_n = any(3),
					     .match_criteria = any(4) ? IS_IN : IS_NOT_IN };
	d->numbers[0] = 80 + any(3);
	d->numbers[1] = 4000 + any(5);
	d->ports = (struct port_match){ .ports = d->numbers, .ports_n = 1, .match_criteria = any(3) ? IS_IN : IS_NOT_IN };
	d->client_ports = (struct port_match_generic){ .ports = d->numbers + 1, .ports_n = 1,
						       .match_criteria = any(3) ? IS_IN : IS_NOT_IN };
	d->match = (struct network_security_match_target){
		.client_ip = any(5) ? &d->clients : NULL,
		.vs_port = any(3) ? NULL : &d->ports,
		.client_port = any(4) ? NULL : &d->client_ports,
	};
}

static bool clients_match(const struct ip_addr_match *m, unsigned host)
{
	bool in = false;

	for (size_t i = 0; m && i < m->ranges_n; i++)
		in |= (unsigned)atoi(m->ranges[i].begin->addr + 7) <= host && host <= (unsigned)atoi(m->ranges[i].end->addr + 7);
	return !m || in == (m->match_criteria == IS_IN);
}

/* The rule that decides; PORTS false: the first that may, whatever it says of ports. */
static const struct network_security_rule *plainly(const struct network_security_rule *rules, unsigned n, unsigned host,
						   unsigned port, unsigned client_port, bool ports)
{
	for (unsigned i = 0; i < n; i++) {
		const struct network_security_match_target *m = rules[i].match;

		if (!rules[i].enable || (m && !clients_match(m->client_ip, host)))
			continue;
		if (m && ports && m->vs_port && (m->vs_port->ports[0] == port) != (m->vs_port->match_criteria == IS_IN))
			continue;
		if (m && ports && m->client_port &&
		    (m->client_port->ports[0] == client_port) != (m->client_port->match_criteria == IS_IN))
			continue;
		return &rules[i];
	}
	return NULL;
}

struct kernel {
	const struct netsec *netsec;
	const char *rules[256];           /* by the last byte of the client's address */
};

static int deny(void *arg, uint32_t rule, const struct in6_addr *net, unsigned len)
{
	struct kernel *k = arg;

	for (unsigned host = 0; host < 256; host++) {
		struct in6_addr ip;

		assert_int_equal(ip_parse("10.0.0.0", &ip), 0);
		ip.s6_addr[15] = (uint8_t)host;
		if (len && ip_number(&ip) >> (128 - len) != ip_number(net) >> (128 - len))
			continue;
		assert_null(k->rules[host]);
		k->rules[host] = netsec_rule_name(k->netsec, rule);
	}
	return 0;
}

static void random_rules_mean_what_they_say(void **state)
{
	static struct network_security_rule rules[RULES], shuffled[RULES];
	static struct drawn drawn[RULES];

	(void)state;
	for (unsigned round = 0; round < 120; round++) {
		unsigned n = any(RULES + 1);
		const struct network_security_policy p = { .rules = shuffled, .rules_n = n };
		struct kernel k = { 0 };
		struct netsec *ns;

		for (unsigned i = 0; i < n; i++)
			draw(&rules[i], &drawn[i], i + 1);
		for (unsigned i = 0; i < n; i++)
			shuffled[i] = rules[(i * 7 + round) % n];
		if (n % 7 == 0) /* not a permutation then */
			memcpy(shuffled, rules, sizeof(rules));
		ns = netsec_new(&p, group, NULL, NULL);
		k.netsec = ns;
		assert_int_equal(netsec_denied(ns, deny, &k), 0);
		for (unsigned host = 0; host < 256; host++) {
			const struct network_security_rule *first = plainly(rules, n, host, 0, 0, false);
			const struct network_security_match_target *m = first ? first->match : NULL;
			bool by_address = first && first->action == NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY &&
					  !(m && (m->vs_port || m->client_port));

			if (by_address)
				assert_string_equal(k.rules[host], first->name);
			else
				assert_null(k.rules[host]);
			for (unsigned port = 80; port < 83; port++) {
				unsigned client_port = 4000 + any(5);
				const struct network_security_rule *want = plainly(rules, n, host, port, client_port, true);
				char text[24];
				union address a;
				uint32_t rule;
				enum netsec_verdict v;

				snprintf(text, sizeof(text), "10.0.0.%u", host);
				assert_int_equal(address_parse(&a, text, client_port), 0);
				v = netsec_ask(ns, &a, port, mono_ns(), &rule);
				assert_int_equal(v == NETSEC_DENY,
						 want && want->action == NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY);
				assert_int_equal(rule == NETSEC_NO_RULE, !want);
				if (want)
					assert_string_equal(netsec_rule_name(ns, rule), want->name);
			}
		}
		netsec_put(ns);
	}
}

static int seen(void *arg, uint32_t rule, const struct in6_addr *net, unsigned len)
{
	(void)rule;
	(void)net;
	(void)len;
	++*(unsigned *)arg;
	return 0;
}

enum { MANY_RULES = 4000, QUESTIONS = 10000 };

/* What it costs to make the policy of the first N rules and to take it apart; and, into ASKING, QUESTIONS of it. */
static uint64_t cost_of_rules(const struct network_security_policy *all, unsigned n, uint64_t *asking)
{
	struct network_security_policy p = *all;
	uint64_t t0 = computed_ns(), t1;
	unsigned networks = 0;
	struct netsec *policy;
	uint32_t rule;

	p.rules_n = n;
	policy = netsec_new(&p, group, NULL, NULL);
	assert_int_equal(netsec_denied(policy, seen, &networks), 0);
	t1 = computed_ns();
	assert_int_equal(networks, n);
	for (unsigned i = 0; i < QUESTIONS; i++)
		assert_int_equal(ask(policy, "10.200.3.4", 80, &rule), NETSEC_ALLOW);
	*asking = computed_ns() - t1;
	netsec_put(policy);
	return t1 - t0;
}

/* With one rule after the other it would be a hundred times as much to make, and ten times to ask. */
static void ten_times_the_rules_cost_hardly_more_than_ten_times(void **state)
{
	static struct network_security_rule rules[MANY_RULES];
	static struct network_security_match_target matches[MANY_RULES];
	static struct ip_addr_match clients[MANY_RULES];
	static char names[MANY_RULES][12];
	const struct network_security_policy p = { .rules = rules };
	uint64_t few = UINT64_MAX, many = UINT64_MAX, of_few = UINT64_MAX, of_many = UINT64_MAX;

	(void)state;
	make_group();
	for (unsigned i = 0; i < MANY_RULES; i++) {
		snprintf(names[i], sizeof(names[i]), "r%u", i);
		clients[i] = (struct ip_addr_match){ .prefixes = &prefixes[i * 2], .prefixes_n = 1, .match_criteria = IS_IN };
		matches[i] = (struct network_security_match_target){ .client_ip = &clients[i] };
		rules[i] = (struct network_security_rule){ .name = names[i], .index = i + 1, .enable = true,
							   .match = &matches[i],
							   .action = NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY };
	}
	for (int i = 0; i < 5; i++) { /* the least counts: the machine is shared, and so are its caches */
		uint64_t asking;

		few = MIN(few, cost_of_rules(&p, MANY_RULES / 10, &asking));
		of_few = MIN(of_few, asking);
		many = MIN(many, cost_of_rules(&p, MANY_RULES, &asking));
		of_many = MIN(of_many, asking);
	}
	print_message("measured: %llu us to make and to take apart, %llu ns a question with %d rules; with a tenth %llu us and %llu ns\n",
		      (unsigned long long)(many / 1000), (unsigned long long)(of_many / QUESTIONS), MANY_RULES,
		      (unsigned long long)(few / 1000), (unsigned long long)(of_few / QUESTIONS));
	assert_true(many < 40 * few);
	assert_true(of_many < 5 * of_few);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousands_of_networks_cost_a_dozen_comparisons),
		cmocka_unit_test(rates_go_on_in_the_next_policy),
		cmocka_unit_test(random_rules_mean_what_they_say),
		cmocka_unit_test(ten_times_the_rules_cost_hardly_more_than_ten_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
