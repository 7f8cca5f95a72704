/*
 * lacks - what a service engine says that its machine does not give it: descriptors, memory, ports towards a server.
 *
 * It begins with the first statistics that count it (an event), and is over when it was not counted for a while (another one).
 * What lacks now is in engine.lacking: {counter, or "POOL/ip:port": {"quiet": statistics without it, "told": bool}}.
 */
#ifndef SPANWIRE_CONTROLLER_LINK_LACKS_H
#define SPANWIRE_CONTROLLER_LINK_LACKS_H

#include "base/json.h"

struct engine;

/* A `stats` message that is newer than E's books. Borrowed. */
void lacks_stats(struct engine *e, const json_t *stats);
/* A sentence for each thing that E lacks now. */
void lacks_each(const struct engine *e, void (*f)(void *arg, const char *sentence), void *arg);
/* The servers of POOL ("ip:port") that E has no port for now. */
void lacks_ports_each(const struct engine *e, const char *pool, void (*f)(void *arg, const char *server), void *arg);

#endif
