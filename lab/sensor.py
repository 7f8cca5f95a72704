"""A sensor: a host that records what arrives at it, as an IDS would."""

from __future__ import annotations

import collections
import hashlib
import os
import pathlib
import shutil
import socket
import struct
import subprocess
from typing import Optional

from .host import Host, until
from .packets import Conversation, Frame, PcapReader, checksum, conversations

ETHERNET_MAX = 1514
PROBE_MAC = "02:00:00:00:5e:50"
CABLES = 2      # of a frame's way to a sensor: to the switch, and from it
LOOK_S = 0.02   # we look so often whether something came


def probe(to: str, number: int) -> bytes:
    """A segment between nobody and nobody, which is none of what is recorded."""
    addresses = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2")
    tcp = struct.pack("!HHIIBBHHH", 9, 9, number, 0, 0x50, 0x10, 0, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", checksum(addresses + struct.pack("!II", 6, 20) + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0) + addresses
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    macs = [bytes.fromhex(mac.replace(":", "")) for mac in (to, PROBE_MAC)]
    return b"".join(macs) + b"\x08\x00" + ip + tcp


def marker(exit) -> str:
    """The source MAC address of decrypted copies that leave by this interface of an engine."""
    return f"02:53:50:57{exit.mac[11:]}"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Sensor(Host):
    """Records frames addressed to it. What is asked is asked of the wire, never of a counter."""

    def __init__(self, lab, name: str, switch, number: int):
        super().__init__(lab, name)
        self.eth = self.attach(switch, "eth0", *switch.address(number))
        self.ip4, self.ip6, self.mac = self.eth.ip, self.eth.ip6, self.eth.mac
        self.pcap: pathlib.Path = lab.dir / f"{name}.pcap"
        self.reader = PcapReader(self.pcap)
        self.recorded: list[Frame] = []
        self.probed, self.probes_seen = 0, set()
        # The ring has a slot of the snap length for each frame: a large one loses frames.
        self.tcpdump = self.start(
            "tcpdump", "-i", "eth0", "-nn", "-s", 2048, "-B", 16384, "--immediate-mode", "-U",
            "-Z", "root", "-w", self.pcap, f"ether dst {self.mac} and (tcp or ip6 proto 6)",
            log=f"{name}.tcpdump")
        until(lambda: "listening on" in self.tcpdump.tail(), f"{name} listens")

    def frames(self) -> list[Frame]:
        """Every TCP segment that came, oldest first."""
        for frame in self.reader.new_frames():
            if frame.src_mac == PROBE_MAC:
                self.probes_seen.add(frame.seq)
            else:
                self.recorded.append(frame)
        return self.recorded

    def count(self) -> int:
        return len(self.frames())

    def forget(self) -> int:
        """Look only at what comes from now on; how many there were until now."""
        count = self.count()
        self.recorded = []
        return count

    def conversations(self) -> list[Conversation]:
        return conversations(self.frames())

    def saw(self, src: Optional[str] = None, dst: Optional[str] = None, http: Optional[str] = None,
            seconds: float = 60) -> bool:
        """Did a conversation come with this client, this server, this text in its request?"""
        def look() -> bool:
            return any(
                (src is None or c.client == src) and (dst is None or c.server == dst) and
                (http is None or http.encode() in c.sent)
                for c in self.conversations())
        try:
            return until(look, "", seconds)
        except AssertionError:
            return False

    def settled(self, quiet: float = 0.3, seconds: float = 30) -> int:
        """The number of frames, once nothing has come for a moment, and what came before it is in the file.

        The moment is so many looks, not a time: where the machine stands still, nothing is quiet.
        """
        seen, looks = self.count(), 0

        def quiet_now() -> bool:
            nonlocal seen, looks
            now = self.count()
            seen, looks = now, looks + 1 if now == seen else 0
            if looks * LOOK_S < quiet:
                return False
            self.caught_up()
            return self.count() == seen
        until(quiet_now, f"nothing more arrives at {self.name}", seconds, LOOK_S)
        return seen

    def caught_up(self) -> None:
        """What has been sent to it until now is in the file.

        On a busy machine tcpdump may be a second behind, and so may a processor with the frames that it took from a
        cable: ours, sent by each processor, stand behind them, and once more where these stand then.
        """
        processors = os.sched_getaffinity(0)
        for _ in range(CABLES):
            with self.eth.switch.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
                raw.bind((self.eth.port, 0))
                try:
                    for one in processors:
                        os.sched_setaffinity(0, {one})
                        self.probed += 1
                        raw.send(probe(self.mac, self.probed))
                finally:
                    os.sched_setaffinity(0, processors)
            until(lambda: self.count() >= 0 and len(self.probes_seen) == self.probed,
                  f"the recorder of {self.name} has caught up")

    def illegal(self, source_macs: Optional[set[str]] = None) -> list[str]:
        """What a real switch or IDS would object to, one sentence a frame."""
        found = []
        for n, f in enumerate(self.frames()):
            where = f"frame {n} {f.src}:{f.sport} > {f.dst}:{f.dport}"
            if f.wire_length > ETHERNET_MAX:
                found.append(f"{where}: {f.wire_length} bytes on the wire")
            if not f.checksums_ok:
                found.append(f"{where}: wrong checksum")
            if f.dst_mac != self.mac:
                found.append(f"{where}: sent to {f.dst_mac}")
            if source_macs and f.src_mac not in source_macs:
                found.append(f"{where}: source MAC {f.src_mac} is not an engine's")
        return found

    def streams(self) -> collections.Counter[str]:
        """Digests of what tcpflow, which shares no code with us, makes of each direction that has data."""
        folder = self.lab.dir / f"{self.name}.streams"
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["tcpflow", "-q", "-r", str(self.pcap), "-o", str(folder), "-T", "%A.%a-%B.%b.%c", "-S", "enable_report=NO",
                        "-X", "/dev/null", f"not ether src {PROBE_MAC}"], capture_output=True, check=True, timeout=300)
        found = collections.Counter(digest(file.read_bytes()) for file in folder.iterdir() if file.name.count("-") == 1)
        shutil.rmtree(folder)
        return found

    def tshark(self, display_filter: str) -> list[str]:
        """What tshark says about the recording, with checksums verified."""
        options = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
        ours = f"({display_filter}) and eth.src != {PROBE_MAC}"
        done = subprocess.run(["tshark", "-r", str(self.pcap), *options, "-Y", ours],
                              capture_output=True, text=True, timeout=60 + self.pcap.stat().st_size / 1e6)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()
