/*
 * MHD calls, for each request: uri_seen() with the raw target (it makes the
 * struct request), then access() with the headers, with each piece of the body,
 * and once more at its end; there the request goes to the core and the
 * connection is suspended. The core's answer resumes it, access() is called a last time and
 * queues the response. completed() frees the request, also when the client went away.
 */
#include "controller/rest/portal.h"
#include "controller/rest/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/base.h"
#include "base/list.h"
#include "base/log.h"
#include "controller/rest/upload.h"

enum {
	CONNECTIONS_MAX = 4000,
	CONNECTIONS_PER_ADDRESS_MAX = 1000,
	CONNECTION_MEMORY = 64 * 1024, /* headers of a request and of its answer */
	IDLE_S = 120, /* without a byte */
	ARRIVAL_S = 60, /* for a whole request, from its first line */
	SWALLOW_MAX =
		16 *
		REQUEST_BODY_MAX, /* of a body that is too large, so that the client lives to read why */
};

/* A TCP connection, for the deadline of what arrives on it. */
struct peer {
	struct list link;
	int fd;
	uint64_t deadline_ns; /* 0: the request is with the core, or none is expected */
};

struct server {
	struct server_config cfg;
	struct MHD_Daemon *daemon;
	pthread_mutex_t lock; /* of `peers`: the API thread's, and the core's sweep */
	struct list peers;
	bool quiet; /* atomic */
	unsigned with_core; /* atomic: requests that the core has not answered yet */
	unsigned answering; /* atomic: those whose answer is not sent yet */
};

/* ---- connections ---------------------------------------------------------- */

static struct peer *peer_of(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return i ? i->socket_context : NULL;
}

static void peer_deadline(struct server *s, struct MHD_Connection *c, unsigned seconds)
{
	struct peer *p = peer_of(c);

	if (!p)
		return;
	pthread_mutex_lock(&s->lock);
	p->deadline_ns = seconds ? mono_ns() + seconds * NS_PER_S : 0;
	pthread_mutex_unlock(&s->lock);
}

/* MHD closes the socket only after it told us so: under the lock the descriptor is the peer's. */
static void connection_changed(void *arg, struct MHD_Connection *c, void **context,
			       enum MHD_ConnectionNotificationCode what)
{
	struct server *s = arg;
	const union MHD_ConnectionInfo *i;
	struct peer *p = *context;

	pthread_mutex_lock(&s->lock);
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
		p = xcalloc(1, sizeof(*p));
		p->fd = i ? i->connect_fd : -1;
		p->deadline_ns = mono_ns() + IDLE_S * NS_PER_S;
		list_init(&p->link);
		list_insert(&s->peers, &p->link);
		*context = p;
	} else if (p) {
		list_remove(&p->link);
		free(p);
		*context = NULL;
	}
	pthread_mutex_unlock(&s->lock);
}

void server_sweep(struct server *s)
{
	uint64_t now = mono_ns();

	pthread_mutex_lock(&s->lock);
	LIST_FOREACH(l, &s->peers) {
		struct peer *p = LIST_ENTRY(l, struct peer, link);

		if (p->deadline_ns && p->deadline_ns < now && p->fd >= 0)
			shutdown(p->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- the request arrives -------------------------------------------------- */

static void *uri_seen(void *arg, const char *uri, struct MHD_Connection *c)
{
	struct server *s = arg;
	struct request *q = xcalloc(1, sizeof(*q));

	q->rest = s->cfg.rest;
	q->server = s;
	q->connection = c;
	q->target = xstrdup(uri);
	q->body.limit = REQUEST_BODY_MAX;
	q->file = -1;
	peer_deadline(s, c, ARRIVAL_S);
	return q;
}

static void copy_header(struct request *q, const char *name, char *out, size_t size,
			const char *value)
{
	size_t n = strlen(value);

	/* White space behind a value is none of it (RFC 9112, 5.1); MHD takes off only what is before it. */
	while (n && (value[n - 1] == ' ' || value[n - 1] == '\t'))
		n--;
	if (n >= size && !q->bad_status) {
		err_set(&q->bad, -EINVAL, NULL, "The header %s is too long.", name);
		q->bad_status = 400;
		return;
	}
	snprintf(out, size, "%.*s", (int)n, value);
}

static enum MHD_Result header_seen(void *arg, enum MHD_ValueKind kind, const char *name,
				   const char *value)
{
	struct request *q = arg;
	const struct {
		const char *name;
		char *out;
		size_t size;
	} known[] = {
		{ "Host", q->host, sizeof(q->host) },
		{ "X-Avi-Tenant", q->tenant, sizeof(q->tenant) },
		{ "X-Avi-Tenant-UUID", q->tenant_uuid, sizeof(q->tenant_uuid) },
		{ "X-Avi-Version", q->version, sizeof(q->version) },
		{ "X-CSRFToken", q->csrf, sizeof(q->csrf) },
		{ "Slug", q->slug, sizeof(q->slug) },
		{ "Content-Type", q->content_type, sizeof(q->content_type) },
		{ "Authorization", q->authorization, sizeof(q->authorization) },
		{ "Range", q->range, sizeof(q->range) },
	};

	(void)kind;
	if (!value)
		value = "";
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcasecmp(name, known[i].name) == 0)
			copy_header(q, name, known[i].out, known[i].size, value);
	if (strcasecmp(name, "Content-Encoding") == 0 && *value && strcasecmp(value, "identity") != 0 &&
	    !q->bad_status) {
		err_set(&q->bad, -EINVAL, NULL, "A body with Content-Encoding is not read: send it as it is.");
		q->bad_status = 415;
	}
	if (strcasecmp(name, "X-Spanwire-Strict") == 0)
		q->strict = strcmp(value, "0") != 0;
	if (strcasecmp(name, "If-Range") == 0)
		q->if_range = true;
	if (strcasecmp(name, "Cookie") == 0)
		buf_printf(&q->cookies, "%s%s", q->cookies.len ? "; " : "", value);
	return MHD_YES;
}

static void method_read(struct request *q, const char *text)
{
	static const struct {
		const char *text;
		enum method method;
	} methods[] = {
		{ "GET", METHOD_GET },	       { "HEAD", METHOD_GET },
		{ "POST", METHOD_POST },       { "PUT", METHOD_PUT },
		{ "PATCH", METHOD_PATCH },     { "DELETE", METHOD_DELETE },
		{ "OPTIONS", METHOD_OPTIONS },
	};

	snprintf(q->method_text, sizeof(q->method_text), "%s", text);
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (strcmp(text, methods[i].text) == 0)
			q->method = methods[i].method;
}

/*
 * Only characters that a host and a port can have: it comes back in every reference of the answer.
 */
static bool host_is_clean(const char *host)
{
	return *host &&
	       strspn(host,
		      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]") ==
		       strlen(host);
}

/* HTTP/1.0 knows no Host, and simple probes speak it: the address at which the client found us stands for it. */
static void host_of_socket(struct request *q, struct MHD_Connection *c)
{
	const struct peer *p = peer_of(c);
	struct sockaddr_storage at;
	socklen_t n = sizeof(at);
	char host[INET6_ADDRSTRLEN + 16], port[8];

	if (p && getsockname(p->fd, (struct sockaddr *)&at, &n) == 0 &&
	    getnameinfo((struct sockaddr *)&at, n, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(q->host, sizeof(q->host), at.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* "GET https://host/path" is another way to write "GET /path" with that host (RFC 9112, 3.2.2). */
static void absolute_read(struct request *q)
{
	const char *host = strstr(q->target, "://");
	size_t scheme = host ? (size_t)(host - q->target) : 0, n;
	char *path;

	if ((scheme != 5 || strncasecmp(q->target, "https", 5) != 0) &&
	    (scheme != 4 || strncasecmp(q->target, "http", 4) != 0))
		return;
	host += 3;
	n = strcspn(host, "/?#");
	if (n >= sizeof(q->host))
		return;
	snprintf(q->host, sizeof(q->host), "%.*s", (int)n, host);
	path = xasprintf("%s%s", host[n] == '/' ? "" : "/", host + n);
	free(q->target);
	q->target = path;
}

static void head_read(struct request *q, struct MHD_Connection *c, const char *method,
		      const char *version)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const char *question;
	int rc;

	if (i && i->client_addr->sa_family == AF_INET)
		inet_ntop(AF_INET,
			  &((const struct sockaddr_in *)(const void *)i->client_addr)->sin_addr,
			  q->client, sizeof(q->client));
	else if (i && i->client_addr->sa_family == AF_INET6)
		inet_ntop(AF_INET6,
			  &((const struct sockaddr_in6 *)(const void *)i->client_addr)->sin6_addr,
			  q->client, sizeof(q->client));
	method_read(q, method);
	MHD_get_connection_values(c, MHD_HEADER_KIND, header_seen, q);
	absolute_read(q);
	if (!*q->host && strcmp(version, "HTTP/1.0") == 0)
		host_of_socket(q, c);
	question = strchr(q->target, '?');
	rc = q->bad_status ? 0 : path_normalise(q->target, q->path, sizeof(q->path), &q->bad);
	if (rc == 0 && !q->bad_status && question)
		rc = query_parse(&q->query, question + 1, strcspn(question + 1, "#"), &q->bad);
	if (rc < 0)
		q->bad_status = 400;
	if (!q->bad_status && !host_is_clean(q->host)) {
		err_set(&q->bad, -EINVAL, NULL, "The Host header is missing or not a host.");
		q->bad_status = 400;
	}
	snprintf(q->base_url, sizeof(q->base_url), "https://%s", q->host);
}

static void body_too_large(struct request *q)
{
	buf_fini(&q->body);
	if (q->bad_status)
		return;
	err_set(&q->bad, -EFBIG, NULL, "The body is larger than %d bytes.", REQUEST_BODY_MAX);
	q->bad_status = 413;
}

/* ---- the answer ------------------------------------------------------------ */

static enum MHD_Result send_answer(struct server *s, struct request *q, struct MHD_Connection *c)
{
	size_t n = q->text ? strlen(q->text) : 0;
	bool file = q->file >= 0;
	struct MHD_Response *r =
		file ? MHD_create_response_from_fd_at_offset64(q->file_bytes, q->file, q->file_from)
		     : MHD_create_response_from_buffer(n, q->text ? q->text : (char *)"",
						       q->text ? MHD_RESPMEM_MUST_FREE
							       : MHD_RESPMEM_PERSISTENT);
	enum MHD_Result rc;

	must(r);
	q->text = NULL;
	q->file = -1;
	/* 204 has no body and, by RFC 9110, no type of it. */
	if (q->status != 204)
		MHD_add_response_header(r, "Content-Type",
					file	   ? "application/octet-stream"
					: q->media ? q->media
						   : "application/json");
	/* No browser shall run what somebody has left here. */
	if (file && !q->named)
		MHD_add_response_header(r, "Content-Disposition", "attachment");
	MHD_add_response_header(r, "Vary", "Accept, Cookie, Origin");
	MHD_add_response_header(r, "Cache-Control", "private, no-cache, must-revalidate");
	MHD_add_response_header(r, "Strict-Transport-Security", "max-age=31536000");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "X-Frame-Options", "SAMEORIGIN");
	for (size_t i = 0; i < q->n_headers; i++)
		MHD_add_response_header(r, q->header[i].name, q->header[i].value);
	rc = MHD_queue_response(c, (unsigned)q->status, r);
	MHD_destroy_response(r);
	/* Now the client has to read it, and may send the next one. A file takes its time. */
	peer_deadline(s, c, file ? 0 : IDLE_S);
	return rc;
}

static enum MHD_Result send_refusal(struct server *s, struct request *q, struct MHD_Connection *c)
{
	if (!q->status)
		request_refuse(q, q->bad_status, "%s", err_line(&q->bad));
	return send_answer(s, q, c);
}

/* ---- to the core and back --------------------------------------------------- */

static void deliver(struct message *m)
{
	struct request *q = CONTAINER_OF(m, struct request, message);

	q->server->cfg.handle(q);
}

void server_go_on(struct request *q)
{
	struct server *s = q->server;

	MHD_resume_connection(q->connection);
	/* From here on Q is the API thread's. */
	__atomic_sub_fetch(&s->with_core, 1, __ATOMIC_ACQ_REL);
}

void server_answer(struct request *q)
{
	must(q->status);
	q->answering = true;
	__atomic_add_fetch(&q->server->answering, 1, __ATOMIC_ACQ_REL);
	server_go_on(q);
}

static enum MHD_Result to_core(struct server *s, struct request *q, struct MHD_Connection *c)
{
	peer_deadline(s, c, 0);
	/*
	 * Counted before the look at `quiet`: server_drained() must not miss one that slips in
	 * between.
	 */
	__atomic_add_fetch(&s->with_core, 1, __ATOMIC_ACQ_REL);
	if (__atomic_load_n(&s->quiet, __ATOMIC_ACQUIRE) && !q->bad_status) {
		err_set(&q->bad, -EAGAIN, NULL, "The controller is stopping.");
		q->bad_status = 503;
	}
	if (q->bad_status) {
		__atomic_sub_fetch(&s->with_core, 1, __ATOMIC_ACQ_REL);
		return send_refusal(s, q, c);
	}
	MHD_suspend_connection(c);
	inbox_post(s->cfg.core, &q->message, deliver);
	return MHD_YES;
}

/* The head has come, and what becomes of it is known as far as it can be. */
static enum MHD_Result head_done(struct server *s, struct request *q, struct MHD_Connection *c)
{
	peer_deadline(s, c, ARRIVAL_S);
	if (!q->upload && !q->status && q->length > REQUEST_BODY_MAX)
		body_too_large(q);
	/*
	 * MHD refuses and closes at once; a smaller excess is read, so that the answer
	 * arrives.
	 */
	if ((q->status || q->bad_status == 413) && q->length > SWALLOW_MAX)
		return send_refusal(s, q, c);
	return MHD_YES;
}

static enum MHD_Result body_arrives(struct server *s, struct request *q, struct MHD_Connection *c,
				    const char *data, size_t len)
{
	if (q->upload && !q->status) {
		upload_feed(q->upload, data, len);
		peer_deadline(s, c, ARRIVAL_S);
		return MHD_YES;
	}
	if (q->bad_status != 413 && !q->status && buf_put(&q->body, data, len) < 0)
		body_too_large(q);
	q->swallowed += len;
	return q->swallowed > SWALLOW_MAX ? MHD_NO : MHD_YES;
}

static bool is_form_of_files(const struct request *q)
{
	return q->method == METHOD_POST &&
	       strncasecmp(q->content_type, "multipart/form-data", 19) == 0;
}

static enum MHD_Result access_request(void *arg, struct MHD_Connection *c, const char *url,
				      const char *method, const char *version, const char *data,
				      size_t *len, void **context)
{
	struct server *s = arg;
	struct request *q = *context;
	const char *length;

	(void)url;
	if (!q->begun) {
		q->begun = true;
		head_read(q, c, method, version);
		length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");
		q->length = length ? strtoull(length, NULL, 10) : 0;
		if (q->bad_status || !is_form_of_files(q))
			return head_done(s, q, c);
		q->stage = STAGE_HEAD;
		return to_core(s, q, c);
	}
	if (q->stage == STAGE_HEAD) {
		q->stage = STAGE_BODY;
		return head_done(s, q, c);
	}
	if (*len) {
		size_t n = *len;

		*len = 0;
		return body_arrives(s, q, c, data, n);
	}
	if (q->status)
		return send_answer(s, q, c);
	if (q->posted)
		return MHD_YES;
	q->posted = true;
	return to_core(s, q, c);
}

static void request_done(void *arg, struct MHD_Connection *c, void **context,
			 enum MHD_RequestTerminationCode why)
{
	struct request *q = *context;

	(void)arg;
	(void)c;
	(void)why;
	if (!q)
		return;
	if (q->answering)
		__atomic_sub_fetch(&q->server->answering, 1, __ATOMIC_ACQ_REL);
	for (size_t i = 0; i < q->n_headers; i++)
		free(q->header[i].value);
	/* Both may have held a password. */
	if (q->body.data)
		explicit_bzero(q->body.data, q->body.len);
	explicit_bzero(q->authorization, sizeof(q->authorization));
	if (q->file >= 0)
		close(q->file);
	upload_free(q->upload);
	buf_fini(&q->body);
	buf_fini(&q->cookies);
	query_fini(&q->query);
	json_decref(q->json);
	free(q->path_copy);
	free(q->target);
	free(q->text);
	free(q);
	*context = NULL;
}

static void mhd_log(void *arg, const char *fmt, va_list ap)
{
	char line[512];

	(void)arg;
	vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	log_debug("https text=\"%s\"", line);
}

/* ---- life ------------------------------------------------------------------- */

int server_start(const struct server_config *cfg, struct server **out, struct err *e)
{
	struct server *s;
	CLEANUP_FREE char *chain = xasprintf("%s%s", cfg->cert_pem, cfg->ca_pem);
	int rc = portal_open(chain, cfg->key_pem, e);

	if (rc < 0) {
		close(cfg->fd);
		return rc;
	}
	s = xcalloc(1, sizeof(*s));
	s->cfg = *cfg;
	list_init(&s->peers);
	must(pthread_mutex_init(&s->lock, NULL) == 0);
	/* clang-format off */
	s->daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TLS | MHD_USE_ERROR_LOG |
			(cfg->ipv6 ? MHD_USE_IPv6 : 0),
		0, NULL, NULL, access_request, s,
		MHD_OPTION_EXTERNAL_LOGGER, mhd_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, cfg->fd,
		MHD_OPTION_HTTPS_CERT_CALLBACK, portal_answer,
		MHD_OPTION_HTTPS_PRIORITIES, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2",
		MHD_OPTION_URI_LOG_CALLBACK, uri_seen, s,
		MHD_OPTION_NOTIFY_COMPLETED, request_done, s,
		MHD_OPTION_NOTIFY_CONNECTION, connection_changed, s,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_PER_ADDRESS_MAX,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
		MHD_OPTION_END);
	/* clang-format on */
	if (!s->daemon) {
		close(cfg->fd);
		pthread_mutex_destroy(&s->lock);
		free(s);
		portal_close();
		return err_set(e, -EIO, NULL, "The HTTPS server does not start.");
	}
	*out = s;
	return 0;
}

void server_quiesce(struct server *s)
{
	__atomic_store_n(&s->quiet, true, __ATOMIC_RELEASE);
}

bool server_drained(struct server *s)
{
	return __atomic_load_n(&s->with_core, __ATOMIC_ACQUIRE) == 0;
}

bool server_has_sent(struct server *s)
{
	return __atomic_load_n(&s->answering, __ATOMIC_ACQUIRE) == 0;
}

void server_stop(struct server *s)
{
	must(server_drained(s));
	MHD_stop_daemon(s->daemon);
	portal_close();
	pthread_mutex_destroy(&s->lock);
	free(s);
}
