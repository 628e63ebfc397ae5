"""The ranker with fixed, documented weights (02, 2.3), in integers.

A friend of a friend scores their Adamic-Adar sum. Anyone else that a signal speaks for scores
between 1 000 and 10 000, rising with rarity of common groups, interactions and PageRank; the
popular score 0-900 by country and degree. Then each impression takes a tenth. Does not belong
here: who is eligible, who is shown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.friends.config import (
    FEATURES,
    LEARNED,
    MICRO,
    OUTSIDE_BASE,
    OUTSIDE_RANGE,
    POPULAR_COUNTRY_BONUS,
    POPULAR_DEGREE_LIMIT,
    RANKER,
    VARIANTS,
)
from assets.friends.graph import Ints, People

if TYPE_CHECKING:
    from assets.friends.training import Model


def base_score() -> pl.Expr:
    """The score before impressions, from the features and ``arm`` (index into `VARIANTS`)."""
    signal = pl.lit(0, dtype=pl.Int64)
    for number, variant in enumerate(VARIANTS):
        weights = variant.weights
        mine = (
            pl.col("context_micro") * weights.context
            + pl.col("interaction_count") * weights.interaction
            + pl.col("pagerank_micro").fill_null(0) * weights.pagerank
        )
        signal = pl.when(pl.col("arm") == number).then(mine).otherwise(signal)
    outside = OUTSIDE_BASE + OUTSIDE_RANGE * signal // (signal + MICRO)
    is_friend_of_friend = pl.col("common_neighbours") > 0
    return pl.when(is_friend_of_friend).then("adamic_adar_micro").when(signal > 0).then(outside).otherwise(popular())


def popular() -> pl.Expr:
    """The score of a pair that nothing but popularity speaks for."""
    bonus = pl.when(pl.col("is_same_country")).then(POPULAR_COUNTRY_BONUS).otherwise(0)
    return bonus + pl.min_horizontal("candidate_degree", POPULAR_DEGREE_LIMIT)


def after_impressions(scores: Ints, impressions: Ints) -> Ints:
    """``floor(score * 9 / 10)`` once for every impression."""
    for done in range(int(impressions.max(initial=0))):
        scores = np.where(impressions > done, scores * 9 // 10, scores)
    return scores


def same_country(pairs: pl.DataFrame, who: People) -> pl.Series:
    """Whether viewer and candidate have the same country, known for both."""
    mine, theirs = who.country[pairs["viewer"].to_numpy()], who.country[pairs["candidate"].to_numpy()]
    return pl.Series("is_same_country", (mine == theirs) & (mine >= 0))


def friend_model(model: Model, signals: Sequence[str], losses: Sequence[str]) -> pl.DataFrame:
    """`friend_model`: one row per variant.

    Of fixed weights: the features and their weights, in one order. Of a trained ranker: the signals
    and each one's share of what the trees gained, parts per million. ``evaluation``: JSON of
    the figures on validation, the reason for the choice, and what fell below the last accepted run.
    """
    told = json.dumps({"reason": model.reason, "losses": list(losses), **model.evaluation}, sort_keys=True)
    fixed = {v.name: [1, v.weights.context, v.weights.interaction, v.weights.pagerank] for v in VARIANTS}
    forest = model.forest
    rows = [
        {
            "variant": name,
            "ranker": RANKER if forest is None else LEARNED,
            "is_learned": forest is not None,
            "features": list(FEATURES if forest is None else signals),
            "weights": weights if forest is None else forest.gain.tolist(),
            "positive_count": model.positive_count if model.evaluation else None,
            "evaluation": told,
        }
        for name, weights in sorted(fixed.items())
    ]
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "variant": pl.String, "ranker": pl.String, "is_learned": pl.Boolean, "features": pl.List(pl.String),
        "weights": pl.List(pl.Int64), "positive_count": pl.Int64, "evaluation": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def arm_numbers(names: Sequence[str]) -> pl.Series:
    """Variant names as their places in `VARIANTS`."""
    place = {variant.name: i for i, variant in enumerate(VARIANTS)}
    return pl.Series("arm", np.asarray([place[name] for name in names], dtype=np.int32))
