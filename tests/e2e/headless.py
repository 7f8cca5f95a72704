"""An engine without a controller: it starts from what its disk holds."""

import hashlib
import json
from typing import Optional

from lab.engine import Engine


def text(value) -> str:
    """JSON as the engine words it: sorted, without blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def desired(objects: dict[str, dict]) -> str:
    """The contents of STATE/desired.json; keys are kind/uuid."""
    total, held = 0, {}
    for key, value in objects.items():
        kind, uuid = key.split("/")
        stored = {**value, "uuid": uuid, "name": value.get("name", uuid)}
        digest = hashlib.sha256(f"{key}/{text(stored)}".encode()).digest()
        total += int.from_bytes(digest[:8], "big")
        held[key] = {"kind": kind, "uuid": uuid, "revision": 1, "object": stored}
    return json.dumps({"format": 1, "epoch": "headless", "revision": 1, "held": held,
                       "hash": f"{total % (1 << 64):016x}"})


class Headless(Engine):
    """`serve` gives it one service: vip, vip6 and port say where."""

    def __init__(self, lab, workers: Optional[int] = None):
        super().__init__(lab, "engine1", 21, workers)
        lab._host(self)
        self.vip, self.vip6 = lab.front.address(101)
        self.port = 80
        self.url = f"http://{self.vip}/"

    def serve(self, servers: list[dict], app: str = "L4", pool: Optional[dict] = None,
              tcp: Optional[dict] = None, http: Optional[dict] = None, service: Optional[dict] = None,
              vs: Optional[dict] = None, others: Optional[dict] = None) -> "Headless":
        """SERVICE: further fields of the port, VS: of the virtual service; OTHERS: further objects by kind/uuid."""
        objects = {
            "virtualservice/vs-1": {
                "services": [{"port": self.port, **(service or {})}], "pool_ref": "/api/pool/pool-1",
                "application_profile_ref": "/api/applicationprofile/app-1",
                "network_profile_ref": "/api/networkprofile/net-1", "vsvip_ref": "/api/vsvip/vsvip-1",
                **(vs or {})},
            "applicationprofile/app-1": {"type": f"APPLICATION_PROFILE_TYPE_{app}",
                                         "http_profile": http or {}},
            "networkprofile/net-1": {"profile": {"type": "PROTOCOL_TYPE_TCP_PROXY",
                                                 "tcp_proxy_profile": tcp or {}}},
            "pool/pool-1": {"lb_algorithm": "LB_ALGORITHM_ROUND_ROBIN", "servers": servers,
                            **(pool or {})},
            "assignment/vs-1": {
                "virtualservice_ref": "/api/virtualservice/vs-1", "term": 1, "enabled": True,
                "vips": [{"vip_id": "1", "addr": self.vip, "addr6": self.vip6,
                          "interface": "front0", "prefix_len": 24}]},
            **(others or {}),
        }
        (self.state / "desired.json").write_text(desired(objects))
        token = self.lab.dir / "nobody-asks.token"
        token.write_text("swt1.none." + "0" * 64)
        words = ["--controller", "https://198.18.100.10:9444", "--name", self.name,
                 "--state", self.state, "--token-file", token]
        if self.workers:
            words += ["--workers", self.workers]
        self.process = self.start(self.lab.program("spanwire-engine"), *words)
        return self
