#include "base/test.h"

#include <fcntl.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/test_identity.h"
#include "net/tls_context.h"

static struct identity ca, server, other_ca;

static SSL_CTX *context(const struct tls_settings *s)
{
	struct err e = { 0 };
	SSL_CTX *ctx;

	if (tls_context_new(s, &ctx, &e) < 0)
		fail_msg("%s", err_line(&e));
	return ctx;
}

struct meeting {
	int client_rc, server_rc;
	struct err client_why, server_why;
	enum tls_cause server_cause;
	char version[16], cipher[64];
	bool reused;
	char heard[16];
};

/* C and S shake hands over a socket pair, and when they could the client says "hello". */
static struct meeting meet(const struct tls_settings *c, const struct tls_settings *s, const char *name)
{
	SSL_CTX *cc = context(c), *sc = context(s);
	struct meeting m = { .client_rc = -EAGAIN, .server_rc = -EAGAIN };
	SSL *cs, *ss = SSL_new(sc);
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	cs = tls_client(cc, sv[0], name);
	SSL_set_fd(ss, sv[1]);
	SSL_set_accept_state(ss);
	for (int i = 0; i < 20 && (m.client_rc == -EAGAIN || m.server_rc == -EAGAIN); i++) {
		if (m.client_rc == -EAGAIN)
			m.client_rc = tls_shake(cs, &m.client_why);
		if (m.client_rc < 0 && m.client_rc != -EAGAIN)
			shutdown(sv[0], SHUT_WR);
		if (m.server_rc == -EAGAIN)
			m.server_rc = tls_shake(ss, &m.server_why);
	}
	if (m.client_rc == 0 && m.server_rc == 0) {
		snprintf(m.version, sizeof(m.version), "%s", SSL_get_version(cs));
		snprintf(m.cipher, sizeof(m.cipher), "%s", SSL_get_cipher_name(cs));
		assert_int_equal(tls_put(cs, "hello", 5, NULL), 5);
		assert_int_equal(tls_get(ss, m.heard, sizeof(m.heard), NULL), 5);
		assert_int_equal(tls_get(ss, m.heard, sizeof(m.heard), NULL), -EAGAIN);
		assert_false(tls_wants_out(ss));
	}
	tls_end(cs, true);
	close(sv[0]);
	if (m.heard[0])
		assert_int_equal(tls_get(ss, m.heard, sizeof(m.heard), NULL), 0);
	tls_end(ss, true);
	close(sv[1]);
	SSL_CTX_free(cc);
	SSL_CTX_free(sc);
	return m;
}

static struct tls_settings serving(const struct tls_identity *id)
{
	return (struct tls_settings){ .server = true, .identities = id, .n_identities = 1 };
}

static void who_is_revoked(void **state)
{
	struct identity sub = identity_make((struct identity_of){ .cn = "sub", .ca = &ca }),
			below = identity_make((struct identity_of){ .cn = "below", .ca = &sub, .usage = "serverAuth" });
	char *none = identity_revokes(&ca, NULL, 1), *it = identity_revokes(&ca, &server, 1),
	     *old = identity_revokes(&ca, NULL, -1), *the_sub = identity_revokes(&ca, &sub, 1),
	     *of_sub = identity_revokes(&sub, NULL, 1), *other = identity_revokes(&other_ca, NULL, 1);
	CLEANUP_FREE char *chain = xasprintf("%s%s", below.cert, sub.cert);
	const struct {
		const char *cert, *key, *lists[2];
		bool whole, old_too;
		const char *says;
	} cases[] = {
		{ server.cert, server.key, { none }, false, false, NULL },
		{ server.cert, server.key, { it }, false, false, "certificate revoked" },
		{ server.cert, server.key, { it }, false, true, "certificate revoked" },
		{ server.cert, server.key, { old }, false, false, "CRL has expired" },
		{ server.cert, server.key, { old }, false, true, NULL },
		{ server.cert, server.key, { other }, false, false, "CRL signature failure" }, /* of the same name */
		{ chain, below.key, { none }, false, false, "unable to get certificate CRL" },
		{ chain, below.key, { the_sub, of_sub }, false, false, NULL },
		{ chain, below.key, { the_sub, of_sub }, true, false, "certificate revoked" },
		{ chain, below.key, { none, of_sub }, true, false, NULL },
	};
	const char *ca_pem = ca.cert;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tls_identity id = { cases[i].cert, cases[i].key };
		struct tls_settings s = serving(&id);
		struct tls_settings c = { .verify = true, .ca = &ca_pem, .n_ca = 1, .crl_check = true, .crls = cases[i].lists,
					  .n_crls = cases[i].lists[1] ? 2 : 1, .crl_whole_chain = cases[i].whole,
					  .crl_may_be_expired = cases[i].old_too };
		struct meeting m = meet(&c, &s, NULL);

		assert_int_equal(m.client_rc, cases[i].says ? -EPROTO : 0);
		if (cases[i].says && !strstr(m.client_why.text, cases[i].says))
			fail_msg("%zu: %s", i, m.client_why.text);
	}
	identity_fini(&sub);
	identity_fini(&below);
	free(none);
	free(it);
	free(old);
	free(the_sub);
	free(of_sub);
	free(other);
}

static void who_is_believed(void **state)
{
	const char *ca_pem = ca.cert, *other_pem = other_ca.cert, *leaf_pem = server.cert;
	const char *right = "www.example.com", *wrong = "www.example.net", *address = "10.0.0.1";
	struct identity old = identity_make((struct identity_of){
		.cn = "old", .ca = &ca, .usage = "serverAuth", .from_days = -20, .to_days = -1 });
	const struct {
		const struct identity *server;
		const char *ca, *host, *says;
	} cases[] = {
		{ &server, ca_pem, NULL, NULL },
		{ &server, ca_pem, right, NULL },
		{ &server, ca_pem, address, NULL },
		{ &server, leaf_pem, right, NULL }, /* itself is as good as its CA */
		{ &server, ca_pem, wrong, "its certificate is for another name" },
		{ &server, other_pem, NULL, "its certificate is not trusted: certificate signature failure" },
		{ &old, ca_pem, NULL, "its certificate is not trusted: certificate has expired" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tls_identity id = { cases[i].server->cert, cases[i].server->key };
		struct tls_settings s = serving(&id);
		struct tls_settings c = { .verify = true, .ca = &cases[i].ca, .n_ca = 1, .hosts = &cases[i].host,
					  .n_hosts = cases[i].host != NULL };
		struct meeting m = meet(&c, &s, "www.example.com");

		assert_int_equal(m.client_rc, cases[i].says ? -EPROTO : 0);
		if (cases[i].says && !strstr(m.client_why.text, cases[i].says))
			fail_msg("%zu: %s", i, m.client_why.text);
		if (cases[i].says)
			assert_non_null(strstr(m.server_why.text, "the peer refused"));
		c.ignore_errors = true;
		m = meet(&c, &s, NULL);
		assert_int_equal(m.client_rc, 0);
	}
	identity_fini(&old);
}

static void versions_and_ciphers(void **state)
{
	struct tls_identity id = { server.cert, server.key };
	struct tls_settings s = serving(&id), c = { 0 };
	struct meeting m = meet(&c, &s, NULL);

	(void)state;
	assert_string_equal(m.version, "TLSv1.3");
	c.no_tls13 = true;
	s.ciphers = "AES:3DES:RC4"; /* what profiles have by default */
	m = meet(&c, &s, NULL);
	assert_string_equal(m.version, "TLSv1.2");
	assert_string_equal(m.cipher, "ECDHE-ECDSA-AES256-GCM-SHA384");
	s.ciphers = tls_cipher_name("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
	m = meet(&c, &s, NULL);
	assert_string_equal(m.cipher, "ECDHE-ECDSA-AES128-GCM-SHA256");
	s.no_tls12 = true;
	m = meet(&c, &s, NULL);
	assert_int_equal(m.server_rc, -EPROTO);
	assert_non_null(strstr(m.server_why.text, "no version of TLS in common"));
	s.no_tls12 = false;
	c.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384";
	m = meet(&c, &s, NULL);
	assert_non_null(strstr(m.server_why.text, "no cipher, group or signature in common"));
	c = (struct tls_settings){ .groups = "P-521" };
	s.groups = "P-256:X25519";
	m = meet(&c, &s, NULL);
	assert_int_not_equal(m.server_rc, 0);
	c.groups = s.groups = "secp384r1";
	m = meet(&c, &s, NULL);
	assert_int_equal(m.server_rc, 0);
	assert_null(tls_cipher_name("TLS_NO_SUCH"));
}

static void what_cannot_be_is_a_sentence(void **state)
{
	struct tls_identity mixed = { server.cert, ca.key }, none = { "x", ca.key }, keyless = { ca.cert, "" };
	const char *junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	const struct {
		struct tls_settings s;
		const char *says;
	} cases[] = {
		{ { .no_tls12 = true, .no_tls13 = true }, "Neither TLS 1.2 nor TLS 1.3" },
		{ { .ciphers = "RC4:3DES" }, "\"RC4:3DES\" holds no cipher" },
		{ { .ciphersuites = "nonsense" }, "is no list of ciphers of TLS 1.3" },
		{ { .groups = "nonsense" }, "is no list of curves" },
		{ { .sigalgs = "nonsense" }, "is no list of signature algorithms" },
		{ { .dhparam = "nonsense" }, "Diffie-Hellman parameters" },
		{ { .identities = &mixed, .n_identities = 1 }, "cannot be used: private key mismatch" },
		{ { .identities = &none, .n_identities = 1 }, "The certificate cannot be read" },
		{ { .identities = &keyless, .n_identities = 1 }, "The private key cannot be read" },
		{ { .verify = true, .ca = &junk, .n_ca = 1 }, "of an authority cannot be read" },
		{ { .verify = true, .crls = &junk, .n_crls = 1 }, "revoked certificates cannot be read" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = { 0 };
		SSL_CTX *ctx;

		assert_int_equal(tls_context_new(&cases[i].s, &ctx, &e), -EINVAL);
		assert_null(ctx);
		if (!strstr(e.text, cases[i].says))
			fail_msg("%zu: %s", i, e.text);
	}
}

static void a_peer_that_speaks_something_else(void **state)
{
	static const char *const words[] = { "GET / HTTP/1.1\r\n\r\n", "nonsense that is long enough", "" };
	static const char *const says[] = { "not TLS (http request)", "not TLS", "closed the connection" };
	struct tls_identity id = { server.cert, server.key };
	struct tls_settings s = serving(&id);
	SSL_CTX *ctx = context(&s);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		SSL *ssl = SSL_new(ctx);
		struct err e = { 0 };
		int sv[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
		SSL_set_fd(ssl, sv[1]);
		SSL_set_accept_state(ssl);
		assert_int_equal(write(sv[0], words[i], strlen(words[i])), strlen(words[i]));
		close(sv[0]);
		assert_true(tls_shake(ssl, &e) < 0);
		if (!strstr(e.text, says[i]))
			fail_msg("%s", e.text);
		tls_end(ssl, true);
		close(sv[1]);
	}
	SSL_CTX_free(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_believed),
		cmocka_unit_test(who_is_revoked),
		cmocka_unit_test(versions_and_ciphers),
		cmocka_unit_test(what_cannot_be_is_a_sentence),
		cmocka_unit_test(a_peer_that_speaks_something_else),
	};
	int failed;

	signal(SIGPIPE, SIG_IGN);
	ca = identity_make((struct identity_of){ .cn = "ca" });
	other_ca = identity_make((struct identity_of){ .cn = "ca" });
	server = identity_make((struct identity_of){ .cn = "server", .san = "DNS:*.example.com,IP:10.0.0.1",
						     .ca = &ca, .usage = "serverAuth" });
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	identity_fini(&ca);
	identity_fini(&other_ca);
	identity_fini(&server);
	return failed;
}
