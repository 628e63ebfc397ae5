"""Spec 01.4: an erased person leaves every stored file; what can be proven by scan is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from assets.staged.product import stage
from store.erasure import (
    erase_from_rejects,
    erase_from_snapshots,
    erased_people,
    forget_products,
    remember,
)
from store.lake import Lake
from store.manifest import Manifest, verify_files
from store.retention import prune_lake, snapshots_kept
from store.settings import QualitySettings, RetentionSettings, SnapshotSettings
from store.snapshots import take_snapshot
from store.traces import Person, traces
from store.worlds import load_world
from tests.support.source import AS_OF, THEN, friendship, user, write_world

GONE = Person(2, ("u2", "Anna Gone"))


def post(id_: int, actor: int, text: str, **changes: object) -> dict[str, object]:
    return {
        "id": id_, "actor_id": actor, "verb": "post", "object_type": "post", "object_id": id_,
        "object_owner_id": actor, "mentioned_user_ids": [], "audience": "public", "object_audience": "public",
        "body": json.dumps({"text": text}), "created_at": THEN, **changes,
    }  # fmt: skip


@pytest.fixture
def snapshot(tmp_path: Path, fresh_database: str) -> tuple[Lake, Manifest]:
    people = [user(1), user(2, display_name="Anna Gone"), user(3)]
    posts = [post(10, 1, "thanks Anna Gone", mentioned_user_ids=[2, 3]), post(11, 2, "mine"), post(12, 3, "other")]
    load_world(
        fresh_database,
        write_world(tmp_path / "w", users=people, friendships=[friendship(1, 2), friendship(1, 3)], activities=posts),
    )
    lake = Lake(tmp_path / "home")
    return lake, take_snapshot(fresh_database, lake, SnapshotSettings())


def test_a_snapshot_is_rewritten_without_them_and_other_peoples_texts_stay(snapshot: tuple[Lake, Manifest]) -> None:
    lake, before = snapshot
    assert traces(lake.home, GONE)
    assert erase_from_snapshots(lake, [2]) == [before.id]
    after = lake.snapshot(before.id)
    verify_files(lake.snapshots_dir / after.id, after.tables.values())
    assert lake.scan_snapshot(after, "users").collect()["id"].to_list() == [1, 3]
    assert lake.scan_snapshot(after, "friendships").collect().height == 1
    posts = lake.scan_snapshot(after, "activities").sort("id").collect()
    assert posts["id"].to_list() == [10, 12]
    assert posts["mentioned_user_ids"].to_list() == [[3], []]
    assert "thanks Anna Gone" in posts["body"][0]
    assert (after.counts.in_, after.counts.out, after.counts.filtered) == (8, 5, {"erased": 3})
    assert after.content_sha256 != before.content_sha256
    assert traces(lake.home, GONE) == []
    assert erase_from_snapshots(lake, [2]) == [], "done is done"


def test_whoever_is_due_never_enters_a_snapshot_and_a_later_request_does(tmp_path: Path, fresh_database: str) -> None:
    posts = [post(10, 1, "with Anna Gone", mentioned_user_ids=[2, 3]), post(11, 2, "mine")]
    asked = [
        {"user_id": 2, "requested_at": AS_OF - timedelta(30)},
        {"user_id": 3, "requested_at": AS_OF - timedelta(29)},
    ]
    load_world(
        fresh_database,
        write_world(
            tmp_path / "w",
            users=[user(1), user(2, display_name="Anna Gone"), user(3), user(4)],
            friendships=[friendship(1, 2), friendship(1, 3), friendship(1, 4)],
            activities=posts,
            erasure_requests=asked,
        ),
    )
    lake = Lake(tmp_path / "home")
    remember(lake.home, 4, AS_OF)
    taken = take_snapshot(fresh_database, lake, SnapshotSettings(), forget_after=timedelta(30))
    verify_files(lake.snapshots_dir / taken.id, taken.tables.values())
    assert lake.scan_snapshot(taken, "users").collect()["id"].to_list() == [1, 3]
    assert lake.scan_snapshot(taken, "friendships").collect()["user_b_id"].to_list() == [3]
    assert lake.scan_snapshot(taken, "activities").collect()["mentioned_user_ids"].to_list() == [[3]]
    assert taken.counts.filtered == {"erased": taken.counts.in_ - taken.counts.out} == {"erased": 5}
    assert traces(lake.home, GONE) == []
    assert erase_from_snapshots(lake, [2, 4]) == []


def test_an_erasure_after_the_snapshot_reaches_what_is_staged_from_it(snapshot: tuple[Lake, Manifest]) -> None:
    lake, manifest = snapshot
    before = stage(lake, manifest, QualitySettings())
    lake.accept(list(before.tables.values()))
    remember(lake.home, 2, AS_OF)
    remember(lake.home, 2, AS_OF + timedelta(days=1))
    assert erased_people(lake.home) == {2: AS_OF}
    staged = stage(lake, manifest, QualitySettings())
    assert not staged.is_reused
    assert staged.tables["staged_users"].scan().collect()["id"].to_list() == [1, 3]
    assert staged.tables["staged_erasure_requests"].scan().collect()["user_id"].to_list() == [2]
    assert staged.counts["staged_activities"].filtered["erased"] == 1
    lake.accept(list(staged.tables.values()))
    (old,) = forget_products(lake, [2])
    assert old == f"staged/{before.tables['staged_users'].manifest.id}"
    standing = lake.accepted(["staged_users", "staged_friendships"], manifest.id)
    assert standing is not None
    assert standing["staged_users"].manifest.id == staged.tables["staged_users"].manifest.id
    erase_from_snapshots(lake, [2])
    assert traces(lake.home, GONE) == []


def test_rejects_that_name_them_go(snapshot: tuple[Lake, Manifest]) -> None:
    lake, manifest = snapshot
    folder = lake.rejects_dir / manifest.id
    folder.mkdir(parents=True)
    rows = {"table": ["friendships"] * 3, "key": ["2,9", "12,22", "5,6"], "column": ["user_b_id"] * 3,
            "rule": ["r"] * 3, "value": ["9", "22", "2"]}  # fmt: skip
    pl.DataFrame(rows).write_parquet(folder / "friendships.parquet")
    erase_from_snapshots(lake, [2])
    assert [str(t) for t in traces(lake.home, GONE)] == [
        f"lake/rejects/{manifest.id}/friendships.parquet: 2 reject(s) with the id"
    ]
    assert erase_from_rejects(lake, [2]) == 2
    assert pl.read_parquet(folder / "friendships.parquet")["key"].to_list() == ["12,22"]
    assert traces(lake.home, GONE) == []


def test_the_scan_finds_an_id_in_nested_groups_and_a_name_in_their_texts(tmp_path: Path) -> None:
    folder = tmp_path / "lake" / "products" / "digest_history" / "20260301T000000000000Z-0"
    folder.mkdir(parents=True)
    groups = [{"owner_id": 7, "sample_actor_ids": [2], "text": "Anna Gone commented"}]
    pl.DataFrame({"user_id": [1], "groups": [groups], "body": ["Anna Gone"]}).write_parquet(folder / "part-000.parquet")
    said = [trace.what for trace in traces(tmp_path, GONE)]
    assert said == ["1 row(s) with the id", "groups.text: 1 row(s) with a name or address"]
    assert traces(tmp_path, Person(9, ("Anna",))), "a whole word of a name is found"
    assert not traces(tmp_path, Person(9, ("Ann Gone", "nna")))


@pytest.mark.parametrize(
    ("column", "quoted", "said"),
    [
        ("html", '<p>Bo replied</p><blockquote dir="auto">Thanks, Anna Gone!\nBye</blockquote>', "<p>Anna Gone</p>"),
        ("text", "* Bo replied\n  “Thanks, Anna Gone!”\n  Mon", "* Anna Gone replied\n  “Thanks!”"),
        ("text", "* Bo hat geantwortet\n  „Danke, Anna Gone!“\n", "  „Danke“, sagt Anna Gone"),
    ],
)
def test_what_a_digest_quotes_of_its_readers_words_stays_and_what_it_says_is_found(tmp_path, column, quoted, said):
    folder = tmp_path / "lake" / "products" / "digest_history" / "20260301T000000000000Z-0"
    folder.mkdir(parents=True)
    pl.DataFrame({"user_id": [1], column: [quoted]}).write_parquet(folder / "part-000.parquet")
    assert traces(tmp_path, GONE) == []
    pl.DataFrame({"user_id": [1], column: [quoted + said]}).write_parquet(folder / "part-000.parquet")
    assert [trace.what for trace in traces(tmp_path, GONE)] == [f"{column}: 1 row(s) with a name or address"]


def test_snapshots_are_kept_by_the_hour_then_by_the_day_and_the_newest_always() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    hours = [now - timedelta(hours=h) for h in range(24 * 50)]
    ids = [f"{at:%Y%m%dT%H%M%S%f}Z" for at in hours]
    kept = sorted(snapshots_kept(ids, RetentionSettings(), now))
    assert len(kept) == 49 + 33
    assert ids[0] in kept
    assert snapshots_kept(ids[-1:], RetentionSettings(), now) == {ids[-1]}, "the newest stays, however old"


def test_what_is_too_old_goes_and_the_newest_accepted_product_stays(snapshot: tuple[Lake, Manifest]) -> None:
    lake, manifest = snapshot
    staged = stage(lake, manifest, QualitySettings())
    lake.accept(list(staged.tables.values()))
    other = stage(lake, manifest, QualitySettings(reject_rows=6))
    folder = lake.rejects_dir / manifest.id
    folder.mkdir(parents=True)
    assert prune_lake(lake, RetentionSettings(), now=AS_OF + timedelta(days=29)) == []
    removed = prune_lake(lake, RetentionSettings(), now=AS_OF + timedelta(days=40))
    unused = other.tables["staged_users"].manifest.id
    assert removed == [f"products/staged/{unused}", f"rejects/{manifest.id}"]
    assert lake.accepted(["staged_users"], manifest.id) is not None
    assert lake.snapshot_ids() == [manifest.id]
