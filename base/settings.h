/*
 * settings - files of `name = value` lines, # for comments: what an administrator writes once.
 *
 * Of a daemon the names are its long options, and a value is given to it as if it stood in front of
 * the command line: what is said there wins.
 */
#ifndef SPANWIRE_BASE_SETTINGS_H
#define SPANWIRE_BASE_SETTINGS_H

#include "base/err.h"

struct argp_option;

/*
 * Calls F for each setting of TEXT, which is cut up. F returns 0, or fills E with a sentence that
 * gets "PATH line N: " in front; -EINVAL for a line that is no setting.
 */
int settings_read(char *text, const char *path,
		  int (*f)(void *arg, const char *name, const char *value, struct err *e), void *arg,
		  struct err *e);

/*
 * `--config FILE` (or --config=FILE) in ARGV becomes what FILE says, as `--name=value` before all
 * other words. -EINVAL for a name that is none of OPTIONS. The new vector is never freed.
 */
int settings_expand(const struct argp_option *options, int *argc, char ***argv, struct err *e);

#endif
