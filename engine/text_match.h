/*
 * text_match - does a text fit what an object says of texts (StringMatch)? Without regard to case.
 */
#ifndef SPANWIRE_ENGINE_TEXT_MATCH_H
#define SPANWIRE_ENGINE_TEXT_MATCH_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

struct string_match;

struct text_match {
	const struct string_match *says; /* borrowed */
	regex_t *expressions; /* as many as texts; NULL: they are no expressions */
	bool broken;          /* one of them is none */
};

/* What M says, in A. Before A goes: text_match_fini(). */
struct text_match text_match_of(const struct string_match *m, struct arena *a);
void text_match_fini(struct text_match *t);
/* Of a long text expressions see the first 256 bytes. What is broken fits nothing, negated or not. */
bool text_match_fits(const struct text_match *t, const char *text, size_t n);

#endif
