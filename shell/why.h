/*
 * why - does a virtual service answer, and if not, why: its chain on one screen, the first broken
 * link in a sentence.
 */
#ifndef SPANWIRE_SHELL_WHY_H
#define SPANWIRE_SHELL_WHY_H

#include <stdbool.h>
#include <stdio.h>

#include "shell/client.h"

/* Into *BROKEN whether a link is. JSON: what the controller answered. */
int why(struct client *c, FILE *out, bool json, const char *name, bool *broken, struct err *e);

#endif
