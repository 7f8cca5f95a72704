#include "engine/http/fail.h"

#include "base/base.h"
#include "base/buf.h"
#include "engine/conn.h"
#include "engine/counters.h"
#include "engine/http/refusal.h"
#include "model/structs.h"

/* What the rest of a Location may be long; one that would be longer than our own codec takes is not sent. */
#define REDIRECT_WORDS 4096

/* A word of the configuration that goes into a head: what would end the line, or is not to be seen, is left out. */
static void add_word(struct buf *b, const char *word)
{
	for (const char *p = word ? word : ""; *p && p - word < REDIRECT_WORDS / 4; p++)
		if ((unsigned char)*p > ' ' && *p != 0x7f)
			buf_put(b, p, 1);
}

static void add_redirect(struct buf *b, const struct fail_action_http_redirect *r, const struct http1_head *h,
			 const char *in)
{
	static const char *const status[] = {
		[HTTP_REDIRECT_STATUS_CODE_301] = "301 Moved Permanently",
		[HTTP_REDIRECT_STATUS_CODE_302] = "302 Found",
		[HTTP_REDIRECT_STATUS_CODE_307] = "307 Temporary Redirect",
	};
	const char *path = in + h->path.at, *query = memchr(path, '?', h->path.len);
	size_t path_len = query ? (size_t)(query - path) : h->path.len;

	buf_printf(b, "HTTP/1.1 %s\r\nLocation: %s://", status[r->status_code],
		 r->protocol == HTTPS ? "https" : "http");
	add_word(b, r->host);
	/* What is not given is the request's. */
	if (r->path && *r->path) {
		if (*r->path != '/')
			buf_put(b, "/", 1);
		add_word(b, r->path);
	} else if (path_len) {
		buf_put(b, path, path_len);
	} else {
		buf_put(b, "/", 1);
	}
	if (r->query && *r->query) {
		buf_put(b, "?", 1);
		add_word(b, r->query);
	} else if (query) {
		buf_put(b, query, h->path.len - path_len);
	}
	buf_printf(b, "\r\nContent-Length: 0\r\n\r\n");
}

static void add_local(struct buf *b, const struct fail_action_http_local_response *r)
{
	const struct http_local_file *f = r->file;
	const char *content = f && f->file_content ? f->file_content : "";

	buf_printf(b, "HTTP/1.1 %s\r\n",
		 r->status_code == FAIL_HTTP_STATUS_CODE_200 ? "200 OK" : "503 Service Unavailable");
	if (f && f->content_type && *f->content_type) {
		buf_printf(b, "Content-Type: ");
		for (const char *p = f->content_type; *p && p - f->content_type < REDIRECT_WORDS; p++)
			if ((unsigned char)*p >= ' ' && *p != 0x7f)
				buf_put(b, p, 1);
		buf_printf(b, "\r\n");
	}
	buf_printf(b, "Content-Length: %zu\r\n\r\n%s", strlen(content), content);
}

void fail_answer(struct exchange *x, const struct fail_action *action, const struct http1_head *head)
{
	struct buf b = BUF_INIT;

	if (action && action->type == FAIL_ACTION_HTTP_REDIRECT && action->redirect &&
	    head->path.len + strlen(action->redirect->host) + REDIRECT_WORDS < HTTP1_FIELD_MAX) {
		add_redirect(&b, action->redirect, head, exchange_in(x));
	} else if (action && action->type == FAIL_ACTION_HTTP_LOCAL_RSP && action->local_rsp) {
		add_local(&b, action->local_rsp);
	} else {
		x->keep = false;
		exchange_refuse(x, &refusal_NO_SERVER);
		return;
	}
	counter_add(&exchange_counters(x)->http_no_server, 1);
	exchange_answer(x, buf_cstr(&b), b.len);
	buf_fini(&b);
}
