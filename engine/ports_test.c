#include "base/test.h"

#include <arpa/inet.h>
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

/*
 * Addresses of this process alone, with ports that no kernel gives to anybody: whatever else runs on the machine, also
 * this test again, has none of them.
 */
enum { PORT = 28711 };

static struct port_want own(unsigned n, unsigned port)
{
	char ip[INET_ADDRSTRLEN];

	snprintf(ip, sizeof(ip), "127.%u.%u.%u", 1 + (unsigned)getpid() / 256 % 255, (unsigned)getpid() % 256, n);
	return at(ip, port);
}

/* Of no interface. */
static struct port_want foreign(bool v6, unsigned port)
{
	char ip[INET6_ADDRSTRLEN];

	if (v6)
		snprintf(ip, sizeof(ip), "2001:db8::%x:%x", (unsigned)getpid() >> 16, (unsigned)getpid() & 0xffff);
	else
		snprintf(ip, sizeof(ip), "198.19.%u.%u", (unsigned)getpid() / 256 % 256, (unsigned)getpid() % 256);
	return at(ip, port);
}

static void one_socket_per_worker_and_only_what_changes_is_touched(void **state)
{
	struct world *w = *state;
	struct port_want a[] = { own(1, PORT), own(2, PORT), own(3, PORT) };

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
	struct port_want a[] = { foreign(false, PORT), foreign(true, PORT) };

	assert_int_equal(ports_set(w->ports, "vs-1", a, 2, NULL), 0);
	assert_int_equal(w->opened, 2 * WORKERS);
}

static void what_another_service_has_is_refused_by_name(void **state)
{
	struct world *w = *state;
	struct port_want a[] = { own(1, PORT), own(2, PORT) };
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
	struct port_want a[] = { own(1, PORT), own(1, PORT) };

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
	struct port_want tcp = foreign(false, 20000), udp = tcp, one = foreign(false, 20500);
	struct err e = { 0 };

	tcp.last = 21000;
	udp.last = 20009;
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
	udp.last = 20000 + PORTS_UDP_MAX;
	assert_int_equal(ports_set(w->ports, "vs-2", &udp, 1, &e), -EINVAL);
	/* Another end is another range. */
	tcp.last = 20400;
	assert_int_equal(ports_set(w->ports, "vs-1", &tcp, 1, &e), 0);
	assert_int_equal(w->steered, 1);
	assert_int_equal(ports_set(w->ports, "vs-3", &one, 1, &e), 0);
	assert_int_equal(ports_set(w->ports, "vs-1", NULL, 0, &e), 0);
	assert_int_equal(w->steered, 0);
	w->cannot_steer = true;
	assert_int_equal(ports_set(w->ports, "vs-1", &tcp, 1, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "20000-20400 (TCP)"));
	w->cannot_steer = false;
	assert_int_equal(ports_set(w->ports, "vs-1", &tcp, 1, &e), 0); /* nothing was left behind */
}

static void clients_wait_in_the_kernel(void **state)
{
	struct world *w = *state;
	struct port_want a = own(1, PORT);
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
