/*
 * table - a hash table of links inside the things it links.
 *
 * It knows hashes, not keys: the caller walks the links of equal hash and
 * compares. Links of equal hash come in the order in which they were put.
 * Putting never fails; the table grows by itself and never shrinks.
 */
#ifndef SPANWIRE_BASE_TABLE_H
#define SPANWIRE_BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_link {
	struct table_link *next;
	uint64_t hash;
};

struct table {
	struct table_link **heads; /* a power of two of them */
	size_t size;
	size_t n; /* links in it */
};

#define TABLE_INIT                                                                                 \
	{                                                                                          \
		0                                                                                  \
	}

/* Forgets the links; what they are in belongs to the caller. */
void table_fini(struct table *t);
void table_put(struct table *t, struct table_link *l, uint64_t hash);
void table_take(struct table *t, struct table_link *l);
/* The first link with this hash, and the one behind it; NULL: no more. */
struct table_link *table_first(const struct table *t, uint64_t hash);
struct table_link *table_next(const struct table_link *l);

/*
 * Hash of a string, going on from SEED, so that a key of several parts is hashed part by part; a
 * part's end counts ("ab","c" and "a","bc" differ). For keys that an operator chooses, not for
 * what a stranger sends.
 */
#define TABLE_SEED 0xcbf29ce484222325ULL
uint64_t table_hash(uint64_t seed, const char *s);

#endif
