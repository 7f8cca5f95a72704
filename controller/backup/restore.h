/*
 * restore - a full export becomes the data folder of the next start; and an export of a tenant, objects of this one.
 */
#ifndef SPANWIRE_CONTROLLER_BACKUP_RESTORE_H
#define SPANWIRE_CONTROLLER_BACKUP_RESTORE_H

#include "controller/backup/archive.h"
#include "controller/change.h"

/*
 * Slow, for the pool. All that A holds is written to DIR/restore (store/staged.h), with the CA and the key-encryption key
 * of DIR, in a store with an epoch of its own, so that engines resync. BY: name of who restores. Whole or, with a
 * sentence, not at all: then nothing has changed. When it returns 0 the controller is to be started again.
 */
int restore_stage(const struct archive *a, const char *dir, const char *by, struct err *e);

/*
 * For the core: the objects of A go into the tenant of C's writer, in C's transaction. An object that is there under the same uuid,
 * or the same name, is replaced; the others are made; none is deleted. Secrets that the file left out stay as they are. References
 * lead to what the file brings, else to the tenant's object of that uuid, else to what has that name for the tenant. *N (may be NULL): how many.
 */
int restore_merge(const struct archive *a, struct change *c, size_t *n, struct err *e);

#endif
