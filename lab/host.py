"""A host: a network namespace with its interfaces and its processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import threading
import time
from typing import Any, Callable, Iterator, Optional

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


class Timeout(AssertionError):
    """Something that was waited for did not happen."""


def until(condition: Callable[[], Any], what: str, seconds: float = 60, every: float = 0.02) -> Any:
    """Wait until condition() is true and return what it gave.

    A limit that is given is part of what is promised; the other one ends a test that hangs. Neither counts what the
    machine had no time for, up to four times the limit. A condition that asks somebody who does not answer (OSError,
    which requests' errors are) is not true yet.
    """
    began, starved = time.monotonic(), starved_ms()
    while True:
        # The last look is after the end: a machine that stood still has had none since.
        late = time.monotonic() - began - seconds
        over = late > 0 and late > min((starved_ms() - starved) / 1000, 3 * seconds)
        result, error = None, ""
        try:
            result = condition()
        except OSError as silence:
            error = f" ({silence})"
        if result:
            return result
        if over:
            raise Timeout(f"after {seconds:g} s still not so: {what}{error}")
        time.sleep(every)


def pressure_ms(what: str = "cpu") -> float:
    """How long somebody has waited for a processor (or "io": a disk) since the machine began; 0 where the kernel does not count it."""
    with contextlib.suppress(OSError):
        return int(pathlib.Path("/proc/pressure", what).read_text().split("total=")[1].split()[0]) / 1000
    return 0


class Pulse(threading.Thread):
    """Notices that the machine stood still: then nothing goes on, and nobody waits for a processor either."""

    EVERY_MS = 20
    LATE_MS = 50    # less may be the doing of other threads of ours

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.beat = (time.monotonic(), pressure_ms(), 0.0)      # when, and how long each had been until then
        self.start()

    def starved(self) -> tuple[float, float, float]:
        """As `beat`, for now."""
        at, waited, still = self.beat
        now, pressure = time.monotonic(), pressure_ms()
        late = (now - at) * 1000 - self.EVERY_MS
        return now, pressure, still + (max(0.0, late - (pressure - waited)) if late > self.LATE_MS else 0.0)

    def run(self) -> None:
        while True:
            time.sleep(self.EVERY_MS / 1000)
            self.beat = self.starved()


pulse: Optional[Pulse] = None


def starved_ms() -> float:
    """How long the machine had no time, for somebody who waited or for all: what passes between two calls was not ours."""
    global pulse
    pulse = pulse or Pulse()
    _, waited, still = pulse.starved()
    return waited + still


def delays_ms(*pids: int) -> float:
    """How long the threads of these processes have waited for a processor, one beside the other; 0 where the kernel does not count it."""
    waited = 0
    for thread in (thread for pid in pids for thread in pathlib.Path(f"/proc/{pid}/task").iterdir()):
        with contextlib.suppress(OSError):
            waited += int((thread / "schedstat").read_text().split()[1])
    return waited / 1e6


def command(*argv: object, timeout: float = 120, check: bool = True) -> subprocess.CompletedProcess:
    """Run a program to its end; what it says on stderr becomes the error."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done


class Process:
    """A program that runs in a host, with its output in a file of the lab."""

    def __init__(self, argv: list[str], log: pathlib.Path, **options: Any):
        self.argv, self.log = argv, log
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=subprocess.STDOUT, start_new_session=True,
                                          **options)
        self.pid = self.popen.pid

    def running(self) -> bool:
        return self.popen.poll() is None

    def signal(self, number: int) -> None:
        if self.running():
            os.kill(self.pid, number)

    def stop(self, seconds: float = 30) -> Optional[int]:
        """Ask it to end; insist after a while."""
        if self.running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.popen.returncode

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.popen.wait(10)

    def tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Interface:
    """One end of a cable; the other end is a port of a switch."""

    def __init__(self, host: "Host", name: str, switch, port: str):
        self.host, self.name, self.switch, self.port = host, name, switch, port
        self.mac = ""
        self.ip: Optional[str] = None
        self.ip6: Optional[str] = None

    def unplug(self) -> None:
        """Pull the cable at the switch: the host sees its carrier go."""
        self.switch.ip("link", "set", self.port, "down")

    def plug(self) -> None:
        self.switch.ip("link", "set", self.port, "up")


class Host:
    """A namespace: `run` to run something to its end, `start` for what stays."""

    def __init__(self, lab, name: str):
        self.lab, self.name = lab, name
        self.ns = f"{lab.prefix}-{name}"
        self.interfaces: dict[str, Interface] = {}
        self.processes: list[Process] = []
        command("ip", "netns", "add", self.ns)
        self.ip("link", "set", "lo", "up")
        self.sysctl("net.ipv6.conf.all.accept_dad", 0, "net.ipv6.conf.default.accept_dad", 0,
                    "net.ipv6.conf.default.accept_ra", 0)
        # Where the machine's default paces (bbr), a veth pair measures the pacing. A namespace may use what the machine allows.
        for name in ("cubic", "reno"):
            with contextlib.suppress(RuntimeError, OSError):
                self.sysctl("net.ipv4.tcp_congestion_control", name)
                break

    def ip(self, *words: object) -> str:
        """ip(8) in this namespace."""
        return command("ip", "-n", self.ns, *words).stdout

    def run(self, *argv: object, **options: Any) -> subprocess.CompletedProcess:
        return command("ip", "netns", "exec", self.ns, *argv, **options)

    def start(self, *argv: object, log: Optional[str] = None, **options: Any) -> Process:
        # `ip netns exec` becomes the program: the pid is the program's own.
        words = ["ip", "netns", "exec", self.ns, *map(str, argv)]
        process = Process(words, self.lab.dir / f"{log or self.name}.log", **options)
        self.processes.append(process)
        return process

    def sysctl(self, *names_and_values: object) -> None:
        pairs = zip(names_and_values[::2], names_and_values[1::2])
        with self.entered():
            for name, value in pairs:
                path = pathlib.Path("/proc/sys", *str(name).split("."))
                path.write_text(str(value))

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Inside, this thread makes its sockets in the host; they stay there."""
        # Entering may nest, a Client's request within a Host's for example: leave to where we were.
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(f"/run/netns/{self.ns}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(there, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {self.ns}")
            try:
                yield
            finally:
                if libc.setns(before, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"cannot leave {self.ns}")
        finally:
            os.close(before)
            os.close(there)

    def attach(self, switch, name: str, ip: Optional[str] = None,
               ip6: Optional[str] = None) -> Interface:
        """A cable from this host's interface `name` to a port of the switch."""
        port = switch.new_port(self, name)
        interface = Interface(self, name, switch, port)
        interface.mac = self.ip("-br", "link", "show", name).split()[2]
        self.interfaces[name] = interface
        for family, address, bits in (("-4", ip, 24), ("-6", ip6, 64)):
            if address:
                more = ["nodad"] if family == "-6" else []
                self.ip(family, "addr", "add", f"{address}/{bits}", "dev", name, *more)
        self.ip("link", "set", name, "up")
        interface.ip, interface.ip6 = ip, ip6
        return interface

    def pids(self) -> list[int]:
        """Who runs in it."""
        return namespace_pids(self.ns)

    def close(self) -> None:
        for process in self.processes:
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM)
        for process in self.processes:
            process.stop(2)
        remove_namespace(self.ns)


def namespace_pids(ns: str) -> list[int]:
    return [int(pid) for pid in command("ip", "netns", "pids", ns, check=False).stdout.split()]


def remove_namespace(ns: str) -> None:
    """Take a namespace away, with whatever still runs in it."""
    for pid in namespace_pids(ns):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    command("ip", "netns", "del", ns, check=False)
