/*
 * mode - an object under the user's hands, and where in it he is: the sub-modes of the shell.
 *
 * The outermost level is the object, each further one a message in it. A level has a copy of what it
 * is about; mode_up() puts it into the level above, or drops it. Nothing here asks a controller.
 */
#ifndef SPANWIRE_SHELL_MODE_H
#define SPANWIRE_SHELL_MODE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"

#define MODE_DEPTH 24

struct level {
	const json_t *field; /* of the level above; NULL: the object itself */
	const char *message;
	json_t *value, *before;
	size_t item; /* of a list */
	bool is_new;
};

struct mode {
	const json_t *model, *kind;
	struct level level[MODE_DEPTH];
	size_t n; /* 0: in no mode */
	const json_t *asked; /* what mode_edit() wants a value for: a secret, or a text that may have lines */
	bool secret; /* the last line was about a secret */
};

/* Takes OBJECT. */
void mode_open(struct mode *m, const json_t *model, const json_t *kind, json_t *object, bool is_new);
/* Drops everything. */
void mode_close(struct mode *m);

/*
 * One typed line: FIELD VALUE, FIELD VALUE FIELD VALUE ..., a message's name alone or with what is to
 * be set in it. Whole or not at all. -EAGAIN: a secret was named without its value (asked).
 *
 * A message whose name stands alone is entered, as is one in which a list was added to last: more may
 * follow. A list of messages gets a new item, or `index N` or a key says which one is meant.
 */
int mode_edit(struct mode *m, const char *const *words, size_t n, struct err *e);
/* What stands behind `no`: FIELD, LIST index N, or LIST ITEM. */
int mode_unset(struct mode *m, const char *const *words, size_t n, struct err *e);
/* Leaves a level; false: it is the outermost one, and stays. */
bool mode_up(struct mode *m, bool keep);
bool mode_changed(const struct mode *m);
struct level *mode_level(struct mode *m);
/* "trafficcloneprofile:clone_servers". Caller frees. */
char *mode_path(const struct mode *m);

/* What the next word of a line may be, for completion and help. */
struct expect {
	const json_t *message; /* the name of a field of this message (of the model) */
	const json_t *field;   /* a value of this field, or an item of its list */
	const json_t *value;   /* what is there now: of the field; may be NULL */
	const json_t *object;  /* what is there now: of the message; may be NULL */
	bool index;            /* the number of an item of `value` */
};

struct expect mode_expect(const json_t *model, const char *message, const json_t *object,
			  const char *const *words, size_t n);

/* WAS and IS as [{"field", "was", "is"}]: what differs, by paths whose items count from 1. */
json_t *mode_diff(const json_t *was, const json_t *is);

#endif
