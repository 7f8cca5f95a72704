/*
 * log_table - logs as they are shown: ordered, in groups, with the columns that were asked for, as JSON or as lines.
 */
#ifndef SPANWIRE_CONTROLLER_REST_LOG_TABLE_H
#define SPANWIRE_CONTROLLER_REST_LOG_TABLE_H

#include "base/buf.h"
#include "controller/rest/log_query.h"

/*
 * The page of RECORDS (an array; they come by time, as log_query_by_time() and _oldest_first() say). What is not by
 * time must have all of them; then *COUNT becomes the number of groups, where there are such.
 */
json_t *log_table_page(const struct log_query *l, const json_t *records, int64_t *count);
/*
 * ROWS as CSV (RFC 4180; what a spreadsheet would take for a formula has an apostrophe in front), or as text: a line of
 * names, and one for each row, tabs between.
 */
void log_table_lines(const struct log_query *l, const json_t *rows, struct buf *out);

#endif
