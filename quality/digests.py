"""Contracts of the digest tables (04.4) and of the state one run hands to the next.

`digests`, `digest_groups`, `digest_items`, `digest_bodies` hold what one run settled;
`digest_streams`, `digest_delivered`, `digest_history` are the named previous state of the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import pandera.polars as pa
import polars as pl

from quality.contract import SAMPLE, Contract, Failure, Rule
from quality.types import BigintList, Instant, Strict

STATUSES = (
    "no_occurrence",
    "paused",
    "skipped_gap",
    "expired",
    "skipped_empty",
    "skipped_below_min",
    "built",
)
"""Every status of a settled occurrence, in the order in which they are asked (04.2)."""

DateList = Annotated[pl.List, pl.Date()]
HISTORY_GROUP = pl.Struct(
    {
        "rank": pl.Int64,
        "group_key": pl.String,
        "category": pl.String,
        "verb": pl.String,
        "object_type": pl.String,
        "object_id": pl.Int64,
        "owner_id": pl.Int64,
        "item_count": pl.Int64,
        "actor_count": pl.Int64,
        "sample_actor_ids": pl.List(pl.Int64),
        "last_activity_at": pl.Datetime("us", "UTC"),
        "text": pl.String,
        "notification_ids": pl.List(pl.Int64),
        "principal_ids": pl.List(pl.Int64),
    }
)
"""A rendered group as the API serves it, with the ids of its items and of every person in it."""
HistoryGroups = Annotated[pl.List, HISTORY_GROUP]


class digests(pa.DataFrameModel):
    """One row per occurrence that this run settled, built or not."""

    digest_id: pl.String
    user_id: pl.Int64
    kind: pl.String
    channel: pl.String
    period_key: pl.String
    window_start: Instant = pa.Field(nullable=True)
    window_end: Instant = pa.Field(nullable=True)
    due_at: Instant = pa.Field(nullable=True)
    deliver_after: Instant = pa.Field(nullable=True)
    time_zone: pl.String
    eligible_count: pl.Int64
    group_count: pl.Int64
    more_count: pl.Int64
    late_count: pl.Int64
    status: pl.String
    reason: pl.String
    subject: pl.String = pa.Field(nullable=True)
    content_hash: pl.String = pa.Field(nullable=True)

    Config = Strict


class digest_groups(pa.DataFrameModel):
    """The rendered groups of built digests, by rank."""

    digest_id: pl.String
    rank: pl.Int64
    group_key: pl.String
    category: pl.String
    verb: pl.String
    object_type: pl.String = pa.Field(nullable=True)
    object_id: pl.Int64 = pa.Field(nullable=True)
    item_count: pl.Int64
    actor_count: pl.Int64
    sample_actor_ids: BigintList
    last_activity_at: Instant
    text: pl.String

    Config = Strict


class digest_items(pa.DataFrameModel):
    """Every eligible item of built digests, those behind "+N more" included."""

    digest_id: pl.String
    notification_id: pl.Int64
    group_key: pl.String
    is_late: pl.Boolean

    Config = Strict


class digest_bodies(pa.DataFrameModel):
    """The rendered mail of built digests."""

    digest_id: pl.String
    text: pl.String
    html: pl.String

    Config = Strict


class digest_streams(pa.DataFrameModel):
    """Where each stream stands: what it settled last, and where its open window begins."""

    user_id: pl.Int64
    kind: pl.String
    channel: pl.String
    last_settled_due_at: Instant
    first_window_start: Instant
    last_closed_end: Instant = pa.Field(nullable=True)
    settled_days: DateList

    Config = Strict


class digest_delivered(pa.DataFrameModel):
    """What stood in a digest of a (user, channel) and could still be asked for again."""

    user_id: pl.Int64
    channel: pl.String
    notification_id: pl.Int64
    dedupe_key: pl.String = pa.Field(nullable=True)
    created_at: Instant

    Config = Strict


class digest_history(pa.DataFrameModel):
    """The built digests of the last 90 days, whole: what the API serves."""

    digest_id: pl.String
    user_id: pl.Int64
    kind: pl.String
    channel: pl.String
    period_key: pl.String
    window_start: Instant
    window_end: Instant
    due_at: Instant
    deliver_after: Instant
    time_zone: pl.String
    eligible_count: pl.Int64
    group_count: pl.Int64
    more_count: pl.Int64
    late_count: pl.Int64
    subject: pl.String
    content_hash: pl.String
    groups: HistoryGroups
    text: pl.String
    html: pl.String

    Config = Strict


_COUNTED = pl.col("status").is_in(["built", "skipped_below_min"])
_COUNT_COLUMNS = ("eligible_count", "group_count", "more_count", "late_count")
_COUNTS = pl.sum_horizontal(*_COUNT_COLUMNS)
_INSTANTS = ["window_start", "window_end", "due_at"]

DIGESTS: tuple[Contract, ...] = (
    Contract(
        digests,
        key=("digest_id",),
        group="digests",
        kind="product",
        is_published=True,
        rules=(
            Rule("status is known", "status", ~pl.col("status").is_in(list(STATUSES))),
            Rule("kind is known", "kind", ~pl.col("kind").is_in(["daily", "weekdays", "weekly"])),
            Rule("digest_id is a sha256", "digest_id", ~pl.col("digest_id").str.contains(r"^[0-9a-f]{64}$")),
            Rule("window ends at its due", "window_end", pl.col("window_end") != pl.col("due_at")),
            Rule("window is not reversed", "window_start", pl.col("window_start") > pl.col("window_end")),
            Rule(
                "instants are null iff the local date does not exist",
                "due_at",
                pl.any_horizontal(
                    pl.col(name).is_null() != (pl.col("status") == "no_occurrence") for name in _INSTANTS
                ),
            ),
            Rule(
                "is delivered at or after its due, iff built",
                "deliver_after",
                (pl.col("deliver_after").is_null() == (pl.col("status") == "built"))
                | (pl.col("deliver_after") < pl.col("due_at")),
            ),
            Rule("counts of what was not found are 0", "eligible_count", ~_COUNTED & (_COUNTS != 0)),
            Rule("a built digest is not empty", "eligible_count", (pl.col("status") == "built")
                 & ((pl.col("eligible_count") < 1) | (pl.col("group_count") < 1))),
            Rule("no count is negative", "eligible_count", pl.min_horizontal(*_COUNT_COLUMNS) < 0),
            Rule("more and late are parts of eligible", "more_count",
                 pl.max_horizontal("more_count", "late_count") > pl.col("eligible_count")),
            Rule("subject and content_hash iff built", "subject",
                 (pl.col("subject").is_null() == (pl.col("status") == "built"))
                 | (pl.col("content_hash").is_null() == (pl.col("status") == "built"))),
            Rule("subject is one line", "subject", pl.col("subject").str.contains(r"[\r\n]")),
        ),
    ),
    Contract(
        digest_groups,
        key=("digest_id", "rank"),
        group="digests",
        kind="product",
        is_published=True,
        rules=(
            Rule("rank starts at 1", "rank", pl.col("rank") < 1),
            Rule("a group has items", "item_count", pl.col("item_count") < 1),
            Rule("at most three sample actors", "sample_actor_ids", pl.col("sample_actor_ids").list.len() > 3),
            Rule("samples are actors", "actor_count",
                 pl.col("sample_actor_ids").list.len() != pl.min_horizontal(pl.col("actor_count"), pl.lit(3))),
            Rule("text is not empty", "text", pl.col("text").str.len_chars() == 0),
        ),
    ),
    Contract(digest_items, key=("digest_id", "notification_id"), group="digests", kind="product", is_published=True),
    Contract(digest_bodies, key=("digest_id",), group="digests", kind="product", is_published=True),
    Contract(
        digest_streams,
        key=("user_id", "kind", "channel"),
        group="digests",
        kind="product",
        rules=(
            Rule("a closed window was settled", "last_closed_end",
                 pl.col("last_closed_end") > pl.col("last_settled_due_at")),
        ),
    ),
    Contract(digest_delivered, key=("user_id", "channel", "notification_id"), group="digests", kind="product"),
    Contract(digest_history, key=("digest_id",), group="digests", kind="product"),
)  # fmt: skip


def digest_truths(frames: Mapping[str, pl.DataFrame]) -> dict[str, list[Failure]]:
    """What must hold between the digest tables of one run (04.3, 04.6), by the table that breaks it.

    eligible = rendered items + more; a digest's listed items are its eligible ones; a notification
    is in at most one digest per (user, channel); groups, items and bodies belong to built digests.
    """
    rows, groups, items = frames["digests"], frames["digest_groups"], frames["digest_items"]
    built = rows.filter(pl.col("status") == "built")
    rendered = groups.group_by("digest_id").agg(pl.col("item_count").sum().alias("rendered_count"))
    listed = items.group_by("digest_id").agg(
        pl.len().cast(pl.Int64).alias("listed_count"), pl.col("is_late").sum().cast(pl.Int64).alias("listed_late_count")
    )
    sums = (
        built.join(rendered, on="digest_id", how="left")
        .join(listed, on="digest_id", how="left")
        .with_columns(pl.col("rendered_count", "listed_count", "listed_late_count").fill_null(0))
    )
    eligible = pl.col("eligible_count")
    owned = items.join(built.select("digest_id", "user_id", "channel"), on="digest_id")
    once = owned.filter(owned.select("user_id", "channel", "notification_id").is_duplicated())
    failures = {
        "digests": [
            *_broken("digests", "eligible = rendered + more", "eligible_count",
                     sums.filter(eligible != pl.col("rendered_count") + pl.col("more_count"))),
            *_broken("digests", "eligible items are listed", "eligible_count",
                     sums.filter((eligible != pl.col("listed_count"))
                                 | (pl.col("late_count") != pl.col("listed_late_count")))),
            *_broken("digests", "a built digest has a body", "digest_id",
                     built.join(frames["digest_bodies"], on="digest_id", how="anti")),
        ],
        "digest_items": _broken("digest_items", "a notification is in one digest per channel", "notification_id", once),
    }  # fmt: skip
    for name in ("digest_groups", "digest_items", "digest_bodies"):
        stray = frames[name].join(built, on="digest_id", how="anti")
        failures.setdefault(name, []).extend(_broken(name, "belongs to a built digest", "digest_id", stray))
    return failures


def _broken(table: str, rule: str, column: str, bad: pl.DataFrame) -> list[Failure]:
    if bad.is_empty():
        return []
    sample = bad.select("digest_id").unique().sort("digest_id").head(SAMPLE).to_dicts()
    return [Failure(table, rule, column, bad.height, tuple(sample))]
