/*
 * machine - how busy the machine is that we run on: its processors, its memory, a disk.
 */
#ifndef SPANWIRE_BASE_MACHINE_H
#define SPANWIRE_BASE_MACHINE_H

#include <stdint.h>

struct machine {
	/* Of all processors together, since the machine began. Time that somebody else's machine took is neither. */
	uint64_t cpu_busy_ms, cpu_idle_ms;
	unsigned memory_permille; /* in use, and not to be had for the asking */
	unsigned disk_permille;   /* as far as we may fill it */
};

/* DISK: any path on the disk that is meant. What cannot be read is zero. */
void machine_read(struct machine *m, const char *disk);
/* The same of these texts, as /proc/stat and /proc/meminfo have them. */
void machine_parse(struct machine *m, const char *stat, const char *meminfo);

#endif
