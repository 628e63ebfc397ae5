"""Where candidates come from (02, 2.3): friends of friends, PageRank, groups, interactions, the popular.

Each source is a function that proposes pairs (index space) no filter removes. All but
friends-of-friends are asked only for viewers whom it leaves short of k, because the fixed
weights rank it first. The popular are proposed without listing pairs: see `selection`.
Does not belong here: scores, reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.friends import kernels
from assets.friends.config import (
    CANDIDATE_DEPTH,
    CONTEXT_KINDS,
    GROUP_KINDS,
    GROUP_SIZE_LIMIT,
    MICRO,
    SOURCE_WIDTH,
    WALK_CONTINUE_PERCENT,
    WALK_MASS,
    WALK_WIDTH,
)
from assets.friends.engine import Engine
from assets.friends.filters import Filtered, passing
from assets.friends.graph import PAIR, Flags, Index, Ints, People, Rows, log_weights


@dataclass(frozen=True)
class World:
    """Everything the hot loops read, in index space."""

    who: People
    friends: Rows
    blocks: Rows
    groups: Groups
    filtered: Filtered

    @property
    def friend_weight(self) -> Ints:
        """Adamic-Adar weight of every person, micro."""
        return log_weights(self.friends.sizes)


@dataclass(frozen=True)
class Groups:
    """Memberships in force at ``as_of`` of people that are there, in groups that are there."""

    ids: Ints
    of_person: Rows
    members: Rows
    kind: Ints
    """The bit of a kind that may be a reason (`GROUP_KINDS`), 0 for places."""
    weight: Ints
    """Rarity ``floor(10^6 / ln size)``; 0 above `GROUP_SIZE_LIMIT` members."""
    kind_number: Ints
    """The place of a group's kind in `CONTEXT_KINDS`."""
    own_weight: Ints
    """Per entry of ``of_person``: ``floor(1000 ln(1 + weight of the membership))``."""


def groups_of(groups: pl.LazyFrame, memberships: pl.LazyFrame, who: People, as_of: datetime) -> Groups:
    """The groups by ascending id and who is in them at ``as_of``."""
    there = groups.filter(pl.col("created_at") < as_of).sort("id").collect()
    lasting = pl.col("left_at").is_null() | (pl.col("left_at") > as_of)
    number = there.lazy().select("id", group=pl.int_range(pl.len(), dtype=pl.Int32))
    held = (
        who.locate(memberships.filter((pl.col("joined_at") < as_of) & lasting), person="user_id")
        .join(number, left_on="group_id", right_on="id", how="inner")
        .group_by("person", "group")
        .agg(pl.col("weight").max())
        .sort("person", "group")
        .collect()
    )
    person, group = held["person"].to_numpy(), held["group"].to_numpy()
    own_weight = np.floor(1000 * np.log1p(held["weight"].fill_null(1).cast(pl.Float64).clip(0).to_numpy())).astype(
        np.int64
    )
    members = Rows.of(group, person, there.height, who.size)
    sizes = members.sizes
    weight = np.where(sizes <= GROUP_SIZE_LIMIT, log_weights(sizes), 0)
    bits = {kind: 1 << i for i, kind in enumerate(GROUP_KINDS)}
    kind = np.asarray([bits.get(k, 0) for k in there["kind"].to_list()], dtype=np.int64)
    number_of = {kind: i for i, kind in enumerate(CONTEXT_KINDS)}
    numbers = np.asarray([number_of.get(k, 0) for k in there["kind"].to_list()], dtype=np.int64)
    of_person = Rows.of(person, group, who.size, there.height)
    return Groups(there["id"].to_numpy(), of_person, members, kind, weight, numbers, own_weight)


def friends_of_friends(world: World, viewers: Index, k: int, depth: Ints, engine: Engine) -> tuple[pl.DataFrame, Ints]:
    """The best friends of friends of every viewer, and how many eligible ones each viewer has.

    Columns: ``viewer, candidate, adamic_adar_micro, mutual_count`` (as published, 2.4),
    ``is_best`` (of the k by score). ``depth``: per person, how many by Adamic-Adar come besides.
    """
    found = _expand(world, viewers, world.friends, world.friends, world.friend_weight, k, depth, engine)
    pairs, values, eligible = found
    frame = _frame(pairs).with_columns(
        pl.Series("adamic_adar_micro", np.ascontiguousarray(values[:, 0])),
        pl.Series("mutual_count", np.ascontiguousarray(values[:, 1])),
        pl.Series("is_best", values[:, 2] > 0),
    )
    return frame, eligible


def two_steps(world: World, viewers: Index, weight: Ints, depth: Ints, engine: Engine) -> pl.DataFrame:
    """The best friends of friends under any weight per common friend: ``viewer, candidate, weight``."""
    pairs, values, _ = _expand(world, viewers, world.friends, world.friends, weight, 0, depth, engine)
    return _frame(pairs).with_columns(pl.Series("weight", np.ascontiguousarray(values[:, 0])))


def co_membership(world: World, viewers: Index, engine: Engine, width: int = SOURCE_WIDTH) -> pl.DataFrame:
    """People in the viewer's groups, the rarest groups first: ``viewer, candidate``."""
    depth = np.full(world.who.size, width, dtype=np.int64)
    groups = world.groups
    pairs, _, _ = _expand(world, viewers, groups.of_person, groups.members, groups.weight, 0, depth, engine)
    return _frame(pairs)


def pagerank(world: World, viewers: Index, engine: Engine, *, is_beyond: bool = True) -> pl.DataFrame:
    """People at the end of many short paths: ``viewer, candidate, pagerank_micro``.

    ``is_beyond`` friends of friends: where those are proposed anyway, they take no place here.
    """
    barred, showable = world.filtered.barred, world.who.is_showable

    def work(part: Index) -> tuple[Index, Ints]:
        return kernels.walk(
            part, world.friends.ptr, world.friends.idx, barred.ptr, barred.idx, showable,
            WALK_MASS, WALK_CONTINUE_PERCENT, WALK_WIDTH, SOURCE_WIDTH, 2 if is_beyond else 1,
        )  # fmt: skip

    parts = [
        result
        for bucket in engine.cut(viewers, world.who.ids)
        for result in engine.over(bucket.size, lambda s, b=bucket: work(b[s]))  # type: ignore[misc]
    ]
    mass = np.concatenate([values for _, values in parts]) // (WALK_MASS // MICRO)
    return _frame(np.concatenate([pairs for pairs, _ in parts])).with_columns(pl.Series("pagerank_micro", mass))


def interaction(counts: pl.DataFrame, is_short: Flags) -> pl.DataFrame:
    """People with whom the viewer dealt lately, of viewers that are short: ``viewer, candidate``."""
    short = pl.DataFrame({"viewer": np.flatnonzero(is_short).astype(np.int32)}, schema={"viewer": pl.Int32})
    return counts.join(short, on="viewer", how="semi").select(list(PAIR))


def allowed(pairs: pl.DataFrame, world: World) -> pl.DataFrame:
    """The pairs that are neither friends nor one person, and that no filter removes."""
    passed = passing(pairs, world.who, world.filtered).filter(pl.col("viewer") != pl.col("candidate"))
    return passed.join(world.friends.pairs(), on=list(PAIR), how="anti")


def _expand(
    world: World, viewers: Index, first: Rows, second: Rows, weight: Ints, k: int, depth: Ints, engine: Engine
) -> tuple[Index, Ints, Ints]:
    """The two-step kernel over buckets and threads; eligible counts are indexed by person."""
    who, shown = world.who, world.filtered.impressions.sort(list(PAIR))
    shown_rows = Rows.of(shown["viewer"].to_numpy(), shown["candidate"].to_numpy(), who.size, who.size)
    times = shown["impression_count"].to_numpy(writable=True)
    barred, blocks, friends = world.filtered.barred, world.blocks, world.friends
    ends = second.only(who.is_showable)

    def work(part: Index) -> tuple[Index, Ints, Ints]:
        return kernels.expand(
            part, first.ptr, first.idx, ends.ptr, ends.idx, weight, friends.ptr, friends.idx,
            barred.ptr, barred.idx, shown_rows.ptr, shown_rows.idx, times,
            who.has_private_list, blocks.ptr, blocks.idx, k, depth[part], k + int(depth[part].max(initial=0)),
        )  # fmt: skip

    eligible = np.zeros(who.size, dtype=np.int64)
    pairs, values = [], []
    for bucket in engine.cut(viewers, who.ids):
        results = engine.over(bucket.size, lambda s, b=bucket: work(b[s]))  # type: ignore[misc]
        eligible[bucket] = np.concatenate([counts for _, _, counts in results])
        pairs += [result[0] for result in results]
        values += [result[1] for result in results]
    return np.concatenate(pairs), np.concatenate(values), eligible


def _frame(pairs: NDArray[np.int32]) -> pl.DataFrame:
    columns = {"viewer": np.ascontiguousarray(pairs[:, 0]), "candidate": np.ascontiguousarray(pairs[:, 1])}
    return pl.DataFrame(columns, schema=PAIR)


def depth_of(has_candidates: Flags) -> Ints:
    """How deep each person's friends of friends are kept for `friend_candidates`."""
    return np.where(has_candidates, CANDIDATE_DEPTH, 0).astype(np.int64)
