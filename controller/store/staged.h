/*
 * staged - the folder of the next start: DIR/restore takes the place of what it holds names of.
 *
 * Whoever restores fills DIR/restore, a whole data folder of its own, and says staged_ready(). When the store of DIR is opened
 * next, before anything of it is read, the files of the same names go to DIR/before-restore and those of DIR/restore come in their
 * place; a crash in between goes on at the start after it. Until staged_ready() nothing has
 * happened, and what is there when the store is opened goes.
 */
#ifndef SPANWIRE_CONTROLLER_STORE_STAGED_H
#define SPANWIRE_CONTROLLER_STORE_STAGED_H

#include "base/err.h"

/* An empty DIR/restore; what was left of an earlier try, or of the restore before, goes. *PATH is the caller's to free. */
int staged_begin(const char *dir, char **path, struct err *e);
/* All of it is on the disk. */
int staged_ready(const char *dir, struct err *e);
/* Of an open DIR whose lock is held: what is ready comes in. */
int staged_enter(int dir_fd, const char *dir, struct err *e);

#endif
