#include "shell/tree.h"

#include "base/base.h"
#include "shell/grid.h"
#include "shell/kinds.h"
#include "shell/show.h"
#include "shell/text.h"

/* Longer lists are no part of a block. */
#define LONG 10

struct tree {
	struct grid *grid;
	const json_t *model;
	bool zeros;
	size_t hidden; /* counters of 0 */
};

static void members(struct tree *t, size_t depth, const char *message, const json_t *v);

static void row(struct tree *t, size_t depth, const char *name, char *value)
{
	grid_row(t->grid);
	grid_cell(t->grid, 0, xasprintf("%*s%s", (int)(2 * depth), "", name));
	grid_cell(t->grid, 1, value);
}

/* A counter that counted nothing. The contract's own are looked for by their names: they stay. */
static bool counts_nothing(const char *name, const json_t *v)
{
	return json_is_integer(v) && !json_integer_value(v) && strncmp(name, "num_", 4);
}

/* F is the field of the model; NULL: unknown. */
static void member(struct tree *t, size_t depth, const char *name, const json_t *f, const json_t *v)
{
	const char *message = json_str(f, "message", NULL);
	const json_t *item;
	size_t i;

	if (!t->zeros && counts_nothing(name, v)) {
		t->hidden++;
	} else if (json_is_array(v) && (!text_is_flat(v) || message)) {
		json_array_foreach((json_t *)v, i, item) {
			CLEANUP_FREE char *title = xasprintf("%s[%zu]", name, i + 1);

			member(t, depth, title, f, item);
		}
	} else if (json_is_object(v) && !text_is_flat(v)) {
		row(t, depth, name, NULL);
		members(t, depth + 1, message, v);
	} else {
		row(t, depth, name, json_bool(f, "secret", false) ? xstrdup(TEXT_SECRET) : show_cell(name, v));
	}
}

static void members(struct tree *t, size_t depth, const char *message, const json_t *v)
{
	const json_t *fields = kinds_fields(t->model, message ? message : ""), *f, *below;
	const char *key;
	size_t i;

	json_array_foreach((json_t *)fields, i, f) {
		below = json_object_get(v, json_str(f, "name", ""));
		if (below)
			member(t, depth, json_str(f, "name", ""), f, below);
	}
	json_object_foreach((json_t *)v, key, below)
		if (!kinds_field(fields, key))
			member(t, depth, key, NULL, below);
}

static void print(struct tree *t, FILE *out, const char *message, const json_t *v)
{
	grid_column_of(t->grid, "Field");
	grid_column_of(t->grid, "Value");
	members(t, 0, message, v);
	grid_print(t->grid, out);
	grid_free(t->grid);
}

void tree_print(FILE *out, const json_t *model, const char *message, const json_t *v)
{
	struct tree t = { grid_new(), model, true, 0 };

	print(&t, out, message, v);
}

void tree_block(FILE *out, const json_t *v, bool all)
{
	struct tree t = { grid_new(), NULL, all || !grid_is_framed(), 0 };
	CLEANUP_JSON json_t *block = json_copy((json_t *)v), *lists = json_object();
	const json_t *member;
	const char *name;

	json_object_foreach((json_t *)v, name, member)
		if (json_array_size(member) > LONG && !text_is_flat(member)) {
			json_object_set(lists, name, (json_t *)member);
			json_object_del(block, name);
		}
	print(&t, out, NULL, block);
	if (t.hidden)
		fprintf(out, "%zu more are 0; --all shows them.\n", t.hidden);
	if (json_object_size(lists)) {
		fputc('\n', out);
		show_tree(out, lists);
	}
}
