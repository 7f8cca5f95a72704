"""A figure beside a peer's, its target, and whether it is met."""

from __future__ import annotations

import re
import statistics
from typing import Optional

# A number alone is of the ratio where there is one; with a unit it is of the figure itself.
TARGET = re.compile(r"(<=|>=|<)([\d.]+)([^\d\s]*)$")


class Result:
    def __init__(self, name: str, unit: str, ours: list[float], peer: Optional[list[float]] = None, against: str = "",
                 target: str = "", ratio: Optional[float] = None):
        """RATIO: where it is not the median of those of each round."""
        self.name, self.unit, self.against, self.target = name, unit, against, target
        self.ours, self.peer = ours, peer or []
        self.ratios = [a / b for a, b in zip(ours, self.peer)] if ratio is None else [ratio]

    @property
    def ratio(self) -> Optional[float]:
        return statistics.median(self.ratios) if self.ratios else None

    def missed(self) -> bool:
        found = TARGET.match(self.target)
        if not found:
            return False
        sign, limit, unit = found.groups()
        value = statistics.median(self.ours) if self.ratio is None or unit else self.ratio
        return value < float(limit) if sign == ">=" else value > float(limit)

    def __str__(self) -> str:
        words = [self.name, f"{statistics.median(self.ours):.2f}{self.unit}"]
        words.append(f"{statistics.median(self.peer):.2f}{self.unit}" if self.peer else "-")
        words.append("-" if self.ratio is None else f"{self.ratio:.2f}")
        words.append(self.target or "-")
        if len(self.ratios) > 1:
            words.append(f"({min(self.ratios):.2f} to {max(self.ratios):.2f})")
        return " ".join([*words, *(["MISSED"] if self.missed() else [])])

    def data(self) -> dict:
        return {"name": self.name, "unit": self.unit, "against": self.against, "target": self.target, "ours": self.ours,
                "peer": self.peer, "ratio": self.ratio, "missed": self.missed(),
                **({"ratio_min": min(self.ratios), "ratio_max": max(self.ratios)} if self.ratios else {})}
