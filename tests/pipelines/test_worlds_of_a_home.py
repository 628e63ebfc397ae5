"""A home follows the world its database holds: `source load`, then `run`, one after the other (00, 08.2)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.partitions import key_of, partitions_of
from store.generator import generate_world
from store.home import HomeRecord, read_home, write_home
from store.settings import Settings
from tests.support.flowforge import flowforge, live


def world_as_of(folder: Path, as_of: datetime) -> Path:
    generate_world(folder, users=25, seed=5, as_of=as_of)
    return folder


def test_a_world_loaded_by_hand_is_run_as_of_its_own_instant_and_so_is_the_next(tmp_path):
    tmp_path.chmod(0o755)
    home = tmp_path / "home"
    first = world_as_of(tmp_path / "w1", datetime(2026, 6, 1, 8, 30, tzinfo=UTC))
    second = world_as_of(tmp_path / "w2", datetime(2026, 6, 2, 8, 30, tzinfo=UTC))
    try:
        for world, as_of in ((first, "20260601T083000000000Z"), (second, "20260602T083000000000Z")):
            loaded = flowforge("source", "load", "--replace", str(world), home=home)
            assert loaded.returncode == 0, loaded.stdout + loaded.stderr
            done = flowforge("run", "--accept-drift", home=home)
            assert done.returncode == 0, done.stdout + done.stderr
            assert str(live(home)).startswith(as_of)
    finally:
        flowforge("source", "down", home=home)


@pytest.mark.parametrize(
    ("as_of", "key"),
    [
        (datetime(2020, 1, 1, tzinfo=UTC), "2019-12-31-22:10"),
        (datetime(2020, 1, 1, 1, 9, tzinfo=UTC), "2019-12-31-23:10"),
        (datetime(2020, 1, 1, 1, 10, tzinfo=UTC), "2020-01-01-00:10"),
        (datetime(2031, 7, 1, 9, 30, tzinfo=UTC), "2031-07-01-08:10"),
    ],
)
def test_a_worlds_as_of_may_lie_at_new_year_or_ahead_of_the_clock(tmp_path, as_of, key):
    write_home(tmp_path, HomeRecord(world="w", as_of=as_of, origin="test"))
    partitions = partitions_of(Settings(home=tmp_path))
    assert key_of(partitions, as_of) == key
    assert partitions.has_partition_key(key)


def test_a_home_without_a_world_begins_at_the_settings_start(tmp_path):
    assert read_home(tmp_path) is None
    assert partitions_of(Settings(home=tmp_path)).get_first_partition_key() == "2026-01-01-00:10"
