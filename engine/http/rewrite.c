#include "engine/http/rewrite.h"

#include <strings.h>

#include "base/base.h"
#include "base/buf.h"
#include "engine/http/refusal.h"
#include "engine/records.h"
#include "engine/tls/tls.h"
#include "engine/worker.h"
#include "model/structs.h"

void rewrite_init(struct rewrite *p, const struct exchange *x)
{
	const struct http_application_profile *a = exchange_profile(x);
	const struct virtual_service *vs = x->client->listener->snapshot->vs;
	bool tls = conn_is_tls(x->client);

	*p = (struct rewrite){ .http_only = a->httponly_enabled, .secure = a->secure_cookie_enabled && tls,
			      .to_https = a->server_side_redirect_to_https && tls };
	if (x->note) {
		p->host = x->note->text + x->note->texts[RECORD_T_HOST].at;
		p->host_len = x->note->texts[RECORD_T_HOST].len;
	}
	if (vs && vs->host_name_xlate && *vs->host_name_xlate && p->host_len)
		p->xlate = vs->host_name_xlate;
	p->cookies = p->secure || p->http_only;
	p->redirects = (p->to_https || p->xlate) && p->host_len;
	if (a->hsts_enabled && tls)
		p->hsts_len = (size_t)snprintf(p->hsts, sizeof(p->hsts), "max-age=%lld%s",
					       (long long)a->hsts_max_age * 86400,
					       a->hsts_subdomains_enabled ? "; includeSubDomains" : "");
}

static bool field_is(const struct http1_field *f, const char *in, const char *name)
{
	return f->id == HTTP1_F_OTHER && f->name_len == strlen(name) &&
	       strncasecmp(in + f->name_at, name, f->name_len) == 0;
}

/* Among the attributes of a cookie, behind its value. */
static bool has_attribute(const char *p, size_t n, const char *name)
{
	const char *end = p + n, *at = memchr(p, ';', n);

	while (at) {
		size_t len;

		for (at++; at < end && (*at == ' ' || *at == '\t'); at++)
			;
		for (len = 0; at + len < end && at[len] != ';' && at[len] != '=' && at[len] != ' '; len++)
			;
		if (len == strlen(name) && strncasecmp(at, name, len) == 0)
			return true;
		at = memchr(at, ';', (size_t)(end - at));
	}
	return false;
}

static bool cookie(const struct rewrite *p, const char *value, size_t n, struct rewritten *out)
{
	unsigned k = 0;

	if (p->secure && !has_attribute(value, n, "secure"))
		out->after[k++] = "; Secure";
	if (p->http_only && !has_attribute(value, n, "httponly"))
		out->after[k++] = "; HttpOnly";
	return k > 0;
}

/* "http://shop.example:80/x": is it us, by one of our names? Then how the client would say it. */
static bool redirect(const struct rewrite *p, const char *value, size_t n, struct rewritten *out)
{
	bool plain = n > 7 && strncasecmp(value, "http://", 7) == 0,
	     tls = n > 8 && strncasecmp(value, "https://", 8) == 0;
	const char *name = value + (tls ? 8 : 7);
	size_t len = 0, left = n - (tls ? 8 : 7), bare;
	bool ours, xlated;

	if (!plain && !tls)
		return false;
	while (len < left && !memchr("/?#", name[len], 3))
		len++;
	bare = len > 3 && memcmp(name + len - 3, ":80", 3) == 0 && plain ? len - 3 : len;
	ours = bare == p->host_len && strncasecmp(name, p->host, bare) == 0;
	xlated = p->xlate && bare == strlen(p->xlate) && strncasecmp(name, p->xlate, bare) == 0;
	if (!xlated && !(ours && plain && p->to_https))
		return false;
	out->before = tls || p->to_https ? "https://" : "http://";
	out->before_len = strlen(out->before);
	out->host = p->host;
	out->host_len = p->host_len;
	out->skip = (uint32_t)((size_t)(name - value) + len);
	return true;
}

bool rewrite_field(const struct rewrite *p, const struct http1_field *f, const char *in, struct rewritten *out, bool *drop)
{
	const char *value = in + f->value.at;

	*out = (struct rewritten){ 0 };
	*drop = p->hsts_len && field_is(f, in, "strict-transport-security");
	if (*drop)
		return true;
	if (p->cookies && field_is(f, in, "set-cookie"))
		return cookie(p, value, f->value.len, out);
	if (p->redirects && field_is(f, in, "location"))
		return redirect(p, value, f->value.len, out);
	return false;
}

size_t rewritten_text(const struct rewritten *v, const struct http1_field *f, const char *in, char *out, size_t size)
{
	int n = snprintf(out, size, "%.*s%.*s%.*s%s%s", (int)v->before_len, v->before ? v->before : "", (int)v->host_len,
			 v->host ? v->host : "", (int)(f->value.len - v->skip), in + f->value.at + v->skip,
			 v->after[0] ? v->after[0] : "", v->after[1] ? v->after[1] : "");

	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

static int tls_port(const struct virtual_service *vs)
{
	for (size_t i = 0; vs && i < vs->services_n; i++)
		if (vs->services[i].enable_ssl)
			return (int)vs->services[i].port;
	return 443;
}

bool rewrite_to_https(struct exchange *x, const struct http1_head *h)
{
	const struct http1_span host = h->authority;
	const char *in = exchange_in(x), *name = in + host.at, *colon;
	int port = tls_port(x->client->listener->snapshot->vs);
	struct buf b = BUF_INIT;
	size_t len = host.len;

	/* A port behind the name, not a colon within an IPv6 address. */
	colon = memrchr(name, ':', len);
	if (colon && !memchr(colon, ']', (size_t)(name + len - colon)))
		len = (size_t)(colon - name);
	if (!exchange_profile(x)->http_to_https || conn_is_tls(x->client) || len == 0)
		return false;
	buf_printf(&b, "HTTP/1.1 302 Found\r\nLocation: https://%.*s", (int)len, name);
	if (port != 443)
		buf_printf(&b, ":%d", port);
	if (h->path.len == 0 || in[h->path.at] != '/')
		buf_printf(&b, "/");
	if (h->path.len && in[h->path.at] != '*')
		buf_put(&b, in + h->path.at, h->path.len);
	buf_printf(&b, "\r\nContent-Length: 0\r\n\r\n");
	if (b.len < HTTP1_FIELD_MAX)
		exchange_answer(x, b.data, b.len);
	else
		exchange_refuse(x, &(struct refusal){ 414, offsetof(struct service_counters, http_head_large),
						      "The request line is longer than the limit." });
	buf_fini(&b);
	return true;
}
