/*
 * capture - `spanwire capture NAME [FILTER...] [--packets N] [--seconds N] [--size BYTES] [--monitors] [-w FILE|-]`.
 *
 * Begins a capture of a virtual service, writes its packets as they come, and ends it: at its limit, with Ctrl-C, or when
 * nobody reads what is written. What debugvirtualservice said before, it says again afterwards.
 */
#ifndef SPANWIRE_SHELL_CAPTURE_H
#define SPANWIRE_SHELL_CAPTURE_H

#include <stddef.h>

#include "shell/client.h"

/* WORDS: what stands behind `capture`. */
int capture_command(struct client *c, const char *const *words, size_t n, struct err *e);

#endif
