"""Frames as a sensor sees them: parsing, checksums, and conversations put together."""

from __future__ import annotations

import dataclasses
import ipaddress
import pathlib
import struct
from typing import Callable, Iterable, Iterator, Optional

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

# tshark's filter for frames with a wrong checksum. Where Linux sums up itself (skb_checksum_help()) it writes 0xffff for
# 0 in TCP too, which every receiver takes (RFC 1624) and tshark calls bad: one frame in 65,536.
BAD_CHECKSUM = '((tcp.checksum.status == "Bad" and tcp.checksum != 0xffff) or ip.checksum.status == "Bad")'


@dataclasses.dataclass(frozen=True)
class Frame:
    """One TCP segment, from its Ethernet header on."""

    time: float
    raw: bytes
    wire_length: int
    dst_mac: str
    src_mac: str
    src: str
    sport: int
    dst: str
    dport: int
    seq: int
    flags: int
    payload: bytes
    checksums_ok: bool

    @property
    def flow(self) -> tuple[str, int, str, int]:
        return self.src, self.sport, self.dst, self.dport

    @property
    def back(self) -> tuple[str, int, str, int]:
        return self.dst, self.dport, self.src, self.sport


def checksum(data: bytes) -> int:
    """RFC 1071; 0 over data that carries its own right checksum."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac_text(raw: bytes) -> str:
    return raw.hex(":")


def parse(time: float, raw: bytes, wire_length: int) -> Optional[Frame]:
    """The TCP segment in this frame, or None when it is something else."""
    kind = raw[12:14]
    if kind == b"\x08\x00" and raw[14] >> 4 == 4:
        header = (raw[14] & 15) * 4
        length = struct.unpack_from("!H", raw, 16)[0]
        protocol, addresses = raw[23], raw[26:34]
        ip_ok = checksum(raw[14:14 + header]) == 0
        segment = raw[14 + header:14 + length]
    elif kind == b"\x86\xdd":
        length = struct.unpack_from("!H", raw, 18)[0]
        protocol, addresses, ip_ok = raw[20], raw[22:54], True
        segment = raw[54:54 + length]
    else:
        return None
    if protocol != 6 or len(segment) < 20:
        return None
    half = len(addresses) // 2
    pseudo = addresses + struct.pack("!II", len(segment), 6)
    sport, dport, seq = struct.unpack_from("!HHI", segment)
    return Frame(
        time, raw, wire_length, mac_text(raw[:6]), mac_text(raw[6:12]),
        str(ipaddress.ip_address(addresses[:half])), sport,
        str(ipaddress.ip_address(addresses[half:])), dport,
        seq, segment[13] & 63, segment[(segment[12] >> 4) * 4:],
        ip_ok and checksum(pseudo + segment) == 0)


class PcapReader:
    """Reads a pcap file that tcpdump is still writing."""

    def __init__(self, path: pathlib.Path, read: Callable = parse):
        self.path, self.offset, self.read = path, 24, read      # after the file header

    def new_frames(self) -> Iterator:
        """What `read` made of each."""
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            data = file.read()
        at = 0
        while len(data) - at >= 16:
            seconds, micros, kept, wire = struct.unpack_from("<IIII", data, at)
            if len(data) - at < 16 + kept:
                break
            frame = self.read(seconds + micros / 1e6, data[at + 16:at + 16 + kept], wire)
            at += 16 + kept
            if frame:
                yield frame
        self.offset += at


@dataclasses.dataclass
class Conversation:
    """Both directions of one connection, client first, in order of sequence numbers."""

    client: str
    client_port: int
    server: str
    server_port: int
    frames: list[Frame]
    sent: bytes = b""               # by the client
    answered: bytes = b""           # by the server
    missing: int = 0                # bytes of the sequence space that were never seen
    handshake: bool = False         # SYN and SYN-ACK were seen
    ended: bool = False             # FIN both ways, or a RST

    @property
    def complete(self) -> bool:
        return self.handshake and not self.missing


def assemble(frames: list[Frame]) -> tuple[bytes, int]:
    """The bytes of one direction and how many are missing; SYN and FIN count as one each."""
    start = min((f.seq for f in frames if f.flags & SYN), default=frames[0].seq - 1) + 1
    data, missing = bytearray(), 0
    pieces = [((f.seq - start) & 0xFFFFFFFF, f) for f in frames if not f.flags & (SYN | RST)]
    end = min((at + len(f.payload) for at, f in pieces if f.flags & FIN), default=1 << 31)
    for at, f in sorted(pieces, key=lambda piece: piece[0]):
        if at >= 1 << 31:           # from before the start: a keep-alive probe
            continue
        at = min(at, end)           # the last acknowledgement comes after the FIN
        if at > len(data):
            missing += at - len(data)
            data.extend(b"?" * (at - len(data)))
        data.extend(f.payload[len(data) - at:])
    return bytes(data), missing


def conversations(frames: Iterable[Frame]) -> list[Conversation]:
    """Every connection that begins in these frames, or was under way."""
    found: dict[tuple, Conversation] = {}
    all_of_them: list[Conversation] = []
    for f in frames:
        fresh = f.flags & SYN and not f.flags & ACK
        known = found.get(f.flow) or found.get(f.back)
        if known is None or (fresh and not any(o.flags & SYN and o.seq == f.seq for o in known.frames)):
            # Without its SYN we do not know who began: the higher port did.
            ends = f.flow if fresh or (f.sport > f.dport and not f.flags & SYN) else f.back
            known = found[ends] = Conversation(*ends, [])
            found.pop((ends[2], ends[3], ends[0], ends[1]), None)
            all_of_them.append(known)
        known.frames.append(f)
    for c in all_of_them:
        there = [f for f in c.frames if (f.src, f.sport) == (c.client, c.client_port)]
        back = [f for f in c.frames if (f.src, f.sport) != (c.client, c.client_port)]
        c.handshake = any(f.flags & SYN for f in there) and any(f.flags & SYN for f in back)
        c.ended = any(f.flags & RST for f in c.frames) or \
            all(any(f.flags & FIN for f in way) for way in (there, back))
        if there:
            c.sent, c.missing = assemble(there)
        if back:
            c.answered, missing = assemble(back)
            c.missing += missing
    return all_of_them
