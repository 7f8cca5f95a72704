/* verbs - what can be said in a sub-mode (verbs.def), and its fields. */
#ifndef SPANWIRE_SHELL_VERBS_H
#define SPANWIRE_SHELL_VERBS_H

#include "shell/session.h"

#define VERB(name, run, words, help) command run;
#include "shell/verbs.def"
#undef VERB

/* A line that is no verb: fields and values. */
command verb_edit;
/* Into the mode of an object. Takes OBJECT; says what it is now, when it is not new. */
void verbs_enter(struct session *s, const json_t *model, const json_t *kind, json_t *object, bool is_new);

#endif
