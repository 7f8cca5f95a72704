#include "controller/rest/multipart.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/base.h"
#include "base/json.h"

/* ---- parameters of a header ---------------------------------------------------------------- */

static bool is_token(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t");
}

/* TOKEN or "quoted" at P into OUT; NULL when it is neither, or too long. */
static const char *value_read(const char *p, char *out, size_t size)
{
	size_t n = 0;

	if (*p != '"') {
		for (; is_token(*p) || (*p && strchr("/:=?()", *p)); p++) {
			if (n + 1 >= size)
				return NULL;
			out[n++] = *p;
		}
		out[n] = '\0';
		return n ? p : NULL;
	}
	for (p++; *p != '"'; p++) {
		/* Only these two are escaped; a file name of Windows is full of backslashes. */
		if (*p == '\\' && (p[1] == '"' || p[1] == '\\'))
			p++;
		if (!*p || n + 1 >= size)
			return NULL;
		out[n++] = *p;
	}
	out[n] = '\0';
	return p + 1;
}

/*
 * The next of "; name=value" at *P; 1: there was one, 0: that was the last, -EINVAL.
 */
static int parameter(const char **p, char *name, size_t name_size, char *value, size_t value_size)
{
	const char *s = skip_blanks(*p);
	size_t n = 0;

	if (!*s)
		return 0;
	if (*s++ != ';')
		return -EINVAL;
	s = skip_blanks(s);
	if (!*s) {
		*p = s;
		return 0;
	}
	for (; is_token(*s); s++) {
		if (n + 1 >= name_size)
			return -EINVAL;
		name[n++] = *s;
	}
	name[n] = '\0';
	if (n == 0 || *s != '=')
		return -EINVAL;
	s = value_read(s + 1, value, value_size);
	if (!s)
		return -EINVAL;
	*p = s;
	return 1;
}

int multipart_init(struct multipart *m, const char *content_type, struct multipart_user *user,
		   struct err *e)
{
	static const char type[] = "multipart/form-data";
	char name[32], value[MULTIPART_BOUNDARY_MAX + 1];
	const char *p = content_type + strlen(type);
	int rc;

	*m = (struct multipart){ .user = user };
	if (strncasecmp(content_type, type, strlen(type)) != 0)
		return err_set(e, -EINVAL, NULL, "The body must be multipart/form-data.");
	while ((rc = parameter(&p, name, sizeof(name), value, sizeof(value))) > 0) {
		if (strcasecmp(name, "boundary") != 0)
			continue;
		if (m->delimiter_len || !*value || strpbrk(value, "\r\n"))
			break;
		m->delimiter_len = (size_t)snprintf(m->delimiter, sizeof(m->delimiter),
						    "\r\n--%s", value);
		/* At the very start of the body there is no line to end. */
		m->matched = 2;
	}
	if (rc != 0 || !m->delimiter_len)
		return err_set(e, -EINVAL, NULL,
			       "The Content-Type has no boundary of 1 to %d characters.",
			       MULTIPART_BOUNDARY_MAX);
	return 0;
}

/* ---- the head of a part --------------------------------------------------------------------- */

/* "%41" and the like, of filename*. */
static bool percent_decode(char *s)
{
	char *out = s;

	for (; *s; s++) {
		char hex[3] = { 0 };
		char *end;

		if (*s != '%') {
			*out++ = *s;
			continue;
		}
		memcpy(hex, s + 1, strnlen(s + 1, 2));
		*out = (char)strtol(hex, &end, 16);
		if (end != hex + 2 || *out++ == '\0')
			return false;
		s += 2;
	}
	*out = '\0';
	return true;
}

struct disposition {
	char name[128], file[1024];
	bool has_name, has_file;
};

static int disposition_read(struct disposition *d, const char *p, struct err *e)
{
	char name[32], value[sizeof(d->file)];
	static const char utf8[] = "utf-8''";
	int rc;

	if (strncasecmp(p, "form-data", 9) != 0)
		return err_set(e, -EINVAL, NULL, "A part is no form-data.");
	p += 9;
	while ((rc = parameter(&p, name, sizeof(name), value, sizeof(value))) > 0) {
		if (strcasecmp(name, "name") == 0 && !d->has_name) {
			if (strlen(value) >= sizeof(d->name))
				return err_set(e, -EINVAL, NULL, "The name of a part is too long.");
			snprintf(d->name, sizeof(d->name), "%s", value);
			d->has_name = true;
		} else if (strcasecmp(name, "filename") == 0 && !d->has_file) {
			snprintf(d->file, sizeof(d->file), "%s", value);
			d->has_file = true;
		} else if (strcasecmp(name, "filename*") == 0) {
			if (strncasecmp(value, utf8, strlen(utf8)) != 0 || !percent_decode(value))
				return err_set(e, -EINVAL, NULL,
					       "The name of a file is in an unknown encoding.");
			snprintf(d->file, sizeof(d->file), "%s", value + strlen(utf8));
			d->has_file = true;
		} else if (strcasecmp(name, "name") == 0 || strcasecmp(name, "filename") == 0) {
			return err_set(e, -EINVAL, NULL, "A part has two names.");
		}
	}
	if (rc < 0 || !d->has_name)
		return err_set(e, -EINVAL, NULL, "The Content-Disposition of a part cannot be read.");
	return 0;
}

/* Lines of the head, each with its CRLF; behind the last one is a NUL. */
static int head_read(struct multipart *m, struct err *e)
{
	struct disposition d = { 0 };
	char *line = m->head, *next;
	int rc;

	if (memchr(m->head, '\0', m->head_len))
		return err_set(e, -EINVAL, NULL, "The head of a part holds a NUL.");
	for (; *line; line = next) {
		char *end = strstr(line, "\r\n"), *colon;

		must(end);
		*end = '\0';
		next = end + 2;
		colon = strchr(line, ':');
		if (!colon || colon == line || strpbrk(line, "\r\n"))
			return err_set(e, -EINVAL, NULL, "A line in the head of a part is no header.");
		*colon = '\0';
		colon = (char *)skip_blanks(colon + 1);
		if (strcasecmp(line, "Content-Disposition") == 0) {
			rc = d.has_name ? err_set(e, -EINVAL, NULL, "A part has two names.")
					: disposition_read(&d, colon, e);
			if (rc < 0)
				return rc;
		} else if (strcasecmp(line, "Content-Transfer-Encoding") == 0 &&
			   strcasecmp(colon, "binary") != 0 && strcasecmp(colon, "8bit") != 0 &&
			   strcasecmp(colon, "7bit") != 0) {
			return err_set(e, -EINVAL, NULL, "The transfer encoding of a part is unknown.");
		}
	}
	if (!d.has_name)
		return err_set(e, -EINVAL, NULL, "A part has no Content-Disposition.");
	if (++m->parts > MULTIPART_PARTS_MAX)
		return err_set(e, -EINVAL, NULL, "The body has more than %d parts.",
			       MULTIPART_PARTS_MAX);
	return m->user->part(m->user, d.name, d.has_file ? d.file : NULL, e);
}

/* ---- the walk ---------------------------------------------------------------------------------- */

static int give(struct multipart *m, const char *data, size_t len, struct err *e)
{
	if (len == 0)
		return 0;
	if (!m->in_part)
		return err_set(e, -EINVAL, NULL, "The body does not begin with its boundary.");
	return m->user->data(m->user, data, len, e);
}

/* Data up to the delimiter, or all there is. Bytes taken, or a negative errno. */
static ssize_t take_data(struct multipart *m, const char *data, size_t len, struct err *e)
{
	size_t start = 0, i = 0;
	int rc = 0;

	while (i < len && rc == 0) {
		if (m->matched == 0) {
			const char *cr = memchr(data + i, '\r', len - i);

			i = cr ? (size_t)(cr - data) : len;
			rc = give(m, data + start, i - start, e);
			if (rc < 0 || !cr)
				break;
			start = i;
			m->matched = 1;
			i++;
			continue;
		}
		if (data[i] == m->delimiter[m->matched]) {
			i++;
			if (++m->matched < m->delimiter_len)
				continue;
			m->matched = 0;
			m->state = MULTIPART_TAIL;
			m->tail_len = 0;
			if (m->in_part)
				rc = m->user->part_over(m->user, e);
			return rc < 0 ? rc : (ssize_t)i;
		}
		/*
		 * Not the delimiter after all: what looked like it is data. No other beginning of it
		 * can be in there, because of its one CR.
		 */
		rc = give(m, m->delimiter, m->matched, e);
		m->matched = 0;
		start = i;
	}
	return rc < 0 ? rc : (ssize_t)len;
}

/* Behind the delimiter: "--" ends the body, a line's end begins a head. */
static ssize_t take_tail(struct multipart *m, const char *data, struct err *e)
{
	m->tail[m->tail_len++] = *data;
	if (m->tail_len < 2)
		return 1;
	if (memcmp(m->tail, "--", 2) == 0) {
		if (m->parts == 0)
			return err_set(e, -EINVAL, NULL, "The body has no parts.");
		m->state = MULTIPART_OVER;
	} else if (memcmp(m->tail, "\r\n", 2) == 0) {
		m->state = MULTIPART_HEAD;
		m->head_len = 0;
	} else {
		return err_set(e, -EINVAL, NULL, "The boundary is followed by something else.");
	}
	return 1;
}

static ssize_t take_head(struct multipart *m, const char *data, struct err *e)
{
	int rc;

	if (m->head_len + 1 >= sizeof(m->head))
		return err_set(e, -EINVAL, NULL, "The head of a part is longer than %d bytes.",
			       MULTIPART_HEAD_MAX);
	m->head[m->head_len++] = *data;
	/* An empty line ends it, also as the first. */
	if (*data != '\n' || m->head_len < 2 || m->head[m->head_len - 2] != '\r' ||
	    (m->head_len > 2 &&
	     (m->head_len < 4 || memcmp(m->head + m->head_len - 4, "\r\n", 2) != 0)))
		return 1;
	m->head_len -= 2;
	m->head[m->head_len] = '\0';
	rc = head_read(m, e);
	m->state = MULTIPART_DATA;
	m->in_part = true;
	return rc < 0 ? rc : 1;
}

int multipart_feed(struct multipart *m, const char *data, size_t len, struct err *e)
{
	while (len) {
		ssize_t n = 0;

		switch (m->state) {
		case MULTIPART_DATA:
			n = take_data(m, data, len, e);
			break;
		case MULTIPART_TAIL:
			n = take_tail(m, data, e);
			break;
		case MULTIPART_HEAD:
			n = take_head(m, data, e);
			break;
		case MULTIPART_OVER:
			return 0;
		}
		if (n < 0)
			return (int)n;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int multipart_end(const struct multipart *m, struct err *e)
{
	if (m->state == MULTIPART_OVER)
		return 0;
	return err_set(e, -EINVAL, NULL, "The body ends before its closing boundary.");
}
