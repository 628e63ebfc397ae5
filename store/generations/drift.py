"""Drift gates: a candidate whose population fell or grew too much against the live generation (spec 06.1, 07.1).

A gate must stop what is wrong and never a sound installation, young or quiet: a candidate that is refused stays
refused hour after hour, because the live generation it is compared with stays the same. So only what counts the
people of the source is judged, and only from sizes where a percentage means something. Does not belong here: what
an audit's failure leads to (``publication``).
"""

from __future__ import annotations

from typing import Final

from store.serving.generation import Generation
from store.settings import QualitySettings

POPULATION: Final = ("users", "friend_recommendations", "digests", "entitlements", "usage")
"""Datasets with a row for everybody whom the generation knows, whatever there is to show them."""
VIEWERS: Final = ("feed", "feed_chronological")
"""Datasets with a row for everybody seen lately: people come back at once, but do not all fall quiet in an hour.

The rest follow what was taken back since the last generation (tombstones), what has piled up since the first day
(digests in full) or what people did lately: nought is as right there as many.
"""
CARRIABLE: Final = ("friend_recommendations", "friend_scores", "entitlements", "usage")
"""Datasets of friends and premium: theirs may fail for longer than ``PUBLISH__MAX_CARRY_HOURS``, and feeds go on."""
LEAST_ROWS: Final = 100
"""A live dataset of fewer rows is too small for a percentage to mean anything."""


def row_drift(candidate: Generation, live: Generation | None, settings: QualitySettings) -> list[str]:
    """One message per dataset that drifted further than ``settings`` allow or vanished, then what to do about it.

    Without a live generation there is nothing to compare with, and what is carried over says nothing new.
    """
    failures = []
    for name, before in live.datasets.items() if live is not None else ():
        after = candidate.datasets.get(name)
        if after is None:
            if name not in CARRIABLE:
                failures.append(f"dataset {name} is gone; the live generation has {before.rows} rows")
        elif not after.is_carried_over and _drifts(name, before.rows, after.rows, settings):
            percent = settings.drift_rows_percent
            failures.append(f"dataset {name} went from {before.rows} to {after.rows} rows, more than {percent} %")
    return [*failures, _advice(settings)] if failures else []


def _drifts(name: str, before: int, after: int, settings: QualitySettings) -> bool:
    if name not in POPULATION and not (name in VIEWERS and after < before):
        return False
    # A small population may double within the hour, that is how one begins; losing half of it is never ordinary.
    least = LEAST_ROWS if after < before else max(LEAST_ROWS, settings.drift_growth_rows)
    return before >= least and abs(after - before) * 100 > settings.drift_rows_percent * before


def _advice(settings: QualitySettings) -> str:
    return (
        "if the source really is like that, `flowforge run --accept-drift` publishes it once; the bounds are "
        f"FLOWFORGE_QUALITY__DRIFT_ROWS_PERCENT ({settings.drift_rows_percent}) and, for growth, "
        f"FLOWFORGE_QUALITY__DRIFT_GROWTH_ROWS ({settings.drift_growth_rows})"
    )
