#include "base/test.h"

#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "base/clock_test.h"
#include "net/stream.h"
#include "net/test_identity.h"
#include "net/tls.h"

/* Two ends in one loop: what one writes, the other gets. */
struct end {
	struct stream stream;
	struct buf got;
	struct err why;
	int opened, drained, closed;
};

static struct loop *loop;

static void end_opened(struct stream *s)
{
	CONTAINER_OF(s, struct end, stream)->opened++;
}

static void end_readable(struct stream *s)
{
	struct end *x = CONTAINER_OF(s, struct end, stream);

	buf_put(&x->got, s->in.data, s->in.len);
	buf_take(&s->in, s->in.len);
}

static void end_drained(struct stream *s)
{
	CONTAINER_OF(s, struct end, stream)->drained++;
}

static void end_closed(struct stream *s, const struct err *why)
{
	struct end *x = CONTAINER_OF(s, struct end, stream);

	x->closed++;
	x->why = *why;
}

static const struct stream_user user = { end_opened, end_readable, end_drained, end_closed };

#define TURN_UNTIL(cond)                                                   \
	do {                                                               \
		uint64_t until_ = __real_mono_ns() + 60 * NS_PER_S;        \
		while (!(cond)) {                                          \
			assert_true(__real_mono_ns() < until_);            \
			assert_int_equal(loop_turn(loop, 50), 0);          \
		}                                                          \
	} while (0)

/* A socket with a port of loopback that the kernel chooses; nobody listens, so that it refuses. */
static int deaf(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*addr = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)addr, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
	return fd;
}

static int listener(struct sockaddr_in *addr)
{
	int fd = deaf(addr);

	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void end_fini(struct end *x)
{
	stream_close(&x->stream);
	buf_fini(&x->got);
}

/* Connect C with S; both are open, or one was closed. */
static void meet(struct end *c, struct tls *ct, struct end *s, struct tls *st)
{
	struct sockaddr_in addr;
	int lfd = listener(&addr), fd = -1;

	assert_int_equal(stream_connect(&c->stream, loop, (struct sockaddr *)&addr, sizeof(addr), ct, 5000, &user,
					NULL), 0);
	TURN_UNTIL((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	assert_int_equal(stream_accept(&s->stream, loop, fd, st, 5000, &user, NULL), 0);
	TURN_UNTIL((s->opened && (c->opened || s->got.len)) || c->closed || s->closed);
	close(lfd);
}

/* ---- certificates ---- */

/* A certificate for CN from CA (NULL: from itself), for USAGE ("serverAuth", "clientAuth", NULL: a CA). */
static struct identity identity(const char *cn, const struct identity *ca, const char *usage)
{
	return identity_make((struct identity_of){ .cn = cn, .ca = ca, .usage = usage });
}

static struct tls *tls_of(bool server, const struct identity *i, const char *ca)
{
	struct tls_config c = { server, i ? i->cert : NULL, i ? i->key : NULL, ca };
	struct err e = { 0 };
	struct tls *t;

	if (tls_new(&c, &t, &e) < 0)
		fail_msg("%s", e.text);
	return t;
}

/* ---- tests ---- */

static void echo(struct tls *ct, struct tls *st)
{
	struct end c = { 0 }, s = { 0 };
	size_t n = 5u << 20; /* more than the high-water mark, so that it fills and drains */
	char *data = xmalloc(n);

	random_bytes(data, n);
	meet(&c, ct, &s, st);
	assert_true(c.opened == 1 && s.opened == 1);
	assert_true(stream_write(&c.stream, data, n));
	assert_true(stream_is_full(&c.stream));
	stream_flush(&c.stream);
	TURN_UNTIL(s.got.len == n);
	assert_memory_equal(s.got.data, data, n);
	assert_int_equal(c.drained, 1);
	assert_true(stream_write(&s.stream, "yes", 3));
	stream_flush(&s.stream);
	TURN_UNTIL(c.got.len == 3);
	/* What was written before a close still arrives, and the other end hears the end as such. */
	assert_true(stream_write(&c.stream, "bye", 3));
	stream_close(&c.stream);
	assert_false(stream_write(&c.stream, "x", 1));
	TURN_UNTIL(s.closed);
	assert_int_equal(s.got.len, n + 3);
	assert_int_equal(s.why.code, 0);
	assert_int_equal(c.closed, 0);
	end_fini(&c);
	end_fini(&s);
	free(data);
}

static void tcp_carries_bytes_both_ways(void **state)
{
	(void)state;
	loop = loop_new();
	echo(NULL, NULL);
	loop_free(loop);
}

static void tls_carries_bytes_and_knows_both_names(void **state)
{
	struct identity ca = identity("ca", NULL, NULL), server = identity("controller", &ca, "serverAuth"),
			client = identity("se-1", &ca, "clientAuth");
	struct tls *st = tls_of(true, &server, ca.cert), *ct = tls_of(false, &client, ca.cert);
	struct end c = { 0 }, s = { 0 };
	struct tls_peer peer;
	char fp[TLS_FINGERPRINT];

	(void)state;
	loop = loop_new();
	echo(ct, st);
	meet(&c, ct, &s, st);
	tls_peer(&s.stream, &peer);
	assert_true(peer.present && peer.trusted);
	assert_string_equal(peer.name, "se-1");
	assert_int_equal(tls_fingerprint(client.cert, fp, NULL), 0);
	assert_string_equal(peer.fingerprint, fp);
	tls_peer(&c.stream, &peer);
	assert_true(peer.trusted);
	assert_string_equal(peer.name, "controller");
	end_fini(&c);
	end_fini(&s);
	tls_free(st);
	tls_free(ct);
	loop_free(loop);
	identity_fini(&ca);
	identity_fini(&server);
	identity_fini(&client);
}

static void a_wrong_certificate_is_judged_with_a_reason(void **state)
{
	struct identity ca = identity("ca", NULL, NULL), other = identity("ca", NULL, NULL),
			server = identity("controller", &ca, "serverAuth"),
			good = identity("se-1", &ca, "clientAuth"), stranger = identity("se-1", &other, "clientAuth");
	const struct {
		const struct identity *client, *server;
		bool present, client_trusted, server_trusted;
	} cases[] = {
		{ &good, &server, true, true, true },
		{ NULL, &server, false, false, true },
		{ &stranger, &server, true, false, true },
		{ &server, &server, true, false, true }, /* a server's certificate is no client's ... */
		{ &good, &good, true, true, false },     /* ... so an engine cannot play the controller */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tls *st = tls_of(true, cases[i].server, ca.cert), *ct = tls_of(false, cases[i].client, ca.cert);
		struct end c = { 0 }, s = { 0 };
		struct tls_peer peer;

		loop = loop_new();
		meet(&c, ct, &s, st);
		tls_peer(&s.stream, &peer);
		assert_int_equal(peer.present, cases[i].present);
		assert_int_equal(peer.trusted, cases[i].client_trusted);
		assert_int_equal(peer.why[0] == '\0', cases[i].client_trusted);
		tls_peer(&c.stream, &peer);
		assert_int_equal(peer.trusted, cases[i].server_trusted);
		end_fini(&c);
		end_fini(&s);
		loop_free(loop);
		tls_free(st);
		tls_free(ct);
	}
	identity_fini(&ca);
	identity_fini(&other);
	identity_fini(&server);
	identity_fini(&good);
	identity_fini(&stranger);
}

static void the_chain_tells_the_ca(void **state)
{
	struct identity ca = identity("ca", NULL, NULL), server = identity("controller", &ca, "serverAuth");
	CLEANUP_FREE char *chain = xasprintf("%s%s", server.cert, ca.cert), *root = NULL;
	struct identity with_chain = { server.key, chain };
	struct tls *st = tls_of(true, &with_chain, NULL), *ct = tls_of(false, NULL, NULL);
	struct end c = { 0 }, s = { 0 };
	struct tls_peer peer;
	char fp[TLS_FINGERPRINT];

	(void)state;
	loop = loop_new();
	meet(&c, ct, &s, st);
	tls_peer(&c.stream, &peer);
	assert_false(peer.trusted);
	tls_fingerprint(ca.cert, fp, NULL);
	assert_string_equal(peer.root_fingerprint, fp);
	root = tls_peer_root(&c.stream);
	assert_string_equal(root, ca.cert);
	end_fini(&c);
	end_fini(&s);
	loop_free(loop);
	tls_free(st);
	tls_free(ct);
	identity_fini(&ca);
	identity_fini(&server);
}

static void failures_are_told_once_with_a_reason(void **state)
{
	struct end x = { 0 };
	struct sockaddr_in addr;
	struct tls *ct = tls_of(false, NULL, NULL);
	int lfd = listener(&addr), fd;
	char hello;

	(void)state;
	loop = loop_new();
	/* A peer that accepts and says nothing. */
	assert_int_equal(stream_connect(&x.stream, loop, (struct sockaddr *)&addr, sizeof(addr), ct, 100, &user, NULL),
			 0);
	TURN_UNTIL((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	TURN_UNTIL(recv(fd, &hello, 1, MSG_PEEK) == 1);
	clock_move(99 * NS_PER_MS);
	assert_int_equal(loop_turn(loop, 0), 0);
	assert_false(x.closed);
	clock_move(2 * NS_PER_MS);
	TURN_UNTIL(x.closed);
	close(fd);
	close(lfd);
	assert_int_equal(x.why.code, -ETIMEDOUT);
	assert_non_null(strstr(x.why.text, "no TLS handshake with 127.0.0.1:"));
	/* Nobody there. */
	lfd = deaf(&addr);
	x = (struct end){ 0 };
	assert_int_equal(stream_connect(&x.stream, loop, (struct sockaddr *)&addr, sizeof(addr), ct, 5000, &user, NULL),
			 0);
	TURN_UNTIL(x.closed);
	assert_int_equal(x.why.code, -ECONNREFUSED);
	assert_int_equal(x.opened, 0);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, 1);
	assert_int_equal(x.closed, 1);
	close(lfd);
	loop_free(loop);
	tls_free(ct);
}

static void a_peer_that_is_no_tls_is_refused(void **state)
{
	struct end c = { 0 }, s = { 0 };
	struct tls *ct = tls_of(false, NULL, NULL);

	(void)state;
	loop = loop_new();
	meet(&c, ct, &s, NULL);
	stream_write(&s.stream, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
	stream_flush(&s.stream);
	TURN_UNTIL(c.closed);
	assert_int_equal(c.why.code, -EPROTO);
	end_fini(&c);
	end_fini(&s);
	loop_free(loop);
	tls_free(ct);
}

static void addresses_are_read(void **state)
{
	static const struct {
		const char *text;
		int rc, family, port;
	} cases[] = {
		{ "10.0.0.5:9444", 0, AF_INET, 9444 },
		{ "https://10.0.0.5:9444", 0, AF_INET, 9444 },
		{ "https://10.0.0.5:9444/", 0, AF_INET, 9444 },
		{ "https://[fd00::5]:9444", 0, AF_INET6, 9444 },
		{ "[::]:0", 0, AF_INET6, 0 },
		{ "10.0.0.5", -EINVAL },
		{ "10.0.0.5:", -EINVAL },
		{ "10.0.0.5:99999", -EINVAL },
		{ "10.0.0.5:+1", -EINVAL },
		{ "10.0.0:80", -EINVAL },
		{ "controller:80", -EINVAL },
		{ ":80", -EINVAL },
		{ "", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sockaddr_storage a;
		socklen_t len;

		assert_int_equal(stream_address(cases[i].text, &a, &len, NULL), cases[i].rc);
		if (cases[i].rc == 0) {
			assert_int_equal(a.ss_family, cases[i].family);
			assert_int_equal(ntohs(((struct sockaddr_in *)&a)->sin_port), cases[i].port);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_carries_bytes_both_ways),
		cmocka_unit_test(tls_carries_bytes_and_knows_both_names),
		cmocka_unit_test(a_wrong_certificate_is_judged_with_a_reason),
		cmocka_unit_test(the_chain_tells_the_ca),
		cmocka_unit_test(failures_are_told_once_with_a_reason),
		cmocka_unit_test(a_peer_that_is_no_tls_is_refused),
		cmocka_unit_test(addresses_are_read),
	};

	clock_stop(); /* whoever takes his time is late only where a test says so */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
