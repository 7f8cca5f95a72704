/*
 * demand - what a client asks of metrics, read and checked: which, in what steps, from when to when, of which part.
 *
 * It comes as the parameters of a GET, or as one of the `metric_requests` of a POST, for which the parameters of the URL are
 * the defaults.
 */
#ifndef SPANWIRE_CONTROLLER_REST_DEMAND_H
#define SPANWIRE_CONTROLLER_REST_DEMAND_H

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "controller/metrics/meter.h"
#include "controller/rest/query.h"

#define DEMAND_POINTS_MAX 10000

struct demand {
	json_t *said;                /* {parameter: text} */
	const struct metric **metrics;
	size_t metrics_n;
	struct buf uncounted;        /* ids that clients know and nobody counts here, "a, b"; "": none */
	unsigned step_s;
	uint64_t limit, from_s;
	size_t points;
	const char *item, *pool, *engine, *entities, *id; /* NULL: not said */
	const char *kind;            /* whose; NULL: not said */
	bool pad, statistics, detailed, refs, names;
};

/* BODY may be NULL. NOW_MS: as of the meter. D is to be freed in any case. */
int demand_read(struct demand *d, const struct query *q, const json_t *body, uint64_t now_ms, struct err *e);
void demand_fini(struct demand *d);

/* The kinds that have metrics, from 0 on; NULL: no more. */
const char *demand_kind(size_t i);
/* What the contract calls objects of KIND ("controller" too); NULL: they have no metrics. */
const char *demand_entity(const char *kind);

#endif
