"""The lab: one world of hosts and networks, and all that is taken away with it."""

from __future__ import annotations

import atexit
import collections
import contextlib
import fcntl
import itertools
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time
from typing import Any, Optional, Sequence, Union

from .api import Api
from .client import Client
from .controller import Controller
from .engine import Engine
from .host import Host, command, remove_namespace, until
from .sensor import Sensor
from .server import Server
from .switch import Switch

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOCKS = pathlib.Path("/run/spanwire-lab")


def claim() -> tuple[int, int]:
    """A number for a new lab, and the lock that says it lives; sweeps what dead labs left.

    A lab holds the lock of its number as long as its process lives, so one whose
    lock can be had is dead, however it died.
    """
    LOCKS.mkdir(exist_ok=True)
    mine = None
    for number in itertools.count(1):
        path = LOCKS / str(number)
        known = path.exists()
        if mine and not known:
            return mine
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        if known:
            sweep(f"swlab{number}")
        if mine:
            os.close(lock)
        else:
            mine = number, lock
    raise AssertionError


def sweep(prefix: str) -> None:
    # The kernel takes a cable away some time after the namespace of its other end; its name may be wanted at once.
    command("ip", "link", "del", prefix, check=False)
    for line in command("ip", "netns", "list").stdout.splitlines():
        name = line.split()[0]
        if name.startswith(f"{prefix}-"):
            remove_namespace(name)


class VirtualService:
    """A virtual service as its user sees it."""

    def __init__(self, lab: "Lab", made: dict, vip: Optional[str], vip6: Optional[str], port: int,
                 pool_uuid: str, vsvip_uuid: str):
        self.lab, self.uuid, self.name = lab, made["uuid"], made["name"]
        self.vip, self.vip6, self.port = vip, vip6, port
        self.pool_uuid, self.vsvip_uuid = pool_uuid, vsvip_uuid
        suffix = "" if port == 80 else f":{port}"
        self.url = f"http://{vip or f'[{vip6}]'}{suffix}/"
        self.url6 = f"http://[{vip6}]{suffix}/" if vip6 else ""

    def runtime(self) -> dict:
        return self.lab.api.get(f"virtualservice/{self.uuid}/runtime")

    def state(self) -> str:
        return self.runtime()["oper_status"]["state"]

    def reason(self) -> str:
        return " ".join(self.runtime()["oper_status"].get("reason") or [])

    def owner(self) -> Optional[Engine]:
        """The engine that the controller says has it."""
        for vip in self.runtime().get("vip_summary", []):
            for entry in vip.get("service_engine", []):
                for engine in self.lab.engines:
                    if engine.uuid and engine.uuid in (entry.get("uuid"),
                                                       str(entry.get("ref")).split("/")[-1]):
                        return engine
        return None

    def wait_up(self, seconds: float = 60) -> "VirtualService":
        def up() -> bool:
            return self.state() == "OPER_UP"
        try:
            until(up, f"{self.name} is up", seconds)
        except AssertionError as late:
            raise AssertionError(f"{late}; the controller says: {self.runtime()}") from None
        return self

    def clone_stats(self) -> list[dict]:
        return self.lab.api.get(f"virtualservice/{self.uuid}/traffic_clone_stats/")

    def clone_sums(self, rows: Optional[list[dict]] = None) -> collections.Counter:
        """The counters of the clone, over all engines and clone servers, through all changes of the profile; of one moment."""
        sums: collections.Counter = collections.Counter()

        def add(node: Any) -> None:
            for name, value in node.items() if isinstance(node, dict) else ((None, one) for one in node):
                if isinstance(value, (dict, list)):
                    add(value)
                elif isinstance(value, int):
                    sums[name] += value
        add([engine["lifetime"] for engine in (self.clone_stats() if rows is None else rows)])
        return sums

    def clone_sum(self, counter: str) -> int:
        """One of them: two that are asked for one after the other need not be of the same moment."""
        return self.clone_sums()[counter]

    def clone_told(self) -> collections.Counter:
        """What its engines had counted when this was asked for, or a little later."""
        now = time.time() * 1e6
        rows = until(lambda: (rows := self.clone_stats()) and min(row["time_us"] for row in rows) > now and rows,
                     f"the engines of {self.name} tell their counters")
        return self.clone_sums(rows)

    def wait_clone_ready(self) -> "VirtualService":
        """Its clone servers can be reached: of a flow that begins earlier nothing is copied."""
        now = time.time() * 1e6

        def ready() -> bool:
            lines = [line for row in self.clone_stats() if row["time_us"] > now for line in row["clone_srvr_stats"]]
            return bool(lines) and all(line.get("state", "").startswith("ready") for line in lines)
        try:
            until(ready, f"the clone servers of {self.name} are ready", every=0.1)
        except AssertionError as late:
            raise AssertionError(f"{late}: {self.clone_stats()}") from None
        return self

    def pool_runtime(self) -> list[dict]:
        return self.lab.api.get(f"pool/{self.pool_uuid}/runtime/server/")["results"]

    def server_state(self, server: Server) -> dict:
        """oper_status of one of its servers: state, reason."""
        for entry in self.pool_runtime():
            if server.ip4 in str(entry) or server.ip6 in str(entry):
                return entry["oper_status"]
        return {"state": "OPER_UNKNOWN"}

    def wait_servers_up(self, count: int, seconds: float = 60) -> "VirtualService":
        until(lambda: sum(entry["oper_status"]["state"] == "OPER_UP"
                          for entry in self.pool_runtime()) == count,
              f"{count} servers of {self.name} are up", seconds)
        return self

    def in_force(self) -> bool:
        """Its engines run what was written before this was asked."""
        now = self.runtime()
        return bool(now["service_engines"]) and all(
            on["up_to_date"] and on["revision"] >= now["revision"] for on in now["service_engines"])

    def patch(self, **operations: dict) -> dict:
        return self.lab.api.patch(f"virtualservice/{self.uuid}", **operations)

    def patch_pool(self, **operations: dict) -> dict:
        return self.lab.api.patch(f"pool/{self.pool_uuid}", **operations)


class Lab:
    """`with Lab() as lab:` makes a world and removes it, whatever happens in between.

    Networks: mgmt (controller, engines), front (clients, VIPs), back (servers),
    span (sensors); Switch says their addresses.
    """

    def __init__(self, folder: Optional[pathlib.Path] = None, workers: Optional[int] = None,
                 record: bool = False, seeded: bool = False):
        self.number, self.lock = claim()
        self.prefix = f"swlab{self.number}"
        self.keep = folder is not None
        self.dir = folder or pathlib.Path(tempfile.mkdtemp(prefix="spanwire-lab-"))
        self.dir.mkdir(parents=True, exist_ok=True)
        self.dir.chmod(0o755)           # an engine's proxy is not root
        self.workers = workers or int(os.environ.get("SPANWIRE_WORKERS", 0)) or None
        self.asked_workers = False      # an engine has as many as was said for all
        self.record, self.seeded = record, seeded
        self.hosts: list[Host] = []
        self.engines: list[Engine] = []
        self.closed = False
        self._controller: Optional[Controller] = None
        self._next: dict[str, int] = {}
        atexit.register(self.close)
        try:
            # Labs side by side may all be reached from the machine: their management differs.
            self.mgmt = self._host(Switch(self, "mgmt", 100 + self.number % 100))
            self.front = self._host(Switch(self, "front", 1))
            self.back = self._host(Switch(self, "back", 2))
            self.span = self._host(Switch(self, "span", 3))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        atexit.unregister(self.close)
        # A second Ctrl-C must not leave half of it behind.
        old = None
        with contextlib.suppress(ValueError):       # not the main thread
            old = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for host in reversed(self.hosts):
                with contextlib.suppress(Exception):
                    host.close()
            sweep(self.prefix)
            if not self.keep:
                shutil.rmtree(self.dir, ignore_errors=True)
            os.close(self.lock)
        finally:
            if old is not None:
                signal.signal(signal.SIGINT, old)

    def _host(self, host):
        self.hosts.append(host)
        return host

    def _number(self, what: str, first: int) -> int:
        number = self._next.get(what, first)
        self._next[what] = number + 1
        return number

    @staticmethod
    def program(name: str) -> pathlib.Path:
        path = pathlib.Path(os.environ.get("SPANWIRE_BIN", ROOT / "build/bin")) / name
        assert path.exists(), f"{path} is not built: run make"
        return path

    # Who lives in it

    def server(self, name: Optional[str] = None, port: int = 80, tls: bool = False) -> Server:
        n = self._number("server", 1)
        return self._host(Server(self, name or f"web{n}", self.back, 10 + n, port, tls))

    def client(self, name: Optional[str] = None, number: Optional[int] = None) -> Client:
        n = self._number("client", 1)
        return self._host(Client(self, name or f"client{n}", self.front, number or 50 + n))

    def sensor(self, name: Optional[str] = None, on: Optional[Switch] = None,
               number: Optional[int] = None) -> Sensor:
        """On a link of its own, or `on` another switch, such as lab.back."""
        n = self._number("sensor", 1)
        return self._host(Sensor(self, name or f"ids{n}", on or self.span, number or 70 + n))

    @property
    def controller(self) -> Controller:
        if self._controller is None:
            self._controller = self._host(Controller(self, "controller", self.mgmt, 10, self.seeded))
            self._controller.begin()
        return self._controller

    @property
    def api(self) -> Api:
        return self.controller.api

    def engine(self, name: Optional[str] = None, workers: Optional[int] = None, group: str = "Default-Group",
               before: Sequence[object] = ()) -> Engine:
        n = self._number("engine", 1)
        self.asked_workers |= not workers
        engine = Engine(self, name or f"engine{n}", 20 + n, workers or self.workers)
        self._host(engine)
        self.engines.append(engine)
        engine.begin(self.controller.token(group_name=group), before=before)
        engine.wait_connected()
        if self.record:
            engine.record()
        return engine

    def host_leg(self) -> str:
        """A cable from this machine itself to the management network; its address there."""
        name, address = f"{self.prefix}", self.mgmt.address(1)[0]
        port = f"p{len(self.mgmt.ports)}"
        self.mgmt.ports.append(port)
        command("ip", "link", "add", name, "type", "veth", "peer", "name", port,
                "netns", self.mgmt.ns)
        self.mgmt.ip("link", "set", port, "master", "br0", "up")
        command("ip", "addr", "add", f"{address}/24", "dev", name)
        command("ip", "link", "set", name, "up")
        return address

    # What is configured

    def ref(self, kind: str, name: str) -> str:
        return f"/api/{kind}?name={name}"

    def clone_profile(self, sensors: list[Sensor], preserve_client_ip: bool = False,
                      name: Optional[str] = None, mac: bool = False, **more: Any) -> str:
        """A trafficcloneprofile; its reference. `mac`: give the MAC, do not have it resolved. MORE: further fields."""
        name = name or f"clone{self._number('clone', 1)}"
        servers = [{"ip_address": {"addr": sensor.ip4, "type": "V4"},
                    **({"mac": sensor.mac} if mac else {})} for sensor in sensors]
        made = self.api.post("trafficcloneprofile", {
            "name": name, "clone_servers": servers, "preserve_client_ip": preserve_client_ip, **more})
        return f"/api/trafficcloneprofile/{made['uuid']}"

    def health_monitor(self, kind: str = "http", name: Optional[str] = None, **more: Any) -> str:
        """Probes as often as may be, so that a test need not wait; `kind` is http or tcp."""
        body = {"name": name or f"monitor{self._number('monitor', 1)}", "send_interval": 2,
                "receive_timeout": 1, "successful_checks": 1, "failed_checks": 2,
                "type": f"HEALTH_MONITOR_{kind.upper()}"}
        if kind == "http":
            body["http_monitor"] = {"http_request": "GET /health HTTP/1.0",
                                    "http_response_code": ["HTTP_2XX", "HTTP_3XX"]}
        made = self.api.post("healthmonitor", {**body, **more})
        return f"/api/healthmonitor/{made['uuid']}"

    def pool_body(self, servers: list[Union[Server, dict]], v6: bool = False) -> list[dict]:
        """Entries for pool.servers; a dict is taken as it is."""
        return [entry if isinstance(entry, dict) else
                {"ip": {"addr": entry.ip6 if v6 else entry.ip4, "type": "V6" if v6 else "V4"},
                 "port": entry.port} for entry in servers]

    def virtual_service(self, pool: list[Union[Server, dict]], name: Optional[str] = None,
                        port: int = 80, http: bool = True, v4: bool = True, v6: bool = False,
                        servers_v6: bool = False, clone: Optional[str] = None,
                        monitor: Optional[str] = "http", wait: bool = True, wait_clone: bool = True,
                        pool_more: Optional[dict] = None, **more: Any) -> VirtualService:
        """A virtual service with all that it needs; `wait` until it answers for its address, and its flows are copied."""
        n = self._number("vs", 1)
        name = name or f"vs{n}"
        vip4, vip6 = self.front.address(100 + n)
        pool_object: dict[str, Any] = {
            "name": f"{name}-pool", "default_server_port": 80,
            "servers": self.pool_body(pool, servers_v6), **(pool_more or {})}
        if monitor in ("http", "tcp"):
            monitor = self.health_monitor(monitor, f"{name}-monitor")
        if monitor:
            pool_object["health_monitor_refs"] = [monitor]
        made_pool = self.api.post("pool", pool_object)
        vip: dict[str, Any] = {"vip_id": "1"}
        if v4:
            vip["ip_address"] = {"addr": vip4, "type": "V4"}
        if v6:
            vip["ip6_address"] = {"addr": vip6, "type": "V6"}
        made_vip = self.api.post("vsvip", {"name": f"{name}-vip", "vip": [vip]})
        body = {
            "name": name, "services": [{"port": port}],
            "vsvip_ref": f"/api/vsvip/{made_vip['uuid']}",
            "pool_ref": f"/api/pool/{made_pool['uuid']}",
            "application_profile_ref": self.ref(
                "applicationprofile", "System-HTTP" if http else "System-L4-Application"),
            **({"traffic_clone_profile_ref": clone} if clone else {}), **more}
        made = self.api.post("virtualservice", body)
        service = VirtualService(self, made, vip4 if v4 else None, vip6 if v6 else None, port,
                                 made_pool["uuid"], made_vip["uuid"])
        if wait:
            service.wait_up()
        if wait and wait_clone and clone:
            service.wait_clone_ready()
        return service


def on_sigterm() -> None:
    """A SIGTERM ends the program as a Ctrl-C does: through the cleaning up."""
    def end(*_: object) -> None:
        sys.exit(143)
    signal.signal(signal.SIGTERM, end)
