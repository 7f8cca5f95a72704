/* completion - what makes TAB work in other shells; what may follow, they ask `spanwire --candidates`. */
#ifndef SPANWIRE_SHELL_COMPLETION_H
#define SPANWIRE_SHELL_COMPLETION_H

#include <stdio.h>

#include "base/err.h"

/* SHELL is bash or zsh. */
int completion_script(FILE *out, const char *shell, struct err *e);

#endif
