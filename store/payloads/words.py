"""What codes mean, in words: reasons, parts of a score, filters, states, entitlements.

Pure; one wording for the demo, ``flowforge explain`` and the explorer. Feed items: ``feed_words``.
Does not belong here: what is computed, or where it is read from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from store.payloads.digest_words import NOT_BUILT
from store.payloads.feed_words import listed

RECOMMENDED: Final[Mapping[str, str]] = {
    "shared_school": "went to the same school",
    "shared_employer": "works at the same place",
    "shared_group": "is in a group of yours",
    "shared_interest": "shares an interest",
    "interaction": "you have been in touch",
    "extended_network": "is in your wider circle",
    "popular_in_country": "is popular where you live",
    "suggested": "suggested for you",
}
"""Reason of a recommendation in words; mutual friends are told by name."""

SCORE_PARTS: Final[Mapping[str, str]] = {
    "k_verb": "what was done",
    "k_time": "how new it is",
    "k_engagement": "response by others",
    "k_affinity": "how close the two are",
    "k_diversity": "room for others",
}
"""The five parts of a ranked item's score, in the order they are summed."""

STATES: Final[Mapping[str, str]] = {
    "ready": "computed and served",
    "empty": "computed; there is nothing to show",
    "cold_start": "nothing of friends yet; only suggestions are shown",
    "building": "not computed in this generation: new, back after 30 days away, or not active",
    "degraded": "some items are withheld: what was revoked lately is not known",
}
"""States of a served list (api.md)."""

STAGES: Final[Mapping[str, str]] = {
    "circle": "what the reader and their friends did",
    "shareable": "of the window: what may be shown to anybody",
    "eligible": "what may be shown to this reader",
    "ranked_cards": "ranked mode: activities become cards",
    "ranked_items": "ranked mode: cards that have a place",
    "suggested_items": "suggestions for a short feed: public posts by friends of friends",
    "chronological_cards": "chronological mode: activities that are an item of their own",
    "chronological_items": "chronological mode: items that have a place",
    "filters": "people who are there, no friends yet",
    "sources": "people whom no filter removes",
    "selection": "people whom a source proposes",
    "streams": "digests asked for",
    "notifications": "notifications of this reader",
    "candidates": "unsettled notifications, for each channel that is due",
    "occurrences": "digests that were due",
    "items": "notifications of the digests that were due",
    "usage": "usage events told of this reader",
}
"""Stages of an explanation: what goes in."""

REMOVED: Final[Mapping[str, str]] = {
    "not_there_yet": "dated at or after the snapshot",
    "aged_out": "older than the feed's window",
    "deleted": "deleted since",
    "unknown_object": "on something that the snapshot does not hold",
    "object_deleted": "on something that was deleted",
    "inactive_actor": "by somebody who is not active any more",
    "inactive_owner": "on something of somebody who is not active any more",
    "unknown_owner": "on something whose owner is not known, and not public",
    "audience": "not shared with this reader",
    "block": "somebody involved and the reader have blocked one another",
    "mute": "the reader muted who did it, or whose it is",
    "reply_rule": "a reply to somebody who is no friend of the reader",
    "private_group": "in a private group that the reader is not in",
    "hidden": "the reader hid it",
    "other_mode": "not an item of its own in this mode",
    "grouped": "told on one card with others",
    "max_per_actor": "one person may not fill the feed",
    "max_ranked": "the feed is full",
    "max_chronological": "the feed is full",
    "feed_is_full": "the feed is filled up",
    "request_pending": "a friend request is open between the two",
    "blocked": "one of the two blocked the other",
    "muted": "the reader muted them",
    "dismissed": "the reader dismissed them",
    "unfriended": "they were friends until lately",
    "candidate_private": "their profile is private",
    "candidate_not_discoverable": "they do not want to be found",
    "opted_out": "they do not want recommendations, and so are not recommended",
    "impressions_exhausted": "shown often enough",
    "not_proposed": "not among the best that the sources propose",
    "beyond_k": "behind the last one shown",
    "exposure_cap": "shown to as many others as may be",
    "user_not_active": "of somebody who is not active",
    "inactive": "not active",
    "dormant": "not seen for 30 days",
    "not_yet_created": "made at or after the snapshot",
    "ended": "ended before the snapshot",
    "erased": "of somebody erased",
    "beyond_max_per_actor": "so far behind that no feed has room for it",
    "still_there_or_no_feed": "still in the feed, or its reader has none now",
    "back_expired_or_no_feed": "back in the feed, told for 30 days, or its reader has none now",
    "told_again": "told anew",
    "no_such_schedule": "the reader has no schedule of that kind",
    "not_due": "not within what is due now",
    "not_in_this_digest": "the reader wants this kind otherwise",
    "read": "read already",
    "critical": "critical, and so sent at once",
    "sent_already": "sent on this channel already",
    "own_action": "the reader's own doing",
    "actor_not_active": "by somebody who is not active any more",
    "actor_blocked": "by somebody blocked, or who blocked the reader",
    "actor_muted": "by somebody whom the reader muted",
    "object_gone": "about something that is gone",
    "owner_not_active": "about something of somebody who is not active any more",
    "owner_blocked": "about something of somebody blocked, or who blocked the reader",
    "owner_muted": "about something of somebody whom the reader muted",
    "outside_window": "outside the digest's window",
    "in_an_earlier_digest": "in an earlier digest",
    "superseded": "a newer one tells the same",
    "duplicate_key": "told once, by the newest",
    "below_min_groups": "too few for a digest: they wait for the next",
    **NOT_BUILT,
    "unknown_user": "of a user whom the snapshot does not hold",
    "unknown_meter": "of a meter that is not known",
    "in_future": "dated in the future",
    "too_old": "came too late to be counted",
    "missing_subject": "without the subject that the meter counts",
    "missing_value": "without a value",
    "unparseable": "the value is no whole number",
    "not_finite": "the value is no number",
    "out_of_range": "the value is too large",
    "negative": "the value is below zero",
    "not_ingested_yet": "told at or after the snapshot",
    "duplicate": "told twice",
    "conflict": "told twice, differently: the first counts",
}
"""Why something was left out, by the reason that is counted."""


def recommendation_line(row: Mapping[str, Any], names: Mapping[int, str]) -> str:
    """Why somebody is recommended. ``row``: ``reason_code, mutual_count, mutual_sample_ids``."""
    if row["reason_code"] != "mutual_friends":
        return RECOMMENDED[row["reason_code"]]
    count, sample = row["mutual_count"], list(row["mutual_sample_ids"])
    said = f"{count} mutual friend{'s' if count != 1 else ''}"
    return f"{said}: {listed([name_of(i, names) for i in sample], count - len(sample))}" if sample else said


def name_of(user_id: int, names: Mapping[int, str]) -> str:
    """A display name, or the id where it is not known."""
    return names.get(user_id, f"user {user_id}")


def entitlement_line(row: Mapping[str, Any]) -> str:
    """What somebody has of a feature.

    ``row``: ``kind, has_access, limit, used, granted, balance, overage`` as in the API.
    """
    if row["kind"] != "metered":
        return "included" if row["has_access"] else "not included"
    if row["limit"] is None:
        return f"{row['used']:,} used, unlimited"
    over = f" ({row['overage']:,} over)" if row["overage"] else ""
    return f"{row['used']:,} of {row['granted']:,} used, {row['balance']:,} left{over}"


def signed_sum(parts: Sequence[int], total: int) -> str:
    """``2,000,000 + 20 − 678,072 = …``: the parts of a score as they add up."""
    told = f"{parts[0]:,}"
    for part in parts[1:]:
        told += f" {'−' if part < 0 else '+'} {abs(part):,}"
    return f"{told} = {total:,}"
