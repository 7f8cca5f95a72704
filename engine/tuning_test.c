#include "base/test.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/address.h"
#include "engine/tuning.h"
#include "model/structs.h"

static int get(int fd, int option)
{
	int v = -1;
	socklen_t len = sizeof(v);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, option, &v, &len), 0);
	return v;
}

static const struct tcp_proxy_profile manual = {
	.automatic = false,
	.max_segment_size = 700,
	.max_retransmissions = 3,
	.max_syn_retransmissions = 4,
	.receive_window = 16,
	.cc_algo = CC_ALGO_NEW_RENO,
};

static void automatic_leaves_all_to_the_kernel(void **state)
{
	struct tcp_proxy_profile p = manual;
	struct tuning t = { 0 };

	(void)state;
	p.automatic = true;
	tuning_from(&t, &p);
	assert_int_equal(t.mss | t.syn_retries | t.user_timeout_ms | t.window, 0);
	assert_null(t.congestion);
	p = manual;
	p.use_interface_mtu = p.auto_window_growth = true;
	tuning_from(&t, &p);
	assert_int_equal(t.mss, 0);
	assert_int_equal(t.window, 0);
	assert_int_equal(t.syn_retries, 4);
}

static void a_socket_that_connects_is_as_the_profile_says(void **state)
{
	struct tuning t = { .nodelay = true, .keepalive_s = 77 };
	char cc[16] = "";
	socklen_t len = sizeof(cc);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	tuning_from(&t, &manual);
	tuning_dial(&t, fd, 0, false);
	assert_int_equal(get(fd, TCP_NODELAY), 1);
	assert_int_equal(get(fd, TCP_KEEPIDLE), 77);
	assert_int_equal(get(fd, TCP_SYNCNT), 4);
	assert_int_equal(get(fd, TCP_USER_TIMEOUT), 200 + 400 + 800 + 1600); /* three retransmissions, and the last wait */
	assert_int_equal(get(fd, TCP_WINDOW_CLAMP), 16 * 1024);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cc, &len), 0);
	assert_string_equal(cc, "reno");
	close(fd);
}

/* The largest segment is agreed on in the handshake: only the listener can say it. */
static unsigned segment_to(const struct tuning *t, unsigned room)
{
	int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	struct tcp_info info;
	socklen_t len = sizeof(info);
	union address a;

	assert_int_equal(address_parse(&a, "127.0.0.1", 0), 0);
	assert_int_equal(bind(server, &a.sa, address_len(&a)), 0);
	assert_int_equal(listen(server, 1), 0);
	len = sizeof(a);
	assert_int_equal(getsockname(server, &a.sa, &len), 0);
	tuning_listener(t, server, room, false);
	assert_int_equal(connect(client, &a.sa, address_len(&a)), 0);
	len = sizeof(info);
	assert_int_equal(getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	close(client);
	close(server);
	return info.tcpi_snd_mss;
}

static void the_listener_agrees_on_the_segment(void **state)
{
	struct tuning t = { 0 }, none = { 0 };

	(void)state;
	tuning_from(&t, &manual);
	assert_in_range(segment_to(&t, 0), 600, 700);
	assert_in_range(segment_to(&t, 600), 500, 560);
	assert_in_range(segment_to(&none, 1450), 1300, 1410);
	assert_in_range(segment_to(&none, 0), 1411, 65536);
}

static int segment_within(const struct tuning *t, unsigned room, bool v6)
{
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0), mss;

	tuning_dial(t, fd, room, v6);
	mss = get(fd, TCP_MAXSEG);
	close(fd);
	return mss;
}

static void an_encapsulated_copy_has_room(void **state)
{
	struct tuning none = { 0 }, small = { .mss = 600 };

	(void)state;
	assert_int_equal(segment_within(&none, 1450, false), 1410);
	assert_int_equal(segment_within(&none, 1450, true), 1390);
	assert_int_equal(segment_within(&small, 1450, true), 600);
	assert_int_equal(segment_within(&small, 600, false), 560);
	/* What the kernel would refuse, and leave the socket as it was. */
	assert_int_equal(segment_within(&none, 50, true), 88);
	assert_int_equal(segment_within(&none, 65485, false), 32767);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(automatic_leaves_all_to_the_kernel),
		cmocka_unit_test(a_socket_that_connects_is_as_the_profile_says),
		cmocka_unit_test(the_listener_agrees_on_the_segment),
		cmocka_unit_test(an_encapsulated_copy_has_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
