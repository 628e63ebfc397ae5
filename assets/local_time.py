"""Local time (04.1): the only place where a wall clock becomes an instant, or an instant a wall clock.

One rule, that of RFC 5545: in a gap the offset before the gap, in an overlap the first of the two;
a local date that a zone skipped does not exist. The zones are those of ``store.zones``, joined by the
engines as a table. No schedule, no window lives here.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache

import polars as pl

from store.zones import zone_info

_EVENING = time(23, 59, 59, 999999)
_DAY_MARKS = (time(0), time(6), time(12), time(18), _EVENING)


def nominal_instant(zone: str, day: date, at: time) -> datetime:
    """The UTC instant of a wall clock by the RFC 5545 rule, even on a date the zone skipped.

    On a skipped date this is the instant the clock would have shown it with the offset before
    the gap: what orders such a date among those that exist.
    """
    return datetime.combine(day, at, tzinfo=zone_info(zone)).astimezone(UTC)


@cache
def date_exists(zone: str, day: date) -> bool:
    """Whether any instant in ``zone`` has the local date ``day``.

    Only a gap that swallows both ends of the date leaves nothing of it.
    """
    tz = zone_info(zone)
    return any(
        datetime.combine(day, edge, tzinfo=tz).astimezone(UTC).astimezone(tz).date() == day
        for edge in (time(), _EVENING)
    )


def local_instant(zone: str, day: date, at: time) -> datetime | None:
    """The UTC instant of a local (date, time), or None when the local date does not exist."""
    return nominal_instant(zone, day, at) if date_exists(zone, day) else None


def wall_clock(zone: str, instant: datetime) -> datetime:
    """What the wall clock of ``zone`` shows at ``instant`` (naive)."""
    return instant.astimezone(zone_info(zone)).replace(tzinfo=None)


def _plain_offset(zone: str, day: date) -> timedelta | None:
    """The one offset of a date that has only one, else None."""
    offsets = {datetime.combine(day, at, tzinfo=UTC) - nominal_instant(zone, day, at) for at in _DAY_MARKS}
    return offsets.pop() if len(offsets) == 1 and date_exists(zone, day) else None


def local_instants(wanted: pl.DataFrame) -> pl.DataFrame:
    """The table the engines join: ``zone, day, local_time`` → plus ``instant_at, date_exists``.

    One row per distinct wanted row; ``instant_at`` is the nominal instant. A date with one offset
    is a subtraction for all its times at once; only the others are asked for time by time.
    """
    keys = wanted.select("zone", "day", "local_time").unique().sort("zone", "day", "local_time")
    dates = keys.select("zone", "day").unique(maintain_order=True)
    offsets = [_plain_offset(zone, day) for zone, day in dates.iter_rows()]
    dated = keys.join(dates.with_columns(pl.Series("offset", offsets, pl.Duration("us"))), on=["zone", "day"])
    wall = pl.col("day").dt.combine(pl.col("local_time")).dt.replace_time_zone("UTC")
    plain = dated.filter(pl.col("offset").is_not_null()).select(
        "zone",
        "day",
        "local_time",
        (wall - pl.col("offset")).alias("instant_at"),
        pl.lit(value=True).alias("date_exists"),
    )
    odd = dated.filter(pl.col("offset").is_null()).select("zone", "day", "local_time")
    rows = list(odd.iter_rows())
    asked = odd.with_columns(
        pl.Series("instant_at", [nominal_instant(*row) for row in rows], pl.Datetime("us", "UTC")),
        pl.Series("date_exists", [date_exists(zone, day) for zone, day, _ in rows], pl.Boolean),
    )
    return pl.concat([plain, asked]).sort("zone", "day", "local_time")
