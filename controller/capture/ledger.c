#include "controller/capture/ledger.h"

#include "base/base.h"
#include "base/ip.h"

#define BUCKETS     16384u
#define WAYS        4u  /* flows of a bucket; the one that was silent the longest goes */
#define CONNS       65536u
#define SERVERS     256u
#define TRIES_MAX   4
#define STEPS_MAX   256 /* of a connection's past that are looked at */
#define SAID_MAX    3   /* requests that are under way at once and named */
#define BEGUN_MAX   8   /* the same of a packet that may have brought them */
#define ANSWERS     LEDGER_REQUESTS /* pieces of answers that are remembered */
#define SOON_NS     (200 * NS_PER_MS) /* so late may a busy engine read what came */

struct request {
	uint64_t number;          /* counted from 1; 0: there is none */
	uint64_t before, after;   /* numbers of its neighbours in its flow, which may be forgotten */
	uint64_t namesake;        /* the one before in its bucket of ids */
	uint64_t flow, begin, end;
	uint64_t older_end;       /* when the last of those before it was over */
	bool settled;             /* they all are, and older_end is known */
	struct packets_span brought[PACKETS_TELLINGS];
	unsigned source, id_len;
	char id[PACKETS_REQUEST_MAX + 1];
	struct {
		uint64_t from;
		uint16_t port, server_port, retry;
		uint8_t server[16];
	} tries[TRIES_MAX];
	unsigned n_tries;
};

struct flow {
	uint64_t flow;
	unsigned source;
	uint64_t newest;          /* number of its newest request; 0: nobody's place */
	uint64_t cursor;          /* and of that which was asked for last: packets come in the order of time */
	uint64_t answer;          /* its newest piece of an answer */
	uint64_t answers[PACKETS_TELLINGS]; /* and the one that was asked for last, as each tells it */
};

/* A piece of an answer on a connection that several share: they are in the order of their bytes. */
struct answer {
	uint64_t number;          /* counted from 1 */
	uint64_t before, after;   /* numbers of its neighbours in its flow */
	uint64_t request;
	struct packets_span span[PACKETS_TELLINGS];
};

struct conn {
	uint64_t key;
	uint8_t flags;
	bool known, told;         /* told: what is to be said of it was */
	/* A client's: where its bytes begin, and what is said to it, by the SYN that was seen, and when. */
	bool counted[2];
	uint32_t first[2];
	uint64_t since;
};

/* What is said of a server, but for the retry. */
struct server {
	uint8_t ip[16];
	uint16_t port;
	uint16_t len;             /* 0: nobody's place */
	char text[IP_TEXT_MAX + 32];
};

struct ledger {
	struct request *requests; /* the newest: a ring */
	uint64_t n;               /* ever */
	struct answer *answers;   /* and theirs */
	uint64_t n_answers;
	struct flow flows[BUCKETS][WAYS];
	uint64_t ids[BUCKETS];
	struct conn conns[CONNS];
	struct server servers[SERVERS];
};

/* A text that grows up to its room, and says nothing of what has none. */
struct text {
	char *at, *end;
};

static void text_put(struct text *t, const char *s, size_t n)
{
	n = MIN(n, (size_t)(t->end - t->at));
	memcpy(t->at, s, n);
	t->at += n;
	*t->at = '\0';
}

static void text_puts(struct text *t, const char *s)
{
	text_put(t, s, strlen(s));
}

static void text_number(struct text *t, unsigned n)
{
	char digits[12];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	text_put(t, digits + at, sizeof(digits) - at);
}

static uint64_t mixed(uint64_t v)
{
	v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9ULL;
	v = (v ^ v >> 27) * 0x94D049BB133111EBULL;
	return v ^ v >> 31;
}

struct ledger *ledger_new(void)
{
	struct ledger *l = xcalloc(1, sizeof(*l));

	l->requests = xcalloc(LEDGER_REQUESTS, sizeof(*l->requests));
	l->answers = xcalloc(ANSWERS, sizeof(*l->answers));
	return l;
}

void ledger_free(struct ledger *l)
{
	if (!l)
		return;
	free(l->requests);
	free(l->answers);
	free(l);
}

/* ---- requests ---- */

/* NULL: there was none, or it is forgotten. */
static struct request *request_of(struct ledger *l, uint64_t number)
{
	struct request *r = &l->requests[number % LEDGER_REQUESTS];

	return number && r->number == number ? r : NULL;
}

/* NULL: nothing is known of it, unless it is to be made. */
static struct flow *flow_of(struct ledger *l, unsigned source, uint64_t flow, bool make)
{
	struct flow *bucket = l->flows[mixed(flow + source) % BUCKETS], *oldest = bucket;

	for (unsigned i = 0; i < WAYS; i++) {
		if (bucket[i].newest && bucket[i].flow == flow && bucket[i].source == source)
			return &bucket[i];
		if (bucket[i].newest < oldest->newest)
			oldest = &bucket[i];
	}
	if (!make)
		return NULL;
	*oldest = (struct flow){ .flow = flow, .source = source };
	return oldest;
}

static uint64_t *ids_of(struct ledger *l, uint64_t flow, const char *id, size_t len)
{
	uint64_t h = flow, word;

	for (size_t at = 0; at < len; at += 8) {
		word = 0;
		memcpy(&word, id + at, MIN(len - at, (size_t)8));
		h = (h ^ word) * 0x9E3779B97F4A7C15ULL;
		h ^= h >> 29;
	}
	return &l->ids[mixed(h) % BUCKETS];
}

/* Are all over that were there before R? What was said once stays: so nobody walks far. */
static bool is_settled(struct ledger *l, struct request *r)
{
	const struct request *older = request_of(l, r->before);

	if (!r->settled && (!older || (older->settled && older->end != UINT64_MAX))) {
		r->settled = true;
		r->older_end = older ? MAX(older->older_end, older->end) : 0;
	}
	return r->settled;
}

static struct request *request_get(struct ledger *l, unsigned source, const struct packets_note *n)
{
	size_t len = strlen(n->request);
	uint64_t *ids = ids_of(l, n->flow, n->request, len);
	struct request *r = request_of(l, *ids), *before;
	struct flow *f;

	for (unsigned steps = 0; r && steps < STEPS_MAX; r = request_of(l, r->namesake), steps++)
		if (r->flow == n->flow && r->source == source && (r->end == UINT64_MAX || n->what == NOTE_ANSWERED) &&
		    r->id_len == len && memcmp(r->id, n->request, len) == 0)
			return r;
	if (n->what != NOTE_THERE)
		return NULL;
	f = flow_of(l, source, n->flow, true);
	before = request_of(l, f->newest);
	l->n++;
	r = &l->requests[l->n % LEDGER_REQUESTS];
	*r = (struct request){ .number = l->n, .namesake = *ids, .flow = n->flow, .source = source, .begin = n->at_ns,
			       .end = UINT64_MAX, .id_len = (unsigned)len };
	memcpy(r->brought, n->span, sizeof(r->brought));
	memcpy(r->id, n->request, len);
	*ids = l->n;
	if (before && before != r) {
		r->before = before->number;
		before->after = l->n;
	}
	if (!f->cursor)
		f->cursor = l->n;
	f->newest = l->n;
	is_settled(l, r);
	return r;
}

/* The newest of F that began by then; NULL: all that are known began later. *NEXT: the first of those, or NULL. */
static struct request *at_time(struct ledger *l, struct flow *f, uint64_t at_ns, struct request **next)
{
	struct request *r = request_of(l, f->cursor), *after;

	*next = NULL;
	if (!r)
		r = request_of(l, f->newest);
	for (unsigned steps = 0; r && r->begin > at_ns && steps < STEPS_MAX; r = request_of(l, r->before), steps++)
		*next = r;
	if (r && r->begin > at_ns)
		return NULL;
	if (r && !*next) {
		while ((after = request_of(l, r->after)) && after->begin <= at_ns)
			r = after;
		*next = after;
	}
	if (r)
		f->cursor = r->number;
	return r;
}

/* ---- connections ---- */

static struct conn *conn_at(struct ledger *l, uint64_t key)
{
	struct conn *c = &l->conns[key % CONNS];

	if (c->key != key)
		*c = (struct conn){ .key = key };
	return c;
}

/* A client's, as HOW tells it. */
static struct conn *conn_of_client(struct ledger *l, unsigned source, uint64_t flow, enum packets_told how)
{
	return conn_at(l, mixed(mixed(1 + how + 4 * (uint64_t)source) ^ flow));
}

static struct conn *conn_of_server(struct ledger *l, unsigned source, unsigned port, const uint8_t server[16], unsigned server_port)
{
	uint64_t half[2];

	memcpy(half, server, sizeof(half));
	return conn_at(l, mixed(mixed(mixed(mixed(4 * (uint64_t)source) ^ half[0]) ^ half[1]) ^ ((uint64_t)port << 16 | server_port)));
}

/* NULL: there was none, or it is forgotten. */
static struct answer *answer_of(struct ledger *l, uint64_t number)
{
	struct answer *a = &l->answers[number % ANSWERS];

	return number && a->number == number ? a : NULL;
}

static void answer_put(struct ledger *l, struct flow *f, const struct request *r, const struct packets_note *n)
{
	struct answer *before = answer_of(l, f->answer), *a = &l->answers[++l->n_answers % ANSWERS];

	*a = (struct answer){ .number = l->n_answers, .request = r->number };
	memcpy(a->span, n->span, sizeof(a->span));
	if (before && before != a) {
		a->before = before->number;
		before->after = a->number;
	}
	f->answer = a->number;
}

void ledger_note(struct ledger *l, unsigned source, const struct packets_note *n)
{
	struct conn *c = n->leg == PACKETS_CLIENT_LEG ? conn_of_client(l, source, n->flow, PACKETS_WIRE)
						      : conn_of_server(l, source, n->port, n->server, n->server_port);
	struct request *r = *n->request ? request_get(l, source, n) : NULL;
	struct flow *f;

	if (n->what == NOTE_THERE && (!c->known || c->flags != n->flags)) {
		c->flags = n->flags;
		c->known = true;
		c->told = false;
	}
	if (!r)
		return;
	if (n->what == NOTE_OVER) {
		r->end = MAX(n->at_ns, r->begin);
	} else if (n->what == NOTE_ANSWERED) {
		f = flow_of(l, source, n->flow, false);
		if (f)
			answer_put(l, f, r, n);
	} else if (n->leg == PACKETS_SERVER_LEG) {
		/* Beyond its room the last one is what counts. */
		unsigned at = MIN(r->n_tries, (unsigned)TRIES_MAX - 1);

		/* It was dialled for it, and now it is used. */
		if (r->n_tries && r->tries[r->n_tries - 1].port == n->port && r->tries[r->n_tries - 1].retry == n->retry)
			return;
		r->tries[at].from = n->at_ns;
		r->tries[at].port = n->port;
		r->tries[at].server_port = n->server_port;
		r->tries[at].retry = n->retry;
		memcpy(r->tries[at].server, n->server, 16);
		r->n_tries = at + 1;
	}
}

/* ---- packets ---- */

struct seen {
	bool known, syn;
	unsigned sport, dport;
	uint32_t seq, payload;    /* bytes */
	const uint8_t *src, *dst;
	uint8_t mapped[2][16];
};

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static void map4(const uint8_t *v4, uint8_t out[16])
{
	memset(out, 0, 10);
	memset(out + 10, 0xff, 2);
	memcpy(out + 12, v4, 4);
}

/* As far as it takes to know the connection; options of IPv6 are not looked behind. */
static void see(const struct packets_frame *f, struct seen *s)
{
	const uint8_t *d = f->data;
	size_t at = 14, len, ip;
	unsigned type, proto;

	*s = (struct seen){ 0 };
	if (f->len < 14)
		return;
	type = get16(d + 12);
	while ((type == 0x8100 || type == 0x88a8) && f->len >= at + 4) {
		type = get16(d + at + 2);
		at += 4;
	}
	ip = at;
	if (type == 0x0800 && f->len >= at + 20) {
		proto = d[at + 9];
		len = get16(d + at + 2);
		map4(d + at + 12, s->mapped[0]);
		map4(d + at + 16, s->mapped[1]);
		at += (d[at] & 15U) * 4;
	} else if (type == 0x86dd && f->len >= at + 40) {
		proto = d[at + 6];
		len = get16(d + at + 4) + 40;
		memcpy(s->mapped[0], d + at + 8, 16);
		memcpy(s->mapped[1], d + at + 24, 16);
		at += 40;
	} else {
		return;
	}
	if (proto != 6 || f->len < at + 20)
		return;
	s->known = true;
	s->sport = get16(d + at);
	s->dport = get16(d + at + 2);
	s->src = s->mapped[0];
	s->dst = s->mapped[1];
	s->seq = get32(d + at + 4);
	s->syn = d[at + 13] & 2;
	ip = at - ip + (d[at + 12] >> 4) * 4U;
	s->payload = len > ip ? (uint32_t)(len - ip) : 0;
}

static void say_server(struct ledger *l, const struct request *r, struct text *t)
{
	const uint8_t *ip = r->tries[r->n_tries - 1].server;
	const unsigned port = r->tries[r->n_tries - 1].server_port;
	struct server *s;
	uint64_t half[2];

	memcpy(half, ip, sizeof(half));
	s = &l->servers[mixed(half[0] ^ half[1] ^ port) % SERVERS];
	if (!s->len || s->port != port || memcmp(s->ip, ip, sizeof(s->ip)) != 0) {
		char text[IP_TEXT_MAX];
		struct in6_addr addr;

		memcpy(&addr, ip, sizeof(addr));
		memcpy(s->ip, ip, sizeof(s->ip));
		s->port = (uint16_t)port;
		s->len = (uint16_t)snprintf(s->text, sizeof(s->text), ", server %s port %u", ip_text(&addr, text), port);
	}
	text_put(t, s->text, s->len);
	text_puts(t, ", retry ");
	text_number(t, r->tries[r->n_tries - 1].retry);
}

static void say_id(const struct request *r, struct text *t)
{
	text_puts(t, ", request ");
	text_put(t, r->id, r->id_len);
}

static void say_request(struct ledger *l, const struct request *r, struct text *t)
{
	say_id(r, t);
	if (r->n_tries)
		say_server(l, r, t);
}

/* Bytes of a client's connection that a packet has, as each direction counts them. */
struct bytes {
	enum packets_told how;
	bool some, counted;       /* there are any; and it is known which */
	struct packets_span span;
	uint64_t since;           /* the connection's SYN */
};

static bool is_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static bool is_met(const struct packets_span *a, const struct packets_span *b)
{
	return a->from != a->to && is_before(a->from, b->to) && is_before(b->from, a->to);
}

static const struct packets_span *brought(const struct request *r, const struct bytes *b)
{
	return &r->brought[b->how];
}

static bool is_told(const struct request *r, const struct bytes *b)
{
	return b->counted && r->begin >= b->since && brought(r, b)->from != brought(r, b)->to;
}

/* Was R read after them? */
static bool is_later(const struct request *r, const struct bytes *b)
{
	return is_told(r, b) && !is_before(brought(r, b)->from, b->span.to);
}

/* Was R read together with some of them? */
static bool is_brought(const struct request *r, const struct bytes *b)
{
	return is_told(r, b) && is_met(brought(r, b), &b->span);
}

/* Did one read bring both? */
static bool is_together(const struct request *r, const struct request *other, enum packets_told how)
{
	const struct packets_span *a = &r->brought[how], *b = &other->brought[how];

	return a->from == a->to || b->from == b->to ? r->begin == other->begin : a->from == b->from && a->to == b->to;
}

/* Of a connection that is counted: those that B brought, from R on, the newest by its time, and those after it. */
static unsigned say_brought(struct ledger *l, struct request *r, struct request *next, const struct bytes *b, unsigned room, struct text *t)
{
	struct request *first = NULL;
	unsigned said = 0, steps;

	for (steps = 0; r && (is_brought(r, b) || is_later(r, b)) && steps < STEPS_MAX; r = request_of(l, r->before), steps++)
		first = r;
	first = first ? first : next;
	for (r = first, steps = 0; r && said < room && steps < STEPS_MAX; r = request_of(l, r->after), steps++) {
		/* Where it counts anew the client has taken its port for another connection. */
		if (!is_told(r, b) || is_later(r, b) || is_before(brought(r, b)->to, brought(first, b)->to))
			break;
		if (is_brought(r, b)) {
			say_request(l, r, t);
			said++;
		}
	}
	return said;
}

/* Whose answer A is a piece of; NULL: it was on a connection before, or it is forgotten. */
static const struct request *answered_by(struct ledger *l, const struct answer *a, const struct bytes *b)
{
	const struct request *r = request_of(l, a->request);

	return r && r->begin >= b->since ? r : NULL;
}

/* The first piece of F that ends behind where B begins; NULL: none. */
static struct answer *answer_at(struct ledger *l, struct flow *f, const struct bytes *b)
{
	struct answer *a = answer_of(l, f->answers[b->how]), *before;

	if (!a)
		a = answer_of(l, f->answer);
	while (a && (before = answer_of(l, a->before)) && answered_by(l, before, b) && is_before(b->span.from, before->span[b->how].to))
		a = before;
	while (a && (!answered_by(l, a, b) || !is_before(b->span.from, a->span[b->how].to)))
		a = answer_of(l, a->after);
	if (a)
		f->answers[b->how] = a->number;
	return a;
}

/* Of those that share a connection: whose answers B has. False: none that is known. */
static bool say_answers(struct ledger *l, struct flow *f, const struct bytes *b, struct text *t)
{
	const struct request *now[BEGUN_MAX], *r;
	struct answer *a = b->counted ? answer_at(l, f, b) : NULL;
	unsigned n = 0;

	for (; a && n < BEGUN_MAX && is_before(a->span[b->how].from, b->span.to); a = answer_of(l, a->after)) {
		unsigned i = 0;

		r = answered_by(l, a, b);
		if (!r || !is_met(&a->span[b->how], &b->span))
			continue;
		while (i < n && now[i] != r)
			i++;
		if (i == n)
			now[n++] = r;
	}
	for (unsigned i = 0; i < n; i++)
		say_request(l, now[i], t);
	return n > 0;
}

/* B: what comes from the client. */
static void say_client_leg(struct ledger *l, struct flow *f, uint64_t at_ns, const struct bytes *b, struct text *t)
{
	const struct request *now[BEGUN_MAX], *last = NULL;
	struct request *next, *begun = at_time(l, f, at_ns, &next), *r = begun;
	bool brings = b->some;
	uint64_t over = 0;
	unsigned n = 0, said;

	for (unsigned steps = 0; r && steps < STEPS_MAX; r = request_of(l, r->before), steps++) {
		if (is_brought(r, b) || is_later(r, b))
			continue;
		/* Who read it read at once all that was there. */
		if (at_ns <= r->end && (n < SAID_MAX || (brings && !b->counted && n < BEGUN_MAX && is_together(r, now[0], b->how)))) {
			over = MAX(over, r->end);
			now[n++] = r;
		} else if (!last) {
			last = r;
		}
		if (is_settled(l, r) && r->older_end < at_ns) {
			if (!last)
				last = request_of(l, r->before);
			break;
		}
	}
	for (said = 0; said < n; said++)
		say_request(l, now[n - said - 1], t);
	if (b->counted && (said += say_brought(l, begun, next, b, BEGUN_MAX - said, t)))
		return;
	/* While another one is under way: only where both were at once, and then it may belong to either. */
	brings = brings && next && (!n || (!b->counted && next->begin <= over && next->begin - at_ns <= SOON_NS));
	if (!n && !brings && (last || next))
		say_request(l, last ? last : next, t);
	if (!brings)
		return;
	for (r = next; r && is_together(r, next, b->how) && said < BEGUN_MAX; r = request_of(l, r->after), said++)
		say_request(l, r, t);
}

/* Of R, the last try by PORT that began by then, or else the first after it. -1: none by that port. */
static int try_of(const struct request *r, unsigned port, uint64_t at_ns)
{
	int best = -1;

	for (unsigned i = r->n_tries; i-- > 0;) {
		if (r->tries[i].port != port)
			continue;
		best = (int)i;
		if (r->tries[i].from <= at_ns)
			break;
	}
	return best;
}

static void say_server_leg(struct ledger *l, struct flow *f, uint64_t at_ns, unsigned port, struct text *t)
{
	const struct request *best = NULL;
	struct request *next, *r = at_time(l, f, at_ns, &next);
	unsigned steps = 0;
	int which = -1;

	/* The newest before it; else the first one after it, which it opens the connection for. */
	for (; r && steps < STEPS_MAX; r = request_of(l, r->before), steps++) {
		const int i = try_of(r, port, at_ns);

		if (i < 0)
			continue;
		best = r;
		which = i;
		if (r->tries[i].from <= at_ns)
			break;
	}
	for (r = next; r && !best && steps < STEPS_MAX; r = request_of(l, r->after), steps++) {
		which = try_of(r, port, at_ns);
		best = which < 0 ? NULL : r;
	}
	if (!best)
		return;
	say_id(best, t);
	text_puts(t, ", retry ");
	text_number(t, best->tries[which].retry);
}

/* B: what S has, of the client's connection C. */
static void count(struct conn *c, const struct seen *s, bool sends, uint64_t at_ns, struct bytes *b)
{
	/* Not the same SYN once more. */
	if (s->syn && !(c->counted[sends] && c->first[sends] == s->seq + 1)) {
		c->counted[sends] = true;
		c->first[sends] = s->seq + 1;
		if (!sends) {
			c->counted[true] = false;
			c->since = at_ns;
		}
	}
	b->some = s->payload > 0;
	b->counted = b->some && c->counted[sends];
	b->since = c->since;
	b->span.from = s->seq + s->syn - c->first[sends];
	b->span.to = b->span.from + s->payload;
}

size_t ledger_say(struct ledger *l, unsigned source, const struct packets_frame *f, uint64_t at_ns, char out[static LEDGER_TEXT])
{
	struct text t = { out, out + LEDGER_TEXT - 1 };
	bool sends = f->flags & PACKETS_OUT, plain = f->flags & PACKETS_PLAIN;
	struct bytes b = { .how = plain ? PACKETS_RETOLD : PACKETS_WIRE }, none = b;
	struct flow *flow;
	struct seen s;
	struct conn *c;

	*out = '\0';
	see(f, &s);
	if (!s.known || f->leg > PACKETS_SERVER_LEG || f->flags & PACKETS_MONITOR)
		return 0;
	if (f->leg == PACKETS_CLIENT_LEG)
		count(conn_of_client(l, source, f->flow, b.how), &s, sends, at_ns, &b);
	flow = flow_of(l, source, f->flow, false);
	if (flow && f->leg == PACKETS_CLIENT_LEG && !(sends && say_answers(l, flow, &b, &t)))
		say_client_leg(l, flow, at_ns, sends ? &none : &b, &t);
	else if (flow && f->leg == PACKETS_SERVER_LEG)
		say_server_leg(l, flow, at_ns, sends ? s.sport : s.dport, &t);
	if (plain)
		return (size_t)(t.at - out);
	c = f->leg == PACKETS_CLIENT_LEG ? conn_of_client(l, source, f->flow, PACKETS_WIRE)
					 : conn_of_server(l, source, sends ? s.sport : s.dport, sends ? s.dst : s.src, sends ? s.dport : s.sport);
	if (!c->known || c->told)
		return (size_t)(t.at - out);
	c->told = true;
	if ((c->flags & (NOTE_TLS | NOTE_KEYED)) == NOTE_TLS) {
		text_puts(&t, ", its TLS secrets are not in this file");
		text_puts(&t, c->flags & NOTE_RETOLD ? LEDGER_PLAIN : "");
	}
	return (size_t)(t.at - out);
}
