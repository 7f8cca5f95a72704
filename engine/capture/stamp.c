#include "engine/capture/stamp.h"

#include <time.h>

#include "base/base.h"

/* For tests: several engines on one machine have one clock, and shall not show the same. */
static int64_t skew_ns(void)
{
	static bool known;
	static int64_t skew;
	const char *text = known ? NULL : getenv("SPANWIRE_CLOCK_SKEW_MS");

	if (text)
		skew = strtoll(text, NULL, 10) * (int64_t)NS_PER_MS;
	known = true;
	return skew;
}

int64_t stamp_offset_ns(void)
{
	struct timespec wall;
	int64_t before = (int64_t)mono_ns(), after;

	clock_gettime(CLOCK_REALTIME, &wall);
	after = (int64_t)mono_ns();
	return (int64_t)wall.tv_sec * (int64_t)NS_PER_S + wall.tv_nsec - (before + (after - before) / 2) + skew_ns();
}

uint64_t stamp_now_us(void)
{
	return (uint64_t)((int64_t)mono_ns() + stamp_offset_ns()) / NS_PER_US;
}
