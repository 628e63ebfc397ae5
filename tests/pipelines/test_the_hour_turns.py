"""A run of nobody's partition: its key follows from the snapshot that is really taken (08.2, spec 00)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.partitions import key_of, partitions_of
from pipelines.refresh import refresh
from store.home import HomeRecord, write_home
from store.lake import Lake
from store.settings import Settings, SourceSettings
from tests.support.flowforge import live
from tests.support.source import run

PERSON = (
    "INSERT INTO app.users (id, handle, display_name, email, time_zone, locale, status, profile_visibility,"
    " friend_list_visibility, is_discoverable, wants_recommendations, created_at, updated_at) VALUES (1, 'ada', 'Ada',"
    " 'ada@example.org', 'UTC', 'en', 'active', 'public', 'friends', true, true, now() - interval '9 days', now())"
)


@pytest.fixture
def settings(tmp_path, fresh_database):
    run(fresh_database, PERSON)
    return Settings(home=tmp_path / "home", source=SourceSettings(url=fresh_database))


def test_a_run_begun_just_before_the_hour_turned_is_a_run_of_the_new_hour(settings):
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    done = refresh(settings, now=an_hour_ago)
    assert done.is_success, done.error
    assert done.partition_key > key_of(partitions_of(settings), an_hour_ago)
    (snapshot,) = Lake(settings.home).snapshot_ids()
    assert live(settings.home) == done.generation
    assert (done.generation or "").startswith(snapshot)


def test_a_snapshot_during_which_the_hour_turned_is_used_and_not_taken_twice(settings):
    """The record makes the run believe in an hour that the database has left by the time of the export."""
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    write_home(settings.home, HomeRecord(world="w", as_of=an_hour_ago, origin="test"))
    done = refresh(settings)
    assert done.is_success, done.error
    (snapshot,) = Lake(settings.home).snapshot_ids()
    assert (done.generation or "").startswith(snapshot)
    assert done.partition_key == key_of(partitions_of(settings), Lake(settings.home).snapshot(snapshot).as_of)
