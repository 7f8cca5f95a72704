#include "controller/capture/film.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/ip.h"
#include "base/log.h"
#include "controller/capture/ledger.h"
#include "controller/capture/merge.h"

#define WAITING_MAX (64u << 20)
#define WRITE_SIZE  (256u << 10)
#define CACHE_STEP  (4u << 20)
#define CACHE_KEPT  (2 * CACHE_STEP) /* of the file's end: for who reads along, and for the disk to be done with */
#define LATE_NS     (1500 * NS_PER_MS) /* an engine sends at least five times as often */
#define BEHIND_NS   (300 * NS_PER_MS)  /* packets stay behind the secrets that open them, and notes of their requests */
#define LOOK_MS     50
#define LAST_WORDS  256                /* of an interface: its statistics */
#define SOURCES_MAX 256
#define PORTS_MAX   256
#define PIECES_MAX  10
#define SAID        1024u
#define SAID_TEXT   300
#define COMMENT_MAX (SAID_TEXT + LEDGER_TEXT)

struct order {
	enum { ORDER_SOURCE, ORDER_BLOCK, ORDER_SOURCE_END, ORDER_END } what;
	struct order *next;
	unsigned source;
	char *bytes;              /* of a block; name of a source */
	size_t len;
	uint64_t number;          /* until_ns, or drops */
	int64_t clock_ns;
	uint64_t rtt_ns;
};

struct port {
	uint32_t number;
	char *name;
	int64_t block;            /* interface number in the file; -1: none yet */
	uint64_t packets, first_ns, last_ns;
	bool plain;               /* what was said inside TLS */
};

struct source {
	char *name;
	int64_t clock_ns;
	uint64_t rtt_ns, drops;
	bool broken;
	struct port *ports;
	size_t n_ports;
};

/* A part of the file that can go as a whole, and what was counted before it. */
struct piece {
	uint64_t at, packets;
	struct film_count counts[SOURCES_MAX];
};

struct said_key {
	uint64_t flow;
	uint32_t source;
	uint16_t worker, client_port;
	uint8_t leg, flags, unused[6];
	uint8_t client[16];
};
_Static_assert(sizeof(struct said_key) == 40, "no holes: it is compared as bytes");

struct said {
	struct said_key key;
	uint32_t len;             /* 0: nothing yet */
	char text[SAID_TEXT];
};

struct film {
	struct message full_message, done_message;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct order *first, **last;
	size_t waiting;           /* bytes of the orders */
	unsigned n_sources;       /* as numbered by film_source() */
	struct film_config c;

	/* The thread's. */
	int fd;
	struct merge *merge;
	struct ledger *ledger;
	struct source sources[SOURCES_MAX];
	struct buf out;
	struct buf later;         /* names and secrets that wait for the first interface */
	uint32_t n_blocks;        /* interfaces in the file */
	uint64_t put;             /* bytes of the file, those in `out` and `later` too */
	uint64_t sent;            /* bytes of the file that the disk was told to take */
	bool is_full;
	char *path, *open_path;
	struct piece *pieces;
	unsigned n_pieces;
	struct said said[SAID];   /* by flow */
	char trouble[200];
	char reason[200];

	/* For all to read. */
	uint64_t size, packets, plaintext, refused;
	struct film_count counts[SOURCES_MAX];
};

static void add(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

static uint64_t look(const uint64_t *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}

/* ---- the file ---- */

static void tell_full(struct message *m)
{
	struct film *f = CONTAINER_OF(m, struct film, full_message);

	f->c.full(f->c.arg, f->reason);
}

static void full(struct film *f, const char *reason)
{
	if (f->is_full)
		return;
	f->is_full = true;
	snprintf(f->reason, sizeof(f->reason), "%s", reason);
	inbox_post(f->c.home, &f->full_message, tell_full);
}

/*
 * What is long written is seldom read soon, and would drive out of memory what is: the disk is told to take it while it comes, and
 * its memory goes round. What the disk has not taken yet is asked for again the next time.
 */
static void let_go(struct film *f)
{
	while (f->size >= f->sent + CACHE_STEP) {
		sync_file_range(f->fd, (off_t)f->sent, CACHE_STEP, SYNC_FILE_RANGE_WRITE);
		f->sent += CACHE_STEP;
		if (f->sent > CACHE_KEPT)
			posix_fadvise(f->fd, 0, (off_t)(f->sent - CACHE_KEPT), POSIX_FADV_DONTNEED);
	}
}

static void flush(struct film *f)
{
	while (f->out.len && !*f->trouble) {
		ssize_t n = write(f->fd, f->out.data, f->out.len);

		if (n > 0) {
			buf_take(&f->out, (size_t)n);
			add(&f->size, (uint64_t)n);
		} else if (errno != EINTR) {
			snprintf(f->trouble, sizeof(f->trouble), "disk: %s", strerror(errno));
			full(f, f->trouble);
		}
	}
	if (*f->trouble)
		buf_take(&f->out, f->out.len);
	let_go(f);
}

/* ---- the oldest goes ---- */

static void piece_begin(struct film *f)
{
	struct piece *p = &f->pieces[f->n_pieces++];

	p->at = f->put;
	p->packets = f->packets;
	memcpy(p->counts, f->counts, sizeof(p->counts));
}

static bool write_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno != EINTR)
			return false;
		p += MAX(put, 0);
		n -= (size_t)MAX(put, 0);
	}
	return true;
}

/* Interfaces and secrets of later packets stay. */
static bool write_no_packets(int fd, const uint8_t *p, size_t n)
{
	uint32_t head[2];

	while (n >= sizeof(head)) {
		memcpy(head, p, sizeof(head));
		if (head[1] < 12 || head[1] > n || (head[0] != PCAPNG_PACKET && !write_all(fd, p, head[1])))
			return false;
		p += head[1];
		n -= head[1];
	}
	return n == 0;
}

static bool copy_without_oldest(const struct film *f, int to, const uint8_t *p)
{
	const uint64_t first = f->pieces[0].at, second = f->pieces[1].at;

	return write_all(to, p, first) && (f->c.classic || write_no_packets(to, p + first, second - first)) &&
	       write_all(to, p + second, f->put - second);
}

/* False: it stays as it is. */
static bool lose_oldest(struct film *f)
{
	CLEANUP_FREE char *path = xasprintf("%s.new", f->path);
	const struct piece *first = &f->pieces[0], *second = &f->pieces[1];
	void *p;
	off_t size;
	uint64_t gone;
	bool done;
	int fd;

	flush(f);
	if (f->n_pieces < 2 || *f->trouble)
		return false;
	p = mmap(NULL, f->put, PROT_READ, MAP_SHARED, f->fd, 0);
	fd = p == MAP_FAILED ? -1 : open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	done = fd >= 0 && copy_without_oldest(f, fd, p);
	size = done ? lseek(fd, 0, SEEK_END) : 0;
	if (p != MAP_FAILED)
		munmap(p, f->put);
	if (!done || size < 0 || rename(path, f->path) < 0) {
		if (fd >= 0)
			close(fd);
		unlink(path);
		return false;
	}
	close(f->fd);
	f->fd = fd;
	gone = f->put - (uint64_t)size;
	f->put = f->sent = (uint64_t)size;
	__atomic_store_n(&f->size, (uint64_t)size, __ATOMIC_RELAXED);
	for (unsigned s = 0; s < SOURCES_MAX; s++) {
		struct film_count n = { second->counts[s].packets - first->counts[s].packets, second->counts[s].bytes - first->counts[s].bytes };

		add(&f->counts[s].packets, -n.packets);
		add(&f->counts[s].bytes, -n.bytes);
		for (unsigned i = 1; i < f->n_pieces; i++) {
			f->pieces[i].counts[s].packets -= n.packets;
			f->pieces[i].counts[s].bytes -= n.bytes;
		}
	}
	const uint64_t packets = second->packets - first->packets;

	add(&f->packets, -packets);
	for (unsigned i = 1; i < f->n_pieces; i++) {
		f->pieces[i].packets -= packets;
		f->pieces[i].at -= gone;
	}
	memmove(f->pieces, f->pieces + 1, --f->n_pieces * sizeof(*f->pieces));
	return true;
}

/* Room for N more bytes, and the last words. */
static bool has_room(struct film *f, size_t n)
{
	n += (f->n_blocks + 1) * LAST_WORDS;
	if (f->c.pieces > 1 && f->n_blocks && f->n_pieces < MIN(f->c.pieces, (unsigned)PIECES_MAX) &&
	    f->put - f->pieces[f->n_pieces - 1].at >= f->c.bytes_max / f->c.pieces)
		piece_begin(f);
	while (f->put + n > f->c.bytes_max)
		if (f->c.pieces < 2 || !lose_oldest(f))
			return false;
	return true;
}

/* ---- packets ---- */

static struct port *port_of(struct source *s, uint32_t number)
{
	for (size_t i = 0; i < s->n_ports; i++)
		if (s->ports[i].number == number)
			return &s->ports[i];
	return NULL;
}

static struct port *port_add(struct source *s, uint32_t number, const char *name)
{
	struct port *p = port_of(s, number);

	if (!p && s->n_ports == PORTS_MAX)
		return NULL;
	if (!p) {
		s->ports = xrealloc(s->ports, (s->n_ports + 1) * sizeof(*s->ports));
		p = &s->ports[s->n_ports++];
		*p = (struct port){ .number = number, .block = -1, .name = xstrdup(name) };
	}
	return p;
}

/* They were counted already; whoever calls counts what is put. */
static void put_later(struct film *f)
{
	f->put -= f->later.len;
	buf_put(&f->out, f->later.data, f->later.len);
	if (f->later.data)
		explicit_bzero(f->later.data, f->later.len);
	buf_fini(&f->later);
}

static void put_port(struct film *f, const struct source *s, struct port *p)
{
	CLEANUP_FREE char *name = xasprintf("%s:%s", s->name, p->name);
	CLEANUP_FREE char *comment =
		xasprintf("The clock of %s was %+.6f s ahead of the controller's, measured over a way of %.6f s there and "
			  "back; stamps are corrected by it.",
			  s->name, (double)s->clock_ns / 1e9, (double)s->rtt_ns / 1e9);

	p->block = f->n_blocks++;
	if (f->c.classic)
		return;
	pcapng_interface(&f->out, name, p->name, comment);
	put_later(f);
}

static const char *const legs[] = { "client", "server" };

/* What the packets of a connection have in common is put into words once. */
static const struct said *said_of(struct film *f, const struct merged *m)
{
	const struct packets_frame *p = &m->frame;
	struct said_key key = { .flow = p->flow, .source = m->source, .worker = p->worker, .client_port = p->client_port, .leg = p->leg,
				.flags = p->flags & (PACKETS_MONITOR | PACKETS_PEER | PACKETS_GATED | PACKETS_GUARDED | PACKETS_PLAIN | PACKETS_OLDER) };
	struct said *s;
	char text[IP_TEXT_MAX];
	struct in6_addr ip;
	int n;

	memcpy(key.client, p->client, sizeof(key.client));
	s = &f->said[(key.flow ^ key.flow >> 20 ^ key.flow >> 40 ^ (uint64_t)key.leg << 9) % SAID];
	if (s->len && memcmp(&s->key, &key, sizeof(key)) == 0)
		return s;
	s->key = key;
	if (p->leg == PACKETS_OTHER_LEG)
		n = snprintf(s->text, sizeof(s->text), "of no service");
	else
		n = snprintf(s->text, sizeof(s->text), "%s leg, flow %llx", p->flags & PACKETS_MONITOR ? "monitor" : legs[p->leg],
			     (unsigned long long)p->flow);

	if (p->worker != PACKETS_NO_WORKER)
		n += snprintf(s->text + n, sizeof(s->text) - (size_t)n, ", worker %u", p->worker);
	if (p->flags & PACKETS_PEER) {
		memcpy(&ip, p->client, 16);
		n += snprintf(s->text + n, sizeof(s->text) - (size_t)n, ", client %s port %u", ip_text(&ip, text), p->client_port);
	}
	if (p->flags & PACKETS_GATED)
		n += snprintf(s->text + n, sizeof(s->text) - (size_t)n, ", dropped: this engine has no lease of the address");
	if (p->flags & PACKETS_GUARDED)
		n += snprintf(s->text + n, sizeof(s->text) - (size_t)n, ", dropped: the network security policy refuses it");
	if (p->flags & PACKETS_PLAIN)
		n += snprintf(s->text + n, sizeof(s->text) - (size_t)n, ", plaintext");
	if (p->flags & PACKETS_OLDER)
		n += snprintf(s->text + n, sizeof(s->text) - (size_t)n, ", what was said before on this connection is not here");
	s->len = (uint32_t)n;
	return s;
}

static size_t comment(struct film *f, const struct merged *m, char out[static COMMENT_MAX])
{
	const struct said *s = said_of(f, m);

	memcpy(out, s->text, s->len);
	return s->len + ledger_say(f->ledger, m->source, &m->frame, m->at_ns, out + s->len);
}

static void put_packet(struct film *f, const struct merged *m)
{
	struct source *s = &f->sources[m->source];
	const struct packets_frame *p = &m->frame;
	struct port *port = port_of(s, p->port);
	struct pcapng_packet packet = { .at_ns = m->at_ns, .wire_len = p->wire_len, .len = p->len, .data = p->data,
					.out = p->flags & PACKETS_OUT };
	char text[COMMENT_MAX];
	size_t before;

	if (!port)
		port = port_add(s, p->port, "?");
	if (!port || f->is_full)
		return;
	if (!f->c.classic) {
		packet.comment = text;
		packet.comment_len = comment(f, m, text);
	}
	/* The statistics of the end have their place in the budget. */
	if (!has_room(f, pcapng_packet_size(&packet) + (port->block < 0 ? 512 : 0))) {
		full(f, *f->trouble ? f->trouble : "size");
		return;
	}
	before = f->out.len;
	if (port->block < 0) {
		put_port(f, s, port);
		port->first_ns = m->at_ns;
	}
	port->last_ns = m->at_ns;
	port->packets++;
	packet.interface = (uint32_t)port->block;
	if (f->c.classic)
		pcap_packet(&f->out, &packet);
	else
		pcapng_packet(&f->out, &packet);
	f->put += f->out.len - before;
	add(&f->packets, 1);
	if (p->flags & PACKETS_PLAIN) {
		port->plain = true;
		add(&f->plaintext, 1);
	}
	add(&f->counts[m->source].packets, 1);
	add(&f->counts[m->source].bytes, p->wire_len);
	if (f->out.len >= WRITE_SIZE)
		flush(f);
	if (f->c.packets_max && f->packets == f->c.packets_max)
		full(f, "packets");
}

static void drain(struct film *f, uint64_t late_ns)
{
	const struct merged *m;

	while ((m = merge_take(f->merge, late_ns)))
		put_packet(f, m);
}

static void last_words(struct film *f)
{
	for (unsigned i = 0; i < f->n_sources && !f->c.classic; i++)
		for (size_t j = 0; j < f->sources[i].n_ports; j++) {
			const struct port *p = &f->sources[i].ports[j];

			/* An engine counts what it lost as a whole: its first interface says it. */
			if (p->block >= 0)
				pcapng_statistics(&f->out, (uint32_t)p->block, p->first_ns, p->last_ns, p->packets,
						  j ? 0 : f->sources[i].drops, NULL);
		}
	put_later(f);
	flush(f);
	if (fsync(f->fd) < 0 && !*f->trouble)
		snprintf(f->trouble, sizeof(f->trouble), "disk: %s", strerror(errno));
}

/* ---- for whoever may not read what TLS hid ---- */

#define NOR_PLAIN ", nor is plaintext"
_Static_assert(sizeof(NOR_PLAIN) == sizeof(LEDGER_PLAIN), "the one takes the other's place");

static bool is_plain(const struct film *f, uint32_t interface)
{
	for (unsigned i = 0; i < f->n_sources; i++)
		for (size_t j = 0; j < f->sources[i].n_ports; j++)
			if (f->sources[i].ports[j].block == (int64_t)interface)
				return f->sources[i].ports[j].plain;
	return false;
}

/* The label of a packet, N bytes at P, that speaks of what is left out; NULL: it has none. */
static const uint8_t *label_in(const uint8_t *p, size_t n)
{
	uint32_t len;

	if (n < 28)
		return NULL;
	memcpy(&len, p + 20, sizeof(len)); /* of its data; behind them is its comment */
	return len > n - 28 ? NULL : memmem(p + 28 + len, n - 28 - len, LEDGER_PLAIN, sizeof(LEDGER_PLAIN) - 1);
}

/* Its interfaces stay, so that others keep their numbers. */
static bool write_open(const struct film *f, int to, const uint8_t *p, size_t n)
{
	const uint8_t *from = p, *end = p + n, *label;
	uint32_t head[3];

	while ((size_t)(end - p) >= sizeof(head)) {
		memcpy(head, p, sizeof(head));
		if (head[1] < 12 || head[1] > (size_t)(end - p))
			return false;
		if (head[0] == PCAPNG_PACKET && is_plain(f, head[2])) {
			if (!write_all(to, from, (size_t)(p - from)))
				return false;
			from = p + head[1];
		} else if (head[0] == PCAPNG_PACKET && (label = label_in(p, head[1]))) {
			if (!write_all(to, from, (size_t)(label - from)) ||
			    !write_all(to, (const uint8_t *)NOR_PLAIN, sizeof(NOR_PLAIN) - 1))
				return false;
			from = label + sizeof(NOR_PLAIN) - 1;
		}
		p += head[1];
	}
	return p == end && write_all(to, from, (size_t)(p - from));
}

/* Without it whoever may not read all reads nothing. */
static void make_open(const struct film *f)
{
	int fd = open(f->open_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, f->size, PROT_READ, MAP_SHARED, f->fd, 0);
	bool done = p != MAP_FAILED && write_open(f, fd, p, f->size) && fsync(fd) == 0;

	if (p != MAP_FAILED)
		munmap(p, f->size);
	if (fd >= 0)
		close(fd);
	if (!done) {
		log_warn("capture_not_opened path=%s", f->open_path);
		unlink(f->open_path);
	}
}

/* FD ends with its last whole packet. How many there are. */
static uint64_t mend(int fd)
{
	uint64_t packets = 0;
	uint32_t head[4];
	off_t at = 0, size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	bool classic;

	if (fd < 0 || pread(fd, head, sizeof(head), 0) != sizeof(head))
		return 0;
	classic = head[0] == 0xa1b23c4d;
	at = classic ? 24 : 0;
	while (pread(fd, head, sizeof(head), at) >= (ssize_t)(classic ? 16 : 12)) {
		off_t n = classic ? 16 + (off_t)head[2] : (off_t)head[1];

		if (n < 12 || at + n > size)
			break;
		packets += classic || head[0] == PCAPNG_PACKET;
		at += n;
	}
	if (at < size && ftruncate(fd, at) < 0)
		log_warn("capture_not_mended reason=\"%s\"", strerror(errno));
	return packets;
}

/* ---- orders ---- */

/* At once: the packets that it opens wait a little, and come behind it. */
static void put_secret(struct film *f, const char *line)
{
	CLEANUP_FREE char *text = xasprintf("%s\n", line);
	struct buf *b = f->n_blocks ? &f->out : &f->later;
	size_t before;

	if (f->c.classic || f->is_full || !has_room(f, strlen(text) + 64))
		return;
	before = b->len;
	pcapng_secrets(b, text, strlen(text));
	f->put += b->len - before;
	explicit_bzero(text, strlen(text));
}

static void take_note(struct film *f, unsigned source, struct packets_note *n)
{
	n->at_ns -= (uint64_t)f->sources[source].clock_ns;
	ledger_note(f->ledger, source, n);
}

static void take_block(struct film *f, struct order *o)
{
	struct source *s = &f->sources[o->source];
	const uint8_t *p = (const uint8_t *)o->bytes;
	size_t len = o->len;
	struct packets_item item;
	struct err e = { 0 };
	int64_t until_ns;
	int rc = 0;

	merge_block(f->merge, o->bytes, o->len);
	o->bytes = NULL;
	while (!s->broken && (rc = packets_take(&p, &len, &item, &e)) == 1) {
		if (item.kind == PACKETS_FRAME)
			merge_put(f->merge, o->source, item.frame.at_ns - (uint64_t)s->clock_ns, &item.frame);
		else if (item.kind == PACKETS_PORT)
			port_add(s, item.said.number, item.said.text);
		else if (item.kind == PACKETS_SECRET && f->c.keys)
			put_secret(f, item.said.text);
		else if (item.kind == PACKETS_NOTE)
			take_note(f, o->source, &item.note);
	}
	if (rc < 0) {
		log_warn("capture_block_refused engine=%s reason=\"%s\"", s->name, err_line(&e));
		s->broken = true;
		add(&f->refused, 1);
	}
	until_ns = (int64_t)o->number - s->clock_ns - (f->c.classic ? 0 : (int64_t)BEHIND_NS);
	if (o->number && until_ns > 0)
		merge_until(f->merge, o->source, (uint64_t)until_ns);
}

static bool obey(struct film *f, struct order *o)
{
	bool ends = o->what == ORDER_END;

	switch (o->what) {
	case ORDER_SOURCE:
		f->sources[o->source] = (struct source){ .name = xstrdup(o->bytes), .clock_ns = o->clock_ns, .rtt_ns = o->rtt_ns };
		merge_open(f->merge, o->source);
		break;
	case ORDER_BLOCK:
		if (!f->is_full)
			take_block(f, o);
		break;
	case ORDER_SOURCE_END:
		f->sources[o->source].drops = o->number;
		merge_close(f->merge, o->source);
		break;
	case ORDER_END:
		break;
	}
	free(o->bytes);
	free(o);
	return ends;
}

static struct order *next_order(struct film *f)
{
	struct timespec until;
	struct order *o;

	pthread_mutex_lock(&f->lock);
	if (!f->first) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += LOOK_MS * 1000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&f->more, &f->lock, &until);
	}
	o = f->first;
	if (o) {
		f->first = o->next;
		if (!f->first)
			f->last = &f->first;
		f->waiting -= o->len;
	}
	pthread_mutex_unlock(&f->lock);
	return o;
}

static void film_free(struct film *f)
{
	for (unsigned i = 0; i < f->n_sources; i++) {
		for (size_t j = 0; j < f->sources[i].n_ports; j++)
			free(f->sources[i].ports[j].name);
		free(f->sources[i].ports);
		free(f->sources[i].name);
	}
	free(f->path);
	free(f->open_path);
	free(f->pieces);
	merge_free(f->merge);
	ledger_free(f->ledger);
	buf_fini(&f->later);
	buf_fini(&f->out);
	pthread_cond_destroy(&f->more);
	pthread_mutex_destroy(&f->lock);
	close(f->fd);
	free(f);
}

static void tell_done(struct message *m)
{
	struct film *f = CONTAINER_OF(m, struct film, done_message);

	pthread_join(f->thread, NULL);
	f->c.done(f->c.arg, *f->trouble ? f->trouble : NULL);
	film_free(f);
}

static void *film_thread(void *arg)
{
	struct film *f = arg;
	bool ends = false;

	while (!ends) {
		struct order *o = next_order(f);

		if (o) {
			ends = obey(f, o);
			continue;
		}
		drain(f, f->c.past ? 0 : wall_ns() - LATE_NS);
		flush(f);
	}
	drain(f, UINT64_MAX);
	last_words(f);
	if (f->open_path && f->plaintext && !*f->trouble)
		make_open(f);
	if (*f->trouble) {
		off_t size;

		__atomic_store_n(&f->packets, mend(f->fd), __ATOMIC_RELAXED);
		size = lseek(f->fd, 0, SEEK_END);
		__atomic_store_n(&f->size, size > 0 ? (uint64_t)size : 0, __ATOMIC_RELAXED);
	}
	inbox_post(f->c.home, &f->done_message, tell_done);
	return NULL;
}

static void give(struct film *f, struct order *o)
{
	pthread_mutex_lock(&f->lock);
	f->waiting += o->len;
	*f->last = o;
	f->last = &o->next;
	pthread_cond_signal(&f->more);
	pthread_mutex_unlock(&f->lock);
}

/* ---- for the core ---- */

int film_new(const struct film_config *c, struct film **out, struct err *e)
{
	struct film *f;
	pthread_condattr_t how;
	int fd = open(c->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_set(e, -errno, NULL, "Cannot write the file of the capture: %s.", strerror(errno));
	f = xcalloc(1, sizeof(*f));
	f->c = *c;
	f->fd = fd;
	f->last = &f->first;
	f->merge = merge_new();
	f->ledger = ledger_new();
	merge_hold(f->merge, c->past);
	f->path = xstrdup(c->path);
	f->open_path = c->open_path ? xstrdup(c->open_path) : NULL;
	if (c->classic) {
		pcap_head(&f->out);
	} else {
		pcapng_section(&f->out, c->hardware, c->comment);
		/* Readers that copy take the link type from an interface that follows at once (editcap, mergecap). */
		pcapng_names(&f->later, c->names, c->n_names);
	}
	f->put = f->out.len;
	f->pieces = xcalloc(PIECES_MAX, sizeof(*f->pieces));
	piece_begin(f);
	f->put += f->later.len;
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&how);
	pthread_condattr_setclock(&how, CLOCK_MONOTONIC);
	pthread_cond_init(&f->more, &how);
	pthread_condattr_destroy(&how);
	must(pthread_create(&f->thread, NULL, film_thread, f) == 0);
	*out = f;
	return 0;
}

unsigned film_source(struct film *f, const char *name, int64_t clock_ns, uint64_t rtt_ns)
{
	struct order *o = xcalloc(1, sizeof(*o));
	unsigned number = MIN(f->n_sources, (unsigned)SOURCES_MAX - 1);

	*o = (struct order){ .what = ORDER_SOURCE, .source = number, .bytes = xstrdup(name), .clock_ns = clock_ns, .rtt_ns = rtt_ns };
	f->n_sources = number + 1;
	give(f, o);
	return number;
}

bool film_block(struct film *f, unsigned source, void *bytes, size_t len, uint64_t until_ns)
{
	struct order *o;
	bool too_much;

	pthread_mutex_lock(&f->lock);
	too_much = f->waiting + len > WAITING_MAX;
	pthread_mutex_unlock(&f->lock);
	if (too_much) {
		free(bytes);
		return false;
	}
	o = xcalloc(1, sizeof(*o));
	*o = (struct order){ .what = ORDER_BLOCK, .source = source, .bytes = bytes, .len = len, .number = until_ns };
	give(f, o);
	return true;
}

void film_source_end(struct film *f, unsigned source, uint64_t drops)
{
	struct order *o = xcalloc(1, sizeof(*o));

	*o = (struct order){ .what = ORDER_SOURCE_END, .source = source, .number = drops };
	give(f, o);
}

void film_end(struct film *f)
{
	struct order *o = xcalloc(1, sizeof(*o));

	o->what = ORDER_END;
	give(f, o);
}

uint64_t film_mend(const char *path)
{
	CLEANUP_FD int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return mend(fd);
}

uint64_t film_size(const struct film *f)
{
	return look(&f->size);
}

uint64_t film_packets(const struct film *f)
{
	return look(&f->packets);
}

uint64_t film_plaintext(const struct film *f)
{
	return look(&f->plaintext);
}

uint64_t film_refused(const struct film *f)
{
	return look(&f->refused);
}

struct film_count film_count(const struct film *f, unsigned source)
{
	return (struct film_count){ look(&f->counts[source].packets), look(&f->counts[source].bytes) };
}
