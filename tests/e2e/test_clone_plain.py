"""The decrypted copy: what was said to servers and by them, as legal conversations at the sensor."""

import collections
import contextlib
import itertools
import json
import os
import random
import re
import socket
import ssl
import struct
import threading
from typing import Optional

import pytest

from lab import until
from lab.packets import ACK, RST, SYN, PcapReader, conversations, parse
from lab.sensor import digest, marker
from pki import Identity

REQUESTS = int(os.environ.get("SPANWIRE_ORACLE_REQUESTS", 128))
OUTER = 14 + 20 + 8 + 8    # what VXLAN puts around a frame


class Talk:
    """One connection as the server saw it, decrypted."""

    def __init__(self, peer: socket.socket, port: int):
        self.port, self.heard, self.said, self.over = port, bytearray(), bytearray(), False
        self.raw = socket.socket(fileno=os.dup(peer.fileno()))


class Logger(threading.Thread):
    """A server that answers HTTP and logs every byte. TLS when it is given an identity.

    /bytes/N answers N bytes, /chunked/N in chunks, /close/N until it closes, /reset resets after its answer.
    """

    def __init__(self, host, port: int, identity: Optional[Identity] = None, v6: bool = False):
        super().__init__(daemon=True)
        self.talks: list[Talk] = []
        self.context = None
        if identity:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*identity.save(host.lab.dir / host.name))
        with host.entered():
            self.listener = socket.create_server(("", port), backlog=64,
                                                 family=socket.AF_INET6 if v6 else socket.AF_INET)
        self.address = {"ip": {"addr": host.ip6 if v6 else host.ip4, "type": "V6" if v6 else "V4"}, "port": port}
        self.start()

    def run(self):
        while True:
            try:
                peer, address = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer, address[1]), daemon=True).start()

    def serve(self, peer, port):
        talk = Talk(peer, port)
        try:
            if self.context:
                peer = self.context.wrap_socket(peer, server_side=True, suppress_ragged_eofs=True)
            self.talks.append(talk)
            while self.exchange(peer, talk):
                pass
        except OSError:
            pass
        finally:
            peer.close()
            talk.raw.close()
            talk.over = True

    def hang_up(self):
        """As a server does that has waited long enough; below TLS, which belongs to the thread that serves."""
        for talk in self.talks:
            with contextlib.suppress(OSError):
                talk.raw.shutdown(socket.SHUT_RDWR)
        until(lambda: all(talk.over for talk in self.talks), "the server's connections are over")

    def exchange(self, peer, talk: Talk) -> bool:
        def more() -> bytes:
            data = peer.recv(65536)
            talk.heard += data
            return data

        def say(data: bytes) -> None:
            talk.said += data
            peer.sendall(data)

        got = b""
        while b"\r\n\r\n" not in got:
            data = more()
            if not data:
                return False
            got += data
        head, body = got.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        fields = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
        if "transfer-encoding" in fields:
            while not re.search(rb"(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n$", body):
                body += more()
        while len(body) < int(fields.get("content-length", 0)):
            body += more()
        how, size = (lines[0].split(" ")[1].split("?")[0].strip("/").split("/") + ["0"])[:2]
        text = os.urandom(int(size))
        if how == "reset":
            say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if how == "close":
            say(b"HTTP/1.1 200 OK\r\n\r\n" + text)
            return False
        extra = b"Set-Cookie: secret-of-server=1\r\n"
        if how == "chunked":
            pieces = [text[i:i + 1000] for i in range(0, len(text), 1000)]
            say(b"HTTP/1.1 200 OK\r\n" + extra + b"Transfer-Encoding: chunked\r\n\r\n" +
                b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\nSet-Cookie: secret-of-server=2\r\n\r\n")
        else:
            say(b"HTTP/1.1 200 OK\r\n" + extra + b"Content-Length: %d\r\n\r\n" % len(text) + text)
        return True


class World:
    """Clients with TLS, an engine, servers with TLS, a sensor."""

    def __init__(self, lab, servers_tls=True, v6=False, http=True, clone=None, workers=None, **profile):
        self.lab, self.client, self.sensor = lab, lab.client(), lab.sensor()
        self.identity = Identity("server", names=("server.example",))
        self.host = lab.server()
        self.origin = Logger(self.host, 8443, self.identity if servers_tls else None, v6)
        self.engine = lab.engine(workers=workers)
        self.marker = marker(self.engine.span0)
        mine = Identity("shop", names=("www.shop.example",))
        self.ca = mine.save(lab.dir / "client")[0]
        lab.api.post("sslkeyandcertificate", {
            "name": "shop", "type": "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE", "key": mine.key,
            "certificate": {"certificate": mine.certificate}})
        self.profile = lab.clone_profile([self.sensor], **{"payload": "CLONE_DECRYPTED", **profile})
        tls = {"ssl_profile_ref": lab.ref("sslprofile", "System-Standard")} if servers_tls else {}
        self.vs = lab.virtual_service(
            pool=[self.origin.address], port=443, monitor="tcp", clone=self.profile, pool_more=tls,
            application_profile_ref=lab.ref("applicationprofile", f"System-{'Secure-HTTP' if http else 'SSL-Application'}"),
            services=[{"port": 443, "enable_ssl": True, **({"enable_http2": True} if http else {})}],
            ssl_key_and_certificate_refs=[lab.ref("sslkeyandcertificate", "shop")],
            ssl_profile_ref=lab.ref("sslprofile", "System-Standard")).wait_servers_up(1)

    def curl(self, *words, check=True):
        return self.client.run("curl", "-sS", "-m", "20", "--cacert", self.ca, "--resolve",
                               f"www.shop.example:443:{self.vs.vip}", *words, check=check)

    def uploads(self, body, number: int, path: str) -> None:
        """So many at once, over one connection."""
        done = self.client.run("h2load", "-n", number, "-m", number, "-d", body, "-H", "X-Number: 0",
                               f"--connect-to={self.vs.vip}:443", self.url(path)).stdout
        assert f"{number} succeeded" in done and f"{number} 2xx" in done, done

    def edit(self, how: str = "replace", **fields) -> None:
        """The profile; once new connections go by it."""
        self.lab.api.patch(self.profile.removeprefix("/api/"), **{how: fields})
        until(self.vs.in_force, "the edit has effect")

    def url(self, path: str) -> str:
        return f"https://www.shop.example{path}"

    def talks(self) -> list[Talk]:
        """Those that said anything: a monitor's connection does not, and is not copied."""
        return [talk for talk in self.origin.talks if talk.heard or talk.said]

    def ended(self):
        """Every connection to a server is over, and nothing arrives at the sensor any more."""
        self.origin.hang_up()
        self.sensor.settled()

    def legal(self):
        assert self.sensor.illegal({self.marker}) == []
        found = self.sensor.tshark("tcp.analysis.flags and not tcp.analysis.reused_ports")
        assert found == [], found[:5]

    def books(self) -> int:
        """eligible = sent + drops, and sent is what came."""
        def closed():
            sums = self.vs.clone_told()
            return sums if sums["eligible"] and sums["sent"] == self.sensor.settled() else None
        sums = until(closed, "the books are closed")
        dropped = sum(n for name, n in sums.items() if name.startswith("dropped_"))
        assert sums["eligible"] == sums["sent"] + dropped, sums
        return dropped


def same(world):
    """The sensor's conversations are the server's log, byte by byte."""
    seen, logged = world.sensor.conversations(), world.talks()
    assert len(seen) == len(logged)
    # A port may be used again: sorted() keeps their order.
    for copy, talk in zip(sorted(seen, key=lambda copy: copy.client_port), sorted(logged, key=lambda talk: talk.port)):
        assert copy.client_port == talk.port and copy.complete and copy.ended
        assert copy.sent == bytes(talk.heard)
        assert copy.answered == bytes(talk.said)


def some_of_everything(world, bodies, number, dice):
    """So many requests of one kind, by one curl; the words for it."""
    kind = dice.choice(["/bytes", "/bytes", "/chunked", "/close", "post", "chunked post"])
    words = ["-H", "Expect:", "-H", f"X-Number: {dice.random()}"]
    if "post" in kind:
        words += ["--data-binary", f"@{dice.choice(bodies)}", *(["-H", "Transfer-Encoding: chunked"] if kind != "post" else [])]
    for _ in range(number):
        size = dice.choice([0, 1, 17, 1459, 1460, 1461, 4000, 16384, 65536])
        words += ["-o", "/dev/null", world.url(f"{kind if kind[0] == '/' else '/bytes'}/{size}")]
    return words


def test_what_tls_hides_arrives_as_legal_conversations(lab):
    world = World(lab, decrypted_port=8080)
    sizes, bodies, dice = [1460, 3_000_000], [], random.Random(5)
    for size in (1, 300, 20_000, 300_000):
        bodies.append(lab.dir / f"body{size}")
        bodies[-1].write_bytes(os.urandom(size))
    versions = ("--http1.1", "--http2")
    for version in versions:
        world.curl(version, *[word for size in sizes for word in ("-o", "/dev/null", world.url(f"/bytes/{size}"))])
        world.curl(version, "-o", "/dev/null", "--data-binary", f"@{bodies[-1]}", world.url("/bytes/10"))
    # Of the rest a part over a link that loses segments, to the server and from it.
    ports = (world.host.eth.port, world.engine.back0.port)
    for n, version in enumerate(itertools.cycle(versions)):
        for port in ports if n in (2, REQUESTS // 8) else ():
            lab.back.run("tc", "qdisc", "add" if n == 2 else "del", "dev", port, "root",
                         *("tbf", "rate", "200mbit", "burst", "6000", "limit", "12000") * (n == 2))
        if n > REQUESTS // 8:
            break
        words = some_of_everything(world, bodies, 8, dice)
        # Uploads at once over one connection are h2load's: when its socket is full curl 7.88 makes a bad write retry, and spins.
        alone = version == "--http2" and "--data-binary" in words
        world.curl(version, *["--parallel"] * (n % 4 > 1 and not alone), *words)
        if n % 4 == 3:
            world.uploads(bodies[n // 4 % len(bodies)], 8, "/bytes/16384")
    lost = int(world.engine.run("nstat", "-az", "TcpRetransSegs").stdout.split()[-2])
    world.ended()
    world.legal()
    same(world)
    world.books()
    talks = world.sensor.conversations()
    assert {talk.server_port for talk in talks} == {8080}
    assert {talk.client for talk in talks} == {world.engine.back0.ip}
    said = [bytes(data) for talk in world.talks() for data in (talk.heard, talk.said)]
    assert world.sensor.streams() == collections.Counter(digest(data) for data in said if data), "tcpflow says the same"
    requests = sum(talk.sent.lower().count(b"\r\nx-number: ") for talk in talks)
    assert requests >= REQUESTS and lost, "the link was lossy"
    print(f"measured: {requests} requests, {len(talks)} conversations of {world.sensor.count()} frames, {lost} segments sent again"
          " to the servers, all plaintext equal")


def masked(data: bytes) -> bytes:
    """What the sensor may see of it."""
    return re.sub(rb"(?mi)^((?:cookie|authorization|set-cookie): )([^\r\n]*)",
                  lambda m: m[1] + b"*" * len(m[2]), data)


def test_secrets_are_masked_and_only_what_was_chosen_is_copied(lab):
    mine = "02:aa:bb:cc:dd:ee"
    world = World(lab, v6=True, preserve_client_ip=True, marker_mac=mine,
                  masked_headers=["Cookie", "AUTHORIZATION", "Set-Cookie"],
                  filter={"hosts": ["WWW.shop.example"], "path_prefixes": ["/bytes/", "/chunked"]})
    secret = ["-H", "Cookie: a=secret-of-client", "-H", "Authorization: Basic secret-of-client"]
    for version in ("--http1.1", "--http2"):
        # One connection to the server: what is not chosen is not in the conversation.
        world.curl(version, *secret, *[word for path in ("/bytes/10?first", "/other/20?never", "/bytes/70000", "/Bytes/9?never",
                                                         "/chunked/3000") for word in ("-o", "/dev/null", world.url(path))])
        world.curl(version, *secret, "-o", "/dev/null", "-H", "Host: other.example", world.url("/bytes/5?never"))
        world.curl(version, *secret, "-o", "/dev/null", "-H", "Expect: 100-continue", "-d", "x" * 2000, world.url("/bytes/7"))
    context = ssl.create_default_context(cafile=str(world.ca))
    with context.wrap_socket(world.client.connect(world.vs.vip, 443), server_hostname="www.shop.example") as s:
        s.sendall(b"POST /bytes/6 HTTP/1.1\r\nHost: www.shop.example\r\nTransfer-Encoding: chunked\r\n\r\n"
                  b"10\r\n0\r\n\r\nCookie body\r\n0\r\nAuthorization: secret-in-trailer\r\n\r\n")
        assert s.recv(65536).startswith(b"HTTP/1.1 200")
    until(lambda: b"secret-in-trailer" in b"".join(bytes(talk.heard) for talk in world.talks()), "trailers are passed on")
    world.ended()
    assert world.sensor.illegal({mine}) == []
    assert world.sensor.tshark("tcp.analysis.flags and not tcp.analysis.reused_ports") == []
    everything = world.sensor.pcap.read_bytes()
    assert b"secret" not in everything and b"never" not in everything
    seen = {talk.client_port: talk for talk in world.sensor.conversations()}
    chosen = 0
    for talk in world.talks():
        requests = re.split(rb"(?m)^(?=(?:GET|POST) /)", bytes(talk.heard))[1:]
        wanted = [r for r in requests if b"never" not in r]
        chosen += len(wanted)
        if not wanted:
            assert talk.port not in seen
            continue
        copy = seen.pop(talk.port)
        assert copy.complete and copy.ended and copy.sent == masked(b"".join(wanted))
        assert copy.answered.count(b"HTTP/1.1 200 OK") == len(wanted)
        assert copy.server == world.host.ip6
        assert copy.client == world.engine.back0.ip6    # its client is of another family
        if len(wanted) == len(requests):
            assert copy.answered == masked(bytes(talk.said))
    assert not seen and chosen == 9
    assert world.books() == 0


def test_the_log_says_what_the_sensor_cannot_see(lab):
    world = World(lab, workers=1)
    client = world.client
    with client.entered():
        collector = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        collector.bind((client.ip4, 5140))
        collector.settimeout(30)
    wire = lab.dir / "client.pcap"
    tcpdump = client.start("tcpdump", "-i", "eth0", "-nn", "-U", "--immediate-mode", "-Z", "root", "-w", wire, "tcp port 443",
                           log="client.tcpdump")
    until(lambda: "listening on" in tcpdump.tail(), "tcpdump listens")

    def ask(**log) -> None:
        world.edit("add", flow_log=log)
        world.sensor.settled()
        world.sensor.forget()
        world.curl("--http2", "-o", "/dev/null", world.url("/bytes/1000"))
        world.ended()

    def check(line: dict) -> None:
        (copy,) = [talk for talk in world.sensor.conversations() if b"/bytes/1000" in talk.sent]
        assert line["copy"] == {"proto": "TCP", "src_ip": copy.client, "src_port": copy.client_port,
                                "dst_ip": copy.server, "dst_port": copy.server_port, "whole": True}
        assert (line["bytes_to_server"], line["bytes_from_server"]) == (len(copy.sent), len(copy.answered))
        assert (line["client_ip"], line["vip"], line["vip_port"]) == (client.ip4, world.vs.vip, 443)
        assert (line["server_ip"], line["server_port"]) == (world.host.ip4, 8443)
        assert line["server_tls"]["subject"] == "CN=server,O=Lab" and line["server_tls"]["version"] == "TLSv1.3"
        tls = line["client_tls"]
        assert (tls["version"], tls["sni"], tls["alpn"]) == ("TLSv1.3", "www.shop.example", "h2")
        assert tls["cipher"].startswith("TLS_") and re.fullmatch(r"t13d\d{4}h2_[0-9a-f]{12}_[0-9a-f]{12}", tls["ja4"])
        assert tls["ja3"] == ja3
        assert (line["service_engine"], line["virtualservice"]) == (world.engine.name, world.vs.name)
        assert line["start_us"] <= line["end_us"]

    udp = {"ip_address": {"addr": client.ip4, "type": "V4"}, "port": 5140}
    ask(type="CLONE_LOG_UDP", **udp)
    tcpdump.stop()
    ja3 = client.run("tshark", "-r", wire, "-Y", "tls.handshake.type == 1", "-T", "fields", "-e",
                     "tls.handshake.ja3").stdout.split()[-1]
    said = collector.recv(9000).decode()
    assert said.count("\n") == 1 and said.endswith("}\n")
    check(json.loads(said))
    ask(type="CLONE_LOG_SYSLOG", **udp)
    line = collector.recv(9000).decode()
    assert re.match(r"<134>1 \d{4}-\d\d-\d\dT[\d:.]{15}Z " + re.escape(world.engine.name) + r" spanwire-engine - flow - \{", line)
    check(json.loads(line.split(" - flow - ")[1]))
    file = world.engine.state / "flows" / "shop.json"
    for _ in range(2):
        ask(type="CLONE_LOG_FILE", file_name="shop.json")
        until(lambda: file.exists() and file.read_text().endswith("\n"), "the line is written")
        (line,) = file.read_text().splitlines()
        check(json.loads(line))
        assert file.stat().st_mode & 0o777 == 0o600
        file.rename(file.with_suffix(".1"))         # as whoever rotates logs does: another one is made
    collector.close()


@pytest.mark.parametrize("servers_tls", [True, False], ids=["tls", "plain"])
def test_ends_are_as_they_were_also_without_http(lab, servers_tls):
    """What L4 relays, for clients with addresses of their own; aborted by either side."""
    world = World(lab, servers_tls=servers_tls, http=False, preserve_client_ip=True)
    world.curl("-o", "/dev/null", world.url("/bytes/200000"), "-o", "/dev/null", world.url("/bytes/0"))
    world.curl("-o", "/dev/null", world.url("/reset"), check=False)
    context = ssl.create_default_context(cafile=str(world.ca))
    aborted = context.wrap_socket(world.client.connect(world.vs.vip, 443), server_hostname="www.shop.example")
    aborted.sendall(b"GET /bytes/3000000 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert aborted.recv(100)
    aborted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    aborted.close()
    until(lambda: len(world.talks()) == 3 and world.talks()[-1].over, "the server knows of it")
    world.ended()
    world.legal()
    seen = {talk.client_port: talk for talk in world.sensor.conversations() if talk.sent}
    whole, reset, cut = (seen.pop(talk.port) for talk in world.talks())
    assert not seen and {talk.client for talk in (whole, reset, cut)} == {world.client.ip4}
    for talk, log in zip((whole, reset, cut), world.talks()):
        assert talk.complete and talk.ended and talk.sent == bytes(log.heard)
    assert whole.answered == bytes(world.talks()[0].said)
    for talk, log in zip((reset, cut), world.talks()[1:]):      # what the reset overtook never came
        assert bytes(log.said).startswith(talk.answered)
    resets = [[f.src for f in talk.frames if f.flags & RST] for talk in (whole, reset, cut)]
    assert resets == [[], [world.host.ip4], [world.client.ip4]]
    assert world.books() == 0


def test_two_services_in_tandem_show_the_plaintext_between_them(lab):
    """As it was done before: the first ends TLS, the second, on another engine, begins it anew."""
    client, ids, web = lab.client(), lab.sensor(), lab.server()
    identity, mine = Identity("server"), Identity("shop", names=("www.shop.example",))
    origin, ca = Logger(web, 8443, identity), mine.save(lab.dir / "client")[0]
    lab.api.post("serviceenginegroup", {"name": "inner"})
    outer, inner = lab.engine(), lab.engine(group="inner")
    lab.api.post("sslkeyandcertificate", {
        "name": "shop", "type": "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE", "key": mine.key,
        "certificate": {"certificate": mine.certificate}})
    profile = lab.ref("sslprofile", "System-Standard")
    second = lab.virtual_service(pool=[origin.address], monitor="tcp", pool_more={"ssl_profile_ref": profile},
                                 se_group_ref=lab.ref("serviceenginegroup", "inner")).wait_servers_up(1)
    first = lab.virtual_service(
        pool=[{"ip": {"addr": second.vip, "type": "V4"}, "port": 80}], port=443, monitor="tcp",
        clone=lab.clone_profile([ids]), services=[{"port": 443, "enable_ssl": True, "enable_http2": True}],
        application_profile_ref=lab.ref("applicationprofile", "System-Secure-HTTP"),
        ssl_key_and_certificate_refs=[lab.ref("sslkeyandcertificate", "shop")], ssl_profile_ref=profile).wait_servers_up(1)
    assert (first.owner(), second.owner()) == (outer, inner)
    for version in ("--http1.1", "--http2"):
        client.run("curl", "-sS", "-m", "10", version, "--cacert", ca, "--resolve", f"www.shop.example:443:{first.vip}",
                   "-o", lab.dir / version, f"https://www.shop.example/bytes/300000?{version}")
    (outer_ip,) = {f.src for f in ids.frames() if f.flags & SYN and not f.flags & ACK}
    ids.settled()
    talks = [talk for talk in ids.conversations() if talk.sent]
    assert all(talk.complete and (talk.client, talk.server) == (outer_ip, second.vip) for talk in talks)
    assert outer_ip in outer.run("ip", "-br", "addr").stdout and ids.illegal(outer.macs()) == []
    said, answered = (b"".join(part) for part in zip(*[(talk.sent, talk.answered) for talk in talks]))
    for version in ("--http1.1", "--http2"):
        assert f"GET /bytes/300000?{version} HTTP/1.1".encode() in said
        assert (lab.dir / version).read_bytes() in answered


def test_a_slow_sensor_loses_the_rest_of_flows_and_nobody_waits(lab):
    world = World(lab, workers=1)
    slow = ("dev", "span0", "root", "tbf", "rate", "1mbit", "burst", "70000", "limit", "70000")
    world.engine.run("tc", "qdisc", "add", *slow)
    for n in range(5):
        world.curl("-o", lab.dir / "got", world.url(f"/bytes/{400_000 + n}"))
        assert (lab.dir / "got").stat().st_size == 400_000 + n
    world.ended()
    assert world.sensor.illegal({world.marker}) == []
    dropped = world.books()
    hurt = [talk for talk in world.sensor.conversations() if len(talk.answered) < 400_000]
    assert dropped and hurt and world.vs.clone_sum("dropped_shed") and world.vs.clone_sum("flows_hurt") == len(hurt)
    # A sensor is told that there is no more: by a RST, where that found room.
    assert any(talk.frames[-1].flags & RST and talk.frames[-1].src == talk.client for talk in hurt)
    world.engine.run("tc", "qdisc", "del", *slow)
    world.sensor.forget()

    def copied():
        world.curl("-o", "/dev/null", world.url("/bytes/400000"))
        world.ended()
        return [talk for talk in world.sensor.conversations() if talk.sent]
    (talk,) = until(copied, "new flows are copied again")
    assert talk.complete and talk.ended and len(talk.answered) > 400_000


def test_flows_are_admitted_whole_or_not_at_all(lab):
    world = World(lab, workers=1, http=False)

    def ask(flows: int, **fields) -> dict:
        """So many connections under a profile with these fields; what is counted of them."""
        def sums() -> dict:
            now = world.vs.clone_told()
            return {name: now[name] for name in NAMES}

        def told() -> bool:
            now = sums()
            return now["flows_eligible"] + now["flows_filtered"] == known + flows and \
                now["eligible"] == now["sent"] + now["dropped_sampled_out"] + now["dropped_shed"] and \
                now["sent"] == before["sent"] + world.sensor.count()

        world.edit(**fields)
        world.sensor.forget()
        before = sums()
        known = before["flows_eligible"] + before["flows_filtered"]
        # At once: of who comes a quarter of a second later nobody would be shed.
        world.curl("-k", "--parallel", "--parallel-immediate", "--connect-to", f"::{world.vs.vip}:443",
                   *[word for n in range(flows) for word in ("-o", "/dev/null", f"https://host{n}.example/bytes/3000")])
        world.ended()
        until(told, "the books are closed")
        talks = [talk for talk in world.sensor.conversations() if talk.sent]
        assert all(talk.complete and talk.ended for talk in talks) and world.sensor.illegal({world.marker}) == []
        return {"talks": len(talks), **{name: n - before[name] for name, n in sums().items()}}

    NAMES = ("eligible", "sent", "dropped_sampled_out", "dropped_shed", "flows_eligible", "flows_copied", "flows_filtered",
             "flows_sampled_out", "flows_shed")
    net = {"ip_addr": {"addr": world.client.ip4, "type": "V4"}, "mask": 32}
    far = {"ip_addr": {"addr": "203.0.113.0", "type": "V4"}, "mask": 24}
    got = ask(2, filter={"client_prefixes": [far]})
    assert (got["talks"], got["eligible"], got["flows_filtered"]) == (0, 0, 2)
    got = ask(2, filter={"client_prefixes": [far, net]})
    assert got["talks"] == got["flows_copied"] == 2 and got["eligible"] == got["sent"] > 0
    got = ask(6, filter={"client_prefixes": [net], "sample_percent": 1})
    assert got["dropped_sampled_out"] > 0 < got["flows_sampled_out"] and got["talks"] <= 3
    got = ask(12, filter={"sample_percent": 100}, max_packets_per_second=20)
    assert got["dropped_shed"] > 0 < got["flows_shed"] and got["talks"] == got["flows_copied"] > 0


def test_clients_are_copied_as_they_speak(lab):
    world = World(lab, side="CLONE_SIDE_BOTH")
    world.edit(decrypted_port=8080)
    for version in ("--http1.1", "--http2"):
        world.curl(version, "-o", lab.dir / version, world.url(f"/bytes/200000?{version}"))
    world.ended()
    world.legal()
    talks = [talk for talk in world.sensor.conversations() if talk.sent]
    assert all(talk.complete and talk.ended and talk.server_port == 8080 for talk in talks)
    for talk in world.talks():
        (copy,) = [t for t in talks if t.client_port == talk.port and t.server == world.host.ip4]
        assert (copy.sent, copy.answered) == (bytes(talk.heard), bytes(talk.said))
    one, two = [t for t in talks if (t.client, t.server) == (world.client.ip4, world.vs.vip)]
    assert one.sent.startswith(b"GET /bytes/200000?--http1.1 HTTP/1.1\r\n")
    assert one.answered.split(b"\r\n\r\n", 1)[1] == (lab.dir / "--http1.1").read_bytes()
    assert two.sent.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") and len(two.answered) > 200_000
    assert world.books() == 0


def test_the_marker_and_the_segment_size_are_right_within_an_encapsulation(lab):
    world = World(lab)
    outer = PcapReader(lab.dir / "outer.pcap", lambda time, raw, length: parse(time, raw[OUTER:], length - OUTER))
    tcpdump = world.sensor.start("tcpdump", "-i", "eth0", "-nn", "-U", "--immediate-mode", "-Z", "root", "-w", outer.path,
                                 "udp port 4789", log="outer.tcpdump")
    until(lambda: "listening on" in tcpdump.tail(), "tcpdump listens")
    world.edit(clone_servers=[
        {"ip_address": {"addr": world.sensor.ip4, "type": "V4"}, "encapsulation": {"type": "CLONE_ENCAP_VXLAN", "vni": 7}}])
    frames = []

    def whole() -> list:
        frames.extend(outer.new_frames())
        return [t for t in conversations(frames) if t.complete and t.ended and t.sent]
    for _ in range(20):     # those before the way is known are not copied whole
        world.curl("-o", "/dev/null", world.url("/bytes/100000"))
        world.origin.hang_up()
        if whole():
            break
    until(whole, "a whole conversation came")
    logged = {talk.port: talk for talk in world.talks()}
    for talk in whole():
        assert (talk.sent, talk.answered) == (bytes(logged[talk.client_port].heard), bytes(logged[talk.client_port].said))
    assert {(f.src_mac, f.dst_mac) for f in frames} == {(world.marker, "02:53:50:57:00:00")}
    assert all(f.checksums_ok for f in frames) and max(len(f.payload) for f in frames) == 1460 - 50
