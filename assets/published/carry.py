"""The second filtering of older rows against the newest staged snapshot (spec 06.1).

Lives here: what may have become false since a carried product's ``as_of``, or since a digest was built. Does not
belong here: whether a product may be carried (``defs.py``), the filters themselves (``assets.friends.filters``,
``assets.digests.allowed``). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from assets.digests.allowed import MADE, Standing, own_activities, standing
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
    except impressions (they were counted when the product was computed). Mutuals who may no longer be named are
    dropped, and ranks are dense again.
    """
    who = people(frames["staged_users"], as_of)
    friends, _ = edges(frames["staged_friendships"], who, as_of)
    without_impressions = {**frames, "staged_recommendation_impressions": _NO_IMPRESSIONS.lazy()}
    filtered = apply(without_impressions, who, friends, as_of, config)
    located = who.locate(recommendations, viewer="viewer_id", candidate="candidate_id").collect()
    kept = passing(located, who, filtered).join(friends.pairs(), on=["viewer", "candidate"], how="anti")
    order = ("viewer_id", "score", "mutual_count", "candidate_id")
    return (
        still_named(kept.lazy(), frames)
        .sort(order, descending=[False, True, True, False])
        .with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("viewer_id").alias("rank"))
        .select(recommendations.collect_schema().names())
    )


def still_allowed(history: pl.DataFrame, frames: Frames, known: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """`digest_history` without the digests that may not be shown now (04.3, *allowed*, as things stand).

    Gone as a whole, as at read (06.2): a digest that names or owns something of somebody who left, is blocked
    either way or muted, or that tells of what is deleted, or not for its reader any more. As
    :func:`assets.digests.allowed.judged` says of each line, but only what might refuse one is looked up.
    """
    lines = history.lazy().select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("digest"), "user_id", "groups")
    fields = pl.col("groups").struct
    # An object without an id was somebody who is forgotten: the line says so, and nothing of them.
    told = (
        lines.explode("groups", keep_nulls=False, empty_as_null=False)
        .select("digest", "user_id", *(fields.field(name).alias(name) for name in _TOLD))
        .with_columns(pl.when(pl.col("object_id").is_not_null()).then("object_type").alias("object_type"))
        .collect()
    )
    made, now = _made(told.lazy(), frames["staged_activities"], as_of).lazy(), standing(frames, as_of)
    is_gone = np.zeros(history.height, dtype=np.bool_)
    for refused in pl.collect_all(
        [rule.select("digest") for rule in _of_objects(told.lazy(), made, now, frames, as_of)]
    ):
        is_gone[refused["digest"].to_numpy()] = True
    muted = now.muted.select(pl.col("muter_id").alias("a"), pl.col("muted_id").alias("b"))
    barred = pl.concat([now.blocked, muted]).unique().collect().lazy()
    for named in _people(told, made):
        gone = named.join(known.lazy(), left_on="person", right_on="id", how="anti").select("digest")
        kept_out = named.join(barred, left_on=["user_id", "person"], right_on=["a", "b"], how="semi").select("digest")
        for refused in pl.collect_all([gone, kept_out]):
            is_gone[refused["digest"].to_numpy()] = True
    return history.filter(~pl.Series(is_gone))


def _made(told: pl.LazyFrame, activities: pl.LazyFrame, as_of: datetime) -> pl.DataFrame:
    """The lines about what an activity of its own made; ``author_id`` null where that is not there any more."""
    wanted = told.filter(pl.col("object_type").is_in(MADE)).select("digest", "user_id", "object_type", "object_id")
    own = own_activities(wanted, activities, as_of).drop("body").rename({"object_type": "own_type"})
    is_it = pl.col("own_type") == pl.col("object_type")
    return (
        wanted.join(own, on="object_id", how="left")
        .with_columns(pl.when(is_it).then("author_id").alias("author_id"))
        .collect()
    )


def _of_objects(
    told: pl.LazyFrame, made: pl.LazyFrame, now: Standing, frames: Frames, as_of: datetime
) -> list[pl.LazyFrame]:
    """The lines whose object may not be told of, one frame per rule."""
    groups = told.filter(pl.col("object_type") == "group")
    there = made.filter(pl.col("author_id").is_not_null())
    audiences = (("audience", "author_id"), ("object_audience", "target_owner_id"))
    for_some = pl.concat(
        there.select("digest", "user_id", pl.col(audience).alias("audience"), pl.col(owner).alias("owner_id"))
        for audience, owner in audiences
    ).filter(pl.col("audience").ne_missing("public") & pl.col("owner_id").ne_missing(pl.col("user_id")))
    for_friends = for_some.filter(pl.col("audience") == "friends")
    pair = ["user_id", "owner_id"]
    friends = now.friends.rename({"a": "user_id", "b": "owner_id"}).join(
        for_friends.select(pair).unique(), on=pair, how="semi"
    )
    open_groups = now.groups.filter(~pl.col("is_private"))
    closed = there.drop_nulls("group_id").join(open_groups, left_on="group_id", right_on="id", how="anti")
    return [
        told.filter(~pl.col("object_type").is_in([*MADE, "user", "group"])),
        groups.join(now.groups, left_on="object_id", right_on="id", how="anti"),
        groups.join(
            _left(frames, as_of), left_on=["object_id", "user_id"], right_on=["group_id", "user_id"], how="semi"
        ),
        made.filter(pl.col("author_id").is_null()),
        for_some.filter(pl.col("audience").ne_missing("friends")),
        for_friends.join(friends, on=pair, how="anti"),
        closed.join(now.members, on=["group_id", "user_id"], how="anti"),
    ]


def _people(told: pl.DataFrame, made: pl.LazyFrame) -> Iterator[pl.LazyFrame]:
    """``digest, user_id, person``: whom the lines name or owe something to, of some lines at a time.

    The present mutes of reshares tell of actors; here owners stand among them, and at read they do not count either.
    """
    lines = told.lazy()
    users = lines.filter(pl.col("object_type") == "user").select(
        "digest", "user_id", pl.col("object_id").alias("person")
    )
    yield pl.concat([users, made.select("digest", "user_id", pl.col("author_id").alias("person"))]).drop_nulls("person")
    for some in told.iter_slices(LINES_AT_ONCE):
        yield pl.concat(
            some.lazy()
            .select("digest", "user_id", pl.col(each).alias("person"))
            .explode("person", keep_nulls=False, empty_as_null=False)
            for each in ("principal_ids", "sample_actor_ids")
        )


_TOLD: Final = ("object_type", "object_id", "principal_ids", "sample_actor_ids")
LINES_AT_ONCE: Final = 1_000_000
"""Lines of digests whose people are looked at together: what bounds the memory of it."""


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


def still_named(recommendations: pl.LazyFrame, frames: Frames) -> pl.LazyFrame:
    """Drop from ``mutual_sample_ids`` whoever may no longer be named (02.4): none is beside a private friend list.

    A single mutual who may not be named counts 0 and is no reason any more. `suggested` claims nothing, and what else
    the two have in common is not told by the row.
    """
    users = frames["staged_users"]
    is_open = pl.col("friend_list_visibility") != "private"
    nameable = users.filter((pl.col("status") == "active") & is_open).select(pl.col("id").alias("mutual"))
    telling = users.filter(is_open).select(pl.col("id").alias("candidate_id"))
    blocks = frames["staged_blocks"].select(pl.col("blocker_id").alias("mutual"), pl.col("blocked_id").alias("other"))
    both = pl.concat([blocks, blocks.select(pl.col("other").alias("mutual"), pl.col("mutual").alias("other"))]).unique()
    named = (
        recommendations.select("viewer_id", "candidate_id", pl.col("mutual_sample_ids").alias("mutual"))
        .join(telling, on="candidate_id", how="semi")
        .with_columns(pl.int_ranges(pl.col("mutual").list.len()).alias("place"))
        .explode("mutual", "place", keep_nulls=False, empty_as_null=False)
        .join(nameable, on="mutual", how="semi")
        .join(both, left_on=["mutual", "viewer_id"], right_on=["mutual", "other"], how="anti")
        .join(both, left_on=["mutual", "candidate_id"], right_on=["mutual", "other"], how="anti")
        .sort("viewer_id", "candidate_id", "place")
        .group_by("viewer_id", "candidate_id", maintain_order=True)
        .agg(pl.col("mutual").alias("still_named"))
    )
    is_hidden = (pl.col("mutual_count") == 1) & (pl.col("mutual_sample_ids").list.len() == 0)
    return (
        recommendations.join(named, on=["viewer_id", "candidate_id"], how="left", maintain_order="left")
        .with_columns(pl.col("still_named").fill_null(pl.lit([], dtype=pl.List(pl.Int64))).alias("mutual_sample_ids"))
        .with_columns(
            pl.when(is_hidden).then(0).otherwise("mutual_count").alias("mutual_count"),
            pl.when(is_hidden).then(pl.lit("suggested")).otherwise("reason_code").alias("reason_code"),
        )
    )


_NO_IMPRESSIONS = pl.DataFrame(
    schema={"id": pl.Int64, "user_id": pl.Int64, "candidate_id": pl.Int64, "shown_at": pl.Datetime("us", "UTC")}
)
