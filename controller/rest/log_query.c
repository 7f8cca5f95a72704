#include "controller/rest/log_query.h"

#include <errno.h>
#include <strings.h>

#include "base/base.h"

enum { PAGE_SIZE = 10, PAGE_MAX = 100000 };

/* ---- fields ---- */

enum { LOG_CONNECTIONS = 1 << LOG_TYPE_CONNECTIONS, LOG_REQUESTS = 1 << LOG_TYPE_REQUESTS, LOG_EVENTS = 1 << LOG_TYPE_EVENTS };
enum field_type { NUMBER, TEXT, BOOL, TIME, LIST, OBJECT };

static const struct log_field {
	const char *name;
	unsigned logs;
	enum field_type type;
} fields[] = {
#define LOG_FIELD(name, logs, type) { #name, logs, type },
#include "model/log_fields.def"
};

static const char *const logs_of[] = { "connections", "requests", "events" };

/* N bytes at NAME; of a path its first part. NULL: the logs of that type have no such field. */
static const struct log_field *field_find(enum log_type type, const char *name, size_t n)
{
	size_t head = n ? strcspn(name, ".") : 0;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].logs & 1u << type && strlen(fields[i].name) == MIN(head, n) && strncmp(fields[i].name, name, MIN(head, n)) == 0 &&
		    (head >= n || fields[i].type == OBJECT))
			return &fields[i];
	return NULL;
}

static int field_read(const struct log_query *l, const char *param, const char *name, size_t n, char out[static 64], struct err *e)
{
	if (!field_find(l->type, name, n) || n > 63)
		return err_set(e, -EINVAL, param, "logs of %s have no field '%.*s'.", logs_of[l->type], (int)MIN(n, (size_t)60), name);
	memcpy(out, name, n);
	out[n] = '\0';
	return 0;
}

/* ---- one parameter each ---- */

static int time_param(const struct query *q, const char *name, uint64_t *us, bool *said, struct err *e)
{
	const char *text = query_get(q, name);

	*said = text && *text;
	return query_moment(name, text, us, e);
}

static int bool_param(const struct query *q, const char *name, bool dflt, bool *out, struct err *e)
{
	const char *v = query_get(q, name);

	*out = dflt;
	if (!v || !*v)
		return 0;
	*out = strcasecmp(v, "true") == 0 || strcmp(v, "1") == 0;
	if (*out || strcasecmp(v, "false") == 0 || strcmp(v, "0") == 0)
		return 0;
	return err_set(e, -EINVAL, name, "'%.40s' is neither true nor false.", v);
}

static int time_params(const struct query *q, struct log_query *l, struct err *e)
{
	bool begins;
	int rc = query_int(q, "duration", 0, INT32_MAX, true, 0, &l->duration, e);

	l->end = wall_us() + 1000000;
	if (rc < 0 || (rc = time_param(q, "end", &l->end, &l->ends, e)) < 0 || (rc = time_param(q, "start", &l->start, &begins, e)) < 0)
		return rc;
	if (l->duration && (!begins || !l->start))
		l->start = l->end - MIN(l->end, (uint64_t)l->duration * 1000000);
	return 0;
}

static int page_params(const struct query *q, struct log_query *l, struct err *e)
{
	int64_t size;
	int rc = query_int(q, "page", 1, PAGE_MAX, false, 1, &l->page, e);

	if (rc == 0)
		rc = query_int(q, "page_size", 1, LOG_PAGE_SIZE_MAX, true, PAGE_SIZE, &size, e);
	if (rc < 0)
		return rc;
	l->size = (size_t)size;
	l->first = (size_t)(l->page - 1) * l->size;
	return 0;
}

/* What is significant is asked for unless it is said otherwise; nobody says anything: everything. */
static int kind_params(const struct query *q, struct log_query *l, struct err *e)
{
	bool chosen = query_get(q, "adf") || query_get(q, "udf") || query_get(q, "nf");
	int rc = bool_param(q, "adf", true, &l->significant, e);

	if (rc == 0)
		rc = bool_param(q, "udf", !chosen, &l->filtered, e);
	return rc < 0 ? rc : bool_param(q, "nf", !chosen, &l->rest, e);
}

static int filter_params(const struct query *q, struct log_query *l, struct err *e)
{
	l->filters = xcalloc(q->n + 1, sizeof(l->filters[0]));
	for (size_t i = 0; i < q->n; i++) {
		struct filter *f = &l->filters[l->n_filters];
		int rc;

		if (strcmp(q->arg[i].name, "filter") != 0)
			continue;
		rc = filter_read(q->arg[i].value, f, e);
		if (rc == 0 && strcmp(f->field, "all") != 0) {
			char field[64];

			rc = field_read(l, "filter", f->field, strlen(f->field), field, e);
		}
		if (rc < 0)
			return rc;
		l->n_filters++;
	}
	return 0;
}

static int group_param(const struct query *q, struct log_query *l, struct err *e)
{
	const char *name = query_get(q, "groupby");

	return name && *name ? field_read(l, "groupby", name, strlen(name), l->groupby, e) : 0;
}

static int order_params(const struct query *q, struct log_query *l, struct err *e)
{
	const char *p = query_get(q, "orderby");

	while (p && *p) {
		struct log_order *o = &l->orders[l->n_orders];
		size_t n = strcspn(p, ",");
		int rc;

		if (l->n_orders == LOG_ORDERS_MAX)
			return err_set(e, -EINVAL, "orderby", "at most %d fields.", LOG_ORDERS_MAX);
		*o = (struct log_order){ .descending = *p == '-' };
		if (*p == '-' || *p == '+' || *p == ' ') {
			p++;
			n--;
		}
		if (l->groupby[0] && ((n == 5 && strncmp(p, "count", n) == 0) || (n == 4 && strncmp(p, "col", 3) == 0))) {
			memcpy(o->field, p, n);
		} else {
			rc = field_read(l, "orderby", p, n, o->field, e);
			if (rc < 0)
				return rc;
			if (l->groupby[0] && strcmp(o->field, l->groupby) != 0)
				return err_set(e, -EINVAL, "orderby", "groups are ordered by '%s', count or col0, col1 ...", l->groupby);
		}
		l->n_orders++;
		p += n + (p[n] == ',');
	}
	return 0;
}

/* sum(a+b), sum(1); N bytes at P. */
static int col_read(const struct log_query *l, const char *p, size_t n, struct log_col *c, struct err *e)
{
	static const char *const how[] = { [LOG_SUM] = "sum(", [LOG_AVG] = "avg(", [LOG_MIN] = "min(", [LOG_MAX] = "max(" };
	size_t end = n - (n > 0);

	for (unsigned i = LOG_SUM; i < ARRAY_SIZE(how); i++)
		if (n > 5 && strncmp(p, how[i], 4) == 0 && p[n - 1] == ')')
			c->how = i;
	if (c->how == LOG_FIELD_ITSELF) {
		c->n = 1;
		return field_read(l, "cols", p, n, c->field[0], e);
	}
	if (!l->groupby[0])
		return err_set(e, -EINVAL, "cols", "'%.*s' is of a group: say groupby.", (int)MIN(n, (size_t)60), p);
	for (size_t at = 4; at <= end;) {
		size_t len = strcspn(p + at, "+ )");
		const struct log_field *f = field_find(l->type, p + at, len);

		if (c->n == LOG_SUM_MAX)
			return err_set(e, -EINVAL, "cols", "at most %d fields are added up.", LOG_SUM_MAX);
		if (len == 1 && p[at] == '1')
			c->field[c->n++][0] = '\0';
		else if (f && f->type == NUMBER)
			snprintf(c->field[c->n++], sizeof(c->field[0]), "%s", f->name);
		else
			return err_set(e, -EINVAL, "cols", "logs of %s have no number '%.*s'.", logs_of[l->type], (int)MIN(len, (size_t)60), p + at);
		at += len + 1;
	}
	return 0;
}

static int col_params(const struct query *q, struct log_query *l, struct err *e)
{
	const char *p = query_get(q, "cols");

	l->cols = xcalloc(LOG_COLS_MAX, sizeof(l->cols[0]));
	while (p && *p) {
		size_t n = strcspn(p, ",");
		int rc;

		if (l->n_cols == LOG_COLS_MAX)
			return err_set(e, -EINVAL, "cols", "at most %d columns.", LOG_COLS_MAX);
		rc = n ? col_read(l, p, n, &l->cols[l->n_cols], e) : 0;
		if (rc < 0)
			return rc;
		l->n_cols += n > 0;
		p += n + (p[n] == ',');
	}
	return 0;
}

static int format_param(const struct query *q, struct log_query *l, struct err *e)
{
	static const char *const names[] = { [LOG_JSON] = "json", [LOG_CSV] = "csv", [LOG_TXT] = "txt" };
	const char *v = query_get(q, "format");

	l->download = query_flag(q, "download");
	if (!v || !*v)
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], v) == 0) {
			l->format = i;
			return 0;
		}
	return err_set(e, -EINVAL, "format", "'%.40s' is none of json, csv, txt.", v);
}

/* ---- all of them ---- */

int log_query_read(const struct query *q, enum log_type dflt, struct log_query *l, struct err *e)
{
	static int (*const params[])(const struct query *, struct log_query *, struct err *) = {
		time_params, page_params, kind_params, filter_params, group_param, order_params, col_params, format_param,
	};
	int64_t type;
	int rc;

	*l = (struct log_query){ 0 };
	rc = query_int(q, "type", 0, 2, false, dflt, &type, e);
	l->type = (enum log_type)type;
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(params); i++)
		rc = params[i](q, l, e);
	return rc;
}

void log_query_fini(struct log_query *l)
{
	free(l->filters);
	free(l->cols);
}

bool log_query_by_time(const struct log_query *l)
{
	return !l->groupby[0] && (!l->n_orders || (l->n_orders == 1 && strcmp(l->orders[0].field, "report_timestamp") == 0));
}

bool log_query_oldest_first(const struct log_query *l)
{
	return log_query_by_time(l) && l->n_orders && !l->orders[0].descending;
}

bool log_query_passes(const struct log_query *l, const json_t *record)
{
	for (size_t i = 0; i < l->n_filters; i++)
		if (!filter_passes(&l->filters[i], record))
			return false;
	return true;
}
