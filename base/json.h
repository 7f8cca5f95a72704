/*
 * json - the one door to JSON text: jansson, read strictly.
 *
 * Only this header names the library's include; what a stranger sends is read
 * by json_read(), which refuses what the library would let pass: nesting deeper
 * than JSON_DEPTH_MAX, duplicate keys, invalid UTF-8, NUL characters, trailing
 * bytes, and numbers that do not fit. Every refusal is one sentence with the
 * line and column.
 */
#ifndef SPANWIRE_BASE_JSON_H
#define SPANWIRE_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define JSON_DEPTH_MAX 64

/* A new reference in *OUT, or -EINVAL with a sentence. Any JSON value is accepted at the top. */
int json_read(const char *text, size_t len, json_t **out, struct err *e);

/* Canonical text: keys sorted, no blanks. Caller frees. Equal values give equal text. */
char *json_text(const json_t *v);

/* Scope-bound reference: `CLEANUP_JSON json_t *v = NULL`. */
void cleanup_json(json_t **v);
#define CLEANUP_JSON __attribute__((cleanup(cleanup_json)))

/* Members of an object with a fall-back for "not there or of another type". */
const char *json_str(const json_t *obj, const char *key, const char *dflt);
json_int_t json_int(const json_t *obj, const char *key, json_int_t dflt);
bool json_bool(const json_t *obj, const char *key, bool dflt);

#endif
