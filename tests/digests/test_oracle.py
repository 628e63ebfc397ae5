"""The product equals a slow oracle over stories of many runs; and the laws of 04.6 hold in them."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.digest_worlds import Story
from tests.support.digests import Runs
from tests.support.digests_oracle import FLOOR, Oracle

_WORDS = ("subject", "content_hash", "reason", "text")
_RUNS = 8


def _rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return frame.drop([c for c in _WORDS if c in frame.columns]).to_dicts()


def _sorted(rows: list[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: tuple(row[key] for key in keys))


def _assert_equal(found: pl.DataFrame, expected: list[dict[str, Any]], *keys: str) -> None:
    mine = _rows(found)
    theirs = [{name: row[name] for name in mine[0]} for row in expected] if mine else expected
    assert mine == _sorted(theirs, *keys)


def _tell(seed: int) -> Runs:
    """A story of several runs, every one compared with the oracle."""
    story, runs, oracle = Story(seed), Runs(), Oracle()
    for _ in range(_RUNS):
        as_of = story.step()
        result = runs.run(story.world, as_of)
        rows, groups, items = oracle.run(story.world, as_of)
        _assert_equal(result.tables["digests"], rows, "digest_id")
        _assert_equal(result.tables["digest_groups"], groups, "digest_id", "rank")
        _assert_equal(result.tables["digest_items"], items, "digest_id", "notification_id")
    return runs


def _assert_laws(runs: Runs) -> None:
    rows, items = runs.table("digests"), runs.table("digest_items")
    assert rows["digest_id"].is_unique().all(), "one row per digest_id, ever"
    _assert_windows_tile(rows)
    built = rows.filter(pl.col("status") == "built")
    rendered = runs.table("digest_groups").group_by("digest_id").agg(pl.col("item_count").sum().alias("rendered"))
    sums = built.join(rendered, on="digest_id", how="left").with_columns(pl.col("rendered").fill_null(0))
    assert (sums["eligible_count"] == sums["rendered"] + sums["more_count"]).all()
    counted = items.group_by("digest_id").len()
    assert built.join(counted, on="digest_id").filter(pl.col("eligible_count") != pl.col("len")).is_empty()
    delivered = items.join(built.select("digest_id", "user_id", "channel"), on="digest_id")
    assert not delivered.select("user_id", "channel", "notification_id").is_duplicated().any()


def _assert_windows_tile(rows: pl.DataFrame) -> None:
    closed = rows.filter(pl.col("status").is_in(["built", "skipped_empty"])).sort("due_at")
    for (_, kind, _), stream in closed.group_by("user_id", "kind", "channel", maintain_order=True):
        for earlier, later in zip(stream.to_dicts(), stream.to_dicts()[1:], strict=False):
            floor = later["due_at"] - FLOOR[str(kind)]
            assert later["window_start"] == max(earlier["window_end"], floor), (earlier, later)


@given(st.integers(0, 10**9))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_run_of_a_story_equals_the_oracle_and_keeps_the_laws(seed: int) -> None:
    _assert_laws(_tell(seed))


@pytest.mark.slow
@given(st.integers(0, 10**9))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_many_stories_equal_the_oracle_and_keep_the_laws(seed: int) -> None:
    _assert_laws(_tell(seed))


def test_stories_reach_every_status() -> None:
    found: set[str] = set()
    for seed in range(400):
        story, oracle = Story(seed), Oracle()
        for _ in range(_RUNS):
            found |= {row["status"] for row in oracle.run(story.world, story.step())[0]}
        if len(found) == 7:
            break
    assert found == {
        "no_occurrence", "paused", "skipped_gap", "expired", "skipped_empty", "skipped_below_min", "built",
    }  # fmt: skip
