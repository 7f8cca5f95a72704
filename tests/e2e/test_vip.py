"""The lease of a VIP, without controller and proxy: who answers, since when, and never two."""

import random
import socket
import struct
import threading
import time

import pytest
from reach import Reach

from lab.host import Host, starved_ms, until

VIP, VIP6 = "198.18.1.100", "fd00:5:0:1::100"
LEASE = 0.5
SO_TIMESTAMPNS = 35


class Watcher(Host):
    """Asks all the time who has the VIPs, and remembers each answer with the time at which the kernel had it."""

    def __init__(self, lab):
        super().__init__(lab, "watcher")
        self.eth = self.attach(lab.front, "eth0", *lab.front.address(50))
        self.answers: list[tuple[float, str, str]] = []
        self.running = True
        with self.entered():
            self.arp = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.arp.bind(("eth0", 0))
            self.arp.settimeout(0.05)
            self.arp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._ask, self._hear)]
        for thread in self.threads:
            thread.start()

    def _ask(self):
        mac = bytes.fromhex(self.eth.mac.replace(":", ""))
        ip, vip = socket.inet_aton(self.eth.ip), socket.inet_aton(VIP)
        request = b"\xff" * 6 + mac + struct.pack("!HHHBBH", 0x806, 1, 0x800, 6, 4, 1) + \
            mac + ip + b"\0" * 6 + vip
        source, target = (socket.inet_pton(socket.AF_INET6, a) for a in (self.eth.ip6, VIP6))
        group = b"\xff\x02" + b"\0" * 9 + b"\x01\xff" + target[13:]
        body = struct.pack("!BBHI", 135, 0, 0, 0) + target + b"\x01\x01" + mac
        total = sum(struct.unpack(f"!{(32 + len(body)) // 2}H", source + group + body)) + 58 + len(body)
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        body = body[:2] + struct.pack("!H", ~total & 0xFFFF) + body[4:]
        solicit = b"\x33\x33" + group[12:] + mac + b"\x86\xdd" + \
            struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + group + body
        while self.running:
            self.arp.send(request.ljust(60, b"\0"))
            self.arp.send(solicit)
            time.sleep(0.005)       # the pace of the questions, not a wait

    def _hear(self):
        vip, vip6 = socket.inet_aton(VIP), socket.inet_pton(socket.AF_INET6, VIP6)
        while self.running:
            try:
                frame, more, _, _ = self.arp.recvmsg(2048, socket.CMSG_SPACE(16))
            except TimeoutError:
                continue
            now = sum(n * unit for n, unit in zip(struct.unpack("qq", more[0][2]), (1, 1e-9))) + time.monotonic() - time.time()
            mac = frame[6:12].hex(":")
            if mac == self.eth.mac:
                continue
            if frame[12:14] == b"\x08\x06" and frame[28:32] == vip:
                self.answers.append((now, VIP, mac))
            elif frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 136 and \
                    frame[62:78] == vip6:
                self.answers.append((now, VIP6, mac))

    def last(self, vip, mac):
        return next((at for at, v, m in reversed(self.answers) if (v, m) == (vip, mac)), 0.0)

    def first_since(self, vip, mac, since):
        return next((at for at, v, m in self.answers if (v, m) == (vip, mac) and at >= since), 0.0)

    def changes(self, vip):
        """The owners in turn, as the wire says."""
        turn: list[str] = []
        for _, v, mac in list(self.answers):
            if v == vip and (not turn or turn[-1] != mac):
                turn.append(mac)
        return turn

    def close(self):
        self.running = False
        for thread in self.threads:
            thread.join(5)
        super().close()


class World:
    def __init__(self, lab):
        self.lab = lab
        self.hosts = {}
        for number, name in enumerate("ab", 1):
            host = lab._host(Host(lab, name))
            host.attach(lab.front, "eth0", *lab.front.address(number))
            self.hosts[name] = host
        self.watcher = lab._host(Watcher(lab))
        self.reaches = []

    def reach(self, name):
        reach = Reach(self.hosts[name])
        self.reaches.append(reach)
        return reach

    def mac(self, name):
        return self.hosts[name].interfaces["eth0"].mac

    def answers(self, name, vip=VIP):
        return until(lambda: self.watcher.last(vip, self.mac(name)) > time.monotonic() - 0.05,
                     f"{name} answers for {vip}")


@pytest.fixture
def world(lab):
    world = World(lab)
    yield world
    for reach in world.reaches:
        if reach.popen.poll() is None:
            reach.go_on()
            reach.kill()


class Moment:
    def __init__(self):
        self.at, self.starved = time.monotonic(), starved_ms()

    def passed(self, seconds):
        return time.monotonic() > self.at + seconds

    def until(self, then):
        """Seconds from here to THEN, without what the machine had no time for meanwhile: a frame may lie in a queue."""
        return then - self.at - (starved_ms() - self.starved) / 1000


def addresses(host):
    return host.ip("addr", "show", "dev", "eth0")


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_owner_answers_and_withdraws_at_once(world, vip):
    a = world.reach("a")
    a.hold(vip)
    a.wait(vip, "OWNED")
    world.answers("a", vip)
    assert f"{vip}/{128 if ':' in vip else 32}" in addresses(world.hosts["a"])
    a.release(vip)
    gone = Moment()
    assert vip not in addresses(world.hosts["a"])
    until(lambda: gone.passed(0.3), "a while")
    assert gone.until(world.watcher.last(vip, world.mac("a"))) < 0.05
    a.end()
    assert "filter" not in world.hosts["a"].run("tc", "filter", "show", "dev", "eth0", "egress").stdout


@pytest.mark.parametrize("vip", [VIP, VIP6])
@pytest.mark.parametrize("how", ["stop", "kill", "proof"])
def test_owner_falls_silent_within_the_lease(world, vip, how):
    a = world.reach("a")
    a.hold(vip)
    a.wait(vip, "OWNED")
    world.answers("a", vip)
    if how == "proof":
        a.say("proof off")
        a.numbers("counters")       # it has heard that
    else:
        getattr(a, how)()
    ended = Moment()
    until(lambda: ended.passed(LEASE + 0.5), "the lease and more")
    silent_after = ended.until(world.watcher.last(vip, world.mac("a")))
    print(f"silent {silent_after * 1000:.0f} ms after {how}")
    assert silent_after <= LEASE + 0.02
    # The address is still there: it is the gate that holds.
    assert vip in addresses(world.hosts["a"])
    if how == "proof":
        until(lambda: a.state(vip) == "PROBING" and "proxy" in a.reason(vip), "it says why")
        a.say("proof on")
        a.wait(vip, "OWNED")
        world.answers("a", vip)


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_candidate_waits_for_a_living_owner(world, vip):
    a, b = world.reach("a"), world.reach("b")
    a.hold(vip)
    a.wait(vip, "OWNED")
    world.answers("a", vip)
    b.hold(vip, term=2)
    b.wait(vip, "WAITING")
    assert world.mac("a") in b.reason(vip)
    assert vip not in addresses(world.hosts["b"])
    a.release(vip)
    b.wait(vip, "OWNED")
    world.answers("b", vip)
    assert world.watcher.changes(vip) == [world.mac("a"), world.mac("b")]


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_stopped_owner_comes_back_and_waits(world, vip):
    a, b = world.reach("a"), world.reach("b")
    a.hold(vip)
    a.wait(vip, "OWNED")
    world.answers("a", vip)
    a.stop()
    b.hold(vip, term=2)
    b.wait(vip, "OWNED")
    world.answers("b", vip)
    a.go_on()
    a.wait(vip, "WAITING")
    assert vip not in addresses(world.hosts["a"])
    until(lambda: a.state(vip) == "WAITING" and world.answers("b", vip), "b still has it")
    assert world.watcher.changes(vip) == [world.mac("a"), world.mac("b")]


def test_restarted_after_kill_finds_the_new_owner(world):
    a, b = world.reach("a"), world.reach("b")
    a.hold(VIP)
    a.wait(VIP, "OWNED")
    world.answers("a")
    a.kill()
    b.hold(VIP, term=2)
    b.wait(VIP, "OWNED")
    again = world.reach("a")            # headless: it still believes that the VIP is its own
    assert VIP not in addresses(world.hosts["a"])
    again.hold(VIP)
    again.wait(VIP, "WAITING")
    assert world.watcher.changes(VIP) == [world.mac("a"), world.mac("b")]


def test_two_candidates_at_once_make_one_owner(world):
    a, b = world.reach("a"), world.reach("b")
    for turn in range(5):
        a.say(f"hold {VIP} eth0 1")
        b.say(f"hold {VIP} eth0 1")
        until(lambda: sorted((a.state(VIP), b.state(VIP))) == ["OWNED", "WAITING"],
              f"one owner, turn {turn}")
        a.release(VIP)
        b.release(VIP)
        until(lambda: a.state(VIP) == b.state(VIP) == "WITHDRAWN", "both withdrawn")
    assert all(x != y for x, y in zip(world.watcher.changes(VIP), world.watcher.changes(VIP)[1:]))


def test_interface_without_carrier_is_absent(world):
    a = world.reach("a")
    a.hold(VIP)
    a.hold("198.18.1.101", interface="eth7")
    a.wait("198.18.1.101", "ABSENT") if a.state("198.18.1.101") else None
    assert "eth7 does not exist" in a.reason("198.18.1.101")
    a.wait(VIP, "OWNED")
    world.hosts["a"].interfaces["eth0"].unplug()
    a.wait(VIP, "ABSENT")
    assert a.reason(VIP) == "interface eth0 has no carrier"
    world.hosts["a"].interfaces["eth0"].plug()
    a.wait(VIP, "OWNED")
    world.answers("a")


def test_own_address_of_the_engine_is_refused(world):
    a = world.reach("a")
    own = world.hosts["a"].interfaces["eth0"].ip
    assert "own address on eth0" in a.ask(f"hold {own} eth0 1", "held")
    assert "cannot be a VIP" in a.ask("hold 224.0.0.1 eth0 1", "held")


def test_gate_is_never_open_during_a_replacement(world):
    """Old programs, dead warden, address still there: the next warden changes the programs under fire."""
    for _ in range(5):
        a = world.reach("a")
        a.hold(VIP)
        a.wait(VIP, "OWNED")
        world.answers("a")
        a.kill()
        dead = Moment()
        assert VIP in addresses(world.hosts["a"])
        until(lambda: dead.passed(LEASE + 0.05), "the lease")
        begin = time.monotonic()
        again = world.reach("a")
        assert VIP not in addresses(world.hosts["a"])
        again.kill()
        assert not world.watcher.first_since(VIP, world.mac("a"), begin)


@pytest.mark.parametrize("seed", range(2))
def test_never_two_answers(world, seed):
    """Both want it, and both are stopped, killed, restarted and released at random."""
    dice = random.Random(seed)
    names = {"a": world.reach("a"), "b": world.reach("b")}
    stopped, held = set(), set("ab")
    for reach in names.values():
        reach.hold(VIP)
    end = time.monotonic() + 15
    while time.monotonic() < end:
        name = dice.choice("ab")
        reach = names[name]
        what = dice.choice(["stop", "kill", "release", "hold"])
        if name in stopped and what != "kill":
            reach.go_on()
            stopped.discard(name)
        elif what == "stop":
            reach.stop()
            stopped.add(name)
        elif what == "kill":
            stopped.discard(name)
            reach.go_on()
            reach.kill()
            names[name] = world.reach(name)
            names[name].hold(VIP)
            held.add(name)
        elif what == "release" and name in held:
            reach.release(VIP)
            held.discard(name)
        elif name not in held:
            reach.hold(VIP)
            held.add(name)
        pause = time.monotonic() + dice.uniform(0.02, 1.0)
        until(lambda: time.monotonic() > pause, "a random moment")
    # Whatever the dice did: each has its turn in the end.
    for name in "ab":
        names[name].go_on()
        if name not in held:
            names[name].hold(VIP)
    for name, other in ("ab", "ba"):
        names[other].release(VIP)
        names[name].wait(VIP, "OWNED")
        world.answers(name)
        names[other].hold(VIP)
        names[other].wait(VIP, "WAITING")
    heard = [(at, mac) for at, vip, mac in list(world.watcher.answers) if vip == VIP]
    owners = {mac for _, mac in heard}
    assert owners == {world.mac("a"), world.mac("b")}, "both had their turn"
    # A hand-over needs unanswered probes: another's answer comes long after the last of the one before.
    closest = min(y[0] - x[0] for x, y in zip(heard, heard[1:]) if x[1] != y[1])
    print(f"{len(heard)} answers, closest hand-over {closest * 1000:.0f} ms")
    assert closest > 0.15
