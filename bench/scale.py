"""A controller with ten thousand virtual services: what reading, writing, starting and a change cost."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import ssl
import statistics
import time
from typing import Any, Callable, Optional

from lab.controller import Controller
from lab.host import until

SERVICES = 10000
SERVERS = 5         # of each pool


class Caller:
    """One kept connection to the API; a library would cost more than what is measured."""

    def __init__(self, controller: Controller):
        self.controller = controller
        with controller.entered():
            self.line = http.client.HTTPSConnection(
                controller.eth.ip, 9443, context=ssl._create_unverified_context(), timeout=60)
            self.line.connect()
        self.headers: dict[str, str] = {}

    def send(self, method: str, path: str, body: Any = None) -> bytes:
        self.line.request(method, path, None if body is None else json.dumps(body), self.headers)
        answer = self.line.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {data[:300]!r}")
        self.cookies = answer.headers.get_all("Set-Cookie") or []
        return data

    def login(self) -> "Caller":
        self.headers = {"Content-Type": "application/json"}
        self.send("POST", "/login", {"username": "admin", "password": self.controller.password})
        pairs = dict(c.split(";")[0].split("=", 1) for c in self.cookies)
        self.headers |= {"Cookie": "; ".join(f"{k}={v}" for k, v in pairs.items()),
                         "X-CSRFToken": pairs["csrftoken"], "Referer": self.controller.url}
        return self

    def find(self, kind: str, name: str) -> dict:
        return json.loads(self.send("GET", f"/api/{kind}?name={name}"))["results"][0]


def service(i: int) -> dict:
    """It is off: engines have other things to do while the store is what is measured."""
    addr = f"10.{100 + i // 65536}.{i // 256 % 256}.{i % 256}"
    servers = [{"ip": {"addr": f"172.{16 + j}.{i // 250 % 250}.{i % 250 + 1}", "type": "V4"}, "port": 80}
               for j in range(SERVERS)]
    return {"model_name": "VirtualService", "data": {
        "name": f"vs{i:05}", "enabled": False, "services": [{"port": 80}],
        "vsvip_ref_data": {"name": f"vip{i:05}",
                           "vip": [{"vip_id": "1", "ip_address": {"addr": addr, "type": "V4"}}]},
        "pool_ref_data": {"name": f"pool{i:05}", "servers": servers}}}


def each_ms(times: int, call: Callable[[int], object]) -> list[float]:
    took = []
    for i in range(times):
        began = time.perf_counter()
        call(i)
        took.append((time.perf_counter() - began) * 1000)
    return took


def per_second(callers: list[Caller], times: int, call: Callable[[Caller, int], object]) -> float:
    """Calls a second, by all callers at once."""
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(len(callers)) as pool:
        for done in [pool.submit(lambda c: [call(c, i) for i in range(times)], c) for c in callers]:
            done.result()
    return len(callers) * times / (time.perf_counter() - began)


def fill(callers: list[Caller], services: int) -> None:
    def load(share: int) -> None:
        for i in range(share, services, len(callers)):
            callers[share].send("POST", "/api/macro", service(i))

    with concurrent.futures.ThreadPoolExecutor(len(callers)) as pool:
        list(pool.map(load, range(len(callers))))


def resident_mb(controller: Controller) -> float:
    with open(f"/proc/{controller.process.pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def change_ms(vs: Any, times: int) -> list[float]:
    """From a PATCH until the controller knows that the engine runs it."""
    def one(turn: int) -> None:
        vs.patch_pool(replace={"default_server_port": 1024 + turn % 2})
        until(lambda: all(e["up_to_date"] for e in vs.runtime()["service_engines"]),
              "the engine runs the change", 5, every=0.001)
    return each_ms(times, one)


def p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)]


def measure(lab: Any, services: Optional[int] = None) -> list[tuple[str, str, list[float], str]]:
    """Name, unit, values, target."""
    services = services or SERVICES
    lab.engine(workers=1)
    vs = lab.virtual_service([lab.server()])
    controller = lab.controller
    before = change_ms(vs, 200)
    callers = [Caller(controller).login() for _ in range(8)]
    fill(callers, services)
    one = callers[0]
    uuid = one.find("virtualservice", f"vs{services // 2:05}")["uuid"]
    pools = [one.find("pool", f"pool{i:05}")["uuid"] for i in range(len(callers))]

    def patch(c: Caller, i: int) -> None:
        c.send("PATCH", f"/api/pool/{pools[callers.index(c)]}",
               {"replace": {"default_server_port": 1000 + i}})

    def get(path: str) -> list[float]:
        return each_ms(50, lambda _: one.send("GET", path))

    def new_login(c: Caller, _: int) -> None:
        Caller(controller).login().line.close()

    rows = [
        ("scale_list_page_p99", "ms", [p99(get("/api/virtualservice?page=100"))], "<=50ms"),
        ("scale_inventory_page_p99", "ms", [p99(get("/api/virtualservice-inventory?page=100"))], "<=50ms"),
        ("scale_search_p99", "ms", [p99(get("/api/virtualservice?isearch=VS0500"))], ""),
        ("scale_get_p99", "ms", [p99(get(f"/api/virtualservice/{uuid}"))], "<=5ms"),
        ("scale_write_p50", "ms", [statistics.median(each_ms(300, lambda i: patch(one, i)))], ""),
        ("scale_writes_one_client", "/s", [per_second([one], 500, patch)], ""),
        ("scale_writes", "/s", [per_second(callers, 250, patch)], ">=500/s"),
        ("login", "/s", [per_second(callers[:2], 200, new_login)], ">=200/s"),
        ("change_to_ack_empty_p99", "ms", [p99(before)], "<100ms"),
        ("change_to_ack_full_p99", "ms", [p99(change_ms(vs, 200))], "<100ms"),
        ("scale_resident", "MB", [resident_mb(controller)], "<=500MB"),
    ]
    controller.kill()
    began = time.monotonic()
    controller.begin()
    return [*rows, ("scale_start", "s", [time.monotonic() - began], "<=5s")]
