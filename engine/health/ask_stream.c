/*
 * Over a connection: connect, perhaps shake hands for TLS, say the request, read until the answer is judged.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "base/buf.h"
#include "engine/backend.h"
#include "engine/health/ask.h"
#include "engine/health/http_answer.h"
#include "engine/health/probe.h"
#include "net/tls_context.h"

/* --- what is sent --- */

static bool has_header(const char *request, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = strchr(request, '\n'); line; line = strchr(line, '\n')) {
		line++;
		if (strncasecmp(line, name, n) == 0 && line[n] == ':')
			return true;
	}
	return false;
}

/* The request as text: lines end in CR LF whatever the user typed; what HTTP wants is added. */
static char *http_request(const struct probe *p)
{
	const struct question *q = &p->monitor->question;
	char host[ADDRESS_TEXT];
	struct buf b = BUF_INIT;

	for (const char *line = q->request; *line;) {
		size_t n = strcspn(line, "\n"), text = n;

		while (text > 0 && line[text - 1] == '\r')
			text--;
		if (text > 0)
			buf_printf(&b, "%.*s\r\n", (int)text, line);
		line += n + (line[n] == '\n');
	}
	address_text(&p->address, host);
	if (!has_header(q->request, "Host"))
		buf_printf(&b, "Host: %s\r\n", q->sni ? q->sni : host);
	if (!has_header(q->request, "User-Agent"))
		buf_puts(&b, "User-Agent: Spanwire-Health/" SPANWIRE_VERSION "\r\n");
	if (!has_header(q->request, "Accept"))
		buf_puts(&b, "Accept: */*\r\n");
	if (!has_header(q->request, "Connection"))
		buf_puts(&b, "Connection: close\r\n");
	if (q->authorization && !has_header(q->request, "Authorization"))
		buf_printf(&b, "Authorization: %s\r\n", q->authorization);
	if (q->body && !has_header(q->request, "Content-Length"))
		buf_printf(&b, "Content-Length: %zu\r\n", strlen(q->body));
	buf_printf(&b, "\r\n%s", q->body ? q->body : "");
	return buf_cstr(&b); /* nothing was taken from it, so it is what malloc gave */
}

/* --- what is heard --- */

/* "2xx/3xx" */
static void classes_text(unsigned classes, char *out, size_t size)
{
	size_t n = 0;

	for (unsigned i = 1; i <= 5; i++)
		if (classes >> i & 1)
			n += (size_t)snprintf(out + n, size - n, "%s%uxx", n ? "/" : "", i);
}

/* What is there of an HTTP answer; FINAL: nothing follows. False: go on reading. */
static bool http_judged(struct probe *p, bool final)
{
	const struct question *q = &p->monitor->question;
	const char *s = p->in;
	char expected[32] = "";
	unsigned code;

	if (p->in_len < 13 && !final && !memchr(s, '\n', p->in_len))
		return false;
	code = http_answer_code(s, p->in_len);
	if (!code) {
		probe_end(p, VERDICT_DOWN, p->in_len ? "the answer is not HTTP/1" : "closed without an answer");
		return true;
	}
	if (code < 200 && !(q->classes & 1u << 1)) { /* the answer is yet to come */
		const char *end = memmem(s, p->in_len, "\r\n\r\n", 4);

		if (end) {
			p->in_len -= (size_t)(end + 4 - s);
			memmove(p->in, end + 4, p->in_len);
			return http_judged(p, final);
		}
		if (!final)
			return false;
	}
	if (q->tasks_ms) {
		if (!final && !memmem(s, p->in_len, "\r\n\r\n", 4))
			return false;
		p->tasks = http_answer_tasks(s, p->in_len);
	}
	for (size_t i = 0; i < ARRAY_SIZE(q->maintenance); i++)
		if (code == q->maintenance[i]) {
			probe_end(p, VERDICT_MAINTENANCE, "HTTP %u: down for maintenance", code);
			return true;
		}
	if (q->maintenance_text && probe_heard(p, q->maintenance_text)) {
		probe_end(p, VERDICT_MAINTENANCE, "HTTP %u with the text of maintenance", code);
		return true;
	}
	if (q->maintenance_text && !final)
		return false;
	if (q->classes && !(q->classes >> code / 100 & 1)) {
		classes_text(q->classes, expected, sizeof(expected));
		probe_end(p, VERDICT_DOWN, "HTTP %u, expected %s", code, expected);
		return true;
	}
	if (!q->expect) {
		probe_end(p, VERDICT_UP, "HTTP %u", code);
		return true;
	}
	if (probe_heard(p, q->expect)) {
		probe_end(p, VERDICT_UP, "HTTP %u with the expected text", code);
		return true;
	}
	if (final)
		probe_end(p, VERDICT_DOWN, "HTTP %u without the expected text in the first %zu bytes", code, p->in_len);
	return final;
}

static bool text_judged(struct probe *p, bool final)
{
	const struct question *q = &p->monitor->question;

	if (q->maintenance_text && probe_heard(p, q->maintenance_text))
		probe_end(p, VERDICT_MAINTENANCE, "the answer has the text of maintenance");
	else if (q->expect && probe_heard(p, q->expect))
		probe_end(p, VERDICT_UP, "answered with the expected text");
	else if (!final)
		return false;
	else if (q->expect)
		probe_end(p, VERDICT_DOWN, "no expected text in the first %zu bytes of the answer", p->in_len);
	else
		probe_end(p, VERDICT_UP, "answered");
	return true;
}

/* --- the steps --- */

/* RC with E's sentence; plain sockets have none. */
static void broken(struct probe *p, int rc, const struct err *e)
{
	if (e->text[0])
		probe_end(p, VERDICT_DOWN, "TLS: %s", e->text);
	else
		probe_failed(p, rc);
}

static ssize_t hear(struct probe *p, char *at, size_t n, struct err *e)
{
	ssize_t got = p->ssl ? tls_get(p->ssl, at, n, e) : recv(p->watch.fd, at, n, 0);

	return got < 0 && !p->ssl ? -errno : got;
}

static ssize_t say(struct probe *p, struct err *e)
{
	const char *at = p->out + p->sent;
	size_t n = p->out_len - p->sent;
	ssize_t put = p->ssl ? tls_put(p->ssl, at, n, e) : send(p->watch.fd, at, n, MSG_NOSIGNAL);

	return put < 0 && !p->ssl ? -errno : put;
}

/* A plain socket is watched for all that happens to it, from its beginning: nothing need be changed. */
#define ALL_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static void wait_on(struct probe *p)
{
	if (p->ssl)
		watch_set(p->loop, &p->watch, tls_wants_out(p->ssl) ? EPOLLOUT : EPOLLIN);
}

static void reading(struct probe *p)
{
	const struct question *q = &p->monitor->question;

	for (;;) {
		struct err e = { 0 };
		ssize_t n = hear(p, p->in + p->in_len, q->read_max - p->in_len, &e);
		bool final;

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			wait_on(p);
			return;
		}
		/* An HTTP/1 server that closes without a word of TLS has said all that it has to say. */
		if (n < 0 && !(p->ssl && p->in_len)) {
			broken(p, (int)n, &e);
			return;
		}
		p->in_len += n > 0 ? (size_t)n : 0;
		final = n <= 0 || p->in_len == q->read_max;
		if (q->http ? http_judged(p, final) : text_judged(p, final))
			return;
		must(!final);
	}
}

static void sending(struct probe *p)
{
	const struct question *q = &p->monitor->question;

	while (p->sent < p->out_len) {
		struct err e = { 0 };
		ssize_t n = say(p, &e);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			wait_on(p);
			return;
		}
		if (n < 0) {
			broken(p, (int)n, &e);
			return;
		}
		p->sent += (size_t)n;
	}
	if (!q->http && !q->expect && !q->maintenance_text) {
		probe_end(p, VERDICT_UP, p->out_len ? "took the request" : "connected");
		return;
	}
	probe_move(p, PROBE_READING);
	p->in = xmalloc(q->read_max);
	p->in_len = 0;
	if (p->ssl)
		reading(p); /* it may hold more than the socket says */
}

static void speak(struct probe *p)
{
	const struct question *q = &p->monitor->question;

	probe_move(p, PROBE_SENDING);
	if (!p->out) {
		p->out = q->http && !q->exact ? http_request(p)
					      : xasprintf("%s%s", q->request ? q->request : "", q->body ? q->body : "");
		p->out_len = strlen(p->out);
	}
	sending(p);
}

static void shaking(struct probe *p)
{
	struct err e = { 0 };
	int rc = tls_shake(p->ssl, &e);

	if (rc == -EAGAIN)
		wait_on(p);
	else if (rc < 0)
		broken(p, rc, &e);
	else
		speak(p);
}

static void connected(struct probe *p)
{
	const struct question *q = &p->monitor->question;
	bool speaks = q->http || (q->request && *q->request) || (q->body && *q->body);
	int error = 0;
	socklen_t n = sizeof(error);

	/* Who speaks at once hears then that there is nobody. */
	if (q->half_open || q->tls || !speaks)
		getsockopt(p->watch.fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error) {
		probe_failed(p, -error);
	} else if (q->half_open) {
		probe_end(p, VERDICT_UP, "answered the SYN");
	} else if (q->tls) {
		probe_move(p, PROBE_SHAKING);
		p->ssl = tls_client(q->tls, p->watch.fd, q->sni);
		if (p->ssl)
			shaking(p);
		else
			probe_failed(p, -ENOMEM);
	} else {
		speak(p);
	}
}

static void ready(struct watch *w, uint32_t events)
{
	struct probe *p = CONTAINER_OF(w, struct probe, watch);

	p->ended = p->ended || events & EPOLLRDHUP;
	switch (p->state) {
	case PROBE_CONNECTING: connected(p); break;
	case PROBE_SHAKING:    shaking(p);   break;
	case PROBE_SENDING:    sending(p);   break;
	case PROBE_READING:    reading(p);   return;
	case PROBE_WAITING:    must(!"a socket without a check");
	}
	/* What came before we listened is not told again. */
	if (p->state == PROBE_READING && !p->ssl && events & ~(uint32_t)EPOLLOUT)
		reading(p);
}

/* Closing sends RST. */
static void end_at_once(int fd)
{
	const struct linger at_once = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

/*
 * Before connect(): the kernel holds back the ACK of the server's SYN, as for whoever has something to say. The
 * request carries it, which is a packet less; or, half open, closing sends RST in its place, and the server never
 * accepts anything.
 */
static void hold_ack_back(const struct question *q, int fd)
{
	const int no = 0;

	if (q->half_open || q->http || q->tls || q->request)
		setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &no, sizeof(no));
	if (q->half_open)
		end_at_once(fd);
}

static void begin(struct probe *p)
{
	const struct question *q = &p->monitor->question;
	int fd, rc;

	probe_move(p, PROBE_CONNECTING);
	if (q->tls_why) {
		probe_end(p, VERDICT_DOWN, "TLS: %s", q->tls_why);
		return;
	}
	fd = socket(p->address.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		probe_failed(p, -errno);
		return;
	}
	rc = watch_start_patient(p->loop, &p->watch, fd, q->tls ? EPOLLOUT : ALL_EVENTS, ready);
	if (rc < 0) {
		close(fd);
		probe_failed(p, rc);
		return;
	}
	hold_ack_back(q, fd);
	probe_mark(p, fd);
	rc = backend_bind(fd, p->device);
	if (rc < 0)
		probe_failed(p, rc);
	else if (connect(fd, &p->address.sa, address_len(&p->address)) < 0 && errno != EINPROGRESS)
		probe_failed(p, errno == EAGAIN ? -EADDRNOTAVAIL : -errno);
}

static void late(struct probe *p)
{
	double s = probe_timeout_s(p);

	if (p->state == PROBE_CONNECTING)
		probe_end(p, VERDICT_DOWN, "no connection within %g s", s);
	else if (p->state == PROBE_SHAKING)
		probe_end(p, VERDICT_DOWN, "no TLS handshake within %g s", s);
	else if (p->in_len == 0)
		probe_end(p, VERDICT_DOWN, "no answer within %g s", s);
	else
		probe_end(p, VERDICT_DOWN, "no complete answer within %g s", s);
}

/*
 * A server that has ended the connection loses nothing by RST: it forgets at once, rather than to answer a FIN and to wait
 * for a minute. Closing is a quarter of what a check costs, and a third of that is the end's end.
 */
static void stop(struct probe *p)
{
	if (p->ended && !p->ssl && p->watch.active)
		end_at_once(p->watch.fd);
	tls_end(p->ssl, p->state == PROBE_READING || p->state == PROBE_SENDING);
	p->ssl = NULL;
	watch_close(p->loop, &p->watch);
}

const struct ask_ops ask_stream = { begin, late, stop };
