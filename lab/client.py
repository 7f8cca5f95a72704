"""A client: somebody on the clients' network who wants answers."""

from __future__ import annotations

import dataclasses
import http.client
import socket
import ssl
import struct
import threading
import time
import urllib.parse
from typing import Any, Optional

import requests

from .host import Host, starved_ms


class Client(Host):
    def __init__(self, lab, name: str, switch, number: int):
        super().__init__(lab, name)
        self.eth = self.attach(switch, "eth0", *switch.address(number))
        self.ip4, self.ip6, self.mac = self.eth.ip, self.eth.ip6, self.eth.mac
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, url: str, **options: Any) -> requests.Response:
        return self.request("GET", url, **options)

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        options.setdefault("timeout", 5)
        with self.entered():
            return self.session.request(method, url, **options)

    def fresh_get(self, url: str, **options: Any) -> requests.Response:
        """A request on a connection of its own."""
        return self.get(url, headers={"Connection": "close"}, **options)

    def connect(self, ip: str, port: int, timeout: float = 5) -> socket.socket:
        """A TCP connection, for those who speak for themselves."""
        with self.entered():
            return socket.create_connection((ip, port), timeout)

    def curl(self, *words: object) -> str:
        """What it printed; nobody answers: an OSError, as it is for get()."""
        try:
            return self.run("curl", "-sS", "--max-time", 10, *words).stdout
        except RuntimeError as unanswered:
            raise ConnectionError(str(unanswered)) from None

    def load(self, url: str, rate: float, connections: int = 8, reuse: bool = True,
             timeout: float = 5, seconds: Optional[float] = None) -> "Load":
        """Start sending `rate` requests a second; `with` or stop() ends it."""
        return Load(self, url, rate, connections, reuse, timeout, seconds)

    def watch(self, ip: str) -> "AddressWatch":
        """Ask again and again who has this address; `with` or stop() ends it."""
        return AddressWatch(self, ip)


def solicitation(mac: bytes, source: str, target: str) -> bytes:
    """The frame that asks by neighbour discovery who has TARGET (RFC 4861)."""
    mine, wanted = (socket.inet_pton(socket.AF_INET6, a) for a in (source, target))
    group = b"\xff\x02" + b"\0" * 9 + b"\x01\xff" + wanted[13:]
    body = struct.pack("!BBHI", 135, 0, 0, 0) + wanted + b"\x01\x01" + mac
    total = sum(struct.unpack(f"!{(32 + len(body)) // 2}H", mine + group + body)) + 58 + len(body)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    body = body[:2] + struct.pack("!H", ~total & 0xFFFF) + body[4:]
    return (b"\x33\x33" + group[12:] + mac + b"\x86\xdd" +
            struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + mine + group + body)


class AddressWatch:
    """An ARP request or neighbour solicitation each 10 ms, and who answered when."""

    def __init__(self, client: Client, ip: str):
        self.answers: list[tuple[float, str]] = []
        self.ending = threading.Event()
        mac = bytes.fromhex(client.mac.replace(":", ""))
        if ":" in ip:
            kind, self.question = 0x86DD, solicitation(mac, client.ip6, ip)
            self.ip, self.at, self.answer = socket.inet_pton(socket.AF_INET6, ip), 62, (54, b"\x88")
        else:
            self.ip = socket.inet_aton(ip)
            kind, self.at, self.answer = 0x0806, 28, (20, b"\0\2")
            self.question = (b"\xff" * 6 + mac + b"\x08\x06" + b"\0\1\x08\0\6\4\0\1" + mac +
                             socket.inet_aton(client.ip4) + b"\0" * 6 + self.ip)
        with client.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
            self.socket.bind(("eth0", kind))
        self.socket.settimeout(0.01)
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()

    def _ask(self) -> None:
        asked = 0.0
        while not self.ending.is_set():
            now = time.monotonic()
            if now - asked >= 0.01:
                self.socket.send(self.question)
                asked = now
            try:
                frame = self.socket.recv(2048)
            except TimeoutError:
                continue
            where, what = self.answer
            if frame[where:where + len(what)] == what and frame[self.at:self.at + len(self.ip)] == self.ip:
                self.answers.append((time.monotonic(), frame[6:12].hex(":")))

    def stop(self) -> "AddressWatch":
        self.ending.set()
        self.thread.join(30)
        self.socket.close()
        return self

    def __enter__(self) -> "AddressWatch":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def now(self) -> str:
        """Who answered last, unless that is a while ago."""
        if self.answers and time.monotonic() - self.answers[-1][0] < 0.2:
            return self.answers[-1][1]
        return ""

    def owners(self) -> list[str]:
        """The answerers in turn: [a, b] says a answered, then b, and never a again."""
        turns: list[str] = []
        for _, mac in list(self.answers):
            if not turns or turns[-1] != mac:
                turns.append(mac)
        return turns


@dataclasses.dataclass
class Outcome:
    sent: float
    done: float
    error: str              # empty: answered 200
    body: str               # the beginning of it
    starved: float = 0      # starved_ms() when it was done


class Load:
    """A steady stream of requests: each is sent at its time, and its outcome is kept."""

    def __init__(self, client: Client, url: str, rate: float, connections: int, reuse: bool,
                 timeout: float, seconds: Optional[float]):
        self.client, self.reuse, self.timeout = client, reuse, timeout
        self.url = urllib.parse.urlsplit(url)
        self.outcomes: list[Outcome] = []
        self.began, self.starved = time.monotonic(), starved_ms()
        self.ending = threading.Event()
        self.until = self.began + seconds if seconds else float("inf")
        self.threads = [
            threading.Thread(target=self._send, args=(n * 1.0 / rate, connections / rate),
                             daemon=True)
            for n in range(connections)]
        for thread in self.threads:
            thread.start()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self.url.hostname, self.url.port
        if self.url.scheme == "https":
            # Whose certificate it is, other tests ask.
            return http.client.HTTPSConnection(host, port or 443, timeout=self.timeout,
                                               context=ssl._create_unverified_context())
        return http.client.HTTPConnection(host, port or 80, timeout=self.timeout)

    def _send(self, first: float, every: float) -> None:
        with self.client.entered():
            connection: Optional[http.client.HTTPConnection] = None
            due = self.began + first
            while not self.ending.is_set() and due < self.until:
                if self.ending.wait(max(0.0, due - time.monotonic())):
                    break
                sent = time.monotonic()
                error = body = ""
                try:
                    if connection is None:
                        connection = self._connection()
                    connection.request("GET", self.url.path or "/")
                    answer = connection.getresponse()
                    body = answer.read()[:200].decode(errors="replace").strip()
                    if answer.status != 200:
                        error = f"HTTP {answer.status}"
                    stays = self.reuse and not answer.will_close
                except (OSError, http.client.HTTPException) as broken:
                    error, stays = type(broken).__name__, False
                if not stays and connection:
                    connection.close()
                    connection = None
                self.outcomes.append(Outcome(sent, time.monotonic(), error, body, starved_ms()))
                # Behind after a long wait: go on from now, do not make up with a burst.
                due = max(due + every, time.monotonic() - every)
            if connection:
                connection.close()

    def stop(self) -> "Load":
        self.ending.set()
        for thread in self.threads:
            thread.join(self.timeout + 5)
        self.outcomes.sort(key=lambda outcome: outcome.done)
        return self

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def snapshot(self) -> list[Outcome]:
        return list(self.outcomes)

    @property
    def answered(self) -> int:
        return sum(not outcome.error for outcome in self.snapshot())

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.snapshot() if outcome.error]

    @property
    def errors(self) -> dict[str, int]:
        kinds: dict[str, int] = {}
        for outcome in self.failed:
            kinds[outcome.error] = kinds.get(outcome.error, 0) + 1
        return kinds

    @property
    def outage_ms(self) -> float:
        """The longest time without an answer, if any request failed; else 0."""
        return max((ms for ms, _ in self._gaps()), default=0.0)

    @property
    def engines_ms(self) -> float:
        """The same without what the machine had no time for: what is promised holds on one that is not overloaded."""
        return max((ms - starved for ms, starved in self._gaps()), default=0.0)

    def _gaps(self) -> list[tuple[float, float]]:
        """Times without an answer, and for how much of them somebody waited for a processor."""
        outcomes = self.snapshot()
        if not any(outcome.error for outcome in outcomes):
            return []
        last = max(outcomes, key=lambda outcome: outcome.done)
        good = sorted([(self.began, self.starved)] + [(o.done, o.starved) for o in outcomes if not o.error or o is last])
        return [((b[0] - a[0]) * 1000, b[1] - a[1]) for a, b in zip(good, good[1:])]

    @property
    def longest_wait_ms(self) -> float:
        """The slowest single request."""
        return max((o.done - o.sent for o in self.snapshot()), default=0.0) * 1000

    def __str__(self) -> str:
        return (f"{len(self.outcomes)} requests, {self.answered} answered, errors {self.errors}, "
                f"outage {self.outage_ms:.0f} ms, slowest {self.longest_wait_ms:.0f} ms")
