/*
 * editor - the shell as one sits before it: prompts, TAB, `?`, history, Ctrl-C.
 */
#ifndef SPANWIRE_SHELL_EDITOR_H
#define SPANWIRE_SHELL_EDITOR_H

#include "shell/session.h"

/* A line is asked for on the terminal, without echo when SECRET. NULL: Ctrl-C or the end. Caller frees. */
char *editor_ask(void *arg, const char *question, bool secret);
/* Until `exit` or the end of input. S gets its terminal's verbs. */
int editor_run(struct session *s);

#endif
