"""Why a row is shown: the strongest true reason that reveals nothing (02, 2.4).

Lives here: reasons, named mutual friends, shared groups, recorded sources. Every reason can be
checked from the snapshot. Does not belong here: the order of rows.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from assets.friends import overlap
from assets.friends.config import GROUP_KINDS, NAMED
from assets.friends.engine import Engine
from assets.friends.graph import PAIR, Ints
from assets.friends.sources import World


def with_reasons(rows: pl.DataFrame, world: World, told: pl.DataFrame, engine: Engine) -> pl.DataFrame:
    """Add ``reason_code``; ``rows`` (sorted) carry the features and ``is_same_country``.

    ``told``: the pairs of whose interactions the viewer may know (`interactions.readable`).
    """
    strongest = pl.when(pl.col("mutual_count") > 0).then(pl.lit("mutual_friends"))
    for number, kind in enumerate(GROUP_KINDS):
        holds = (pl.col("kinds") & (1 << number)) > 0
        strongest = strongest.when(holds).then(pl.lit(f"shared_{kind}"))  # type: ignore[assignment]
    rows = rows.with_columns(reason_code=strongest.otherwise(None))
    rest = rows.filter(pl.col("reason_code").is_null())
    if rest.is_empty():
        return rows
    dealt = told.with_columns(is_interaction=pl.lit(value=True))
    rest = rest.join(dealt, on=list(PAIR), how="left").sort(list(PAIR))
    rest = rest.with_columns(extended_network(rest, world, engine).alias("is_near_by"))
    is_popular = pl.col("is_same_country") & (pl.col("candidate_degree") >= 1)
    weaker = (
        pl.when(pl.col("is_interaction")).then(pl.lit("interaction"))
        .when(pl.col("is_near_by")).then(pl.lit("extended_network"))
        .when(is_popular).then(pl.lit("popular_in_country"))
        .otherwise(pl.lit("suggested"))
    )  # fmt: skip
    named = rest.select(*PAIR, weaker.alias("weaker"))
    joined = rows.join(named, on=list(PAIR), how="left")
    return joined.with_columns(pl.coalesce("reason_code", "weaker").alias("reason_code")).drop("weaker")


def extended_network(pairs: pl.DataFrame, world: World, engine: Engine) -> pl.Series:
    """Whether a path of at most four edges joins each pair (sorted by viewer).

    A single mutual friend that may not be named is taken out first: the answer never depends on
    that person.
    """
    viewer, candidate, hidden = (pairs[name].to_numpy(writable=True) for name in ("viewer", "candidate", "hidden_id"))
    friends = world.friends
    parts = engine.over(
        pairs.height, lambda s: overlap.reach(viewer[s], candidate[s], hidden[s], friends.ptr, friends.idx)
    )
    return pl.Series("is_near_by", np.concatenate(parts))


def named(rows: pl.DataFrame, stem: str, ids: Ints) -> pl.Series:
    """The list of ids behind ``stem_0 ... stem_2``, in that order, without the missing (-1)."""
    places = np.column_stack([rows[f"{stem}_{i}"].to_numpy() for i in range(NAMED)])
    is_there = places >= 0
    ends = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(is_there.sum(axis=1))])
    return pl.Series(pa.LargeListArray.from_arrays(pa.array(ends), pa.array(ids[places[is_there]])))


TELLING = ("co_membership", "friends_of_friends", "interaction", "pagerank")
"""The sources that something true of the pair speaks for, in the order of their names."""


def source_bits(switched_on: tuple[str, ...]) -> pl.Expr:
    """``source_bits``, which sources speak for a row: by what is true of the pair, and by who proposed it.

    ``friends_of_friends`` iff a common neighbour exists, ``co_membership`` iff a common group of
    at most `GROUP_SIZE_LIMIT` members, ``interaction`` iff any in 90 days; ``pagerank`` and
    ``popular`` iff they proposed the pair.
    """
    true = (
        pl.col("context_micro") > 0, pl.col("common_neighbours") > 0, pl.col("interaction_count") > 0,
        pl.col("pagerank_micro").is_not_null(),
    )  # fmt: skip
    on = [(i, holds) for i, (name, holds) in enumerate(zip(TELLING, true, strict=True)) if name in switched_on]
    popular = pl.col("is_filled") | ~pl.any_horizontal(pl.lit(value=False), *(holds for _, holds in on))
    bits = [holds.fill_null(value=False).cast(pl.Int64) * (1 << i) for i, holds in (*on, (len(TELLING), popular))]
    return pl.sum_horizontal(bits).alias("source_bits")


def sources_named(bits: pl.Series) -> pl.Series:
    """The sorted names behind ``source_bits``."""
    names = (*TELLING, "popular")
    lists = [[name for i, name in enumerate(names) if number & (1 << i)] for number in range(1 << len(names))]
    return pl.Series("sources", lists, dtype=pl.List(pl.String)).gather(bits)
