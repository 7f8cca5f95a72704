/*
 * restore - a full export becomes the data folder of the next start.
 */
#ifndef SPANWIRE_CONTROLLER_BACKUP_RESTORE_H
#define SPANWIRE_CONTROLLER_BACKUP_RESTORE_H

#include "controller/backup/archive.h"

/*
 * Slow, for the pool. All that A holds is written to DIR/restore (store/staged.h), with the CA and the key-encryption key
 * of DIR, in a store with an epoch of its own, so that engines resync. BY: name of who restores. Whole or, with a
 * sentence, not at all: then nothing has changed. When it returns 0 the controller is to be started again.
 */
int restore_stage(const struct archive *a, const char *dir, const char *by, struct err *e);

#endif
