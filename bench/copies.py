"""
What copying costs production: beside no copy, and beside those of the kernel's own that copy blindly (tc mirred, nft dup).

The wire of the copies ends at the far end of the engine's cable: what a switch and a sensor do with them is their affair.
"""

from __future__ import annotations

import contextlib
import json
import statistics
from typing import Callable, ContextManager, Iterator

from bench.load import in_turn, path_us
from bench.pair import Pair
from bench.result import Result
from lab.engine import Engine
from lab.host import Host, until
from lab.lab import Lab, VirtualService

ALL = "1,6 0 0 4294967295,"             # classic BPF: every frame
DROP = "1,6 0 0 2,"                     # TC_ACT_SHOT


def swallow(host: Host, interface: str) -> None:
    """What comes in there ends there."""
    host.run("tc", "qdisc", "add", "dev", interface, "clsact")
    host.run("tc", "filter", "add", "dev", interface, "ingress", "bpf", "direct-action", "bytecode", DROP)


def copied_frames(engine: Engine) -> int:
    """What left by the copies' interface."""
    return json.loads(engine.ip("-s", "-j", "link", "show", "span0"))[0]["stats64"]["tx"]["packets"]


def runs_it(vs: VirtualService) -> bool:
    return all(entry["up_to_date"] for entry in vs.runtime()["service_engines"])


@contextlib.contextmanager
def cloned(vs: VirtualService, profile: str) -> Iterator[None]:
    vs.patch(replace={"traffic_clone_profile_ref": profile})
    until(lambda: runs_it(vs), "the engine copies")
    try:
        yield
    finally:
        vs.patch(delete={"traffic_clone_profile_ref": profile})
        until(lambda: runs_it(vs), "the engine copies no more")


@contextlib.contextmanager
def mirred(engine: Engine) -> Iterator[None]:
    """Before our own programs, which come next (`continue`)."""
    for way in ("egress", "ingress"):
        engine.run("tc", "filter", "add", "dev", "back0", way, "prio", 1, "protocol", "all", "bpf", "bytecode", ALL,
                   "action", "mirred", "egress", "mirror", "dev", "span0", "continue")
    try:
        yield
    finally:
        for way in ("egress", "ingress"):
            engine.run("tc", "filter", "del", "dev", "back0", way, "prio", 1)


@contextlib.contextmanager
def nft_dup(engine: Engine) -> Iterator[None]:
    file = engine.lab.dir / "dup.nft"
    chains = "\n".join(f'chain {way} {{ type filter hook {way} device "back0" priority 0; dup to "span0"; }}'
                       for way in ("egress", "ingress"))
    file.write_text(f"table netdev bench {{\n{chains}\n}}\n")
    engine.run("nft", "-f", file)
    try:
        yield
    finally:
        engine.run("nft", "delete", "table", "netdev", "bench")


class World:
    """One engine with two services; both, one or none of them copied, as it is wanted."""

    def __init__(self, lab: Lab):
        self.web, self.client, self.ids = lab.server(), lab.client(), lab.sensor()
        self.ids.tcpdump.stop()
        self.engine = lab.engine(workers=1)
        # Legal frames also of those who do not care: as the engine itself sets the copies' own interface.
        self.engine.run("ethtool", "-K", "span0", "tx", "off")
        swallow(lab.span, self.engine.span0.port)
        self.vs, self.other = lab.virtual_service([self.web]), lab.virtual_service([self.web])
        # The MAC is given: nobody answers an ARP request.
        self.raw = lab.clone_profile([self.ids], mac=True)
        self.decrypted = lab.clone_profile([self.ids], mac=True, payload="CLONE_DECRYPTED")

    def cost(self, way: Callable[[], ContextManager[None]], size: int, requests: int) -> Callable[[], tuple[float, float]]:
        """CPU us and frames copied, for each request."""
        def measure() -> tuple[float, float]:
            with way():
                before = copied_frames(self.engine)
                spent = path_us(self.client, f"{self.vs.url}files/{size}", requests,
                                [self.engine.warden, self.engine.proxy, *self.web.pids()])
                return spent, (copied_frames(self.engine) - before) / requests
        return measure

    def costs(self, rounds: int, size: int, requests: int, **ways: Callable[[], ContextManager[None]]) -> tuple[dict, dict]:
        """Of each way: CPU us for each request; frames copied."""
        found = in_turn(rounds, {name: self.cost(way, size, requests) for name, way in ways.items()})
        return ({name: [cost for cost, _ in values] for name, values in found.items()},
                {name: statistics.median(frames for _, frames in values) for name, values in found.items()})


def small(lab: Lab, rounds: int, requests: int) -> Iterator[Result]:
    """128 bytes, keep-alive. Many short rounds: what one copied packet costs is a difference of two."""
    w = World(lab)
    cost, frames = w.costs(rounds * 3, 128, max(requests // 5, 2000),
                           none=contextlib.nullcontext,
                           raw=lambda: cloned(w.vs, w.raw),
                           mirred=lambda: mirred(w.engine),
                           dup=lambda: nft_dup(w.engine),
                           decrypted=lambda: cloned(w.vs, w.decrypted),
                           beside=lambda: cloned(w.other, w.raw))
    for name in ("raw", "mirred", "dup", "decrypted"):
        if frames[name] < 2:
            raise SystemExit(f"{name}: {frames[name]:.1f} frames copied for each request")
    yield Result("clone_128_vs_uncloned", "us", cost["raw"], cost["none"], "uncloned", "<=1.15")
    yield Result("clone_mirred_128_vs_uncloned", "us", cost["mirred"], cost["none"], "uncloned")
    yield Result("clone_nft_dup_128_vs_uncloned", "us", cost["dup"], cost["none"], "uncloned")
    yield Result("clone_decrypted_128_vs_uncloned", "us", cost["decrypted"], cost["none"], "uncloned", "<=1.30")
    yield Result("clone_of_another_service_128", "us", cost["beside"], cost["none"], "uncloned", "<=1.02")
    each = {name: [(a - b) / frames[name] for a, b in zip(cost[name], cost["none"])] for name in ("raw", "mirred", "dup")}
    middle = {name: statistics.median(values) for name, values in each.items()}
    for peer, target in (("mirred", "<=1.8"), ("dup", "")):
        yield Result(f"clone_frame_vs_{peer}", "us", each["raw"], each[peer], peer, target, ratio=middle["raw"] / middle[peer])
    yield Result("clone_frames_of_a_request", "", [frames["raw"]], [frames["mirred"]], "mirred")


def bulk(lab: Lab, rounds: int, requests: int) -> Iterator[Result]:
    """128 KB: large sends are cut into legal frames, by all of them."""
    w = World(lab)
    cost, frames = w.costs(rounds, 131072, max(requests // 25, 500),
                           none=contextlib.nullcontext,
                           raw=lambda: cloned(w.vs, w.raw),
                           mirred=lambda: mirred(w.engine))
    if frames["raw"] < 90:
        raise SystemExit(f"{frames['raw']:.1f} frames are no 128 KB")
    yield Result("clone_131072_vs_mirred", "us", cost["raw"], cost["mirred"], "mirred", "<=1.1")
    yield Result("clone_131072_vs_uncloned", "us", cost["raw"], cost["none"], "uncloned", "(aim 1.5)")


class Sensors:
    """Of a pair of engines, each with a service and a sensor of its own."""

    def __init__(self, lab: Lab):
        self.lab, self.pair = lab, Pair(lab)
        self.sensors = [lab.sensor(), lab.sensor()]
        for ids in self.sensors:
            # A healthy one takes what comes; that its reader needs a processor is its own affair.
            ids.tcpdump.stop()
            swallow(ids, "eth0")
        self.services = [self.pair.service(n, clone=lab.clone_profile([ids], mac=True)) for n, ids in enumerate(self.sensors)]
        self.pair.ahead()

    @contextlib.contextmanager
    def black_hole(self, n: int) -> Iterator[None]:
        port = self.sensors[n].eth.port
        self.lab.span.ip("link", "set", port, "nomaster")
        try:
            yield
        finally:
            self.lab.span.ip("link", "set", port, "master", "br0")

    @contextlib.contextmanager
    def stopped(self, n: int) -> Iterator[None]:
        """Its reader is there and reads nothing; the kernel keeps frames for it until there is no room."""
        reader = self.sensors[n].start("tcpdump", "-i", "eth0", "-nn", "-s", 2048, "-B", 1024, "-Z", "root", "-w", "/dev/null",
                                       log="stopped.tcpdump")
        until(lambda: "listening on" in reader.tail(), "it listens")
        reader.signal(19)                                       # SIGSTOP
        try:
            yield
        finally:
            reader.kill()

    @contextlib.contextmanager
    def slow(self, n: int) -> Iterator[None]:
        """The engine's own queue overflows, which is worse than a switch's."""
        engine = self.pair.engines[n]
        engine.run("tc", "qdisc", "add", "dev", "span0", "root", "tbf", "rate", "1mbit", "burst", "5000", "limit", "9000")
        try:
            yield
        finally:
            engine.run("tc", "qdisc", "del", "dev", "span0", "root")


def sensors(lab: Lab, rounds: int, requests: int) -> Iterator[Result]:
    """
    At a constant rate, what production waits while its sensor is as no sensor should be, beside another engine whose sensor is
    healthy, at the same time; the next time it is the other engine's turn.
    """
    two = Sensors(lab)
    states = {"black_hole": two.black_hole, "stopped": two.stopped, "slow": two.slow,
              "nothing": lambda n: contextlib.nullcontext()}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in states}
    for turn in range(2 * max(rounds, 7)):
        for name, state in states.items():
            with state(turn % 2):
                waits = two.pair.waits(two.services)
            found[name].append((waits[turn % 2], waits[1 - turn % 2]))
    for name, waited in found.items():
        sick, healthy = [a for a, _ in waited], [b for _, b in waited]
        yield Result(f"clone_sensor_{name}_p99", "us", sick, healthy, "healthy", "" if name == "nothing" else "<=1.05")
