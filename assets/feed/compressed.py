"""A relation as compressed rows, so that membership is a search in one short row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from assets.feed.kernels import Flags, Longs, Numbers, holds, values_at


@dataclass(frozen=True)
class Compressed:
    """Row ``i`` holds ``items[start[i]:start[i + 1]]``, ascending, without repeats (or with ``values`` beside)."""

    start: Longs
    items: Numbers

    def holds(self, rows: Numbers, items: Numbers) -> Flags:
        """Which pairs are there; false where one is below zero."""
        return holds(self.start, self.items, rows, items)


@dataclass(frozen=True)
class Weighed(Compressed):
    """A compressed relation with an integer beside every item."""

    values: Longs

    def value(self, rows: Numbers, items: Numbers) -> Longs:
        """The integers beside the pairs, 0 where they are not there."""
        return values_at(self.start, self.items, self.values, rows, items)


def numbers(series: pl.Series) -> Numbers:
    """As Int32, null as -1."""
    return series.cast(pl.Int32).fill_null(-1).to_numpy()


def starts(sorted_rows: pl.Series, row_count: int) -> Longs:
    """Where each of ``row_count`` rows begins among sorted row numbers, and where the last ends."""
    start = np.zeros(row_count + 1, dtype=np.int64)
    np.cumsum(np.bincount(sorted_rows.to_numpy(), minlength=row_count), out=start[1:])
    return start


def compress(pairs: pl.DataFrame, row_count: int) -> Compressed:
    """The pairs (columns: row, item) as compressed rows."""
    row, item = pairs.columns
    ordered = pairs.select(
        packed=pl.col(row).cast(pl.Int64) * (1 << 32) + pl.col(item).cast(pl.Int64)
    )["packed"].drop_nulls().unique().sort()  # fmt: skip
    return Compressed(starts(ordered // (1 << 32), row_count), (ordered % (1 << 32)).cast(pl.Int32).to_numpy())
