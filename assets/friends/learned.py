"""Scoring with the trained ranker (02, 2.3): every viewer's pool, ``floor(10^6 p)``, a tenth off per impression.

Lives here: going over the viewers in chunks and keeping what selection needs. Does not belong
here: training, the fixed weights, the exposure cap.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from assets.friends import features, scoring, signals
from assets.friends.boosting import Forest
from assets.friends.config import CHUNK, LEAST_LEARNED_SCORE, LISTED, MICRO, WALK_MASS
from assets.friends.engine import Engine
from assets.friends.graph import PAIR, Index, Ints
from assets.friends.signals import Scene

SCHEMA = {**PAIR, "score": pl.Int64, "common_neighbours": pl.Int64, "is_near": pl.Boolean, "pagerank_micro": pl.Int64}


def scored(
    scene: Scene, viewers: Index, near: pl.DataFrame, forest: Forest, on: tuple[str, ...], engine: Engine
) -> pl.DataFrame:
    """The pairs of `SCHEMA`: per viewer the `LISTED` best, and ``near``'s best.

    ``near``: ``viewer, candidate, is_best`` of all viewers. ``pagerank_micro`` is null where
    PageRank did not propose the pair.
    """
    found = []
    for start in range(0, viewers.size, CHUNK):
        part = viewers[start : start + CHUNK]
        mine = pl.DataFrame({"viewer": part}, schema={"viewer": pl.Int32})
        found.append(_part(scene, part, near.join(mine, on="viewer", how="semi"), forest, on, engine))
    return pl.concat([pl.DataFrame(schema=SCHEMA), *found])


def learned_score(forest: Forest, table: list[Ints], impressions: Ints) -> Ints:
    """``floor(10^6 p)``, at least `LEAST_LEARNED_SCORE`; each impression takes a tenth."""
    score = np.maximum(forest.score(table), LEAST_LEARNED_SCORE)
    return scoring.after_impressions(score, impressions)


def _part(
    scene: Scene, viewers: Index, near: pl.DataFrame, forest: Forest, on: tuple[str, ...], engine: Engine
) -> pl.DataFrame:
    pairs = signals.pool(scene, viewers, near, on, engine)
    if pairs.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    table = signals.columns(scene, pairs, engine)
    impressions = features.with_count(pairs, scene.world.filtered.impressions, "impression_count").to_numpy()
    walked = pl.when("is_walked").then(pl.col("mass") // (WALK_MASS // MICRO))
    known = pairs.with_columns(
        pl.Series("score", learned_score(forest, table, impressions)),
        pl.Series("common_neighbours", table[0]),
        pl.Series("is_near", table[0] > 0),
        walked.alias("pagerank_micro"),
    )
    best = near.filter("is_best").select(*PAIR, is_kept=pl.lit(value=True))
    known = known.join(best, on=list(PAIR), how="left").sort(
        "viewer", "score", "candidate", descending=[False, True, False]
    )
    place = pl.int_range(pl.len()).over("viewer")
    return known.filter((place < LISTED) | pl.col("is_kept").fill_null(value=False)).select(list(SCHEMA))
