/*
 * metrics - what was counted in former steps: GET /api/analytics/metrics/KIND[/UUID], POST .../collection,
 * GET /api/analytics/metric_id, and the view `metrics` of an object, which is the newest step.
 *
 * A series is one metric of one thing; an id that clients know and nobody counts here has none, and is named in
 * X-Spanwire-Warning. A step of which nobody told is `is_null`, or left out when `pad_missing_data` is false.
 */
#include <errno.h>

#include "base/base.h"
#include "base/moment.h"
#include "controller/metrics/meter.h"
#include "controller/pools.h"
#include "controller/resolve.h"
#include "controller/rest/demand.h"
#include "controller/rest/handlers.h"

enum {
	REQUESTS_MAX = 1000,
	POINTS_MAX = 50000, /* of an answer: it is made in one go, while engines wait */
	LOOKS_MAX = 500000, /* at pages, the same */
};

/* An answer in the making. */
struct telling {
	struct request *q;
	const struct demand *d;
	json_t *series;      /* of one object: a list for each metric, in the order in which they were asked for */
	json_t *objects;     /* {uuid: series} */
	json_t *times;       /* when the demand's steps begin, and when the last ends, as texts */
	size_t points, looks;
	bool too_much;
};

/* The thing that series are of: an object, or a part of it. */
struct thing {
	const char *uuid, *tenant; /* of the object */
	const char *pool, *item;   /* NULL: none */
};

static json_t *moment_json(uint64_t at_s)
{
	char text[MOMENT_MAX];

	return json_string(moment_text(at_s * 1000000, MOMENT_SECONDS, text));
}

static void moment_put(json_t *o, const char *name, uint64_t at_s)
{
	json_object_set_new(o, name, moment_json(at_s));
}

/* ---- one series -------------------------------------------------------------------------- */

struct statistics {
	double min, max, sum, first, last;
	size_t min_at, max_at, n;
};

static void statistics_add(struct statistics *s, double v, size_t at)
{
	if (!s->n || v < s->min)
		s->min = v, s->min_at = at;
	if (!s->n || v > s->max)
		s->max = v, s->max_at = at;
	if (!s->n)
		s->first = v;
	s->sum += v;
	s->last = v;
	s->n++;
}

static json_t *statistics_json(const struct statistics *s, const json_t *times)
{
	json_t *o = json_pack("{s:f, s:f, s:f, s:f, s:I, s:f, s:f}", "min", s->min, "max", s->max, "mean",
			      s->n ? s->sum / (double)s->n : 0.0, "sum", s->sum, "num_samples", (json_int_t)s->n, "last_sample",
			      s->last, "trend", s->last - s->first);

	if (s->n) {
		json_object_set(o, "min_ts", json_array_get(times, s->min_at));
		json_object_set(o, "max_ts", json_array_get(times, s->max_at));
	}
	return o;
}

/* Neighbouring steps of which nobody told are one interval. */
static void missing_add(json_t *missing, const json_t *times, size_t at, bool goes_on)
{
	json_t *one = goes_on ? json_array_get(missing, json_array_size(missing) - 1) : json_object();

	if (!goes_on) {
		json_object_set(one, "start", json_array_get(times, at));
		json_array_append_new(missing, one);
	}
	json_object_set(one, "stop", json_array_get(times, at + 1));
}

static json_t *header_of(const struct telling *t, const struct metric *m, const struct thing *of)
{
	json_t *h = json_pack("{s:s, s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s*}", "name", m->id, "entity_uuid", of->uuid, "units",
			      m->units, "metric_description", m->help, "tenant_uuid", of->tenant, "pool_uuid", of->pool, "obj_id",
			      of->item, "server", of->item, "serviceengine_uuid", t->d->engine);
	const struct object *se = t->d->engine && t->d->refs ? store_get(t->q->rest->c->store, "serviceengine", t->d->engine) : NULL;

	if (se)
		json_object_set_new(h, "serviceengine_ref", json_sprintf("%s/api/serviceengine/%s%s%s", t->q->base_url, se->uuid,
									  t->d->names ? "#" : "", t->d->names ? se->name : ""));
	if (t->d->detailed)
		json_object_update_new(h, json_pack("{s:s, s:b, s:i, s:i}", "obj_id_type",
						    of->item	? "METRICS_OBJ_ID_TYPE_SERVER"
						    : t->d->kind ? demand_entity(t->d->kind)
								: "METRICS_OBJ_ID_TYPE_VIRTUALSERVICE",
						    "priority", 0, "metrics_min_scale", 0, "step", (int)t->d->step_s));
	return h;
}

static json_t *series_json(struct telling *t, const struct metric *m, const struct thing *of, const struct reading *r)
{
	json_t *data = json_array(), *missing = json_array(), *header = header_of(t, m, of), *point;
	struct statistics s = { 0 };
	bool was_known = true;
	double v;

	for (size_t i = 0; i < t->d->points; i++) {
		bool known = meter_value(m, &r[i], &v);

		if (known)
			statistics_add(&s, v, i);
		if (!r[i].known)
			missing_add(missing, t->times, i, !was_known);
		was_known = r[i].known;
		if (!known && !t->d->pad)
			continue;
		point = json_object();
		json_object_set_new_nocheck(point, "value", json_real(v));
		json_object_set_new_nocheck(point, "num_samples", json_integer(r[i].reports));
		json_object_set_nocheck(point, "timestamp", json_array_get(t->times, i));
		if (!known)
			json_object_set_new(point, "is_null", json_true());
		json_array_append_new(data, point);
	}
	if (json_array_size(missing))
		json_object_set(header, "missing_intervals", missing);
	json_decref(missing);
	if (t->d->statistics)
		json_object_set_new(header, "statistics", statistics_json(&s, t->times));
	if (json_array_size(data))
		return json_pack("{s:o, s:o}", "header", header, "data", data);
	/* Clients take the first point of `data` when there is `data`. */
	json_decref(data);
	return json_pack("{s:o}", "header", header);
}

/* ---- one thing ----------------------------------------------------------------------------- */

static void tell(struct telling *t, enum metric_of of, const struct thing *thing, const struct meter_series *s)
{
	struct meter *meter = t->q->rest->c->meter;
	struct reading *r;
	size_t n = 0;

	for (size_t i = 0; i < t->d->metrics_n; i++)
		n += t->d->metrics[i]->of == of;
	if (!n)
		return;
	t->points += n * (t->d->points + 1);
	t->looks += t->d->points * MAX(s->n, (size_t)1) * MAX(t->d->step_s / METER_LONG_STEP_S, 1u);
	t->too_much |= t->points > POINTS_MAX || t->looks > LOOKS_MAX;
	if (t->too_much)
		return;
	r = xcalloc(t->d->points + 1, sizeof(*r));
	meter_read(meter, of, s, t->d->step_s, t->d->from_s, t->d->points, r);
	if (!t->times)
		t->times = json_array();
	for (size_t i = json_array_size(t->times); i <= t->d->points; i++)
		json_array_append_new(t->times, moment_json(t->d->from_s + i * t->d->step_s));
	for (size_t i = 0; i < t->d->metrics_n; i++)
		if (t->d->metrics[i]->of == of)
			json_array_append_new(json_array_get(t->series, i), series_json(t, t->d->metrics[i], thing, r));
	free(r);
}

static void tell_one(struct telling *t, enum metric_of of, const char *key, const struct thing *thing)
{
	struct meter_series s = { 0 };

	meter_find(t->q->rest->c->meter, of, key, thing->item, t->d->engine, &s);
	tell(t, of, thing, &s);
	meter_series_free(&s);
}

/* The pools that a virtual service sends to, or the pool that was asked for. */
struct pools {
	struct telling *t;
	struct thing thing;
	struct meter_series s;
	bool fan;      /* each server for itself */
	json_t *items; /* {"ip:port": true} */
};

static void add_item(void *arg, const char *item)
{
	json_object_set_new(arg, item, json_true());
}

static int add_pool(void *arg, const struct object *pool, enum pools_role role)
{
	struct pools *p = arg;
	struct meter *meter = p->t->q->rest->c->meter;

	(void)role;
	if ((p->t->d->pool && strcmp(p->t->d->pool, pool->uuid) != 0) || !access_reads(&p->t->q->viewer, pool))
		return 0;
	if (p->fan) {
		const char *item;
		void *next;
		json_t *v;

		p->thing.pool = pool->uuid;
		meter_items(meter, METRIC_POOL, pool->uuid, add_item, p->items);
		json_object_foreach_safe(p->items, next, item, v) {
			p->thing.item = item;
			tell_one(p->t, METRIC_POOL, pool->uuid, &p->thing);
		}
		json_object_clear(p->items);
		p->thing.item = p->thing.pool = NULL;
		return 0;
	}
	meter_find(meter, METRIC_POOL, pool->uuid, p->t->d->item, p->t->d->engine, &p->s);
	return 0;
}

static void tell_pools(struct telling *t, const struct object *o, const struct thing *thing)
{
	struct pools p = { .t = t, .thing = *thing, .fan = t->d->item && strcmp(t->d->item, "*") == 0, .items = json_object() };

	if (strcmp(o->kind->path, "pool") == 0)
		add_pool(&p, o, POOLS_OWN);
	else
		pools_each(t->q->rest->c->store, o->body, add_pool, &p);
	p.thing.item = t->d->item;
	p.thing.pool = t->d->pool;
	if (!p.fan)
		tell(t, METRIC_POOL, &p.thing, &p.s);
	meter_series_free(&p.s);
	json_decref(p.items);
}

/* All series of O into a new list. */
static json_t *tell_object(struct telling *t, const struct object *o)
{
	const char *kind = o->kind->path;
	struct thing thing = { .uuid = o->uuid, .tenant = *o->tenant ? o->tenant : TENANT_ADMIN };
	bool part = t->d->item; /* of a pool, or the controller */
	json_t *out = json_array(), *of_metric;
	size_t i;

	t->series = json_array();
	for (i = 0; i < t->d->metrics_n; i++)
		json_array_append_new(t->series, json_array());
	if (strcmp(kind, "cluster") == 0) {
		thing.item = t->d->item; /* a group of engines */
		tell_one(t, METRIC_CONTROLLER, METER_OWN, &thing);
	} else if (strcmp(kind, "serviceengine") == 0 && !part)
		tell_one(t, METRIC_ENGINE, o->uuid, &thing);
	if (strcmp(kind, "virtualservice") == 0 && !part) {
		tell_one(t, METRIC_SERVICE, o->uuid, &thing);
		tell_one(t, METRIC_CLONE, o->uuid, &thing);
	}
	if (strcmp(kind, "virtualservice") == 0 || strcmp(kind, "pool") == 0)
		tell_pools(t, o, &thing);
	json_array_foreach(t->series, i, of_metric)
		json_array_extend(out, of_metric);
	json_decref(t->series);
	return out;
}

/* ---- which objects --------------------------------------------------------------------------- */

static const char *path_of(const char *kind)
{
	return strcmp(kind, "controller") == 0 ? "cluster" : kind;
}

static bool may_read(struct request *q, const struct object *o)
{
	return auth_sees(q, o) && auth_may_object(q, o, ACCESS_READ, NULL) == 0;
}

static int tell_each(void *arg, const struct object *o)
{
	struct telling *t = arg;
	json_t *before = json_object_get(t->objects, o->uuid), *series;

	if (!may_read(t->q, o))
		return 0;
	series = tell_object(t, o);
	if (before)
		json_array_extend(before, series);
	else
		json_object_set(t->objects, o->uuid, series);
	json_decref(series);
	return t->too_much;
}

static int first_object(void *arg, const struct object *o)
{
	*(const struct object **)arg = o;
	return 1;
}

/* By uuid; the controller also by its kind. */
static const struct object *object_named(struct request *q, const char *kind, const char *uuid)
{
	const struct object *o = NULL;
	struct store *s = q->rest->c->store;

	if (strcmp(kind, "controller") != 0)
		return store_get(s, kind, uuid);
	store_each(s, "cluster", first_object, &o);
	return o && (strcmp(uuid, o->uuid) == 0 || strcmp(uuid, "controller") == 0) ? o : NULL;
}

/* "*" or "a,b": of a kind, or of whichever has such an object. Who may not see one does not learn of it. */
static int tell_objects(struct telling *t, const char *kind, const char *uuids, struct err *e)
{
	if (strcmp(uuids, "*") == 0) {
		const char *path = path_of(kind ? kind : demand_kind(0));
		int rc = auth_may(t->q, path, t->q->tenant_id, false, e);

		if (rc == 0)
			store_each(t->q->rest->c->store, path, tell_each, t);
		return rc;
	}
	for (const char *p = uuids; *p && !t->too_much; p += strcspn(p, ","), p += *p == ',') {
		CLEANUP_FREE char *uuid = xstrndup(p, strcspn(p, ","));
		const struct object *o = kind ? object_named(t->q, kind, uuid) : NULL;

		for (size_t i = 0; !kind && !o && demand_kind(i); i++)
			o = object_named(t->q, demand_kind(i), uuid);
		if (o)
			tell_each(t, o);
	}
	return 0;
}

static int too_much(const struct telling *t, struct err *e)
{
	return t->too_much ? err_set(e, -EINVAL, "limit",
				     "That is more than %d values, or %d steps to look at: ask for fewer objects, metrics or steps.",
				     POINTS_MAX, LOOKS_MAX)
			   : 0;
}

/* ---- handlers ---------------------------------------------------------------------------------- */

static void warn_of(struct request *q, const struct buf *uncounted)
{
	CLEANUP_FREE char *text = NULL;

	if (!uncounted->len)
		return;
	text = xasprintf("Nobody counts this here: %.800s%s", uncounted->data, uncounted->len > 800 ? " ..." : ".");
	request_header(q, "X-Spanwire-Warning", text);
}

static json_t *frame(const struct demand *d, const char *uuid, const char *kind, json_t *series)
{
	json_t *out = json_pack("{s:s*, s:s, s:s, s:i, s:I, s:o}", "entity_uuid", uuid, "metric_entity", demand_entity(kind),
				"metric_id", json_str(d->said, "metric_id", ""), "step", (int)d->step_s, "limit",
				(json_int_t)d->points, "series", series);

	moment_put(out, "start", d->from_s);
	moment_put(out, "stop", d->from_s + d->points * d->step_s);
	return out;
}

/* Of all objects: each as it is told alone. */
static json_t *rows_of(const struct demand *d, const char *kind, json_t *objects)
{
	json_t *rows = json_array(), *series;
	const char *uuid;

	json_object_foreach(objects, uuid, series)
		json_array_append_new(rows, frame(d, uuid, kind, json_incref(series)));
	return json_pack("{s:I, s:o}", "count", (json_int_t)json_array_size(rows), "results", rows);
}

static uint64_t meter_now(struct request *q)
{
	uint64_t now = wall_us() / 1000;

	meter_turn(q->rest->c->meter, now);
	return now;
}

/* `/api/analytics/metrics/KIND/UUID`; without a uuid of all that one may see. */
enum result metrics_get(struct request *q)
{
	struct demand d;
	struct telling t = { .q = q, .d = &d, .objects = json_object() };
	const struct object *o = NULL;
	CLEANUP_JSON json_t *series = NULL;
	struct err e = { 0 };
	int rc;

	q->asked = true;
	rc = demand_read(&d, &q->query, NULL, meter_now(q), &e);
	d.kind = q->kind;
	if (!demand_entity(q->kind)) {
		request_refuse(q, 404, "There is nothing at %s: objects of the kind '%.60s' have no metrics.", q->path, q->kind);
		goto out;
	}
	if (q->uuid) {
		o = object_named(q, q->kind, q->uuid);
		if (!o || !auth_sees(q, o)) {
			request_refuse(q, 404, "%s object not found!", kind_spelling(path_of(q->kind)));
			goto out;
		}
		if (auth_may_object(q, o, ACCESS_READ, &e) < 0)
			rc = e.code;
	}
	if (rc == 0 && o)
		series = tell_object(&t, o);
	else if (rc == 0)
		rc = tell_objects(&t, q->kind, d.entities ? d.entities : "*", &e);
	if (rc == 0)
		rc = too_much(&t, &e);
	if (rc == 0) {
		warn_of(q, &d.uncounted);
		request_json_large(q, 200, o ? frame(&d, o->uuid, q->kind, json_incref(series)) : rows_of(&d, q->kind, t.objects));
	} else {
		request_error(q, &e);
	}
out:
	demand_fini(&d);
	json_decref(t.objects);
	json_decref(t.times);
	return RESULT_NOW;
}

/* One of `metric_requests`: into SERIES, by its id when it has one. */
static int collect(struct telling *t, const json_t *body, uint64_t now_ms, json_t *series, struct buf *uncounted, struct err *e)
{
	struct demand d;
	int rc = demand_read(&d, &t->q->query, body, now_ms, e);

	t->d = &d;
	t->objects = series;
	if (rc == 0 && !d.entities)
		rc = err_set(e, -EINVAL, "entity_uuid", "Of what? Give uuids, or \"*\".");
	if (rc == 0 && d.id) {
		if (!json_is_object(json_object_get(series, d.id)))
			json_object_set_new(series, d.id, json_object());
		t->objects = json_object_get(series, d.id);
	}
	if (rc == 0)
		rc = tell_objects(t, d.kind, d.entities, e);
	if (rc == 0)
		rc = too_much(t, e);
	json_decref(t->times);
	t->times = NULL;
	if (d.uncounted.len)
		buf_printf(uncounted, "%s%s", uncounted->len ? ", " : "", buf_cstr(&d.uncounted));
	demand_fini(&d);
	return rc;
}

enum result metrics_collection(struct request *q)
{
	const json_t *requests = json_object_get(q->json, "metric_requests");
	struct telling t = { .q = q };
	CLEANUP_JSON json_t *series = json_object();
	struct buf uncounted = BUF_INIT;
	struct err e = { 0 };
	uint64_t now_ms = meter_now(q);
	size_t i, n = json_array_size(requests);
	int rc = 0;

	q->asked = true;
	if (!n || n > REQUESTS_MAX)
		rc = err_set(&e, -EINVAL, "metric_requests", "A list of 1 to %d requests.", REQUESTS_MAX);
	for (i = 0; rc == 0 && i < n; i++) {
		if (!json_is_object(json_array_get(requests, i)))
			rc = err_set(&e, -EINVAL, NULL, "It is not an object.");
		else
			rc = collect(&t, json_array_get(requests, i), now_ms, series, &uncounted, &e);
		if (rc < 0) {
			CLEANUP_FREE char *path = xasprintf("metric_requests[%zu]", i);

			err_within(&e, path);
		}
	}
	warn_of(q, &uncounted);
	if (rc == 0)
		request_json_large(q, 200, json_pack("{s:O}", "series", series));
	else
		request_error(q, &e);
	buf_fini(&uncounted);
	return RESULT_NOW;
}

static const char *entity_of(enum metric_of of)
{
	static const char *const kinds[METRIC_SOURCES] = { "virtualservice", "pool", "virtualservice", "serviceengine", "controller" };

	return kinds[of];
}

/* What there is to ask for. */
enum result metric_ids_get(struct request *q)
{
	const char *wanted = query_get(&q->query, "entity_type");
	json_t *results = json_array();
	const struct metric *all;
	size_t n;

	all = metric_all(&n);
	for (size_t i = 0; i < n; i++) {
		const char *kind = entity_of(all[i].of), *entity = demand_entity(kind);
		/* What servers did is also told of the services that sent to them. */
		bool also = all[i].of == METRIC_POOL && wanted && strcmp(wanted, "virtualservice") == 0;

		if (wanted && *wanted && strcmp(wanted, kind) != 0 && strcmp(wanted, entity) != 0 && !also)
			continue;
		json_array_append_new(results, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", all[i].id, "metric_id", all[i].id,
							 "metric_units", all[i].units, "entity_type", kind, "description",
							 all[i].help));
	}
	request_json(q, 200, json_pack("{s:I, s:o}", "count", (json_int_t)json_array_size(results), "results", results));
	return RESULT_NOW;
}

/* ---- the newest step, as a view ----------------------------------------------------------------- */

static const struct {
	const char *kind;
	enum metric_of of;
} viewed[] = {
	{ "virtualservice", METRIC_SERVICE }, { "virtualservice", METRIC_CLONE }, { "pool", METRIC_POOL },
	{ "serviceengine", METRIC_ENGINE },
};

/* The newest step of STEP that somebody told of, of O. */
static json_t *newest(struct meter *meter, const struct object *o, unsigned step_s)
{
	uint64_t at_s = meter_last_step(step_s, wall_us() / 1000);
	json_t *rows = json_array(), *out = json_pack("{s:i, s:o}", "step", (int)step_s, "metrics", rows);
	const struct metric *all;
	size_t n;

	all = metric_all(&n);
	moment_put(out, "timestamp", at_s);
	for (size_t v = 0; v < ARRAY_SIZE(viewed); v++) {
		struct meter_series s = { 0 };
		struct reading r;
		double value;

		if (strcmp(viewed[v].kind, o->kind->path) != 0)
			continue;
		meter_find(meter, viewed[v].of, o->uuid, NULL, NULL, &s);
		meter_read(meter, viewed[v].of, &s, step_s, at_s, 1, &r);
		meter_series_free(&s);
		for (size_t i = 0; i < n; i++)
			if (all[i].of == viewed[v].of && meter_value(&all[i], &r, &value))
				json_array_append_new(rows, json_pack("{s:s, s:f, s:s}", "metric_id", all[i].id, "value", value,
								      "units", all[i].units));
	}
	return out;
}

static json_t *metrics_view(void *arg, const struct subresource_call *call, struct err *e)
{
	struct rest *r = arg;
	int64_t step;

	if (query_int(call->query, "step", 1, 86400, false, METER_STEP_S, &step, e) < 0)
		return NULL;
	if (!meter_has_step((unsigned)step)) {
		err_set(e, -EINVAL, "step", "Steps are of %d s, or of %d s and multiples of it up to a day.", METER_STEP_S,
			METER_LONG_STEP_S);
		return NULL;
	}
	meter_turn(r->c->meter, wall_us() / 1000);
	return newest(r->c->meter, call->object, (unsigned)step);
}

void metrics_views(struct rest *r)
{
	static struct subresource views[] = {
		{ .kind = "virtualservice", .path = "metrics", .get = metrics_view },
		{ .kind = "pool", .path = "metrics", .get = metrics_view },
		{ .kind = "serviceengine", .path = "metrics", .get = metrics_view },
	};

	for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
		views[i].arg = r;
		subresource_add(r, &views[i]);
	}
}
