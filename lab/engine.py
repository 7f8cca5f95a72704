"""A service engine in a host of its own: a warden and its proxy."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
from typing import Optional, Sequence

from .host import Host, Process, until


class Engine(Host):
    """Interfaces: mgmt0 (controller), front0 (clients, VIPs), back0 (servers), span0 (sensor)."""

    def __init__(self, lab, name: str, number: int, workers: Optional[int] = None):
        super().__init__(lab, name)
        self.number, self.workers = number, workers
        for interface, switch in (("mgmt0", lab.mgmt), ("front0", lab.front), ("back0", lab.back),
                                  ("span0", lab.span)):
            setattr(self, interface, self.attach(switch, interface, *switch.address(number)))
        self.state: pathlib.Path = lab.dir / name
        self.state.mkdir()
        self.process: Optional[Process] = None
        self.uuid = ""

    def begin(self, token: Optional[str] = None, more: Sequence[object] = (), before: Sequence[object] = ()) -> "Engine":
        """Start it; the token only the first time. MORE: further words; BEFORE: words of a program that becomes it."""
        words = ["--controller", self.lab.controller.engine_url, "--name", self.name,
                 "--state", self.state, *more]
        if token:
            file = self.lab.dir / f"{self.name}.token"
            file.touch(0o600)
            file.write_text(token + "\n")
            words += ["--token-file", file]
        if self.workers:
            words += ["--workers", self.workers]
        self.process = self.start(*before, self.lab.program("spanwire-engine"), *words)
        return self

    def wait_connected(self, seconds: float = 60) -> "Engine":
        def connected() -> bool:
            assert self.process.running(), f"{self.name} ended:\n{self.process.tail()}"
            found = self.lab.api.find("serviceengine", self.name)
            if not found:
                return False
            self.uuid = found["uuid"]
            return self.connected()
        until(connected, f"{self.name} is connected", seconds)
        return self

    def runtime(self) -> dict:
        return self.lab.api.get(f"serviceengine/{self.uuid}/runtime")

    def connected(self) -> bool:
        return bool(self.runtime().get("se_connected"))

    def macs(self) -> set[str]:
        return {interface.mac for interface in self.interfaces.values()}

    # The two processes

    @property
    def warden(self) -> int:
        return self.process.pid

    @property
    def proxy(self) -> int:
        """The pid of the proxy, 0 where there is none just now."""
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text()
                except OSError:
                    continue
                state, parent = stat.rpartition(")")[2].split()[:2]
                if int(parent) == self.warden and state != "Z":
                    return int(entry.name)
        return 0

    def kill(self) -> None:
        """Warden and proxy die at once, as in a power cut; the namespace lives on."""
        proxy = self.proxy
        self.process.kill()
        if proxy:
            self.signal_proxy(signal.SIGKILL, proxy)

    def kill_warden(self) -> None:
        self.process.kill()

    def kill_proxy(self) -> int:
        proxy = until(lambda: self.proxy, f"{self.name} has a proxy")
        self.signal_proxy(signal.SIGKILL, proxy)
        return proxy

    def signal_proxy(self, number: int, pid: Optional[int] = None) -> None:
        pid = pid or self.proxy
        if pid:         # 0 is whoever runs the lab
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def hang(self) -> None:
        """Both processes stop where they are (SIGSTOP); the kernel of the host goes on."""
        proxy = until(lambda: self.proxy, f"{self.name} has a proxy")
        self.process.signal(signal.SIGSTOP)
        self.signal_proxy(signal.SIGSTOP, proxy)

    def go_on(self) -> None:
        self.signal_proxy(signal.SIGCONT)
        self.process.signal(signal.SIGCONT)

    def stop(self) -> Optional[int]:
        return self.process.stop()

    def record(self) -> None:
        """Write what passes this engine into a file, for whoever looks into a failed test."""
        self.start("tcpdump", "-i", "any", "-nn", "-s", 160, "-U", "-C", 20, "-W", 2, "-Z", "root",
                   "-w", self.lab.dir / f"{self.name}.pcap", "not port 9444",
                   log=f"{self.name}.tcpdump")

    def offloads(self) -> dict[str, str]:
        """The offload settings of the data interfaces."""
        return {name: self.run("ethtool", "-k", name).stdout for name in ("front0", "back0")}
