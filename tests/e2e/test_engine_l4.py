"""An engine by itself, from its disk: bytes through it, and what becomes of them."""

import collections
import contextlib
import hashlib
import os
import signal
import socket
import struct
import threading

import pytest

from headless import Headless
from lab.host import until

workers = pytest.mark.parametrize("workers", [1, 3])


def answers(client, url: str):
    """What the address answers now, None where nothing does."""
    try:
        return client.fresh_get(url, timeout=1).text.strip()
    except OSError:
        return None


def serve(lab, workers: int, n: int = 3, **more) -> tuple:
    web = [lab.server() for _ in range(n)]
    client = lab.client()
    ratios = more.pop("ratios", [1] * n)
    servers = [{**entry, "ratio": ratio} for entry, ratio in zip(lab.pool_body(web), ratios)]
    engine = Headless(lab, workers).serve(servers, **more)
    until(lambda: answers(client, engine.url), "the service answers")
    return engine, client, web


@workers
def test_servers_take_turns_by_their_ratios(lab, workers):
    engine, client, web = serve(lab, workers, ratios=[3, 1, 1])
    got = collections.Counter(client.fresh_get(engine.url).text.strip() for _ in range(500))
    assert abs(got["web1"] - 300) <= 10 and abs(got["web2"] - 100) <= 10, got


@workers
def test_ipv6_is_served_by_ipv4_servers(lab, workers):
    engine, client, web = serve(lab, workers)
    assert client.curl("-g", f"http://[{engine.vip6}]/").strip() in ("web1", "web2", "web3")


class Mirror(threading.Thread):
    """A server that reads to the end and answers with what it read, and its MD5."""

    def __init__(self, host):
        super().__init__(daemon=True)
        with host.entered():
            self.socket = socket.create_server(("", 7), backlog=16)
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            read = bytearray()      # 20 MB of it, one after the other
            while piece := peer.recv(65536):
                read += piece
            peer.sendall(hashlib.md5(read).hexdigest().encode() + read)
            peer.close()


@workers
def test_bytes_survive_and_half_close_is_passed_on(lab, workers):
    web = lab.server()
    client = lab.client()
    Mirror(web)
    engine = Headless(lab, workers)
    engine.port = 7
    engine.serve([{"ip": {"addr": web.ip4, "type": "V4"}, "port": 7}])

    def talk(sent: bytes) -> bytes:
        peer = client.connect(engine.vip, 7, timeout=60)
        sender = threading.Thread(target=lambda: (peer.sendall(sent),
                                                  peer.shutdown(socket.SHUT_WR)), daemon=True)
        sender.start()
        read = bytearray()
        while piece := peer.recv(65536):
            read += piece
        peer.close()
        return bytes(read)

    def ready() -> bool:
        try:
            return talk(b"?")[32:] == b"?"
        except OSError:
            return False
    until(ready, "the service answers")
    for size in (1, 100_000, 20_000_000):
        sent = os.urandom(size)
        read = talk(sent)
        assert read[:32].decode() == hashlib.md5(sent).hexdigest()
        assert read[32:] == sent


def test_servers_are_told_of_the_client(lab):
    """By the PROXY protocol, before the first byte; of both families, as a line and in binary form."""
    web, client = lab.server(), lab.client()
    Mirror(web)
    engine = Headless(lab, 1)
    engine.port = 7

    def heard(vip: str) -> tuple[bytes, tuple]:
        with client.entered():
            peer = socket.create_connection((vip, 7), timeout=15)
        mine = peer.getsockname()
        peer.sendall(b"hello")
        peer.shutdown(socket.SHUT_WR)
        read = bytearray()
        while piece := peer.recv(65536):
            read += piece
        return bytes(read[32:]), mine

    for version in (1, 2):
        profile = {"proxy_protocol_enabled": True, "proxy_protocol_version": f"PROXY_PROTOCOL_VERSION_{version}"}
        engine.serve([{"ip": {"addr": web.ip4, "type": "V4"}, "port": 7}], others={
            "applicationprofile/app-1": {"type": "APPLICATION_PROFILE_TYPE_L4", "tcp_app_profile": profile}})

        def answered() -> bool:
            try:
                return heard(engine.vip)[0].endswith(b"hello")
            except OSError:
                return False
        until(answered, "the service answers")
        for vip, family, kind in ((engine.vip, socket.AF_INET, 0x11), (engine.vip6, socket.AF_INET6, 0x21)):
            got, mine = heard(vip)
            if version == 1:
                want = f"PROXY TCP{'4' if kind == 0x11 else '6'} {mine[0]} {vip} {mine[1]} 7\r\n".encode()
            else:
                where = socket.inet_pton(family, mine[0]) + socket.inet_pton(family, vip) + struct.pack(">HH", mine[1], 7)
                want = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", 0x21, kind, len(where)) + where
            assert got == want + b"hello"
        engine.stop()


@workers
def test_killed_proxy_is_replaced_and_nobody_is_refused(lab, workers):
    engine, client, web = serve(lab, workers)
    outages = []
    for _ in range(3):
        with client.load(engine.url, rate=300, reuse=False) as load:
            until(lambda: load.answered > 100, "requests pass")
            old = engine.proxy
            os.kill(old, signal.SIGKILL)
            until(lambda: engine.proxy not in (0, old), "there is another proxy")
            until(lambda n=load.answered: load.answered > n + 100, "requests pass again")
        print(load)
        outages.append(load.engines_ms)
        # Who was being served lost his connection; who came meanwhile waited, and was not refused.
        assert "ConnectionRefusedError" not in load.errors, load.errors
        assert len(load.failed) <= 8, load
    assert max(outages) < 200, outages


def test_proxy_that_keeps_dying_is_given_pauses(lab):
    engine, client, web = serve(lab, 1)

    def delayed() -> bool:
        old = until(lambda: engine.proxy, "there is a proxy", seconds=3)
        with contextlib.suppress(ProcessLookupError):
            os.kill(old, signal.SIGKILL)
        until(lambda: engine.proxy != old, "it is gone")
        return "proxy_restart_delayed" in engine.process.log.read_text()
    # Three in a row within a second each: as many as it takes, where the machine has less time for us.
    until(delayed, "it is given a pause", every=0)
    until(lambda: answers(client, engine.url), "the service answers again", seconds=5)


def test_hung_proxy_is_replaced(lab):
    engine, client, web = serve(lab, 3)
    old = engine.proxy
    os.kill(old, signal.SIGSTOP)
    until(lambda: engine.proxy not in (0, old), "there is another proxy", seconds=4)
    until(lambda: answers(client, engine.url), "the service answers again", seconds=3)


def test_proxy_has_no_privileges(lab):
    engine, client, web = serve(lab, 3)
    status = dict(line.split(":\t") for line in
                  open(f"/proc/{engine.proxy}/status").read().splitlines() if ":\t" in line)
    assert set(status["Uid"].split()) & {"0"} == set()
    assert [status[f"Cap{which}"] for which in ("Prm", "Eff", "Bnd", "Amb")] == ["0" * 16] * 4
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


def test_proxy_ends_with_its_warden(lab):
    engine, client, web = serve(lab, 1)
    proxy = engine.proxy
    engine.process.kill()
    until(lambda: not os.path.exists(f"/proc/{proxy}"), "the proxy has ended", seconds=2)


def test_clean_end_leaves_nothing(lab):
    engine, client, web = serve(lab, 1)
    assert engine.process.stop() == 0
    assert engine.vip not in engine.ip("addr", "show")
    for direction in ("ingress", "egress"):
        filters = engine.run("tc", "filter", "show", "dev", "front0", direction, check=False)
        assert filters.stdout == ""


def test_dead_server_is_passed_over(lab):
    engine, client, web = serve(lab, 1)
    web[0].stop()
    got = collections.Counter(client.fresh_get(engine.url).text.strip() for _ in range(30))
    assert set(got) == {"web2", "web3"} and sum(got.values()) == 30


def test_service_without_a_server_resets(lab):
    engine, client, web = serve(lab, 1, n=1)
    web[0].stop()
    with pytest.raises(ConnectionResetError):
        client.connect(engine.vip, engine.port).recv(1)


def test_idle_connection_is_closed_after_the_profile_s_time(lab):
    engine, client, web = serve(lab, 1, n=1, tcp={"idle_connection_type": "CLOSE_IDLE",
                                                  "idle_connection_timeout": 5})
    peer = client.connect(engine.vip, engine.port, timeout=30)
    with pytest.raises(ConnectionResetError):
        peer.recv(1)


def test_packets_to_the_client_carry_the_profile_s_dscp(lab):
    engine, client, web = serve(lab, 1, n=1, tcp={"ip_dscp": 46})
    seen = client.start("tcpdump", "-nlv", "-i", "eth0", f"src {engine.vip} and tcp[tcpflags] & tcp-push != 0",
                        log="tcpdump")
    until(lambda: "listening on" in seen.tail(), "tcpdump listens")
    client.fresh_get(engine.url)
    until(lambda: "tos 0xb8" in seen.tail(), "a packet with DSCP 46 arrives", seconds=5)
