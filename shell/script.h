/*
 * script - lines from a file or a pipe: no prompts, no questions; the first that fails ends it.
 */
#ifndef SPANWIRE_SHELL_SCRIPT_H
#define SPANWIRE_SHELL_SCRIPT_H

#include "shell/session.h"

/*
 * FILE NULL or "-": standard input. What session_line() answered for the last line, with "FILE:LINE: "
 * before the sentence; an object that was not saved is an error.
 */
int script_run(struct session *s, const char *file, struct err *e);

#endif
