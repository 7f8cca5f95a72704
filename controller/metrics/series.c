#include "controller/metrics/series.h"

#include <string.h>

#include "base/base.h"

#define SERIES_MAX 262144 /* engines may invent servers */
#define MS_MAX     1000000LL

/* ---- series ---- */

static uint64_t hash_of(enum metric_of of, const char *uuid, const char *item)
{
	return table_hash(table_hash(TABLE_SEED + of, uuid), item ? item : "");
}

bool series_is_of(const struct series *s, enum metric_of of, const char *uuid, const char *item)
{
	return s->of == of && strcmp(s->uuid, uuid) == 0 && !s->item == !item && (!item || strcmp(s->item, item) == 0);
}

static size_t series_bytes(const struct series *s)
{
	return sizeof(*s) + strlen(s->uuid) + (s->item ? strlen(s->item) : 0) + 32;
}

static uint32_t id_take(struct roster *r)
{
	while (r->free_from < r->room && r->series[r->free_from])
		r->free_from++;
	if (r->free_from == r->room) {
		size_t room = MAX((size_t)256, r->room * 2);

		r->series = xrealloc(r->series, room * sizeof(*r->series));
		r->tellers = xrealloc(r->tellers, room * sizeof(*r->tellers));
		memset(r->series + r->room, 0, (room - r->room) * sizeof(*r->series));
		memset(r->tellers + r->room, 0, (room - r->room) * sizeof(*r->tellers));
		r->room = room;
	}
	return (uint32_t)r->free_from;
}

struct table_link *series_first(const struct roster *r, enum metric_of of, const char *uuid, const char *item)
{
	return table_first(&r->names, hash_of(of, uuid, item));
}

struct series *series_get(struct roster *r, enum metric_of of, const char *uuid, const char *item, uint32_t engine)
{
	bool own = of == METRIC_ENGINE || of == METRIC_CONTROLLER;
	uint64_t hash = hash_of(of, uuid, item);
	struct series *s;

	for (struct table_link *l = table_first(&r->names, hash); l; l = table_next(l)) {
		s = CONTAINER_OF(l, struct series, link);
		if (series_is_of(s, of, uuid, item) && (own || s->engine == engine))
			return s;
	}
	if (r->n >= SERIES_MAX)
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->id = id_take(r);
	s->of = of;
	s->uuid = xstrdup(uuid);
	s->item = item ? xstrdup(item) : NULL;
	s->engine = own ? s->id : engine;
	s->told = true;
	r->series[s->id] = s;
	r->tellers[s->id] = (struct teller){ 0 };
	r->n++;
	r->bytes += series_bytes(s);
	table_put(&r->names, &s->link, hash);
	return s;
}

static void series_free(struct roster *r, struct series *s)
{
	r->bytes -= series_bytes(s);
	r->series[s->id] = NULL;
	r->free_from = MIN(r->free_from, (size_t)s->id);
	r->n--;
	table_take(&r->names, &s->link);
	free(s->uuid);
	free(s->item);
	free(s);
}

void series_release(struct roster *r, struct series *s)
{
	if (!s->told && !s->written && !s->live)
		series_free(r, s);
}

/* ---- what is counted now ---- */

static size_t live_numbers(enum metric_of of)
{
	size_t n;

	metric_columns(of, &n);
	return TAPES * n + metric_kept(of);
}

static size_t live_bytes(const struct live *l)
{
	return sizeof(*l) + live_numbers(l->series->of) * sizeof(int64_t);
}

struct live *live_of(struct roster *r, struct series *s)
{
	struct live *l = s->live;
	size_t n;

	if (l)
		return l;
	metric_columns(s->of, &n);
	l = xcalloc(1, sizeof(*l) + live_numbers(s->of) * sizeof(int64_t));
	l->series = s;
	for (size_t k = 0; k < TAPES; k++)
		l->sums[k] = (int64_t *)(l + 1) + k * n;
	l->kept = (int64_t *)(l + 1) + TAPES * n;
	l->since_ms = r->now_ms;
	s->live = l;
	r->bytes += live_bytes(l);
	list_insert(&r->lives, &l->link);
	return l;
}

void live_free(struct roster *r, struct live *l)
{
	r->bytes -= live_bytes(l);
	l->series->live = NULL;
	list_remove(&l->link);
	free(l);
}

static bool is_level(const struct column *c)
{
	return c->how == COLUMN_MEAN || c->how == COLUMN_MAX;
}

void live_last(struct live *l, uint64_t now_ms)
{
	size_t n;
	const struct column *columns = metric_columns(l->series->of, &n);
	int64_t ms = now_ms > l->since_ms ? (int64_t)(now_ms - l->since_ms) : 0;

	l->since_ms = MAX(now_ms, l->since_ms);
	for (size_t c = 0; c < n; c++)
		for (size_t k = 0; k < TAPES && is_level(&columns[c]); k++)
			if (columns[c].how == COLUMN_MEAN)
				l->sums[k][c] = sum_of(l->sums[k][c], MIN(l->kept[columns[c].place], METER_LEVEL_MAX) * MIN(ms, MS_MAX));
			else
				l->sums[k][c] = MAX(l->sums[k][c], l->kept[columns[c].place]);
}

void live_set(struct live *l, unsigned c, int64_t value)
{
	size_t n;
	const struct column *column = &metric_columns(l->series->of, &n)[c];
	int64_t *level = &l->kept[column->place];

	*level = MAX(value, (int64_t)0);
	for (size_t k = 0; k < TAPES && column->how == COLUMN_MAX; k++)
		l->sums[k][c] = MAX(l->sums[k][c], *level);
}

/* SUM has lost VALUE of what the column C of S says. */
static void sum_lower(struct live *sum, const struct series *s, const struct column *c, int64_t value)
{
	size_t n;
	const struct column *columns = metric_columns(sum->series->of, &n);
	const char *prefix = s->of == METRIC_SERVICE ? "services." : "";
	size_t len = strlen(prefix);

	for (size_t i = 0; i < n; i++)
		if (columns[i].how == c->how && strncmp(columns[i].counters, prefix, len) == 0 &&
		    strcmp(columns[i].counters + len, c->counters) == 0)
			live_set(sum, (unsigned)i, sum->kept[columns[i].place] - value);
}

void live_silence(struct roster *r, struct live *l)
{
	struct series *s = l->series, *sum = NULL;
	size_t n;
	const struct column *columns = metric_columns(s->of, &n);

	if (s->of == METRIC_SERVICE)
		sum = r->series[s->engine];
	else if (s->of == METRIC_POOL && s->item)
		sum = series_get(r, METRIC_POOL, s->uuid, NULL, s->engine);
	if (sum && sum->live)
		live_last(sum->live, r->now_ms);
	for (size_t c = 0; c < n; c++) {
		int64_t value = is_level(&columns[c]) ? l->kept[columns[c].place] : 0;

		if (!value)
			continue;
		l->kept[columns[c].place] = 0;
		if (sum && sum->live)
			sum_lower(sum->live, s, &columns[c], value);
	}
}

void live_begin(struct live *l, size_t k)
{
	size_t n;
	const struct column *columns = metric_columns(l->series->of, &n);

	/* What came too early to be counted against what it belongs to is less in the next step. */
	for (size_t c = 0; c < n; c++)
		l->sums[k][c] = columns[c].how == COLUMN_MAX ? l->kept[columns[c].place] : MIN(l->sums[k][c], (int64_t)0);
}

bool live_is_idle(const struct live *l)
{
	size_t n = live_numbers(l->series->of);

	for (size_t i = 0; i < n; i++) /* they stand in a row */
		if (l->sums[0][i])
			return false;
	return true;
}

/* ---- life ---- */

void roster_init(struct roster *r, uint64_t now_ms)
{
	*r = (struct roster){ .now_ms = now_ms };
	list_init(&r->lives);
}

void roster_fini(struct roster *r)
{
	LIST_FOREACH(at, &r->lives)
		live_free(r, LIST_ENTRY(at, struct live, link));
	for (size_t i = 0; i < r->room; i++)
		if (r->series[i])
			series_free(r, r->series[i]);
	table_fini(&r->names);
	free(r->series);
	free(r->tellers);
}
