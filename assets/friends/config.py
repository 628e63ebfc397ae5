"""The fixed numbers of friend recommendations: weights, windows, widths, experiment arms.

Lives here: what is decided by the design and not by an operator. Does not belong here: settings
(`store.settings.FriendsSettings`) and anything that computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

REASONS: Final = (
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

PAIR_FILTERS: Final = ("request_pending", "blocked", "muted", "dismissed", "unfriended")
"""The filters that look at a pair, in their order, before those that look at the candidate."""

CANDIDATE_FILTERS: Final = ("candidate_private", "candidate_not_discoverable", "opted_out")
"""The filters that look at the candidate alone."""

FILTERS: Final = (*PAIR_FILTERS, *CANDIDATE_FILTERS, "impressions_exhausted")
"""Every filter in the order of 02, 2.3: a pair counts under the first that holds."""

GROUP_KINDS: Final = ("school", "employer", "group", "interest")
"""Group kinds that may be a reason, in the order of their reasons. Places never are (2.4)."""

MICRO: Final = 1_000_000
CANDIDATE_DEPTH: Final = 100
"""Friends-of-friends of a viewer that `friend_candidates` holds, at least."""
SAMPLE_ABOVE_USERS: Final = 50_000
"""Above so many users `friend_candidates` holds a sample of the viewers."""
SAMPLE_PERCENT: Final = 1
NAMED: Final = 3
"""Mutual friends and shared groups named in a row, at most."""
INTERACTION_DAYS: Final = 90
GROUP_SIZE_LIMIT: Final = 1_000
"""A group of more members says nothing about two of them: no source, no context."""
SOURCE_WIDTH: Final = 100
"""Pairs of one viewer that co-membership, and PageRank, propose at most."""
WALK_WIDTH: Final = 200
"""Nodes that a truncated PageRank walk expands at the third and at the fourth step."""
WALK_MASS: Final = 10**12
WALK_CONTINUE_PERCENT: Final = 85

POPULAR_DEGREE_LIMIT: Final = 400
POPULAR_COUNTRY_BONUS: Final = 500
OUTSIDE_BASE: Final = 1_000
OUTSIDE_RANGE: Final = 9_000
"""The score's bands. Friends of friends carry their Adamic-Adar sum (at least 45 000 for every
degree below 10^9, at least 17 000 after nine impressions); pairs that another signal proposes
1 000-10 000; the popular 0-900. So friends of friends stand first whatever was shown."""


@dataclass(frozen=True)
class Weights:
    """Fixed integer weights of the signals outside friends-of-friends, per micro-unit of each."""

    context: int
    interaction: int
    pagerank: int


@dataclass(frozen=True)
class Variant:
    """One arm of the experiment: its name and what it computes with."""

    name: str
    weights: Weights


VARIANTS: Final = (
    Variant("control", Weights(context=1, interaction=500_000, pagerank=100)),
    Variant("network", Weights(context=1, interaction=500_000, pagerank=400)),
)
"""The arms. They differ only outside friends-of-friends: `network` trusts long paths more."""

RANKER: Final = "fixed_weights"
FEATURES: Final = ("adamic_adar_micro", "context_micro", "interaction_count", "pagerank_micro")
