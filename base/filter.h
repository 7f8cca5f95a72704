/*
 * filter - OP(FIELD,VALUE): a question about one member of a JSON object, as clients of logs ask.
 *
 * OP is eq ne co (contains) nc (does not) sw (starts with) gt ge lt le; FIELD may be a dotted path, or `all`: any
 * member. VALUE may stand in double quotes, and have commas and parentheses. Numbers are compared as numbers, times as
 * times in whatever form, true and false in any case. A list passes when one of its elements does (ne, nc: none).
 */
#ifndef SPANWIRE_BASE_FILTER_H
#define SPANWIRE_BASE_FILTER_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"

struct filter {
	char op[3];
	char field[128];
	char value[256];
};

/* -EINVAL with a sentence. TEXT may be NULL, which is no filter. */
int filter_read(const char *text, struct filter *f, struct err *e);
bool filter_passes(const struct filter *f, const json_t *object);

#endif
