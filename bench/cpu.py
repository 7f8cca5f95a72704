"""CPU time of processes, all threads counted, to the nanosecond.

The kernel charges what softirqs do to the process in whose time they run; on
veth pairs that is the whole way of a packet. So the sum over client, engine
and server is the cost of the path, and what else the machine does is not in it.
"""

from __future__ import annotations

import pathlib
import resource


def process_seconds(pids: list[int]) -> float:
    """CPU time of the living threads of these processes."""
    spent = 0
    for pid in pids:
        for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
            spent += int((thread / "schedstat").read_text().split()[0])
    return spent / 1e9


def children_seconds() -> float:
    """CPU time of the programs that were run and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
