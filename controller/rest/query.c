#include "controller/rest/query.h"

#include <errno.h>
#include <strings.h>

#include "base/base.h"
#include "base/json.h"
#include "base/moment.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The JSON library knows UTF-8; a second decoder would be a second opinion. */
static bool text_is_clean(const char *s, size_t n)
{
	json_t *v = json_stringn(s, n);

	json_decref(v);
	for (size_t i = 0; v && i < n; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return false;
	return v != NULL;
}

/*
 * Decode N bytes at S to OUT, which takes N + 1. Length or -EINVAL. In a query (PLUS) a percent sign that begins no escape
 * is one: the Go SDK asks for `?name=100%`.
 */
static int decode(const char *s, size_t n, bool plus, char *out, struct err *e)
{
	size_t o = 0;

	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (c == '+' && plus) {
			c = ' ';
		} else if (c == '%') {
			int hi, lo;

			hi = n - i < 3 ? -1 : hex_digit(s[i + 1]);
			lo = n - i < 3 ? -1 : hex_digit(s[i + 2]);
			if (hi >= 0 && lo >= 0) {
				c = (char)(hi << 4 | lo);
				i += 2;
			} else if (!plus) {
				return err_set(e, -EINVAL, NULL,
					       "'%.*s' in the URL is not a percent escape.",
					       (int)MIN(n - i, 3), s + i);
			}
		}
		out[o++] = c;
	}
	out[o] = '\0';
	if (!text_is_clean(out, o))
		return err_set(e, -EINVAL, NULL,
			       "The URL holds invalid UTF-8 or a control character.");
	return (int)o;
}

int query_parse(struct query *q, const char *text, size_t len, struct err *e)
{
	size_t n = 1, room = 0;
	char *mem;

	memset(q, 0, sizeof(*q));
	for (size_t i = 0; i < len; i++)
		n += text[i] == '&';
	if (n > QUERY_ARGS_MAX)
		return err_set(e, -EINVAL, NULL, "The URL has more than %d parameters.",
			       QUERY_ARGS_MAX);
	q->arg = xcalloc(n, sizeof(*q->arg));
	q->mem = mem = xmalloc(len + 2 * n + 1);
	for (size_t at = 0; at < len;) {
		const char *s = text + at;
		const char *amp = memchr(s, '&', len - at);
		size_t part = amp ? (size_t)(amp - s) : len - at;
		const char *eq = memchr(s, '=', part);
		size_t name = eq ? (size_t)(eq - s) : part;
		struct query_arg *a = &q->arg[q->n];
		int rc;

		at += part + 1;
		if (part == 0)
			continue;
		rc = decode(s, name, true, mem + room, e);
		if (rc < 0)
			goto bad;
		a->name = mem + room;
		room += (size_t)rc + 1;
		rc = decode(eq ? eq + 1 : "", eq ? part - name - 1 : 0, true, mem + room, e);
		if (rc < 0)
			goto bad;
		a->value = mem + room;
		room += (size_t)rc + 1;
		q->n++;
	}
	return 0;
bad:
	query_fini(q);
	return -EINVAL;
}

void query_fini(struct query *q)
{
	free(q->arg);
	free(q->mem);
	memset(q, 0, sizeof(*q));
}

const char *query_get(const struct query *q, const char *name)
{
	for (size_t i = 0; i < q->n; i++)
		if (strcmp(q->arg[i].name, name) == 0)
			return q->arg[i].value;
	return NULL;
}

bool query_flag(const struct query *q, const char *name)
{
	const char *v = query_get(q, name);

	return v && strcasecmp(v, "false") != 0 && strcmp(v, "0") != 0;
}

int query_int(const struct query *q, const char *name, int64_t min, int64_t max, bool cap,
	      int64_t dflt, int64_t *out, struct err *e)
{
	const char *v = query_get(q, name);
	char *end;
	long long n;

	*out = dflt;
	if (!v || !*v)
		return 0;
	errno = 0;
	n = strtoll(v, &end, 10);
	if (*end || end == v || (errno && !cap) || n < min || (n > max && !cap))
		return err_set(e, -EINVAL, name, "'%.40s' is not a number from %lld to %lld.", v,
			       (long long)min, (long long)max);
	*out = MIN(n, max);
	return 0;
}

int query_moment(const char *name, const char *text, uint64_t *us, struct err *e)
{
	if (!text || !*text || moment_read(text, us) == 0)
		return 0;
	return err_set(e, -EINVAL, name, "'%.40s' is not a time such as 2024-05-01T12:00:00.000000Z.", text);
}

void query_escape(const char *s, struct buf *out)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    strchr("-._~,:", c))
			buf_put(out, s, 1);
		else
			buf_printf(out, "%%%02X", c);
	}
}

void query_rebuild(const struct query *q, const char *without, struct buf *out)
{
	bool first = true;

	for (size_t i = 0; i < q->n; i++) {
		if (strcmp(q->arg[i].name, without) == 0)
			continue;
		if (!first)
			buf_put(out, "&", 1);
		first = false;
		query_escape(q->arg[i].name, out);
		buf_put(out, "=", 1);
		query_escape(q->arg[i].value, out);
	}
}

int path_normalise(const char *target, char *out, size_t size, struct err *e)
{
	size_t n = strcspn(target, "?#"), o = 0;
	CLEANUP_FREE char *text = xmalloc(n + 1);
	int rc;

	if (n == 0 || target[0] != '/')
		return err_set(e, -EINVAL, NULL, "The request target must be a path.");
	rc = decode(target, n, false, text, e);
	if (rc < 0)
		return rc;
	for (const char *p = text; *p;) {
		size_t seg;

		p += strspn(p, "/");
		seg = strcspn(p, "/");
		if (seg == 0)
			break;
		/* A backslash is a slash to somebody, somewhere. */
		if ((seg == 1 && p[0] == '.') || memchr(p, '\\', seg) ||
		    (seg == 2 && memcmp(p, "..", 2) == 0))
			return err_set(e, -EINVAL, NULL,
				       "The path must not contain '.', '..' or a backslash.");
		if (o + seg + 2 > size)
			return err_set(e, -EINVAL, NULL, "The path is too long.");
		out[o++] = '/';
		memcpy(out + o, p, seg);
		o += seg;
		p += seg;
	}
	if (o == 0)
		out[o++] = '/';
	out[o] = '\0';
	return 0;
}

int cookie_each(const char *line, int (*f)(void *arg, const char *name, const char *value),
		void *arg)
{
	CLEANUP_FREE char *copy = xstrdup(line);
	char *next = copy, *part;

	while ((part = strsep(&next, ";"))) {
		char *value = strchr(part, '=');
		size_t n;
		int rc;

		part += strspn(part, " \t");
		if (!value || value < part)
			continue;
		*value++ = '\0';
		n = strlen(value);
		while (n && (value[n - 1] == ' ' || value[n - 1] == '\t'))
			value[--n] = '\0';
		if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
			value[n - 1] = '\0';
			value++;
		}
		rc = f(arg, part, value);
		if (rc)
			return rc;
	}
	return 0;
}
