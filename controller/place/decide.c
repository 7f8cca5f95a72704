#include "controller/place/decide.h"

#include "base/err.h"

#define REASONS_MAX 8 /* engines that a reason names; the others are counted */

static bool net_has(const struct place_net *net, const struct in6_addr *addr)
{
	return ip_within(addr, &net->addr, net->len);
}

size_t place_interface(const struct place_engine *e, const struct place_address *a,
		       unsigned *prefix_len)
{
	size_t best = PLACE_NOBODY;
	unsigned best_len = 0;

	/* The narrowest network wins, as it would in a routing table; among equals the first. */
	for (size_t i = 0; i < e->n_interfaces; i++) {
		const struct place_interface *f = &e->interfaces[i];

		for (size_t n = 0; f->up && n < f->n_nets; n++) {
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

/* What keeps E from reaching the addresses of U; false: nothing. */
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

/* Could E begin to carry U? */
static bool can_take(const struct place_unit *u, const struct place_engine *e, unsigned load,
		     char *why, size_t size)
{
	if (e->life != PLACE_ALIVE)
		snprintf(why, size,
			 e->life == PLACE_DEAD ? "it is down" : "it has not connected yet");
	else if (e->use != PLACE_ENABLED)
		snprintf(why, size, "it is disabled");
	else if (load + u->weight > u->max_load)
		snprintf(why, size, "it carries %u of %u virtual services", load, u->max_load);
	else
		return !lacks_network(u, e, why, size);
	return false;
}

static size_t best_of(const struct place_snapshot *s, const struct place_unit *u,
		      const unsigned *load, size_t except)
{
	size_t best = PLACE_NOBODY;
	char why[128];

	for (size_t i = 0; i < s->n_engines; i++) {
		const struct place_engine *e = &s->engines[i],
					  *b = best == PLACE_NOBODY ? NULL : &s->engines[best];

		if (i == except || !is_of(u, e) || !can_take(u, e, load[i], why, sizeof(why)))
			continue;
		if (b && load[i] == load[best]
			    ? strcmp(e->name, b->name) < 0
			    : !b || (load[i] > load[best]) == (u->algo == PLACE_PACKED))
			best = i;
	}
	return best;
}

/* "se-1: it is down; se-2: no interface in 10.0.0.0/24" */
static void explain(const struct place_snapshot *s, const struct place_unit *u,
		    const unsigned *load, char *out, size_t size)
{
	size_t len = 0, named = 0, others = 0;
	char why[128];

	for (size_t i = 0; i < s->n_engines; i++) {
		const struct place_engine *e = &s->engines[i];

		if (!is_of(u, e))
			continue;
		if (i == u->owner)
			can_go_on(u, e, why, sizeof(why));
		else
			can_take(u, e, load[i], why, sizeof(why));
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

static void decide_one(const struct place_snapshot *s, const struct place_unit *u, unsigned *load,
		       struct place_decision *d)
{
	const struct place_engine *owner = u->owner == PLACE_NOBODY ? NULL : &s->engines[u->owner];
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
		size_t p = u->previous == u->owner ? PLACE_NOBODY : u->previous;

		if (p == PLACE_NOBODY || s->engines[p].life != PLACE_ALIVE ||
		    !can_go_on(u, &s->engines[p], why, sizeof(why))) {
			d->verdict = PLACE_WAITS;
			snprintf(d->reason, sizeof(d->reason),
				 "%s waits: another host answers for the address, and %s%s",
				 owner->name,
				 p == PLACE_NOBODY ? "the controller knows none that should"
						   : s->engines[p].name,
				 p == PLACE_NOBODY ? "" : ", who had it, is not connected");
			return;
		}
		next = p;
	} else if (goes_on) {
		d->verdict = owner->life == PLACE_ALIVE ? PLACE_OK : PLACE_WAITS;
		if (d->verdict == PLACE_WAITS)
			snprintf(d->reason, sizeof(d->reason),
				 "%s has not connected since the controller started or stood still", owner->name);
		return;
	} else {
		next = best_of(s, u, load, u->owner);
	}
	if (next == PLACE_NOBODY && owner && owner->life == PLACE_ALIVE &&
	    owner->use == PLACE_LEAVE && is_of(u, owner) &&
	    !lacks_network(u, owner, why, sizeof(why))) {
		d->verdict = PLACE_OK; /* it should leave, and there is nowhere to go */
		return;
	}
	if (next == PLACE_NOBODY) {
		d->verdict = PLACE_NONE;
		explain(s, u, load, d->reason, sizeof(d->reason));
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

	for (size_t i = 0; i < s->n_engines; i++)
		load[i] = s->engines[i].load;
	for (size_t i = 0; i < s->n_units; i++)
		if (s->units[i].owner != PLACE_NOBODY)
			load[s->units[i].owner] += s->units[i].weight;
	for (size_t i = 0; i < s->n_units; i++) {
		decide_one(s, &s->units[i], load, &out[i]);
		if (out[i].owner == s->units[i].owner)
			continue;
		if (s->units[i].owner != PLACE_NOBODY)
			load[s->units[i].owner] -= s->units[i].weight;
		load[out[i].owner] += s->units[i].weight;
	}
}
