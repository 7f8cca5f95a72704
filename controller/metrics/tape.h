/*
 * tape - what was counted in each step, packed, the newest so many steps of it.
 *
 * A page is one step: for each series that had something to say its columns that are not zero, and which engines
 * were heard. Pages are written whole, in the order of time, and never change; the oldest are dropped whole. A step
 * without a page is a gap. A series is a number; what it stands for is the meter's (meter.h).
 */
#ifndef SPANWIRE_CONTROLLER_METRICS_TAPE_H
#define SPANWIRE_CONTROLLER_METRICS_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct page {
	uint64_t at_s;       /* when the step began, seconds since 1970 */
	uint32_t covered_ms; /* so much of it was listened to */
	uint32_t entries_n, heard_n;
	size_t bytes;        /* of all of it */
	struct page_entry {
		uint32_t series, offset;
	} *entries;          /* by series */
	struct page_heard {
		uint32_t engine, reports;
	} *heard;
	const uint8_t *packed;
};

struct tape {
	unsigned step_s;
	size_t pages_max;
	struct page **pages; /* oldest first, beginning at `first` */
	size_t first, n, room;
	size_t bytes;        /* of all pages */
	void (*forget)(void *arg, uint32_t series); /* an entry of it went with its page */
	void *arg;
};

/* A page in the making. */
struct draft {
	uint64_t at_s;
	uint32_t covered_ms;
	struct page_entry *entries;
	size_t entries_n, entries_room;
	struct page_heard *heard;
	size_t heard_n, heard_room;
	uint8_t *packed;
	size_t packed_n, packed_room;
};

void tape_init(struct tape *t, unsigned step_s, size_t pages_max, void (*forget)(void *arg, uint32_t series), void *arg);
void tape_fini(struct tape *t);

/* V: N columns, at most 64; what is below zero is written as zero. False: all are zero, and nothing was written. */
bool draft_put(struct draft *d, uint32_t series, const int64_t *v, size_t n);
void draft_hear(struct draft *d, uint32_t engine, uint32_t reports);
/* The page is written; D is empty again. It must be younger than all that is there. */
void tape_write(struct tape *t, struct draft *d);

/* The page of the step that begins at AT_S; NULL: a gap, or dropped. */
const struct page *tape_page(const struct tape *t, uint64_t at_s);
/* The one that so many are older than. */
struct page *tape_at(const struct tape *t, size_t i);
const struct page *tape_newest(const struct tape *t);
/* Adds the columns of SERIES to V, which has N. False: it has nothing there. */
bool page_add(const struct page *p, uint32_t series, int64_t *v, size_t n);
/* Reports of that engine in the step; 0: it was not heard. */
uint32_t page_reports(const struct page *p, uint32_t engine);

void tape_drop_oldest(struct tape *t);
/* Those of AT_S and later: the clock was set back. */
void tape_drop_from(struct tape *t, uint64_t at_s);

#endif
