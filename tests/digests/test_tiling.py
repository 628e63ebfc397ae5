"""4.6: windows tile and nothing is lost or doubled, over every zone, across changes of zone."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from random import Random

import polars as pl
import pytest

from store.zones import zone_names
from tests.support.digests import Runs, World, at
from tests.support.digests_oracle import FLOOR

H = timedelta(hours=1)
TIMES = (time(0), time(0, 30), time(2), time(2, 30), time(9), time(23, 30))
SLOW = pytest.mark.slow
EPOCHS = [
    "2026-03-06T00:00",
    pytest.param("2011-12-27T00:00", marks=SLOW),
    pytest.param("2026-10-01T12:00", marks=SLOW),
    pytest.param("2026-10-30T00:00", marks=SLOW),
]
STEP = 6 * H
DAYS = 4


def _everywhere(start: datetime, random: Random) -> World:
    """One reader per zone of tzdata, one notification for each every eleven hours."""
    world = World()
    for user_id, zone in enumerate(sorted(zone_names()), 1):
        world.user(user_id, time_zone=zone)
        kind = random.choice(["daily", "daily", "weekdays", "weekly"])
        world.schedule(user_id, kind, random.choice(TIMES), week_day=random.randrange(1, 8), enabled_at=start - 30 * H)
        world.preference(user_id, "reaction", kind)
        for n in range(DAYS * 24 // 11):
            world.notification(user_id, start - 20 * H + n * 11 * H)
    return world


@pytest.mark.parametrize("epoch", EPOCHS)
def test_windows_tile_and_every_notification_is_in_exactly_one_digest(epoch: str) -> None:
    random, start, runs = Random(epoch), at(epoch), Runs()
    world = _everywhere(start, random)
    names = sorted(zone_names())
    as_of = start
    while as_of < start + DAYS * 24 * H:
        as_of += STEP
        runs.run(world, as_of)
        for user in random.sample(world.tables["staged_users"], 60):
            user["time_zone"] = random.choice(names)
    rows = runs.table("digests").filter(pl.col("status").is_in(["built", "skipped_empty"]))
    last_end: dict[int, datetime] = {}
    for row in rows.sort("user_id", "due_at").iter_rows(named=True):
        earlier = last_end.get(row["user_id"])
        floor = row["due_at"] - FLOOR[row["kind"]]
        assert earlier is None or row["window_start"] == max(earlier, floor), row
        last_end[row["user_id"]] = row["window_end"]
    items = runs.table("digest_items")["notification_id"]
    assert items.is_unique().all(), "never twice"
    first_start = dict(rows.group_by("user_id").agg(pl.col("window_start").min()).iter_rows())
    kinds = {s["user_id"]: s["kind"] for s in world.tables["staged_digest_schedules"]}
    delivered, missed = set(items), 0
    for note in world.tables["staged_notifications"]:
        user = note["recipient_id"]
        if kinds[user] != "weekdays" and user in last_end and first_start[user] <= note["created_at"] < last_end[user]:
            missed += note["id"] not in delivered
    assert missed == 0, "never lost: no run was missed for longer than six hours"
    assert len(last_end) > 500
