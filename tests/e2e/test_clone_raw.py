"""Copies made in the kernel, without controller and proxy: legal, whole, counted, harmless."""

import contextlib
import socket
import threading

import pytest
from reach import Reach
from scapy.all import IP, TCP, Dot1Q, Ether, IPv6, sendp

from lab.host import Host, until
from lab.packets import BAD_CHECKSUM, FIN, RST, SYN

PORT = 7
DROPS = ["no_neighbour", "no_interface", "link_down", "queue_full", "too_big", "memory",
         "table_full", "shed", "other"]

FAMILIES = pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])


class Echo(Host):
    """Sends back what it gets, until the peer has said all."""

    def __init__(self, lab):
        super().__init__(lab, "echo")
        self.eth = self.attach(lab.back, "eth0", *lab.back.address(11))
        with self.entered():
            self.listener = socket.create_server(("::", PORT), family=socket.AF_INET6,
                                                 dualstack_ipv6=True)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):     # those it accepts inherit them
            self.listener.setsockopt(socket.SOL_SOCKET, option, 32768)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                threading.Thread(target=self._echo, args=(peer,), daemon=True).start()

    @staticmethod
    def _echo(peer):
        with contextlib.suppress(OSError), peer:
            peer.settimeout(100)
            while data := peer.recv(65536):
                peer.sendall(data)

    def close(self):
        self.listener.close()
        super().close()


class World:
    def __init__(self, lab, place="own_link", flows=0):
        self.lab, self.place = lab, place
        self.host = lab._host(Host(lab, "engine"))
        self.host.attach(lab.back, "eth0", *lab.back.address(21))
        self.host.attach(lab.span, "eth1", *lab.span.address(21))
        self.echo = lab._host(Echo(lab))
        self.out = "eth0" if place == "servers_switch" else "eth1"
        self.sensor = self.new_sensor()
        self.reach = Reach(self.host, flows)
        if place != "own_link_pair":
            self.reach.ask(f"production {self.echo.eth.ip} {self.echo.eth.ip6}", "production")

    def new_sensor(self):
        return self.lab.sensor(on=self.lab.back if self.place == "servers_switch" else None)

    def clone(self, *wants):
        answer = self.reach.ask("clone " + " ".join(wants), "clone")
        assert not answer.startswith("error"), answer

    def ready(self, target=0):
        until(lambda: "state=ready" in self.reach.ask(f"books {target}", "books"), "target is ready")

    def connect(self, v6=False, target=0, client="", port=PORT):
        to = self.echo.eth.ip6 if v6 else self.echo.eth.ip
        answer = self.reach.ask(f"connect {to} {port} {target} {client}".strip(), "connected")
        return int(answer.split()[1]) if answer.startswith("connected") else -1

    def talk(self, n=20000, **options):
        number = self.connect(**options)
        assert number >= 0
        assert self.reach.ask(f"exchange {number} {n} {n}", "exchanged") == "exchanged"
        self.reach.ask(f"close {number}", "closed")

    def books(self, target=0):
        """Once nothing is under way; eligible = sent + dropped."""
        def settled():
            before, books = (self.reach.numbers("books", target) for _ in range(2))
            return before == books and books
        books = until(settled, "nothing is under way")
        dropped = sum(books[f"dropped_{reason}"] for reason in DROPS)
        assert books["eligible"] == books["sent"] + dropped, books
        return books

    def only(self, reason):
        """All that was eligible was dropped for this reason."""
        books = self.books()
        assert books["eligible"] == books[f"dropped_{reason}"] > 0, books


@pytest.fixture
def world(lab, request):
    world = World(lab, **getattr(request, "param", {}))
    yield world
    if world.reach.popen.poll() is None:
        world.reach.end()


def places(function):
    """A link of the sensor's own, known to be so (direct) or not (pair); or the servers' switch."""
    return pytest.mark.parametrize(
        "world", [{"place": p} for p in ("own_link", "own_link_pair", "servers_switch")],
        indirect=True, ids=["own_link", "own_link_pair", "servers_switch"])(function)


def ip(sensor, v6):
    return sensor.ip6 if v6 else sensor.ip4


@places
@FAMILIES
def test_whole_flows_arrive_legal_and_counted(world, v6):
    world.clone(ip(world.sensor, False))
    world.ready()
    for size in (1, 1448, 100_000, 3_000_000):
        world.talk(size, v6=v6)
    world.sensor.settled()
    assert world.sensor.illegal({world.host.interfaces[world.out].mac}) == []
    talks = world.sensor.conversations()
    assert [len(t.sent) for t in talks] == [1, 1448, 100_000, 3_000_000]
    for t in talks:
        assert t.handshake and t.missing == 0 and t.ended and t.sent == t.answered
        assert t.client == (world.host.interfaces["eth0"].ip6 if v6 else world.host.interfaces["eth0"].ip)
    books = world.books()
    assert books["eligible"] == books["sent"] == world.sensor.count()
    assert books["sent_bytes"] == books["eligible_bytes"] == \
        sum(f.wire_length for f in world.sensor.frames())
    assert world.sensor.tshark(BAD_CHECKSUM) == []
    if world.place == "servers_switch":
        assert "spw-" in world.host.ip("link")


@places
@FAMILIES
def test_copies_carry_the_clients_address(world, v6):
    client = "2001:db8::77" if v6 else "203.0.113.77"
    world.clone(ip(world.sensor, True))
    world.ready()
    world.talk(200_000, v6=v6, client=client)
    world.sensor.settled()
    assert world.sensor.illegal({world.host.interfaces[world.out].mac}) == []
    (talk,) = world.sensor.conversations()
    assert talk.client == client and talk.handshake and not talk.missing and talk.ended
    assert len(talk.sent) == 200_000 and talk.sent == talk.answered
    books = world.books()
    assert books["sent"] == world.sensor.count() and books["other_family"] == 0


def test_client_of_another_family_keeps_the_engines_address(world):
    world.clone(world.sensor.ip4)
    world.ready()
    world.talk(v6=True, client="203.0.113.77")
    world.sensor.settled()
    (talk,) = world.sensor.conversations()
    assert talk.client == world.host.interfaces["eth0"].ip6
    books = world.books()
    assert books["other_family"] == books["sent"] == world.sensor.count()


@pytest.mark.parametrize("world", [{"place": "servers_switch"}], indirect=True, ids=["servers_switch"])
def test_the_switch_does_not_learn_the_server_anew(world):
    """A copy with the server's source MAC would move the server to the engine's port."""
    world.clone(world.sensor.ip4)
    world.ready()
    number = world.connect()
    for _ in range(50):
        assert world.reach.ask(f"exchange {number} 5000 5000", "exchanged") == "exchanged"
        assert world.lab.back.knows(world.echo.eth.mac) == world.echo.eth.port
    world.sensor.settled()
    assert {f.src_mac for f in world.sensor.frames()} == {world.host.interfaces["eth0"].mac}
    assert world.sensor.count() > 100


def test_what_is_not_marked_is_not_copied(world):
    world.clone(world.sensor.ip4)
    world.ready()
    world.talk(target=-1)
    world.talk(1)
    world.sensor.settled()
    assert len(world.sensor.conversations()) == 1
    assert world.books()["sent"] == world.sensor.count()


def test_refused_connection_is_a_whole_flow_too(world):
    world.clone(world.sensor.ip4)
    world.ready()
    assert world.connect(port=8) == -1
    world.sensor.settled()
    assert [f.flags & (SYN | RST | FIN) for f in world.sensor.frames()] == [SYN, RST]


@places
def test_each_flow_goes_to_the_sensor_of_its_mark(world):
    other = world.new_sensor()
    world.clone(world.sensor.ip4, f"{other.ip4},{other.mac}")
    world.ready(0)
    world.ready(1)
    for n in range(6):
        world.talk(100, target=n % 2)
    for n, sensor in enumerate((world.sensor, other)):
        sensor.settled()
        assert len(sensor.conversations()) == 3
        assert world.books(n)["sent"] == sensor.count()


@places
def test_nobody_answers(world):
    world.clone("198.18.2.99" if world.place == "servers_switch" else "198.18.3.99")
    world.talk()
    world.only("no_neighbour")


def test_no_interface_then_one(world):
    world.clone("198.18.77.9")
    world.talk()
    world.only("no_interface")
    world.host.ip("addr", "add", "198.18.77.1/24", "dev", "eth1")
    world.sensor.ip("addr", "add", "198.18.77.9/24", "dev", "eth0")
    world.ready()
    before = world.books()
    world.talk()
    world.sensor.settled()
    books = world.books()
    assert books["sent"] == world.sensor.count() == books["eligible"] - before["eligible"]


def test_unplugged_sensor(world):
    world.clone(world.sensor.ip4)
    world.ready()
    world.host.interfaces["eth1"].unplug()
    until(lambda: "no carrier" in world.reach.ask("books 0", "books"), "it is noticed")
    world.talk()
    world.only("link_down")
    world.host.interfaces["eth1"].plug()
    world.ready()
    world.talk()
    world.sensor.settled()
    assert world.books()["sent"] == world.sensor.count()


@places
def test_frames_longer_than_the_clone_interface(world):
    if world.place == "servers_switch":
        world.talk()            # production's frames are never longer than production's interface
        return
    world.clone(world.sensor.ip4)
    world.ready()
    world.host.ip("link", "set", "eth1", "mtu", 1000)
    world.ready()
    world.talk(200_000)
    world.sensor.settled()
    books = world.books()
    assert books["dropped_too_big"] > 0 and books["sent"] == world.sensor.count() > 0


@places
def test_full_queue(world):
    world.clone(world.sensor.ip4)
    world.ready()
    if world.place == "servers_switch":
        return world.talk()     # production's queue is production's business
    world.host.run("tc", "qdisc", "add", "dev", "eth1", "root", "tbf", "rate", "1mbit",
                   "burst", "70000", "limit", "70000")
    world.talk(300_000)
    world.sensor.settled(quiet=1)
    books = world.books()
    assert books["dropped_queue_full"] > 0
    assert books["sent"] == world.sensor.count() > 0


@pytest.mark.parametrize("world", [{"place": "servers_switch"}], indirect=True, ids=["servers_switch"])
def test_frames_that_the_cutter_refuses_are_in_the_books(world):
    world.clone(world.sensor.ip4)
    world.ready()
    port = next(line.split()[0].split("@")[0] for line in world.host.ip("-br", "link").splitlines()
                if line.startswith("spw-n"))
    world.host.ip("link", "set", port, "mtu", 600)
    world.talk(300_000)
    world.sensor.settled()
    books = world.books()
    assert books["dropped_memory"] > 0
    assert books["sent"] == world.sensor.count() > 0
    world.host.ip("link", "set", port, "mtu", 65535)
    before = world.books()
    world.talk(300_000)
    assert world.books()["dropped_memory"] == before["dropped_memory"]


@pytest.mark.parametrize("world", [{"flows": 4}], indirect=True, ids=["4_flows"])
def test_full_flow_table_refuses_whole_flows(world):
    world.clone(world.sensor.ip4)
    world.ready()
    held = [world.connect() for _ in range(4)]
    world.sensor.settled()
    before = world.books()
    assert before["eligible"] == before["sent"] == world.sensor.count()
    world.talk(20_000)          # production does not care
    world.sensor.settled()
    books = world.books()
    assert books["sent"] == before["sent"] == world.sensor.count()
    assert books["dropped_table_full"] == books["eligible"] - before["eligible"] > 0
    assert world.reach.numbers("counters")["flow_refused"] > 0
    assert (books["flows_eligible"], books["flows_copied"], books["flows_refused"]) == (5, 4, 1)
    for number in held:
        world.reach.ask(f"exchange {number} 100 100", "exchanged")
        world.reach.ask(f"close {number}", "closed")

    def room():
        refused = world.books()["dropped_table_full"]
        world.talk(100)
        return world.books()["dropped_table_full"] == refused
    until(room, "closed flows make room", every=0.5)
    assert world.books()["sent"] == world.sensor.settled()


def test_a_new_mac_address_is_followed(world):
    world.clone(world.sensor.ip4)
    world.ready()
    number = world.connect()
    world.reach.ask(f"exchange {number} 100 100", "exchanged")
    fresh = "02:00:00:00:77:77"
    world.sensor.sysctl("net.ipv4.conf.eth0.arp_notify", 1)
    world.sensor.ip("link", "set", "eth0", "down")
    world.sensor.ip("link", "set", "eth0", "address", fresh, "up")
    until(lambda: f"mac={fresh}" in world.reach.ask("books 0", "books"), "it is followed")


def test_another_profile_does_not_inherit_flows(world):
    other = world.new_sensor()
    world.clone(world.sensor.ip4)
    world.ready()
    number = world.connect()
    world.reach.ask(f"exchange {number} 100 100", "exchanged")
    world.sensor.settled()
    seen = world.sensor.count()
    world.clone(other.ip4)
    world.ready()
    world.reach.ask(f"exchange {number} 100 100", "exchanged")
    world.talk(100)
    other.settled()
    assert world.sensor.count() == seen
    assert len(other.conversations()) == 1 and other.conversations()[0].handshake
    assert world.books()["sent"] == other.count()


@FAMILIES
def test_a_reset_that_is_made_up_ends_no_copy(world, v6):
    """Whoever is watched must not be able to switch the watching off. (It comes with a priority, which is no VLAN, and in one.)"""
    world.clone(world.sensor.ip4)
    world.ready()
    number = world.connect(v6=v6)
    world.reach.ask(f"exchange {number} 100 100", "exchanged")
    world.sensor.settled()
    (talk,) = world.sensor.conversations()
    ends = (IPv6 if v6 else IP)(src=talk.server, dst=talk.client)
    made_up = talk.frames[-1].seq ^ 0x55555555
    with world.echo.entered():
        for tag in (Dot1Q(vlan=5), Dot1Q(vlan=0, prio=5)):
            sendp(Ether(src=world.echo.eth.mac, dst=world.host.interfaces["eth0"].mac) / tag / ends /
                  TCP(sport=PORT, dport=talk.client_port, flags="R", seq=made_up ^ tag.vlan), iface="eth0", verbose=False)
    until(lambda: any(f.flags & RST for f in world.sensor.frames()), "the reset is copied, too")
    assert [f.seq for f in world.sensor.frames() if f.flags & RST] == [made_up], "another VLAN's packet is not this connection's"
    # The kernel did not believe it. When it would have been forgotten, its flow is still there.
    assert world.reach.numbers("flows") == {"n": 1, "closed": 1}
    until(lambda: world.reach.numbers("flows")["closed"] == 0, "it was looked at")
    assert world.reach.numbers("flows")["n"] == 1
    world.reach.ask(f"exchange {number} 10000 10000", "exchanged")
    world.reach.ask(f"close {number}", "closed")
    world.sensor.settled()
    (talk,) = world.sensor.conversations()
    assert len(talk.sent) == 10100 and talk.complete


@places
def test_everything_is_put_back(world):
    def state():
        return {name: world.host.run("ethtool", "-k", name).stdout for name in ("eth0", "eth1")}
    # The harness is there already, but touches offloads only for copies.
    before = state()
    world.clone(world.sensor.ip4)
    world.ready()
    during = state()
    assert during["eth0"] == before["eth0"], "production keeps its offloads"
    assert (during["eth1"] != before["eth1"]) == (world.place == "own_link")
    world.talk()
    world.reach.end()
    assert state() == before
    assert "spw-" not in world.host.ip("link")
    for name in ("eth0", "eth1"):
        for direction in ("ingress", "egress"):
            assert "bpf" not in world.host.run("tc", "filter", "show", "dev", name, direction).stdout


def test_copies_that_pass_two_interfaces(world):
    """One that stands on another: rewritten and counted once."""
    world.host.ip("link", "add", "link", "eth1", "name", "upper", "type", "macvlan", "mode", "private")
    world.host.ip("addr", "add", "198.18.77.21/24", "dev", "upper")
    world.host.ip("link", "set", "upper", "up")
    world.sensor.ip("addr", "add", "198.18.77.9/24", "dev", "eth0")
    world.clone("198.18.77.9")
    world.ready()
    world.talk(50_000, client="203.0.113.77")
    world.sensor.settled()
    books = world.books()
    assert books["sent"] == books["eligible"] == world.sensor.count() > 0
    assert world.sensor.illegal() == []
    # The upper one takes a copy that the lower one has no room for: what it says of that itself stands beside the books.
    world.host.run("tc", "qdisc", "add", "dev", "eth1", "root", "tbf", "rate", "1mbit", "burst", "9000", "limit", "9000")
    world.talk(300_000)
    world.host.run("tc", "qdisc", "del", "dev", "eth1", "root")
    lost = int(world.host.run("cat", "/sys/class/net/upper/statistics/tx_dropped").stdout)
    assert world.books()["device_dropped"] == lost > 0
    # What stands on it inherits its offloads: no longer one that copies have for themselves.
    world.clone(world.sensor.ip4)
    world.ready()
    assert "spw-" in world.host.ip("link")


@places
def test_production_does_not_wait_for_the_sensor(world):
    """Whatever the clone target does, each exchange with the server ends as without it."""
    world.clone(world.sensor.ip4)
    world.ready()
    number = world.connect()
    steps = [lambda: None, lambda: world.sensor.ip("link", "set", "eth0", "down"),
             lambda: world.sensor.ip("link", "set", "eth0", "up"),
             lambda: world.reach.ask("unclone", "uncloned")]
    for step in steps:
        step()
        assert world.reach.ask(f"exchange {number} 500000 500000", "exchanged") == "exchanged"
