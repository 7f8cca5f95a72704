"""Encapsulated frames as a sensor beyond a router sees them: the headers outside, and the frame within."""

from __future__ import annotations

import dataclasses
import ipaddress
import struct
from typing import Optional

from .packets import Frame, checksum, mac_text, parse

VXLAN, GENEVE = 4789, 6081
UDP, GRE = 17, 47


@dataclasses.dataclass(frozen=True)
class Wrapped:
    """One encapsulated frame."""

    time: float
    wire_length: int
    dst_mac: str
    src_mac: str
    src: str
    dst: str
    hops: int
    whole: bool                     # DF and no fragment; always so for IPv6
    checksums_ok: bool              # of the headers outside
    kind: str                       # vxlan, geneve, gre, erspan2, erspan3
    number: Optional[int]           # VNI, key or session
    sport: int                      # of UDP
    dport: int
    sequence: Optional[int]
    out: Optional[bool]             # the engine sent it, as ERSPAN says
    stamp: Optional[int]            # of ERSPAN III, 100 ns
    raw: bytes                      # the frame within
    inner: Optional[Frame]          # and what it is, when it is TCP


def _gre(payload: bytes) -> Optional[tuple]:
    flags, proto = struct.unpack_from("!HH", payload)
    at, key, sequence = 4, None, None
    if flags & ~0x3000:
        return None
    if flags & 0x2000:
        key, at = struct.unpack_from("!I", payload, at)[0], at + 4
    if flags & 0x1000:
        sequence, at = struct.unpack_from("!I", payload, at)[0], at + 4
    if proto == 0x6558:
        return "gre", key, sequence, None, None, at
    if proto == 0x88BE:
        word, index = struct.unpack_from("!II", payload, at)
        return ("erspan2", word & 0x3FF, sequence, bool(index & 1), None, at + 8) \
            if word >> 10 == 1 << 18 else None
    if proto == 0x22EB:
        word, stamp, last = struct.unpack_from("!III", payload, at)
        # A whole Ethernet frame, time in 100 ns, no further header.
        return ("erspan3", word & 0x3FF, sequence, bool(last & 8), stamp, at + 12) \
            if word >> 10 == 2 << 18 and last & ~8 == 0x8002 else None
    return None


def _udp(payload: bytes, vxlan_port: int) -> Optional[tuple]:
    first, second = struct.unpack_from("!II", payload, 8)
    port = struct.unpack_from("!H", payload, 2)[0]
    if port == GENEVE and first == 0x6558 and not second & 0xFF:
        return "geneve", second >> 8, None, None, None, 16
    if port == vxlan_port and first == 0x08000000 and not second & 0xFF:
        return "vxlan", second >> 8, None, None, None, 16
    return None


def unwrap(time: float, raw: bytes, wire_length: int, vxlan_port: int = VXLAN) -> Optional[Wrapped]:
    """The encapsulated frame in this one, or None: what breaks a rule of its protocol is none."""
    if raw[12:14] == b"\x08\x00":
        header, (length,) = (raw[14] & 15) * 4, struct.unpack_from("!H", raw, 16)
        addresses, proto, hops = raw[26:34], raw[23], raw[22]
        whole = struct.unpack_from("!H", raw, 20)[0] == 0x4000
        ok = checksum(raw[14:14 + header]) == 0
    elif raw[12:14] == b"\x86\xdd":
        header, length = 40, 40 + struct.unpack_from("!H", raw, 18)[0]
        addresses, proto, hops, whole, ok = raw[22:54], raw[20], raw[21], True, True
    else:
        return None
    payload = raw[14 + header:14 + length]
    sport = dport = 0
    if proto == UDP:
        found = _udp(payload, vxlan_port)
        sport, dport, size, its_sum = struct.unpack_from("!HHHH", payload)
        pseudo = addresses + struct.pack("!II", len(payload), UDP)
        ok = ok and size == len(payload) and \
            (checksum(pseudo + payload) == 0 if its_sum else len(addresses) == 8)
    else:
        found = _gre(payload) if proto == GRE else None
    if not found:
        return None
    kind, number, sequence, out, stamp, at = found
    half = len(addresses) // 2
    return Wrapped(
        time, wire_length, mac_text(raw[:6]), mac_text(raw[6:12]),
        str(ipaddress.ip_address(addresses[:half])), str(ipaddress.ip_address(addresses[half:])),
        hops, whole, ok, kind, number, sport, dport, sequence, out, stamp, payload[at:],
        parse(time, payload[at:], len(payload) - at))
