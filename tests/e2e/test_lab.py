"""The lab itself: what the other tests stand on."""

import os
import pathlib
import signal
import subprocess
import sys

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from lab import packets, until
from lab.host import command

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def namespaces(prefix):
    return [name for name in command("ip", "netns", "list").stdout.split() if prefix in name]


def runs(pid):
    try:
        return pathlib.Path("/proc", pid, "stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def on_front(lab, server):
    """A second cable: the server is then reachable for a client without an engine."""
    server.attach(lab.front, "eth1", *lab.front.address(200))
    return f"http://{lab.front.address(200)[0]}/"


def test_server_answers_its_name_and_logs_it(lab):
    web, client = lab.server(), lab.client()
    url = on_front(lab, web)
    assert client.get(url).text == "web1\n"
    assert client.get(url + "health").status_code == 200
    web.fall_sick()
    assert client.get(url + "health").status_code == 503
    assert len(client.get(url + "files/128").content) == 128
    until(lambda: len(web.requests("/health")) == 2, "the log has both checks")
    assert web.requests("/")[0].startswith(client.ip4)


def test_load_counts_failures_and_the_outage(lab):
    web, client = lab.server(), lab.client()
    url = on_front(lab, web)
    with client.load(url, rate=500) as load:
        until(lambda: load.answered > 200, "requests are answered")
        assert not load.failed and load.outage_ms == 0
        web.kill()
        until(lambda: len(load.failed) > 50, "requests fail")
        web.serve()
        good = load.answered
        until(lambda: load.answered > good + 100, "requests are answered again")
    assert load.outage_ms > 50
    assert set(load.errors) <= {"ConnectionRefusedError", "ConnectionResetError",
                                "RemoteDisconnected"}


def test_sensor_sees_whole_conversations_and_what_is_wrong_with_them(lab):
    ids, sender = lab.sensor(), lab.sensor("sender")
    client, server = "198.18.1.51", "198.18.2.11"

    def send(frame, src, dst, sport, dport, **tcp):
        tcp = TCP(sport=sport, dport=dport, **tcp)
        frame.append(Ether(src=sender.mac, dst=ids.mac) / IP(src=src, dst=dst) / tcp)

    there, back = (client, server, 4000, 80), (server, client, 80, 4000)
    frames = []
    send(frames, *there, flags="S", seq=100)
    send(frames, *back, flags="SA", seq=900, ack=101)
    frames.append(Ether(src=sender.mac, dst=ids.mac) / IP(src=client, dst=server) /
                  TCP(sport=4000, dport=80, flags="PA", seq=101, ack=901) / b"GET / HTTP/1.1\r\n\r\n")
    frames.append(Ether(src=sender.mac, dst=ids.mac) / IP(src=server, dst=client) /
                  TCP(sport=80, dport=4000, flags="PA", seq=911, ack=119) / b"tail")
    broken = Ether(src=sender.mac, dst=ids.mac) / IP(src=client, dst=server) / \
        TCP(sport=4000, dport=80, flags="FA", seq=119, ack=915, chksum=0x1234)
    frames.append(broken)
    with sender.entered():
        from scapy.sendrecv import sendp
        sendp(frames, iface="eth0", verbose=False)
    assert ids.saw(src=client, dst=server, http="GET /")
    assert not ids.saw(src="198.18.1.52", seconds=0.1)
    assert ids.settled() == 5
    [talk] = ids.conversations()
    assert talk.handshake and talk.missing == 10 and not talk.complete
    assert talk.sent == b"GET / HTTP/1.1\r\n\r\n"
    assert [line.split(": ")[1] for line in ids.illegal({sender.mac})] == ["wrong checksum"]
    assert len(ids.tshark(packets.BAD_CHECKSUM)) == 1
    ids.forget()
    assert ids.count() == 0


def test_an_unplugged_cable_is_seen(lab):
    web = lab.server()
    web.eth.unplug()
    until(lambda: "NO-CARRIER" in web.ip("link", "show", "eth0"), "the carrier is gone")
    web.eth.plug()
    until(lambda: "LOWER_UP" in web.ip("link", "show", "eth0"), "the carrier is back")


def test_checksum_knows_right_from_wrong():
    good = bytes(IP(src="10.0.0.1", dst="10.0.0.2"))
    assert packets.checksum(good) == 0
    assert packets.checksum(good[:-1] + b"\xff") != 0


def test_a_dead_lab_leaves_nothing(tmp_path):
    """Ended by SIGTERM it cleans up; killed with -9, the next lab sweeps."""
    program = ("import sys; sys.path.insert(0, {!r})\n"
               "from lab.lab import Lab, on_sigterm\n"
               "on_sigterm()\n"
               "lab = Lab(); lab.server(); print(lab.prefix, flush=True)\n"
               "sys.stdin.read()").format(str(ROOT))
    for number in (signal.SIGTERM, signal.SIGKILL):
        child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        prefix = child.stdout.readline().strip() + "-"
        assert len(namespaces(prefix)) == 5
        nginx = command("ip", "netns", "pids", f"{prefix}web1").stdout.split()
        os.kill(child.pid, number)
        child.wait(60)
        if number == signal.SIGKILL:
            assert namespaces(prefix)
            from lab import Lab
            Lab(tmp_path).close()
        assert not namespaces(prefix)
        until(lambda: not any(map(runs, nginx)), "its programs have ended")
