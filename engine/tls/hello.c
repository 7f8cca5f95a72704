/*
 * JA3 is the MD5 of "version,ciphers,extensions,groups,formats", in decimal, lists as they stand. JA4 has three
 * parts: what can be read ("t13d1516h2"), and the beginnings of two SHA-256 over sorted lists in hexadecimal.
 */
#include "engine/tls/hello.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>

#include "base/base.h"

#define LIST_MAX 1024

enum {
	EXT_NAME = 0,
	EXT_GROUPS = 10,
	EXT_FORMATS = 11,
	EXT_SIGNATURES = 13,
	EXT_ALPN = 16,
	EXT_VERSIONS = 43,
};

/* ---- reading ---- */

struct span {
	const uint8_t *at;
	size_t n;
	bool broken; /* something was wanted that is not there */
};

static struct span take(struct span *s, size_t n)
{
	struct span out = { s->at, n, false };

	if (s->broken || n > s->n) {
		s->broken = true;
		return (struct span){ .broken = true };
	}
	s->at += n;
	s->n -= n;
	return out;
}

static unsigned number(struct span *s, unsigned bytes)
{
	struct span part = take(s, bytes);
	unsigned v = 0;

	for (unsigned i = 0; i < bytes && !part.broken; i++)
		v = v << 8 | part.at[i];
	return v;
}

/* What has its length before it, in so many bytes. */
static struct span vector(struct span *s, unsigned bytes)
{
	return take(s, number(s, bytes));
}

static bool is_grease(unsigned v)
{
	return (v & 0x0f0f) == 0x0a0a && v >> 8 == (v & 0xff);
}

struct list {
	uint16_t v[LIST_MAX];
	size_t n;
};

static bool list_add(struct list *l, unsigned v)
{
	if (is_grease(v))
		return true;
	if (l->n == LIST_MAX)
		return false;
	l->v[l->n++] = (uint16_t)v;
	return true;
}

static bool list_read(struct list *l, struct span s)
{
	bool fits = true;

	while (s.n && fits && !s.broken)
		fits = list_add(l, number(&s, 2));
	return fits && !s.broken;
}

/* ---- what is found ---- */

struct words {
	unsigned version, highest; /* what is said first, and in the extension */
	struct list ciphers, extensions, groups, signatures;
	uint8_t formats[256];
	size_t n_formats;
	bool name;
	char alpn[2];              /* first and last of the first protocol */
};

static char hex(unsigned v)
{
	return "0123456789abcdef"[v & 15];
}

static bool alpn_read(struct words *w, struct span s)
{
	struct span list = vector(&s, 2), first = vector(&list, 1);

	if (first.broken || !first.n)
		return !first.broken;
	w->alpn[0] = (char)first.at[0];
	w->alpn[1] = (char)first.at[first.n - 1];
	if (isascii(w->alpn[0]) && isalnum(w->alpn[0]) && isascii(w->alpn[1]) && isalnum(w->alpn[1]))
		return true;
	w->alpn[0] = hex(first.at[0] >> 4);
	w->alpn[1] = hex(first.at[first.n - 1]);
	return true;
}

static bool versions_read(struct words *w, struct span s)
{
	struct span list = vector(&s, 1);

	while (list.n && !list.broken) {
		unsigned v = number(&list, 2);

		if (!is_grease(v))
			w->highest = MAX(w->highest, v);
	}
	return !list.broken;
}

static bool extension_read(struct words *w, unsigned type, struct span s)
{
	struct span part;

	switch (type) {
	case EXT_NAME:
		w->name = true;
		return true;
	case EXT_GROUPS:
		return list_read(&w->groups, vector(&s, 2));
	case EXT_SIGNATURES:
		return list_read(&w->signatures, vector(&s, 2));
	case EXT_FORMATS:
		part = vector(&s, 1);
		if (!part.broken)
			memcpy(w->formats, part.at, w->n_formats = part.n);
		return !part.broken;
	case EXT_ALPN:
		return alpn_read(w, s);
	case EXT_VERSIONS:
		return versions_read(w, s);
	default:
		return true;
	}
}

static bool words_read(struct words *w, struct span s)
{
	struct span hello, list;

	if (number(&s, 1) != 1)
		return false;
	hello = vector(&s, 3);
	w->version = w->highest = number(&hello, 2);
	take(&hello, 32);   /* random */
	vector(&hello, 1);  /* session */
	if (!list_read(&w->ciphers, vector(&hello, 2)))
		return false;
	vector(&hello, 1);  /* compression */
	if (hello.broken)
		return false;
	if (!hello.n)
		return true;
	list = vector(&hello, 2);
	while (list.n && !list.broken) {
		unsigned type = number(&list, 2);
		struct span body = vector(&list, 2);

		if (body.broken || !list_add(&w->extensions, type) || !extension_read(w, type, body))
			return false;
	}
	return !list.broken;
}

/* ---- saying it ---- */

struct text {
	char s[LIST_MAX * 6 * 3 + 2048]; /* three lists and what stands around them */
	size_t n;
};

static void add_text(struct text *t, const char *s)
{
	size_t n = strlen(s);

	must(t->n + n < sizeof(t->s));
	memcpy(t->s + t->n, s, n + 1);
	t->n += n;
}

/* In decimal, or four digits of hexadecimal. */
static void add_list(struct text *t, const struct list *l, bool in_hex, const char *between)
{
	char word[8];

	for (size_t i = 0; i < l->n; i++) {
		snprintf(word, sizeof(word), in_hex ? "%04x" : "%u", l->v[i]);
		if (i)
			add_text(t, between);
		add_text(t, word);
	}
}

static void digest(const struct text *t, const EVP_MD *how, char *out, size_t digits)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	char all[EVP_MAX_MD_SIZE * 2 + 1];
	unsigned n = 0;

	must(EVP_Digest(t->s, t->n, sum, &n, how, NULL) == 1);
	hex_encode(all, sum, n);
	memcpy(out, all, digits);
	out[digits] = '\0';
}

static void say_ja3(const struct words *w, struct text *t, struct hello *out)
{
	char word[8];

	t->n = 0;
	snprintf(word, sizeof(word), "%u,", w->version & 0xffff);
	add_text(t, word);
	add_list(t, &w->ciphers, false, "-");
	add_text(t, ",");
	add_list(t, &w->extensions, false, "-");
	add_text(t, ",");
	add_list(t, &w->groups, false, "-");
	add_text(t, ",");
	for (size_t i = 0; i < w->n_formats; i++) {
		snprintf(word, sizeof(word), i ? "-%u" : "%u", w->formats[i]);
		add_text(t, word);
	}
	digest(t, EVP_md5(), out->ja3, 32);
}

static int by_value(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* The beginning of the digest, or zeros where there is nothing. */
static void add_digest(const struct text *of, bool any, char *out)
{
	if (any)
		digest(of, EVP_sha256(), out, 12);
	else
		memcpy(out, "000000000000", 13);
}

static const char *version_word(unsigned v)
{
	static const struct {
		unsigned v;
		const char *word;
	} words[] = { { 0x0304, "13" }, { 0x0303, "12" }, { 0x0302, "11" }, { 0x0301, "10" }, { 0x0300, "s3" }, { 0x0002, "s2" } };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].v == v)
			return words[i].word;
	return "00";
}

static void say_ja4(struct words *w, struct text *t, struct hello *out)
{
	size_t n_extensions = w->extensions.n, kept = 0;
	char ciphers[13], extensions[13];

	qsort(w->ciphers.v, w->ciphers.n, sizeof(w->ciphers.v[0]), by_value);
	t->n = 0;
	add_list(t, &w->ciphers, true, ",");
	add_digest(t, w->ciphers.n, ciphers);
	for (size_t i = 0; i < w->extensions.n; i++)
		if (w->extensions.v[i] != EXT_NAME && w->extensions.v[i] != EXT_ALPN)
			w->extensions.v[kept++] = w->extensions.v[i];
	w->extensions.n = kept;
	qsort(w->extensions.v, w->extensions.n, sizeof(w->extensions.v[0]), by_value);
	t->n = 0;
	add_list(t, &w->extensions, true, ",");
	if (w->signatures.n) {
		add_text(t, "_");
		add_list(t, &w->signatures, true, ",");
	}
	add_digest(t, n_extensions, extensions);
	snprintf(out->ja4, sizeof(out->ja4), "t%s%c%02u%02u%c%c_%s_%s", version_word(w->highest), w->name ? 'd' : 'i',
		 (unsigned)MIN(w->ciphers.n, (size_t)99), (unsigned)MIN(n_extensions, (size_t)99),
		 w->alpn[0] ? w->alpn[0] : '0', w->alpn[1] ? w->alpn[1] : '0', ciphers, extensions);
}

int hello_read(const uint8_t *p, size_t n, struct hello *out)
{
	static _Thread_local struct words w;
	static _Thread_local struct text t;

	memset(&w, 0, sizeof(w));
	if (!words_read(&w, (struct span){ p, n, false }))
		return -EINVAL;
	say_ja3(&w, &t, out);
	say_ja4(&w, &t, out);
	return 0;
}
