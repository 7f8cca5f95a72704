/*
 * significance - what a service's analytics profile does not count as an error: its records go among the rest.
 *
 * Statuses (exclude_http_error_codes, ranges, resp_code_block) excuse an answer, not what we could not do: a 503 because
 * no server is up stays significant.
 */
#ifndef SPANWIRE_ENGINE_SIGNIFICANCE_H
#define SPANWIRE_ENGINE_SIGNIFICANCE_H

struct record;
struct snapshot;

/* SNAP may be NULL, and what it names. */
void significance_judge(struct record *rec, const struct snapshot *snap);

#endif
