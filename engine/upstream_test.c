/*
 * What is promised of connections to servers between two exchanges. The protocol here is the smallest that has
 * exchanges: a byte from the client goes to a server, a byte comes back, and the connection is given back.
 */
#include "base/test.h"

#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "engine/lack.h"
#include "engine/persist.h"
#include "engine/upstream.h"
#include "engine/world_test.h"

struct session {
	struct upstream upstream;
	char byte;
};

static void over(struct conn *client)
{
	struct session *s = client->session;

	upstream_cancel(&s->upstream, false);
	conn_close(client);
	free(s);
}

static void ask(struct session *s)
{
	struct iovec iov = { &s->byte, 1 };

	must(conn_send(s->upstream.server, &iov, 1, false) == 1);
}

static void connected(struct upstream *u, int rc)
{
	if (rc == 0)
		ask(u->session);
	else
		over(u->client);
}

static void client_ready(struct conn *c)
{
	struct session *s = c->session;
	struct upstream_ask how;

	if (conn_recv(c, &s->byte, 1) <= 0) {
		over(c);
		return;
	}
	how = upstream_ask_of(&c->peer, c->service, c->listener->snapshot);
	switch (upstream_open(&s->upstream, c->service->snapshot, &how)) {
	case UPSTREAM_READY:
		ask(s);
		break;
	case UPSTREAM_WAIT:
		break;
	default:
		over(c);
	}
}

static void server_ready(struct conn *c)
{
	struct session *s = c->session;
	struct conn *client = s->upstream.client;
	struct iovec iov = { &s->byte, 1 };

	if (conn_recv(c, &s->byte, 1) <= 0) {
		/* Nothing was answered: it may be asked again elsewhere. */
		switch (upstream_again(&s->upstream)) {
		case UPSTREAM_READY:
			ask(s);
			break;
		case UPSTREAM_WAIT:
			break;
		default:
			over(client);
		}
		return;
	}
	upstream_done(&s->upstream, true);
	must(conn_send(client, &iov, 1, false) == 1);
}

static void ready(struct conn *c, uint32_t events)
{
	(void)events;
	if (c->side == CONN_CLIENT)
		client_ready(c);
	else
		server_ready(c);
}


static void expired(struct conn *c)
{
	(void)c;
	must(!"nobody set a deadline");
}

static void cut(struct conn *client, enum conn_cut why)
{
	(void)why;
	over(client);
}

static void server_cut(struct upstream *u)
{
	over(u->client);
}

static void accepted(struct conn *client);

static const struct proto_ops byte_proto = { "byte", accepted, ready, expired, cut };
static const struct upstream_user user = { &byte_proto, connected, server_cut };

static void accepted(struct conn *client)
{
	struct session *s = client->session = xcalloc(1, sizeof(*s));

	upstream_init(&s->upstream, &user, s, client);
}

/* One server, so that every exchange goes to it. */
static int setup(void **state)
{
	int rc = world_setup(state);
	struct world *w = *state;

	w->proto = &byte_proto;
	w->listed[1] = w->listed[2] = false;
	return rc;
}

static struct server_counters *server(struct world *w)
{
	return counters_server_of(&w->counters, 0, 10);
}

/* An exchange on client C, answered on server connection S (-1: a new one is accepted). Returns the connection. */
static int exchange(struct world *w, int c, int s)
{
	say(c, "?");
	if (s < 0)
		s = answer(w, 0);
	hear(s, "?");
	say(s, "!");
	hear(c, "!");
	return s;
}

/* From one that waited for S: those that wait are served at the worker's next millisecond. */
static void hear_next(struct world *w, int s, const char *text)
{
	pass_until(w->worker, s, NULL);
	hear(s, text);
}

static void connection_serves_one_client_after_another(void **state)
{
	struct world *w = *state;
	int a, b, s;

	configure(w);
	a = dial(w, 0);
	b = dial(w, 0);
	s = exchange(w, a, -1);
	exchange(w, b, s);
	exchange(w, a, s);
	counted(&server(w)->conn_total, 1);
	counted(&server(w)->conn_reused, 2);
	close(a);
	exchange(w, b, s); /* it outlives who opened it */
	close(b);
	close(s);
}

static void edit_that_does_not_concern_it_leaves_it_at_rest(void **state)
{
	struct world *w = *state;
	int c, s;

	configure(w);
	c = dial(w, 0);
	s = exchange(w, c, -1);
	w->listed[1] = true;
	w->enabled[1] = false;
	configure(w);
	exchange(w, c, s);
	close(c);
	close(s);
}

static void stale_connection_is_replaced_unnoticed(void **state)
{
	struct world *w = *state;
	int c, s, fresh;

	configure(w);
	c = dial(w, 0);
	s = exchange(w, c, -1);
	say(c, "?");
	hear(s, "?");
	close(s); /* in the middle: nothing was answered */
	fresh = answer(w, 0);
	hear(fresh, "?");
	say(fresh, "!");
	hear(c, "!");
	close(c);
	close(fresh);
}

static void change_of_the_clone_profile_ends_connections_at_rest(void **state)
{
	struct world *w = *state;
	int c, s[4];

	configure(w);
	c = dial(w, 0);
	s[0] = exchange(w, c, -1);
	w->plan.clone = (struct snapshot_clone){ .on = true, .first = 1, .n = 1, .generation = 1 };
	configure(w);
	hear_end(s[0]);
	s[1] = exchange(w, c, -1);
	exchange(w, c, s[1]);
	w->plan.clone.generation = 2;
	configure(w);
	hear_end(s[1]);
	s[2] = exchange(w, c, -1);
	/* Busy during the change: it ends as it began, and serves nobody afterwards. */
	say(c, "?");
	hear(s[2], "?");
	w->plan.clone.on = false;
	configure(w);
	settle(w->worker);
	say(s[2], "!");
	hear(c, "!");
	hear_end(s[2]);
	s[3] = exchange(w, c, -1);
	close(c);
	for (int i = 0; i < 4; i++)
		close(s[i]);
}

/* The address at the other end of S. */
static void sees(int s, const char *ip)
{
	union address a;
	socklen_t len = sizeof(a);
	char text[ADDRESS_TEXT];

	assert_int_equal(getpeername(s, &a.sa, &len), 0);
	address_ip(&a, text);
	assert_string_equal(text, ip);
}

static void change_of_the_source_ends_connections_at_rest(void **state)
{
	struct vip_sources at[1] = { 0 };
	struct world *w = *state;
	int c, s[4];

	address_parse(&at[0].vip, "127.0.0.1", 0);
	address_parse(&at[0].to[0].address, "127.0.0.7", 0);
	at[0].to[0].number = 1;
	configure(w);
	c = dial(w, 0);
	s[0] = exchange(w, c, -1);
	sees(s[0], "127.0.0.1");
	w->plan.sources = (struct sources){ at, 1 };
	configure(w);
	hear_end(s[0]);
	s[1] = exchange(w, c, -1);
	sees(s[1], "127.0.0.7");
	exchange(w, c, s[1]);
	/* Busy during the change: it ends as it began, and serves nobody afterwards. */
	say(c, "?");
	hear(s[1], "?");
	settle(w->worker);
	struct vip_sources other[1] = { at[0] };

	address_parse(&other[0].to[0].address, "127.0.0.8", 0);
	other[0].to[0].number = 2;
	w->plan.sources.at = other;
	configure(w);
	settle(w->worker);
	say(s[1], "!");
	hear(c, "!");
	hear_end(s[1]);
	s[2] = exchange(w, c, -1);
	sees(s[2], "127.0.0.8");
	/* One that the machine does not have: nobody is reached, and it is no fault of the server's. */
	struct vip_sources gone[1] = { at[0] }, only_v6[1] = { { .vip = at[0].vip, .to = { [1] = at[0].to[0] } } };

	address_parse(&gone[0].to[0].address, "192.0.2.1", 0);
	gone[0].to[0].number = 3;
	w->plan.sources.at = gone;
	configure(w);
	hear_end(s[2]);
	say(c, "?");
	hear_end(c);
	counted(&counters_service_of(&w->counters, 0, 1)->server_no_source, 1);
	counted(&server(w)->conn_failed, 0);
	/* Of servers with IPv6 nothing is said. */
	w->plan.sources.at = only_v6;
	configure(w);
	settle(w->worker);
	close(c);
	c = dial(w, 0);
	s[3] = exchange(w, c, -1);
	sees(s[3], "127.0.0.1");
	close(c);
	for (int i = 0; i < 4; i++)
		close(s[i]);
}

static void preserved_client_has_connections_of_his_own(void **state)
{
	struct world *w = *state;
	int a, b, sa, sb;

	w->plan.clone = (struct snapshot_clone){ .on = true, .n = 1, .first = 1, .generation = 1,
						 .preserve_client_ip = true, .one_client = true };
	configure(w);
	a = dial(w, 0);
	b = dial(w, 0);
	sa = exchange(w, a, -1);
	sb = exchange(w, b, -1);
	exchange(w, a, sa);
	exchange(w, b, sb);
	counted(&server(w)->conn_total, 2);
	close(a);
	hear_end(sa); /* it goes with him */
	exchange(w, b, sb);
	close(b);
	close(sa);
	close(sb);
}

static void without_multiplexing_nobody_shares(void **state)
{
	struct world *w = *state;
	int a, b, sa, sb;

	w->plan.multiplex = false;
	configure(w);
	a = dial(w, 0);
	b = dial(w, 0);
	sa = exchange(w, a, -1);
	sb = exchange(w, b, -1);
	exchange(w, a, sa);
	close(a);
	hear_end(sa);
	exchange(w, b, sb);
	close(b);
	close(sa);
	close(sb);
}

static void limits_of_the_profile_are_kept(void **state)
{
	struct world *w = *state;
	int c, s;

	w->pool.keep.max_reuse = 2;
	configure(w);
	c = dial(w, 0);
	s = exchange(w, c, -1);
	exchange(w, c, s);
	exchange(w, c, s);
	hear_end(s); /* used, and used again twice */
	close(s);
	w->pool.keep.max_reuse = 0;
	w->pool.keep.idle_ms = 50;
	configure(w);
	s = exchange(w, c, -1);
	pass_ms(w->worker, 49);
	assert_false(can(s, POLLIN));
	pass_ms(w->worker, 2);
	hear_end(s);
	close(s);
	w->pool.keep.idle_ms = 0;
	w->pool.keep.life_ms = 50;
	configure(w);
	s = exchange(w, c, -1);
	pass_ms(w->worker, 49);
	assert_false(can(s, POLLIN));
	pass_ms(w->worker, 2);
	hear_end(s);
	close(s);
	close(c);
}

static void only_so_many_rest(void **state)
{
	struct world *w = *state;
	int c[3], s[3], left = 0;

	w->pool.keep.max_idle = 1;
	configure(w);
	for (int i = 0; i < 3; i++) {
		c[i] = dial(w, 0);
		say(c[i], "?");
		s[i] = answer(w, 0);
		hear(s[i], "?");
	}
	for (int i = 0; i < 3; i++) {
		say(s[i], "!");
		hear(c[i], "!");
	}
	counted(&server(w)->conn_open, 1);
	for (int i = 0; i < 3; i++) {
		char byte;

		left += recv(s[i], &byte, 1, MSG_DONTWAIT) < 0;
		close(c[i]);
		close(s[i]);
	}
	assert_int_equal(left, 1);
}

static void disabled_server_keeps_none_at_rest(void **state)
{
	struct world *w = *state;
	int c, s;

	configure(w);
	c = dial(w, 0);
	s = exchange(w, c, -1);
	w->enabled[0] = false;
	configure(w);
	hear_end(s);
	close(s);
	close(c);
}

static void load_counts_who_is_served_and_not_who_rests(void **state)
{
	struct world *w = *state;
	int c, s;

	configure(w);
	c = dial(w, 0);
	s = exchange(w, c, -1);
	settle(w->worker);
	assert_int_equal(atomic_load(&w->backend[0]->load), 0);
	say(c, "?");
	hear(s, "?");
	assert_int_equal(atomic_load(&w->backend[0]->load), 1);
	close(c);
	close(s);
}

static void one_that_waits_gets_the_place_that_is_given_back(void **state)
{
	struct world *w = *state;
	int a, b, c, s;

	w->pool.rules.max_load = 1;
	w->pool.queue_max = 1;
	configure(w);
	a = dial(w, 0);
	b = dial(w, 0);
	c = dial(w, 0);
	say(a, "?");
	s = answer(w, 0);
	hear(s, "?");
	say(b, "?");
	counted(&service(w)->queue_total, 1);
	say(c, "?");
	hear_end(c); /* the queue is full */
	counted(&service(w)->queue_full, 1);
	say(s, "!");
	hear(a, "!");
	hear_next(w, s, "?"); /* B's, on the same connection */
	say(s, "!");
	hear(b, "!");
	assert_int_equal(atomic_load(&w->state->queued), 0);
	/* Another worker gives the place back: nobody tells. */
	assert_true(backend_take(w->backend[0], 1));
	say(a, "?");
	counted(&service(w)->queue_total, 2);
	backend_release(w->backend[0]);
	hear_next(w, s, "?");
	say(s, "!");
	hear(a, "!");
	close(a);
	close(b);
	close(c);
	close(s);
}

static void those_that_wait_are_served_in_turn(void **state)
{
	struct world *w = *state;
	static const char *const words[] = { "0", "1", "2", "3" };
	int c[4], s = -1;

	w->pool.rules.max_load = 1;
	w->pool.queue_max = 3;
	configure(w);
	for (unsigned i = 0; i < 4; i++) {
		c[i] = dial(w, 0);
		say(c[i], words[i]);
		counted(&service(w)->queue_total, i);
		if (i == 0)
			hear(s = answer(w, 0), words[0]);
	}
	for (unsigned i = 0; i < 4; i++) {
		say(s, "!");
		hear(c[i], "!");
		if (i < 3)
			hear_next(w, s, words[i + 1]); /* on the same connection */
		close(c[i]);
	}
	close(s);
}

static void one_that_waits_may_leave_or_lose_its_pool(void **state)
{
	struct world *w = *state;
	int a, b, s;

	w->pool.rules.max_load = 1;
	w->pool.queue_max = 2;
	configure(w);
	a = dial(w, 0);
	b = dial(w, 0);
	say(a, "?");
	s = answer(w, 0);
	hear(s, "?");
	say(b, "?");
	counted(&service(w)->queue_total, 1);
	close(b);
	b = dial(w, 0);
	say(b, "?");
	counted(&service(w)->queue_total, 2);
	w->listed[0] = false;
	configure(w);
	pass_until(w->worker, b, NULL);
	hear_end(b);
	hear_end(s);
	close(a);
	close(b);
	close(s);
}

/* So many descriptors more, before what is kept back begins. */
static void allow(int more)
{
	int next = dup(0);
	struct rlimit r;

	close(next);
	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = more ? (rlim_t)(next + more + 16) : r.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
	lack_look();
}

static void without_descriptors_everybody_waits(void **state)
{
	struct world *w = *state;
	struct engine_counters *engine = counters_engine_of(&w->counters, 0);
	int c, late, s;

	configure(w);
	settle(w->worker);
	allow(2); /* the client's here, and the worker's */
	c = dial(w, 0);
	say(c, "?");
	counted(&service(w)->conn_total, 1);
	late = dial(w, 0); /* in the kernel */
	for (int i = 1; i <= 5; i++) {
		reaches(&engine->lack_descriptors, (uint64_t)i);
		pass_ms(w->worker, LACK_MS); /* it is tried again and again */
	}
	assert_int_equal(now(&service(w)->conn_total), 1);
	assert_int_equal(now(&server(w)->conn_failed), 0);
	assert_int_equal(atomic_load(&w->state->queued), 0);
	allow(0);
	pass_until(w->worker, w->server_fd[0], NULL);
	s = answer(w, 0);
	hear(s, "?");
	counted(&service(w)->conn_total, 2);
	say(s, "!");
	hear(c, "!");
	close(c);
	close(late);
	close(s);
}

static void only_so_many_connections_begin(void **state)
{
	struct world *w = *state;
	int c[3], s[2];

	w->pool.rate = rate_limit_of(1, 3600 * NS_PER_S, 2);
	configure(w);
	for (int i = 0; i < 3; i++)
		c[i] = dial(w, 0);
	for (int i = 0; i < 2; i++) {
		say(c[i], "?");
		s[i] = answer(w, 0);
		hear(s[i], "?");
	}
	say(c[2], "?");
	hear_end(c[2]);
	counted(&server(w)->conn_rate_limited, 1);
	/* Those that are there may be used again. */
	say(s[0], "!");
	hear(c[0], "!");
	exchange(w, c[0], s[0]);
	for (int i = 0; i < 3; i++)
		close(c[i]);
	for (int i = 0; i < 2; i++)
		close(s[i]);
}

static sem_t stalled, go_on;

static void stall_deliver(struct message *m)
{
	(void)m;
	sem_post(&stalled);
	sem_wait(&go_on);
}

/* The worker does nothing from here on, and then all at once. */
static void stall(struct world *w, bool on)
{
	static struct message m;

	if (!on) {
		sem_post(&go_on);
		return;
	}
	sem_init(&stalled, 0, 0);
	sem_init(&go_on, 0, 0);
	inbox_post(&w->worker->inbox, &m, stall_deliver);
	sem_wait(&stalled);
}

static void connection_that_the_server_closed_is_not_used(void **state)
{
	struct world *w = *state;
	int c, s, fresh;

	configure(w);
	c = dial(w, 0);
	s = exchange(w, c, -1);
	settle(w->worker);
	/* The worker learns of both in one turn, of the client first: nothing may be lost, nothing asked twice. */
	stall(w, true);
	say(c, "?");
	close(s);
	stall(w, false);
	fresh = answer(w, 0);
	hear(fresh, "?");
	say(fresh, "!");
	hear(c, "!");
	counted(&server(w)->conn_reused, 0);
	close(c);
	close(fresh);
}

static void with_fewer_servers_up_than_it_wants_a_pool_has_none(void **state)
{
	struct world *w = *state;
	int c, s;

	w->listed[1] = true;
	w->enabled[1] = false;
	w->pool.min_up = 2;
	configure(w);
	c = dial(w, 0);
	say(c, "?");
	hear_end(c);
	close(c);
	w->enabled[1] = true;
	configure(w);
	c = dial(w, 0);
	s = exchange(w, c, -1);
	close(c);
	close(s);
	/* One falls. */
	atomic_store(&w->backend[1]->health, BACKEND_DOWN);
	worker_post_down(w->worker, 0, w->backend[1]);
	c = dial(w, 0);
	say(c, "?");
	hear_end(c);
	close(c);
	settle(w->worker);
}

static void server_is_reached_at_the_port_of_the_client(void **state)
{
	struct world *w = *state;
	int c, s, fd;

	/* Where the client comes to, there is a server too: another address, the same port. */
	address_set_port(&w->backend[0]->address, 1);
	w->backend[0]->address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	union address at = w->front[0];

	at.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	assert_int_equal(bind(fd, &at.sa, address_len(&at)), 0);
	assert_int_equal(listen(fd, 8), 0);
	w->pool.service_port = true;
	configure(w);
	c = dial(w, 0);
	say(c, "?");
	limit_waits(fd);
	s = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(s >= 0);
	limit_waits(s);
	hear(s, "?");
	say(s, "!");
	hear(c, "!");
	close(c);
	close(s);
	close(fd);
}

/* The server that gets the next exchange of a new client; it answers. -1: the client was sent away. */
static int served_by(struct world *w)
{
	struct pollfd p[SERVERS + 1] = { 0 };
	int c = dial(w, 0), s, who = -1;

	say(c, "?");
	for (int i = 0; i < SERVERS; i++)
		p[i] = (struct pollfd){ w->server_fd[i], POLLIN, 0 };
	p[SERVERS] = (struct pollfd){ c, POLLIN, 0 };
	assert_true(poll(p, SERVERS + 1, LIMIT_S * 1000) > 0);
	for (int i = 0; i < SERVERS; i++)
		if (p[i].revents)
			who = i;
	if (who >= 0) {
		s = answer(w, who);
		hear(s, "?");
		say(s, "!");
		hear(c, "!");
		close(s);
	} else {
		hear_end(c);
	}
	close(c);
	pass_ms(w->worker, 2); /* what the server closed does not rest */
	return who;
}

static void health(struct world *w, int i, enum backend_health h)
{
	atomic_store(&w->backend[i]->health, h);
	worker_post_down(w->worker, 0, w->backend[i]);
}

static void client_stays_with_its_server(void **state)
{
	struct world *w = *state;
	int had;

	w->listed[1] = w->listed[2] = true;
	w->pool.keep.idle_ms = 1;
	w->pool.persist.by_address = true;
	w->pool.persist.keep_ns = 60 * NS_PER_S;
	w->state->persist = persist_new(PERSIST_MAX);
	configure(w);
	had = served_by(w);
	for (int i = 0; i < 6; i++)
		assert_int_equal(served_by(w), had);
	counted(&service(w)->persist_kept, 6);
	/* An edit changes nothing. */
	configure(w);
	assert_int_equal(served_by(w), had);
	/* Disabled: the profile of the pool says whether clients that have it may go on. */
	w->enabled[had] = false;
	w->pool.persist.while_disabled = true;
	configure(w);
	assert_int_equal(served_by(w), had);
	w->pool.disable_ms = 0; /* until it is drained */
	configure(w);
	assert_int_not_equal(served_by(w), had);
	counted(&service(w)->persist_lost, 1);
	had = served_by(w); /* and there it stays */
	assert_int_equal(served_by(w), had);
	w->pool.persist.while_disabled = false;
	w->pool.disable_ms = -1;
	w->enabled[had] = false;
	configure(w);
	assert_int_not_equal(served_by(w), had);
}

static void client_whose_server_is_down_gets_what_the_profile_says(void **state)
{
	struct world *w = *state;
	int had;

	w->listed[1] = w->listed[2] = true;
	w->pool.keep.idle_ms = 1;
	w->pool.persist.by_address = true;
	w->pool.persist.keep_ns = 60 * NS_PER_S;
	w->state->persist = persist_new(PERSIST_MAX);
	w->pool.persist.down = HM_DOWN_ABORT_CONNECTION;
	configure(w);
	had = served_by(w);
	health(w, had, BACKEND_DOWN);
	assert_int_equal(served_by(w), -1);
	w->pool.persist.down = HM_DOWN_CONTINUE_PERSISTENT_SERVER;
	configure(w);
	assert_int_equal(served_by(w), had);
	w->pool.persist.down = HM_DOWN_PICK_NEW_SERVER;
	configure(w);
	assert_int_not_equal(served_by(w), had);
}

#undef PROMISE
#define PROMISE(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE(connection_serves_one_client_after_another),
		PROMISE(edit_that_does_not_concern_it_leaves_it_at_rest),
		PROMISE(stale_connection_is_replaced_unnoticed),
		PROMISE(change_of_the_clone_profile_ends_connections_at_rest),
		PROMISE(change_of_the_source_ends_connections_at_rest),
		PROMISE(preserved_client_has_connections_of_his_own),
		PROMISE(without_multiplexing_nobody_shares),
		PROMISE(limits_of_the_profile_are_kept),
		PROMISE(only_so_many_rest),
		PROMISE(disabled_server_keeps_none_at_rest),
		PROMISE(load_counts_who_is_served_and_not_who_rests),
		PROMISE(one_that_waits_gets_the_place_that_is_given_back),
		PROMISE(those_that_wait_are_served_in_turn),
		PROMISE(one_that_waits_may_leave_or_lose_its_pool),
		PROMISE(without_descriptors_everybody_waits),
		PROMISE(only_so_many_connections_begin),
		PROMISE(with_fewer_servers_up_than_it_wants_a_pool_has_none),
		PROMISE(server_is_reached_at_the_port_of_the_client),
		PROMISE(client_stays_with_its_server),
		PROMISE(client_whose_server_is_down_gets_what_the_profile_says),
		PROMISE(connection_that_the_server_closed_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
