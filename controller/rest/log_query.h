/*
 * log_query - what GET /api/analytics/logs is asked: its parameters, read strictly.
 *
 * type (0 connections, 1 requests, 2 events); start, end (ISO 8601) or duration (seconds before end); page,
 * page_size; any number of filter=OP(FIELD,VALUE); adf, udf, nf; orderby=FIELD or -FIELD, several with commas; cols;
 * groupby; format (json, csv, txt) and download. What names no field of the logs of that type is an error that names
 * the parameter (model/log_fields.def). Parameters of other names are nobody's.
 *
 * With groupby the columns may be sum, avg, min or max of fields: sum(rx_bytes+tx_bytes), sum(1). They are shown, and
 * may be ordered by, as col0, col1 ...
 */
#ifndef SPANWIRE_CONTROLLER_REST_LOG_QUERY_H
#define SPANWIRE_CONTROLLER_REST_LOG_QUERY_H

#include "base/filter.h"
#include "controller/rest/query.h"

enum log_type { LOG_TYPE_CONNECTIONS, LOG_TYPE_REQUESTS, LOG_TYPE_EVENTS };
enum log_format { LOG_JSON, LOG_CSV, LOG_TXT };

enum { LOG_PAGE_SIZE_MAX = 10000, LOG_ORDERS_MAX = 8, LOG_COLS_MAX = 64, LOG_SUM_MAX = 8 };

struct log_order {
	char field[64];
	bool descending;
};

/* A column: a field, or with `how` what the fields of a group make together. */
struct log_col {
	char field[LOG_SUM_MAX][64]; /* added up; the empty one is the number 1 */
	size_t n;
	enum { LOG_FIELD_ITSELF, LOG_SUM, LOG_AVG, LOG_MIN, LOG_MAX } how;
};

struct log_query {
	enum log_type type;
	uint64_t start, end;      /* microseconds */
	bool ends;                /* `end` was said */
	int64_t page, duration;
	size_t first, size;       /* of the results */
	bool significant, filtered, rest;
	struct filter *filters;
	size_t n_filters;
	struct log_order orders[LOG_ORDERS_MAX];
	size_t n_orders;          /* 0: the newest first */
	struct log_col *cols;
	size_t n_cols;            /* 0: all */
	char groupby[64];         /* "": no groups */
	enum log_format format;
	bool download;
};

/* DFLT: the type when none is said. -EINVAL with a sentence; log_query_fini() in any case. */
int log_query_read(const struct query *q, enum log_type dflt, struct log_query *l, struct err *e);
void log_query_fini(struct log_query *l);

/* Is the answer a page of what comes by time? If not, all must be known before there is one. */
bool log_query_by_time(const struct log_query *l);
/* By time, and the oldest first. */
bool log_query_oldest_first(const struct log_query *l);
bool log_query_passes(const struct log_query *l, const json_t *record);

#endif
