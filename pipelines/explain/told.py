"""What an explanation is made of: stages, and what each removed, with a few examples.

Does not belong here: how any of it is found out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assets.frame import StageCount
from store.payloads.words import REMOVED, STAGES

EXAMPLES = 3


@dataclass(frozen=True)
class Removal:
    """How many one reason removed, what it means, and a few of them."""

    reason: str
    count: int
    means: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """``rows_in = rows_out + the counts removed``."""

    stage: str
    means: str
    rows_in: int
    rows_out: int
    removed: tuple[Removal, ...]


@dataclass(frozen=True)
class Section:
    """One product of one person: its state, its rows in words, and what was left out on the way."""

    product: str
    as_of: str
    state: str
    summary: str
    rows: tuple[Mapping[str, Any], ...]
    stages: tuple[Stage, ...]
    notes: tuple[str, ...]


def stage_of(count: StageCount, examples: Mapping[str, Sequence[str]] | None = None) -> Stage:
    """A product's own count of a stage, in words; reasons that removed nothing are left out."""
    known = examples or {}
    removed = [
        Removal(reason, n, REMOVED[reason], tuple(known.get(reason, ())[:EXAMPLES]))
        for reason, n in count.filtered.items()
        if n
    ]
    return Stage(count.stage, STAGES[count.stage], count.rows_in, count.rows_out, tuple(removed))


def stages_of(counts: Iterable[StageCount]) -> tuple[Stage, ...]:
    """Several, without examples."""
    return tuple(stage_of(count) for count in counts)
