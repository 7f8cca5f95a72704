#include "base/test.h"

#include "controller/place/decide.h"

/*
 * A world in a few words: engines "NAME LIFE USE GROUP LOAD NET,NET", units "GROUP OWNER PREVIOUS
 * TERM ADDR ...".
 */
#define ENGINES 3

struct world {
	struct place_net nets[8][4];
	struct place_interface interfaces[8];
	struct place_engine engines[8];
	struct place_address address;
	struct place_net wanted;
	struct place_unit unit;
	struct place_snapshot snapshot;
};

static struct place_net net(const char *text)
{
	struct place_net n = { 0 };

	assert_int_equal(ip_parse_prefix(text, &n.addr, &n.len), 0);
	return n;
}

/*
 * Three engines, alive, on 10.0.0.0/24 each, without load; a unit at 10.0.0.100 that nobody owns
 * yet.
 */
static struct world *world_new(void)
{
	static const char *const names[] = { "se-1", "se-2", "se-3" };
	struct world *w = xcalloc(1, sizeof(*w));

	for (int i = 0; i < ENGINES; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.0.0.%d/24", 1 + i);
		w->nets[i][0] = net(text);
		w->interfaces[i] = (struct place_interface){ .name = "eth0", .up = true, .nets = w->nets[i], .n_nets = 1 };
		w->engines[i] = (struct place_engine){ .uuid = names[i], .name = names[i], .group = "g", .cloud = "c",
						       .life = PLACE_ALIVE, .interfaces = &w->interfaces[i],
						       .n_interfaces = 1 };
	}
	ip_parse("10.0.0.100", &w->address.addr);
	w->unit = (struct place_unit){ .group = "g", .cloud = "c", .max_load = 10, .weight = 1, .enabled = true,
				       .addresses = &w->address, .n_addresses = 1, .owner = PLACE_NOBODY,
				       .previous = PLACE_NOBODY };
	w->snapshot = (struct place_snapshot){ w->engines, ENGINES, &w->unit, 1 };
	return w;
}

static struct place_decision decide(struct world *w)
{
	struct place_decision d;

	place_decide(&w->snapshot, &d);
	return d;
}

static void expect(struct world *w, enum place_verdict verdict, size_t owner, uint64_t term, const char *reason)
{
	struct place_decision d = decide(w);

	assert_int_equal(d.verdict, verdict);
	assert_int_equal(d.owner, owner);
	assert_int_equal(d.term, term);
	if (!strstr(d.reason, reason) || (reason[0] == '\0' && d.reason[0]))
		fail_msg("reason is \"%s\", wanted \"%s\"", d.reason, reason);
	free(w);
}

static void a_new_unit_goes_where_the_algorithm_says(void **state)
{
	struct world *w = world_new();

	(void)state;
	expect(w, PLACE_OK, 0, 1, "");
	w = world_new();
	w->engines[1].load = 3;
	w->engines[2].load = 2;
	expect(w, PLACE_OK, 1, 1, "");
	w = world_new();
	w->engines[0].load = 3;
	w->engines[1].load = 3;
	w->engines[2].load = 2;
	w->unit.algo = PLACE_DISTRIBUTED;
	expect(w, PLACE_OK, 2, 1, "");
	w = world_new();
	w->engines[0].load = 10; /* full */
	w->engines[1].load = 9;
	expect(w, PLACE_OK, 1, 1, "");
	w = world_new();
	w->engines[0].load = 10;
	w->engines[1].load = 9;
	w->unit.weight = 2;
	expect(w, PLACE_OK, 2, 1, "");
}

static void an_owner_that_can_go_on_goes_on(void **state)
{
	struct world *w = world_new();

	(void)state;
	w->unit.owner = 2;
	w->unit.term = 7;
	w->engines[0].load = 5; /* packed would prefer it */
	expect(w, PLACE_OK, 2, 7, "");
	w = world_new();
	w->unit.owner = 2;
	w->unit.term = 7;
	w->engines[2].load = 20; /* over its limit, which came later */
	expect(w, PLACE_OK, 2, 7, "");
	w = world_new();
	w->unit.owner = 2;
	w->unit.term = 7;
	w->engines[2].use = PLACE_NO_NEW;
	expect(w, PLACE_OK, 2, 7, "");
	w = world_new();
	w->unit.owner = 2;
	w->unit.term = 7;
	w->engines[2].life = PLACE_UNSEEN;
	w->engines[2].n_interfaces = 0;
	expect(w, PLACE_WAITS, 2, 7, "se-3 has not connected since the controller started");
}

static void a_unit_leaves_an_owner_that_cannot(void **state)
{
	struct world *w = world_new();

	(void)state;
	w->unit.owner = 0;
	w->unit.term = 7;
	w->engines[0].life = PLACE_DEAD;
	expect(w, PLACE_OK, 1, 8, "");
	w = world_new();
	w->unit.owner = 0;
	w->unit.term = 7;
	w->nets[0][0] = net("192.0.2.1/24");
	expect(w, PLACE_OK, 1, 8, "");
	w = world_new();
	w->unit.owner = 0;
	w->unit.term = 7;
	w->interfaces[0].up = false;
	expect(w, PLACE_OK, 1, 8, "");
	w = world_new();
	w->unit.owner = 0;
	w->unit.term = 7;
	w->engines[0].use = PLACE_LEAVE;
	expect(w, PLACE_OK, 1, 8, "");
	w = world_new();
	w->unit.owner = 0;
	w->unit.term = 7;
	w->engines[0].group = "another";
	expect(w, PLACE_OK, 1, 8, "");
}

static void where_nobody_can_the_reason_names_each(void **state)
{
	struct world *w = world_new();

	(void)state;
	w->engines[0].life = PLACE_DEAD;
	w->nets[1][0] = net("192.0.2.1/24");
	w->engines[2].load = 10;
	w->unit.owner = 0;
	w->unit.term = 3;
	expect(w, PLACE_NONE, 0, 3,
	       "se-1: it is down; se-2: no interface on a network that contains 10.0.0.100; "
	       "se-3: it carries 10 of 10 virtual services");
	w = world_new();
	w->wanted = net("172.16.0.0/16");
	w->address.nets = &w->wanted;
	w->address.n_nets = 1;
	expect(w, PLACE_NONE, PLACE_NOBODY, 0, "se-1: no interface in 172.16.0.0/16; se-2: ");
	w = world_new();
	w->unit.group = "empty";
	expect(w, PLACE_NONE, PLACE_NOBODY, 0, "the service engine group has no service engine");
	w = world_new();
	w->unit.n_addresses = 0;
	expect(w, PLACE_NONE, PLACE_NOBODY, 0, "it has no address");
	w = world_new();
	for (int i = 0; i < ENGINES; i++)
		w->engines[i].use = PLACE_NO_NEW;
	expect(w, PLACE_NONE, PLACE_NOBODY, 0, "se-1: it is disabled");
	/* It should leave, and there is nowhere to go: it stays; but not where it is forbidden. */
	w = world_new();
	for (int i = 0; i < ENGINES; i++)
		w->engines[i].use = PLACE_LEAVE;
	w->unit.owner = 1;
	w->unit.term = 4;
	expect(w, PLACE_OK, 1, 4, "");
	w = world_new();
	for (int i = 0; i < ENGINES; i++)
		w->engines[i].use = PLACE_FORBIDDEN;
	w->unit.owner = 1;
	w->unit.term = 4;
	expect(w, PLACE_NONE, 1, 4, "se-2: it is disabled");
	w = world_new();
	w->unit.enabled = false;
	expect(w, PLACE_OFF, PLACE_NOBODY, 0, "it is disabled");
}

static void placement_networks_beat_the_address(void **state)
{
	struct world *w = world_new();

	(void)state;
	/* The VIP lies in nobody's network; it is announced where placement_networks says. */
	ip_parse("203.0.113.9", &w->address.addr);
	w->wanted = net("192.0.2.0/24");
	w->address.nets = &w->wanted;
	w->address.n_nets = 1;
	w->nets[2][1] = net("192.0.2.77/24");
	w->interfaces[2].n_nets = 2;
	expect(w, PLACE_OK, 2, 1, "");
}

static void a_contested_address_waits_or_goes_back(void **state)
{
	struct world *w = world_new();

	(void)state;
	w->unit.owner = 1;
	w->unit.previous = 0;
	w->unit.term = 5;
	w->unit.contested = true;
	w->engines[0].life = PLACE_DEAD; /* so the controller believes; but it answers on its network */
	expect(w, PLACE_WAITS, 1, 5, "se-2 waits: another host answers for the address, and se-1, who had it, is not");
	w = world_new();
	w->unit.owner = 1;
	w->unit.previous = 0;
	w->unit.term = 5;
	w->unit.contested = true;
	expect(w, PLACE_OK, 0, 6, "");
	w = world_new();
	w->unit.owner = 1;
	w->unit.term = 5;
	w->unit.contested = true;
	expect(w, PLACE_WAITS, 1, 5, "the controller knows none that should");
	/* Not contested: who was dead and returns does not steal. */
	w = world_new();
	w->unit.owner = 1;
	w->unit.previous = 0;
	w->unit.term = 5;
	expect(w, PLACE_OK, 1, 5, "");
}

static void the_narrowest_network_announces(void **state)
{
	struct world *w = world_new();
	struct place_interface two[2] = { w->interfaces[0], { .name = "eth1", .up = true, .nets = w->nets[1], .n_nets = 1 } };
	unsigned len = 0;

	(void)state;
	w->nets[0][0] = net("10.0.0.1/8");
	w->nets[1][0] = net("10.0.0.2/24");
	w->engines[0].interfaces = two;
	w->engines[0].n_interfaces = 2;
	assert_int_equal(place_interface(&w->engines[0], &w->address, &len), 1);
	assert_int_equal(len, 24);
	ip_parse("fd00::1", &w->address.addr);
	assert_int_equal(place_interface(&w->engines[0], &w->address, &len), PLACE_NOBODY);
	free(w);
}

/* What holds for every answer, over random worlds; and deciding again changes nothing. */
static void what_always_holds(void **state)
{
	enum { E = 6, U = 12 };

	(void)state;
	srandom(1);
	for (int round = 0; round < 20000; round++) {
		struct place_net nets[E];
		struct place_interface interfaces[E];
		struct place_engine engines[E];
		struct place_address addresses[U];
		struct place_unit units[U], again[U];
		struct place_decision d[U], d2[U];
		static const char *const name[] = { "a", "b", "c", "d", "e", "f" };
		struct place_snapshot s = { engines, 1 + (size_t)random() % E, units, (size_t)random() % (U + 1) };
		unsigned load[E] = { 0 };

		for (size_t i = 0; i < s.n_engines; i++) {
			nets[i] = net(random() % 3 ? "10.0.0.0/24" : "10.0.1.0/24");
			interfaces[i] = (struct place_interface){ "eth0", random() % 8 != 0, &nets[i], 1 };
			engines[i] = (struct place_engine){ name[i], name[i], random() % 4 ? "g" : "h", "c",
							    (enum place_life)(random() % 3), (enum place_use)(random() % 4),
							    &interfaces[i], 1, (unsigned)random() % 4 };
		}
		for (size_t i = 0; i < s.n_units; i++) {
			addresses[i] = (struct place_address){ 0 };
			ip_parse(random() % 4 ? "10.0.0.9" : "10.0.1.9", &addresses[i].addr);
			units[i] = (struct place_unit){
				.group = random() % 4 ? "g" : "h", .cloud = "c", .algo = (enum place_algo)(random() % 2),
				.max_load = 1 + (unsigned)random() % 8, .weight = 1 + (unsigned)random() % 2,
				.enabled = random() % 8 != 0, .addresses = &addresses[i], .n_addresses = random() % 16 != 0,
				.owner = random() % 2 ? (size_t)random() % s.n_engines : PLACE_NOBODY,
				.previous = random() % 2 ? (size_t)random() % s.n_engines : PLACE_NOBODY,
				.contested = random() % 8 == 0,
			};
			units[i].term = units[i].owner == PLACE_NOBODY ? 0 : 1 + (uint64_t)random() % 9;
			if (units[i].owner != PLACE_NOBODY)
				load[units[i].owner] += units[i].weight;
		}
		for (size_t i = 0; i < s.n_engines; i++)
			load[i] += engines[i].load;
		place_decide(&s, d);
		for (size_t i = 0; i < s.n_units; i++) {
			const struct place_unit *u = &units[i];
			const struct place_engine *to;
			bool moved = d[i].owner != u->owner;

			assert_int_equal(d[i].term, u->term + moved);
			assert_int_equal(d[i].verdict == PLACE_OK, d[i].reason[0] == '\0');
			if (moved)
				assert_int_equal(d[i].previous, u->owner);
			if (d[i].verdict == PLACE_OK || moved) {
				to = &engines[d[i].owner];
				assert_int_equal(d[i].verdict, PLACE_OK);
				assert_int_equal(to->life, PLACE_ALIVE);
				assert_string_equal(to->group, u->group);
				assert_true(to->use != PLACE_FORBIDDEN);
				assert_true(place_interface(to, &addresses[i], NULL) != PLACE_NOBODY);
				assert_true(u->enabled && u->n_addresses);
			}
			if (moved) {
				bool back = u->contested && d[i].owner == u->previous;

				assert_true(to->use == PLACE_ENABLED || back);
				if (u->owner != PLACE_NOBODY)
					load[u->owner] -= u->weight;
				load[d[i].owner] += u->weight;
				assert_true(load[d[i].owner] <= u->max_load || back);
			}
			if (d[i].verdict == PLACE_NONE && u->n_addresses)
				for (size_t n = 0; n < s.n_engines; n++) {
					const struct place_engine *e = &engines[n];

					assert_false(n != u->owner && e->life == PLACE_ALIVE && e->use == PLACE_ENABLED &&
						     strcmp(e->group, u->group) == 0 && load[n] + u->weight <= u->max_load &&
						     place_interface(e, &addresses[i], NULL) != PLACE_NOBODY);
				}
			again[i] = *u;
			again[i].owner = d[i].owner;
			again[i].previous = d[i].previous;
			again[i].term = d[i].term;
			again[i].contested = false;
		}
		s.units = again;
		place_decide(&s, d2);
		for (size_t i = 0; i < s.n_units; i++)
			if (d[i].verdict == PLACE_OK)
				assert_int_equal(d2[i].owner, d[i].owner);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_unit_goes_where_the_algorithm_says),
		cmocka_unit_test(an_owner_that_can_go_on_goes_on),
		cmocka_unit_test(a_unit_leaves_an_owner_that_cannot),
		cmocka_unit_test(where_nobody_can_the_reason_names_each),
		cmocka_unit_test(placement_networks_beat_the_address),
		cmocka_unit_test(a_contested_address_waits_or_goes_back),
		cmocka_unit_test(the_narrowest_network_announces),
		cmocka_unit_test(what_always_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
