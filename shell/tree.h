/*
 * tree - an object as a table of fields and values, what is inside of what by indentation.
 */
#ifndef SPANWIRE_SHELL_TREE_H
#define SPANWIRE_SHELL_TREE_H

#include <stdio.h>

#include "base/json.h"

/*
 * In the order of the message's fields; items of lists count from 1. MODEL may be NULL: in the order of the
 * object.
 */
void tree_print(FILE *out, const json_t *model, const char *message, const json_t *v);
/*
 * One of several, as a controller answers them: counters of 0 are only counted, unless ALL of them are wanted or
 * nobody looks; a long list comes behind it as a table of its own.
 */
void tree_block(FILE *out, const json_t *v, bool all);

#endif
