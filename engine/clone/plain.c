#include "engine/clone/plain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <unistd.h>

#include "base/base.h"
#include "base/ip.h"
#include "engine/bpf/abi.h"
#include "engine/clone/flow_log.h"
#include "engine/l4/l4.h"
#include "engine/clone/mark.h"
#include "engine/clone/synth.h"
#include "engine/clone/outlet.h"
#include "engine/upstream.h"
#include "engine/worker.h"

#define ACK_MS   40           /* so long data wait for an acknowledgement, as those of most kernels do */
#define BURST    60000        /* of data in one write, cut by the kernel */
#define FLOWS_MAX_PLAIN 65536 /* a worker */
#define PIECE    16384        /* of a head that is masked */

struct plain {
	struct worker *worker;
	const struct outlet *outlet;
	int queue;
	const volatile struct plain_word *word; /* what the kernel says of our writes */
	struct slab flows, notes;
	struct list owing;             /* flows with data to be acknowledged, the oldest first */
	struct timer acks;
};

struct plain_flow {
	struct plain *plain;
	const struct stream_ops *below;
	struct list owing;
	uint64_t owes_since_ns;
	struct synth synth;
	uint32_t target, generation;
	struct outlet_book *book;
	uint64_t flow_id;
	uint8_t client[16];
	struct service_counters *counters;
	const struct plain_rules *rules; /* of the exchange; NULL: there is none */
	struct mask masks[2];            /* by who speaks */
	bool copied;                     /* the exchange is */
	bool http;                       /* heads are masked, exchanges chosen */
	enum synth_side peer;            /* who is at the other end of the connection */
	bool born;                       /* it was asked whether it is admitted */
	bool filtered;                   /* it is none of the copy's */
	bool hurt;                       /* it was, and lost a frame */
	uint32_t fate;                   /* of all frames: the number of a counter; 0: they are copied */
	bool other_family;
	struct flow_note *note;          /* for the log; NULL: there is none */
};

struct out {
	struct synth_out synth;
	struct plain_flow *flow;
	bool last;                       /* a hurt flow's last word */
	bool lost;
};

/* ---- into the outlet ---- */

static bool put(struct plain *p, const struct synth_frame *f)
{
	struct {
		struct virtio_net_hdr net;
		uint8_t head[SYNTH_HEAD_MAX];
	} h = { 0 };
	struct iovec iov[1 + SYNTH_SLICES];

	if (f->segment) {
		h.net.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.net.gso_type = f->head[SYNTH_L3] >> 4 == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
		h.net.hdr_len = (uint16_t)f->head_len;
		h.net.gso_size = f->segment;
		h.net.csum_start = (uint16_t)f->l4;
		h.net.csum_offset = 16;
	}
	memcpy(h.head, f->head, f->head_len);
	iov[0] = (struct iovec){ &h, sizeof(h.net) + f->head_len };
	for (int i = 0; i < f->n_data; i++)
		iov[1 + i] = f->data[i];
	return writev(p->queue, iov, 1 + f->n_data) >= 0;
}

/* The number of a counter of a target, as the kernel's half has it. */
#define FATE(name) (uint32_t)(offsetof(struct target_counters, name) / sizeof(uint64_t))

static void book(struct plain_flow *f, uint32_t counter, uint64_t n)
{
	if (counter < sizeof(f->book->c) / sizeof(uint64_t))
		counter_add((uint64_t *)(void *)&f->book->c + counter, n);
}

static void frame(struct synth_out *synth, const struct synth_frame *f)
{
	struct out *o = CONTAINER_OF(synth, struct out, synth);
	struct plain_flow *flow = o->flow;
	struct plain *p = flow->plain;
	uint64_t lost = p->word->lost;
	uint32_t fate = o->last ? 0 : flow->fate;

	book(flow, FATE(eligible), f->frames);
	book(flow, FATE(eligible_bytes), f->bytes);
	if (flow->other_family)
		book(flow, FATE(other_family), f->frames);
	if (outlet_has_ended(p->outlet, flow->target))
		fate = FATE(dropped_ended);
	if (fate) {
		book(flow, fate, f->frames);
		return;
	}
	if (!put(p, f))
		book(flow, FATE(dropped_memory), f->frames);
	else if (p->word->lost == lost)
		return;
	flow->hurt = o->lost = true;
	flow->fate = FATE(dropped_shed);
}

static struct out out_of(struct plain_flow *f)
{
	return (struct out){ .synth = { frame, BURST }, .flow = f };
}

/* Is it admitted? Asked when it has something to say. */
static void be_born(struct plain_flow *f)
{
	struct plain *p = f->plain;
	struct {
		struct virtio_net_hdr net;
		struct plain_birth birth;
	} __attribute__((packed)) m = { .birth.type = htons(PLAIN_BIRTH) };
	uint32_t fate;

	f->born = true;
	memcpy(&m.birth.address, f->synth.macs, sizeof(m.birth.address));
	memcpy(m.birth.flow_id, &f->flow_id, sizeof(m.birth.flow_id));
	memcpy(m.birth.client, f->client, sizeof(m.birth.client));
	fate = write(p->queue, &m, sizeof(m)) < 0 ? FATE(dropped_memory) : p->word->fate;
	f->filtered = fate == FATE_FILTERED;
	f->fate = f->filtered ? 0 : fate;
}

/* Nothing of it is copied, and nothing counted. */
static bool is_silent(struct plain_flow *f)
{
	if (!outlet_is_current(f->plain->outlet, f->target, f->generation))
		return true;
	if (!f->born)
		be_born(f);
	return f->filtered;
}

/* ---- acknowledgements ---- */

static void acks_late(struct timer *t);

static void acks_later(struct plain *p)
{
	struct plain_flow *first;

	if (list_empty(&p->owing))
		return;
	first = LIST_ENTRY(p->owing.next, struct plain_flow, owing);
	timer_at(p->worker->loop, &p->acks, first->owes_since_ns + ACK_MS * NS_PER_MS, acks_late);
}

static void acks_late(struct timer *t)
{
	struct plain *p = CONTAINER_OF(t, struct plain, acks);
	uint64_t now = loop_now(p->worker->loop);

	while (!list_empty(&p->owing)) {
		struct plain_flow *f = LIST_ENTRY(p->owing.next, struct plain_flow, owing);
		struct out o = out_of(f);

		if (f->owes_since_ns + ACK_MS * NS_PER_MS > now)
			break;
		list_remove(&f->owing);
		if (!is_silent(f))
			synth_ack(&f->synth, &o.synth);
	}
	acks_later(p);
}

/* What was to be said was said. */
static void settle(struct plain_flow *f, const struct out *o)
{
	struct plain *p = f->plain;

	if (o->lost) {
		/* The sensor need not wait for what will not come. What the flow would have said is still counted. */
		struct synth last = f->synth;
		struct out word = out_of(f);

		word.last = true;
		last.macs[offsetof(struct plain_address, worker)] |= PLAIN_LAST >> 8;
		synth_reset(&last, SYNTH_CLIENT, &word.synth);
	}
	if (!synth_owes(&f->synth) || !list_empty(&f->owing))
		return;
	f->owes_since_ns = loop_now(p->worker->loop);
	list_insert(&p->owing, &f->owing);
	if (!p->acks.active)
		acks_later(p);
}

/* ---- what is said ---- */

/* What may be masked at the front of IOV, in pieces of our own; where it ends. */
static size_t say_masked(struct plain_flow *f, enum synth_side side, const struct iovec *iov, struct out *o)
{
	static _Thread_local char piece[PIECE];
	size_t at = 0;

	while (at < iov->iov_len && !f->masks[side].done) {
		size_t n = mask_pass(&f->masks[side], iov->iov_len - at);
		struct iovec masked = { piece, 0 }, chunk = { (char *)iov->iov_base + at, n };

		if (n) {
			synth_data(&f->synth, side, &chunk, 1, &o->synth);
			at += n;
			continue;
		}
		n = MIN(iov->iov_len - at, sizeof(piece));
		memcpy(piece, (char *)iov->iov_base + at, n);
		masked.iov_len = mask_run(&f->masks[side], &f->rules->masks, piece, n);
		synth_data(&f->synth, side, &masked, 1, &o->synth);
		at += masked.iov_len;
	}
	return at;
}

static void said(struct conn *c, enum synth_side side, const struct iovec *iov, int n)
{
	struct plain_flow *f = c->plain;
	struct out o = out_of(f);
	bool masks;

	/* Between exchanges a server has nothing to say; nobody heard it. */
	if (!f->copied || (c->side == CONN_SERVER && !c->upstream) || is_silent(f))
		return;
	for (int i = 0; i < n && f->note; i++)
		f->note->bytes[side] += iov[i].iov_len;
	masks = f->http && f->rules->masks.n;
	while (masks && n && !f->masks[side].done) {
		size_t used = say_masked(f, side, iov, &o);

		if (used < iov->iov_len) {
			struct iovec rest = { (char *)iov->iov_base + used, iov->iov_len - used };

			synth_data(&f->synth, side, &rest, 1, &o.synth);
		}
		iov++;
		n--;
	}
	if (n)
		synth_data(&f->synth, side, iov, n, &o.synth);
	settle(f, &o);
}

/* ---- the stream ---- */

static ssize_t plain_recv(struct conn *c, void *p, size_t n)
{
	ssize_t got = c->plain->below->recv(c, p, n);

	if (got > 0) {
		said(c, c->plain->peer, &(struct iovec){ p, (size_t)got }, 1);
	} else if (got == 0 && c->plain->synth.opened && !is_silent(c->plain)) {
		struct out o = out_of(c->plain);

		synth_end(&c->plain->synth, c->plain->peer, &o.synth);
		settle(c->plain, &o);
	} else if (got == -ECONNRESET) {
		plain_broken(c);
	}
	return got;
}

static ssize_t plain_send(struct conn *c, const struct iovec *iov, int n, bool more)
{
	ssize_t sent = c->plain->below->send(c, iov, n, more);
	struct iovec taken[SYNTH_SLICES];
	size_t left = sent > 0 ? (size_t)sent : 0;

	while (left) {
		int k = 0;

		for (; left && k < SYNTH_SLICES; k++, iov++) {
			taken[k] = (struct iovec){ iov->iov_base, MIN(iov->iov_len, left) };
			left -= taken[k].iov_len;
		}
		said(c, !c->plain->peer, taken, k);
	}
	return sent;
}

static int plain_shutdown(struct conn *c)
{
	struct out o = out_of(c->plain);

	if (c->plain->synth.opened && !is_silent(c->plain)) {
		synth_end(&c->plain->synth, !c->plain->peer, &o.synth);
		settle(c->plain, &o);
	}
	return c->plain->below->shutdown(c);
}

static const struct stream_ops stream_plain = { "plain", plain_recv, plain_send, plain_shutdown };

/* ---- life ---- */

struct plain *plain_new(struct worker *w, const struct outlet *t, int queue, const struct plain_word *words)
{
	struct plain *p = xcalloc(1, sizeof(*p));

	p->worker = w;
	p->outlet = t;
	p->queue = queue;
	p->word = words + w->id;
	list_init(&p->owing);
	slab_init(&p->flows, sizeof(struct plain_flow), FLOWS_MAX_PLAIN);
	slab_init(&p->notes, sizeof(struct flow_note), FLOWS_MAX_PLAIN);
	return p;
}

void plain_free(struct plain *p)
{
	if (!p)
		return;
	close(p->queue);
	slab_fini(&p->flows);
	slab_fini(&p->notes);
	free(p);
}

/* The exchange's client may be another than the one before. */
static void note_client(struct plain_flow *f, const struct conn *c)
{
	const struct snapshot *s = c->upstream->snapshot;
	const struct conn *client = c->upstream->client;

	if (!f->note || f->note->client_id == client->id)
		return;
	flow_note_say(f->note, &f->synth, f->hurt, f->counters);
	flow_note_client(f->note, client, s->uuid ? s->uuid : "", s->name ? s->name : "");
}

/* Who speaks with whom, as the copy shows it. -errno. */
static int ends_of(const struct conn *c, const struct snapshot_clone *clone, struct synth_end *client,
		   struct synth_end *server, bool *other_family)
{
	union address own = { 0 }, peer = c->peer;
	const union address *from = &c->upstream->client->peer;
	socklen_t len = sizeof(own);
	uint8_t real[16];

	if (getsockname(c->watch.fd, &own.sa, &len) < 0)
		return -errno;
	address_mapped(&own, client->addr);
	client->port = (uint16_t)address_port(&own);
	address_mapped(&peer, server->addr);
	server->port = clone->plain->port;
	if (!clone->preserve_client_ip)
		return 0;
	address_mapped(from, real);
	*other_family = ip_bytes_are_v4(real) != ip_bytes_are_v4(server->addr);
	if (!*other_family)
		memcpy(client->addr, real, sizeof(real));
	return 0;
}

/* A flow above C, which begins when it has something to say. NULL: there is no room, and it was counted. */
static struct plain_flow *attach(struct conn *c, const struct snapshot_clone *clone, const struct conn *client,
				 const struct synth_end ends[static 2])
{
	union address vip = client->listener->address;
	struct plain *p = c->worker->plain;
	struct plain_flow *f = p && clone->n ? slab_get(&p->flows) : NULL;
	struct plain_address at = { .service = htonl(clone->service), .generation = htonl(clone->generation) };

	if (!f) {
		counter_add(&c->service->counters->clone_unmarked, 1);
		return NULL;
	}
	address_set_port(&vip, client->port);
	f->plain = p;
	f->flow_id = mark_flow_id(c->worker, &client->peer, &vip, false);
	address_mapped(&client->peer, f->client);
	f->target = c->side == CONN_CLIENT ? clone->first + (uint32_t)f->flow_id % clone->n
					   : mark_target(c->service, clone, f->flow_id);
	f->generation = clone->generation;
	f->book = outlet_book(p->outlet, c->worker->id, f->target);
	f->counters = c->service->counters;
	f->peer = c->side == CONN_CLIENT ? SYNTH_CLIENT : SYNTH_SERVER;
	f->copied = true;
	list_init(&f->owing);
	at.target = htons((uint16_t)f->target);
	at.worker = htons((uint16_t)c->worker->id);
	/* The headers are 40 bytes and 60; what is put around copies wants its place. */
	synth_init(&f->synth, &ends[SYNTH_CLIENT], &ends[SYNTH_SERVER],
		   (clone->room ? MIN(clone->room, (unsigned)clone->plain->mtu) : clone->plain->mtu) - (ip_bytes_are_v4(ends[SYNTH_SERVER].addr) ? 40u : 60u),
		   (const uint8_t *)&at);
	f->below = c->stream;
	c->stream = &stream_plain;
	c->plain = f;
	counter_add(&f->book->flows, 1);
	f->note = clone->sink ? slab_get(&p->notes) : NULL;
	return f;
}

static void open_now(struct plain_flow *f)
{
	struct out o = out_of(f);

	if (is_silent(f))
		return;
	synth_open(&f->synth, &o.synth);
	settle(f, &o);
}

void plain_attach(struct conn *c)
{
	const struct snapshot *s = c->upstream->snapshot;
	const struct snapshot_clone *clone = &s->clone;
	struct synth_end ends[2];
	bool other_family = false, http = s->proto != &l4_proto;
	struct plain_flow *f;

	if (!http && plain_wants_http(clone->plain))
		return;
	if (ends_of(c, clone, &ends[SYNTH_CLIENT], &ends[SYNTH_SERVER], &other_family) < 0) {
		counter_add(&c->service->counters->clone_unmarked, 1);
		return;
	}
	f = attach(c, clone, c->upstream->client, ends);
	if (!f)
		return;
	f->http = http;
	f->copied = !http; /* an exchange says it for itself */
	f->other_family = other_family;
	if (f->note)
		flow_note_init(f->note, clone->sink, c);
	if (!http)
		note_client(f, c);
	if (!clone->plain->n_hosts && !clone->plain->n_paths)
		open_now(f);
}

void plain_attach_client(struct conn *c)
{
	const struct snapshot *s = c->listener->snapshot;
	struct synth_end ends[2];
	struct plain_flow *f;

	if (!s->clone.clients || !s->clone.plain || plain_wants_http(s->clone.plain))
		return;
	address_mapped(&c->peer, ends[SYNTH_CLIENT].addr);
	ends[SYNTH_CLIENT].port = (uint16_t)address_port(&c->peer);
	address_mapped(&c->listener->address, ends[SYNTH_SERVER].addr);
	ends[SYNTH_SERVER].port = s->clone.plain->port;
	f = attach(c, &s->clone, c, ends);
	if (!f)
		return;
	if (f->note)
		flow_note_client_alone(f->note, s->clone.sink, c, s->uuid ? s->uuid : "", s->name ? s->name : "");
	open_now(f);
}

void plain_exchange(struct conn *c, bool copied)
{
	struct plain_flow *f = c->plain;

	if (!f)
		return;
	f->rules = c->upstream->snapshot->clone.plain;
	f->copied = copied && f->rules;
	if (f->copied)
		note_client(f, c);
	mask_begin(&f->masks[SYNTH_CLIENT]);
	mask_begin(&f->masks[SYNTH_SERVER]);
}

void plain_broken(struct conn *c)
{
	struct plain_flow *f = c->plain;
	struct out o = out_of(f);

	if (!f->synth.opened || is_silent(f))
		return;
	synth_reset(&f->synth, f->peer, &o.synth);
	settle(f, &o);
}

void plain_fini(struct conn *c, bool reset)
{
	struct plain_flow *f = c->plain;
	struct out o = out_of(f);

	if (f->synth.opened && !is_silent(f)) {
		if (reset)
			synth_reset(&f->synth, !f->peer, &o.synth);
		synth_end(&f->synth, !f->peer, &o.synth);
		synth_end(&f->synth, f->peer, &o.synth);
		settle(f, &o);
	}
	if (f->note) {
		flow_note_say(f->note, &f->synth, f->hurt, f->counters);
		flow_note_fini(f->note);
		slab_put(&f->plain->notes, f->note);
	}
	list_remove(&f->owing);
	counter_sub(&f->book->flows, 1);
	c->stream = f->below;
	c->plain = NULL;
	slab_put(&f->plain->flows, f);
}
