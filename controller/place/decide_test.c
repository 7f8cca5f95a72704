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

static void vips_go_to_no_more_engines_than_they_may(void **state)
{
	struct place_decision d[3];
	struct place_unit units[3];
	struct place_address elsewhere;
	struct world *w;

	(void)state;
	for (unsigned most = 0; most <= 3; most++) {
		unsigned used = 0;

		w = world_new();
		w->unit.max_spread = most;
		for (int i = 0; i < 3; i++)
			units[i] = w->unit;
		w->snapshot.units = units;
		w->snapshot.n_units = 3;
		place_decide(&w->snapshot, d);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(d[i].verdict, PLACE_OK);
			used |= 1u << d[i].owner;
		}
		assert_int_equal(__builtin_popcount(used), most ? most : 3);
		free(w);
	}
	/* The one that it may use is not on the network of the other VIP. */
	w = world_new();
	units[0] = units[1] = w->unit;
	units[0].owner = 0;
	units[0].term = 1;
	elsewhere = w->address;
	ip_parse("10.1.0.100", &elsewhere.addr);
	units[1].max_spread = 1;
	units[1].addresses = &elsewhere;
	w->nets[1][1] = net("10.1.0.1/24");
	w->interfaces[1].n_nets = 2;
	w->snapshot.units = units;
	w->snapshot.n_units = 2;
	place_decide(&w->snapshot, d);
	assert_int_equal(d[1].verdict, PLACE_NONE);
	assert_non_null(strstr(d[1].reason, "se-2: its virtual service is on 1 of 1 service engines"));
	units[1].max_spread = 2;
	place_decide(&w->snapshot, d);
	assert_int_equal(d[1].owner, 1);
	free(w);
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

static void the_vips_of_a_site_part_when_they_can(void **state)
{
	struct world *w = world_new();
	struct place_unit two[2] = { w->unit, w->unit };
	struct place_decision d[2];

	(void)state;
	two[0].site = two[1].site = 1;
	w->snapshot.units = two;
	w->snapshot.n_units = 2;
	place_decide(&w->snapshot, d);
	assert_int_equal(d[0].owner, 0);
	assert_int_equal(d[1].owner, 1);
	/* Where there is only one they share it, and its load is that of one service. */
	w->engines[1].life = w->engines[2].life = PLACE_DEAD;
	w->engines[0].load = 9;
	place_decide(&w->snapshot, d);
	assert_int_equal(d[0].owner, 0);
	assert_int_equal(d[1].owner, 0);
	assert_int_equal(d[1].verdict, PLACE_OK);
	/* Who stays alone there does not move back for it. */
	two[0].owner = two[1].owner = 0;
	two[0].term = two[1].term = 1;
	w->engines[1].life = PLACE_ALIVE;
	place_decide(&w->snapshot, d);
	assert_int_equal(d[1].owner, 0);
	assert_int_equal(d[1].term, 1);
	free(w);
}

static void an_operators_word_counts(void **state)
{
	struct world *w = world_new();
	struct place_decision d;

	(void)state;
	w->unit.owner = 0;
	w->unit.term = 3;
	w->unit.leave = true;
	w->unit.wish = 2;
	expect(w, PLACE_OK, 2, 4, "");
	w = world_new();
	w->unit.owner = 0;
	w->unit.term = 3;
	w->unit.leave = true;
	w->unit.wish = PLACE_NOBODY;
	expect(w, PLACE_OK, 1, 4, "");
	w = world_new();
	w->unit.owner = 0;
	w->unit.term = 3;
	w->unit.leave = true;
	w->unit.wish = 2;
	w->engines[2].use = PLACE_NO_NEW;
	d = decide(w);
	assert_string_equal(d.against, "it is disabled");
	expect(w, PLACE_OK, 0, 3, "");
}

static void gateways_domains_and_pools_count(void **state)
{
	struct world *w = world_new();
	struct place_net pool = net("10.9.0.0/24");

	(void)state;
	/* A gateway that fell silent: away, but not into nothing. */
	w->unit.owner = 0;
	w->unit.term = 3;
	w->interfaces[0].cut_off = true;
	expect(w, PLACE_OK, 1, 4, "");
	w = world_new();
	w->unit.owner = 0;
	w->unit.term = 3;
	for (int i = 0; i < ENGINES; i++)
		w->interfaces[i].cut_off = true;
	expect(w, PLACE_OK, 0, 3, "");
	w = world_new();
	for (int i = 0; i < ENGINES; i++)
		w->interfaces[i].cut_off = true;
	expect(w, PLACE_NONE, PLACE_NOBODY, 0, "se-1: a gateway of its network does not answer; se-2: ");
	/* The same network in another domain is another network. */
	w = world_new();
	w->address.vrf = "blue";
	w->interfaces[2].vrf = "blue";
	expect(w, PLACE_OK, 2, 1, "");
	/* And an engine has to reach the servers. */
	w = world_new();
	w->unit.reach = &pool;
	w->unit.n_reach = 1;
	w->nets[1][1] = net("10.9.0.7/24");
	w->interfaces[1].n_nets = 2;
	expect(w, PLACE_OK, 1, 1, "");
	w = world_new();
	w->unit.reach = &pool;
	w->unit.n_reach = 1;
	expect(w, PLACE_NONE, PLACE_NOBODY, 0, "se-1: no interface in 10.9.0.0/24, where servers are; ");
}

/* Does any unit of the site of I, other than I, belong to engine E? */
static bool beside(const struct place_unit *units, const struct place_decision *d, size_t n, size_t i, size_t e,
		   size_t decided)
{
	for (size_t k = 0; k < n; k++)
		if (k != i && units[k].site == units[i].site && (k < decided ? d[k].owner : units[k].owner) == e)
			return true;
	return false;
}

/* What holds for every answer, over random worlds; and deciding again changes nothing. */
static void what_always_holds(void **state)
{
	enum { E = 6, U = 12 };

	(void)state;
	srandom(1);
	for (int round = 0; round < 20000; round++) {
		struct place_net nets[E], servers = net("10.0.0.0/24");
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
			interfaces[i] = (struct place_interface){ "eth0", random() % 6 ? "v" : "w", random() % 8 != 0,
								  random() % 8 == 0, &nets[i], 1 };
			engines[i] = (struct place_engine){ name[i], name[i], random() % 4 ? "g" : "h", "c",
							    (enum place_life)(random() % 3), (enum place_use)(random() % 4),
							    &interfaces[i], 1, (unsigned)random() % 4 };
		}
		for (size_t i = 0; i < s.n_units; i++) {
			bool sibling = i && random() % 3 == 0;

			addresses[i] = (struct place_address){ .vrf = random() % 6 ? "v" : "w" };
			ip_parse(random() % 4 ? "10.0.0.9" : "10.0.1.9", &addresses[i].addr);
			units[i] = (struct place_unit){
				.group = random() % 4 ? "g" : "h", .cloud = "c", .algo = (enum place_algo)(random() % 2),
				.max_load = 1 + (unsigned)random() % 8, .weight = 1 + (unsigned)random() % 2, .site = i,
				.enabled = random() % 8 != 0, .reach = &servers, .n_reach = random() % 8 == 0,
				.leave = random() % 6 == 0,
			};
			if (sibling) { /* as place.c makes them: of one vsvip */
				units[i].group = units[i - 1].group;
				units[i].max_load = units[i - 1].max_load;
				units[i].weight = units[i - 1].weight;
				units[i].site = units[i - 1].site;
			}
			units[i].addresses = &addresses[i];
			units[i].n_addresses = random() % 16 != 0;
			units[i].wish = random() % 2 ? (size_t)random() % s.n_engines : PLACE_NOBODY;
			units[i].owner = random() % 2 ? (size_t)random() % s.n_engines : PLACE_NOBODY;
			units[i].previous = random() % 2 ? (size_t)random() % s.n_engines : PLACE_NOBODY;
			units[i].contested = random() % 8 == 0;
			units[i].term = units[i].owner == PLACE_NOBODY ? 0 : 1 + (uint64_t)random() % 9;
		}
		for (size_t i = 0; i < s.n_engines; i++)
			load[i] = engines[i].load;
		for (size_t i = 0; i < s.n_units; i++) {
			bool counted = false;

			for (size_t k = 0; k < i; k++)
				counted = counted || (units[k].site == units[i].site && units[k].owner == units[i].owner);
			if (units[i].owner != PLACE_NOBODY && !counted)
				load[units[i].owner] += units[i].weight;
		}
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
				size_t at;

				to = &engines[d[i].owner];
				at = place_interface(to, &addresses[i], NULL);
				assert_int_equal(d[i].verdict, PLACE_OK);
				assert_int_equal(to->life, PLACE_ALIVE);
				assert_string_equal(to->group, u->group);
				assert_true(to->use != PLACE_FORBIDDEN);
				assert_true(at != PLACE_NOBODY);
				assert_string_equal(to->interfaces[at].vrf, addresses[i].vrf);
				assert_true(u->enabled && u->n_addresses);
				if (u->n_reach)
					assert_true(ip_within(&nets[d[i].owner].addr, &servers.addr, 24));
			}
			if (moved) {
				bool back = u->contested && d[i].owner == u->previous;

				assert_true(to->use == PLACE_ENABLED || back);
				assert_true(!to->interfaces[0].cut_off || back);
				if (u->owner != PLACE_NOBODY && !beside(units, d, s.n_units, i, u->owner, i))
					load[u->owner] -= u->weight;
				if (!beside(units, d, s.n_units, i, d[i].owner, i))
					load[d[i].owner] += u->weight;
				assert_true(load[d[i].owner] <= u->max_load || back ||
					    beside(units, d, s.n_units, i, d[i].owner, i));
			}
			if ((d[i].verdict == PLACE_NONE && u->n_addresses) || (u->leave && !moved && d[i].verdict == PLACE_OK))
				for (size_t n = 0; n < s.n_engines; n++) {
					const struct place_engine *e = &engines[n];
					bool full = load[n] + u->weight > u->max_load &&
						    !beside(units, d, s.n_units, i, n, i);

					if (u->leave && d[i].verdict == PLACE_OK && u->wish != PLACE_NOBODY && n != u->wish)
						continue;
					assert_false(n != u->owner && e->life == PLACE_ALIVE && e->use == PLACE_ENABLED &&
						     strcmp(e->group, u->group) == 0 && !full &&
						     place_interface(e, &addresses[i], NULL) != PLACE_NOBODY &&
						     !e->interfaces[0].cut_off &&
						     (!u->n_reach || (ip_within(&nets[n].addr, &servers.addr, 24) &&
								      strcmp(interfaces[n].vrf, addresses[i].vrf) == 0)));
				}
			again[i] = *u;
			again[i].owner = d[i].owner;
			again[i].previous = d[i].previous;
			again[i].term = d[i].term;
			again[i].contested = again[i].leave = false;
		}
		/* Nothing moves without need: only who sits where nothing is beyond may still find better. */
		s.units = again;
		place_decide(&s, d2);
		for (size_t i = 0; i < s.n_units; i++)
			if (d[i].verdict == PLACE_OK && !interfaces[d[i].owner].cut_off)
				assert_true(d2[i].owner == d[i].owner || engines[d[i].owner].use == PLACE_LEAVE);
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
		cmocka_unit_test(vips_go_to_no_more_engines_than_they_may),
		cmocka_unit_test(a_contested_address_waits_or_goes_back),
		cmocka_unit_test(the_narrowest_network_announces),
		cmocka_unit_test(the_vips_of_a_site_part_when_they_can),
		cmocka_unit_test(an_operators_word_counts),
		cmocka_unit_test(gateways_domains_and_pools_count),
		cmocka_unit_test(what_always_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
