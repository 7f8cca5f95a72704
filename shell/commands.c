#include "shell/commands.h"

#include <errno.h>
#include <poll.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/buf.h"
#include "shell/candidates.h"
#include "shell/capture.h"
#include "shell/captures.h"
#include "shell/clone_test.h"
#include "shell/completion.h"
#include "shell/configure.h"
#include "shell/edit.h"
#include "shell/events.h"
#include "shell/grid.h"
#include "shell/interrupt.h"
#include "shell/kinds.h"
#include "shell/objects.h"
#include "shell/save_packets.h"
#include "shell/show.h"
#include "shell/text.h"
#include "shell/token.h"
#include "shell/verbs.h"
#include "shell/words.h"
#include "shell/why.h"

/* As long an action is looked after. */
#define FOLLOW_NS (20 * NS_PER_S)

static int find_kind(struct session *s, const char *word, const json_t **model, const json_t **kind, struct err *e)
{
	int rc = client_model(s->client, model, e);

	return rc ? rc : kinds_find(*model, word, kind, e);
}

/* The kind that is OF the one that WORD names: "virtualservice" is debugvirtualservice. */
static int find_debug(struct session *s, const char *word, const json_t **model, const json_t **kind, struct err *e)
{
	const json_t *of, *k;
	size_t i;
	int rc = find_kind(s, word, model, &of, e);

	if (rc)
		return rc;
	json_array_foreach(json_object_get(*model, "kinds"), i, k)
		if (!strcmp(json_str(k, "of", ""), json_str(of, "kind", "")) || (k == of && json_object_get(k, "of"))) {
			*kind = k;
			return 0;
		}
	return err_set(e, -EINVAL, NULL, "There is nothing to debug of a %s.", json_str(of, "kind", ""));
}

/* ---- show ------------------------------------------------------------------------------------- */

int do_show(struct session *s, const char *const *words, size_t n, struct err *e)
{
	struct show show_how = { .client = s->client, .out = s->out, .json = s->json, .all = s->all, .zeros = s->pipe != NULL };
	struct buf view = BUF_INIT;
	int rc = filter_cut(&show_how.filter, words, n, &n, e);

	if (rc)
		return rc;
	/* "runtime detail" is runtime/detail. */
	for (size_t i = 2; i < n; i++)
		buf_printf(&view, "%s%s", i > 2 ? "/" : "", words[i]);
	rc = show(&show_how, n > 0 ? words[0] : NULL, n > 1 ? words[1] : NULL, view.len ? buf_cstr(&view) : NULL, e);
	buf_fini(&view);
	return rc;
}

int do_show_debug(struct session *s, const char *const *words, size_t n, struct err *e)
{
	struct show show_how = { .client = s->client, .out = s->out, .json = s->json, .all = s->all };
	const json_t *model, *kind;
	int rc = find_debug(s, words[0], &model, &kind, e);

	if (rc)
		return rc;
	if (n == 2)
		return show(&show_how, json_str(kind, "kind", ""), words[1], NULL, e);
	if (strncasecmp("capture", words[2], strlen(words[2])))
		return err_set(e, -EINVAL, NULL, "There is no '%s' to show of it: capture.", words[2]);
	rc = kinds_find(model, json_str(kind, "of", ""), &kind, e);
	return rc ? rc : captures_show(s, kind, words[1], n > 3 ? words[3] : NULL, e);
}

int do_show_events(struct session *s, const char *const *words, size_t n, struct err *e)
{
	return events_show(s, words, n, e);
}

int do_show_logs(struct session *s, const char *const *words, size_t n, struct err *e)
{
	return events_logs(s, words, n, e);
}

/* "controller" may be said: there is no other one. */
int do_show_version(struct session *s, const char *const *words, size_t n, struct err *e)
{
	CLEANUP_JSON json_t *answer = NULL;
	int rc = client_get(s->client, "/api/cluster/version", &answer, e);

	if (rc || (n && strcasecmp(words[0], "controller")))
		return rc ? rc : err_set(e, -EINVAL, NULL, "Of '%s' no version is known: `show serviceengine NAME` is about an engine.", words[0]);
	if (s->json) {
		json_dumpf(answer, s->out, JSON_INDENT(2));
		fputc('\n', s->out);
		return 0;
	}
	fprintf(s->out, "controller %s (API %s)\nshell %s\n", json_str(answer, "spanwire_version", ""), json_str(answer, "Version", ""),
		SPANWIRE_VERSION);
	return 0;
}

int do_why(struct session *s, const char *const *words, size_t n, struct err *e)
{
	bool broken = false;
	int rc;

	(void)n;
	rc = why(s->client, s->out, s->json, words[0], &broken, e);
	return rc ? rc : broken;
}

int do_clone_test(struct session *s, const char *const *words, size_t n, struct err *e)
{
	bool complete = false;
	int rc = clone_test(s->client, s->out, s->json, words[0], &complete, e);

	(void)n;
	return rc ? rc : !complete;
}

int do_capture(struct session *s, const char *const *words, size_t n, struct err *e)
{
	return capture_command(s->client, words, n, e);
}

int do_save_packets(struct session *s, const char *const *words, size_t n, struct err *e)
{
	return save_packets(s, words, n, e);
}

int do_watch(struct session *s, const char *const *words, size_t n, struct err *e)
{
	bool screen = s->terminal && isatty(fileno(s->out));
	int rc;

	interrupt_forget();
	for (;;) {
		char now[40];
		time_t at = time(NULL);
		struct tm tm;

		localtime_r(&at, &tm);
		strftime(now, sizeof(now), "%F %T", &tm);
		if (screen)
			fputs("\033[H\033[2J", s->out);
		fprintf(s->out, "%s  (Ctrl-C ends)\n", now);
		rc = session_filtered(s, words, n, e);
		fflush(s->out);
		if (rc < 0 && rc != -EINTR)
			return rc;
		if (s->mode.n) {
			mode_close(&s->mode);
			return err_set(e, -EINVAL, NULL, "Watch a show, not an edit.");
		}
		if (interrupt_seen())
			break;
		poll(NULL, 0, 2000);
		if (interrupt_seen())
			break;
	}
	e->code = 0;
	return 0;
}

/* ---- objects ------------------------------------------------------------------------------------ */

/* Into its mode; made when there is none of that name. */
static int enter(struct session *s, const json_t *model, const json_t *kind, const char *name, struct err *e)
{
	CLEANUP_FREE char *path = NULL, *full = NULL;
	json_t *object = NULL;
	bool is_new = false, single = json_bool(kind, "singleton", false);
	int rc;

	if (single) {
		path = objects_path(s->client, kind, NULL);
		full = xasprintf("%s?include_name&skip_default=true", path);
		rc = client_get(s->client, full, &object, e);
	} else if (!name) {
		return err_set(e, -EINVAL, NULL, "Which %s? Its name follows.", json_str(kind, "kind", ""));
	} else {
		rc = objects_find(s->client, kind, name, "&skip_default=true", &object, e);
		if (rc == -ENOENT && !object && !json_object_get(kind, "of")) {
			is_new = true;
			object = json_pack("{s:s}", "name", name);
			rc = object ? 0 : err_set(e, -EINVAL, "name", "It is not UTF-8.");
		}
	}
	if (rc) {
		json_decref(object);
		return rc;
	}
	e->code = 0;
	/* Its address is no member of it. */
	json_object_del(object, "url");
	verbs_enter(s, model, kind, object, is_new);
	return 0;
}

static int one_line(struct session *s, const char *kind, const char *name, const char *const *words, size_t n,
		    struct err *e)
{
	struct configure f = { .client = s->client, .out = s->out, .warn = stderr, .json = s->json };

	return configure(&f, kind, name, words, n, e);
}

/* Of which there is only one, a name is not needed: a field may stand in its place. */
static bool is_field_of_single(const json_t *model, const json_t *kind, const char *word)
{
	CLEANUP_FREE char *name = xstrdup(word + (strncmp(word, "--", 2) ? 0 : 2));

	name[strcspn(name, ".[")] = '\0';
	return json_bool(kind, "singleton", false) &&
	       (!strcmp(word, "no") || kinds_field(kinds_fields(model, json_str(kind, "message", "")), name));
}

int do_configure(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const json_t *model, *kind;
	int rc = find_kind(s, words[0], &model, &kind, e);

	if (rc)
		return rc;
	if (n > 2 && is_field_of_single(model, kind, words[1]))
		return one_line(s, json_str(kind, "kind", ""), "-", words + 1, n - 1, e);
	if (n < 2 && !s->lines)
		return err_set(e, -EINVAL, NULL, "configure needs more words: KIND NAME FIELDS...");
	if (n <= 2 && s->lines)
		return enter(s, model, kind, n > 1 ? words[1] : NULL, e);
	for (size_t i = 2; i < n; i++)
		s->secret |= kinds_may_be_secret(model, words[i]);
	rc = one_line(s, json_str(kind, "kind", ""), words[1], words + 2, n - 2, e);
	candidates_forget(s);
	return rc;
}

int do_debug(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const json_t *model, *kind;
	int rc = find_debug(s, words[0], &model, &kind, e);

	if (rc)
		return rc;
	if (n == 2 && !s->lines)
		return err_set(e, -EINVAL, NULL, "debug needs more words: KIND NAME FIELDS...");
	if (n == 2)
		return enter(s, model, kind, words[1], e);
	return one_line(s, json_str(kind, "kind", ""), words[1], words + 2, n - 2, e);
}

int do_delete(struct session *s, const char *const *words, size_t n, struct err *e)
{
	struct configure f = { .client = s->client, .out = s->out, .warn = stderr, .json = s->json };

	(void)n;
	candidates_forget(s);
	return configure_delete(&f, words[0], words[1], e);
}

int do_rename(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const char *fields[] = { "name", words[2], NULL };
	const json_t *model, *kind;
	CLEANUP_JSON json_t *object = NULL;
	int rc = find_kind(s, words[0], &model, &kind, e);

	(void)n;
	rc = rc ? rc : objects_find(s->client, kind, words[1], "&skip_default=true", &object, e);
	candidates_forget(s);
	return rc ? rc : one_line(s, words[0], words[1], fields, 2, e);
}

/* ---- actions -------------------------------------------------------------------------------------- */

/* Where it runs: names of engines. Caller frees. */
static char *whereabouts(const json_t *runtime)
{
	struct buf b = BUF_INIT;
	const json_t *vip, *engine;
	size_t i, j;
	char *s;

	json_array_foreach(json_object_get(runtime, "vip_summary"), i, vip)
		json_array_foreach(json_object_get(vip, "service_engine"), j, engine)
			buf_printf(&b, "%s%s", b.len ? ", " : " on ", json_str(engine, "name", "?"));
	s = text_harmless(xstrdup(b.len ? buf_cstr(&b) : ""));
	buf_fini(&b);
	return s;
}

/* A state in which it stays by itself. */
static bool is_settled(const char *state)
{
	static const char *const passing[] = { "OPER_INITIALIZING", "OPER_PROCESSING", "OPER_PARTITIONED", "OPER_DOWN" };

	for (size_t i = 0; i < ARRAY_SIZE(passing); i++)
		if (!strcmp(state, passing[i]))
			return false;
	return true;
}

/* What becomes of it, until it settles or somebody has seen enough. Leaving does it no harm. */
static void follow(struct session *s, const char *path, const char *name)
{
	CLEANUP_FREE char *full = xasprintf("%s/runtime?include_name", path);
	uint64_t begin = mono_ns();
	CLEANUP_FREE char *said = NULL;

	for (;;) {
		CLEANUP_JSON json_t *runtime = NULL;
		CLEANUP_FREE char *at = NULL, *now = NULL;
		const char *state;
		struct err ignored;

		if (interrupt_seen() || client_get(s->client, full, &runtime, &ignored))
			return;
		state = json_str(json_object_get(runtime, "oper_status"), "state", "");
		at = whereabouts(runtime);
		now = text_harmless(xasprintf("%s%s", state, at));
		if (!said || strcmp(now, said)) {
			fprintf(s->out, "%s: %s (%.1f s)\n", name, now, (double)(mono_ns() - begin) / 1e9);
			fflush(s->out);
			free(said);
			said = xstrdup(now);
		}
		if (is_settled(state))
			return;
		if (mono_ns() - begin > FOLLOW_NS)
			return;
		poll(NULL, 0, 250);
	}
}

static int act(struct session *s, const json_t *kind, const char *name, const json_t *action, const json_t *body,
	       struct err *e)
{
	CLEANUP_JSON json_t *object = NULL, *answer = NULL;
	CLEANUP_FREE char *path = NULL, *full = NULL, *clean = NULL;
	int rc = objects_find(s->client, kind, name, "&skip_default=true", &object, e);

	if (rc)
		return rc;
	path = objects_path(s->client, kind, json_str(object, "uuid", ""));
	full = xasprintf("%s/%s", path, json_str(action, "name", ""));
	rc = client_send(s->client, "POST", full, body, &answer, e);
	if (rc)
		return rc;
	clean = text_harmless(xstrdup(json_str(object, "name", name)));
	if (s->json) {
		json_dumpf(answer, s->out, JSON_INDENT(2));
		fputc('\n', s->out);
	} else if (json_object_size(answer) > 1) {
		show_tree(s->out, answer);
	} else {
		fprintf(s->out, "%s %s: %s.\n", json_str(kind, "kind", ""), clean, json_str(action, "name", ""));
	}
	if (s->terminal && !s->json && !strchr(json_str(action, "name", ""), '/'))
		follow(s, path, clean);
	return 0;
}

int do_action(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const json_t *model, *kind = NULL, *action;
	CLEANUP_JSON json_t *as_model = NULL;
	struct mode body = { 0 };
	int rc;

	if (n < 3)
		return err_set(e, -EINVAL, NULL, "%s needs a kind and a name.", words[0]);
	rc = find_kind(s, words[1], &model, &kind, e);
	if (rc)
		return rc;
	action = kinds_action(kind, words[0]);
	if (!action)
		return err_set(e, -EINVAL, NULL, "A %s has no '%s'.", json_str(kind, "kind", ""), words[0]);
	as_model = json_pack("{s:{s:{s:O}}}", "messages", "", "fields", json_object_get(action, "parameters"));
	mode_open(&body, as_model, as_model, json_object(), true);
	rc = n > 3 ? mode_edit(&body, words + 3, n - 3, e) : 0;
	rc = rc ? rc : act(s, kind, words[2], action, body.level[0].value, e);
	mode_close(&body);
	return rc;
}

int do_clear(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const json_t *model, *kind, *a, *found = NULL;
	struct buf list = BUF_INIT;
	size_t i, many = 0;
	int rc = find_kind(s, words[0], &model, &kind, e);

	if (rc)
		return rc;
	json_array_foreach(json_object_get(kind, "actions"), i, a) {
		const char *name = json_str(a, "name", "");

		if (!strstr(name, "clear") || (n > 2 && strncmp(name, words[2], strlen(words[2]))))
			continue;
		buf_printf(&list, "%s%s", many++ ? ", " : "", name);
		found = a;
	}
	if (many == 1)
		rc = act(s, kind, words[1], found, NULL, e);
	else if (many)
		rc = err_set(e, -EINVAL, NULL, "Clear what? There is: %s.", buf_cstr(&list));
	else
		rc = err_set(e, -EINVAL, NULL, "Of a %s there is nothing to clear.", json_str(kind, "kind", ""));
	buf_fini(&list);
	return rc;
}

/* ---- the configuration ------------------------------------------------------------------------------- */

struct transfer {
	const char *file;
	bool full;
	char *passphrase;
};

static int transfer_read(struct session *s, const char *const *words, size_t n, struct transfer *t, struct err *e)
{
	bool wanted = false;

	*t = (struct transfer){ 0 };
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(words[i], "full_system"))
			t->full = true;
		else if (!strcmp(words[i], "passphrase"))
			wanted = true;
		else if (!strcmp(words[i], "file") && i + 1 < n) /* as others say it */
			;
		else if (!t->file)
			t->file = words[i];
		else
			return err_set(e, -EINVAL, NULL, "'%s' is one word too many.", words[i]);
	}
	if (!wanted)
		return 0;
	if (s->ask)
		t->passphrase = s->ask(s->arg, "Passphrase: ", true);
	else if (getenv("SPANWIRE_PASSPHRASE"))
		t->passphrase = xstrdup(getenv("SPANWIRE_PASSPHRASE"));
	return t->passphrase && *t->passphrase
		       ? 0
		       : err_set(e, -EINVAL, NULL, "There is no passphrase: without a terminal it is SPANWIRE_PASSPHRASE.");
}

static char *transfer_path(struct session *s, const char *path, const struct transfer *t)
{
	CLEANUP_FREE char *escaped = t->passphrase ? client_escape(s->client, t->passphrase) : NULL;

	return xasprintf("%s?full_system=%s%s%s", path, t->full ? "true" : "false", escaped ? "&passphrase=" : "",
			 escaped ? escaped : "");
}

static void transfer_fini(struct transfer *t)
{
	if (t->passphrase)
		explicit_bzero(t->passphrase, strlen(t->passphrase));
	free(t->passphrase);
}

int do_export(struct session *s, const char *const *words, size_t n, struct err *e)
{
	CLEANUP_FREE char *path = NULL;
	struct transfer t;
	int rc = transfer_read(s, words, n, &t, e);

	if (!rc) {
		path = transfer_path(s, "/api/configuration/export", &t);
		rc = t.file ? captures_download(s, path, t.file, e) : client_download(s->client, path, s->out, e);
		/* The prompt begins a line. */
		if (!rc && !t.file && s->terminal)
			fputc('\n', s->out);
		if (!rc && t.file)
			fprintf(s->out, "The configuration is in %s%s.\n", t.file,
				t.passphrase ? ", its secrets sealed" : ", without its secrets");
	}
	transfer_fini(&t);
	return rc;
}

int do_import(struct session *s, const char *const *words, size_t n, struct err *e)
{
	CLEANUP_JSON json_t *answer = NULL;
	CLEANUP_FREE char *path = NULL;
	struct transfer t;
	int rc = transfer_read(s, words, n, &t, e);

	if (!rc && !t.file)
		rc = err_set(e, -EINVAL, NULL, "Import which file?");
	if (!rc) {
		path = transfer_path(s, "/api/configuration/import", &t);
		rc = client_upload(s->client, path, t.file, &answer, e);
	}
	if (!rc && t.full)
		fputs("The system was restored; the controller starts anew with it.\n", s->out);
	else if (!rc)
		fprintf(s->out, "%lld objects were imported.\n", (long long)json_int(answer, "objects", 0));
	transfer_fini(&t);
	candidates_forget(s);
	return rc;
}

/* ---- the session ----------------------------------------------------------------------------------------- */

int do_switchto(struct session *s, const char *const *words, size_t n, struct err *e)
{
	CLEANUP_FREE char *old = xstrdup(client_tenant(s->client));
	CLEANUP_JSON json_t *answer = NULL;
	int rc;

	(void)n;
	client_switch(s->client, words[0]);
	candidates_forget(s);
	/* Whether there is such a tenant, and one may be there, any question tells. */
	rc = client_get(s->client, "/api/virtualservice?page_size=1", &answer, e);
	if (rc)
		client_switch(s->client, old);
	return rc;
}

static int number(const char *word, int *out, struct err *e)
{
	char *end;
	long n = strtol(word, &end, 10);

	if (!*word || *end || n < 0 || n > 10000)
		return err_set(e, -EINVAL, NULL, "'%s' is no number from 0 to 10000.", word);
	*out = (int)n;
	return 0;
}

static int truth(const char *word, bool *out, struct err *e)
{
	if (strcasecmp(word, "on") && strcasecmp(word, "off"))
		return err_set(e, -EINVAL, NULL, "'%s' is not on or off.", word);
	*out = !strcasecmp(word, "on");
	return 0;
}

static const char *word_at(const void *words, size_t i)
{
	return ((const char *const *)words)[i];
}

int do_terminal(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const char *value = n > 1 ? words[1] : "on";
	int rc;

	if (n == 0) {
		fprintf(s->out, "json %s\nframes %s\nwidth %d\nlength %d\n", s->json_always ? "on" : "off",
			grid_is_framed() ? "on" : "off", s->width, s->length);
		return 0;
	}
	if (!strcmp(words[0], "json"))
		return truth(value, &s->json_always, e);
	if (!strcmp(words[0], "frames")) {
		bool framed;

		rc = truth(value, &framed, e);
		if (!rc)
			grid_framed(framed);
		return rc;
	}
	if (!strcmp(words[0], "width")) {
		rc = number(n > 1 ? words[1] : "", &s->width, e);
		if (!rc)
			grid_width(s->width);
		return rc;
	}
	if (!strcmp(words[0], "length"))
		return number(n > 1 ? words[1] : "", &s->length, e);
	/* Fields as options are understood in every mode. */
	if (!strcmp(words[0], "mode")) {
		static const char *const modes[] = { "shell", "linux_command_line" };

		return n > 1 && words_choose(value, ARRAY_SIZE(modes), word_at, modes) >= 0
			       ? 0
			       : err_set(e, -EINVAL, NULL, "The modes are shell and linux_command_line: what is typed in one is understood in the other.");
	}
	/* An object a line is a table without frames. */
	if (!strcmp(words[0], "--linux_cmd_output")) {
		static const char *const outputs[] = { "single_line", "multi_line" };
		int which = words_choose(n > 1 ? value : "", ARRAY_SIZE(outputs), word_at, outputs);

		if (which >= 0)
			grid_framed(which == 1);
		return which >= 0 ? 0 : err_set(e, -EINVAL, NULL, "It is single_line or multi_line.");
	}
	return err_set(e, -EINVAL, NULL, "There is no setting '%s': json, frames, width, length, mode.", words[0]);
}

int do_login(struct session *s, const char *const *words, size_t n, struct err *e)
{
	(void)words, (void)n;
	if (!s->ask)
		return err_set(e, -EINVAL, NULL, "A login is typed at a terminal.");
	return token_make(s->client, s->credentials, s->out, e);
}

int do_logout(struct session *s, const char *const *words, size_t n, struct err *e)
{
	(void)words, (void)n;
	return token_drop(s->client, s->credentials, e);
}

int do_history(struct session *s, const char *const *words, size_t n, struct err *e)
{
	(void)words, (void)n;
	if (!s->history)
		return err_set(e, -EINVAL, NULL, "Only lines that are typed at a terminal are kept.");
	s->history(s->arg, s->out);
	return 0;
}

int do_completion(struct session *s, const char *const *words, size_t n, struct err *e)
{
	(void)n;
	return completion_script(s->out, words[0], e);
}

int do_help(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const json_t *model = NULL;
	struct grid *g = grid_new();
	struct err ignored;
	const char *name;
	size_t found = 0;
	int rc = 0;

	if (s->client)
		client_model(s->client, &model, &ignored);
	grid_column_of(g, "Command");
	grid_column_of(g, "What it does");
	for (size_t i = 0; i < session_n_commands; i++) {
		const struct command *c = &session_commands[i];

		if (n && strncasecmp(c->name, words[0], strlen(words[0])))
			continue;
		found++;
		grid_row(g);
		grid_cell(g, 0, xasprintf("%s %s", c->name, c->words));
		grid_cell(g, 1, xstrdup(c->help));
	}
	for (size_t i = 0; (name = session_action(model, i)); i++) {
		if (n && strncasecmp(name, words[0], strlen(words[0])))
			continue;
		found++;
		grid_row(g);
		grid_cell(g, 0, xasprintf("%s KIND NAME [PARAMETERS...]", name));
		grid_cell(g, 1, xstrdup("An action on an object."));
	}
	if (found)
		grid_print(g, s->out);
	else
		rc = err_set(e, -EINVAL, NULL, "There is no command '%.60s': `help` lists them.", words[0]);
	grid_free(g);
	return rc;
}

int do_exit(struct session *s, const char *const *words, size_t n, struct err *e)
{
	(void)words, (void)n, (void)e;
	s->ended = true;
	return 0;
}

/* ---- the manual -------------------------------------------------------------------------------------------- */

/* In a table a bar would end the cell. */
static void cell(FILE *out, const char *text)
{
	for (const char *p = text; *p; p++)
		fprintf(out, *p == '|' ? "\\|" : "%c", *p);
}

static void reference(FILE *out, const struct command *c, size_t n)
{
	fputs("| | |\n|---|---|\n", out);
	for (size_t i = 0; i < n; i++) {
		fprintf(out, "| `%s%s", c[i].name, *c[i].words ? " " : "");
		cell(out, c[i].words);
		fputs("` | ", out);
		cell(out, c[i].help);
		fputs(" |\n", out);
	}
}

void commands_reference(FILE *out)
{
	fputs("### Commands\n\n", out);
	reference(out, session_commands, session_n_commands);
	fputs("\n### Inside an object\n\n", out);
	reference(out, session_verbs, session_n_verbs);
}
