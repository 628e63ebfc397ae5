"""The one partitions definition (08.2): hourly windows from minute 10 to minute 10, UTC.

A run's key is the last window that ended at or before ``as_of``; cadence is a matter of jobs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

MINUTE = 10
KEY_FORMAT = "%Y-%m-%d-%H:%M"


def hourly(start: datetime) -> dg.HourlyPartitionsDefinition:
    """Windows beginning on ``start``'s day (UTC)."""
    first = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return dg.HourlyPartitionsDefinition(start_date=first, minute_offset=MINUTE, timezone="UTC", fmt=KEY_FORMAT)


def key_of(partitions: dg.HourlyPartitionsDefinition, as_of: datetime) -> str:
    """The key of the last window that ended at or before ``as_of``.

    Raises ``ValueError`` when ``as_of`` lies before the first window's end.
    """
    inside_it = as_of - timedelta(hours=1)
    if inside_it < partitions.start:
        raise ValueError(f"as_of {as_of.isoformat()} lies before the first partition; set FLOWFORGE_SCHEDULE__START")
    return partitions.get_partition_key_for_timestamp(inside_it.timestamp())
