#include "shell/show.h"

#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "shell/grid.h"
#include "shell/kinds.h"
#include "shell/objects.h"
#include "shell/text.h"
#include "shell/tree.h"

#define COLUMNS_MAX 6
/* More columns than this, of no more rows than this, are shown across. */
#define WIDE 8
#define FEW 4
/* As many counters of 0 are not shown one by one. */
#define MANY 4
/* Microseconds: what is larger is a time and no duration. */
#define SINCE_1970 1000000000000000LL

/* ---- any answer as tables ---------------------------------------------- */

static char *joined(const char *prefix, const char *name)
{
	return *prefix ? xasprintf("%s.%s", prefix, name) : xstrdup(name);
}

/* Calls F for each value below V that fits in a cell or is a list, with its path. */
static void each_leaf(const char *path, const json_t *v,
		      void (*f)(void *arg, const char *path, const json_t *v), void *arg)
{
	const json_t *member;
	const char *key;

	if (!json_is_object(v) || text_is_flat(v)) {
		f(arg, path, v);
		return;
	}
	json_object_foreach((json_t *)v, key, member) {
		CLEANUP_FREE char *below = joined(path, key);

		each_leaf(below, member, f, arg);
	}
}

/* Where a tree goes, and what of it comes as tables of its own afterwards. */
struct page {
	FILE *out;
	bool begun, all;
};

struct leaves {
	json_t *values; /* path -> value that fits in a cell, in order */
	json_t *lists; /* path -> array of objects */
};

static void sort_leaf(void *arg, const char *path, const json_t *v)
{
	struct leaves *l = arg;

	json_object_set(json_is_array(v) && !text_is_flat(v) ? l->lists : l->values,
			*path ? path : "value", (json_t *)v);
}

static struct leaves leaves_of(const json_t *v)
{
	struct leaves l = { json_object(), json_object() };

	each_leaf("", v, sort_leaf, &l);
	return l;
}

static void leaves_fini(struct leaves *l)
{
	json_decref(l->values);
	json_decref(l->lists);
}

/*
 * What to call a row: its name, or a member that ends so, or its first value; behind whose it is.
 */
static char *row_title(const json_t *values)
{
	const char *of = json_str(values, "of", NULL), *key;
	const json_t *v, *named = json_object_get(values, "name"), *first = NULL;
	CLEANUP_FREE char *text = NULL;

	json_object_foreach((json_t *)values, key, v) {
		size_t len = strlen(key);

		if (!strcmp(key, "of"))
			continue;
		if (!first)
			first = v;
		if (!named && len > 5 && !strcmp(key + len - 5, "_name"))
			named = v;
	}
	text = text_of(named ? named : first);
	return of ? xasprintf("%s %s", of, text) : xstrdup(text);
}

/*
 * The items below PATH of a row come in a table with those of the other rows, each with the title
 * of its row.
 */
static void gather(json_t *lists, const struct leaves *row)
{
	CLEANUP_FREE char *title = row_title(row->values);
	const json_t *items, *item;
	const char *path;
	size_t i;

	json_object_foreach(row->lists, path, items) {
		json_t *all = json_object_get(lists, path);

		if (!all) {
			all = json_array();
			json_object_set_new(lists, path, all);
		}
		json_array_foreach((json_t *)items, i, item) {
			json_t *with_title = json_pack("{s:s}", "of", title);

			if (json_is_object(item))
				json_object_update(with_title, (json_t *)item);
			else
				json_object_set(with_title, "value", (json_t *)item);
			json_array_append_new(all, with_title);
		}
	}
}

static json_t *columns_of(const json_t *rows)
{
	json_t *columns = json_object();
	const json_t *row, *v;
	const char *path;
	size_t i;

	json_array_foreach((json_t *)rows, i, row)
		json_object_foreach((json_t *)row, path, v)
			json_object_set_new(columns, path, json_true());
	return columns;
}

/* Counters that counted nothing, in no row: a reader at a terminal is told how many there are. */
static size_t drop_zeros(json_t *columns, const json_t *rows)
{
	CLEANUP_JSON json_t *zeros = json_object();
	const json_t *row, *v;
	const char *path;
	size_t i;

	json_object_foreach(columns, path, v) {
		bool zero = true;

		json_array_foreach((json_t *)rows, i, row) {
			const json_t *n = json_object_get(row, path);

			zero &= !n || (json_is_integer(n) && !json_integer_value(n));
		}
		if (zero)
			json_object_set_new(zeros, path, json_true());
	}
	if (json_object_size(zeros) < MANY)
		return 0;
	json_object_foreach(zeros, path, v)
		json_object_del(columns, path);
	return json_object_size(zeros);
}

char *show_cell(const char *path, const json_t *v)
{
	size_t len = strlen(path);
	bool stamp = (len > 3 && !strcmp(path + len - 3, "_us")) ||
		     (len >= 14 && !strcmp(path + len - 14, "_last_modified"));
	long long us = json_is_string(v) ? atoll(json_string_value(v)) : json_integer_value(v);
	CLEANUP_JSON json_t *moment = NULL;

	if (!grid_is_framed() || !stamp || us < SINCE_1970)
		return text_of(v);
	moment = json_pack("{s:I, s:I}", "secs", (json_int_t)(us / 1000000), "usecs", (json_int_t)(us % 1000000));
	return text_of(moment);
}

/* A table for each row: where there is no room for all of its members beside each other. */
static void show_one_by_one(const struct page *p, const json_t *rows)
{
	const json_t *row, *v;
	const char *path;
	size_t i;

	json_array_foreach((json_t *)rows, i, row) {
		struct grid *g = grid_new();

		grid_column(g, "field");
		grid_column(g, "value");
		json_object_foreach((json_t *)row, path, v) {
			grid_row(g);
			grid_cell(g, 0, xstrdup(path));
			grid_cell(g, 1, show_cell(path, v));
		}
		grid_print(g, p->out);
		grid_free(g);
	}
}

/* A line for each row; or, of few rows with much in them, a column. */
static void show_table(const struct page *p, const json_t *rows)
{
	CLEANUP_JSON json_t *columns = columns_of(rows);
	bool across = json_object_size(columns) > WIDE && json_array_size(rows) <= FEW;
	size_t zeros = across && grid_is_framed() && !p->all ? drop_zeros(columns, rows) : 0;
	struct grid *g = grid_new();
	const json_t *row, *v;
	const char *path;
	size_t i, at;

	if (across) {
		grid_column(g, "field");
		json_array_foreach((json_t *)rows, i, row) {
			CLEANUP_FREE char *title = row_title(row);

			grid_column_of(g, title);
		}
		/* Whose they are is in the titles already. */
		json_object_del(columns, "of");
		json_object_foreach(columns, path, v) {
			grid_row(g);
			grid_cell(g, 0, xstrdup(path));
			json_array_foreach((json_t *)rows, i, row)
				grid_cell(g, i + 1, show_cell(path, json_object_get(row, path)));
		}
	} else {
		json_object_foreach(columns, path, v)
			grid_column(g, path);
		json_array_foreach((json_t *)rows, i, row) {
			at = 0;
			grid_row(g);
			json_object_foreach(columns, path, v)
				grid_cell(g, at++, show_cell(path, json_object_get(row, path)));
		}
	}
	if (grid_fits(g, p->out))
		grid_print(g, p->out);
	else
		show_one_by_one(p, rows);
	grid_free(g);
	if (zeros)
		fprintf(p->out, "%zu more are 0; --all shows them.\n", zeros);
}

static void begin_table(struct page *p, const char *title)
{
	CLEANUP_FREE char *harmless = text_harmless(xstrdup(title));

	if (p->begun)
		fputc('\n', p->out);
	if (*harmless)
		fprintf(p->out, "%s:\n", harmless);
	p->begun = true;
}

static void show_rows(struct page *p, const char *title, const json_t *rows)
{
	CLEANUP_JSON json_t *flat = json_array();
	CLEANUP_JSON json_t *lists = json_object();
	const json_t *row, *below;
	const char *path;
	size_t i;

	json_array_foreach((json_t *)rows, i, row) {
		struct leaves l = leaves_of(row);

		json_array_append(flat, l.values);
		gather(lists, &l);
		leaves_fini(&l);
	}
	begin_table(p, title);
	show_table(p, flat);
	json_object_foreach(lists, path, below) {
		CLEANUP_FREE char *name = joined(title, path);

		show_rows(p, name, below);
	}
}

static void show_page(FILE *out, const json_t *v, bool all)
{
	struct page p = { .out = out, .all = all };
	struct leaves l;
	const json_t *below;
	const char *path;

	if (json_is_array(v)) {
		show_rows(&p, "", v);
		return;
	}
	l = leaves_of(v);
	if (json_object_size(l.values)) {
		struct grid *g = grid_new();

		grid_column(g, "field");
		grid_column(g, "value");
		json_object_foreach(l.values, path, below) {
			grid_row(g);
			grid_cell(g, 0, xstrdup(path));
			grid_cell(g, 1, show_cell(path, below));
		}
		begin_table(&p, "");
		grid_print(g, out);
		grid_free(g);
	}
	json_object_foreach(l.lists, path, below)
		show_rows(&p, path, below);
	leaves_fini(&l);
}

void show_tree(FILE *out, const json_t *v)
{
	show_page(out, v, false);
}

/* ---- kinds, lists ------------------------------------------------------ */

static int show_json(const struct show *s, const json_t *v)
{
	json_dumpf(v, s->out, JSON_INDENT(2) | JSON_ENCODE_ANY);
	fputc('\n', s->out);
	return 0;
}

static int show_kinds(const struct show *s, const json_t *model)
{
	const json_t *kinds = json_object_get(model, "kinds"), *k;
	struct grid *g;
	size_t i;

	if (s->json)
		return show_json(s, kinds);
	g = grid_new();
	grid_column(g, "kind");
	grid_column(g, "what it is");
	json_array_foreach((json_t *)kinds, i, k) {
		if (json_bool(k, "runtime", false))
			continue;
		grid_row(g);
		grid_cell(g, 0, xstrdup(json_str(k, "kind", "")));
		grid_cell(g, 1, xstrdup(json_str(k, "help", "")));
	}
	grid_print(g, s->out);
	grid_free(g);
	return 0;
}

static const json_t *state_of(const json_t *o)
{
	const json_t *runtime = json_object_get(o, "runtime");

	return json_object_get(json_object_get(runtime, "oper_status"), "state");
}

static bool some_have_state(const json_t *objects)
{
	const json_t *o;
	size_t i;

	json_array_foreach((json_t *)objects, i, o)
		if (state_of(o))
			return true;
	return false;
}

static bool tenants_differ(const json_t *objects)
{
	const json_t *o, *first = json_object_get(json_array_get(objects, 0), "tenant_ref");
	size_t i;

	json_array_foreach((json_t *)objects, i, o)
		if (first && !json_equal((json_t *)first, json_object_get(o, "tenant_ref")))
			return true;
	return false;
}

static void show_objects(const struct show *s, const json_t *model, const json_t *kind,
			 const json_t *objects)
{
	const json_t *columns[COLUMNS_MAX], *o;
	size_t n = kinds_columns(model, kind, objects, columns, ARRAY_SIZE(columns)), i;
	bool states = some_have_state(objects), tenants = tenants_differ(objects);
	struct grid *g = grid_new();

	grid_column(g, "name");
	if (tenants)
		grid_column(g, "tenant");
	if (states)
		grid_column(g, "state");
	for (i = 0; i < n; i++)
		grid_column(g, json_str(columns[i], "name", ""));
	grid_column(g, "uuid");
	json_array_foreach((json_t *)objects, i, o) {
		size_t at = 0;

		grid_row(g);
		grid_cell(g, at++, text_of(json_object_get(o, "name")));
		if (tenants)
			grid_cell(g, at++, text_of(json_object_get(o, "tenant_ref")));
		if (states)
			grid_cell(g, at++, text_of(state_of(o)));
		for (size_t j = 0; j < n; j++)
			grid_cell(g, at++,
				  kinds_cell(model, columns[j],
					     json_object_get(o, json_str(columns[j], "name", ""))));
		grid_cell(g, at, text_of(json_object_get(o, "uuid")));
	}
	grid_print(g, s->out);
	grid_free(g);
}

static int show_list(const struct show *s, const json_t *model, const json_t *kind, struct err *e)
{
	CLEANUP_FREE char *path = xasprintf("/api/%s", json_str(kind, "kind", ""));
	CLEANUP_FREE char *chosen = filter_query(&s->filter, s->client, model, kind, e), *how = NULL;
	CLEANUP_JSON json_t *objects = NULL;
	int rc;

	if (!chosen)
		return -EINVAL;
	how = xasprintf("%s%s", s->json ? "" : "&skip_default=true&join_subresources=runtime", chosen);
	rc = objects_all(s->client, path, how, &objects, e);
	if (rc)
		return rc;
	if (s->json)
		return show_json(s, objects);
	if (json_array_size(objects))
		show_objects(s, model, kind, objects);
	else if (s->filter.n)
		fprintf(s->out, "There is no such %s.\n", json_str(kind, "kind", ""));
	else
		fprintf(s->out, "There is no %s.\n", json_str(kind, "kind", ""));
	return 0;
}

/* ---- one object --------------------------------------------------------- */

/* Without the defaults, unless they were asked for. */
static const char *options(const struct show *s)
{
	return s->json || s->all ? "" : "&skip_default=true";
}

/* By name, else by uuid; those that share a name are shown. A new reference in *OUT. */
static int find_object(const struct show *s, const json_t *model, const json_t *kind,
		       const char *name, json_t **out, struct err *e)
{
	int rc = objects_find(s->client, kind, name, options(s), out, e);

	if (rc && *out)
		show_objects(s, model, kind, *out);
	return rc;
}

/* What processes of engines have to say comes in blocks, one for each of them. */
static bool are_blocks(const json_t *v)
{
	return json_object_get(json_array_get(v, 0), "proc_id") != NULL;
}

static void show_blocks(const struct show *s, const json_t *blocks)
{
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *)blocks, i, v) {
		if (i)
			fputc('\n', s->out);
		tree_block(s->out, v, s->all || s->zeros);
	}
}

/* A page of results is shown as the results. */
static int show_answer(const struct show *s, const json_t *v)
{
	const json_t *results = json_object_get(v, "results");
	CLEANUP_JSON json_t *shown = json_copy((json_t *)(json_is_array(results) ? results : v));

	if (s->json)
		return show_json(s, v);
	/* Its own address is no news to who asked for it. */
	json_object_del(shown, "url");
	if (json_is_array(shown) && !json_array_size(shown))
		fputs("There is nothing.\n", s->out);
	else if (are_blocks(shown))
		show_blocks(s, shown);
	else
		show_page(s->out, shown, s->all || s->zeros);
	return 0;
}

static int show_view(const struct show *s, const json_t *kind, const char *path, const char *words, struct err *e)
{
	const char *view = kinds_view(kind, words, e) ?: words;
	CLEANUP_FREE char *escaped = client_escape(s->client, view);
	CLEANUP_FREE char *full = NULL;
	CLEANUP_JSON json_t *answer = NULL;
	char *slash;
	int rc = e->code;

	if (rc)
		return rc;
	/* Views have slashes of their own: "runtime/detail". */
	while ((slash = strstr(escaped, "%2F"))) {
		*slash = '/';
		memmove(slash + 1, slash + 3, strlen(slash + 3) + 1);
	}
	full = xasprintf("%s/%s?include_name", path, escaped);
	rc = client_get(s->client, full, &answer, e);
	if (rc == -ENOENT && view == words && json_object_get(kind, "views")) {
		CLEANUP_FREE char *views = kinds_views(kind);

		return err_set(e, rc, NULL, "A %s has no view '%s'%s%s.", json_str(kind, "kind", ""), words, *views ? "; there is: " : "", views);
	}
	rc = rc ? rc : filter_rows(&s->filter, answer, e);
	return rc ? rc : show_answer(s, answer);
}

static int show_object(const struct show *s, const json_t *model, const json_t *kind, json_t *o, struct err *e)
{
	int rc = filter_rows(&s->filter, o, e);

	if (rc)
		return rc;
	if (s->json || !grid_is_framed())
		return show_answer(s, o);
	json_object_del(o, "url");
	tree_print(s->out, model, json_str(kind, "message", ""), o);
	return 0;
}

static int show_one(const struct show *s, const json_t *model, const json_t *kind, const char *name,
		    const char *view, struct err *e)
{
	CLEANUP_FREE char *path = NULL;
	CLEANUP_JSON json_t *o = NULL;
	int rc;

	if (json_bool(kind, "singleton", false)) {
		CLEANUP_FREE char *whole = NULL;

		/* There is only one: what follows is its view. */
		if (name && view)
			return err_set(e, -EINVAL, NULL, "There is only one %s: it needs no name.",
				       json_str(kind, "kind", ""));
		path = objects_path(s->client, kind, NULL);
		if (name)
			return show_view(s, kind, path, name, e);
		whole = xasprintf("%s?include_name%s", path, options(s));
		rc = client_get(s->client, whole, &o, e);
		return rc ? rc : show_object(s, model, kind, o, e);
	}
	rc = find_object(s, model, kind, name, &o, e);
	if (rc)
		return rc;
	if (!view)
		return show_object(s, model, kind, o, e);
	path = objects_path(s->client, kind, json_str(o, "uuid", ""));
	return show_view(s, kind, path, view, e);
}

int show(const struct show *s, const char *kind, const char *name, const char *view, struct err *e)
{
	const json_t *model, *k;
	int rc = client_model(s->client, &model, e);

	if (rc)
		return rc;
	if (!kind)
		return show_kinds(s, model);
	rc = kinds_find(model, kind, &k, e);
	if (rc)
		return rc;
	if (name || json_bool(k, "singleton", false))
		return show_one(s, model, k, name, view, e);
	return show_list(s, model, k, e);
}
