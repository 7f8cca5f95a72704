#include "engine/clone/synth.h"

#include "base/base.h"
#include "base/wire.h"

#define WINDOW       65535
#define WINDOW_SCALE 7      /* 8 MB: more than is ever under way before it is acknowledged */
#define TTL          64

enum { FIN = 0x01, SYN = 0x02, RST = 0x04, PSH = 0x08, ACK = 0x10 };

/* A slice that begins at an odd place counts with its bytes swapped. */
static uint64_t sum_slices(uint64_t sum, const struct iovec *iov, int n)
{
	bool odd = false;

	sum = wire_fold(sum); /* so that there is room for what follows */
	for (int i = 0; i < n; i++) {
		uint16_t one = wire_fold(wire_sum(0, iov[i].iov_base, iov[i].iov_len));

		sum += odd ? (uint16_t)(one << 8 | one >> 8) : one;
		odd ^= iov[i].iov_len & 1;
	}
	return sum;
}

/* ---- headers ---- */

static uint8_t *put_ethernet(const struct synth *s, uint8_t *at)
{
	return wire_put16(wire_put(at, s->macs, sizeof(s->macs)), s->v4 ? 0x0800 : 0x86dd);
}

static uint8_t *put_ip(struct synth *s, enum synth_side from, size_t segment_len, unsigned segments, uint8_t *at)
{
	uint8_t *head = at;
	uint16_t sum;

	if (!s->v4) {
		at = wire_put16(wire_put32(at, 0x60000000), (uint16_t)segment_len);
		*at++ = IPPROTO_TCP;
		*at++ = TTL;
		return wire_put(wire_put(at, s->end[from].addr, 16), s->end[!from].addr, 16);
	}
	at = wire_put16(wire_put16(at, 0x4500), (uint16_t)(20 + segment_len));
	at = wire_put16(wire_put16(at, s->id[from]), 0x4000); /* not to be fragmented */
	s->id[from] = (uint16_t)(s->id[from] + segments);
	*at++ = TTL;
	*at++ = IPPROTO_TCP;
	at = wire_put16(at, 0);
	at = wire_put(wire_put(at, s->end[from].addr + 12, 4), s->end[!from].addr + 12, 4);
	sum = wire_checksum(head, 20);
	memcpy(head + 10, &sum, 2);
	return at;
}

static uint8_t *put_tcp(const struct synth *s, enum synth_side from, unsigned flags, uint8_t *at)
{
	unsigned words = flags & SYN ? 7 : 5;

	at = wire_put16(wire_put16(at, s->end[from].port), s->end[!from].port);
	at = wire_put32(wire_put32(at, s->next[from]), flags & ACK ? s->next[!from] : 0);
	*at++ = (uint8_t)(words << 4);
	*at++ = (uint8_t)flags;
	at = wire_put32(wire_put16(at, WINDOW), 0); /* checksum and urgent pointer */
	if (flags & SYN) {
		at = wire_put16(wire_put16(at, 0x0204), s->mss);
		at = wire_put32(at, 0x01030300 | WINDOW_SCALE); /* a no-operation, and the scale of the window */
	}
	return at;
}

static uint64_t sum_pseudo(const struct synth *s, size_t segment_len)
{
	size_t n = s->v4 ? 4 : 16;
	uint64_t sum = wire_sum(0, s->end[0].addr + 16 - n, n);

	sum = wire_sum(sum, s->end[1].addr + 16 - n, n);
	return wire_sum_number(wire_sum_number(sum, (uint32_t)segment_len), IPPROTO_TCP);
}

/* N bytes of data: one segment, or more when they are cut later. */
static void emit(struct synth *s, enum synth_side from, unsigned flags, const struct iovec *iov, int n, size_t len,
		 struct synth_out *o)
{
	uint8_t head[SYNTH_HEAD_MAX];
	bool cut = len > s->mss;
	unsigned frames = cut ? (unsigned)((len + s->mss - 1) / s->mss) : 1;
	size_t tcp_len = (flags & SYN ? 28 : 20), segment_len = tcp_len + len;
	uint8_t *l3 = put_ethernet(s, head), *l4 = put_ip(s, from, segment_len, frames, l3),
		*end = put_tcp(s, from, flags, l4);
	uint64_t sum = sum_pseudo(s, segment_len);
	uint16_t check;

	if (cut)
		check = wire_fold(sum);
	else
		check = (uint16_t)~wire_fold(sum_slices(wire_sum(sum, l4, tcp_len), iov, n));
	memcpy(l4 + 16, &check, 2);
	s->next[from] += (uint32_t)len + !!(flags & (SYN | FIN));
	s->owed[from] += (uint32_t)len;
	if (flags & ACK)
		s->owed[!from] = 0;
	o->frame(o, &(struct synth_frame){
			    .head = head,
			    .head_len = (size_t)(end - head),
			    .l4 = (size_t)(l4 - head),
			    .data = iov,
			    .n_data = n,
			    .data_len = len,
			    .segment = cut ? s->mss : 0,
			    .frames = frames,
			    .bytes = len + (uint64_t)frames * (size_t)(end - head),
		    });
}

static void control(struct synth *s, enum synth_side from, unsigned flags, struct synth_out *o)
{
	emit(s, from, flags, NULL, 0, 0, o);
}

/* ---- verbs ---- */

void synth_init(struct synth *s, const struct synth_end *client, const struct synth_end *server, unsigned mss,
		const uint8_t macs[static 12])
{
	static const uint8_t v4[12] = { [10] = 0xff, [11] = 0xff };

	*s = (struct synth){ .end = { *client, *server }, .mss = (uint16_t)MIN(MAX(mss, (unsigned)SYNTH_MSS_MIN), 65000u) };
	memcpy(s->macs, macs, sizeof(s->macs));
	s->v4 = memcmp(client->addr, v4, sizeof(v4)) == 0;
	must(s->v4 == (memcmp(server->addr, v4, sizeof(v4)) == 0));
	random_bytes(s->next, sizeof(s->next));
}

void synth_open(struct synth *s, struct synth_out *o)
{
	if (s->opened || s->over)
		return;
	s->opened = true;
	control(s, SYNTH_CLIENT, SYN, o);
	control(s, SYNTH_SERVER, SYN | ACK, o);
	control(s, SYNTH_CLIENT, ACK, o);
}

/* Up to MAX bytes of IOV from OFFSET on, as slices of their own; *LEN of them. What was taken is taken. */
static int take(const struct iovec **iov, int *n, size_t *offset, size_t max, struct iovec *out, size_t *len)
{
	int got = 0;

	for (*len = 0; *n && *len < max && got < SYNTH_SLICES;) {
		size_t here = MIN((*iov)->iov_len - *offset, max - *len);

		if (here)
			out[got++] = (struct iovec){ (char *)(*iov)->iov_base + *offset, here };
		*len += here;
		*offset += here;
		if (*offset == (*iov)->iov_len) {
			(*iov)++;
			(*n)--;
			*offset = 0;
		}
	}
	return got;
}

void synth_data(struct synth *s, enum synth_side side, const struct iovec *iov, int n, struct synth_out *o)
{
	size_t max = o->burst > s->mss ? o->burst - o->burst % s->mss : s->mss, offset = 0;
	struct iovec slices[SYNTH_SLICES];

	synth_open(s, o);
	while (n && !s->over && !s->ended[side]) {
		size_t len;
		int got = take(&iov, &n, &offset, max, slices, &len);

		if (!len)
			break;
		emit(s, side, n ? ACK : ACK | PSH, slices, got, len, o);
		if (s->owed[side] >= 2u * s->mss)
			control(s, !side, ACK, o);
	}
}

void synth_ack(struct synth *s, struct synth_out *o)
{
	for (int side = 0; side < 2 && !s->over; side++)
		if (s->owed[side])
			control(s, !side, ACK, o);
}

void synth_end(struct synth *s, enum synth_side side, struct synth_out *o)
{
	synth_open(s, o);
	if (s->over || s->ended[side])
		return;
	control(s, side, FIN | ACK, o);
	s->ended[side] = true;
	control(s, !side, ACK, o);
	s->over = s->ended[!side];
}

void synth_reset(struct synth *s, enum synth_side side, struct synth_out *o)
{
	synth_open(s, o);
	if (s->over)
		return;
	control(s, side, RST | ACK, o);
	s->over = true;
}
