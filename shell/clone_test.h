/* clone_test - a labelled conversation to each clone server of a virtual service: what was sent, and how to see it there. */
#ifndef SPANWIRE_SHELL_CLONE_TEST_H
#define SPANWIRE_SHELL_CLONE_TEST_H

#include <stdio.h>

#include "shell/client.h"

/* *COMPLETE: each frame left for each clone server. */
int clone_test(struct client *c, FILE *out, bool json, const char *name, bool *complete, struct err *e);

#endif
