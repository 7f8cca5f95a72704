"""A switch: a bridge in a namespace of its own, and the network that is on it."""

from __future__ import annotations

import contextlib

from .host import Host, command


class Switch(Host):
    """`number` gives its addresses: 198.18.N.0/24 and fd00:5:0:N::/64."""

    def __init__(self, lab, name: str, number: int):
        super().__init__(lab, name)
        self.number = number
        self.subnet = f"198.18.{number}.0/24"
        self.ports: list[str] = []
        self.ip("link", "add", "br0", "type", "bridge", "stp_state", 0, "mcast_snooping", 0)
        self.ip("link", "set", "br0", "up")
        with contextlib.suppress(OSError):
            # Where the machine has loaded it, each frame goes through iptables: no switch does that.
            self.sysctl(*(word for what in ("iptables", "ip6tables", "arptables")
                          for word in (f"net.bridge.bridge-nf-call-{what}", 0)))

    def address(self, host_number: int) -> tuple[str, str]:
        return f"198.18.{self.number}.{host_number}", f"fd00:5:0:{self.number}::{host_number}"

    def new_port(self, host: Host, interface: str) -> str:
        port = f"p{len(self.ports)}"
        self.ports.append(port)
        command("ip", "link", "add", interface, "netns", host.ns,
                "type", "veth", "peer", "name", port, "netns", self.ns)
        self.ip("link", "set", port, "master", "br0", "up")
        return port

    def knows(self, mac: str) -> str:
        """The port behind which the switch believes this MAC address to be, or ''."""
        return self.table().get(mac, "")

    def table(self) -> dict[str, str]:
        """All that it has learned: ports by MAC addresses."""
        lines = [line.split() for line in self.run("bridge", "fdb", "show", "br", "br0").stdout.splitlines()]
        return {words[0]: words[words.index("dev") + 1] for words in lines if "permanent" not in words}
