/*
 * metering - what keeps the meter (controller/metrics/meter.h) going: the clock, how much memory it may take
 * (controllerproperties.metrics_memory_mb), what the controller says of itself, and that nothing is kept of what is no more.
 */
#ifndef SPANWIRE_CONTROLLER_METERING_H
#define SPANWIRE_CONTROLLER_METERING_H

struct controller;
struct metering;

/* C's store must be open. C->meter is there until metering_close(). */
struct metering *metering_open(struct controller *c);
/* NULL is legal. */
void metering_close(struct metering *x);

#endif
