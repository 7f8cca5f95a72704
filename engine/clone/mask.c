#include "engine/clone/mask.h"

#include "base/base.h"

#define STATUS_AT 9            /* HTTP/1.1 200 */
#define LINE_SEEN (1u << 30)

#define CHUNK_MAX (UINT64_MAX >> 5)

enum { LINE, NAME, BLANKS, VALUE, REST, LAST, SIZE, EXTENSION, CHUNK, CHUNK_END };

static const char framing[] = "transfer-encoding";

void mask_begin(struct mask *m)
{
	*m = (struct mask){ .state = REST, .first = true };
}

static void line_ends(struct mask *m)
{
	m->first = false;
	m->state = LINE;
	m->at = 0;
}

static void head_ends(struct mask *m)
{
	bool again = m->interim, chunks = m->chunked && !m->trailers;

	mask_begin(m);
	m->done = !again && !chunks;
	if (!again && chunks) {
		m->state = SIZE;
		m->first = false;
	}
}

/* Of a line that says the size of a chunk. */
static void size_goes_on(struct mask *m, char c)
{
	unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);

	if (c == '\n' && m->left) {
		m->state = CHUNK;
	} else if (c == '\n') {
		m->trailers = true;
		line_ends(m);
	} else if (m->state == SIZE && digit < 16 && m->left <= CHUNK_MAX) {
		m->left = m->left << 4 | digit;
	} else {
		m->state = EXTENSION;
	}
}

size_t mask_pass(struct mask *m, size_t n)
{
	if (m->state != CHUNK)
		return 0;
	n = MIN(n, m->left);
	m->left -= n;
	if (!m->left)
		m->state = CHUNK_END;
	return n;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Of the names that may be, those that go on with C; at a colon one that is over. */
static void name_goes_on(struct mask *m, const struct mask_names *names, char c)
{
	uint32_t maybe = m->maybe;
	bool blank = c == ' ' || c == '\t'; /* before the colon: illegal, and seen before anybody refuses it */

	/* As below; whoever wrote blanks there is refused. */
	m->chunked |= m->framing && c == ':' && !framing[m->at];
	m->framing = m->framing && c && c != ':' && framing[m->at] == lower(c);
	m->maybe = 0;
	for (size_t i = 0; i < names->n && maybe; i++) {
		const char *name = names->names[i];

		if (!(maybe & 1u << i))
			continue;
		/* What precedes AT is equal, so the name is at least so long. */
		if (c == ':' && !name[m->at]) {
			m->state = BLANKS;
			m->hides = true;
			return;
		}
		if (blank ? !name[m->at] : c && c != ':' && name[m->at] == lower(c))
			m->maybe |= 1u << i;
	}
	m->at += !blank;
	if (c == ':' || (!m->maybe && !m->framing))
		m->state = REST;
}

static void line_begins(struct mask *m, const struct mask_names *names, char c)
{
	switch (c) {
	case '\n':
		head_ends(m);
		return;
	case '\r':
		m->state = LAST;
		return;
	case ' ':
	case '\t': /* it goes on */
		m->state = m->hides ? VALUE : REST;
		return;
	}
	m->hides = false;
	m->maybe = names->n == MASK_NAMES ? UINT32_MAX : (1u << names->n) - 1;
	m->framing = true;
	m->state = NAME;
	name_goes_on(m, names, c);
}

/* Only of the first line: is it an interim answer's? */
static void status_goes_on(struct mask *m, char c)
{
	if (m->at == 0)
		m->interim = c == 'H';
	else if (m->at == STATUS_AT)
		m->interim &= c == '1';
	else if (m->at == STATUS_AT + 1)
		m->maybe = c == '0';
	else if (m->at == STATUS_AT + 2)
		m->interim &= !m->maybe || c != '1';
	else if (m->at < STATUS_AT && m->at < 5)
		m->interim &= c == "HTTP/"[m->at];
	m->at = MIN(m->at + 1, LINE_SEEN);
}

size_t mask_run(struct mask *m, const struct mask_names *names, char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && !m->done; i++) {
		char c = p[i];

		switch (m->state) {
		case LINE:
			line_begins(m, names, c);
			continue;
		case LAST:
			if (c == '\n') {
				head_ends(m);
				continue;
			}
			line_begins(m, names, c); /* a lone CR */
			continue;
		case SIZE:
		case EXTENSION:
			size_goes_on(m, c);
			continue;
		case CHUNK:
			i += mask_pass(m, n - i) - 1;
			continue;
		case CHUNK_END:
			if (c == '\n')
				m->state = SIZE;
			continue;
		case NAME:
			if (c == '\n')
				break;
			name_goes_on(m, names, c);
			continue;
		case BLANKS:
			if (c == ' ' || c == '\t')
				continue;
			m->state = VALUE;
			break;
		default:
			break;
		}
		if (m->first)
			status_goes_on(m, c);
		if (c == '\n')
			line_ends(m);
		else if (m->state == VALUE && c != '\r')
			p[i] = '*';
	}
	return i;
}
