#include "engine/lack.h"

#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/base.h"

enum { KEPT_MIN = 16, KEPT_MAX = 1024, KEPT_SHARE = 16 };

/* The kernel gives the lowest number that is free: who gets a high one has heard how many there are. */
static atomic_int clients_end = INT_MAX, servers_end = INT_MAX;

void lack_look(void)
{
	struct rlimit r;
	int kept, all;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	all = r.rlim_cur < INT_MAX ? (int)r.rlim_cur : INT_MAX;
	kept = MIN(MAX(all / KEPT_SHARE, (int)KEPT_MIN), (int)KEPT_MAX);
	atomic_store_explicit(&servers_end, all - kept, memory_order_relaxed);
	atomic_store_explicit(&clients_end, all - 2 * kept, memory_order_relaxed);
}

bool lack_counts(struct engine_counters *c, int error)
{
	switch (error) {
	case EMFILE:
		counter_add(&c->lack_descriptors, 1);
		return true;
	case ENFILE:
		counter_add(&c->lack_descriptors_machine, 1);
		return true;
	case ENOBUFS:
	case ENOMEM:
		counter_add(&c->lack_memory, 1);
		return true;
	default:
		return false;
	}
}

int lack_server(struct engine_counters *c, int fd)
{
	int error = errno;

	if (fd >= 0 && fd < atomic_load_explicit(&servers_end, memory_order_relaxed))
		return fd;
	if (fd >= 0) {
		close(fd);
		error = EMFILE;
	}
	return lack_counts(c, error) ? LACK : -error;
}

bool lack_after_client(int fd)
{
	return fd >= atomic_load_explicit(&clients_end, memory_order_relaxed);
}

bool lack_persists(struct engine_counters *c, int fd)
{
	int next = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (next >= 0)
		close(next);
	return (next < 0 || lack_after_client(next)) && lack_counts(c, EMFILE);
}
