#include "engine/reach/inspect.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "base/proc.h"
#include "engine/reach/listing.h"
#include "engine/reach/netlink.h"

static json_int_t ms_of(unsigned long long ticks)
{
	return (json_int_t)(ticks * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK));
}

/* ---- processors and memory --------------------------------------------------------------- */

struct process_of_ours {
	const char *name;
	int pid;
};

static void processes(const struct inspect *i, json_t *(*f)(int pid), json_t *out)
{
	const struct process_of_ours ours[] = { { "warden", (int)getpid() },
						{ "proxy", i->proxy_pid } };
	json_t *list = json_array();

	for (size_t p = 0; p < ARRAY_SIZE(ours); p++) {
		json_t *one = ours[p].pid ? f(ours[p].pid) : NULL;

		if (!one)
			continue;
		json_object_set_new(one, "name", json_string(ours[p].name));
		json_object_set_new(one, "pid", json_integer(ours[p].pid));
		json_array_append_new(list, one);
	}
	json_object_set_new(out, "processes", list);
}

static json_t *process_cpu(int pid)
{
	CLEANUP_FREE char *text = proc_text("/proc/%d/stat", pid);
	/* The name may hold anything, a ")" too. */
	const char *p = strrchr(text, ')');
	unsigned long long user, sys;

	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
			 &sys) != 2)
		return NULL;
	return json_pack("{s:I, s:I}", "user_ms", ms_of(user), "system_ms", ms_of(sys));
}

static json_t *cpu(const struct inspect *i)
{
	CLEANUP_FREE char *text = proc_text("/proc/stat"), *load = proc_text("/proc/loadavg");
	json_t *cpus = json_array(), *out;
	double one = 0, five = 0, fifteen = 0;

	for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		unsigned long long user, nice, sys, idle, iowait, irq, softirq, steal;
		int n;

		/* "cpu 1 2 3": the sum of all, whose first number is none of a CPU. */
		if (!strncmp(p, "cpu ", 4) || sscanf(p, "cpu%d %llu %llu %llu %llu %llu %llu %llu %llu", &n, &user, &nice,
			   &sys, &idle, &iowait, &irq, &softirq, &steal) != 9)
			continue;
		json_array_append_new(cpus, json_pack("{s:i, s:I, s:I, s:I, s:I, s:I}", "cpu", n,
						      "user_ms", ms_of(user + nice), "system_ms",
						      ms_of(sys), "interrupt_ms",
						      ms_of(irq + softirq), "idle_ms",
						      ms_of(idle + iowait), "stolen_ms",
						      ms_of(steal)));
	}
	sscanf(load, "%lf %lf %lf", &one, &five, &fifteen);
	out = json_pack("{s:i, s:o, s:[f, f, f]}", "num_cpus", (int)json_array_size(cpus), "cpus",
			cpus, "load", one, five, fifteen);
	processes(i, process_cpu, out);
	return out;
}

static json_t *process_memory(int pid)
{
	CLEANUP_FREE char *text = proc_text("/proc/%d/status", pid);

	return *text ? json_pack("{s:I, s:I}", "resident_kb", (json_int_t)proc_number(text, "VmRSS"), "peak_kb",
				 (json_int_t)proc_number(text, "VmHWM"))
		     : NULL;
}

static json_t *meminfo(const struct inspect *i)
{
	CLEANUP_FREE char *text = proc_text("/proc/meminfo");
	static const struct {
		const char *name, *kernels;
	} lines[] = {
		{ "mem_total_kb", "MemTotal" }, { "mem_free_kb", "MemFree" }, { "mem_available_kb", "MemAvailable" },
		{ "cached_kb", "Cached" }, { "swap_total_kb", "SwapTotal" }, { "swap_free_kb", "SwapFree" },
	};
	json_t *out = json_object();

	for (size_t k = 0; k < ARRAY_SIZE(lines); k++)
		json_object_set_new(out, lines[k].name, json_integer((json_int_t)proc_number(text, lines[k].kernels)));
	processes(i, process_memory, out);
	return out;
}

/* ---- the network ------------------------------------------------------------------------------ */

static json_t *interfacesummary(const struct inspect *i)
{
	return netlink_interfaces_json(i->netlink);
}

static json_t *interface(const struct inspect *i)
{
	static const char *const counters[] = {
		"rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "rx_fifo", "rx_frame",
		"rx_compressed", "rx_multicast", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped",
		"tx_fifo", "tx_collisions", "tx_carrier", "tx_compressed"
	};
	/* Not /proc/net: the namespace is that of the thread that opens it. */
	CLEANUP_FREE char *text = proc_text("/proc/thread-self/net/dev");
	json_t *list = netlink_interfaces_json(i->netlink), *one;
	size_t at;

	json_array_foreach(list, at, one) {
		const char *p = proc_line(text, json_str(one, "name", ""));
		json_t *stats = json_object();

		for (size_t c = 0; p && c < ARRAY_SIZE(counters); c++) {
			char *end;

			json_object_set_new(stats, counters[c],
					    json_integer((json_int_t)strtoull(p, &end, 10)));
			p = end;
		}
		json_object_set_new(one, "statistics", stats);
	}
	return list;
}

static json_t *arptable(const struct inspect *i)
{
	return listing_neighbours(i->netlink, AF_INET);
}

static json_t *ndtable(const struct inspect *i)
{
	return listing_neighbours(i->netlink, AF_INET6);
}

static json_t *route(const struct inspect *i)
{
	return listing_routes(i->netlink);
}

/* Two lines of /proc/net/snmp that begin with "NAME:", names and values. */
static json_t *snmp(const char *name)
{
	CLEANUP_FREE char *text = proc_text("/proc/thread-self/net/snmp");
	char *names = (char *)proc_line(text, name), *values, *s, *t;
	json_t *out = json_object();

	if (!names || !(values = (char *)proc_line(strchr(names, '\n') ? strchr(names, '\n') : "", name)))
		return out;
	names[strcspn(names, "\n")] = '\0';
	values[strcspn(values, "\n")] = '\0';
	while ((s = strsep(&names, " ")) && (t = strsep(&values, " ")))
		if (*s && *t)
			json_object_set_new(out, s, json_integer(strtoll(t, NULL, 10)));
	return out;
}

static json_t *ipstat(const struct inspect *i)
{
	(void)i;
	return snmp("Ip");
}

static json_t *icmpstat(const struct inspect *i)
{
	(void)i;
	return snmp("Icmp");
}

static json_t *vnicdb(const struct inspect *i)
{
	return netlink_vnics_json(i->netlink);
}

json_t *inspect(const struct inspect *i, const char *what)
{
	static const struct {
		const char *what;
		json_t *(*look)(const struct inspect *i);
	} looks[] = {
		{ "cpu", cpu },
		{ "meminfo", meminfo },
		{ "interface", interface },
		{ "interfacesummary", interfacesummary },
		{ "arptable", arptable },
		{ "ndtable", ndtable },
		{ "route", route },
		{ "ipstat", ipstat },
		{ "icmpstat", icmpstat },
		{ "vnicdb", vnicdb },
	};

	for (size_t l = 0; l < ARRAY_SIZE(looks); l++)
		if (strcmp(looks[l].what, what) == 0)
			return looks[l].look(i);
	return NULL;
}
