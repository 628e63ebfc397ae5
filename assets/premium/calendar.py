"""Days, weeks, months and billing periods (rules 2, 3 and 17): where they begin in a zone.

Zones are those of ``assets.local_time``. Everything is computed before the engines see it and joined as a
table, because engines disagree on ambiguous times. Not here: what happens on a day.
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

import polars as pl

from store.zones import known_zone, zone_info

Grain = Literal["day", "week", "month"]
GRAINS: tuple[Grain, ...] = ("day", "week", "month")
INSTANT = pl.Datetime("us", "UTC")
_TRUNCATE: dict[Grain, str] = {"day": "1d", "week": "1w", "month": "1mo"}
_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
_DAY_US = _DAY // _MICROSECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _zone(name: str) -> ZoneInfo:
    """The zone of that name, UTC when there is none: one user's wrong zone must not stop everybody's metrics."""
    return zone_info(known_zone(name))


def microseconds(instant: datetime) -> int:
    """An instant as whole microseconds since 1970."""
    return (instant - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=1 << 18)
def start(day: date, zone: str) -> datetime:
    """Rule 2: the first instant (UTC) whose local date in ``zone`` is ``day`` or later."""
    return _EPOCH + timedelta(microseconds=start_us(day, zone))


def start_us(day: date, zone: str) -> int:
    """The same in microseconds since 1970."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=_zone(zone))
    first, second = midnight.utcoffset(), midnight.replace(fold=1).utcoffset()
    assert first is not None  # noqa: S101
    assert second is not None  # noqa: S101
    wall = (day.toordinal() - _EPOCH.toordinal()) * _DAY_US
    late = wall - first // _MICROSECOND
    if first >= second:
        return late
    # No such midnight: the clock jumped over it, somewhere between the two readings of it.
    early = wall - second // _MICROSECOND - 1
    while late - early > 1:
        middle = (early + late) // 2
        is_reached = local_date(_EPOCH + timedelta(microseconds=middle), zone) >= day
        early, late = (early, middle) if is_reached else (middle, late)
    return late


def local_date(instant: datetime, zone: str) -> date:
    """The calendar date that clocks in ``zone`` show at ``instant``."""
    return instant.astimezone(_zone(zone)).date()


def day_of(instant: datetime, zone: str) -> date:
    """Rule 2: the local day ``d`` with ``start(d) <= instant < start(d + 1)``."""
    day = local_date(instant, zone)
    while instant >= start(day + _DAY, zone):
        day += _DAY
    while instant < start(day, zone):
        day -= _DAY
    return day


@lru_cache(maxsize=1 << 16)
def add_months(day: date, months: int) -> date:
    """Rule 17: ``day`` so many months later, clamped to the month's last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def next_period(grain: Grain, period_start: date) -> date:
    """The period after the one that begins on ``period_start``."""
    if grain == "month":
        return add_months(period_start, 1)
    return period_start + timedelta(days=7 if grain == "week" else 1)


def period_of(grain: Grain, day: date) -> date:
    """The first day of the period that holds ``day`` (ISO weeks begin on Monday)."""
    if grain == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if grain == "week" else day


def period_expr(grain: Grain, day: str = "day") -> pl.Expr:
    """The same for a column of dates."""
    return pl.col(day).dt.truncate(_TRUNCATE[grain])


def last_complete(grain: Grain, as_of: datetime, zone: str) -> date:
    """Rule 3: first day of the newest period whose end is at or before ``as_of``."""
    running = period_of(grain, day_of(as_of, zone))
    if start(next_period(grain, running), zone) <= as_of:
        return running
    return period_of(grain, running - _DAY)


def periods(grain: Grain, first: date, last: date) -> list[date]:
    """Rule 3: the dense list of periods from the one that holds ``first`` to the one that begins on ``last``."""
    found = []
    period = period_of(grain, first)
    while period <= last:
        found.append(period)
        period = next_period(grain, period)
    return found


def with_local_day(rows: pl.DataFrame, at: str, zone: str) -> pl.DataFrame:
    """Add ``day, day_start_at, day_end_at``: the local day of column ``at`` in the zone that column ``zone`` names.

    ``at`` must not be null. Rows come back in the order of ``at``.
    """
    if rows.is_empty():
        return rows.with_columns(
            pl.lit(None, pl.Date).alias("day"),
            pl.lit(None, INSTANT).alias("day_start_at"),
            pl.lit(None, INSTANT).alias("day_end_at"),
        )
    spans = rows.group_by(zone).agg(
        (pl.col(at).min().dt.date() - pl.duration(days=2)).alias("first"),
        (pl.col(at).max().dt.date() + pl.duration(days=2)).alias("last"),
    )
    return rows.sort(at).join_asof(
        zone_days(spans.sort(zone), zone),
        left_on=at,
        right_on="day_start_at",
        by=zone,
        check_sortedness=False,
        coalesce=False,
    )


def with_reporting_day(rows: pl.DataFrame, at: str, zone: str) -> pl.DataFrame:
    """The same for column ``at`` in the one reporting zone."""
    return with_local_day(rows.with_columns(pl.lit(zone).alias("_zone")), at, "_zone").drop("_zone")


def zone_days(spans: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Rows ``zone, day, day_start_at, day_end_at`` for the days ``first`` to ``last`` of each zone.

    Days that do not exist in a zone have no row.
    """
    names: list[str] = []
    days: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    for name, first, last in spans.select(zone, "first", "last").iter_rows():
        begin = start_us(first, name)
        for ordinal in range(first.toordinal(), last.toordinal() + 1):
            end = start_us(date.fromordinal(ordinal + 1), name)
            if begin < end:
                names.append(name)
                days.append(ordinal - _EPOCH.toordinal())
                starts.append(begin)
                ends.append(end)
            begin = end
    schema = {zone: pl.String, "day": pl.Int32, "day_start_at": pl.Int64, "day_end_at": pl.Int64}
    table = pl.DataFrame({zone: names, "day": days, "day_start_at": starts, "day_end_at": ends}, schema=schema)
    return table.with_columns(
        pl.col("day").cast(pl.Date), pl.col("day_start_at").cast(INSTANT), pl.col("day_end_at").cast(INSTANT)
    ).sort("day_start_at", zone)
