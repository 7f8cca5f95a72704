#include "base/test.h"

#include "engine/capture/cut.h"

#include <arpa/inet.h>

#define MSS 1000

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Another one than that of cut.c: byte by byte. */
static uint16_t checksum(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n_a; i++)
		sum += (uint64_t)a[i] << (i % 2 ? 0 : 8);
	for (size_t i = 0; i < n_b; i++)
		sum += (uint64_t)b[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

struct world {
	uint8_t data[66000];
	uint32_t len;
	bool v6, udp;
	unsigned frames, payload;
	uint32_t next_seq;
	unsigned stop;
	bool truncated;
};

static unsigned l4(const struct world *w)
{
	return 14 + (w->v6 ? 40 : 20);
}

static unsigned headers(const struct world *w)
{
	return l4(w) + (w->udp ? 8 : 32);
}

static void make(struct world *w, bool v6, bool udp, unsigned payload, unsigned flags)
{
	uint8_t *p = w->data;

	memset(w, 0, sizeof(*w));
	w->v6 = v6;
	w->udp = udp;
	w->len = headers(w) + payload;
	put16(p + 12, v6 ? 0x86dd : 0x0800);
	if (v6) {
		p[14] = 0x60;
		put16(p + 18, w->len - 54);
		p[20] = udp ? 17 : 6;
		memset(p + 22, 0xfd, 32);
	} else {
		p[14] = 0x45;
		put16(p + 16, w->len - 14);
		put16(p + 18, 0xfffe); /* wraps */
		p[23] = udp ? 17 : 6;
		memcpy(p + 26, "\x0a\0\0\1\x0a\0\0\2", 8);
		put16(p + 24, checksum(p + 14, 20, NULL, 0));
	}
	put16(p + l4(w), 40000);
	put16(p + l4(w) + 2, 80);
	if (udp) {
		put16(p + l4(w) + 4, 8 + payload);
	} else {
		memcpy(p + l4(w) + 4, "\xff\xff\xff\0", 4);
		p[l4(w) + 12] = 8 << 4;
		p[l4(w) + 13] = (uint8_t)flags;
	}
	for (unsigned i = 0; i < payload; i++)
		p[headers(w) + i] = (uint8_t)(i * 7);
}

static uint16_t pseudo_checksum(const struct world *w, const uint8_t *d, unsigned len)
{
	uint8_t pseudo[40] = { 0 };
	unsigned n = w->v6 ? 32 : 8, l4_len = len - l4(w);

	memcpy(pseudo, d + (w->v6 ? 22 : 26), n);
	put16(pseudo + n, l4_len);
	put16(pseudo + n + 2, w->udp ? 17 : 6);
	return checksum(pseudo, n + 4, d + l4(w), l4_len);
}

static bool look(void *arg, const struct cut_frame *f)
{
	struct world *w = arg;
	const uint8_t *d = f->data;
	unsigned part = f->wire_len - headers(w);

	assert_true(f->wire_len <= headers(w) + MSS);
	if (w->v6)
		assert_int_equal(get16(d + 18), f->wire_len - 54);
	else
		assert_int_equal(get16(d + 16), f->wire_len - 14);
	if (!w->v6)
		assert_int_equal(checksum(d + 14, 20, NULL, 0), 0);
	if (!w->v6)
		assert_int_equal(get16(d + 18), (uint16_t)(0xfffe + w->frames));
	if (w->udp)
		assert_int_equal(get16(d + l4(w) + 4), 8 + part);
	else
		assert_int_equal(get32(d + l4(w) + 4), 0xffffff00u + w->payload);
	if (!w->truncated) {
		assert_int_equal(f->len, f->wire_len);
		assert_int_equal(pseudo_checksum(w, d, f->len), 0);
		assert_memory_equal(d + headers(w), w->data + headers(w) + w->payload, part);
	}
	if (!w->udp) {
		bool last = headers(w) + w->payload + part == w->len;

		assert_int_equal(!!(d[l4(w) + 13] & 0x09), last);
		assert_int_equal(!!(d[l4(w) + 13] & 0x80), w->frames == 0);
	}
	w->payload += part;
	w->frames++;
	return !w->stop || w->frames < w->stop;
}

static void large_ones_become_legal_frames(void **state)
{
	static struct world w;

	(void)state;
	for (unsigned kind = 0; kind < 4; kind++)
		for (unsigned payload = MSS + 1; payload < 60000; payload = payload * 3 + 77) {
			make(&w, kind & 1, kind & 2, payload, 0x80 | 0x19);
			assert_int_equal(cut_frames(&(struct cut){ .data = w.data, .len = w.len, .wire_len = w.len, .gso_size = MSS }, look, &w),
					 (payload + MSS - 1) / MSS);
			assert_int_equal(w.payload, payload);
		}
}

static void it_stops_when_it_is_told(void **state)
{
	static struct world w;

	(void)state;
	make(&w, false, false, 10 * MSS, 0x99);
	w.stop = 3;
	assert_int_equal(cut_frames(&(struct cut){ .data = w.data, .len = w.len, .wire_len = w.len, .gso_size = MSS }, look, &w), 3);
}

static bool keep(void *arg, const struct cut_frame *f)
{
	struct cut_frame *out = arg;

	*out = *f;
	return true;
}

static void one_frame_gets_its_checksum_or_keeps_its_wrong_one(void **state)
{
	static struct world w;
	struct cut_frame f;
	struct cut c = { .data = w.data };
	uint8_t pseudo[12] = { 0x0a, 0, 0, 1, 0x0a, 0, 0, 2, 0, 6 };

	(void)state;
	make(&w, false, false, 100, 0x18);
	c.len = c.wire_len = w.len;
	/* The card was to complete it: the sum of the pseudo header stands there. */
	put16(pseudo + 10, w.len - l4(&w));
	put16(w.data + l4(&w) + 16, (uint16_t)~checksum(pseudo, 12, NULL, 0));
	cut_frames(&c, keep, &f);
	assert_int_equal(pseudo_checksum(&w, f.data, f.len), 0);
	/* One that came broken stays so; of ours none is broken. */
	put16(w.data + l4(&w) + 16, 0x1234);
	cut_frames(&c, keep, &f);
	assert_int_equal(get16(f.data + l4(&w) + 16), 0x1234);
	c.own = true;
	cut_frames(&c, keep, &f);
	assert_int_equal(pseudo_checksum(&w, f.data, f.len), 0);
	/* Padding is none of the packet; what was cut off cannot be summed up. */
	c.len = c.wire_len = w.len + 6;
	cut_frames(&c, keep, &f);
	assert_int_equal(pseudo_checksum(&w, f.data, w.len), 0);
	c.len = 80;
	c.snap = 64;
	cut_frames(&c, keep, &f);
	assert_int_equal(get16(f.data + l4(&w) + 16), 0x1234);
	assert_int_equal(f.len, 64);
	assert_int_equal(f.wire_len, w.len + 6);
}

static void of_what_was_cut_off_the_frames_have_their_heads(void **state)
{
	static struct world w;

	(void)state;
	make(&w, false, false, 5 * MSS, 0x99);
	w.truncated = true;
	assert_int_equal(cut_frames(&(struct cut){ .data = w.data, .len = 128, .wire_len = w.len, .gso_size = MSS, .snap = 128 }, look, &w), 5);
	assert_int_equal(w.payload, 5 * MSS);
}

/* A sum of zero: TCP says 0, UDP says 0xffff, because 0 would say that there is none. */
static void a_checksum_of_zero_is_told_as_the_protocol_tells_it(void **state)
{
	static struct world w;
	struct cut_frame f;

	(void)state;
	for (int udp = 0; udp < 2; udp++) {
		struct cut c = { .data = w.data, .own = true };
		unsigned at;

		make(&w, false, udp, 100, 0x18);
		at = l4(&w) + (udp ? 6 : 16);
		c.len = c.wire_len = w.len;
		put16(w.data + w.len - 2, 0);
		put16(w.data + at, 0);
		put16(w.data + w.len - 2, pseudo_checksum(&w, w.data, w.len));
		put16(w.data + at, 0x1234);
		cut_frames(&c, keep, &f);
		assert_int_equal(get16(f.data + at), udp ? 0xffff : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_ones_become_legal_frames),
		cmocka_unit_test(it_stops_when_it_is_told),
		cmocka_unit_test(one_frame_gets_its_checksum_or_keeps_its_wrong_one),
		cmocka_unit_test(a_checksum_of_zero_is_told_as_the_protocol_tells_it),
		cmocka_unit_test(of_what_was_cut_off_the_frames_have_their_heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
