"""Copies of packets that are more than an Ethernet, an IP and a transport header: they belong to their flow as well."""

import contextlib
import socket
import threading

import pytest
from scapy.all import ICMP, IP, TCP, UDP, Ether, IPv6, rdpcap, sendp

from lab import until
from lab.host import Host
from lab.packets import BAD_CHECKSUM

PORT = 5000


class Tap:
    """Everything that passes an interface."""

    def __init__(self, host, interface="eth0", expression=""):
        self.host, self.pcap = host, host.lab.dir / f"{host.name}.{interface}.all.pcap"
        self.tcpdump = host.start("tcpdump", "-i", interface, "-nn", "-s", 2048, "-B", 16384, "--immediate-mode", "-U", "-Z", "root",
                                  "-w", self.pcap, *expression.split(), log=f"{host.name}.{interface}.all.log")
        until(lambda: "listening on" in self.tcpdump.tail(), f"{host.name} listens")

    def packets(self):
        return [p for p in rdpcap(str(self.pcap)) if IP in p or IPv6 in p]


class Talker(Host):
    """A server: doubles what it hears, with options and extension headers where it is asked to."""

    def __init__(self, lab):
        super().__init__(lab, "talker")
        self.eth = self.attach(lab.back, "eth0", *lab.back.address(11))
        self.ip4, self.ip6, self.port = self.eth.ip, self.eth.ip6, PORT
        self.sockets = []
        with self.entered():
            for family in (socket.AF_INET, socket.AF_INET6):
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    s = socket.socket(family, kind)
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    if family == socket.AF_INET:
                        s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x01" * 8)
                    else:
                        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                        # A destination option that is padding.
                        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, b"\x00\x00\x01\x04\x00\x00\x00\x00")
                    s.bind(("", PORT))
                    self.sockets.append(s)
                    if kind == socket.SOCK_STREAM:
                        s.listen()
                    threading.Thread(target=self.datagrams if kind == socket.SOCK_DGRAM else self.streams,
                                     args=(s,), daemon=True).start()

    @staticmethod
    def datagrams(s):
        with contextlib.suppress(OSError):
            while True:
                data, peer = s.recvfrom(65536)
                s.sendto(data * 2, peer)

    @staticmethod
    def streams(s):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = s.accept()
                with peer:
                    while data := peer.recv(65536):
                        peer.sendall(data * 2)

    def close(self):
        for s in self.sockets:
            s.close()
        super().close()


def whole(packets):
    """Each packet from its IP header on, as bytes; what the network card fills in, as if it were not there."""
    found = []
    for p in packets:
        ip = (p[IP] if IP in p else p[IPv6]).copy()
        for layer in (TCP, UDP):
            if layer in ip and ICMP not in ip and not (IP in ip and ip.frag):
                ip[layer].chksum = 0
        found.append(bytes(ip))
    return sorted(found)


def udp(lab, **more):
    made = lab.api.post("networkprofile", {"name": "datagrams", "profile": {
        "type": "PROTOCOL_TYPE_UDP_FAST_PATH", "udp_fast_path_profile": {"session_idle_timeout": 10}}})
    return f"/api/networkprofile/{made['uuid']}"


class World:
    def __init__(self, lab):
        self.lab, self.ids, self.client = lab, lab.sensor(), lab.client()
        self.talker = lab._host(Talker(lab))
        self.engine = lab.engine()
        self.profile = lab.api.post("trafficcloneprofile", {
            "name": "copies", "clone_servers": [{"ip_address": {"addr": self.ids.ip4, "type": "V4"}}]})
        more = {"clone": self.profile["url"], "monitor": None, "http": False, "v6": True}
        datagrams = {**more, "network_profile_ref": udp(lab), "port": PORT}
        deaf = [{"ip": {"addr": ip, "type": kind}, "port": PORT + 1} for ip, kind in
                ((self.talker.ip4, "V4"), (self.talker.ip6, "V6"))]
        self.datagrams = [lab.virtual_service([self.talker], servers_v6=v6, **datagrams) for v6 in (False, True)]
        self.streams = [lab.virtual_service([self.talker], servers_v6=v6, **more) for v6 in (False, True)]
        self.deaf = [lab.virtual_service([deaf[v6]], **datagrams) for v6 in (False, True)]
        self.services = [*self.datagrams, *self.streams, *self.deaf]

    def ask(self, vs, v6, *messages):
        kind = socket.SOCK_STREAM if vs in self.streams else socket.SOCK_DGRAM
        with self.client.entered():
            s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, kind)
        with s:
            s.settimeout(5)
            s.connect((vs.vip6 if v6 else vs.vip, vs.port))
            for message in messages:
                s.sendall(message)
                if vs in self.deaf:
                    return
                answer = b""
                while len(answer) < 2 * len(message):
                    answer += s.recv(65536)
                assert answer == message * 2

    def all(self):
        """Datagrams of one and of many fragments, streams with options, and a port where nobody is."""
        for v6 in (False, True):
            self.ask(self.datagrams[v6], v6, b"x" * 10, b"y" * 3000, b"z" * 20)
            self.ask(self.streams[v6], v6, b"x" * 10, b"y" * 500)   # no card has to cut them
            self.ask(self.deaf[v6], v6, b"anybody?")

    def books(self):
        """What was eligible and what was sent, until now."""
        told = [vs.clone_told() for vs in self.services]
        return tuple(sum(sums[counter] for sums in told) for counter in ("eligible", "sent"))


def test_any_packet_of_a_flow_is_copied(lab):
    world = World(lab)
    engine = world.engine.back0
    taps = [Tap(world.talker, "eth0", f"host {engine.ip} or host {engine.ip6}"), Tap(world.ids)]
    world.all()

    def packets():
        here = [p for p in taps[0].packets() if not (IPv6 in p and p.haslayer("ICMPv6ND_NS") or p.haslayer("ICMPv6ND_NA"))]
        return here, [p for p in taps[1].packets() if p[Ether].dst == world.ids.mac and not p.haslayer("ICMPv6ND_NS")]

    def same():
        here, there = packets()
        return len(here) == len(there) and len([p for p in here if ICMP in p or p.haslayer("ICMPv6DestUnreach")]) == 2
    until(same, "as many packets at the sensor as at the server")
    here, there = packets()
    assert whole(there) == whole(here)
    assert sum(bool(IP in p and (p[IP].frag or p[IP].flags.MF)) for p in there) == 8, "fragments of two datagrams"
    assert sum(p.haslayer("IPv6ExtHdrFragment") > 0 for p in there) == 8
    assert any(IP in p and p[IP].options for p in there)
    assert any(p.haslayer("IPv6ExtHdrDestOpt") for p in there)
    until(lambda: world.books() == (len(there), len(there)), "the books tell what the sensor saw")
    # And with the client's address: it stands for the engine's everywhere, and each sum is right.
    lab.api.patch("trafficcloneprofile/" + world.profile["uuid"], replace={"preserve_client_ip": True})
    before = len(there)

    def follows():
        world.ask(world.streams[0], False, b"?")
        return any(world.client.ip4 in (p[IP].src, p[IP].dst) for p in packets()[1] if IP in p)
    until(follows, "the profile is followed")
    world.all()
    until(lambda: len([p for p in packets()[1] if ICMP in p or p.haslayer("ICMPv6DestUnreach")]) == 4, "all has come")
    there = packets()[1]
    assert len(there) > before
    last = [p for p in there if ICMP in p][-1]
    assert last[IP].dst == world.client.ip4 and last[ICMP].payload.src == world.client.ip4
    mine = there[-30:]
    assert not [p for p in mine if IP in p and engine.ip in (p[IP].src, p[IP].dst)]
    assert not [p for p in mine if IPv6 in p and engine.ip6 in (p[IPv6].src, p[IPv6].dst)]
    # What is quoted is as the engine's network card was to finish it.
    bad = BAD_CHECKSUM + ' or icmp.checksum.status == "Bad" or icmpv6.checksum.status == "Bad"'
    bad += ' or (udp.checksum.status == "Bad" and not icmp and not icmpv6)'
    options = [word for layer in ("ip", "tcp", "udp") for word in ("-o", f"{layer}.check_checksum:TRUE")]
    done = world.ids.run("tshark", "-r", taps[1].pcap, *options, "-Y", bad)
    assert done.stdout == ""
    whole_ones = world.ids.run("tshark", "-r", taps[1].pcap, *options, "-Y", "udp.length == 6008")
    assert len(whole_ones.stdout.splitlines()) == 4, "each is put together again"
