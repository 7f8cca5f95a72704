#include "base/table.h"

#include "base/base.h"

#define TABLE_FIRST_SIZE 64

void table_fini(struct table *t)
{
	free(t->heads);
	*t = (struct table)TABLE_INIT;
}

static void append(struct table *t, struct table_link *l)
{
	struct table_link **at = &t->heads[l->hash & (t->size - 1)];

	while (*at)
		at = &(*at)->next;
	l->next = NULL;
	*at = l;
}

static void grow(struct table *t)
{
	struct table old = *t;

	t->size = old.size ? old.size * 2 : TABLE_FIRST_SIZE;
	t->heads = xcalloc(t->size, sizeof(*t->heads));
	for (size_t i = 0; i < old.size; i++) {
		for (struct table_link *l = old.heads[i], *next; l; l = next) {
			next = l->next;
			append(t, l);
		}
	}
	free(old.heads);
}

void table_put(struct table *t, struct table_link *l, uint64_t hash)
{
	if (t->n >= t->size)
		grow(t);
	l->hash = hash;
	append(t, l);
	t->n++;
}

void table_take(struct table *t, struct table_link *l)
{
	struct table_link **at = &t->heads[l->hash & (t->size - 1)];

	while (*at != l) {
		must(*at);
		at = &(*at)->next;
	}
	*at = l->next;
	l->next = NULL;
	t->n--;
}

struct table_link *table_first(const struct table *t, uint64_t hash)
{
	struct table_link *l = t->size ? t->heads[hash & (t->size - 1)] : NULL;

	while (l && l->hash != hash)
		l = l->next;
	return l;
}

struct table_link *table_next(const struct table_link *l)
{
	struct table_link *n = l->next;

	while (n && n->hash != l->hash)
		n = n->next;
	return n;
}

/* FNV-1a, with the NUL hashed as well and the bits mixed down: the table looks at the low ones. */
uint64_t table_hash(uint64_t seed, const char *s)
{
	uint64_t h = seed;

	do {
		h ^= (unsigned char)*s;
		h *= 0x100000001b3ULL;
	} while (*s++);
	return h ^ (h >> 29);
}
