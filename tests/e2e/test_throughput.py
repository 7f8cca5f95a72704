"""How much a service may carry: by TCP, spliced or looked at, by TLS, by HTTP and by datagrams, both directions together."""

import contextlib
import os
import socket
import ssl
import threading
import time

import pytest

from lab.host import Timeout, until
from test_admission import counter
from test_udp import Asker, Echo, profile

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"


class Fountain(threading.Thread):
    """A server that answers GET without end, and takes whatever else is sent."""

    def __init__(self, host, port: int):
        super().__init__(daemon=True)
        self.taken = 0
        with host.entered():
            self.socket = socket.create_server(("", port), reuse_port=True)
        self.start()

    def run(self):
        while True:
            peer, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        drops = bytes(1 << 16)
        with peer, contextlib.suppress(OSError):
            if peer.recv(65536).startswith(b"GET"):
                peer.sendall(HEAD)
                while True:
                    peer.sendall(drops)
            while n := len(peer.recv(1 << 18)):
                self.taken += n


class Flow(threading.Thread):
    """A connection of a client, and how many bytes came by it."""

    def __init__(self, client, ip: str, port: int, up: bool = False, tls: bool = False):
        super().__init__(daemon=True)
        self.peer, self.up, self.bytes = client.connect(ip, port, timeout=30), up, 0
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.peer = context.wrap_socket(self.peer)
        self.start()

    def run(self):
        drops = bytes(1 << 14)
        with contextlib.suppress(OSError, ValueError):
            self.peer.sendall(b"PUT it there" if self.up else b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            while True:
                n = self.peer.send(drops) if self.up else len(self.peer.recv(1 << 18))
                self.bytes += 0 if self.up else n
                if not n:
                    return

    def stop(self):
        with contextlib.suppress(OSError):
            self.peer.shutdown(socket.SHUT_RDWR)
        self.join()
        self.peer.close()


class Stream(threading.Thread):
    """The same over HTTP/2, as curl speaks it."""

    def __init__(self, client, url: str):
        super().__init__(daemon=True)
        self.pipe, self.bytes = client.lab.dir / "stream", 0
        os.mkfifo(self.pipe)
        self.process = client.start("curl", "-sN", "--http2-prior-knowledge", "-o", self.pipe, url)
        self.start()

    def run(self):
        with open(self.pipe, "rb", buffering=0) as stream:
            while n := len(stream.read(1 << 18)):
                self.bytes += n

    def stop(self):
        self.process.kill()
        self.join()


def rate(passed, seconds: float = 0.5) -> float:
    """Megabits a second."""
    began, before = time.monotonic(), passed()
    time.sleep(seconds)  # the measurement itself
    return (passed() - before) * 8e-6 / (time.monotonic() - began)


def holds(passed, mbps: float, what: str) -> None:
    """The rate is what it may be; a machine that has no time for us is given more of it."""
    seen = []

    def within() -> bool:
        seen.append(rate(passed))
        return abs(seen[-1] - mbps) <= mbps / 10

    try:
        until(within, f"{what}: {mbps} Mbit/s", 60, every=0)
    except Timeout as late:
        raise AssertionError(f"seen {seen}") from late


@pytest.mark.parametrize("workers", [1, 3])
def test_a_service_carries_as_much_as_it_may(lab, workers):
    web, client = lab.server(), lab.client()
    fountain = Fountain(web, 8000)
    Echo(web)
    lab.engine(workers=workers)
    server = [{"ip": {"addr": web.ip4, "type": "V4"}, "port": 8000}]
    tcp = lab.virtual_service(pool=server, http=False, monitor=None, name="tcp")
    http = lab.virtual_service(pool=server, monitor=None, name="http", ssl_key_and_certificate_refs=[
        "/api/sslkeyandcertificate?name=System-Default-Cert"], services=[{"port": 80}, {"port": 443, "enable_ssl": True}, {"port": 82, "enable_http2": True}])
    udp = lab.virtual_service(pool=[{"ip": {"addr": web.ip4, "type": "V4"}, "port": 5000}], http=False, port=5000,
                              monitor=None, name="udp", network_profile_ref=profile(lab, "flows", session_idle_timeout=60))

    def limit(vs, mbps: int) -> None:
        vs.patch(replace={"performance_limits": {"max_throughput": mbps}})
        until(vs.in_force, "the change is in force")

    def held(vs, passed, mbps: int, what: str) -> int:
        """Limited to so much, or where the machine has little time for us, to half of what it carries now."""
        mbps = max(1, min(mbps, int(rate(passed, 1) / 2)))
        limit(vs, mbps)
        holds(passed, mbps, what)
        until(lambda: counter(lab, vs, "throughput_waits") > 0, "it is counted")
        return mbps

    @contextlib.contextmanager
    def flows(*them):
        try:
            yield lambda: fountain.taken + sum(one.bytes for one in them)
        finally:
            for one in them:
                one.stop()

    def news() -> list:
        found = lab.api.get("analytics/logs?type=2&page_size=1000")["results"]
        return [one["obj_name"] for one in found if one["event_id"] == "VS_THROUGHPUT_LIMITED"]

    with flows(*(Flow(client, tcp.vip, 80) for _ in range(3)), Flow(client, tcp.vip, 80, up=True)) as passed:
        held(tcp, passed, 280, "spliced")
        few = held(tcp, passed, 24, "the connections that are there are meant, too")
        limit(tcp, 0)
        until(lambda: rate(passed, 0.3) > 2.5 * few, "and nobody waits without it", 60)
    with flows(Flow(client, http.vip, 80), Flow(client, http.vip, 443, tls=True)) as passed:
        both = held(http, passed, 40, "HTTP and HTTPS together")
    stream = Stream(client, f"http://{http.vip}:82/")
    with flows(stream) as passed:
        holds(passed, both, "HTTP/2 alone")

    asker, said, ends = Asker(client, udp.vip, 5000), [0], threading.Event()

    def ask():
        while not ends.is_set():
            with contextlib.suppress(OSError):
                for _ in range(4):
                    asker.socket.send(bytes(1200))
            time.sleep(0.001)

    def hear():
        while not ends.is_set():
            with contextlib.suppress(OSError):
                said[0] += len(asker.socket.recv(2000)) + 1200  # and what it answers

    threads = [threading.Thread(target=one, daemon=True) for one in (ask, hear)]
    for one in threads:
        one.start()
    held(udp, lambda: said[0], 6, "datagrams both ways")
    ends.set()
    for one in threads:
        one.join()

    until(lambda: sorted(set(news())) == ["http", "tcp", "udp"], f"it is told: {news()}")
    assert len(news()) == 3, "once"
