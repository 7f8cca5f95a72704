"""Datagrams through an engine: to one server a flow or to all in turn, and what becomes of flows."""

import itertools
import socket
import struct
import threading
import time
from typing import Optional

import pytest

from lab.host import until

workers = pytest.mark.parametrize("workers", [1, 3])


class Echo(threading.Thread):
    """Answers each datagram with its own name, the port it came from, and what it said."""

    def __init__(self, host, port: int = 5000):
        super().__init__(daemon=True)
        self.name_, self.seen, self.peers = host.name, 0, []
        with host.entered():
            self.socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self.socket.bind(("::", port))
        self.start()

    def run(self):
        while True:
            try:
                data, peer = self.socket.recvfrom(65536)
            except OSError:
                return
            self.seen += 1
            self.peers.append(peer[0])
            self.socket.sendto(f"{self.name_} {peer[1]} ".encode() + data, peer)


class Asker:
    """A client's socket: connected, so an answer from anybody but the VIP would not arrive."""

    def __init__(self, client, ip: str, port: int):
        with client.entered():
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
            self.socket.connect((ip, port))
        self.count = itertools.count()

    def ask(self, data: Optional[bytes] = None, seconds: float = 30):
        """(server, the port it saw, what it echoed), None without an answer. One to an earlier question is none."""
        data = b"%d" % next(self.count) if data is None else data
        self.socket.settimeout(seconds)
        try:
            self.socket.send(data)
            while True:
                name, port, said = self.socket.recv(65536).split(b" ", 2)
                if said == data:
                    return name.decode(), int(port), said
        except OSError:
            return None

    def tries(self):
        """The same while nobody may be there yet."""
        return self.ask(seconds=1)


def profile(lab, name: str, **settings) -> str:
    made = lab.api.post("networkprofile", {"name": name, "profile": {
        "type": "PROTOCOL_TYPE_UDP_FAST_PATH", "udp_fast_path_profile": settings}})
    return f"/api/networkprofile/{made['uuid']}"


def counters(lab, vs) -> dict:
    """The service's own counters, as its engine told them last."""
    return lab.api.get(f"virtualservice/{vs.uuid}/runtime/detail")[0]["stats"]


@workers
def test_flows(lab, workers):
    """One world: both families, stickiness, sizes, edits, an idle flow's end, per packet."""
    hosts, client = [lab.server() for _ in range(2)], lab.client()
    for host in hosts:
        Echo(host)
    lab.engine(workers=workers)
    vs = lab.virtual_service(
        pool=[{"ip": {"addr": host.ip4, "type": "V4"}, "port": 5000} for host in hosts],
        v6=True, http=False, port=5000, monitor=None,
        pool_more={"lb_algorithm": "LB_ALGORITHM_ROUND_ROBIN"},
        network_profile_ref=profile(lab, "flows", session_idle_timeout=10))

    # Many clients: each keeps its server, and all servers have some.
    askers = [Asker(client, vs.vip if n % 2 else vs.vip6, 5000) for n in range(40)]
    first = [until(asker.tries, "an answer comes") for asker in askers]
    assert {answer[0] for answer in first} == {"web1", "web2"}
    for _ in range(3):
        for asker, was in zip(askers, first):
            now = asker.ask()
            assert now and now[:2] == was[:2], "a flow has one server and one socket"

    # An edit of the pool is nothing to a flow.
    vs.patch_pool(replace={"max_concurrent_connections_per_server": 1000})
    vs.patch(replace={"description": "edited"})
    assert askers[0].ask()[:2] == first[0][:2]

    # What is longer than a frame, too, and what is empty.
    for size in (0, 1400, 9000, 60000):
        sent = bytes(n % 251 for n in range(size))
        answer = askers[1].ask(sent)
        assert answer and answer[2] == sent, size

    # Nothing for ten seconds: another flow, another socket.
    until(lambda: counters(lab, vs).get("conn_open"), "open flows are told")
    until(lambda: counters(lab, vs).get("conn_open") == 0, "idle flows end", 60)
    again = askers[0].ask()
    assert again and again[1] != first[0][1]

    # Each flow that ended has its record.
    def logs() -> list[dict]:
        found = lab.api.get("analytics/logs", type=0, virtualservice=vs.uuid, page_size=100, nf="true")["results"]
        return [log for log in found if log.get("protocol") == "PROTOCOL_UDP"]
    ended = until(lambda: len(logs()) == 40 and logs(), "records of flows")
    assert {log["server_ip"] for log in ended} == {host.ip4 for host in hosts}
    assert max(log["rx_bytes"] for log in ended) >= 70400

    # In turn, datagram by datagram.
    lab.api.patch(f"networkprofile/{vs_profile(lab, vs)}",
                  replace={"profile": {"type": "PROTOCOL_TYPE_UDP_FAST_PATH",
                                       "udp_fast_path_profile": {"per_pkt_loadbalance": True}}})
    asker = Asker(client, vs.vip, 5000)
    until(lambda: (asker.ask() or ("",))[0] != (asker.ask() or ("",))[0], "datagrams take turns")
    assert [asker.ask()[0] for _ in range(6)] in (["web1", "web2"] * 3, ["web2", "web1"] * 3)
    until(lambda: counters(lab, vs)["udp_from_client"] == counters(lab, vs)["udp_to_client"] > 100, "all is counted")
    assert counters(lab, vs)["udp_lost"] == 0


def vs_profile(lab, vs) -> str:
    return lab.api.get(f"virtualservice/{vs.uuid}")["network_profile_ref"].split("/")[-1].split("#")[0]


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def test_a_narrow_path_is_no_server_that_refuses(lab):
    """ICMP asks for smaller packets: the flow stays, and what is longer arrives in pieces."""
    host, client = lab.server(), lab.client()
    echo = Echo(host)
    lab.engine()
    vs = lab.virtual_service(
        pool=[{"ip": {"addr": host.ip4, "type": "V4"}, "port": 5000}], http=False, port=5000, monitor=None,
        network_profile_ref=lab.ref("networkprofile", "System-UDP-Fast-Path"))
    asker = Asker(client, vs.vip, 5000)
    first = until(asker.tries, "an answer comes")
    engine = socket.inet_aton(echo.peers[-1].removeprefix("::ffff:"))
    quoted = (struct.pack(">BBHHHBBH", 0x45, 0, 1428, 0, 0, 64, socket.IPPROTO_UDP, 0) + engine + socket.inet_aton(host.ip4) +
              struct.pack(">HHHH", first[1], 5000, 1408, 0))

    def icmp(sum_: int) -> bytes:
        return struct.pack(">BBHHH", 3, 4, sum_, 0, 1000) + quoted      # fragmentation needed

    with host.entered(), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.sendto(icmp(checksum(icmp(0))), (socket.inet_ntoa(engine), 0))
        assert asker.ask()[:2] == first[:2]
        raw.sendto(icmp(checksum(icmp(0))), (socket.inet_ntoa(engine), 0))
    answer = asker.ask(bytes(1400))
    assert answer == (*first[:2], bytes(1400))
    until(lambda: counters(lab, vs).get("udp_to_client", 0) >= 3, "all is counted")
    assert counters(lab, vs)["udp_lost"] == 0


def test_dns_over_both_transports_and_servers_that_go(lab):
    """dnsmasq behind it and dig before it: UDP 53 and TCP 53 of one service, and a server that ends."""
    hosts, client = [lab.server() for _ in range(2)], lab.client()
    dns = [host.start("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv",
                      "--user=root", "--pid-file", f"--txt-record=who.test,{host.name}", log=f"{host.name}-dns")
           for host in hosts]
    engine = lab.engine()
    vs = lab.virtual_service(
        pool=[{"ip": {"addr": host.ip4, "type": "V4"}, "port": 53} for host in hosts], v6=True, http=False,
        port=53, monitor=None, pool_more={"lb_algorithm": "LB_ALGORITHM_ROUND_ROBIN"},
        network_profile_ref=lab.ref("networkprofile", "System-UDP-Fast-Path"),
        services=[{"port": 53}, {"port": 53, "override_network_profile_ref":
                                 lab.ref("networkprofile", "System-TCP-Proxy")}])

    def dig(*words: str, of=client) -> str:
        done = of.run("dig", "+short", "+tries=1", "+time=5", "-t", "TXT", "who.test", *words, check=False)
        return done.stdout.strip().strip('"') if done.returncode == 0 else ""

    for host in hosts:
        until(lambda: dig("@127.0.0.1", of=host) == host.name, f"{host.name} answers")
    until(lambda: dig(f"@{vs.vip}"), "a name is answered")
    for at in (f"@{vs.vip}", f"@{vs.vip6}"):
        assert {dig(at) for _ in range(4)} == {dig(at, "+tcp") for _ in range(4)} == {"web1", "web2"}

    # A server ends. Its kernel says so, which costs that one client its first try (dig says so before the answer). The
    # second is another socket's, and maybe another worker's: it knows, and so do all clients for ten seconds.
    asker, began = Asker(client, vs.vip, 53), time.monotonic()
    dns[0].kill()
    answers = [dig(f"@{(vs.vip, vs.vip6)[n % 2]}", "+tries=2") for n in range(12)]
    assert all(answer.endswith("web2") for answer in answers), answers
    assert sum(answer != "web2" for answer in answers) <= 1 + (time.monotonic() - began) // 10, answers

    # The proxy ends: what comes meanwhile waits in the kernel.
    vs.patch_pool(replace={"servers": [{"ip": {"addr": hosts[1].ip4, "type": "V4"}, "port": 53}]})
    until(vs.in_force, "the engine knows")
    asker.socket.settimeout(5)
    query = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\3who\4test\0\0\x10\0\1"

    def waits() -> bool:
        """Unless the machine had no time for another proxy within the lease: then nothing is let in, and it proves nothing."""
        lapses = lapsed()
        old = engine.kill_proxy()
        until(lambda: engine.proxy != old, "it is gone")
        asker.socket.send(query)
        try:
            assert b"web2" in asker.socket.recv(512)
        except TimeoutError:
            assert lapsed() > lapses, "a question is lost"
            return False
        until(lambda: engine.proxy not in (0, old), "there is another proxy")
        return True

    def lapsed() -> int:
        return engine.process.log.read_text().count("vip.LAPSED")

    for _ in range(3):
        until(waits, "what comes while there is no proxy is answered")


def test_the_copy_of_a_flow_is_whole(lab):
    """Both directions of each datagram reach the sensor, with the client's address."""
    ids, host, client = lab.sensor(), lab.server(), lab.client()
    Echo(host)
    watch = ids.start("tcpdump", "-i", "eth0", "-nn", "-l", "--immediate-mode", "udp", log="udp.tcpdump")
    until(lambda: "listening on" in watch.tail(), "tcpdump listens")
    lab.engine()
    vs = lab.virtual_service(
        pool=[{"ip": {"addr": host.ip4, "type": "V4"}, "port": 5000}], http=False, port=5000, monitor=None,
        clone=lab.clone_profile([ids], preserve_client_ip=True),
        application_profile_ref=lab.ref("applicationprofile", "System-Syslog"),
        network_profile_ref=lab.ref("networkprofile", "System-UDP-Fast-Path"))
    asker = Asker(client, vs.vip, 5000)
    until(asker.tries, "an answer comes")
    for _ in range(19):
        assert asker.ask(b"hello")
    sent = client.ip4 + "."

    def lines(words: str) -> list[str]:
        return [line for line in watch.log.read_text().splitlines() if words in line]

    until(lambda: len(lines(f"IP {sent}")) >= 20 and len(lines(f"> {sent}")) >= 20, "all were copied")
    assert all(f"> {host.ip4}.5000" in line for line in lines(f"IP {sent}"))
    assert all(f"IP {host.ip4}.5000" in line for line in lines(f"> {sent}"))
    until(lambda: (sums := vs.clone_told())["eligible"] == sums["sent"] ==
          len(lines(f"IP {sent}")) + len(lines(f"> {sent}")), "the books are closed")
