"""Activities as of one instant, with what each inherits from its object (spec 03.1, 01 "What an activity is").

Lives here: the window, the owner of an object, the object's own activity, and the rules that need
no viewer. Does not belong here: rules about a viewer (``visibility``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from assets.feed.compressed import Compressed, compress, numbers
from assets.feed.kernels import Flags, Levels, Longs, Numbers
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
    The arrays hold one entry per activity; ``age`` numbers the instants, newest first.
    """

    acts: pl.DataFrame
    in_window: int
    actor: Numbers
    owner: Numbers
    reply_to: Numbers
    actor_level: Levels
    """0 public, 1 friends of the actor, 2 only them."""
    owner_level: Levels
    age: Longs
    principals: Compressed
    """By activity, everyone of it and of its object's own activity whom a block concerns."""
    groups: Compressed
    """By activity, numbers of the private groups whose membership it requires."""

    @property
    def count(self) -> int:
        """How many activities there are."""
        return self.acts.height

    @property
    def created_us(self) -> Longs:
        """When each was made, µs since 1970."""
        return self.acts["created_us"].to_numpy()

    def by_actor(self, wanted: Flags, people_count: int) -> Compressed:
        """The wanted activities of each person."""
        act = np.flatnonzero(wanted).astype(np.int32)
        return compress(pl.DataFrame({"actor": self.actor[act], "act": act}), people_count)


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
        pl.col("verb").alias("own_verb"),
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("own_row"),
    ).filter(pl.col("own_verb").is_in(["post", "comment"]))
    joined = activities.join(makers, on="object_id", how="left", maintain_order="left").with_columns(
        pl.when(pl.col("object_type") == pl.col("own_verb")).then("own_row")
    )
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


def judge(resolved: pl.DataFrame, active: pl.Series, as_of: datetime, window_days: int) -> pl.DataFrame:
    """Add ``is_in_window``, and ``reason`` where nobody may see an activity. ``active`` are ids of users."""
    ids = active.implode()
    return resolved.with_columns(
        actor_is_active=pl.col("actor_id").is_in(ids),
        owner_is_active=pl.col("owner_id").is_in(ids),
        is_in_window=pl.col("created_at") >= as_of - timedelta(days=window_days),
    ).with_columns(reason_nobody_sees())


def lay_ground(
    resolved: pl.DataFrame, active: pl.Series, people: People, private: pl.Series, as_of: datetime, window_days: int
) -> tuple[Ground, tuple[StageCount, ...]]:
    """Number the activities that may be shown; counts are of the window ``[as_of - window_days, as_of)``.

    ``active`` are ids of users, ``private`` the ascending ids of private groups.
    """
    judged = judge(resolved, active, as_of, window_days)
    admitted = judged.filter(pl.col("reason").is_null()).sort(["created_at", "id"], descending=[True, False])
    inside = judged.filter("is_in_window")
    why = dict(inside.filter(pl.col("reason").is_not_null()).group_by("reason").len().sort("reason").iter_rows())
    in_window = int(admitted["is_in_window"].sum())
    counts = (
        StageCount("window", judged.height, inside.height, filtered={"aged_out": judged.height - inside.height}),
        StageCount("shareable", inside.height, in_window, filtered=why),
    )
    return _ground(admitted, in_window, people, private), counts


def _ground(admitted: pl.DataFrame, in_window: int, people: People, private: pl.Series) -> Ground:
    acts = admitted.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("act"),
        "id",
        "owner_id",
        "verb",
        "object_type",
        "object_id",
        "created_at",
        pl.col("created_at").to_physical().alias("created_us"),
    )
    own_level = (
        pl.when(pl.col("own_audience").is_null()).then(pl.lit(0, dtype=pl.UInt8)).otherwise(_level("own_audience"))
    )
    levels = admitted.select(
        _level("audience").alias("actor_level"),
        pl.max_horizontal(_level("object_audience"), own_level).alias("owner_level"),
        pl.col("created_at").rle_id().cast(pl.Int64).alias("age"),
    )
    return Ground(
        acts=acts,
        in_window=in_window,
        actor=numbers(people.number(admitted["actor_id"])),
        owner=numbers(people.number(admitted["owner_id"])),
        reply_to=numbers(people.number(admitted["reply_to_user_id"])),
        actor_level=levels["actor_level"].to_numpy(),
        owner_level=levels["owner_level"].to_numpy(),
        age=levels["age"].to_numpy(),
        principals=_principals(admitted, people),
        groups=_required_groups(admitted, private),
    )


def _level(audience: str) -> pl.Expr:
    """0 public, 1 friends, 2 only_me; anything else is as closed as can be."""
    return pl.col(audience).replace_strict({"public": 0, "friends": 1, "only_me": 2}, default=2, return_dtype=pl.UInt8)


def _principals(admitted: pl.DataFrame, people: People) -> Compressed:
    """Actor, owner, replied-to and mentioned users of the activity and of its object's own activity."""
    base = admitted.with_row_index("act")
    single = [base.select("act", pl.col(name).alias("user_id")) for name in (
        "actor_id", "owner_id", "reply_to_user_id", "own_actor_id", "own_owner_id", "own_reply_to_user_id"
    )]  # fmt: skip
    lists = [
        base.select("act", pl.col(name).alias("user_id")).filter(pl.col("user_id").list.len() > 0).explode("user_id")
        for name in ("mentioned_user_ids", "own_mentioned_user_ids")
    ]
    every = pl.concat([*single, *lists]).drop_nulls()
    return compress(every.select("act", people.number(every["user_id"]).alias("other")), admitted.height)


def _required_groups(admitted: pl.DataFrame, private: pl.Series) -> Compressed:
    """Groups of the activity, of its object's own activity, and the object itself where it is a group."""
    base = admitted.with_row_index("act")
    required = pl.concat(
        [
            base.select("act", "group_id"),
            base.select("act", pl.col("own_group_id").alias("group_id")),
            base.filter(pl.col("object_type") == "group").select("act", pl.col("object_id").alias("group_id")),
        ]
    ).filter(pl.col("group_id").is_in(private.implode()))
    number = private.search_sorted(required["group_id"]).alias("group")
    return compress(required.select("act", number), admitted.height)
