"""4.2: what a run settles, what becomes of it, and the windows."""

from __future__ import annotations

from datetime import date, time, timedelta

import polars as pl
import pytest

from assets.digests.windows import deliver_after
from tests.support.digests import Runs, World, at, item_ids, one, reader, statuses

H = timedelta(hours=1)


def _daily(**schedule: object) -> World:
    world = World()
    reader(world, local_time=time(9), **schedule)
    world.user(2, display_name="Baby Yang")
    return world


def test_a_stream_without_any_row_settles_only_its_latest_occurrence() -> None:
    row = one(Runs().run(_daily(), at("2026-05-10T09:10")).tables["digests"])
    assert (row["period_key"], row["status"]) == ("daily:2026-05-10", "skipped_empty")
    assert row["window_start"] == at("2026-05-09T09:00")
    assert row["window_end"] == row["due_at"] == at("2026-05-10T09:00")
    assert (row["deliver_after"], row["subject"], row["content_hash"]) == (None, None, None)


def test_an_occurrence_is_settled_five_minutes_after_its_due() -> None:
    assert one(Runs().run(_daily(), at("2026-05-10T09:05")).tables["digests"])["period_key"] == "daily:2026-05-10"
    assert one(Runs().run(_daily(), at("2026-05-10T09:04")).tables["digests"])["period_key"] == "daily:2026-05-09"


def test_nothing_is_due_before_the_schedule_was_enabled() -> None:
    world = _daily(enabled_at=at("2026-05-10T09:00"))
    assert Runs().run(world, at("2026-05-10T12:00")).tables["digests"].is_empty()
    row = one(Runs().run(world, at("2026-05-11T12:00")).tables["digests"])
    assert row["window_start"] == at("2026-05-10T09:00")


def test_the_first_window_starts_when_the_schedule_was_enabled_if_that_is_later() -> None:
    world = _daily(enabled_at=at("2026-05-10T05:00"))
    assert one(Runs().run(world, at("2026-05-10T12:00")).tables["digests"])["window_start"] == at("2026-05-10T05:00")


def test_a_digest_missed_by_more_than_six_hours_expires_and_its_items_roll_on() -> None:
    world, runs = _daily(), Runs()
    runs.run(world, at("2026-05-10T09:10"))
    note = world.notification(1, at("2026-05-10T20:00"), actor_id=2)
    assert statuses(runs.run(world, at("2026-05-11T15:01"))) == ["expired"]
    result = runs.run(world, at("2026-05-12T09:10"))
    row = one(result.tables["digests"])
    assert (row["status"], row["window_start"]) == ("built", at("2026-05-10T09:00"))
    assert item_ids(result) == [note["id"]]


def test_exactly_six_hours_after_due_is_not_expired() -> None:
    assert statuses(Runs().run(_daily(), at("2026-05-10T15:00"))) == ["skipped_empty"]


def test_missed_occurrences_end_in_one_digest() -> None:
    world, runs = _daily(), Runs()
    runs.run(world, at("2026-05-10T09:10"))
    notes = [world.notification(1, at(f"2026-05-{day}T20:00"), actor_id=2) for day in (10, 11, 12)]
    result = runs.run(world, at("2026-05-13T09:10"))
    assert statuses(result) == ["expired", "expired", "built"]
    assert item_ids(result) == [note["id"] for note in notes]


def test_the_floor_is_the_only_hole() -> None:
    world, runs = _daily(), Runs()
    runs.run(world, at("2026-05-01T09:10"))
    result = runs.run(world, at("2026-05-10T09:10"))
    assert statuses(result) == ["expired", "expired", "skipped_empty"], "due > as_of - 72 h: three dates"
    assert result.tables["digests"].sort("due_at")["window_start"].to_list()[-1] == at("2026-05-07T09:00")


def test_a_paused_digest_leaves_its_window_open() -> None:
    world, runs = _daily(paused_until=at("2026-05-12T09:00")), Runs()
    world.notification(1, at("2026-05-09T20:00"), actor_id=2)
    assert statuses(runs.run(world, at("2026-05-10T09:10"))) == ["paused"]
    assert statuses(runs.run(world, at("2026-05-11T09:10"))) == ["paused"]
    row = one(runs.run(world, at("2026-05-12T09:10")).tables["digests"])
    assert (row["status"], row["window_start"], row["eligible_count"]) == ("built", at("2026-05-09T09:00"), 1)


def test_a_stream_that_never_closed_keeps_the_start_of_its_first_row() -> None:
    world, runs = _daily(paused_until=at("2026-05-12T00:00")), Runs()
    runs.run(world, at("2026-05-10T09:10"))
    world.tables["staged_digest_schedules"][0]["local_time"] = time(10)
    row = one(runs.run(world, at("2026-05-11T10:10")).tables["digests"])
    assert row["window_start"] == at("2026-05-09T09:00"), "not the due of the preceding occurrence at 10:00"


def test_a_due_within_twelve_hours_of_the_last_closed_window_is_skipped() -> None:
    world, runs = _daily(), Runs()
    runs.run(world, at("2026-05-10T09:10"))
    world.tables["staged_users"][0]["time_zone"] = "Pacific/Kiritimati"
    result = runs.run(world, at("2026-05-10T20:00"))
    row = one(result.tables["digests"])
    assert (row["period_key"], row["status"]) == ("daily:2026-05-11", "skipped_gap")
    later = one(runs.run(world, at("2026-05-11T19:30")).tables["digests"])
    assert (later["status"], later["window_start"]) == ("skipped_empty", at("2026-05-10T09:00"))


def test_a_due_exactly_twelve_hours_later_is_not_too_soon() -> None:
    world, runs = _daily(), Runs()
    runs.run(world, at("2026-05-10T09:10"))
    world.tables["staged_users"][0]["time_zone"] = "Pacific/Auckland"
    row = one(runs.run(world, at("2026-05-10T21:10")).tables["digests"])
    assert (row["due_at"], row["status"]) == (at("2026-05-10T21:00"), "skipped_empty")


def test_a_local_date_already_settled_gets_no_second_row() -> None:
    world, runs = _daily(), Runs()
    world.tables["staged_users"][0]["time_zone"] = "Pacific/Kiritimati"
    assert one(runs.run(world, at("2026-05-09T19:10")).tables["digests"])["period_key"] == "daily:2026-05-10"
    world.tables["staged_users"][0]["time_zone"] = "America/Los_Angeles"
    assert runs.run(world, at("2026-05-10T20:00")).tables["digests"].is_empty()
    assert one(runs.run(world, at("2026-05-11T16:10")).tables["digests"])["period_key"] == "daily:2026-05-11"


def test_a_date_that_does_not_exist_is_settled_without_instants() -> None:
    world, runs = World(), Runs()
    reader(world, zone="Pacific/Apia")
    runs.run(world, at("2011-12-29T19:10"))
    result = runs.run(world, at("2011-12-30T19:10"))
    rows = result.tables["digests"].sort("period_key").to_dicts()
    assert [(row["period_key"], row["status"]) for row in rows] == [
        ("daily:2011-12-30", "no_occurrence"),
        ("daily:2011-12-31", "skipped_empty"),
    ]
    assert {rows[0][name] for name in ("window_start", "window_end", "due_at", "deliver_after")} == {None}
    assert rows[1]["window_start"] == at("2011-12-29T19:00"), "the missing date makes no hole"
    assert runs.run(world, at("2011-12-30T20:10")).tables["digests"].is_empty()


def test_weekdays_leave_out_the_weekend_and_weekly_defaults_to_monday() -> None:
    assert date(2026, 5, 11).isoweekday() == 1
    world, runs = World(), Runs()
    reader(world, 1, kind="weekdays")
    reader(world, 2, kind="weekly")
    found = runs.run(world, at("2026-05-11T09:10")).tables["digests"].sort("user_id")
    assert found["period_key"].to_list() == ["weekdays:2026-05-11", "weekly:2026-05-11"]
    assert found["window_start"].to_list() == [at("2026-05-08T09:00"), at("2026-05-04T09:00")]
    assert runs.run(world, at("2026-05-16T09:10")).tables["digests"].filter(
        pl.col("period_key").is_in(["weekdays:2026-05-16"])
    ).is_empty()  # fmt: skip


def test_a_stream_needs_a_preference_with_its_mode_on_its_channel() -> None:
    world = World()
    world.user(1)
    world.schedule(1)
    world.preference(1, "comment", "weekly")
    world.preference(1, "reaction", "immediate")
    assert Runs().run(world, at("2026-05-10T09:10")).tables["digests"].is_empty()
    world.preference(1, "social", "daily", "push")
    assert one(Runs().run(world, at("2026-05-10T09:10")).tables["digests"])["channel"] == "push"


@pytest.mark.parametrize("change", ["deactivated", "erased"])
def test_a_user_who_is_gone_has_no_stream(change: str) -> None:
    world = _daily()
    if change == "erased":
        world.erase(1)
    else:
        world.tables["staged_users"][0]["status"] = change
    assert Runs().run(world, at("2026-05-10T09:10")).tables["digests"].is_empty()


def test_an_unknown_time_zone_is_utc_and_counted() -> None:
    world = World()
    reader(world, zone="Mars/Olympus")
    result = Runs().run(world, at("2026-05-10T09:10"))
    row = one(result.tables["digests"])
    assert (row["due_at"], row["time_zone"]) == (at("2026-05-10T09:00"), "UTC")
    assert result.notes["unknown_time_zone_users"] == 1


def test_fewer_groups_than_asked_for_stay_in_the_open_window() -> None:
    world, runs = _daily(min_groups=2), Runs()
    first = world.notification(1, at("2026-05-09T20:00"), actor_id=2)
    row = one(runs.run(world, at("2026-05-10T09:10")).tables["digests"])
    assert (row["status"], row["eligible_count"], row["group_count"]) == ("skipped_below_min", 1, 1)
    second = world.notification(1, at("2026-05-10T20:00"), actor_id=2, verb="comment")
    result = runs.run(world, at("2026-05-11T09:10"))
    assert statuses(result) == ["built"]
    assert item_ids(result) == [first["id"], second["id"]]


QUIET = [
    ("2026-05-10T21:00", None, None, "2026-05-10T21:00"),
    ("2026-05-10T21:00", time(21), time(21), "2026-05-10T21:00"),
    ("2026-05-10T21:00", time(21), time(7), "2026-05-11T07:00"),
    ("2026-05-10T06:59", time(21), time(7), "2026-05-10T07:00"),
    ("2026-05-10T07:00", time(21), time(7), "2026-05-10T07:00"),
    ("2026-05-10T12:00", time(21), time(7), "2026-05-10T12:00"),
    ("2026-05-10T12:30", time(12), time(14), "2026-05-10T14:00"),
    ("2026-05-10T14:00", time(12), time(14), "2026-05-10T14:00"),
]


@pytest.mark.parametrize(("due", "start", "end", "expected"), QUIET)
def test_quiet_hours_move_the_delivery(due: str, start: time | None, end: time | None, expected: str) -> None:
    assert deliver_after("UTC", at(due), start, end) == at(expected)


def test_quiet_hours_are_judged_by_the_wall_clock_the_reader_sees() -> None:
    due = at("2026-03-08T07:30")  # 02:30 in New York, which that day is 03:30
    assert deliver_after("America/New_York", due, time(2), time(3)) == due
    assert deliver_after("America/New_York", due, time(3), time(4)) == at("2026-03-08T08:00")
    evening = at("2026-03-08T03:00")  # 22:00 the day before; 02:30 comes by the rule of gaps
    assert deliver_after("America/New_York", evening, time(22), time(2, 30)) == at("2026-03-08T07:30")


def test_quiet_hours_do_not_move_the_window() -> None:
    world = _daily(quiet_start=time(8), quiet_end=time(10))
    world.notification(1, at("2026-05-09T20:00"), actor_id=2)
    row = one(Runs().run(world, at("2026-05-10T09:10")).tables["digests"])
    assert (row["window_end"], row["deliver_after"]) == (at("2026-05-10T09:00"), at("2026-05-10T10:00"))


def test_an_older_as_of_than_the_state_is_refused() -> None:
    world, runs = _daily(), Runs()
    runs.run(world, at("2026-05-10T09:10"))
    with pytest.raises(ValueError, match="not older"):
        runs.run(world, at("2026-05-10T09:10"))
