#include "tests/fuzz/http1_oracle.h"

#include <llhttp/llhttp.h>

#include "base/base.h"

#define MESSAGES 8

/* A message as somebody understood it. */
struct understood {
	size_t end;           /* offset behind it */
	size_t fields;        /* trailers too */
	size_t body;          /* bytes */
	size_t extensions;    /* bytes of chunk extensions */
	bool tab;             /* among the white space behind a value is a tab */
	uint64_t names, values, content; /* hashes */
};

struct stream {
	size_t n, at;
	enum http1_result result; /* of the last one */
	enum http1_error error;
	enum http1_framing framing;
	struct understood m[MESSAGES];
};

static uint64_t hash(uint64_t h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)p[i]) * 0x100000001b3ULL;
	return h;
}

static void add_field(struct understood *m, const char *data, const struct http1_field *f)
{
	m->fields++;
	m->names = hash(m->names, data + f->name_at, f->name_len);
	m->values = hash(m->values, data + f->value.at, f->value.len);
	for (const char *p = data + f->value.at + f->value.len; *p == ' ' || *p == '\t'; p++)
		m->tab = m->tab || *p == '\t';
}

/* --- ours --- */

struct reader {
	struct http1_field fields[64];
	struct http1_head head;
	struct http1_body body;
	bool in_body, to_head;
	enum http1_side side;
};

static void begin(struct reader *r)
{
	http1_head_init(&r->head, r->side, r->fields, ARRAY_SIZE(r->fields), &http1_limits_default);
	r->head.to_head = r->to_head;
	r->in_body = false;
}

/* Go on with the bytes up to HAVE. False: nothing more can come of this stream. */
static bool feed(struct reader *r, struct stream *s, const char *data, size_t have)
{
	while (s->n < MESSAGES) {
		struct understood *m = &s->m[s->n];
		struct http1_part part;

		if (!r->in_body) {
			s->result = http1_head_parse(&r->head, data + s->at, have - s->at);
			s->error = r->head.error;
			if (s->result == HTTP1_ROOM)
				return false;
			if (s->result != HTTP1_DONE)
				return s->result == HTTP1_MORE;
			for (uint32_t i = 0; i < r->head.fields_n; i++)
				add_field(m, data + s->at, &r->fields[i]);
			http1_body_init(&r->body, &r->head);
			s->framing = r->head.framing;
			s->at += r->head.len;
			r->in_body = true;
		}
		s->result = http1_body_parse(&r->body, data + s->at, have - s->at, &part);
		s->error = r->body.error;
		if (s->result == HTTP1_DATA) {
			m->body += part.data.len;
			m->content = hash(m->content, data + s->at + part.data.at, part.data.len);
		} else if (s->result == HTTP1_TRAILER) {
			add_field(m, data + s->at, &part.field);
		}
		must(part.used <= have - s->at);
		s->at += part.used;
		m->end = s->at;
		m->extensions = r->body.extension_bytes;
		if (s->result == HTTP1_DONE) {
			s->n++;
			begin(r);
		} else if (s->result == HTTP1_MORE || s->result == HTTP1_REFUSED) {
			return s->result == HTTP1_MORE;
		}
	}
	return false;
}

static void read_stream(struct stream *s, enum http1_side side, bool to_head, const char *data,
			size_t len, size_t step)
{
	struct reader r = { .side = side, .to_head = to_head };

	memset(s, 0, sizeof(*s));
	begin(&r);
	for (size_t have = MIN(step, len); feed(&r, s, data, have) && have < len;)
		have = MIN(have + step, len);
}

static void must_be_same(const struct stream *a, const struct stream *b)
{
	must(a->n == b->n);
	must(a->result == b->result);
	must(a->error == b->error);
	must(a->at == b->at);
	must(memcmp(a->m, b->m, sizeof(a->m)) == 0);
}

/* --- theirs --- */

struct theirs {
	struct understood m;
	bool complete, to_head;
};

static int on_field(llhttp_t *p, const char *at, size_t n)
{
	struct theirs *t = p->data;

	t->m.names = hash(t->m.names, at, n);
	return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
	struct theirs *t = p->data;

	while (n > 0 && (at[n - 1] == ' ' || at[n - 1] == '\t'))
		n--;
	t->m.values = hash(t->m.values, at, n);
	return 0;
}

static int on_value_complete(llhttp_t *p)
{
	((struct theirs *)p->data)->m.fields++;
	return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
	struct theirs *t = p->data;

	t->m.body += n;
	t->m.content = hash(t->m.content, at, n);
	return 0;
}

static int on_complete(llhttp_t *p)
{
	((struct theirs *)p->data)->complete = true;
	return HPE_PAUSED;
}

/* llhttp leaves to its user which responses have no body: RFC 9112 section 6.3. 1: none. */
static int on_headers_complete(llhttp_t *p)
{
	const struct theirs *t = p->data;

	return t->to_head ||
	       (p->type == HTTP_RESPONSE &&
		(p->status_code < 200 || p->status_code == 204 || p->status_code == 304));
}

/*
 * What llhttp 8.1 refuses and we take: methods that it does not know, and those of RTSP that it
 * knows; chunk extensions with a character that the grammar has only within quotes (we pass over
 * them and forward none); a length or a
 * coding with a tab behind it, which is white space like any other (RFC 9110 section 5.6.3).
 */
static bool refusal_is_known(llhttp_errno_t e, const struct understood *ours)
{
	return e == HPE_INVALID_METHOD || e == HPE_INVALID_CONSTANT ||
	       ((e == HPE_INVALID_TRANSFER_ENCODING || e == HPE_INVALID_CONTENT_LENGTH) &&
		ours->tab) ||
	       ((e == HPE_INVALID_CHUNK_SIZE || e == HPE_STRICT) && ours->extensions > 0);
}

static void must_agree(enum http1_side side, bool to_head, const char *data, size_t from,
		       const struct understood *ours, bool until_close)
{
	struct theirs t = { .to_head = to_head };
	llhttp_settings_t settings;
	llhttp_errno_t e;
	llhttp_t p;

	llhttp_settings_init(&settings);
	settings.on_header_field = on_field;
	settings.on_header_value = on_value;
	settings.on_header_value_complete = on_value_complete;
	settings.on_headers_complete = on_headers_complete;
	settings.on_body = on_body;
	settings.on_message_complete = on_complete;
	llhttp_init(&p, side == HTTP1_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	p.data = &t;
	e = llhttp_execute(&p, data + from, ours->end - from);
	if (refusal_is_known(e, ours))
		return;
	if (e != HPE_OK && e != HPE_PAUSED && e != HPE_PAUSED_UPGRADE)
		fprintf(stderr, "llhttp: %s (%s) at byte %td\n", llhttp_errno_name(e),
			llhttp_get_error_reason(&p), llhttp_get_error_pos(&p) - data);
	if (until_close) {
		must(e == HPE_OK && !t.complete && llhttp_message_needs_eof(&p));
	} else {
		must(t.complete && (e == HPE_PAUSED || e == HPE_PAUSED_UPGRADE));
		must(llhttp_get_error_pos(&p) == data + ours->end);
	}
	must(t.m.fields == ours->fields);
	must(t.m.names == ours->names);
	must(t.m.values == ours->values);
	must(t.m.body == ours->body);
	must(t.m.content == ours->content);
}

void http1_oracle(enum http1_side side, bool to_head, const char *data, size_t len)
{
	struct stream whole, cut;
	size_t from = 0;

	read_stream(&whole, side, to_head, data, len, len);
	for (size_t step = 1; step < 8; step += step < 3 ? 1 : 4) {
		read_stream(&cut, side, to_head, data, len, step);
		must_be_same(&whole, &cut);
	}
	for (size_t i = 0; i < whole.n; from = whole.m[i++].end)
		must_agree(side, to_head, data, from, &whole.m[i], false);
	if (whole.n < MESSAGES && whole.result == HTTP1_MORE &&
	    whole.framing == HTTP1_UNTIL_CLOSE && whole.m[whole.n].end == len && len > from)
		must_agree(side, to_head, data, from, &whole.m[whole.n], true);
}
