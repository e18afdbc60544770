"""What several rounds say together: a ratio, and how sure it is."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

# Of Student's distribution, two-sided 95 %, by degrees of freedom.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
       2.145, 2.131, 2.120, 2.110, 2.101, 2.093)
NORMAL = 1.960


@dataclass(frozen=True)
class Ratio:
    """A geometric mean over rounds, with its confidence interval of 95 %."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.mean:.2f}"
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


def ratio(ours: list[float], theirs: list[float]) -> Ratio:
    """Of two systems loaded in turn: round by round, so that what disturbs both cancels out."""
    logs = [math.log(one / other) for one, other in zip(ours, theirs)]
    mean = statistics.fmean(logs)
    if len(logs) < 3:
        return Ratio(math.exp(mean), math.exp(mean), math.exp(mean))
    freedom = len(logs) - 1
    quantile = T95[freedom - 1] if freedom <= len(T95) else NORMAL
    half = quantile * statistics.stdev(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half))
