"""What connections cost that say nothing: resident memory of the proxy, the sockets of the kernel not counted."""

from __future__ import annotations

import resource
import socket
from typing import Callable

from lab.host import until

GET = b"GET /files/128 HTTP/1.1\r\nHost: idle\r\n\r\n"


def resident(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            # What is shared with nobody: a file of counters that is mapped twice is counted once.
            total += sum(int(line.split()[1]) for line in rollup if line.startswith(("Private_Dirty", "Shared_Dirty")))
    return total * 1024


def per_connection(client, address: tuple[str, int], pids: Callable[[], list[int]], n: int) -> float:
    """Bytes for each of N connections that were used once and rest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    peers: list[socket.socket] = []

    def fill(n: int) -> None:
        for _ in range(n):
            with client.entered():
                peer = socket.create_connection(address, 10)
            peers.append(peer)
            peer.sendall(GET)
            read = b""
            while b"\r\n\r\n" not in read or len(read) < read.index(b"\r\n\r\n") + 4 + 128:
                read += peer.recv(65536)

    try:
        fill(100)       # what the first ones cost is no connection's: buffers, tables, servers' connections
        before = resident(pids())
        fill(n)
        return (resident(pids()) - before) / n
    finally:
        for peer in peers:
            peer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
