/*
 * log_plan - which records of a service are kept: what its analytics policy says. Without a policy all are.
 *
 * A record is of the first class that fits: significant, meant by a filter, or one of the rest. Each class has so many a second and engine,
 * requests apart from connections; what is more is counted. How much of that is used, and since when the service is as it is, belongs to
 * all workers, and goes on in the next snapshot until the service changes.
 */
#ifndef SPANWIRE_ENGINE_LOG_PLAN_H
#define SPANWIRE_ENGINE_LOG_PLAN_H

#include "base/arena.h"
#include "engine/netsec.h"
#include "engine/part.h"

struct analytics_policy;
struct log_plan;
struct log_share;
struct record;
struct service_counters;
struct snapshot;
struct worker;

/* For the virtual service SERVICE, from NOW_NS on; OLD itself when that was for the same one. Takes OLD (may be NULL). */
struct log_share *log_share_for(struct log_share *old, struct part *service, uint64_t now_ns);
struct log_share *log_share_get(struct log_share *s);
void log_share_put(struct log_share *s);

/* What W says, in A, where W lives at least as long; NULL: nothing. Before A goes: log_plan_fini(). */
struct log_plan *log_plan_new(const struct analytics_policy *w, struct log_share *share, netsec_group *group, void *arg,
			      struct arena *a);
void log_plan_fini(struct log_plan *p);

/* Is REC kept? What filter meant it is noted in it. P may be NULL. */
bool log_plan_keeps(const struct log_plan *p, struct record *rec, uint64_t now_ns, struct service_counters *counters);
/* REC, of a service with these counters, gets its place if it is kept. S may be NULL. */
void log_plan_put(const struct snapshot *s, const struct worker *w, struct service_counters *counters, struct record *rec);

#endif
