/*
 * series - what one engine says of one thing, and what is counted of it in the steps that are not over.
 *
 * Series are found by the thing (a source, a uuid, an item of it), one for each engine that speaks of it, and named by a
 * number on the tapes. One that nobody speaks of and no page names is gone. Of a series of which nothing was counted
 * lately there are no sums (`live`).
 */
#ifndef SPANWIRE_CONTROLLER_METRICS_SERIES_H
#define SPANWIRE_CONTROLLER_METRICS_SERIES_H

#include "base/list.h"
#include "base/table.h"
#include "controller/metrics/catalogue.h"

#define TAPES 2 /* of short and of long steps */
#define METER_LEVEL_MAX 1000000000LL /* more than there is of anything; engines may say more */

struct series {
	struct table_link link; /* in roster.names, by thing */
	uint32_t id, engine;    /* of the series; of that of its engine's own */
	enum metric_of of;
	char *uuid, *item;      /* item NULL: the whole */
	uint32_t written;       /* entries on the tapes */
	bool told;              /* its engine speaks of it */
	struct live *live;      /* NULL: nothing was counted lately */
};

/* What is counted of a series now. */
struct live {
	struct list link;       /* in roster.lives */
	struct series *series;
	uint64_t since_ms;      /* its levels were added up until then */
	uint64_t turn;          /* of its engine, when that spoke of it last */
	int64_t *sums[TAPES];   /* a column each; behind the struct */
	int64_t *kept;          /* of columns that keep something: by column.place */
};

/* An engine: what concerns all that it says. */
struct teller {
	uint64_t heard_ms; /* 0: never */
	uint64_t turn;     /* counts its messages */
	uint32_t reports[TAPES];
};

struct roster {
	struct table names;
	struct series **series;  /* by id; NULL: free */
	struct teller *tellers;  /* by id; of engines only */
	size_t n, room, free_from;
	struct list lives;
	size_t bytes;            /* of all of it */
	uint64_t now_ms;
};

void roster_init(struct roster *r, uint64_t now_ms);
void roster_fini(struct roster *r);

/*
 * The series, a new one when there is none. ENGINE: the id of the engine's own series; of that itself anything. NULL: there
 * are too many.
 */
struct series *series_get(struct roster *r, enum metric_of of, const char *uuid, const char *item, uint32_t engine);
bool series_is_of(const struct series *s, enum metric_of of, const char *uuid, const char *item);
/* The first that may be of the thing, by table_first(); the others by table_next(). */
struct table_link *series_first(const struct roster *r, enum metric_of of, const char *uuid, const char *item);
/* Frees S when it is needed no more. */
void series_release(struct roster *r, struct series *s);

struct live *live_of(struct roster *r, struct series *s);
void live_free(struct roster *r, struct live *l);
/* Levels have been what they are until NOW. */
void live_last(struct live *l, uint64_t now_ms);
/* The level that column C is about is VALUE from now on. */
void live_set(struct live *l, unsigned c, int64_t value);
/* Nobody says any more what its levels are; the sums that they were part of hear of it. */
void live_silence(struct roster *r, struct live *l);
/* A step is over: of the tape K only what goes on is left. */
void live_begin(struct live *l, size_t k);
bool live_is_idle(const struct live *l);

#endif
