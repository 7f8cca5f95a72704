"""An engine that checks ten thousand servers: what of a core it takes, and whether it asks evenly.

On veth pairs the way of each packet through the bridge and into the server's kernel is charged to the engine
(bench/cpu.py); it is some 40 per cent of the proxy's time here.
"""

from __future__ import annotations

import time
from typing import Any

from bench.cpu import process_seconds
from lab.host import until

POOLS, SERVERS = 2, 5000      # of each pool
INTERVAL = 10                 # seconds between two checks of a server
MEASURED = 30                 # seconds


def address(n: int) -> str:
    return f"10.128.{n // 250}.{n % 250 + 1}"


def requests_of(web: Any) -> list[float]:
    """When requests came, by the server's log."""
    return [float(line.split()[0]) for line in (web.dir / "times.log").read_text().splitlines()]


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
            ("health_10000_servers_most_in_100ms_to_mean", "", [max(in_100ms.values()) / mean], "<=2")]
