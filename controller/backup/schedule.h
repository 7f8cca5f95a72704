/*
 * schedule - when a scheduler is due. It knows no clock: who asks says what time it is.
 */
#ifndef SPANWIRE_CONTROLLER_BACKUP_SCHEDULE_H
#define SPANWIRE_CONTROLLER_BACKUP_SCHEDULE_H

#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

enum schedule_mode { SCHEDULE_PERIODIC, SCHEDULE_AT, SCHEDULE_NOW };

struct schedule {
	enum schedule_mode mode;
	uint64_t start_us, end_us; /* 0: not said */
	uint64_t every_us;	   /* periodic, in other units than months */
	unsigned every_months;
};

/* From the stored form of a scheduler. -EINVAL with the field: a time that is none, half a period. */
int schedule_read(const json_t *stored, struct schedule *out, struct err *e);

/*
 * When it is due next. LAST: when it ran last, 0: never; MADE: when it was made or changed. Runs that were missed while nobody
 * was there are made up for by one. 0: never again.
 */
uint64_t schedule_next(const struct schedule *s, uint64_t last_us, uint64_t made_us);

#endif
