/*
 * clone - a trafficcloneprofile and the virtual services that copy by it.
 *
 * What can never work is refused, whichever of the two is written. What cannot work now is a sentence in
 * notes.warnings of the change: objects are often made before engines. Who has no permission to write profiles
 * does not switch copies on or off; who reads plaintext, or has it sent somewhere, needs that of captures too.
 */
#ifndef SPANWIRE_CONTROLLER_RULES_CLONE_H
#define SPANWIRE_CONTROLLER_RULES_CLONE_H

#include "controller/change.h"

/* For the rule of virtual services: OLD NULL when new. */
int rule_clone_of_service(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e);
/* It was deleted. */
void rule_clone_service_gone(struct change *c, const char *uuid, const json_t *old);

#endif
