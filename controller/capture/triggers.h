/*
 * triggers - what saves the packets of a virtual service by itself (virtualservice.packet_triggers).
 *
 * What fires comes from elsewhere: statistics and health of engines, and requests that an engine tells of. It becomes a
 * capture of the past, and of what follows, at most once in seconds_between for each service; what comes earlier, or while
 * another capture runs, is counted. Answers are counted from the first statistics of an engine on: nobody knows when those were given
 * that it begins with.
 */
#ifndef SPANWIRE_CONTROLLER_CAPTURE_TRIGGERS_H
#define SPANWIRE_CONTROLLER_CAPTURE_TRIGGERS_H

#include "base/json.h"
#include "controller/controller.h"

struct triggers;

struct triggers *triggers_open(struct controller *c);
void triggers_close(struct triggers *t);

/* T may be NULL in all of these: nobody saves anything yet. */

/* An engine tells of a request: TRIGGER is "response_time" or "request". */
void triggers_request(struct triggers *t, const char *vs, const char *trigger, const char *text);
/* A `stats` message of an engine; BEFORE: the last one, NULL: there was none. */
void triggers_stats(struct triggers *t, const json_t *before, const json_t *stats);
/* TRIGGER: "server_down" or "pool_down", and the words for it. */
void triggers_pool(struct triggers *t, const char *pool, const char *trigger, const char *text);

/* {"saved", "suppressed", "last"} of a virtual service that has triggers; NULL: it has none. New reference. */
json_t *triggers_view(const struct triggers *t, const char *vs);

#endif
