/*
 * series - which frames are numbered together: ERSPAN's, of all that an engine sends to a receiver in a session.
 *
 * A receiver knows a session by its sender and number, and nothing of profiles and services. So a series outlives
 * the targets that use it: after an edit the numbers go on, and two services that share a sensor share them.
 */
#ifndef SPANWIRE_ENGINE_CLONE_SERIES_H
#define SPANWIRE_ENGINE_CLONE_SERIES_H

#include "engine/clone/way.h"

struct series;

struct series *series_new(void);
void series_free(struct series *s);

/* Where the kernel keeps the next number for W; for each target that uses it, until series_put(). */
uint32_t series_get(struct series *s, const struct clone_want *w);
void series_put(struct series *s, uint32_t number);

#endif
