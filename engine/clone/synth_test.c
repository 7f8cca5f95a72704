#include "base/test.h"

#include <arpa/inet.h>
#include <time.h>

#include "base/ip.h"
#include "engine/clone/synth.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

/* A strict receiver of both directions: what a sensor sees, put together. */
struct seen {
	struct synth_out out;
	bool v6;
	unsigned frames, data_frames, largest;
	unsigned flags[4096];
	uint32_t next[2], acked[2];
	bool syn[2], fin[2], rst;
	uint8_t *said[2];
	size_t n_said[2];
	uint64_t told_frames, told_bytes, bytes;
	uint16_t mss;
};

static const uint8_t macs[12] = { 2, 1, 2, 3, 4, 5, 2, 9, 8, 7, 6, 5 };

static uint16_t sum_of(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* One finished frame of LEN bytes. */
static void receive(struct seen *s, const uint8_t *f, size_t len)
{
	size_t ip_len = s->v6 ? 40 : 20, addr = s->v6 ? 16 : 4;
	const uint8_t *ip = f + 14, *tcp = ip + ip_len, *data;
	size_t tcp_len = len - 14 - ip_len, n;
	const uint8_t *src = ip + (s->v6 ? 8 : 12);
	unsigned flags = tcp[13], from = be16(tcp) == 80;
	uint32_t pseudo = (uint32_t)tcp_len + 6;

	assert_memory_equal(f, macs, 12);
	assert_int_equal(be16(f + 12), s->v6 ? 0x86dd : 0x0800);
	if (s->v6) {
		assert_int_equal(be16(ip + 4), tcp_len);
	} else {
		assert_int_equal(be16(ip + 2), 20 + tcp_len);
		assert_int_equal(sum_of(ip, 20, 0), 0xffff);
	}
	pseudo += sum_of(src, 2 * addr, 0);
	assert_int_equal(sum_of(tcp, tcp_len, pseudo), 0xffff);
	data = tcp + (tcp[12] >> 4) * 4;
	n = tcp_len - (size_t)(data - tcp);
	assert_in_range(n, 0, s->mss);
	s->flags[s->frames++ % 4096] = flags;
	s->data_frames += n > 0;
	s->bytes += len;
	assert_false(s->rst); /* nothing after it */
	if (flags & SYN) {
		assert_false(s->syn[from]);
		assert_int_equal(be16(tcp + 20), 0x0204);
		assert_int_equal(be16(tcp + 22), s->mss);
		s->syn[from] = true;
		s->next[from] = s->acked[from] = be32(tcp + 4) + 1;
	} else {
		assert_true(s->syn[0] && s->syn[1]);
		assert_int_equal(be32(tcp + 4), s->next[from]);
		assert_true(n == 0 || !s->fin[from]);
		s->next[from] += (uint32_t)n + !!(flags & FIN);
	}
	if (flags & ACK) {
		assert_int_equal(be32(tcp + 8), s->next[!from]);
		s->acked[!from] = s->next[!from];
	}
	s->fin[from] |= !!(flags & FIN);
	s->rst |= !!(flags & RST);
	s->said[from] = xrealloc(s->said[from], s->n_said[from] + n + 1);
	if (n)
		memcpy(s->said[from] + s->n_said[from], data, n);
	s->n_said[from] += n;
	/* A real sender has no more under way than the window. */
	assert_true(s->next[from] - s->acked[from] <= 65535u << 7);
}

/* What the kernel does with a large send. */
static void cut(struct seen *s, const struct synth_frame *f, const uint8_t *data)
{
	size_t addr = s->v6 ? 16 : 4;
	uint8_t one[2048];
	unsigned k = 0;

	for (size_t at = 0; at < f->data_len; k++) {
		size_t n = MIN((size_t)f->segment, f->data_len - at), tcp_len = f->head_len - f->l4 + n;
		uint8_t *ip = one + 14, *tcp = one + f->l4;
		uint16_t check;

		memcpy(one, f->head, f->head_len);
		memcpy(one + f->head_len, data + at, n);
		if (s->v6) {
			check = htons((uint16_t)tcp_len);
			memcpy(ip + 4, &check, 2);
		} else {
			check = htons((uint16_t)(20 + tcp_len));
			memcpy(ip + 2, &check, 2);
			check = htons((uint16_t)(be16(ip + 4) + k));
			memcpy(ip + 4, &check, 2);
			memset(ip + 10, 0, 2);
			check = htons((uint16_t)~sum_of(ip, 20, 0));
			memcpy(ip + 10, &check, 2);
		}
		uint32_t seq = htonl(be32(tcp + 4) + (uint32_t)at);
		memcpy(tcp + 4, &seq, 4);
		/* What stands there is the sum of the pseudo header of the large one. */
		uint32_t whole = (uint32_t)(f->head_len - f->l4 + f->data_len) + 6 +
				 sum_of(ip + (s->v6 ? 8 : 12), 2 * addr, 0);
		assert_int_equal(be16(f->head + f->l4 + 16), sum_of(NULL, 0, whole));
		memset(tcp + 16, 0, 2);
		check = htons((uint16_t)~sum_of(tcp, tcp_len, (uint32_t)tcp_len + 6 +
							 sum_of(ip + (s->v6 ? 8 : 12), 2 * addr, 0)));
		memcpy(tcp + 16, &check, 2);
		receive(s, one, f->head_len + n);
		at += n;
	}
	assert_int_equal(k, f->frames);
}

static void on_frame(struct synth_out *o, const struct synth_frame *f)
{
	struct seen *s = CONTAINER_OF(o, struct seen, out);
	CLEANUP_FREE uint8_t *whole = xmalloc(f->head_len + f->data_len);
	size_t at = f->head_len;

	assert_in_range(f->head_len, 54, SYNTH_HEAD_MAX);
	memcpy(whole, f->head, f->head_len);
	for (int i = 0; i < f->n_data; i++) {
		memcpy(whole + at, f->data[i].iov_base, f->data[i].iov_len);
		at += f->data[i].iov_len;
	}
	assert_int_equal(at, f->head_len + f->data_len);
	s->largest = MAX(s->largest, (unsigned)f->data_len);
	s->told_frames += f->frames;
	s->told_bytes += f->bytes;
	if (f->segment)
		cut(s, f, whole + f->head_len);
	else
		receive(s, whole, at);
	assert_int_equal(s->told_frames, s->frames);
	assert_int_equal(s->told_bytes, s->bytes);
}

static struct synth begin(struct seen *s, bool v6, unsigned mss, size_t burst)
{
	struct synth_end client = { .port = 40000 }, server = { .port = 80 };
	struct in6_addr a;
	struct synth y;

	*s = (struct seen){ .out = { on_frame, burst }, .v6 = v6, .mss = (uint16_t)mss };
	assert_int_equal(ip_parse(v6 ? "2001:db8::7" : "203.0.113.7", &a), 0);
	memcpy(client.addr, &a, 16);
	assert_int_equal(ip_parse(v6 ? "fd00::9" : "10.0.0.9", &a), 0);
	memcpy(server.addr, &a, 16);
	synth_init(&y, &client, &server, mss, macs);
	return y;
}

static void finish(struct seen *s)
{
	free(s->said[0]);
	free(s->said[1]);
}

static void say(struct synth *y, struct seen *s, enum synth_side side, const char *text)
{
	struct iovec iov = { (char *)text, strlen(text) };

	synth_data(y, side, &iov, 1, &s->out);
}

static void a_conversation_is_whole_and_acknowledged(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct seen s;
		struct synth y = begin(&s, v6, 1460, 0);

		synth_open(&y, &s.out);
		assert_int_equal(s.frames, 3);
		assert_int_equal(s.flags[0], SYN);
		assert_int_equal(s.flags[1], SYN | ACK);
		assert_int_equal(s.flags[2], ACK);
		say(&y, &s, SYNTH_CLIENT, "GET / HTTP/1.1\r\n\r\n");
		assert_int_equal(s.flags[3], PSH | ACK);
		assert_true(synth_owes(&y));
		say(&y, &s, SYNTH_SERVER, "HTTP/1.1 204 No Content\r\n\r\n"); /* acknowledges as well */
		assert_int_equal(s.frames, 5);
		assert_true(synth_owes(&y));
		synth_ack(&y, &s.out);
		assert_int_equal(s.flags[5], ACK);
		assert_false(synth_owes(&y));
		synth_ack(&y, &s.out); /* nothing is owed: nothing is said twice */
		assert_int_equal(s.frames, 6);
		synth_end(&y, SYNTH_SERVER, &s.out);
		synth_end(&y, SYNTH_SERVER, &s.out);
		assert_false(y.over);
		say(&y, &s, SYNTH_CLIENT, "half closed"); /* legal */
		say(&y, &s, SYNTH_SERVER, "not any more");
		synth_end(&y, SYNTH_CLIENT, &s.out);
		assert_true(y.over && s.fin[0] && s.fin[1]);
		assert_memory_equal(s.acked, s.next, sizeof(s.acked));
		assert_int_equal(s.n_said[0], strlen("GET / HTTP/1.1\r\n\r\nhalf closed"));
		assert_int_equal(s.n_said[1], strlen("HTTP/1.1 204 No Content\r\n\r\n"));
		synth_reset(&y, SYNTH_CLIENT, &s.out);
		assert_false(s.rst);
		finish(&s);
	}
}

/* Sizes around the edges of segments, in slices of odd lengths, cut here and elsewhere. */
static void data_is_cut_at_the_segment_size(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 63, 99, 100, 101, 199, 200, 201, 300, 1000, 65536, 200001 };
	static const size_t bursts[] = { 0, 50, 100, 150, 60000 };
	static uint8_t data[200001];

	(void)state;
	srand((unsigned)time(NULL));
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)rand();
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (size_t k = 0; k < ARRAY_SIZE(bursts) * 2; k++) {
			struct iovec iov[200];
			struct seen s;
			struct synth y = begin(&s, k % 2, 100, bursts[k / 2]);
			size_t at = 0;
			int n = 0;

			while (at < sizes[i]) {
				size_t some = (size_t)rand() % 700, left = sizes[i] - at;
				size_t here = n == 199 ? left : MIN(some, left);

				iov[n++] = (struct iovec){ data + at, here };
				at += here;
			}
			synth_data(&y, SYNTH_SERVER, iov, n, &s.out);
			synth_ack(&y, &s.out);
			assert_int_equal(s.frames >= 3, 1);
			assert_int_equal(s.n_said[1], sizes[i]);
			assert_memory_equal(s.said[1], data, sizes[i]);
			assert_int_equal(s.acked[1], s.next[1]);
			assert_in_range(s.largest, 0, MAX(bursts[k / 2], (size_t)100));
			if (bursts[k / 2] == 0 && sizes[i] == 1000)
				assert_int_equal(s.frames, 3 + 10 + 5); /* each second one is acknowledged at once */
			finish(&s);
		}
}

static void a_reset_is_the_last_word(void **state)
{
	struct seen s;
	struct synth y = begin(&s, false, 1460, 0);

	(void)state;
	say(&y, &s, SYNTH_CLIENT, "GET");
	synth_reset(&y, SYNTH_SERVER, &s.out);
	assert_true(s.rst);
	say(&y, &s, SYNTH_CLIENT, "more");
	synth_ack(&y, &s.out);
	synth_end(&y, SYNTH_CLIENT, &s.out);
	synth_reset(&y, SYNTH_CLIENT, &s.out);
	assert_int_equal(s.frames, 5);
	finish(&s);
}

static void sequence_numbers_pass_zero(void **state)
{
	struct seen s;
	struct synth y = begin(&s, true, 1440, 64000);
	static char data[100000];
	struct iovec iov = { data, sizeof(data) };

	(void)state;
	y.next[SYNTH_CLIENT] = UINT32_MAX - 50000;
	synth_data(&y, SYNTH_CLIENT, &iov, 1, &s.out);
	synth_end(&y, SYNTH_CLIENT, &s.out);
	assert_int_equal(s.n_said[0], sizeof(data));
	finish(&s);
}

static void isns_are_not_guessed(void **state)
{
	struct seen s;
	struct synth a = begin(&s, false, 1460, 0), b = begin(&s, false, 1460, 0);

	(void)state;
	assert_memory_not_equal(a.next, b.next, sizeof(a.next));
	assert_true(a.next[0] != a.next[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_conversation_is_whole_and_acknowledged),
		cmocka_unit_test(data_is_cut_at_the_segment_size),
		cmocka_unit_test(a_reset_is_the_last_word),
		cmocka_unit_test(sequence_numbers_pass_zero),
		cmocka_unit_test(isns_are_not_guessed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
