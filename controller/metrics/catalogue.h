/*
 * catalogue - the metrics that there are, and which columns of numbers they are computed from.
 *
 * A column is what one or several counters rose by in a step, all together ("http_4xx+http_5xx"), or a level (how
 * many connections are open) over the time or at most. metrics.def names the counters; the columns are made of it at
 * the first use. Metrics of one source share its columns, so that each sum is kept once.
 */
#ifndef SPANWIRE_CONTROLLER_METRICS_CATALOGUE_H
#define SPANWIRE_CONTROLLER_METRICS_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metric_of { METRIC_SERVICE, METRIC_POOL, METRIC_CLONE, METRIC_ENGINE, METRIC_CONTROLLER, METRIC_SOURCES };
enum metric_kind { METRIC_RATE, METRIC_SUM, METRIC_RATIO, METRIC_MEAN, METRIC_MAX, METRIC_TOTAL };

#define METRIC_COLUMNS 64 /* of a source, at most */

/* Engines may say any number: the largest is where counting ends. */
static inline int64_t sum_of(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? (b < 0 ? INT64_MIN : INT64_MAX) : sum;
}

struct metric {
	const char *id;
	enum metric_of of;
	enum metric_kind kind;
	const char *units;
	double scale;
	const char *counters, *by, *help;
	unsigned column, by_column;
};

/* How a column takes what a counter says. */
enum column_how {
	COLUMN_RISE,  /* what it rose by */
	COLUMN_VALUE, /* what it says, each time */
	COLUMN_MEAN,  /* a level: its value times the milliseconds that it had it */
	COLUMN_MAX,   /* a level: the largest value */
	COLUMN_TOTAL, /* what it rose by, in the step and since the beginning */
};

struct column {
	const char *counters;
	enum column_how how;
	unsigned place; /* of levels and totals, which are kept from step to step: among these */
};

/* NULL: there is none of that id. */
const struct metric *metric_find(const char *id);
/* Is it of a family that clients know, and we have nothing of? Then it is not counted here, rather than misspelt. */
bool metric_is_known(const char *id);
/* All of them, in the order of the table. */
const struct metric *metric_all(size_t *n);
/* The columns of a source. */
const struct column *metric_columns(enum metric_of of, size_t *n);
/* How many of them keep something. */
size_t metric_kept(enum metric_of of);

/* What a counter of a source goes into. */
struct feed {
	bool rises; /* as what it rose by */
	unsigned n;
	struct {
		uint8_t column;
		int8_t times; /* -1: taken away */
	} to[METRIC_COLUMNS];
	const struct feed *up; /* of a service: what goes into its engine's sums; NULL: nothing */
};

/* NULL: into nothing. Remembered for each name, of which there are some hundred. */
const struct feed *metric_feed(enum metric_of of, const char *counter);

#endif
