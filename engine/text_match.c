#include "engine/text_match.h"

#include <strings.h>

#include "base/base.h"
#include "model/structs.h"

#define SEEN 256 /* of a text, by an expression */

struct text_match text_match_of(const struct string_match *m, struct arena *a)
{
	struct text_match t = { .says = m };

	if (m->match_criteria != REGEX_MATCH && m->match_criteria != REGEX_DOES_NOT_MATCH)
		return t;
	t.expressions = arena_get(a, (m->match_str_n + 1) * sizeof(regex_t));
	for (size_t i = 0; i < m->match_str_n; i++) {
		bool good = regcomp(&t.expressions[i], m->match_str[i], REG_EXTENDED | REG_ICASE | REG_NOSUB) == 0;

		/* One that is legal to be freed. */
		if (!good)
			must(regcomp(&t.expressions[i], "^", REG_NOSUB) == 0);
		t.broken |= !good;
	}
	return t;
}

void text_match_fini(struct text_match *t)
{
	for (size_t i = 0; t->expressions && i < t->says->match_str_n; i++)
		regfree(&t->expressions[i]);
}

static bool contains(const char *text, size_t n, const char *word, size_t len)
{
	for (size_t i = 0; i + len <= n; i++)
		if (strncasecmp(text + i, word, len) == 0)
			return true;
	return false;
}

static bool matches(const regex_t *r, const char *text, size_t n)
{
	char seen[SEEN + 1];

	snprintf(seen, sizeof(seen), "%.*s", (int)MIN(n, (size_t)SEEN), text);
	return regexec(r, seen, 0, NULL, 0) == 0;
}

static bool fits_one(const struct text_match *t, size_t i, const char *text, size_t n)
{
	const char *word = t->says->match_str[i];
	size_t len = strlen(word);

	switch (t->says->match_criteria) {
	case BEGINS_WITH:
	case DOES_NOT_BEGIN_WITH:
		return n >= len && strncasecmp(text, word, len) == 0;
	case ENDS_WITH:
	case DOES_NOT_END_WITH:
		return n >= len && strncasecmp(text + n - len, word, len) == 0;
	case CONTAINS:
	case DOES_NOT_CONTAIN:
		return contains(text, n, word, len);
	case REGEX_MATCH:
	case REGEX_DOES_NOT_MATCH:
		return matches(&t->expressions[i], text, n);
	default:
		return n == len && strncasecmp(text, word, len) == 0;
	}
}

bool text_match_fits(const struct text_match *t, const char *text, size_t n)
{
	static const enum string_match_criteria opposite[] = { DOES_NOT_BEGIN_WITH, DOES_NOT_CONTAIN, DOES_NOT_END_WITH, DOES_NOT_EQUAL,
							       REGEX_DOES_NOT_MATCH };
	bool any = false, negated = false;

	for (size_t i = 0; i < ARRAY_SIZE(opposite); i++)
		negated |= t->says->match_criteria == opposite[i];
	for (size_t i = 0; i < t->says->match_str_n && !any; i++)
		any = fits_one(t, i, text, n);
	return !t->broken && any != negated;
}
