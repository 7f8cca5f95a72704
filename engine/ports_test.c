#include "base/test.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/ports.h"

#define WORKERS 2

struct world {
	struct ports_user user;
	struct ports *ports;
	int opened, closed, steered;
	bool cannot_steer;
};

static void on_opened(struct ports_user *u, const struct port *p)
{
	struct world *w = CONTAINER_OF(u, struct world, user);
	int listening = 0;
	socklen_t len = sizeof(listening);

	assert_int_equal(getsockopt(p->fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len), 0);
	assert_int_equal(listening, !p->udp);
	w->opened++;
}

static void on_closed(struct ports_user *u, const struct port *p)
{
	assert_true(p->fd >= 0);
	CONTAINER_OF(u, struct world, user)->closed++;
}

static int on_steer(struct ports_user *u, const struct port *p)
{
	struct world *w = CONTAINER_OF(u, struct world, user);

	assert_true(p->last > address_port(&p->address) && p->fd >= 0 && !p->udp);
	if (w->cannot_steer)
		return -ENOTSUP;
	w->steered++;
	return 7;
}

static void on_unsteer(struct ports_user *u, const struct port *p, int number)
{
	assert_true(number == 7 && p->fd >= 0);
	CONTAINER_OF(u, struct world, user)->steered--;
}

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->user = (struct ports_user){ on_opened, on_closed, on_steer, on_unsteer };
	w->ports = ports_new(WORKERS, &w->user);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	ports_free(w->ports);
	free(w);
	return 0;
}

static struct port_want at(const char *ip, unsigned port)
{
	struct port_want w = { .udp = false };

	assert_int_equal(address_parse(&w.address, ip, port), 0);
	return w;
}

/* A port of the loopback address that is nobody's now. */
static unsigned free_port(void)
{
	union address a = at("127.0.0.1", 0).address;
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, &a.sa, address_len(&a)), 0);
	assert_int_equal(getsockname(fd, &a.sa, &len), 0);
	close(fd);
	return address_port(&a);
}

static void one_socket_per_worker_and_only_what_changes_is_touched(void **state)
{
	struct world *w = *state;
	unsigned port = free_port();
	struct port_want a[] = { at("127.0.0.1", port), at("127.0.0.2", port), at("127.0.0.3", port) };

	assert_int_equal(ports_set(w->ports, "vs-1", a, 2, NULL), 0);
	assert_int_equal(w->opened, 2 * WORKERS);
	assert_int_equal(ports_set(w->ports, "vs-1", a + 1, 2, NULL), 0);
	assert_int_equal(w->opened, 3 * WORKERS);
	assert_int_equal(w->closed, WORKERS);
	assert_int_equal(ports_set(w->ports, "vs-1", NULL, 0, NULL), 0);
	assert_int_equal(w->closed, 3 * WORKERS);
}

static void address_that_is_not_there_yet_can_be_had(void **state)
{
	struct world *w = *state;
	struct port_want a[] = { at("192.0.2.77", 80), at("2001:db8::77", 80) };

	assert_int_equal(ports_set(w->ports, "vs-1", a, 2, NULL), 0);
	assert_int_equal(w->opened, 2 * WORKERS);
}

static void what_another_service_has_is_refused_by_name(void **state)
{
	struct world *w = *state;
	unsigned port = free_port();
	struct port_want a[] = { at("127.0.0.1", port), at("127.0.0.2", port) };
	struct err e = { 0 };

	assert_int_equal(ports_set(w->ports, "vs-1", a, 1, NULL), 0);
	assert_int_equal(ports_set(w->ports, "vs-2", a, 2, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, "vs-1"));
	assert_int_equal(w->opened, 2 * WORKERS); /* the other address is served all the same */
	assert_int_equal(ports_set(w->ports, "vs-1", NULL, 0, NULL), 0);
	assert_int_equal(ports_set(w->ports, "vs-2", a, 2, &e), 0);
}

static void tcp_and_udp_share_a_port(void **state)
{
	struct world *w = *state;
	unsigned port = free_port();
	struct port_want a[] = { at("127.0.0.1", port), at("127.0.0.1", port) };

	a[1].udp = true;
	assert_int_equal(ports_set(w->ports, "vs-1", a, 2, NULL), 0);
	assert_int_equal(w->opened, 2 * WORKERS);
	assert_int_equal(ports_set(w->ports, "vs-1", a + 1, 1, NULL), 0);
	assert_int_equal(w->closed, WORKERS);
	assert_int_equal(ports_set(w->ports, "vs-2", a, 1, NULL), 0); /* not the same port */
}

static void a_range_of_tcp_is_one_socket_per_worker_and_of_udp_one_per_port(void **state)
{
	struct world *w = *state;
	struct port_want tcp = at("192.0.2.78", 40000), udp = at("192.0.2.78", 40000), one = at("192.0.2.78", 40500);
	struct err e = { 0 };

	tcp.last = 41000;
	udp.last = 40009;
	udp.udp = true;
	assert_int_equal(ports_set(w->ports, "vs-1", &tcp, 1, &e), 0);
	assert_int_equal(w->opened, WORKERS);
	assert_int_equal(w->steered, 1);
	assert_int_equal(ports_set(w->ports, "vs-2", &udp, 1, &e), 0);
	assert_int_equal(w->opened, WORKERS + 10);
	assert_int_equal(w->steered, 1);
	/* Somewhere in the middle. */
	assert_int_equal(ports_set(w->ports, "vs-3", &one, 1, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, "vs-1"));
	udp.last = 40000 + PORTS_UDP_MAX;
	assert_int_equal(ports_set(w->ports, "vs-2", &udp, 1, &e), -EINVAL);
	/* Another end is another range. */
	tcp.last = 40400;
	assert_int_equal(ports_set(w->ports, "vs-1", &tcp, 1, &e), 0);
	assert_int_equal(w->steered, 1);
	assert_int_equal(ports_set(w->ports, "vs-3", &one, 1, &e), 0);
	assert_int_equal(ports_set(w->ports, "vs-1", NULL, 0, &e), 0);
	assert_int_equal(w->steered, 0);
	w->cannot_steer = true;
	assert_int_equal(ports_set(w->ports, "vs-1", &tcp, 1, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "40000-40400 (TCP)"));
	w->cannot_steer = false;
	assert_int_equal(ports_set(w->ports, "vs-1", &tcp, 1, &e), 0); /* nothing was left behind */
}

static void clients_wait_in_the_kernel(void **state)
{
	struct world *w = *state;
	struct port_want a = at("127.0.0.1", free_port());
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(ports_set(w->ports, "vs-1", &a, 1, NULL), 0);
	assert_int_equal(connect(fd, &a.address.sa, address_len(&a.address)), 0); /* nobody accepts, and nobody is refused */
	close(fd);
}

#define PROMISE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE(one_socket_per_worker_and_only_what_changes_is_touched),
		PROMISE(address_that_is_not_there_yet_can_be_had),
		PROMISE(what_another_service_has_is_refused_by_name),
		PROMISE(tcp_and_udp_share_a_port),
		PROMISE(a_range_of_tcp_is_one_socket_per_worker_and_of_udp_one_per_port),
		PROMISE(clients_wait_in_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
