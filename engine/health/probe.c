#include "engine/health/probe.h"

#include <errno.h>
#include <stdarg.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "base/buf.h"
#include "model/structs.h"

/* --- the question --- */

static const char *copy(struct question *q, const char *s)
{
	return s && *s ? arena_strdup(&q->arena, s) : NULL;
}

static unsigned class_bits(const struct health_monitor_http *h)
{
	unsigned bits = 0;

	for (size_t i = 0; i < h->http_response_code_n; i++) {
		if (h->http_response_code[i] == HTTP_ANY)
			return 0;
		bits |= 1u << (h->http_response_code[i] - HTTP_1XX + 1);
	}
	return bits;
}

void question_init(struct question *q, const struct health_monitor *model, unsigned second_ms)
{
	memset(q, 0, sizeof(*q));
	q->uuid = arena_strdup(&q->arena, model->uuid ? model->uuid : "");
	q->name = arena_strdup(&q->arena, model->name ? model->name : "");
	q->http = model->type == HEALTH_MONITOR_HTTP;
	q->port = (unsigned)model->monitor_port;
	q->interval_ms = (uint64_t)model->send_interval * second_ms;
	q->timeout_ms = (uint64_t)model->receive_timeout * second_ms;
	q->rises = (unsigned)model->successful_checks;
	q->falls = (unsigned)model->failed_checks;
	if (q->http && model->http_monitor) {
		const struct health_monitor_http *h = model->http_monitor;

		q->request = copy(q, h->http_request);
		q->body = copy(q, h->http_request_body);
		q->exact = h->exact_http_request;
		q->expect = copy(q, h->http_response);
		q->classes = class_bits(h);
		for (size_t i = 0; i < MIN(h->maintenance_code_n, ARRAY_SIZE(q->maintenance)); i++)
			q->maintenance[i] = (unsigned)h->maintenance_code[i];
		q->maintenance_text = copy(q, h->maintenance_response);
	} else if (!q->http && model->tcp_monitor) {
		q->exact = true;
		q->request = copy(q, model->tcp_monitor->tcp_request);
		q->expect = copy(q, model->tcp_monitor->tcp_response);
		q->maintenance_text = copy(q, model->tcp_monitor->maintenance_response);
	}
	if (q->http && !q->request)
		q->request = "GET / HTTP/1.0";
}

void question_fini(struct question *q)
{
	arena_fini(&q->arena);
}

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool question_equal(const struct question *a, const struct question *b)
{
	return a->http == b->http && a->port == b->port && a->interval_ms == b->interval_ms &&
	       a->timeout_ms == b->timeout_ms && a->rises == b->rises && a->falls == b->falls &&
	       same(a->request, b->request) && same(a->body, b->body) && a->exact == b->exact &&
	       same(a->expect, b->expect) && a->classes == b->classes &&
	       memcmp(a->maintenance, b->maintenance, sizeof(a->maintenance)) == 0 &&
	       same(a->maintenance_text, b->maintenance_text);
}

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
static char *http_request(const struct probe *p, size_t *len)
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
		buf_printf(&b, "Host: %s\r\n", host);
	if (!has_header(q->request, "User-Agent"))
		buf_puts(&b, "User-Agent: Spanwire-Health/" SPANWIRE_VERSION "\r\n");
	if (!has_header(q->request, "Accept"))
		buf_puts(&b, "Accept: */*\r\n");
	if (!has_header(q->request, "Connection"))
		buf_puts(&b, "Connection: close\r\n");
	if (q->body && !has_header(q->request, "Content-Length"))
		buf_printf(&b, "Content-Length: %zu\r\n", strlen(q->body));
	buf_printf(&b, "\r\n%s", q->body ? q->body : "");
	*len = b.len;
	return b.data; /* nothing was taken from it, so it is what malloc gave */
}

/* --- one check --- */

static const struct { const char *text; unsigned moves; } states[] = {
#define X(name, text, moves) { text, moves },
	PROBE_STATES(X)
#undef X
};

static void move(struct probe *p, enum probe_state to)
{
	must(states[p->state].moves & 1u << to);
	p->state = to;
}

static void check_begin(struct timer *t);

/* Random within 5 per cent around MS. */
static uint64_t jitter(uint64_t ms)
{
	uint32_t r;

	random_bytes(&r, sizeof(r));
	return ms - ms / 20 + r % (ms / 10 + 1);
}

static void count(struct probe *p, bool passed)
{
	const struct question *q = &p->monitor->question;

	p->checks++;
	p->failures += !passed;
	p->passes = passed ? p->passes + 1 : 0;
	p->fails = passed ? 0 : p->fails + 1;
	if (passed && p->passes >= q->rises)
		p->verdict = VERDICT_UP;
	else if (!passed && p->fails >= q->falls)
		p->verdict = VERDICT_DOWN;
}

/* The connection of a check, and what was sent and heard on it. */
static void hang_up(struct probe *p)
{
	if (p->watch.active) {
		int fd = p->watch.fd;

		watch_stop(p->loop, &p->watch);
		close(fd);
	}
	free(p->out);
	free(p->in);
	p->out = p->in = NULL;
}

/* The check is over. FMT says why, as part of a sentence. */
static void __attribute__((format(printf, 3, 4)))
check_end(struct probe *p, bool passed, const char *fmt, ...)
{
	uint64_t wait_ms, took_ms = (loop_now(p->loop) - p->started_ns) / NS_PER_MS;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->reason, sizeof(p->reason), fmt, ap);
	va_end(ap);
	hang_up(p);
	if (p->state != PROBE_WAITING)
		move(p, PROBE_WAITING);
	count(p, passed);
	wait_ms = p->verdict == VERDICT_UNKNOWN
			  ? MIN((uint64_t)PROBE_QUICK_MS, p->monitor->question.interval_ms)
			  : jitter(p->monitor->question.interval_ms);
	timer_in(p->loop, &p->timer, wait_ms > took_ms ? wait_ms - took_ms : 0, check_begin);
	p->checked(p, passed);
}

static void failed(struct probe *p, int rc)
{
	switch (-rc) {
	case ECONNREFUSED:
		check_end(p, false, "connection refused");
		break;
	case ECONNRESET: case EPIPE:
		check_end(p, false, "connection reset while it %s", states[p->state].text);
		break;
	default:
		check_end(p, false, "%s", strerror(-rc));
	}
}

static bool contains(const struct probe *p, const char *text)
{
	return memmem(p->in, p->in_len, text, strlen(text)) != NULL;
}

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
	if (p->in_len < 12 || memcmp(s, "HTTP/1.", 7) != 0 || s[8] != ' ' || s[9] < '1' ||
	    s[9] > '5' || s[10] < '0' || s[10] > '9' || s[11] < '0' || s[11] > '9') {
		check_end(p, false,
			  p->in_len ? "the answer is not HTTP/1" : "closed without an answer");
		return true;
	}
	code = (unsigned)((s[9] - '0') * 100 + (s[10] - '0') * 10 + s[11] - '0');
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
	for (size_t i = 0; i < ARRAY_SIZE(q->maintenance); i++)
		if (code == q->maintenance[i]) {
			check_end(p, false, "HTTP %u: down for maintenance", code);
			return true;
		}
	if (q->classes && !(q->classes >> code / 100 & 1)) {
		classes_text(q->classes, expected, sizeof(expected));
		check_end(p, false, "HTTP %u, expected %s", code, expected);
		return true;
	}
	if (q->maintenance_text && contains(p, q->maintenance_text)) {
		check_end(p, false, "HTTP %u with the text of maintenance", code);
		return true;
	}
	if (q->expect && contains(p, q->expect) && !q->maintenance_text) {
		check_end(p, true, "HTTP %u with the expected text", code);
		return true;
	}
	if ((q->expect || q->maintenance_text) && !final)
		return false;
	if (q->expect && !contains(p, q->expect))
		check_end(p, false, "HTTP %u without the expected text in the first %zu bytes",
			  code, p->in_len);
	else
		check_end(p, true, "HTTP %u", code);
	return true;
}

static bool tcp_judged(struct probe *p, bool final)
{
	const struct question *q = &p->monitor->question;

	if (q->maintenance_text && contains(p, q->maintenance_text))
		check_end(p, false, "the answer has the text of maintenance");
	else if (q->expect && contains(p, q->expect))
		check_end(p, true, "answered with the expected text");
	else if (!final)
		return false;
	else if (q->expect)
		check_end(p, false, "no expected text in the first %zu bytes of the answer",
			  p->in_len);
	else
		check_end(p, true, "answered");
	return true;
}

static void reading(struct probe *p)
{
	for (;;) {
		ssize_t n = recv(p->watch.fd, p->in + p->in_len, PROBE_READ - p->in_len, 0);

		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				failed(p, -errno);
			return;
		}
		p->in_len += (size_t)n;
		bool final = n == 0 || p->in_len == PROBE_READ;

		if (p->monitor->question.http ? http_judged(p, final) : tcp_judged(p, final))
			return;
		must(!final);
	}
}

static void sending(struct probe *p)
{
	const struct question *q = &p->monitor->question;

	while (p->sent < p->out_len) {
		ssize_t n = send(p->watch.fd, p->out + p->sent, p->out_len - p->sent, MSG_NOSIGNAL);

		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				failed(p, -errno);
			return;
		}
		p->sent += (size_t)n;
	}
	if (!q->http && !q->expect && !q->maintenance_text) {
		check_end(p, true, p->out_len ? "took the request" : "connected");
		return;
	}
	move(p, PROBE_READING);
	p->in = xmalloc(PROBE_READ);
	p->in_len = 0;
	watch_set(p->loop, &p->watch, EPOLLIN);
}

static void connected(struct probe *p)
{
	const struct question *q = &p->monitor->question;
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(p->watch.fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error) {
		failed(p, -error);
		return;
	}
	move(p, PROBE_SENDING);
	p->sent = 0;
	if (q->http && !q->exact) {
		p->out = http_request(p, &p->out_len);
	} else {
		p->out = xasprintf("%s%s", q->request ? q->request : "", q->body ? q->body : "");
		p->out_len = strlen(p->out);
	}
	sending(p);
}

static void ready(struct watch *w, uint32_t events)
{
	struct probe *p = CONTAINER_OF(w, struct probe, watch);

	(void)events;
	switch (p->state) {
	case PROBE_CONNECTING: connected(p); break;
	case PROBE_SENDING:    sending(p);   break;
	case PROBE_READING:    reading(p);   break;
	case PROBE_WAITING:    must(!"a socket without a check");
	}
}

static void timed_out(struct timer *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, timer);
	double s = (double)p->monitor->question.timeout_ms / 1000;

	if (p->state == PROBE_CONNECTING)
		check_end(p, false, "no connection within %g s", s);
	else if (p->in_len == 0)
		check_end(p, false, "no answer within %g s", s);
	else
		check_end(p, false, "no complete answer within %g s", s);
}

static void check_begin(struct timer *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, timer);
	int fd, rc;

	p->started_ns = loop_now(p->loop);
	p->in_len = 0;
	move(p, PROBE_CONNECTING);
	fd = socket(p->address.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		failed(p, -errno);
		return;
	}
	rc = watch_start(p->loop, &p->watch, fd, EPOLLOUT, ready);
	if (rc < 0) {
		close(fd);
		failed(p, rc);
		return;
	}
	if (connect(fd, &p->address.sa, address_len(&p->address)) < 0 && errno != EINPROGRESS) {
		failed(p, -errno);
		return;
	}
	timer_in(p->loop, &p->timer, p->monitor->question.timeout_ms, timed_out);
}

/* --- life --- */

struct probe *probe_new(struct loop *l, struct monitor *m, const union address *a, void *owner,
			void (*checked)(struct probe *p, bool passed))
{
	struct probe *p = xcalloc(1, sizeof(*p));

	p->loop = l;
	p->monitor = m;
	p->owner = owner;
	p->address = *a;
	p->checked = checked;
	list_init(&p->link);
	list_init(&p->subscribers);
	snprintf(p->reason, sizeof(p->reason), "not checked yet");
	probe_again(p);
	return p;
}

void probe_again(struct probe *p)
{
	p->passes = p->fails = 0;
	if (p->state == PROBE_WAITING)
		timer_in(p->loop, &p->timer,
			 jitter(MIN((uint64_t)20, p->monitor->question.interval_ms)), check_begin);
}

static void release(struct grave *g)
{
	free(CONTAINER_OF(g, struct probe, grave));
}

void probe_free(struct probe *p)
{
	timer_stop(p->loop, &p->timer);
	hang_up(p);
	loop_bury(p->loop, &p->grave, release);
}
