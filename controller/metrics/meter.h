/*
 * meter - from what engines tell each second to what was counted in each step.
 *
 * Two tapes: steps of 5 s for an hour, steps of 300 s for a month, as far as the memory goes; longer steps are added up from
 * the second. What an engine tells counts in the step in which it comes, so a step that is over never changes.
 *
 * A series is what one engine says of one thing: a virtual service, a pool, a server of it ("ip:port"), its copies,
 * itself. Series of which nothing is counted take a name and no numbers. Counters that begin anew (an engine that was
 * restarted, a service that came back) count from zero; what rose while nobody listened for more than METER_GAP_S is in no step of
 * 5 s, and for more than 300 s in none at all: it is not known when it was.
 *
 * Times are milliseconds since 1970, as of wall_us(); a clock that is set back takes with it what it told of the future.
 */
#ifndef SPANWIRE_CONTROLLER_METRICS_METER_H
#define SPANWIRE_CONTROLLER_METRICS_METER_H

#include "base/json.h"
#include "controller/metrics/catalogue.h"

#define METER_STEP_S      5
#define METER_LONG_STEP_S 300
#define METER_GAP_S       10
#define METER_OWN         "controller" /* the engine of what the controller says of itself */

struct meter;

#define METER_MEMORY_MB   96 /* controllerproperties.metrics_memory_mb, when nobody says it */

/* All of it takes at most about BYTES, but for the sums of the steps that are not over. */
struct meter *meter_new(size_t bytes, uint64_t now_ms);
void meter_free(struct meter *m);
void meter_limit(struct meter *m, size_t bytes);

/*
 * A `stats` message of ENGINE (a uuid); BEFORE: what it had said when it said it last (books.last), in the same life: empty
 * when it lives anew.
 */
void meter_take(struct meter *m, const char *engine, const json_t *before, const json_t *stats, uint64_t now_ms);
/* The controller's own counters, or (ITEM) those of an engine group, which are levels; borrowed. */
void meter_take_own(struct meter *m, const char *item, const json_t *counters, uint64_t now_ms);
/* Steps that are over by NOW_MS are written. */
void meter_turn(struct meter *m, uint64_t now_ms);
/* Forgets what was said of things that are no more: services, pools, and (METRIC_CONTROLLER) engine groups. */
void meter_sweep(struct meter *m, bool (*is_there)(void *arg, enum metric_of of, const char *uuid), void *arg);

/* How many engines are heard, and how many services they carry, all together. */
void meter_carriers(const struct meter *m, size_t *engines, size_t *services);
bool meter_hears(const struct meter *m, const char *engine);
size_t meter_bytes(const struct meter *m);

/* ---- questions ---- */

/* Which series: of the thing UUID, ITEM of it (NULL: the whole), on ENGINE (NULL: on all). */
struct meter_series {
	uint32_t *ids;
	size_t n;
};

void meter_find(const struct meter *m, enum metric_of of, const char *uuid, const char *item, const char *engine,
		struct meter_series *out);
void meter_series_free(struct meter_series *s);
/* Calls F for each item of UUID that somebody spoke of, at least once. */
void meter_items(const struct meter *m, enum metric_of of, const char *uuid, void (*f)(void *arg, const char *item), void *arg);

/* What all of them counted in one step. */
struct reading {
	uint64_t at_s;
	bool known;          /* somebody who would have told was heard */
	uint32_t reports;
	uint64_t covered_ms;
	int64_t v[METRIC_COLUMNS];
};

/* Is there a tape for steps of STEP_S? */
bool meter_has_step(unsigned step_s);
/* When the newest step of STEP_S that is over by NOW_MS began, seconds since 1970. */
uint64_t meter_last_step(unsigned step_s, uint64_t now_ms);
/* N steps of STEP_S, the first beginning at FROM_S, a multiple of it, into OUT. S are of the source OF. */
void meter_read(const struct meter *m, enum metric_of of, const struct meter_series *s, unsigned step_s, uint64_t from_s,
		size_t n, struct reading *out);
/* False: not known, or a mean of nothing. */
bool meter_value(const struct metric *metric, const struct reading *r, double *value);

#endif
