"""The command line and the flow of a run."""

from __future__ import annotations

import argparse
import fcntl
import os
import resource
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from . import LOAD_CORE, PLOTS, RESULTS, WORK, Failure
from .idle import idle_picture, idle_table, measure_idle
from .install import build, install
from .measure import Plan, alone, measure
from .report import document, picture, table
from .reuse import measure_reuse, reuse_table
from .rows import EVERYONE, ROWS
from .syscalls import measure_syscalls, syscalls_table

# Rounds, those of a headline, seconds of each, seconds for the reuse of connections.
FULL = (5, 10, 2, 25)
QUICK = (1, 2, 1, 5)


def main() -> int:
    args = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `with` blocks end programs
    try:
        tables, pictures = run(args)
    except Failure as failure:
        print(f"\nFAILED: {failure}", file=sys.stderr)
        return 1
    text = document(tables, args.systems, plan_of(args))
    print(text)
    if args.write:
        RESULTS.write_text(text)
        PLOTS.mkdir(exist_ok=True)
        for key, drawn in pictures.items():
            (PLOTS / f"{key}.svg").write_text(drawn)
        print(f"written: {RESULTS}", file=sys.stderr)
    return 0


def run(args: argparse.Namespace) -> tuple[list[str], dict[str, str]]:
    if (os.cpu_count() or 1) < 2:
        raise Failure("two cores are needed: one for the proxy alone, one for load and upstream")
    install()
    if args.build and "bearerd" in args.systems:
        build()
    # The driver and all that it does not place elsewhere stay off the proxy's core.
    os.sched_setaffinity(0, {LOAD_CORE})
    # Each idle connection is a descriptor of ours and one of the proxy's.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    WORK.mkdir(parents=True, exist_ok=True)
    tables, pictures = [], {}
    with tempfile.TemporaryDirectory(prefix="run-", dir=WORK) as folder:
        Path(folder).chmod(0o755)  # nginx's workers are another user when started by root
        for row in (row for row in ROWS if row.key in args.rows):
            entries = tuple(entry for entry in row.entries if entry.system in args.systems)
            if entries:
                figures = measure(row, entries, plan_of(args), Path(folder) / row.key)
                tables.append(table(row, figures))
                pictures[row.key] = picture(row, figures)
        if "reuse" in args.rows and "bearerd" in args.systems:
            tables.append(reuse_table(measure_reuse(plan_of(args), Path(folder) / "reuse")))
        if "syscalls" in args.rows:
            tables.append(syscalls_table(measure_syscalls(args.systems, Path(folder) / "syscalls")))
        if "idle" in args.rows:
            found = measure_idle(args.systems, Path(folder) / "idle", args.quick)
            tables.append(idle_table(found))
            pictures["idle"] = idle_picture(found)
    return tables, pictures


def plan_of(args: argparse.Namespace) -> Plan:
    rounds, headline, seconds, reuse = QUICK if args.quick else FULL
    return Plan(args.rounds or rounds, args.rounds or headline, args.seconds or seconds, reuse,
                locked(args.lock) if args.lock else alone)


def locked(path: str):
    """Holds the lock file of the machine's builds during each round, not between them."""
    @contextmanager
    def turn():
        with open(path, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    return turn


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benches/compare/run",
        description="Runs nginx, HAProxy, Envoy and bearerd in turn on one core, doing the same "
                    "work, and prints their cost as Markdown. Installs what it needs (as root) "
                    "and builds bearerd for release. Loopback only; needs two cores.")
    parser.add_argument("--quick", action="store_true",
                        help="a short round or two, under 3 minutes (full: under 15)")
    parser.add_argument("--write", action="store_true", help="write benches/RESULTS.md as well")
    parser.add_argument("--systems", type=names(EVERYONE), default=list(EVERYONE), metavar="A,B",
                        help=f"of {', '.join(EVERYONE)}")
    keys = [row.key for row in ROWS] + ["reuse", "syscalls", "idle"]
    parser.add_argument("--rows", type=names(keys), default=keys, metavar="A,B",
                        help=f"of {', '.join(keys)}; all by default")
    parser.add_argument("--rounds", type=int, metavar="N")
    parser.add_argument("--seconds", type=int, metavar="N", help="of load in each round")
    parser.add_argument("--no-build", dest="build", action="store_false",
                        help="measure the release binary that is there")
    parser.add_argument("--lock", metavar="FILE",
                        help="hold this file's lock (flock) during each round, for a machine on "
                             "which others build under the same lock")
    return parser.parse_args()


def names(known):
    def parse_names(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"no {name!r}; there are {', '.join(known)}")
        return chosen
    return parse_names
