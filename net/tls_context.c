#include "net/tls_context.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/base.h"

static const char *reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return text ? text : "no reason given";
}

static bool is_set(const char *s)
{
	return s && *s && strcmp(s, "auto") != 0;
}

/* ---- who we are ---------------------------------------------------------- */

/* A key with a pass phrase is no use here: nobody could be asked for it. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf, (void)size, (void)writing, (void)arg;
	return -1;
}

static int use_identity(SSL_CTX *ctx, const struct tls_identity *id, struct err *e)
{
	BIO *pem = BIO_new_mem_buf(id->certificate, -1), *secret = BIO_new_mem_buf(id->key, -1);
	X509 *leaf = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL), *next;
	EVP_PKEY *key = PEM_read_bio_PrivateKey(secret, NULL, no_passphrase, NULL);
	STACK_OF(X509) *chain = sk_X509_new_null();
	int rc = 0;

	must(pem && secret && chain);
	while (leaf && (next = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL)))
		must(sk_X509_push(chain, next));
	ERR_clear_error(); /* the end of the text is an error to the library */
	if (!leaf || !key)
		rc = err_set(e, -EINVAL, NULL, "%s cannot be read.", leaf ? "The private key" : "The certificate");
	else if (SSL_CTX_use_cert_and_key(ctx, leaf, key, chain, 0) != 1)
		rc = err_set(e, -EINVAL, NULL, "Certificate and key cannot be used: %s.", reason());
	sk_X509_pop_free(chain, X509_free);
	X509_free(leaf);
	EVP_PKEY_free(key);
	BIO_free(pem);
	BIO_free(secret);
	return rc;
}

/* ---- whom we believe ------------------------------------------------------- */

static int believe(X509_STORE *store, const char *text, struct err *e)
{
	BIO *pem = BIO_new_mem_buf(text, -1);
	X509 *x;
	int n = 0;

	while ((x = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL))) {
		X509_STORE_add_cert(store, x); /* twice is not wrong */
		X509_free(x);
		n++;
	}
	BIO_free(pem);
	ERR_clear_error();
	return n ? 0 : err_set(e, -EINVAL, NULL, "A certificate of an authority cannot be read.");
}

static int revoke(X509_STORE *store, const char *text, struct err *e)
{
	BIO *pem = BIO_new_mem_buf(text, -1);
	X509_CRL *crl;
	int n = 0;

	while ((crl = PEM_read_bio_X509_CRL(pem, NULL, no_passphrase, NULL))) {
		X509_STORE_add_crl(store, crl);
		X509_CRL_free(crl);
		n++;
	}
	BIO_free(pem);
	ERR_clear_error();
	return n ? 0 : err_set(e, -EINVAL, NULL, "A list of revoked certificates cannot be read.");
}

static int ignore_expired_crl(int ok, X509_STORE_CTX *x)
{
	if (!ok && X509_STORE_CTX_get_error(x) == X509_V_ERR_CRL_HAS_EXPIRED) {
		X509_STORE_CTX_set_error(x, X509_V_OK);
		return 1;
	}
	return ok;
}

static int ignore_all(int ok, X509_STORE_CTX *x)
{
	(void)ok;
	X509_STORE_CTX_set_error(x, X509_V_OK);
	return 1;
}

/* The chain that the peer sent is as if it had not: only what stands in the store leads to a root. */
static int verify_leaf_only(X509_STORE_CTX *x, void *arg)
{
	(void)arg;
	X509_STORE_CTX_set0_untrusted(x, NULL);
	return X509_verify_cert(x);
}

static int verify_settings(SSL_CTX *ctx, const struct tls_settings *s, struct err *e)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
	unsigned long flags = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->n_ca; i++)
		rc = believe(store, s->ca[i], e);
	for (size_t i = 0; rc == 0 && i < s->n_crls; i++)
		rc = revoke(store, s->crls[i], e);
	if (rc < 0)
		return rc;
	if (s->crl_check)
		flags = X509_V_FLAG_CRL_CHECK | (s->crl_whole_chain ? X509_V_FLAG_CRL_CHECK_ALL : 0);
	/* An intermediate that the operator has named is a root to him. */
	X509_VERIFY_PARAM_set_flags(param, flags | X509_V_FLAG_PARTIAL_CHAIN);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	for (size_t i = 0; i < s->n_hosts; i++) {
		struct in6_addr a;

		if (inet_pton(AF_INET, s->hosts[i], &a) == 1 || inet_pton(AF_INET6, s->hosts[i], &a) == 1)
			X509_VERIFY_PARAM_set1_ip_asc(param, s->hosts[i]);
		else if (X509_VERIFY_PARAM_add1_host(param, s->hosts[i], 0) != 1)
			return err_set(e, -EINVAL, NULL, "\"%s\" is no name of a host.", s->hosts[i]);
	}
	if (s->ignore_peer_chain)
		SSL_CTX_set_cert_verify_callback(ctx, verify_leaf_only, NULL);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER,
			   s->ignore_errors	 ? ignore_all
			   : s->crl_may_be_expired ? ignore_expired_crl
						   : NULL);
	return 0;
}

/* ---- how we speak ------------------------------------------------------------ */

/* Lists are the operator's; what nobody wants in them goes in any case. */
static int cipher_settings(SSL_CTX *ctx, const struct tls_settings *s, struct err *e)
{
	if (is_set(s->ciphers)) {
		CLEANUP_FREE char *list = xasprintf("%s:!aNULL:!eNULL:!PSK:!SRP", s->ciphers);

		if (SSL_CTX_set_cipher_list(ctx, list) != 1) {
			ERR_clear_error();
			return err_set(e, -EINVAL, NULL,
				       "\"%.200s\" holds no cipher of TLS 1.2 that can be used.", s->ciphers);
		}
	}
	if (is_set(s->ciphersuites) && SSL_CTX_set_ciphersuites(ctx, s->ciphersuites) != 1) {
		ERR_clear_error();
		return err_set(e, -EINVAL, NULL, "\"%.200s\" is no list of ciphers of TLS 1.3.", s->ciphersuites);
	}
	if (is_set(s->groups) && SSL_CTX_set1_groups_list(ctx, s->groups) != 1) {
		ERR_clear_error();
		return err_set(e, -EINVAL, NULL, "\"%.200s\" is no list of curves (prime256v1:secp384r1:X25519).",
			       s->groups);
	}
	if (is_set(s->sigalgs) && SSL_CTX_set1_sigalgs_list(ctx, s->sigalgs) != 1) {
		ERR_clear_error();
		return err_set(e, -EINVAL, NULL, "\"%.200s\" is no list of signature algorithms.", s->sigalgs);
	}
	return 0;
}

static int dh_settings(SSL_CTX *ctx, const char *text, struct err *e)
{
	BIO *pem = BIO_new_mem_buf(text, -1);
	EVP_PKEY *dh = PEM_read_bio_Parameters(pem, NULL);
	bool usable = dh && EVP_PKEY_get_base_id(dh) == EVP_PKEY_DH && SSL_CTX_set0_tmp_dh_pkey(ctx, dh) == 1;

	BIO_free(pem);
	if (usable)
		return 0;
	EVP_PKEY_free(dh);
	return err_set(e, -EINVAL, NULL, "The Diffie-Hellman parameters cannot be used: %s.", reason());
}

static int settings(SSL_CTX *ctx, const struct tls_settings *s, struct err *e)
{
	int rc;

	if (s->no_tls12 && s->no_tls13)
		return err_set(e, -EINVAL, NULL, "Neither TLS 1.2 nor TLS 1.3 is accepted.");
	must(SSL_CTX_set_min_proto_version(ctx, s->no_tls12 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1);
	must(SSL_CTX_set_max_proto_version(ctx, s->no_tls13 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	if (s->server && !s->prefer_client_ciphers)
		SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1); /* a record by one system call, not two */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (s->no_close_notify)
		SSL_CTX_set_quiet_shutdown(ctx, 1);
	if (s->no_resumption) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(ctx, 0);
	} else {
		SSL_CTX_set_num_tickets(ctx, 1);
	}
	if (s->session_s)
		SSL_CTX_set_timeout(ctx, s->session_s);
	rc = cipher_settings(ctx, s, e);
	if (rc == 0 && s->dhparam && *s->dhparam)
		rc = dh_settings(ctx, s->dhparam, e);
	for (size_t i = 0; rc == 0 && i < s->n_identities; i++)
		rc = use_identity(ctx, &s->identities[i], e);
	if (rc == 0 && s->verify)
		rc = verify_settings(ctx, s, e);
	return rc;
}

int tls_context_new(const struct tls_settings *s, SSL_CTX **out, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(s->server ? TLS_server_method() : TLS_client_method());
	int rc;

	must(ctx);
	ERR_clear_error();
	rc = settings(ctx, s, e);
	if (rc < 0) {
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	*out = ctx;
	return rc;
}

const char *tls_cipher_name(const char *standard_name)
{
	const char *name = OPENSSL_cipher_name(standard_name);

	return strcmp(name, "(NONE)") == 0 ? NULL : name;
}

/* ---- trouble ------------------------------------------------------------------- */

static enum tls_cause cause_of(unsigned long code)
{
	int r = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;

	switch (r) {
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_NO_PROTOCOLS_AVAILABLE:
	case SSL_R_VERSION_TOO_LOW:
	case SSL_R_VERSION_TOO_HIGH:
	case SSL_R_UNKNOWN_PROTOCOL:
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
		return TLS_CAUSE_VERSION;
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
	case SSL_R_NO_SUITABLE_GROUPS:
	case SSL_R_NO_SHARED_GROUPS:
	case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
	case SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY:
		return TLS_CAUSE_CIPHER;
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		return TLS_CAUSE_UNTRUSTED;
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_RECORD_TOO_SMALL:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_UNEXPECTED_MESSAGE:
	case SSL_R_BAD_PACKET_LENGTH:
		return TLS_CAUSE_NOT_TLS;
	case SSL_R_UNEXPECTED_EOF_WHILE_READING:
		return TLS_CAUSE_CLOSED;
	default:
		return r >= SSL_AD_REASON_OFFSET ? TLS_CAUSE_ALERT : TLS_CAUSE_OTHER;
	}
}

enum tls_cause tls_why(SSL *ssl, struct err *e)
{
	static const char *const texts[] = {
#define X(upper, lower, text) [TLS_CAUSE_##upper] = text,
		TLS_CAUSES(X)
#undef X
	};
	unsigned long code = ERR_peek_last_error(); /* what TLS says; before it stands why */
	enum tls_cause cause = code ? cause_of(code) : TLS_CAUSE_CLOSED;
	long verdict = SSL_get_verify_result(ssl);
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	if (cause == TLS_CAUSE_UNTRUSTED && verdict == X509_V_ERR_HOSTNAME_MISMATCH)
		err_set(e, -EPROTO, NULL, "its certificate is for another name");
	else if (cause == TLS_CAUSE_UNTRUSTED && verdict != X509_V_OK)
		err_set(e, -EPROTO, NULL, "its certificate is not trusted: %s",
			X509_verify_cert_error_string(verdict));
	else if (cause == TLS_CAUSE_CLOSED)
		err_set(e, -ECONNRESET, NULL, "it closed the connection during the TLS handshake");
	else
		err_set(e, -EPROTO, NULL, "%s (%s)", texts[cause], text ? text : "no reason given");
	ERR_clear_error();
	return cause;
}

/* ---- sessions --------------------------------------------------------------------- */

SSL *tls_client(SSL_CTX *ctx, int fd, const char *name)
{
	struct in6_addr a;
	SSL *ssl = SSL_new(ctx);

	if (!ssl || SSL_set_fd(ssl, fd) != 1) {
		SSL_free(ssl);
		ERR_clear_error();
		return NULL;
	}
	if (name && *name && inet_pton(AF_INET, name, &a) != 1 && inet_pton(AF_INET6, name, &a) != 1)
		SSL_set_tlsext_host_name(ssl, name);
	SSL_set_connect_state(ssl);
	return ssl;
}

int tls_shake(SSL *ssl, struct err *e)
{
	int rc, error;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(ssl);
	if (rc == 1)
		return 0;
	error = errno;
	switch (SSL_get_error(ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_SYSCALL:
		if (error && !ERR_peek_error()) {
			err_set(e, -error, NULL, "%s during the handshake", strerror(error));
			return -error;
		}
		__attribute__((fallthrough));
	default:
		return tls_why(ssl, e) == TLS_CAUSE_CLOSED ? -ECONNRESET : -EPROTO;
	}
}

/* What a call that returned RC <= 0 means. */
static ssize_t outcome(SSL *ssl, int rc, int error, struct err *e)
{
	switch (SSL_get_error(ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		return error ? err_set(e, -error, NULL, "%s", strerror(error)) : 0;
	default:
		/* Many leave without a word; who counts bytes knows whether something was lost. */
		if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
			ERR_clear_error();
			return 0;
		}
		return err_set(e, -EPROTO, NULL, "%s", reason());
	}
}

ssize_t tls_get(SSL *ssl, void *p, size_t n, struct err *e)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_read(ssl, p, (int)MIN(n, 1u << 30));
	return rc > 0 ? rc : outcome(ssl, rc, errno, e);
}

ssize_t tls_put(SSL *ssl, const void *p, size_t n, struct err *e)
{
	ssize_t put;
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_write(ssl, p, (int)MIN(n, 1u << 30));
	if (rc > 0)
		return rc;
	put = outcome(ssl, rc, errno, e);
	return put ? put : err_set(e, -EPIPE, NULL, "it closed the connection");
}

bool tls_wants_out(const SSL *ssl)
{
	return SSL_want_write(ssl);
}

void tls_end(SSL *ssl, bool say)
{
	if (!ssl)
		return;
	if (say && SSL_is_init_finished(ssl))
		SSL_shutdown(ssl);
	SSL_free(ssl);
	ERR_clear_error();
}
