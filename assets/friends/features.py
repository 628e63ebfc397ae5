"""What is known of a pair: the features of 02, 2.1, and what 2.4 needs to name names.

Lives here: exact features of any list of pairs, whatever source proposed them. Does not belong
here: choosing pairs, turning features into scores or reasons.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from assets.friends import overlap
from assets.friends.config import MICRO
from assets.friends.engine import Engine
from assets.friends.graph import PAIR
from assets.friends.sources import World


def of_pairs(pairs: pl.DataFrame, world: World, interactions: pl.DataFrame, engine: Engine) -> pl.DataFrame:
    """The pairs (sorted, distinct) with every feature.

    Adds ``common_neighbours, adamic_adar_micro, resource_allocation_micro, jaccard_micro,
    viewer_degree, candidate_degree, shared_group_count`` (that may be told), ``common_group_count``
    (of every kind), ``context_micro, interaction_count, impression_count, mutual_count`` (as
    published), ``hidden_id`` (index of a single mutual friend that may not be named, else -1),
    ``kinds`` (bits), and ``sample_*``, ``group_*`` (3 each, -1).
    """
    pairs = pairs.select(list(PAIR))
    degrees = world.friends.sizes
    counted = pl.concat([pairs, _meet(pairs, world, engine), _share(pairs, world, engine)], how="horizontal")
    counted = counted.with_columns(
        pl.Series("viewer_degree", degrees[pairs["viewer"].to_numpy()]),
        pl.Series("candidate_degree", degrees[pairs["candidate"].to_numpy()]),
        with_count(pairs, interactions, "interaction_count"),
        with_count(pairs, world.filtered.impressions, "impression_count"),
    )
    union = pl.col("viewer_degree") + pl.col("candidate_degree") - pl.col("common_neighbours")
    return counted.with_columns(
        jaccard_micro=MICRO * pl.col("common_neighbours") // pl.max_horizontal(union, 1),
        mutual_count=pl.when(pl.col("hidden_id") >= 0).then(0).otherwise("common_neighbours"),
    )


def published(pairs: pl.DataFrame, world: World, engine: Engine) -> pl.Series:
    """The published number of mutual friends of pairs with ``common_neighbours``: one may have to stay untold (2.4)."""
    viewer, candidate, common = (pairs[name].to_numpy(writable=True) for name in (*PAIR, "common_neighbours"))
    friends, blocks, has_private_list = world.friends, world.blocks, world.who.has_private_list
    parts = engine.over(pairs.height, lambda s: overlap.published(
        viewer[s], candidate[s], common[s], friends.ptr, friends.idx, has_private_list, blocks.ptr, blocks.idx
    ))  # fmt: skip
    return pl.Series("mutual_count", np.concatenate(parts))


def with_count(pairs: pl.DataFrame, counts: pl.DataFrame, name: str) -> pl.Series:
    """The count of every pair, in the order of ``pairs``; 0 where there is none."""
    if counts.is_empty():
        return pl.Series(name, np.zeros(pairs.height, dtype=np.int64))
    joined = pairs.select(list(PAIR)).join(counts, on=list(PAIR), how="left", maintain_order="left")
    return joined[name].fill_null(0)


def _meet(pairs: pl.DataFrame, world: World, engine: Engine) -> pl.DataFrame:
    viewer, candidate = pairs["viewer"].to_numpy(writable=True), pairs["candidate"].to_numpy(writable=True)
    friends, blocks, weight = world.friends, world.blocks, world.friend_weight
    parts = engine.over(
        pairs.height,
        lambda s: overlap.meet(
            viewer[s], candidate[s], friends.ptr, friends.idx, weight, world.who.has_private_list,
            blocks.ptr, blocks.idx,
        ),
    )  # fmt: skip
    sums, named = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    columns = ("common_neighbours", "adamic_adar_micro", "resource_allocation_micro", "hidden_id")
    frame = pl.DataFrame({name: sums[:, i].copy() for i, name in enumerate(columns)})
    return frame.with_columns(pl.Series(f"sample_{i}", named[:, i].copy()) for i in range(3))


def _share(pairs: pl.DataFrame, world: World, engine: Engine) -> pl.DataFrame:
    viewer, candidate = pairs["viewer"].to_numpy(writable=True), pairs["candidate"].to_numpy(writable=True)
    groups = world.groups
    parts = engine.over(
        pairs.height,
        lambda s: overlap.share(
            viewer[s], candidate[s], groups.of_person.ptr, groups.of_person.idx, groups.kind, groups.weight
        ),
    )
    sums, named = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    columns = ("shared_group_count", "kinds", "context_micro", "common_group_count")
    frame = pl.DataFrame({name: sums[:, i].copy() for i, name in enumerate(columns)})
    return frame.with_columns(pl.Series(f"group_{i}", named[:, i].copy()) for i in range(3))
