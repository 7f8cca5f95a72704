/*
 * trigger - requests that save packets by themselves: those that take too long, and those that a rule describes.
 *
 * A worker looks at each that is over, and tells the warden, once a second and service at most; the controller decides what
 * becomes of it. A service without such triggers costs nothing.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_TRIGGER_H
#define SPANWIRE_ENGINE_CAPTURE_TRIGGER_H

#include "base/arena.h"

struct packet_triggers;
struct record;
struct snapshot;
struct trigger;

/* What W says of requests, in A; NULL: nothing. */
const struct trigger *trigger_build(const struct packet_triggers *w, struct arena *a);
/* REC is over. */
void trigger_look(const struct snapshot *s, const struct record *rec);

#endif
