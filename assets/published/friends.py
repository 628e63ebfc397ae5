"""Friend recommendations as clients get them (spec 06.2 FriendRecommendation). Pure."""

from __future__ import annotations

from typing import Final

import polars as pl

from assets.published.encoding import encoded, json_texts
from assets.published.rows import NO_IDS
from store.payloads import COLD_REASONS

_ITEM: Final = (
    "rank",
    "candidate_id",
    "reason_code",
    "mutual_count",
    "mutual_sample_ids",
    "shared_group_count",
    "shared_group_ids",
    "variant",
)


def score_documents(recommendations: pl.LazyFrame, viewers: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Viewers and bodies of the dataset ``friend_scores``: each row's score and sources, by rank."""
    scored = (
        recommendations.filter(pl.col("viewer_id").is_in(viewers.implode()))
        .sort("viewer_id", "rank")
        .group_by("viewer_id", maintain_order=True)
        .agg(pl.struct("score", "sources").alias("rows"))
        .collect()
    )
    return scored["viewer_id"], scored.select(encoded(pl.col("rows"))).to_series()


def recommendation_list(recommendations: pl.LazyFrame) -> pl.DataFrame:
    """Items as :func:`assets.published.rows.list_rows` takes them; guards: the candidate and the named mutuals."""
    ranked = recommendations.sort("viewer_id", "rank").collect()
    return ranked.select(
        "viewer_id",
        json_texts(ranked.select(_ITEM)),
        pl.col("candidate_id").cast(pl.String).alias("fragment_key"),
        pl.col("reason_code").is_in(COLD_REASONS).alias("is_cold"),
        pl.concat_list(pl.concat_list("candidate_id"), "mutual_sample_ids").alias("guard_users"),
        NO_IDS.alias("guard_groups"),
        NO_IDS.alias("guard_objects"),
        NO_IDS.alias("guard_circle"),
    )
