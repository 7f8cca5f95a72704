"""What a cloned connection costs: memory in the kernel's flow table and in the proxy; the warden's look through a full table."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
from typing import Iterator

from bench import idle
from lab.host import Host, until
from lab.lab import Lab, ROOT

sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from reach import Reach                                         # noqa: E402

FLOWS = 100_000
HELD = 4000                             # of connections through a proxy
BUCKETS = 16 * 131_072                  # the table's own array, of 16 bytes each


class Group:
    """A memory cgroup: the kernel's memory that those in it asked for, and nobody else on the machine."""

    def __init__(self, name: str):
        both = pathlib.Path("/sys/fs/cgroup")
        self.two = (both / "cgroup.controllers").exists()
        self.root = both if self.two else both / "memory"
        if self.two:
            (both / "cgroup.subtree_control").write_text("+memory")
        self.path = self.root / name

    def kernel_bytes(self) -> int:
        if not self.two:
            return int((self.path / "memory.kmem.usage_in_bytes").read_text())
        stat = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        return int(stat["kernel"])

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Whom this process starts is in it."""
        (self.path / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            (self.root / "cgroup.procs").write_text(str(os.getpid()))

    def __enter__(self) -> "Group":
        self.path.mkdir(exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.path.rmdir()


def measure(lab: Lab) -> Iterator[tuple[str, str, list[float], str]]:
    with Group(f"{lab.prefix}-flows") as group:
        with group.entered():
            reach = Reach(lab._host(Host(lab, "table")))
        try:
            before = group.kernel_bytes()
            sweeps = [int(reach.ask(f"fill {FLOWS}", "filled", 120).split()[1]) / 1000 for _ in range(3)]
            yield ("clone_flow_memory", "B", [(group.kernel_bytes() - before + BUCKETS) / FLOWS], "<=512B")
            yield ("clone_flow_sweep_step", "us", sweeps, "10 a second")
        finally:
            reach.end()
    yield from in_proxy(lab)


def in_proxy(lab: Lab) -> Iterator[tuple[str, str, list[float], str]]:
    """Of each connection through an L4 service, with one to the server. Engines of their own: memory is not given back."""
    web, client, ids = lab.server(), lab.client(), lab.sensor()
    ids.tcpdump.stop()
    each = []
    for name, clone in (("bare", None), ("copied", lab.clone_profile([ids], mac=True))):
        lab.api.post("serviceenginegroup", {"name": name})
        engine = lab.engine(workers=1, group=name)
        service = lab.virtual_service([web], http=False, monitor=None, clone=clone,
                                      se_group_ref=lab.ref("serviceenginegroup", name))
        each.append(idle.per_connection(client, (service.vip, 80), lambda pid=engine.proxy: [pid], HELD))
        if clone:
            until(lambda: service.clone_sum("flows_copied") >= HELD, "every connection is copied")
    yield "l4_connection_proxy", "B", each[:1], ""
    yield "l4_connection_proxy_cloned", "B", each[1:], ""
    yield "clone_flow_proxy", "B", [each[1] - each[0]], "<=64B"
