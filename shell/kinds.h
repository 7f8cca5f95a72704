/*
 * kinds - what the controller's model (GET /api/model) says about its kinds. The shell knows none
 * by itself.
 *
 * Everything here is borrowed from the model.
 */
#ifndef SPANWIRE_SHELL_KINDS_H
#define SPANWIRE_SHELL_KINDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/json.h"

/*
 * The kind that TEXT names: its path ("virtualservice"), its message ("VirtualService"), in any
 * case and with hyphens or underscores wherever one likes, or the beginning of a path that only
 * one kind has. -EINVAL with a sentence.
 */
int kinds_find(const json_t *model, const char *text, const json_t **kind, struct err *e);
/* The fields of a message, in order: an array, NULL when there is no such message. */
const json_t *kinds_fields(const json_t *model, const char *message);
/* The one of FIELDS that is called NAME; NULL: none. */
const json_t *kinds_field(const json_t *fields, const char *name);

/* Does some message have a secret field of that name, alone or at the end of a path? */
bool kinds_is_secret(const json_t *model, const char *path);
/* Could WORD, cut short, be the name of one? */
bool kinds_may_be_secret(const json_t *model, const char *word);
/* The action of a kind that is called NAME ("migrate"), or alone begins so; NULL: none. */
const json_t *kinds_action(const json_t *kind, const char *name);
/*
 * The view of a kind that WORDS mean ("runtime/detail"): each part as far as only one view has it; the first ones may
 * be left out ("detail"). NULL: none (no error in E), or several.
 */
const char *kinds_view(const json_t *kind, const char *words, struct err *e);
/* All of them, with commas. Caller frees. */
char *kinds_views(const json_t *kind);

/*
 * The fields that tell the objects of a list apart: live ones that some object has set, lists
 * with keys and references before other values. At most MAX; the answer is how many.
 */
size_t kinds_columns(const json_t *model, const json_t *kind, const json_t *objects,
		     const json_t **columns, size_t max);

/* What tells an item of the list FIELD from the others: "10.0.0.5:80". Caller frees. */
char *kinds_item(const json_t *model, const json_t *field, const json_t *item);

/*
 * A value of the field as one cell: "10.0.0.5:80, 10.0.0.6:80" for servers, names for references.
 * Caller frees.
 */
char *kinds_cell(const json_t *model, const json_t *field, const json_t *value);

#endif
