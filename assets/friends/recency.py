"""What friendship times say: who is lively, how fresh a friendship is, the graph of recent friendships.

Computed once per scene, whole numbers throughout; where times say nothing every figure is that of
no information. Does not belong here: pairs, pools, trees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assets.friends.config import POOL_LIVELY, TIMED_DAYS
from assets.friends.graph import Index, Ints, Rows

DAY, HOUR = 86_400_000_000, 3_600_000_000
NO_PATH = 1_000_000
"""Hours that stand for no path, no friend, no time at all."""
SHORT_DAYS, LONG_DAYS = 20, 90
PACES = (64, 16)
"""Half-lives that follow the graph's own pace: the time in which its last 64th, 16th of friendships began."""
PACE_DAYS = (1, 3, 8)
"""Half-lives in days, whatever the graph's pace: it changes, and a hold-out lies in another time than what follows."""
RECENT_PART = 4
"""Recent are the last fourth of the friendships: PageRank over them alone sees who is lively together."""


@dataclass(frozen=True)
class Recency:
    """Freshness of friendships (per entry of the adjacency) and of people (per person)."""

    is_timed: bool
    fresh: Ints
    """Per entry, per mille: 1000 now, halved every `SHORT_DAYS`."""
    hours: Ints
    """Per entry: age in hours."""
    lately: Ints
    """Per person: the sum of ``fresh``."""
    months: Ints
    """Per person: the same, halved every `LONG_DAYS`."""
    paces: tuple[Ints, ...]
    """Per person: the same with the half-lives of `PACES`, then of `PACE_DAYS`."""
    last: Ints
    """Per person: hours since the last friendship."""
    recent: Rows | None
    """Friends of the last fourth of the friendships; None where times say nothing."""
    lively: Index
    """The `POOL_LIVELY` people whose friendships are the freshest."""


def is_timed(since: Ints) -> bool:
    """Whether friendship times fall on at least `TIMED_DAYS` distinct days."""
    return bool(since.size) and np.unique(since // DAY).size >= TIMED_DAYS


def recency_of(friends: Rows, since: Ints, at: int) -> Recency:
    """The recency of friendships that began ``since`` (microseconds, per entry of ``friends``), seen at ``at``."""
    n, nothing = friends.ptr.size - 1, np.zeros(friends.idx.size, dtype=np.int64)
    if not is_timed(since):
        nobody, never = np.zeros(n, dtype=np.int64), np.full(n, NO_PATH, dtype=np.int64)
        ageless = np.full(friends.idx.size, NO_PATH, dtype=np.int64)
        return Recency(False, nothing, ageless, nobody, nobody, (nobody,) * len((*PACES, *PACE_DAYS)), never, None,
                       np.zeros(0, dtype=np.int32))  # fmt: skip
    person = np.repeat(np.arange(n), friends.sizes)
    age = np.maximum(at - since, 0)
    began = np.sort(since)
    halves = [max(float(at - began[-max(began.size // part, 1)]), float(HOUR)) / DAY for part in PACES]
    fresh, slow, *own = (_per_mille(age, days) for days in (SHORT_DAYS, LONG_DAYS, *halves, *PACE_DAYS))
    lately, months, *paces = (
        np.bincount(person, weights=weight, minlength=n).astype(np.int64) for weight in (fresh, slow, *own)
    )
    last = np.full(n, NO_PATH, dtype=np.int64)
    hours = np.asarray(age // HOUR, dtype=np.int64)
    np.minimum.at(last, person, hours)
    kept = since >= began[-max(began.size // RECENT_PART, 1)]
    recent = Rows.of(person[kept], friends.idx[kept], n, n)
    best = np.lexsort((np.arange(n), -paces[0]))[:POOL_LIVELY]
    lively = best[paces[0][best] > 0].astype(np.int32)
    return Recency(True, fresh, hours, lately, months, tuple(paces), last, recent, lively)


def _per_mille(age: Ints, days: float) -> Ints:
    """How fresh: 1000 now, halved every ``days``."""
    return np.asarray(np.floor(1000 * np.exp2(-age / (days * DAY))), dtype=np.int64)
