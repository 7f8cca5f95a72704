"""An engine that checks ten thousand servers: what of a core it takes, and whether it asks evenly.

On veth pairs the way of each packet through the bridge and into the server's kernel is charged to the engine
(bench/cpu.py): that is in `core`, and what comes to the engine in the server's time is not. `core_alone` is what the
engine's machine would have to do: each end of a cable hands its packets to a kernel thread of its own, and of these
the engine's is counted, with what it takes to wake them.
"""

from __future__ import annotations

import pathlib
import time
from typing import Any

from bench.cpu import process_seconds
from lab.host import until

POOLS, SERVERS = 2, 5000      # of each pool
INTERVAL = 10                 # seconds between two checks of a server
MEASURED = 30                 # seconds
ALONE = 15                    # likewise


def address(n: int) -> str:
    return f"10.128.{n // 250}.{n % 250 + 1}"


def requests_of(web: Any) -> list[float]:
    """When requests came, by the server's log."""
    return [float(line.split()[0]) for line in (web.dir / "times.log").read_text().splitlines()]


def threads_of(interface: str) -> set[int]:
    """The kernel's, that receive for interfaces of that name, whosever they are."""
    return {int(stat.parent.name) for stat in pathlib.Path("/proc").glob("[0-9]*/comm")
            if stat.read_text().startswith(f"napi/{interface}-")}


def alone(lab: Any, engine: Any, web: Any) -> float:
    """CPU seconds a second of warden, proxy, and whatever receives for them."""
    others = threads_of("back0")
    for host, interface in ((engine, "back0"), (web, "eth0"), *((lab.back, port) for port in lab.back.ports)):
        host.run("ethtool", "-K", interface, "tso", "off", "gro", "on")
        host.run("sh", "-c", f"echo 1 > /sys/class/net/{interface}/threaded")
    pids = [engine.warden, engine.proxy, *until(lambda: threads_of("back0") - others, "the engine receives in a thread")]
    before, since = process_seconds(pids), time.monotonic()
    time.sleep(ALONE)
    return (process_seconds(pids) - before) / (time.monotonic() - since)


def measure(lab: Any) -> list[tuple[str, str, list[float], str]]:
    """Name, unit, values, target."""
    web = lab.server()
    # One host answers for them all; its log has the time of each request.
    web.ip("route", "add", "local", "10.128.0.0/16", "dev", "lo")
    web.stop()
    text = web.config.read_text().replace("log_format", "log_format times '$msec';\n    log_format", 1)
    at = text.index("location = /health {") + len("location = /health {")
    web.config.write_text(f"{text[:at]}\n            access_log {web.dir}/times.log times;{text[at:]}")
    web.serve()
    engine = lab.engine(workers=1)
    engine.ip("route", "add", "10.128.0.0/16", "via", web.ip4)
    monitor = lab.health_monitor("http", "each", send_interval=INTERVAL, receive_timeout=4, successful_checks=1)
    services = [lab.virtual_service(
        [{"ip": {"addr": address(pool * SERVERS + n), "type": "V4"}, "port": 80} for n in range(SERVERS)],
        name=f"many{pool}", http=False, monitor=monitor) for pool in range(POOLS)]
    began = time.monotonic()
    until(lambda: all(lab.api.get(f"pool/{s.pool_uuid}/runtime")["num_servers_up"] == SERVERS for s in services),
          "all servers are up", 120, every=0.5)
    first = time.monotonic() - began
    time.sleep(INTERVAL)        # the first regular checks lie anywhere in the interval
    pids = [engine.warden, engine.proxy]
    before, since = process_seconds(pids), time.time()
    time.sleep(MEASURED)
    spent, until_ = process_seconds(pids) - before, time.time()
    times = [t for t in requests_of(web) if since <= t < until_]
    in_100ms: dict[int, int] = {}
    for t in times:
        in_100ms[int(t * 10)] = in_100ms.get(int(t * 10), 0) + 1
    mean = len(times) / (until_ - since) / 10
    return [("health_10000_servers_first_verdicts", "s", [first], ""),
            ("health_10000_servers_checks", "/s", [len(times) / (until_ - since)], ""),
            ("health_10000_servers_core", "%", [spent / (until_ - since) * 100], "<=10%"),
            ("health_10000_servers_core_alone", "%", [alone(lab, engine, web) * 100], "<=10%"),
            ("health_10000_servers_most_in_100ms_to_mean", "", [max(in_100ms.values()) / mean], "<=2")]
