"""What the learned ranker looks at: a viewer's pool of candidates and the signals of every pair in it.

The same functions serve training (a graph with friendships taken out) and scoring (the graph as
it stands), so a model never sees a signal computed in two ways. Whole numbers throughout; missing
times are zero everywhere. Does not belong here: trees, hold-outs, selection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property, partial

import numpy as np
import polars as pl

from assets.friends import features, pooling, recency, sources, spread
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
SHARED = (
    *(f"shared_{kind}" for kind in CONTEXT_KINDS), "shared_rarity", "shared_likeness", "friends_in_groups",
    "groups_of_friends",
)  # fmt: skip
"""What `spread.context` tells, in its order."""
OF_PACES = (*(f"pace_{part}" for part in PACES), *(f"days_{days}" for days in PACE_DAYS))
"""What `Recency.paces` tells, in its order."""
SIGNALS = (
    "common_neighbours", "adamic_adar_micro", "resource_allocation_micro", "fresh_adamic_adar", "jaccard_micro",
    "viewer_degree", "candidate_degree", "pagerank", "reverse_pagerank", "symmetric_pagerank",
    *SHARED, "viewer_groups", "candidate_groups", "same_country", "interaction_count",
    "viewer_fresh_friends", "candidate_fresh_friends", "candidate_lately", "viewer_age_days", "candidate_age_days",
    "candidate_idle_days", "recent_pagerank", "youngest_path_hours", "viewer_friend_hours", "candidate_friend_hours",
    *(f"{side}_{name}" for name in OF_PACES for side in ("viewer", "candidate")),
    *(f"relative_{name}" for name in RELATIVE),
)  # fmt: skip
TOLD_TWICE = frozenset(f"relative_{name}" for name in RELATIVE)
Of = Callable[[str], Ints]
"""A signal's column by its name."""
Column = Callable[[Of], Ints]
"""What makes a signal's column, of other columns too."""


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
    v, c, told, eligible = (np.concatenate(columns, axis=-1) for columns in zip(*parts, strict=True))
    unit = WALK_MASS // pooling.MASS * WALK_CONTINUE_PERCENT**2 // 100
    pairs = pl.DataFrame({
        "viewer": v, "candidate": c, "common_neighbours": told[0], "adamic_adar_micro": told[1],
        "resource_allocation_micro": told[2] // (pooling.MASS // MICRO),
        "mass": told[3] * unit // (100 * np.maximum(friends.sizes[v], 1)),
        "is_near": told[4] & pooling.NEAR > 0, "is_walked": told[4] & pooling.WALKED > 0,
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


def columns(scene: Scene, pairs: pl.DataFrame, engine: Engine, asked: Iterable[str] = SIGNALS) -> list[Ints]:
    """One int64 array per signal of `SIGNALS`, for the ``pairs`` of a `pool`; empty for signals not ``asked``.

    A forest asks only what it learned to tell apart, so what no time and no group speaks of costs nothing.
    """
    v, c = pairs["viewer"].to_numpy(), pairs["candidate"].to_numpy()
    ptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(v, minlength=scene.world.who.size))])
    made = {**_by_person(scene, v, c), **_by_pair(scene, pairs, Rows(ptr, c), engine)}
    kept: dict[str, Ints] = {}

    def of(name: str) -> Ints:
        if name not in kept:
            kept[name] = relative(of(name.removeprefix("relative_")), ptr) if name in TOLD_TWICE else made[name](of)
        return kept[name]

    wanted, nothing = frozenset(asked), np.zeros(0, dtype=np.int64)
    return [of(name) if name in wanted else nothing for name in SIGNALS]


def _by_person(scene: Scene, v: Index, c: Index) -> dict[str, Column]:
    """Signals of the viewer alone and of the candidate alone."""
    told, world, nothing = scene.recency, scene.world, np.zeros(scene.world.who.size, dtype=np.int64)
    of_person = {
        "degree": world.friends.sizes, "groups": world.groups.of_person.sizes, "fresh_friends": told.months,
        "lately": told.lately, "friend_hours": told.last, **dict(zip(OF_PACES, told.paces, strict=True)),
        "age_days": (scene.at - scene.joined) // DAY if scene.is_timed else nothing,
        "idle_days": (scene.at - scene.acted) // DAY if scene.is_timed else nothing,
    }  # fmt: skip
    sides = {"viewer": v, "candidate": c}
    return {f"{side}_{name}": _taken(values, who) for name, values in of_person.items() for side, who in sides.items()}


def _taken(values: Ints, who: Index) -> Column:
    return lambda _: np.asarray(values[who])


def _by_pair(scene: Scene, pairs: pl.DataFrame, rows: Rows, engine: Engine) -> dict[str, Column]:
    """Signals of viewer and candidate together; what comes of one pass is computed once."""
    world, told, size = scene.world, scene.recency, pairs.height
    friends, groups, country = world.friends, world.groups, world.who.country
    viewers, nothing = np.flatnonzero(rows.sizes).astype(np.int32), np.zeros(size, dtype=np.int64)
    v, c = pairs["viewer"].to_numpy(), rows.idx

    @cache
    def timed() -> Ints:
        if not told.is_timed:
            return np.stack([nothing, np.full(size, recency.NO_PATH, dtype=np.int64)])
        weight = world.friend_weight
        return np.concatenate(engine.over(viewers.size, lambda s: spread.common(
            viewers[s], rows.ptr, rows.idx, friends.ptr, friends.idx, weight, told.fresh, told.hours
        )), axis=1)  # fmt: skip

    @cache
    def shared() -> Ints:
        if not groups.members.idx.size:
            return np.zeros((len(SHARED), size), dtype=np.int64)
        return np.concatenate(engine.over(viewers.size, lambda s: spread.context(
            viewers[s], rows.ptr, rows.idx, friends.ptr, friends.idx, groups.of_person.ptr, groups.of_person.idx,
            groups.own_weight, groups.members.ptr, groups.members.idx, groups.kind_number, len(CONTEXT_KINDS),
            groups.weight, GROUP_SIZE_LIMIT,
        )), axis=1)  # fmt: skip

    def given(name: str, _: Of) -> Ints:
        return pairs[name].to_numpy()

    def in_groups(i: int, _: Of) -> Ints:
        return np.asarray(shared()[i])

    def late(_: Of) -> Ints:
        return nothing if told.recent is None else walk(scene, viewers, rows, 0, engine, told.recent)[0] // 1000

    def dealt(_: Of) -> Ints:
        return features.with_count(pairs, scene.dealt, "interaction_count").to_numpy() if told.is_timed else nothing

    def jaccard(of: Of) -> Ints:
        common = of("common_neighbours")
        return np.asarray(MICRO * common // np.maximum(of("viewer_degree") + of("candidate_degree") - common, 1))

    return {
        **{name: partial(given, name) for name in SIGNALS[:3]},
        **{name: partial(in_groups, i) for i, name in enumerate(SHARED)},
        "fresh_adamic_adar": lambda _: np.asarray(timed()[0]), "youngest_path_hours": lambda _: np.asarray(timed()[1]),
        "jaccard_micro": jaccard, "pagerank": lambda _: pairs["mass"].to_numpy() // 1000, "recent_pagerank": late,
        "reverse_pagerank": lambda of: of("pagerank") * of("viewer_degree") // np.maximum(of("candidate_degree"), 1),
        "symmetric_pagerank": lambda of: of("pagerank") + of("reverse_pagerank"), "interaction_count": dealt,
        "same_country": lambda _: ((country[v] == country[c]) & (country[v] >= 0)).astype(np.int64),
    }  # fmt: skip


def relative(values: Ints, ptr: Ints) -> Ints:
    """Per mille of the largest value in each row."""
    sizes = np.diff(ptr)
    if not values.size:
        return values
    most = np.maximum.reduceat(values, ptr[:-1][sizes > 0])
    best = np.maximum(np.repeat(most, sizes[sizes > 0]), 1)
    return np.asarray(1000 * values // best, dtype=np.int64)
