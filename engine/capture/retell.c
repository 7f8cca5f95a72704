#include "engine/capture/retell.h"

#include <sys/socket.h>

#include "base/base.h"
#include "base/ip.h"
#include "engine/capture/worker_ring.h"
#include "engine/capture/recite.h"
#include "engine/clone/mark.h"
#include "engine/clone/synth.h"
#include "engine/http/exchange.h"
#include "engine/upstream.h"
#include "engine/worker.h"

#define MSS_V4 1460 /* frames as on an Ethernet */
#define MSS_V6 1440

/* What TLS adds at most: before the first byte of a record, and to each record; the smallest of many bytes (engine/tls/tls.c). */
#define TLS_HEAD   21u
#define TLS_RECORD 96u
#define TLS_SMALL  4096u

struct retold {
	uint32_t capture;         /* for which it is told */
	struct told told;         /* beside each frame */
	struct synth synth;
	bool heads;               /* of messages alone are told: it was in its middle, and HTTP/2 */
	uint32_t next[2];         /* sequence numbers then */
	struct packets_span heard; /* as conn->read, of what is told */
	uint32_t said;             /* bytes of it */
};

static const struct worker_ring *worker_ring; /* set before anybody serves */

void retell_worker_ring(const struct worker_ring *c)
{
	__atomic_store_n(&worker_ring, c, __ATOMIC_RELEASE);
}

/* What is wanted of C's service; NULL: nothing. */
static const struct snapshot_clone *wanted(const struct conn *c)
{
	const struct snapshot *s = c->service->snapshot;

	return s && s->clone.tells && __atomic_load_n(&worker_ring, __ATOMIC_ACQUIRE) ? &s->clone : NULL;
}

static bool put(const struct conn *c, const struct snapshot_clone *w, const struct told *t, const struct iovec *iov, int n)
{
	return worker_ring_put(worker_ring, c->worker->id, w->tells - 1, t, iov, n);
}

static const struct conn *client_of(const struct conn *c)
{
	return c->side == CONN_CLIENT ? c : c->upstream ? c->upstream->client : NULL;
}

uint64_t retell_flow(const struct conn *client)
{
	union address vip = client->listener->address;

	address_set_port(&vip, client->port);
	return mark_flow_id(client->worker, &client->peer, &vip, false);
}

/* Who speaks with whom on C, which is CLIENT's or serves it. */
static struct told told_of(struct conn *c, const struct conn *client, const struct snapshot_clone *w)
{
	struct told t = { .service = w->service, .capture = w->capture, .worker = (uint16_t)c->worker->id,
			  .client_port = (uint16_t)address_port(&client->peer) };

	t.note.at_ns = mono_ns();
	t.note.flow = retell_flow(client);
	t.note.leg = c->side == CONN_CLIENT ? PACKETS_CLIENT_LEG : PACKETS_SERVER_LEG;
	address_mapped(&client->peer, t.client);
	if (c->side == CONN_SERVER) {
		address_mapped(&c->peer, t.server);
		memcpy(t.note.server, t.server, sizeof(t.server));
		t.note.server_port = (uint16_t)address_port(&c->peer);
		t.note.port = conn_own_port(c);
	} else {
		t.note.port = t.client_port;
	}
	t.note.flags = (uint8_t)((c->tls ? NOTE_TLS : 0) | (c->keyed == w->capture ? NOTE_KEYED : 0) |
				 (c->retold && c->retold->capture == w->capture ? NOTE_RETOLD : 0));
	return t;
}

/* ---- conversations ---- */

struct out {
	struct synth_out synth;
	const struct conn *conn;
	const struct snapshot_clone *wanted;
	struct retold *retold;
};

static void frame(struct synth_out *synth, const struct synth_frame *f)
{
	struct out *o = CONTAINER_OF(synth, struct out, synth);
	struct told *t = &o->retold->told;
	struct iovec iov[1 + SYNTH_SLICES];
	const uint8_t *from = f->head + SYNTH_L3 + (o->retold->synth.v4 ? 12 : 8);
	const struct synth_end *server = &o->retold->synth.end[SYNTH_SERVER], *client = &o->retold->synth.end[SYNTH_CLIENT];
	size_t n = o->retold->synth.v4 ? 4 : 16;
	uint16_t port = (uint16_t)(f->head[f->l4] << 8 | f->head[f->l4 + 1]);
	bool by_client = port == client->port && memcmp(from, client->addr + 16 - n, n) == 0 &&
			 !(client->port == server->port && memcmp(client->addr, server->addr, 16) == 0);

	t->out = by_client == (o->conn->side == CONN_SERVER);
	t->len = (uint32_t)(f->head_len + f->data_len);
	iov[0] = (struct iovec){ (void *)f->head, f->head_len };
	if (f->n_data)
		memcpy(iov + 1, f->data, (size_t)f->n_data * sizeof(*iov));
	put(o->conn, o->wanted, t, iov, 1 + f->n_data);
}

/* NULL: it is told to nobody, just now. */
static struct out *out_of(const struct conn *c, struct out *o)
{
	const struct snapshot_clone *w = wanted(c);

	if (!w || !w->retells || w->capture != c->retold->capture || c->retold->heads)
		return NULL;
	*o = (struct out){ .synth = { .frame = frame }, .conn = c, .wanted = w, .retold = c->retold };
	o->retold->told.note.at_ns = mono_ns();
	return o;
}

static void ends_of(struct conn *c, const struct conn *client, struct synth_end *from, struct synth_end *to)
{
	union address own = { 0 };
	socklen_t len = sizeof(own);
	const union address *server = c->side == CONN_SERVER ? &c->peer : &own;
	unsigned port;

	getsockname(c->watch.fd, &own.sa, &len);
	address_mapped(c->side == CONN_SERVER ? &own : &client->peer, from->addr);
	from->port = c->side == CONN_SERVER ? (uint16_t)address_port(&own) : (uint16_t)address_port(&client->peer);
	address_mapped(server, to->addr);
	port = address_port(server);
	to->port = port == 80 ? 8080 : 80;
}

void retell_attach(struct conn *c, bool from_middle)
{
	/* As a dialled and an answering card: who reads it knows it from its interface. */
	static const uint8_t macs[12] = { 2, 0x53, 0x50, 0x57, 0, 2, 2, 0x53, 0x50, 0x57, 0, 3 };
	const struct snapshot_clone *w = wanted(c);
	const struct conn *client = client_of(c);
	struct synth_end from = { 0 }, to = { 0 };
	struct out o;

	if (!w || !w->retells || !client || (c->retold && c->retold->capture == w->capture))
		return;
	if (!c->retold)
		c->retold = xcalloc(1, sizeof(*c->retold));
	ends_of(c, client, &from, &to);
	c->retold->capture = w->capture;
	c->retold->heads = false;
	c->retold->heard = (struct packets_span){ 0 };
	c->retold->said = 0;
	c->retold->told = told_of(c, client, w);
	synth_init(&c->retold->synth, &from, &to, ip_bytes_are_v4(to.addr) ? MSS_V4 : MSS_V6, macs);
	synth_open(&c->retold->synth, &out_of(c, &o)->synth);
	if (from_middle && conn_in_len(c) && c->side == CONN_CLIENT)
		retell_heard(c, conn_in(c), conn_in_len(c));
}

static void attach_heads(struct conn *c)
{
	const struct snapshot_clone *w = wanted(c);

	if (!w || !w->retells || (c->retold && c->retold->capture == w->capture))
		return;
	if (!c->retold)
		c->retold = xcalloc(1, sizeof(*c->retold));
	c->retold->capture = w->capture;
	c->retold->heads = true;
	c->retold->heard = (struct packets_span){ 0 };
	c->retold->said = 0;
	c->retold->next[0] = c->retold->next[1] = 1;
	c->retold->told = told_of(c, c, w);
}

bool retell_wants_heads(const struct conn *c)
{
	const struct snapshot_clone *w = c->retold && c->retold->heads ? wanted(c) : NULL;

	return w && w->retells && w->capture == c->retold->capture;
}

void retell_head(struct conn *c, const struct excerpt_record *m, const char *text)
{
	uint8_t head[RECITE_HEAD];
	size_t n = recite_head(m, text, c->retold->next, head);
	struct iovec iov[] = { { head, n }, { (void *)text, m->len } };
	struct told *t = &c->retold->told;

	t->out = m->out;
	t->len = (uint32_t)n + m->len;
	t->wire_len = (uint32_t)n + m->wire;
	t->note.at_ns = m->at_ns;
	put(c, wanted(c), t, iov, ARRAY_SIZE(iov));
}

/* A connection to a server goes from client to client. */
static void whose(struct conn *c)
{
	const struct conn *client = client_of(c);
	struct told *t = &c->retold->told;

	if (c->side == CONN_CLIENT || !client)
		return;
	t->note.flow = retell_flow(client);
	t->client_port = (uint16_t)address_port(&client->peer);
	address_mapped(&client->peer, t->client);
}

void retell_heard(struct conn *c, const void *p, size_t received)
{
	const struct iovec iov = { (void *)p, received };
	struct packets_span *heard = &c->retold->heard;
	struct out o;

	if (!out_of(c, &o))
		return;
	*heard = (struct packets_span){ conn_in_len(c) ? heard->from : heard->to, heard->to + (uint32_t)received };
	synth_data(&c->retold->synth, c->side == CONN_CLIENT ? SYNTH_CLIENT : SYNTH_SERVER, &iov, 1, &o.synth);
}

void retell_said(struct conn *c, const struct iovec *iov, size_t sent)
{
	enum synth_side we = c->side == CONN_CLIENT ? SYNTH_SERVER : SYNTH_CLIENT;
	struct iovec taken[SYNTH_SLICES];
	struct out o;

	if (!out_of(c, &o))
		return;
	c->retold->said += (uint32_t)sent;
	while (sent) {
		int k = 0;

		for (; sent && k < SYNTH_SLICES; k++, iov++) {
			taken[k] = (struct iovec){ iov->iov_base, MIN(iov->iov_len, sent) };
			sent -= taken[k].iov_len;
		}
		synth_data(&c->retold->synth, we, taken, k, &o.synth);
	}
}

void retell_end(struct conn *c, bool ours)
{
	struct out o;

	if (out_of(c, &o))
		synth_end(&c->retold->synth, (c->side == CONN_CLIENT) != ours ? SYNTH_CLIENT : SYNTH_SERVER, &o.synth);
}

void retell_fini(struct conn *c, bool reset)
{
	struct out o;

	if (out_of(c, &o)) {
		enum synth_side we = c->side == CONN_CLIENT ? SYNTH_SERVER : SYNTH_CLIENT;

		if (reset)
			synth_reset(&c->retold->synth, we, &o.synth);
		synth_end(&c->retold->synth, we, &o.synth);
		synth_end(&c->retold->synth, !we, &o.synth);
	}
	free(c->retold);
	c->retold = NULL;
}

/* ---- requests ---- */

/* SPAN: of the client's connection, by enum packets_told; NULL: not told. */
static void note(struct conn *c, const struct conn *client, const char *id, size_t id_len, unsigned retry, enum note_what what,
		 const struct packets_span *span)
{
	const struct snapshot_clone *w = wanted(c);
	struct told t;

	if (!w)
		return;
	t = told_of(c, client, w);
	if (what == NOTE_OVER) /* the turn's, not now: what the client says next comes after it ended one */
		t.note.at_ns = loop_now(c->worker->loop);
	t.note.retry = (uint16_t)retry;
	t.note.what = (uint8_t)what;
	if (span)
		t.note.span[PACKETS_WIRE] = span[PACKETS_WIRE];
	if (span && t.note.flags & NOTE_RETOLD)
		t.note.span[PACKETS_RETOLD] = span[PACKETS_RETOLD];
	if (id_len)
		memcpy(t.note.request, id, MIN(id_len, (size_t)PACKETS_REQUEST_MAX));
	put(c, w, &t, NULL, 0);
}

void retell_request(struct exchange *x)
{
	if (!wanted(x->client))
		return;
	if (x->framed)
		attach_heads(x->client);
	else
		retell_attach(x->client, true);
	note(x->client, x->client, x->id, x->id_len, 0, NOTE_THERE,
	     (struct packets_span[]){ x->client->read, x->client->retold ? x->client->retold->heard : (struct packets_span){ 0 } });
}

void retell_dialled(struct exchange *x, struct conn *server)
{
	note(server, x->client, x->id, x->id_len, x->upstream.tries + x->reselects, NOTE_THERE, NULL);
}

void retell_sent(struct exchange *x)
{
	struct conn *server = x->upstream.server;

	if (!wanted(server))
		return;
	retell_attach(server, true);
	if (server->retold)
		whose(server);
	note(server, x->client, x->id, x->id_len, x->upstream.tries + x->reselects, NOTE_THERE, NULL);
}

bool retell_tells(const struct conn *client)
{
	return wanted(client) != NULL;
}

void retell_answers(struct conn *c, const char *id, ssize_t from, size_t len)
{
	const uint32_t said = c->retold ? c->retold->said : 0;
	struct packets_span span[] = { [PACKETS_WIRE] = { c->sent + (uint32_t)from, c->sent + (uint32_t)from + (uint32_t)len },
				       [PACKETS_RETOLD] = { said + (uint32_t)from, said + (uint32_t)from + (uint32_t)len } };

	if (c->tls && from < 0) /* what has left is counted with its records */
		span[PACKETS_WIRE].from -= ((uint32_t)-from / TLS_SMALL + 1) * TLS_RECORD;
	else if (c->tls)
		span[PACKETS_WIRE].to += TLS_HEAD + (uint32_t)((size_t)from + len) / TLS_SMALL * TLS_RECORD;
	note(c, c, id, strlen(id), 0, NOTE_ANSWERED, span);
}

void retell_over(struct exchange *x)
{
	note(x->client, x->client, x->id, x->id_len, 0, NOTE_OVER, NULL);
}

void retell_pair(struct conn *client, struct conn *server)
{
	if (!wanted(client))
		return;
	retell_attach(client, true);
	retell_attach(server, true);
	note(client, client, NULL, 0, 0, NOTE_THERE, NULL);
	note(server, client, NULL, 0, 0, NOTE_THERE, NULL);
}
