#include "controller/link/records.h"

#include "base/base.h"
#include "base/filter.h"
#include "controller/link/ask.h"
#include "controller/link/fleet.h"

#define ANSWER_MS 3000

/* One question to all. */
struct gathering {
	struct fleet *fleet;
	json_t *query, *found, *missing;
	json_int_t count, overwritten, throttled;
	unsigned asked, left;
	records_heard *heard;
	void *arg;
};

/* A question to one of them. */
struct asked {
	struct gathering *g;
	json_t *told;             /* what all of its records get */
	const char *name, *ref;   /* borrowed of it */
	size_t room;              /* how many more of its records can matter */
	bool holds;               /* it carries the service: its silence is to be told */
};

struct found {
	const char *time;
	json_t *record;
};

static int by_time(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return strcmp(y->time, x->time);
}

static json_t *merged(struct gathering *g)
{
	size_t n = json_array_size(g->found), max = (size_t)json_int(g->query, "max", 10);
	bool oldest = json_is_true(json_object_get(g->query, "oldest_first"));
	struct found *all = xcalloc(n + 1, sizeof(all[0]));
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++) {
		all[i].record = json_array_get(g->found, i);
		all[i].time = json_str(all[i].record, "report_timestamp", "");
	}
	if (n)
		qsort(all, n, sizeof(all[0]), by_time);
	for (size_t i = 0; i < n && i < max; i++)
		json_array_append(out, all[oldest ? n - 1 - i : i].record);
	free(all);
	return out;
}

static void over(struct gathering *g)
{
	json_t *all = json_pack("{s:o, s:I, s:I, s:I, s:i, s:o}", "results", merged(g), "count", g->count, "overwritten",
				g->overwritten, "throttled", g->throttled, "asked", (int)g->asked, "missing", g->missing);

	json_decref(g->query);
	json_decref(g->found);
	g->heard(g->arg, all); /* who may go on with it on another thread: nobody else has any of it */
	free(g);
}

static void heard(void *arg, const json_t *piece, bool last, const char *trouble)
{
	struct asked *a = arg;
	struct gathering *g = a->g;
	size_t i;
	json_t *record;

	json_array_foreach(json_object_get(piece, "results"), i, record) {
		/* It speaks of what it holds or held, and of the service that was asked for. */
		if (!json_is_object(record) || strcmp(json_str(record, "virtualservice", ""),
						      json_str(g->query, "virtualservice", "")) != 0)
			continue;
		/* It was asked for so many: an engine that was taken over may not fill our memory. */
		if (!a->room)
			break;
		a->room--;
		json_object_update(record, a->told);
		json_array_append(g->found, record);
	}
	if (!last)
		return;
	g->count += (json_int_t)json_int(piece, "count", 0);
	g->overwritten += (json_int_t)json_int(piece, "overwritten", 0);
	if (trouble && a->holds)
		json_array_append_new(g->missing, json_pack("{s:s, s:s, s:s}", "service_engine", a->ref, "se_name", a->name,
							    "reason", trouble));
	json_decref(a->told);
	free(a);
	if (--g->left == 0)
		over(g);
}

/* With no engine at all the answer comes in a turn of its own, too. */
struct nothing {
	struct timer timer;
	struct gathering *g;
};

static void nobody(struct timer *t)
{
	struct nothing *n = CONTAINER_OF(t, struct nothing, timer);

	over(n->g);
	free(n);
}

/*
 * A filter about what only we know is answered here, and the others are left to the engine. NULL: none of the engine's
 * records can pass.
 */
static json_t *filters_for(const json_t *filters, const json_t *told)
{
	json_t *out = json_array(), *text;
	size_t i;

	json_array_foreach(filters, i, text) {
		struct filter f;

		if (filter_read(json_string_value(text), &f, NULL) < 0 || !json_object_get(told, f.field)) {
			json_array_append(out, text);
		} else if (!filter_passes(&f, told)) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}

static json_t *told_of(const json_t *query, const struct engine *e)
{
	const json_t *common = json_object_get(query, "told");
	json_t *told = common ? json_copy((json_t *)common) : json_object();

	json_object_set_new(told, "service_engine", json_string(e->uuid));
	json_object_set_new(told, "se_name", json_string(e->name));
	return told;
}

void records_ask(struct fleet *f, json_t *query, records_heard *done, void *arg)
{
	struct gathering *g = xcalloc(1, sizeof(*g));
	const char *vs = json_str(query, "virtualservice", "");

	*g = (struct gathering){ .fleet = f, .query = query, .found = json_array(), .missing = json_array(),
				 .heard = done, .arg = arg };
	LIST_FOREACH(l, &f->engines) {
		struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);
		bool holds = holder_has(f->graph, &e->holder, "virtualservice", vs);
		json_t *question, *told, *filters, *counters;
		struct asked *a;

		if (!holds && !e->bulk)
			continue;
		told = told_of(query, e);
		filters = filters_for(json_object_get(query, "filters"), told);
		if (!filters) {
			json_decref(told);
			continue;
		}
		a = xcalloc(1, sizeof(*a));
		a->g = g;
		a->holds = holds;
		a->room = (size_t)json_int(query, "max", 10);
		a->told = told;
		a->name = json_str(told, "se_name", "");
		a->ref = json_str(told, "service_engine", "");
		question = json_copy(query);
		json_object_del(question, "told");
		json_object_set_new(question, "filters", filters);
		json_object_set_new(question, "what", json_string("logs"));
		counters = books_get(&e->books, "services", vs, NULL);
		g->throttled += (json_int_t)json_int(counters, "records_throttled", 0);
		json_decref(counters);
		g->asked++;
		g->left++;
		ask_engine(e, question, ANSWER_MS, heard, a);
	}
	if (!g->left) {
		struct nothing *n = xcalloc(1, sizeof(*n));

		n->g = g;
		timer_in(f->loop, &n->timer, 0, nobody);
	}
}

static void ask_all(void *fleet, json_t *query, records_heard *done, void *arg)
{
	records_ask(fleet, query, done, arg);
}

void records_open(struct fleet *f)
{
	f->log_source = (struct log_source){ ask_all, f };
	if (f->controller->rest)
		logs_source(f->controller->rest, &f->log_source);
}
