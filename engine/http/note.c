#include "engine/http/note.h"

#include <netinet/tcp.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/base.h"
#include "engine/capture/trigger.h"
#include "engine/http/refusal.h"
#include "engine/http/redaction.h"
#include "engine/log_plan.h"
#include "engine/significance.h"
#include "engine/tls/tls.h"
#include "engine/worker.h"
#include "model/structs.h"

#define ID_MAX  64
#define ID_MADE 32

/* ---- ids ---- */

/* Random to begin with, then a step of Weyl's sequence through a mixer: unique for 2^64 requests of a thread. */
static uint64_t mixed(uint64_t v)
{
	v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9ULL;
	v = (v ^ v >> 27) * 0x94D049BB133111EBULL;
	return v ^ v >> 31;
}

static void id_make(char out[static ID_MADE])
{
	static _Thread_local uint64_t seed[2];
	uint64_t v[2];

	if (!seed[0])
		must(getrandom(seed, sizeof(seed), 0) == sizeof(seed));
	seed[1] += 0x9E3779B97F4A7C15ULL;
	v[0] = mixed(seed[0] ^ seed[1]);
	v[1] = mixed(seed[1]);
	for (int i = 0; i < ID_MADE; i++)
		out[i] = "0123456789abcdef"[v[i / 16] >> i % 16 * 4 & 15];
}

static bool id_is_good(const char *p, size_t n)
{
	if (n == 0 || n > ID_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr("-_.:+/=@", c))))
			return false;
	}
	return true;
}

static void id_note(struct exchange *x, const char *given, size_t n)
{
	struct record *rec = x->note;
	char made[ID_MADE];

	x->id_given = given && id_is_good(given, n);
	if (!x->id_given) {
		id_make(made);
		given = made;
		n = ID_MADE;
	}
	x->id = rec->text + rec->text_used;
	x->id_len = (uint8_t)n;
	record_text(rec, RECORD_T_REQUEST_ID, given, n);
	must(rec->texts[RECORD_T_REQUEST_ID].len == n);
}

static void id_find(struct exchange *x, const struct http1_head *h, const char *in)
{
	const struct http1_field *given = NULL;
	unsigned n = 0;

	for (uint32_t i = 0; i < h->fields_n; i++)
		if (h->fields[i].id == HTTP1_F_X_REQUEST_ID) {
			given = &h->fields[i];
			n++;
		}
	id_note(x, n == 1 ? in + given->value.at : NULL, n == 1 ? given->value.len : 0);
}

/* ---- the note ---- */

static uint32_t since_us(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns && from_ns ? (uint32_t)MIN((to_ns - from_ns) / 1000, (uint64_t)UINT32_MAX) : 0;
}

/* Asked once for a connection: a system call is a good part of a request. */
static uint32_t client_rtt_us(struct conn *c)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (!c->rtt_us && getsockopt(c->watch.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0) {
		c->rtt_us = MAX(info.tcpi_rtt, 1u);
		counter_add(&c->service->counters->client_rtt_us, c->rtt_us);
		counter_add(&c->service->counters->client_rtt_n, 1);
	}
	return c->rtt_us;
}

static struct record *note_new(struct exchange *x)
{
	struct conn *c = x->client;
	const struct snapshot *snap = c->listener->snapshot;
	struct record *rec = slab_get(&c->worker->notes);

	c->uses++;
	x->note = rec;
	x->id_len = 0;
	x->begun_ns = loop_now(c->worker->loop);
	x->sent_ns = x->first_ns = 0;
	if (!rec)
		return NULL;
	rec->type = RECORD_REQUEST;
	rec->client = c->peer;
	rec->vip = c->listener->address;
	rec->port = c->port;
	rec->version = (uint8_t)(x->framed ? 20 : 10 + x->minor);
	rec->tls = conn_is_tls(c);
	tls_note(c, rec);
	rec->client_rtt_us = client_rtt_us(c);
	if (snap && snap->uuid)
		record_text(rec, RECORD_T_VS, snap->uuid, strlen(snap->uuid));
	return rec;
}

/* As far as the profile lets logs show it. */
static void note_field(struct record *rec, const struct redaction *redaction, enum record_text which, const struct http1_field *f, const char *in)
{
	enum redaction_how how = redaction_header(redaction, in + f->name_at, f->name_len);

	if (how == REDACTION_NONE)
		record_text(rec, which, in + f->value.at, f->value.len);
	else if (how == REDACTION_STARS)
		record_text(rec, which, REDACTION_TEXT, sizeof(REDACTION_TEXT) - 1);
}

void note_begin(struct exchange *x, const struct http1_head *h, const char *in)
{
	struct record *rec = note_new(x);
	const char *path = in + h->path.at, *query;
	struct service_counters *c = exchange_counters(x);
	const struct redaction *redaction = x->client->listener->snapshot ? x->client->listener->snapshot->redaction : NULL;
	size_t path_len, query_len;

	counter_add(h->method == HTTP1_M_GET ? &c->http_get : h->method == HTTP1_M_POST ? &c->http_post
										       : &c->http_other, 1);
	if (!rec)
		return;
	rec->rx_bytes = h->len;
	id_find(x, h, in); /* before those that could fill the record */
	query = memchr(path, '?', h->path.len);
	path_len = query ? (size_t)(query - path) : h->path.len;
	record_text(rec, RECORD_T_METHOD, in + h->method_text.at, h->method_text.len);
	record_text(rec, RECORD_T_HOST, in + h->authority.at, h->authority.len);
	record_text(rec, RECORD_T_PATH, path, path_len);
	if (query) {
		query_len = h->path.len - path_len - 1;
		query = redaction_query(redaction, query + 1, &query_len);
		record_text(rec, RECORD_T_QUERY, query, query_len);
	}
	for (uint32_t i = 0; i < h->fields_n; i++) {
		const struct http1_field *f = &h->fields[i];

		switch (f->id) {
		case HTTP1_F_USER_AGENT:
			note_field(rec, redaction, RECORD_T_AGENT, f, in);
			break;
		case HTTP1_F_REFERER:
			note_field(rec, redaction, RECORD_T_REFERER, f, in);
			break;
		case HTTP1_F_X_FORWARDED_FOR:
			note_field(rec, redaction, RECORD_T_XFF, f, in);
			break;
		default:
			break;
		}
	}
}

void note_malformed(struct exchange *x)
{
	counter_add(&exchange_counters(x)->http_other, 1);
	if (note_new(x))
		id_note(x, NULL, 0);
}

void note_sent(struct exchange *x)
{
	const struct conn *server = x->upstream.server;
	struct record *rec = x->note;

	x->sent_ns = loop_now(x->client->worker->loop); /* the clock is a good part of what a note costs */
	if (!rec)
		return;
	rec->server = server->peer;
	rec->server_src_port = conn_own_port(x->upstream.server);
	memcpy(rec->source, server->own_ip, sizeof(rec->source));
	rec->server_rtt_us = server->rtt_us;
	rec->reused = server->uses > 0;
	if (x->upstream.pool)
		record_pool(rec, x->upstream.pool->uuid, x->upstream.pool->name);
}

void note_answer(struct exchange *x, unsigned status, bool own)
{
	struct record *rec = x->note;

	x->first_ns = loop_now(x->client->worker->loop);
	if (!rec)
		return;
	rec->status = (uint16_t)status;
	if (!own)
		rec->server_status = (uint16_t)status;
}

void note_reason(struct exchange *x, enum record_reason r)
{
	if (x->note && !x->note->reason)
		x->note->reason = (uint8_t)r;
}

enum record_reason note_reason_of(const struct refusal *r)
{
	static const struct { size_t counter; enum record_reason reason; } of[] = {
#define R(counter, reason) { offsetof(struct service_counters, counter), RECORD_##reason },
		R(http_bad_request, BAD_REQUEST) R(http_bad_version, BAD_REQUEST) R(http_bad_framing, BAD_FRAMING)
		R(http_head_large, HEAD_LARGE) R(http_body_large, BODY_LARGE) R(http_client_late, CLIENT_LATE)
		R(http_no_memory, NO_MEMORY) R(http_no_server, NO_SERVER) R(http_servers_busy, NO_SERVER)
		R(http_server_refused, SERVER_REFUSED) R(http_server_late, SERVER_LATE)
		R(http_server_lost, SERVER_LOST) R(http_server_malformed, SERVER_LOST) R(http_server_cut, CUT)
#undef R
	};

	for (size_t i = 0; i < ARRAY_SIZE(of); i++)
		if (of[i].counter == r->counter)
			return of[i].reason;
	return r->status < 400 ? RECORD_NONE : r->status < 500 ? RECORD_STATUS_4XX : RECORD_STATUS_5XX;
}

/* ---- its end ---- */

static const uint32_t bounds_us[] = {
#define LATENCY(name, us) us,
#include "engine/latency.def"
};

static unsigned bucket(uint32_t us)
{
	unsigned i = 0;

	while (i < ARRAY_SIZE(bounds_us) - 1 && us > bounds_us[i])
		i++;
	return i;
}

/* The wall clock at NOW of the other one, which was asked already. */
static uint64_t wall_at(uint64_t now_ns)
{
	static _Thread_local uint64_t read_ns, offset_us;

	if (!read_ns || now_ns - read_ns > NS_PER_S) {
		read_ns = now_ns;
		offset_us = wall_us() - now_ns / 1000;
	}
	return now_ns / 1000 + offset_us;
}

void note_end(struct exchange *x)
{
	struct worker *w = x->client->worker;
	struct record *rec = x->note;
	struct service_counters *c = exchange_counters(x);
	uint32_t total, app;
	uint64_t now;

	if (!rec)
		return;
	retell_over(x);
	now = mono_ns();
	total = since_us(x->begun_ns, now);
	app = since_us(x->sent_ns, x->first_ns);
	x->note = NULL;
	x->id_len = 0;
	app -= MIN(app, rec->server_rtt_us);
	if (x->first_ns) { /* the buckets stand in a row, as latency.def says */
		counter_add(&c->http_time_us, total);
		counter_add(&c->http_time_le_1ms + bucket(total), 1);
		counter_add(&c->http_transfer_us, since_us(x->first_ns, now));
	}
	if (x->first_ns && rec->server_status && x->upstream.server) {
		struct server_counters *s = x->upstream.server->backend->counters;

		counter_add(&c->http_app_us, app);
		counter_add(&c->http_app_n, 1);
		counter_add(&s->http_time_us, app);
		counter_add(&s->http_time_le_1ms + bucket(app), 1);
	}
	rec->report_us = wall_at(now);
	rec->rx_bytes += x->up.bytes;
	rec->total_us = total;
	rec->first_byte_us = since_us(x->begun_ns, x->first_ns);
	rec->transfer_us = since_us(x->first_ns, now);
	rec->app_us = rec->server_status ? app : 0;
	if (!rec->reason && rec->status >= 400)
		rec->reason = rec->status < 500 ? RECORD_STATUS_4XX : RECORD_STATUS_5XX;
	significance_judge(rec, x->client->listener->snapshot);
	trigger_look(x->client->listener->snapshot, rec);
	log_plan_put(x->client->listener->snapshot, w, c, rec);
	slab_put(&w->notes, rec);
}
