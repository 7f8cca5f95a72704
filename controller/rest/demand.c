#include "controller/rest/demand.h"

#include <errno.h>
#include <strings.h>

#include "base/base.h"

enum { STEP = 300, LIMIT = 6, IDS_MAX = 1000 };

static const struct {
	const char *kind, *entity;
} entities[] = {
	{ "virtualservice", "VSERVER_METRICS_ENTITY" },
	{ "pool", "POOL_METRICS_ENTITY" },
	{ "serviceengine", "SE_METRICS_ENTITY" },
	{ "controller", "CONTROLLER_METRICS_ENTITY" },
};

const char *demand_kind(size_t i)
{
	return i < ARRAY_SIZE(entities) ? entities[i].kind : NULL;
}

const char *demand_entity(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(entities); i++)
		if (strcmp(entities[i].kind, kind) == 0)
			return entities[i].entity;
	return NULL;
}

/* ---- the words ---- */

static void say(json_t *said, const char *name, const json_t *v)
{
	const json_t *one;
	size_t i;

	if (json_is_string(v)) {
		const char *so_far = json_str(said, name, NULL);

		/* A list may come as one parameter or as several. */
		json_object_set_new(said, name, so_far && *so_far ? json_sprintf("%s,%s", so_far, json_string_value(v))
								   : json_string(json_string_value(v)));
	} else if (json_is_integer(v)) {
		json_object_set_new(said, name, json_sprintf("%lld", (long long)json_integer_value(v)));
	} else if (json_is_boolean(v)) {
		json_object_set_new(said, name, json_string(json_is_true(v) ? "true" : "false"));
	}
	json_array_foreach((json_t *)v, i, one)
		say(said, name, one);
}

static const char *word(const struct demand *d, const char *name)
{
	const char *text = json_str(d->said, name, "");

	return *text ? text : NULL;
}

static bool flag(const struct demand *d, const char *name, bool dflt)
{
	const json_t *v = json_object_get(d->said, name);
	const char *text = json_str(d->said, name, "");

	return v ? strcasecmp(text, "false") != 0 && strcmp(text, "0") != 0 : dflt;
}

static int number(const struct demand *d, const char *name, uint64_t max, uint64_t dflt, uint64_t *out, struct err *e)
{
	const char *text = word(d, name);
	char *end;

	*out = dflt;
	if (!text)
		return 0;
	errno = 0;
	*out = strtoull(text, &end, 10);
	if (*end || errno || *text < '0' || *text > '9' || *out < 1 || *out > max)
		return err_set(e, -EINVAL, name, "'%.40s' is not a number from 1 to %llu.", text, (unsigned long long)max);
	return 0;
}

/* *MS stays when nothing is said. */
static int moment(const struct demand *d, const char *name, uint64_t *ms, struct err *e)
{
	uint64_t us = *ms * 1000;
	int rc = query_moment(name, word(d, name), &us, e);

	*ms = us / 1000;
	return rc;
}

/* ---- which, when, of what ---- */

static int read_ids(struct demand *d, struct err *e)
{
	const char *list = word(d, "metric_id");

	if (!list)
		return err_set(e, -EINVAL, "metric_id", "Which metrics? GET /api/analytics/metric_id lists them.");
	d->metrics = xcalloc(IDS_MAX, sizeof(d->metrics[0]));
	for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',') {
		CLEANUP_FREE char *id = xstrndup(p + strspn(p, " "), strcspn(p + strspn(p, " "), ", "));
		const struct metric *m = metric_find(id);

		if (!*id)
			continue;
		if (!m && !metric_is_known(id))
			return err_set(e, -EINVAL, "metric_id",
				       "There is no metric '%.80s': GET /api/analytics/metric_id lists them.", id);
		if (m && d->metrics_n == IDS_MAX)
			return err_set(e, -EINVAL, "metric_id", "More than %d of them.", IDS_MAX);
		if (m)
			d->metrics[d->metrics_n++] = m;
		else
			buf_printf(&d->uncounted, "%s%s", d->uncounted.len ? ", " : "", id);
	}
	return 0;
}

static int read_time(struct demand *d, uint64_t now_ms, struct err *e)
{
	uint64_t step, start = 0, stop = now_ms, end_s;
	int rc = number(d, "step", 86400, STEP, &step, e);

	if (rc == 0 && !meter_has_step((unsigned)step))
		return err_set(e, -EINVAL, "step",
			       "Steps are of %d s, or of %d s and multiples of it up to a day; not of %llu.", METER_STEP_S,
			       METER_LONG_STEP_S, (unsigned long long)step);
	if (rc == 0)
		rc = number(d, "limit", DEMAND_POINTS_MAX, word(d, "start") ? DEMAND_POINTS_MAX : LIMIT, &d->limit, e);
	if (rc == 0)
		rc = moment(d, "stop", &stop, e);
	if (rc == 0)
		rc = moment(d, "start", &start, e);
	if (rc < 0)
		return rc;
	d->step_s = (unsigned)step;
	end_s = meter_last_step(d->step_s, MIN(stop, now_ms)) + step; /* a step that is not over is not told */
	start = word(d, "start") ? start / 1000 / step * step : end_s - MIN(end_s, d->limit * step);
	d->points = end_s > start ? (size_t)MIN((end_s - start) / step, d->limit) : 0;
	d->from_s = end_s - d->points * step;
	return 0;
}

/* What other controllers do with series and this one does not. */
static int refuse_others(const struct demand *d, struct err *e)
{
	static const struct {
		const char *name, *why;
	} others[] = {
		{ "dimensions", "Values are not told apart by %.60s: ask for a server by obj_id, for an engine by serviceengine_uuid." },
		{ "aggregate_entity", "Values of several objects are not added up: ask for each of them." },
		{ "order_by", "Series come in the order of metric_id, not by '%.60s'." },
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (word(d, others[i].name) && flag(d, others[i].name, false))
			return err_set(e, -EINVAL, others[i].name, others[i].why, word(d, others[i].name));
	return 0;
}

static int read_kind(struct demand *d, struct err *e)
{
	const char *entity = word(d, "metric_entity");

	for (size_t i = 0; entity && i < ARRAY_SIZE(entities); i++)
		if (strcmp(entities[i].entity, entity) == 0)
			d->kind = entities[i].kind;
	/* The servers of a pool, or of a virtual service's pools. */
	if (entity && strcmp(entity, "VM_METRICS_ENTITY") == 0 && !d->item)
		d->item = "*";
	else if (entity && !d->kind && strcmp(entity, "VM_METRICS_ENTITY") != 0)
		return err_set(e, -EINVAL, "metric_entity", "'%.60s' has no metrics here.", entity);
	return 0;
}

int demand_read(struct demand *d, const struct query *q, const json_t *body, uint64_t now_ms, struct err *e)
{
	const char *key;
	json_t *v;
	int rc;

	*d = (struct demand){ .said = json_object(), .uncounted = BUF_INIT };
	for (size_t i = 0; i < q->n; i++) {
		CLEANUP_JSON json_t *text = json_string(q->arg[i].value);

		if (!json_object_get(body, q->arg[i].name))
			say(d->said, q->arg[i].name, text);
	}
	json_object_foreach((json_t *)body, key, v)
		say(d->said, key, v);
	d->item = word(d, "obj_id") ? word(d, "obj_id") : word(d, "server");
	d->pool = word(d, "pool_uuid");
	d->engine = word(d, "serviceengine_uuid");
	d->entities = word(d, "entity_uuid");
	d->id = word(d, "id");
	d->pad = flag(d, "pad_missing_data", true);
	d->statistics = flag(d, "include_statistics", true);
	d->detailed = flag(d, "detailed_header", false);
	d->names = flag(d, "include_name", false);
	d->refs = d->names || flag(d, "include_refs", false);
	rc = refuse_others(d, e);
	if (rc == 0)
		rc = read_kind(d, e);
	if (rc == 0)
		rc = read_ids(d, e);
	return rc == 0 ? read_time(d, now_ms, e) : rc;
}

void demand_fini(struct demand *d)
{
	json_decref(d->said);
	free(d->metrics);
	buf_fini(&d->uncounted);
}
