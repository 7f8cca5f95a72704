"""What a stock tcpdump at the sensor puts together is, byte by byte, what one at the server's own interface does."""

import base64
import collections
import operator
import os
import random
import socket
import struct
import threading

from origin import Origin
from test_clone_books import balanced

from lab import until
from lab.packets import BAD_CHECKSUM, PcapReader, conversations
from lab.sensor import digest

REQUESTS = int(os.environ.get("SPANWIRE_ORACLE_REQUESTS", 128))
SIZES = [0, 1, 17, 1447, 1448, 1449, 4000, 16384, 65535, 200_000]
MSS = 1448


class Talker(Origin):
    """Besides: /bytes/N has N bytes, with ?last it is the last, /cut is reset in the middle, /echo says after its 101 whatever it hears."""

    sockets: dict = {}          # by their streams

    def __init__(self, host):
        super().__init__(host)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):     # no more under way than a virtual cable holds
            self.listener.setsockopt(socket.SOL_SOCKET, option, 65536)

    def exchange(self, stream):
        head = []
        while line := self.line(stream):
            head.append(line.decode())
        if not head:
            return False
        path, _, last = head[0].split()[1].partition("?")
        size = next((int(h.split(": ")[1]) for h in head if h.lower().startswith("content-length")), 0)
        if "Transfer-Encoding: chunked" in head:
            while n := int(self.line(stream), 16):
                stream.read(n + 2)
            self.line(stream)
        elif size:
            stream.read(size)
        if path.startswith("/bytes/"):
            n = int(path[7:])
            stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n + (b"0123456789abcde\n" * (n // 16 + 1))[:n])
        elif path == "/chunked":
            stream.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for n in (1, 100, 3000, 40_000):
                stream.write(b"%x\r\n" % n + b"c" * n + b"\r\n")
                stream.flush()
            stream.write(b"0\r\n\r\n")
        elif path == "/cut":
            stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 30_000)
            stream.flush()
            self.sockets[stream].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        elif path == "/echo":
            stream.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            stream.flush()
            while data := self.sockets[stream].recv(65536):
                self.sockets[stream].sendall(data)
            return False
        stream.flush()
        return not last

    def serve(self, peer):
        stream = peer.makefile("rwb", 65536)
        self.sockets[stream] = peer
        try:
            while self.exchange(stream):
                pass
        except (OSError, ValueError):
            pass
        finally:
            try:
                stream.close()
            except OSError:
                pass
            peer.close()
            del self.sockets[stream]


def read_answer(stream, body=True):
    status = int(stream.readline().split()[1])
    fields = {}
    while line := stream.readline().strip().decode():
        name, _, value = line.partition(": ")
        fields[name.lower()] = value
    if not body or status == 101:
        return status
    if "chunked" in fields.get("transfer-encoding", ""):
        while n := int(stream.readline(), 16):
            stream.read(n + 2)
        stream.readline()
    else:
        stream.read(int(fields.get("content-length", 0)))
    return status


class Visitor:
    """One client connection after another, each with some of everything."""

    def __init__(self, client, vs, seed, wrong):
        self.client, self.vs, self.dice, self.wrong, self.asked = client, vs, random.Random(seed), wrong, 0

    def request(self, path, body=b"", chunked=False, more=""):
        self.asked += 1
        head = f"{'POST' if body or chunked else 'GET'} {path} HTTP/1.1\r\nHost: x\r\n{more}"
        if chunked:
            pieces = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:100], body[100:]) if p)
            return (head + "Transfer-Encoding: chunked\r\n\r\n").encode() + pieces + b"0\r\n\r\n"
        return (head + (f"Content-Length: {len(body)}\r\n" if body else "") + "\r\n").encode() + body

    def connection(self, requests):
        kind = self.dice.choice(["keep", "keep", "pipeline", "post", "chunked", "echo", "cut", "leave"])
        with self.client.connect(self.vs.vip, self.vs.port, timeout=10) as s:
            stream = s.makefile("rb")
            paths = [f"/bytes/{self.dice.choice(SIZES)}" for _ in range(requests)]
            if kind == "pipeline":
                s.sendall(b"".join(self.request(p) for p in paths))
                self.expect(read_answer(stream) for _ in paths)
            elif kind in ("keep", "post", "chunked"):
                for p in paths:
                    body = b"" if kind == "keep" else b"p" * self.dice.choice(SIZES[1:])
                    s.sendall(self.request("/chunked" if kind == "chunked" else p, body, kind == "chunked"))
                    self.expect([read_answer(stream)])
            elif kind == "echo":
                key = base64.b64encode(bytes(16)).decode()
                s.sendall(self.request("/echo", more="Connection: Upgrade\r\nUpgrade: websocket\r\n"
                                       f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"))
                self.expect([read_answer(stream)], 101)
                for size in (1, 2000, 30_000):
                    s.sendall(b"w" * size)
                    assert len(stream.read(size)) == size
            elif kind == "cut":
                s.sendall(self.request("/cut"))
                while stream.read1(65536):
                    pass
            else:
                s.sendall(self.request("/bytes/1000000"))
                stream.read(20_000)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.close()

    def expect(self, statuses, want=200):
        self.wrong += [status for status in statuses if status != want]

    def run(self, requests):
        while self.asked < requests:
            try:
                self.connection(8)
            except ConnectionResetError:
                pass            # the server's /cut


class Own:
    """What passes a host's own interface, both ways."""

    def __init__(self, host, words):
        self.path, self.frames = host.lab.dir / "own.pcap", []
        self.tcpdump = host.start("tcpdump", "-i", "eth0", "-nn", "-s", 0, "-B", 65536, "-U", "-Z", "root", "-w",
                                  self.path, words, log="own.tcpdump")
        until(lambda: "listening on" in self.tcpdump.tail(), "the server's interface is recorded")
        self.reader = PcapReader(self.path)

    def read(self):
        self.frames.extend(self.reader.new_frames())
        return self.frames


def on_the_wire(frames):
    """So many frames they were, of which the server's interface sees those of a large send as one."""
    return sum(max(1, -(-len(f.payload) // MSS)) for f in frames)


def in_order(*ends):
    """A cable keeps the order of frames whoever sends them; a virtual one only when one CPU takes them out."""
    for host, name in ends:
        host.run("sh", "-c", f"echo 1 > /sys/class/net/{name}/queues/rx-0/rps_cpus")


def test_the_sensor_sees_what_the_server_sees(lab):
    ids, web, client, engine = lab.sensor(), lab.server(), lab.client(), lab.engine()
    talker = Talker(web)
    own = Own(web, "tcp port 8080")
    vs = lab.virtual_service(pool=[talker.address], monitor=None, clone=lab.clone_profile([ids]))
    assert client.get(vs.url + "bytes/1").ok
    client.session.close()
    tables = lab.back.table(), lab.span.table()
    # Production's too: what waits there is then no more than its windows.
    in_order((lab.span, engine.span0.port), (ids, "eth0"), (lab.back, engine.back0.port), (engine, "back0"),
             (lab.back, web.eth.port), (web, "eth0"))
    wrong = []
    visitors = [Visitor(client, vs, seed, wrong) for seed in range(4)]
    threads = [threading.Thread(target=visitor.run, args=(REQUESTS // 4,)) for visitor in visitors]
    [t.start() for t in threads]
    [t.join() for t in threads]

    def ask(path, body=b""):
        with client.connect(vs.vip, vs.port, timeout=20) as s:
            s.sendall(visitors[0].request(path, body))
            assert read_answer(s.makefile("rb")) == 200
    for _ in range(1 + REQUESTS // 1000):
        ask("/bytes/5000000")
        ask("/bytes/0", b"b" * 1_000_000)
    assert not wrong

    # Frames that were to be copied, that were, that came: as many as passed the server's interface.
    lossless = ids.settled()
    books = balanced(vs)
    assert books["eligible"] == books["sent"] == lossless, (books, lossless, vs.clone_stats())
    until(lambda: on_the_wire(own.read()) == lossless, "the server's interface has seen as many", every=0.5)

    # A link that loses segments, to the server and from it: they are sent again, and copied as often as they pass.
    lossy = []
    for port, path, body in ((web.eth.port, "/bytes/9?last", b"r" * 1_500_000), (engine.back0.port, "/bytes/500000", b"")):
        lab.back.run("tc", "qdisc", "add", "dev", port, "root", "tbf", "rate", "200mbit", "burst", "6000", "limit", "12000")
        ask(path, body)
        lab.back.run("tc", "qdisc", "del", "dev", port, "root")
        ids.settled()
        ends = ids.frames()[-1].flow
        lossy.append(ends[1] if ends[3] == 8080 else ends[3])
    assert (lab.back.table(), lab.span.table()) == tables, "no switch learned anything by copies"
    assert engine.stop() == 0       # closes what it kept open to the servers
    ids.settled()
    ours = conversations(ids.frames())
    heard = sum(len(t.sent) + len(t.answered) for t in ours)
    until(lambda: sum(len(t.sent) + len(t.answered) for t in conversations(own.read())) >= heard,
          "the server's interface has seen it", 5, every=0.5)
    theirs = conversations(own.frames)
    assert len(ours) == len(theirs) > 5
    key = operator.attrgetter("client", "client_port")      # a port may be used again: sorted() keeps their order
    for talk, other in zip(sorted(ours, key=key), sorted(theirs, key=key)):
        assert key(talk) == key(other) and talk.handshake and talk.ended and not talk.missing and not other.missing
        assert talk.sent == other.sent and talk.answered == other.answered, talk.client_port
    said = [data for talk in theirs for data in (talk.sent, talk.answered) if data]
    assert ids.streams() == collections.Counter(map(digest, said)), "tcpflow says the same"
    assert ids.illegal(engine.macs()) == []
    # What was lost before it came to the engine is a hole until it is sent again: for who sits there as well.
    assert ids.tshark(f"{BAD_CHECKSUM} or tcp.analysis.ack_lost_segment or "
                      f"(tcp.analysis.lost_segment and tcp.port != {lossy[1]})") == []
    again = [len(ids.tshark(f"tcp.port == {port} and (tcp.analysis.retransmission or tcp.analysis.fast_retransmission or "
                            "tcp.analysis.out_of_order)")) for port in lossy]
    assert all(again), "the link was lossy, both ways"
    print(f"measured: {sum(v.asked for v in visitors)} requests, {len(ours)} conversations of {ids.count()} frames,"
          f" {again} sent again, equal at both ends")
