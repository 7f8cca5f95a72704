/*
 * stamp - the engine's wall clock, as packets are stamped with it and the controller is told it.
 *
 * Both go through here, so that what the controller measures over the link is exactly what it has to take off the stamps
 * of packets.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_STAMP_H
#define SPANWIRE_ENGINE_CAPTURE_STAMP_H

#include <stdint.h>

/* To be added to a time of CLOCK_MONOTONIC: nanoseconds since 1970. Another one after the clock was set. */
int64_t stamp_offset_ns(void);
uint64_t stamp_now_us(void);

#endif
