#include "engine/capture/capture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "base/base.h"
#include "base/ip.h"
#include "base/ipset.h"
#include "base/log.h"
#include "engine/config/assigned.h"
#include "engine/bpf/datapath.h"
#include "engine/capture/chute.h"
#include "engine/capture/cut.h"
#include "engine/clone/legs.h"
#include "engine/link/link.h"
#include "engine/capture/recorder.h"
#include "engine/capture/recite.h"
#include "engine/capture/secrets.h"
#include "engine/capture/service.h"
#include "engine/capture/sieve.h"
#include "engine/capture/stamp.h"
#include "engine/address.h"
#include "engine/records.h"
#include "model/structs.h"
#include "net/packets.h"

#define RING_BYTES   (8u << 20)
#define BLOCK_BYTES  (128u << 10)
#define BLOCK_ROOM   (BLOCK_BYTES + (96u << 10)) /* the frames of the record that fills it are in it too */
#define SPARE_MAX    8           /* memory of blocks that are gone: what is new the kernel has to clear first */
#define WAITING_MAX  (16u << 20) /* blocks that the link did not take yet */
#define LOOK_MS      20
#define BLOCK_MS     100         /* a block leaves at least so often, also an empty one */
#define SETTLE_NS    (2 * NS_PER_MS) /* between a packet's stamp and its place in the ring */
#define SEEN_MIN     256         /* bytes that an expression may look at when fewer are kept */
#define WORKERS_MAX  1024
#define FLOWS_KNOWN  4096        /* whose worker is known; a power of two */
#define PORTS_KNOWN  64
#define AROUND_NS    (100 * NS_PER_MS) /* before and behind a request: its packets were on their way */
#define TELL_MS      10000       /* the last blocks of a capture that is over may wait so long for the link */
#define AGAIN_MS     100         /* what is being recorded is read so often */
#define PORT_PLAIN   0xfffffff0u /* interfaces of plaintext, by leg: the kernel has none of such a number */
#define PORT_PAST    0xfffffff4u /* of plaintext out of the recorder */

struct block {
	struct block *next;
	struct buf bytes;
	uint64_t until_ns, packets, drops;
	const char *ended;      /* the last one: why; NULL: others follow */
};

struct taking {
	struct list link;
	struct captures *all;
	char *uuid, *service;
	uint32_t number;        /* of the service, in the kernel's tables; 0: of the engine, all its packets */
	uint32_t slot;
	struct sieve *sieve;
	uint32_t capture;       /* its number in the chute */
	uint64_t chute_lost;    /* of its place, before it began */
	bool keys;              /* TLS secrets are wanted */
	bool plaintext;         /* what is said inside TLS */
	bool monitors;          /* their checks are to be known */
	struct ring_buffer *ring;   /* NULL: it is of the past */
	struct recorder_view past;
	struct gist_view said;       /* its plaintext; nobody's when none is wanted */
	struct recital *recital;
	uint64_t since_ns, until_ns; /* of the past: nothing older, nothing of then or later */
	uint64_t asked_ns, after_ns;
	uint64_t held_ns, said_ns;   /* so far back everything was there, and all that was said inside TLS */
	struct {
		char *service, *id;  /* NULL: it is not about one */
	} request;
	pthread_t thread;
	bool joined;
	bool told;              /* its last block is on its way to the controller */
	uint64_t over_ns;       /* when nobody wanted it any more */
	uint32_t stops;         /* atomic: the thread ends */

	/* Between both threads. */
	pthread_mutex_t lock;
	pthread_cond_t room;    /* less waits than did */
	struct block *first, **last;
	size_t waiting;
	uint64_t drops;         /* as of the last block */
	bool is_over;           /* the thread has put its last block */
	struct buf spare[SPARE_MAX];
	unsigned n_spare;

	/* The thread's. */
	int64_t offset_ns;
	uint32_t snap;
	uint64_t packets_max;   /* of a worker; 0: no limit */
	uint64_t taken[WORKERS_MAX];
	unsigned full;          /* workers that have all theirs */
	struct buf out;
	uint64_t sealed_ns, packets, lost;
	struct {
		uint64_t flow;
		uint16_t worker;
	} flows[FLOWS_KNOWN];
	uint32_t ports[PORTS_KNOWN];
	size_t n_ports;
};

struct named {
	char *uuid;
	uint64_t told_ns;       /* when a trigger of it fired */
};

struct captures {
	struct loop *loop;
	struct datapath *datapath;
	struct recorder *recorder;
	const struct records *requests;
	struct link *link;
	unsigned workers;
	struct list all;
	bool slots[TAPS_MAX];
	struct named *named;    /* services, by their number */
	size_t n_named;
	struct timer look;
	struct watch secrets;   /* our end */
	int secrets_fd;         /* the proxy's */
	struct chute chute;
	uint32_t numbers;       /* of captures, the last one that was given */
};

/* ---- blocks ---- */

static void block_free(struct block *b)
{
	buf_fini(&b->bytes);
	free(b);
}

/* For the next ones. Under the lock. */
static void keep_memory(struct taking *t, struct buf *b)
{
	if (t->n_spare == SPARE_MAX || b->size < BLOCK_ROOM || b->size > 2 * BLOCK_ROOM)
		return;
	buf_take(b, b->len);
	t->spare[t->n_spare++] = *b;
	*b = (struct buf)BUF_INIT;
}

/* ---- the thread ---- */

static void seal(struct taking *t, uint64_t until_ns, const char *ended)
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
	t->drops = t->lost + (t->ring ? datapath_tap_lost(t->all->datapath, t->slot) : 0);
	if (t->capture)
		t->drops += chute_lost(&t->all->chute, t->slot) - t->chute_lost;
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
	if (t->n_ports < PORTS_KNOWN)
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
	size_t at = (size_t)(r->flow >> 20) & (FLOWS_KNOWN - 1);

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

static int record(void *arg, void *data, size_t size)
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
	f.taken = &t->taken[worker == PACKETS_NO_WORKER ? r->flow % t->all->workers : worker % t->all->workers];
	cut_frames(&cut, frame, &f);
	if (t->out.len >= BLOCK_BYTES)
		seal(t, 0, NULL);
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
	uint8_t data[CHUTE_DATA_MAX];
	struct told told;

	for (unsigned w = 0; t->capture && w < t->all->workers; w++)
		while (chute_take(&t->all->chute, w, t->slot, &told, data)) {
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
				seal(t, 0, NULL);
		}
}

static bool stops(const struct taking *t)
{
	return __atomic_load_n(&t->stops, __ATOMIC_ACQUIRE);
}

static void *run(void *arg)
{
	struct taking *t = arg;
	const char *ended = NULL;

	t->sealed_ns = mono_ns();
	while (!ended) {
		uint64_t now;
		bool last = stops(t);

		ring_buffer__poll(t->ring, last ? 0 : LOOK_MS);
		now = mono_ns();
		ring_buffer__consume(t->ring);
		hear(t);
		if (t->packets_max && t->full == t->all->workers)
			ended = "packets";
		else if (last)
			ended = "stopped";
		else if (mono_ns() - t->sealed_ns >= BLOCK_MS * NS_PER_MS)
			seal(t, now - SETTLE_NS, NULL);
	}
	seal(t, mono_ns(), ended);
	return NULL;
}

/* The past does not run away: it waits until the link has taken what was given. */
static void wait_for_room(struct taking *t)
{
	pthread_mutex_lock(&t->lock);
	while (t->waiting > WAITING_MAX / 2 && !stops(t))
		pthread_cond_wait(&t->room, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

/* What was recorded since then and before UNTIL_NS. From when on none is missing. */
static uint64_t take_past(struct taking *t, uint64_t since_ns, uint64_t until_ns)
{
	uint64_t whole_ns;
	size_t n;
	struct recorder_slot *slots = recorder_read(&t->past, since_ns, until_ns, &n, &whole_ns);

	for (size_t i = 0; i < n && !stops(t); i++) {
		record(t, &slots[i], sizeof(slots[i]));
		wait_for_room(t);
	}
	free(slots);
	return whole_ns;
}

/* The same of what was said inside TLS. */
static uint64_t take_said(struct taking *t, uint64_t since_ns, uint64_t until_ns)
{
	struct gist_past past;

	gist_read(&t->said, since_ns, until_ns, &past);
	for (size_t i = 0; i < past.n && !stops(t); i++) {
		const struct gist_record *m = past.at[i];
		uint8_t data[RECITE_BYTES];
		struct packets_frame f;
		struct packets_note n;
		struct in6_addr client, server = { 0 };

		memcpy(&client, m->client.addr, sizeof(client));
		if (m->leg == PACKETS_SERVER_LEG)
			memcpy(&server, m->to.addr, sizeof(server));
		if (t->request.id ? strlen(t->request.id) != m->id_len || memcmp(t->request.id, gist_id(m), m->id_len) != 0
				  : !sieve_takes(t->sieve, &client, &server))
			continue;
		if (recital_note(m, &n)) {
			n.at_ns += (uint64_t)t->offset_ns;
			packets_put_note(&t->out, &n);
		}
		recital_frame(t->recital, m, &f, data);
		f.at_ns += (uint64_t)t->offset_ns;
		f.port = PORT_PAST + f.leg;
		know_port(t, f.port);
		packets_put_frame(&t->out, &f);
		t->packets++;
		if (t->out.len >= BLOCK_BYTES)
			seal(t, 0, NULL);
		wait_for_room(t);
	}
	since_ns = past.whole_ns;
	gist_past_fini(&past);
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
	if (!stops(t))
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
	struct record_request r;
	struct sieve *sieve;
	struct err e = { 0 };

	if (!records_request(t->all->requests, t->request.service, t->request.id, &r))
		return false;
	address_ip(&r.client, client);
	expression = xasprintf("host %s and port %u", client, address_port(&r.client));
	if (r.server_src_port) {
		CLEANUP_FREE char *one = expression;

		address_ip(&r.server, server);
		expression = xasprintf("(%s) or (host %s and port %u and port %u)", one, server, address_port(&r.server),
				       r.server_src_port);
	}
	if (sieve_new(&(struct capture){ .capture_expression = expression }, &nobody, &sieve, &e) < 0) {
		log_warn("capture_failed capture=%s reason=\"%s\"", t->uuid, err_line(&e));
		return false;
	}
	sieve_free(t->sieve);
	t->sieve = sieve;
	t->since_ns = (uint64_t)((int64_t)(r.from_us * NS_PER_US) - ahead_ns) - AROUND_NS;
	t->until_ns = (uint64_t)((int64_t)(r.to_us * NS_PER_US) - ahead_ns) + AROUND_NS;
	return true;
}

static void *run_past(void *arg)
{
	struct taking *t = arg;
	struct recorder_written before = { 0 }, now = { 0 };
	uint64_t end_ns = t->asked_ns + t->after_ns, least_ns = t->request.id ? 0 : t->since_ns, whole_ns, upto_ns;

	if (t->request.id && !find_request(t)) {
		seal(t, mono_ns(), "unknown");
		return NULL;
	}
	recorder_written(&t->past, &before);
	upto_ns = t->after_ns ? t->asked_ns : t->until_ns;
	whole_ns = take_said(t, t->since_ns, upto_ns);
	t->said_ns = t->said.service ? held(t, MAX(whole_ns, least_ns)) : 0;
	whole_ns = take_past(t, t->since_ns, upto_ns);
	t->held_ns = t->past.service ? held(t, MAX(whole_ns, least_ns)) : 0;
	while (upto_ns < end_ns && !stops(t)) {
		uint64_t from_ns = upto_ns;

		seal(t, upto_ns, NULL);
		wait_to_look_again(t);
		upto_ns = MIN(mono_ns() - SETTLE_NS, end_ns);
		take_said(t, from_ns, upto_ns);
		take_past(t, from_ns, upto_ns);
		recorder_written(&t->past, &now);
		t->lost += recorder_lost(&t->past, &before, &now);
		before = now;
	}
	seal(t, mono_ns(), "saved");
	return NULL;
}

/* ---- the warden's side ---- */

/* No packet comes any more; the thread reads what there is, and ends. */
static void untap(struct taking *t)
{
	if (stops(t))
		return;
	if (t->ring && t->number)
		datapath_tap_remove(t->all->datapath, t->number, t->slot);
	else if (t->ring)
		datapath_tap_engine(t->all->datapath, &(struct tap){ 0 }, 0);
	pthread_mutex_lock(&t->lock);
	__atomic_store_n(&t->stops, 1, __ATOMIC_RELEASE);
	pthread_cond_signal(&t->room);
	pthread_mutex_unlock(&t->lock);
}

/* To read a full ring, or to sort the past, takes the thread longer than a lease: who has other things to do asks first. */
static bool is_over(struct taking *t)
{
	bool over;

	pthread_mutex_lock(&t->lock);
	over = t->is_over;
	pthread_mutex_unlock(&t->lock);
	return over;
}

/* The kernel waits for its readers when a ring goes: leases are renewed before and behind. */
static void end(struct taking *t)
{
	if (t->joined)
		return;
	untap(t);
	loop_breathe(t->all->loop);
	pthread_join(t->thread, NULL);
	t->joined = true;
	if (!t->ring)
		return;
	ring_buffer__free(t->ring);
	datapath_tap_close(t->all->datapath, t->slot);
	if (t->capture)
		chute_clear(&t->all->chute, t->slot, true);
	t->all->slots[t->slot] = false;
	loop_breathe(t->all->loop);
}

static void taking_free(struct taking *t)
{
	end(t);
	for (struct block *b = t->first, *next; b; b = next) {
		next = b->next;
		block_free(b);
	}
	list_remove(&t->link);
	sieve_free(t->sieve);
	recital_free(t->recital);
	buf_fini(&t->out);
	while (t->n_spare)
		buf_fini(&t->spare[--t->n_spare]);
	pthread_cond_destroy(&t->room);
	pthread_mutex_destroy(&t->lock);
	free(t->uuid);
	free(t->service);
	free(t->request.service);
	free(t->request.id);
	free(t);
}

static struct block *first_of(struct taking *t)
{
	struct block *b;

	pthread_mutex_lock(&t->lock);
	b = t->first;
	pthread_mutex_unlock(&t->lock);
	return b;
}

static void pop(struct taking *t)
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

/* False: the link takes no more now. */
static bool give(struct taking *t, const struct block *b)
{
	json_t *head = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "type", "packets", "capture", t->uuid, "until_ns",
				 (json_int_t)b->until_ns, "packets", (json_int_t)b->packets, "drops", (json_int_t)b->drops,
				 "bytes", (json_int_t)b->bytes.len);

	if (b->ended)
		json_object_set_new(head, "ended", json_string(b->ended));
	if (b->ended && !t->ring)
		json_object_set_new(head, "held_ms", json_integer((json_int_t)(t->held_ns / NS_PER_MS)));
	if (b->ended && t->said.service)
		json_object_set_new(head, "said_ms", json_integer((json_int_t)(t->said_ns / NS_PER_MS)));
	return link_bytes(t->all->link, head, b->bytes.data, b->bytes.len);
}

static void tell(struct taking *t)
{
	struct block *b;

	while (!t->told && (b = first_of(t))) {
		if (!give(t, b))
			return;
		t->told = b->ended != NULL;
		pop(t);
	}
}

/* A link that is full takes the rest later, one that is away perhaps never. */
static bool is_done(const struct taking *t)
{
	return t->told || mono_ns() - t->over_ns > TELL_MS * NS_PER_MS;
}

static void look(struct timer *timer)
{
	struct captures *c = CONTAINER_OF(timer, struct captures, look);

	LIST_FOREACH(l, &c->all) {
		struct taking *t = LIST_ENTRY(l, struct taking, link);
		bool over = is_over(t); /* first: then its last block is there */

		tell(t);
		/* It stays in the list as long as it is wanted: so it is not begun anew. */
		if (over)
			end(t);
		if (t->joined && !t->service && is_done(t))
			taking_free(t);
		loop_breathe(c->loop);
	}
	if (!list_empty(&c->all))
		timer_in(c->loop, timer, LOOK_MS, look);
}

static int ring_open(struct captures *c, struct taking *t, struct err *e)
{
	int fd;

	while (t->slot < TAPS_MAX && c->slots[t->slot])
		t->slot++;
	if (t->slot == TAPS_MAX)
		return err_set(e, -ENOSPC, NULL, "An engine has at most %d captures at a time.", TAPS_MAX);
	fd = datapath_tap_open(c->datapath, t->slot, RING_BYTES);
	if (fd < 0)
		return err_set(e, fd, NULL, "No ring for the packets: %s.", strerror(-fd));
	t->ring = ring_buffer__new(fd, record, t, NULL);
	if (!t->ring) {
		datapath_tap_close(c->datapath, t->slot);
		return err_set(e, -errno, NULL, "The ring cannot be read: %s.", strerror(errno));
	}
	c->slots[t->slot] = true;
	return 0;
}

/* Of `packet_kinds`: none of the words is all of them. */
static uint32_t engine_wants(const json_t *object)
{
	static const struct {
		const char *word;
		uint32_t wants;
	} words[] = {
		{ "DEBUG_PCAP_RX", ENGINE_RX },
		{ "DEBUG_PCAP_TX", ENGINE_TX },
		{ "DEBUG_PCAP_DROP", ENGINE_DROP },
	};
	const json_t *one;
	uint32_t wants = 0;
	size_t i;

	json_array_foreach(json_object_get(object, "packet_kinds"), i, one)
		for (size_t k = 0; k < ARRAY_SIZE(words); k++)
			if (strcmp(words[k].word, json_string_value(one)) == 0)
				wants |= words[k].wants;
	return wants ? wants : ENGINE_RX | ENGINE_TX | ENGINE_DROP;
}

/* OWNER: uuid of the service, whose number is NUMBER, or of the engine (0). */
static int start(struct captures *c, const char *owner, uint32_t number, const char *uuid, const json_t *object, struct err *e)
{
	struct taking *t = xcalloc(1, sizeof(*t));
	struct arena arena = ARENA_INIT;
	const struct capture *want = model_load(&capture_message, object, &arena);
	const struct debug_virtual_service_capture *p = want->capture_params;
	struct ipset servers = service_servers(c->link, owner);
	int rc = sieve_new(want, &servers, &t->sieve, e);
	struct tap tap = { .snap = (uint32_t)p->pkt_size };
	uint64_t before_ns = (uint64_t)want->seconds_before * NS_PER_S, now = mono_ns();

	if (rc == 0 && !before_ns)
		rc = ring_open(c, t, e);
	if (rc == 0) {
		t->all = c;
		t->uuid = xstrdup(uuid);
		t->service = xstrdup(owner);
		t->number = number;
		t->snap = tap.snap;
		t->packets_max = (uint64_t)p->num_pkts;
		t->keys = p->enable_ssl_session_key_capture;
		t->plaintext = p->plaintext;
		t->monitors = !before_ns && (!number || want->debug_hm != DEBUG_VS_HM_NONE);
		if (number && !before_ns) {
			chute_clear(&c->chute, t->slot, false);
			t->chute_lost = chute_lost(&c->chute, t->slot);
			t->capture = ++c->numbers;
		}
		t->offset_ns = stamp_offset_ns();
		t->last = &t->first;
		pthread_mutex_init(&t->lock, NULL);
		pthread_cond_init(&t->room, NULL);
		if (want->capture_expression && tap.snap)
			tap.snap = MAX(tap.snap, (uint32_t)SEEN_MIN);
		tap.slot = t->slot;
		seal(t, 0, NULL); /* it is here, and holds the others up from now on */
		if (before_ns) {
			t->since_ns = now > before_ns ? now - before_ns : 0;
			t->until_ns = UINT64_MAX;
			t->asked_ns = now;
			t->after_ns = (uint64_t)want->seconds_after * NS_PER_S;
			t->request.id = want->request_id && *want->request_id ? xstrdup(want->request_id) : NULL;
			t->request.service = xstrdup(owner);
			recorder_view(c->recorder, t->number, &t->past);
			if (t->plaintext && gist_view(recorder_gist(c->recorder), t->number, &t->said))
				t->recital = recital_new();
		}
		must(pthread_create(&t->thread, NULL, before_ns ? run_past : run, t) == 0);
		if (!before_ns && number)
			datapath_tap_set(c->datapath, number, &tap, t->monitors);
		else if (!before_ns)
			datapath_tap_engine(c->datapath, &tap, engine_wants(object));
		list_init(&t->link);
		list_insert(&c->all, &t->link);
		if (!c->look.active)
			timer_in(c->loop, &c->look, 0, look);
		log_info("capture_begins capture=%s service=%s", t->uuid, t->service);
	} else {
		sieve_free(t->sieve);
		free(t);
	}
	ipset_fini(&servers);
	arena_fini(&arena);
	return rc;
}

/* Its last blocks leave when the link takes them. */
static void stop(struct taking *t)
{
	log_info("capture_ends capture=%s service=%s", t->uuid, t->service);
	free(t->service);
	t->service = NULL;
	t->over_ns = mono_ns();
	untap(t);
}

/* A block of its own, which leaves before the packets that it opens: those wait for the next look. */
static void take_secret(struct taking *t, const char *text)
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

/* TEXT: "WORD SENTENCE". Several workers may say so of one service. */
static void tell_trigger(struct captures *c, uint32_t service, const char *text)
{
	struct named *n = service < c->n_named ? &c->named[service] : NULL;
	const char *space = strchr(text, ' ');
	uint64_t now = mono_ns();
	json_t *event;

	if (!n || !n->uuid || !space || (n->told_ns && now - n->told_ns < NS_PER_S))
		return;
	event = json_pack("{s:s, s:s, s:s, s:s%, s:s}", "event_id", "SE_PACKET_TRIGGER", "obj_kind", "virtualservice", "obj_uuid", n->uuid,
			  "trigger", text, (size_t)(space - text), "text", space + 1);
	n->told_ns = now;
	if (event)
		link_event(c->link, event);
}

static void secrets_ready(struct watch *w, uint32_t events)
{
	struct captures *c = CONTAINER_OF(w, struct captures, secrets);
	struct secrets_line l;

	(void)events;
	while (secrets_take(w->fd, &l)) {
		char text[SECRETS_LINE_MAX + 1];
		struct in6_addr client, server;

		memcpy(&client, l.client, 16);
		memcpy(&server, l.server, 16);
		snprintf(text, sizeof(text), "%.*s", (int)l.len, l.text);
		if (l.what == SECRETS_TRIGGER) {
			tell_trigger(c, l.service, text);
			continue;
		}
		LIST_FOREACH(at, &c->all) {
			struct taking *t = LIST_ENTRY(at, struct taking, link);

			if (t->keys && t->service && t->number == l.service && sieve_takes(t->sieve, &client, &server))
				take_secret(t, text);
		}
		explicit_bzero(text, sizeof(text));
	}
	explicit_bzero(&l, sizeof(l));
}

int captures_secrets_fd(const struct captures *c)
{
	return c->secrets_fd;
}

int captures_chute_fd(const struct captures *c)
{
	return c->chute.fd;
}

static struct taking *taking_of(struct captures *c, const char *service)
{
	LIST_FOREACH(l, &c->all) {
		struct taking *t = LIST_ENTRY(l, struct taking, link);

		if (t->service && strcmp(t->service, service) == 0)
			return t;
	}
	return NULL;
}

/* Not on engines that were not asked. */
static bool is_wanted_here(const struct captures *c, const json_t *object)
{
	const json_t *only = json_object_get(object, "only_engines"), *one;
	size_t i;

	json_array_foreach(only, i, one)
		if (strcmp(json_string_value(one), link_uuid(c->link)) == 0)
			return true;
	return json_array_size(only) == 0;
}

/* The capture that A is to have runs, and no other. */
static void follow_capture(struct captures *c, const struct assigned *a)
{
	const char *uuid = ref_target(json_str(link_object(c->link, "assignment", a->uuid), "capture_ref", NULL));
	const json_t *object = *uuid ? link_object(c->link, "capture", uuid) : NULL;
	struct taking *t = taking_of(c, a->uuid);
	struct err e = { 0 };

	if (object && !is_wanted_here(c, object))
		object = NULL;
	if (t && object && strcmp(t->uuid, uuid) == 0)
		return;
	if (t)
		stop(t);
	if (object && start(c, a->uuid, a->index, uuid, object, &e) < 0)
		log_warn("capture_failed capture=%s reason=\"%s\"", uuid, err_line(&e));
}

/* True: it is recorded. */
static bool follow_recorder(struct captures *c, struct assigned *a)
{
	const json_t *vs = link_object(c->link, "virtualservice", a->uuid);
	const json_t *group = link_object(c->link, "serviceenginegroup", ref_target(json_str(vs, "se_group_ref", NULL)));
	bool wanted = recorder_records(c->recorder) && json_bool(vs, "flight_recorder", true) &&
		      json_bool(group, "flight_recorder", true);
	int rc = recorder_follow(c->recorder, a->index, wanted);

	if (rc < 0)
		log_warn("not_recorded service=%s error=\"%s\"", a->uuid, strerror(-rc));
	a->gist = recorder_follow_plaintext(c->recorder, a->index,
					    wanted && json_bool(vs, "flight_recorder_plaintext", true) &&
						    json_bool(group, "flight_recorder_plaintext", true) &&
						    service_speaks_tls(c->link, a->uuid));
	return wanted && rc == 0;
}

static void name_service(struct captures *c, const struct assigned *a)
{
	struct named *n;

	if (a->index >= c->n_named) {
		c->named = xrealloc(c->named, (a->index + 1) * sizeof(*c->named));
		memset(c->named + c->n_named, 0, (a->index + 1 - c->n_named) * sizeof(*c->named));
		c->n_named = a->index + 1;
	}
	n = &c->named[a->index];
	if (n->uuid && strcmp(n->uuid, a->uuid) == 0)
		return;
	free(n->uuid);
	*n = (struct named){ .uuid = xstrdup(a->uuid) };
}

bool captures_follow(struct captures *c, struct assigned *a)
{
	const uint32_t number = a->capture.number;
	const unsigned gist = a->gist;
	bool followed = a->follows;
	const struct taking *t;

	name_service(c, a);
	follow_capture(c, a);
	t = taking_of(c, a->uuid);
	a->follows = follow_recorder(c, a) || t || taking_of(c, link_uuid(c->link));
	memset(&a->capture, 0, sizeof(a->capture));
	if (t) {
		a->capture.number = t->capture;
		a->capture.tells = t->capture ? t->slot + 1 : 0;
		a->capture.keys = t->keys;
		a->capture.plaintext = t->plaintext;
	}
	legs_follow(a->legs, a->follows);
	return a->follows != followed || a->capture.number != number || a->gist != gist;
}

struct own {
	const char *engine, *uuid;
	const json_t *object;
};

static int of_engine(void *arg, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	struct own *o = arg;

	(void)revision;
	if (strcmp(kind, "capture") != 0 || strcmp(ref_target(json_str(object, "serviceengine_ref", NULL)), o->engine) != 0)
		return 0;
	o->uuid = uuid;
	o->object = object;
	return 1;
}

bool captures_follow_engine(struct captures *c)
{
	struct own o = { .engine = link_uuid(c->link) };
	struct taking *t = taking_of(c, o.engine);
	struct err e = { 0 };

	link_each(c->link, of_engine, &o);
	if ((t && o.object && strcmp(t->uuid, o.uuid) == 0) || (!t && !o.object))
		return false;
	if (t)
		stop(t);
	if (o.object && start(c, o.engine, 0, o.uuid, o.object, &e) < 0)
		log_warn("capture_failed capture=%s reason=\"%s\"", o.uuid, err_line(&e));
	return true;
}

bool captures_want_monitors(const struct captures *c)
{
	LIST_FOREACH(l, &c->all)
		if (LIST_ENTRY(l, struct taking, link)->monitors)
			return true;
	return false;
}

void captures_drop(struct captures *c, const struct assigned *a)
{
	struct taking *t = taking_of(c, a->uuid);

	if (t)
		stop(t);
	recorder_follow(c->recorder, a->index, false);
	recorder_follow_plaintext(c->recorder, a->index, false);
}

struct captures *captures_new(struct loop *l, struct datapath *d, struct recorder *r, const struct records *requests, struct link *k,
			      unsigned workers)
{
	struct captures *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->datapath = d;
	c->recorder = r;
	c->requests = requests;
	c->link = k;
	c->workers = MIN(MAX(workers, 1U), (unsigned)WORKERS_MAX);
	list_init(&c->all);
	must(secrets_pair(&c->secrets.fd, &c->secrets_fd) == 0);
	must(chute_new(&c->chute, c->workers) == 0);
	must(watch_start(l, &c->secrets, c->secrets.fd, EPOLLIN, secrets_ready) == 0);
	return c;
}

void captures_free(struct captures *c)
{
	if (!c)
		return;
	while (!list_empty(&c->all)) {
		struct taking *t = LIST_ENTRY(c->all.next, struct taking, link);

		end(t);
		tell(t);
		taking_free(t);
	}
	for (size_t i = 0; i < c->n_named; i++)
		free(c->named[i].uuid);
	free(c->named);
	watch_stop(c->loop, &c->secrets);
	timer_stop(c->loop, &c->look);
	chute_fini(&c->chute);
	close(c->secrets.fd);
	close(c->secrets_fd);
	free(c);
}
