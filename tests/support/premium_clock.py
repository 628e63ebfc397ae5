"""Local time for the premium oracle: rule 2 by looking, quarter of an hour by quarter of an hour."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache

from store.zones import zone_info

DAY = timedelta(days=1)


@cache
def start(day: date, zone: str) -> datetime:
    """Rule 2 by looking at every quarter of an hour (offsets of our zones are whole quarters)."""
    tz = zone_info(zone)
    instant = datetime.combine(day, time(), tzinfo=UTC) - timedelta(hours=30)
    while instant.astimezone(tz).date() < day:
        instant += timedelta(minutes=15)
    return instant


def day_of(instant: datetime, zone: str) -> date:
    day = instant.date() - 3 * DAY
    while start(day + DAY, zone) <= instant:
        day += DAY
    return day


def add_months(day: date, n: int) -> date:
    month = day.month - 1 + n
    year, month = day.year + month // 12, month % 12 + 1
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError


def period_of(grain: str, day: date) -> date:
    return {"day": day, "week": day - day.weekday() * DAY, "month": day.replace(day=1)}[grain]


def after(grain: str, period: date) -> date:
    return {"day": period + DAY, "week": period + 7 * DAY, "month": add_months(period, 1)}[grain]
