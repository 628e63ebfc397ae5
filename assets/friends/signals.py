"""What the learned ranker looks at: a viewer's pool of candidates and the signals of every pair in it.

The same functions serve training (a graph with friendships taken out) and scoring (the graph as
it stands), so a model never sees a signal computed in two ways. Whole numbers throughout; missing
times are zero everywhere. Does not belong here: trees, hold-outs, selection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from assets.friends import sources, spread
from assets.friends.config import (
    CONTEXT_KINDS,
    GROUP_SIZE_LIMIT,
    MICRO,
    POOL_CONTEXT,
    POOL_NEAR,
    POOL_WALK,
    SCORED_WALK_WIDTH,
    TIMED_DAYS,
    WALK_CONTINUE_PERCENT,
    WALK_MASS,
)
from assets.friends.engine import Engine
from assets.friends.graph import PAIR, Index, Ints, People, Rows
from assets.friends.sources import World

DAY = 86_400_000_000
SHORT_DAYS, LONG_DAYS = 20, 90
SIGNALS = (
    "common_neighbours", "adamic_adar_micro", "resource_allocation_micro", "fresh_adamic_adar", "jaccard_micro",
    "viewer_degree", "candidate_degree", "pagerank", "reverse_pagerank", "symmetric_pagerank",
    *(f"shared_{kind}" for kind in CONTEXT_KINDS), "shared_rarity", "shared_likeness", "friends_in_groups",
    "groups_of_friends", "viewer_groups", "candidate_groups", "same_country", "interaction_count",
    "viewer_fresh_friends", "candidate_fresh_friends", "candidate_lately", "viewer_age_days", "candidate_age_days",
    "candidate_idle_days",
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A world at one instant, with the times the signals need."""

    world: World
    since: Ints
    """Per entry of ``world.friends.idx``: when the friendship began, microseconds; 0 where times say nothing."""
    joined: Ints
    """Per person: account creation, microseconds."""
    seen: Ints
    """Per person: last seen, microseconds; 0 if never."""
    at: int
    dealt: pl.DataFrame
    """``viewer, candidate, interaction_count``."""

    @property
    def is_timed(self) -> bool:
        """Whether friendship times fall on at least `TIMED_DAYS` distinct days."""
        return bool(self.since.size) and np.unique(self.since // DAY).size >= TIMED_DAYS


def friendship_times(friendships: pl.LazyFrame, who: People, friends: Rows, as_of: datetime) -> Ints:
    """When each friendship in force began, per entry of ``friends.idx``, microseconds."""
    lasting = pl.col("ended_at").is_null() | (pl.col("ended_at") > as_of)
    begun = friendships.filter((pl.col("created_at") < as_of) & lasting)
    known = who.locate(begun, a="user_a_id", b="user_b_id").select("a", "b", at=pl.col("created_at").dt.epoch("us"))
    both = pl.concat(
        [known.select(viewer="a", candidate="b", at="at"), known.select(viewer="b", candidate="a", at="at")]
    )
    first = both.group_by("viewer", "candidate").agg(pl.col("at").min()).collect()
    joined = friends.pairs().join(first, on=list(PAIR), how="left", maintain_order="left")
    return joined["at"].fill_null(0).to_numpy(writable=True)


def scene_of(world: World, frames: Mapping[str, pl.LazyFrame], dealt: pl.DataFrame, as_of: datetime) -> Scene:
    """The world as it stands at ``as_of``."""
    who = world.who
    told = frames["staged_users"].select(
        "id", joined=pl.col("created_at").dt.epoch("us"), seen=pl.col("last_seen_at").dt.epoch("us")
    )
    mine = pl.LazyFrame({"id": who.ids}, schema={"id": pl.Int64}).join(told, on="id", how="left").sort("id").collect()
    at = int(as_of.timestamp()) * MICRO + as_of.microsecond
    since = friendship_times(frames["staged_friendships"], who, world.friends, as_of)
    seen = mine["seen"].fill_null(0).to_numpy(writable=True)
    return Scene(world, since, mine["joined"].to_numpy(writable=True), np.where(seen < at, seen, 0), at, dealt)


def pool(scene: Scene, viewers: Index, near: pl.DataFrame, on: tuple[str, ...], engine: Engine) -> pl.DataFrame:
    """The candidates of ``viewers`` from every source that is on, none of which a filter removes.

    ``near``: their friends of friends (``viewer, candidate``). Returns ``viewer, candidate, mass,
    is_walked`` (who PageRank proposes), by viewer and candidate.
    """
    world = scene.world
    found = [near.select(list(PAIR))]
    if "co_membership" in on:
        found.append(sources.co_membership(world, viewers, engine, POOL_CONTEXT))
    if "interaction" in on:
        mine = np.zeros(world.who.size, dtype=np.bool_)
        mine[viewers] = True
        dealt = sources.allowed(sources.interaction(scene.dealt, mine), world)
        found.append(dealt)
    given = pl.concat(found).unique().sort(list(PAIR))
    rows = Rows.of(given["viewer"].to_numpy(), given["candidate"].to_numpy(), world.who.size, world.who.size)
    limit = POOL_WALK if "pagerank" in on else 0
    mass, walked = walk(scene, viewers, rows, limit, engine)
    given = given.with_columns(pl.Series("mass", mass), is_walked=pl.lit(value=False))
    both = pl.concat([given, walked.with_columns(is_walked=pl.lit(value=True))])
    return both.group_by(list(PAIR)).agg(pl.col("mass").max(), pl.col("is_walked").any()).sort(list(PAIR))


def walk(scene: Scene, viewers: Index, given: Rows, limit: int, engine: Engine) -> tuple[Ints, pl.DataFrame]:
    """The mass of the given pairs, by viewer, and the ``limit`` best candidates of each: see `spread.masses`."""
    world = scene.world
    friends, barred = world.friends, world.filtered.barred
    ordered = np.sort(viewers)
    parts = engine.over(ordered.size, lambda s: spread.masses(
        ordered[s], friends.ptr, friends.idx, given.ptr, given.idx, barred.ptr, barred.idx, world.who.is_showable,
        WALK_MASS, WALK_CONTINUE_PERCENT, SCORED_WALK_WIDTH, limit,
    ))  # fmt: skip
    pairs = np.concatenate([part[1] for part in parts])
    frame = pl.DataFrame(
        {"viewer": pairs[:, 0].copy(), "candidate": pairs[:, 1].copy(), "mass": np.concatenate([p[2] for p in parts])},
        schema={**PAIR, "mass": pl.Int64},
    )
    return np.concatenate([part[0] for part in parts]), frame


def columns(scene: Scene, pairs: pl.DataFrame, engine: Engine) -> list[Ints]:
    """One int64 array per signal of `SIGNALS`, for ``pairs`` (``viewer, candidate, mass``, sorted)."""
    world = scene.world
    who, friends, groups = world.who, world.friends, world.groups
    v, c = pairs["viewer"].to_numpy(), pairs["candidate"].to_numpy()
    rows = Rows.of(v, c, who.size, who.size)
    viewers = np.unique(v)
    fresh = _per_mille(scene, SHORT_DAYS)
    cn, aa, ra, fresh_aa = np.concatenate(engine.over(viewers.size, lambda s: spread.common(
        viewers[s], rows.ptr, rows.idx, friends.ptr, friends.idx, world.friend_weight, fresh
    )), axis=1)  # fmt: skip
    shared = np.concatenate(engine.over(viewers.size, lambda s: spread.context(
        viewers[s], rows.ptr, rows.idx, friends.ptr, friends.idx, groups.of_person.ptr, groups.of_person.idx,
        groups.own_weight, groups.members.ptr, groups.members.idx, groups.kind_number, len(CONTEXT_KINDS),
        groups.weight, GROUP_SIZE_LIMIT,
    )), axis=1)  # fmt: skip
    degree, held = friends.sizes, groups.of_person.sizes
    dv, dc = degree[v], degree[c]
    mass = pairs["mass"].to_numpy() // 1000
    reverse = mass * dv // np.maximum(dc, 1)
    of_person = np.repeat(np.arange(who.size), degree)
    slow = _per_mille(scene, LONG_DAYS)
    lately = np.bincount(of_person, weights=fresh, minlength=who.size).astype(np.int64)
    fresh_degree = np.bincount(of_person, weights=slow, minlength=who.size).astype(np.int64)
    age = (scene.at - scene.joined) // DAY if scene.is_timed else np.zeros(who.size, dtype=np.int64)
    idle = (scene.at - scene.seen) // DAY if scene.is_timed else np.zeros(who.size, dtype=np.int64)
    dealt = pairs.select(list(PAIR)).join(scene.dealt, on=list(PAIR), how="left", maintain_order="left")
    known = {
        "jaccard_micro": MICRO * cn // np.maximum(dv + dc - cn, 1),
        "pagerank": mass, "reverse_pagerank": reverse, "symmetric_pagerank": mass + reverse,
        "interaction_count": dealt["interaction_count"].fill_null(0).to_numpy() * int(scene.is_timed),
        "same_country": ((who.country[v] == who.country[c]) & (who.country[v] >= 0)).astype(np.int64),
    }  # fmt: skip
    return [
        cn, aa, ra, fresh_aa, known["jaccard_micro"], dv, dc, known["pagerank"], known["reverse_pagerank"],
        known["symmetric_pagerank"], *shared, held[v], held[c], known["same_country"], known["interaction_count"],
        fresh_degree[v], fresh_degree[c], lately[c], age[v], age[c], idle[c],
    ]  # fmt: skip


def _per_mille(scene: Scene, days: int) -> Ints:
    """Per entry of the adjacency how fresh it is: 1000 now, halved every ``days``; 0 where times say nothing."""
    if not scene.is_timed:
        return np.zeros(scene.since.size, dtype=np.int64)
    age = np.maximum(scene.at - scene.since, 0) / (days * DAY)
    return np.asarray(np.floor(1000 * np.exp2(-age)), dtype=np.int64)


def near_of(world: World, viewers: Index, engine: Engine) -> pl.DataFrame:
    """The friends of friends that are scored: the best by Adamic-Adar."""
    depth = np.full(world.who.size, POOL_NEAR, dtype=np.int64)
    near, _ = sources.friends_of_friends(world, viewers, 0, depth, engine)
    return near
