/* A packet from the wire, cut into frames and shown to filters: the first bytes say how it was kept. */
#include "base/base.h"

#include "base/ipset.h"
#include "base/json.h"
#include "engine/capture/cut.h"
#include "engine/capture/sieve.h"
#include "model/structs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct seen {
	struct sieve *sieve;
	uint64_t bytes;
};

static bool look(void *arg, const struct cut_frame *f)
{
	struct seen *s = arg;
	volatile uint8_t x = 0;

	must(f->len <= f->wire_len);
	for (uint32_t i = 0; i < f->len; i++)
		x ^= f->data[i];
	(void)x;
	sieve_passes(s->sieve, &(struct sieve_packet){ .data = f->data, .len = f->len, .wire_len = f->wire_len });
	s->bytes += f->wire_len;
	return true;
}

static struct sieve *sieve_all(void)
{
	static const char want[] =
		"{\"debug_ip\": {\"addrs\": [{\"addr\": \"10.0.0.1\", \"type\": \"V4\"}]}, \"capture_filters\": {\"tcp_syn\": true},"
		"\"capture_pkt_filter\": {\"capture_tcp_filters\": [{\"dst_port_range\": {\"dst_port_start\": 1, \"dst_port_end\": 65535}}]},"
		"\"capture_expression\": \"tcp[tcpflags] & tcp-syn != 0 or udp[20:4] = 7 or ip6\"}";
	static struct sieve *s;
	CLEANUP_JSON json_t *v = s ? NULL : json_loads(want, 0, NULL);
	struct arena arena = ARENA_INIT;
	struct ipset none = { 0 };

	if (!s)
		must(sieve_new(model_load(&capture_message, v, &arena), &none, &s, NULL) == 0);
	arena_fini(&arena);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct seen s = { .sieve = sieve_all() };
	struct cut c;

	if (len < 6 || len > 70000)
		return 0;
	c = (struct cut){ .gso_size = (uint32_t)(data[0] << 8 | data[1]), .snap = data[2], .own = data[3] & 1,
			  .len = (uint32_t)len - 6, .wire_len = (uint32_t)len - 6 + (data[4] << 8 | data[5]), .data = data + 6 };
	cut_frames(&c, look, &s);
	must(s.bytes >= c.len || !c.len);
	return 0;
}
