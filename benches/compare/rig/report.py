"""The figures as Markdown: a table per row, and the file benches/RESULTS.md."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path

from . import ROOT
from .measure import SYSTEMS, Figures, Plan
from .plot import Bar, svg
from .rows import Row
from .stats import ratio

NOISY = 0.05


def table(row: Row, figures: list[Figures]) -> str:
    """One row of the comparison, a line per entry."""
    by_label = {figure.entry.label: figure for figure in figures}
    named = dict.fromkeys(("nginx", "envoy", *row.bars))
    references = [label for label in named if label in by_label]
    head = ["system", "CPU us/request", "range", "user", *(f"x {label}" for label in references),
            "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "resident MiB", "waited"]
    lines = [f"### {row.title}", "", line(head), line(["---"] + ["---:"] * (len(head) - 1))]
    for figure in figures:
        costs = figure.each("cpu_us")
        waited = figure.median(lambda s: s.used.waited_ns / (s.used.waited_ns + s.used.cpu_ns))
        lines.append(line([
            figure.entry.label,
            f"**{figure.cpu_us:.2f}**",
            f"{min(costs):.1f}-{max(costs):.1f}",
            f"{figure.median(lambda s: s.used.user_share):.0%}",
            *(str(ratio(costs, by_label[label].each("cpu_us"))) for label in references),
            f"{figure.median(lambda s: s.load.per_second):,.0f}",
            f"{figure.median(lambda s: s.load.p50_us) / 1000:.2f}",
            f"{figure.p99_us / 1000:.2f}",
            f"{figure.p999_us / 1000:.2f}",
            f"{figure.resident_kib / 1024:.1f}",
            f"{waited:.0%}" + (" noisy" if waited > NOISY else ""),
        ]))
    asked = bars(row, by_label)
    return "\n".join(lines + ([""] + asked if asked else []))


def bars(row: Row, by_label: dict[str, Figures]) -> list[str]:
    """What the row asks of its last entry, met or missed."""
    asked = row.entries[-1].label
    name = {"cpu_us": "CPU", "p99_us": "p99", "p999_us": "p99.9"}[row.bar_on]
    lines = []
    for label, most in row.bars.items():
        if asked in by_label and label in by_label:
            found = ratio(by_label[asked].each(row.bar_on), by_label[label].each(row.bar_on))
            verdict = "met" if found.mean <= most else "**missed**"
            if found.low < most < found.high:
                verdict += ", within the noise"
            lines.append(f"- {name} at most {most:.2f} x {label}: {found}, {verdict}")
    return lines


def picture(row: Row, figures: list[Figures]) -> str:
    """The row's figure as SVG."""
    unit, scale = {"cpu_us": ("CPU us/request", 1), "p99_us": ("p99 ms", 1000),
                   "p999_us": ("p99.9 ms", 1000)}[row.bar_on]
    return svg(row.title, unit, [
        Bar(figure.entry.label, getattr(figure, row.bar_on) / scale,
            min(figure.each(row.bar_on)) / scale, max(figure.each(row.bar_on)) / scale)
        for figure in figures])


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def document(tables: list[str], systems: list[str], plan: Plan) -> str:
    """The whole of RESULTS.md."""
    versions = ", ".join(f"{name} {SYSTEMS[name].version()}" for name in systems)
    return DOCUMENT.format(
        date=datetime.date.today().isoformat(), commit=commit(), versions=versions,
        machine=machine(), rounds=plan.rounds, headline=plan.headline_rounds, seconds=plan.seconds, tables="\n\n".join(tables))


def machine() -> str:
    model = next((text.partition(":")[2].strip()
                  for text in Path("/proc/cpuinfo").read_text().splitlines()
                  if text.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} cores of {model}, Linux {platform.release().partition('-')[0]}"


def commit() -> str:
    asked = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude", "*"],
                           cwd=ROOT, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


DOCUMENT = """# bearerd beside nginx, HAProxy and Envoy

Written by `benches/compare/run --write`; do not edit.

{date}, bearerd at {commit}; {versions}; {machine}; medians of {rounds} rounds of {seconds}
seconds ({headline} of the rows small, tls and churn), the systems in turn.

Core 0 runs the proxy alone, with one worker. Core 1 runs the load (wrk, one thread, keep-alive;
h2load for HTTP/2; messages of the rig's own for WebSockets) and the upstream (nginx, one worker, 401
unless `Authorization` is right; an echo of the rig's own). Envoy
(credential_injector with the OAuth2 extension) and bearerd fetch the token from a token service;
nginx and HAProxy set a fixed header. No access log anywhere; bearerd with routing, credential
lease, header hygiene and metrics on.

**CPU us/request** is what all of the proxy's processes used (schedstat), user and system: it holds
when the machine is noisy. Compare within one run only, best by the ratios: geometric means of the
ratios in each round, with their confidence intervals of 95 %. *waited* is the time
the proxy was kept off its core by others; *range* goes over the rounds. Throughput and latency are
at the load that wrk's connections make, and bound by core 1 where the proxy is fast; latencies
compare where the offered load is the same. A connection is *idle* once nothing has come for two
seconds. Pictures of the rows are in `plots/`.

{tables}
"""
