#include "engine/books.h"

#include "base/base.h"
#include "engine/config/members.h"
#include "engine/link/link.h"
#include "model/structs.h"

#define MANY 1000 /* services and servers */
#define LOTS 5    /* of so many a server has its turn at each fifth reading: to look at a resting one costs as much as at a busy one */

struct books {
	struct counters *counters;
	const struct link *link;
	json_t *names;              /* what names in pools are, as the proxy found; NULL: nothing yet */
	json_t *services;           /* uuid -> slot */
	json_t *servers;            /* pool uuid -> {"ip:port": slot} */
	json_t *rules;              /* service uuid -> {name of the rule: slot} */
	json_t *gone;               /* uuids of services that are counted no more, since the last reading */
	json_t *news;               /* a `slots` message in the making; NULL: none */
	unsigned next;              /* where the search for a free slot goes on */
	bool taken[COUNTERS_SLOTS];
	uint64_t told[COUNTERS_SLOTS]; /* digest of what was read last */
	bool many;                  /* a message with all numbers of all of them would be too long */
	unsigned turn;              /* readings so far */
	unsigned lot;               /* of servers, whose turn it is; LOTS: everybody's */
};

struct books *books_new(struct counters *c, const struct link *k)
{
	struct books *b = xcalloc(1, sizeof(*b));

	b->counters = c;
	b->link = k;
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
	json_decref(b->names);
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

/* Exactly the rules of POLICY (a networksecuritypolicy as stored; NULL: none), which service VS is guarded by. */
static void rules(struct books *b, const char *vs, const json_t *policy)
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

static void service(struct books *b, const char *uuid)
{
	json_t *slot = json_object_get(b->services, uuid);

	if (slot)
		return;
	slot = json_integer(slot_take(b));
	json_object_set(news(b, "services"), uuid, slot);
	json_object_set_new(b->services, uuid, slot);
}

static void service_gone(struct books *b, const char *uuid)
{
	json_t *slot = json_object_get(b->services, uuid);

	if (!slot)
		return;
	slot_give(b, slot);
	json_object_del(b->services, uuid);
	json_array_append_new(b->gone, json_string(uuid));
	rules(b, uuid, NULL);
}

/* Exactly its servers. */
static void pool(struct books *b, const char *uuid, const json_t *object)
{
	CLEANUP_JSON json_t *servers = json_object();
	struct arena arena = ARENA_INIT;
	const struct pool *p = model_load(&pool_message, object, &arena);
	const json_t *group = p->ipaddrgroup_ref ? link_object(b->link, "ipaddrgroup", p->ipaddrgroup_ref) : NULL;

	members_each(p, group ? model_load(&ip_addr_group_message, group, &arena) : NULL, b->names, server_name, servers);
	follow(b, b->servers, "servers", uuid, servers);
	arena_fini(&arena);
}

static int each_pool(void *arg, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	(void)revision;
	if (strcmp(kind, "pool") == 0)
		pool(arg, uuid, object);
	return 0;
}

void books_follow(struct books *b, const char *kind, const char *uuid)
{
	const json_t *o = link_object(b->link, kind, uuid);

	if (strcmp(kind, "virtualservice") == 0) {
		if (o)
			service(b, uuid);
		else
			service_gone(b, uuid);
	} else if (strcmp(kind, "pool") == 0) {
		if (o)
			pool(b, uuid, o);
		else
			gone(b, b->servers, uuid);
	} else if (strcmp(kind, "ipaddrgroup") == 0) {
		link_each(b->link, each_pool, b); /* it may hold servers */
	}
}

static int each_object(void *arg, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	(void)revision;
	(void)object;
	books_follow(arg, kind, uuid);
	return 0;
}

void books_follow_all(struct books *b)
{
	link_each(b->link, each_object, b);
}

void books_names(struct books *b, json_t *names)
{
	json_decref(b->names);
	b->names = json_incref(names);
	link_each(b->link, each_pool, b);
}

static int each_policy(void *arg, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	struct books *b = arg;
	const char *ref = json_str(object, "network_security_policy_ref", "");

	(void)revision;
	if (strcmp(kind, "virtualservice") == 0)
		rules(b, uuid, *ref ? link_object(b->link, "networksecuritypolicy", ref_target(ref)) : NULL);
	return 0;
}

void books_policies(struct books *b)
{
	link_each(b->link, each_policy, b);
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
	bool in_lots = set == &counters_server && b->lot != LOTS;
	json_t *out = json_object(), *value, *read;
	const char *name;

	json_object_foreach(slots, name, value) {
		unsigned slot = (unsigned)json_integer_value(value);

		if (in_lots && slot < COUNTERS_SLOTS && slot % LOTS != b->lot)
			continue;
		read = read_slot(b, set, slot, all);
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
	b->turn++;
	b->lot = b->many && !all ? b->turn % LOTS : LOTS;
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
