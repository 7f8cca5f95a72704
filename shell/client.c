#include "shell/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/base.h"
#include "base/buf.h"
#include "shell/interrupt.h"

#define ANSWER_MAX (256 << 20)

struct client {
	const struct credentials *credentials;
	CURL *curl;
	struct curl_slist *headers;
	struct buf answer;
	char why[CURL_ERROR_SIZE];
	char *tenant, *csrf;
	char *password; /* typed since; NULL: as the credentials say */
	char *(*ask_password)(void *arg);
	void *arg;
	json_t *model;
	/* A body that goes to a file; NULL: to `answer`. */
	FILE *file;
	curl_mime *form;
	/* The line on the terminal that says how far it is. */
	bool progress, told;
	uint64_t told_at;
};

static size_t take_answer(char *p, size_t size, size_t n, void *arg)
{
	struct client *c = arg;
	long status = 0;

	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	if (c->file && status >= 200 && status <= 299)
		return fwrite(p, 1, size * n, c->file);
	return buf_put(&c->answer, p, size * n) ? 0 : size * n;
}

/* Called all the time while something is under way: Ctrl-C ends it, and who waits is told. */
static int watch(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
	struct client *c = arg;
	curl_off_t all = up_all ? up_all : down_all, n = up_all ? up : down;
	uint64_t now = mono_ns();

	if (interrupt_seen())
		return 1;
	if (!c->progress || now - c->told_at < (c->told ? 200 : 500) * NS_PER_MS)
		return 0;
	c->told_at = now;
	c->told = true;
	fprintf(stderr, "\r\033[K%.1f", (double)n / 1e6);
	fprintf(stderr, all ? " of %.1f MB (Ctrl-C leaves)" : " MB (Ctrl-C leaves)", (double)all / 1e6);
	return 0;
}

static void add_header(struct client *c, const char *name, const char *value)
{
	CLEANUP_FREE char *line = xasprintf("%s: %s", name, value);

	/* A line break in a tenant's name would be a header of its own. */
	line[strcspn(line, "\r\n")] = '\0';
	c->headers = curl_slist_append(c->headers, line);
	must(c->headers);
}

static void make_headers(struct client *c)
{
	curl_slist_free_all(c->headers);
	c->headers = NULL;
	if (!c->form)
		add_header(c, "Content-Type", "application/json");
	add_header(c, "X-Avi-Tenant", c->tenant);
	add_header(c, "X-Spanwire-Strict", "1");
	if (c->csrf)
		add_header(c, "X-CSRFToken", c->csrf);
}

static void set_up(struct client *c)
{
	const struct credentials *cr = c->credentials;
	CURL *h = c->curl;

	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, 5L);
	curl_easy_setopt(h, CURLOPT_TIMEOUT, 60L);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->why);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(h, CURLOPT_COOKIEFILE, ""); /* keep cookies, in memory */
	curl_easy_setopt(h, CURLOPT_USERAGENT, "spanwire/" SPANWIRE_VERSION);
	curl_easy_setopt(h, CURLOPT_REFERER, cr->controller);
	if (cr->ca)
		curl_easy_setopt(h, CURLOPT_CAINFO, cr->ca);
	if (cr->insecure) {
		curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, watch);
	curl_easy_setopt(h, CURLOPT_XFERINFODATA, c);
	curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
}

/*
 * What the controller says went wrong: the "error" of its answer, or the answer itself when it is
 * short text.
 */
static void refusal(struct client *c, long status, const char *path, struct err *e)
{
	int rc = status == 404 ? -ENOENT : status == 401 ? -EACCES : -EREMOTEIO;
	CLEANUP_JSON json_t *v = NULL;
	const char *text = buf_cstr(&c->answer);

	if (!json_read(c->answer.data, c->answer.len, &v, NULL))
		text = json_str(v, "error", text);
	if (*text)
		err_set(e, rc, NULL, "%s", text);
	else
		err_set(e, rc, NULL, "The controller answered %ld to %s, without a word.", status,
			path);
}

/*
 * A connection that the other side closed long ago is found out by writing to it. The library leaves
 * signals alone (CURLOPT_NOSIGNAL); what is printed into a closed pipe shall end us as ever.
 */
static struct sigaction no_sigpipe(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, was;

	sigaction(SIGPIPE, &ignore, &was);
	return was;
}

/* METHOD NULL: GET, or POST when there is a body. */
static int ask_once(struct client *c, const char *method, const char *path, const char *body,
	       json_t **out, struct err *e)
{
	CLEANUP_FREE char *url = xasprintf("%s%s", c->credentials->controller, path);
	struct sigaction was;
	struct err unread;
	CURLcode rc;
	long status = 0;

	c->answer.len = 0;
	c->told = false;
	c->told_at = mono_ns();
	make_headers(c);
	curl_easy_setopt(c->curl, CURLOPT_URL, url);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
	if (c->form)
		curl_easy_setopt(c->curl, CURLOPT_MIMEPOST, c->form);
	else if (body)
		curl_easy_setopt(c->curl, CURLOPT_COPYPOSTFIELDS, body);
	else
		curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
	/* A file may take its time, as long as it moves. */
	curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, c->file || c->form ? 0L : 60L);
	curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_TIME, 120L);
	was = no_sigpipe();
	rc = curl_easy_perform(c->curl);
	sigaction(SIGPIPE, &was, NULL);
	if (c->told)
		fputs("\r\033[K", stderr);
	if (rc == CURLE_ABORTED_BY_CALLBACK)
		return err_set(e, -EINTR, NULL, body || c->form || method
						       ? "Interrupted: whether it was done, `show` tells."
						       : "Interrupted.");
	if (rc == CURLE_PEER_FAILED_VERIFICATION)
		return err_set(
			e, -ENOTCONN, NULL,
			"The certificate of %s is not trusted (%s): name the controller's CA with "
			"SPANWIRE_CA or --ca, or give --insecure.",
			c->credentials->controller, c->why);
	if (rc != CURLE_OK)
		return err_set(e, -ENOTCONN, NULL, "Cannot reach the controller at %s: %s.",
			       c->credentials->controller,
			       *c->why ? c->why : curl_easy_strerror(rc));
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200 || status > 299) {
		refusal(c, status, path, e);
		return e->code;
	}
	if (!out || status == 204 || c->file)
		return 0;
	if (json_read(c->answer.data ? c->answer.data : "", c->answer.len, out, &unread))
		return err_set(e, -EREMOTEIO, NULL,
			       "The controller's answer to %s cannot be read: %s", path,
			       unread.text);
	return 0;
}

/*
 * The token that has to come with everything but a GET is in a cookie: the last of seven fields
 * set apart by tabs.
 */
static void take_csrf(struct client *c)
{
	struct curl_slist *cookies = NULL;

	curl_easy_getinfo(c->curl, CURLINFO_COOKIELIST, &cookies);
	for (struct curl_slist *l = cookies; l; l = l->next) {
		const char *name = strstr(l->data, "\tcsrftoken\t");

		if (name) {
			free(c->csrf);
			c->csrf = xstrdup(name + strlen("\tcsrftoken\t"));
		}
	}
	curl_slist_free_all(cookies);
}

static int log_in(struct client *c, struct err *e)
{
	const char *password = c->password ?: c->credentials->password;
	CLEANUP_JSON json_t *who = json_pack("{s:s, s:s}", "username", c->credentials->user, password ? "password" : "token",
					     password ?: c->credentials->token);
	CLEANUP_FREE char *body = NULL;
	int rc;

	if (!who)
		return err_set(e, -EINVAL, NULL, "User and password must be UTF-8.");
	body = json_text(who);
	rc = ask_once(c, NULL, "/login", body, NULL, e);
	if (!rc)
		take_csrf(c);
	return rc;
}

static void forget_password(struct client *c)
{
	if (c->password)
		explicit_bzero(c->password, strlen(c->password));
	free(c->password);
	c->password = NULL;
}

void client_ask_password(struct client *c, char *(*ask)(void *arg), void *arg)
{
	c->ask_password = ask;
	c->arg = arg;
}

/* With what we have, else with what somebody types. */
static int log_in_again(struct client *c, struct err *e)
{
	int rc = log_in(c, e);

	if (rc != -EACCES || !c->ask_password)
		return rc;
	forget_password(c);
	c->password = c->ask_password(c->arg);
	return c->password ? log_in(c, e) : rc;
}

/* A session that nobody used for long is gone: another one is begun, unseen. */
static int ask(struct client *c, const char *method, const char *path, const char *body,
	       json_t **out, struct err *e)
{
	FILE *file = c->file;
	curl_mime *form = c->form;
	bool progress = c->progress;
	int rc = ask_once(c, method, path, body, out, e);
	struct err first = *e;

	if (rc != -EACCES)
		return rc;
	c->file = NULL;
	c->form = NULL;
	c->progress = false;
	rc = log_in_again(c, e);
	c->file = file;
	c->form = form;
	c->progress = progress;
	if (!rc)
		return ask_once(c, method, path, body, out, e);
	*e = first;
	return first.code;
}

int client_open(const struct credentials *credentials, struct client **out, struct err *e)
{
	struct client *c = xcalloc(1, sizeof(*c));
	int rc;

	curl_global_init(CURL_GLOBAL_DEFAULT);
	c->credentials = credentials;
	c->tenant = xstrdup(credentials->tenant);
	c->answer.limit = ANSWER_MAX;
	c->curl = curl_easy_init();
	must(c->curl);
	set_up(c);
	rc = log_in(c, e);
	if (rc) {
		curl_easy_cleanup(c->curl);
		c->curl = NULL;
		client_close(c);
		c = NULL;
	}
	*out = c;
	return rc;
}

void client_close(struct client *c)
{
	struct sigaction was;
	struct err ignored;

	if (!c)
		return;
	if (c->curl)
		ask_once(c, NULL, "/logout", "", NULL, &ignored);
	was = no_sigpipe();
	curl_easy_cleanup(c->curl);
	sigaction(SIGPIPE, &was, NULL);
	curl_slist_free_all(c->headers);
	curl_global_cleanup();
	buf_fini(&c->answer);
	json_decref(c->model);
	forget_password(c);
	free(c->tenant);
	free(c->csrf);
	free(c);
}

int client_get(struct client *c, const char *path, json_t **out, struct err *e)
{
	return ask(c, NULL, path, NULL, out, e);
}

int client_send(struct client *c, const char *method, const char *path, const json_t *body,
		json_t **out, struct err *e)
{
	CLEANUP_FREE char *text = body ? json_text(body) : xstrdup("");

	return ask(c, method, path, text, out, e);
}

int client_model(struct client *c, const json_t **model, struct err *e)
{
	int rc = c->model ? 0 : ask(c, NULL, "/api/model", NULL, &c->model, e);

	*model = c->model;
	return rc;
}

const char *client_tenant(const struct client *c)
{
	return c->tenant;
}

void client_switch(struct client *c, const char *tenant)
{
	char *copy = xstrdup(tenant);

	free(c->tenant);
	c->tenant = copy;
}

int client_download(struct client *c, const char *path, FILE *file, struct err *e)
{
	int rc;

	c->file = file;
	c->progress = isatty(STDERR_FILENO);
	rc = ask(c, NULL, path, NULL, NULL, e);
	c->progress = false;
	c->file = NULL;
	if (!rc && fflush(file))
		rc = err_set(e, -EIO, NULL, "The file cannot be written: %s.", strerror(errno));
	return rc;
}

int client_upload(struct client *c, const char *path, const char *file, json_t **out, struct err *e)
{
	curl_mimepart *part;
	int rc;

	c->form = curl_mime_init(c->curl);
	must(c->form);
	part = curl_mime_addpart(c->form);
	curl_mime_name(part, "file");
	rc = curl_mime_filedata(part, file)
		     ? err_set(e, -EINVAL, NULL, "%s cannot be read.", file)
		     : 0;
	c->progress = isatty(STDERR_FILENO);
	if (!rc)
		rc = ask(c, "POST", path, NULL, out, e);
	c->progress = false;
	curl_mime_free(c->form);
	c->form = NULL;
	return rc;
}

struct part {
	struct client *client;
	int (*sink)(void *arg, const void *p, size_t n);
	void *arg;
};

static size_t take_part(char *p, size_t size, size_t n, void *arg)
{
	struct part *part = arg;
	long status = 0;

	curl_easy_getinfo(part->client->curl, CURLINFO_RESPONSE_CODE, &status);
	/* A refusal is a sentence, no part of the file. */
	if (status != 206)
		return take_answer(p, size, n, part->client);
	return part->sink(part->arg, p, size * n) ? 0 : size * n;
}

int client_part(struct client *c, const char *path, uint64_t from, int (*sink)(void *arg, const void *p, size_t n), void *arg,
		struct err *e)
{
	CLEANUP_FREE char *range = xasprintf("%llu-", (unsigned long long)from);
	struct part part = { c, sink, arg };
	long status = 0;
	int rc;

	curl_easy_setopt(c->curl, CURLOPT_RANGE, range);
	curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, 0L);
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_part);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &part);
	rc = ask(c, NULL, path, NULL, NULL, e);
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_setopt(c->curl, CURLOPT_RANGE, NULL);
	curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, 60L);
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
	return status == 416 ? 0 : rc;
}

char *client_header(struct client *c, const char *name)
{
	struct curl_header *h;

	return curl_easy_header(c->curl, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK
		       ? xstrdup(h->value)
		       : NULL;
}

char *client_escape(struct client *c, const char *text)
{
	char *escaped = curl_easy_escape(c->curl, text, 0), *copy;

	must(escaped);
	copy = xstrdup(escaped);
	curl_free(escaped);
	return copy;
}
