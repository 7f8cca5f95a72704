/*
 * candidates - what may be typed next: for TAB, for `?`, for other shells.
 *
 * All of it comes from the model and, for names of objects, from the controller.
 */
#ifndef SPANWIRE_SHELL_CANDIDATES_H
#define SPANWIRE_SHELL_CANDIDATES_H

#include <stdio.h>

#include "shell/session.h"

struct candidate {
	char *text; /* as it must be typed */
	char *help; /* may be NULL */
};

#define CANDIDATES_MORE "... and %zu more: another letter narrows them down.\n"

struct candidates {
	struct candidate *list;
	size_t n;
	size_t more;    /* so many lie between the last two */
	char *about;    /* what is wanted here, in a line or several; may be NULL */
	size_t begin;   /* where in the line the word begins that they are for */
	char *word;     /* that word, as far as it was typed */
};

/* Of the line up to the cursor: what begins with its last word. */
void candidates_of(struct session *s, const char *line, struct candidates *c);
void candidates_fini(struct candidates *c);
/* What all of them begin with, longer than the word; NULL: nothing more is certain. Caller frees. */
char *candidates_common(const struct candidates *c);
/* All of it for a reader. */
void candidates_help(struct session *s, const char *line, FILE *out);
/* Names were kept for a moment: no more. */
void candidates_forget(struct session *s);

/* Of a field of the model: "enum", "reference to pool"; "1 to 65535, or 0"; help and state. Callers free. */
char *candidates_type(const json_t *field);
char *candidates_range(const json_t *field);
char *candidates_about(const json_t *field);

#endif
