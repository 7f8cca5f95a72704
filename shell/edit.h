/*
 * edit - sets fields of an object from words, by the model.
 *
 * A path is a field, or fields with dots. An item of a list goes by its number, from 1, or by the
 * text that a table shows for it: "servers.1.port", "servers[10.0.0.5:80].port"; the number behind
 * the last makes a new item.
 *
 * A value is what a table would show: "true", "8080", a word of an enum or a part of it that only
 * one has ("round_robin"), the name of an object where the field refers to one, "10.0.0.5",
 * "10.0.0.0/24", "10.0.0.1-10.0.0.9"; an item of a list by its keys ("10.0.0.5:80"); a list with
 * commas between its items, or with "+" before them to add to what is there. What begins with a
 * brace or a bracket is JSON.
 */
#ifndef SPANWIRE_SHELL_EDIT_H
#define SPANWIRE_SHELL_EDIT_H

#include "base/err.h"
#include "base/json.h"

/* OBJECT, of the message MESSAGE, is changed. -EINVAL with a sentence. */
int edit_set(const json_t *model, const char *message, json_t *object, const char *path,
	     const char *value, struct err *e);
/* Back to the default; or, of an item, out of the list. What is not set stays so. */
int edit_unset(const json_t *model, const char *message, json_t *object, const char *path,
	       struct err *e);

/*
 * The field of a message that WORD names, or that alone begins so. NULL with a sentence that has what
 * was perhaps meant.
 */
const json_t *edit_field(const json_t *model, const char *message, const char *word, struct err *e);
/*
 * Of a message of addresses (debug_ip, client_addr) the list to which WORD goes, as it reads: "10.0.0.1-10.0.0.9" is of
 * ranges, "10.0.0.0/24" of prefixes. NULL: MESSAGE has no such lists.
 */
const json_t *edit_list_for(const json_t *model, const char *message, const char *word);
/* What a word says: itself, or with "@FILE" what is in that file. Caller frees. */
int edit_text(const char *field, const char *word, char **text, struct err *e);
/* One value of the field, or one item of its list. A new reference; NULL with a sentence. */
json_t *edit_value(const json_t *model, const json_t *field, const char *text, struct err *e);

#endif
