"""Whatever a clone server is, does or says, production does not notice, and nothing answers it."""

import contextlib
import os
import signal
import socket
import struct
import threading
import time

import pytest
from test_clone_books import Held, balanced

from lab import until
from lab.packets import ACK, FIN, RST, SYN, checksum
from lab.sensor import marker

QUICK = 40                      # answers that show that production goes on


def segment(smac, dmac, src, sport, dst, dport, seq, ack, flags):
    """A TCP segment without payload, from its Ethernet header on."""
    tcp = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 5 << 4, flags, 4096, 0, 0)
    pseudo = socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 1, 0x4000, 64, 6, 0, socket.inet_aton(src),
                     socket.inet_aton(dst))
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return bytes.fromhex((dmac + smac).replace(":", "")) + b"\x08\x00" + ip + tcp


def who_has(smac, dmac, sender, target, op=1):
    mac = bytes.fromhex(smac.replace(":", ""))
    return (bytes.fromhex(dmac.replace(":", "")) + mac + b"\x08\x06\0\1\x08\0\6\4" + struct.pack("!H", op) + mac +
            socket.inet_aton(sender) + b"\0" * 6 + socket.inet_aton(target))


class Wire:
    """The sensor's own cable, to say whatever it likes, and hear what is said to it beside copies."""

    def __init__(self, sensor, exit):
        self.sensor, self.exit = sensor, exit
        with sensor.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.socket.bind(("eth0", 0))
        self.socket.settimeout(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def attack(self, talks, vip):
        """What would end each connection that it saw copies of: as the server, and as the engine to its own kernel."""
        frames = []
        for talk in talks:
            last = next(f for f in reversed(talk.frames) if f.src == talk.server)
            seq = (last.seq + len(last.payload) + bool(last.flags & (SYN | FIN))) & 0xFFFFFFFF
            for flags in (RST, RST | ACK, SYN, SYN | ACK, FIN | ACK):
                frames.append(segment(self.sensor.mac, self.exit.mac, talk.server, talk.server_port, talk.client,
                                      talk.client_port, seq, 0, flags))
        frames.append(segment(self.sensor.mac, self.exit.mac, self.sensor.ip4, 5000, vip, 80, 7, 0, SYN))
        # On a link of its own it may even say that the server is here.
        claimed = talks[0].server if self.exit.name == "span0" else self.sensor.ip4
        mine = bytes.fromhex(self.sensor.mac.replace(":", ""))
        frames += [bytes.fromhex(mac.replace(":", "")) + mine + kind + os.urandom(n)      # and what is nothing at all
                   for mac in (self.exit.mac, "ff:ff:ff:ff:ff:ff") for kind in (b"\x08\x00", b"\x86\xdd", b"\x08\x06")
                   for n in (46, 1400)]
        return frames + [who_has(self.sensor.mac, "ff:ff:ff:ff:ff:ff", claimed, self.exit.ip, op) for op in (1, 2)]

    def blow(self, frames, seconds):
        """As fast as this machine can."""
        ending = threading.Event()

        def send():
            while not ending.is_set():
                for frame in frames:
                    with contextlib.suppress(OSError):
                        self.socket.send(frame)
        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        ending.wait(seconds)
        ending.set()
        thread.join(5)


def refused(sensor, ip):
    """Does a connection to a port where nobody listens get an answer?"""
    with sensor.entered(), socket.socket() as s:
        s.settimeout(0.3)
        try:
            s.connect((ip, 9))
        except TimeoutError:
            return False
        except ConnectionRefusedError:
            return True
    return True


@pytest.mark.parametrize("place", ["own_link", "servers_switch"])
def test_production_does_not_notice_what_a_sensor_does(lab, place):
    switch = lab.span if place == "own_link" else lab.back
    ids = lab.sensor(on=switch)
    web, client, engine = lab.server(), lab.client(), lab.engine()
    out = engine.span0 if place == "own_link" else engine.back0
    vs = lab.virtual_service(pool=[web], http=False, clone=lab.clone_profile([ids])).wait_servers_up(1)
    read = lab.virtual_service(pool=[web], clone=lab.clone_profile([ids], payload="CLONE_DECRYPTED"))
    held = [Held(client, vs) for _ in range(3)]
    until(lambda: len(ids.conversations()) >= 3, "copies arrive")
    until(lambda: client.get(read.url) and any(f.src_mac == marker(out) for f in ids.frames()), "decrypted ones, too")
    learned, readers = switch.table(), []
    asked, began = lab.dir / "asked.pcap", time.monotonic()
    asking = ids.start("tcpdump", "-i", "eth0", "-nn", "-U", "--immediate-mode", "-Z", "root", "-w", asked,
                       f"arp[6:2] = 1 and ether src {out.mac}", log="asked.tcpdump")
    until(lambda: "listening on" in asking.tail(), "it listens")

    def port(*words):
        switch.run("tc", "qdisc", *words[:1], "dev", ids.eth.port, "root", *words[1:])

    def flap():
        for _ in range(8):
            ids.eth.unplug()
            ids.eth.plug()

    def stop():
        """Who reads there reads nothing any more, and what the kernel keeps for it is full at once."""
        reader = ids.start("tcpdump", "-i", "eth0", "-nn", "-s", 2048, "-B", 16, "-Z", "root", "-w", "/dev/null",
                           log="stopped.tcpdump")
        until(lambda: "listening on" in reader.tail(), "it listens")
        readers.extend((reader, ids.tcpdump))
        for one in readers:
            one.signal(signal.SIGSTOP)

    def go_on():
        for one in readers:
            one.signal(signal.SIGCONT)
        came = ids.count()
        until(lambda: ids.count() > came, "copies arrive")

    with Wire(ids, out) as wire, client.load(vs.url, 150, timeout=10) as keeping, \
            client.load(vs.url, 40, reuse=False, timeout=10) as fresh, client.load(read.url, 60, timeout=10) as reading:
        def garbage():
            talks = [t for t in ids.conversations() if not t.ended and t.handshake]
            assert len(talks) >= 3
            wire.blow(wire.attack(talks, vs.vip), 0.7)

        steps = [
            ("stopped", stop),
            ("goes on", go_on),
            ("dead", lambda: ids.ip("link", "set", "eth0", "down")),
            ("back", lambda: ids.ip("link", "set", "eth0", "up")),
            ("garbage", garbage),
            ("answers no ARP", lambda: (ids.ip("link", "set", "eth0", "arp", "off"),
                                        engine.ip("neigh", "flush", "dev", out.name))),
            ("answers again", lambda: ids.ip("link", "set", "eth0", "arp", "on")),
            ("black hole", lambda: switch.ip("link", "set", ids.eth.port, "nomaster")),
            ("visible again", lambda: switch.ip("link", "set", ids.eth.port, "master", "br0")),
            ("slow", lambda: port("add", "tbf", "rate", "1mbit", "burst", "5000", "limit", "9000")),
            ("fast again", lambda: port("del")),
            ("flapping", flap),
        ]
        if place == "own_link":
            steps.append(("gone", lambda: engine.ip("link", "del", "span0")))
        else:
            steps = [step for step in steps if step[0] in ("stopped", "goes on", "dead", "back", "garbage", "flapping")]
        for what, step in steps:
            step()
            before = keeping.answered, fresh.answered, reading.answered
            until(lambda: keeping.answered > before[0] + QUICK and fresh.answered > before[1] + QUICK // 5 and
                  reading.answered > before[2] + QUICK // 4, f"production goes on: {what}")
            for one in held:
                one.talk()
            if what == "garbage" and place == "own_link":
                assert not refused(ids, engine.span0.ip), "nobody answers it"
            assert lab.back.knows(web.mac) == web.eth.port, what
    print(f"measured: {place}: {keeping}; fresh {fresh}; decrypted {reading}")
    assert not keeping.failed and not fresh.failed and not reading.failed, (keeping, fresh, reading)
    balanced(vs)
    balanced(read)
    # Who asks for a clone server does so once a second, and a few times when something changed; not for each frame.
    questions, seconds = ids.run("tcpdump", "-nn", "-r", asked).stdout.count("who-has"), time.monotonic() - began
    assert questions < 20 + 4 * seconds, f"{questions} ARP requests in {seconds:.0f} s"
    # What the switch has learned stands where it stood, and nothing came to it but who may.
    table = switch.table()
    assert {mac: port for mac, port in table.items() if learned.get(mac, port) != port} == {}
    assert set(table) - set(learned) <= {marker(out), ids.mac, web.mac, *engine.macs()}
