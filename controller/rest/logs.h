/*
 * logs - where the records of connections and requests come from: registered by the part that knows the
 * engines.
 */
#ifndef SPANWIRE_CONTROLLER_REST_LOGS_H
#define SPANWIRE_CONTROLLER_REST_LOGS_H

#include "base/json.h"

struct rest;

struct log_source {
	/* As records_ask() (controller/link/records.h). */
	void (*ask)(void *arg, json_t *query, void (*heard)(void *arg, json_t *answer), void *heard_arg);
	void *arg;
};

/* S is borrowed for REST's life. */
void logs_source(struct rest *r, const struct log_source *s);

#endif
