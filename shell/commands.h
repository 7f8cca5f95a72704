/* commands - what can be said outside of an object (commands.def). */
#ifndef SPANWIRE_SHELL_COMMANDS_H
#define SPANWIRE_SHELL_COMMANDS_H

#include "shell/session.h"

#define COMMAND(name, run, min, max, words, help) command run;
#include "shell/commands.def"
#undef COMMAND

/* An action that the controller has: its name, a kind, an object, pairs of parameters and values. */
command do_action;

/* The commands as a page of the manual (docs/shell.md). */
void commands_reference(FILE *out);

#endif
