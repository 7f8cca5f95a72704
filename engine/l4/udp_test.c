/* Flows of datagrams, with real sockets on the loopback address. */
#include "base/test.h"

#include "engine/persist.h"
#include "engine/world_test.h"

struct far {
	int front;                 /* the service's socket, ours to dial */
	union address at;
	int server[SERVERS];
	int listener;              /* the worker's end of `front` */
};

static int bound(union address *a)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*a);

	assert_int_equal(bind(fd, &a->sa, address_len(a)), 0);
	assert_int_equal(getsockname(fd, &a->sa, &len), 0);
	limit_waits(fd);
	return fd;
}

/* The servers hear datagrams, at ports that the kernel gives: those of their streams may be taken by somebody else. */
static struct far begin(struct world *w)
{
	struct far f;
	int fd;

	assert_int_equal(address_parse(&f.at, "127.0.0.1", 0), 0);
	fd = bound(&f.at);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	worker_post_listener(w->worker, 0, 77, fd, &f.at, 0, true);
	f.listener = fd;
	for (unsigned i = 0; i < SERVERS; i++) {
		union address a;

		assert_int_equal(address_parse(&a, "127.0.0.1", 0), 0);
		f.server[i] = bound(&a);
		backend_put(w->backend[i]);
		w->backend[i] = backend_new("pool-1", &a, 10 + i);
	}
	w->plan.idle_ms = 60000;
	configure(w);
	settle(w->worker);
	return f;
}

static void end(struct far *f)
{
	for (unsigned i = 0; i < SERVERS; i++)
		if (f->server[i] >= 0)
			close(f->server[i]);
}

static int asker(const struct far *f)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	limit_waits(fd);
	assert_int_equal(connect(fd, &f->at.sa, address_len(&f->at)), 0);
	return fd;
}

/* The server that got TEXT; whom it came from. */
static int got(const struct far *f, const char *text, union address *from)
{
	int i = first_ready(f->server, SERVERS);
	char said[64] = "";
	socklen_t len = sizeof(*from);

	assert_true(recvfrom(f->server[i], said, sizeof(said) - 1, 0, &from->sa, &len) >= 0);
	assert_string_equal(said, text);
	return i;
}

static void answer_to(const struct far *f, int server, const union address *to, const char *text)
{
	assert_int_equal(sendto(f->server[server], text, strlen(text), 0, &to->sa, address_len(to)),
			 (ssize_t)strlen(text));
}

/* The server that a client's first and only datagram went to. */
static int asks_once(const struct far *f)
{
	union address from;
	int fd = asker(f), server;

	say(fd, "once");
	server = got(f, "once", &from);
	close(fd);
	return server;
}

static void a_flow_keeps_its_server_and_its_socket(void **state)
{
	struct world *w = *state;
	struct far f = begin(w);
	int a = asker(&f), b = asker(&f), first, second;
	union address from, again, other;

	say(a, "one");
	first = got(&f, "one", &from);
	answer_to(&f, first, &from, "welcome");
	hear(a, "welcome");
	say(a, "two");
	assert_int_equal(got(&f, "two", &again), first);
	assert_true(address_equal(&from, &again));
	say(b, "three");
	second = got(&f, "three", &other);
	assert_true(second != first);
	/* An edit is nothing to them. */
	configure(w);
	settle(w->worker);
	say(a, "four");
	assert_int_equal(got(&f, "four", &again), first);
	assert_true(address_equal(&from, &again));
	counted(&service(w)->conn_open, 2);
	counted(&service(w)->udp_from_client, 4);
	counted(&service(w)->udp_to_client, 1);
	close(a);
	close(b);
	end(&f);
}

static void each_datagram_may_have_a_server_of_its_own(void **state)
{
	struct world *w = *state;
	bool seen[SERVERS] = { 0 };
	union address from;
	struct far f;
	int a;

	w->plan.per_packet = true;
	f = begin(w);
	a = asker(&f);
	for (unsigned i = 0; i < 2 * SERVERS; i++) {
		int server;

		say(a, "question");
		server = got(&f, "question", &from);
		seen[server] = true;
		answer_to(&f, server, &from, "answer");
		hear(a, "answer");
	}
	for (unsigned i = 0; i < SERVERS; i++)
		assert_true(seen[i]);
	counted(&service(w)->conn_open, SERVERS); /* a flow to each, and not one per datagram */
	close(a);
	end(&f);
}

static void a_server_that_falls_refuses_or_goes_loses_its_flows(void **state)
{
	struct world *w = *state;
	struct far f = begin(w);
	int a = asker(&f), server, next;
	union address from;

	say(a, "one");
	server = got(&f, "one", &from);
	atomic_store(&w->backend[server]->health, BACKEND_DOWN);
	say(a, "two");
	next = got(&f, "two", &from);
	assert_true(next != server);
	/* Nobody listens there: the datagram that finds out is lost, the next is not. */
	close(f.server[next]);
	f.server[next] = -1;
	say(a, "lost");
	counted(&counters_server_of(&w->counters, 0, 10 + (unsigned)next)->conn_failed, 1);
	say(a, "three");
	server = got(&f, "three", &from);
	assert_true(server != next);
	/* Removed: at once. */
	w->listed[server] = false;
	configure(w);
	settle(w->worker);
	counted(&service(w)->conn_cut_server, 1);
	counted(&service(w)->conn_open, 0);
	close(a);
	end(&f);
}

/* Nobody listens at SERVER, as a flow of another worker heard: after all that was, before all that comes. */
static void refuse(struct world *w, int server)
{
	pass_ms(w->worker, 1);
	atomic_store(&w->backend[server]->refused_ns, mono_ns());
	atomic_store(&w->state->refused_ns, mono_ns());
	pass_ms(w->worker, 1);
}

static void what_one_worker_hears_of_a_server_spares_the_clients_of_all(void **state)
{
	struct world *w = *state;
	struct far f = begin(w);
	int old = asker(&f), had;
	union address from;

	say(old, "one");
	had = got(&f, "one", &from);
	/* The server answered since: it is somebody else's trouble. */
	refuse(w, had);
	answer_to(&f, had, &from, "welcome");
	hear(old, "welcome");
	say(old, "two");
	assert_int_equal(got(&f, "two", &from), had);
	/* Nothing came since: neither this flow nor a new one meets it. */
	refuse(w, had);
	say(old, "three");
	assert_int_not_equal(got(&f, "three", &from), had);
	for (unsigned i = 0; i < 2 * SERVERS; i++)
		assert_int_not_equal(asks_once(&f), had);
	/* All of them refuse: better one of them than nobody. */
	for (int i = 0; i < SERVERS; i++)
		refuse(w, i);
	say(old, "five");
	got(&f, "five", &from);
	counted(&service(w)->udp_lost, 0);
	close(old);
	end(&f);
}

static void a_client_leaves_the_server_of_its_address_when_that_refuses(void **state)
{
	struct world *w = *state;
	struct far f;
	int had, next;

	w->pool.persist.by_address = true;
	w->pool.persist.keep_ns = 60 * NS_PER_S;
	w->state->persist = persist_new(PERSIST_MAX);
	f = begin(w);
	had = asks_once(&f);
	assert_int_equal(asks_once(&f), had);
	refuse(w, had);
	next = asks_once(&f);
	assert_int_not_equal(next, had);
	assert_int_equal(asks_once(&f), next);
	/* Unless it is to stay, whatever becomes of it. */
	refuse(w, next);
	w->pool.persist.down = HM_DOWN_CONTINUE_PERSISTENT_SERVER;
	configure(w);
	settle(w->worker);
	assert_int_equal(asks_once(&f), next);
	end(&f);
}

static void idle_flows_end_and_their_number_is_bounded_by_time(void **state)
{
	struct world *w = *state;
	struct far f = begin(w);
	union address from;
	int askers[50];

	w->plan.idle_ms = 50;
	configure(w);
	settle(w->worker);
	/* Open until all have asked: the port of one that is closed may be given to the next, whose flow is then the same. */
	for (unsigned i = 0; i < ARRAY_SIZE(askers); i++) {
		askers[i] = asker(&f);
		say(askers[i], "once");
		got(&f, "once", &from);
	}
	counted(&service(w)->conn_open, ARRAY_SIZE(askers));
	pass_ms(w->worker, 49);
	assert_int_equal(now(&service(w)->conn_open), ARRAY_SIZE(askers));
	pass_ms(w->worker, 2);
	counted(&service(w)->conn_open, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(askers); i++)
		close(askers[i]);
	end(&f);
}

static void long_and_empty_datagrams_pass(void **state)
{
	struct world *w = *state;
	struct far f = begin(w);
	static char sent[65000], back[65536];
	int a = asker(&f);
	union address from;
	socklen_t len = sizeof(from);
	int server;

	memset(sent, 'x', sizeof(sent));
	assert_int_equal(send(a, sent, sizeof(sent), 0), (ssize_t)sizeof(sent));
	server = first_ready(f.server, SERVERS);
	assert_int_equal(recvfrom(f.server[server], back, sizeof(back), 0, &from.sa, &len), sizeof(sent));
	answer_to(&f, server, &from, "");
	assert_int_equal(recv(a, back, sizeof(back), 0), 0);
	close(a);
	end(&f);
}

static void what_does_not_leave_is_lost_and_not_sent(void **state)
{
	struct world *w = *state;
	struct far f = begin(w);
	union address from;
	int c = asker(&f), s;

	say(c, "ask");
	s = got(&f, "ask", &from);
	answer_to(&f, s, &from, "answer");
	hear(c, "answer");
	counted(&service(w)->bytes_to_client, 6);
	/* It says that there is no connection to shut, and sends no more all the same. */
	assert_int_equal(shutdown(f.listener, SHUT_WR), -1);
	answer_to(&f, s, &from, "more");
	counted(&service(w)->udp_lost, 1);
	counted(&counters_server_of(&w->counters, 0, 10 + (unsigned)s)->bytes_from_server, 10);
	counted(&service(w)->udp_to_client, 1);
	counted(&service(w)->bytes_to_client, 6);
	close(c);
	end(&f);
}

static void a_listener_that_goes_takes_its_flows_with_it(void **state)
{
	struct world *w = *state;
	struct far f = begin(w);
	int a = asker(&f);
	union address from;

	say(a, "one");
	got(&f, "one", &from);
	counted(&service(w)->conn_open, 1);
	worker_post_unlisten(w->worker, 0, 77);
	settle(w->worker);
	counted(&service(w)->conn_open, 0);
	counted(&service(w)->conn_cut_listener, 1);
	close(a);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE(a_flow_keeps_its_server_and_its_socket),
		PROMISE(each_datagram_may_have_a_server_of_its_own),
		PROMISE(a_server_that_falls_refuses_or_goes_loses_its_flows),
		PROMISE(what_one_worker_hears_of_a_server_spares_the_clients_of_all),
		PROMISE(a_client_leaves_the_server_of_its_address_when_that_refuses),
		PROMISE(idle_flows_end_and_their_number_is_bounded_by_time),
		PROMISE(long_and_empty_datagrams_pass),
		PROMISE(what_does_not_leave_is_lost_and_not_sent),
		PROMISE(a_listener_that_goes_takes_its_flows_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
