/*
 * words - a typed line, cut into words.
 *
 * Blanks part words. "..." and '...' hold them together, a backslash takes the next character as it is
 * (not between ''). A word "|" that nobody quoted ends the command; what follows says what to do with
 * its output. A "#" where a word could begin: the rest of the line is a remark. "<<WORD" stands for the
 * lines behind this one, until one that is WORD.
 */
#ifndef SPANWIRE_SHELL_WORDS_H
#define SPANWIRE_SHELL_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct words {
	char **text; /* NULL behind the last */
	size_t *at;  /* where in the line each begins */
	bool *here;  /* which are "<<WORD" */
	size_t n;
	size_t pipe;  /* the word "|"; n: there is none */
	char open;    /* the quote that is not closed, or a backslash at the end; 0: none */
	bool between; /* the line ends behind a blank, or is empty: the next word is not begun */
};

void words_cut(struct words *w, const char *line);
void words_fini(struct words *w);
/* As TEXT must be typed to be one word. Caller frees. */
char *words_quoted(const char *text);
/*
 * Which of N names a word means: the one that it is, in any case, or the only one that it begins. Their
 * index; -1: none; -2: several. NAME gives the i-th.
 */
int words_choose(const char *word, size_t n, const char *(*name)(const void *arg, size_t i), const void *arg);

#endif
