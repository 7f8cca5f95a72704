#include "controller/rest/log_table.h"

#include <stdio.h>

#include "base/base.h"

/* ---- order ---- */

/* Numbers before texts, what is not there before both. */
static int value_order(const json_t *a, const json_t *b)
{
	double x, y;

	if (json_is_number(a) && json_is_number(b)) {
		x = json_number_value(a);
		y = json_number_value(b);
		return x < y ? -1 : x > y;
	}
	if (json_is_string(a) && json_is_string(b))
		return strcmp(json_string_value(a), json_string_value(b));
	if (json_is_boolean(a) && json_is_boolean(b))
		return (int)json_is_true(a) - (int)json_is_true(b);
	return (a ? (json_is_string(a) ? 2 : 1) : 0) - (b ? (json_is_string(b) ? 2 : 1) : 0);
}

struct sorting {
	const struct log_order *orders;
	size_t n;
};

struct row {
	json_t *value;
	size_t place; /* they came in this order: it decides among equals */
};

static int by_fields(const void *a, const void *b, void *arg)
{
	const struct row *x = a, *y = b;
	const struct sorting *s = arg;

	for (size_t i = 0; i < s->n; i++) {
		const char *field = s->orders[i].field;
		int d = value_order(json_object_get(x->value, field), json_object_get(y->value, field));

		if (d)
			return s->orders[i].descending ? -d : d;
	}
	return x->place < y->place ? -1 : x->place > y->place;
}

static struct row *rows_of(const json_t *array, const struct log_order *orders, size_t n_orders)
{
	size_t n = json_array_size(array);
	struct row *rows = xcalloc(n + 1, sizeof(rows[0]));
	struct sorting s = { orders, n_orders };

	for (size_t i = 0; i < n; i++)
		rows[i] = (struct row){ json_array_get(array, i), i };
	if (n_orders && n)
		qsort_r(rows, n, sizeof(rows[0]), by_fields, &s);
	return rows;
}

/* ---- groups ---- */

struct tally {
	double value;
	uint64_t n;
};

static double added(const struct log_col *c, const json_t *record, bool *known)
{
	double sum = 0;

	*known = false;
	for (size_t i = 0; i < c->n; i++) {
		const json_t *v = json_object_get(record, c->field[i]);

		*known = *known || !c->field[i][0] || json_is_number(v);
		sum += c->field[i][0] ? json_number_value(v) : 1;
	}
	return sum;
}

static void tally_add(struct tally *t, const struct log_col *c, const json_t *record)
{
	bool known;
	double v = added(c, record, &known);

	if (!known)
		return;
	if (c->how == LOG_MIN)
		t->value = t->n ? MIN(t->value, v) : v;
	else if (c->how == LOG_MAX)
		t->value = t->n ? MAX(t->value, v) : v;
	else
		t->value += v;
	t->n++;
}

static json_t *tally_shown(const struct tally *t, const struct log_col *c)
{
	double v = c->how == LOG_AVG && t->n ? t->value / (double)t->n : t->value;

	if (!t->n)
		return json_null();
	return c->how == LOG_AVG ? json_real(v) : json_integer((json_int_t)v);
}

struct group {
	json_t *value;
	uint64_t n;
	struct tally cols[];
};

/* The groups that there are, found by the text of their value. */
struct groups {
	const struct log_query *l;
	json_t *places; /* text -> index */
	struct group **at;
	size_t n, size;
};

static void group_count(struct groups *g, json_t *value, const json_t *record)
{
	char *key = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	json_t *place = json_object_get(g->places, key);
	struct group *group;

	if (!place) {
		if (g->n == g->size) {
			g->size = MAX(2 * g->size, (size_t)64);
			g->at = xrealloc(g->at, g->size * sizeof(g->at[0]));
		}
		group = g->at[g->n] = xcalloc(1, sizeof(*group) + g->l->n_cols * sizeof(group->cols[0]));
		group->value = json_incref(value);
		json_object_set_new(g->places, key, json_integer((json_int_t)g->n++));
	} else {
		group = g->at[json_integer_value(place)];
	}
	free(key);
	group->n++;
	for (size_t i = 0; i < g->l->n_cols; i++)
		tally_add(&group->cols[i], &g->l->cols[i], record);
}

static json_t *groups_shown(struct groups *g)
{
	json_t *out = json_array();

	for (size_t i = 0; i < g->n; i++) {
		struct group *group = g->at[i];
		json_t *row = json_object();
		unsigned place = 0;
		char name[16];

		json_object_set_new(row, g->l->groupby, group->value);
		json_object_set_new(row, "count", json_integer((json_int_t)group->n));
		for (size_t c = 0; c < g->l->n_cols; c++) {
			if (g->l->cols[c].how == LOG_FIELD_ITSELF)
				continue;
			snprintf(name, sizeof(name), "col%u", place++);
			json_object_set_new(row, name, tally_shown(&group->cols[c], &g->l->cols[c]));
		}
		json_array_append_new(out, row);
		free(group);
	}
	free(g->at);
	json_decref(g->places);
	return out;
}

/* A record whose field is a list is in a group for each of its items; one without the field in that of null. */
static json_t *grouped(const struct log_query *l, const json_t *records)
{
	struct groups g = { .l = l, .places = json_object() };
	size_t i, j;
	json_t *record, *item;

	json_array_foreach(records, i, record) {
		json_t *v = json_object_get(record, l->groupby);

		if (!json_is_array(v))
			group_count(&g, v ? v : json_null(), record);
		json_array_foreach(v, j, item)
			group_count(&g, item, record);
	}
	return groups_shown(&g);
}

/* ---- the page ---- */

static json_t *chosen(const struct log_query *l, json_t *record)
{
	json_t *row;

	if (!l->n_cols || l->groupby[0])
		return json_incref(record);
	row = json_object();
	for (size_t i = 0; i < l->n_cols; i++) {
		char head[64];
		json_t *v;

		snprintf(head, sizeof(head), "%.*s", (int)strcspn(l->cols[i].field[0], "."), l->cols[i].field[0]);
		v = json_object_get(record, head);
		if (v)
			json_object_set(row, head, v);
	}
	return row;
}

json_t *log_table_page(const struct log_query *l, const json_t *records, int64_t *count)
{
	static const struct log_order largest = { "count", true };
	CLEANUP_JSON json_t *groups = l->groupby[0] ? grouped(l, records) : NULL;
	const json_t *from = groups ? groups : records;
	bool largest_first = groups && !l->n_orders;
	struct row *rows = largest_first ? rows_of(from, &largest, 1) : rows_of(from, l->orders, log_query_by_time(l) ? 0 : l->n_orders);
	json_t *out = json_array();
	size_t n = json_array_size(from);

	for (size_t i = l->first; i < n && i < l->first + l->size; i++)
		json_array_append_new(out, chosen(l, rows[i].value));
	if (groups)
		*count = (int64_t)n;
	free(rows);
	return out;
}

/* ---- lines ---- */

static char *cell_text(const json_t *v)
{
	char *text;

	if (!v || json_is_null(v))
		return xstrdup("");
	if (json_is_string(v))
		return xstrdup(json_string_value(v));
	text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
	must(text);
	return text;
}

static void cell_put(const struct log_query *l, const json_t *v, struct buf *out)
{
	CLEANUP_FREE char *text = cell_text(v);
	bool formula = json_is_string(v) && *text && strchr("=+-@\t\r", *text); /* to a spreadsheet */

	if (l->format == LOG_TXT) {
		for (char *p = text; *p; p++)
			if ((unsigned char)*p < ' ')
				*p = ' ';
		buf_puts(out, text);
		return;
	}
	if (!strpbrk(text, ",\"\r\n") && !formula) {
		buf_puts(out, text);
		return;
	}
	buf_puts(out, "\"");
	if (formula)
		buf_puts(out, "'");
	for (const char *p = text; *p; p++) {
		if (*p == '"')
			buf_puts(out, "\"");
		buf_put(out, p, 1);
	}
	buf_puts(out, "\"");
}

/* The names of the columns: those asked for, else all that a row has, as they come. */
static json_t *names_of(const struct log_query *l, const json_t *rows)
{
	json_t *names = json_array(), *seen = json_object(), *row, *v;
	const char *key;
	size_t i;

	for (i = 0; !l->groupby[0] && i < l->n_cols; i++)
		json_array_append_new(names, json_stringn(l->cols[i].field[0], strcspn(l->cols[i].field[0], ".")));
	json_array_foreach(rows, i, row) {
		if (l->n_cols && !l->groupby[0])
			break;
		json_object_foreach(row, key, v)
			if (!json_object_get(seen, key)) {
				json_object_set_new(seen, key, json_true());
				json_array_append_new(names, json_string(key));
			}
	}
	json_decref(seen);
	return names;
}

void log_table_lines(const struct log_query *l, const json_t *rows, struct buf *out)
{
	CLEANUP_JSON json_t *names = names_of(l, rows);
	const char *between = l->format == LOG_CSV ? "," : "\t", *end = l->format == LOG_CSV ? "\r\n" : "\n";
	json_t *row, *name;
	size_t i, j;

	json_array_foreach(names, j, name) {
		buf_puts(out, j ? between : "");
		cell_put(l, name, out);
	}
	buf_puts(out, end);
	json_array_foreach(rows, i, row) {
		json_array_foreach(names, j, name) {
			buf_puts(out, j ? between : "");
			cell_put(l, json_object_get(row, json_string_value(name)), out);
		}
		buf_puts(out, end);
	}
}
