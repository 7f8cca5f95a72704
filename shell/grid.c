#include "shell/grid.h"

#include <ctype.h>
#include <libsmartcols.h>
#include <unistd.h>

#include "base/base.h"
#include "shell/text.h"

struct grid {
	struct libscols_table *table;
	struct libscols_line *row;
};

struct grid *grid_new(void)
{
	struct grid *g = xcalloc(1, sizeof(*g));

	g->table = scols_new_table();
	must(g->table);
	return g;
}

void grid_free(struct grid *g)
{
	if (!g)
		return;
	scols_unref_table(g->table);
	free(g);
}

void grid_column_of(struct grid *g, const char *object)
{
	CLEANUP_FREE char *title = text_harmless(xstrdup(object));

	must(scols_table_new_column(g->table, title, 0, SCOLS_FL_WRAP));
}

void grid_column(struct grid *g, const char *field)
{
	CLEANUP_FREE char *upper = xstrdup(field);

	for (char *p = upper; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	grid_column_of(g, upper);
}

void grid_row(struct grid *g)
{
	g->row = scols_table_new_line(g->table, NULL);
	must(g->row);
}

void grid_cell(struct grid *g, size_t column, char *text)
{
	if (text)
		must(!scols_line_refer_data(g->row, column, text_harmless(text)));
}

void grid_print(struct grid *g, FILE *out)
{
	scols_table_set_stream(g->table, out);
	/* Where nobody looks nothing is wrapped: lines are for grep. */
	scols_table_set_termforce(g->table, isatty(fileno(out)) ? SCOLS_TERMFORCE_AUTO
								: SCOLS_TERMFORCE_NEVER);
	scols_print_table(g->table);
}
