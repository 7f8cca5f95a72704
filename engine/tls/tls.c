#include "engine/tls/tls.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/tls/hello.h"
#include "engine/clone/plain.h"
#include "engine/http/http.h"
#include "engine/records.h"
#include "engine/capture/secrets.h"
#include "engine/tls/secure.h"
#include "engine/snapshot.h"
#include "engine/worker.h"

#define RECORD_MAX   16384
#define RECORD_SMALL 4096           /* a client can read the first words before 16 KB are there */
#define BURST_SMALL  (64u << 10)    /* so many bytes in small records */
#define LEAVE_MS     2000
#define SILENCE_NS   NS_PER_S       /* after that a burst begins anew */

/* ---- the library's way to our socket ------------------------------------------ */

static int bio_read(BIO *b, char *p, int n)
{
	struct conn *c = BIO_get_data(b);
	ssize_t got;

	BIO_clear_retry_flags(b);
	do
		got = recv(c->watch.fd, p, (size_t)n, 0);
	while (got < 0 && errno == EINTR);
	c->received += got > 0 ? (uint32_t)got : 0;
	if (got < 0 && errno == EAGAIN)
		BIO_set_retry_read(b);
	return (int)got;
}

static int bio_write(BIO *b, const char *p, int n)
{
	struct conn *c = BIO_get_data(b);
	/* A ticket goes with the first answer, not in a packet of its own; the kernel waits 200 ms for it. */
	bool more = c->tls->follows || SSL_get_state(c->tls->ssl) == TLS_ST_SW_SESSION_TICKET;
	ssize_t put;

	BIO_clear_retry_flags(b);
	do
		put = send(c->watch.fd, p, (size_t)n, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
	while (put < 0 && errno == EINTR);
	c->sent += put > 0 ? (uint32_t)put : 0;
	if (put < 0 && errno == EAGAIN)
		BIO_set_retry_write(b);
	return (int)put;
}

static long bio_ctrl(BIO *b, int command, long n, void *p)
{
	(void)b, (void)n, (void)p;
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static BIO_METHOD *method;

static void make_method(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn");
	must(method && BIO_meth_set_read(method, bio_read) && BIO_meth_set_write(method, bio_write) &&
	     BIO_meth_set_ctrl(method, bio_ctrl));
}

static int attach(struct conn *c, SSL_CTX *ctx)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;
	SSL *ssl;

	pthread_once(&once, make_method);
	secrets_watch(ctx, c);
	ssl = SSL_new(ctx);
	bio = ssl ? BIO_new(method) : NULL;
	if (!bio) {
		SSL_free(ssl);
		ERR_clear_error();
		return -ENOMEM;
	}
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_app_data(ssl, c);
	c->tls->ssl = ssl;
	return 0;
}

static int conn_tls_new(struct conn *c, struct secure *s)
{
	c->tls = slab_get(&c->worker->tls);
	if (!c->tls)
		return -ENOMEM;
	c->tls->conn = c;
	list_init(&c->tls->shaking);
	c->tls->secure = secure_get(s);
	c->stream = &stream_tls;
	return 0;
}

void tls_fini(struct conn *c, bool say)
{
	struct conn_tls *t = c->tls;

	if (!list_empty(&t->shaking)) {
		list_remove(&t->shaking);
		c->worker->n_shaking--;
	}
	t->follows = true; /* the FIN */
	tls_end(t->ssl, say && t->done && !c->shut);
	secure_put(t->secure);
	free(t->hello);
	slab_put(&c->worker->tls, t);
	c->tls = NULL;
}

/* ---- bytes ---------------------------------------------------------------------- */

/* What a call that returned RC <= 0 means: 0 (the end), -EAGAIN, or -errno. */
static ssize_t outcome(struct conn *c, int rc, int error)
{
	switch (SSL_get_error(c->tls->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		/* Many leave without close_notify; what had a length is known to be whole or not. */
		return error ? -error : 0;
	default:
		ERR_clear_error();
		return -EPROTO;
	}
}

static ssize_t tls_recv(struct conn *c, void *p, size_t n)
{
	struct conn_tls *t = c->tls;
	size_t got = 0;
	ssize_t rc = -EAGAIN;

	t->more = false;
	while (got < n) {
		int m;

		ERR_clear_error();
		errno = 0;
		m = SSL_read(t->ssl, (char *)p + got, (int)MIN(n - got, 1u << 30));
		if (m <= 0) {
			rc = outcome(c, m, errno);
			break;
		}
		got += (size_t)m;
		/* Another record may have come by the same system call; it is not worth one to find out. */
		if (got < n && !SSL_has_pending(t->ssl))
			return (ssize_t)got;
	}
	if (rc == -EAGAIN && got < n && SSL_want_write(t->ssl) && !t->parked) {
		/* An answer to the peer's key update must leave first: EPOLLIN alone would be told for ever. */
		t->parked = true;
		watch_set(c->worker->loop, &c->watch, (c->watch.events & ~(uint32_t)EPOLLIN) | EPOLLOUT);
	}
	/* Nor does the kernel tell of an end that was said behind bytes: it is read already, and no FIN need follow. */
	if (got == n ? SSL_has_pending(t->ssl) : got && rc != -EAGAIN) {
		t->more = true;
		if (c->watch.active && c->watch.events & EPOLLIN)
			watch_again(c->worker->loop, &c->watch, EPOLLIN);
	}
	/* What was met behind bytes is met again. */
	return got ? (ssize_t)got : rc;
}

static size_t record_size(struct conn *c)
{
	struct conn_tls *t = c->tls;
	uint64_t now = loop_now(c->worker->loop);

	if (now - t->sent_ns > SILENCE_NS)
		t->burst = 0;
	t->sent_ns = now;
	return t->burst < BURST_SMALL ? RECORD_SMALL : RECORD_MAX;
}

/* Up to MAX bytes from OFFSET of IOV on, in one piece. */
static const char *piece(const struct iovec *iov, int n, size_t offset, size_t max, size_t *len)
{
	static _Thread_local char record[RECORD_MAX];
	const char *first = (const char *)iov->iov_base + offset;

	*len = MIN(iov->iov_len - offset, max);
	if (*len == max || n == 1)
		return first;
	memcpy(record, first, *len);
	for (int i = 1; i < n && *len < max; i++) {
		size_t m = MIN(iov[i].iov_len, max - *len);

		memcpy(record + *len, iov[i].iov_base, m);
		*len += m;
	}
	return record;
}

static ssize_t tls_send(struct conn *c, const struct iovec *iov, int n, bool more)
{
	struct conn_tls *t = c->tls;
	size_t total = 0, sent = 0, offset = 0, max = record_size(c);

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	while (sent < total) {
		size_t len;
		const char *p;
		int rc;

		while (offset == iov->iov_len) {
			iov++;
			n--;
			offset = 0;
		}
		/* A record that was begun is finished as it is. */
		p = piece(iov, n, offset, MAX(max, (size_t)t->retry), &len);
		t->follows = more || sent + len < total;
		ERR_clear_error();
		errno = 0;
		rc = SSL_write(t->ssl, p, (int)len);
		if (rc <= 0) {
			ssize_t why = outcome(c, rc, errno);

			if (why != -EAGAIN)
				return why ? why : -EPIPE;
			t->retry = (uint32_t)len;
			return sent ? (ssize_t)sent : -EAGAIN;
		}
		t->retry = 0;
		sent += (size_t)rc;
		t->burst = MIN(t->burst + (uint32_t)rc, BURST_SMALL);
		if (t->burst == BURST_SMALL)
			max = RECORD_MAX;
		for (size_t left = (size_t)rc; left;) {
			size_t m = MIN(left, iov->iov_len - offset);

			offset += m;
			left -= m;
			if (offset == iov->iov_len && left) {
				iov++;
				n--;
				offset = 0;
			}
		}
	}
	return (ssize_t)sent;
}

static int tls_shutdown(struct conn *c)
{
	struct conn_tls *t = c->tls;
	int rc;

	ERR_clear_error();
	t->follows = true; /* the FIN: one packet */
	rc = SSL_shutdown(t->ssl);
	if (rc < 0 && SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_WRITE) {
		t->ending = true;
		conn_want_out(c);
		return 0;
	}
	ERR_clear_error();
	return shutdown(c->watch.fd, SHUT_WR) < 0 ? -errno : 0;
}

const struct stream_ops stream_tls = { "tls", tls_recv, tls_send, tls_shutdown };

uint32_t tls_events(struct conn *c, uint32_t events)
{
	struct conn_tls *t = c->tls;
	struct loop *l = c->worker->loop;

	if (t->ending && events & EPOLLOUT) {
		t->ending = false;
		watch_set(l, &c->watch, c->watch.events & ~(uint32_t)EPOLLOUT);
		events &= ~(uint32_t)EPOLLOUT;
		tls_shutdown(c);
	}
	if (t->parked && events & EPOLLOUT) {
		t->parked = false;
		watch_set(l, &c->watch, (c->watch.events & ~(uint32_t)(c->out ? 0 : EPOLLOUT)) | EPOLLIN);
		events |= EPOLLIN;
		if (!c->out)
			events &= ~(uint32_t)EPOLLOUT;
	}
	return events & (c->watch.events | EPOLLERR | EPOLLHUP);
}

void tls_wanted_in(struct conn *c, bool yes)
{
	c->tls->parked = false;
	if (yes && c->tls->more)
		watch_again(c->worker->loop, &c->watch, EPOLLIN);
}

/* ---- handshakes -------------------------------------------------------------------- */

static void count_done(const struct conn *c)
{
	bool reused = SSL_session_reused(c->tls->ssl);

	if (c->side == CONN_SERVER) {
		counter_add(reused ? &c->backend->counters->tls_reused : &c->backend->counters->tls_new, 1);
		return;
	}
	counter_add(reused ? &c->service->counters->tls_reused : &c->service->counters->tls_new, 1);
	counter_add(SSL_version(c->tls->ssl) == TLS1_3_VERSION ? &c->service->counters->tls_v13
							       : &c->service->counters->tls_v12, 1);
}

static void count_failed(struct conn *c, enum tls_cause cause)
{
	struct service_counters *s = c->service->counters;

	c->reason = RECORD_SSL_HANDSHAKE;
	if (c->side == CONN_SERVER) {
		counter_add(cause == TLS_CAUSE_UNTRUSTED ? &c->backend->counters->tls_untrusted
							 : &c->backend->counters->tls_failed, 1);
		return;
	}
	switch (cause) {
#define X(upper, lower, text)                              \
	case TLS_CAUSE_##upper:                            \
		counter_add(&s->tls_failed_##lower, 1);    \
		break;
		TLS_CAUSES(X)
#undef X
	}
}

/* Why a pool that its monitors call up answers nobody. Once a minute for each server. */
static void tell_untrusted(struct worker_backend *b, uint64_t now, const char *why)
{
	if (b->untrusted_ns && now - b->untrusted_ns < 60 * NS_PER_S)
		return;
	b->untrusted_ns = now;
	log_warn("server_untrusted pool=%s server=%s reason=\"%s\"", b->member.backend->pool, b->member.backend->name, why);
}

int tls_shake_on(struct conn *c)
{
	struct conn_tls *t = c->tls;
	struct err e = { 0 };
	enum tls_cause cause;
	int rc, error;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(t->ssl);
	error = errno;
	if (rc == 1) {
		t->done = true;
		/* What came with the peer's last words of the handshake: epoll does not know of it. */
		t->more = SSL_has_pending(t->ssl);
		count_done(c);
		return 0;
	}
	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		conn_flush(c); /* nothing is there: EPOLLOUT is no longer wanted */
		conn_want_in(c, true);
		return 1;
	case SSL_ERROR_WANT_WRITE:
		conn_want_in(c, false);
		conn_want_out(c);
		return 1;
	case SSL_ERROR_SYSCALL:
		if (error) {
			ERR_clear_error();
			count_failed(c, TLS_CAUSE_CLOSED);
			return -error;
		}
		break;
	default:
		break;
	}
	t->http = ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_HTTP_REQUEST;
	cause = tls_why(t->ssl, &e);
	count_failed(c, cause);
	if (c->side == CONN_SERVER && cause == TLS_CAUSE_UNTRUSTED)
		tell_untrusted(c->backend, loop_now(c->worker->loop), e.text);
	trace_put(TRACE_TLS, c->id, e.code, c->side);
	return e.code;
}

/* The first message is the ClientHello; of a second one, after a retry, nobody makes fingerprints. */
static void heard(int ours, int version, int type, const void *p, size_t n, SSL *ssl, void *arg)
{
	struct conn_tls *t = ((struct conn *)SSL_get_app_data(ssl))->tls;
	struct hello hello;

	(void)version;
	(void)arg;
	if (ours || type != SSL3_RT_HANDSHAKE || t->hello || hello_read(p, n, &hello) < 0)
		return;
	t->hello = xmalloc(sizeof(hello));
	*t->hello = hello;
}

/* Who was answered in plain text: he reads it before his connection is gone. */
static void leaving_ready(struct conn *c, uint32_t events)
{
	ssize_t n = events & EPOLLERR ? 0 : recv(c->watch.fd, c->worker->scratch, WORKER_SCRATCH, 0);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		conn_close(c);
}

static void leaving_cut(struct conn *c, enum conn_cut why)
{
	(void)why;
	conn_close(c);
}

static const struct proto_ops leaving = {
	.name = "leaving", .ready = leaving_ready, .expired = conn_close, .cut = leaving_cut,
};

/* A browser that was sent to http://...:443 would show an empty page. It counts among the handshakes, which bounds them. */
static void answer_plainly(struct conn *c)
{
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 42\r\n"
				     "Connection: close\r\n\r\nThis port speaks TLS: ask it by https://.\n";

	if (send(c->watch.fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0 || shutdown(c->watch.fd, SHUT_WR) < 0) {
		conn_close(c);
		return;
	}
	c->proto = &leaving;
	conn_want_in(c, true);
	conn_deadline(c, LEAVE_MS);
}

/* A client's turn in the handshake. */
static void shaking_ready(struct conn *c, uint32_t events)
{
	struct worker *w = c->worker;
	struct conn_tls *t = c->tls;
	const char *alpn;
	SSL_CTX *ctx;
	unsigned n;
	int rc;

	if (events & EPOLLERR) {
		count_failed(c, TLS_CAUSE_CLOSED);
		conn_reset(c);
		return;
	}
	if (!t->ssl) {
		ctx = secure_context(t->secure, w->id);
		if (!ctx || attach(c, ctx) < 0) {
			count_failed(c, TLS_CAUSE_OTHER);
			conn_reset(c);
			return;
		}
		SSL_set_accept_state(t->ssl);
		if (c->listener->snapshot->clone.sink)
			SSL_set_msg_callback(t->ssl, heard);
	}
	rc = tls_shake_on(c);
	if (rc == 1)
		return;
	if (rc < 0) {
		if (t->http && c->listener->snapshot->proto == &http_proto)
			answer_plainly(c);
		else
			conn_close(c); /* the alert is on its way */
		return;
	}
	list_remove(&t->shaking);
	w->n_shaking--;
	conn_flush(c);
	conn_want_in(c, true);
	conn_deadline(c, 0);
	alpn = conn_alpn(c, &n);
	c->h2 = n == 2 && memcmp(alpn, "h2", 2) == 0;
	c->proto = c->listener->snapshot->proto;
	plain_attach_client(c);
	retell_attach(c, false);
	c->proto->accepted(c);
}

static void shaking_expired(struct conn *c)
{
	counter_add(&c->service->counters->tls_late, 1);
	c->reason = RECORD_SSL_HANDSHAKE;
	conn_reset(c);
}

static void shaking_cut(struct conn *c, enum conn_cut why)
{
	(void)why;
	c->reason = RECORD_CUT;
	conn_reset(c);
}

static const struct proto_ops shaking = {
	.name = "tls", .ready = shaking_ready, .expired = shaking_expired, .cut = shaking_cut,
};

void tls_serve(struct conn *c)
{
	struct worker *w = c->worker;

	c->proto = &shaking;
	if (!c->listener->snapshot->clients_tls) {
		count_failed(c, TLS_CAUSE_OTHER); /* the port is TLS, and there is no certificate */
		conn_reset(c);
		return;
	}
	if (conn_tls_new(c, c->listener->snapshot->clients_tls) < 0) {
		counter_add(&c->service->counters->conn_refused_memory, 1);
		c->reason = RECORD_NO_MEMORY;
		conn_reset(c);
		return;
	}
	/* A flood of half handshakes pushes itself out: who means it is through in a moment. */
	if (w->n_shaking >= w->shaking_max) {
		struct conn *oldest = LIST_ENTRY(w->shaking.next, struct conn_tls, shaking)->conn;

		counter_add(&oldest->service->counters->tls_flooded, 1);
		oldest->reason = RECORD_SSL_HANDSHAKE;
		conn_reset(oldest);
	}
	list_insert(&w->shaking, &c->tls->shaking);
	w->n_shaking++;
	conn_deadline(c, TLS_SHAKE_MS);
}

/* ---- servers -------------------------------------------------------------------------- */

int tls_dial(struct conn *c, struct secure *s, const char *name)
{
	SSL_CTX *ctx = secure_context(s, c->worker->id);
	struct worker_backend *b = c->backend;
	int rc = ctx ? conn_tls_new(c, s) : -ENOMEM;

	if (rc == 0)
		rc = attach(c, ctx);
	if (rc < 0)
		return rc;
	if (name && *name)
		SSL_set_tlsext_host_name(c->tls->ssl, name);
	if (b->tls_session && b->tls_secure == s)
		SSL_set_session(c->tls->ssl, b->tls_session);
	SSL_set_connect_state(c->tls->ssl);
	return 0;
}

int tls_session_kept(struct conn *c, struct ssl_session_st *session)
{
	struct worker_backend *b = c->backend;

	if (!b || !SSL_SESSION_is_resumable(session))
		return 0;
	worker_backend_forget_session(b);
	b->tls_session = session;
	b->tls_secure = secure_get(c->tls->secure);
	return 1;
}

/* ---- questions -------------------------------------------------------------------------- */

const char *conn_alpn(const struct conn *c, unsigned *len)
{
	const unsigned char *p = NULL;
	unsigned n = 0;

	if (c->tls && c->tls->ssl)
		SSL_get0_alpn_selected(c->tls->ssl, &p, &n);
	if (len)
		*len = n;
	return p ? (const char *)p : "";
}

const char *conn_sni(const struct conn *c)
{
	return c->tls && c->tls->ssl ? SSL_get_servername(c->tls->ssl, TLSEXT_NAMETYPE_host_name) : NULL;
}

void tls_note(const struct conn *c, struct record *rec)
{
	const char *sni = conn_sni(c), *version, *cipher;

	if (!c->tls || !c->tls->ssl)
		return;
	version = SSL_get_version(c->tls->ssl);
	cipher = SSL_get_cipher_name(c->tls->ssl);
	if (sni)
		record_text(rec, RECORD_T_SNI, sni, strlen(sni));
	record_text(rec, RECORD_T_TLS_VERSION, version, strlen(version));
	record_text(rec, RECORD_T_TLS_CIPHER, cipher, strlen(cipher));
}

struct secure *conn_secure(const struct conn *c)
{
	return c->tls->secure;
}

const char *conn_alpn_offer(const struct conn *c)
{
	const struct snapshot_tls_port *p =
		snapshot_tls_port(c->listener->snapshot, c->port);

	return p ? p->alpn : NULL;
}
