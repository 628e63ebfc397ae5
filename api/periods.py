"""Periods: the ``from`` and ``to`` of a request, filled in and bounded (spec 06.2).

"Today" is the day of the generation's ``as_of``, so the same generation gives the same answer at any hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from api.problems import invalid_parameter
from store.zones import known_zone, zone_info


@dataclass(frozen=True, slots=True)
class Period:
    """Days ``[start, end)``."""

    start: date
    end: date

    def holds(self, day: str) -> bool:
        """Whether an ISO date lies in it."""
        return self.start.isoformat() <= day < self.end.isoformat()


def local_day(instant: datetime, time_zone: str) -> date:
    """The local date of ``instant`` in an IANA zone; UTC when the zone is unknown."""
    return instant.astimezone(zone_info(known_zone(time_zone))).date()


def period(start: date | None, end: date | None, today: date, default_days: int, max_days: int) -> Period:
    """The period asked for; raises a 422 problem when it is empty, too long or before the calendar."""
    stop = end or today
    if start is None:
        if stop.toordinal() <= default_days:
            raise invalid_parameter("to", f"choose a day at least {default_days} days after 0001-01-01")
        start = stop - timedelta(days=default_days)
    if start >= stop:
        raise invalid_parameter("from", f"{start} is not before to ({stop}, exclusive): choose an earlier day")
    days = (stop - start).days
    if days > max_days:
        told = f"{start} is {days} days before to ({stop}): ask for {max_days} days at most at a time"
        raise invalid_parameter("from", told)
    return Period(start, stop)
