"""Contracts of the product `friends`: recommendations, candidates, filter counts, the model (02, 2.1)."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from quality.contract import Contract, Rule
from quality.types import BigintList, Strict, TextList

REASONS = (
    "mutual_friends",
    "shared_school",
    "shared_employer",
    "shared_group",
    "shared_interest",
    "interaction",
    "extended_network",
    "popular_in_country",
    "suggested",
)
"""Reason codes, strongest first (02, 2.4)."""
SHARED = tuple(reason for reason in REASONS if reason.startswith("shared_"))


class friend_recommendations(pa.DataFrameModel):
    """Whom each viewer is shown, in order, and why."""

    viewer_id: pl.Int64
    rank: pl.Int64
    candidate_id: pl.Int64
    score: pl.Int64
    reason_code: pl.String
    mutual_count: pl.Int64
    mutual_sample_ids: BigintList
    shared_group_count: pl.Int64
    shared_group_ids: BigintList
    sources: TextList
    variant: pl.String

    Config = Strict


class friend_candidates(pa.DataFrameModel):
    """Eligible pairs with their features, after the filters."""

    viewer_id: pl.Int64
    candidate_id: pl.Int64
    sources: TextList
    common_neighbours: pl.Int64
    adamic_adar_micro: pl.Int64
    resource_allocation_micro: pl.Int64
    jaccard_micro: pl.Int64
    viewer_degree: pl.Int64
    candidate_degree: pl.Int64
    shared_group_count: pl.Int64
    interaction_count: pl.Int64
    impression_count: pl.Int64

    Config = Strict


class friend_filter_counts(pa.DataFrameModel):
    """How many (viewer, candidate) pairs each filter removed; a pair counts once."""

    reason: pl.String
    removed_count: pl.Int64

    Config = Strict


class friend_model(pa.DataFrameModel):
    """Per variant the ranker, its features and weights, and how well it did on validation (JSON)."""

    variant: pl.String
    ranker: pl.String
    is_learned: pl.Boolean
    features: TextList
    weights: BigintList
    positive_count: pl.Int64 = pa.Field(nullable=True)
    evaluation: pl.String = pa.Field(nullable=True)

    Config = Strict


_reason = pl.col("reason_code")
_rank = pl.col("rank")
_shared = pl.col("shared_group_count")
_cn, _aa = pl.col("common_neighbours"), pl.col("adamic_adar_micro")
_neither_self = Rule("viewer is not the candidate", "candidate_id", pl.col("viewer_id") == pl.col("candidate_id"))
_has_sources = Rule("a source is recorded", "sources", pl.col("sources").list.len() == 0)

FRIENDS: tuple[Contract, ...] = (
    Contract(
        friend_recommendations,
        key=("viewer_id", "rank"),
        group="friends",
        kind="product",
        is_published=True,
        rules=(
            _neither_self,
            _has_sources,
            Rule("ranks are dense from 1", "rank", (_rank < 1) | (_rank > pl.len().over("viewer_id"))),
            Rule("candidate once a viewer", "candidate_id", pl.struct("viewer_id", "candidate_id").is_duplicated()),
            Rule("score >= 0", "score", pl.col("score") < 0),
            Rule("score falls with rank", "score", pl.col("score").diff().over("viewer_id", order_by="rank") > 0),
            Rule("reason is known", "reason_code", ~_reason.is_in(REASONS)),
            Rule("mutual_friends iff mutual friends", "mutual_count",
                 (_reason == "mutual_friends") != (pl.col("mutual_count") > 0)),
            Rule("named are counted, at most 3", "mutual_sample_ids",
                 pl.col("mutual_sample_ids").list.len() > pl.min_horizontal("mutual_count", 3)),
            Rule("named groups are counted, at most 3", "shared_group_ids",
                 pl.col("shared_group_ids").list.len() != pl.min_horizontal("shared_group_count", 3)),
            Rule("a shared_ reason has a shared group", "shared_group_count", _reason.is_in(SHARED) & (_shared < 1)),
        ),
    ),
    Contract(
        friend_candidates,
        key=("viewer_id", "candidate_id"),
        group="friends",
        kind="product",
        rules=(
            _neither_self,
            _has_sources,
            Rule("counts are not negative", "common_neighbours", pl.min_horizontal(
                "common_neighbours", "adamic_adar_micro", "resource_allocation_micro", "jaccard_micro", "viewer_degree",
                "candidate_degree", "shared_group_count", "interaction_count", "impression_count") < 0),
            Rule("Adamic-Adar iff common neighbours", "adamic_adar_micro", (_aa > 0) != (_cn > 0)),
            Rule("common neighbours <= degrees", "common_neighbours",
                 _cn > pl.min_horizontal("viewer_degree", "candidate_degree")),
        ),
    ),
    Contract(
        friend_filter_counts,
        key=("reason",),
        group="friends",
        kind="product",
        rules=(Rule("removed_count >= 0", "removed_count", pl.col("removed_count") < 0),),
    ),
    Contract(
        friend_model,
        key=("variant",),
        group="friends",
        kind="product",
        rules=(
            Rule("a weight per feature", "weights", pl.col("weights").list.len() != pl.col("features").list.len()),
        ),
    ),
)  # fmt: skip
