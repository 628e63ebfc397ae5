"""What the learned ranker looks at: a viewer's pool of candidates and the signals of every pair in it.

The same functions serve training (a graph with friendships taken out) and scoring (the graph as
it stands), so a model never sees a signal computed in two ways. Whole numbers throughout; missing
times are zero everywhere. Does not belong here: trees, hold-outs, selection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import polars as pl

from assets.friends import pooling, recency, sources, spread
from assets.friends.config import (
    CONTEXT_KINDS,
    GROUP_SIZE_LIMIT,
    MICRO,
    POOL_CONTEXT,
    POOL_NEAR,
    POOL_RECENT,
    POOL_WALK,
    SCORED_WALK_EDGES,
    SCORED_WALK_WIDTH,
    WALK_CONTINUE_PERCENT,
    WALK_MASS,
)
from assets.friends.engine import Engine
from assets.friends.graph import PAIR, Index, Ints, People, Rows
from assets.friends.recency import DAY, PACE_DAYS, PACES, Recency, recency_of
from assets.friends.sources import World

RELATIVE = (
    "adamic_adar_micro", "resource_allocation_micro", "pagerank", "symmetric_pagerank", "shared_rarity",
    "shared_likeness", "friends_in_groups", "recent_pagerank",
)  # fmt: skip
"""Signals that are also told as per mille of the best in the viewer's pool."""
SIGNALS = (
    "common_neighbours", "adamic_adar_micro", "resource_allocation_micro", "fresh_adamic_adar", "jaccard_micro",
    "viewer_degree", "candidate_degree", "pagerank", "reverse_pagerank", "symmetric_pagerank",
    *(f"shared_{kind}" for kind in CONTEXT_KINDS), "shared_rarity", "shared_likeness", "friends_in_groups",
    "groups_of_friends", "viewer_groups", "candidate_groups", "same_country", "interaction_count",
    "viewer_fresh_friends", "candidate_fresh_friends", "candidate_lately", "viewer_age_days", "candidate_age_days",
    "candidate_idle_days", "recent_pagerank", "youngest_path_hours", "viewer_friend_hours", "candidate_friend_hours",
    *(f"{side}_pace_{part}" for part in PACES for side in ("viewer", "candidate")),
    *(f"{side}_days_{days}" for days in PACE_DAYS for side in ("viewer", "candidate")),
    *(f"relative_{name}" for name in RELATIVE),
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A world at one instant, with the times the signals need."""

    world: World
    since: Ints
    """Per entry of ``world.friends.idx``: when the friendship began, microseconds; 0 where times say nothing."""
    joined: Ints
    """Per person: account creation, microseconds."""
    acted: Ints
    """Per person: the last activity before ``at``, microseconds; 0 if none."""
    at: int
    dealt: pl.DataFrame
    """``viewer, candidate, interaction_count``."""

    @cached_property
    def recency(self) -> Recency:
        """What friendship times say, computed once."""
        return recency_of(self.world.friends, self.since, self.at)

    @property
    def is_timed(self) -> bool:
        """Whether friendship times say something."""
        return self.recency.is_timed


def friendship_times(friendships: pl.LazyFrame, who: People, as_of: datetime) -> Ints:
    """When each friendship in force began, per entry of the rows of friends, microseconds."""
    lasting = pl.col("ended_at").is_null() | (pl.col("ended_at") > as_of)
    begun = friendships.filter((pl.col("created_at") < as_of) & lasting)
    located = who.locate(begun, a="user_a_id", b="user_b_id").filter(pl.col("a") != pl.col("b"))
    known = located.select("a", "b", at=pl.col("created_at").dt.epoch("us")).collect()
    a, b = (known[name].to_numpy().astype(np.int64) for name in ("a", "b"))
    keys = np.concatenate([a * who.size + b, b * who.size + a])
    since = np.tile(known["at"].to_numpy(), 2)
    order = np.lexsort((since, keys))
    keys, since = keys[order], since[order]
    return since[np.diff(keys, prepend=-1) > 0]


def scene_of(world: World, frames: Mapping[str, pl.LazyFrame], dealt: pl.DataFrame, as_of: datetime) -> Scene:
    """The world as it stands at ``as_of``."""
    who = world.who
    told = frames["staged_users"].select("id", joined=pl.col("created_at").dt.epoch("us"))
    mine = pl.LazyFrame({"id": who.ids}, schema={"id": pl.Int64}).join(told, on="id", how="left").sort("id").collect()
    at = int(as_of.timestamp()) * MICRO + as_of.microsecond
    since = friendship_times(frames["staged_friendships"], who, as_of)
    return Scene(world, since, mine["joined"].to_numpy(writable=True), acted(frames, who, as_of), at, dealt)


def acted(frames: Mapping[str, pl.LazyFrame], who: People, at: datetime) -> Ints:
    """When each person last did something before ``at``, by activities; 0 if never.

    Not by the last visit: it is known as of today only, and would tell a hold-out by time what came after it.
    """
    made = frames["staged_activities"].filter(pl.col("created_at") < at)
    last = who.locate(made, who="actor_id").group_by("who").agg(pl.col("created_at").max().dt.epoch("us")).collect()
    found = np.zeros(who.size, dtype=np.int64)
    found[last["who"].to_numpy()] = last["created_at"].to_numpy()
    return found


def pool(scene: Scene, viewers: Index, on: tuple[str, ...], engine: Engine) -> tuple[pl.DataFrame, Ints]:
    """The candidates of ``viewers`` (ascending) from every source that is on, none of which a filter removes.

    Returns ``viewer, candidate, common_neighbours, adamic_adar_micro, resource_allocation_micro,
    mass, is_near`` (of the best by Adamic-Adar)``, is_walked`` (who PageRank proposes), by viewer and
    candidate; and how many eligible friends of friends each viewer has.
    """
    world = scene.world
    friends, barred, size = world.friends, world.filtered.barred, world.who.size
    given, lately = proposed(scene, viewers, on, engine)
    rows = Rows.of(given["viewer"].to_numpy(), given["candidate"].to_numpy(), size, size)
    near_limit = POOL_NEAR if "friends_of_friends" in on else 0
    walk_limit = POOL_WALK if "pagerank" in on else 0
    weight, share = world.friend_weight, pooling.MASS // np.maximum(friends.sizes, 1)
    parts = engine.over(viewers.size, lambda s: pooling.pooled(
        viewers[s], friends.ptr, friends.idx, weight, share, rows.ptr, rows.idx, barred.ptr, barred.idx,
        world.who.is_showable, WALK_CONTINUE_PERCENT, walk_width(friends.sizes), SCORED_WALK_EDGES,
        near_limit, walk_limit,
    ))  # fmt: skip
    v, c, told, eligible = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    unit = WALK_MASS // pooling.MASS * WALK_CONTINUE_PERCENT**2 // 100
    pairs = pl.DataFrame({
        "viewer": v, "candidate": c, "common_neighbours": told[:, 0].copy(), "adamic_adar_micro": told[:, 1].copy(),
        "resource_allocation_micro": told[:, 2] // (pooling.MASS // MICRO),
        "mass": told[:, 3] * unit // (100 * np.maximum(friends.sizes[v], 1)),
        "is_near": told[:, 4] & pooling.NEAR > 0, "is_walked": told[:, 4] & pooling.WALKED > 0,
    })  # fmt: skip
    if lately.height:
        marked = pairs.select(list(PAIR)).join(
            lately.with_columns(is_late=pl.lit(value=True)), on=list(PAIR), how="left", maintain_order="left"
        )
        pairs = pairs.with_columns(pl.col("is_walked") | marked["is_late"].fill_null(value=False))
    return pairs, eligible


def walk_width(degrees: Ints) -> int:
    """How many nodes a step of a walk may expand: about as many as `SCORED_WALK_EDGES` allow in this graph."""
    return int(np.clip(SCORED_WALK_EDGES * degrees.sum() // max((degrees**2).sum(), 1), 10, SCORED_WALK_WIDTH))


def proposed(scene: Scene, viewers: Index, on: tuple[str, ...], engine: Engine) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Whom the sources beside friends of friends and PageRank propose; and whom PageRank does over recent friendships.

    ``viewer, candidate``; a filter may still remove the former.
    """
    world = scene.world
    found = []
    if "co_membership" in on and world.groups.members.idx.size:
        found.append(sources.co_membership(world, viewers, engine, POOL_CONTEXT))
    if "interaction" in on and scene.dealt.height:
        mine = np.zeros(world.who.size, dtype=np.bool_)
        mine[viewers] = True
        found.append(sources.interaction(scene.dealt, mine))
    recent = scene.recency.recent
    nobody = Rows.of(np.zeros(0, np.int32), np.zeros(0, np.int32), world.who.size, world.who.size)
    lately = pl.DataFrame(schema=PAIR)
    if recent is not None and "pagerank" in on:
        lately = walk(scene, viewers, nobody, POOL_RECENT, engine, recent)[1].select(list(PAIR))
    if recent is not None and "popular" in on:
        crowd = pl.DataFrame({"candidate": scene.recency.lively}, schema={"candidate": pl.Int32})
        found.append(pl.DataFrame({"viewer": viewers}, schema={"viewer": pl.Int32}).join(crowd, how="cross"))
    return pl.concat([pl.DataFrame(schema=PAIR), *found, lately]), lately


def walk(
    scene: Scene, viewers: Index, given: Rows, limit: int, engine: Engine, over: Rows | None = None
) -> tuple[Ints, pl.DataFrame]:
    """The mass of the given pairs, by viewer, and the ``limit`` best candidates of each: see `spread.masses`.

    ``over``: the friendships that are walked, all by default.
    """
    world = scene.world
    friends, barred = world.friends, world.filtered.barred
    paths = over or friends
    ordered = np.sort(viewers)
    parts = engine.over(ordered.size, lambda s: spread.masses(
        ordered[s], paths.ptr, paths.idx, given.ptr, given.idx, friends.ptr, friends.idx, barred.ptr, barred.idx,
        world.who.is_showable, WALK_MASS, WALK_CONTINUE_PERCENT, SCORED_WALK_WIDTH, limit,
    ))  # fmt: skip
    pairs = np.concatenate([part[1] for part in parts])
    frame = pl.DataFrame(
        {"viewer": pairs[:, 0].copy(), "candidate": pairs[:, 1].copy(), "mass": np.concatenate([p[2] for p in parts])},
        schema={**PAIR, "mass": pl.Int64},
    )
    return np.concatenate([part[0] for part in parts]), frame


def columns(scene: Scene, pairs: pl.DataFrame, engine: Engine) -> list[Ints]:
    """One int64 array per signal of `SIGNALS`, for the ``pairs`` of a `pool`."""
    world = scene.world
    who, friends, groups = world.who, world.friends, world.groups
    v, c = pairs["viewer"].to_numpy(), pairs["candidate"].to_numpy()
    rows = Rows.of(v, c, who.size, who.size)
    viewers = np.unique(v)
    told = scene.recency
    cn, aa, ra = (pairs[name].to_numpy() for name in SIGNALS[:3])
    fresh_aa, youngest = np.zeros(v.size, np.int64), np.full(v.size, recency.NO_PATH, np.int64)
    if told.is_timed:
        fresh_aa, youngest = np.concatenate(engine.over(viewers.size, lambda s: spread.common(
            viewers[s], rows.ptr, rows.idx, friends.ptr, friends.idx, world.friend_weight, told.fresh, told.hours
        )), axis=1)  # fmt: skip
    shared = [np.zeros(v.size, np.int64)] * (len(CONTEXT_KINDS) + 4)
    if groups.members.idx.size:
        shared = list(np.concatenate(engine.over(viewers.size, lambda s: spread.context(
            viewers[s], rows.ptr, rows.idx, friends.ptr, friends.idx, groups.of_person.ptr, groups.of_person.idx,
            groups.own_weight, groups.members.ptr, groups.members.idx, groups.kind_number, len(CONTEXT_KINDS),
            groups.weight, GROUP_SIZE_LIMIT,
        )), axis=1))  # fmt: skip
    degree, held = friends.sizes, groups.of_person.sizes
    dv, dc = degree[v], degree[c]
    mass = pairs["mass"].to_numpy() // 1000
    reverse = mass * dv // np.maximum(dc, 1)
    late = np.zeros_like(mass)
    if told.recent is not None:
        late = walk(scene, viewers, rows, 0, engine, told.recent)[0] // 1000
    age = (scene.at - scene.joined) // DAY if scene.is_timed else np.zeros(who.size, dtype=np.int64)
    idle = (scene.at - scene.acted) // DAY if scene.is_timed else np.zeros(who.size, dtype=np.int64)
    dealt = pairs.select(list(PAIR)).join(scene.dealt, on=list(PAIR), how="left", maintain_order="left")
    known = {
        "jaccard_micro": MICRO * cn // np.maximum(dv + dc - cn, 1),
        "pagerank": mass, "reverse_pagerank": reverse, "symmetric_pagerank": mass + reverse,
        "interaction_count": dealt["interaction_count"].fill_null(0).to_numpy() * int(scene.is_timed),
        "same_country": ((who.country[v] == who.country[c]) & (who.country[v] >= 0)).astype(np.int64),
    }  # fmt: skip
    found = [
        cn, aa, ra, fresh_aa, known["jaccard_micro"], dv, dc, known["pagerank"], known["reverse_pagerank"],
        known["symmetric_pagerank"], *shared, held[v], held[c], known["same_country"], known["interaction_count"],
        told.months[v], told.months[c], told.lately[c], age[v], age[c], idle[c],
        late, youngest, told.last[v], told.last[c], *(own[side] for own in told.paces for side in (v, c)),
    ]  # fmt: skip
    return found + [relative(found[SIGNALS.index(name)], rows.ptr) for name in RELATIVE]


def relative(values: Ints, ptr: Ints) -> Ints:
    """Per mille of the largest value in each row."""
    sizes = np.diff(ptr)
    if not values.size:
        return values
    most = np.maximum.reduceat(values, ptr[:-1][sizes > 0])
    best = np.maximum(np.repeat(most, sizes[sizes > 0]), 1)
    return np.asarray(1000 * values // best, dtype=np.int64)
