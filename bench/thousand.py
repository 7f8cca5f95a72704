"""An engine with a thousand virtual services: what all of them at once cost it, and what they cost each request.

Their servers are not checked: that is a cost of its own (bench/health.py). Requests are compared with those of a second
engine, which has one service, both in turn: what a request costs drifts by more than what is looked for. How far apart the
two engines are before one of them has more than the other is said, too.
"""

from __future__ import annotations

import concurrent.futures
import json
import time
from typing import Any, Callable, Iterator

from bench.cpu import process_seconds
from bench.load import in_slices
from bench.result import Result
from bench.scale import Caller
from lab.host import until

SLICES = 20              # of a round, each of a tenth of its requests
SERVICES = 999           # beside those that are asked: one among them, and one of an engine of its own
NETWORK = "10.200"          # /16, of their VIPs, on the clients' side


def service(i: int, web: Any) -> dict:
    return {"model_name": "VirtualService", "data": {
        "name": f"many{i:04}", "services": [{"port": 80}],
        "application_profile_ref": "/api/applicationprofile?name=System-HTTP",
        "vsvip_ref_data": {"name": f"many-vip{i:04}", "vip": [{
            "vip_id": "1", "ip_address": {"addr": f"{NETWORK}.{1 + i // 250}.{i % 250 + 1}", "type": "V4"}}]},
        "pool_ref_data": {"name": f"many-pool{i:04}",
                          "servers": [{"ip": {"addr": web.ip4, "type": "V4"}, "port": web.port}]}}}


def network(engine: Any) -> None:
    """Known to the switch's other hosts by nobody: no service of these is asked."""
    engine.ip("addr", "add", f"{NETWORK}.0.1/16", "dev", "front0")


def up(caller: Caller) -> int:
    page = json.loads(caller.send("GET", "/api/virtualservice-inventory?page_size=200&include=runtime&page=1"))
    found = page["results"]
    while page.get("next"):
        page = json.loads(caller.send("GET", page["next"][page["next"].index("/api/"):]))
        found += page["results"]
    return sum(one["runtime"]["oper_status"]["state"] == "OPER_UP" for one in found)


def fill(callers: list[Caller], web: Any) -> None:
    def load(share: int) -> None:
        for i in range(share, SERVICES, len(callers)):
            callers[share].send("POST", "/api/macro", service(i, web))

    with concurrent.futures.ThreadPoolExecutor(len(callers)) as pool:
        list(pool.map(load, range(len(callers))))


def measure(lab: Any, engine: Any, web: Any, per_request: dict[str, Callable[[], float]],
            rounds: int) -> Iterator[Result]:
    """
    PER_REQUEST: CPU microseconds per request, now, of ENGINE's first service ("among") and of the
    other engine's only one ("alone").
    """
    alike = in_slices(rounds, SLICES, per_request)
    network(engine)
    group = lab.api.find("serviceenginegroup", "Default-Group")
    lab.api.patch(f"serviceenginegroup/{group['uuid']}", replace={"max_vs_per_se": 1000})
    callers = [Caller(lab.controller).login() for _ in range(4)]
    fill(callers, web)
    until(lambda: up(callers[0]) == SERVICES + 2, "all services are up", 120, every=0.5)
    until(lambda: idle(engine) < 0.2, "the engine has settled", 60, every=0.1)
    cost = in_slices(rounds, SLICES, per_request)
    rest = idle(engine, 5)
    again = [forgetful(engine, callers[0]) for _ in range(3)]
    yield Result("request_of_two_engines_alike", "us", alike["among"], alike["alone"], "the other one")
    yield Result("request_among_1000_services", "us", cost["among"], cost["alone"], "alone", "<=1.02")
    yield Result("idle_with_1000_services", "% of a core", [rest * 100])
    for i, (name, unit, target) in enumerate(SNAPSHOT):
        yield Result(f"snapshot_1000_services_{name}", unit, [one[i] for one in again], target=target)


SNAPSHOT = ("applied", "ms", "<=50ms"), ("warden", "ms of CPU", ""), ("proxy", "ms of CPU", ""), ("up", "s", "")


def forgetful(engine: Any, caller: Caller) -> list[float]:
    """What it holds is forgotten, and the controller tells it everything again: as in SNAPSHOT."""
    apply_us = lambda: engine.runtime()["stats"]["config_apply_us"]     # noqa: E731
    engine.stop()
    before = apply_us()
    (engine.state / "desired.json").unlink()
    # To list them all is work for the controller, which has enough of it just then.
    last = f"/api/virtualservice/{caller.find('virtualservice', f'many{SERVICES - 1:04}')['uuid']}/runtime"
    began = time.monotonic()
    engine.begin()
    until(lambda: json.loads(caller.send("GET", last))["oper_status"]["state"] == "OPER_UP", "one is up again", 120, every=0.02)
    until(lambda: up(caller) == SERVICES + 2, "all services are up again", 120, every=0.1)
    whole = time.monotonic() - began
    spent = [process_seconds([pid]) * 1000 for pid in (engine.warden, engine.proxy)]
    until(lambda: apply_us() > before, "the engine has told how long it took", every=0.1)
    return [(apply_us() - before) / 1000, *spent, whole]


def idle(engine: Any, seconds: float = 1) -> float:
    """What of a core warden and proxy take, nobody asking."""
    pids = [engine.warden, engine.proxy]
    before, began = process_seconds(pids), time.monotonic()
    time.sleep(seconds)
    return (process_seconds(pids) - before) / (time.monotonic() - began)
