#include "controller/capture/ledger.h"

#include "base/base.h"
#include "base/ip.h"

#define BUCKETS     16384u
#define CONNS       65536u
#define TRIES_MAX   4
#define STEPS_MAX   256 /* of a connection's past that are looked at */
#define SAID_MAX    3   /* requests that are under way at once and named */

struct request {
	uint64_t number;          /* counted from 1; 0: there is none */
	uint64_t before;          /* the one before in its bucket */
	uint64_t flow, begin, end;
	unsigned source;
	char id[PACKETS_REQUEST_MAX + 1];
	struct {
		uint64_t from;
		uint16_t port, server_port, retry;
		uint8_t server[16];
	} tries[TRIES_MAX];
	unsigned n_tries;
};

struct conn {
	uint64_t key;
	uint8_t flags;
	bool known, told;         /* told: what is to be said of it was */
};

struct ledger {
	struct request *requests; /* the newest: a ring */
	uint64_t n;               /* ever */
	uint64_t buckets[BUCKETS];
	struct conn conns[CONNS];
};

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
	return l;
}

void ledger_free(struct ledger *l)
{
	if (!l)
		return;
	free(l->requests);
	free(l);
}

/* ---- requests ---- */

static uint64_t *bucket_of(struct ledger *l, unsigned source, uint64_t flow)
{
	return &l->buckets[mixed(flow + source) % BUCKETS];
}

/* The one of NUMBER, or those before it in its bucket that are of FLOW; NULL: none is remembered. */
static struct request *of_flow(struct ledger *l, uint64_t number, unsigned source, uint64_t flow, unsigned *steps)
{
	while (number && number + LEDGER_REQUESTS > l->n && (*steps)++ < STEPS_MAX) {
		struct request *r = &l->requests[number % LEDGER_REQUESTS];

		if (r->flow == flow && r->source == source)
			return r;
		number = r->before;
	}
	return NULL;
}

#define EACH_OF_FLOW(r, l, source, flow)                                                                                         \
	for (unsigned steps_ = 0, once_ = 1; once_; once_ = 0)                                                                   \
		for (struct request *r = of_flow(l, *bucket_of(l, source, flow), source, flow, &steps_); r;                      \
		     r = of_flow(l, r->before, source, flow, &steps_))

static struct request *request_get(struct ledger *l, unsigned source, const struct packets_note *n)
{
	uint64_t *bucket = bucket_of(l, source, n->flow);
	struct request *r;

	EACH_OF_FLOW(known, l, source, n->flow)
		if (strcmp(known->id, n->request) == 0 && known->end == UINT64_MAX)
			return known;
	if (n->over)
		return NULL;
	l->n++;
	r = &l->requests[l->n % LEDGER_REQUESTS];
	*r = (struct request){ .number = l->n, .before = *bucket, .flow = n->flow, .source = source, .begin = n->at_ns, .end = UINT64_MAX };
	snprintf(r->id, sizeof(r->id), "%s", n->request);
	*bucket = l->n;
	return r;
}

/* ---- connections ---- */

static struct conn *conn_of(struct ledger *l, unsigned source, unsigned leg, uint64_t flow, unsigned port, const uint8_t server[16],
			    unsigned server_port)
{
	uint64_t key = mixed(leg + 2 * source), half[2];

	if (leg == PACKETS_CLIENT_LEG) {
		key = mixed(key ^ flow);
	} else {
		memcpy(half, server, sizeof(half));
		key = mixed(mixed(key ^ half[0]) ^ half[1]) ^ ((uint64_t)port << 16 | server_port);
		key = mixed(key);
	}
	struct conn *c = &l->conns[key % CONNS];

	if (c->key != key)
		*c = (struct conn){ .key = key };
	return c;
}

void ledger_note(struct ledger *l, unsigned source, const struct packets_note *n)
{
	struct conn *c = conn_of(l, source, n->leg, n->flow, n->port, n->server, n->server_port);
	struct request *r = *n->request ? request_get(l, source, n) : NULL;

	if (!n->over && (!c->known || c->flags != n->flags))
		*c = (struct conn){ .key = c->key, .flags = n->flags, .known = true };
	if (!r)
		return;
	if (n->over) {
		r->end = n->at_ns;
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
	bool known, payload;
	unsigned sport, dport;
	const uint8_t *src, *dst;
	uint8_t mapped[2][16];
};

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
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
	s->payload = len > at - ip + (d[at + 12] >> 4) * 4U;
}

static int say_server(const struct request *r, unsigned i, char *out, size_t size)
{
	char text[IP_TEXT_MAX];
	struct in6_addr ip;

	memcpy(&ip, r->tries[i].server, 16);
	return snprintf(out, size, ", server %s port %u, retry %u", ip_text(&ip, text), r->tries[i].server_port, r->tries[i].retry);
}

static int say_client_leg(struct ledger *l, unsigned source, const struct packets_frame *f, uint64_t at_ns, bool begins, char *out,
			  size_t size)
{
	const struct request *now[SAID_MAX], *next = NULL, *last = NULL;
	unsigned n = 0;
	int len = 0;

	EACH_OF_FLOW(r, l, source, f->flow) {
		if (r->begin > at_ns)
			next = r;
		else if (at_ns <= r->end && n < SAID_MAX)
			now[n++] = r;
		else if (!last)
			last = r;
	}
	if (!n && (next || last))
		now[n++] = next && (begins || !last) ? next : last;
	while (n--) {
		len += snprintf(out + len, size - (size_t)len, ", request %s", now[n]->id);
		if (now[n]->n_tries)
			len += say_server(now[n], now[n]->n_tries - 1, out + len, size - (size_t)len);
	}
	return len;
}

static int say_server_leg(struct ledger *l, unsigned source, const struct packets_frame *f, uint64_t at_ns, unsigned port, char *out,
			  size_t size)
{
	const struct request *best = NULL;
	unsigned which = 0;

	EACH_OF_FLOW(r, l, source, f->flow)
		for (unsigned i = r->n_tries; i-- > 0;) {
			bool was = best && best->tries[which].from <= at_ns, is = r->tries[i].from <= at_ns;

			if (r->tries[i].port != port || was)
				continue;
			/* The newest before it; else the first one after it, which it opens the connection for. */
			best = r;
			which = i;
			if (is)
				break;
		}
	if (!best)
		return 0;
	return snprintf(out, size, ", request %s, retry %u", best->id, best->tries[which].retry);
}

void ledger_say(struct ledger *l, unsigned source, const struct packets_frame *f, uint64_t at_ns, char out[static LEDGER_TEXT])
{
	bool sends = f->flags & PACKETS_OUT;
	struct seen s;
	struct conn *c;
	int n = 0;

	*out = '\0';
	see(f, &s);
	if (!s.known || f->leg > PACKETS_SERVER_LEG || f->flags & PACKETS_MONITOR)
		return;
	if (f->leg == PACKETS_CLIENT_LEG)
		n = say_client_leg(l, source, f, at_ns, !sends && s.payload, out, LEDGER_TEXT);
	else
		n = say_server_leg(l, source, f, at_ns, sends ? s.sport : s.dport, out, LEDGER_TEXT);
	if (f->flags & PACKETS_PLAIN)
		return;
	c = conn_of(l, source, f->leg, f->flow, sends ? s.sport : s.dport, sends ? s.dst : s.src, sends ? s.dport : s.sport);
	if (!c->known || c->told)
		return;
	c->told = true;
	if ((c->flags & (NOTE_TLS | NOTE_KEYED)) == NOTE_TLS)
		snprintf(out + n, LEDGER_TEXT - (size_t)n, ", its TLS secrets are not in this file%s",
			 c->flags & NOTE_RETOLD ? ": its plaintext is" : "");
}
