/*
 * intake - an export of a tenant becomes objects of this one, slice by slice, so that nobody waits for the whole.
 *
 * The objects of the file go into the tenant of the writer. An object that is there under the same uuid, or the same name, is
 * replaced; the others are made; none is deleted. Secrets that the file left out stay as they are. References lead to what the file
 * brings, else to the tenant's object of that uuid, else to what has that name for the tenant.
 *
 * A slice is a transaction. When one object cannot be written all is taken back, the newest first, in slices as well; what
 * somebody else has changed by then stays as he wants it. The death of the process leaves what was written: importing
 * again goes on from there, as what is there is replaced by the same.
 */
#ifndef SPANWIRE_CONTROLLER_BACKUP_INTAKE_H
#define SPANWIRE_CONTROLLER_BACKUP_INTAKE_H

#include "controller/backup/archive.h"
#include "controller/change.h"

struct intake;

/* A may go afterwards. NULL: it cannot be read. */
struct intake *intake_new(const struct archive *a, struct err *e);
/*
 * One slice for BY, who may be another one each time, with less rights. 1: go on in the next turn. 0: done. Else all was
 * taken back, and E says why. Durable after store_sync(). NOTES are added to.
 */
int intake_step(struct intake *m, struct store *s, const struct change_by *by, struct model_notes *notes, struct err *e);
/* From now on it is taken back, for this reason. BY is no longer asked for. */
void intake_stop(struct intake *m, int code, const char *why);
bool intake_is_stopped(const struct intake *m);
/* Objects that were written. */
size_t intake_count(const struct intake *m);
/* NULL is legal. */
void intake_free(struct intake *m);

#endif
