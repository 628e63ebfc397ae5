"""Scoring with the trained ranker (02, 2.3): every viewer's pool, ``floor(10^6 p)``, a tenth off per impression.

``p`` is the share of the viewer's new friendships that the pair is expected to be (`training`).
Lives here: going over the viewers in chunks and keeping what selection needs. Does not belong
here: training, the fixed weights, the exposure cap.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from assets.friends import features, pooling, scoring, signals
from assets.friends.boosting import Forest
from assets.friends.config import CHUNK, LEAST_LEARNED_SCORE, MICRO, WALK_MASS
from assets.friends.engine import Engine
from assets.friends.graph import PAIR, Flags, Ints
from assets.friends.signals import Scene
from store.settings import FriendsSettings

SCHEMA = {**PAIR, "score": pl.Int64, "common_neighbours": pl.Int64, "is_near": pl.Boolean, "pagerank_micro": pl.Int64}


def scored(
    scene: Scene, forest: Forest, config: FriendsSettings, kept: Flags, engine: Engine
) -> tuple[pl.DataFrame, pl.DataFrame, Ints]:
    """Everything that selection can choose from, sorted: the pairs of `SCHEMA`.

    ``pagerank_micro`` is null where PageRank did not propose the pair. Besides: the best friends of
    friends of the ``kept`` (``viewer, candidate``), and how many eligible ones each person has.
    """
    who = scene.world.who
    eligible = np.zeros(who.size, dtype=np.int64)
    found, near = [pl.DataFrame(schema=SCHEMA)], [pl.DataFrame(schema=PAIR)]
    for bucket in engine.cut(who.viewers, who.ids):
        for start in range(0, bucket.size, CHUNK):
            part = bucket[start : start + CHUNK]
            pairs, eligible[part] = signals.pool(scene, part, config.sources, engine)
            if pairs.height:
                found.append(_part(scene, pairs, forest, config.k, engine))
                is_held = pl.Series(kept[pairs["viewer"].to_numpy()], dtype=pl.Boolean)
                near.append(pairs.filter(pl.col("is_near") & is_held).select(list(PAIR)))
    pairs = pl.concat(found)
    return pairs if engine.buckets == 1 else pairs.sort(list(PAIR)), pl.concat(near), eligible


def learned_score(forest: Forest, table: list[Ints], impressions: Ints) -> Ints:
    """``floor(10^6 p)``, at least `LEAST_LEARNED_SCORE`; each impression takes a tenth."""
    score = np.maximum(forest.score(table), LEAST_LEARNED_SCORE)
    return scoring.after_impressions(score, impressions)


def _part(scene: Scene, pairs: pl.DataFrame, forest: Forest, k: int, engine: Engine) -> pl.DataFrame:
    table = signals.columns(scene, pairs, engine, [signals.SIGNALS[f] for f in forest.asked])
    impressions = features.with_count(pairs, scene.world.filtered.impressions, "impression_count").to_numpy()
    score = learned_score(forest, table, impressions)
    is_near = pairs["common_neighbours"].to_numpy() > 0
    within = pooling.within_reach(pairs["viewer"].to_numpy(), score, is_near, k)
    walked = pl.when("is_walked").then(pl.col("mass") // (WALK_MASS // MICRO))
    known = pairs.with_columns(pl.Series("score", score), pl.Series("is_near", is_near), walked.alias("pagerank_micro"))
    return known.filter(pl.Series(within)).select(list(SCHEMA))
