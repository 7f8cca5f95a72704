#include "engine/config/names.h"

#include <ares.h>
#include <arpa/inet.h>
#include <sys/epoll.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/log.h"

/* A socket of c-ares. */
struct ares_socket {
	struct list link;
	struct watch watch;
	struct grave grave;
	struct names *names;
};

struct name {
	struct list link;
	struct names *names;
	char *text;
	struct timer timer;        /* to ask again */
	bool wanted;               /* while names_want() sorts */
	bool asking;
	size_t tried;              /* domains of the search list that do not have it */
};

struct names {
	struct loop *loop;
	struct names_user *user;
	ares_channel channel;      /* NULL: there is none to be had */
	struct list sockets, all;
	struct timer timer;        /* c-ares' own */
	struct timer tell;
	json_t *known;
	json_t *search;            /* NULL: no domain */
	char *own;                 /* the machine's name servers, as c-ares writes them */
};

/* ---- c-ares in our loop ---- */

static void follow_timeout(struct names *n)
{
	struct timeval tv, *left = ares_timeout(n->channel, NULL, &tv);

	if (!left) {
		timer_stop(n->loop, &n->timer);
		return;
	}
	timer_in(n->loop, &n->timer, (uint64_t)left->tv_sec * 1000 + (uint64_t)left->tv_usec / 1000 + 1, n->timer.fire);
}

static void on_timeout(struct timer *t)
{
	struct names *n = CONTAINER_OF(t, struct names, timer);

	ares_process_fd(n->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	follow_timeout(n);
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct names *n = CONTAINER_OF(w, struct ares_socket, watch)->names;

	ares_process_fd(n->channel, events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? w->fd : ARES_SOCKET_BAD,
			events & EPOLLOUT ? w->fd : ARES_SOCKET_BAD);
	follow_timeout(n);
}

static void socket_release(struct grave *g)
{
	free(CONTAINER_OF(g, struct ares_socket, grave));
}

static void socket_drop(struct ares_socket *s)
{
	watch_stop(s->names->loop, &s->watch);
	list_remove(&s->link);
	loop_bury(s->names->loop, &s->grave, socket_release);
}

static void on_state(void *arg, ares_socket_t fd, int in, int out)
{
	uint32_t events = (in ? EPOLLIN : 0u) | (out ? EPOLLOUT : 0u);
	struct names *n = arg;
	struct ares_socket *s = NULL;

	LIST_FOREACH(l, &n->sockets)
		if (LIST_ENTRY(l, struct ares_socket, link)->watch.fd == fd)
			s = LIST_ENTRY(l, struct ares_socket, link);
	if (!events) {
		if (s)
			socket_drop(s);
		return;
	}
	if (s) {
		watch_set(n->loop, &s->watch, events);
		return;
	}
	s = xcalloc(1, sizeof(*s));
	s->names = n;
	list_init(&s->link);
	list_insert(&n->sockets, &s->link);
	if (watch_start(n->loop, &s->watch, fd, events, on_ready) < 0)
		log_warn("name_socket_failed");
}

/* ---- answers ---- */

static void on_tell(struct timer *t)
{
	struct names *n = CONTAINER_OF(t, struct names, tell);

	n->user->news(n->user);
}

static void tell(struct names *n)
{
	if (!n->tell.active)
		timer_in(n->loop, &n->tell, 1, on_tell);
}

static bool holds(const json_t *list, const json_t *text)
{
	const json_t *value;
	size_t i;

	json_array_foreach(list, i, value)
		if (json_equal(value, text))
			return true;
	return false;
}

/* What it has now, and what it had and has no more. */
static void take(struct name *x, json_t *now)
{
	struct names *n = x->names;
	json_t *record = json_object_get(n->known, x->text), *old = json_array(), *value;
	const json_t *had[] = { json_object_get(record, "now"), json_object_get(record, "old") };
	json_t *fresh;
	size_t i;

	for (size_t k = 0; k < ARRAY_SIZE(had); k++)
		json_array_foreach(had[k], i, value)
			if (!holds(now, value) && !holds(old, value) && json_array_size(old) < NAMES_ADDRESSES)
				json_array_append(old, value);
	fresh = json_pack("{s:o, s:o}", "now", now, "old", old);
	if (json_equal(fresh, record)) {
		json_decref(fresh);
		return;
	}
	json_object_set_new(n->known, x->text, fresh);
	tell(n);
}

static void fail(struct name *x, const char *why)
{
	struct names *n = x->names;
	json_t *record = json_object_get(n->known, x->text);

	if (!record) {
		record = json_pack("{s:[], s:[]}", "now", "old");
		json_object_set_new(n->known, x->text, record);
	}
	if (strcmp(json_str(record, "error", ""), why) == 0)
		return;
	log_warn("name_failed name=%s reason=\"%s\"", x->text, why);
	json_object_set_new(record, "error", json_string(why));
	tell(n);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void ask(struct timer *t);
static void ask_one(struct name *x);

/* In which it is looked for next; NULL: in none, it stands alone. */
static const char *domain_of(const struct name *x)
{
	return strchr(x->text, '.') ? NULL : json_string_value(json_array_get(x->names->search, x->tried));
}

/* The name is not there. Who does not know, or is silent, has not said that: in another domain it might be somebody else's. */
static bool is_no(int status)
{
	return status == ARES_SUCCESS || status == ARES_ENOTFOUND || status == ARES_ENODATA;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *answer)
{
	char texts[NAMES_ADDRESSES][INET6_ADDRSTRLEN];
	const char *sorted[NAMES_ADDRESSES];
	int64_t ttl = NAMES_TTL_MOST_S;
	struct name *x = arg;
	json_t *now;
	size_t n = 0;

	(void)timeouts;
	if (status == ARES_ECANCELLED || status == ARES_EDESTRUCTION)
		return; /* X may be gone */
	x->asking = false;
	for (const struct ares_addrinfo_node *a = answer ? answer->nodes : NULL; a && n < NAMES_ADDRESSES; a = a->ai_next) {
		const void *ip = a->ai_family == AF_INET6
					 ? (const void *)&((const struct sockaddr_in6 *)(const void *)a->ai_addr)->sin6_addr
					 : (const void *)&((const struct sockaddr_in *)(const void *)a->ai_addr)->sin_addr;

		if (!inet_ntop(a->ai_family, ip, texts[n], sizeof(texts[n])))
			continue;
		sorted[n] = texts[n];
		n++;
		ttl = MIN(ttl, (int64_t)a->ai_ttl);
	}
	ares_freeaddrinfo(answer);
	if (!n && is_no(status) && domain_of(x)) {
		x->tried++;
		ask_one(x);
		return;
	}
	if (status != ARES_SUCCESS || !n) {
		fail(x, status == ARES_SUCCESS ? "The name has no address." : ares_strerror(status));
		timer_in(x->names->loop, &x->timer, NAMES_RETRY_S * 1000, ask);
		return;
	}
	/* Name servers turn the order with each answer: that is no news. */
	qsort(sorted, n, sizeof(sorted[0]), by_text);
	now = json_array();
	for (size_t i = 0; i < n; i++)
		if (!i || strcmp(sorted[i], sorted[i - 1]) != 0)
			json_array_append_new(now, json_string(sorted[i]));
	take(x, now);
	timer_in(x->names->loop, &x->timer, (uint64_t)MAX(ttl, (int64_t)NAMES_TTL_LEAST_S) * 1000, ask);
}

static void ask_one(struct name *x)
{
	static const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_flags = ARES_AI_NOSORT };
	const char *domain = domain_of(x);
	CLEANUP_FREE char *text = xasprintf("%s%s%s", x->text, domain ? "." : "", domain ? domain : "");

	x->asking = true;
	ares_getaddrinfo(x->names->channel, text, NULL, &hints, on_answer, x);
	follow_timeout(x->names);
}

static void ask(struct timer *t)
{
	struct name *x = CONTAINER_OF(t, struct name, timer);

	x->tried = 0;
	ask_one(x);
}

/* ---- which ---- */

/* As c-ares writes them. NULL: there are none. */
static char *servers_text(ares_channel channel)
{
	struct ares_addr_port_node *all = NULL;
	struct buf text = BUF_INIT;
	char ip[INET6_ADDRSTRLEN], *out;

	if (ares_get_servers_ports(channel, &all) != ARES_SUCCESS)
		return NULL;
	for (const struct ares_addr_port_node *s = all; s; s = s->next)
		if (inet_ntop(s->family, &s->addr, ip, sizeof(ip)))
			buf_printf(&text, "%s%s", text.len ? "," : "", ip);
	ares_free_data(all);
	out = text.len ? xstrdup(buf_cstr(&text)) : NULL;
	buf_fini(&text);
	return out;
}

/* All questions under way begin anew. */
static void ask_again(struct names *n, bool all)
{
	ares_cancel(n->channel);
	LIST_FOREACH(l, &n->all) {
		struct name *x = LIST_ENTRY(l, struct name, link);

		if (all || x->asking)
			ask(&x->timer);
	}
}

void names_servers(struct names *n, const json_t *servers, const json_t *search)
{
	struct buf text = BUF_INIT;
	const json_t *server;
	int rc = ARES_SUCCESS;
	size_t i;

	if (!n->channel)
		return;
	json_array_foreach(servers, i, server)
		buf_printf(&text, "%s%s", i ? "," : "", json_string_value(server) ? json_string_value(server) : "");
	/* c-ares changes no servers under a question. */
	ares_cancel(n->channel);
	json_decref(n->search);
	n->search = json_copy((json_t *)search);
	if (text.len || n->own)
		rc = ares_set_servers_csv(n->channel, text.len ? buf_cstr(&text) : n->own);
	if (rc != ARES_SUCCESS)
		log_warn("name_servers_refused reason=\"%s\"", ares_strerror(rc));
	buf_fini(&text);
	ask_again(n, true);
}

struct names *names_new(struct loop *l, struct names_user *u)
{
	struct names *n = xcalloc(1, sizeof(*n));
	/* No files and no search list: a name is asked for as it is written, of name servers. */
	struct ares_options o = { .sock_state_cb = on_state, .sock_state_cb_data = n, .lookups = (char *)"b",
				  .timeout = 1000, .tries = 3 };
	int rc;

	n->loop = l;
	n->user = u;
	n->known = json_object();
	n->timer.fire = on_timeout;
	list_init(&n->sockets);
	list_init(&n->all);
	rc = ares_library_init(ARES_LIB_INIT_ALL);
	if (rc == ARES_SUCCESS)
		rc = ares_init_options(&n->channel, &o, ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS |
								ARES_OPT_TRIES | ARES_OPT_DOMAINS);
	if (rc != ARES_SUCCESS) {
		log_error("names_failed reason=\"%s\"", ares_strerror(rc));
		n->channel = NULL;
	}
	if (n->channel)
		n->own = servers_text(n->channel);
	return n;
}

static void name_drop(struct name *x)
{
	timer_stop(x->names->loop, &x->timer);
	json_object_del(x->names->known, x->text);
	list_remove(&x->link);
	free(x->text);
	free(x);
}

void names_free(struct names *n)
{
	if (!n)
		return;
	if (n->channel)
		ares_destroy(n->channel);
	while (!list_empty(&n->sockets))
		socket_drop(LIST_ENTRY(n->sockets.next, struct ares_socket, link));
	while (!list_empty(&n->all))
		name_drop(LIST_ENTRY(n->all.next, struct name, link));
	timer_stop(n->loop, &n->timer);
	timer_stop(n->loop, &n->tell);
	ares_library_cleanup();
	json_decref(n->known);
	json_decref(n->search);
	free(n->own);
	free(n);
}

void names_want(struct names *n, const json_t *wanted)
{
	bool dropped = false;
	const char *text;
	json_t *value;

	if (!n->channel)
		return;
	LIST_FOREACH(l, &n->all) {
		struct name *x = LIST_ENTRY(l, struct name, link);

		x->wanted = json_object_get(wanted, x->text) != NULL;
		dropped |= !x->wanted && x->asking;
	}
	/* c-ares takes no single question back: all are asked anew. */
	if (dropped)
		ares_cancel(n->channel);
	LIST_FOREACH(l, &n->all)
		if (!LIST_ENTRY(l, struct name, link)->wanted)
			name_drop(LIST_ENTRY(l, struct name, link));
	if (dropped)
		ask_again(n, false);
	json_object_foreach((json_t *)wanted, text, value) {
		struct name *x = NULL;

		LIST_FOREACH(l, &n->all)
			if (strcmp(LIST_ENTRY(l, struct name, link)->text, text) == 0)
				x = LIST_ENTRY(l, struct name, link);
		if (x)
			continue;
		x = xcalloc(1, sizeof(*x));
		x->names = n;
		x->text = xstrdup(text);
		list_init(&x->link);
		list_insert(&n->all, &x->link);
		ask(&x->timer);
	}
}

json_t *names_all(const struct names *n)
{
	return n->known;
}
