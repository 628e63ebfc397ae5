"""The second filtering of older rows against the newest staged snapshot (spec 06.1).

Lives here: what may have become false since a carried product's ``as_of``, or since a digest was built. Does not
belong here: whether a product may be carried (``defs.py``), the filters themselves (``assets.friends.filters``,
``assets.digests.allowed``). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from assets.digests.allowed import judged
from assets.friends.filters import apply, passing
from assets.friends.graph import edges, people
from store.settings import FriendsSettings

Frames = Mapping[str, pl.LazyFrame]


def rows_of_known(frame: pl.LazyFrame, column: str, known: pl.DataFrame) -> pl.LazyFrame:
    """Rows whose user is still among the known: the erased and inactive are gone."""
    return frame.join(known.lazy().select(pl.col("id").alias(column)), on=column, how="semi", maintain_order="left")


def still_recommendable(
    recommendations: pl.LazyFrame, frames: Frames, as_of: datetime, config: FriendsSettings
) -> pl.LazyFrame:
    """`friend_recommendations` of an earlier ``as_of`` without the pairs that may not be shown now.

    Gone: viewers or candidates who left or were erased, pairs who became friends, and every filter of 02.3
    except impressions (they were counted when the product was computed). Ranks are dense again, and mutuals
    who may no longer be named are dropped from the samples.
    """
    who = people(frames["staged_users"], as_of)
    friends, _ = edges(frames["staged_friendships"], who, as_of)
    without_impressions = {**frames, "staged_recommendation_impressions": _NO_IMPRESSIONS.lazy()}
    filtered = apply(without_impressions, who, friends, as_of, config)
    located = who.locate(recommendations, viewer="viewer_id", candidate="candidate_id").collect()
    kept = passing(located, who, filtered).join(friends.pairs(), on=["viewer", "candidate"], how="anti")
    ranked = kept.sort("viewer_id", "rank").with_columns(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("viewer_id").alias("rank")
    )
    return nameable_samples(ranked.lazy(), frames).select(recommendations.collect_schema().names())


def still_allowed(history: pl.LazyFrame, frames: Frames, known: pl.DataFrame, as_of: datetime) -> pl.LazyFrame:
    """`digest_history` without the digests that may not be shown now (04.3, *allowed*, as things stand).

    Gone as a whole, as at read (06.2): a digest that names or owns something of somebody who left, is blocked
    either way or muted, or that tells of what is deleted, or not for its reader any more.
    """
    groups = (
        history.select("digest_id", "user_id", "groups")
        .explode("groups", keep_nulls=False, empty_as_null=False)
        .unnest("groups")
        .with_columns(pl.concat_list("principal_ids", "sample_actor_ids").list.unique().alias("actor_id"))
        .explode("actor_id", empty_as_null=True)
    )
    # The present mutes of reshares tell of actors; here owners stand among them, and at read they do not count either.
    # An object without an id was somebody who is forgotten: the line says so, and nothing of them.
    told = groups.select(
        "digest_id",
        "user_id",
        "actor_id",
        pl.when(pl.col("object_id").is_not_null()).then("object_type").alias("object_type"),
        "object_id",
        pl.lit(None, pl.String).alias("verb"),
    )
    told = told.with_row_index("notification_id").collect().lazy()
    refused = judged(told, known.lazy(), frames, as_of).filter(pl.col("refusal").is_not_null())
    gone = pl.concat([
        told.join(refused, on="notification_id", how="semi").select("digest_id"),
        told.filter(pl.col("object_type") == "group")
        .join(_left(frames, as_of), left_on=["object_id", "user_id"], right_on=["group_id", "user_id"], how="semi")
        .select("digest_id"),
    ])  # fmt: skip
    return history.join(gone, on="digest_id", how="anti")


def _left(frames: Frames, as_of: datetime) -> pl.LazyFrame:
    """Private groups that people left, and did not join again."""
    memberships = frames["staged_memberships"].filter(pl.col("joined_at") < as_of)
    has_left = pl.col("left_at").is_not_null() & (pl.col("left_at") <= as_of)
    private = frames["staged_groups"].filter("is_private").select("id")
    pair = ["group_id", "user_id"]
    left = (
        memberships.filter(has_left).join(private, left_on="group_id", right_on="id", how="semi").select(pair).unique()
    )
    return left.join(memberships.filter(~has_left), on=pair, how="anti")


def nameable_samples(recommendations: pl.LazyFrame, frames: Frames) -> pl.LazyFrame:
    """Drop from ``mutual_sample_ids`` whoever may no longer be named (02.4)."""
    users = frames["staged_users"]
    is_nameable = (pl.col("status") == "active") & (pl.col("friend_list_visibility") != "private")
    nameable = users.filter(is_nameable).select(pl.col("id").alias("mutual"))
    blocks = frames["staged_blocks"].select(pl.col("blocker_id").alias("mutual"), pl.col("blocked_id").alias("other"))
    both = pl.concat([blocks, blocks.select(pl.col("other").alias("mutual"), pl.col("mutual").alias("other"))]).unique()
    named = (
        recommendations.select("viewer_id", "candidate_id", pl.col("mutual_sample_ids").alias("mutual"))
        .with_columns(pl.int_ranges(pl.col("mutual").list.len()).alias("place"))
        .explode("mutual", "place", keep_nulls=False, empty_as_null=False)
        .join(nameable, on="mutual", how="semi")
        .join(both, left_on=["mutual", "viewer_id"], right_on=["mutual", "other"], how="anti")
        .join(both, left_on=["mutual", "candidate_id"], right_on=["mutual", "other"], how="anti")
        .sort("viewer_id", "candidate_id", "place")
        .group_by("viewer_id", "candidate_id", maintain_order=True)
        .agg(pl.col("mutual").alias("still_named"))
    )
    return recommendations.join(
        named, on=["viewer_id", "candidate_id"], how="left", maintain_order="left"
    ).with_columns(pl.col("still_named").fill_null(pl.lit([], dtype=pl.List(pl.Int64))).alias("mutual_sample_ids"))


_NO_IMPRESSIONS = pl.DataFrame(
    schema={"id": pl.Int64, "user_id": pl.Int64, "candidate_id": pl.Int64, "shown_at": pl.Datetime("us", "UTC")}
)
