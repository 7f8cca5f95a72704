"""A controller on loopback, and engines that speak the link by hand: docs/link.md in Python."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pathlib
import re
import secrets
import socket
import ssl
import subprocess
import threading
import time
from typing import Any, Callable, Optional

from lab.api import Api
from lab.host import until
from lab.seed import sow

LIMIT_S = 60  # for an answer of the controller: on a busy machine its disk alone takes seconds
# On a busy machine the controller may stand still for a second; it then takes nobody for dead for FLEET_GRACE_MS, and
# again if it happens again (controller/link/fleet.c). What follows from a death is waited for so long.
DEATH_S = 45
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def program(name: str) -> pathlib.Path:
    build = pathlib.Path(os.environ.get("SPANWIRE_BUILD", ROOT / "build"))
    for folder in ("controller", "engine", "bin"):
        if (build / folder / name).is_file():
            return build / folder / name
    raise AssertionError(f"{name} is not built")


def target(ref: str) -> str:
    """The uuid that a reference names."""
    return ref.split("/")[-1].split("#")[0]


class Controller:
    def __init__(self, folder: pathlib.Path):
        self.folder, self.data = folder, folder / "data"
        self.password = sow(program("spanwire-controller"), self.data)
        self.password_file = folder / "password"
        self.password_file.write_text(self.password + "\n")
        self.password_file.chmod(0o600)
        self.engine_port = self.rest_port = 0
        self.process: Optional[subprocess.Popen] = None
        self.begin()

    def begin(self) -> None:
        log = open(self.folder / "controller.log", "ab")
        self.process = subprocess.Popen(
            [program("spanwire-controller"), "--data", self.data,
             "--listen", f"127.0.0.1:{self.rest_port}", "--engine-listen", f"127.0.0.1:{self.engine_port}",
             "--admin-password-file", self.password_file], stdout=subprocess.PIPE, stderr=log, text=True)
        ready = re.search(r"https://127.0.0.1:(\d+) engines 127.0.0.1:(\d+)", self.process.stdout.readline())
        assert ready, f"the controller does not start: {(self.folder / 'controller.log').read_text()[-2000:]}"
        # The same ports after a restart: engines know only these.
        self.rest_port, self.engine_port = int(ready[1]), int(ready[2])
        self.api = Api(f"https://127.0.0.1:{self.rest_port}", "admin", self.password)

    def end(self, kill: bool = False) -> None:
        if self.process:
            (self.process.kill if kill else self.process.terminate)()
            self.process.wait(LIMIT_S)
            self.process.stdout.close()
            self.process = None

    def token(self, uses: int = 1) -> str:
        group = self.api.find("serviceenginegroup", "Default-Group")
        return self.api.post(f"serviceenginegroup/{group['uuid']}/token", {"hours": 1, "uses": uses})["token"]

    def events(self, event_id: str) -> list[dict]:
        found = self.api.get("analytics/logs", type=2, page_size=1000)["results"]
        return [event for event in found if event["event_id"] == event_id]

    def stood_still(self) -> bool:
        """It noticed that it did not run for a while, and is slow to take engines for dead since."""
        return "stood_still ms=" in (self.folder / "controller.log").read_text()

    def service(self, number: int) -> dict:
        """A virtual service with a vsvip and a pool of its own at 10.200.x.y."""
        addr = f"10.200.{number // 200}.{number % 200 + 1}"
        vip = self.api.post("vsvip", {"name": f"vip-{number}", "vip": [
            {"vip_id": "0", "ip_address": {"addr": addr, "type": "V4"}}]})
        pool = self.api.post("pool", {"name": f"pool-{number}", "servers": [
            {"ip": {"addr": "10.0.1.9", "type": "V4"}, "port": 80}]})
        return self.api.post("virtualservice", {
            "name": f"vs-{number}", "vsvip_ref": vip["url"], "pool_ref": pool["url"], "services": [{"port": 80}]})

    def runtime(self, vs: dict) -> dict:
        return self.api.get(f"virtualservice/{vs['uuid']}/runtime")


def digest(kind: str, uuid: str, obj: dict) -> int:
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return int.from_bytes(hashlib.sha256(f"{kind}/{uuid}/{text}".encode()).digest()[:8], "big")


def signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


class Refused(AssertionError):
    pass


class Engine:
    """What spanwire-engine says and hears, without the engine."""

    def __init__(self, controller: Controller, name: str, folder: pathlib.Path, net: str = "10.200.0.250/16"):
        self.controller, self.name = controller, name
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key, self.cert = self.folder / "key.pem", self.folder / "cert.pem"
        self.uuid = ""
        self.held: dict[str, dict] = {}
        self.told: dict[str, tuple[str, str]] = {}  # states of services, said in this session
        self.sums: dict[str, tuple[int, int]] = {}  # key -> (id of the object, its digest)
        self.epoch, self.revision, self.instance = "", 0, secrets.token_hex(8)
        self.commit = 0     # number of the last commit in this session
        self.interfaces = [{"name": "eth1", "mac": f"02:00:00:{secrets.token_bytes(3).hex(':')}", "mtu": 1500,
                            "up": True, "addresses": [net]}]
        self.sock: Optional[ssl.SSLSocket] = None
        self.buffer, self.welcome, self.bytes_in = b"", {}, 0

    # -- the wire --

    def dial(self, certificate: bool = True) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.load_verify_locations(self.controller.data / "ca.pem")
        if certificate:
            context.load_cert_chain(self.cert, self.key)
        raw = socket.create_connection(("127.0.0.1", self.controller.engine_port), LIMIT_S)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.sock = context.wrap_socket(raw)
        return self.sock

    def say(self, kind: str, **members: Any) -> None:
        self.sock.sendall(json.dumps({"type": kind, **members}).encode() + b"\n")

    def hear(self, seconds: float = LIMIT_S) -> dict:
        """The next message that is no ping; pings are answered."""
        end = time.monotonic() + seconds
        while True:
            while b"\n" not in self.buffer:
                self.sock.settimeout(max(0.001, end - time.monotonic()))
                piece = self.sock.recv(1 << 20)
                if not piece:
                    raise EOFError("the controller closed the connection")
                self.buffer += piece
            line, self.buffer = self.buffer.split(b"\n", 1)
            msg = json.loads(line)
            if msg["type"] == "ping":
                self.say("pong", n=msg["n"])
            elif msg["type"] != "pong":
                self.bytes_in += len(line) + 1
                return msg

    def quiet(self, seconds: float) -> None:
        """Nothing but pings comes."""
        try:
            msg = self.hear(seconds)
        except (TimeoutError, socket.timeout):
            return
        raise AssertionError(f"heard {msg}")

    def close(self) -> None:
        if self.sock:
            self.sock.close()
            self.sock = None

    # -- joining --

    def request(self) -> str:
        csr = self.folder / "csr.pem"
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", self.key, "-out", csr, "-subj", f"/CN={self.name}"], check=True,
                       capture_output=True, timeout=LIMIT_S)
        return csr.read_text()

    def enrol(self, token: str) -> "Engine":
        self.dial(certificate=False)
        self.say("enrol", version=1, token=token, name=self.name, csr=self.request())
        answer = self.hear()
        self.close()
        if answer["type"] != "enrolled":
            raise Refused(answer["reason"])
        self.cert.write_text(answer["certificate"])
        self.uuid = answer["uuid"]
        return self

    # -- a session --

    def hello(self, **other: Any) -> dict:
        self.dial()
        digests = {key: signed(number) for key, number in self.digests().items()}
        self.say("hello", **{"version": 1, "min_version": 1, "channel": "control", "uuid": self.uuid,
                             "name": self.name, "instance": self.instance, "epoch": self.epoch,
                             "revision": self.revision, "held": digests, "cores": 1, "memory_mb": 100,
                             "interfaces": self.interfaces, **other})
        self.welcome = self.hear()
        if self.welcome["type"] == "refused":
            self.close()
            raise Refused(self.welcome["reason"])
        self.told, self.commit = {}, 0
        if not self.welcome.get("resume", True):
            self.held = {}
        return self.welcome

    def take(self, seconds: float = LIMIT_S) -> list[str]:
        """One batch, up to its commit: what came, as "put kind/uuid". Not acknowledged yet."""
        came = []
        while True:
            msg = self.hear(seconds)
            if msg["type"] == "bye":
                raise EOFError(msg["reason"])
            key = f"{msg.get('kind')}/{msg.get('uuid')}"
            if msg["type"] == "put":
                self.held[key] = msg["object"]
                came.append(f"put {key}")
            elif msg["type"] == "delete":
                self.held.pop(key, None)
                came.append(f"delete {key}")
            elif msg["type"] == "commit":
                self.epoch, self.revision, self.commit = msg["epoch"], msg["revision"], msg["n"]
                return came

    def digests(self) -> dict[str, int]:
        for key, obj in self.held.items():
            if self.sums.get(key, (0, 0))[0] != id(obj):
                self.sums[key] = (id(obj), digest(*key.split("/", 1), obj))
        return {key: self.sums[key][1] for key in self.held}

    def hash(self) -> str:
        return "%016x" % (sum(self.digests().values()) % (1 << 64))

    def ack(self, hash: Optional[str] = None, state: str = "OPER_UP", reason: str = "") -> None:
        services = {key.split("/", 1)[1]: {"revision": self.revision, "state": state, "reason": reason}
                    for key in self.held if key.startswith("assignment/") and self.told.get(key) != (state, reason)}
        self.told.update({f"assignment/{vs}": (state, reason) for vs in services})
        self.say("ack", n=self.commit, epoch=self.epoch, revision=self.revision, hash=hash or self.hash(), services=services)

    def up(self, **other: Any) -> "Engine":
        self.hello(**other)
        self.take()
        self.ack()
        return self

    def serve(self, condition: Callable[[], Any], what: str, seconds: float = LIMIT_S) -> Any:
        """Goes on taking and acknowledging until the condition holds."""
        end = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < end, f"never: {what}"
            try:
                self.take(0.05)
                self.ack()
            except (TimeoutError, socket.timeout):
                pass

    # -- on its own --

    def run(self) -> "Engine":
        """Takes and acknowledges in a thread of its own, until halt(); do() gives that thread something to say."""
        self.running, self.errands, self.state = True, [], ("OPER_UP", "")

        def work():
            while self.running:
                while self.errands:
                    self.errands[0]()       # it is there until it is done: do() looks
                    self.errands.pop(0)
                try:
                    self.take(0.02)
                    self.ack(state=self.state[0], reason=self.state[1])
                except (TimeoutError, socket.timeout):
                    pass
                except (EOFError, OSError):
                    return
        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()
        return self

    def do(self, errand: Callable[[], Any]) -> None:
        self.errands.append(errand)
        until(lambda: not self.errands, "it was done")

    def listen(self) -> None:
        """Without its thread: what comes from now on is the test's to take."""
        self.running = False
        self.thread.join(LIMIT_S)

    def halt(self) -> None:
        """As by kill -9: the connections end without a word."""
        self.listen()
        self.close()

    def bulk(self) -> "Engine":
        """The second channel: say things with do()."""
        other = copy.copy(self)
        other.dial()
        other.say("hello", version=1, min_version=1, channel="bulk", uuid=self.uuid, name=self.name,
                  instance=self.instance)
        assert other.hear()["type"] == "welcome"
        return other.run()

    def kinds(self) -> list[str]:
        return sorted({key.split("/")[0] for key in self.held})

    def link(self) -> dict:
        return self.controller.api.get(f"serviceengine/{self.uuid}/runtime")["link"]


class Probe:
    """The product's own end of the link, with nothing behind it (engine/link/link_probe.c)."""

    def __init__(self, controller: Controller, name: str, folder: pathlib.Path, token: str = "",
                 net: str = "10.200.0.249/16", host: str = "127.0.0.1"):
        self.controller, self.name, self.net, self.host = controller, name, net, host
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state, self.token_file = self.folder / "state", self.folder / "token"
        self.token_file.write_text(token + "\n")
        self.process: Optional[subprocess.Popen] = None
        self.begin()

    def begin(self) -> "Probe":
        self.out, self.log = self.folder / f"out-{secrets.token_hex(4)}", self.folder / "log"
        self.process = subprocess.Popen(
            [program("link-probe"), f"https://{self.host}:{self.controller.engine_port}", self.token_file, self.name,
             self.state, self.net], stdin=subprocess.PIPE, stdout=open(self.out, "wb"), stderr=open(self.log, "ab"))
        return self

    def end(self, kill: bool = False) -> None:
        if self.process:
            if kill:
                self.process.kill()
            self.process.stdin.close()
            self.process.wait(LIMIT_S)
            self.process = None

    def heard(self, start: str = "") -> list[str]:
        return [line for line in self.out.read_text().splitlines() if line.startswith(start)]

    def waits_for(self, start: str, times: int = 1, seconds: float = LIMIT_S) -> list[str]:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return until(lambda: len(self.heard(start)) >= times and self.heard(start), f"{start!r} x {times}", seconds)
        except AssertionError as late:
            raise AssertionError(f"{late}; heard {self.heard()[-5:]}; log: {self.log.read_text()[-1500:]}") from None
