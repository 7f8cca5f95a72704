#include "engine/capture/taking.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <bpf/libbpf.h>

#include "base/base.h"
#include "base/ipset.h"
#include "base/log.h"
#include "engine/address.h"
#include "engine/bpf/datapath.h"
#include "engine/capture/worker_ring.h"
#include "engine/capture/cut.h"
#include "engine/capture/recite.h"
#include "engine/capture/sieve.h"
#include "engine/records.h"
#include "model/structs.h"
#include "net/packets.h"

#define BLOCK_BYTES  (128u << 10)
#define BLOCK_ROOM   (BLOCK_BYTES + (96u << 10)) /* the frames of the record that fills it are in it too */
#define WAITING_MAX  (16u << 20) /* blocks that the link did not take yet */
#define POLL_MS      20
#define BLOCK_MS     100         /* a block leaves at least so often, also an empty one */
#define SETTLE_NS    (2 * NS_PER_MS) /* between a packet's stamp and its place in the ring */
#define AROUND_NS    (100 * NS_PER_MS) /* before and behind a request: its packets were on their way */
#define AGAIN_MS     100         /* what is being recorded is read so often */
#define PORT_PLAIN   0xfffffff0u /* interfaces of plaintext, by leg: the kernel has none of such a number */
#define PORT_PAST    0xfffffff4u /* of plaintext out of the recorder */

/* ---- blocks ---- */

static void block_free(struct block *b)
{
	buf_fini(&b->bytes);
	free(b);
}

/* For the next ones. Under the lock. */
static void keep_memory(struct taking *t, struct buf *b)
{
	if (t->n_spare == TAKING_SPARE || b->size < BLOCK_ROOM || b->size > 2 * BLOCK_ROOM)
		return;
	buf_take(b, b->len);
	t->spare[t->n_spare++] = *b;
	*b = (struct buf)BUF_INIT;
}

/* ---- the thread ---- */

void taking_seal(struct taking *t, uint64_t until_ns, const char *ended)
{
	struct block *b = xcalloc(1, sizeof(*b));

	b->until_ns = until_ns + (uint64_t)t->offset_ns;
	b->ended = ended;
	pthread_mutex_lock(&t->lock);
	if (t->waiting + t->out.len > WAITING_MAX) {
		t->lost += t->packets;
	} else if (t->out.len) {
		b->bytes = t->out;
		b->packets = t->packets;
		t->out = t->n_spare ? t->spare[--t->n_spare] : (struct buf)BUF_INIT;
	}
	buf_take(&t->out, t->out.len);
	must(buf_room(&t->out, BLOCK_ROOM) == 0);
	t->drops = t->lost + (t->ring ? datapath_tap_lost(t->datapath, t->slot) : 0);
	if (t->capture)
		t->drops += worker_ring_lost(t->worker_ring, t->slot) - t->worker_ring_lost;
	b->drops = t->drops;
	t->waiting += b->bytes.len;
	*t->last = b;
	t->last = &b->next;
	t->is_over = ended != NULL;
	pthread_mutex_unlock(&t->lock);
	t->packets = 0;
	t->sealed_ns = mono_ns();
}

static void know_port(struct taking *t, uint32_t ifindex)
{
	char name[IF_NAMESIZE + 16] = "?";

	for (size_t i = 0; i < t->n_ports; i++)
		if (t->ports[i] == ifindex)
			return;
	if (t->n_ports < TAKING_PORTS)
		t->ports[t->n_ports++] = ifindex;
	if (ifindex >= PORT_PLAIN)
		snprintf(name, sizeof(name), "%splaintext-%s", ifindex >= PORT_PAST ? "recorder-" : "",
			 ifindex % 2 == PACKETS_CLIENT_LEG ? "client" : "server");
	else
		if_indextoname(ifindex, name);
	packets_put_text(&t->out, PACKETS_PORT, ifindex, name);
}

/* Both legs of a connection have one number: who serves the one serves the other. */
static uint16_t worker_of(struct taking *t, const struct tap_record *r)
{
	size_t at = (size_t)(r->flow >> 20) & (TAKING_FLOWS - 1);

	if (r->worker) {
		t->flows[at].flow = r->flow;
		t->flows[at].worker = (uint16_t)(r->worker - 1);
	}
	return t->flows[at].flow == r->flow && r->flow ? t->flows[at].worker : PACKETS_NO_WORKER;
}

struct frames {
	struct taking *taking;
	struct packets_frame frame;
	uint64_t *taken;            /* by its worker */
	struct sieve_packet packet;
};

static bool frame(void *arg, const struct cut_frame *c)
{
	struct frames *f = arg;
	struct taking *t = f->taking;

	if (t->packets_max && *f->taken >= t->packets_max)
		return false;
	f->packet.data = c->data;
	f->packet.len = c->len;
	f->packet.wire_len = c->wire_len;
	if (!sieve_passes(t->sieve, &f->packet))
		return true;
	f->frame.data = c->data;
	f->frame.len = t->snap ? MIN(c->len, t->snap) : c->len;
	f->frame.wire_len = c->wire_len;
	know_port(t, f->frame.port);
	packets_put_frame(&t->out, &f->frame);
	t->packets++;
	if (++*f->taken == t->packets_max)
		t->full++;
	return true;
}

int taking_record(void *arg, void *data, size_t size)
{
	struct taking *t = arg;
	const struct tap_record *r = data;
	struct cut cut = { .data = (const uint8_t *)(r + 1), .len = r->len, .wire_len = r->wire_len, .gso_size = r->gso_size,
			   .own = r->flags & TAP_OUT };
	struct frames f = { .taking = t };
	uint16_t worker;

	if (size < sizeof(*r) + r->len)
		return 0;
	worker = worker_of(t, r);
	f.frame = (struct packets_frame){
		.at_ns = r->at_ns + (uint64_t)t->offset_ns,
		.flow = r->flow,
		.port = r->ifindex,
		.worker = worker,
		.leg = !t->number && !(r->flags & TAP_LEG) ? PACKETS_OTHER_LEG : r->flags & FLOW_CLIENT ? PACKETS_CLIENT_LEG : PACKETS_SERVER_LEG,
		.flags = (uint8_t)((r->flags & TAP_OUT ? PACKETS_OUT : 0) | (r->flags & FLOW_MONITOR ? PACKETS_MONITOR : 0) |
				   (r->flags & TAP_GATE ? PACKETS_GATED : 0) | (r->flags & TAP_GUARD ? PACKETS_GUARDED : 0)),
		.client_port = ntohs(r->client_port),
	};
	memcpy(f.frame.client, r->client, 16);
	memcpy(&f.packet.client, r->client, 16);
	if (f.frame.client_port)
		f.frame.flags |= PACKETS_PEER;
	f.packet.monitor = r->flags & FLOW_MONITOR;
	f.packet.whole = t->number == 0;
	f.packet.is_client_leg = r->flags & FLOW_CLIENT;
	f.packet.out = r->flags & TAP_OUT;
	/* One that is not known yet is somebody's all the same: the limit holds for each. */
	f.taken = &t->taken[worker == PACKETS_NO_WORKER ? r->flow % t->workers : worker % t->workers];
	cut_frames(&cut, frame, &f);
	if (t->out.len >= BLOCK_BYTES)
		taking_seal(t, 0, NULL);
	return 0;
}

static void hear_frame(struct taking *t, const struct told *told, const uint8_t *data)
{
	struct packets_frame f = {
		.at_ns = told->note.at_ns,
		.flow = told->note.flow,
		.port = PORT_PLAIN + told->note.leg,
		.wire_len = MAX(told->len, told->wire_len),
		.len = told->len,
		.worker = told->worker,
		.leg = told->note.leg,
		.flags = (uint8_t)(PACKETS_PLAIN | PACKETS_PEER | (told->out ? PACKETS_OUT : 0)),
		.client_port = told->client_port,
		.data = data,
	};

	if (told->note.leg > PACKETS_SERVER_LEG)
		return;
	memcpy(f.client, told->client, 16);
	know_port(t, f.port);
	packets_put_frame(&t->out, &f);
	t->packets++;
}

/* What workers tell: they may be behind, and speak of another capture. */
static void hear(struct taking *t)
{
	uint8_t data[WORKER_RING_DATA_MAX];
	struct told told;

	for (unsigned w = 0; t->capture && w < t->workers; w++)
		while (worker_ring_take(t->worker_ring, w, t->slot, &told, data)) {
			struct in6_addr client, server;

			memcpy(&client, told.client, 16);
			memcpy(&server, told.server, 16);
			if (told.service != t->number || told.capture != t->capture || !sieve_takes(t->sieve, &client, &server))
				continue;
			told.note.at_ns += (uint64_t)t->offset_ns;
			if (!told.len)
				packets_put_note(&t->out, &told.note);
			else if (t->plaintext)
				hear_frame(t, &told, data);
			if (t->out.len >= BLOCK_BYTES)
				taking_seal(t, 0, NULL);
		}
}

bool taking_stops(const struct taking *t)
{
	return __atomic_load_n(&t->stops, __ATOMIC_ACQUIRE);
}

void *taking_run(void *arg)
{
	struct taking *t = arg;
	const char *ended = NULL;

	t->sealed_ns = mono_ns();
	while (!ended) {
		uint64_t now;
		bool last = taking_stops(t);

		ring_buffer__poll(t->ring, last ? 0 : POLL_MS);
		now = mono_ns();
		ring_buffer__consume(t->ring);
		hear(t);
		if (t->packets_max && t->full == t->workers)
			ended = "packets";
		else if (last)
			ended = "stopped";
		else if (mono_ns() - t->sealed_ns >= BLOCK_MS * NS_PER_MS)
			taking_seal(t, now - SETTLE_NS, NULL);
	}
	taking_seal(t, mono_ns(), ended);
	return NULL;
}

/* The past does not run away: it waits until the link has taken what was given. */
static void wait_for_room(struct taking *t)
{
	pthread_mutex_lock(&t->lock);
	while (t->waiting > WAITING_MAX / 2 && !taking_stops(t))
		pthread_cond_wait(&t->room, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

/* The request that the file is about, of a service that tells nothing itself: R's flow is its connection's, if it is of its client. */
static void note_request(struct taking *t, const struct tap_record *r)
{
	const struct record_request *is = &t->request.is;
	struct packets_note n = { .flow = r->flow, .leg = PACKETS_CLIENT_LEG, .port = (uint16_t)address_port(&is->client) };
	uint8_t client[16];

	address_mapped(&is->client, client);
	if (!r->flow || ntohs(r->client_port) != n.port || memcmp(r->client, client, sizeof(client)) != 0)
		return;
	t->request.noted = true;
	snprintf(n.request, sizeof(n.request), "%s", t->request.id);
	n.at_ns = t->since_ns + AROUND_NS + (uint64_t)t->offset_ns;
	packets_put_note(&t->out, &n);
	if (is->server_src_port) {
		struct packets_note served = n;

		served.leg = PACKETS_SERVER_LEG;
		served.port = is->server_src_port;
		served.server_port = (uint16_t)address_port(&is->server);
		address_mapped(&is->server, served.server);
		packets_put_note(&t->out, &served);
	}
	n.what = NOTE_OVER;
	n.at_ns = t->until_ns - AROUND_NS + (uint64_t)t->offset_ns;
	packets_put_note(&t->out, &n);
}

/* What was recorded since then and before UNTIL_NS. From when on none is missing. */
static uint64_t take_past(struct taking *t, uint64_t since_ns, uint64_t until_ns)
{
	uint64_t whole_ns;
	size_t n;
	struct recorder_slot *slots = recorder_read(&t->past, since_ns, until_ns, &n, &whole_ns);

	for (size_t i = 0; i < n && t->request.id && !t->request.noted; i++)
		note_request(t, &slots[i].r);
	for (size_t i = 0; i < n && !taking_stops(t); i++) {
		taking_record(t, &slots[i], sizeof(slots[i]));
		wait_for_room(t);
	}
	free(slots);
	return whole_ns;
}

/* The same of what was said inside TLS. */
static uint64_t take_said(struct taking *t, uint64_t since_ns, uint64_t until_ns)
{
	struct excerpt_past past;

	excerpt_read(&t->said, since_ns, until_ns, &past);
	for (size_t i = 0; i < past.n && !taking_stops(t); i++) {
		const struct excerpt_record *m = past.at[i];
		uint8_t data[RECITE_BYTES];
		struct packets_frame f;
		struct packets_note n;
		struct in6_addr client, server = { 0 };

		memcpy(&client, m->client.addr, sizeof(client));
		if (m->leg == PACKETS_SERVER_LEG)
			memcpy(&server, m->to.addr, sizeof(server));
		if (t->request.id ? strlen(t->request.id) != m->id_len || memcmp(t->request.id, excerpt_id(m), m->id_len) != 0
				  : !sieve_takes(t->sieve, &client, &server))
			continue;
		if (recital_note(m, &n)) {
			n.at_ns += (uint64_t)t->offset_ns;
			packets_put_note(&t->out, &n);
			t->request.noted = true;
		}
		recital_frame(t->recital, m, &f, data);
		f.at_ns += (uint64_t)t->offset_ns;
		f.port = PORT_PAST + f.leg;
		know_port(t, f.port);
		packets_put_frame(&t->out, &f);
		t->packets++;
		if (t->out.len >= BLOCK_BYTES)
			taking_seal(t, 0, NULL);
		wait_for_room(t);
	}
	since_ns = past.whole_ns;
	excerpt_past_fini(&past);
	return since_ns;
}

static uint64_t held(const struct taking *t, uint64_t whole_ns)
{
	return t->asked_ns > whole_ns ? t->asked_ns - whole_ns : 0;
}

static void wait_to_look_again(struct taking *t)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += AGAIN_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&t->lock);
	if (!taking_stops(t))
		pthread_cond_timedwait(&t->room, &t->lock, &until);
	pthread_mutex_unlock(&t->lock);
}

/* Which packets, and of when, are those of the request. False: nobody here knows of it. */
static bool find_request(struct taking *t)
{
	int64_t ahead_ns = (int64_t)(wall_us() * NS_PER_US) - (int64_t)mono_ns();
	CLEANUP_FREE char *expression = NULL;
	char client[ADDRESS_TEXT], server[ADDRESS_TEXT];
	struct ipset nobody = { 0 };
	struct record_request *r = &t->request.is;
	struct sieve *sieve;
	struct err e = { 0 };

	if (!records_request(t->requests, t->request.service, t->request.id, r))
		return false;
	address_ip(&r->client, client);
	expression = xasprintf("host %s and port %u", client, address_port(&r->client));
	if (r->server_src_port) {
		CLEANUP_FREE char *one = expression;

		address_ip(&r->server, server);
		expression = xasprintf("(%s) or (host %s and port %u and port %u)", one, server, address_port(&r->server),
				       r->server_src_port);
	}
	if (sieve_new(&(struct capture){ .capture_expression = expression }, &nobody, &sieve, &e) < 0) {
		log_warn("capture_failed capture=%s reason=\"%s\"", t->uuid, err_line(&e));
		return false;
	}
	sieve_free(t->sieve);
	t->sieve = sieve;
	t->since_ns = (uint64_t)((int64_t)(r->from_us * NS_PER_US) - ahead_ns) - AROUND_NS;
	t->until_ns = (uint64_t)((int64_t)(r->to_us * NS_PER_US) - ahead_ns) + AROUND_NS;
	return true;
}

void *taking_run_past(void *arg)
{
	struct taking *t = arg;
	struct recorder_written before = { 0 }, now = { 0 };
	uint64_t end_ns = t->asked_ns + t->after_ns, least_ns = t->request.id ? 0 : t->since_ns, whole_ns, upto_ns;

	if (t->request.id && !find_request(t)) {
		taking_seal(t, mono_ns(), "unknown");
		return NULL;
	}
	recorder_written(&t->past, &before);
	upto_ns = t->after_ns ? t->asked_ns : t->until_ns;
	whole_ns = take_said(t, t->since_ns, upto_ns);
	t->said_ns = t->said.service ? held(t, MAX(whole_ns, least_ns)) : 0;
	whole_ns = take_past(t, t->since_ns, upto_ns);
	t->held_ns = t->past.service ? held(t, MAX(whole_ns, least_ns)) : 0;
	while (upto_ns < end_ns && !taking_stops(t)) {
		uint64_t from_ns = upto_ns;

		taking_seal(t, upto_ns, NULL);
		wait_to_look_again(t);
		upto_ns = MIN(mono_ns() - SETTLE_NS, end_ns);
		take_said(t, from_ns, upto_ns);
		take_past(t, from_ns, upto_ns);
		recorder_written(&t->past, &now);
		t->lost += recorder_lost(&t->past, &before, &now);
		before = now;
	}
	taking_seal(t, mono_ns(), "saved");
	return NULL;
}

/* ---- what the warden asks ---- */

struct block *taking_first(struct taking *t)
{
	struct block *b;

	pthread_mutex_lock(&t->lock);
	b = t->first;
	pthread_mutex_unlock(&t->lock);
	return b;
}

void taking_pop(struct taking *t)
{
	struct block *b;

	pthread_mutex_lock(&t->lock);
	b = t->first;
	t->first = b->next;
	if (!t->first)
		t->last = &t->first;
	t->waiting -= b->bytes.len;
	keep_memory(t, &b->bytes);
	pthread_cond_signal(&t->room);
	pthread_mutex_unlock(&t->lock);
	block_free(b);
}

bool taking_is_over(struct taking *t)
{
	bool over;

	pthread_mutex_lock(&t->lock);
	over = t->is_over;
	pthread_mutex_unlock(&t->lock);
	return over;
}

void taking_secret(struct taking *t, const char *text)
{
	struct block *b = xcalloc(1, sizeof(*b));

	packets_put_text(&b->bytes, PACKETS_SECRET, 0, text);
	pthread_mutex_lock(&t->lock);
	b->drops = t->drops;
	t->waiting += b->bytes.len;
	if (t->is_over || t->waiting > WAITING_MAX) {
		t->waiting -= b->bytes.len;
		block_free(b);
	} else {
		*t->last = b;
		t->last = &b->next;
	}
	pthread_mutex_unlock(&t->lock);
}
