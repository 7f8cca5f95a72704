"""What is asked, how it is taken in turn, and what the whole path of it costs."""

from __future__ import annotations

import os
import re
from typing import Callable, TypeVar

from bench.cpu import children_seconds, process_seconds
from lab.client import Client
from lab.lab import Lab, ROOT

CONNECTIONS = 32
RATE, SECONDS = 2000, 3                 # of the steady load
STEADY = ROOT / "build" / "bench" / "steady"
T = TypeVar("T")


def unlimited(lab: Lab) -> str:
    """A profile that keeps connections as long as the peers do."""
    made = lab.api.post("applicationprofile", {
        "name": "bench", "type": "APPLICATION_PROFILE_TYPE_HTTP", "http_profile": {"max_keepalive_requests": 1000000}})
    return f"/api/applicationprofile/{made['uuid']}"


def h2load(client: Client, url: str, requests: int) -> float:
    """As fast as it is answered; requests a second."""
    out = client.run("h2load", "--h1", "-n", requests, "-c", CONNECTIONS, "-t", 1, url, timeout=300).stdout
    done = next(line for line in out.splitlines() if line.startswith("requests:"))
    if f"{requests} succeeded" not in done:
        raise SystemExit(f"{url}: not every request was answered: {done}")
    return float(re.search(r"([\d.]+) req/s", out).group(1))


def ahead(pids: list[int]) -> None:
    """From now on these wait for nothing else that the machine does: else p99 is a matter of the scheduler."""
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(1))


def p99_us(client: Client, vip: str, rate: int, seconds: int) -> float:
    """Of requests that are sent when they are due, not when the one before is answered."""
    out = client.run("chrt", "--fifo", 1, STEADY, vip, 80, "/files/128", rate, seconds, CONNECTIONS, timeout=seconds + 60).stdout
    return float(re.search(r"p99 (\d+)", out).group(1))


def path_us(client: Client, url: str, requests: int, pids: list[int]) -> float:
    """CPU time for each request of all who have to do with it, softirqs included: the client and PIDS."""
    before = process_seconds(pids) + children_seconds()
    h2load(client, url, requests)
    return (process_seconds(pids) + children_seconds() - before) / requests * 1e6


def in_turn(rounds: int, contestants: dict[str, Callable[[], T]]) -> dict[str, list[T]]:
    """What each gave in each round. Every round another one begins; one before the first warms up."""
    names, found = list(contestants), {name: [] for name in contestants}
    for round_ in range(-1, rounds):
        for i in range(len(names)):
            name = names[(i + round_) % len(names)]
            value = contestants[name]()
            if round_ >= 0:
                found[name].append(value)
    return found


def in_slices(rounds: int, slices: int, contestants: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """
    The mean of so many short ones in turn, each round: other work of the machine falls on all alike, and what happens once
    a second, into some slice of each. For what differs by a hundredth.
    """
    found: dict[str, list[float]] = {name: [] for name in contestants}
    in_turn(0, contestants)
    for round_ in range(rounds):
        sums = dict.fromkeys(contestants, 0.0)
        for slice_ in range(slices):
            for name in list(contestants)[:: 1 if (round_ + slice_) % 2 else -1]:
                sums[name] += contestants[name]()
        for name, total in sums.items():
            found[name].append(total / slices)
    return found
