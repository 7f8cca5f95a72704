"""
Two engines alike that serve at the same time, and wait for the same machine: what requests wait with the one beside the other is
as sharp where the machine has other work as where it has none, which one run after the other is not.
"""

from __future__ import annotations

import concurrent.futures
from typing import Any, Sequence

from bench.load import CONNECTIONS, RATE, SECONDS, ahead, h2load, p99_us, unlimited
from lab.lab import Lab, VirtualService


class Pair:
    def __init__(self, lab: Lab):
        self.lab, self.web, self.client, self.patient = lab, lab.server(), lab.client(), unlimited(lab)
        self.groups, self.engines = ["one", "two"], []
        for name in self.groups:
            lab.api.post("serviceenginegroup", {"name": name})
            self.engines.append(lab.engine(workers=1, group=name))

    def service(self, n: int, **fields: Any) -> VirtualService:
        """Of the one engine or the other; warm."""
        vs = self.lab.virtual_service([self.web], se_group_ref=self.lab.ref("serviceenginegroup", self.groups[n]),
                                      application_profile_ref=self.patient, **fields)
        h2load(self.client, f"{vs.url}files/128", 100 * CONNECTIONS)
        return vs

    def ahead(self) -> None:
        ahead([pid for engine in self.engines for pid in (engine.warden, engine.proxy)] + self.web.pids())

    def waits(self, services: Sequence[VirtualService]) -> list[float]:
        """p99 of each, at the same time."""
        with concurrent.futures.ThreadPoolExecutor(len(services)) as all_:
            return list(all_.map(lambda vs: p99_us(self.client, vs.vip, RATE // len(services), SECONDS), services))
