#include "shell/grid.h"

#include <ctype.h>
#include <libsmartcols.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

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
	/* Lines of one text are read on; other controls are not. */
	for (char *p = text; p && (p = strchr(p, '\n'));)
		*p = ' ';
	if (text)
		must(!scols_line_refer_data(g->row, column, text_harmless(text)));
}

/* The shell has one terminal. */
static struct {
	bool framed;
	int width;
} how;

void grid_framed(bool framed)
{
	how.framed = framed;
}

bool grid_is_framed(void)
{
	return how.framed;
}

void grid_width(int columns)
{
	how.width = columns;
}

/* ---- frames: the library has lines between columns, and none around them ------------------- */

#define COLUMNS_MAX 64
/* What is wider can be wrapped, and to less than this nothing should be. */
#define LEAST 12

/* How many columns of the terminal the first *BYTES of TEXT take, at most MAX; *BYTES is set. */
static size_t fitting(const char *text, size_t max, size_t *bytes)
{
	mbstate_t state = { 0 };
	size_t wide = 0, len = strlen(text), at = 0;

	while (at < len) {
		wchar_t c;
		size_t n = mbrtowc(&c, text + at, len - at, &state);
		int w;

		if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
			n = 1;
			w = 1;
			state = (mbstate_t){ 0 };
		} else {
			w = MAX(wcwidth(c), 0);
		}
		if (wide + (size_t)w > max && wide)
			break;
		wide += (size_t)w;
		at += n;
	}
	*bytes = at;
	return wide;
}

static size_t width_of(const char *text)
{
	size_t bytes;

	return fitting(text, SIZE_MAX, &bytes);
}

static const char *cell_of(struct libscols_line *line, size_t column)
{
	struct libscols_cell *c = line ? scols_line_get_cell(line, column) : NULL;
	const char *text = c ? scols_cell_get_data(c) : NULL;

	return text ? text : "";
}

static void rule(FILE *out, const size_t *wide, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fputc('+', out);
		for (size_t j = 0; j < wide[i] + 2; j++)
			fputc('-', out);
	}
	fputs("+\n", out);
}

/* A row may take several lines of the terminal. */
static void row(FILE *out, const char *const *cells, const size_t *wide, size_t n)
{
	const char *rest[COLUMNS_MAX];
	bool more = true;

	memcpy(rest, cells, n * sizeof(*rest));
	while (more) {
		more = false;
		for (size_t i = 0; i < n; i++) {
			size_t bytes, w = fitting(rest[i], wide[i], &bytes);

			/* At a blank, when there is one not far away. */
			for (size_t back = bytes; rest[i][bytes] && back > bytes / 2; back--)
				if (rest[i][back] == ' ') {
					bytes = back;
					w = fitting(rest[i], wide[i], &(size_t){ 0 });
					CLEANUP_FREE char *part = xstrndup(rest[i], bytes);
					w = width_of(part);
					break;
				}
			fprintf(out, "| %.*s%*s ", (int)bytes, rest[i], (int)(wide[i] - w), "");
			rest[i] += bytes;
			if (bytes)
				rest[i] += *rest[i] == ' ';
			more |= *rest[i] != '\0';
		}
		fputs("|\n", out);
	}
}

/* The widest columns give way until all fit. */
static void squeeze(size_t *wide, size_t n, size_t room)
{
	for (;;) {
		size_t all = 3 * n + 1, widest = 0;

		for (size_t i = 0; i < n; i++) {
			all += wide[i];
			widest = wide[i] > wide[widest] ? i : widest;
		}
		if (all <= room || wide[widest] <= 8)
			return;
		wide[widest] -= MIN(all - room, MAX(wide[widest] / 8, 1));
	}
}

size_t grid_room(FILE *out)
{
	struct winsize w;

	if (how.width)
		return (size_t)how.width;
	if (isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &w) == 0 && w.ws_col)
		return w.ws_col;
	return SIZE_MAX;
}

static const char *title_of(struct grid *g, size_t column)
{
	return scols_cell_get_data(scols_column_get_header(scols_table_get_column(g->table, column))) ?: "";
}

/* How wide the columns would like to be; how many of them there is room for. */
static size_t measure(struct grid *g, size_t *wide, size_t room)
{
	size_t n = MIN(scols_table_get_ncols(g->table), COLUMNS_MAX), lines = scols_table_get_nlines(g->table), all = 1;

	for (size_t i = 0; i < n; i++) {
		wide[i] = width_of(title_of(g, i));
		for (size_t j = 0; j < lines; j++)
			wide[i] = MAX(wide[i], width_of(cell_of(scols_table_get_line(g->table, j), i)));
		all += MIN(wide[i], LEAST) + 3;
		if (all > room && i > 1)
			return i;
	}
	return n;
}

bool grid_fits(struct grid *g, FILE *out)
{
	size_t wide[COLUMNS_MAX];

	return !how.framed || measure(g, wide, grid_room(out)) == scols_table_get_ncols(g->table);
}

static void print_framed(struct grid *g, FILE *out)
{
	size_t wide[COLUMNS_MAX], n = measure(g, wide, grid_room(out)), lines = scols_table_get_nlines(g->table);
	const char *cells[COLUMNS_MAX];

	for (size_t i = 0; i < n; i++)
		cells[i] = title_of(g, i);
	squeeze(wide, n, grid_room(out));
	rule(out, wide, n);
	row(out, cells, wide, n);
	rule(out, wide, n);
	for (size_t j = 0; j < lines; j++) {
		for (size_t i = 0; i < n; i++)
			cells[i] = cell_of(scols_table_get_line(g->table, j), i);
		row(out, cells, wide, n);
	}
	rule(out, wide, n);
	for (size_t i = n; i < scols_table_get_ncols(g->table); i++)
		fprintf(out, "%s%s", i == n ? "No room for: " : ", ", title_of(g, i));
	if (n < scols_table_get_ncols(g->table))
		fputs(".\n", out);
}

void grid_print(struct grid *g, FILE *out)
{
	if (how.framed) {
		print_framed(g, out);
		return;
	}
	scols_table_set_stream(g->table, out);
	/* Where nobody looks nothing is wrapped: lines are for grep. */
	scols_table_set_termforce(g->table, isatty(fileno(out)) ? SCOLS_TERMFORCE_AUTO
								: SCOLS_TERMFORCE_NEVER);
	scols_print_table(g->table);
}
