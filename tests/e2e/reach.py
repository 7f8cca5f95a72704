"""A warden's hands without its head: build/engine/reach in a host of the lab, driven by lines."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import threading
import time

from lab.host import Host, until

PROGRAM = pathlib.Path(__file__).resolve().parent.parent.parent / "build/engine/reach"


class Reach:
    def __init__(self, host: Host, flows: int = 0):
        self.host = host
        self.lines: list[tuple[float, str]] = []
        log = open(host.lab.dir / f"{host.name}.reach.log", "ab")
        self.popen = subprocess.Popen(
            ["ip", "netns", "exec", host.ns, str(PROGRAM), str(flows)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1)
        threading.Thread(target=self._read, daemon=True).start()
        until(lambda: any(text == "ready" for _, text in self.lines), f"{host.name} is ready")

    def _read(self) -> None:
        for text in self.popen.stdout:
            self.lines.append((time.monotonic(), text.strip()))

    def say(self, text: str) -> None:
        self.popen.stdin.write(text + "\n")

    def ask(self, text: str, answer: str, seconds: float = 10) -> str:
        """Say TEXT; the first new line that begins with ANSWER (or an error)."""
        begin = len(self.lines)
        self.say(text)

        def found():
            return next((t for _, t in self.lines[begin:]
                         if t.startswith((answer, "error"))), None)
        return until(found, f"{self.host.name} answers to {text}", seconds)

    def hold(self, vip: str, interface: str = "eth0", term: int = 1) -> None:
        assert self.ask(f"hold {vip} {interface} {term}", f"held {vip}") == f"held {vip}"

    def release(self, vip: str) -> None:
        self.ask(f"release {vip}", "released")

    def state(self, vip: str) -> str:
        return next((t.split()[2] for _, t in reversed(self.lines)
                     if t.startswith(f"state {vip} ")), "")

    def reason(self, vip: str) -> str:
        return next((" ".join(t.split()[3:]) for _, t in reversed(self.lines)
                     if t.startswith(f"state {vip} ")), "")

    def wait(self, vip: str, state: str, seconds: float = 5) -> float:
        """Until VIP is in STATE; when it was first said since then."""
        until(lambda: self.state(vip) == state, f"{vip} is {state} at {self.host.name}", seconds)
        return next(at for at, t in reversed(self.lines) if t.startswith(f"state {vip} {state}"))

    def numbers(self, what: str, *arguments: object) -> dict[str, int]:
        text = self.ask(" ".join(map(str, (what, *arguments))), what)
        assert not text.startswith("error"), text
        pairs = (word.split("=") for word in text.split() if "=" in word)
        return {name: int(value) for name, value in pairs if value.lstrip("-").isdigit()}

    def stop(self) -> None:
        self.popen.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.popen.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(5)

    def end(self) -> None:
        self.popen.stdin.close()
        assert self.popen.wait(5) == 0
