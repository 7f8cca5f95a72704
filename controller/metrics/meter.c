#include "controller/metrics/meter_inside.h"

#include <string.h>

#include "base/base.h"

#define PAGES       720        /* an hour */
#define LONG_PAGES  8928       /* 31 days */
#define RISE_MAX    1000000000000000LL
#define JUMP_MS     10000      /* so long nobody turned us: nobody listened */
#define BACK_MS     2000       /* a clock may be set back so far without notice */

const unsigned meter_steps_s[TAPES] = { METER_STEP_S, METER_LONG_STEP_S };

static void forget(void *arg, uint32_t id)
{
	struct meter *m = arg;
	struct series *s = m->all.series[id];

	s->written--;
	series_release(&m->all, s);
}

/* ---- the ends of steps ---- */

static void write_step(struct meter *m, size_t k, uint64_t until_ms)
{
	struct draft d = { .at_s = m->open_s[k],
			   .covered_ms = (uint32_t)(until_ms > m->opened_ms[k] ? until_ms - m->opened_ms[k] : 0) };

	LIST_FOREACH(at, &m->all.lives) {
		struct live *l = LIST_ENTRY(at, struct live, link);
		const struct teller *t = &m->all.tellers[l->series->engine];
		size_t n;

		metric_columns(l->series->of, &n);
		live_last(l, MIN(until_ms, t->heard_ms + METER_GAP_S * 1000));
		l->since_ms = until_ms;
		if (draft_put(&d, l->series->id, l->sums[k], n))
			l->series->written++;
		live_begin(l, k);
		if (t->heard_ms + METER_GAP_S * 1000 < until_ms)
			live_silence(&m->all, l);
		if (k == TAPES - 1 && live_is_idle(l)) {
			struct series *s = l->series;

			live_free(&m->all, l);
			series_release(&m->all, s);
		}
	}
	for (size_t i = 0; i < m->all.room; i++)
		if (m->all.series[i] && m->all.tellers[i].reports[k]) {
			draft_hear(&d, (uint32_t)i, m->all.tellers[i].reports[k]);
			m->all.tellers[i].reports[k] = 0;
		}
	tape_write(&m->tapes[k], &d);
}

/* What can be given up are pages: of each tape the oldest, when it has more than half of the room. */
static void fit(struct meter *m)
{
	size_t room = MAX(m->limit - MIN(m->all.bytes, m->limit), m->limit / 8);

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
		m->open_s[k] = now_ms / 1000 / meter_steps_s[k] * meter_steps_s[k];
		m->opened_ms[k] = now_ms;
		tape_drop_from(&m->tapes[k], m->open_s[k]);
	}
	LIST_FOREACH(at, &m->all.lives)
		LIST_ENTRY(at, struct live, link)->since_ms = now_ms;
	for (size_t i = 0; i < m->all.room; i++)
		m->all.tellers[i].heard_ms = MIN(m->all.tellers[i].heard_ms, now_ms);
	m->all.now_ms = now_ms;
}

void meter_turn(struct meter *m, uint64_t now_ms)
{
	bool jumped = now_ms > m->all.now_ms + JUMP_MS;

	if (now_ms + BACK_MS < m->all.now_ms)
		set_back(m, now_ms);
	if (now_ms <= m->all.now_ms)
		return;
	for (size_t k = 0; k < TAPES; k++) {
		uint64_t step = meter_steps_s[k], end_ms = (m->open_s[k] + step) * 1000;

		if (now_ms < end_ms)
			continue;
		write_step(m, k, jumped ? MIN(m->all.now_ms, end_ms) : end_ms);
		m->open_s[k] = now_ms / 1000 / step * step;
		m->opened_ms[k] = jumped ? now_ms : m->open_s[k] * 1000;
	}
	m->all.now_ms = now_ms;
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
		l = live_of(&h->m->all, s);
		if (level) {
			int64_t was = l->kept[columns[c].place], to = MAX(relative ? was + value : value, (int64_t)0);

			live_last(l, h->m->all.now_ms);
			live_set(l, c, to);
			lifted = to - was;
			continue;
		}
		for (size_t k = 0; k < TAPES; k++)
			if (h->counts[k] || how == COLUMN_VALUE)
				l->sums[k][c] = sum_of(l->sums[k][c], by);
		if (how == COLUMN_TOTAL)
			l->kept[columns[c].place] = sum_of(l->kept[columns[c].place], by);
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
		value = bounded(json_integer_value(v), METER_LEVEL_MAX);
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
		struct series *s = json_is_string(v) ? series_get(&h->m->all, METRIC_SERVICE, json_string_value(v), NULL, h->engine->id)
						     : NULL;

		if (s && s->live)
			live_silence(&h->m->all, s->live);
		if (s)
			s->told = false;
	}
	/* One that left may be back already, and counts anew. */
	json_object_foreach(json_object_get(stats, "services"), uuid, v) {
		struct series *s = series_get(&h->m->all, METRIC_SERVICE, uuid, NULL, h->engine->id);

		take(h, s, h->engine, s && s->told ? in(old, uuid) : NULL, v);
	}
}

static void take_servers(const struct hearing *h, const json_t *before, const json_t *stats)
{
	const char *pool, *server;
	json_t *servers, *v;

	json_object_foreach(json_object_get(stats, "servers"), pool, servers) {
		const json_t *old = in(in(before, "servers"), pool);
		struct series *sum = series_get(&h->m->all, METRIC_POOL, pool, NULL, h->engine->id);

		if (sum)
			sum->told = true;
		json_object_foreach(servers, server, v)
			take(h, series_get(&h->m->all, METRIC_POOL, pool, server, h->engine->id), sum, in(old, server), v);
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

			take(h, series_get(&h->m->all, METRIC_CLONE, uuid, NULL, h->engine->id), NULL, in(old, key), line);
		}
	}
}

/* Of what a whole message does not speak there is no more. */
static void silence(const struct hearing *h, bool all)
{
	LIST_FOREACH(at, &h->m->all.lives) {
		struct live *l = LIST_ENTRY(at, struct live, link);

		if (l->series->engine == h->engine->id && l->series != h->engine && (all || l->turn != h->turn) &&
		    (l->series->of == METRIC_SERVICE || l->series->item))
			live_silence(&h->m->all, l);
	}
}

static void listen(struct hearing *h, bool again)
{
	struct teller *t = &h->m->all.tellers[h->engine->id];
	uint64_t quiet_ms = h->m->all.now_ms - t->heard_ms;

	/* Of an engine that we do not know yet its numbers are where it stands, not what it rose by. */
	h->counts[0] = t->heard_ms && quiet_ms <= METER_GAP_S * 1000;
	h->counts[1] = t->heard_ms && quiet_ms <= METER_LONG_STEP_S * 1000;
	if (again)
		silence(h, true);
	t->heard_ms = h->m->all.now_ms;
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
				live_of(&h->m->all, h->engine)->sums[k][samples->to[i].column]++;
	if (number && h->engine->of == METRIC_ENGINE)
		feed(h, h->engine, number, (int64_t)json_object_size(services), 0, false);
}

void meter_take(struct meter *m, const char *engine, const json_t *before, const json_t *stats, uint64_t now_ms)
{
	struct hearing h = { .m = m };

	meter_turn(m, now_ms);
	h.engine = series_get(&m->all, METRIC_ENGINE, engine, NULL, 0);
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

void meter_take_own(struct meter *m, const char *item, const json_t *counters, uint64_t now_ms)
{
	struct hearing h = { .m = m };

	meter_turn(m, now_ms);
	h.engine = series_get(&m->all, METRIC_CONTROLLER, METER_OWN, item, 0);
	if (!h.engine)
		return;
	listen(&h, false);
	take(&h, h.engine, NULL, item ? NULL : m->own, counters);
	if (item)
		return;
	take_numbers(&h, NULL, NULL);
	json_decref(m->own);
	m->own = json_deep_copy(counters);
}

void meter_sweep(struct meter *m, bool (*is_there)(void *arg, enum metric_of of, const char *uuid), void *arg)
{
	for (size_t i = 0; i < m->all.room; i++) {
		struct series *s = m->all.series[i];

		const char *uuid = s && s->of == METRIC_CONTROLLER ? s->item : s ? s->uuid : NULL;

		if (!uuid || s->of == METRIC_ENGINE || is_there(arg, s->of, uuid))
			continue;
		s->told = false;
		if (s->live)
			live_free(&m->all, s->live);
		series_release(&m->all, s);
	}
}

/* ---- life ---- */

struct meter *meter_new(size_t bytes, uint64_t now_ms)
{
	struct meter *m = xcalloc(1, sizeof(*m));

	m->limit = bytes;
	roster_init(&m->all, now_ms);
	for (size_t k = 0; k < TAPES; k++) {
		tape_init(&m->tapes[k], meter_steps_s[k], k ? LONG_PAGES : PAGES, forget, m);
		m->open_s[k] = now_ms / 1000 / meter_steps_s[k] * meter_steps_s[k];
		m->opened_ms[k] = now_ms;
	}
	return m;
}

void meter_free(struct meter *m)
{
	if (!m)
		return;
	for (size_t k = 0; k < TAPES; k++)
		tape_fini(&m->tapes[k]);
	roster_fini(&m->all);
	json_decref(m->own);
	free(m);
}

void meter_limit(struct meter *m, size_t bytes)
{
	m->limit = bytes;
	fit(m);
}

static bool is_heard(const struct meter *m, const struct series *s)
{
	return m->all.tellers[s->id].heard_ms + METER_GAP_S * 1000 >= m->all.now_ms;
}

bool meter_hears(const struct meter *m, const char *engine)
{
	for (struct table_link *l = series_first(&m->all, METRIC_ENGINE, engine, NULL); l; l = table_next(l)) {
		const struct series *s = CONTAINER_OF(l, struct series, link);

		if (series_is_of(s, METRIC_ENGINE, engine, NULL))
			return is_heard(m, s);
	}
	return false;
}

void meter_carriers(const struct meter *m, size_t *engines, size_t *services)
{
	const struct feed *number = metric_feed(METRIC_ENGINE, "services.number");
	size_t n;
	const struct column *columns = metric_columns(METRIC_ENGINE, &n);

	*engines = *services = 0;
	for (size_t i = 0; i < m->all.room; i++) {
		const struct series *s = m->all.series[i];

		if (!s || s->of != METRIC_ENGINE || !is_heard(m, s))
			continue;
		++*engines;
		*services += s->live ? (size_t)s->live->kept[columns[number->to[0].column].place] : 0;
	}
}

size_t meter_bytes(const struct meter *m)
{
	return m->all.bytes + m->tapes[0].bytes + m->tapes[1].bytes;
}

