#include "engine/persist.h"

#include <pthread.h>
#include <sys/random.h>

#include "base/base.h"
#include "base/list.h"
#include "base/table.h"
#include "engine/lb/hash.h"

struct entry {
	struct table_link link;
	struct list seen;          /* in stripe->seen */
	uint8_t key[16];
	struct backend *backend;   /* a reference */
	uint64_t until;
};

struct stripe {
	pthread_mutex_t lock;
	struct table clients;
	struct list seen;          /* the one seen longest ago is first */
	unsigned n;
};

struct persist {
	unsigned max;              /* of a stripe */
	uint64_t seed;             /* nobody can choose addresses that meet in one place */
	struct stripe stripes[PERSIST_STRIPES];
};

struct persist *persist_new(unsigned max)
{
	struct persist *p = xcalloc(1, sizeof(*p));

	p->max = max / PERSIST_STRIPES;
	must(getrandom(&p->seed, sizeof(p->seed), 0) == sizeof(p->seed));
	for (unsigned i = 0; i < PERSIST_STRIPES; i++) {
		pthread_mutex_init(&p->stripes[i].lock, NULL);
		list_init(&p->stripes[i].seen);
	}
	return p;
}

static void entry_drop(struct stripe *s, struct entry *e)
{
	table_take(&s->clients, &e->link);
	list_remove(&e->seen);
	s->n--;
	backend_put(e->backend);
	free(e);
}

void persist_free(struct persist *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < PERSIST_STRIPES; i++) {
		struct stripe *s = &p->stripes[i];

		while (!list_empty(&s->seen))
			entry_drop(s, LIST_ENTRY(s->seen.next, struct entry, seen));
		table_fini(&s->clients);
		pthread_mutex_destroy(&s->lock);
	}
	free(p);
}

static uint64_t hash_of(const struct persist *p, const uint8_t key[static 16])
{
	uint64_t half[2];

	memcpy(half, key, sizeof(half));
	return lb_hash_mix(lb_hash_mix(half[0] + p->seed) ^ half[1]);
}

static struct stripe *stripe_of(struct persist *p, uint64_t hash)
{
	return &p->stripes[hash >> 32 & (PERSIST_STRIPES - 1)];
}

static struct entry *entry_find(struct stripe *s, uint64_t hash, const uint8_t key[static 16])
{
	for (struct table_link *l = table_first(&s->clients, hash); l; l = table_next(l)) {
		struct entry *e = CONTAINER_OF(l, struct entry, link);

		if (memcmp(e->key, key, 16) == 0)
			return e;
	}
	return NULL;
}

static void entry_seen(struct stripe *s, struct entry *e, uint64_t until)
{
	e->until = until;
	list_remove(&e->seen);
	list_insert(&s->seen, &e->seen);
}

struct backend *persist_find(struct persist *p, const uint8_t key[static 16], uint64_t now, uint64_t keep_ns)
{
	uint64_t hash = hash_of(p, key);
	struct stripe *s = stripe_of(p, hash);
	struct backend *b = NULL;
	struct entry *e;

	pthread_mutex_lock(&s->lock);
	e = entry_find(s, hash, key);
	if (e && e->until > now) {
		entry_seen(s, e, now + keep_ns);
		b = backend_get(e->backend);
	} else if (e) {
		entry_drop(s, e);
	}
	pthread_mutex_unlock(&s->lock);
	return b;
}

bool persist_set(struct persist *p, const uint8_t key[static 16], struct backend *b, uint64_t now, uint64_t keep_ns)
{
	uint64_t hash = hash_of(p, key);
	struct stripe *s = stripe_of(p, hash);
	bool forgot = false;
	struct entry *e;

	pthread_mutex_lock(&s->lock);
	e = entry_find(s, hash, key);
	if (!e) {
		if (s->n >= p->max) {
			struct entry *oldest = LIST_ENTRY(s->seen.next, struct entry, seen);

			forgot = oldest->until > now;
			entry_drop(s, oldest);
		}
		e = xcalloc(1, sizeof(*e));
		memcpy(e->key, key, 16);
		list_init(&e->seen);
		table_put(&s->clients, &e->link, hash);
		s->n++;
	}
	backend_get(b);
	backend_put(e->backend);
	e->backend = b;
	entry_seen(s, e, now + keep_ns);
	pthread_mutex_unlock(&s->lock);
	return forgot;
}

void persist_key(const union address *client, unsigned mask, uint8_t key[static 16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	address_mapped(client, key);
	if (!mask)
		return;
	if (memcmp(key, mapped, sizeof(mapped)) == 0)
		mask = 96 + MIN(mask, 32u);
	for (unsigned bit = mask; bit < 128; bit++)
		key[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
}
