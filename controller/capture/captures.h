/*
 * captures - those that run, and what became of those that ran.
 *
 * A `capture` object is made in the transaction that sets debugvirtualservice.capture (rules/debugvirtualservice.c); what
 * happens then follows from the object: engines that hold it send packets, a film makes the file, DIR/captures/UUID, and
 * when a limit is reached, the operator says so, or nobody can send any more, the object says that it is over and why.
 * A controller that finds captures of before its own start ends them with what there is.
 *
 * Every capture has a budget of bytes, a share of the disk that is free, and of what may stay: the oldest of a tenant go
 * when there are more than max_pcap_per_tenant or they take more than max_pcap_mb_per_tenant, and those that are older than
 * capture_expiry_days.
 */
#ifndef SPANWIRE_CONTROLLER_CAPTURE_CAPTURES_H
#define SPANWIRE_CONTROLLER_CAPTURE_CAPTURES_H

#include <stdbool.h>

#include "controller/capture/clock.h"
#include "controller/controller.h"
#include "base/json.h"

struct captures;
struct object;

/* C's loop, inbox, store and rest must stand. */
struct captures *captures_open(struct controller *c);
/* Nobody waits for one any more, and whoever does is answered: before the API stops. */
void captures_quiesce(struct captures *c);
void captures_close(struct captures *c);
/* Deletes a capture and its file, in nobody's name; what fails is logged. */
void captures_forget(struct captures *c, const char *uuid);

/* ---- for sessions ---- */

struct captures_from {
	const char *uuid, *name;       /* of the engine */
	const struct clock *clock;
	bool holds;                    /* it was told to capture */
	unsigned others;               /* connected engines that were told as well */
};

/* A `packets` message of an engine, and the bytes behind it, which are taken. C NULL: nobody wants them. */
void captures_take(struct captures *c, const struct captures_from *from, const json_t *head, void *bytes, size_t len);
/* Nothing comes from the engine until it is here again. */
void captures_lost(struct captures *c, const char *engine);

/* ---- for those who asked for one of the past ---- */

/*
 * DONE is called once, when that capture is over, or before, because the controller stops (O has not `ended`); O NULL: it
 * was not kept. False: there is none that runs, or nobody waits any more.
 */
bool captures_await(struct captures *c, const char *uuid, void (*done)(void *arg, const struct object *o), void *arg);

/* ---- for views ---- */

/* How far the capture of the virtual service is; NULL: none runs. New reference. */
json_t *captures_progress(struct captures *c, const char *vs);
/* The file of a capture object, for the caller to free. */
char *captures_path(const struct controller *c, const char *uuid);
/* The same without what was said inside TLS; there is none when nothing of that is in it, or anybody may have it who may read it. */
char *captures_open_path(const struct controller *c, const char *uuid);

#endif
