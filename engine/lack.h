/*
 * lack - what the machine does not give: descriptors, and memory of the kernel.
 *
 * Who cannot have a socket waits, is counted in the worker's lack_*, and asks again in LACK_MS. A process may have so many
 * descriptors (RLIMIT_NOFILE). Clients get no more of them than leave some for the connections to servers of those that are
 * there, and both leave some for what the main thread does: a new listener, health checks, names.
 */
#ifndef SPANWIRE_ENGINE_LACK_H
#define SPANWIRE_ENGINE_LACK_H

#include <errno.h>
#include <stdbool.h>

#include "engine/counters.h"

#define LACK    (-EMFILE) /* whichever of them it is */
#define LACK_MS 10

/* Main thread: look anew how many descriptors there may be. Before the first call: any number. */
void lack_look(void);

/* What a system call answered that makes a descriptor: FD; LACK: there was no room, and it is counted; else -errno. */
int lack_server(struct engine_counters *c, int fd);
/* A client came as FD: have clients as much now as they get? */
bool lack_after_client(int fd);
/* They had: is it still so? It is counted then. FD: any that is open. */
bool lack_persists(struct engine_counters *c, int fd);
/* ERROR of a system call: is it one of these? It is counted then. */
bool lack_counts(struct engine_counters *c, int error);

#endif
