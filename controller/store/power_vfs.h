/*
 * power_vfs - files for SQLite in a world where the power can fail.
 *
 * Files are in memory, twice: as programs see them, and as the disk holds them. A write reaches
 * the disk when its file is synced, a new or removed name when a new file is synced (which syncs
 * the folder). After a set number of operations the power fails: everything answers with an error
 * until power_back(), and then what was not synced is gone, or, as disks really do it, sectors of
 * it chosen by chance have survived.
 */
#ifndef SPANWIRE_CONTROLLER_STORE_POWER_VFS_H
#define SPANWIRE_CONTROLLER_STORE_POWER_VFS_H

#include <stdbool.h>
#include <stdint.h>

/* What a disk may do to the promise; for tests that show that they can fail. */
enum power_lie { POWER_HONEST, POWER_SYNC_DOES_NOTHING };

/* Make these files the default of SQLite; every open file name lives in one flat folder. */
void power_register(void);
/* Forget all files. */
void power_reset(enum power_lie lie);
/* The power fails at the Nth operation that changes something, from now. */
void power_fail_after(uint64_t n);
bool power_is_off(void);
/*
 * Everything that changes something is refused with this code of SQLite's (SQLITE_FULL ...); 0:
 * no longer.
 */
void power_refuse(int code);
/*
 * TEAR: sectors of what was not synced survive by chance; else none of it. RANDOM gives 64 random
 * bits.
 */
void power_back(bool tear, uint64_t (*random)(void));
#endif
