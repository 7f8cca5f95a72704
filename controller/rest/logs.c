/*
 * logs - GET /api/analytics/logs?type=2: the events, newest first.
 *
 * start, end (ISO 8601) or duration (seconds before end); page, page_size; any number of
 * filter=op(field,value); orderby=report_timestamp for oldest first. Types 0 and 1 (connections,
 * requests) have no records yet.
 *
 * The core waits while events are read, and engines with it: after BUDGET_MS the search ends, and
 * the answer says in percent_remaining how much was not looked at. Who wants that narrows start and
 * end.
 */
#include <errno.h>
#include <strings.h>

#include "base/base.h"
#include "controller/resolve.h"
#include "controller/rest/handlers.h"

enum { PAGE_SIZE = 10, PAGE_SIZE_MAX = 10000, PAGE_MAX = 100000, BUDGET_MS = 50 };

struct logs {
	struct request *q;
	bool oldest_first;
	size_t first, size, count;
	json_t *results;
	uint64_t began_ns; /* of the thread's own time: a busy machine shall not shorten answers */
	uint64_t newest, reached; /* ids; they have no gaps */
};

static int time_read(const char *text, const char *name, uint64_t *us, struct err *e)
{
	struct tm tm = { 0 };
	const char *p = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	uint64_t fraction = 0, unit = 1000000;

	if (!text || !*text)
		return 0;
	if (!p)
		p = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
	if (p && *p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++) {
			unit /= 10;
			fraction += (uint64_t)(*p - '0') * unit;
		}
	if (!p ||
	    (*p && strcmp(p, "Z") != 0 && strncmp(p, "+00", 3) != 0 && strncmp(p, " 00", 3) != 0))
		return err_set(e, -EINVAL, name,
			       "'%.40s' is not a time such as 2024-05-01T12:00:00.000000Z.", text);
	*us = (uint64_t)timegm(&tm) * 1000000 + fraction;
	return 0;
}

static json_t *time_text(uint64_t us)
{
	time_t at = (time_t)(us / 1000000);
	char text[32];
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	return json_sprintf("%s.%06llu+00:00", text, (unsigned long long)(us % 1000000));
}

/* ---- filters -------------------------------------------------------------------------------- */

static int order(const char *have, const char *want)
{
	char *end1, *end2;
	double a = strtod(have, &end1), b = strtod(want, &end2);

	if (*have && *want && !*end1 && !*end2)
		return a < b ? -1 : a > b;
	return strcmp(have, want);
}

static bool op_holds(const char *op, const char *have, const char *want)
{
	if (strcmp(op, "eq") == 0)
		return strcmp(have, want) == 0;
	if (strcmp(op, "ne") == 0)
		return strcmp(have, want) != 0;
	if (strcmp(op, "co") == 0)
		return strcasestr(have, want) != NULL;
	if (strcmp(op, "nc") == 0)
		return strcasestr(have, want) == NULL;
	if (strcmp(op, "sw") == 0)
		return strncmp(have, want, strlen(want)) == 0;
	if (strcmp(op, "gt") == 0)
		return order(have, want) > 0;
	if (strcmp(op, "ge") == 0)
		return order(have, want) >= 0;
	if (strcmp(op, "lt") == 0)
		return order(have, want) < 0;
	return order(have, want) <= 0; /* le */
}

struct filter {
	char op[3];
	char field[128];
	char value[256];
};

static int filter_read(const char *text, struct filter *f, struct err *e)
{
	static const char *const ops[] = { "eq", "ne", "co", "nc", "sw", "gt", "ge", "lt", "le" };
	int end = 0;

	f->value[0] = '\0';
	if (sscanf(text, "%2[a-z](%127[^,],%255[^)])%n", f->op, f->field, f->value, &end) == 3 &&
	    !text[end])
		for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
			if (strcmp(ops[i], f->op) == 0)
				return 0;
	return err_set(e, -EINVAL, "filter",
		       "'%.60s' is not OP(FIELD,VALUE) with OP one of eq ne co nc sw gt ge lt le.",
		       text);
}

/* The text at a dotted path; "" when there is none. */
static const char *value_at(const json_t *v, const char *path, char *number, size_t size)
{
	char part[128];

	while (v && *path) {
		size_t n = MIN(strcspn(path, "."), sizeof(part) - 1);

		memcpy(part, path, n);
		part[n] = '\0';
		path += n + (path[n] == '.');
		v = json_object_get(v, part);
	}
	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_integer(v)) {
		snprintf(number, size, "%lld", (long long)json_integer_value(v));
		return number;
	}
	return json_is_true(v) ? "true" : json_is_false(v) ? "false" : "";
}

static bool passes(const struct request *q, const json_t *event)
{
	for (size_t i = 0; i < q->query.n; i++) {
		struct filter f;
		char number[32];

		if (strcmp(q->query.arg[i].name, "filter") == 0 &&
		    filter_read(q->query.arg[i].value, &f, NULL) == 0 &&
		    !op_holds(f.op, value_at(event, f.field, number, sizeof(number)), f.value))
			return false;
	}
	return true;
}

/* An event is for who may read the things that it tells of, in its tenant; without a tenant it is `admin`'s. */
static bool sees(struct request *q, const json_t *event)
{
	const char *tenant = json_str(event, "tenant", TENANT_ADMIN);
	char kind[64];

	if (strcmp(q->tenant_id, "*") == 0 ? !access_enters(&q->viewer, tenant)
					   : strcmp(tenant, q->tenant_id) != 0)
		return false;
	if (auth_is_superuser(q))
		return true;
	snprintf(kind, sizeof(kind), "%s", json_str(event, "obj_type", "logs"));
	for (char *p = kind; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	return auth_may(q, kind, tenant, false, NULL) == 0;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static json_t *shown(const struct request *q, uint64_t id, uint64_t us, const json_t *event)
{
	json_t *out = json_copy((json_t *)event);
	const struct object *t = store_get(q->rest->c->store, "tenant",
					   json_str(event, "tenant", ""));

	json_object_set_new(out, "log_id", json_integer((json_int_t)id));
	json_object_set_new(out, "report_timestamp", time_text(us));
	if (t)
		json_object_set_new(out, "tenant_name", json_string(t->name));
	return out;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int take(void *arg, uint64_t id, uint64_t us, const json_t *event)
{
	struct logs *l = arg;
	size_t at = l->count;

	if (!l->newest)
		l->newest = id;
	if (cpu_ns() - l->began_ns > BUDGET_MS * NS_PER_MS) {
		l->reached = id;
		return 1;
	}
	if (!sees(l->q, event) || !passes(l->q, event))
		return 0;
	l->count++;
	/* The order is turned afterwards: then the page is not known before the end. */
	if (l->oldest_first || (at >= l->first && at < l->first + l->size))
		json_array_append_new(l->results, shown(l->q, id, us, event));
	return 0;
}

static void turn(struct logs *l)
{
	json_t *page = json_array();

	for (size_t i = l->first; i < l->count && i < l->first + l->size; i++)
		json_array_append(page, json_array_get(l->results, l->count - 1 - i));
	json_decref(l->results);
	l->results = page;
}

enum result logs_get(struct request *q)
{
	struct logs l = { .q = q };
	uint64_t start = 0, end = wall_us() + 1000000;
	int64_t page, size, duration, type;
	const char *orderby = query_get(&q->query, "orderby");
	struct err e = { 0 };
	struct filter f;
	json_t *out;
	int rc = 0;

	q->asked = true; /* about each event, see sees() */
	for (size_t i = 0; rc == 0 && i < q->query.n; i++)
		if (strcmp(q->query.arg[i].name, "filter") == 0)
			rc = filter_read(q->query.arg[i].value, &f, &e);
	if (rc < 0 || query_int(&q->query, "type", 0, 2, false, 2, &type, &e) < 0 ||
	    query_int(&q->query, "page", 1, PAGE_MAX, false, 1, &page, &e) < 0 ||
	    query_int(&q->query, "page_size", 1, PAGE_SIZE_MAX, true, PAGE_SIZE, &size, &e) < 0 ||
	    query_int(&q->query, "duration", 0, INT32_MAX, true, 0, &duration, &e) < 0 ||
	    time_read(query_get(&q->query, "end"), "end", &end, &e) < 0 ||
	    time_read(query_get(&q->query, "start"), "start", &start, &e) < 0) {
		request_error(q, &e);
		return RESULT_NOW;
	}
	if (duration && !query_get(&q->query, "start"))
		start = end - MIN(end, (uint64_t)duration * 1000000);
	l.oldest_first = orderby && strcmp(orderby, "report_timestamp") == 0;
	l.first = (size_t)((page - 1) * size);
	l.size = (size_t)size;
	l.results = json_array();
	l.began_ns = cpu_ns();
	/* Time does not go back in the log: after a clock that was wrong, the newest events are of the future. */
	if (type == 2)
		store_events(q->rest->c->store, start, query_get(&q->query, "end") ? end : UINT64_MAX, take, &l);
	if (l.oldest_first && l.reached) {
		json_decref(l.results);
		request_refuse(
			q, 400,
			"orderby: too many events for the oldest first; narrow start and end.");
		return RESULT_NOW;
	}
	if (l.oldest_first)
		turn(&l);
	out = json_pack("{s:I, s:o, s:f, s:o, s:o, s:I}", "count", (json_int_t)l.count, "results",
			l.results, "percent_remaining",
			l.reached ? 100.0 * (double)l.reached / (double)l.newest : 0.0, "start",
			time_text(start), "end", time_text(end), "dropped",
			(json_int_t)store_events_dropped(q->rest->c->store));
	request_json(q, 200, out);
	return RESULT_NOW;
}
