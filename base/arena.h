/*
 * arena - memory that dies at once.
 *
 * Everything taken from an arena lives until arena_fini(), after which it may
 * be used anew; nothing is freed by itself. A configuration is one arena.
 */
#ifndef SPANWIRE_BASE_ARENA_H
#define SPANWIRE_BASE_ARENA_H

#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *chunk; /* the newest; older ones hang behind it */
	size_t used;               /* bytes taken of it */
	size_t total;              /* bytes of all chunks */
	size_t limit;              /* most bytes of all chunks; 0: none */
	size_t grain;              /* bytes of a chunk, at least; 0: 4096 */
};

#define ARENA_INIT { 0 }

void arena_fini(struct arena *a);
/* Zeroed, aligned to 16. NULL only when the arena has a limit and reached it. */
void *arena_get(struct arena *a, size_t n);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_strdup(struct arena *a, const char *s);

#endif
