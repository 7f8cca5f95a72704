#include "base/machine.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include "base/base.h"
#include "base/proc.h"

void machine_parse(struct machine *m, const char *stat, const char *meminfo)
{
	unsigned long long user, nice, sys, idle, iowait, irq, softirq;
	uint64_t total = proc_number(meminfo, "MemTotal"), free = proc_number(meminfo, "MemAvailable"), tick = 1000 / (uint64_t)sysconf(_SC_CLK_TCK);

	*m = (struct machine){ .disk_permille = m->disk_permille };
	if (sscanf(stat, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &sys, &idle, &iowait, &irq, &softirq) == 7) {
		m->cpu_busy_ms = (user + nice + sys + irq + softirq) * tick;
		m->cpu_idle_ms = (idle + iowait) * tick;
	}
	if (total >= free && total)
		m->memory_permille = (unsigned)((total - free) * 1000 / total);
}

static unsigned disk_permille(const char *path)
{
	struct statvfs s;

	if (statvfs(path, &s) < 0 || s.f_blocks <= s.f_bfree - s.f_bavail || s.f_bfree < s.f_bavail)
		return 0;
	/* What is kept for root is neither full nor free. */
	return (unsigned)((uint64_t)(s.f_blocks - s.f_bfree) * 1000 / (s.f_blocks - (s.f_bfree - s.f_bavail)));
}

void machine_read(struct machine *m, const char *disk)
{
	CLEANUP_FREE char *stat = proc_text("/proc/stat"), *meminfo = proc_text("/proc/meminfo");

	machine_parse(m, stat, meminfo);
	m->disk_permille = disk_permille(disk);
}
