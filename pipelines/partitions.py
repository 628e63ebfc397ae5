"""The one partitions definition (08.2): hourly windows from minute 10 to minute 10, UTC.

A run's key is the last window that ended at or before ``as_of``; cadence is a matter of jobs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from store.home import read_home
from store.settings import Settings

MINUTE = 10
KEY_FORMAT = "%Y-%m-%d-%H:%M"


def hourly(start: datetime, as_of: datetime | None = None) -> dg.HourlyPartitionsDefinition:
    """Windows beginning on ``start``'s day (UTC), up to now.

    A world may be looked at from an instant that is still to come: then up to its ``as_of``.
    """
    first = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ahead = timedelta(0) if as_of is None else as_of - datetime.now(UTC)
    return dg.HourlyPartitionsDefinition(
        start_date=first,
        end_offset=max(0, ahead // timedelta(hours=1) + 2),
        minute_offset=MINUTE,
        timezone="UTC",
        fmt=KEY_FORMAT,
    )


def partitions_of(settings: Settings) -> dg.HourlyPartitionsDefinition:
    """The partitions of a home: its world's year, else from ``SCHEDULE__START`` on."""
    record = read_home(settings.home)
    if record is None:
        return hourly(settings.schedule.start)
    # The key of an instant just after New Year is a window of the old year.
    first_window = record.as_of.astimezone(UTC) - timedelta(hours=2)
    return hourly(datetime(first_window.year, 1, 1, tzinfo=UTC), record.as_of)


def key_of(partitions: dg.HourlyPartitionsDefinition, as_of: datetime) -> str:
    """The key of the last window that ended at or before ``as_of``.

    Raises ``ValueError`` when ``as_of`` lies before the first window's end.
    """
    inside_it = as_of - timedelta(hours=1)
    if inside_it < partitions.start:
        raise ValueError(f"as_of {as_of.isoformat()} lies before the first partition; set FLOWFORGE_SCHEDULE__START")
    return partitions.get_partition_key_for_timestamp(inside_it.timestamp())
