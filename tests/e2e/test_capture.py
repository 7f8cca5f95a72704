"""Captures: the packets of a virtual service, from all its engines, both legs, in one file."""

import collections
import contextlib
import json
import os
import re
import shlex
import signal
import socket
import ssl
import statistics
import subprocess
import threading

from lab.api import Api
from lab.host import command, until
from lab.packets import BAD_CHECKSUM
from contract import ROOT
from pki import Identity

TLS_PORT = 8443 # of servers


def tshark(file, display_filter="", *fields):
    """Rows of the fields of the packets that match."""
    words = ["tshark", "-n", "-r", str(file), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
             "-d", f"tcp.port=={TLS_PORT},tls"]     # else one from port 44818 is EtherNet/IP to it
    if display_filter:
        words += ["-Y", display_filter]
    if fields:
        words += ["-T", "fields", "-E", "separator=\t"]
        for field in fields:
            words += ["-e", field]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def tshark_names(file):
    """Summaries with the names of the file's own block."""
    done = subprocess.run(["tshark", "-r", str(file), "-N", "n", "-c", "200"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


class Capture:
    """One capture of a service: begun, ended, downloaded."""

    def __init__(self, lab, vs, params=None, of=None, **debug):
        """Of VS, or of the engine OF."""
        self.lab, self.vs, self.of, self.file = lab, vs, of, lab.dir / "capture.pcapng"
        self.path = f"debugserviceengine/{of.uuid}" if of else f"debugvirtualservice/{vs.uuid}"
        params = {"pkt_size": 0, "max_packets": 1_000_000, **(params or {})}
        lab.api.delete(self.path)                   # what earlier ones were after
        self.made = lab.api.patch(self.path, replace={"capture": True, "capture_params": params, **debug})
        self.uuid = self.runtime()["uuid"]

    def runtime(self):
        return (self.of or self.vs).runtime().get("capture") or {}

    def wait_engines(self, count):
        until(lambda: len(self.runtime().get("engines", ())) == count, f"{count} engines capture")
        return self

    def object(self):
        return self.lab.api.get(f"capture/{self.uuid}")

    def wait_ended(self):
        until(lambda: self.object().get("ended"), "the capture is over")
        return self.object()

    def end(self):
        self.lab.api.patch(self.path, replace={"capture": False})
        return self.wait_ended()

    def download(self):
        self.file.write_bytes(self.lab.api.get_bytes(f"capture/{self.uuid}/file"))
        return self.file


def requests_in(file, of="frame"):
    """{id: {leg: flow}} of all requests in the file, or in some of its packets."""
    found = {}
    for uri, comment in tshark(file, f'{of} and http.request.uri contains "id="', "http.request.uri", "frame.comment"):
        leg, flow = comment.split(", ")[:2]
        found.setdefault(uri.split("id=")[1], {})[leg] = flow
    return found


def frames_of(file):
    """What tells one TCP frame of the file from another: addresses, ports, raw numbers, flags, length."""
    fields = ("ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "tcp.len")
    return collections.Counter(tuple(row) for row in tshark(file, "tcp", *fields))


@contextlib.contextmanager
def recorded(host, interface, words, name):
    """tcpdump beside it, as those who do not believe us would run it."""
    file = host.lab.dir / f"{name}.pcap"
    dump = host.start("tcpdump", "-i", interface, "-nn", "-s", 0, "-B", 8192, "--immediate-mode", "-U", "-Z", "root",
                      "-w", file, words, log=f"{name}.tcpdump")
    until(lambda: "listening on" in dump.tail(), f"{name} listens")
    yield file
    dump.signal(signal.SIGINT)
    dump.popen.wait(30)


def get_ids(client, url, ids, fresh=True):
    for name in ids:
        assert (client.fresh_get if fresh else client.get)(f"{url}?id={name}").ok


def three_vips(lab, web, **more):
    """A virtual service with an address on each of three engines."""
    vs = lab.virtual_service(pool=web, name="shop", **more)
    addresses = [lab.front.address(150 + n)[0] for n in range(2)]
    vip = lab.api.get(f"vsvip/{vs.vsvip_uuid}")
    vip["vip"] += [{"vip_id": str(n + 2), "ip_address": {"addr": a, "type": "V4"}} for n, a in enumerate(addresses)]
    lab.api.put(f"vsvip/{vs.vsvip_uuid}", vip)
    until(lambda: [row["oper_status"]["state"] for row in vs.runtime()["vip_summary"]] == ["OPER_UP"] * 3,
          "all three addresses are up")
    return vs, [vs.vip, *addresses]


def test_one_file_of_three_engines_with_clocks_apart(lab, monkeypatch):
    web, client = [lab.server() for _ in range(2)], lab.client()
    for skew in (-7000, 0, 4000):
        monkeypatch.setenv("SPANWIRE_CLOCK_SKEW_MS", str(skew))
        lab.engine()
    vs, addresses = three_vips(lab, web)
    vs.wait_servers_up(2)
    other = lab.virtual_service(pool=web, name="other")
    get_ids(client, vs.url, ["before"], fresh=False)       # a connection that is there already
    capture = Capture(lab, vs, capture_reason="the test").wait_engines(3)
    ids = [f"request-{n}" for n in range(60)]
    peers = [(client, "eth0", f"tcp and ({' or '.join('host ' + a for a in addresses)})", "seen_by_client"),
             (web[0], "eth0", "tcp", "seen_by_web1"), (web[1], "eth0", "tcp", "seen_by_web2")]
    with contextlib.ExitStack() as stack:
        seen = [stack.enter_context(recorded(*peer)) for peer in peers]
        for n, name in enumerate(ids):
            get_ids(client, f"http://{addresses[n % 3]}/", [name], fresh=n % 4 != 0)
            get_ids(client, other.url, [f"other-{n}"], fresh=n % 2)
        assert len(client.get(vs.url + "files/1048576").content) == 1 << 20
        client.session.close()
    ended = capture.end()
    assert ended["ended_by"] == "stopped" and not ended["drops"] and len(ended["engines"]) == 3
    file = capture.download()
    # Each request on each leg, with one flow id; nothing of the other service.
    found = requests_in(file)
    assert sorted(found) == sorted(ids)
    for legs in found.values():
        assert set(legs) == {"client leg", "server leg"} and len(set(legs.values())) == 1, legs
    # Legal frames, complete checksums, in the order of time.
    rows = tshark(file, "", "frame.len", "frame.time_epoch")
    assert len(rows) == ended["packets"] and max(int(length) for length, _ in rows) <= 1514
    stamps = [float(at) for _, at in rows]
    assert stamps == sorted(stamps)
    assert not tshark(file, f"{BAD_CHECKSUM} or tcp.analysis.lost_segment")
    # Nothing is missing that the client saw; and the stamps agree, whatever the engines' clocks say.
    mine = frames_of(file)
    there = {key: count for key, count in frames_of(seen[0]).items() if int(key[7]) <= 1448}
    assert there and not {key for key in there if key not in mine and int(key[7]) < 1448}
    theirs, ours = ({(to, seq): float(at) for to, seq, at in tshark(one, "http.request", "ip.dst", "tcp.seq_raw", "frame.time_epoch")}
                    for one in (seen[0], file))
    # Of each engine the median: a machine may stand still while a frame is on its way.
    apart = max(abs(statistics.median(theirs[key] - ours[key] for key in theirs if key[0] == address)) for address in addresses)
    print(f"measured: stamps of three engines, 11 s apart, agree with the client's within {apart * 1000:.1f} ms")
    assert apart < 0.5
    # Who is who.
    text = subprocess.run(["capinfos", str(file)], capture_output=True, text=True, timeout=20).stdout
    assert "engine1:front0" in text and "engine3:back0" in text and "the test" in text and "Number of interfaces in file: 6" in text
    assert any("shop-pool/" in " ".join(row) for row in tshark_names(file))
    assert {e["name"]: round(e["clock_us"] / 1e6) for e in ended["engines"]} == {"engine1": -7, "engine2": 0, "engine3": 4}


def v4(*addresses):
    return [{"addr": a, "type": "V4"} for a in addresses]


def scapy_frames(file):
    """The frames of the file, as somebody else takes them apart."""
    from scapy.layers.inet import IP, TCP
    from scapy.utils import PcapReader as Reader
    return [(p[IP], p[TCP]) for p in Reader(str(file)) if IP in p and TCP in p]


def closed(file):
    """How many connections have nothing more to say: both sides have sent a FIN, and then one an acknowledgement."""
    talks = collections.defaultdict(list)
    for ip, tcp in scapy_frames(file):
        talks[frozenset(((ip.src, tcp.sport), (ip.dst, tcp.dport)))].append((ip.src, "F" in tcp.flags))
    return sum(len({src for src, fin in talk if fin}) == 2 and not talk[-1][1] for talk in talks.values())


def test_limits_and_filters(lab):
    """Each limit ends it exactly; each filter lets pass what an oracle says."""
    web = [lab.server() for _ in range(2)]
    near, far = lab.client(), lab.client()
    engine = lab.engine(workers=2)
    vs = lab.virtual_service(pool=web).wait_servers_up(2)

    def load(n=40):
        for k in range(n):
            for client in (near, far):
                get_ids(client, vs.url, [f"{client.name}-{k}"])

    # So many packets of each worker; cut within a large send as well.
    limited = Capture(lab, vs, {"num_pkts": 37, "max_packets": 0}).wait_engines(1)
    load()
    ended = limited.wait_ended()
    assert ended["ended_by"] == "packets" and ended["packets"] == 2 * 37, ended
    assert not lab.api.get(limited.path).get("capture"), "it is over: nothing is asked for any more"
    of_worker = collections.Counter(row[0].split("worker ")[1][0] for row in tshark(limited.download(), "", "frame.comment")
                                    if "worker" in row[0])
    assert max(of_worker.values()) <= 37
    # So many in all, whoever took them.
    limited = Capture(lab, vs, {"max_packets": 101}).wait_engines(1)
    load(10)
    assert limited.wait_ended()["packets"] == 101 == len(tshark(limited.download(), "", "frame.len"))
    # So long, and the first bytes only.
    limited = Capture(lab, vs, {"duration_seconds": 5, "pkt_size": 64, "max_packets": 0}).wait_engines(1)
    assert 0 < limited.runtime()["seconds_left"] <= 5
    get_ids(near, vs.url, ["short"])
    ended = limited.wait_ended()
    assert ended["ended_by"] == "duration"
    lengths = tshark(limited.download(), "", "frame.cap_len", "frame.len")
    assert max(int(kept) for kept, _ in lengths) == 64 < max(int(length) for _, length in lengths)

    # Whose: by ids, because a server's connection goes from client to client.
    network = near.ip4.rsplit(".", 1)[0]
    both, mine, others = {"near", "far"}, {"near"}, {"far"}
    for want, expected in [
        ({"debug_ip": {"addrs": v4(near.ip4)}}, mine),
        ({"debug_ip": {"addrs": v4(near.ip4, "203.0.113.1")}}, mine),
        ({"debug_ip": {"addrs": v4(near.ip4), "match_operation": "IS_NOT_IN"}}, others),
        ({"debug_ip": {"prefixes": [{"ip_addr": v4(near.ip4)[0], "mask": 32}]}}, mine),
        ({"debug_ip": {"prefixes": [{"ip_addr": v4(near.ip4)[0], "mask": 24}]}}, both),
        ({"debug_ip": {"ranges": [{"begin": v4(network + ".1")[0], "end": v4(near.ip4)[0]}]}}, mine),
        ({"debug_ip": {"addrs": v4("203.0.113.9")}}, set()),
    ]:
        capture = Capture(lab, vs, **want).wait_engines(1)
        get_ids(near, vs.url, [f"near{n}" for n in range(3)])
        get_ids(far, vs.url, [f"far{n}" for n in range(3)])
        capture.end()
        found = requests_in(capture.download())
        assert sorted(found) == sorted(f"{who}{n}" for who in expected for n in range(3)), want
        assert all(set(legs) == {"client leg", "server leg"} for legs in found.values()), want
    # A server: its connections, and no client's.
    capture = Capture(lab, vs, debug_ip={"addrs": v4(web[0].ip4)}).wait_engines(1)
    get_ids(near, vs.url, [f"near{n}" for n in range(4)])
    capture.end()
    found = requests_in(capture.download())
    assert 0 < len(found) < 4 and all(set(legs) == {"server leg"} for legs in found.values())

    # Which packets: what passes is what an oracle lets pass of everything, of the same traffic.
    def flags(tcp, letters):
        return any(letter in str(tcp.flags) for letter in letters)

    for turn, (want, oracle) in enumerate([
        ({"capture_filters": {"capture_ip": {"addrs": v4(vs.vip)}, "dst_port_start": 80}},
         lambda ip, tcp: vs.vip in (ip.src, ip.dst) and tcp.dport == 80),
        ({"capture_filters": {"tcp_syn": True, "tcp_fin": True}}, lambda ip, tcp: flags(tcp, "SF")),
        ({"capture_filters": {"src_port": 80, "src_port_range_end": 90, "eth_proto": "ETH_TYPE_IPV4", "ip_proto": "IP_TYPE_TCP"}},
         lambda ip, tcp: 80 <= tcp.sport <= 90),
        ({"capture_pkt_filter": {"capture_tcp_filters": [
            {"tcpflag": {"tcp_syn": True, "tcp_ack": True, "filter_op": "AND"}},
            {"host_ip": {"addrs": v4(near.ip4)}, "dst_port_range": {"dst_port_start": 80, "dst_port_end": 80}}]}},
         lambda ip, tcp: "S" in tcp.flags and "A" in tcp.flags or near.ip4 in (ip.src, ip.dst) and tcp.dport == 80),
        ({"capture_pkt_filter": {"capture_tcp_filters": [
            {"src_port_range": {"src_port_start": 80, "match_operation": "IS_NOT_IN"},
             "tcpflag": {"tcp_push": True, "match_operation": "IS_NOT_IN"}}]}},
         lambda ip, tcp: tcp.sport != 80 and "P" not in tcp.flags),
        ({"capture_expression": f"src host {vs.vip} and tcp[tcpflags] & tcp-push != 0"},
         lambda ip, tcp: ip.src == vs.vip and "P" in tcp.flags),
    ]):
        capture = Capture(lab, vs, **want).wait_engines(1)
        with recorded(engine, "front0", f"tcp and host {vs.vip}", f"front{turn}") as front:
            get_ids(near, vs.url, ["a", "b"])
            get_ids(far, vs.url, ["c"])
            until(lambda: closed(front) == 3, "all three are closed")
        capture.end()
        key = lambda ip, tcp: (ip.src, tcp.sport, tcp.dport, tcp.seq, tcp.ack, str(tcp.flags), ip.len)
        expected = sorted(key(*f) for f in scapy_frames(front) if oracle(*f))
        got = scapy_frames(capture.download())
        assert sorted(key(*f) for f in got if vs.vip in (f[0].src, f[0].dst)) == expected and expected, want
        assert all(oracle(*f) for f in got), want



def shell(lab, *words, password_file=None, **options):
    """`spanwire ...` on the controller's host, as a process."""
    c = lab.controller
    env = {"PATH": "/usr/bin", "HOME": "/nonexistent", "SPANWIRE_CONTROLLER": c.url, "SPANWIRE_INSECURE": "1",
           "SPANWIRE_PASSWORD_FILE": str(password_file or c.password_file)}
    return subprocess.Popen(["ip", "netns", "exec", c.ns, str(lab.program("spanwire")), "--insecure", *map(str, words)],
                            env=env, stderr=subprocess.PIPE, **options)


def guide_lines():
    """What docs/packet-capture.md types into the shell of a machine, and in its remark how it ends."""
    for line in re.findall(r"^spanwire (?:capture|save packets) .*", (ROOT / "docs/packet-capture.md").read_text(), re.M):
        typed, _, remark = line.partition("   ")
        yield (*typed.partition(" | ")[::2], remark.strip())


def type_the_guide(lab, vs, client):
    """Each of its lines, with an address and a request's id that there are here, and tshark for wireshark."""
    get_ids(client, vs.url, ["before"])
    wanted = until(lambda: [r["request_id"] for r in lab.api.get("analytics/logs", type=1, virtualservice=vs.uuid)["results"]
                            if "before" in r.get("uri_query", "")], "the record of a request")[0]
    lines = list(guide_lines())
    assert len(lines) == 6 and sum(bool(reader) for _, reader, _ in lines) == 2
    for n, (typed, reader, remark) in enumerate(lines):
        here = {"192.0.2.7": client.ip4, "4cb9f1d87e2a4f30": wanted}
        words = [here.get(word, word) for word in shlex.split(typed)[1:]]
        live = words[0] == "capture"
        files = set(lab.dir.glob("*.pcap*"))
        taking = shell(lab, *words, stdout=subprocess.PIPE, cwd=lab.dir)
        shown = reader and subprocess.Popen(shlex.split(reader.replace("wireshark -k", "tshark -l")), stdin=taking.stdout,
                                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if live:
            until(lambda: (vs.runtime().get("capture") or {}).get("engines"), f"{typed}: the capture runs")
            get_ids(client, vs.url, [f"line{n}"])
            until(lambda: vs.runtime()["capture"]["packets"] >= (2 if "tcp-syn" in typed else 10), f"{typed}: packets")
            taking.send_signal(signal.SIGINT)
        assert taking.wait(20) == 0, (typed, taking.stderr.read())
        told = taking.stderr.read().decode() + (shown.communicate(timeout=20)[0] if shown else "")
        there = f"id=line{n}" if live else "id=before"
        made, = set(lab.dir.glob("*.pcap*")) - files if not shown else [None]
        if shown:
            assert there in told, (typed, told)
        else:
            # As it is in the frames; of connections that begin nothing was said yet.
            assert (there.encode() in made.read_bytes()) is ("tcp-syn" not in typed) and made.stat().st_size > 500, (typed, told)
    assert len(lab.api.get("capture")["results"]) == 4, "those of before are kept as far as the quota goes"


def test_a_live_stream_ends_as_it_began_and_the_guide_is_right(lab):
    web, client = lab.server(), lab.client()
    lab.engine()
    vs = lab.virtual_service(pool=[web], name="shop").wait_servers_up(1)
    debug = f"debugvirtualservice/{vs.uuid}"
    lab.api.patch(debug, replace={"debug_ip": {"addrs": v4("203.0.113.7")}})
    before = lab.api.get(debug)
    # While it runs a reader behind the pipe sees requests: nothing waits for the end.
    live = shell(lab, "capture", vs.name, client.ip4, "--packets", 100000, "-w", "-", stdout=subprocess.PIPE)
    # As `wireshark -k -i -` does: dumpcap takes it from the pipe.
    reader = subprocess.Popen(["tshark", "-l", "-n", "-i", "-", "-Y", "http.request", "-T", "fields", "-e", "http.request.uri"],
                              stdin=live.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    seen = []
    threading.Thread(target=lambda: seen.extend(reader.stdout), daemon=True).start()
    until(lambda: (vs.runtime().get("capture") or {}).get("engines"), "the capture runs")
    get_ids(client, vs.url, ["live-1"])
    until(lambda: sum("live-1" in line for line in seen) == 2, "both legs are seen while it runs")
    assert live.poll() is None
    # A second one is refused with a sentence, and the first notices nothing.
    second = shell(lab, "capture", vs.name, "-w", lab.dir / "second.pcapng")
    assert second.wait(30) == 1 and b"runs already" in second.stderr.read()
    live.send_signal(signal.SIGINT)
    assert live.wait(30) == 0 and b"ended by: stopped" in live.stderr.read()
    reader.wait(30)
    assert {**lab.api.get(debug), "_last_modified": 0} == {**before, "_last_modified": 0}, "as it was before"
    # Into a file, with a limit; a filter that is none has a sentence.
    file = lab.dir / "shot.pcapng"
    shot = shell(lab, "capture", vs.name, "tcp port 80 and", "tcp[13] & 2 != 0", "--packets", 6, "-w", file)
    until(lambda: (vs.runtime().get("capture") or {}).get("engines"), "the capture runs")
    get_ids(client, vs.url, [f"shot-{n}" for n in range(6)])
    assert shot.wait(30) == 0
    assert len(tshark(file, "tcp.flags.syn == 1", "frame.len")) == 6 == len(tshark(file, "", "frame.len"))
    assert file.stat().st_mode & 0o777 == 0o600
    wrong = shell(lab, "capture", vs.name, "tcp porto 80", "-w", file)
    assert wrong.wait(30) == 1 and b"no filter expression" in wrong.stderr.read()
    assert len(tshark(file, "", "frame.len")) == 6, "what was there stays"
    # Where nothing can be written the capture ends, and nobody says that it went well.
    lost = shell(lab, "capture", vs.name, "-w", "/dev/full")
    assert lost.wait(30) == 2 and b"/dev/full: No space left on device" in lost.stderr.read()
    # A name with a slash is one file all the same.
    lab.api.patch(f"virtualservice/{vs.uuid}", replace={"name": "shop/eu"})
    named = shell(lab, "capture", "shop/eu", "--seconds", 1, cwd=lab.dir)
    assert named.wait(30) == 0 and b"; in vs_shop_eu." in named.stderr.read()
    lab.api.patch(f"virtualservice/{vs.uuid}", replace={"name": vs.name})
    type_the_guide(lab, vs, client)


def test_two_services_monitors_tenants_and_files(lab):
    web, client = lab.server(), lab.client()
    engine = lab.engine()
    one, two = [lab.virtual_service(pool=[web], name=name, v6=True, servers_v6=name == "two").wait_servers_up(1)
                for name in ("one", "two")]
    # Two services at once, the same server: both right. IPv6 on both legs of the one.
    captures = [Capture(lab, one).wait_engines(1), Capture(lab, two, {"pcap_ng": False}).wait_engines(1)]
    get_ids(client, one.url6, ["one-a"])
    get_ids(client, one.url, ["one-b"])
    get_ids(client, two.url6, ["two-a"])
    objects = [capture.end() for capture in captures]
    files = []
    for n, capture in enumerate(captures):
        capture.file = lab.dir / f"service{n}.pcap"
        files.append(capture.download())
    assert set(requests_in(files[0])) == {"one-a", "one-b"}
    assert files[1].read_bytes()[:4] == b"\x4d\x3c\xb2\xa1" and objects[1]["file_name"].endswith(".pcap")
    rows = tshark(files[1], "http.request", "http.request.uri", "ipv6.src")
    assert [uri for uri, _ in rows] == ["/?id=two-a"] * 2 and all(src for _, src in rows)
    # Health monitors: never, only, too.
    for mode, wanted in [("ONLY", {"/health"}), ("INCLUDE", {"/health", "/?id=x"}), ("NONE", {"/?id=x"})]:
        capture = Capture(lab, one, debug_hm=f"DEBUG_VS_HM_{mode}").wait_engines(1)
        get_ids(client, one.url, ["x"])
        if "/health" in wanted:
            checks = lambda: sum(line.startswith(engine.back0.ip) for line in web.requests("/health"))     # the other's are of IPv6
            before = checks()
            until(lambda: checks() > before, "the server is checked")
        capture.end()
        got = {uri for uri, in tshark(capture.download(), "http.request", "http.request.uri")}
        assert got == wanted, mode
    capture.file = capture.file.rename(lab.dir / "none.pcapng")
    if "/health" in wanted:
        assert all("monitor leg" in row[0] for row in tshark(capture.file, 'http.request.uri == "/health"', "frame.comment"))
    # The engine as a whole: both services, what is of none, and what it dropped, with the reason.
    refused = lab.client("refused")
    policy = lab.api.post("networksecuritypolicy", {"name": "keep out", "rules": [{
        "index": 1, "name": "1", "enable": True, "action": "NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY",
        "match": {"client_ip": {"match_criteria": "IS_IN", "addrs": v4(refused.ip4)}}}]})
    two.patch(replace={"network_security_policy_ref": policy["url"]})
    until(lambda: refused.run("curl", "-s", "-m", 3, two.url, check=False).returncode, "it is kept out")
    whole = Capture(lab, two, of=engine, capture_expression="tcp port 80 or icmp").wait_engines(1)
    get_ids(client, one.url, ["one"])
    get_ids(client, two.url, ["two"])
    client.run("ping", "-c", 1, "-W", 2, engine.front0.ip)
    refused.run("curl", "-s", "-m", 1, two.url, check=False)
    ended = whole.end()
    assert ended["file_name"].startswith("se_engine1.") and set(requests_in(whole.download())) == {"one", "two"}
    assert ["of no service"] in tshark(whole.file, "icmp", "frame.comment")
    dropped = tshark(whole.file, f"ip.src == {refused.ip4}", "frame.comment", "tcp.flags.syn")
    assert dropped and all("dropped: the network security policy" in comment for comment, _ in dropped)
    # By ranges, from where it broke off.
    whole = capture.file.read_bytes()
    first = lab.api.send("GET", f"capture/{capture.uuid}/file", headers={"Range": "bytes=0-99"})
    rest = lab.api.send("GET", f"capture/{capture.uuid}/file", headers={"Range": "bytes=100-"})
    assert (first.status_code, rest.status_code) == (206, 206) and first.content + rest.content == whole
    assert rest.headers["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    assert lab.api.send("GET", f"capture/{capture.uuid}/file", headers={"Range": f"bytes={len(whole)}-"}).status_code == 416
    # A part of a file that may be another one by now: there are no validators, so it is the whole.
    again = lab.api.send("GET", f"capture/{capture.uuid}/file", headers={"Range": "bytes=100-", "If-Range": '"then"'})
    assert again.status_code == 200 and again.content == whole and "ETag" not in again.headers
    # Of each tenant the newest four; the same files in the file service.
    names = [c["file_name"] for c in lab.api.get("capture")["results"]]
    assert len(names) == 4
    folder = lab.api.get("fileservice", uri="controller://captures")["results"]
    assert sorted(entry["name"] for entry in folder) == sorted(names)
    uri = next(entry["uri"] for entry in folder if entry["name"] == capture.object()["file_name"])
    assert lab.api.get_bytes(f"fileservice/captures/{uri.split('/')[-1]}") == whole
    assert lab.api.find("capture", capture.object()["name"])["drops"] == 0
    # Who is of another tenant knows of none; who may not capture gets none. Who reads is told of.
    lab.api.post("tenant", {"name": "other"})
    role = lab.api.find("role", "WebApp-Tenant-Admin") or lab.api.find("role", "Tenant-Admin")
    for name, tenant, wanted in (("stranger", "other", 404), ("viewer", "admin", 403)):
        if wanted == 403:
            role = lab.api.post("role", {"name": "no captures", "privileges": [
                {"resource": "PERMISSION_VIRTUALSERVICE", "type": "READ_ACCESS"},
                {"resource": "PERMISSION_FILE_OBJECT", "type": "WRITE_ACCESS"}]})
        lab.api.post("user", {"name": name, "username": name, "password": "Pa55word.word", "access": [
            {"tenant_ref": f"/api/tenant?name={tenant}", "role_ref": role["url"], "all_tenants": False}]})
        api = Api(lab.api.url, name, "Pa55word.word", host=lab.api.host)
        api.session.headers["X-Avi-Tenant"] = tenant
        api.login()
        assert api.send("GET", f"capture/{capture.uuid}/file").status_code == wanted
        listed = api.send("GET", "fileservice", params={"uri": "controller://captures"})
        assert listed.status_code == 403 or listed.json()["count"] == 0
        assert api.send("PATCH", f"debugvirtualservice/{one.uuid}", json={"replace": {"capture": True}}).status_code in (403, 404)
    events = lab.api.get("analytics/logs", type=2, page_size=200)["results"]
    assert any(e["event_id"] == "TRAFFIC_CAPTURE_DOWNLOAD" and "admin" in json.dumps(e) for e in events)
    # Deleted is gone, file and all.
    lab.api.delete(f"capture/{capture.uuid}")
    assert lab.api.send("GET", f"capture/{capture.uuid}/file").status_code == 404
    assert len(list((lab.controller.data / "captures").iterdir())) == 3
    # Its flags choose: what came, what left, what it dropped: the lease's gate too, of an address that somebody else has.
    lab.client("squatter", number=103)
    three = lab.virtual_service(pool=[web], name="three", wait=False)
    until(lambda: "an owner is alive" in str(three.runtime()), "it waits for the address")
    knocks = {two.vip: "the network security policy", three.vip: "no lease of the address"}
    for address in knocks:
        refused.ip("neigh", "replace", address, "lladdr", engine.front0.mac, "dev", "eth0", "nud", "permanent")
    for flags in (["RX"], ["TX", "DROP"]):
        some = Capture(lab, two, of=engine, flags=[{"flag": f"DEBUG_PCAP_{flag}"} for flag in flags],
                       capture_expression="tcp port 80").wait_engines(1)
        get_ids(client, one.url, ["one"])
        for address in knocks:
            with refused.entered(), socket.socket() as knock:
                knock.setblocking(False)
                knock.connect_ex((address, 80))
        until(lambda: some.runtime()["packets"] >= 4, "there are packets")
        some.end()
        # Who sent it, where it went, and why that is all that is known of it.
        rows = tshark(some.download(), "tcp", "eth.src", "ip.dst", "frame.comment")
        kinds = {"DROP" if "dropped: " in comment else "TX" if mac in engine.macs() else "RX" for mac, _, comment in rows}
        assert kinds == set(flags), (flags, rows)
        if "DROP" in flags:
            why = {ip: comment for _, ip, comment in rows if "dropped: " in comment}
            assert why.keys() == knocks.keys() and all(says in why[ip] for ip, says in knocks.items()), why


def echo_datagrams(host, port=5353):
    """Sends back every datagram, with a word before it."""
    with host.entered():
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.bind(("", port))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                said, peer = own.recvfrom(2048)
                own.sendto(b"re:" + said, peer)
    threading.Thread(target=serve, daemon=True).start()
    return {"ip": {"addr": host.ip4, "type": "V4"}, "port": port}


def test_datagrams_old_connections_and_a_full_budget(lab):
    web, client = lab.server(), lab.client()
    small = lab.controller.data / "captures"
    lab.controller.process.stop()
    command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small)
    try:
        lab.controller.begin()          # it sees what was mounted before
        lab.engine()
        names = lab.virtual_service(
            pool=[echo_datagrams(web)], name="names", port=5353, http=False, monitor=None,
            network_profile_ref=lab.ref("networkprofile", "System-UDP-Fast-Path"))
        pipe = lab.virtual_service(pool=[web], name="pipe", http=False).wait_servers_up(1)
        with client.entered():
            asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asker.settimeout(5)
        asker.connect((names.vip, 5353))

        def ask(text):
            asker.send(text)
            assert asker.recv(100) == b"re:" + text

        # What is there when the capture begins is captured from then on, on both sides.
        ask(b"before")
        old = client.connect(pipe.vip, 80)
        old.sendall(b"GET /?id=before HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in old.recv(4096)
        captures = [Capture(lab, names).wait_engines(1), Capture(lab, pipe).wait_engines(1)]
        ask(b"while")
        old.sendall(b"GET /?id=while HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in old.recv(4096)
        old.close()
        asker.close()
        files = []
        for n, capture in enumerate(captures):
            capture.end()
            capture.file = lab.dir / f"old{n}.pcapng"
            files.append(capture.download())
        rows = tshark(files[0], "udp", "udp.payload", "frame.comment", "ip.src")
        said = [(bytes.fromhex(data.replace(":", "")), comment.split(",")[0]) for data, comment, _ in rows]
        assert sorted(said) == sorted((text, leg) for text in (b"while", b"re:while") for leg in ("client leg", "server leg"))
        assert len({comment.split(", ")[1] for _, comment, _ in rows}) == 1
        assert requests_in(files[1])["while"].keys() == {"client leg", "server leg"}
        # Without a limit of its own, or with one that the disk has not, it ends when its budget is used up, and disturbs nobody.
        for size in 0, 100:
            capture = Capture(lab, pipe, {"max_packets": 0, "capture_file_size": {"absolute_size": size}}).wait_engines(1)
            for _ in range(3):
                assert len(client.get(pipe.url + "files/1048576").content) == 1 << 20
            ended = capture.wait_ended()
            assert ended["ended_by"] == "budget" and ended["size"] <= 1 << 20, "a quarter of what was free"
        assert len(tshark(capture.download(), "", "frame.len")) == ended["packets"]
        get_ids(client, pipe.url, ["after"])
        # With file_count it goes on without its oldest part.
        capture = Capture(lab, pipe, {"max_packets": 0, "file_count": 4, "capture_file_size": {"percentage_size": 75}}).wait_engines(1)
        get_ids(client, pipe.url, ["oldest"])
        for _ in range(3):
            assert len(client.get(pipe.url + "files/1048576").content) == 1 << 20
        get_ids(client, pipe.url, ["newest"])
        ended = capture.end()
        assert ended["ended_by"] == "stopped" and not ended["drops"] and 1 << 19 < ended["size"] <= 1 << 20, ended
        assert len(tshark(capture.download(), "", "frame.len")) == ended["packets"] == sum(e["packets"] for e in ended["engines"])
        assert set(requests_in(capture.file)) == {"newest"}
        # A disk that others fill ends it as well, with what is there, whole packets only.
        for old in lab.api.get("capture")["results"]:
            lab.api.delete(f"capture/{old['uuid']}")
        (small / ".filler").write_bytes(bytes(3 << 20))
        capture = Capture(lab, pipe, {"max_packets": 0}).wait_engines(1)
        with contextlib.suppress(OSError), open(small / ".filler", "ab") as filler:
            while filler.write(bytes(4096)) and filler.flush() is None:
                pass
        os.truncate(small / ".filler", (small / ".filler").stat().st_size - (200 << 10))
        assert len(client.get(pipe.url + "files/1048576").content) == 1 << 20
        ended = capture.wait_ended()
        assert ended["ended_by"] == "disk: No space left on device" and 0 < ended["size"] <= 300 << 10, ended
        assert len(tshark(capture.download(), "", "frame.len")) == ended["packets"] > 0
        get_ids(client, pipe.url, ["after the disk"])
    finally:
        lab.controller.process.stop()
        command("umount", small)


def test_what_is_there_survives_who_dies(lab):
    web, client = lab.server(), lab.client()
    first = lab.engine()
    vs = lab.virtual_service(pool=[web]).wait_servers_up(1)
    second = lab.engine()
    capture = Capture(lab, vs).wait_engines(1)
    get_ids(client, vs.url, ["before"])
    until(lambda: capture.runtime()["packets"] >= 10, "the controller has the packets")
    # The engine dies: what it sent is there, and who takes over captures.
    owner = vs.owner()
    (second if owner is first else first).uuid
    owner.kill()
    until(lambda: vs.owner() not in (None, owner) and vs.state() == "OPER_UP", "another engine has it")
    capture.wait_engines(2)
    get_ids(client, vs.url, ["after"])
    # More than both requests are: each is 17 packets, and those of the second are written one after the other.
    until(lambda: client.get(vs.url + "?id=again").ok and capture.runtime()["packets"] >= 50, "packets of the second")
    # The controller dies: what is there is delivered, whole packets only.
    lab.controller.kill()
    lab.controller.begin()
    until(lambda: lab.api.get(f"capture/{capture.uuid}").get("ended"), "the capture is over")
    ended = capture.object()
    assert ended["ended_by"] == "restart" and not ended["running"] and ended["packets"] >= 50
    assert not lab.api.get(capture.path).get("capture")
    file = capture.download()
    assert len(tshark(file, "", "frame.len")) == ended["packets"]
    assert {"before", "after"} <= set(requests_in(file))
    # And another one can begin.
    again = Capture(lab, vs).wait_engines(1)
    get_ids(client, vs.url, ["anew"])
    again.end()
    assert set(requests_in(again.download())) == {"anew"}


def taker(lab, services="READ_ACCESS"):
    """The API of somebody who may capture and look, or change services, and hold no keys."""
    role = lab.api.post("role", {"name": "captures only", "privileges": [
        {"resource": "PERMISSION_TRAFFIC_CAPTURE", "type": "WRITE_ACCESS"},
        {"resource": "PERMISSION_VIRTUALSERVICE", "type": services}]})
    lab.api.post("user", {"name": "taker", "username": "taker", "password": "Pa55word.word", "access": [
        {"tenant_ref": "/api/tenant?name=admin", "role_ref": role["url"], "all_tenants": False}]})
    api = Api(lab.api.url, "taker", "Pa55word.word", host=lab.api.host)
    api.login()
    return api


class TlsOrigin(threading.Thread):
    """Answers every request over TLS with a few bytes, on connections that are kept."""

    def __init__(self, host, identity, port=TLS_PORT):
        super().__init__(daemon=True)
        self.address = {"ip": {"addr": host.ip4, "type": "V4"}, "port": port}
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        files = [host.lab.dir / f"{host.name}.{kind}" for kind in ("crt", "key")]
        files[0].write_text(identity.certificate)
        files[1].write_text(identity.key)
        self.context.load_cert_chain(*files)
        with host.entered():
            self.listener = socket.create_server(("", port), backlog=64)
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, plain):
        with contextlib.suppress(OSError), plain:
            plain.settimeout(20)
            with self.context.wrap_socket(plain, server_side=True) as peer:
                head = b""
                while data := peer.recv(65536):
                    head += data
                    if head.endswith(b"\r\n\r\n"):
                        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
                        head = b""


def test_the_file_opens_decrypted(lab):
    """With the secrets of exactly the captured flows: no setting, both legs, TLS 1.2 and 1.3, HTTP/1 and 2."""
    near, far = lab.client(), lab.client()
    lab.engine()
    shown = Identity("shop")
    lab.api.post("sslkeyandcertificate", {
        "name": "shop", "key": shown.key, "certificate": {"certificate": shown.certificate}, "type": "SSL_CERTIFICATE_TYPE_VIRTUALSERVICE"})
    origin = TlsOrigin(lab.server(), Identity("origin"))
    # A client has its own connections to servers: none whose handshake was before the capture, or another client's.
    lab.api.post("applicationprofile", {"name": "own", "type": "APPLICATION_PROFILE_TYPE_HTTP",
                                        "http_profile": {"connection_multiplexing_enabled": False}})
    vs = lab.virtual_service(
        pool=[origin.address], application_profile_ref=lab.ref("applicationprofile", "own"), port=443, monitor="tcp", pool_more={"ssl_profile_ref": "/api/sslprofile?name=System-Standard"},
        services=[{"port": 443, "enable_ssl": True, "enable_http2": True}],
        ssl_key_and_certificate_refs=["/api/sslkeyandcertificate?name=shop"]).wait_servers_up(1)

    def get(client, name, *words):
        assert client.run("curl", "-sk", "-m", 10, *words, f"https://{vs.vip}/?id={name}").stdout == "ok\n"

    get(near, "older", "--http1.1")
    capture = Capture(lab, vs, {"enable_ssl_session_key_capture": True, "pkt_size": 128},
                      debug_ip={"addrs": v4(near.ip4)}).wait_engines(1)
    ways = {"h2": ["--http2"], "h1": ["--http1.1"], "tls12": ["--http1.1", "--tls-max", "1.2"], "tls12h2": ["--http2", "--tls-max", "1.2"]}
    for name, words in ways.items():
        get(near, name, *words)
        get(far, f"far-{name}", *words)
    capture.end()
    file = capture.download()
    found = collections.defaultdict(set)
    for one, two, comment in tshark(file, "http.request or http2.headers.path", "http.request.uri", "http2.headers.path", "frame.comment"):
        found[(one or two).split("id=")[1]].add(comment.split(", ")[0])
    assert set(found) >= set(ways) and not [name for name in found if name.startswith("far")], found
    assert all(found[name] == {"client leg", "server leg"} for name in ways), found
    # Secrets are in the file, and nowhere else: of the one client only, and in no log.
    raw = file.read_bytes()
    assert raw.count(b"CLIENT_TRAFFIC_SECRET_0") >= 2 and raw.count(b"CLIENT_RANDOM") >= 2
    randoms = set(re.findall(rb"(?:CLIENT_TRAFFIC_SECRET_0|CLIENT_RANDOM) ([0-9a-f]{64})", raw))
    hellos = {row[0].replace(":", "") for row in tshark(file, "tls.handshake.type == 1", "tls.handshake.random")}
    assert {r.decode() for r in randoms} <= hellos, "secrets of flows that are not in the file"
    for log in lab.dir.glob("*.log"):
        assert b"TRAFFIC_SECRET" not in log.read_bytes(), log
    # Who may capture, but not hold keys, gets neither.
    api = taker(lab)
    assert api.send("GET", f"capture/{capture.uuid}/file").status_code == 403
    refused = api.send("PATCH", capture.path, json={"replace": {"capture": True, "capture_params": {"enable_ssl_session_key_capture": True}}})
    assert refused.status_code == 403, refused.text
    assert api.send("PATCH", capture.path, json={"replace": {"capture": True, "capture_params": {"num_pkts": 1}}}).status_code == 200
