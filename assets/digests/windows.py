"""Windows (04.2): what a digest covers, and when it may reach its reader.

Windows of a stream tile: each begins where the last closed one ended; the floor is the only
permitted hole. Quiet hours move the delivery, never the window.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta

import polars as pl

from assets.local_time import nominal_instant, wall_clock

_DAY = timedelta(days=1)


def window_start() -> pl.Expr:
    """max(base, due - floor); base = the last closed end, else the first row's start, else its rule."""
    base = pl.coalesce("last_closed_end", "first_window_start", pl.max_horizontal("enabled_at", "preceding_due"))
    return pl.max_horizontal(base, pl.col("due") - pl.col("floor"))


def deliver_after(zone: str, due: datetime, quiet_start: time | None, quiet_end: time | None) -> datetime:
    """The due, or the end of the quiet hours its wall clock lies in.

    Equal or null ends mean no quiet hours; they may cross midnight.
    """
    if quiet_start is None or quiet_end is None or quiet_start == quiet_end:
        return due
    shown = wall_clock(zone, due)
    now, day = shown.time(), shown.date()
    if quiet_start < quiet_end:
        return nominal_instant(zone, day, quiet_end) if quiet_start <= now < quiet_end else due
    if now >= quiet_start:
        return nominal_instant(zone, day + _DAY, quiet_end)
    return nominal_instant(zone, day, quiet_end) if now < quiet_end else due


def with_deliver_after(built: pl.DataFrame) -> pl.DataFrame:
    """``built`` rows plus ``deliver_after``, computed once per distinct (zone, due, quiet hours)."""
    keys = built.select("zone", "due", "quiet_start", "quiet_end").unique()
    after = pl.Series("deliver_after", [deliver_after(*key) for key in keys.iter_rows()], pl.Datetime("us", "UTC"))
    return built.join(keys.with_columns(after), on=["zone", "due", "quiet_start", "quiet_end"], nulls_equal=True)
