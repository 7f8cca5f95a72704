#include "engine/books.h"

#include "base/base.h"
#include "engine/address.h"
#include "model/structs.h"

struct books {
	struct counters *counters;
	json_t *services;           /* uuid -> slot */
	json_t *servers;            /* pool uuid -> {"ip:port": slot} */
	json_t *news;               /* a `slots` message in the making; NULL: none */
	unsigned next;              /* where the search for a free slot goes on */
	bool taken[COUNTERS_SLOTS];
};

struct books *books_new(struct counters *c)
{
	struct books *b = xcalloc(1, sizeof(*b));

	b->counters = c;
	b->services = json_object();
	b->servers = json_object();
	return b;
}

void books_free(struct books *b)
{
	if (!b)
		return;
	json_decref(b->services);
	json_decref(b->servers);
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

static json_t *message(json_t *services, json_t *servers)
{
	return json_pack("{s:s, s:o, s:o}", "type", "slots", "services", services, "servers", servers);
}

static json_t *news(struct books *b, const char *what)
{
	if (!b->news)
		b->news = message(json_object(), json_object());
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
}

static void server_name(char *out, size_t size, const struct pool *p, const struct server *s)
{
	union address a;
	char ip[ADDRESS_TEXT];

	/* As backend_new() words it: one form for an address, whatever the configuration wrote. */
	out[0] = '\0';
	if (address_parse(&a, s->ip->addr, 0) < 0)
		return;
	address_ip(&a, ip);
	snprintf(out, size, "%s:%lld", ip, (long long)(s->has_port && s->port ? s->port : p->default_server_port));
}

void books_pool(struct books *b, const char *uuid, const struct pool *p)
{
	json_t *old = json_object_get(b->servers, uuid), *now = json_object(), *fresh = json_object(), *slot;
	const char *key;

	for (size_t i = 0; i < p->servers_n; i++) {
		char name[ADDRESS_TEXT + 8];

		server_name(name, sizeof(name), p, &p->servers[i]);
		if (!name[0] || json_object_get(now, name))
			continue;
		slot = json_object_get(old, name);
		if (slot) {
			json_object_set(now, name, slot);
			continue;
		}
		slot = json_integer(slot_take(b));
		json_object_set(fresh, name, slot);
		json_object_set_new(now, name, slot);
	}
	json_object_foreach(old, key, slot)
		if (!json_object_get(now, key))
			slot_give(b, slot);
	json_object_set_new(b->servers, uuid, now);
	if (json_object_size(fresh))
		json_object_set(news(b, "servers"), uuid, fresh);
	json_decref(fresh);
}

void books_pool_gone(struct books *b, const char *uuid)
{
	json_t *slots = json_object_get(b->servers, uuid), *slot;
	const char *key;

	json_object_foreach(slots, key, slot)
		slot_give(b, slot);
	json_object_del(b->servers, uuid);
}

json_t *books_all(struct books *b)
{
	json_decref(b->news);
	b->news = NULL;
	return message(json_deep_copy(b->services), json_deep_copy(b->servers));
}

json_t *books_news(struct books *b)
{
	json_t *m = b->news;

	b->news = NULL;
	return m;
}

json_t *books_read(const struct books *b)
{
	json_t *services = json_object(), *servers = json_object(), *slots, *slot;
	const char *uuid, *name;

	json_object_foreach(b->services, uuid, slot)
		json_object_set_new(services, uuid,
				    counters_read(b->counters, &counters_service, (unsigned)json_integer_value(slot)));
	json_object_foreach(b->servers, uuid, slots) {
		json_t *pool = json_object();

		json_object_foreach(slots, name, slot)
			json_object_set_new(pool, name, counters_read(b->counters, &counters_server,
								      (unsigned)json_integer_value(slot)));
		json_object_set_new(servers, uuid, pool);
	}
	return json_pack("{s:o, s:o, s:o}", "services", services, "servers", servers, "engine",
			 counters_read(b->counters, &counters_engine, 0));
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
