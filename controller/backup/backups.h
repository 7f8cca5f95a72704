/*
 * backups - what schedulers make: exports in DIR/backups, each with a `backup` object, the newest N of a backupconfiguration.
 *
 * A scheduler of `admin` backs up the full system, one of another tenant that tenant (archive.h). What cannot be written is an
 * event, SCHEDULER_ACTION_FAILURE, and so is what could. A file goes with its object, whoever deletes that.
 */
#ifndef SPANWIRE_CONTROLLER_BACKUP_BACKUPS_H
#define SPANWIRE_CONTROLLER_BACKUP_BACKUPS_H

#include "controller/controller.h"

struct backups;

/* C's loop, pool and store must stand. */
struct backups *backups_start(struct controller *c);
/* Before the pool ends; a run that is under way is finished by it. NULL is legal. */
void backups_stop(struct backups *b);

/* The file of a backup object, for the caller to free. */
char *backups_path(const struct controller *c, const char *uuid);

#endif
