"""The demo world, `make run`: a virtual service on two engines, cloned to a sensor; and one with TLS on both sides,
whose plaintext another sensor reads.

ONCE=1 sends 100 requests, prints a report and exits 0 only if every number is
as it must be. DEMO_BREAK=clone|engine|server breaks that part first, to see the
report say so.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from typing import Callable, Optional

from .api import ApiError
from .host import until
from .lab import Lab, VirtualService, on_sigterm

REQUESTS, TLS_REQUESTS = 100, 10
RATE = 20               # requests a second in the live demo
ENGINES, SERVERS = 2, 3
NAME, SECRET = "shop.example.com", "session=4711"


class Demo:
    def __init__(self, lab: Lab):
        self.lab = lab
        say("starting the controller")
        lab.controller
        say(f"starting {ENGINES} engines, {SERVERS} web servers, a client and two sensors")
        self.engines = [lab.engine() for _ in range(ENGINES)]
        self.servers = [lab.server(tls=True) for _ in range(SERVERS)]
        self.client, self.ids, self.reader = lab.client(), lab.sensor(), lab.sensor("reader")
        say("configuring the virtual service shop")
        self.clone = lab.clone_profile([self.ids], name="to-ids")
        self.shop: VirtualService = lab.virtual_service(
            name="shop", pool=self.servers, clone=self.clone)
        say("configuring the virtual service shop-tls, with a certificate that the controller makes and TLS to the servers")
        certificate = lab.api.post("sslkeyandcertificate", {
            "name": "shop-cert", "certificate": {"self_signed": True, "subject": {"common_name": NAME}},
            "key_params": {"algorithm": "SSL_KEY_ALGORITHM_EC"}})
        self.shown = lab.dir / "shop.pem"
        self.shown.write_text(certificate["certificate"]["certificate"])
        self.tls: VirtualService = lab.virtual_service(
            name="shop-tls", pool=[{"ip": {"addr": server.ip4, "type": "V4"}, "port": 443} for server in self.servers],
            pool_more={"ssl_profile_ref": lab.ref("sslprofile", "System-Standard")}, monitor="tcp",
            clone=lab.clone_profile([self.reader], name="to-reader", payload="CLONE_DECRYPTED", masked_headers=["Cookie"]),
            port=443, services=[{"port": 443, "enable_ssl": True}],
            ssl_key_and_certificate_refs=[lab.ref("sslkeyandcertificate", "shop-cert")],
            ssl_profile_ref=lab.ref("sslprofile", "System-Standard"))
        self.shop.wait_servers_up(SERVERS)
        self.tls.wait_servers_up(SERVERS)
        self.copying = self.plugged = True

    # What is asked of the running world

    def servers_up(self) -> list[str]:
        return [server.name for server in self.servers
                if self.shop.server_state(server)["state"] == "OPER_UP"]

    def https(self) -> list[str]:
        """The words by which curl asks for the service with TLS."""
        return ["curl", "--cacert", str(self.shown), "-H", f"'Cookie: {SECRET}'", "--resolve", f"{NAME}:443:{self.tls.vip}",
                f"https://{NAME}/"]

    def ask_https(self) -> bool:
        words = [word.strip("'") for word in self.https()]
        answer = self.client.run(*words[:1], "-s", "-m", "3", *words[1:], check=False)
        return answer.stdout.strip() in [server.name for server in self.servers]

    def read(self) -> int:
        """Requests that the second sensor could read, and no cookie of theirs."""
        said = b"".join(c.sent for c in self.reader.conversations())
        return 0 if SECRET.encode() in said else said.count(f"Host: {NAME}".encode())

    def engines_connected(self) -> list[str]:
        return [engine.name for engine in self.engines if engine.connected()]

    # What the keys do; each says what it did

    def key_k(self) -> str:
        for engine in self.engines:
            if not engine.process.running():
                engine.begin()
                return f"{engine.name} starts again"
        owner = self.shop.owner() or self.engines[0]
        owner.kill()
        return f"{owner.name} killed (-9); its services move"

    def key_s(self) -> str:
        for server in self.servers:
            if not server.process.running():
                server.serve()
                return f"{server.name} starts again"
        self.servers[0].stop()
        return f"{self.servers[0].name} stopped"

    def key_x(self) -> str:
        self.plugged = not self.plugged
        if self.plugged:
            self.ids.eth.plug()
            return "sensor plugged in again"
        self.ids.eth.unplug()
        return "sensor unplugged"

    def key_c(self) -> str:
        self.copying = not self.copying
        change = {"traffic_clone_profile_ref": self.clone}
        if self.copying:
            self.shop.patch(replace=change)
            return "clone on"
        self.shop.patch(delete=change)
        return "clone off"


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def introduce(demo: Demo) -> None:
    lab, password = demo.lab, demo.lab.controller.password
    url = lab.controller.url
    ca = lab.dir / "ca.pem"
    ca.write_bytes((lab.controller.data / "ca.pem").read_bytes())
    as_root = "" if not os.environ.get("SUDO_UID") else "sudo "
    print(f"""
  The API          {url}/api/
  login            admin, {password}

  A request, as the client sends it:
      {as_root}ip netns exec {demo.client.ns} curl {demo.shop.url}
  The same with TLS:
      {as_root}ip netns exec {demo.client.ns} {" ".join(demo.https())}
  What the sensor sees of the first:
      {as_root}ip netns exec {demo.ids.ns} tcpdump -nAi eth0 tcp
  What the other sensor reads of the second, with the cookie masked:
      {as_root}ip netns exec {demo.reader.ns} tcpdump -nAi eth0 tcp
  What the controller says:
      export SPANWIRE_CONTROLLER={url} SPANWIRE_PASSWORD={password} SPANWIRE_CA={ca}
      build/bin/spanwire show virtualservice shop
      build/bin/spanwire show virtualservice shop traffic_clone_stats
      build/bin/spanwire clone test shop
  Its packets, both sides, from all engines, live (or: -w shop.pcapng):
      build/bin/spanwire capture shop -w - | tshark -r -
  Logs are in {lab.dir}
""", flush=True)


def once(demo: Demo, broken: str) -> bool:
    """Send the requests, print the report; true when all is as it must be."""
    if broken == "clone":
        demo.key_x()
    elif broken == "engine":
        until(demo.shop.owner, "an engine has the service").kill()
    elif broken == "server":
        demo.servers[1].kill()

    answered = 0
    for _ in range(REQUESTS):
        try:
            answer = demo.client.get(demo.shop.url, timeout=10)
            answered += answer.status_code == 200 and answer.text.strip() in \
                [server.name for server in demo.servers]
        except OSError:
            demo.client.session.close()
    demo.client.session.close()
    secured = sum(demo.ask_https() for _ in range(TLS_REQUESTS))

    def books() -> tuple[int, int, int]:
        return demo.shop.clone_sum("eligible"), demo.shop.clone_sum("sent"), demo.ids.count()

    def books_closed() -> bool:
        eligible, sent, seen = books()
        return 0 < eligible == sent == seen and demo.read() == TLS_REQUESTS and \
            demo.tls.clone_sum("sent") == demo.reader.count()
    try:
        # The engines report each second; the last frames may be on their way.
        until(books_closed, "", 1 if broken else 30, every=0.2)
    except AssertionError:
        pass
    if broken == "server":
        until(lambda: len(demo.servers_up()) < SERVERS, "the monitor notices")
    if broken == "engine":
        until(lambda: len(demo.engines_connected()) < ENGINES, "the controller notices")

    eligible, sent, seen = books()
    up, connected = demo.servers_up(), demo.engines_connected()
    wrong = demo.ids.illegal({mac for engine in demo.engines for mac in engine.macs()}) + demo.reader.illegal()
    plain, read = demo.tls.clone_sum("sent"), demo.read()
    lines = [
        (answered == REQUESTS, "requests", f"{answered} of {REQUESTS} answered"),
        (secured == TLS_REQUESTS, "tls", f"{secured} of {TLS_REQUESTS} answered"),
        (0 < eligible == sent == seen, "copies",
         f"{eligible} eligible, {sent} sent, {seen} seen at the sensor"),
        (read == secured and 0 < plain == demo.reader.count(), "decrypted",
         f"{read} of {secured} requests read, cookies masked; {plain} sent, {demo.reader.count()} seen"),
        (not wrong, "frames", "; ".join([f"{len(wrong)} illegal of {seen}", *wrong[:1]])),
        (len(connected) == ENGINES, "engines",
         f"{len(connected)} of {ENGINES} connected: {', '.join(connected)}"),
        (len(up) == SERVERS, "servers", f"{len(up)} of {SERVERS} up: {', '.join(up)}"),
        (demo.shop.state() == "OPER_UP", "service", f"shop is {demo.shop.state()}"),
    ]
    print()
    for good, what, text in lines:
        print(f"  {'ok   ' if good else 'WRONG'} {what:<10}{text}")
    return all(good for good, _, _ in lines)


class Keyboard:
    """Keys without Enter, where there is a terminal."""

    def __enter__(self) -> "Keyboard":
        self.terminal = sys.stdin.isatty()
        if self.terminal:
            self.before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        return self

    def __exit__(self, *_: object) -> None:
        if self.terminal:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self.before)

    def key(self, seconds: float) -> str:
        if not self.terminal:
            time.sleep(seconds)
            return ""
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return os.read(sys.stdin.fileno(), 1).decode(errors="replace") if ready else ""


def live(demo: Demo) -> None:
    """Traffic, a line that tells of it, and keys that break things."""
    keys: dict[str, Callable[[], str]] = {
        "k": demo.key_k, "s": demo.key_s, "x": demo.key_x, "c": demo.key_c}
    print("  k kill an engine   s stop a server   x unplug the sensor   c clone on/off"
          "   (again: undo)   Ctrl-C ends\n", flush=True)
    copies, read, owner, next_look = demo.ids.forget(), 0, "", 0.0
    with Keyboard() as keyboard, demo.client.load(demo.shop.url, RATE, reuse=False, timeout=5) as load:
        while True:
            key = keyboard.key(0.2)
            if key in keys:
                try:
                    text = keys[key]()
                except (ApiError, AssertionError, OSError, RuntimeError) as problem:
                    text = f"{key}: {problem}"
                print(f"\r\x1b[K  {time.strftime('%H:%M:%S')} {text}", flush=True)
            copies += demo.ids.forget()
            if time.monotonic() > next_look:
                next_look = time.monotonic() + 1
                demo.ask_https()
                read += demo.read()
                demo.reader.forget()
                owner = where(demo)
            print(f"\r\x1b[K  {load.answered:,} answered, {len(load.failed):,} failed, "
                  f"outage {load.outage_ms:.0f} ms | {copies:,} copies at the sensor, {read:,} requests of TLS read"
                  f" | {owner}",
                  end="", flush=True)


def where(demo: Demo) -> str:
    try:
        engine = demo.shop.owner()
        return f"{engine.name if engine else 'no engine'}, servers up: {len(demo.servers_up())}"
    except (ApiError, AssertionError, OSError) as problem:
        return f"controller: {type(problem).__name__}"


def main() -> Optional[int]:
    on_sigterm()
    # Whoever starts it in the background of a script has it ignore Ctrl-C, which then never cleans up.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    broken = os.environ.get("DEMO_BREAK", "")
    if broken not in ("", "clone", "engine", "server"):
        print("DEMO_BREAK is one of clone, engine, server", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("network namespaces need root; `make run` asks for it", file=sys.stderr)
        return 2
    try:
        with Lab() as lab:
            lab.host_leg()
            try:
                demo = Demo(lab)
            except (AssertionError, RuntimeError, OSError) as problem:
                print(f"\nthe demo did not come up: {problem}", file=sys.stderr)
                return 1
            if os.environ.get("ONCE", "") not in ("", "0"):
                good = once(demo, broken)
                print("\n  everything is as it must be" if good else "\n  NOT as it must be")
                return 0 if good else 1
            introduce(demo)
            live(demo)
    except KeyboardInterrupt:
        print("\n  everything is removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
