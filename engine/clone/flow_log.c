#include "engine/clone/flow_log.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "base/ip.h"
#include "base/moment.h"
#include "engine/clone/synth.h"
#include "engine/tls/tls.h"
#include "engine/worker.h"

/* ---- sinks ---- */

struct flow_sink *flow_sink_new(int fd, bool syslog, const union address *to, const char *engine)
{
	struct flow_sink *s = xcalloc(1, sizeof(*s));

	atomic_init(&s->refs, 1);
	s->fd = fd;
	s->syslog = syslog;
	if (to)
		s->to = *to;
	/* RFC 5424 has no blanks in HOSTNAME. */
	for (size_t i = 0; i < sizeof(s->engine) - 1 && engine[i]; i++)
		s->engine[i] = engine[i] > ' ' && engine[i] < 0x7f ? engine[i] : '_';
	return s;
}

struct flow_sink *flow_sink_get(struct flow_sink *s)
{
	if (s)
		atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void flow_sink_put(struct flow_sink *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	close(s->fd);
	free(s);
}

bool flow_sink_say(struct flow_sink *s, const char *line, size_t n)
{
	char head[120 + sizeof(s->engine)], at[MOMENT_MAX];
	struct iovec iov[] = { { head, 0 }, { (char *)line, n }, { (char *)"\n", 0 } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 3 };

	if (s->syslog) /* local0, informational */
		iov[0].iov_len = (size_t)snprintf(head, sizeof(head), "<134>1 %s %s spanwire-engine - flow - ",
						  moment_text(wall_us(), MOMENT_MICROS_Z, at), s->engine[0] ? s->engine : "-");
	else if (s->to.sa.sa_family)
		iov[2].iov_len = 1; /* who just writes down what comes has lines */
	if (s->to.sa.sa_family) {
		m.msg_name = &s->to;
		m.msg_namelen = address_len(&s->to);
	}
	return sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* ---- JSON, without allocation ---- */

struct line {
	char *s;
	size_t n, size;
};

static void put(struct line *l, const char *p, size_t n)
{
	n = MIN(n, l->size - 1 - l->n);
	memcpy(l->s + l->n, p, n);
	l->n += n;
	l->s[l->n] = '\0';
}

static void put_text(struct line *l, const char *s)
{
	put(l, s, strlen(s));
}

/* Bytes that are no ASCII may be anything: each is told for itself. */
static void put_string(struct line *l, const char *s)
{
	char code[8];

	put(l, "\"", 1);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			put(l, "\\", 1);
		if (c >= ' ' && c < 0x7f) {
			put(l, s, 1);
			continue;
		}
		snprintf(code, sizeof(code), "\\u%04x", c);
		put_text(l, code);
	}
	put(l, "\"", 1);
}

static void put_name(struct line *l, const char *name)
{
	put_text(l, l->n && l->s[l->n - 1] != '{' ? ",\"" : "\"");
	put_text(l, name);
	put_text(l, "\":");
}

/* NULL or empty: it is left out. */
static void member(struct line *l, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	put_name(l, name);
	put_string(l, value);
}

static void member_number(struct line *l, const char *name, uint64_t value)
{
	char word[24];

	put_name(l, name);
	snprintf(word, sizeof(word), "%llu", (unsigned long long)value);
	put_text(l, word);
}

static void member_end(struct line *l, const char *ip_name, const char *port_name, const union address *a)
{
	char ip[ADDRESS_TEXT];

	address_ip(a, ip);
	member(l, ip_name, ip);
	member_number(l, port_name, address_port(a));
}

static void member_synth(struct line *l, const char *ip_name, const char *port_name, const struct synth_end *e)
{
	char ip[IP_TEXT_MAX];
	struct in6_addr a;

	memcpy(&a, e->addr, sizeof(a));
	member(l, ip_name, ip_text(&a, ip));
	member_number(l, port_name, e->port);
}

static void member_tls(struct line *l, const char *name, const struct flow_tls *t, const struct hello *h)
{
	if (!t->version)
		return;
	put_name(l, name);
	put_text(l, "{");
	member(l, "version", t->version);
	member(l, "cipher", t->cipher);
	member(l, "sni", t->name);
	member(l, "alpn", t->alpn);
	if (h) {
		member(l, "ja3", h->ja3);
		member(l, "ja4", h->ja4);
	}
	member(l, "subject", t->subject);
	put_text(l, "}");
}

size_t flow_note_text(const struct flow_note *n, const struct synth *copy, bool hurt, uint64_t now_us, char *out,
		      size_t size)
{
	struct line l = { out, 0, size };

	put_text(&l, "{");
	member(&l, "event", "flow");
	member_number(&l, "start_us", n->begun_us);
	member_number(&l, "end_us", now_us);
	member(&l, "service_engine", n->sink->engine);
	member(&l, "virtualservice", n->name);
	member(&l, "virtualservice_uuid", n->service);
	member_end(&l, "client_ip", "client_port", &n->client);
	member_end(&l, "vip", "vip_port", &n->vip);
	if (n->server.sa.sa_family)
		member_end(&l, "server_ip", "server_port", &n->server);
	put_name(&l, "copy");
	put_text(&l, "{");
	member(&l, "proto", "TCP");
	member_synth(&l, "src_ip", "src_port", &copy->end[SYNTH_CLIENT]);
	member_synth(&l, "dst_ip", "dst_port", &copy->end[SYNTH_SERVER]);
	put_name(&l, "whole");
	put_text(&l, hurt ? "false" : "true");
	put_text(&l, "}");
	member_tls(&l, "client_tls", &n->client_tls, &n->hello);
	member_tls(&l, "server_tls", &n->server_tls, NULL);
	member_number(&l, "bytes_to_server", n->bytes[SYNTH_CLIENT]);
	member_number(&l, "bytes_from_server", n->bytes[SYNTH_SERVER]);
	put_text(&l, "}");
	return l.n;
}

/* ---- notes ---- */

static void copy_text(char *to, size_t size, const char *from, size_t n)
{
	n = MIN(n, size - 1);
	memcpy(to, from, n);
	to[n] = '\0';
}

static void note_tls(struct flow_tls *t, const struct conn *c)
{
	const char *name = conn_sni(c), *alpn;
	unsigned n;

	*t = (struct flow_tls){ 0 };
	if (!c->tls || !c->tls->ssl)
		return;
	t->version = SSL_get_version(c->tls->ssl);
	t->cipher = SSL_get_cipher_name(c->tls->ssl);
	if (name)
		copy_text(t->name, sizeof(t->name), name, strlen(name));
	alpn = conn_alpn(c, &n);
	copy_text(t->alpn, sizeof(t->alpn), alpn, n);
}

static void note_subject(struct flow_tls *t, const struct conn *c)
{
	X509 *x = c->tls && c->tls->ssl ? SSL_get0_peer_certificate(c->tls->ssl) : NULL;
	BIO *b = x ? BIO_new(BIO_s_mem()) : NULL;
	const char *text;
	long n;

	if (b && X509_NAME_print_ex(b, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0) {
		n = BIO_get_mem_data(b, &text);
		copy_text(t->subject, sizeof(t->subject), text, n > 0 ? (size_t)n : 0);
	}
	BIO_free(b);
}

void flow_note_init(struct flow_note *n, struct flow_sink *sink, const struct conn *server)
{
	*n = (struct flow_note){ .sink = flow_sink_get(sink), .server = server->peer };
	note_tls(&n->server_tls, server);
	note_subject(&n->server_tls, server);
}

void flow_note_client(struct flow_note *n, const struct conn *client, const char *service, const char *name)
{
	n->client_id = client->id;
	n->client = client->peer;
	n->vip = client->listener->address;
	address_set_port(&n->vip, client->port);
	n->begun_us = wall_us();
	n->bytes[0] = n->bytes[1] = 0;
	n->hello = client->tls && client->tls->hello ? *client->tls->hello : (struct hello){ 0 };
	note_tls(&n->client_tls, client);
	copy_text(n->service, sizeof(n->service), service, strlen(service));
	copy_text(n->name, sizeof(n->name), name, strlen(name));
}

void flow_note_client_alone(struct flow_note *n, struct flow_sink *sink, const struct conn *client, const char *service,
			    const char *name)
{
	*n = (struct flow_note){ .sink = flow_sink_get(sink) };
	flow_note_client(n, client, service, name);
}

void flow_note_say(struct flow_note *n, const struct synth *copy, bool hurt, struct service_counters *counters)
{
	char text[FLOW_LINE];
	size_t len;

	if (!n->client_id || !(n->bytes[0] | n->bytes[1]))
		return;
	len = flow_note_text(n, copy, hurt, wall_us(), text, sizeof(text));
	counter_add(flow_sink_say(n->sink, text, len) ? &counters->clone_log_lines : &counters->clone_log_lost, 1);
	n->client_id = 0;
}

void flow_note_fini(struct flow_note *n)
{
	flow_sink_put(n->sink);
}
