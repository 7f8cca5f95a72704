/*
 * base - the few things that every file wants: checks, allocation that cannot fail, sizes.
 *
 * must(cond) is for states that cannot be: it prints file, line and condition,
 * runs the hook (which dumps the trace rings) and aborts; it is always compiled
 * in. Bad input is never a must(): it is a value with a path and a sentence.
 *
 * xmalloc and friends serve start-up and configuration; running out there ends
 * the process. Per-connection memory comes from slabs and arenas with a limit.
 */
#ifndef SPANWIRE_BASE_BASE_H
#define SPANWIRE_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h> /* before the poison: it declares what is forbidden */
#include <stdlib.h>
#include <string.h>

#undef sprintf /* a macro of the fortified library under clang */
#pragma GCC poison strcpy strcat sprintf strtok gets

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define must(cond) \
	((cond) ? (void)0 : must_failed(__FILE__, __LINE__, __func__, #cond))

void must_failed(const char *file, int line, const char *func, const char *cond)
	__attribute__((noreturn, cold));

/* Called once before must() aborts; NULL: none. It may only use async-signal-safe functions. */
extern void (*must_hook)(void);

void *xmalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t n) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
/* Room for one more at the end of an array of N that doubles: its length alone tells when. */
void *one_more(void *array, size_t n, size_t size) __attribute__((returns_nonnull));
/* Like asprintf, but cannot fail. Caller frees. */
char *xasprintf(const char *fmt, ...) __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

/* Scope-bound release: `CLEANUP_FREE char *s = xstrdup(...)`, `CLEANUP_FD int fd = -1`. */
void cleanup_free(void *p);
void cleanup_fd(int *fd);
#define CLEANUP_FREE __attribute__((cleanup(cleanup_free)))
#define CLEANUP_FD   __attribute__((cleanup(cleanup_fd)))

/* Nanoseconds of CLOCK_MONOTONIC; what every deadline is made of. */
uint64_t mono_ns(void);
/* Microseconds since 1970; what `_last_modified` and events carry. */
uint64_t wall_us(void);
/* The same in nanoseconds; what the kernel stamps packets with. */
uint64_t wall_ns(void);

#define NS_PER_US 1000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_S  1000000000ULL

/* Fill P with N random bytes from the kernel. Cannot fail. */
void random_bytes(void *p, size_t n);
/* Lower-case hex of N bytes; OUT takes 2*N+1. */
void hex_encode(char *out, const void *p, size_t n);
/* A version-4 UUID in text (RFC 9562), 36 characters and a NUL. */
void uuid4(char out[static 37]);
/* Constant-time comparison of secrets of the same length. */
bool secret_equal(const void *a, const void *b, size_t n);

/*
 * Read a whole file of at most MAX bytes; a NUL follows the contents. Caller frees *OUT.
 * Negative errno; -EFBIG when it is larger.
 */
int file_read(const char *path, size_t max, char **out, size_t *len);
/*
 * Replace PATH by LEN bytes of DATA with MODE: written beside it, synced, renamed, folder synced.
 * After a crash the old or the new contents are there, whole.
 */
int file_replace(const char *path, const void *data, size_t len, unsigned mode);

#endif
