/*
 * show - reads and prints: kinds, the objects of a kind, one object, or a view of it.
 *
 * A view is a sub-resource of an object as the API has it ("runtime", "traffic_clone_stats").
 */
#ifndef SPANWIRE_SHELL_SHOW_H
#define SPANWIRE_SHELL_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "shell/client.h"
#include "shell/filter.h"

struct show {
	struct client *client;
	FILE *out;
	bool json; /* what the controller answered, instead of tables */
	bool all; /* of an object also what was not set: the defaults; of a view what is 0 */
	bool zeros; /* of a view what is 0 */
	struct filter filter;
};

/* KIND, NAME and VIEW may be NULL from the right. */
int show(const struct show *s, const char *kind, const char *name, const char *view, struct err *e);

/*
 * Any answer of a controller as tables: members that have one value, then a table for each list
 * of objects, and for the lists in these. Few rows with much in them stand side by side.
 */
void show_tree(FILE *out, const json_t *v);
/*
 * The value of the member PATH as one cell; in frames, before a reader, microseconds since 1970 are a
 * time. Caller frees.
 */
char *show_cell(const char *path, const json_t *v);

#endif
