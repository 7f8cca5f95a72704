/*
 * clock_test - the clock of a test that must not depend on when the machine lets it run. mono_ns() is the machine's until
 * clock_stop(); from then on it stands still, and moves when the test says so: a timeout of half a minute takes no time, and
 * none fires early or late on a machine that was starved. For programs that are linked with --wrap=mono_ns; include
 * base/test.h first.
 */
#ifndef SPANWIRE_BASE_CLOCK_TEST_H
#define SPANWIRE_BASE_CLOCK_TEST_H

#include <stdatomic.h>

static _Atomic uint64_t clock_ns; /* 0: the machine's */

uint64_t __real_mono_ns(void);
uint64_t __wrap_mono_ns(void);
uint64_t __wrap_mono_ns(void)
{
	uint64_t at = atomic_load(&clock_ns);

	return at ? at : __real_mono_ns();
}

static inline void clock_stop(void)
{
	atomic_store(&clock_ns, __real_mono_ns());
}

static inline void clock_go(void)
{
	atomic_store(&clock_ns, 0);
}

static inline void clock_move(uint64_t ns)
{
	must(atomic_load(&clock_ns));
	atomic_fetch_add(&clock_ns, ns);
}

#endif
