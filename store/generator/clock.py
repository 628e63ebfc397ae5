"""The world's instants: int64 microseconds since 1970 UTC, and people's wall clocks around them.

Zone offsets are looked up once a week of the world's span; a row near a change of clocks may be an
hour off its owner's habit, which nobody can see in a habit. The exact local time of digests and billing
is computed elsewhere, by the platform.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from store.generator.draws import Floats, Ints, pick
from store.zones import zone_info

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

DEFAULT_AS_OF = datetime(2026, 6, 15, 9, 30, tzinfo=UTC)
"""A Monday at 09:30 UTC: morning digests of Europe and Africa, evening ones of East Asia are due."""

WEEKDAY_CURVE = np.array(
    [5, 3, 2, 1, 1, 2, 7, 16, 20, 17, 15, 17, 25, 22, 17, 16, 18, 23, 29, 34, 37, 35, 25, 12], np.float64
)
"""How much people do in each local hour of a working day."""
WEEKEND_CURVE = np.array(
    [11, 7, 4, 2, 1, 1, 3, 7, 14, 22, 27, 28, 28, 27, 26, 25, 25, 26, 29, 32, 33, 30, 25, 16], np.float64
)
DAY_OF_WEEK = np.array([0.96, 0.94, 0.96, 0.98, 1.0, 1.12, 1.18])
"""How much people do on each day, Monday first."""


def to_us(instant: datetime) -> int:
    """Microseconds since 1970 of an aware instant."""
    delta = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def weekday(local_us: Ints) -> Ints:
    """0 = Monday … 6 = Sunday of wall-clock microseconds."""
    return (local_us // DAY + 3) % 7


def add_months(instants: Ints, months: npt.NDArray[np.int64] | int) -> Ints:
    """The same UTC day and time ``months`` later, the day clamped to the month's length."""
    days = instants // DAY
    month = days.astype("datetime64[D]").astype("datetime64[M]")
    day_of_month = days - month.astype("datetime64[D]").astype(np.int64)
    target = month.astype(np.int64) + months
    first = target.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    length = (target + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) - first
    clamped: Ints = (first + np.minimum(day_of_month, length - 1)) * DAY + instants % DAY
    return clamped


@dataclass(frozen=True)
class Clock:
    """Wall clocks of the zones a world uses."""

    start: int
    as_of: int
    offsets: Ints
    """Microseconds to add to UTC, by (zone, week since ``start``)."""

    def offset(self, zone: Ints, instants: Ints) -> Ints:
        """What to add to an instant to read the zone's wall clock."""
        week = np.clip((instants - self.start) // WEEK, 0, self.offsets.shape[1] - 1)
        found: Ints = self.offsets[zone, week]
        return found

    def local(self, zone: Ints, instants: Ints) -> Ints:
        """Wall-clock microseconds."""
        return instants + self.offset(zone, instants)

    def waking(self, rng: np.random.Generator, zone: Ints, habit: Floats, around: Ints) -> Ints:
        """An instant on the local day of ``around`` at an hour when people are awake.

        ``habit`` (hours) moves a person's day: larks are negative, owls positive.
        """
        size = len(zone)
        offset = self.offset(zone, around)
        midnight = (around + offset) // DAY * DAY
        is_weekend = weekday(midnight) >= 5
        hour = np.where(is_weekend, pick(rng, WEEKEND_CURVE, size), pick(rng, WEEKDAY_CURVE, size))
        wall: Ints = midnight + hour * HOUR + rng.integers(0, HOUR, size) + (habit * HOUR).astype(np.int64)
        return wall - offset


def make_clock(zones: list[str], start: int, as_of: int) -> Clock:
    """Read the offsets of ``zones`` for every week of [start, as_of]."""
    weeks = np.arange(start, as_of + WEEK, WEEK)
    instants = [datetime.fromtimestamp(int(week) // SECOND, UTC) for week in weeks]
    table = np.empty((max(1, len(zones)), len(instants)), np.int64)
    for row, name in enumerate(zones):
        zone = zone_info(name)
        for column, instant in enumerate(instants):
            offset = instant.astimezone(zone).utcoffset()
            table[row, column] = int(offset.total_seconds()) * SECOND if offset else 0
    return Clock(start, as_of, table)
