#include "shell/tree.h"

#include "base/base.h"
#include "shell/grid.h"
#include "shell/kinds.h"
#include "shell/show.h"
#include "shell/text.h"

struct tree {
	struct grid *grid;
	const json_t *model;
};

static void members(struct tree *t, size_t depth, const char *message, const json_t *v);

static void row(struct tree *t, size_t depth, const char *name, char *value)
{
	grid_row(t->grid);
	grid_cell(t->grid, 0, xasprintf("%*s%s", (int)(2 * depth), "", name));
	grid_cell(t->grid, 1, value);
}

/* F is the field of the model; NULL: unknown. */
static void member(struct tree *t, size_t depth, const char *name, const json_t *f, const json_t *v)
{
	const char *message = json_str(f, "message", NULL);
	const json_t *item;
	size_t i;

	if (json_is_array(v) && (!text_is_flat(v) || message)) {
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

void tree_print(FILE *out, const json_t *model, const char *message, const json_t *v)
{
	struct tree t = { grid_new(), model };

	grid_column_of(t.grid, "Field");
	grid_column_of(t.grid, "Value");
	members(&t, 0, message, v);
	grid_print(t.grid, out);
	grid_free(t.grid);
}
