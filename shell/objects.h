/*
 * objects - what the controller has of a kind: all of it, or one by its name.
 */
#ifndef SPANWIRE_SHELL_OBJECTS_H
#define SPANWIRE_SHELL_OBJECTS_H

#include "shell/client.h"

/* All pages of the collection at PATH: its results. OPTIONS begin with '&'. A new reference. */
int objects_all(struct client *c, const char *path, const char *options, json_t **out,
		struct err *e);
/*
 * The object of KIND (of the model) with that name, else with that uuid. -ENOENT with a sentence;
 * when several have the name, they are in *OUT as an array.
 */
int objects_find(struct client *c, const json_t *kind, const char *name, const char *options,
		 json_t **out, struct err *e);
/* "/api/KIND", or with NAME, which is escaped, "/api/KIND/NAME". Caller frees. */
char *objects_path(struct client *c, const json_t *kind, const char *name);

#endif
