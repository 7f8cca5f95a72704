/* captures - the captures of a virtual service or an engine, and their files. */
#ifndef SPANWIRE_SHELL_CAPTURES_H
#define SPANWIRE_SHELL_CAPTURES_H

#include "shell/session.h"

/*
 * Those of NAME, an object of KIND (of the model); the newest that is complete is put into DIRECTORY, which is
 * asked for when it is NULL and somebody is there to ask.
 */
int captures_show(struct session *s, const json_t *kind, const char *name, const char *directory, struct err *e);
/* What PATH answers into FILE, whole or not at all; readable by its owner alone. */
int captures_download(struct session *s, const char *path, const char *file, struct err *e);

/* A name of the controller's as one of a file: nothing that leads elsewhere. Caller frees. */
char *captures_file_name(const char *name);

#endif
