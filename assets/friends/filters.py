"""Who is never recommended to whom: the filters of 02, 2.3, their order and their counts.

The candidates of a viewer are all people that are there, without the viewer and their friends.
Restrictions (blocks, mutes, dismissals) count as they stand in the snapshot, whatever their time.
Lives here: one function per filter that looks at a pair, the counts over all pairs. Does not
belong here: where candidates come from, how they are ordered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from assets.frame import StageCount
from assets.friends.config import CANDIDATE_FILTERS, FILTERS, PAIR_FILTERS
from assets.friends.graph import PAIR, Ints, People, Rows
from store.settings import FriendsSettings

Frames = Mapping[str, pl.LazyFrame]


@dataclass(frozen=True)
class Filtered:
    """What the filters removed."""

    barred: Rows
    """Per viewer the candidates that a filter looking at the pair removes."""
    impressions: pl.DataFrame
    """``viewer, candidate, impression_count`` in the window, of pairs that are not exhausted."""
    counts: pl.DataFrame
    """`friend_filter_counts`."""
    stage: StageCount


def _both_ways(pairs: pl.LazyFrame) -> pl.LazyFrame:
    turned = pairs.select(pl.col("candidate").alias("viewer"), pl.col("viewer").alias("candidate"))
    return pl.concat([pairs.select("viewer", "candidate"), turned])


def request_pending(requests: pl.LazyFrame, who: People, as_of: datetime) -> pl.LazyFrame:
    """A friend request in either direction that was open at ``as_of``."""
    is_open = (pl.col("status") == "pending") | (pl.col("responded_at") > as_of)
    pending = requests.filter((pl.col("created_at") < as_of) & is_open)
    return _both_ways(who.locate(pending, viewer="requester_id", candidate="addressee_id"))


def blocked(blocks: pl.LazyFrame, who: People) -> pl.LazyFrame:
    """A block in either direction."""
    return _both_ways(who.locate(blocks, viewer="blocker_id", candidate="blocked_id"))


def muted(mutes: pl.LazyFrame, who: People, as_of: datetime) -> pl.LazyFrame:
    """The viewer's own unexpired mute of everything."""
    in_force = pl.col("expires_at").is_null() | (pl.col("expires_at") > as_of)
    unexpired = mutes.filter((pl.col("scope") == "all") & in_force)
    return who.locate(unexpired, viewer="muter_id", candidate="muted_id").select("viewer", "candidate")


def dismissed(dismissals: pl.LazyFrame, who: People, as_of: datetime, config: FriendsSettings) -> pl.LazyFrame:
    """The viewer's own dismissal: for 90 days times its count, for ever from the third on."""
    count = pl.col("dismissal_count")
    holds_until = pl.col("dismissed_at") + pl.duration(
        days=count.clip(0, config.dismissal_limit) * config.dismissal_days
    )
    holding = dismissals.filter((count >= config.dismissal_limit) | (holds_until > as_of))
    return who.locate(holding, viewer="user_id", candidate="candidate_id").select("viewer", "candidate")


def unfriended(friendships: pl.LazyFrame, who: People, as_of: datetime, config: FriendsSettings) -> pl.LazyFrame:
    """A friendship that ended less than 180 days ago, in either direction."""
    since = as_of - timedelta(days=config.unfriended_days)
    ended = (pl.col("ended_at") <= as_of) & (pl.col("ended_at") > since)
    former = friendships.filter((pl.col("created_at") < as_of) & ended)
    return _both_ways(who.locate(former, viewer="user_a_id", candidate="user_b_id"))


def impressions(shown: pl.LazyFrame, who: People, as_of: datetime, config: FriendsSettings) -> pl.LazyFrame:
    """``viewer, candidate, impression_count`` within the window before ``as_of``."""
    since = as_of - timedelta(days=config.impression_days)
    recent = shown.filter((pl.col("shown_at") >= since) & (pl.col("shown_at") < as_of))
    located = who.locate(recent, viewer="user_id", candidate="candidate_id")
    return located.group_by("viewer", "candidate").agg(pl.len().cast(pl.Int64).alias("impression_count"))


def removed_pairs(
    frames: Frames, who: People, friends: Rows, shown: pl.LazyFrame, as_of: datetime, config: FriendsSettings
) -> pl.DataFrame:
    """``viewer, candidate, order`` of viewers' pairs under a filter that looks at the pair: the first, in `FILTERS`."""
    is_exhausted = pl.col("impression_count") >= config.impression_limit
    by_pair = {
        "request_pending": request_pending(frames["staged_friend_requests"], who, as_of),
        "blocked": blocked(frames["staged_blocks"], who),
        "muted": muted(frames["staged_mutes"], who, as_of),
        "dismissed": dismissed(frames["staged_recommendation_dismissals"], who, as_of, config),
        "unfriended": unfriended(frames["staged_friendships"], who, as_of, config),
        "impressions_exhausted": shown.filter(is_exhausted).select("viewer", "candidate"),
    }
    ordered = [pairs.with_columns(order=pl.lit(FILTERS.index(name))) for name, pairs in by_pair.items()]
    viewers = pl.LazyFrame({"viewer": who.viewers}, schema={"viewer": pl.Int32})
    return (
        pl.concat(ordered)
        .filter(pl.col("viewer") != pl.col("candidate"))
        .join(viewers, on="viewer", how="semi")
        .join(friends.pairs().lazy(), on=["viewer", "candidate"], how="anti")
        .group_by("viewer", "candidate")
        .agg(pl.col("order").min())
        .collect()
    )


def apply(frames: Frames, who: People, friends: Rows, as_of: datetime, config: FriendsSettings) -> Filtered:
    """Every filter in order; a pair counts once, under the first that holds."""
    shown = impressions(frames["staged_recommendation_impressions"], who, as_of, config)
    removed = removed_pairs(frames, who, friends, shown, as_of, config)
    barred = Rows.of(removed["viewer"].to_numpy(), removed["candidate"].to_numpy(), who.size, who.size)
    in_window = shown.filter(pl.col("impression_count") < config.impression_limit).collect()
    possible, counts = _count(removed, who, friends)
    table = pl.DataFrame(
        {"reason": list(counts), "removed_count": list(counts.values())},
        schema={"reason": pl.String, "removed_count": pl.Int64},
    ).sort("reason")
    kept = possible - sum(counts.values())
    return Filtered(barred, in_window, table, StageCount("filters", possible, kept, filtered=counts))


def _count(removed: pl.DataFrame, who: People, friends: Rows) -> tuple[int, dict[str, int]]:
    """All pairs there are, and the pairs under each filter, without listing them."""
    order, candidate = removed["order"].to_numpy(), removed["candidate"].to_numpy()
    is_early = order < len(PAIR_FILTERS)
    early = np.bincount(candidate[is_early], minlength=who.size)
    rows = np.repeat(np.arange(who.size), friends.sizes)
    viewing_friends = np.bincount(rows, weights=who.is_viewer[friends.idx], minlength=who.size).astype(np.int64)
    seen_by: Ints = who.is_viewer.sum() - who.is_viewer - viewing_friends
    counts = {name: int((order == FILTERS.index(name)).sum()) for name in PAIR_FILTERS}
    left = np.ones(who.size, dtype=np.bool_)
    holding = (who.is_private, ~who.is_discoverable, who.is_opted_out)
    for name, flag in zip(CANDIDATE_FILTERS, holding, strict=True):
        counts[name] = int((seen_by - early)[left & flag].sum())
        left &= ~flag
    counts["impressions_exhausted"] = int((~is_early & left[candidate]).sum())
    return int(seen_by.sum()), counts


def passing(pairs: pl.DataFrame, who: People, filtered: Filtered) -> pl.DataFrame:
    """The pairs (``viewer, candidate`` in index space) that no filter removes."""
    fine = pl.DataFrame({"candidate": np.flatnonzero(who.is_showable).astype(np.int32)}, schema={"candidate": pl.Int32})
    return pairs.join(fine, on="candidate", how="semi").join(filtered.barred.pairs(), on=list(PAIR), how="anti")
