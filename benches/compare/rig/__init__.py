"""The comparison rig: one concern per file, Python's standard library only.

The order to read: cli (the flow), rows (what is measured), measure (how), systems/ (who takes
part), and the rest as needed.
"""

from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
WORK = ROOT / "target" / "compare"
RESULTS = ROOT / "benches" / "RESULTS.md"
PLOTS = ROOT / "benches" / "plots"

PROXY_CORE = 0
LOAD_CORE = 1


class Failure(Exception):
    """Says why a run proves nothing; the run stops with it, loudly."""
