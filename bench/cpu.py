"""CPU time of processes, to the nanosecond: of all their threads, also of those that are gone.

The kernel charges what softirqs do to the process in whose time they run; on
veth pairs that is the whole way of a packet. So the sum over client, engine
and server is the cost of the path, and what else the machine does is not in it.
"""

from __future__ import annotations

import resource
import time

CPUCLOCK_SCHED = 2


def process_seconds(pids: list[int]) -> float:
    """CPU time of these processes: by their clocks, which clock_getcpuclockid(3) would name so."""
    return sum(time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED) for pid in pids)


def children_seconds() -> float:
    """CPU time of the programs that were run and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
