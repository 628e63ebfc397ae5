"""Local days and periods (rules 2, 3 and 17) against a look at every minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.premium.calendar import (
    add_months,
    day_of,
    last_complete,
    period_of,
    periods,
    start,
    with_local_day,
    zone_days,
)
from store.zones import zone_info
from tests.support.premium import at

EDGES = [
    ("UTC", date(2024, 2, 29)),
    ("America/Havana", date(2024, 3, 10)),  # midnight is skipped
    ("Asia/Beirut", date(2024, 3, 31)),  # midnight is skipped
    ("America/Havana", date(2024, 11, 3)),  # 00:00 to 01:00 twice
    ("America/Sao_Paulo", date(2018, 2, 18)),  # 23:00 to 24:00 of the day before twice
    ("Atlantic/Azores", date(2024, 10, 27)),  # back over midnight: 00:00 to 01:00 twice
    ("America/Scoresbysund", date(2024, 3, 31)),
    ("Pacific/Apia", date(2011, 12, 30)),  # this day never was
    ("Pacific/Kwajalein", date(1993, 8, 21)),  # this day never was
    ("America/Toronto", date(1946, 4, 28)),
    ("Asia/Gaza", date(2010, 3, 27)),  # 00:01 is skipped
]


def first_minute(day: date, zone: str) -> datetime:
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=30)
    while instant.astimezone(zone_info(zone)).date() < day:
        instant += timedelta(minutes=1)
    return instant


@pytest.mark.parametrize(("zone", "day"), EDGES)
def test_a_day_starts_at_its_first_instant(zone: str, day: date) -> None:
    for near in (day - timedelta(days=1), day, day + timedelta(days=1)):
        assert start(near, zone) == first_minute(near, zone)


@settings(max_examples=40, deadline=None)
@example(zone="Africa/Casablanca", day=date(2026, 10, 1))  # its rules differ between releases of the zones
@given(
    zone=st.sampled_from(
        ["Africa/Casablanca", "America/Asuncion", "Asia/Tehran", "Australia/Lord_Howe", "Africa/Cairo"]
    ),
    day=st.dates(date(1975, 1, 1), date(2030, 1, 1)),
)
def test_any_day_starts_at_its_first_instant(zone: str, day: date) -> None:
    assert start(day, zone) == first_minute(day, zone)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "America", "../etc/passwd", "Europe/Berlin\0"])
def test_a_zone_that_does_not_exist_is_read_as_utc(zone: str) -> None:
    assert start(date(2024, 3, 10), zone) == at("2024-03-10")


def test_a_day_that_was_skipped_is_empty() -> None:
    assert start(date(2011, 12, 30), "Pacific/Apia") == start(date(2011, 12, 31), "Pacific/Apia")
    spans = pl.DataFrame({"zone": ["Pacific/Apia"], "first": [date(2011, 12, 29)], "last": [date(2011, 12, 31)]})
    assert zone_days(spans, "zone")["day"].to_list() == [date(2011, 12, 29), date(2011, 12, 31)]


def test_days_tile_the_time_line_and_hold_their_instants() -> None:
    moments = [start(day, zone) + timedelta(microseconds=n) for zone, day in EDGES for n in (-1, 0, 1)]
    zones = [zone for zone, _ in EDGES for _ in range(3)]
    rows = with_local_day(
        pl.DataFrame({"zone": zones, "at": moments}).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC"))),
        "at",
        "zone",
    )
    for row in rows.iter_rows(named=True):
        assert row["day_start_at"] <= row["at"] < row["day_end_at"]
        assert row["day"] == day_of(row["at"], row["zone"])
        assert row["day_end_at"] == start(row["day"] + timedelta(days=1), row["zone"])


def test_a_month_later_is_clamped_from_the_original_day() -> None:
    january = date(2024, 1, 31)
    assert [add_months(january, n) for n in range(4)] == [
        date(2024, 1, 31),
        date(2024, 2, 29),
        date(2024, 3, 31),
        date(2024, 4, 30),
    ]
    assert add_months(january, -2) == date(2023, 11, 30)


def test_a_period_is_complete_when_it_has_ended() -> None:
    assert last_complete("month", at("2024-03-01"), "UTC") == date(2024, 2, 1)
    assert last_complete("month", at("2024-02-29 23:59"), "UTC") == date(2024, 1, 1)
    assert last_complete("week", at("2024-03-04"), "UTC") == date(2024, 2, 26)
    assert last_complete("day", at("2024-03-04 04:59"), "America/New_York") == date(2024, 3, 2)


def test_periods_are_dense() -> None:
    assert periods("month", date(2024, 1, 31), date(2024, 3, 1)) == [
        date(2024, 1, 1),
        date(2024, 2, 1),
        date(2024, 3, 1),
    ]
    assert periods("week", period_of("week", date(2024, 1, 3)), date(2024, 1, 8)) == [
        date(2024, 1, 1),
        date(2024, 1, 8),
    ]
    assert periods("day", date(2024, 1, 3), date(2024, 1, 2)) == []
