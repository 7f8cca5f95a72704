/*
 * What a pool promises to requests: which server they get, and what happens when there is none or it fails.
 */
#include "engine/http/http_world.h"

#define OK    "HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

static char asked[4096], answer[4096]; /* what the last server was asked, what the last client got */

static int client_from(const char *ip)
{
	union address from;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	limit_waits(fd);
	assert_int_equal(address_parse(&from, ip, 0), 0);
	assert_int_equal(bind(fd, &from.sa, address_len(&from)), 0);
	assert_int_equal(connect(fd, &w.front.sa, address_len(&w.front)), 0);
	return fd;
}

/* A head and the body that its Content-Length tells, into TEXT. */
static void hear_message(int fd, char *text)
{
	size_t n = 0, whole = SIZE_MAX;

	memset(text, 0, 4096);
	while (n < whole) {
		ssize_t r = recv(fd, text + n, MIN(whole - n, 4095 - n), whole == SIZE_MAX ? MSG_PEEK : 0);
		char *end, *length;

		if (r <= 0)
			fail_msg("nothing more came after '%s'", text);
		if (whole != SIZE_MAX) {
			n += (size_t)r;
			continue;
		}
		end = strstr(text, "\r\n\r\n");
		if (!end)
			continue;
		length = strstr(text, "Content-Length: ");
		whole = (size_t)(end + 4 - text) + (length && length < end ? strtoul(length + 16, NULL, 10) : 0);
		memset(text, 0, 4096);
	}
}

/* The next connection, at whichever server; its request is in `asked`. */
static int next_server(int *fd)
{
	int i = first_ready(w.server_fd, SERVERS);

	*fd = accept_from(w.server_fd[i]);
	hear_message(*fd, asked);
	return i;
}

/* One exchange with one server, which says TEXT. Which it was. */
static int exchange(int client, const char *request, const char *text)
{
	int fd = -1, who;

	say(client, request);
	who = next_server(&fd);
	say(fd, text);
	close(fd);
	hear_message(client, answer);
	return who;
}

static int fetch(const char *ip, const char *request)
{
	int c = client_from(ip), who = exchange(c, request, OK);

	close(c);
	return who;
}

/* ---- consistent hash ---- */

/* Of N different ones, how many went to the first server; each of them asks twice. */
static int first_of(int n, const char *ip, const char *request)
{
	int first = 0;

	for (int i = 0; i < n; i++) {
		CLEANUP_FREE char *from = xasprintf(ip, i + 1), *text = xasprintf(request, i);
		int who = fetch(from, text);

		assert_int_equal(fetch(from, text), who);
		first += who == 0;
	}
	return first;
}

static void hash_goes_by_what_the_pool_says(void **state)
{
	(void)state;
	w.kind = LB_CONSISTENT_HASH;
	w.n_servers = 2;
	w.pool.lb_algorithm_hash = LB_ALGORITHM_CONSISTENT_HASH_URI;
	w.pool.lb_algorithm_consistent_hash_hdr = "X-Shard";
	configure();
	assert_in_range(first_of(30, "127.0.0.1", "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"), 5, 25);
	assert_int_equal(first_of(5, "127.0.0.%d", "GET /same HTTP/1.1\r\nHost: a\r\n\r\n") % 5, 0);
	w.pool.lb_algorithm_hash = LB_ALGORITHM_CONSISTENT_HASH_CUSTOM_HEADER;
	configure();
	assert_in_range(first_of(30, "127.0.0.1", "GET / HTTP/1.1\r\nHost: a\r\nx-shard: %d\r\n\r\n"), 5, 25);
	assert_int_equal(first_of(5, "127.0.0.1", "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n") % 5, 0);
	w.pool.lb_algorithm_hash = LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS;
	configure();
	assert_in_range(first_of(30, "127.0.0.%d", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 5, 25);
	w.pool.lb_algorithm_hash = LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS_AND_PORT;
	configure();
	/* Each connection has another port: both are asked, sooner or later. */
	bool asked_once[2] = { false };

	for (int i = 0; i < 1000 && !(asked_once[0] && asked_once[1]); i++)
		asked_once[fetch("127.0.0.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")] = true;
	assert_true(asked_once[0] && asked_once[1]);
}

/* ---- no server ---- */

#define GET   "GET /shop?item=7 HTTP/1.1\r\nHost: a\r\n\r\n"

static const char *without_server(const char *request)
{
	int c = client_from("127.0.0.1");

	say(c, request);
	hear_message(c, answer);
	close(c);
	return answer;
}

static struct fail_action *fail_by(enum fail_action_type type)
{
	static struct fail_action a;

	a = (struct fail_action){ .type = type };
	w.pool.fail_action = &a;
	return &a;
}

static void without_a_server_the_client_is_sent_elsewhere(void **state)
{
	struct fail_action_http_redirect r = { .host = "sorry.example", .protocol = HTTPS,
					       .status_code = HTTP_REDIRECT_STATUS_CODE_302 };
	struct fail_action *a = fail_by(FAIL_ACTION_HTTP_REDIRECT);

	(void)state;
	w.n_servers = 0;
	a->redirect = &r;
	configure();
	without_server(GET);
	assert_memory_equal(answer, "HTTP/1.1 302 Found\r\n", 20);
	assert_non_null(strstr(answer, "\r\nLocation: https://sorry.example/shop?item=7\r\n"));
	assert_null(strstr(answer, "Connection: close"));
	r = (struct fail_action_http_redirect){ .host = "b:81", .protocol = HTTP, .path = "x\r\ny", .query = "q=1",
						.status_code = HTTP_REDIRECT_STATUS_CODE_307 };
	configure();
	without_server(GET);
	assert_memory_equal(answer, "HTTP/1.1 307 Temporary Redirect\r\n", 33);
	assert_non_null(strstr(answer, "\r\nLocation: http://b:81/xy?q=1\r\n"));
	r.status_code = HTTP_REDIRECT_STATUS_CODE_301;
	configure();
	assert_non_null(strstr(without_server(GET), "HTTP/1.1 301 "));
	counted(&service()->http_no_server, 3);
	counted(&service()->http_3xx, 3);
}

static void without_a_server_the_engine_answers_by_itself(void **state)
{
	struct http_local_file f = { .content_type = "text/html", .file_content = "<h1>Sorry</h1>" };
	struct fail_action_http_local_response r = { .status_code = FAIL_HTTP_STATUS_CODE_503, .file = &f };
	struct fail_action *a = fail_by(FAIL_ACTION_HTTP_LOCAL_RSP);

	(void)state;
	w.n_servers = 0;
	a->local_rsp = &r;
	configure();
	without_server(GET);
	assert_memory_equal(answer, "HTTP/1.1 503 Service Unavailable\r\n", 34);
	assert_non_null(strstr(answer, "\r\nContent-Type: text/html\r\n"));
	assert_non_null(strstr(answer, "\r\n\r\n<h1>Sorry</h1>"));
	r = (struct fail_action_http_local_response){ .status_code = FAIL_HTTP_STATUS_CODE_200 };
	configure();
	without_server("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_memory_equal(answer, "HTTP/1.1 200 OK\r\n", 17);
	fail_by(FAIL_ACTION_CLOSE_CONN);
	configure();
	assert_non_null(strstr(without_server(GET), "Connection: close"));
}

static void server_gets_the_host_that_the_pool_says(void **state)
{
	(void)state;
	w.host = "web.example:81";
	configure();
	fetch("127.0.0.1", GET);
	assert_memory_equal(asked, "GET /shop?item=7 HTTP/1.1\r\n", 26);
	assert_non_null(strstr(asked, "\r\nHost: web.example:81\r\n"));
	assert_null(strstr(asked, "Host: a\r\n"));
	fetch("127.0.0.1", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_non_null(strstr(asked, "\r\nHost: web.example:81\r\n"));
	assert_null(strstr(asked, "Host: b"));
}

/* ---- the same server ---- */

/* What the last answer says the cookie is; "": nothing. */
static const char *cookie(void)
{
	static char text[STICKY_LINE];
	const char *at = strstr(answer, "\r\nSet-Cookie: ");

	text[0] = '\0';
	if (at)
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(at + 14, ";\r"), at + 14);
	return text;
}

static int fetch_with(const char *more)
{
	CLEANUP_FREE char *text = xasprintf("GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", more);

	return fetch("127.0.0.1", text);
}

static void cookie_leads_to_the_same_server(void **state)
{
	struct http_cookie_persistence_key key = { .name = "k", .aes_key = "a", .hmac_key = "h" };
	struct http_cookie_persistence_profile p = { .cookie_name = "shop", .key = &key, .key_n = 1 };
	char *lines[2] = { NULL };
	int who;

	(void)state;
	w.n_servers = 2;
	w.cookie = &p;
	configure();
	for (int i = 0; i < 2; i++) {
		who = fetch_with("");
		assert_memory_equal(cookie(), "shop=", 5);
		free(lines[who]);
		lines[who] = xasprintf("Cookie: x=y; %s; z\r\n", cookie());
	}
	assert_non_null(lines[0]);
	assert_non_null(lines[1]);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(fetch_with(lines[i % 3 == 0]), i % 3 == 0);
		assert_string_equal(cookie(), ""); /* it has it already */
	}
	/* One that somebody else made is none. */
	fetch_with("Cookie: shop=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n");
	assert_memory_equal(cookie(), "shop=", 5);
	p.always_send_cookie = true;
	configure();
	assert_int_equal(fetch_with(lines[1]), 1);
	assert_memory_equal(cookie(), "shop=", 5);
	/* Another server: another cookie. */
	p.always_send_cookie = false;
	w.n_servers = 1;
	configure();
	assert_int_equal(fetch_with(lines[1]), 0);
	assert_memory_equal(cookie(), "shop=", 5);
	free(lines[0]);
	free(lines[1]);
}

/* ---- another server ---- */

#define SAYS(status) "HTTP/1.1 " status " Text\r\nDate: today\r\nContent-Length: 1\r\n\r\n!"

/* The request goes to N servers, all of which say TEXT; nobody asks a further one. */
static void tries(const char *request, const char *text, int n)
{
	int c = client_from("127.0.0.1"), fd = -1, last = -1;

	say(c, request);
	for (int i = 0; i < n; i++) {
		int who = next_server(&fd);

		assert_int_not_equal(who, last);
		last = who;
		say(fd, text);
		if (i < n - 1) {
			char byte;

			assert_true(recv(fd, &byte, 1, 0) <= 0); /* it is of no more use */
		}
		close(fd);
	}
	hear_message(c, answer);
	assert_memory_equal(answer, text, 12);
	close(c);
}

static void another_server_is_asked_by_the_answer_of_the_first(void **state)
{
	struct http_reselect_resp_code codes = { .codes = (const int64_t[]){ 404 }, .codes_n = 1 };
	struct http_server_reselect r = { .enabled = true, .num_retries = 4, .svr_resp_code = &codes };

	(void)state;
	w.n_servers = 2;
	w.pool.server_reselect = &r;
	configure();
	tries(GET, SAYS("404"), 2);
	tries(GET, SAYS("503"), 1);
	tries("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", SAYS("404"), 1);
	counted(&service()->http_reselected, 1);
	counted(&service()->http_4xx, 2); /* what clients got */
	r.retry_nonidempotent = true;
	codes = (struct http_reselect_resp_code){
		.ranges = (const struct http_status_range[]){ { 500, 503 } },
		.ranges_n = 1 };
	configure();
	tries("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", SAYS("503"), 2);
	tries(GET, SAYS("504"), 1);
	codes = (struct http_reselect_resp_code){ .resp_code_block = (const enum response_block[]){ HTTP_RSP_5XX },
						  .resp_code_block_n = 1 };
	configure();
	tries(GET, SAYS("599"), 2);
	tries(GET, SAYS("499"), 1);
	r.num_retries = 0;
	configure();
	tries(GET, SAYS("599"), 1);
	r.num_retries = 4;
	r.enabled = false;
	configure();
	tries(GET, SAYS("599"), 1);
}

static void another_server_is_asked_when_the_first_is_late(void **state)
{
	struct http_server_reselect r = { .enabled = true, .num_retries = 4, .retry_timeout = 50 };
	int c, first = -1, second = -1;

	(void)state;
	w.n_servers = 2;
	w.pool.server_reselect = &r;
	configure();
	c = client_from("127.0.0.1");
	say(c, GET);
	next_server(&first);
	pass_ms(w.worker, 51);
	next_server(&second);
	say(second, OK);
	hear_message(c, answer);
	assert_memory_equal(answer, "HTTP/1.1 200", 12);
	close(c);
	close(first);
	close(second);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hash_goes_by_what_the_pool_says),
		TEST(without_a_server_the_client_is_sent_elsewhere),
		TEST(without_a_server_the_engine_answers_by_itself),
		TEST(server_gets_the_host_that_the_pool_says),
		TEST(cookie_leads_to_the_same_server),
		TEST(another_server_is_asked_by_the_answer_of_the_first),
		TEST(another_server_is_asked_when_the_first_is_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
