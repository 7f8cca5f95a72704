#include "engine/health/question.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>

#include "base/base.h"
#include "base/buf.h"
#include "engine/health/ask.h"
#include "engine/health/dns.h"
#include "model/structs.h"
#include "net/tls_context.h"

static const char *copy(struct question *q, const char *s)
{
	return s && *s ? arena_strdup(&q->arena, s) : NULL;
}

/* ---- HTTP ---- */

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

static void authorize(struct question *q, const struct health_monitor_auth_info *who)
{
	CLEANUP_FREE char *plain = xasprintf("%s:%s", who->username ? who->username : "",
					     who->password ? who->password : "");
	size_t n = strlen(plain);
	CLEANUP_FREE char *text = xmalloc(4 * ((n + 2) / 3) + 1), *value;

	EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)plain, (int)n);
	value = xasprintf("Basic %s", text);
	q->authorization = copy(q, value);
}

static void http_init(struct question *q, const struct health_monitor *model, const struct health_monitor_http *h)
{
	q->http = true;
	q->request = copy(q, h->http_request);
	q->body = copy(q, h->http_request_body);
	q->exact = h->exact_http_request;
	q->expect = copy(q, h->http_response);
	q->classes = class_bits(h);
	for (size_t i = 0; i < MIN(h->maintenance_code_n, ARRAY_SIZE(q->maintenance)); i++)
		q->maintenance[i] = (unsigned)h->maintenance_code[i];
	q->maintenance_text = copy(q, h->maintenance_response);
	if (h->has_response_size)
		q->read_max = (unsigned)h->response_size;
	if (h->has_auth_type && model->authentication)
		authorize(q, model->authentication);
	if (!q->request)
		q->request = "GET / HTTP/1.0";
}

/* ---- TLS ---- */

/* All that makes a difference, as text that is hashed: keys are in it. */
static void settings_digest(const struct tls_settings *t, const char *sni, unsigned char out[static 32])
{
	struct buf b = BUF_INIT;
	unsigned n = 32;

#define TEXT(s) ((s) ? (s) : "")
	buf_printf(&b, "%d %d %d %d %d %d %d %d %d %u\n%s\n%s\n%s\n%s\n%s\n%s\n", t->no_tls12, t->no_tls13,
		   t->no_resumption, t->verify, t->crl_check, t->crl_whole_chain, t->crl_may_be_expired,
		   t->ignore_errors, t->ignore_peer_chain, t->session_s, TEXT(t->ciphers), TEXT(t->ciphersuites),
		   TEXT(t->groups), TEXT(t->sigalgs), TEXT(t->dhparam), TEXT(sni));
#undef TEXT
	for (size_t i = 0; i < t->n_identities; i++)
		buf_printf(&b, "id %s\n%s\n", t->identities[i].certificate, t->identities[i].key);
	for (size_t i = 0; i < t->n_ca; i++)
		buf_printf(&b, "ca %s\n", t->ca[i]);
	for (size_t i = 0; i < t->n_crls; i++)
		buf_printf(&b, "crl %s\n", t->crls[i]);
	for (size_t i = 0; i < t->n_hosts; i++)
		buf_printf(&b, "host %s\n", t->hosts[i]);
	must(EVP_Digest(b.data, b.len, out, &n, EVP_sha256(), NULL) == 1);
	explicit_bzero(b.data, b.len);
	buf_fini(&b);
}

static void tls_init(struct question *q, const struct health_monitor_ssl_attributes *ssl, const struct tls_settings *tls,
		     const struct question *old)
{
	static const struct tls_settings plain;
	struct err e = { 0 };

	q->sni = copy(q, ssl ? ssl->server_name : NULL);
	settings_digest(tls ? tls : &plain, q->sni, q->tls_digest);
	if (old && old->tls && memcmp(old->tls_digest, q->tls_digest, sizeof(q->tls_digest)) == 0) {
		SSL_CTX_up_ref(old->tls);
		q->tls = old->tls;
		return;
	}
	if (tls_context_new(tls ? tls : &plain, &q->tls, &e) < 0) {
		q->tls = NULL;
		q->tls_why = arena_strdup(&q->arena, err_line(&e));
	}
}

/* ---- DNS ---- */

static void dns_init(struct question *q, const struct health_monitor_dns *d)
{
	/* Numbers of RFC 1035 and those after it; other words were refused where the pool was written. */
	static const unsigned types[] = {
		[DNS_RECORD_A] = DNS_TYPE_A, [DNS_RECORD_NS] = 2,	 [DNS_RECORD_CNAME] = 5,	    [DNS_RECORD_SOA] = 6,
		[DNS_RECORD_PTR] = 12,	     [DNS_RECORD_HINFO] = 13,	 [DNS_RECORD_MX] = 15,		    [DNS_RECORD_TXT] = 16,
		[DNS_RECORD_RP] = 17,	     [DNS_RECORD_DNSKEY] = 48, [DNS_RECORD_AAAA] = DNS_TYPE_AAAA, [DNS_RECORD_SRV] = 33,
		[DNS_RECORD_RRSIG] = 46,     [DNS_RECORD_ANY] = DNS_TYPE_ANY,
	};

	q->ask = &ask_dns;
	q->read_max = DNS_MESSAGE_MAX;
	q->dns.name = arena_strdup(&q->arena, d->query_name ? d->query_name : "");
	q->dns.type = types[d->record_type];
	q->dns.need = d->qtype == DNS_ANY_THING ? DNS_NEED_NOTHING
		      : d->qtype == DNS_ANY_TYPE ? DNS_NEED_RECORD
						 : DNS_NEED_TYPE;
	q->dns.any_rcode = d->rcode == RCODE_ANYTHING;
	q->dns.address = copy(q, d->response_string);
}

/* ---- all ---- */

void question_init(struct question *q, const struct health_monitor *model, unsigned second_ms,
		   const struct tls_settings *tls, const struct question *old)
{
	memset(q, 0, sizeof(*q));
	q->uuid = arena_strdup(&q->arena, model->uuid ? model->uuid : "");
	q->name = arena_strdup(&q->arena, model->name ? model->name : "");
	q->ask = &ask_stream;
	q->port = (unsigned)model->monitor_port;
	q->interval_ms = (uint64_t)model->send_interval * second_ms;
	q->timeout_ms = (uint64_t)model->receive_timeout * second_ms;
	q->rises = (unsigned)model->successful_checks;
	q->falls = (unsigned)model->failed_checks;
	q->quick = !model->disable_quickstart;
	q->apart = model->allow_duplicate_monitors;
	q->read_max = QUESTION_READ;
	switch (model->type) {
	case HEALTH_MONITOR_PING:
		q->ask = &ask_ping;
		break;
	case HEALTH_MONITOR_HTTP:
		if (model->http_monitor)
			http_init(q, model, model->http_monitor);
		break;
	case HEALTH_MONITOR_HTTPS:
		if (model->https_monitor)
			http_init(q, model, model->https_monitor);
		tls_init(q, model->https_monitor ? model->https_monitor->ssl_attributes : NULL, tls, old);
		break;
	case HEALTH_MONITOR_UDP:
		q->ask = &ask_udp;
		if (!model->udp_monitor)
			break;
		q->request = copy(q, model->udp_monitor->udp_request);
		q->expect = copy(q, model->udp_monitor->udp_response);
		q->maintenance_text = copy(q, model->udp_monitor->maintenance_response);
		break;
	case HEALTH_MONITOR_DNS:
		if (model->dns_monitor)
			dns_init(q, model->dns_monitor);
		break;
	default: /* HEALTH_MONITOR_TCP; others were refused where the pool was written */
		q->exact = true;
		if (!model->tcp_monitor)
			break;
		q->half_open = model->tcp_monitor->tcp_half_open;
		q->request = copy(q, model->tcp_monitor->tcp_request);
		q->expect = copy(q, model->tcp_monitor->tcp_response);
		q->maintenance_text = copy(q, model->tcp_monitor->maintenance_response);
	}
}

void question_fini(struct question *q)
{
	SSL_CTX_free(q->tls);
	arena_fini(&q->arena);
}

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool question_equal(const struct question *a, const struct question *b)
{
	return a->ask == b->ask && a->port == b->port && a->interval_ms == b->interval_ms &&
	       a->timeout_ms == b->timeout_ms && a->rises == b->rises && a->falls == b->falls &&
	       a->quick == b->quick && a->apart == b->apart && a->http == b->http && a->half_open == b->half_open &&
	       same(a->name, b->name) && same(a->request, b->request) && same(a->body, b->body) &&
	       a->exact == b->exact && same(a->authorization, b->authorization) && same(a->expect, b->expect) &&
	       a->read_max == b->read_max && a->classes == b->classes &&
	       memcmp(a->maintenance, b->maintenance, sizeof(a->maintenance)) == 0 &&
	       same(a->maintenance_text, b->maintenance_text) && !a->tls == !b->tls && same(a->tls_why, b->tls_why) &&
	       memcmp(a->tls_digest, b->tls_digest, sizeof(a->tls_digest)) == 0 && same(a->dns.name, b->dns.name) &&
	       a->dns.type == b->dns.type && a->dns.need == b->dns.need && a->dns.any_rcode == b->dns.any_rcode &&
	       same(a->dns.address, b->dns.address);
}
