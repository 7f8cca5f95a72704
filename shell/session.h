/*
 * session - what one user does with one controller: lines typed, or read from a script.
 *
 * session_line() runs a line of either kind: a command of commands.def, or, inside an object, what
 * verbs.def and the object's fields allow.
 */
#ifndef SPANWIRE_SHELL_SESSION_H
#define SPANWIRE_SHELL_SESSION_H

#include <stdbool.h>
#include <stdio.h>

#include "shell/client.h"
#include "shell/mode.h"

struct names; /* of objects, for a moment: candidates.c */
struct words;

struct session {
	struct credentials *credentials;
	struct client *client;
	FILE *out;      /* answers; memory while a pipe filters them */
	bool terminal;  /* somebody sits there: he is told more */
	bool lines;     /* lines are read: objects can be entered */
	bool json, all; /* of answers */
	bool json_always; /* `terminal json on` */
	bool ended;
	int width, length; /* of the terminal; 0: as it is, no pages */
	struct mode mode;
	bool secret;    /* the last line had a secret in it */
	const struct words *pipe; /* of the line: what stands behind its | filters what it answers; NULL: nothing does */
	/* Of who edits the lines; may be NULL. TEXT is asked for without echo when SECRET. Caller frees. */
	char *(*ask)(void *arg, const char *question, bool secret);
	void (*history)(void *arg, FILE *out);
	/* The line behind this one, where lines come from a file; may be NULL. Without its end. Caller frees. */
	char *(*next)(void *arg);
	void *arg;
	struct names *names;
};

void session_fini(struct session *s);
/*
 * 0; a positive number is an exit status (a link is broken: why); a negative errno with a sentence. What
 * was asked for is on `out`.
 */
int session_line(struct session *s, const char *line, struct err *e);
/* The words of a command (commands.def), as main() has them. */
int session_words(struct session *s, const char *const *words, size_t n, struct err *e);
/* Does it answer again and again, until Ctrl-C? */
bool session_goes_on(const struct session *s, const char *const *words, size_t n);
/* The same through the filter of the line, once more each time. */
int session_filtered(struct session *s, const char *const *words, size_t n, struct err *e);
/* "[admin:controller]: pool:servers> ". Caller frees. */
char *session_prompt(const struct session *s);

/* What commands are made of, for candidates.c and main.c. */
typedef int command(struct session *s, const char *const *words, size_t n, struct err *e);

struct command {
	const char *name;
	command *run;
	size_t min, max;
	const char *words, *help;
};

extern const struct command session_commands[], session_verbs[];
extern const size_t session_n_commands, session_n_verbs;

/*
 * The command that WORDS begin with: the longest name, each of its words whole or as far as only one
 * has it. *USED: how many words its name took. NULL with a sentence. A model that knows an action of that
 * name (scaleout) makes it a command as well: NULL with *USED 1 and no error.
 */
const struct command *session_command(const json_t *model, const char *const *words, size_t n, size_t *used,
				      struct err *e);
const struct command *session_verb(const char *word);
/* What there is in place of what other products' shells have; 0: they have no such command either. */
int session_elsewhere(const char *const *words, size_t n, struct err *e);
/* The kinds' actions by name: the i-th one of them, no matter how many kinds have it; NULL: no more. */
const char *session_action(const json_t *model, size_t i);

#endif
