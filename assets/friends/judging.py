"""The evaluation of 02, 2.5: the product's own lists and the textbook's, on the same users, against what came true.

Lives here: taking friendships away (by time, or a stable hash tenth where times say nothing),
computing with what is left, and the rivals: Adamic-Adar, resource allocation, PageRank forward and
symmetric, popularity. Does not belong here: metrics (`evaluation`), printing, reading a lake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from assets.frame import Inputs
from assets.friends import evaluation, signals, sources
from assets.friends.config import HASH_PARTS, LEARNED_SALT, MICRO, TIMED_DAYS
from assets.friends.engine import Engine
from assets.friends.graph import PAIR, Index, Rows, edges, people, stable_hash
from assets.friends.product import build_world, compute
from assets.friends.signals import Scene
from store.settings import FriendsSettings

Frames = Mapping[str, pl.LazyFrame]
POPULAR_DEPTH = 200
SYMMETRIC_DEPTH = 500


@dataclass(frozen=True)
class Case:
    """Inputs at an instant, and the friendships that came true later (``user_a_id, user_b_id``)."""

    frames: Frames
    as_of: datetime
    later: pl.DataFrame
    how: str


def case_of(frames: Frames, as_of: datetime, at: datetime | None = None) -> Case:
    """Hold out what began at or after ``at``; by default the last fifth, or a hash tenth where times say nothing."""
    told = frames["staged_friendships"].filter(pl.col("created_at") < as_of).collect().sort("created_at")
    days = told["created_at"].dt.date().n_unique()
    if at is None and days >= TIMED_DAYS:
        at = told["created_at"][told.height - max(told.height // 5, 1)]
    if at is not None:
        return Case(frames, at, told.filter(pl.col("created_at") >= at), f"friendships since {at.isoformat()}")
    a, b = told["user_a_id"].to_numpy(), told["user_b_id"].to_numpy()
    part = stable_hash(a * np.int64(1_000_003) + b, f"{LEARNED_SALT} evaluation") % np.uint64(HASH_PARTS)
    is_held = pl.Series(part == 0, dtype=pl.Boolean)
    left = {**frames, "staged_friendships": told.filter(~is_held).lazy()}
    return Case(left, as_of, told.filter(is_held), "a stable hash tenth: friendship times say nothing")


def judged(case: Case, config: FriendsSettings, engine: Engine) -> dict[str, Any]:
    """The report of every ranker on the same viewers: ``rankers`` by name, and how it was judged."""
    inputs = Inputs(case.frames, {}, None, config, case.as_of)
    world, _ = build_world(inputs)
    who, friends = world.who, world.friends
    truth = truth_of(case)
    viewers = np.unique(truth["viewer"].to_numpy()).astype(np.int32)
    result = compute(inputs, engine)
    own = who.locate(result.tables["friend_recommendations"].lazy(), viewer="viewer_id", candidate="candidate_id")
    nobody = pl.DataFrame(schema={**PAIR, "interaction_count": pl.Int64})
    timeless = np.zeros(who.size, np.int64)
    scene = Scene(world, np.zeros(friends.idx.size, np.int64), timeless, timeless, 0, nobody)
    lists = {"flowforge": own.select(*PAIR, "rank").collect(), **rivals(scene, who.viewers, engine)}
    return {
        "as_of": case.as_of.isoformat(), "held_out": case.how, "ranker": result.notes["ranker"],
        "viewer_count": int(viewers.size),
        "rankers": {name: evaluation.report(rows, truth, friends.sizes) for name, rows in lists.items()},
    }  # fmt: skip


def truth_of(case: Case) -> pl.DataFrame:
    """``viewer, candidate`` both ways: later friendships of viewers, between people who have a friend already."""
    who = people(case.frames["staged_users"], case.as_of)
    friends, _ = edges(case.frames["staged_friendships"], who, case.as_of)
    found = who.locate(case.later.lazy(), viewer="user_a_id", candidate="user_b_id").select(list(PAIR)).collect()
    both = pl.concat([found, found.select(viewer="candidate", candidate="viewer")]).unique()
    met = friends.sizes > 0
    v, c = both["viewer"].to_numpy(), both["candidate"].to_numpy()
    proper = both.filter(pl.Series(met[v] & met[c] & who.is_viewer[v] & (v != c), dtype=pl.Boolean))
    return proper.join(friends.pairs(), on=list(PAIR), how="anti").sort(list(PAIR))


def rivals(scene: Scene, viewers: Index, engine: Engine) -> dict[str, pl.DataFrame]:
    """The textbook's lists, after the same filters: ``viewer, candidate, rank``."""
    world = scene.world
    who, friends = world.who, world.friends
    degree = friends.sizes
    depth = np.full(who.size, evaluation.TOP, dtype=np.int64)
    share = np.where(degree >= 1, MICRO // np.maximum(degree, 1), 0)
    aa, ra = (
        sources.two_steps(world, viewers, weight, depth, engine).rename({"weight": "score"})
        for weight in (world.friend_weight, share)
    )
    empty = Rows.of(np.zeros(0, np.int32), np.zeros(0, np.int32), who.size, who.size)
    _, walked = signals.walk(scene, viewers, empty, SYMMETRIC_DEPTH, engine)
    dv, dc = degree[walked["viewer"].to_numpy()], degree[walked["candidate"].to_numpy()]
    symmetric = walked["mass"].to_numpy() // 1000 * (dv + dc) // np.maximum(dc, 1)
    return {
        "adamic_adar": evaluation.ranked(aa),
        "resource_allocation": evaluation.ranked(ra),
        "pagerank_forward": evaluation.ranked(walked.rename({"mass": "score"})),
        "pagerank_symmetric": evaluation.ranked(walked.with_columns(pl.Series("score", symmetric))),
        "popularity": popular(scene, viewers),
    }


def popular(scene: Scene, viewers: Index) -> pl.DataFrame:
    """The best connected people who are no friends yet, of the `POPULAR_DEPTH` best connected."""
    world = scene.world
    degree = world.friends.sizes
    order = np.lexsort((np.arange(degree.size), -degree))[:POPULAR_DEPTH].astype(np.int32)
    famous = pl.DataFrame(
        {"candidate": order, "score": degree[order]}, schema={"candidate": pl.Int32, "score": pl.Int64}
    )
    mine = pl.DataFrame({"viewer": viewers}, schema={"viewer": pl.Int32})
    return evaluation.ranked(sources.allowed(mine.join(famous, how="cross"), world))
