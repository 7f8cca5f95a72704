/*
 * trial - one labelled conversation to each clone server of a service, to prove the way without production traffic.
 *
 * A whole TCP conversation, SYN to last ACK, whose answer holds a text that stock rules of an IDS look for. It goes by the
 * clone stage, the rewriter and the encapsulation that real copies go by, to the same interface and MAC address, but from
 * clone targets of its own: the books of the service do not know it. Addresses are those that RFC 5737 and RFC 3849
 * keep for examples, so that nothing real is blamed.
 */
#ifndef SPANWIRE_ENGINE_CLONE_TRIAL_H
#define SPANWIRE_ENGINE_CLONE_TRIAL_H

#include "base/json.h"
#include "net/loop.h"

#define TRIALS_MAX 4 /* at a time; who asks more is told to come again */

struct assigned;
struct clones;
struct datapath;
struct link;
struct trials;

/* All are borrowed. */
struct trials *trials_new(struct loop *l, struct clones *c, struct datapath *d, struct link *k);
/*
 * An `ask` "clone_test" about A (NULL: it is not here). The answer's `data`: {"clone_servers": [{"ip" or null, "mac",
 * "state", "interface", "source_mac", "client", "client_port", "server", "server_port", "frames", "bytes", "sent",
 * "dropped": {reason: frames}}]}, in the profile's order.
 */
void trials_take(struct trials *t, const struct assigned *a, const json_t *ask);
/* What is under way is not answered. */
void trials_free(struct trials *t);

#endif
