#include "controller/place/decide.h"

#include "base/err.h"

#define REASONS_MAX 8 /* engines that a reason names; the others are counted */

static bool net_has(const struct place_net *net, const struct in6_addr *addr)
{
	return ip_within(addr, &net->addr, net->len);
}

static bool same_vrf(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

size_t place_interface(const struct place_engine *e, const struct place_address *a,
		       unsigned *prefix_len)
{
	size_t best = PLACE_NOBODY;
	unsigned best_len = 0;

	/* The narrowest network wins, as it would in a routing table; among equals the first. */
	for (size_t i = 0; i < e->n_interfaces; i++) {
		const struct place_interface *f = &e->interfaces[i];

		for (size_t n = 0; f->up && same_vrf(f->vrf, a->vrf) && n < f->n_nets; n++) {
			const struct place_net *net = &f->nets[n];
			bool fits = a->n_nets == 0 && net_has(net, &a->addr);

			for (size_t w = 0; w < a->n_nets && !fits; w++)
				fits = a->nets[w].len <= net->len &&
				       net_has(&a->nets[w], &net->addr);
			if (fits && (best == PLACE_NOBODY || net->len > best_len)) {
				best = i;
				best_len = net->len;
			}
		}
	}
	if (best != PLACE_NOBODY && prefix_len)
		*prefix_len = best_len;
	return best;
}

static bool is_on(const struct place_engine *e, const struct place_net *net, const char *vrf)
{
	for (size_t i = 0; i < e->n_interfaces; i++) {
		const struct place_interface *f = &e->interfaces[i];

		for (size_t n = 0; f->up && same_vrf(f->vrf, vrf) && n < f->n_nets; n++)
			if (net->len <= f->nets[n].len && net_has(net, &f->nets[n].addr))
				return true;
	}
	return false;
}

/* What keeps E from the networks of U; false: nothing. */
static bool lacks_network(const struct place_unit *u, const struct place_engine *e, char *why,
			  size_t size)
{
	for (size_t i = 0; i < u->n_addresses; i++) {
		const struct place_address *a = &u->addresses[i];
		char text[IP_TEXT_MAX];

		if (place_interface(e, a, NULL) != PLACE_NOBODY)
			continue;
		if (a->n_nets)
			snprintf(why, size, "no interface in %s/%u",
				 ip_text(&a->nets[0].addr, text), a->nets[0].len);
		else
			snprintf(why, size, "no interface on a network that contains %s",
				 ip_text(&a->addr, text));
		return true;
	}
	for (size_t i = 0; i < u->n_reach; i++) {
		char text[IP_TEXT_MAX];

		if (is_on(e, &u->reach[i], u->n_addresses ? u->addresses[0].vrf : NULL))
			continue;
		snprintf(why, size, "no interface in %s/%u, where servers are",
			 ip_text(&u->reach[i].addr, text), u->reach[i].len);
		return true;
	}
	return false;
}

/* E has the networks, but nothing beyond them answers there. */
static bool is_cut_off(const struct place_unit *u, const struct place_engine *e)
{
	for (size_t i = 0; i < u->n_addresses; i++) {
		size_t at = place_interface(e, &u->addresses[i], NULL);

		if (at != PLACE_NOBODY && e->interfaces[at].cut_off)
			return true;
	}
	return false;
}

/* Belongs E to those that could ever carry U? Others are not worth a word in a reason. */
static bool is_of(const struct place_unit *u, const struct place_engine *e)
{
	return strcmp(u->group, e->group) == 0 && strcmp(u->cloud, e->cloud) == 0;
}

/* May the owner go on? WHY says what is against it. */
static bool can_go_on(const struct place_unit *u, const struct place_engine *e, char *why,
		      size_t size)
{
	if (!is_of(u, e))
		snprintf(why, size, "it is not in the virtual service's group and cloud");
	else if (e->life == PLACE_DEAD)
		snprintf(why, size, "it is down");
	else if (e->use >= PLACE_LEAVE)
		snprintf(why, size, "it is disabled");
	else if (e->life == PLACE_UNSEEN || !lacks_network(u, e, why, size))
		return true;
	return false;
}

/* The world as it becomes, unit by unit. */
struct course {
	const struct place_snapshot *s;
	size_t *owner;      /* of each unit, as decided so far */
	unsigned *load;     /* of each engine */
};

/* The first unit of U's site. */
static size_t site_begins(const struct course *c, const struct place_unit *u)
{
	const struct place_unit *units = c->s->units;
	size_t i = (size_t)(u - units);

	while (i > 0 && units[i - 1].site == u->site)
		i--;
	return i;
}

/* Has E a unit of U's site, other than U? Then U's services are in its load already. */
static bool has_sibling(const struct course *c, const struct place_unit *u, size_t e)
{
	const struct place_unit *units = c->s->units;

	for (size_t i = site_begins(c, u); i < c->s->n_units && units[i].site == u->site; i++)
		if (&units[i] != u && c->owner[i] == e)
			return true;
	return false;
}

/* Engines that have the other units of U's site. */
static unsigned spread(const struct course *c, const struct place_unit *u)
{
	const struct place_unit *units = c->s->units;
	size_t first = site_begins(c, u);
	unsigned n = 0;

	for (size_t i = first; i < c->s->n_units && units[i].site == u->site; i++) {
		bool counts = &units[i] != u && c->owner[i] != PLACE_NOBODY;

		for (size_t k = first; k < i && counts; k++)
			counts = &units[k] == u || c->owner[k] != c->owner[i];
		n += counts;
	}
	return n;
}

static void move(struct course *c, const struct place_unit *u, size_t to)
{
	size_t at = (size_t)(u - c->s->units), from = c->owner[at];

	if (from != PLACE_NOBODY && !has_sibling(c, u, from))
		c->load[from] -= u->weight;
	if (to != PLACE_NOBODY && !has_sibling(c, u, to))
		c->load[to] += u->weight;
	c->owner[at] = to;
}

/* Could engine I begin to carry U? */
static bool can_take(const struct course *c, const struct place_unit *u, size_t i, char *why,
		     size_t size)
{
	const struct place_engine *e = &c->s->engines[i];

	if (!is_of(u, e))
		snprintf(why, size, "it is not in the virtual service's group and cloud");
	else if (e->life != PLACE_ALIVE)
		snprintf(why, size,
			 e->life == PLACE_DEAD ? "it is down" : "it has not connected yet");
	else if (e->use != PLACE_ENABLED)
		snprintf(why, size, "it is disabled");
	else if (!has_sibling(c, u, i) && c->load[i] + u->weight > u->max_load)
		snprintf(why, size, "it carries %u of %u virtual services", c->load[i],
			 u->max_load);
	else if (u->max_spread && !has_sibling(c, u, i) && spread(c, u) >= u->max_spread)
		snprintf(why, size, "its virtual service is on %u of %u service engines", spread(c, u), u->max_spread);
	else if (lacks_network(u, e, why, size))
		return false;
	else if (is_cut_off(u, e))
		snprintf(why, size, "a gateway of its network does not answer");
	else
		return true;
	return false;
}

/* ALONE: only engines without another VIP of the site. */
static size_t best_among(const struct course *c, const struct place_unit *u, bool alone)
{
	size_t best = PLACE_NOBODY;
	char why[128];

	for (size_t i = 0; i < c->s->n_engines; i++) {
		const struct place_engine *e = &c->s->engines[i],
					  *b = best == PLACE_NOBODY ? NULL : &c->s->engines[best];

		if (i == u->owner || (alone && has_sibling(c, u, i)) ||
		    !can_take(c, u, i, why, sizeof(why)))
			continue;
		if (b && c->load[i] == c->load[best]
			    ? strcmp(e->name, b->name) < 0
			    : !b || (c->load[i] > c->load[best]) == (u->algo == PLACE_PACKED))
			best = i;
	}
	return best;
}

static size_t best_of(const struct course *c, const struct place_unit *u)
{
	size_t best = best_among(c, u, true);

	return best != PLACE_NOBODY ? best : best_among(c, u, false);
}

/* "se-1: it is down; se-2: no interface in 10.0.0.0/24" */
static void explain(const struct course *c, const struct place_unit *u, char *out, size_t size)
{
	size_t len = 0, named = 0, others = 0;
	char why[128];

	for (size_t i = 0; i < c->s->n_engines; i++) {
		const struct place_engine *e = &c->s->engines[i];

		if (!is_of(u, e))
			continue;
		if (i == u->owner ? can_go_on(u, e, why, sizeof(why))
				  : can_take(c, u, i, why, sizeof(why)))
			continue; /* it has it */
		if (named == REASONS_MAX || len + 200 > size) {
			others++;
			continue;
		}
		len += (size_t)snprintf(out + len, size - len, "%s%.64s: %s", named ? "; " : "",
					e->name, why);
		named++;
	}
	if (!named)
		snprintf(out, size, "the service engine group has no service engine");
	else if (others)
		snprintf(out + len, size - len, "; and %zu more", others);
	text_clean(out); /* names were cut */
}

/* Where a contested unit goes, whose owner could go on: back, or nowhere. */
static bool gives_back(const struct course *c, const struct place_unit *u,
		       const struct place_engine *owner, struct place_decision *d)
{
	size_t p = u->previous == u->owner ? PLACE_NOBODY : u->previous;
	char why[128];

	if (p != PLACE_NOBODY && c->s->engines[p].life == PLACE_ALIVE &&
	    can_go_on(u, &c->s->engines[p], why, sizeof(why)))
		return true;
	d->verdict = PLACE_WAITS;
	snprintf(d->reason, sizeof(d->reason),
		 "%s waits: another host answers for the address, and %s%s", owner->name,
		 p == PLACE_NOBODY ? "the controller knows none that should"
				   : c->s->engines[p].name,
		 p == PLACE_NOBODY ? "" : ", who had it, is not connected");
	return false;
}

/* Where a unit goes that should leave an owner who could go on; PLACE_NOBODY: it stays. */
static size_t leaves_for(const struct course *c, const struct place_unit *u,
			 struct place_decision *d)
{
	size_t to;

	if (u->wish == PLACE_NOBODY || !u->leave) {
		to = best_of(c, u);
		if (to == PLACE_NOBODY)
			explain(c, u, d->against, sizeof(d->against));
		return to;
	}
	if (u->wish != u->owner && can_take(c, u, u->wish, d->against, sizeof(d->against)))
		return u->wish;
	return PLACE_NOBODY;
}

static void decide_one(struct course *c, const struct place_unit *u, struct place_decision *d)
{
	const struct place_engine *owner =
		u->owner == PLACE_NOBODY ? NULL : &c->s->engines[u->owner];
	char why[128] = "";
	bool goes_on;
	size_t next;

	*d = (struct place_decision){ .owner = u->owner, .previous = u->previous, .term = u->term };
	if (!u->enabled) {
		d->verdict = PLACE_OFF;
		snprintf(d->reason, sizeof(d->reason), "it is disabled");
		return;
	}
	if (u->n_addresses == 0) {
		d->verdict = PLACE_NONE;
		snprintf(d->reason, sizeof(d->reason), "it has no address");
		return;
	}
	goes_on = owner && can_go_on(u, owner, why, sizeof(why));
	if (goes_on && u->contested) {
		if (!gives_back(c, u, owner, d))
			return;
		next = u->previous;
	} else if (goes_on && owner->life != PLACE_ALIVE) {
		d->verdict = PLACE_WAITS;
		snprintf(d->reason, sizeof(d->reason),
			 "%s has not connected since the controller started or stood still",
			 owner->name);
		return;
	} else if (goes_on && (u->leave || is_cut_off(u, owner))) {
		next = leaves_for(c, u, d);
		if (next == PLACE_NOBODY) { /* better there than nowhere */
			d->verdict = PLACE_OK;
			return;
		}
	} else if (goes_on) {
		d->verdict = PLACE_OK;
		return;
	} else {
		next = best_of(c, u);
	}
	if (next == PLACE_NOBODY && owner && owner->life == PLACE_ALIVE &&
	    owner->use == PLACE_LEAVE && is_of(u, owner) &&
	    !lacks_network(u, owner, why, sizeof(why))) {
		d->verdict = PLACE_OK; /* it should leave, and there is nowhere to go */
		return;
	}
	if (next == PLACE_NOBODY) {
		d->verdict = PLACE_NONE;
		explain(c, u, d->reason, sizeof(d->reason));
		return;
	}
	d->verdict = PLACE_OK;
	d->previous = u->owner;
	d->owner = next;
	d->term = u->term + 1;
}

void place_decide(const struct place_snapshot *s, struct place_decision *out)
{
	CLEANUP_FREE unsigned *load = xcalloc(s->n_engines + 1, sizeof(*load));
	CLEANUP_FREE size_t *owner = xcalloc(s->n_units + 1, sizeof(*owner));
	struct course c = { s, owner, load };

	for (size_t i = 0; i < s->n_engines; i++)
		load[i] = s->engines[i].load;
	for (size_t i = 0; i < s->n_units; i++)
		owner[i] = PLACE_NOBODY;
	for (size_t i = 0; i < s->n_units; i++)
		move(&c, &s->units[i], s->units[i].owner);
	for (size_t i = 0; i < s->n_units; i++) {
		decide_one(&c, &s->units[i], &out[i]);
		move(&c, &s->units[i], out[i].owner);
	}
}
