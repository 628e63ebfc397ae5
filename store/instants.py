"""Instants at the ends of time: what Postgres can hold and Python, Polars and JSON cannot.

``infinity`` is a common way to say "never ends" and the year 294276 is legal in Postgres; the driver
turns the first into a wrapped number that looks like the distant past. Here both ends are cut to the
first and last instants that every later step can hold, so that comparisons keep their meaning. Does
not belong here: judging whether an instant is plausible (``quality.rejects``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST = datetime(1, 1, 2, tzinfo=UTC)
LAST = datetime(9999, 12, 30, tzinfo=UTC)
"""A day inside of what ``datetime`` holds, so that any time zone can be applied."""

_MICROSECOND = timedelta(microseconds=1)
_FIRST, _LAST = (FIRST - EPOCH) // _MICROSECOND, (LAST - EPOCH) // _MICROSECOND
_OLDEST_OF_POSTGRES = -211_000_000_000_000_000
"""Before 4714 BC: a number below it has wrapped around and lies beyond the other end."""
_SHIFT = 946_684_800_000_000
_MINUS_INFINITY = -(2**63) + _SHIFT
"""Postgres counts from 2000: its least number, moved to 1970."""


def within_reach(column: pa.Array[Any]) -> tuple[pa.Array[Any], int]:
    """``column`` (``timestamp[us, UTC]``) with its instants cut to FIRST … LAST, and how many were."""
    numbers = np.asarray(column.cast(pa.int64()).fill_null(0))
    if not len(numbers) or (numbers.min() >= _FIRST and numbers.max() <= _LAST):
        return column, 0
    is_wrapped = (numbers < _OLDEST_OF_POSTGRES) & (numbers != _MINUS_INFINITY)
    cut = np.where(is_wrapped, _LAST, np.clip(numbers, _FIRST, _LAST))
    is_null = np.asarray(column.is_null())
    return pa.array(cut, pa.int64(), mask=is_null).cast(column.type), int((cut != numbers)[~is_null].sum())
