/*
 * configure - makes, changes and deletes objects from the words of a command line.
 */
#ifndef SPANWIRE_SHELL_CONFIGURE_H
#define SPANWIRE_SHELL_CONFIGURE_H

#include <stdbool.h>
#include <stdio.h>

#include "shell/client.h"

struct configure {
	struct client *client;
	FILE *out, *warn;
	bool json; /* print the object as the controller gave it back */
};

/*
 * WORDS are pairs FIELD VALUE, or `no FIELD` (edit.h says what both may be; the value
 * @FILE is what is in the file). The object is made
 * when there is none of that NAME (or uuid); else it is changed, unless somebody else did so in the
 * meantime. All fields at once or none.
 */
int configure(const struct configure *c, const char *kind, const char *name,
	      const char *const *words, size_t n, struct err *e);
int configure_delete(const struct configure *c, const char *kind, const char *name, struct err *e);

/* What the last answer's headers say about the object that was written. */
void configure_tell(struct client *c, FILE *warn);

#endif
