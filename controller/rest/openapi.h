/*
 * openapi - GET /openapi.json: the document of the model (model_openapi), and whatever else can be asked for.
 *
 * The model describes the kinds; the table of routes adds its rows (route_describe), and each kind gets its views and actions,
 * as /api/model has them.
 */
#ifndef SPANWIRE_CONTROLLER_REST_OPENAPI_H
#define SPANWIRE_CONTROLLER_REST_OPENAPI_H

#include "base/json.h"

enum {
	OPENAPI_OPEN = 1 << 0, /* without a login */
	OPENAPI_FILE = 1 << 1, /* takes a form with a part `file` */
};

/* Adds METHOD of PATTERN (route.c) to the DOCUMENT, once for each inventory where it is about one. */
void openapi_add(json_t *document, const char *method, const char *pattern, const char *help, unsigned flags);

#endif
