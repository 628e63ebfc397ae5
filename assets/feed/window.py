"""Activities as of one instant, with what each inherits from its object (spec 03.1, 01 "What an activity is").

Lives here: the window, the owner of an object, the object's own activity, and the rules that need
no viewer. Does not belong here: rules about a viewer (``visibility``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from assets.feed.people import People
from assets.frame import StageCount

REASONS = (
    "deleted",
    "unknown_object",
    "object_deleted",
    "inactive_actor",
    "inactive_owner",
    "unknown_owner",
)
"""Why an activity is shown to nobody; the first that holds is counted."""


@dataclass(frozen=True)
class Ground:
    """The activities that may be shown to somebody, numbered newest first (created_at desc, id asc).

    ``acts`` row ``i`` is activity number ``i``; the first ``in_window`` of them are inside the window.
    ``age`` numbers the instants, newest first.
    """

    acts: pl.DataFrame
    in_window: int
    principals: pl.DataFrame
    """``act, other``: everyone of the activity and of its object's own activity whom a block concerns."""
    groups: pl.DataFrame
    """``act, group_id``: groups whose membership the activity may require."""

    def pack(self, viewers: pl.Series, acts: pl.Series) -> pl.Series:
        """One Int64 per (viewer, activity)."""
        return viewers.cast(pl.Int64) * (self.acts.height + 1) + acts.cast(pl.Int64)

    def of(self, acts: pl.Series, column: str) -> pl.Series:
        """The column's value of each activity number."""
        return self.acts[column].gather(acts)


def present(activities: pl.DataFrame, as_of: datetime) -> tuple[pl.DataFrame, StageCount]:
    """Activities before ``as_of``; the rest are not there yet."""
    there = activities.filter(pl.col("created_at") < as_of)
    missing = activities.height - there.height
    return there, StageCount("activities", activities.height, there.height, filtered={"not_there_yet": missing})


def resolve(activities: pl.DataFrame) -> pl.DataFrame:
    """Add the resolved ``owner_id`` and the object's own activity as ``own_*`` (null when unknown).

    The own activity of a post or comment has its id and its kind. The owner is that user for a
    user, else the own activity's actor, else ``object_owner_id``.
    """
    makers = activities.select(
        pl.col("id").alias("object_id"),
        pl.col("verb").alias("object_type"),
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("own_row"),
    ).filter(pl.col("object_type").is_in(["post", "comment"]))
    joined = activities.join(makers, on=["object_type", "object_id"], how="left", maintain_order="left")
    row = joined["own_row"]
    owned = joined.with_columns(own_actor_id=joined["actor_id"].gather(row)).with_columns(
        owner_id=pl.when(pl.col("object_type") == "user")
        .then("object_id")
        .otherwise(pl.coalesce("own_actor_id", "object_owner_id"))
    )
    return owned.with_columns(
        own_audience=owned["audience"].gather(row),
        own_is_deleted=owned["deleted_at"].is_not_null().gather(row),
        own_owner_id=owned["owner_id"].gather(row),
        own_reply_to_user_id=owned["reply_to_user_id"].gather(row),
        own_mentioned_user_ids=owned["mentioned_user_ids"].gather(row),
        own_group_id=owned["group_id"].gather(row),
    )


def reason_nobody_sees() -> pl.Expr:
    """The first rule without a viewer that an activity fails, null when it passes (needs ``*_is_active``)."""
    is_made = pl.col("object_type").is_in(["post", "comment"])
    is_public = (pl.col("object_audience") == "public") & (pl.col("own_audience").fill_null("public") == "public")
    tests = (
        pl.col("deleted_at").is_not_null(),
        is_made & pl.col("own_row").is_null(),
        pl.col("own_is_deleted").fill_null(value=False),
        ~pl.col("actor_is_active"),
        pl.col("owner_id").is_not_null() & ~pl.col("owner_is_active"),
        pl.col("owner_id").is_null() & ~is_public,
    )
    reason = pl.lit(None, dtype=pl.String)
    for name, test in reversed(list(zip(REASONS, tests, strict=True))):
        reason = pl.when(test).then(pl.lit(name)).otherwise(reason)
    return reason.alias("reason")


def lay_ground(
    resolved: pl.DataFrame, active: pl.Series, people: People, as_of: datetime, window_days: int
) -> tuple[Ground, tuple[StageCount, ...]]:
    """Number the activities that may be shown; counts are of the window ``[as_of - window_days, as_of)``."""
    ids = active.implode()
    start = as_of - timedelta(days=window_days)
    judged = resolved.with_columns(
        actor_is_active=pl.col("actor_id").is_in(ids),
        owner_is_active=pl.col("owner_id").is_in(ids),
        is_in_window=pl.col("created_at") >= start,
    ).with_columns(reason_nobody_sees())
    admitted = judged.filter(pl.col("reason").is_null()).sort(["created_at", "id"], descending=[True, False])
    inside = judged.filter("is_in_window")
    why = dict(inside.filter(pl.col("reason").is_not_null()).group_by("reason").len().sort("reason").iter_rows())
    in_window = int(admitted["is_in_window"].sum())
    counts = (
        StageCount("window", judged.height, inside.height, filtered={"aged_out": judged.height - inside.height}),
        StageCount("shareable", inside.height, in_window, filtered=why),
    )
    acts = _numbered(admitted, people)
    return Ground(acts, in_window, _principals(admitted, people), _required_groups(admitted)), counts


def _level(audience: str) -> pl.Expr:
    """0 public, 1 friends, 2 only_me; anything else is as closed as can be."""
    return pl.col(audience).replace_strict({"public": 0, "friends": 1, "only_me": 2}, default=2, return_dtype=pl.UInt8)


def _numbered(admitted: pl.DataFrame, people: People) -> pl.DataFrame:
    own_level = (
        pl.when(pl.col("own_audience").is_null()).then(pl.lit(0, dtype=pl.UInt8)).otherwise(_level("own_audience"))
    )
    return admitted.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("act"),
        "id",
        people.number(admitted["actor_id"]).alias("actor"),
        people.number(admitted["owner_id"]).alias("owner"),
        people.number(admitted["reply_to_user_id"]).alias("reply_to"),
        "verb",
        "object_type",
        "object_id",
        _level("audience").alias("actor_level"),
        pl.max_horizontal(_level("object_audience"), own_level).alias("owner_level"),
        "created_at",
        pl.col("created_at").to_physical().alias("created_us"),
        pl.col("created_at").rle_id().cast(pl.Int64).alias("age"),
    )


def _principals(admitted: pl.DataFrame, people: People) -> pl.DataFrame:
    """Actor, owner, replied-to and mentioned users of the activity and of its object's own activity."""
    base = admitted.with_columns(act=pl.int_range(pl.len(), dtype=pl.UInt32))
    single = [base.select("act", pl.col(name).alias("user_id")) for name in (
        "actor_id", "owner_id", "reply_to_user_id", "own_actor_id", "own_owner_id", "own_reply_to_user_id"
    )]  # fmt: skip
    lists = [
        base.select("act", pl.col(name).alias("user_id")).filter(pl.col("user_id").list.len() > 0).explode("user_id")
        for name in ("mentioned_user_ids", "own_mentioned_user_ids")
    ]
    every = pl.concat([*single, *lists]).drop_nulls().unique()
    return every.select("act", people.number(every["user_id"]).alias("other"))


def _required_groups(admitted: pl.DataFrame) -> pl.DataFrame:
    """Groups of the activity, of its object's own activity, and the object itself where it is a group."""
    base = admitted.with_columns(act=pl.int_range(pl.len(), dtype=pl.UInt32))
    return (
        pl.concat(
            [
                base.select("act", "group_id"),
                base.select("act", pl.col("own_group_id").alias("group_id")),
                base.filter(pl.col("object_type") == "group").select("act", pl.col("object_id").alias("group_id")),
            ]
        )
        .drop_nulls()
        .unique()
    )
