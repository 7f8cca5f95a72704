"""Where copies go: every form of destination, next hops, and encapsulations that sensors beyond a router decode."""

import collections
import contextlib
import os
import socket
import subprocess

import pytest
from reach import Reach
from test_clone_raw import DROPS, Echo
from test_vrf import Domain, ip, join, wait_up

from lab.host import Host, until
from lab.packets import BAD_CHECKSUM, SYN, PcapReader, conversations
from lab.switch import Switch
from lab.tunnels import unwrap

PORT = 7
ROOM = 20 + 8 + 8 + 14          # of VXLAN over IPv4
FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])


def keep_order(*hosts):
    """As network cards do: all packets of a flow to one processor. A virtual cable gives them to whichever sent them."""
    everybody = f"{(1 << os.cpu_count()) - 1:x}"
    for host in hosts:
        host.run("sh", "-c", f"for q in /sys/class/net/*/queues/rx-0/rps_cpus; do echo {everybody} > $q; done")


class Recorder(Host):
    """A host that writes down what comes by an interface, whoever it is for."""

    def __init__(self, lab, name, switch, number):
        super().__init__(lab, name)
        self.eth = self.attach(switch, "eth0", *switch.address(number))
        self.ip4, self.ip6, self.mac = self.eth.ip, self.eth.ip6, self.eth.mac
        self.readers = {}

    def record(self, interface, what, read=None):
        pcap = self.lab.dir / f"{self.name}.{interface}.pcap"
        tcpdump = self.start("tcpdump", "-i", interface, "-nn", "-s", 9200, "-B", 16384, "--immediate-mode", "-U",
                             "-Z", "root", "-w", pcap, what, log=f"{self.name}.{interface}.tcpdump")
        until(lambda: "listening on" in tcpdump.tail(), f"{self.name} listens")
        self.readers[interface] = (PcapReader(pcap, read) if read else PcapReader(pcap)), []
        return self

    def seen(self, interface="eth0"):
        """What came since forget()."""
        reader, frames = self.readers[interface]
        frames.extend(reader.new_frames())
        return frames

    def forget(self):
        for interface, (_, frames) in self.readers.items():
            self.seen(interface)
            frames.clear()

    def tshark(self, interface, *words):
        pcap = self.lab.dir / f"{self.name}.{interface}.pcap"
        verify = [w for name in ("ip", "udp", "tcp") for w in ("-o", f"{name}.check_checksum:TRUE")]
        done = subprocess.run(["tshark", "-r", str(pcap), "-d", "udp.port==8472,vxlan", *verify, *words],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


class World:
    """An engine, a server at eth0, and at eth1 a link of the copies' own, with routers to a sensor two hops away."""

    def __init__(self, lab, on="span"):
        self.lab = lab
        self.engine = lab._host(Host(lab, "engine"))
        self.back = self.engine.attach(lab.back, "eth0", *lab.back.address(21))
        self.out = self.engine.attach(lab.span, "eth1", *lab.span.address(21)) if on == "span" else self.back
        self.near = lab.span if on == "span" else lab.back
        self.echo = lab._host(Echo(lab))
        keep_order(self.engine, self.echo, lab.back, lab.span)
        self.reach = Reach(self.engine)
        self.reach.ask(f"production {self.echo.eth.ip} {self.echo.eth.ip6}", "production")

    def beyond(self):
        """near -- router1 -- mid -- router2 -- far: the sensor on it."""
        lab = self.lab
        mid, far = lab._host(Switch(lab, "mid", 7)), lab._host(Switch(lab, "far", 8))
        one, two = lab._host(Host(lab, "router1")), lab._host(Host(lab, "router2"))
        self.router = one.attach(self.near, "in", *self.near.address(31))
        one.attach(mid, "out", *mid.address(1))
        two.attach(mid, "in", *mid.address(2))
        two.attach(far, "out", *far.address(1))
        for host in (one, two):
            host.sysctl("net.ipv4.ip_forward", 1, "net.ipv6.conf.all.forwarding", 1)
        sensor = lab._host(Recorder(lab, "far_ids", far, 9))
        for k in range(2):
            family = ("-4", "-6")[k]
            one.ip(family, "route", "add", "default", "via", mid.address(2)[k])
            two.ip(family, "route", "add", "default", "via", mid.address(1)[k])
            sensor.ip(family, "route", "add", "default", "via", far.address(1)[k])
        keep_order(mid, far, one, two, sensor, self.near)
        self.far = ("198.18.8.0/24", "fd00:5:0:8::/64")
        return sensor

    def route(self, v6=False, via=None, **more):
        self.engine.ip("-6" if v6 else "-4", "route", "replace", self.far[v6], "via",
                       via or (self.router.ip6 if v6 else self.router.ip),
                       *(word for pair in more.items() for word in pair))

    def reaches(self, recorder, v6=False):
        """The routers know the way: they hold back only so much while they ask for it."""
        self.engine.run("ping", "-c", 1, "-W", 5, recorder.ip6 if v6 else recorder.ip4)

    def clone(self, *wants):
        answer = self.reach.ask("clone " + " ".join(wants), "clone")
        assert not answer.startswith("error"), answer

    def state(self, target=0):
        return self.reach.ask(f"books {target}", "books").split("state=")[1]

    def says(self, *words, seconds=10):
        until(lambda: all(word in self.state() for word in words), f"the state says {words}", seconds)

    def ready(self, target=0):
        until(lambda: self.state(target) == "ready", "target is ready")

    def connect(self, v6=False, target=0, client=""):
        to = self.echo.eth.ip6 if v6 else self.echo.eth.ip
        return int(self.reach.ask(f"connect {to} {PORT} {target} {client}".strip(), "connected").split()[1])

    def talk(self, n=20000, **options):
        number = self.connect(**options)
        assert self.reach.ask(f"exchange {number} {n} {n}", "exchanged") == "exchanged"
        self.reach.ask(f"close {number}", "closed")

    def books(self, target=0):
        """Once all is over; eligible = sent + dropped."""
        def settled():
            before, books = (self.reach.numbers("books", target) for _ in range(2))
            return before == books and books
        books = until(settled, "nothing is under way")
        assert books["eligible"] == books["sent"] + sum(books[f"dropped_{reason}"] for reason in DROPS), books
        return books

    def arrived(self, recorder, interface="eth0", target=0):
        """Everything that the books say was sent came; that, in the order in which it came."""
        def all_of_it():
            return len(recorder.seen(interface)) >= self.books(target)["sent"] > 0
        with contextlib.suppress(AssertionError):
            until(all_of_it, "")
        seen = recorder.seen(interface)
        assert len(seen) == self.books(target)["sent"] > 0
        return seen


@pytest.fixture
def world(lab, request):
    world = World(lab, **getattr(request, "param", {}))
    yield world
    if world.reach.popen.poll() is None:
        world.reach.end()


def whole(frames, *sizes):
    """The conversations in them, complete and in order, so many bytes each way."""
    talks = conversations(frames)
    assert [len(t.sent) for t in talks] == list(sizes)
    for t in talks:
        assert t.handshake and t.missing == 0 and t.ended and t.sent == t.answered
    assert all(f.checksums_ok for f in frames)
    assert [f.time for f in frames] == sorted(f.time for f in frames)
    return talks


CASES = [   # what is wanted, and what tshark is to see of it in each frame
    ("vxlan=11259375", "vxlan", 0xABCDEF, {"vxlan.vni": "11259375"}),
    ("geneve=77", "geneve", 77, {"geneve.vni": "0x00004d"}),
    ("gre=-1", "gre", None, {}),
    ("gre=16909060", "gre", 0x01020304, {"gre.key": "0x01020304"}),
    ("erspan2=5", "erspan2", 5, {"erspan.version": "1", "erspan.spanid": "5"}),
    ("erspan3=1023", "erspan3", 1023, {"erspan.version": "2", "erspan.spanid": "1023", "erspan.gra": "1"}),
]
FIELDS = sorted({field for *_, fields in CASES for field in fields})


@FAMILIES
def test_a_sensor_two_hops_away_decodes(world, v6):
    sensor = world.beyond().record("eth0", "ip proto gre or ip6 proto gre or udp", unwrap)
    to, own = (sensor.ip6, world.out.ip6) if v6 else (sensor.ip4, world.out.ip)
    sensor.ip("link", "add", "vx0", "type", "vxlan", "id", 0xABCDEF, "dstport", 4789, "local", to, "nolearning")
    sensor.run("ethtool", "-K", "vx0", "gro", "off")        # frame by frame, as they came
    sensor.ip("link", "set", "vx0", "up")
    sensor.record("vx0", "tcp or ip6 proto 6")
    world.route(v6)
    world.reaches(sensor, v6)
    client, macs = "2001:db8::77", {world.back.mac, world.echo.eth.mac}
    expected = collections.Counter()
    for want, kind, number, fields in CASES:
        world.clone(f"{to},{want}")
        world.ready()
        world.talk(1)
        world.talk(100_000)
        world.talk(100_000, v6=True, client=client)
        frames = world.arrived(sensor)
        assert {(f.kind, f.number, f.src, f.dst, f.hops) for f in frames} == {(kind, number, own, to, 62)}
        assert all(f.checksums_ok and f.whole and f.wire_length <= 1514 for f in frames)
        assert max(f.wire_length for f in frames) == 1514, "no smaller than need be"
        one, two, three = whole([f.inner for f in frames], 1, 100_000, 100_000)
        assert one.client == two.client == world.back.ip and three.client == client
        # Inside is the frame as it was on production's wire.
        assert all({f.inner.src_mac, f.inner.dst_mac} == macs for f in frames)
        if kind in ("vxlan", "geneve"):
            ports = {frozenset((f.inner.flow, f.inner.back)): f.sport for f in frames}
            assert all(ports[frozenset((f.inner.flow, f.inner.back))] == f.sport >= 49152 for f in frames)
            assert len(ports) == 3 and len(set(ports.values())) > 1
        if kind == "vxlan":
            # The kernel's own device, which takes no frame whose outer checksum is wrong, or zero over IPv6.
            whole(world.arrived(sensor, "vx0"), 1, 100_000, 100_000)
        if kind.startswith("erspan"):
            # Each frame has its own; two processors may send theirs in another order.
            numbers = sorted(f.sequence for f in frames)
            assert numbers == list(range(numbers[0], numbers[0] + len(frames)))
            assert all(f.out == (f.inner.src_mac == world.back.mac) for f in frames)
        if kind == "erspan3":
            ticks = [(f.stamp - frames[0].stamp + (1 << 31)) % (1 << 32) - (1 << 31) for f in frames]
            assert all(abs(t / 1e7 - (f.time - frames[0].time)) < 0.5 for t, f in zip(ticks, frames))
        books = world.books()
        assert books["sent"] == books["eligible"] and books["sent_bytes"] == sum(f.wire_length for f in frames)
        expected[tuple(fields.get(name, "") for name in FIELDS)] += len(frames)
        sensor.forget()
    # The same by a stock tool: nothing that it does not understand, nothing that it objects to.
    columns = [word for name in FIELDS for word in ("-e", name)]
    lines = sensor.tshark("eth0", "-Y", "tcp", "-T", "fields", "-E", "separator=|", *columns)
    assert collections.Counter(tuple(line.split("|")) for line in lines) == expected
    assert sensor.tshark("eth0", "-Y", " or ".join(
        [BAD_CHECKSUM, "udp.checksum.status == Bad",
         "tcp.analysis.lost_segment", "tcp.analysis.ack_lost_segment", "_ws.malformed"])) == []


def far_sensor(lab, near):
    """Beyond a router on the switch: the sensor, and the engine's next hop towards it."""
    far, router = lab._host(Switch(lab, "far", 8)), lab._host(Host(lab, "router"))
    leg = router.attach(near, "in", *near.address(31))
    router.attach(far, "out", *far.address(1))
    router.sysctl("net.ipv4.ip_forward", 1, "net.ipv6.conf.all.forwarding", 1)
    sensor = lab._host(Recorder(lab, "far_ids", far, 9))
    sensor.ip("route", "add", "default", "via", far.address(1)[0])
    keep_order(near, far, router, sensor)
    return sensor, leg


def segment_size(frame):
    """What a SYN over IPv4 without IP options says it takes (RFC 9293)."""
    at, end = 14 + 20 + 20, 14 + 20 + (frame.raw[46] >> 4) * 4
    while at < end and frame.raw[at]:
        if frame.raw[at] == 2:
            return int.from_bytes(frame.raw[at + 2:at + 4], "big")
        at += 1 if frame.raw[at] == 1 else frame.raw[at + 1]
    return None


def test_a_profile_says_the_encapsulation(lab):
    """Through controller, engine and proxy: each field has its effect, and what the server sends leaves room as well."""
    web, client = lab.server(), lab.client()
    engine = lab.engine(workers=1)
    sensor, hop = far_sensor(lab, lab.span)
    keep_order(lab.back, engine, web)
    sensor.record("eth0", "ip proto gre or udp",
                  lambda *frame: unwrap(*frame) or unwrap(*frame, vxlan_port=8472))
    engine.ip("route", "add", "198.18.8.0/24", "via", hop.ip)
    body = {"name": "far", "clone_servers": [{"ip_address": {"addr": sensor.ip4, "type": "V4"}}]}
    profile = lab.api.post("trafficcloneprofile", body)
    vs = lab.virtual_service(pool=[web], http=False, monitor=None, clone=profile["url"], wait_clone=False)
    engine.run("ping", "-c", 1, "-W", 5, sensor.ip4)
    syns, reader = [], PcapReader(lab.dir / "syns.pcap")
    tcpdump = web.start("tcpdump", "-i", "eth0", "-nn", "--immediate-mode", "-U", "-Z", "root", "-w", reader.path,
                        "tcp dst port 80 and tcp[tcpflags] & tcp-syn != 0", log="syns.tcpdump")
    until(lambda: "listening on" in tcpdump.tail(), "the server listens")

    def taken(size):
        """The next connections to the server are of segments as long as that."""
        def look():
            client.fresh_get(vs.url)
            syns.extend(reader.new_frames())
            return syns and segment_size(syns[-1]) == size
        until(look, f"connections to the server take {size} bytes", every=0.1)
    for more, kind, number, port, around in (
            ({"type": "CLONE_ENCAP_VXLAN", "vni": 42}, "vxlan", 42, 4789, 50),
            ({"type": "CLONE_ENCAP_VXLAN", "vni": 42, "port": 8472}, "vxlan", 42, 8472, 50),
            ({"type": "CLONE_ENCAP_GENEVE", "vni": 16777215}, "geneve", 16777215, 6081, 50),
            ({"type": "CLONE_ENCAP_GRE"}, "gre", None, 0, 38),
            ({"type": "CLONE_ENCAP_GRE", "key": 0}, "gre", 0, 0, 42),
            ({"type": "CLONE_ENCAP_ERSPAN_II", "session_id": 1023}, "erspan2", 1023, 0, 50),
            ({"type": "CLONE_ENCAP_ERSPAN_III", "session_id": 7}, "erspan3", 7, 0, 54)):
        profile["clone_servers"][0]["encapsulation"] = more
        profile = lab.api.put(f"trafficcloneprofile/{profile['uuid']}", profile)

        def came():
            client.fresh_get(vs.url)
            return any((f.kind, f.number, f.dport) == (kind, number, port) for f in sensor.seen())
        until(came, f"copies come as {more}", every=0.1)
        sensor.forget()
        assert len(client.fresh_get(vs.url + "files/131072").content) == 131072

        def whole_body():
            frames = [f for f in sensor.seen() if (f.kind, f.number, f.dport) == (kind, number, port)]
            talks = conversations(f.inner for f in frames)
            return any(b"131072" in t.sent and len(t.answered) > 131072 and not t.missing for t in talks) and frames
        frames = until(whole_body, "the whole answer is in the copies")
        assert all(f.checksums_ok and f.whole for f in frames)
        assert max(f.wire_length for f in frames) == 1514, "the server's segments, too, leave just the room"
        taken(1460 - around)
    assert vs.clone_told()["dropped_too_big"] == 0
    # A session's frames are numbered in one row: that of before an edit goes on, and whoever shares the session shares it.
    other = lab.virtual_service(pool=[web], http=False, monitor=None, clone=profile["url"])
    profile = lab.api.put(f"trafficcloneprofile/{profile['uuid']}", {**profile, "preserve_client_ip": True,
                                                                             "side": "CLONE_SIDE_BOTH"})

    def both_anew():
        client.fresh_get(vs.url)
        client.fresh_get(other.url)
        clients = collections.Counter(f.inner.src for f in sensor.seen()
                                      if f.kind == kind and f.inner.flags == SYN and f.inner.dst == web.ip4)
        return clients[client.ip4] >= 4 and clients[engine.back0.ip] >= 1
    until(both_anew, "copies come as before the edit and as after it", every=0.1)

    def in_a_row():
        numbers = sorted(f.sequence for f in sensor.seen() if f.kind == kind)
        return numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    until(in_a_row, "each number is there once")

    def segments():
        with client.connect(vs.vip, 80) as peer:
            return peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    # Clients are copied as well, so they leave the room, too; the kernel takes the time stamps off.
    until(lambda: segments() == 1460 - 54 - 12, "connections of clients take segments that fit")
    assert len(client.fresh_get(vs.url + "files/131072").content) == 131072
    assert vs.clone_told()["dropped_too_big"] == 0
    # The path becomes narrower, and wide again; nothing has to leave room any more.
    for words, size in (("mtu 1400", 1400 - 40 - 54), ("", 1460 - 54)):
        engine.ip("route", "replace", "198.18.8.0/24", "via", hop.ip, *words.split())
        taken(size)
    vs.patch(delete={"traffic_clone_profile_ref": profile["url"]})
    taken(1460)
    until(lambda: segments() == 1460 - 12, "connections of clients are as without copies")


def test_the_next_hop_is_the_routing_table_s(world):
    """No route, a route, another one, a narrower one, a router that is dead, none again; the books agree with the wire."""
    sensor = world.beyond().record("eth0", "udp", unwrap)
    want, far = f"{sensor.ip4},vxlan=1", world.far[0]
    world.clone(want)
    world.says("no route of this engine leads to", sensor.ip4)
    world.talk()
    books = world.books()
    assert books["eligible"] == books["dropped_no_interface"] > 0
    world.route()
    world.ready()
    world.reaches(sensor)
    assert world.reach.numbers("books", 0)["room"] == 1500 - ROOM
    # A sender that leaves no room: what does not fit is counted, what fits is sent.
    world.reach.ask("room off", "room")
    world.talk(100_000)
    books = world.books()
    assert books["dropped_too_big"] > 0 and books["sent"] > 0
    world.reach.ask("room on", "room")
    world.route(mtu=1400)
    until(lambda: world.reach.numbers("books", 0)["room"] == 1400 - ROOM, "the path is narrower")
    world.talk(100_000)
    assert world.books()["dropped_too_big"] == books["dropped_too_big"]
    assert max(f.wire_length for f in world.arrived(sensor)[books["sent"]:]) == 1414
    nobody = world.near.address(99)[0]
    world.route(via=nobody)
    world.says(nobody, f"the next hop to {sensor.ip4}", "does not answer ARP on eth1")
    before = world.books()
    world.talk(100)
    assert world.books()["dropped_no_neighbour"] > before["dropped_no_neighbour"]
    world.engine.ip("route", "del", far)
    world.says("no route")
    world.clone(f"{world.out.ip},gre=-1", sensor.ip4, f"198.18.77.9,198.18.77.0/24", f"{sensor.ip6},vxlan=1")
    assert "is an address of this engine" in world.state(0)
    assert world.state(1) == f"{sensor.ip4} is not adjacent and has no encapsulation"
    assert world.state(2) == "no interface of this engine lies in 198.18.77.0/24"
    assert "no route" in world.state(3)


def test_every_form_of_destination(world):
    """Who is asked for, who is not, and where copies go while nobody answers."""
    lab = world.lab
    ids, other = (lab._host(Recorder(lab, name, lab.span, n)).record("eth0", "tcp")
                  for name, n in (("ids", 71), ("other", 72)))
    subnet, flood = lab.span.subnet, "02:53:50:57:ff:ff"
    dummy, dummy6 = lab.span.address(200)

    def macs(*wants):
        world.clone(*wants)
        until(lambda: world.state().startswith("ready"), "target is ready")
        ids.forget()
        world.talk(1000)
        return {f.dst_mac for f in world.arrived(ids)}
    for wants in (ids.ip4, ids.ip6, f"{ids.ip4},{ids.mac}", f"{ids.mac},{subnet}", f"{dummy},{ids.mac},{subnet}",
                  f"{dummy},{ids.mac}"):
        assert macs(wants) == {ids.mac}, wants
    # Nobody answers: dropped, or, with a subnet, to a MAC address that the switch gives to everybody.
    world.clone(dummy)
    world.says(f"{dummy} does not answer ARP on eth1")
    world.talk(1000)
    books = world.books()
    assert books["eligible"] == books["dropped_no_neighbour"] > 0
    assert macs(subnet) == {flood} == {f.dst_mac for f in other.seen()[-3:]}
    assert macs(f"{dummy},{subnet}") == {flood}
    world.says("ready", f"{dummy} does not answer ARP", flood)
    # It comes: its own MAC address; with another one, and without a word of it; it goes: the last one.
    other.ip("addr", "add", f"{dummy}/24", "dev", "eth0")
    until(lambda: f"mac={other.mac}" in world.reach.ask("books 0", "books"), "it is found")
    world.ready()
    for fresh, who in (("02:00:00:00:77:77", dummy), ("02:00:00:00:77:78", dummy6)):
        if who == dummy6:
            other.ip("addr", "add", f"{dummy6}/64", "dev", "eth0", "nodad")
            world.clone(dummy6)
            world.ready()
        other.ip("link", "set", "eth0", "address", fresh)
        until(lambda: f"mac={fresh}" in world.reach.ask("books 0", "books"), f"{who} is followed to {fresh}")
    # The switch never believed that the server is anywhere else.
    assert lab.back.knows(world.echo.eth.mac) == world.echo.eth.port
    # An interface that goes away and comes back.
    world.engine.ip("link", "del", "eth1")
    world.says("is not adjacent")
    world.out = world.engine.attach(lab.span, "eth1", *lab.span.address(21))
    world.ready()


def test_the_service_s_routing_domain_leads_to_the_sensor(lab):
    """A route that only its VRF has; copies of another domain's service do not take it."""
    engine = lab.engine(workers=1)
    blue = Domain(lab, engine, "blue")
    join(lab, engine, blue)
    sensor, hop = far_sensor(lab, blue.switch)
    sensor.record("eth0", "udp", unwrap)
    lab.api.patch(f"vrfcontext/{blue.vrf['uuid']}", replace={"static_routes": [
        {"route_id": "1", "prefix": {"ip_addr": ip("198.18.8.0"), "mask": 24}, "next_hop": ip(hop.ip)}]})
    profile = lab.api.post("trafficcloneprofile", {"name": "far", "clone_servers": [
        {"ip_address": ip(sensor.ip4), "encapsulation": {"type": "CLONE_ENCAP_VXLAN", "vni": 5}}]})
    vs = blue.service([blue.server.ip4], traffic_clone_profile_ref=profile["url"])
    wait_up(lab, vs)
    other = lab.virtual_service(pool=[lab.server()], monitor=None, clone=profile["url"], wait_clone=False)
    client = lab.client()

    def came():
        assert blue.client.fresh_get(f"http://{blue.switch.address(100)[0]}/").ok
        return any(f.inner.dport == 80 and f.src == blue.leg.ip and f.number == 5 for f in sensor.seen())
    until(came, "copies of the domain's service come", every=0.1)
    assert client.fresh_get(other.url).ok
    until(lambda: other.clone_sum("dropped_no_interface") > 0, "the other service's copies have no way")
    assert other.clone_sum("sent") == 0
