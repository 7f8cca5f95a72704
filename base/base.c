#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void (*must_hook)(void);

void must_failed(const char *file, int line, const char *func, const char *cond)
{
	fprintf(stderr, "must_failed file=%s line=%d func=%s cond=\"%s\"\n", file, line, func, cond);
	if (must_hook) {
		void (*hook)(void) = must_hook;

		must_hook = NULL; /* a hook that fails itself must not come back here */
		hook();
	}
	abort();
}

static void *checked(void *p)
{
	if (p)
		return p;
	fputs("out_of_memory\n", stderr);
	abort();
}

void *xmalloc(size_t n)
{
	return checked(malloc(n ? n : 1));
}

void *xcalloc(size_t n, size_t size)
{
	return checked(calloc(n ? n : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t n)
{
	return checked(realloc(p, n ? n : 1));
}

void *one_more(void *array, size_t n, size_t size)
{
	return n & (n - 1) ? array : xrealloc(array, (n ? 2 * n : 1) * size);
}

char *xstrdup(const char *s)
{
	return checked(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
	return checked(strndup(s, n));
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return checked(s);
}

void cleanup_free(void *p)
{
	free(*(void **)p);
}

void cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

uint64_t mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t wall_us(void)
{
	return wall_ns() / NS_PER_US;
}

void random_bytes(void *p, size_t n)
{
	char *at = p;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0) {
			must(errno == EINTR);
			continue;
		}
		at += got;
		n -= (size_t)got;
	}
}

void hex_encode(char *out, const void *p, size_t n)
{
	static const char digit[] = "0123456789abcdef";
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++) {
		*out++ = digit[b[i] >> 4];
		*out++ = digit[b[i] & 15];
	}
	*out = '\0';
}

void uuid4(char out[static 37])
{
	uint8_t b[16];
	char hex[33];

	random_bytes(b, sizeof(b));
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	hex_encode(hex, b, sizeof(b));
	snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

bool secret_equal(const void *a, const void *b, size_t n)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t diff = 0;

	for (size_t i = 0; i < n; i++)
		diff |= x[i] ^ y[i];
	return diff == 0;
}

int file_read(const char *path, size_t max, char **out, size_t *len)
{
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP_FREE char *buf = NULL;
	size_t have = 0, room = 4096;

	if (fd < 0)
		return -errno;
	buf = xmalloc(room + 1);
	for (;;) {
		ssize_t got = read(fd, buf + have, room - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		have += (size_t)got;
		if (have > max)
			return -EFBIG;
		if (have == room) {
			room *= 2;
			buf = xrealloc(buf, room + 1);
		}
	}
	buf[have] = '\0';
	*out = buf;
	buf = NULL;
	if (len)
		*len = have;
	return 0;
}

static int write_synced(const char *path, const void *data, size_t len, unsigned mode)
{
	CLEANUP_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	const char *at = data;

	if (fd < 0)
		return -errno;
	if (fchmod(fd, mode) < 0) /* the umask must not decide, nor a file left from before */
		return -errno;
	while (len > 0) {
		ssize_t put = write(fd, at, len);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		at += put;
		len -= (size_t)put;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int file_replace(const char *path, const void *data, size_t len, unsigned mode)
{
	CLEANUP_FREE char *beside = xasprintf("%s.new", path);
	CLEANUP_FREE char *copy = xstrdup(path);
	CLEANUP_FD int dir = -1;
	int rc = write_synced(beside, data, len, mode);

	if (rc == 0 && rename(beside, path) < 0)
		rc = -errno;
	if (rc < 0) {
		unlink(beside);
		return rc;
	}
	dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fsync(dir) < 0)
		return -errno;
	return 0;
}
