/*
 * records - what engines kept of requests and connections, gathered from all of them.
 *
 * Nothing of it lies in the controller: each question goes to every engine that is connected, and the
 * answers become one list. An engine that carries the service and did not answer in time is named, with the reason.
 */
#ifndef SPANWIRE_CONTROLLER_LINK_RECORDS_H
#define SPANWIRE_CONTROLLER_LINK_RECORDS_H

#include "base/json.h"

struct fleet;

/*
 * {"results": [...], newest (or oldest) first, "count": of all that match, "overwritten": n, "asked": engines,
 * "missing": [{"service_engine", "reason"}]}. Takes nothing; called exactly once, never within records_ask().
 */
typedef void records_heard(void *arg, json_t *answer);

/*
 * QUERY: as engines take it ("virtualservice", "records", "start_us" ...; "max"); `told`: members that all records get, which
 * filters may ask for. Takes QUERY.
 */
void records_ask(struct fleet *f, json_t *query, records_heard *heard, void *arg);
/* REST asks from now on. */
void records_open(struct fleet *f);

#endif
