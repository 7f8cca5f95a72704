/* state - what the controller says about itself. */
#ifndef SPANWIRE_CONTROLLER_REST_STATE_H
#define SPANWIRE_CONTROLLER_REST_STATE_H

#include "base/json.h"

/*
 * {"Version": "30.2.1", "Product": "controller", ...}: the contract's version, as clients compare
 * it.
 */
json_t *state_version(void);

#endif
