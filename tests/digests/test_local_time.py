"""4.1: the golden table, the RFC 5545 rule over every zone, and dates that never were."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import polars as pl
import pytest

from assets.local_time import date_exists, local_instant, local_instants, nominal_instant, wall_clock
from store.zones import TZDATA_VERSION, known_zone, zone_names
from tests.support.digests import at
from tests.support.digests_oracle import exists, instant

NEW_YORK, BERLIN, LORD_HOWE = "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"
SANTIAGO, APIA = "America/Santiago", "Pacific/Apia"
GOLDEN = [
    (NEW_YORK, "2026-03-07", "02:30", "2026-03-07T07:30"),
    (NEW_YORK, "2026-03-08", "02:30", "2026-03-08T07:30"),
    (NEW_YORK, "2026-03-09", "02:30", "2026-03-09T06:30"),
    (NEW_YORK, "2026-10-31", "01:30", "2026-10-31T05:30"),
    (NEW_YORK, "2026-11-01", "01:30", "2026-11-01T05:30"),
    (NEW_YORK, "2026-11-02", "01:30", "2026-11-02T06:30"),
    (BERLIN, "2026-03-28", "02:30", "2026-03-28T01:30"),
    (BERLIN, "2026-03-29", "02:30", "2026-03-29T01:30"),
    (BERLIN, "2026-03-30", "02:30", "2026-03-30T00:30"),
    (LORD_HOWE, "2026-10-03", "02:15", "2026-10-02T15:45"),
    (LORD_HOWE, "2026-10-04", "02:15", "2026-10-03T15:45"),
    (LORD_HOWE, "2026-10-05", "02:15", "2026-10-04T15:15"),
    (SANTIAGO, "2026-09-05", "00:00", "2026-09-05T04:00"),
    (SANTIAGO, "2026-09-06", "00:00", "2026-09-06T04:00"),
    (SANTIAGO, "2026-09-07", "00:00", "2026-09-07T03:00"),
    (APIA, "2011-12-29", "09:00", "2011-12-29T19:00"),
    (APIA, "2011-12-30", "09:00", None),
    (APIA, "2011-12-31", "09:00", "2011-12-30T19:00"),
]


@pytest.mark.parametrize(("zone", "day", "wall", "expected"), GOLDEN)
def test_the_golden_table(zone: str, day: str, wall: str, expected: str | None) -> None:
    found = local_instant(zone, date.fromisoformat(day), time.fromisoformat(wall))
    assert found == (at(expected) if expected else None)


def test_the_joined_table_says_what_the_function_says() -> None:
    wanted = pl.DataFrame(
        [(zone, date.fromisoformat(day), time.fromisoformat(wall)) for zone, day, wall, _ in GOLDEN * 2],
        schema={"zone": pl.String, "day": pl.Date, "local_time": pl.Time},
        orient="row",
    )
    table = local_instants(wanted)
    assert table.height == len(GOLDEN)
    for row in table.iter_rows(named=True):
        key = (row["zone"], row["day"], row["local_time"])
        assert (row["instant_at"] if row["date_exists"] else None) == local_instant(*key)


def test_the_date_samoa_skipped_is_ordered_by_the_offset_before_the_gap() -> None:
    assert nominal_instant(APIA, date(2011, 12, 30), time(9)) == at("2011-12-30T19:00")
    assert not date_exists(APIA, date(2011, 12, 30))


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Pacific/Kwajalein", date(1993, 8, 21)), ("Pacific/Kiritimati", date(1994, 12, 31)),
     ("Pacific/Fakaofo", date(2011, 12, 30)), ("Asia/Manila", date(1844, 12, 31))],
)  # fmt: skip
def test_other_skipped_dates_do_not_exist_and_their_neighbours_do(zone: str, day: date) -> None:
    assert [date_exists(zone, day + timedelta(days=n)) for n in (-1, 0, 1)] == [True, False, True]


def test_zone_names_count_only_in_their_exact_case() -> None:
    assert known_zone("Europe/Berlin") == "Europe/Berlin"
    for name in ("europe/berlin", "Mars/Olympus", "", "../../etc/passwd", "Europe/", "EUROPE/BERLIN"):
        assert known_zone(name) == "UTC"
    assert TZDATA_VERSION[:2] == "20"


def test_the_table_equals_the_function_over_every_zone_and_date_of_a_spring() -> None:
    walls = [time(0), time(0, 30), time(2, 30), time(9), time(23, 45)]
    days = [date(2026, 3, 1) + timedelta(days=n) for n in range(40)]
    zones = [*sorted(zone_names())[::7], NEW_YORK, BERLIN, APIA]
    wanted = pl.DataFrame(
        {"zone": zones, "day": [days] * len(zones), "local_time": [walls] * len(zones)},
        schema={"zone": pl.String, "day": pl.List(pl.Date), "local_time": pl.List(pl.Time)},
    )
    table = local_instants(wanted.explode("day").explode("local_time"))
    assert table.height == len(set(zones)) * len(days) * len(walls)
    assert all(row[3] == nominal_instant(*row[:3]) and row[4] == date_exists(*row[:2]) for row in table.iter_rows())


def _dates_with_a_change(zone: str) -> set[date]:
    """Dates around every change of offset in 2026 and 2027, plus the skipped one of 2011."""
    days: set[date] = {date(2011, 12, 30)}
    day, last = date(2026, 1, 1), None
    while day < date(2027, 3, 1):
        offset = nominal_instant(zone, day, time(12)) - datetime.combine(day, time(12), tzinfo=UTC)
        if last is not None and offset != last:
            days |= {day - timedelta(days=1), day}
        day, last = day + timedelta(days=7), offset
        if offset != (nominal_instant(zone, day, time(12)) - datetime.combine(day, time(12), tzinfo=UTC)):
            days |= {day - timedelta(days=n) for n in range(9)}
    return days


def test_zones_follow_the_rule_around_their_changes() -> None:
    walls = (time(0), time(2, 15), time(2, 59, 59), time(23, 45))
    for zone in sorted(zone_names())[::2]:
        for day in sorted(_dates_with_a_change(zone))[-6:]:
            assert date_exists(zone, day) == exists(zone, day), (zone, day)
            for wall in walls:
                assert nominal_instant(zone, day, wall) == instant(zone, day, wall), (zone, day, wall)


def test_a_wall_clock_reads_back_outside_gaps() -> None:
    shown = wall_clock(NEW_YORK, at("2026-03-08T07:30"))
    assert shown == datetime(2026, 3, 8, 3, 30), "02:30 does not exist that day; the clock shows 03:30"  # noqa: DTZ001
