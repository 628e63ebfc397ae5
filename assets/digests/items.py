"""Items (04.3): which notifications may stand in a digest.

``candidates`` asks everything that does not depend on a window, once, and only for people with
something due; ``eligible`` asks the rest per digest: window, lateness, what was delivered before,
one per ``dedupe_key``. Usage threshold crossings enter here as billing items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from assets.digests.allowed import judged
from assets.digests.streams import STREAM
from assets.frame import StageCount
from store.settings import DigestsSettings

Frames = Mapping[str, pl.LazyFrame]
PRIORITIES = {"low": 0, "normal": 1, "high": 2, "critical": 3}
CROSSING_VERB = "limit_reached"
_FACTS: dict[str, type[pl.DataType] | pl.DataType] = {
    "feature_key": pl.String,
    "threshold_percent": pl.Int64,
    "resets_at": pl.Datetime("us", "UTC"),
}
_NOTIFICATION = [
    "notification_id", "user_id", "category", "verb", "actor_id", "object_type", "object_id", "priority",
    "dedupe_key", "sent_channels", "created_at", "read_at", "deleted_at", *_FACTS,
]  # fmt: skip


@dataclass(frozen=True)
class Candidates:
    """(notification, stream) pairs that only a window can still refuse, and the counts."""

    rows: pl.DataFrame
    counts: tuple[StageCount, ...]


def crossing_id(user_id: int, feature_key: str, period_start: datetime, threshold_percent: int) -> int:
    """The negative id of a crossing: stable over runs, from its key alone."""
    start = period_start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    key = f"crossing|v1|{user_id}|{feature_key}|{start}|{threshold_percent}"
    return -1 - (int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1)


def crossings_as_notifications(crossings: pl.LazyFrame, due_users: pl.LazyFrame) -> pl.LazyFrame:
    """`usage_threshold_crossings` of people with something due, as billing notifications."""
    rows = crossings.join(due_users, on="user_id", how="semi").collect()
    keys = rows.select("user_id", "feature_key", "period_start", "threshold_percent")
    text = pl.String
    return rows.lazy().select(
        pl.Series("notification_id", [crossing_id(*key) for key in keys.iter_rows()], pl.Int64),
        "user_id",
        pl.lit("billing").alias("category"),
        pl.lit(CROSSING_VERB).alias("verb"),
        pl.lit(None, pl.Int64).alias("actor_id"),
        pl.lit(None, text).alias("object_type"),
        pl.lit(None, pl.Int64).alias("object_id"),
        pl.lit("normal").alias("priority"),
        pl.lit(None, text).alias("dedupe_key"),
        pl.lit([], pl.List(text)).alias("sent_channels"),
        pl.col("crossed_at").alias("created_at"),
        pl.lit(None, pl.Datetime("us", "UTC")).alias("read_at"),
        pl.lit(None, pl.Datetime("us", "UTC")).alias("deleted_at"),
        *_FACTS,
    )


def _source(frames: Frames, crossings: pl.LazyFrame, horizon: pl.LazyFrame) -> pl.LazyFrame:
    notifications = (
        frames["staged_notifications"]
        .rename({"id": "notification_id", "recipient_id": "user_id"})
        .with_columns(pl.lit(None, dtype).alias(name) for name, dtype in _FACTS.items())
        .select(_NOTIFICATION)
    )
    billing = crossings_as_notifications(crossings, horizon).select(_NOTIFICATION)
    return (
        pl.concat([notifications, billing])
        .join(horizon, on="user_id")
        .filter(pl.col("created_at") >= pl.col("horizon_start"), pl.col("created_at") < pl.col("horizon_end"))
        .drop("horizon_start", "horizon_end")
    )


def _is_read(as_of: datetime) -> pl.Expr:
    """Unread at ``as_of``: ``read_at`` null or later."""
    return (pl.col("read_at") <= as_of).fill_null(value=False)


def candidates(
    pending: pl.DataFrame,
    preferences: pl.LazyFrame,
    users: pl.LazyFrame,
    frames: Frames,
    crossings: pl.LazyFrame,
    config: DigestsSettings,
    as_of: datetime,
) -> Candidates:
    """Pairs of ``pending`` streams (stream, due, floor) with what may stand in their digests."""
    late = timedelta(hours=config.late_hours)
    horizon = (
        pending.lazy()
        .group_by("user_id")
        .agg(
            (pl.col("due") - pl.col("floor")).min().alias("horizon_start") - late,
            pl.col("due").max().alias("horizon_end"),
        )
    )
    source = _source(frames, crossings, horizon).collect()
    total = int(frames["staged_notifications"].select(pl.len()).collect().item())
    total += int(crossings.select(pl.len()).collect().item())
    modes = preferences.join(horizon, on="user_id", how="semi").select(
        "user_id", "category", "channel", pl.col("mode").alias("kind")
    )
    inboxes = pending.lazy().select("user_id", "channel").unique()
    asked = source.lazy().join(inboxes, on="user_id").collect()
    pairs = (
        asked.lazy()
        .join(modes, on=["user_id", "category", "channel"])
        .join(pending.lazy().select(STREAM).unique(), on=STREAM)
        .collect()
    )
    verdicts = judged(pairs.lazy().unique("notification_id"), users, frames, as_of)
    refusal = (
        pl.when(pl.col("deleted_at").is_not_null()).then(pl.lit("deleted"))
        .when(_is_read(as_of)).then(pl.lit("read"))
        .when(pl.col("priority") == "critical").then(pl.lit("critical"))
        .when(pl.col("sent_channels").list.contains(pl.col("channel"))).then(pl.lit("sent_already"))
        .when((pl.col("actor_id") == pl.col("user_id")).fill_null(value=False)).then(pl.lit("own_action"))
        .otherwise(pl.col("refusal"))
    )  # fmt: skip
    judged_pairs = pairs.lazy().join(verdicts, on="notification_id").with_columns(refusal.alias("refusal")).collect()
    kept = judged_pairs.filter(pl.col("refusal").is_null()).drop("refusal", "sent_channels", "read_at", "deleted_at")
    refused = judged_pairs.drop_nulls("refusal").group_by("refusal").len().sort("refusal")
    reasons = {"not_in_this_digest": asked.height - pairs.height, **dict(refused.iter_rows())}
    return Candidates(
        kept.sort(*STREAM, "created_at", "notification_id"),
        (
            StageCount("notifications", total, source.height, filtered={"not_due": total - source.height}),
            StageCount("candidates", asked.height, kept.height, filtered=reasons),
        ),
    )


def eligible(
    pending: pl.DataFrame, candidates: pl.DataFrame, delivered: pl.DataFrame, config: DigestsSettings
) -> tuple[pl.DataFrame, dict[str, int]]:
    """The items of each pending digest, with ``digest_id, is_late``, and what was refused why.

    ``pending``: stream, digest_id, window_start, due, enabled_at, at most one per (user, channel).
    ``delivered``: `digest_delivered`, that of earlier rounds of this run included.
    """
    late = timedelta(hours=config.late_hours)
    created, start = pl.col("created_at"), pl.col("window_start")
    asked = candidates.join(pending.select(*STREAM, "digest_id", "window_start", "due", "enabled_at"), on=STREAM)
    inside = asked.filter(
        created >= start - late, created < pl.col("due"), created >= pl.col("enabled_at")
    ).with_columns((created < start).alias("is_late"))
    known = delivered.join(inside.select("user_id", "channel").unique(), on=["user_id", "channel"], how="semi")
    fresh = inside.join(known, on=["user_id", "channel", "notification_id"], how="anti")
    newest = (
        known.drop_nulls("dedupe_key")
        .sort("created_at", "notification_id")
        .group_by("user_id", "channel", "dedupe_key", maintain_order=True)
        .agg(
            pl.col("created_at").last().alias("newest_created_at"),
            pl.col("notification_id").last().alias("newest_id"),
        )
    )
    is_superseded = (
        (pl.col("newest_created_at") > created)
        | ((pl.col("newest_created_at") == created) & (pl.col("newest_id") > pl.col("notification_id")))
    ).fill_null(value=False)
    current = (
        fresh.join(newest, on=["user_id", "channel", "dedupe_key"], how="left")
        .filter(~is_superseded)
        .drop("newest_created_at", "newest_id")
    )
    kept = one_per_dedupe_key(current)
    return kept, {
        "outside_window": asked.height - inside.height,
        "in_an_earlier_digest": inside.height - fresh.height,
        "superseded": fresh.height - current.height,
        "duplicate_key": current.height - kept.height,
    }


def one_per_dedupe_key(items: pl.DataFrame) -> pl.DataFrame:
    """Of items with one ``dedupe_key`` in one digest the latest created_at, then the highest id."""
    keyed = (
        items.filter(pl.col("dedupe_key").is_not_null())
        .sort("digest_id", "dedupe_key", "created_at", "notification_id")
        .unique(["digest_id", "dedupe_key"], keep="last", maintain_order=True)
    )
    return pl.concat([items.filter(pl.col("dedupe_key").is_null()), keyed])
