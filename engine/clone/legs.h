/*
 * legs - what is wanted of a service's clients, kept in the kernel in step with the ports that it listens on.
 *
 * Each service has one. Nothing is wanted at first, and then the kernel has nothing of it: packets of its clients are
 * not looked for. Copies (legs_clone) and captures (legs_follow) want it independently of each other.
 */
#ifndef SPANWIRE_ENGINE_CLONE_LEGS_H
#define SPANWIRE_ENGINE_CLONE_LEGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/clone/clone.h"

struct datapath;
struct legs;
struct port_want;

/* Of the service whose number in verdicts is SERVICE. */
struct legs *legs_new(struct datapath *d, uint32_t service);
/* The kernel forgets its ports; flows that are in its table stay until they end. */
void legs_free(struct legs *l);

/* The service listens on exactly these, or is about to: say it before they are open. */
void legs_ports(struct legs *l, const struct port_want *ports, size_t n);
/* Connections that begin from now on are copied to one of R; R.count 0: none is. */
void legs_clone(struct legs *l, struct clone_range r);
/* Whose packets they are is known from now on, also of connections that are there already. */
void legs_follow(struct legs *l, bool yes);

#endif
