/*
 * snat - what servers see of an assigned service (assigned.h): which address the proxy is to use, and which lingers.
 *
 * A service holds its SNAT addresses like VIPs. One that is new takes the place of the one before when it is ours; the one
 * before lingers as long as connections run from it.
 */
#ifndef SPANWIRE_ENGINE_CONFIG_SNAT_H
#define SPANWIRE_ENGINE_CONFIG_SNAT_H

#include "engine/config/assigned.h"

/* To be asked when the assignment changed or an address did. true: the proxy wants to know what is used now. */
bool snat_follow(struct assigned *a, const struct link *k);
/* A `sources` message for the proxy. New reference. */
json_t *snat_message(const struct assigned *a);
/* What is wrong with H; NULL: nothing. Then STATE is the service's, because of it. Borrowed until it is asked again. */
const char *snat_trouble(struct assigned *a, const struct assigned_hold *h, const char **state);

/* A holds H no more. true: it lingers; false: it is to be released. */
bool snat_keeps(struct assigned *a, const struct assignment *as, struct assigned_hold *h);
/* A holds what it wants: of that nothing lingers. */
void snat_held(struct assigned *a);
/* Once a second, TURN counts: what nothing runs from any more is let go. ALL: of struct assigned. */
void snat_linger(struct list *all, size_t turn);

#endif
