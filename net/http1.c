#include "net/http1.h"

#include <strings.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/base.h"

/*
 * A head is read line by line, and a line from left to right, by functions
 * that stop at the first byte that decides. A line is looked at only up to its
 * limit, so the same byte decides whether it came alone or with everything
 * behind it. When the bytes end first, the position stays at the beginning of
 * the line; the little that is read twice is bounded by one line.
 *
 * The inner functions return OK, WAIT, or the enum http1_error that was found.
 */
enum { WAIT = -1, OK = 0 };

struct cursor {
	const char *data;
	size_t at;
	size_t len;                 /* bytes that are there */
	size_t cap;                 /* bytes that may be looked at */
	enum http1_error too_long;  /* when that is not enough */
};

const struct http1_limits http1_limits_default = {
	.line = 12 * 1024, .field = 12 * 1024, .head = 48 * 1024, .fields = 256,
};

static const struct { int status; const char *text, *name; } errors[] = {
#define X(name, status, text) { status, text, #name },
	HTTP1_ERRORS(X)
#undef X
};

int http1_error_status(enum http1_error e)
{
	must(e < HTTP1_E_COUNT);
	return errors[e].status;
}

const char *http1_error_text(enum http1_error e)
{
	must(e < HTTP1_E_COUNT);
	return errors[e].text;
}

const char *http1_error_name(enum http1_error e)
{
	must(e < HTTP1_E_COUNT);
	return errors[e].name;
}

bool http1_method_is_idempotent(enum http1_method m)
{
	switch (m) {
	case HTTP1_M_GET: case HTTP1_M_HEAD: case HTTP1_M_PUT: case HTTP1_M_DELETE:
	case HTTP1_M_OPTIONS: case HTTP1_M_TRACE:
		return true;
	case HTTP1_M_OTHER: case HTTP1_M_POST: case HTTP1_M_PATCH: case HTTP1_M_CONNECT:
		break;
	}
	return false;
}

/* --- characters --- */

enum {
	TOKEN = 1,  /* RFC 9110 section 5.6.2 */
	TEXT = 2,   /* of field values and reasons: visible, obs-text, blank, tab */
	URI = 4,    /* visible ASCII but '#'; '"<>\^`{|}' too, because browsers send them */
	NAME = 8,   /* of a host: unreserved, '%' and sub-delims but the comma */
	DIGIT = 16,
};

static const uint8_t class[256] = {
	['\t'] = TEXT, [' '] = TEXT,
	['0' ... '9'] = TOKEN | TEXT | URI | NAME | DIGIT,
	['A' ... 'Z'] = TOKEN | TEXT | URI | NAME,
	['a' ... 'z'] = TOKEN | TEXT | URI | NAME,
	['!'] = TOKEN | TEXT | URI | NAME, ['$'] = TOKEN | TEXT | URI | NAME,
	['%'] = TOKEN | TEXT | URI | NAME, ['&'] = TOKEN | TEXT | URI | NAME,
	['\''] = TOKEN | TEXT | URI | NAME, ['*'] = TOKEN | TEXT | URI | NAME,
	['+'] = TOKEN | TEXT | URI | NAME, ['-'] = TOKEN | TEXT | URI | NAME,
	['.'] = TOKEN | TEXT | URI | NAME, ['_'] = TOKEN | TEXT | URI | NAME,
	['~'] = TOKEN | TEXT | URI | NAME,
	['#'] = TOKEN | TEXT,
	['^'] = TOKEN | TEXT | URI, ['`'] = TOKEN | TEXT | URI, ['|'] = TOKEN | TEXT | URI,
	['('] = TEXT | URI | NAME, [')'] = TEXT | URI | NAME,
	[';'] = TEXT | URI | NAME, ['='] = TEXT | URI | NAME,
	['"'] = TEXT | URI, [','] = TEXT | URI, ['/'] = TEXT | URI, [':'] = TEXT | URI,
	['<'] = TEXT | URI, ['>'] = TEXT | URI, ['?'] = TEXT | URI, ['@'] = TEXT | URI,
	['['] = TEXT | URI, ['\\'] = TEXT | URI, [']'] = TEXT | URI,
	['{'] = TEXT | URI, ['}'] = TEXT | URI,
	[0x80 ... 0xff] = TEXT,
};

static inline bool is(char c, uint8_t what)
{
	return class[(uint8_t)c] & what;
}

/* First byte from AT on that is not WHAT, or END. */
static inline size_t skip(const char *data, size_t at, size_t end, uint8_t what)
{
	while (at < end && is(data[at], what))
		at++;
	return at;
}

/* The same for TEXT, where most of the bytes are. */
static inline size_t skip_text(const char *data, size_t at, size_t end)
{
#ifdef __SSE2__
	const __m128i top = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'),
		      del = _mm_set1_epi8(0x7f);

	for (; end - at >= 16; at += 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(data + at));
		__m128i control = _mm_cmpeq_epi8(_mm_min_epu8(x, top), x);
		__m128i bad = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(x, tab), control),
					   _mm_cmpeq_epi8(x, del));
		int mask = _mm_movemask_epi8(bad);

		if (mask)
			return at + (size_t)__builtin_ctz((unsigned)mask);
	}
#endif
	return skip(data, at, end, TEXT);
}

bool http1_name_equal(const char *text, const char *lower, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (c != lower[i])
			return false;
	}
	return true;
}

bool http1_is_token(const char *text, size_t len)
{
	return len > 0 && skip(text, 0, len, TOKEN) == len;
}

/* --- pieces of lines --- */

static inline size_t cursor_end(const struct cursor *c)
{
	return MIN(c->len, c->cap);
}

/* The bytes are at an end: because more may come, or because enough came. */
static inline int cursor_short(const struct cursor *c)
{
	return c->len >= c->cap ? (int)c->too_long : WAIT;
}

/* CR LF at the cursor; what stands there instead says what is wrong. */
static inline int line_end(struct cursor *c)
{
	if (c->at >= cursor_end(c))
		return cursor_short(c);
	if (c->data[c->at] != '\r')
		return c->data[c->at] == '\n' ? HTTP1_E_BARE_LF : HTTP1_E_CONTROL;
	if (c->at + 1 >= cursor_end(c))
		return cursor_short(c);
	if (c->data[c->at + 1] != '\n')
		return HTTP1_E_BARE_CR;
	c->at += 2;
	return OK;
}

/* One or more characters of class WHAT and then the byte THEN; else E. */
static inline int word(struct cursor *c, uint8_t what, char then, enum http1_error e,
		       struct http1_span *out)
{
	size_t end = cursor_end(c), to = skip(c->data, c->at, end, what);

	if (to == end)
		return cursor_short(c);
	if (to == c->at || c->data[to] != then)
		return (int)e;
	*out = (struct http1_span){ (uint32_t)c->at, (uint32_t)(to - c->at) };
	c->at = to + 1;
	return OK;
}

/*
 * "HTTP/1.1"; a version that reads well but is not spoken is told by the caller, at the line's
 * end.
 */
static int version(struct cursor *c, uint8_t *minor, bool *spoken)
{
	static const char form[] = "HTTP/0.0";

	for (size_t i = 0; i < 8; i++) {
		if (c->at + i >= cursor_end(c))
			return cursor_short(c);
		char x = c->data[c->at + i];
		if (form[i] == '0' ? !is(x, DIGIT) : x != form[i])
			return HTTP1_E_VERSION_TEXT;
	}
	*minor = (uint8_t)(c->data[c->at + 7] - '0');
	*spoken = c->data[c->at + 5] == '1' && *minor <= 1;
	c->at += 8;
	return OK;
}

/* A field line: name, colon, value. The line is known not to be empty. */
static int field(struct cursor *c, struct http1_field *f)
{
	size_t end = cursor_end(c), from = c->at, colon = skip(c->data, from, end, TOKEN), to;
	int rc;

	if (colon == end)
		return cursor_short(c);
	if (c->data[colon] != ':' || colon == from) {
		switch (c->data[colon]) {
		case ' ': case '\t':
			return colon == from ? HTTP1_E_FOLD : HTTP1_E_COLON_SPACE;
		case '\r': case '\n':
			return HTTP1_E_NO_COLON;
		default:
			return HTTP1_E_NAME;
		}
	}
	to = skip_text(c->data, colon + 1, end);
	c->at = to;
	rc = line_end(c);
	if (rc != OK)
		return rc;
	f->name_at = (uint32_t)from;
	f->name_len = (uint16_t)(colon - from);
	f->hop = false;
	from = colon + 1;
	while (from < to && (c->data[from] == ' ' || c->data[from] == '\t'))
		from++;
	while (to > from && (c->data[to - 1] == ' ' || c->data[to - 1] == '\t'))
		to--;
	f->value = (struct http1_span){ (uint32_t)from, (uint32_t)(to - from) };
	return OK;
}

/* --- what fields mean --- */

enum { OPTION_CLOSE = 1, OPTION_KEEP_ALIVE = 2, OPTION_UPGRADE = 4, OPTION_OTHER = 8 };

static const struct { const char *name; size_t len; } known[] = {
#define X(name, text) [HTTP1_F_##name] = { text, sizeof(text) - 1 },
	HTTP1_FIELDS(X)
#undef X
};

/* Never end-to-end, whether Connection names them or not (RFC 9110 section 7.6.1). */
#define BIT(id) (1u << (id))
#define HOP_FIELDS (BIT(HTTP1_F_CONNECTION) | BIT(HTTP1_F_TRANSFER_ENCODING) | BIT(HTTP1_F_TE) | \
		    BIT(HTTP1_F_TRAILER) | BIT(HTTP1_F_UPGRADE) | BIT(HTTP1_F_KEEP_ALIVE) |      \
		    BIT(HTTP1_F_PROXY_CONNECTION))
/* Too late in a trailer section, where somebody may still believe them (RFC 9110 section 6.5.1). */
#define FRAMING_FIELDS                                                                             \
	(BIT(HTTP1_F_HOST) | BIT(HTTP1_F_CONTENT_LENGTH) | BIT(HTTP1_F_TRANSFER_ENCODING))

static uint8_t field_id(const char *name, size_t len)
{
	/* The lengths of the known names: most names are done with here. */
#define X(name, text) | 1u << (sizeof(text) - 1)
	static const uint32_t lengths = 0 HTTP1_FIELDS(X);
#undef X

	if (len > 31 || !(lengths >> len & 1))
		return HTTP1_F_OTHER;
	for (uint8_t i = 1; i < ARRAY_SIZE(known); i++)
		if (known[i].len == len && http1_name_equal(name, known[i].name, len))
			return i;
	return HTTP1_F_OTHER;
}

bool http1_list_next(const char *value, size_t len, size_t *at, struct http1_span *element)
{
	while (*at < len && (value[*at] == ',' || value[*at] == ' ' || value[*at] == '\t'))
		++*at;
	if (*at >= len)
		return false;
	size_t from = *at, to;
	while (*at < len && value[*at] != ',')
		++*at;
	for (to = *at; value[to - 1] == ' ' || value[to - 1] == '\t'; to--)
		;
	*element = (struct http1_span){ (uint32_t)from, (uint32_t)(to - from) };
	return true;
}

static bool element_is(const char *value, struct http1_span e, const char *lower)
{
	return e.len == strlen(lower) && http1_name_equal(value + e.at, lower, e.len);
}

static int connection_options(struct http1_head *h, const char *value, size_t len)
{
	struct http1_span e;
	size_t at = 0;

	while (http1_list_next(value, len, &at, &e)) {
		if (skip(value, e.at, e.at + e.len, TOKEN) != e.at + e.len)
			return HTTP1_E_CONNECTION;
		if (element_is(value, e, "close"))
			h->options |= OPTION_CLOSE;
		else if (element_is(value, e, "keep-alive"))
			h->options |= OPTION_KEEP_ALIVE;
		else if (element_is(value, e, "upgrade"))
			h->options |= OPTION_UPGRADE;
		else
			h->options |= OPTION_OTHER;
	}
	return OK;
}

/*
 * 1*DIGIT up to 2^63-1. A list, even of equal numbers, is refused (RFC 9110 section 8.6 permits
 * it).
 */
static int content_length(struct http1_head *h, const char *value, size_t len)
{
	uint64_t n = 0;

	if (len == 0)
		return HTTP1_E_LENGTH;
	for (size_t i = 0; i < len; i++) {
		uint64_t digit = (uint64_t)(value[i] - '0');

		if (!is(value[i], DIGIT) || n > (INT64_MAX - digit) / 10)
			return HTTP1_E_LENGTH;
		n = n * 10 + digit;
	}
	h->content_length = n;
	return OK;
}

/*
 * RFC 9112 section 6.1 and 6.3: chunked alone is taken; the rest is told apart for the status. A
 * list's empty elements ("chunked,") are legal, and parsers differ in what they take them for.
 */
static int transfer_encoding(const char *value, size_t len)
{
	struct http1_span e = { 0 };
	size_t at = 0;
	unsigned chunked = 0, others = 0;
	bool last = false;

	while (http1_list_next(value, len, &at, &e)) {
		last = element_is(value, e, "chunked");
		chunked += last;
		others += !last;
	}
	if (!last)
		return chunked ? HTTP1_E_CODING_ORDER : HTTP1_E_CODING;
	if (others)
		return HTTP1_E_CODING;
	return chunked > 1 || e.len != len ? HTTP1_E_CODING_ORDER : OK;
}

/* host [":" port]; EMPTY_OK: a Host header may be empty (RFC 9110 section 7.2). */
static bool authority_is_legal(const char *s, size_t len, bool empty_ok)
{
	size_t at = 0, port;

	if (len == 0)
		return empty_ok;
	if (s[0] == '[') {
		for (at = 1; at < len && (is(s[at], NAME) || s[at] == ':'); at++)
			;
		if (at < 3 || at >= len || s[at] != ']') /* "[::]" is the shortest */
			return false;
		at++;
	} else {
		at = skip(s, 0, len, NAME);
		if (at == 0)
			return false;
	}
	if (at == len)
		return true;
	if (s[at] != ':')
		return false;
	port = at + 1;
	return skip(s, port, len, DIGIT) == len && len - port <= 5;
}

static int field_meaning(struct http1_head *h, const char *data, struct http1_field *f)
{
	const char *value = data + f->value.at;
	size_t len = f->value.len;
	bool again;

	f->id = field_id(data + f->name_at, f->name_len);
	if (f->id == HTTP1_F_OTHER)
		return OK;
	again = h->seen & BIT(f->id);
	h->seen |= BIT(f->id);
	f->hop = HOP_FIELDS & BIT(f->id);
	switch (f->id) {
	case HTTP1_F_HOST:
		if (h->side == HTTP1_RESPONSE)
			return OK;
		if (again)
			return HTTP1_E_HOST_TWICE;
		if (!authority_is_legal(value, len, true))
			return HTTP1_E_HOST;
		if (!h->absolute)
			h->authority = f->value;
		return OK;
	case HTTP1_F_CONNECTION:
		return connection_options(h, value, len);
	case HTTP1_F_CONTENT_LENGTH:
		return again ? HTTP1_E_LENGTH_TWICE : content_length(h, value, len);
	case HTTP1_F_TRANSFER_ENCODING:
		return again ? HTTP1_E_CODING_ORDER : transfer_encoding(value, len);
	case HTTP1_F_TE: {
		struct http1_span e;

		for (size_t at = 0; http1_list_next(value, len, &at, &e);)
			h->te_trailers |= element_is(value, e, "trailers");
		return OK;
	}
	case HTTP1_F_EXPECT:
		if (h->side == HTTP1_RESPONSE || h->minor == 0)
			return OK;
		if (len != 12 || !http1_name_equal(value, "100-continue", 12))
			return HTTP1_E_EXPECT;
		h->expect_continue = true;
		return OK;
	default:
		return OK;
	}
}

/* --- the head --- */

static uint8_t method_of(const char *s, size_t len)
{
	static const struct { const char *name; size_t len; } names[] = {
#define X(name) { #name, sizeof(#name) - 1 },
		HTTP1_METHODS(X)
#undef X
	};

	for (uint8_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].len == len && memcmp(names[i].name, s, len) == 0)
			return i + 1;
	return HTTP1_M_OTHER;
}

/* The four forms of RFC 9112 section 3.2. */
static int target_form(struct http1_head *h, const char *data)
{
	const char *t = data + h->target.at;
	size_t len = h->target.len, from, to;

	if (h->method == HTTP1_M_CONNECT) {
		h->authority = h->target;
		h->absolute = true;
		return authority_is_legal(t, len, false) && memchr(t, ':', len) ? OK
										: HTTP1_E_TARGET;
	}
	h->path = h->target;
	if (t[0] == '/')
		return OK;
	if (t[0] == '*')
		return len == 1 && h->method == HTTP1_M_OPTIONS ? OK : HTTP1_E_TARGET;
	if (len > 7 && http1_name_equal(t, "http://", 7))
		from = 7;
	else if (len > 8 && http1_name_equal(t, "https://", 8))
		from = 8;
	else
		return HTTP1_E_TARGET;
	for (to = from; to < len && t[to] != '/' && t[to] != '?'; to++)
		;
	if (!authority_is_legal(t + from, to - from, false))
		return HTTP1_E_TARGET;
	h->absolute = true;
	h->authority = (struct http1_span){ h->target.at + (uint32_t)from, (uint32_t)(to - from) };
	h->path = (struct http1_span){ h->target.at + (uint32_t)to, (uint32_t)(len - to) };
	return OK;
}

static int request_line(struct http1_head *h, struct cursor *c)
{
	bool spoken = false;
	int rc;

	rc = word(c, TOKEN, ' ', HTTP1_E_METHOD, &h->method_text);
	if (rc == OK && h->method_text.len > 32)
		rc = HTTP1_E_METHOD;
	if (rc == OK)
		rc = word(c, URI, ' ', HTTP1_E_TARGET, &h->target);
	if (rc == OK)
		rc = version(c, &h->minor, &spoken);
	if (rc == OK && c->at < cursor_end(c) && is(c->data[c->at], TEXT))
		rc = HTTP1_E_VERSION_TEXT;
	if (rc == OK)
		rc = line_end(c);
	if (rc != OK)
		return rc;
	if (!spoken)
		return HTTP1_E_VERSION;
	h->method = method_of(c->data + h->method_text.at, h->method_text.len);
	return target_form(h, c->data);
}

static int status_line(struct http1_head *h, struct cursor *c)
{
	bool spoken = false;
	size_t from;
	int rc;

	rc = version(c, &h->minor, &spoken);
	if (rc != OK)
		return rc;
	h->status = 0;
	for (size_t i = 0; i < 4; i++, c->at++) {
		if (c->at >= cursor_end(c))
			return cursor_short(c);
		char x = c->data[c->at];
		if (i == 0 ? x != ' ' : !is(x, DIGIT) || (i == 1 && (x < '1' || x > '5')))
			return HTTP1_E_STATUS;
		if (i > 0)
			h->status = (uint16_t)(h->status * 10 + x - '0');
	}
	/* The blank is owed even without a reason, but servers forget it; nothing hangs on it. */
	if (c->at >= cursor_end(c))
		return cursor_short(c);
	if (c->data[c->at] == ' ')
		c->at++;
	else if (c->data[c->at] != '\r' && c->data[c->at] != '\n')
		return HTTP1_E_STATUS;
	from = c->at;
	c->at = skip_text(c->data, from, cursor_end(c));
	h->reason = (struct http1_span){ (uint32_t)from, (uint32_t)(c->at - from) };
	rc = line_end(c);
	return rc != OK ? rc : spoken ? OK : HTTP1_E_VERSION;
}

/*
 * Fields that Connection names go no further, but those that carry the message do (RFC 9110,
 * 7.6.1).
 */
static void mark_nominated(struct http1_head *h, const char *data)
{
	for (uint32_t i = 0; i < h->fields_n; i++) {
		const struct http1_field *c = &h->fields[i];
		const char *value = data + c->value.at;
		struct http1_span e;

		if (c->id != HTTP1_F_CONNECTION)
			continue;
		for (size_t at = 0; http1_list_next(value, c->value.len, &at, &e);)
			for (uint32_t j = 0; j < h->fields_n; j++) {
				struct http1_field *f = &h->fields[j];

				if (f->name_len == e.len && f->id != HTTP1_F_HOST &&
				    f->id != HTTP1_F_CONTENT_LENGTH &&
				    strncasecmp(data + f->name_at, value + e.at, e.len) == 0)
					f->hop = true;
			}
	}
}

/*
 * The whole head is there: what follows it, and what happens then. RFC 9112 sections 6.3 and
 * 9.3.
 */
static int head_end(struct http1_head *h, const char *data)
{
	bool coding = h->seen & BIT(HTTP1_F_TRANSFER_ENCODING);
	bool length = h->seen & BIT(HTTP1_F_CONTENT_LENGTH);

	if (h->side == HTTP1_REQUEST && h->minor == 1 && !(h->seen & BIT(HTTP1_F_HOST)))
		return HTTP1_E_HOST_MISSING;
	if (coding && length)
		return HTTP1_E_LENGTH_AND_CODING;
	if (coding && h->minor == 0)
		return HTTP1_E_CODING_OLD;
	h->framing = coding ? HTTP1_CHUNKED : length ? HTTP1_LENGTH :
		     h->side == HTTP1_REQUEST ? HTTP1_NO_BODY : HTTP1_UNTIL_CLOSE;
	if (h->side == HTTP1_RESPONSE &&
	    (h->to_head || h->status < 200 || h->status == 204 || h->status == 304))
		h->framing = HTTP1_NO_BODY;
	h->keep_alive = !(h->options & OPTION_CLOSE) &&
			(h->minor == 1 || h->options & OPTION_KEEP_ALIVE) &&
			h->framing != HTTP1_UNTIL_CLOSE;
	h->upgrade = h->minor == 1 && h->options & OPTION_UPGRADE && h->seen & BIT(HTTP1_F_UPGRADE);
	if (h->options & OPTION_OTHER)
		mark_nominated(h, data);
	return OK;
}

void http1_head_init(struct http1_head *h, enum http1_side side, struct http1_field *fields,
		     uint32_t fields_size, const struct http1_limits *limits)
{
	must(limits->field <= HTTP1_FIELD_MAX && limits->head <= HTTP1_HEAD_MAX);
	memset(h, 0, sizeof(*h));
	h->side = side;
	h->fields = fields;
	h->fields_size = fields_size;
	h->limits = limits;
}

static int head_line(struct http1_head *h, struct cursor *c)
{
	enum http1_error line_long = h->side == HTTP1_REQUEST ? HTTP1_E_TARGET_LONG
							      : HTTP1_E_HEAD_LONG;
	int rc;

	/* One empty line before a request is passed over (RFC 9112 section 2.2). */
	if (h->side == HTTP1_REQUEST && c->at == 0 && (c->data[0] == '\r' || c->data[0] == '\n')) {
		c->cap = 2;
		rc = line_end(c);
		if (rc != OK)
			return rc;
	}
	c->cap = MIN(c->at + h->limits->line, h->limits->head);
	c->too_long = line_long;
	rc = h->side == HTTP1_REQUEST ? request_line(h, c) : status_line(h, c);
	h->in_fields = rc == OK;
	return rc;
}

enum http1_result http1_head_parse(struct http1_head *h, const char *data, size_t len)
{
	const struct http1_limits *limits = h->limits;
	struct cursor c = { .data = data, .at = h->at, .len = len };
	int rc = OK;

	if (!h->in_fields && len > 0)
		rc = head_line(h, &c);
	while (rc == OK && h->in_fields) {
		h->at = (uint32_t)c.at;
		c.cap = MIN(c.at + limits->field, limits->head);
		c.too_long = c.cap < limits->head ? HTTP1_E_FIELD_LONG : HTTP1_E_HEAD_LONG;
		if (c.at >= cursor_end(&c)) {
			rc = cursor_short(&c);
		} else if (data[c.at] == '\r' || data[c.at] == '\n') {
			rc = line_end(&c);
			if (rc == OK)
				rc = head_end(h, data);
			if (rc == OK) {
				h->len = (uint32_t)c.at;
				return HTTP1_DONE;
			}
		} else if (h->fields_n >= limits->fields) {
			rc = HTTP1_E_FIELD_COUNT;
		} else if (h->fields_n >= h->fields_size) {
			return HTTP1_ROOM;
		} else {
			struct http1_field *f = &h->fields[h->fields_n];

			rc = field(&c, f);
			if (rc == OK)
				rc = field_meaning(h, data, f);
			h->fields_n += rc == OK;
		}
	}
	if (rc <= 0)
		return HTTP1_MORE;
	h->error = (enum http1_error)rc;
	return HTTP1_REFUSED;
}

/* --- the body --- */

/* What the next byte is. */
enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILERS, END };

void http1_body_init(struct http1_body *b, const struct http1_head *h)
{
	memset(b, 0, sizeof(*b));
	b->framing = h->framing;
	switch (h->framing) {
	case HTTP1_NO_BODY:
		b->state = END;
		break;
	case HTTP1_LENGTH:
		b->left = h->content_length;
		b->state = b->left ? DATA : END;
		break;
	case HTTP1_CHUNKED:
		b->state = SIZE;
		break;
	case HTTP1_UNTIL_CLOSE:
		b->left = UINT64_MAX;
		b->state = DATA;
		break;
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of what stands around the data of chunks. */
static int chunk_byte(struct http1_body *b, char x)
{
	int digit;

	switch (b->state) {
	case SIZE:
		digit = hex_digit(x);
		if (digit >= 0) {
			if (++b->digits > 16 || b->left > (INT64_MAX >> 4))
				return HTTP1_E_CHUNK_SIZE;
			b->left = b->left << 4 | (uint64_t)digit;
			return OK;
		}
		if (b->digits == 0 || (x != '\r' && x != ';'))
			return x == '\n' && b->digits ? HTTP1_E_BARE_LF : HTTP1_E_CHUNK_SIZE;
		b->state = x == '\r' ? SIZE_LF : EXTENSION;
		b->extension_bytes += x == ';';
		return b->extension_bytes > HTTP1_CHUNK_EXTENSION ? HTTP1_E_CHUNK_EXTENSION : OK;
	case EXTENSION:
		if (x == '\r')
			b->state = SIZE_LF;
		else if (!is(x, TEXT))
			return x == '\n' ? HTTP1_E_BARE_LF : HTTP1_E_CONTROL;
		else if (++b->extension_bytes > HTTP1_CHUNK_EXTENSION)
			return HTTP1_E_CHUNK_EXTENSION;
		return OK;
	case SIZE_LF:
		if (x != '\n')
			return HTTP1_E_BARE_CR;
		b->digits = 0;
		b->state = b->left ? DATA : TRAILERS;
		return OK;
	case DATA_CR:
		b->state = DATA_LF;
		return x == '\r' ? OK : HTTP1_E_CHUNK_END;
	default:
		must(b->state == DATA_LF);
		b->state = SIZE;
		return x == '\n' ? OK : HTTP1_E_CHUNK_END;
	}
}

/* A line of the trailer section; *EMPTY: it was the last one. */
static int trailer(struct http1_body *b, const char *data, size_t len, struct http1_part *part,
		   bool *empty)
{
	struct cursor c = {
		.data = data, .at = part->used, .len = len,
		.cap = part->used + HTTP1_TRAILER_MAX - b->trailer_bytes,
		.too_long = HTTP1_E_TRAILER_LONG,
	};
	int rc;

	if (c.at >= cursor_end(&c))
		return cursor_short(&c);
	*empty = data[c.at] == '\r' || data[c.at] == '\n';
	if (*empty)
		rc = line_end(&c);
	else if (b->trailer_fields >= HTTP1_TRAILER_FIELDS)
		rc = HTTP1_E_TRAILER_LONG;
	else
		rc = field(&c, &part->field);
	if (rc != OK)
		return rc;
	if (!*empty) {
		part->field.id = field_id(data + part->field.name_at, part->field.name_len);
		part->field.hop = HOP_FIELDS & BIT(part->field.id);
		if (BIT(part->field.id) & FRAMING_FIELDS)
			return HTTP1_E_TRAILER_FIELD;
	}
	b->trailer_bytes += (uint16_t)(c.at - part->used);
	b->trailer_fields += !*empty;
	part->used = c.at;
	return OK;
}

enum http1_result http1_body_parse(struct http1_body *b, const char *data, size_t len,
				   struct http1_part *part)
{
	bool empty = false;
	int rc = OK;

	part->used = 0;
	while (rc == OK) {
		switch (b->state) {
		case END:
			return HTTP1_DONE;
		case DATA: {
			uint64_t n = MIN(b->left, (uint64_t)(len - part->used));

			if (n == 0)
				return HTTP1_MORE;
			part->data = (struct http1_span){ (uint32_t)part->used, (uint32_t)n };
			part->used += n;
			if (b->framing != HTTP1_UNTIL_CLOSE)
				b->left -= n;
			if (b->left == 0)
				b->state = b->framing == HTTP1_CHUNKED ? DATA_CR : END;
			return HTTP1_DATA;
		}
		case TRAILERS:
			rc = trailer(b, data, len, part, &empty);
			if (rc == OK && !empty)
				return HTTP1_TRAILER;
			if (rc == OK)
				b->state = END;
			break;
		default:
			if (part->used >= len)
				return HTTP1_MORE;
			rc = chunk_byte(b, data[part->used]);
			part->used += rc == OK;
		}
	}
	if (rc == WAIT)
		return HTTP1_MORE;
	b->error = (enum http1_error)rc;
	return HTTP1_REFUSED;
}
