/*
 * What a meter is made of: for meter.c, which writes it, and reading.c, which reads it.
 */
#ifndef SPANWIRE_CONTROLLER_METRICS_METER_INSIDE_H
#define SPANWIRE_CONTROLLER_METRICS_METER_INSIDE_H

#include "controller/metrics/meter.h"
#include "controller/metrics/series.h"
#include "controller/metrics/tape.h"

struct meter {
	size_t limit;
	struct roster all;
	uint64_t open_s[TAPES];    /* when the steps began that are not over */
	uint64_t opened_ms[TAPES]; /* since when these were listened to */
	struct tape tapes[TAPES];
	json_t *own;               /* what the controller said of itself last */
};

extern const unsigned meter_steps_s[TAPES];

#endif
