#include "shell/capture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "shell/captures.h"
#include "shell/interrupt.h"
#include "shell/kinds.h"
#include "shell/objects.h"
#include "shell/text.h"

enum { LOOK_MS = 200, LAST_LOOKS = 100 };

struct taking {
	struct client *client;
	const char *name, *file;  /* FILE NULL: one is named by the controller */
	char *vs, *uuid, *path;   /* PATH: of the file */
	json_t *before;           /* debugvirtualservice, as it was */
	int fd;
	bool gone;                /* nobody reads what is written, or it finds no room: */
	int trouble;              /* errno of that; 0: none */
	uint64_t written;
	bool terminal, line;      /* LINE: there is a progress line on it */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

/* ---- what was asked for ---- */

static json_t *address(const char *text)
{
	unsigned char b[16];
	int family = inet_pton(AF_INET, text, b) == 1 ? 4 : inet_pton(AF_INET6, text, b) == 1 ? 6 : 0;

	return family ? json_pack("{s:s, s:s}", "addr", text, "type", family == 4 ? "V4" : "V6") : NULL;
}

static void into(json_t *ip, const char *list, json_t *v)
{
	if (!json_object_get(ip, list))
		json_object_set_new(ip, list, json_array());
	json_array_append_new(json_object_get(ip, list), v);
}

/* "10.1.1.1", "10.1.1.1-10.1.1.255", "10.1.1.0/24"; false: it is none of these. */
static bool add_address(json_t *ip, const char *word)
{
	const char *slash = strchr(word, '/'), *dash = strchr(word, '-');
	CLEANUP_FREE char *first = xstrndup(word, slash ? (size_t)(slash - word) : dash ? (size_t)(dash - word) : strlen(word));
	json_t *one = address(first), *last = dash ? address(dash + 1) : NULL;
	char *end = NULL;
	long mask = slash ? strtol(slash + 1, &end, 10) : 0;

	if (!one || (dash && !last) || (slash && (end == slash + 1 || *end))) {
		json_decref(one);
		json_decref(last);
		return false;
	}
	if (slash)
		into(ip, "prefixes", json_pack("{s:o, s:i}", "ip_addr", one, "mask", (int)mask));
	else if (dash)
		into(ip, "ranges", json_pack("{s:o, s:o}", "begin", one, "end", last));
	else
		into(ip, "addrs", one);
	return true;
}

/* Addresses are whose connections are wanted; anything else is an expression. */
static void filter(json_t *want, const char *const *words, size_t n)
{
	json_t *ip = json_object();
	struct buf b = BUF_INIT;
	bool all = n > 0;

	for (size_t i = 0; i < n; i++) {
		all = all && add_address(ip, words[i]);
		buf_printf(&b, "%s%s", i ? " " : "", words[i]);
	}
	if (all)
		json_object_set(want, "debug_ip", ip);
	else if (n)
		json_object_set_new(want, "capture_expression", json_string(buf_cstr(&b)));
	json_decref(ip);
	buf_fini(&b);
}

static int number(const char *option, const char *text, json_t *params, const char *field, struct err *e)
{
	char *end = NULL;
	unsigned long long n = text ? strtoull(text, &end, 10) : 0;

	if (!text || !*text || *text == '-' || *end || !n)
		return err_set(e, -EINVAL, NULL, "%s needs a number.", option);
	json_object_set_new(params, field, json_integer((json_int_t)n));
	return 0;
}

static int parse(struct taking *t, const char *const *words, size_t n, json_t *want, struct err *e)
{
	static const struct {
		const char *option, *field;
	} numbers[] = {
		{ "--packets", "max_packets" },
		{ "--seconds", "duration_seconds" },
		{ "--bytes", "pkt_size" },
	};
	json_t *params = json_object();
	const char **rest = xcalloc(n + 1, sizeof(*rest));
	size_t n_rest = 0;
	int rc = 0;

	json_object_set_new(params, "pkt_size", json_integer(0));
	json_object_set_new(want, "capture_params", params);
	for (size_t i = 0; i < n && !rc; i++) {
		size_t at = 0;

		while (at < ARRAY_SIZE(numbers) && strcmp(words[i], numbers[at].option))
			at++;
		if (at < ARRAY_SIZE(numbers)) {
			rc = number(words[i], i + 1 < n ? words[i + 1] : NULL, params, numbers[at].field, e);
			i++;
		} else if (!strcmp(words[i], "-w")) {
			if (i + 1 == n)
				rc = err_set(e, -EINVAL, NULL, "-w needs a file, or - for the standard output.");
			else
				t->file = words[++i];
		} else if (!strcmp(words[i], "--monitors")) {
			json_object_set_new(want, "debug_hm", json_string("DEBUG_VS_HM_INCLUDE"));
		} else if (!strncmp(words[i], "--", 2)) {
			rc = err_set(e, -EINVAL, NULL, "capture has no option %s: --packets N, --seconds N, --bytes N (of each packet), --monitors, -w FILE.", words[i]);
		} else if (!t->name) {
			t->name = words[i];
		} else {
			rest[n_rest++] = words[i];
		}
	}
	if (!rc && !t->name)
		rc = err_set(e, -EINVAL, NULL, "capture needs the name of a virtual service.");
	if (!rc)
		filter(want, rest, n_rest);
	free(rest);
	return rc;
}

/* ---- beginning and end ---- */

static int begin(struct taking *t, json_t *want, struct err *e)
{
	CLEANUP_JSON json_t *model = NULL, *service = NULL, *body = NULL, *runtime = NULL, *capture = NULL;
	CLEANUP_FREE char *path = NULL, *view = NULL, *one = NULL, *warning = NULL;
	const json_t *kind, *v;
	const char *key;
	int rc = client_get(t->client, "/api/model", &model, e);

	rc = rc ? rc : kinds_find(model, "virtualservice", &kind, e);
	rc = rc ? rc : objects_find(t->client, kind, t->name, "&skip_default=true", &service, e);
	if (rc)
		return rc;
	t->vs = xstrdup(json_str(service, "uuid", ""));
	path = xasprintf("/api/debugvirtualservice/%s", t->vs);
	rc = client_get(t->client, path, &t->before, e);
	if (rc)
		return rc;
	if (json_bool(t->before, "capture", false))
		return err_set(e, -EREMOTEIO, NULL, "A capture of %s runs already: `spanwire show capture` tells which.", t->name);
	body = json_copy(t->before);
	/* Only what was asked for, whatever it said before. */
	json_object_del(body, "debug_ip");
	json_object_del(body, "capture_filters");
	json_object_del(body, "capture_pkt_filter");
	json_object_del(body, "capture_expression");
	json_object_del(body, "debug_hm");
	json_object_del(body, "_last_modified");
	json_object_foreach(want, key, v)
		json_object_set(body, key, (json_t *)v);
	json_object_set_new(body, "capture", json_true());
	rc = client_send(t->client, "PUT", path, body, NULL, e);
	if (rc)
		return rc;
	warning = client_header(t->client, "X-Spanwire-Warning");
	if (warning)
		fprintf(stderr, "%s\n", text_harmless(warning));
	view = xasprintf("/api/virtualservice/%s/runtime", t->vs);
	rc = client_get(t->client, view, &runtime, e);
	if (rc)
		return rc;
	t->uuid = xstrdup(json_str(json_object_get(runtime, "capture"), "uuid", ""));
	if (!*t->uuid)
		return err_set(e, -EREMOTEIO, NULL, "The capture ended before it began: `spanwire show capture` tells why.");
	t->path = xasprintf("/api/capture/%s/file", t->uuid);
	if (!t->file) {
		one = xasprintf("/api/capture/%s", t->uuid);
		rc = client_get(t->client, one, &capture, e);
		t->file = rc ? NULL : captures_file_name(json_str(capture, "file_name", "capture.pcapng"));
	}
	return rc;
}

/* What it said before, without a capture; 0 also when it ended by itself. */
static int end(struct taking *t, struct err *e)
{
	CLEANUP_FREE char *path = xasprintf("/api/debugvirtualservice/%s", t->vs);

	json_object_del(t->before, "_last_modified");
	json_object_del(t->before, "capture");
	return client_send(t->client, "PUT", path, t->before, NULL, e);
}

static int open_file(struct taking *t, struct err *e)
{
	if (!strcmp(t->file, "-")) {
		t->fd = STDOUT_FILENO;
		if (isatty(t->fd))
			return err_set(e, -EINVAL, NULL, "Packets are not written to a terminal: -w FILE, or a pipe behind -w -.");
		return 0;
	}
	/* What is in it stays until the capture has begun. */
	t->fd = open(t->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return t->fd < 0 ? err_set(e, -EIO, NULL, "Cannot write %s: %s.", t->file, strerror(errno)) : 0;
}

/* ---- the stream ---- */

static int put(void *arg, const void *p, size_t n)
{
	struct taking *t = arg;

	while (n) {
		ssize_t done = write(t->fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			t->gone = true;
			/* Who closed a pipe has seen enough. */
			t->trouble = errno == EPIPE ? 0 : errno;
			return -errno;
		}
		t->written += (size_t)done;
		p = (const char *)p + done;
		n -= (size_t)done;
	}
	return 0;
}

static void progress(struct taking *t, const json_t *r, bool last)
{
	json_int_t packets = json_int(r, "packets", 0), drops = json_int(r, "drops", 0);
	double seconds = json_number_value(json_object_get(r, "seconds")),
	       left = json_number_value(json_object_get(r, "seconds_left"));

	if (!t->terminal)
		return;
	fprintf(stderr, "\r\033[K%lld packets, %llu bytes, %lld dropped, %.0f s", (long long)packets, (unsigned long long)t->written,
		(long long)drops, seconds);
	if (json_object_get(r, "seconds_left") && !last)
		fprintf(stderr, ", %.0f s left", left);
	t->line = true;
	fflush(stderr);
}

static void wait_a_little(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000L }, NULL);
}

static int stream(struct taking *t, json_t **last, struct err *e)
{
	CLEANUP_FREE char *view = xasprintf("/api/capture/%s/runtime", t->uuid), *one = xasprintf("/api/capture/%s", t->uuid);
	bool told = false, over = false;
	int rc = 0;

	while (!rc && !over) {
		CLEANUP_JSON json_t *r = NULL;
		struct err none = { 0 };

		if ((interrupted || interrupt_seen() || t->gone) && !told) {
			interrupt_forget();
			rc = end(t, e);
			told = true;
		}
		/* First whether it is over, then what there is: so nothing is left behind. */
		rc = rc ? rc : client_get(t->client, one, last ? &r : NULL, e);
		over = !rc && *json_str(r, "ended", "");
		if (!rc && !t->gone)
			rc = client_part(t->client, t->path, t->written, put, t, e);
		/* Ctrl-C ends what was being asked, and then the capture. */
		if (t->gone || (rc && interrupt_seen() && !told)) {
			rc = 0;
			continue;
		}
		if (over) {
			*last = json_incref(r);
		} else if (!rc) {
			CLEANUP_JSON json_t *now = NULL;

			if (!client_get(t->client, view, &now, &none))
				progress(t, now, false);
			wait_a_little();
		}
	}
	return rc;
}

int capture_command(struct client *c, const char *const *words, size_t n, struct err *e)
{
	struct taking t = { .client = c, .fd = -1, .terminal = isatty(STDERR_FILENO) };
	struct sigaction stop = { .sa_handler = on_signal };
	CLEANUP_JSON json_t *want = json_object(), *last = NULL;
	const char *given;
	struct err ignored = { 0 };
	int rc = parse(&t, words, n, want, e);

	interrupt_catch();
	sigaction(SIGHUP, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	signal(SIGPIPE, SIG_IGN);
	given = t.file;
	/* Before anything begins: it may be a file that cannot be. */
	if (!rc && given)
		rc = open_file(&t, e);
	if (!rc)
		rc = begin(&t, want, e);
	if (!rc && !given)
		rc = open_file(&t, e);
	if (!rc && t.fd != STDOUT_FILENO && ftruncate(t.fd, 0) < 0 && errno != EINVAL)
		rc = err_set(e, -EIO, NULL, "Cannot write %s: %s.", t.file, strerror(errno));
	if (!rc)
		rc = stream(&t, &last, e);
	if (!rc && t.trouble)
		rc = err_set(e, -EIO, NULL, "Cannot write %s: %s: the capture was ended.", strcmp(t.file, "-") ? t.file : "standard output",
			     strerror(t.trouble));
	if (t.uuid)
		end(&t, &ignored);
	if (t.line)
		fprintf(stderr, "\r\033[K");
	if (!rc && last)
		fprintf(stderr, "%lld packets, %lld bytes, %lld dropped; ended by: %s%s%s\n", (long long)json_int(last, "packets", 0),
			(long long)json_int(last, "size", 0), (long long)json_int(last, "drops", 0), json_str(last, "ended_by", ""),
			strcmp(t.file, "-") ? "; in " : "", strcmp(t.file, "-") ? t.file : "");
	if (t.fd > STDERR_FILENO)
		close(t.fd);
	if (t.file != given)
		free((char *)t.file);
	json_decref(t.before);
	free(t.vs);
	free(t.uuid);
	free(t.path);
	return rc;
}
