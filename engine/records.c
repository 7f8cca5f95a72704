#include "engine/records.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/filter.h"
#include "base/moment.h"

/* A worker's part: this head, then its rings. */
struct part {
	uint64_t written[RECORD_RINGS];
	uint64_t last_us;       /* report_us of the newest */
	uint8_t pad[RECORD_BYTES - (RECORD_RINGS + 1) * sizeof(uint64_t)];
};

static const struct { const char *member; size_t max; } texts[] = {
#define X(name, member, max) { member, max },
	RECORD_TEXTS(X)
#undef X
};

static const char *const reasons[] = {
#define X(name, text) text,
	RECORD_REASONS(X)
#undef X
};

/* ---- the file ---- */

static size_t part_bytes(const struct records *r)
{
	return r->workers ? r->bytes / r->workers / RECORD_BYTES * RECORD_BYTES : 0;
}

static struct part *part_of(const struct records *r, unsigned worker)
{
	return (struct part *)(void *)(r->mem + worker * part_bytes(r));
}

static struct record *slot_of(const struct records *r, unsigned worker, unsigned ring, uint64_t n)
{
	uint8_t *first = (uint8_t *)part_of(r, worker) + sizeof(struct part);

	for (unsigned i = 0; i < ring; i++)
		first += r->slots[i] * RECORD_BYTES;
	return (struct record *)(void *)(first + n % r->slots[ring] * RECORD_BYTES);
}

static int map(struct records *r, int fd, unsigned workers, size_t bytes)
{
	size_t slots;
	void *p;

	*r = (struct records){ .workers = workers, .bytes = bytes, .fd = fd };
	slots = part_bytes(r) / RECORD_BYTES;
	if (slots < 9) { /* nothing is kept */
		r->bytes = 0;
		return 0;
	}
	r->slots[RECORD_RING_SIGNIFICANT] = (slots - 1) / 4;
	r->slots[RECORD_RING_CARRIERS] = (slots - 1) / 8;
	r->slots[RECORD_RING_REST] = slots - 1 - (slots - 1) / 4 - (slots - 1) / 8;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED) {
		int rc = -errno;

		close(fd);
		r->fd = -1;
		return rc;
	}
	r->mem = p;
	return 0;
}

int records_new(struct records *r, unsigned workers, size_t bytes)
{
	CLEANUP_FD int fd = memfd_create("spanwire-records", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int take;

	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	take = fd;
	fd = -1;
	return map(r, take, workers, bytes);
}

int records_map(struct records *r, int fd, unsigned workers)
{
	struct stat st;

	return map(r, fd, workers, fstat(fd, &st) < 0 ? 0 : (size_t)st.st_size);
}

void records_fini(struct records *r)
{
	if (r->mem)
		munmap(r->mem, r->bytes);
	if (r->fd >= 0)
		close(r->fd);
	r->mem = NULL;
	r->fd = -1;
}

/* ---- writing ---- */

void record_text(struct record *rec, enum record_text which, const char *p, size_t n)
{
	/* Which pool it was is known late, and always told. */
	size_t kept = which == RECORD_T_POOL_NAME || rec->texts[RECORD_T_POOL].len ? 0 : texts[RECORD_T_POOL_NAME].max;

	if (which != RECORD_T_POOL && kept)
		kept += texts[RECORD_T_POOL].max;
	n = MIN(n, MIN(texts[which].max, (size_t)RECORD_TEXT - kept - rec->text_used));
	if (n == 0)
		return;
	memcpy(rec->text + rec->text_used, p, n);
	rec->texts[which].at = rec->text_used;
	rec->texts[which].len = (uint16_t)n;
	rec->text_used = (uint16_t)(rec->text_used + n);
}

void record_pool(struct record *rec, const char *uuid, const char *name)
{
	if (uuid && !rec->texts[RECORD_T_POOL].len) {
		record_text(rec, RECORD_T_POOL, uuid, strlen(uuid));
		record_text(rec, RECORD_T_POOL_NAME, name ? name : "", name ? strlen(name) : 0);
	}
}

static enum record_ring ring_of(const struct record *rec)
{
	if (rec->reason != RECORD_NONE)
		return RECORD_RING_SIGNIFICANT;
	return rec->type == RECORD_CONNECTION && rec->http ? RECORD_RING_CARRIERS : RECORD_RING_REST;
}

/*
 * No two of an engine have the same time: clients go on behind the time of the last one that they saw. A clock that
 * was set back is followed.
 */
static uint64_t time_of(const struct records *r, struct part *part, unsigned worker, uint64_t us)
{
	us = us - us % r->workers + worker;
	if (us <= part->last_us && part->last_us - us < 1000000)
		us = part->last_us + r->workers;
	part->last_us = us;
	return us;
}

#define FETCHED 640 /* most records are not longer */

void records_put(struct records *r, unsigned worker, const struct record *rec)
{
	unsigned ring = ring_of(rec);
	struct record *to;
	struct part *part;
	uint64_t n, seq;

	if (!records_kept(r))
		return;
	part = part_of(r, worker);
	n = part->written[ring];
	to = slot_of(r, worker, ring, n);
	seq = to->seq | 1;
	__atomic_store_n(&to->seq, seq, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy(&to->id, &rec->id, sizeof(*rec) - offsetof(struct record, id) + rec->text_used);
	to->worker = (uint16_t)worker;
	to->report_us = time_of(r, part, worker, rec->report_us);
	to->id = (uint64_t)ring << 61 | (uint64_t)worker << 48 | n;
	__atomic_store_n(&to->seq, seq + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&part->written[ring], n + 1, __ATOMIC_RELEASE);
	/* The ring is larger than any cache: the next slot is on its way while others work. */
	to = slot_of(r, worker, ring, n + 1);
	for (size_t at = 0; at < FETCHED; at += 64)
		__builtin_prefetch((char *)to + at, 1);
}

/* ---- reading ---- */

/* False: it was written meanwhile, or is none. */
static bool copy_of(const struct record *from, struct record *to)
{
	uint64_t seq = __atomic_load_n(&from->seq, __ATOMIC_ACQUIRE);

	if (seq == 0 || seq & 1)
		return false;
	memcpy(to, from, RECORD_BYTES);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(&from->seq, __ATOMIC_RELAXED) != seq)
		return false;
	for (unsigned i = 0; i < RECORD_TEXTS_N; i++)
		if (to->texts[i].at > RECORD_TEXT || to->texts[i].len > RECORD_TEXT - to->texts[i].at)
			return false;
	return to->reason < RECORD_REASONS_N;
}

static json_t *text_of(const struct record *rec, enum record_text which)
{
	char plain[RECORD_TEXT];
	size_t n = rec->texts[which].len;
	const char *p = rec->text + rec->texts[which].at;
	json_t *s = json_stringn(p, n);

	if (s)
		return s;
	for (size_t i = 0; i < n; i++) /* what is not UTF-8 */
		plain[i] = p[i] & 0x80 ? '?' : p[i];
	return json_stringn(plain, n);
}

static bool text_is(const struct record *rec, enum record_text which, const char *want)
{
	size_t n = strlen(want);

	return rec->texts[which].len == n &&
	       memcmp(rec->text + rec->texts[which].at, want, n) == 0;
}

/* The contract has a member of its own for an IPv6 address; the first one says it, too. */
static void put_ip(json_t *o, const char *name, const char *ip)
{
	char six[32];

	json_object_set_new(o, name, json_string(ip));
	if (strchr(ip, ':')) {
		snprintf(six, sizeof(six), "%s6", name);
		json_object_set_new(o, six, json_string(ip));
	}
}

static void put_address(json_t *o, const char *ip, const char *port, const union address *a)
{
	char text[ADDRESS_TEXT];

	if (a->sa.sa_family != AF_INET && a->sa.sa_family != AF_INET6)
		return;
	address_ip(a, text);
	put_ip(o, ip, text);
	json_object_set_new(o, port, json_integer(address_port(a)));
}

static void put_ms(json_t *o, const char *name, uint32_t us)
{
	json_object_set_new(o, name, json_integer((us + 500) / 1000));
}

static json_t *time_text(uint64_t us)
{
	char text[MOMENT_MAX];

	return json_string(moment_text(us, MOMENT_MICROS, text));
}

static void put_number(json_t *o, const char *name, uint64_t v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

static void put_server(json_t *o, const struct record *rec)
{
	bool mapped = IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)rec->source);
	char own[ADDRESS_TEXT];

	put_address(o, "server_ip", "server_dest_port", &rec->server);
	if (json_object_get(o, "server_ip"))
		json_object_set(o, "server_name", json_object_get(o, "server_ip"));
	put_ms(o, "server_rtt", rec->server_rtt_us);
	if (!rec->server_src_port)
		return;
	put_number(o, "server_src_port", rec->server_src_port);
	inet_ntop(mapped ? AF_INET : AF_INET6, rec->source + (mapped ? 12 : 0), own, sizeof(own));
	put_ip(o, "server_conn_src_ip", own);
}

static void put_connection(json_t *o, const struct record *rec)
{
	static const struct { const char *rx, *tx, *total, *again, *late; } names[] = {
		{ "rx_pkts", "tx_pkts", "total_pkts", "retransmits", "out_of_orders" },
		{ "server_rx_pkts", "server_tx_pkts", "server_total_pkts", "server_retransmits", "server_out_of_orders" },
	};

	put_number(o, "rx_bytes", rec->rx_bytes);
	put_number(o, "tx_bytes", rec->tx_bytes);
	put_number(o, "total_bytes", rec->rx_bytes + rec->tx_bytes);
	put_number(o, "server_rx_bytes", rec->server_rx_bytes);
	put_number(o, "server_tx_bytes", rec->server_tx_bytes);
	put_number(o, "server_total_bytes", rec->server_rx_bytes + rec->server_tx_bytes);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		const struct record_side *side = &rec->sides[i];

		put_number(o, names[i].rx, side->rx_packets);
		put_number(o, names[i].tx, side->tx_packets);
		put_number(o, names[i].total, (uint64_t)side->rx_packets + side->tx_packets);
		put_number(o, names[i].again, side->retransmits);
		put_number(o, names[i].late, side->out_of_orders);
	}
	put_number(o, "mss", rec->mss);
	put_number(o, "num_transaction", rec->requests);
	json_object_set_new(o, "protocol", json_string(rec->udp ? "PROTOCOL_UDP" : "PROTOCOL_TCP"));
}

static void put_request(json_t *o, const struct record *rec)
{
	char version[8];

	snprintf(version, sizeof(version), "%u.%u", rec->version / 10u % 10, rec->version % 10u);
	json_object_set_new(o, "http_version", json_string(version));
	put_number(o, "response_code", rec->status);
	if (rec->server_status)
		put_number(o, "server_response_code", rec->server_status);
	put_number(o, "request_length", rec->rx_bytes);
	put_number(o, "response_length", rec->tx_bytes);
	put_ms(o, "app_response_time", rec->app_us);
	put_ms(o, "response_time_first_byte", rec->first_byte_us);
	put_ms(o, "response_time_last_byte", rec->total_us);
	put_ms(o, "data_transfer_time", rec->transfer_us);
	json_object_set_new(o, "server_connection_reused", json_boolean(rec->reused));
	json_object_set_new(o, "cache_hit", json_false());
}

static json_t *shown(const struct record *rec)
{
	bool significant = rec->reason != RECORD_NONE;
	json_t *o = json_object(), *why = json_array();

	put_number(o, "log_id", rec->id);
	json_object_set_new(o, "report_timestamp", time_text(rec->report_us));
	json_object_set_new(o, "start_timestamp", time_text(rec->report_us - rec->total_us));
	json_object_set_new(o, "connection_ended", json_true());
	put_number(o, "vcpu_id", rec->worker);
	json_object_set_new(o, "adf", json_boolean(significant));
	json_object_set_new(o, "udf", json_boolean(rec->filtered));
	put_number(o, "significant", significant);
	if (significant)
		json_array_append_new(why, json_string(reasons[rec->reason]));
	json_object_set_new(o, "significant_log", why);
	put_address(o, "client_ip", "client_src_port", &rec->client);
	put_address(o, "vs_ip", "client_dest_port", &rec->vip);
	if (rec->port)
		put_number(o, "client_dest_port", rec->port);
	put_server(o, rec);
	put_ms(o, "client_rtt", rec->client_rtt_us);
	put_ms(o, "total_time", rec->total_us);
	for (unsigned i = 0; i < RECORD_TEXTS_N; i++)
		if (rec->texts[i].len)
			json_object_set_new(o, texts[i].member, text_of(rec, i));
	if (rec->type == RECORD_REQUEST)
		put_request(o, rec);
	else
		put_connection(o, rec);
	return o;
}

struct place {
	uint64_t us, seq_n;
	uint16_t worker;
	uint8_t ring;
};

static int by_time(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->us != y->us ? (x->us < y->us ? 1 : -1) : (x->seq_n < y->seq_n) - (x->seq_n > y->seq_n);
}

/*
 * A record gets its time a moment before its place, and another worker's is there sooner: what is younger is not told
 * yet, so that nothing comes to be behind a client that goes on where it was.
 */
#define SETTLE_US 50000

struct search {
	int64_t type;
	const char *vs;
	bool filtered;          /* of what is not significant only what a filter means */
	uint64_t start, end;
	const json_t *filters;
	struct place *found;
	size_t n, size;
};

static bool wanted(const struct search *s, const struct record *rec)
{
	size_t i;
	json_t *f;
	CLEANUP_JSON json_t *o = NULL;

	if (rec->type != s->type || rec->report_us < s->start || rec->report_us > s->end ||
	    (s->vs && !text_is(rec, RECORD_T_VS, s->vs)) || (s->filtered && !rec->filtered && rec->reason == RECORD_NONE))
		return false;
	if (json_array_size(s->filters) == 0)
		return true;
	o = shown(rec);
	json_array_foreach(s->filters, i, f) {
		struct filter parsed;

		if (filter_read(json_string_value(f), &parsed, NULL) < 0 || !filter_passes(&parsed, o))
			return false;
	}
	return true;
}

static void search_ring(const struct records *r, struct search *s, unsigned worker, unsigned ring,
			uint64_t *overwritten)
{
	uint64_t written = __atomic_load_n(&part_of(r, worker)->written[ring], __ATOMIC_ACQUIRE);
	uint64_t n = MIN(written, (uint64_t)r->slots[ring]);
	char copy[RECORD_BYTES] __attribute__((aligned(8)));
	struct record *rec = (struct record *)copy;

	*overwritten += written - n;
	for (uint64_t i = 0; i < n; i++) {
		if (!copy_of(slot_of(r, worker, ring, written - 1 - i), rec) || !wanted(s, rec))
			continue;
		if (s->n == s->size) {
			s->size = MAX(s->size * 2, (size_t)256);
			s->found = xrealloc(s->found, s->size * sizeof(s->found[0]));
		}
		s->found[s->n++] = (struct place){ rec->report_us, written - 1 - i, (uint16_t)worker,
						   (uint8_t)ring };
	}
}

int64_t records_read(const struct records *r, const json_t *query, void (*give)(void *arg, json_t *record), void *arg,
		     uint64_t *overwritten)
{
	struct search s = {
		.type = json_int(query, "records", RECORD_REQUEST),
		.vs = json_str(query, "virtualservice", NULL),
		.start = (uint64_t)json_int(query, "start_us", 0),
		.end = MIN((uint64_t)json_int(query, "end_us", INT64_MAX), wall_us() - SETTLE_US),
		.filters = json_object_get(query, "filters"),
	};
	size_t max = (size_t)MAX(json_int(query, "max", 10), (int64_t)0);
	bool oldest = json_is_true(json_object_get(query, "oldest_first"));
	bool rest = !json_is_false(json_object_get(query, "rest"));
	bool filtered = json_is_true(json_object_get(query, "filtered"));
	bool rings[RECORD_RINGS] = { rest || filtered, !json_is_false(json_object_get(query, "significant")),
				     (rest || filtered) && s.type == RECORD_CONNECTION };
	char copy[RECORD_BYTES] __attribute__((aligned(8)));

	s.filtered = filtered && !rest;
	*overwritten = 0;
	for (unsigned w = 0; r->mem && w < r->workers; w++)
		for (unsigned ring = 0; ring < RECORD_RINGS; ring++)
			if (rings[ring])
				search_ring(r, &s, w, ring, overwritten);
	if (s.n)
		qsort(s.found, s.n, sizeof(s.found[0]), by_time);
	for (size_t i = 0; i < s.n && i < max; i++) {
		const struct place *p = &s.found[oldest ? s.n - 1 - i : i];
		struct record *rec = (struct record *)copy;

		/* Once more, and perhaps it is another one by now. */
		if (copy_of(slot_of(r, p->worker, p->ring, p->seq_n), rec) && rec->report_us == p->us)
			give(arg, shown(rec));
	}
	free(s.found);
	return (int64_t)s.n;
}

static void newest_of(const struct records *r, unsigned worker, unsigned ring, const char *vs, const char *id,
		      struct record_request *out)
{
	uint64_t written = __atomic_load_n(&part_of(r, worker)->written[ring], __ATOMIC_ACQUIRE);
	uint64_t n = MIN(written, (uint64_t)r->slots[ring]);
	char copy[RECORD_BYTES] __attribute__((aligned(8)));
	struct record *rec = (struct record *)copy;

	for (uint64_t i = 0; i < n; i++) {
		if (!copy_of(slot_of(r, worker, ring, written - 1 - i), rec) || rec->report_us <= out->to_us ||
		    !text_is(rec, RECORD_T_REQUEST_ID, id) || !text_is(rec, RECORD_T_VS, vs))
			continue;
		*out = (struct record_request){ rec->client, rec->server, rec->server_src_port, rec->report_us - rec->total_us,
						rec->report_us };
		return;
	}
}

bool records_request(const struct records *r, const char *vs, const char *id, struct record_request *out)
{
	*out = (struct record_request){ 0 };
	for (unsigned w = 0; r->mem && w < r->workers; w++)
		for (unsigned ring = 0; ring < RECORD_RING_CARRIERS; ring++)
			newest_of(r, w, ring, vs, id, out);
	return out->to_us != 0;
}

bool records_match(const struct record *rec, const struct filter *filters, size_t n)
{
	CLEANUP_JSON json_t *all = NULL;

	for (size_t i = 0; i < n; i++) {
		CLEANUP_JSON json_t *one = NULL;

		/* A text is looked at alone: to write down all of a request costs as much as some requests do. */
		for (unsigned t = 0; t < RECORD_TEXTS_N && !one; t++)
			if (strcmp(texts[t].member, filters[i].field) == 0)
				one = json_pack("{s:o}", texts[t].member, text_of(rec, t));
		if (!one && !all)
			all = shown(rec);
		if (!filter_passes(&filters[i], one ? one : all))
			return false;
	}
	return true;
}
