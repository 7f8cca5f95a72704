#include "controller/metrics/meter.h"

#include <string.h>

#include "base/base.h"
#include "base/list.h"
#include "base/table.h"
#include "controller/metrics/tape.h"

#define TAPES       2
#define PAGES       720        /* an hour */
#define LONG_PAGES  8928       /* 31 days */
#define SERIES_MAX  262144     /* engines may invent servers */
#define RISE_MAX    1000000000000000LL
#define LEVEL_MAX   1000000000LL
#define JUMP_MS     10000      /* so long nobody turned us: nobody listened */
#define BACK_MS     2000       /* a clock may be set back so far without notice */

static const unsigned steps_s[TAPES] = { METER_STEP_S, METER_LONG_STEP_S };

/* What one engine says of one thing. */
struct series {
	struct table_link link; /* in meter.names, by thing */
	uint32_t id, engine;    /* of the series; of that of its engine's own */
	enum metric_of of;
	char *uuid, *item;      /* item NULL: the whole */
	uint32_t written;       /* entries on the tapes */
	bool told;              /* its engine speaks of it */
	struct live *live;      /* NULL: nothing was counted lately */
};

/* What is counted of a series now. */
struct live {
	struct list link;       /* in meter.lives */
	struct series *series;
	uint64_t since_ms;      /* its levels were added up until then */
	uint64_t turn;          /* of its engine, when that spoke of it last */
	int64_t *sums[TAPES], *levels, *totals; /* a column each; behind the struct */
};

/* An engine: what concerns all that it says. */
struct teller {
	uint64_t heard_ms; /* 0: never */
	uint64_t turn;     /* counts its messages */
	uint32_t reports[TAPES];
};

struct meter {
	size_t limit, bytes;        /* bytes: of series and lives */
	uint64_t now_ms;
	uint64_t open_s[TAPES];     /* when the steps began that are not over */
	uint64_t opened_ms[TAPES];  /* since when these were listened to */
	struct tape tapes[TAPES];
	struct table names;
	struct series **series;     /* by id; NULL: free */
	struct teller *tellers;     /* by id; of engines only */
	size_t series_n, series_room, free_from;
	struct list lives;
	json_t *own;                /* what the controller said of itself last */
};

/* ---- series ---- */

static uint64_t hash_of(enum metric_of of, const char *uuid, const char *item)
{
	return table_hash(table_hash(TABLE_SEED + of, uuid), item ? item : "");
}

static bool is_of(const struct series *s, enum metric_of of, const char *uuid, const char *item)
{
	return s->of == of && strcmp(s->uuid, uuid) == 0 && !s->item == !item && (!item || strcmp(s->item, item) == 0);
}

static size_t series_bytes(const struct series *s)
{
	return sizeof(*s) + strlen(s->uuid) + (s->item ? strlen(s->item) : 0) + 32;
}

static uint32_t id_take(struct meter *m)
{
	while (m->free_from < m->series_room && m->series[m->free_from])
		m->free_from++;
	if (m->free_from == m->series_room) {
		size_t room = MAX((size_t)256, m->series_room * 2);

		m->series = xrealloc(m->series, room * sizeof(*m->series));
		m->tellers = xrealloc(m->tellers, room * sizeof(*m->tellers));
		memset(m->series + m->series_room, 0, (room - m->series_room) * sizeof(*m->series));
		memset(m->tellers + m->series_room, 0, (room - m->series_room) * sizeof(*m->tellers));
		m->series_room = room;
	}
	return (uint32_t)m->free_from;
}

/* ENGINE: the id of the engine's own series; of that itself anything. NULL: there are too many. */
static struct series *series_get(struct meter *m, enum metric_of of, const char *uuid, const char *item, uint32_t engine)
{
	bool own = of == METRIC_ENGINE || of == METRIC_CONTROLLER;
	uint64_t hash = hash_of(of, uuid, item);
	struct series *s;

	for (struct table_link *l = table_first(&m->names, hash); l; l = table_next(l)) {
		s = CONTAINER_OF(l, struct series, link);
		if (is_of(s, of, uuid, item) && (own || s->engine == engine))
			return s;
	}
	if (m->series_n >= SERIES_MAX)
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->id = id_take(m);
	s->of = of;
	s->uuid = xstrdup(uuid);
	s->item = item ? xstrdup(item) : NULL;
	s->engine = own ? s->id : engine;
	s->told = true;
	m->series[s->id] = s;
	m->tellers[s->id] = (struct teller){ 0 };
	m->series_n++;
	m->bytes += series_bytes(s);
	table_put(&m->names, &s->link, hash);
	return s;
}

static void series_free(struct meter *m, struct series *s)
{
	m->bytes -= series_bytes(s);
	m->series[s->id] = NULL;
	m->free_from = MIN(m->free_from, (size_t)s->id);
	m->series_n--;
	table_take(&m->names, &s->link);
	free(s->uuid);
	free(s->item);
	free(s);
}

static void series_release(struct meter *m, struct series *s)
{
	if (!s->told && !s->written && !s->live)
		series_free(m, s);
}

static void forget(void *arg, uint32_t id)
{
	struct meter *m = arg;
	struct series *s = m->series[id];

	s->written--;
	series_release(m, s);
}

/* ---- what is counted now ---- */

static size_t live_bytes(const struct live *l)
{
	size_t n;

	metric_columns(l->series->of, &n);
	return sizeof(*l) + (TAPES + 2) * n * sizeof(int64_t);
}

static struct live *live_of(struct meter *m, struct series *s)
{
	struct live *l = s->live;
	size_t n;

	if (l)
		return l;
	metric_columns(s->of, &n);
	l = xcalloc(1, sizeof(*l) + (TAPES + 2) * n * sizeof(int64_t));
	l->series = s;
	for (size_t k = 0; k < TAPES; k++)
		l->sums[k] = (int64_t *)(l + 1) + k * n;
	l->levels = (int64_t *)(l + 1) + TAPES * n;
	l->totals = l->levels + n;
	l->since_ms = m->now_ms;
	s->live = l;
	m->bytes += live_bytes(l);
	list_insert(&m->lives, &l->link);
	return l;
}

static void live_free(struct meter *m, struct live *l)
{
	m->bytes -= live_bytes(l);
	l->series->live = NULL;
	list_remove(&l->link);
	free(l);
}

/* Levels have been what they are until NOW. */
static void live_last(struct live *l, uint64_t now_ms)
{
	size_t n;
	const struct column *columns = metric_columns(l->series->of, &n);
	int64_t ms = now_ms > l->since_ms ? (int64_t)(now_ms - l->since_ms) : 0;

	l->since_ms = MAX(now_ms, l->since_ms);
	for (size_t c = 0; c < n; c++)
		for (size_t k = 0; k < TAPES && l->levels[c]; k++)
			if (columns[c].how == COLUMN_MEAN)
				l->sums[k][c] += l->levels[c] * ms;
			else if (columns[c].how == COLUMN_MAX)
				l->sums[k][c] = MAX(l->sums[k][c], l->levels[c]);
}

static void level_set(struct live *l, unsigned c, enum column_how how, int64_t value)
{
	l->levels[c] = MAX(value, (int64_t)0);
	for (size_t k = 0; k < TAPES && how == COLUMN_MAX; k++)
		l->sums[k][c] = MAX(l->sums[k][c], l->levels[c]);
}

/* Nobody says any more what its levels are; the sums that they were part of hear of it. */
static void live_silent(struct meter *m, struct live *l)
{
	struct series *s = l->series, *sum = NULL;
	size_t n, sums_n;
	const struct column *columns = metric_columns(s->of, &n), *up = metric_columns(METRIC_ENGINE, &sums_n);

	if (s->of == METRIC_SERVICE)
		sum = m->series[s->engine];
	else if (s->of == METRIC_POOL && s->item)
		sum = series_get(m, METRIC_POOL, s->uuid, NULL, s->engine);
	for (size_t c = 0; c < n; c++) {
		int64_t value = l->levels[c];

		if (!value)
			continue;
		l->levels[c] = 0;
		if (!sum || !sum->live)
			continue;
		live_last(sum->live, m->now_ms);
		for (size_t i = 0; i < sums_n && s->of == METRIC_SERVICE; i++)
			if (strncmp(up[i].counters, "services.", 9) == 0 && up[i].how == columns[c].how &&
			    strcmp(up[i].counters + 9, columns[c].counters) == 0)
				level_set(sum->live, (unsigned)i, up[i].how, sum->live->levels[i] - value);
		if (s->of == METRIC_POOL)
			level_set(sum->live, (unsigned)c, columns[c].how, sum->live->levels[c] - value);
	}
}

static bool is_zero(const int64_t *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i])
			return false;
	return true;
}

static bool live_is_idle(const struct live *l)
{
	size_t n;

	metric_columns(l->series->of, &n);
	return is_zero(l->sums[0], n * (TAPES + 2)); /* they stand in a row */
}

/* ---- the ends of steps ---- */

static void write_step(struct meter *m, size_t k, uint64_t until_ms)
{
	struct draft d = { .at_s = m->open_s[k],
			   .covered_ms = (uint32_t)(until_ms > m->opened_ms[k] ? until_ms - m->opened_ms[k] : 0) };

	LIST_FOREACH(at, &m->lives) {
		struct live *l = LIST_ENTRY(at, struct live, link);
		const struct teller *t = &m->tellers[l->series->engine];
		size_t n;
		const struct column *columns = metric_columns(l->series->of, &n);

		live_last(l, MIN(until_ms, t->heard_ms + METER_GAP_S * 1000));
		l->since_ms = until_ms;
		if (draft_put(&d, l->series->id, l->sums[k], n))
			l->series->written++;
		for (size_t c = 0; c < n; c++)
			l->sums[k][c] = columns[c].how == COLUMN_MAX ? l->levels[c] : MIN(l->sums[k][c], (int64_t)0);
		if (t->heard_ms + METER_GAP_S * 1000 < until_ms)
			live_silent(m, l);
		if (k == TAPES - 1 && live_is_idle(l)) {
			struct series *s = l->series;

			live_free(m, l);
			series_release(m, s);
		}
	}
	for (size_t i = 0; i < m->series_room; i++)
		if (m->series[i] && m->tellers[i].reports[k]) {
			draft_hear(&d, (uint32_t)i, m->tellers[i].reports[k]);
			m->tellers[i].reports[k] = 0;
		}
	tape_write(&m->tapes[k], &d);
}

/* What can be given up are pages: of each tape the oldest, when it has more than half of the room. */
static void fit(struct meter *m)
{
	size_t room = MAX(m->limit - MIN(m->bytes, m->limit), m->limit / 8);

	while (m->tapes[0].bytes + m->tapes[1].bytes > room) {
		struct tape *t = &m->tapes[m->tapes[0].bytes > m->tapes[1].bytes ? 0 : 1];

		if (t->n < 2)
			break;
		tape_drop_oldest(t);
	}
}

static void set_back(struct meter *m, uint64_t now_ms)
{
	for (size_t k = 0; k < TAPES; k++) {
		m->open_s[k] = now_ms / 1000 / steps_s[k] * steps_s[k];
		m->opened_ms[k] = now_ms;
		tape_drop_from(&m->tapes[k], m->open_s[k]);
	}
	LIST_FOREACH(at, &m->lives)
		LIST_ENTRY(at, struct live, link)->since_ms = now_ms;
	for (size_t i = 0; i < m->series_room; i++)
		m->tellers[i].heard_ms = MIN(m->tellers[i].heard_ms, now_ms);
	m->now_ms = now_ms;
}

void meter_turn(struct meter *m, uint64_t now_ms)
{
	bool jumped = now_ms > m->now_ms + JUMP_MS;

	if (now_ms + BACK_MS < m->now_ms)
		set_back(m, now_ms);
	if (now_ms <= m->now_ms)
		return;
	for (size_t k = 0; k < TAPES; k++) {
		uint64_t step = steps_s[k], end_ms = (m->open_s[k] + step) * 1000;

		if (now_ms < end_ms)
			continue;
		write_step(m, k, jumped ? MIN(m->now_ms, end_ms) : end_ms);
		m->open_s[k] = now_ms / 1000 / step * step;
		m->opened_ms[k] = jumped ? now_ms : m->open_s[k] * 1000;
	}
	m->now_ms = now_ms;
	fit(m);
}

/* ---- what engines say ---- */

/* A message that is read: of whom, and in which steps what it says counts. */
struct hearing {
	struct meter *m;
	struct series *engine;
	uint64_t turn;
	bool counts[TAPES];
};

static bool is_level(const char *counter)
{
	size_t n = strlen(counter);

	return n > 5 && strcmp(counter + n - 5, "_open") == 0;
}

/* Do these counters begin anew? */
static bool begins_anew(enum metric_of of, const json_t *before, const json_t *now)
{
	const char *key;
	json_t *v;

	if (!before)
		return true;
	json_object_foreach((json_t *)now, key, v) {
		const struct feed *f = json_is_integer(v) && !is_level(key) ? metric_feed(of, key) : NULL;

		if (f && (f->rises || f->up) && json_integer_value(v) < json_int(before, key, 0))
			return true;
	}
	return false;
}

/* One counter of S rose by RISE to VALUE. Returns by how much its level did. */
static int64_t feed(const struct hearing *h, struct series *s, const struct feed *f, int64_t value, int64_t rise, bool relative)
{
	size_t n;
	const struct column *columns = metric_columns(s->of, &n);
	int64_t lifted = 0;
	struct live *l = NULL;

	for (unsigned i = 0; i < f->n; i++) {
		unsigned c = f->to[i].column;
		enum column_how how = columns[c].how;
		int64_t by = (how == COLUMN_VALUE ? value : rise) * f->to[i].times;
		bool level = how == COLUMN_MEAN || how == COLUMN_MAX;

		if (level ? !s->live && !value
			  : !by || (how == COLUMN_RISE && !h->counts[TAPES - 1]))
			continue;
		l = live_of(h->m, s);
		if (level) {
			int64_t to = relative ? l->levels[c] + value : value;

			live_last(l, h->m->now_ms);
			lifted = to - l->levels[c];
			level_set(l, c, how, to);
			continue;
		}
		for (size_t k = 0; k < TAPES; k++)
			if (h->counts[k] || how == COLUMN_VALUE)
				l->sums[k][c] += by;
		if (how == COLUMN_TOTAL)
			l->totals[c] += by;
	}
	return lifted;
}

static int64_t bounded(json_int_t v, int64_t most)
{
	return v > most ? most : v < -most ? -most : v;
}

/* What a message says of one thing, and of the sum that it is part of (NULL: of none). */
static void take(const struct hearing *h, struct series *s, struct series *sum, const json_t *before, const json_t *now)
{
	bool anew = begins_anew(s ? s->of : METRIC_SERVICE, before, now);
	const char *key;
	json_t *v;

	if (!s)
		return;
	s->told = true;
	json_object_foreach((json_t *)now, key, v) {
		const struct feed *f = json_is_integer(v) ? metric_feed(s->of, key) : NULL, *up;
		int64_t value, rise, lifted;

		if (!f)
			continue;
		rise = bounded(json_integer_value(v) - (anew ? 0 : json_int(before, key, 0)), RISE_MAX);
		value = bounded(json_integer_value(v), LEVEL_MAX);
		if (rise < 0 && !is_level(key))
			rise = 0;
		lifted = feed(h, s, f, value, rise, false);
		up = s->of == METRIC_SERVICE ? f->up : f;
		if (sum && up && (rise || lifted))
			feed(h, sum, up, lifted, rise, true);
	}
	if (s->live)
		s->live->turn = h->turn;
}

static const json_t *in(const json_t *group, const char *key)
{
	return json_object_get(group, key);
}

static void take_services(const struct hearing *h, const json_t *before, const json_t *stats)
{
	const json_t *old = in(before, "services");
	const char *uuid;
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(stats, "gone"), i, v) {
		struct series *s = json_is_string(v) ? series_get(h->m, METRIC_SERVICE, json_string_value(v), NULL, h->engine->id)
						     : NULL;

		if (s && s->live)
			live_silent(h->m, s->live);
		if (s)
			s->told = false;
	}
	/* One that left may be back already, and counts anew. */
	json_object_foreach(json_object_get(stats, "services"), uuid, v) {
		struct series *s = series_get(h->m, METRIC_SERVICE, uuid, NULL, h->engine->id);

		take(h, s, h->engine, s && s->told ? in(old, uuid) : NULL, v);
	}
}

static void take_servers(const struct hearing *h, const json_t *before, const json_t *stats)
{
	const char *pool, *server;
	json_t *servers, *v;

	json_object_foreach(json_object_get(stats, "servers"), pool, servers) {
		const json_t *old = in(in(before, "servers"), pool);
		struct series *sum = series_get(h->m, METRIC_POOL, pool, NULL, h->engine->id);

		if (sum)
			sum->told = true;
		json_object_foreach(servers, server, v)
			take(h, series_get(h->m, METRIC_POOL, pool, server, h->engine->id), sum, in(old, server), v);
	}
}

/* A line of copies is the same as before when it has the same name and number: as books.h names them. */
static void take_clones(const struct hearing *h, const json_t *before, const json_t *stats)
{
	const char *uuid;
	json_t *lines, *line;
	size_t i;

	json_object_foreach(json_object_get(stats, "clones"), uuid, lines) {
		const json_t *old = in(in(before, "clones"), uuid);

		json_array_foreach(lines, i, line) {
			CLEANUP_FREE char *key = xasprintf("%s %lld", json_str(line, "ip", json_str(line, "mac", "")),
							   (long long)json_int(line, "index", 0));

			take(h, series_get(h->m, METRIC_CLONE, uuid, NULL, h->engine->id), NULL, in(old, key), line);
		}
	}
}

/* Of what a whole message does not speak there is no more. */
static void silence(const struct hearing *h, bool all)
{
	LIST_FOREACH(at, &h->m->lives) {
		struct live *l = LIST_ENTRY(at, struct live, link);

		if (l->series->engine == h->engine->id && l->series != h->engine && (all || l->turn != h->turn) &&
		    (l->series->of == METRIC_SERVICE || l->series->item))
			live_silent(h->m, l);
	}
}

static void listen(struct hearing *h, bool again)
{
	struct teller *t = &h->m->tellers[h->engine->id];
	uint64_t quiet_ms = h->m->now_ms - t->heard_ms;

	/* Of an engine that we do not know yet its numbers are where it stands, not what it rose by. */
	h->counts[0] = t->heard_ms && quiet_ms <= METER_GAP_S * 1000;
	h->counts[1] = t->heard_ms && quiet_ms <= METER_LONG_STEP_S * 1000;
	if (again)
		silence(h, true);
	t->heard_ms = h->m->now_ms;
	h->turn = ++t->turn;
	for (size_t k = 0; k < TAPES; k++)
		t->reports[k]++;
}

/* What is told besides counters: that it spoke, and of how many services. */
static void take_numbers(const struct hearing *h, const json_t *before, const json_t *stats)
{
	const struct feed *samples = metric_feed(h->engine->of, "samples"), *number = metric_feed(METRIC_ENGINE, "services.number");
	const json_t *services = json_object_get(json_bool(stats, "part", false) && before ? before : stats, "services");

	if (samples)
		for (unsigned i = 0; i < samples->n; i++)
			for (size_t k = 0; k < TAPES; k++)
				live_of(h->m, h->engine)->sums[k][samples->to[i].column]++;
	if (number && h->engine->of == METRIC_ENGINE)
		feed(h, h->engine, number, (int64_t)json_object_size(services), 0, false);
}

void meter_take(struct meter *m, const char *engine, const json_t *before, const json_t *stats, uint64_t now_ms)
{
	struct hearing h = { .m = m };

	meter_turn(m, now_ms);
	h.engine = series_get(m, METRIC_ENGINE, engine, NULL, 0);
	if (!h.engine)
		return;
	listen(&h, !json_object_size(before));
	take_services(&h, before, stats);
	take_servers(&h, before, stats);
	take_clones(&h, before, stats);
	take(&h, h.engine, NULL, in(before, "engine"), json_object_get(stats, "engine"));
	take_numbers(&h, before, stats);
	if (!json_bool(stats, "part", false))
		silence(&h, false);
}

void meter_take_own(struct meter *m, const json_t *counters, uint64_t now_ms)
{
	struct hearing h = { .m = m };

	meter_turn(m, now_ms);
	h.engine = series_get(m, METRIC_CONTROLLER, METER_OWN, NULL, 0);
	if (!h.engine)
		return;
	listen(&h, false);
	take(&h, h.engine, NULL, m->own, counters);
	take_numbers(&h, NULL, NULL);
	json_decref(m->own);
	m->own = json_deep_copy(counters);
}

void meter_sweep(struct meter *m, bool (*is_there)(void *arg, enum metric_of of, const char *uuid), void *arg)
{
	for (size_t i = 0; i < m->series_room; i++) {
		struct series *s = m->series[i];

		if (!s || s->of == METRIC_ENGINE || s->of == METRIC_CONTROLLER || is_there(arg, s->of, s->uuid))
			continue;
		s->told = false;
		if (s->live)
			live_free(m, s->live);
		series_release(m, s);
	}
}

/* ---- life ---- */

struct meter *meter_new(size_t bytes, uint64_t now_ms)
{
	struct meter *m = xcalloc(1, sizeof(*m));

	m->limit = bytes;
	m->now_ms = now_ms;
	list_init(&m->lives);
	for (size_t k = 0; k < TAPES; k++) {
		tape_init(&m->tapes[k], steps_s[k], k ? LONG_PAGES : PAGES, forget, m);
		m->open_s[k] = now_ms / 1000 / steps_s[k] * steps_s[k];
		m->opened_ms[k] = now_ms;
	}
	return m;
}

void meter_free(struct meter *m)
{
	if (!m)
		return;
	LIST_FOREACH(at, &m->lives)
		live_free(m, LIST_ENTRY(at, struct live, link));
	for (size_t k = 0; k < TAPES; k++)
		tape_fini(&m->tapes[k]);
	for (size_t i = 0; i < m->series_room; i++)
		if (m->series[i])
			series_free(m, m->series[i]);
	table_fini(&m->names);
	free(m->series);
	free(m->tellers);
	json_decref(m->own);
	free(m);
}

void meter_limit(struct meter *m, size_t bytes)
{
	m->limit = bytes;
	fit(m);
}

void meter_carriers(const struct meter *m, size_t *engines, size_t *services)
{
	const struct feed *number = metric_feed(METRIC_ENGINE, "services.number");

	*engines = *services = 0;
	for (size_t i = 0; i < m->series_room; i++) {
		const struct series *s = m->series[i];

		if (!s || s->of != METRIC_ENGINE || m->tellers[i].heard_ms + METER_GAP_S * 1000 < m->now_ms)
			continue;
		++*engines;
		*services += s->live ? (size_t)s->live->levels[number->to[0].column] : 0;
	}
}

size_t meter_bytes(const struct meter *m)
{
	return m->bytes + m->tapes[0].bytes + m->tapes[1].bytes;
}

/* ---- questions ---- */

void meter_find(const struct meter *m, enum metric_of of, const char *uuid, const char *item, const char *engine,
		struct meter_series *out)
{
	for (struct table_link *l = table_first(&m->names, hash_of(of, uuid, item)); l; l = table_next(l)) {
		const struct series *s = CONTAINER_OF(l, struct series, link);

		if (!is_of(s, of, uuid, item) || (engine && strcmp(m->series[s->engine]->uuid, engine) != 0))
			continue;
		out->ids = one_more(out->ids, out->n, sizeof(*out->ids));
		out->ids[out->n++] = s->id;
	}
}

void meter_series_free(struct meter_series *s)
{
	free(s->ids);
	*s = (struct meter_series){ 0 };
}

void meter_items(const struct meter *m, enum metric_of of, const char *uuid, void (*f)(void *arg, const char *item), void *arg)
{
	for (size_t i = 0; i < m->series_room; i++)
		if (m->series[i] && m->series[i]->of == of && m->series[i]->item && strcmp(m->series[i]->uuid, uuid) == 0)
			f(arg, m->series[i]->item);
}

bool meter_has_step(unsigned step_s)
{
	return step_s == METER_STEP_S || (step_s && step_s % METER_LONG_STEP_S == 0 && step_s <= 86400);
}

uint64_t meter_last_step(unsigned step_s, uint64_t now_ms)
{
	uint64_t now = now_ms / 1000 / step_s * step_s;

	return now - MIN(now, (uint64_t)step_s);
}

static void add_page(const struct meter *m, const struct page *p, const struct column *columns, size_t columns_n,
		     const struct meter_series *s, struct reading *out)
{
	int64_t v[METRIC_COLUMNS] = { 0 };
	uint32_t reports = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct series *one = m->series[s->ids[i]];
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++) /* an engine carries several of them: it reports once */
			seen = m->series[s->ids[k]]->engine == one->engine;
		reports += seen ? 0 : page_reports(p, one->engine);
		page_add(p, one->id, v, columns_n);
	}
	if (!reports || !p->covered_ms)
		return;
	out->known = true;
	out->reports += reports;
	out->covered_ms += p->covered_ms;
	for (size_t c = 0; c < columns_n; c++)
		if (columns[c].how == COLUMN_MAX)
			out->v[c] = MAX(out->v[c], v[c]);
		else
			out->v[c] += v[c];
}

/* What was counted in all since the beginning: what it is now, without what came after each step. */
static void totals(const struct meter *m, const struct column *columns, size_t columns_n, const struct meter_series *s, size_t k,
		   unsigned step_s, size_t n, struct reading *out)
{
	const struct tape *t = &m->tapes[k];
	int64_t v[METRIC_COLUMNS] = { 0 };
	size_t left = t->n, at = n;

	for (size_t i = 0; i < s->n; i++) {
		const struct live *l = m->series[s->ids[i]]->live;

		for (size_t c = 0; l && c < columns_n; c++)
			v[c] += l->totals[c] - l->sums[k][c];
	}
	while (at--) {
		for (; left; left--) {
			const struct page *p = t->pages[(t->first + left - 1) % t->room];
			int64_t came[METRIC_COLUMNS] = { 0 };

			if (p->at_s < out[at].at_s + step_s)
				break;
			for (size_t i = 0; i < s->n; i++)
				page_add(p, s->ids[i], came, columns_n);
			for (size_t c = 0; c < columns_n; c++)
				v[c] -= came[c];
		}
		for (size_t c = 0; c < columns_n; c++)
			if (columns[c].how == COLUMN_TOTAL)
				out[at].v[c] = MAX(v[c], (int64_t)0);
	}
}

void meter_read(const struct meter *m, enum metric_of of, const struct meter_series *s, unsigned step_s, uint64_t from_s,
		size_t n, struct reading *out)
{
	size_t k = step_s == METER_STEP_S ? 0 : 1, columns_n;
	const struct column *columns = metric_columns(of, &columns_n);

	for (size_t i = 0; i < n; i++) {
		out[i] = (struct reading){ .at_s = from_s + i * step_s };
		for (uint64_t at = out[i].at_s; at < out[i].at_s + step_s; at += steps_s[k]) {
			const struct page *p = tape_page(&m->tapes[k], at);

			if (p)
				add_page(m, p, columns, columns_n, s, &out[i]);
		}
	}
	if (of == METRIC_CLONE)
		totals(m, columns, columns_n, s, k, step_s, n, out);
}

bool meter_value(const struct metric *metric, const struct reading *r, double *value)
{
	double sum = (double)r->v[metric->column];

	*value = 0;
	if (!r->known)
		return false;
	switch (metric->kind) {
	case METRIC_RATE:
		*value = metric->scale * sum * 1000 / (double)r->covered_ms;
		return true;
	case METRIC_MEAN:
		*value = metric->scale * sum / (double)r->covered_ms;
		return true;
	case METRIC_SUM:
	case METRIC_MAX:
	case METRIC_TOTAL:
		*value = metric->scale * sum;
		return true;
	case METRIC_RATIO:
		if (r->v[metric->by_column] > 0)
			*value = metric->scale * sum / (double)r->v[metric->by_column];
		return r->v[metric->by_column] > 0;
	}
	return false;
}
