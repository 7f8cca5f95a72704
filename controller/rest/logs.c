/*
 * logs - GET /api/analytics/logs: the events (type=2), or what engines kept of connections (0) and
 * requests (1), newest first.
 *
 * start, end (ISO 8601) or duration (seconds before end); page, page_size; any number of
 * filter=op(field,value); orderby=report_timestamp for oldest first. Types 0 and 1 are of one
 * virtualservice (uuid or name): cols chooses members, adf, udf and nf among significant and other records,
 * orderby may name any member; they are asked of the engines, and who did not answer is named in
 * `missing`.
 *
 * The core waits while events are read, and engines with it: after BUDGET_MS the search ends, and
 * the answer says in percent_remaining how much was not looked at. Who wants that narrows start and
 * end.
 */
#include <errno.h>
#include <strings.h>

#include "base/base.h"
#include "base/filter.h"
#include "base/moment.h"
#include "controller/resolve.h"
#include "controller/rest/handlers.h"
#include "controller/rest/logs.h"

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
	char text[MOMENT_MAX];

	return json_string(moment_text(us, MOMENT_MICROS, text));
}

/* ---- filters -------------------------------------------------------------------------------- */

static bool passes(const struct request *q, const json_t *event)
{
	for (size_t i = 0; i < q->query.n; i++) {
		struct filter f;

		if (strcmp(q->query.arg[i].name, "filter") == 0 &&
		    filter_read(q->query.arg[i].value, &f, NULL) == 0 && !filter_passes(&f, event))
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

/* ---- records of connections and requests ---------------------------------------------------------- */

struct records {
	struct request *q;
	size_t first, size;
	uint64_t start, end;
	char order[64]; /* a member; "": by time */
	bool descending;
};

static const struct log_source *source_of(const struct rest *r)
{
	return r->log_source;
}

void logs_source(struct rest *r, const struct log_source *s)
{
	r->log_source = s;
}

static _Thread_local const struct records *ordered; /* qsort() has no argument for it */

static int by_member(const void *a, const void *b)
{
	const json_t *x = json_object_get(*(json_t *const *)a, ordered->order),
		     *y = json_object_get(*(json_t *const *)b, ordered->order);
	int d;

	if (json_is_number(x) && json_is_number(y))
		d = json_number_value(x) < json_number_value(y) ? -1 : json_number_value(x) > json_number_value(y);
	else
		d = strcmp(json_is_string(x) ? json_string_value(x) : "", json_is_string(y) ? json_string_value(y) : "");
	return ordered->descending ? -d : d;
}

static bool list_names(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = list; *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ','))
		if (strcspn(p, ",") == len && strncmp(p, name, len) == 0)
			return true;
	return false;
}

/* In the order that was asked for, the page of it, with the members that were. */
static json_t *page_of(const struct records *l, const json_t *found)
{
	size_t n = json_array_size(found);
	const char *cols = query_get(&l->q->query, "cols");
	json_t **all = xcalloc(n + 1, sizeof(all[0])), *out = json_array();

	for (size_t i = 0; i < n; i++)
		all[i] = json_array_get(found, i);
	if (l->order[0] && n) {
		ordered = l;
		qsort(all, n, sizeof(all[0]), by_member);
	}
	for (size_t i = l->first; i < n && i < l->first + l->size; i++) {
		json_t *row = json_object(), *v;
		const char *key;

		json_object_foreach(all[i], key, v)
			if (!cols || !*cols || list_names(cols, key))
				json_object_set(row, key, v);
		json_array_append_new(out, row);
	}
	free(all);
	return out;
}

static void records_heard(void *arg, json_t *answer)
{
	struct records *l = arg;
	struct request *q = l->q;
	json_t *missing = json_object_get(answer, "missing");
	const json_t *results = json_object_get(answer, "results");
	json_int_t count = (json_int_t)json_int(answer, "count", 0);
	size_t asked = (size_t)json_int(answer, "asked", 0);

	/* Of engines that did not answer nobody knows how much they have: their share is what remains. */
	request_json(q, 200, json_pack("{s:I, s:o, s:f, s:o, s:o, s:I, s:O}", "count", count, "results", page_of(l, results),
				       "percent_remaining",
				       asked ? 100.0 * (double)json_array_size(missing) / (double)asked : 0.0, "start",
				       time_text(l->start), "end", time_text(l->end), "overwritten",
				       (json_int_t)json_int(answer, "overwritten", 0), "missing", missing));
	json_decref(answer);
	free(l);
	route_done(q);
}

/* The virtual service that is asked for, by uuid or name. */
static const struct object *service_of(struct request *q)
{
	const char *name = query_get(&q->query, "virtualservice");
	struct store *s = q->rest->c->store;
	const struct object *o = name ? store_get(s, "virtualservice", name) : NULL;

	if (!o && name)
		o = store_find(s, "virtualservice", strcmp(q->tenant_id, "*") == 0 ? TENANT_ADMIN : q->tenant_id, NULL, name);
	return o && auth_sees(q, o) && auth_may_object(q, o, ACCESS_READ, NULL) == 0 ? o : NULL;
}

/* Requests are what a service of HTTP is asked for, connections what another one is. */
static int64_t usual_type(struct request *q)
{
	const struct object *vs = service_of(q), *app = NULL;

	if (vs)
		app = store_get(q->rest->c->store, "applicationprofile",
				ref_target(json_str(vs->body, "application_profile_ref", "")));
	return !vs ? 2 : app && strcmp(json_str(app->body, "type", ""), "APPLICATION_PROFILE_TYPE_L4") == 0 ? 0 : 1;
}

static bool query_true(const struct request *q, const char *name, bool dflt)
{
	const char *v = query_get(&q->query, name);

	return v ? strcasecmp(v, "true") == 0 || strcmp(v, "1") == 0 : dflt;
}

static enum result records_get(struct request *q, int64_t type, const struct logs *at, uint64_t start, uint64_t end)
{
	const char *order = query_get(&q->query, "orderby");
	const struct object *vs = service_of(q);
	struct records *l;
	json_t *query, *filters;
	bool chosen = query_get(&q->query, "adf") || query_get(&q->query, "udf") || query_get(&q->query, "nf");

	if (!vs) {
		request_refuse(q, 400, "virtualservice: %s", query_get(&q->query, "virtualservice")
			? "there is no such virtual service here." : "of which one? Give its uuid or name.");
		return RESULT_NOW;
	}
	if (query_get(&q->query, "groupby")) {
		request_refuse(q, 400, "groupby: records are not grouped here; ask with filters.");
		return RESULT_NOW;
	}
	if (!source_of(q->rest)) {
		request_refuse(q, 503, "The engines cannot be asked yet.");
		return RESULT_NOW;
	}
	filters = json_array();
	for (size_t i = 0; i < q->query.n; i++)
		if (strcmp(q->query.arg[i].name, "filter") == 0)
			json_array_append_new(filters, json_string(q->query.arg[i].value));
	l = xcalloc(1, sizeof(*l));
	*l = (struct records){ .q = q, .first = at->first, .size = at->size, .start = start, .end = end };
	l->descending = order && *order == '-';
	if (order && strcmp(order + l->descending, "report_timestamp") != 0)
		snprintf(l->order, sizeof(l->order), "%s", order + l->descending);
	/* In the order of another member the page is not known before all of them are. */
	query = json_pack("{s:s, s:I, s:I, s:I, s:b, s:b, s:b, s:I, s:o}", "virtualservice", vs->uuid, "records", (json_int_t)type,
			  "start_us", (json_int_t)start, "end_us", (json_int_t)end, "significant",
			  query_true(q, "adf", !chosen), "rest", query_true(q, "nf", !chosen), "oldest_first",
			  at->oldest_first, "max",
			  l->order[0] ? (json_int_t)PAGE_SIZE_MAX : (json_int_t)MIN(at->first + at->size, (size_t)PAGE_SIZE_MAX),
			  "filters", filters);
	source_of(q->rest)->ask(source_of(q->rest)->arg, query, records_heard, l);
	return RESULT_LATER;
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
	if (rc < 0 || query_int(&q->query, "type", 0, 2, false, usual_type(q), &type, &e) < 0 ||
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
	if (type != 2)
		return records_get(q, type, &l, start, end);
	l.results = json_array();
	l.began_ns = cpu_ns();
	/* Time does not go back in the log: after a clock that was wrong, the newest events are of the future. */
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
