"""Due (04.1, 04.2): which occurrences of which streams a run settles.

A stream's dates come from its kind, its instants from the one table of ``local_time``; which of
them count is decided here, what becomes of them is not.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import polars as pl

from assets.digests.streams import STREAM
from assets.local_time import date_exists, local_instants, nominal_instant
from store.settings import DigestsSettings

_CALENDAR = ["kind", "zone", "local_time", "week_day"]
_DAY = timedelta(days=1)


def limits(config: DigestsSettings) -> pl.DataFrame:
    """Per kind its ``floor``, ``expire`` and ``gap`` as durations."""
    return pl.DataFrame(
        {
            "kind": ["daily", "weekdays", "weekly"],
            "floor": [
                timedelta(hours=hours)
                for hours in (config.floor_daily_hours, config.floor_weekdays_hours, config.floor_weekly_hours)
            ],
            "expire": [
                timedelta(hours=hours)
                for hours in (config.expire_hours, config.expire_hours, config.expire_weekly_hours)
            ],
            "gap": [timedelta(hours=hours) for hours in (config.gap_hours, config.gap_hours, config.gap_weekly_hours)],
        }
    )


def is_scheduled_on(kind: str, week_day: int, day: date) -> bool:
    """`daily` every date, `weekdays` Monday to Friday, `weekly` on its ISO week day."""
    if kind == "daily":
        return True
    return day.isoweekday() <= 5 if kind == "weekdays" else day.isoweekday() == week_day


def _scheduled() -> pl.Expr:
    iso = pl.col("day").dt.weekday()
    return (
        (pl.col("kind") == "daily")
        | ((pl.col("kind") == "weekdays") & (iso <= 5))
        | ((pl.col("kind") == "weekly") & (iso == pl.col("week_day")))
    )


def due_table(rows: pl.DataFrame, latest: datetime) -> pl.DataFrame:
    """Every calendar's occurrences in ``(after, latest]``, the skipped dates among them.

    ``rows`` has the calendar (kind, zone, local_time, week_day) and ``after``, the earliest
    instant anybody with it asks for. Cost is that of distinct calendars, not of users.
    """
    calendars = rows.group_by(_CALENDAR).agg(pl.col("after").min())
    dated = (
        calendars.with_columns(
            pl.date_ranges(
                pl.col("after").dt.date() - _DAY, pl.lit(latest.date() + _DAY, dtype=pl.Date), interval="1d"
            ).alias("day")
        )
        .explode("day", empty_as_null=False, keep_nulls=False)
        .filter(_scheduled())
    )
    return (
        dated.join(local_instants(dated), on=["zone", "day", "local_time"])
        .filter(pl.col("instant_at") > pl.col("after"), pl.col("instant_at") <= latest)
        .select(*_CALENDAR, "day", pl.col("instant_at").alias("due"), "date_exists")
    )


def occurrences(streams: pl.DataFrame, config: DigestsSettings, as_of: datetime) -> pl.DataFrame:
    """What this run settles: one row per (stream, local date), with ``day, due, date_exists``.

    due > last settled due, due > enabled_at, due > as_of - floor, due + 5 min <= as_of; a date
    already settled gets no second row; a stream without any row settles only its latest
    occurrence that exists. ``due`` of a date that does not exist is nominal; ``preceding_due`` is
    set where the stream has no row yet.
    """
    latest = as_of - timedelta(minutes=config.settle_minutes)
    asking = (
        streams.join(limits(config), on="kind")
        .with_columns(
            pl.max_horizontal(
                "last_settled_due_at", "enabled_at", pl.lit(as_of, pl.Datetime("us", "UTC")) - pl.col("floor")
            ).alias("after")
        )
        .filter(pl.col("after") < latest)
    )
    found = asking.join(due_table(asking, latest), on=_CALENDAR).filter(
        pl.col("due") > pl.col("after"), ~pl.col("settled_days").list.contains(pl.col("day"))
    )
    is_new = pl.col("last_settled_due_at").is_null()
    first = (
        found.filter(is_new, pl.col("date_exists"))
        .sort(*STREAM, "due", "day")
        .group_by(STREAM, maintain_order=True)
        .tail(1)
        .select(found.columns)
    )
    return with_preceding_due(pl.concat([found.filter(~is_new), first])).sort(*STREAM, "due", "day")


def preceding_due(kind: str, zone: str, at: time, week_day: int, day: date) -> datetime:
    """The due of the occurrence before local date ``day`` under the same schedule."""
    before = day - _DAY
    while not (is_scheduled_on(kind, week_day, before) and date_exists(zone, before)):
        before -= _DAY
    return nominal_instant(zone, before, at)


def with_preceding_due(found: pl.DataFrame) -> pl.DataFrame:
    """``found`` plus ``preceding_due`` where a stream has no row yet, once per calendar and day."""
    keys = found.filter(pl.col("last_settled_due_at").is_null()).select(*_CALENDAR, "day").unique()
    dues = [preceding_due(*row) for row in keys.iter_rows()]
    return found.join(
        keys.with_columns(pl.Series("preceding_due", dues, pl.Datetime("us", "UTC"))),
        on=[*_CALENDAR, "day"],
        how="left",
    )
