"""Privacy, stability and determinism of the feed over many fuzzed pairs (spec 03.6, 03.7)."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.feed import product
from assets.feed.compressed import numbers
from assets.feed.product import INPUTS, prepare
from assets.feed.visibility import Pairs, is_in_circle, is_visible
from store.settings import FeedSettings
from tests.support.feed import AS_OF, World, examples, run
from tests.support.feed_oracle import Oracle
from tests.support.feed_worlds import fuzzed_world

ROOT = Path(__file__).parents[2]


def judged(world: World, config: FeedSettings) -> set[tuple[int, int]]:
    """(viewer, activity id) of every pair that the rules of 3.1 admit."""
    frames = {name: frame.select(INPUTS[name]).collect() for name, frame in world.frames().items()}
    stage, _ = prepare(frames, config, world.as_of)
    scene, viewers = stage.scene, Oracle(world, config).viewers
    number = numbers(scene.relations.people.number(pl.Series(viewers, dtype=pl.Int64)))
    count = scene.ground.count
    pairs = Pairs(np.repeat(number, count), np.tile(np.arange(count, dtype=np.int32), number.size))
    kept = pairs.where(is_in_circle(pairs, scene) & is_visible(pairs, scene))
    ids = scene.ground.acts["id"].gather(kept.act)
    return set(zip(scene.relations.people.ids.gather(kept.viewer), ids, strict=True))


def test_nothing_is_shown_to_whom_it_must_not_be(record_property) -> None:
    """10**6 (viewer, activity) pairs and every published item in the nightly profile; the count is recorded."""
    pairs = published = 0
    for seed in range(examples(2, 60)):
        world = fuzzed_world(seed, crowd=40, life=600)
        config = FeedSettings(reply_rule="friends" if seed % 4 else "all")
        oracle = Oracle(world, config)
        admitted = {(v, id_) for v in oracle.viewers for id_, a in oracle.activities.items() if oracle.eligible(a, v)}
        assert judged(world, config) == admitted
        pairs += len(oracle.viewers) * len(oracle.activities)
        for row in run(world, config).tables["feed_items"].iter_rows(named=True):
            lead, viewer = oracle.activities[row["lead_activity_id"]], row["viewer_id"]
            assert (oracle.fills if row["reason"] == "suggested" else oracle.eligible)(lead, viewer)
            published += 1
    record_property("pairs", pairs)
    record_property("published", published)
    print(f"{pairs} pairs and {published} published items, 0 violations")
    assert pairs > examples(20_000, 1_000_000)


def test_the_order_of_what_stays_does_not_change_within_a_month(record_property) -> None:
    """Two instants of one month, nothing new in between: items of both whose lead actor lost none keep their order."""
    compared = 0
    for seed in range(examples(10, 300)):
        world = fuzzed_world(seed)
        _let_nothing_happen_later(world)
        first = _ranked(world)
        world.as_of = AS_OF.replace(day=14)
        second = _ranked(world)
        for viewer, before in first.items():
            after = second.get(viewer, {})
            losers = {actor for item, actor in before.items() if item not in after}
            old = [item for item in before if item in after and before[item] not in losers]
            new = [item for item in after if item in set(old)]
            assert old == new
            compared += len(old) * (len(old) - 1) // 2
    record_property("compared", compared)
    print(f"{compared} pairs of items, 0 inversions")
    assert compared > 0


def _ranked(world: World) -> dict[int, dict[str, int]]:
    """By viewer, the real items in order and the lead actor of each."""
    items = run(world).tables["feed_items"].filter((pl.col("mode") == "ranked") & (pl.col("reason") != "suggested"))
    feeds: dict[int, dict[str, int]] = defaultdict(dict)
    for viewer, item, actor in items.select("viewer_id", "item_id", "lead_actor_id").iter_rows():
        feeds[viewer][item] = actor
    return feeds


def _let_nothing_happen_later(world: World) -> None:
    for table, began, ends in (
        ("users", "created_at", None), ("activities", "created_at", None), ("mutes", None, "expires_at"),
        ("friendships", "created_at", "ended_at"), ("memberships", None, "left_at"),
    ):  # fmt: skip
        rows = [row for row in world.table(table) if began is None or row[began] < AS_OF]
        for row in rows:
            if ends is not None and row[ends] is not None and row[ends] > AS_OF:
                row[ends] = None
        world.rows[table] = rows
    for user in world.table("users"):
        user["last_seen_at"] = None


PRINT_DIGESTS = """
from tests.feed.test_privacy_and_stability import digests
print(digests())
"""


def digests() -> str:
    """Sha256 of the feeds of a few worlds, in buckets of some 50 pairs, so that every thread has several."""
    seen = hashlib.sha256()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(product, "PAIRS_AT_ONCE", 50 * pl.thread_pool_size())
        for seed in range(4):
            for table in run(fuzzed_world(seed, crowd=30, life=400)).tables.values():
                seen.update(table.write_ndjson().encode())
    return seen.hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2", "7"])
def test_the_number_of_threads_does_not_matter(threads: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": threads}
    told = subprocess.run(
        [sys.executable, "-c", PRINT_DIGESTS], capture_output=True, text=True, check=True, env=environment, cwd=ROOT
    )
    assert told.stdout.strip() == digests()
