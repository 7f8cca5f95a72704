#include "base/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock_test.h"
#include "engine/backend.h"
#include "engine/health/dns.h"
#include "engine/health/health.h"
#include "model/structs.h"

/* Seconds of 50 ms: a check each 200 ms, which has 150 ms to answer. */
#define SECOND_MS 50
#define CHECKS    .type = HEALTH_MONITOR_HTTP, .send_interval = 4, .receive_timeout = 3, \
		  .successful_checks = 2, .failed_checks = 2

/* --- a server that does as it is told --- */

struct script {
	const char *answer;      /* NULL: silence */
	bool at_once;            /* before it read anything */
	bool half;               /* ends its own direction, and waits for the client's end */
	bool open;               /* does not end the connection at all */
};

struct fake {
	struct watch watch;
	union address address;
	int keeps;               /* the port: nobody else answers there when this one does not */
	struct script script;
	unsigned accepted;
	int end;                 /* how the client ended the last one: 0, or an errno; -1: not yet */
	char request[1024];      /* the last one */
	struct fake_conn *conns;
};

struct fake_conn {
	struct watch watch;
	struct fake *fake;
	struct fake_conn *next;
	size_t n;
};

static struct loop *loop;

/* A millisecond, that of the machine or longer: it may be held up at any time, which is nobody's failure. */
static void turn(void)
{
	assert_int_equal(loop_turn(loop, 1), 0);
	clock_move(NS_PER_MS);
}

static void hang_up(struct fake_conn *c)
{
	int fd = c->watch.fd;

	if (c->watch.active) {
		watch_stop(loop, &c->watch);
		close(fd);
	}
}

static void answer(struct fake_conn *c)
{
	const char *text = c->fake->script.answer;

	if (!text)
		return;
	assert_int_equal(send(c->watch.fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	if (c->fake->script.half)
		shutdown(c->watch.fd, SHUT_WR);
	else if (!c->fake->script.open)
		hang_up(c);
}

static void fake_asked(struct watch *w, uint32_t events)
{
	struct fake_conn *c = CONTAINER_OF(w, struct fake_conn, watch);
	struct fake *f = c->fake;
	ssize_t n = recv(w->fd, f->request + c->n, sizeof(f->request) - 1 - c->n, MSG_DONTWAIT);

	(void)events;
	if (n <= 0) {
		f->end = n == 0 ? 0 : errno;
		hang_up(c);
		return;
	}
	c->n += (size_t)n;
	f->request[c->n] = '\0';
	if (strstr(f->request, "\r\n\r\n") || strchr(f->request, '!'))
		answer(c);
}

static void fake_accept(struct watch *w, uint32_t events)
{
	struct fake *f = CONTAINER_OF(w, struct fake, watch);
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);
	struct fake_conn *c = xcalloc(1, sizeof(*c));

	(void)events;
	assert_true(fd >= 0);
	c->fake = f;
	c->next = f->conns;
	f->conns = c;
	f->accepted++;
	watch_start(loop, &c->watch, fd, EPOLLIN, fake_asked);
	if (f->script.at_once)
		answer(c);
}

static int bound(const union address *a)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	assert_int_equal(bind(fd, &a->sa, address_len(a)), 0);
	return fd;
}

static void fake_start(struct fake *f, const char *text)
{
	socklen_t n = sizeof(f->address);
	int fd;

	memset(f, 0, sizeof(*f));
	f->script.answer = text;
	assert_int_equal(address_parse(&f->address, "127.0.0.1", 0), 0);
	f->keeps = bound(&f->address);
	assert_int_equal(getsockname(f->keeps, &f->address.sa, &n), 0);
	fd = bound(&f->address);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(watch_start(loop, &f->watch, fd, EPOLLIN, fake_accept), 0);
}

/* The port answers with RST from now on. */
static void fake_stop(struct fake *f)
{
	int fd = f->watch.fd;

	watch_stop(loop, &f->watch);
	close(fd);
	for (struct fake_conn *c = f->conns, *next; c; c = next) {
		next = c->next;
		hang_up(c);
		free(c);
	}
	f->conns = NULL;
}

/* --- the world of a test --- */

static struct world {
	struct health *health;
	struct health_user user;
	struct fake fake;
	struct backend *backend;
	unsigned turned_up, turned_down, news;
	struct health_monitor monitor;
	struct health_monitor_http http;
} w;

static void found(struct health_user *u, struct backend *b, enum backend_health health)
{
	(void)u;
	assert_int_not_equal(atomic_load(&b->health), health);
	atomic_store(&b->health, (int)health);
	w.turned_up += health == BACKEND_UP;
	w.turned_down += health == BACKEND_DOWN;
}

static void on_news(struct health_user *u, const char *pool)
{
	(void)u;
	assert_int_equal(strncmp(pool, "pool-", 5), 0);
	w.news++;
}

static const enum http_response_code good[] = { HTTP_2XX, HTTP_3XX };

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	clock_stop();
	loop = loop_new();
	w.user = (struct health_user){ .found = found, .news = on_news };
	w.health = health_new(loop, &w.user, SECOND_MS);
	fake_start(&w.fake, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	w.backend = backend_new("pool-a", &w.fake.address, 0);
	w.http = (struct health_monitor_http){ .http_request = "GET / HTTP/1.0",
					       .http_response_code = good,
					       .http_response_code_n = 2 };
	w.monitor = (struct health_monitor){ .uuid = "healthmonitor-1", .name = "web", CHECKS,
					     .http_monitor = &w.http };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	health_free(w.health);
	if (w.fake.watch.active)
		fake_stop(&w.fake);
	close(w.fake.keeps);
	loop_turn(loop, 0);
	backend_put(w.backend);
	loop_free(loop);
	return 0;
}

/* Two monitors at most, one server. */
static void watch_server(const char *pool, const struct health_monitor *a,
			 const struct health_monitor *b, unsigned min_up, bool enabled)
{
	const struct health_monitor *monitors[] = { a, b };
	const struct health_server server = { .backend = w.backend, .enabled = enabled };
	const struct health_pool p = {
		.monitors = monitors,
		.monitors_n = (size_t)(a != NULL) + (b != NULL),
		.min_up = min_up,
		.enabled = true,
		.servers = &server,
		.servers_n = 1,
	};

	health_pool_set(w.health, pool, &p);
}

static const char *state_of(const char *pool, char *reason, size_t size, json_int_t *checks)
{
	bool part = false;
	json_t *r = health_report(w.health, pool, &part);
	const char *state, *text;
	static char out[64];

	assert_non_null(r);
	assert_int_equal(json_array_size(r), 1);
	assert_int_equal(json_unpack(json_array_get(r, 0), "{s:s, s:s, s:I}", "state", &state,
				     "reason", &text, "checks", checks),
			 0);
	snprintf(out, sizeof(out), "%s", state);
	snprintf(reason, size, "%s", text);
	json_decref(r);
	return out;
}

/* Turns until the server of pool-a is in STATE with REASON (NULL: any). */
static void wait_for(const char *state, const char *reason)
{
	uint64_t limit = mono_ns() + 10 * NS_PER_S;
	char now_reason[256];
	json_int_t checks;

	for (;;) {
		const char *now = state_of("pool-a", now_reason, sizeof(now_reason), &checks);

		if (strcmp(now, state) == 0 && (!reason || strcmp(now_reason, reason) == 0))
			return;
		if (mono_ns() > limit)
			fail_msg("is %s (%s), expected %s (%s)", now, now_reason, state, reason);
		turn();
	}
}

static void pass_time(unsigned ms)
{
	for (uint64_t until = mono_ns() + ms * NS_PER_MS; mono_ns() < until;)
		turn();
}

/* --- the promises --- */

/* A server that has ended is not asked for more; one that has not is told, and may answer that. */
static void the_end_is_short_once_the_server_has_ended(void **state)
{
	const struct script scripts[] = {
		{ .answer = w.fake.script.answer, .half = true },
		{ .answer = w.fake.script.answer, .open = true },
	};
	const int ends[] = { ECONNRESET, 0 };

	(void)state;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		uint64_t limit = mono_ns() + 10 * NS_PER_S;
		unsigned accepted = w.fake.accepted;

		w.fake.script = scripts[i];
		while (w.fake.accepted < accepted + 2) { /* the one under way began under the script before */
			assert_true(mono_ns() < limit);
			turn();
		}
		for (w.fake.end = -1; w.fake.end < 0;) {
			assert_true(mono_ns() < limit);
			turn();
		}
		assert_int_equal(w.fake.end, ends[i]);
	}
	wait_for("OPER_UP", "HTTP 200");
}

static void an_answering_server_is_up(void **state)
{
	json_int_t checks;
	char reason[64];

	(void)state;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	assert_string_equal(state_of("pool-a", reason, sizeof(reason), &checks),
			    "OPER_INITIALIZING");
	assert_true(backend_is_usable(w.backend));
	wait_for("OPER_UP", "HTTP 200");
	assert_int_equal(atomic_load(&w.backend->health), BACKEND_UP);
	state_of("pool-a", reason, sizeof(reason), &checks);
	assert_int_equal(checks, 2);
	assert_int_equal(strncmp(w.fake.request, "GET / HTTP/1.0\r\nHost: 127.0.0.1:", 32), 0);
	assert_non_null(strstr(w.fake.request, "\r\nConnection: close\r\n\r\n"));
	pass_time(10);
	assert_true(w.news > 0);
}

static void a_failing_server_goes_down_and_comes_back(void **state)
{
	(void)state;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_UP", NULL);
	w.fake.script.answer = "HTTP/1.1 503 Busy\r\n\r\n";
	wait_for("OPER_UP", "HTTP 503, expected 2xx/3xx"); /* one failure is not enough */
	wait_for("OPER_DOWN", "HTTP 503, expected 2xx/3xx");
	assert_false(backend_is_usable(w.backend));
	assert_int_equal(w.turned_down, 1);
	w.fake.script.answer = "HTTP/1.1 302 Found\r\n\r\n";
	wait_for("OPER_UP", "HTTP 302");
	assert_int_equal(w.turned_up, 2);
}

static void what_went_wrong_is_said(void **state)
{
	static const struct { const char *answer; const char *reason; } cases[] = {
		{ NULL, "no answer within 0.15 s" },
		{ "HTTP/1.1 404 Not Found\r\n\r\n", "HTTP 404, expected 2xx/3xx" },
		{ "SSH-2.0-OpenSSH\r\n", "the answer is not HTTP/1" },
		{ "", "closed without an answer" },
	};

	(void)state;
	w.fake.script.answer = cases[0].answer;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		w.fake.script.answer = cases[i].answer;
		wait_for("OPER_DOWN", cases[i].reason);
	}
	fake_stop(&w.fake);
	wait_for("OPER_DOWN", "connection refused");
}

static void interim_answers_are_passed_over(void **state)
{
	(void)state;
	w.fake.script.answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
			       "Link: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_UP", "HTTP 200");
	w.fake.script.answer = "HTTP/1.1 100 Continue\r\n\r\n";
	wait_for("OPER_DOWN", "closed without an answer");
}

static void text_is_looked_for(void **state)
{
	(void)state;
	w.http.http_response = "all is well";
	w.fake.script.answer = "HTTP/1.1 200 OK\r\n\r\nsay: all is well";
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_UP", "HTTP 200 with the expected text");
	w.fake.script.answer = "HTTP/1.1 200 OK\r\n\r\nsay: all is";
	wait_for("OPER_DOWN", "HTTP 200 without the expected text in the first 30 bytes");
}

static void an_exact_request_is_sent_as_it_is(void **state)
{
	(void)state;
	w.http.http_request = "HEAD /x HTTP/1.1\r\nHost: shop\r\n\r\n";
	w.http.exact_http_request = true;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_UP", NULL);
	assert_string_equal(w.fake.request, w.http.http_request);
}

static void headers_of_the_user_are_kept(void **state)
{
	(void)state;
	w.http.http_request = "GET /x HTTP/1.1\nhost: shop\nX: y\n";
	w.http.http_request_body = "ping";
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_UP", NULL);
	assert_int_equal(strncmp(w.fake.request,
				 "GET /x HTTP/1.1\r\nhost: shop\r\nX: y\r\nUser-Agent: ", 47),
			 0);
	assert_null(strstr(w.fake.request, "Host: 127"));
	assert_non_null(strstr(w.fake.request, "\r\nContent-Length: 4\r\n\r\n"));
}

static void tcp_connects_or_speaks(void **state)
{
	struct health_monitor_tcp tcp = { 0 };

	(void)state;
	w.monitor.type = HEALTH_MONITOR_TCP;
	w.monitor.tcp_monitor = &tcp;
	w.fake.script.answer = NULL;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_UP", "connected");
	tcp.tcp_request = "ping!";
	tcp.tcp_response = "pong";
	w.fake.script.answer = "+pong";
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_UP", "answered with the expected text");
	assert_string_equal(w.fake.request, "ping!");
	w.fake.script.answer = "what?";
	wait_for("OPER_DOWN", "no expected text in the first 5 bytes of the answer");
}

static int health_now(void)
{
	return atomic_load(&w.backend->health);
}

static void maintenance_is_not_down(void **state)
{
	static const int64_t codes[] = { 299 };

	(void)state;
	w.http.maintenance_code = codes;
	w.http.maintenance_code_n = 1;
	w.http.maintenance_response = "back soon";
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_UP", "HTTP 200");
	w.fake.script.answer = "HTTP/1.1 299 \r\n\r\n";
	wait_for("OPER_DISABLED", "HTTP 299: down for maintenance");
	assert_int_equal(health_now(), BACKEND_MAINTENANCE);
	assert_false(backend_is_usable(w.backend));
	assert_int_equal(w.turned_down, 0);
	w.fake.script.answer = "HTTP/1.1 503 \r\n\r\nwe are back soon";
	wait_for("OPER_DISABLED", "HTTP 503 with the text of maintenance");
	w.fake.script.answer = "HTTP/1.1 503 \r\n\r\nsorry";
	wait_for("OPER_DOWN", "HTTP 503, expected 2xx/3xx");
	w.fake.script.answer = "HTTP/1.1 200 \r\n\r\n";
	wait_for("OPER_UP", "HTTP 200");
}

static void a_text_may_mean_maintenance_over_tcp(void **state)
{
	struct health_monitor_tcp tcp = { .tcp_request = "ping!", .tcp_response = "pong",
					  .maintenance_response = "later" };

	(void)state;
	w.monitor.type = HEALTH_MONITOR_TCP;
	w.monitor.tcp_monitor = &tcp;
	w.fake.script.answer = "not now, later";
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_DISABLED", "the answer has the text of maintenance");
}

static void who_asks_says_who_it_is(void **state)
{
	struct health_monitor_auth_info who = { .username = "aladdin", .password = "opensesame" };

	(void)state;
	w.monitor.authentication = &who;
	w.http.has_auth_type = true;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_UP", NULL);
	assert_non_null(strstr(w.fake.request, "\r\nAuthorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l\r\n"));
}

static void more_of_an_answer_is_read_when_told_so(void **state)
{
	char far[4096] = "HTTP/1.1 200 OK\r\n\r\n";

	(void)state;
	memset(far + strlen(far), '.', 3000 - strlen(far));
	strncat(far, "the end", 8);
	w.http.http_response = "the end";
	w.fake.script.answer = far;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_DOWN", "HTTP 200 without the expected text in the first 2048 bytes");
	w.http.has_response_size = true;
	w.http.response_size = 4096;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_UP", "HTTP 200 with the expected text");
}

static void pools_ask_for_themselves_when_told_so(void **state)
{
	json_int_t a, b;
	char reason[64];

	(void)state;
	w.monitor.allow_duplicate_monitors = true;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	watch_server("pool-b", &w.monitor, NULL, 0, true);
	wait_for("OPER_UP", NULL);
	pass_time(500);
	state_of("pool-a", reason, sizeof(reason), &a);
	state_of("pool-b", reason, sizeof(reason), &b);
	/* One of each may be under way; who shares has but half as many. */
	assert_in_range(w.fake.accepted, a + b, a + b + 2);
}

static void the_first_checks_need_not_be_quick(void **state)
{
	json_int_t checks;
	char reason[64];

	(void)state;
	/* A check each 20 seconds, of 50 ms: two quick ones would be there long before. */
	w.monitor.send_interval = 20;
	w.monitor.disable_quickstart = true;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	pass_time(600);
	assert_string_equal(state_of("pool-a", reason, sizeof(reason), &checks), "OPER_INITIALIZING");
	assert_true(checks <= 1);
}

static void the_last_changes_are_remembered(void **state)
{
	json_t *report, *history;
	bool part = true;
	const char *was = NULL, *now = NULL;
	json_int_t first = 0, second = 0;
	size_t n;

	(void)state;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	for (int i = 0; i < 6; i++) {
		w.fake.script.answer = "HTTP/1.1 200 OK\r\n\r\n";
		wait_for("OPER_UP", NULL);
		w.fake.script.answer = "HTTP/1.1 500 No\r\n\r\n";
		wait_for("OPER_DOWN", NULL);
	}
	watch_server("pool-a", &w.monitor, NULL, 1, true); /* an edit forgets nothing */
	report = health_report(w.health, "pool-a", &part);
	history = json_object_get(json_array_get(report, 0), "history");
	n = json_array_size(history);
	assert_int_equal(n, 8);
	assert_int_equal(json_unpack(json_array_get(history, n - 2), "[I, s]", &first, &was), 0);
	assert_int_equal(json_unpack(json_array_get(history, n - 1), "[I, s]", &second, &now), 0);
	assert_string_equal(was, "OPER_UP");
	assert_string_equal(now, "OPER_DOWN");
	assert_true(first < second);
	json_decref(report);
}

static size_t checked_of(const char *pool)
{
	bool part = false;
	json_t *report = health_report(w.health, pool, &part), *server;
	size_t i, n = 0;

	json_array_foreach(report, i, server)
		n += json_integer_value(json_object_get(server, "checks")) > 0;
	json_decref(report);
	return n;
}

/* Ten thousand servers in two pools would not be asked at twice the pace of one. */
static void first_checks_of_all_pools_keep_one_pace(void **state)
{
	enum { N = 1000, A_MS = 5 };
	static const char *const pools[] = { "pool-a", "pool-b" };
	struct health_server *servers = xcalloc(2 * N, sizeof(servers[0]));
	const struct health_monitor *monitors[] = { &w.monitor };
	struct health_pool p = { .monitors = monitors, .monitors_n = 1, .enabled = true, .servers_n = N };
	uint64_t began = mono_ns(), limit = began + 20 * NS_PER_S;

	(void)state;
	w.monitor.send_interval = 1000;
	fake_stop(&w.fake);
	for (unsigned i = 0; i < 2 * N; i++) {
		union address a = w.fake.address;

		a.in.sin_addr.s_addr = htonl(0x7f010000 + i);
		servers[i] = (struct health_server){ .backend = backend_new("pool-a", &a, 0), .enabled = true };
	}
	for (unsigned i = 0; i < 2; i++) {
		p.servers = servers + i * N;
		health_pool_set(w.health, pools[i], &p);
	}
	while (checked_of(pools[0]) < N || checked_of(pools[1]) < N) {
		assert_true(mono_ns() < limit);
		pass_time(20);
	}
	assert_true(mono_ns() - began >= 2 * N / A_MS * NS_PER_MS);
	for (unsigned i = 0; i < 2; i++)
		health_pool_drop(w.health, pools[i]);
	for (unsigned i = 0; i < 2 * N; i++)
		backend_put(servers[i].backend);
	free(servers);
}

static void dns_is_read_strictly(void **state)
{
	static const uint8_t body[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7 };
	uint8_t m[DNS_QUERY_MAX + sizeof(body)];
	struct dns_answer a;
	int n = dns_query(m, 4711, "www.Example.com", DNS_TYPE_A);

	(void)state;
	assert_int_equal(n, 12 + 17 + 4);
	assert_false(dns_read(m, (size_t)n, 4711, "www.example.com", DNS_TYPE_A, NULL, &a)); /* a query */
	m[2] |= 0x80;
	m[7] = 1;
	memcpy(m + n, body, sizeof(body));
	for (size_t cut = 0; cut < (size_t)n + sizeof(body); cut++)
		assert_false(dns_read(m, cut, 4711, "www.example.com", DNS_TYPE_A, NULL, &a));
	assert_true(dns_read(m, (size_t)n + sizeof(body), 4711, "www.example.com", DNS_TYPE_A, "192.0.2.7", &a));
	assert_true(a.records == 1 && a.of_type == 1 && a.has_address && a.rcode == 0);
	assert_true(dns_read(m, (size_t)n + sizeof(body), 4711, "www.example.com", DNS_TYPE_A, "192.0.2.8", &a));
	assert_false(a.has_address);
	assert_false(dns_read(m, (size_t)n + sizeof(body), 4712, "www.example.com", DNS_TYPE_A, NULL, &a));
	assert_false(dns_read(m, (size_t)n + sizeof(body), 4711, "www.example.org", DNS_TYPE_A, NULL, &a));
	assert_false(dns_read(m, (size_t)n + sizeof(body), 4711, "www.example.com", DNS_TYPE_AAAA, NULL, &a));
	/* Who asks for anything takes whatever there is. */
	m[n - 3] = DNS_TYPE_ANY;
	assert_true(dns_read(m, (size_t)n + sizeof(body), 4711, "www.example.com", DNS_TYPE_ANY, NULL, &a));
	assert_true(a.of_type == 1 && strcmp(dns_type_text(DNS_TYPE_ANY), "ANY") == 0 && strcmp(dns_type_text(3), "?") == 0);
	assert_int_equal(dns_query(m, 1, "a..b", DNS_TYPE_A), -EINVAL);
}

static void all_monitors_must_pass_unless_fewer_do(void **state)
{
	struct health_monitor other = { .uuid = "healthmonitor-2", .name = "admin", CHECKS };

	(void)state;
	other.type = HEALTH_MONITOR_TCP;
	other.monitor_port = 1; /* nobody is there */
	watch_server("pool-a", &w.monitor, &other, 0, true);
	wait_for("OPER_DOWN", "admin: connection refused");
	watch_server("pool-a", &w.monitor, &other, 1, true);
	wait_for("OPER_UP", NULL);
}

static void pools_share_a_probe(void **state)
{
	json_int_t a, b;
	char reason[64];

	(void)state;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	watch_server("pool-b", &w.monitor, NULL, 0, true);
	wait_for("OPER_UP", NULL);
	assert_string_equal(state_of("pool-b", reason, sizeof(reason), &b), "OPER_UP");
	state_of("pool-a", reason, sizeof(reason), &a);
	assert_int_equal(a, b);
	assert_int_equal(w.fake.accepted, a);
	health_pool_drop(w.health, "pool-a");
	pass_time(500);
	state_of("pool-b", reason, sizeof(reason), &b);
	assert_true(b > a);
}

static void a_disabled_server_is_left_alone(void **state)
{
	unsigned before;

	(void)state;
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_UP", NULL);
	watch_server("pool-a", &w.monitor, NULL, 0, false);
	wait_for("OPER_DISABLED", "disabled");
	before = w.fake.accepted;
	pass_time(600);
	assert_int_equal(w.fake.accepted, before);
}

static void without_monitors_a_server_is_up(void **state)
{
	(void)state;
	watch_server("pool-a", NULL, NULL, 0, true);
	wait_for("OPER_UP", "no monitor checks it");
	assert_true(backend_is_usable(w.backend));
	assert_int_equal(w.fake.accepted, 0);
}

static void an_edit_keeps_the_verdict(void **state)
{
	json_int_t checks, more;
	char reason[256];

	(void)state;
	w.fake.script.answer = "HTTP/1.1 500 \r\n\r\n";
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	wait_for("OPER_DOWN", NULL);
	state_of("pool-a", reason, sizeof(reason), &checks);
	w.http.http_request = "GET /other HTTP/1.0";
	watch_server("pool-a", &w.monitor, NULL, 0, true);
	assert_string_equal(state_of("pool-a", reason, sizeof(reason), &more), "OPER_DOWN");
	assert_int_equal(more, checks);
	w.fake.script.answer = "HTTP/1.1 200 \r\n\r\n";
	wait_for("OPER_UP", NULL);
	assert_int_equal(strncmp(w.fake.request, "GET /other", 10), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_answering_server_is_up),
		TEST(the_end_is_short_once_the_server_has_ended),
		TEST(a_failing_server_goes_down_and_comes_back),
		TEST(what_went_wrong_is_said),
		TEST(interim_answers_are_passed_over),
		TEST(text_is_looked_for),
		TEST(an_exact_request_is_sent_as_it_is),
		TEST(headers_of_the_user_are_kept),
		TEST(tcp_connects_or_speaks),
		TEST(all_monitors_must_pass_unless_fewer_do),
		TEST(pools_share_a_probe),
		TEST(a_disabled_server_is_left_alone),
		TEST(without_monitors_a_server_is_up),
		TEST(an_edit_keeps_the_verdict),
		TEST(maintenance_is_not_down),
		TEST(a_text_may_mean_maintenance_over_tcp),
		TEST(who_asks_says_who_it_is),
		TEST(more_of_an_answer_is_read_when_told_so),
		TEST(pools_ask_for_themselves_when_told_so),
		TEST(the_first_checks_need_not_be_quick),
		TEST(the_last_changes_are_remembered),
		TEST(first_checks_of_all_pools_keep_one_pace),
		cmocka_unit_test(dns_is_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
