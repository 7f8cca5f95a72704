/* merge - two changes of one object become one. */
#ifndef SPANWIRE_SHELL_MERGE_H
#define SPANWIRE_SHELL_MERGE_H

#include "base/json.h"

/*
 * What MINE changed of WAS, in THEIRS. Of a member that both changed, to different values, mine stays and its path is
 * put into CLASHES, an array; a list is one value. A new reference; NULL: it is not there.
 */
json_t *merge(const json_t *was, const json_t *mine, const json_t *theirs, json_t *clashes);

#endif
