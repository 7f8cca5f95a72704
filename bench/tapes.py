"""What capturing costs, beside tcpdump and dumpcap on the same path; the flight recorder; records of requests."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import Callable, ContextManager, Iterator

from bench.cpu import children_seconds, process_seconds
from bench.load import h2load, in_turn, path_us, unlimited
from bench.pair import Pair
from bench.result import Result
from lab.engine import Engine
from lab.host import Process, until
from lab.lab import Lab, VirtualService


def rests(pid: int) -> bool:
    """It has nothing left to do."""
    before = process_seconds([pid])
    time.sleep(0.1)
    return process_seconds([pid]) - before < 0.001


class Ours:
    """A capture of a service, whole packets, up to the file at the controller."""

    def __init__(self, lab: Lab, vs: VirtualService):
        self.lab, self.vs, self.drops, self.packets = lab, vs, 0, 0

    @contextlib.contextmanager
    def running(self) -> Iterator[Callable[[], None]]:
        """Gives how to end it and wait for all of it."""
        path = f"debugvirtualservice/{self.vs.uuid}"
        self.lab.api.patch(path, replace={"capture": True, "capture_params": {"pkt_size": 0}})
        until(lambda: (self.vs.runtime().get("capture") or {}).get("engines"), "the engine captures")
        uuid = self.vs.runtime()["capture"]["uuid"]

        def end() -> None:
            self.lab.api.patch(path, replace={"capture": False})
            until(lambda: self.lab.api.get(f"capture/{uuid}").get("ended"), "the file is there", 60)
        yield end
        done = self.lab.api.get(f"capture/{uuid}")
        self.drops += done["drops"]
        self.packets += done["packets"]
        self.lab.api.delete(f"capture/{uuid}")


class Theirs:
    """A program in the engine's host that writes both legs into a file."""

    def __init__(self, engine: Engine, name: str, *words: object):
        self.engine, self.name, self.file = engine, name, engine.lab.dir / f"{name}.pcapng"
        self.words = [name, *words, "-w", self.file]
        self.process: list[Process] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[Callable[[], None]]:
        process = self.engine.start(*self.words, log=f"{self.name}.capture")
        until(lambda: self.file.exists() and rests(process.pid), f"{self.name} listens")
        self.process = [process]
        yield lambda: until(lambda: rests(process.pid), f"{self.name} has written it", 60, every=0) and None
        self.process = []
        process.signal(signal.SIGINT)
        process.popen.wait(30)
        self.file.unlink()


def capture(lab: Lab, rounds: int, requests: int) -> Iterator[Result]:
    web, client = lab.server(), lab.client()
    engine = lab.engine(workers=1)
    vs = lab.virtual_service([web])
    ours = Ours(lab, vs)
    theirs = [Theirs(engine, "tcpdump", "-i", "any", "-nn", "-s", 0, "-B", 65536, "-Z", "root"),
              Theirs(engine, "dumpcap", "-q", "-i", "front0", "-i", "back0", "-s", 0, "-B", 64)]
    requests = min(requests, 20000)

    @contextlib.contextmanager
    def nobody() -> Iterator[Callable[[], None]]:
        yield lambda: None

    def measure(way: Callable[[], ContextManager[Callable[[], None]]]) -> Callable[[], tuple[float, float]]:
        """CPU us for each request, of all; requests a second."""
        def once() -> tuple[float, float]:
            with way() as end:
                pids = [engine.warden, engine.proxy, lab.controller.process.pid, *web.pids(),
                        *(process.pid for one in theirs for process in one.process)]
                before = process_seconds(pids) + children_seconds()
                speed = h2load(client, f"{vs.url}files/128", requests)
                end()
                return (process_seconds(pids) + children_seconds() - before) / requests * 1e6, speed
        return once

    found = in_turn(rounds, {"none": measure(nobody), "ours": measure(ours.running),
                             **{one.name: measure(one.running) for one in theirs}})
    cost = {name: [c for c, _ in values] for name, values in found.items()}
    speed = {name: [s for _, s in values] for name, values in found.items()}
    yield Result("capture_128_vs_dumpcap", "us", cost["ours"], cost["dumpcap"], "dumpcap", "<=1.0")
    yield Result("capture_128_vs_tcpdump", "us", cost["ours"], cost["tcpdump"], "tcpdump")
    for name in ("ours", "dumpcap", "tcpdump"):
        yield Result(f"capture_128_{name}_vs_none", "us", cost[name], cost["none"], "no capture")
    for name, target in (("ours", ">=0.90"), ("dumpcap", ""), ("tcpdump", "")):
        yield Result(f"capture_{name}_requests_vs_none", "/s", speed[name], speed["none"], "no capture", target)
    yield Result("capture_packets_of_a_request", "", [ours.packets / requests / (rounds + 1)])
    yield Result("capture_drops", " packets", [ours.drops], target="<=0packets")


def capture_waits(lab: Lab, rounds: int, requests: int) -> Iterator[Result]:
    """What requests wait at a constant rate while they are captured, beside an engine where nobody captures; then the other way round."""
    pair = Pair(lab)
    services = [pair.service(n) for n in (0, 1)]
    captures = [Ours(lab, vs) for vs in services]
    pair.ahead()
    found = []
    for turn in range(2 * max(rounds, 7)):
        with captures[turn % 2].running() as end:
            waits = pair.waits(services)
            end()
        found.append((waits[turn % 2], waits[1 - turn % 2]))
    yield Result("capture_p99_vs_none", "us", [ours for ours, _ in found], [none for _, none in found], "no capture")
    yield Result("capture_waits_drops", " packets", [sum(one.drops for one in captures)], target="<=0packets")


def recorder(lab: Lab, rounds: int, requests: int) -> Iterator[Result]:
    """The flight recorder, on and off at two services of one engine."""
    web, client = lab.server(), lab.client()
    engine = lab.engine(workers=1)
    patient = unlimited(lab)
    services = {name: lab.virtual_service([web], application_profile_ref=patient, flight_recorder=name == "on")
                for name in ("on", "off")}

    def cost(vs: VirtualService) -> Callable[[], float]:
        return lambda: path_us(client, f"{vs.url}files/128", max(requests // 3, 2000),
                               [engine.warden, engine.proxy, *web.pids()])

    found = in_turn(rounds * 2, {name: cost(vs) for name, vs in services.items()})
    yield Result("recorder_128_vs_off", "us", found["on"], found["off"], "off", "<=1.10")


def recorder_waits(lab: Lab, rounds: int, requests: int) -> Iterator[Result]:
    """What requests wait with the flight recorder, beside an engine that keeps nothing of them; the next time it is the other one."""
    pair = Pair(lab)
    services = {name: [pair.service(n, flight_recorder=name == "on") for n in (0, 1)] for name in ("on", "off")}
    pair.ahead()
    found = [pair.waits([services["on"][turn % 2], services["off"][1 - turn % 2]]) for turn in range(2 * max(rounds, 7))]
    yield Result("recorder_p99_vs_off", "us", [on for on, _ in found], [off for _, off in found], "off", "<=1.02")


def recorder_tls(lab: Lab, rounds: int, requests: int, both: bool = False) -> Iterator[Result]:
    """The flight recorder of a service with TLS, of BOTH legs: with what is said inside, with packets only, and off."""
    web, client = lab.server(tls=both), lab.client()
    pool = {"pool": [{"ip": {"addr": web.ip4, "type": "V4"}, "port": 443}], "monitor": None,
            "pool_more": {"ssl_profile_ref": lab.ref("sslprofile", "System-Standard")}} if both else {"pool": [web]}
    engine = lab.engine(workers=1)
    patient = unlimited(lab)
    kinds = {"on": (True, True), "packets": (True, False), "off": (False, False)}
    services = {name: lab.virtual_service(
        **pool, application_profile_ref=patient, port=443, services=[{"port": 443, "enable_ssl": True}],
        ssl_key_and_certificate_refs=["/api/sslkeyandcertificate?name=System-Default-Cert"],
        flight_recorder=recorder, flight_recorder_plaintext=plaintext) for name, (recorder, plaintext) in kinds.items()}

    def cost(vs: VirtualService) -> Callable[[], float]:
        return lambda: path_us(client, f"https://{vs.vip}/files/128", max(requests // 3, 2000),
                               [engine.warden, engine.proxy, *web.pids()])

    found = in_turn(rounds * 2, {name: cost(vs) for name, vs in services.items()})
    name = "recorder_tls_both" if both else "recorder_tls"
    yield Result(f"{name}_128_vs_off", "us", found["on"], found["off"], "off", "<=1.10")
    yield Result(f"{name}_128_vs_packets", "us", found["on"], found["packets"], "packets only")


def recorder_tls_both(lab: Lab, rounds: int, requests: int) -> Iterator[Result]:
    """HTTPS to HTTPS: each head is kept twice, as each side got it."""
    yield from recorder_tls(lab, rounds, requests, both=True)


def records(lab: Lab, rounds: int, requests: int) -> Iterator[Result]:
    """The proxy's CPU time for a request with its record kept, and by an engine that keeps none."""
    web, client = lab.server(), lab.client()
    lab.api.post("serviceenginegroup", {"name": "bare"})
    engines = {"kept": lab.engine(workers=1)}
    engines["none"] = lab.engine(workers=1, group="bare")
    engines["none"].stop()
    engines["none"].begin(more=["--records-mb", 0])
    engines["none"].wait_connected()
    services = {"kept": lab.virtual_service([web]),
                "none": lab.virtual_service([web], se_group_ref=lab.ref("serviceenginegroup", "bare"))}

    def cost(name: str) -> Callable[[], float]:
        def measure() -> float:
            pids = [engines[name].warden, engines[name].proxy]
            before = process_seconds(pids)
            h2load(client, f"{services[name].url}files/128", max(requests // 3, 2000))
            return (process_seconds(pids) - before) / max(requests // 3, 2000) * 1e6
        return measure

    found = in_turn(rounds * 2, {name: cost(name) for name in services})
    yield Result("records_128_vs_none", "us", found["kept"], found["none"], "--records-mb 0", "<=1.02")
