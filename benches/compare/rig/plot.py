"""Bars as SVG: one picture per row, written by hand, for there is little to it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

WIDTH, LABEL, VALUE, BAR, GAP, TOP = 640, 170, 90, 22, 10, 40


@dataclass(frozen=True)
class Bar:
    """A value with the range over its rounds."""

    label: str
    value: float
    low: float
    high: float


def svg(title: str, unit: str, bars: list[Bar]) -> str:
    """The bars one under the other; ours, whose label begins so, stands out."""
    height = TOP + len(bars) * (BAR + GAP)
    scale = (WIDTH - LABEL - VALUE) / max(bar.high for bar in bars)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="8" y="22" font-size="14">{escape(title)} ({escape(unit)})</text>',
    ]
    for number, bar in enumerate(bars):
        y = TOP + number * (BAR + GAP)
        middle = y + BAR / 2
        colour = "#c0562f" if bar.label.startswith("bearerd") else "#8fa3b8"
        low, high = LABEL + bar.low * scale, LABEL + bar.high * scale
        lines += [
            f'<text x="{LABEL - 8}" y="{middle + 5}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{bar.value * scale:.1f}" height="{BAR}"'
            f' fill="{colour}"/>',
            f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8M{high:.1f}'
            f' {middle - 4}v8" stroke="#333"/>',
            f'<text x="{high + 8:.1f}" y="{middle + 5}">{bar.value:.4g}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
