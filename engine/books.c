#include "engine/books.h"

#include "base/base.h"
#include "engine/config/members.h"
#include "model/structs.h"

#define MANY 1000 /* services and servers */

struct books {
	struct counters *counters;
	json_t *services;           /* uuid -> slot */
	json_t *servers;            /* pool uuid -> {"ip:port": slot} */
	json_t *rules;              /* service uuid -> {name of the rule: slot} */
	json_t *gone;               /* uuids of services that are counted no more, since the last reading */
	json_t *news;               /* a `slots` message in the making; NULL: none */
	unsigned next;              /* where the search for a free slot goes on */
	bool taken[COUNTERS_SLOTS];
	uint64_t told[COUNTERS_SLOTS]; /* digest of what was read last */
	bool many;                  /* a message with all numbers of all of them would be too long */
};

struct books *books_new(struct counters *c)
{
	struct books *b = xcalloc(1, sizeof(*b));

	b->counters = c;
	b->services = json_object();
	b->servers = json_object();
	b->rules = json_object();
	b->gone = json_array();
	return b;
}

void books_free(struct books *b)
{
	if (!b)
		return;
	json_decref(b->services);
	json_decref(b->servers);
	json_decref(b->rules);
	json_decref(b->gone);
	json_decref(b->news);
	free(b);
}

static unsigned slot_take(struct books *b)
{
	for (unsigned i = 0; i < COUNTERS_SLOTS; i++) {
		unsigned slot = (b->next + i) % COUNTERS_SLOTS;

		if (b->taken[slot])
			continue;
		b->taken[slot] = true;
		b->next = slot + 1;
		b->told[slot] = 0;
		counters_clear(b->counters, slot);
		return slot;
	}
	return COUNTERS_NO_SLOT;
}

static void slot_give(struct books *b, const json_t *slot)
{
	json_int_t n = json_integer_value(slot);

	if (n < COUNTERS_SLOTS)
		b->taken[n] = false;
}

static json_t *message(json_t *services, json_t *servers, json_t *rules)
{
	return json_pack("{s:s, s:o, s:o, s:o}", "type", "slots", "services", services, "servers", servers, "rules",
			 rules);
}

static json_t *news(struct books *b, const char *what)
{
	if (!b->news)
		b->news = message(json_object(), json_object(), json_object());
	return json_object_get(b->news, what);
}

void books_service(struct books *b, const char *uuid)
{
	json_t *slot = json_object_get(b->services, uuid);

	if (slot)
		return;
	slot = json_integer(slot_take(b));
	json_object_set(news(b, "services"), uuid, slot);
	json_object_set_new(b->services, uuid, slot);
}

void books_service_gone(struct books *b, const char *uuid)
{
	json_t *slot = json_object_get(b->services, uuid);

	if (!slot)
		return;
	slot_give(b, slot);
	json_object_del(b->services, uuid);
	json_array_append_new(b->gone, json_string(uuid));
	books_rules(b, uuid, NULL);
}

/* As backend_new() words it: one form for an address, whatever the configuration wrote. */
static void server_name(void *names, const struct member *m)
{
	char ip[ADDRESS_TEXT], name[ADDRESS_TEXT + 8];

	address_ip(&m->address, ip);
	snprintf(name, sizeof(name), "%s:%u", ip, address_port(&m->address));
	json_object_set_new(names, name, json_true());
}

/* GROUP of OWNER has a slot for each key of NAMES from now on, and no other; who stays keeps his. */
static void follow(struct books *b, json_t *group, const char *what, const char *owner, const json_t *names)
{
	json_t *old = json_object_get(group, owner), *now = json_object(), *fresh = json_object(), *slot, *v;
	const char *key;

	json_object_foreach((json_t *)names, key, v) {
		slot = json_object_get(old, key);
		if (slot) {
			json_object_set(now, key, slot);
			continue;
		}
		slot = json_integer(slot_take(b));
		json_object_set(fresh, key, slot);
		json_object_set_new(now, key, slot);
	}
	json_object_foreach(old, key, slot)
		if (!json_object_get(now, key))
			slot_give(b, slot);
	json_object_set_new(group, owner, now);
	if (json_object_size(fresh))
		json_object_set(news(b, what), owner, fresh);
	json_decref(fresh);
}

static void gone(struct books *b, json_t *group, const char *owner)
{
	json_t *slots = json_object_get(group, owner), *slot;
	const char *key;

	json_object_foreach(slots, key, slot)
		slot_give(b, slot);
	json_object_del(group, owner);
}

void books_pool(struct books *b, const char *uuid, const struct pool *p, const struct ip_addr_group *group,
		const json_t *names)
{
	CLEANUP_JSON json_t *servers = json_object();

	members_each(p, group, names, server_name, servers);
	follow(b, b->servers, "servers", uuid, servers);
}

void books_pool_gone(struct books *b, const char *uuid)
{
	gone(b, b->servers, uuid);
}

void books_rules(struct books *b, const char *vs, const json_t *policy)
{
	CLEANUP_JSON json_t *names = json_object();
	const json_t *rule;
	size_t i;

	json_array_foreach(json_object_get(policy, "rules"), i, rule)
		json_object_set_new(names, json_str(rule, "name", ""), json_true());
	if (json_object_size(names))
		follow(b, b->rules, "rules", vs, names);
	else
		gone(b, b->rules, vs);
}

json_t *books_all(struct books *b)
{
	json_decref(b->news);
	b->news = NULL;
	return message(json_deep_copy(b->services), json_deep_copy(b->servers), json_deep_copy(b->rules));
}

json_t *books_news(struct books *b)
{
	json_t *m = b->news;

	b->news = NULL;
	return m;
}

/*
 * What the numbers of SLOT have to say; NULL: nothing new. Of one that was told of before, only what counts: most of
 * its numbers have been zero and will be.
 */
static json_t *read_slot(struct books *b, const struct counter_set *set, unsigned slot, bool all)
{
	uint64_t now, was;

	if (slot >= COUNTERS_SLOTS)
		return counters_read(b->counters, set, slot);
	now = counters_digest(b->counters, set, slot);
	was = b->told[slot];
	b->told[slot] = now;
	if ((all || !was) && !b->many)
		return counters_read(b->counters, set, slot);
	return all || was != now ? counters_read_some(b->counters, set, slot) : NULL;
}

/* SLOTS is {name: slot}. */
static json_t *read_slots(struct books *b, json_t *slots, const struct counter_set *set, bool all)
{
	json_t *out = json_object(), *slot, *read;
	const char *name;

	json_object_foreach(slots, name, slot) {
		read = read_slot(b, set, (unsigned)json_integer_value(slot), all);
		if (read)
			json_object_set_new(out, name, read);
	}
	return out;
}

static json_t *read_group(struct books *b, json_t *group, const struct counter_set *set, bool all)
{
	json_t *out = json_object(), *slots;
	const char *owner;

	json_object_foreach(group, owner, slots) {
		json_t *one = read_slots(b, slots, set, all);

		if (all || json_object_size(one))
			json_object_set(out, owner, one);
		json_decref(one);
	}
	return out;
}

json_t *books_read(struct books *b, bool all)
{
	size_t n = json_object_size(b->services);
	const char *uuid;
	json_t *slots, *out;

	json_object_foreach(b->servers, uuid, slots)
		n += json_object_size(slots);
	b->many = n > MANY;
	out = json_pack("{s:o, s:o, s:o, s:o}", "services", read_slots(b, b->services, &counters_service, all),
			"servers", read_group(b, b->servers, &counters_server, all), "rules",
			read_group(b, b->rules, &counters_rule, true), "engine",
			counters_read(b->counters, &counters_engine, 0));
	if (!all) {
		json_object_set_new(out, "part", json_true());
		json_object_set(out, "gone", b->gone);
	}
	json_decref(b->gone);
	b->gone = json_array();
	return out;
}

void books_drop_gauges(struct books *b)
{
	const char *key, *name;
	json_t *slots, *slot;

	counters_drop_gauges(b->counters, &counters_engine, 0);
	json_object_foreach(b->services, key, slot)
		counters_drop_gauges(b->counters, &counters_service, (unsigned)json_integer_value(slot));
	json_object_foreach(b->servers, key, slots)
		json_object_foreach(slots, name, slot)
			counters_drop_gauges(b->counters, &counters_server, (unsigned)json_integer_value(slot));
}
