/*
 * service - a question about a virtual service, by its name.
 */
#ifndef SPANWIRE_SHELL_SERVICE_H
#define SPANWIRE_SHELL_SERVICE_H

#include <stdbool.h>
#include <stdio.h>

#include "shell/client.h"

/*
 * METHOD virtualservice/UUID/PATH of the one that is called NAME, with BODY (may be NULL). JSON: the answer is written to
 * OUT as it came, and there is nothing else to be said of it. *ANSWER: a new reference.
 */
int service_ask(struct client *c, const char *method, const char *name, const char *path, const json_t *body, FILE *out,
		bool json, json_t **answer, struct err *e);

#endif
