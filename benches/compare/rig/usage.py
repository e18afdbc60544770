"""What a proxy's processes have used so far, read from /proc: all threads, all children."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Totals since the processes started; subtract two for an interval."""

    cpu_ns: int
    """Time on a core, user and system, exact (schedstat)."""
    waited_ns: int
    """Time runnable but kept off the core by others: the measure of noise."""
    user_ticks: int
    system_ticks: int

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(
            self.cpu_ns - earlier.cpu_ns,
            self.waited_ns - earlier.waited_ns,
            self.user_ticks - earlier.user_ticks,
            self.system_ticks - earlier.system_ticks,
        )

    @property
    def user_share(self) -> float:
        """The part of the time spent outside the kernel, 0 to 1 (sampled by the kernel's ticks)."""
        return self.user_ticks / max(1, self.user_ticks + self.system_ticks)


def usage(pid: int) -> Usage:
    """Sums over the threads of `pid` and of all its descendants."""
    cpu = waited = user = system = 0
    for process in family(pid):
        for task in Path(f"/proc/{process}/task").iterdir():
            try:
                schedstat = (task / "schedstat").read_text().split()
                # After the name in parentheses, which may hold spaces; utime and stime are
                # fields 14 and 15 of the whole line.
                stat = (task / "stat").read_text().rpartition(")")[2].split()
            except FileNotFoundError:
                continue  # a thread that ended between the listing and the reading
            cpu += int(schedstat[0])
            waited += int(schedstat[1])
            user += int(stat[11])
            system += int(stat[12])
    return Usage(cpu, waited, user, system)


def resident_kib(pid: int) -> int:
    """Resident memory of `pid` and its descendants; pages that they share count once (PSS)."""
    total = 0
    for process in family(pid):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def family(pid: int) -> list[int]:
    """`pid` and its descendants."""
    found = [pid]
    for process in found:
        for task in Path(f"/proc/{process}/task").iterdir():
            try:
                found += map(int, (task / "children").read_text().split())
            except FileNotFoundError:
                continue
    return found
