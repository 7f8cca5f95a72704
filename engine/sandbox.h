/*
 * sandbox - what the proxy gives up before it hears a stranger.
 *
 * No capability, another user, no way to gain privileges, and a list of system
 * calls: any other one kills the process, and the warden starts a new one.
 */
#ifndef SPANWIRE_ENGINE_SANDBOX_H
#define SPANWIRE_ENGINE_SANDBOX_H

#include "base/err.h"

/*
 * Irreversible, for this thread and all it makes: call it before there are others. PARENT is the warden's pid: the
 * proxy ends with it.
 */
int sandbox_enter(int parent, struct err *e);

#endif
