/* jsonpatch - RFC 6902 on a JSON value: add, remove, replace, move, copy, test. */
#ifndef SPANWIRE_CONTROLLER_JSONPATCH_H
#define SPANWIRE_CONTROLLER_JSONPATCH_H

#include "base/err.h"
#include "base/json.h"

/*
 * Apply OPS to a copy of DOC; *OUT is a new reference, untouched on failure: -EINVAL with
 * "json_patch[N]" as the path. An operation's path is a JSON pointer (RFC 6901).
 */
int jsonpatch_apply(const json_t *doc, const json_t *ops, json_t **out, struct err *e);

#endif
