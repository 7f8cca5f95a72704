/* What is promised of connections with TLS, on either side, by a worker that passes bytes as they are. */
#include "base/test.h"

#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>

#include "engine/tls/secure.h"
#include "engine/tls/tls.h"
#include "engine/world_test.h"
#include "net/test_identity.h"

static struct identity ca, front, other_ca;

static const char *const scopes[] = { "vs-1", "vs-2" };

static struct secure *serving(const char *scope, struct tls_settings more)
{
	struct tls_identity id = { front.cert, front.key };
	struct secure_what what = { .settings = more, .scope = scope };
	struct secure *s;
	struct err e = { 0 };

	what.settings.server = true;
	what.settings.identities = &id;
	what.settings.n_identities = 1;
	if (secure_new(&what, 1, NULL, &s, &e) < 0)
		fail_msg("%s", err_line(&e));
	return s;
}

/* Clients of the first front speak TLS from now on. Takes S. */
static void secure_front(struct world *w, struct secure *s)
{
	static struct snapshot_tls_port port;

	port.first = port.last = address_port(&w->front[0]);
	w->plan.tls_ports = &port;
	w->plan.n_tls_ports = 1;
	w->plan.clients_tls = s;
	configure(w);
	settle(w->worker);
}

static SSL_CTX *believer(void)
{
	struct tls_settings t = { .verify = true, .ca = (const char *const[]){ ca.cert }, .n_ca = 1 };
	SSL_CTX *ctx;

	assert_int_equal(tls_context_new(&t, &ctx, NULL), 0);
	return ctx;
}

static SSL *meet(struct world *w, SSL_CTX *ctx, SSL_SESSION *session)
{
	SSL *ssl = tls_client(ctx, dial(w, 0), "www.example.com");

	if (session)
		SSL_set_session(ssl, session);
	assert_int_equal(SSL_connect(ssl), 1);
	return ssl;
}

static void leave(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN); /* or its session would be forgotten */
	SSL_free(ssl);
	close(fd);
}

static void tls_say(SSL *ssl, const char *text)
{
	assert_int_equal(SSL_write(ssl, text, (int)strlen(text)), strlen(text));
}

static void tls_hear(SSL *ssl, const char *text)
{
	char got[64] = "";
	size_t n = 0;

	while (n < strlen(text)) {
		int m = SSL_read(ssl, got + n, (int)(strlen(text) - n));

		assert_true(m > 0);
		n += (size_t)m;
	}
	assert_string_equal(got, text);
}

/* ---- clients ------------------------------------------------------------ */

static void bytes_pass_both_ways_and_ends_are_ends(void **state)
{
	struct world *w = *state;
	SSL_CTX *ctx = believer();
	char byte;
	SSL *c;
	int s;

	secure_front(w, serving(scopes[0], (struct tls_settings){ 0 }));
	c = meet(w, ctx, NULL);
	s = answer(w, 0);
	tls_say(c, "hello");
	hear(s, "hello");
	/* A new key, and that the other side shall have one, too. */
	assert_int_equal(SSL_key_update(c, SSL_KEY_UPDATE_REQUESTED), 1);
	tls_say(c, "again");
	hear(s, "again");
	say(s, "yes");
	tls_hear(c, "yes");
	/* The client has said all, in one packet with its last words and without a FIN; the server has not. */
	setsockopt(SSL_get_fd(c), IPPROTO_TCP, TCP_CORK, &(int){ 1 }, sizeof(int));
	tls_say(c, "bye");
	SSL_shutdown(c);
	setsockopt(SSL_get_fd(c), IPPROTO_TCP, TCP_CORK, &(int){ 0 }, sizeof(int));
	hear(s, "bye");
	hear_end(s);
	say(s, "last words");
	tls_hear(c, "last words");
	close(s);
	assert_int_equal(SSL_read(c, &byte, 1), 0);
	assert_int_equal(SSL_get_error(c, 0), SSL_ERROR_ZERO_RETURN); /* said, not cut */
	leave(c);
	counted(&service(w)->tls_new, 1);
	counted(&service(w)->tls_v13, 1);
	counted(&service(w)->conn_open, 0);
	SSL_CTX_free(ctx);
}

enum { BULK = 5 << 20 };

static char pattern(size_t i)
{
	return (char)(i * 2654435761u >> 13);
}

static void *pour(void *arg)
{
	int fd = *(int *)arg;
	char *data = xmalloc(BULK);

	for (size_t i = 0; i < BULK; i++)
		data[i] = pattern(i);
	for (size_t at = 0; at < BULK;) {
		ssize_t n = send(fd, data + at, MIN(BULK - at, (size_t)100003), MSG_NOSIGNAL);

		must(n > 0);
		at += (size_t)n;
	}
	free(data);
	shutdown(fd, SHUT_WR);
	return NULL;
}

/* More than anybody's buffers hold, to a client that does not read at first; and the same from him. */
static void bulk_is_whole_whoever_is_slow(void **state)
{
	struct world *w = *state;
	SSL_CTX *ctx = believer();
	char *got = xmalloc(BULK);
	pthread_t thread;
	size_t n = 0;
	SSL *c;
	int s;

	secure_front(w, serving(scopes[0], (struct tls_settings){ 0 }));
	c = meet(w, ctx, NULL);
	s = answer(w, 0);
	assert_int_equal(pthread_create(&thread, NULL, pour, &s), 0);
	counted(&service(w)->tls_new, 1);
	while (n < BULK) {
		int m = SSL_read(c, got + n, (int)(BULK - n));

		assert_true(m > 0);
		n += (size_t)m;
	}
	pthread_join(thread, NULL);
	for (size_t i = 0; i < BULK; i++)
		if (got[i] != pattern(i))
			fail_msg("byte %zu", i);
	/* What is decrypted and not passed on when the server is slow is not forgotten. */
	for (size_t at = 0, back = 0; at < BULK;) {
		size_t piece = MIN(BULK - at, (size_t)65536);

		for (size_t end = at + piece; at < end;) {
			int m = SSL_write(c, got + at, (int)(end - at));

			assert_true(m > 0);
			at += (size_t)m;
		}
		while (back < at) {
			char part[8192];
			ssize_t m = recv(s, part, sizeof(part), 0);

			assert_true(m > 0 && memcmp(part, got + back, (size_t)m) == 0);
			back += (size_t)m;
		}
	}
	free(got);
	leave(c);
	close(s);
	SSL_CTX_free(ctx);
}

static void sessions_are_resumed_within_their_scope(void **state)
{
	struct world *w = *state;
	SSL_CTX *ctx = believer();
	SSL_SESSION *session;
	SSL *c;
	int s;

	secure_front(w, serving(scopes[0], (struct tls_settings){ 0 }));
	c = meet(w, ctx, NULL);
	s = answer(w, 0);
	say(s, "x");
	tls_hear(c, "x");
	session = SSL_get1_session(c);
	leave(c);
	close(s);
	c = meet(w, ctx, session);
	assert_int_equal(SSL_session_reused(c), 1);
	counted(&service(w)->tls_reused, 1);
	close(answer(w, 1));
	/* The service is edited under a connection that lives: it is for the next one. */
	secure_front(w, serving(scopes[1], (struct tls_settings){ .no_tls13 = true }));
	leave(c);
	c = meet(w, ctx, session);
	assert_int_equal(SSL_session_reused(c), 0);
	assert_string_equal(SSL_get_version(c), "TLSv1.2");
	counted(&service(w)->tls_v12, 1);
	close(answer(w, 2));
	leave(c);
	SSL_SESSION_free(session);
	SSL_CTX_free(ctx);
}

static void who_is_no_client_is_counted_by_what_he_did(void **state)
{
	struct world *w = *state;
	struct tls_settings old = { .no_tls13 = true }, stranger = { .verify = true, .ca = (const char *const[]){ other_ca.cert },
								   .n_ca = 1 };
	struct service_counters *n = service(w);
	SSL_CTX *ctx;
	SSL *c;
	int fd;

	secure_front(w, serving(scopes[0], (struct tls_settings){ .no_tls12 = true }));
	fd = dial(w, 0);
	say(fd, "GET / HTTP/1.1\r\n\r\n");
	counted(&n->tls_failed_not_tls, 1);
	close(fd);
	close(dial(w, 0));
	counted(&n->tls_failed_closed, 1);
	assert_int_equal(tls_context_new(&old, &ctx, NULL), 0);
	c = tls_client(ctx, dial(w, 0), NULL);
	assert_int_equal(SSL_connect(c), -1);
	counted(&n->tls_failed_version, 1);
	leave(c);
	SSL_CTX_free(ctx);
	assert_int_equal(tls_context_new(&stranger, &ctx, NULL), 0);
	c = tls_client(ctx, dial(w, 0), NULL);
	assert_int_equal(SSL_connect(c), -1);
	counted(&n->tls_failed_alert, 1);
	leave(c);
	SSL_CTX_free(ctx);
	counted(&n->conn_open, 0);
	assert_int_equal(n->tls_new, 0);
}

static void half_handshakes_push_each_other_out(void **state)
{
	struct world *w = *state;
	SSL_CTX *ctx = believer();
	int half[40];
	SSL *c;

	w->worker->shaking_max = 8;
	secure_front(w, serving(scopes[0], (struct tls_settings){ 0 }));
	for (size_t i = 0; i < ARRAY_SIZE(half); i++) {
		half[i] = dial(w, 0);
		say(half[i], "\x16\x03\x01\x02");
	}
	counted(&service(w)->tls_flooded, ARRAY_SIZE(half) - 8);
	c = meet(w, ctx, NULL);
	close(answer(w, 0));
	leave(c);
	for (size_t i = 0; i < ARRAY_SIZE(half); i++)
		close(half[i]);
	counted(&service(w)->conn_open, 0);
	SSL_CTX_free(ctx);
}

static void without_a_certificate_nothing_is_served(void **state)
{
	struct world *w = *state;
	int fd;

	secure_front(w, NULL);
	fd = dial(w, 0);
	hear_reset(fd);
	close(fd);
	counted(&service(w)->tls_failed_other, 1);
}

/* ---- servers ---------------------------------------------------------------- */

static struct secure *believing(const char *authority, const char *host)
{
	struct secure_what what = {
		.settings = { .verify = true, .ca = &authority, .n_ca = 1, .hosts = &host, .n_hosts = host != NULL },
		.scope = "pool-1", .sni = true, .server_name = "www.example.com",
	};
	struct secure *s;

	assert_int_equal(secure_new(&what, 1, NULL, &s, NULL), 0);
	return s;
}

/* The other end of a server's connection; NULL: it came to nothing. */
static SSL *answer_tls(struct world *w, int server, SSL_CTX *ctx)
{
	SSL *ssl = SSL_new(ctx);
	int fd = answer(w, server);

	SSL_set_fd(ssl, fd);
	SSL_set_accept_state(ssl);
	if (SSL_do_handshake(ssl) == 1)
		return ssl;
	SSL_free(ssl);
	close(fd);
	return NULL;
}

static void servers_are_asked_by_tls_and_their_sessions_resumed(void **state)
{
	struct world *w = *state;
	struct tls_identity id = { front.cert, front.key };
	struct tls_settings t = { .server = true, .identities = &id, .n_identities = 1 };
	SSL_CTX *ctx;

	assert_int_equal(tls_context_new(&t, &ctx, NULL), 0);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"x", 1);
	w->listed[1] = w->listed[2] = false;
	w->pool.tls = believing(ca.cert, "www.example.com");
	configure(w);
	settle(w->worker);
	for (int i = 0; i < 2; i++) {
		int c = dial(w, 1);
		SSL *s = answer_tls(w, 0, ctx);

		assert_non_null(s);
		assert_string_equal(SSL_get_servername(s, TLSEXT_NAMETYPE_host_name), "www.example.com");
		assert_int_equal(SSL_session_reused(s), i);
		say(c, "ping");
		tls_hear(s, "ping");
		tls_say(s, "pong");
		hear(c, "pong");
		close(c);
		leave(s);
		counted(&service(w)->conn_open, 0);
	}
	counted(&counters_server_of(&w->counters, 0, 10)->tls_new, 1);
	counted(&counters_server_of(&w->counters, 0, 10)->tls_reused, 1);
	SSL_CTX_free(ctx);
}

static void a_server_that_is_not_believed_hears_nothing(void **state)
{
	struct world *w = *state;
	struct tls_identity id = { front.cert, front.key };
	struct tls_settings t = { .server = true, .identities = &id, .n_identities = 1 };
	SSL_CTX *ctx;
	int c;

	assert_int_equal(tls_context_new(&t, &ctx, NULL), 0);
	w->listed[1] = w->listed[2] = false;
	w->pool.tls = believing(other_ca.cert, NULL);
	configure(w);
	settle(w->worker);
	c = dial(w, 1);
	say(c, "secret");
	assert_null(answer_tls(w, 0, ctx));
	hear_reset(c);
	close(c);
	counted(&counters_server_of(&w->counters, 0, 10)->tls_untrusted, 1);
	SSL_CTX_free(ctx);
}

static void names_choose_certificates(void **state)
{
	struct identity wild = identity_make((struct identity_of){ .cn = "wild", .san = "DNS:*.Example.com", .ca = &ca,
								  .usage = "serverAuth" });
	struct identity rsa = identity_make((struct identity_of){ .cn = "rsa", .san = "DNS:www.example.com", .ca = &ca,
								 .usage = "serverAuth", .rsa_bits = 2048 });
	struct identity bare = identity_make((struct identity_of){ .cn = "bare.example", .ca = &ca, .usage = "serverAuth" });
	struct tls_identity ids[] = { { wild.cert, wild.key }, { rsa.cert, rsa.key }, { bare.cert, bare.key } };
	struct secure_what what = { .settings = { .server = true, .identities = ids, .n_identities = 3 }, .scope = "s" };
	struct secure *s, *same, *broken;

	(void)state;
	assert_int_equal(secure_new(&what, 1, NULL, &s, NULL), 0);
	assert_int_equal(secure_choose(s, "www.example.com"), 1); /* exact before wildcard */
	assert_int_equal(secure_choose(s, "WWW.EXAMPLE.COM."), 1);
	assert_int_equal(secure_choose(s, "a.example.com"), 0);
	assert_int_equal(secure_choose(s, "a.b.example.com"), 0); /* one label only: nobody's, so the first */
	assert_int_equal(secure_choose(s, "bare.example"), 2);
	assert_int_equal(secure_choose(s, ".example.com"), 0);
	assert_int_equal(secure_choose(s, ""), 0);
	assert_int_equal(secure_new(&what, 1, s, &same, NULL), 0);
	assert_ptr_equal(same, s);
	ids[1].certificate = "nonsense";
	assert_int_equal(secure_new(&what, 1, s, &broken, NULL), -EINVAL);
	assert_null(secure_context(broken, 0));
	secure_put(broken);
	secure_put(same);
	secure_put(s);
	identity_fini(&wild);
	identity_fini(&rsa);
	identity_fini(&bare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE(bytes_pass_both_ways_and_ends_are_ends),
		PROMISE(bulk_is_whole_whoever_is_slow),
		PROMISE(sessions_are_resumed_within_their_scope),
		PROMISE(who_is_no_client_is_counted_by_what_he_did),
		PROMISE(half_handshakes_push_each_other_out),
		PROMISE(without_a_certificate_nothing_is_served),
		PROMISE(servers_are_asked_by_tls_and_their_sessions_resumed),
		PROMISE(a_server_that_is_not_believed_hears_nothing),
		cmocka_unit_test(names_choose_certificates),
	};
	int failed;

	signal(SIGPIPE, SIG_IGN);
	ca = identity_make((struct identity_of){ .cn = "ca" });
	other_ca = identity_make((struct identity_of){ .cn = "other" });
	front = identity_make((struct identity_of){ .cn = "front", .san = "DNS:www.example.com", .ca = &ca,
						    .usage = "serverAuth" });
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	identity_fini(&ca);
	identity_fini(&other_ca);
	identity_fini(&front);
	return failed;
}
