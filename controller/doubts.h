/*
 * doubts - what an object says that can hardly be meant, of any kind: an item that stands in a list twice, a service
 * without ports, settings of another type than the object's. It is stored, because the next edit may put it right and
 * because clients have such objects, but told: change_warn().
 */
#ifndef SPANWIRE_CONTROLLER_DOUBTS_H
#define SPANWIRE_CONTROLLER_DOUBTS_H

#include "controller/change.h"

/* STORED: the stored form of an object of K. */
void doubts_tell(struct change *c, const struct kind_desc *k, const json_t *stored);

#endif
