/*
 * filter - `show ... filter FIELD VALUE ...`: of what is listed, or of a view, what has these values.
 *
 * Objects of a kind are chosen by the controller: a field, or one with an operator as the API has them
 * (`port.gte 8000`). The rows of a view are chosen here, by any of their members: the last parts of
 * its name are enough (`state`).
 */
#ifndef SPANWIRE_SHELL_FILTER_H
#define SPANWIRE_SHELL_FILTER_H

#include "shell/client.h"

/* Pairs of words, borrowed. */
struct filter {
	const char *const *words;
	size_t n;
};

/* The words behind the first "filter" of N words, and in *LEFT how many stand before it. */
int filter_cut(struct filter *f, const char *const *words, size_t n, size_t *left, struct err *e);
/* "&enabled=true...": for the list of a kind of the model. Caller frees; NULL with a sentence. */
char *filter_query(const struct filter *f, struct client *c, const json_t *model, const json_t *kind, struct err *e);
/* Takes the others out of the lists of ANSWER. */
int filter_rows(const struct filter *f, json_t *answer, struct err *e);

#endif
