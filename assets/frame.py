"""The frame of a product: what goes in, what comes out, and the counts every stage owes (law 6).

A product is a pure function ``compute(Inputs) -> Result`` described by a frozen :class:`Product`.
Its folder's ``defs.py`` hands the description to the Dagster factory; nothing here knows
Dagster, storage or the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import polars as pl

from store.settings import Group

ConfigT = TypeVar("ConfigT", bound=Group)


@dataclass(frozen=True)
class StageCount:
    """What one stage took, kept and removed: ``rows_in = rows_out + rejected + sum(filtered)``."""

    stage: str
    rows_in: int
    rows_out: int
    rejected: int = 0
    filtered: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse counts that do not add up."""
        removed = self.rejected + sum(self.filtered.values())
        if self.rows_in != self.rows_out + removed:
            raise ValueError(
                f"stage {self.stage!r}: in {self.rows_in} != out {self.rows_out} + removed {removed} "
                f"(rejected {self.rejected}, filtered {dict(self.filtered)})"
            )


@dataclass(frozen=True)
class Inputs(Generic[ConfigT]):
    """Everything a product may look at."""

    frames: Mapping[str, pl.LazyFrame]
    """Staged tables (``staged_users`` …) and other products' tables of the same snapshot."""
    previous: Mapping[str, pl.LazyFrame]
    """The named previous state (law 2), by table name; frames of no rows when there is none yet."""
    previous_as_of: datetime | None
    config: ConfigT
    as_of: datetime


@dataclass(frozen=True)
class Result:
    """The product's tables, sorted by their keys, and its counts."""

    tables: Mapping[str, pl.DataFrame]
    counts: tuple[StageCount, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able remarks for the run's metadata (plots' data, the ranker's figures …)."""


@dataclass(frozen=True)
class Product(Generic[ConfigT]):
    """A product's description. ``name`` = folder = Dagster group; ``tables`` = its assets."""

    name: str
    tables: tuple[str, ...]
    inputs: tuple[str, ...]
    config: type[ConfigT]
    compute: Callable[[Inputs[ConfigT]], Result]
    previous: tuple[str, ...] = ()
    """Tables of previous accepted products (its own or others') that are an input (law 2)."""
    is_carriable: bool = False
    """True when an older accepted product may be published instead (06.1): friends, premium."""
