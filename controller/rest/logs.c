/*
 * logs - GET /api/analytics/logs: the events (type=2), or what engines kept of connections (0) and
 * requests (1), newest first.
 *
 * log_query.h says what may be asked. Types 0 and 1 are of one virtualservice (uuid or name) and are asked of the
 * engines; who did not answer is named in `missing`. Type 2 with a virtualservice: the events that name it.
 *
 * Records are put in order, and answers into text, on another thread (aside.h). The core waits while events are
 * read, and engines with it: after BUDGET_MS the search ends, and the answer says in percent_remaining how much was
 * not looked at. Who wants that narrows start and end. Of records REACH are within reach of pages and orders, so that no question fills our memory.
 */
#include <errno.h>

#include "base/base.h"
#include "base/moment.h"
#include "controller/resolve.h"
#include "controller/rest/aside.h"
#include "controller/rest/handlers.h"
#include "controller/rest/log_query.h"
#include "controller/rest/log_table.h"
#include "controller/rest/logs.h"

enum { BUDGET_MS = 50, REACH = 30000 };

static json_t *time_text(uint64_t us)
{
	char text[MOMENT_MAX];

	return json_string(moment_text(us, MOMENT_MICROS, text));
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void put_time(struct buf *b, const char *name, const char *time)
{
	buf_printf(b, "&%s=", name);
	query_escape(time, b);
}

/*
 * Where the next page is. It ends where this one did, so that pages follow each other whatever comes meanwhile:
 * NEWEST, or now.
 */
static json_t *next_page(const struct request *q, const struct log_query *l, const char *newest)
{
	char now[MOMENT_MAX], start[MOMENT_MAX];
	struct buf b = BUF_INIT;
	json_t *out;

	buf_printf(&b, "%s%s?page=%lld", q->base_url, q->path, (long long)l->page + 1);
	if (!l->ends)
		put_time(&b, "end", *newest && !log_query_oldest_first(l) ? newest : moment_text(wall_us(), MOMENT_MICROS, now));
	if (!l->ends && l->duration)
		put_time(&b, "start", moment_text(l->start, MOMENT_MICROS, start));
	if (q->query.n > (query_get(&q->query, "page") ? 1u : 0u))
		buf_puts(&b, "&");
	query_rebuild(&q->query, "page", &b);
	out = json_string(buf_cstr(&b));
	buf_fini(&b);
	return out;
}

/* RECORDS, by time; COUNT: so many match; MORE: members of the answer beside them. Takes RECORDS and MORE. */
static void answer(struct request *q, const struct log_query *l, json_t *records, int64_t count, json_t *more)
{
	static const struct { const char *media, *name; } forms[] = {
		[LOG_JSON] = { NULL, "attachment; filename=\"logs.json\"" },
		[LOG_CSV] = { "text/csv; charset=utf-8", "attachment; filename=\"logs.csv\"" },
		[LOG_TXT] = { "text/plain; charset=utf-8", "attachment; filename=\"logs.txt\"" },
	};
	json_t *rows = log_table_page(l, records, &count);
	struct buf b = BUF_INIT;

	if (l->download)
		request_header(q, "Content-Disposition", forms[l->format].name);
	if (l->format == LOG_JSON) {
		json_object_set_new(more, "count", json_integer(count));
		json_object_set(more, "results", rows);
		json_object_set_new(more, "start", time_text(l->start));
		json_object_set_new(more, "end", time_text(l->end));
		if (json_array_size(rows) && l->first + l->size < (size_t)MIN(count, (int64_t)REACH))
			json_object_set_new(more, "next",
					    next_page(q, l, json_str(json_array_get(records, 0), "report_timestamp", "")));
		request_json_large(q, 200, more);
		more = NULL;
	} else {
		log_table_lines(l, rows, &b);
		q->status = 200;
		q->media = forms[l->format].media;
		q->text = xstrdup(buf_cstr(&b));
		buf_fini(&b);
	}
	json_decref(rows);
	json_decref(records);
	json_decref(more);
}

/* ---- events ---------------------------------------------------------------------------------- */

struct events {
	struct request *q;
	const struct log_query *l;
	const struct filter *about; /* whose uuid they name; NULL: any */
	bool whole;         /* a filter asks for what stands beside the event */
	size_t count;
	json_t *found;
	uint64_t began_ns; /* of the thread's own time: a busy machine shall not shorten answers */
	uint64_t newest, reached; /* ids; they have no gaps */
};

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

static bool passes(const struct events *s, uint64_t id, uint64_t us, const json_t *event)
{
	CLEANUP_JSON json_t *whole = s->whole ? shown(s->q, id, us, event) : NULL;

	if (!log_query_passes(s->l, whole ? whole : event))
		return false;
	return !s->about || filter_passes(s->about, event);
}

static int take(void *arg, uint64_t id, uint64_t us, const json_t *event)
{
	struct events *s = arg;
	size_t at = s->count;
	/* The order is turned afterwards: then the page is not known before the end. */
	bool all = !log_query_by_time(s->l) || log_query_oldest_first(s->l);

	if (!s->newest)
		s->newest = id;
	if (cpu_ns() - s->began_ns > BUDGET_MS * NS_PER_MS) {
		s->reached = id;
		return 1;
	}
	if (!sees(s->q, event) || !passes(s, id, us, event))
		return 0;
	s->count++;
	if (all || at < s->l->first + s->l->size)
		json_array_append_new(s->found, all || at == 0 || at >= s->l->first ? shown(s->q, id, us, event) : json_null());
	return 0;
}

static json_t *turned(json_t *from)
{
	json_t *to = json_array();

	for (size_t i = json_array_size(from); i-- > 0;)
		json_array_append(to, json_array_get(from, i));
	json_decref(from);
	return to;
}

static void events_get(struct request *q, const struct log_query *l, const struct object *vs)
{
	struct filter about = { .op = "co", .field = "all" };
	struct events s = { .q = q, .l = l, .about = vs ? &about : NULL, .found = json_array(), .began_ns = cpu_ns() };

	if (vs)
		snprintf(about.value, sizeof(about.value), "%s", vs->uuid);
	for (size_t i = 0; i < l->n_filters; i++) {
		const char *f = l->filters[i].field;

		s.whole = s.whole || strcmp(f, "log_id") == 0 || strcmp(f, "report_timestamp") == 0 || strcmp(f, "tenant_name") == 0;
	}
	/* Time does not go back in the log: after a clock that was wrong, the newest events are of the future. */
	store_events(q->rest->c->store, l->start, l->ends ? l->end : UINT64_MAX, take, &s);
	if (s.reached && (log_query_oldest_first(l) || !log_query_by_time(l))) {
		json_decref(s.found);
		request_refuse(q, 400, "%s: too many events for %s; narrow start and end.", l->groupby[0] ? "groupby" : "orderby",
			       l->groupby[0] ? "groups" : log_query_by_time(l) ? "the oldest first" : "this order");
		return;
	}
	answer(q, l, log_query_oldest_first(l) ? turned(s.found) : s.found, (int64_t)s.count,
	       json_pack("{s:f, s:I}", "percent_remaining", s.reached ? 100.0 * (double)s.reached / (double)s.newest : 0.0,
			 "dropped", (json_int_t)store_events_dropped(q->rest->c->store)));
}

/* ---- records of connections and requests ---------------------------------------------------------- */

struct records {
	struct request *q;
	struct log_query l;
	json_t *got;
};

static const struct log_source *source_of(const struct rest *r)
{
	return r->log_source;
}

void logs_source(struct rest *r, const struct log_source *s)
{
	r->log_source = s;
}

/* More match than can be had at once. False: not so. */
static bool refused_as_many(struct request *q, const struct log_query *l, int64_t count)
{
	if (!log_query_by_time(l) && count > REACH)
		request_refuse(q, 400, "%s: %lld records match, and %d can be had at once; narrow start and end.",
			       l->groupby[0] ? "groupby" : "orderby", (long long)count, REACH);
	else if (l->first >= REACH && (uint64_t)count > l->first)
		request_refuse(q, 400, "page: only the first %d of %lld records are within reach; narrow start and end.", REACH,
			       (long long)count);
	else
		return false;
	return true;
}

static void records_answer(struct request *q, void *arg)
{
	struct records *r = arg;
	json_t *got = r->got, *missing = json_object_get(got, "missing");
	int64_t count = json_int(got, "count", 0), asked = json_int(got, "asked", 0);

	/* Of engines that did not answer nobody knows how much they have: their share is what remains. */
	if (!refused_as_many(q, &r->l, count))
		answer(q, &r->l, json_incref(json_object_get(got, "results")), count,
		       json_pack("{s:f, s:I, s:I, s:O}", "percent_remaining",
				 asked ? 100.0 * (double)json_array_size(missing) / (double)asked : 0.0, "overwritten",
				 (json_int_t)json_int(got, "overwritten", 0), "throttled",
				 (json_int_t)json_int(got, "throttled", 0), "missing", missing));
	json_decref(got);
	if (q->large) /* it is on a thread of its own already */
		request_large_to_text(q);
	log_query_fini(&r->l);
	free(r);
}

static void records_heard(void *arg, json_t *got)
{
	struct records *r = arg;
	struct request *q = r->q;

	r->got = got;
	if (aside(q, records_answer, route_done, r))
		return;
	records_answer(q, r);
	route_done(q);
}

/* The virtual service that is asked for, by uuid or name. */
static const struct object *service_of(struct request *q)
{
	const char *name = query_get(&q->query, "virtualservice");
	struct store *s = q->rest->c->store;
	const struct object *o = name ? store_get(s, "virtualservice", name) : NULL;

	if (!o && name)
		o = store_find(s, "virtualservice", strcmp(q->tenant_id, "*") == 0 ? NULL : q->tenant_id, NULL, name);
	return o && auth_sees(q, o) && auth_may_object(q, o, ACCESS_READ, NULL) == 0 ? o : NULL;
}

/* Requests are what a service of HTTP is asked for, connections what another one is. */
static enum log_type usual_type(struct request *q, const struct object *vs)
{
	const struct object *app = NULL;

	if (vs)
		app = store_get(q->rest->c->store, "applicationprofile",
				ref_target(json_str(vs->body, "application_profile_ref", "")));
	if (!vs)
		return LOG_TYPE_EVENTS;
	return app && strcmp(json_str(app->body, "type", ""), "APPLICATION_PROFILE_TYPE_HTTP") != 0 ? LOG_TYPE_CONNECTIONS
												     : LOG_TYPE_REQUESTS;
}

/* What all records of VS have, and engines do not know. */
static json_t *told_of(const struct request *q, const struct object *vs)
{
	const struct object *tenant = store_get(q->rest->c->store, "tenant", ref_target(json_str(vs->body, "tenant_ref", "")));

	return json_pack("{s:s, s:s}", "vs_name", vs->name, "tenant_name", tenant ? tenant->name : "");
}

/* Takes L, when the answer is later. */
static enum result records_get(struct request *q, const struct log_query *l, const struct object *vs)
{
	json_t *filters = json_array();
	struct records *r;
	json_t *query;

	if (!source_of(q->rest)) {
		request_refuse(q, 503, "The engines cannot be asked yet.");
		json_decref(filters);
		return RESULT_NOW;
	}
	for (size_t i = 0; i < q->query.n; i++)
		if (strcmp(q->query.arg[i].name, "filter") == 0)
			json_array_append_new(filters, json_string(q->query.arg[i].value));
	r = xcalloc(1, sizeof(*r));
	*r = (struct records){ .q = q, .l = *l };
	query = json_pack("{s:s, s:I, s:I, s:I, s:b, s:b, s:b, s:b, s:I, s:o, s:o}", "virtualservice", vs->uuid, "records",
			  (json_int_t)l->type, "start_us", (json_int_t)l->start, "end_us", (json_int_t)l->end, "significant",
			  l->significant, "filtered", l->filtered, "rest", l->rest, "oldest_first", log_query_oldest_first(l), "max",
			  (json_int_t)(log_query_by_time(l) ? MIN(l->first + l->size, (size_t)REACH) : (size_t)REACH), "filters", filters,
			  "told", told_of(q, vs));
	source_of(q->rest)->ask(source_of(q->rest)->arg, query, records_heard, r);
	return RESULT_LATER;
}

enum result logs_get(struct request *q)
{
	const char *name = query_get(&q->query, "virtualservice");
	const struct object *vs = service_of(q);
	enum result result = RESULT_NOW;
	struct err e = { 0 };
	struct log_query l;

	q->asked = true; /* about each event, see sees() */
	if (log_query_read(&q->query, usual_type(q, vs), &l, &e) < 0)
		request_error(q, &e);
	else if (name && *name && !vs)
		request_refuse(q, 400, "virtualservice: there is no such virtual service here.");
	else if (l.type == LOG_TYPE_EVENTS)
		events_get(q, &l, vs);
	else if (!vs)
		request_refuse(q, 400, "virtualservice: of which one? Give its uuid or name.");
	else
		result = records_get(q, &l, vs);
	if (result == RESULT_NOW)
		log_query_fini(&l);
	return result;
}
