/*
 * A clone target changes while copies leave: each copy goes by what was written before or by what was written after, and
 * the books say what came at the far ends.
 */
#include "engine/bpf/frames_test.h"

#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

#include "engine/clone/cutter.h"
#include "engine/clone/offload.h"
#include "engine/reach/rtnl.h"

enum { BURST = 50, SENSORS = 2, RIGHT = 0, ALL = 1 };
#define TEST_NS (NS_PER_S / 2)

static int exits[SENSORS], via_cutter;
static int ends[SENSORS][2];     /* sockets at the far end of each: what came as it is to come there, and all that came */

static struct target to(int sensor, bool cut)
{
	struct target t = target;

	t.dst_mac[5] = (uint8_t)(0x10 + sensor);
	t.src_mac[5] = (uint8_t)(0x20 + sensor);
	t.out = (uint32_t)exits[sensor];
	t.via = cut ? (uint32_t)via_cutter : t.out;
	t.flags |= cut ? TARGET_CUT : 0;
	return t;
}

/* ---- the far ends ---- */

/* A pair of interfaces; the first one's number. */
static int pair(struct rtnl *r, const char *number, struct cutter *c)
{
	snprintf(c->bridge, sizeof(c->bridge), "b%s", number);
	snprintf(c->port, sizeof(c->port), "n%s", number);
	snprintf(c->far_end, sizeof(c->far_end), "f%s", number);
	assert_int_equal(cutter_add(r, c), 0);
	return (int)if_nametoindex(c->port);
}

static uint32_t word(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A socket that counts what comes in by DEVICE and is like F in its first N of these words; it need not be read. */
static int counting(const char *device, const struct frame *f, size_t n)
{
	static const uint32_t words[] = { 26, 30, 0, 4, 8 };
	struct sock_filter code[2 * ARRAY_SIZE(words) + 2];
	struct sock_fprog filter = { .filter = code };
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = (int)if_nametoindex(device) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	for (size_t i = 0; i < n; i++) {
		uint8_t past = (uint8_t)(2 * (n - i) - 1);

		code[filter.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, words[i]);
		code[filter.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, word(f->b + words[i]), 0, past);
	}
	code[filter.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 64);
	code[filter.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* Since the last time. */
static uint64_t came(int which)
{
	uint64_t sum = 0;

	for (int i = 0; i < SENSORS; i++) {
		struct tpacket_stats s;
		socklen_t size = sizeof(s);

		assert_int_equal(getsockopt(ends[i][which], SOL_PACKET, PACKET_STATISTICS, &s, &size), 0);
		sum += s.tp_packets;
	}
	return sum;
}

/* ---- the test ---- */

static atomic_bool over;

/* Directly, by the cutter, elsewhere, nowhere. */
static void *change(void *arg)
{
	const struct target gone = { .flags = TARGET_ENDED, .generation = target.generation };
	const struct target ways[] = { to(0, false), gone, to(1, false), to(0, true), to(0, false), to(1, true), gone };
	const struct timespec moment = { .tv_nsec = 1 };

	(void)arg;
	for (size_t i = 0; !atomic_load(&over); i++) {
		datapath_target_set(dp, SLOT, &ways[i % ARRAY_SIZE(ways)]);
		if (i % 64 == 0)
			nanosleep(&moment, NULL); /* where there is one processor, copies leave as well */
	}
	return NULL;
}

static void each_copy_goes_by_one_word(void **state)
{
	(void)state;
	struct frame f = transport(IPPROTO_TCP, "10.0.0.1", 1234, "10.0.0.9", 80, 0x18, 40);
	struct flow_key k = key_of(IPPROTO_TCP, "10.0.0.1", 1234, "10.0.0.9", 80);
	struct __sk_buff ctx = { .ifindex = LO };
	const struct timespec moment = { .tv_nsec = 5 * (long)NS_PER_MS };
	struct target_counters books;
	uint64_t right = 0, all = 0, end = mono_ns() + TEST_NS;
	pthread_t changer;

	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = f.b, .data_size_in = f.len, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx),
		    .repeat = BURST);
	set_target(&(struct target){ .flags = TARGET_ENDED, .generation = target.generation });
	put_flow(k, FLOW_CLONE, "203.0.113.7");
	assert_int_equal(pthread_create(&changer, NULL, change, NULL), 0);
	while (mono_ns() < end || !book(SLOT).sent)
		assert_int_equal(bpf_prog_test_run_opts(datapath_program_fd(dp, DATAPATH_EGRESS), &o), 0);
	atomic_store(&over, true);
	pthread_join(changer, NULL);
	drop_flow(k);

	books = book(SLOT);
	for (int waits = 0; waits < 2000 && all < books.sent; waits++) {
		right += came(RIGHT);
		all += came(ALL);
		nanosleep(&moment, NULL);
	}
	right += came(RIGHT);
	all += came(ALL);
	assert_int_equal(all, books.sent);
	assert_int_equal(right, all);
	assert_int_equal(books.eligible, books.sent + books.dropped_ended + books.dropped_queue_full);
}

static int world(void **state)
{
	struct rtnl r = { 0 };
	struct err e = { 0 };
	struct cutter c;

	if (unshare(CLONE_NEWNET)) {
		print_message("skipped: no network namespace: %s\n", strerror(errno));
		exit(77);
	}
	load(state);
	assert_int_equal(rtnl_open(&r), 0);
	for (int i = 0; i < SENSORS; i++) {
		struct frame f = transport(IPPROTO_TCP, "10.0.0.1", 1234, "10.0.0.9", 80, 0x18, 40);
		struct target t = to(i, false);

		exits[i] = pair(&r, i ? "2" : "1", &c);
		assert_int_equal(datapath_attach(dp, exits[i], &e), 0);
		memcpy(f.b, t.dst_mac, 6);
		memcpy(f.b + 6, t.src_mac, 6);
		ends[i][RIGHT] = counting(c.far_end, &f, 5);
		ends[i][ALL] = counting(c.far_end, &f, 2);
	}
	assert_int_equal(datapath_attach_cutter(dp, pair(&r, "3", &c), &e), 0);
	assert_int_equal(offload_set(c.bridge, false, NULL), 0);
	via_cutter = (int)if_nametoindex(c.bridge);
	rtnl_close(&r);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_copy_goes_by_one_word),
	};

	return cmocka_run_group_tests(tests, world, unload);
}
