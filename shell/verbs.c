#include "shell/verbs.h"

#include <errno.h>
#include <strings.h>

#include "base/base.h"
#include "base/buf.h"
#include "shell/candidates.h"
#include "shell/commands.h"
#include "shell/configure.h"
#include "shell/edit.h"
#include "shell/grid.h"
#include "shell/kinds.h"
#include "shell/merge.h"
#include "shell/objects.h"
#include "shell/text.h"
#include "shell/tree.h"

static void say_where(struct session *s)
{
	const struct level *l = mode_level(&s->mode);

	tree_print(s->out, s->mode.model, l->message, l->value);
}

static void say_entered(struct session *s)
{
	const struct level *l = mode_level(&s->mode);

	if (!s->terminal)
		return;
	if (!l->is_new) {
		fputs("Updating an existing object. Currently, the object is:\n", s->out);
		say_where(s);
	} else if (l->field && json_bool(l->field, "list", false)) {
		fputs("New object being created\n", s->out);
	}
}

void verbs_enter(struct session *s, const json_t *model, const json_t *kind, json_t *object, bool is_new)
{
	mode_open(&s->mode, model, kind, object, is_new);
	say_entered(s);
}

/* Lines to the one that is END, as others ask for them. NULL: somebody changed his mind. Caller frees. */
static char *ask_text(struct session *s, const char *name)
{
	CLEANUP_FREE char *question = xasprintf("Please input the value for field %s (Enter END to terminate input):\n", name);
	struct buf text = BUF_INIT;
	char *line = NULL, *whole;
	const char *say = question;

	for (;; say = "", buf_printf(&text, "%s%s", text.len ? "\n" : "", line), free(line)) {
		line = s->ask(s->arg, say, false);
		if (!line || !strcmp(line, "END"))
			break;
	}
	whole = line ? xstrdup(text.len ? buf_cstr(&text) : "") : NULL;
	free(line);
	buf_fini(&text);
	return whole;
}

/* What did not stand in the line. */
static int ask_value(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const char *name = json_str(s->mode.asked, "name", "");
	CLEANUP_FREE char *question = xasprintf("%s: ", name);
	CLEANUP_FREE const char **more = xcalloc(n + 2, sizeof(*more));
	char *value;
	int rc;

	if (!s->ask)
		return err_set(e, -EINVAL, name, "It needs a value: @FILE is what is in that file.");
	value = json_bool(s->mode.asked, "secret", false) ? s->ask(s->arg, question, true) : ask_text(s, name);
	if (!value)
		return err_set(e, -EINTR, NULL, "Nothing was set.");
	memcpy(more, words, n * sizeof(*more));
	more[n] = value;
	rc = mode_edit(&s->mode, more, n + 1, e);
	explicit_bzero(value, strlen(value));
	free(value);
	return rc;
}

int verb_edit(struct session *s, const char *const *words, size_t n, struct err *e)
{
	size_t depth = s->mode.n;
	int rc = mode_edit(&s->mode, words, n, e);

	if (rc && s->mode.asked)
		rc = ask_value(s, words, n, e);
	s->secret |= s->mode.secret;
	/* With words behind the name one knows where one is. */
	if (!rc && s->mode.n > depth && (n == 1 || !mode_level(&s->mode)->is_new || !strcasecmp(words[n - 2], "index")) &&
	    json_equal(mode_level(&s->mode)->value, mode_level(&s->mode)->before))
		say_entered(s);
	return rc;
}

/* What the controller's sentence says about items, in the numbers that are typed here. */
static void tell_index(struct err *e)
{
	CLEANUP_FREE char *text = xstrdup(e->text);
	const char *p = text;
	size_t len = strcspn(p, ": ");
	struct buf b = BUF_INIT;

	for (const char *q = p; q < p + len; q++) {
		unsigned n;

		if (*q == '[' && sscanf(q, "[%u]", &n) == 1) {
			buf_printf(&b, " index %u", n + 1);
			q = strchr(q, ']');
		} else {
			buf_put(&b, *q == '.' ? " " : q, 1);
		}
	}
	if (memchr(p, '[', len))
		err_set(e, e->code, NULL, "%s (Here that is %s.)", text, buf_cstr(&b));
	buf_fini(&b);
}

static char *object_path(struct session *s, const char *uuid)
{
	return objects_path(s->client, s->mode.kind, json_bool(s->mode.kind, "singleton", false) ? NULL : uuid);
}

/* What is in the controller now of the object that is open; an absent one is an error. */
static int read_again(struct session *s, const char *uuid, json_t **out, struct err *e)
{
	CLEANUP_FREE char *path = object_path(s, uuid);
	CLEANUP_FREE char *full = xasprintf("%s?include_name&skip_default=true", path);
	int rc = client_get(s->client, full, out, e);

	/* Its address is no member of it. */
	json_object_del(*out, "url");
	return rc;
}

/* Was it refused because somebody else saved or deleted it in the meantime? */
static void tell_stale(struct session *s, struct err *e)
{
	const struct level *l = &s->mode.level[0];
	CLEANUP_JSON json_t *now = NULL;
	CLEANUP_FREE char *text = xstrdup(err_line(e));
	int rc = l->is_new ? 0 : read_again(s, json_str(l->before, "uuid", ""), &now, &(struct err){ 0 });

	if (rc == -ENOENT)
		err_set(e, e->code, NULL, "%s Somebody deleted it: `abort` drops what was set here.", text);
	else if (now && !json_equal(json_object_get(now, "_last_modified"), json_object_get(l->before, "_last_modified")))
		err_set(e, e->code, NULL, "%s `reload` takes what is there now, and keeps what you set.", text);
}

static int send_object(struct session *s, struct err *e)
{
	struct mode *m = &s->mode;
	struct level *l = &m->level[0];
	CLEANUP_JSON json_t *answer = NULL, *shown = NULL;
	CLEANUP_FREE char *path = NULL, *full = NULL;
	const json_t *kind = m->kind;
	const char *uuid = json_str(l->value, "uuid", NULL);
	bool single = json_bool(kind, "singleton", false), debug = json_is_string(json_object_get(kind, "of"));
	int rc;

	path = objects_path(s->client, kind, single || (l->is_new && !debug) ? NULL : uuid);
	full = xasprintf("%s?include_name", path);
	rc = client_send(s->client, l->is_new ? "POST" : "PUT", full, l->value, &answer, e);
	if (rc) {
		tell_index(e);
		tell_stale(s, e);
		return rc;
	}
	candidates_forget(s);
	if (s->json) {
		json_dumpf(answer, s->out, JSON_INDENT(2));
		fputc('\n', s->out);
	} else if (s->terminal) {
		configure_tell(s->client, stderr);
		if (!read_again(s, l->is_new ? json_str(answer, "uuid", "") : uuid, &shown, &(struct err){ 0 }))
			tree_print(s->out, m->model, json_str(kind, "message", ""), shown);
	} else {
		configure_tell(s->client, stderr);
	}
	mode_close(m);
	return 0;
}

int verb_save(struct session *s, const char *const *words, size_t n, struct err *e)
{
	(void)words;
	if (n)
		return err_set(e, -EINVAL, NULL, "save stands alone.");
	return mode_up(&s->mode, true) ? 0 : send_object(s, e);
}

int verb_cancel(struct session *s, const char *const *words, size_t n, struct err *e)
{
	(void)words, (void)n, (void)e;
	if (!mode_up(&s->mode, false))
		mode_close(&s->mode);
	return 0;
}

int verb_abort(struct session *s, const char *const *words, size_t n, struct err *e)
{
	(void)words, (void)n, (void)e;
	mode_close(&s->mode);
	return 0;
}

int verb_exit(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const struct level *l = mode_level(&s->mode);

	if (!json_equal(l->value, l->before))
		return err_set(e, -EINVAL, NULL,
			       "Something was set here: `save` keeps it, `cancel` drops it, `diff` shows it.");
	return verb_cancel(s, words, n, e);
}

int verb_back(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const struct level *l = mode_level(&s->mode);
	bool touched = !json_equal(l->value, l->before);

	return mode_up(&s->mode, touched) ? 0 : verb_exit(s, words, n, e);
}

int verb_new(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const json_t *field = mode_level(&s->mode)->field;
	const char *name = json_str(field, "name", "");

	(void)words, (void)n;
	if (!json_bool(field, "list", false))
		return err_set(e, -EINVAL, NULL, "This level is no item of a list.");
	/* One in which nothing was set is none. */
	mode_up(&s->mode, json_object_size(mode_level(&s->mode)->value) > 0);
	return verb_edit(s, &name, 1, e);
}

int verb_no(struct session *s, const char *const *words, size_t n, struct err *e)
{
	return mode_unset(&s->mode, words, n, e);
}

int verb_where(struct session *s, const char *const *words, size_t n, struct err *e)
{
	(void)words, (void)n, (void)e;
	say_where(s);
	return 0;
}

/* Rows of mode_diff(); LAST is the title of what is there after it. */
static void print_changes(struct session *s, const json_t *rows, const char *last)
{
	struct grid *g = grid_new();
	const json_t *row;
	size_t i;

	grid_column_of(g, "Field");
	grid_column_of(g, "Was");
	grid_column_of(g, last);
	json_array_foreach((json_t *)rows, i, row) {
		const char *field = json_str(row, "field", ""), *is = json_str(row, "is", "");

		grid_row(g);
		grid_cell(g, 0, xstrdup(field));
		grid_cell(g, 1, xstrdup(json_str(row, "was", "")));
		grid_cell(g, 2, xstrdup(*is && kinds_is_secret(s->mode.model, field) ? TEXT_SECRET : is));
	}
	grid_print(g, s->out);
	grid_free(g);
}

int verb_reload(struct session *s, const char *const *words, size_t n, struct err *e)
{
	struct level *l = &s->mode.level[0];
	CLEANUP_JSON json_t *now = NULL, *rows = NULL, *clashes = json_array();
	const json_t *row;
	json_t *both;
	size_t i;
	int rc;

	(void)words, (void)n;
	if (s->mode.n > 1)
		return err_set(e, -EINVAL, NULL, "Leave this level first: `save` keeps what was set in it, `cancel` drops it.");
	if (l->is_new)
		return err_set(e, -EINVAL, NULL, "It is not in the controller yet.");
	rc = read_again(s, json_str(l->before, "uuid", ""), &now, e);
	if (rc)
		return rc;
	both = merge(l->before, l->value, now, clashes);
	rows = mode_diff(l->before, now);
	for (i = json_array_size(rows); i-- > 0;)
		if (!strcmp(json_str(json_array_get(rows, i), "field", ""), "_last_modified"))
			json_array_remove(rows, i);
	json_decref(l->before);
	json_decref(l->value);
	l->before = json_incref(now);
	l->value = both;
	if (!json_array_size(rows)) {
		fputs("Nobody else changed it.\n", s->out);
		return 0;
	}
	print_changes(s, rows, "Is now");
	json_array_foreach(clashes, i, row)
		fprintf(s->out, "%s was set here as well: `save` puts yours in its place.\n", json_string_value(row));
	return 0;
}

/* Of the whole object, with what is set in this level and those above. */
int verb_diff(struct session *s, const char *const *words, size_t n, struct err *e)
{
	struct mode *m = &s->mode;
	CLEANUP_JSON json_t *rows = json_array();
	struct buf prefix = BUF_INIT;
	const json_t *row;
	size_t i;

	(void)words, (void)n, (void)e;
	for (size_t at = 0; at < m->n; at++) {
		const struct level *l = &m->level[at];
		CLEANUP_JSON json_t *some = mode_diff(l->before, l->value);

		if (at)
			buf_printf(&prefix, "%s", json_str(l->field, "name", ""));
		if (at && json_bool(l->field, "list", false))
			buf_printf(&prefix, "[%zu]", l->item + 1);
		if (at)
			buf_puts(&prefix, ".");
		json_array_foreach(some, i, row) {
			json_t *path = json_sprintf("%s%s", at ? buf_cstr(&prefix) : "",
						    json_str(row, "field", ""));

			json_object_set_new((json_t *)row, "field", path);
			json_array_append(rows, (json_t *)row);
		}
	}
	buf_fini(&prefix);
	if (!json_array_size(rows)) {
		fputs("Nothing would change.\n", s->out);
		return 0;
	}
	print_changes(s, rows, "Will be");
	return 0;
}

int verb_schema(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const struct level *l = mode_level(&s->mode);
	const json_t *fields = kinds_fields(s->mode.model, l->message), *f, *only = NULL;
	struct grid *g;
	size_t i;

	if (n) {
		only = edit_field(s->mode.model, l->message, words[0], e);
		if (!only)
			return -EINVAL;
	}
	g = grid_new();
	grid_column_of(g, "Field");
	grid_column_of(g, "Type");
	grid_column_of(g, "Default");
	grid_column_of(g, "Range");
	grid_column_of(g, "Help");
	json_array_foreach((json_t *)fields, i, f) {
		if ((only && f != only) || json_bool(f, "read_only", false))
			continue;
		grid_row(g);
		grid_cell(g, 0, xstrdup(json_str(f, "name", "")));
		grid_cell(g, 1, candidates_type(f));
		grid_cell(g, 2, text_of(json_object_get(f, "default")));
		grid_cell(g, 3, candidates_range(f));
		grid_cell(g, 4, candidates_about(f));
	}
	grid_print(g, s->out);
	grid_free(g);
	return 0;
}

int verb_do(struct session *s, const char *const *words, size_t n, struct err *e)
{
	struct mode held = s->mode;
	int rc;

	if (!n)
		return err_set(e, -EINVAL, NULL, "do what? A command of the outermost level follows.");
	s->mode = (struct mode){ 0 };
	rc = session_words(s, words, n, e);
	/* Another object cannot be entered from inside of one. */
	if (s->mode.n) {
		mode_close(&s->mode);
		rc = err_set(e, -EINVAL, NULL, "Save or cancel this object before another one is opened.");
	}
	s->mode = held;
	s->ended = false;
	return rc;
}

int verb_help(struct session *s, const char *const *words, size_t n, struct err *e)
{
	CLEANUP_FREE char *line = n ? xasprintf("%s ", words[0]) : xstrdup("");

	(void)e;
	candidates_help(s, line, s->out);
	return 0;
}
