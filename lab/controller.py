"""A controller in a host of its own."""

from __future__ import annotations

import secrets
from typing import Optional

import requests

from .api import Api
from .host import Host, Process, until
from .seed import sow


class Controller(Host):
    """`seeded`: it does not start for the first time (seed.py)."""

    def __init__(self, lab, name: str, switch, number: int, seeded: bool = False):
        super().__init__(lab, name)
        self.eth = self.attach(switch, "mgmt0", *switch.address(number))
        self.data = lab.dir / name
        self.data.mkdir()
        self.password = (sow(lab.program("spanwire-controller"), self.data) if seeded
                         else secrets.token_urlsafe(12))
        self.password_file = lab.dir / f"{name}.password"
        self.password_file.write_text(self.password + "\n")
        self.password_file.chmod(0o600)
        self.url = f"https://{self.eth.ip}:9443"
        self.engine_url = f"https://{self.eth.ip}:9444"
        self.api = Api(self.url, "admin", self.password, host=self)
        self.process: Optional[Process] = None

    def begin(self) -> "Controller":
        self.process = self.start(
            self.lab.program("spanwire-controller"), "--data", self.data,
            "--listen", "0.0.0.0:9443", "--engine-listen", "0.0.0.0:9444",
            "--admin-password-file", self.password_file)
        # A first start makes keys.
        until(self.answers, f"{self.name} answers", 120)
        return self

    def answers(self) -> bool:
        assert self.process.running(), f"the controller ended:\n{self.process.tail()}"
        try:
            return self.api.send("GET", "/api/initial-data", timeout=10).status_code == 200
        except requests.RequestException:
            return False

    def kill(self) -> None:
        """kill -9"""
        self.process.kill()

    def stop(self) -> Optional[int]:
        return self.process.stop()

    def stood_still(self) -> int:
        """How often it noticed that it did not run for a while: it takes nobody for dead for FLEET_GRACE_MS then."""
        return self.process.log.read_text(errors="replace").count("stood_still ms=")

    def token(self, uses: int = 1, group_name: str = "Default-Group") -> str:
        group = self.api.find("serviceenginegroup", group_name)
        assert group, f"the controller has no {group_name}"
        return self.api.post(f"serviceenginegroup/{group['uuid']}/token",
                             {"hours": 1, "uses": uses})["token"]
