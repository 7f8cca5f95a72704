/*
 * OpenSSL under struct stream_ops. Reads and writes go to the socket directly;
 * "want read" and "want write" become -EAGAIN and the events to wait for.
 *
 * The verify callback lets every certificate pass the handshake; what OpenSSL
 * found against it is kept as the verify result, and that is what tls_peer()
 * judges by.
 */
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>

#include "base/base.h"

struct tls {
	SSL_CTX *ctx;
	bool server;
};

static const char *reason(void)
{
	unsigned long code = ERR_peek_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return text ? text : "no reason given";
}

static int judge_later(int ok, X509_STORE_CTX *ctx)
{
	(void)ok;
	(void)ctx;
	return 1;
}

static X509 *certificate(BIO *bio)
{
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	ERR_clear_error(); /* the end of the text is an error to the library */
	return x;
}

static int use_certificate(SSL_CTX *ctx, const char *pem, const char *key, struct err *e)
{
	BIO *chain = BIO_new_mem_buf(pem, -1), *secret = BIO_new_mem_buf(key, -1);
	EVP_PKEY *pkey = PEM_read_bio_PrivateKey(secret, NULL, NULL, NULL);
	X509 *leaf = certificate(chain), *next;
	int rc = 0;

	if (!leaf || !pkey || SSL_CTX_use_certificate(ctx, leaf) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, pkey) != 1)
		rc = err_set(e, -EINVAL, NULL, "our certificate or key cannot be used: %s",
			     reason());
	while (rc == 0 && (next = certificate(chain)))
		must(SSL_CTX_add0_chain_cert(ctx, next) == 1);
	X509_free(leaf);
	EVP_PKEY_free(pkey);
	BIO_free(chain);
	BIO_free(secret);
	return rc;
}

static int believe(SSL_CTX *ctx, const char *pem, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *x;
	int n = 0;

	while ((x = certificate(bio))) {
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x);
		X509_free(x);
		n++;
	}
	BIO_free(bio);
	return n ? 0 : err_set(e, -EINVAL, NULL, "the CA's certificate cannot be read");
}

int tls_new(const struct tls_config *c, struct tls **out, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(c->server ? TLS_server_method() : TLS_client_method());
	int rc = 0;

	must(ctx);
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	must(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, judge_later);
	if (c->certificate)
		rc = use_certificate(ctx, c->certificate, c->key, e);
	if (rc == 0 && c->ca)
		rc = believe(ctx, c->ca, e);
	if (rc < 0) {
		SSL_CTX_free(ctx);
		return rc;
	}
	*out = xcalloc(1, sizeof(**out));
	**out = (struct tls){ .ctx = ctx, .server = c->server };
	return 0;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx); /* counted: streams that still live keep it */
	free(t);
}

int tls_begin(struct stream *s, struct tls *t, struct err *e)
{
	SSL *ssl = SSL_new(t->ctx);

	must(ssl);
	if (SSL_set_fd(ssl, s->fd) != 1) {
		SSL_free(ssl);
		return err_set(e, -ENOMEM, NULL, "TLS: %s", reason());
	}
	if (t->server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	s->ops = &tls_ops;
	s->tls = ssl;
	return 0;
}

/* What a call that returned RC <= 0 means: 0 (the end), -EAGAIN, or an error with its sentence. */
static int outcome(struct stream *s, int rc, const char *doing, struct err *e)
{
	int error = errno;

	switch (SSL_get_error(s->tls, rc)) {
	case SSL_ERROR_WANT_READ:
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		s->wants_write = true;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		if (error == 0)
			return 0;
		return err_set(e, -error, NULL, "%s %s: %s", doing, s->peer, strerror(error));
	default:
		return err_set(e, -EPROTO, NULL, "TLS, %s %s: %s", doing, s->peer, reason());
	}
}

static int tls_open(struct stream *s, struct err *e)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	s->wants_write = false;
	rc = SSL_do_handshake(s->tls);
	if (rc == 1)
		return 0;
	rc = outcome(s, rc, "handshake with", e);
	return rc ? rc
		  : err_set(e, -ECONNRESET, NULL, "%s closed the connection during the handshake",
			    s->peer);
}

static ssize_t tls_read(struct stream *s, void *p, size_t n, struct err *e)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_read(s->tls, p, (int)MIN(n, 1u << 30));
	return rc > 0 ? rc : outcome(s, rc, "reading from", e);
}

static ssize_t tls_write(struct stream *s, const void *p, size_t n, struct err *e)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_write(s->tls, p, (int)MIN(n, 1u << 30));
	if (rc > 0)
		return rc;
	rc = outcome(s, rc, "writing to", e);
	return rc ? rc : err_set(e, -EPIPE, NULL, "%s closed the connection", s->peer);
}

static void tls_close(struct stream *s)
{
	if (SSL_is_init_finished(s->tls))
		SSL_shutdown(s->tls);
	SSL_free(s->tls);
	s->tls = NULL;
	ERR_clear_error();
}

const struct stream_ops tls_ops = {
	.open = tls_open, .read = tls_read, .write = tls_write, .close = tls_close
};

/* ---- who is the peer ------------------------------------------------ */

static void fingerprint(const X509 *x, char out[static TLS_FINGERPRINT])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	must(X509_digest(x, EVP_sha256(), md, &n) == 1);
	hex_encode(out, md, n);
}

/* Borrowed; the leaf itself when it is all that was sent. */
static X509 *root(SSL *ssl)
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	int n = chain ? sk_X509_num(chain) : 0;

	return n ? sk_X509_value(chain, n - 1) : SSL_get0_peer_certificate(ssl);
}

void tls_peer(const struct stream *s, struct tls_peer *out)
{
	SSL *ssl = s->tls;
	X509 *leaf, *top;
	long verdict;

	*out = (struct tls_peer){ 0 };
	must(s->ops == &tls_ops && s->state == STREAM_OPEN);
	leaf = SSL_get0_peer_certificate(ssl);
	if (!leaf) {
		snprintf(out->why, sizeof(out->why), "no certificate was shown");
		return;
	}
	out->present = true;
	verdict = SSL_get_verify_result(ssl);
	out->trusted = verdict == X509_V_OK;
	if (!out->trusted)
		snprintf(out->why, sizeof(out->why), "%s", X509_verify_cert_error_string(verdict));
	X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, out->name,
				  sizeof(out->name));
	fingerprint(leaf, out->fingerprint);
	top = root(ssl);
	if (top)
		fingerprint(top, out->root_fingerprint);
}

/* Caller frees. */
static char *pem_text(BIO *bio)
{
	char *p = NULL, *copy;
	long n = BIO_get_mem_data(bio, &p);

	copy = xstrndup(p, (size_t)n);
	BIO_free(bio);
	return copy;
}

char *tls_peer_root(const struct stream *s)
{
	X509 *top = s->tls ? root(s->tls) : NULL;
	BIO *bio;

	if (!top)
		return NULL;
	bio = BIO_new(BIO_s_mem());
	must(bio && PEM_write_bio_X509(bio, top) == 1);
	return pem_text(bio);
}

int tls_fingerprint(const char *pem, char out[static TLS_FINGERPRINT], struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *x = certificate(bio);

	BIO_free(bio);
	if (!x)
		return err_set(e, -EINVAL, NULL, "not a certificate in PEM");
	fingerprint(x, out);
	X509_free(x);
	return 0;
}

int tls_request(const char *cn, char **key, char **csr, struct err *e)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	X509_REQ *req = X509_REQ_new();
	BIO *key_pem = BIO_new(BIO_s_mem()), *csr_pem = BIO_new(BIO_s_mem());
	int rc = 0;

	must(req && key_pem && csr_pem);
	if (!pkey || X509_REQ_set_version(req, 0) != 1 ||
	    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_UTF8,
				       (const unsigned char *)cn, -1, -1, 0) != 1 ||
	    X509_REQ_set_pubkey(req, pkey) != 1 || X509_REQ_sign(req, pkey, EVP_sha256()) <= 0 ||
	    PEM_write_bio_PKCS8PrivateKey(key_pem, pkey, NULL, NULL, 0, NULL, NULL) != 1 ||
	    PEM_write_bio_X509_REQ(csr_pem, req) != 1)
		rc = err_set(e, -EINVAL, NULL, "making a key and a signing request for \"%s\": %s",
			     cn, reason());
	EVP_PKEY_free(pkey);
	X509_REQ_free(req);
	if (rc < 0) {
		BIO_free(key_pem);
		BIO_free(csr_pem);
		return rc;
	}
	*key = pem_text(key_pem);
	*csr = pem_text(csr_pem);
	return 0;
}
