"""Drift gates: a candidate that lost or gained too many rows against the live generation (spec 06.1, 07.1)."""

from __future__ import annotations

from typing import Final

from store.serving.generation import Generation

LEAST_ROWS: Final = 100
"""Datasets that stay below so many rows are too small for a percentage to mean anything."""


def row_drift(candidate: Generation, live: Generation | None, *, percent: int) -> list[str]:
    """One message per dataset whose rows changed by more than ``percent`` of the live one's, or that vanished.

    Datasets carried over, and the fixed set of metrics, say nothing new. Without a live generation there is
    nothing to compare with.
    """
    failures = []
    for name, before in live.datasets.items() if live is not None else ():
        after = candidate.datasets.get(name)
        if after is None:
            failures.append(f"dataset {name} is gone; the live generation has {before.rows} rows")
            continue
        is_judged = max(before.rows, after.rows) >= LEAST_ROWS and not after.is_carried_over
        if is_judged and abs(after.rows - before.rows) * 100 > percent * before.rows:
            failures.append(f"dataset {name} went from {before.rows} to {after.rows} rows, more than {percent} %")
    return failures
