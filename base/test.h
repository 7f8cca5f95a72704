/* test - what each *_test.c includes first: cmocka, in the order that it wants. */
#ifndef SPANWIRE_BASE_TEST_H
#define SPANWIRE_BASE_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/base.h"

/* What the calling thread has computed: a measure that stands still while others have the processor. */
static inline uint64_t computed_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

#endif
