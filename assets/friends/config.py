"""The fixed numbers of friend recommendations: weights, windows, widths, experiment arms.

Lives here: what is decided by the design and not by an operator. Does not belong here: settings
(`store.settings.FriendsSettings`) and anything that computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PAIR_FILTERS: Final = ("request_pending", "blocked", "muted", "dismissed", "unfriended")
"""The filters that look at a pair, in their order, before those that look at the candidate."""

CANDIDATE_FILTERS: Final = ("candidate_private", "candidate_not_discoverable", "opted_out")
"""The filters that look at the candidate alone."""

FILTERS: Final = (*PAIR_FILTERS, *CANDIDATE_FILTERS, "impressions_exhausted")
"""Every filter in the order of 02, 2.3: a pair counts under the first that holds."""

GROUP_KINDS: Final = ("school", "employer", "group", "interest")
"""Group kinds that may be a reason, in the order of their reasons. Places never are (2.4)."""

CONTEXT_KINDS: Final = (*GROUP_KINDS, "place")
"""Group kinds as features of the learned ranker, each with a score of its own."""

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

LEARNED: Final = "gradient_boosting"
LEARNED_SALT: Final = "hold-out"
LEAST_POSITIVES: Final = 200
"""Fewer friendships to learn from, and the fixed weights stand (02, 2.3)."""
TIMED_DAYS: Final = 10
"""Friendship times on so many distinct days make the hold-out one by time."""
WINDOWS: Final = ((80, 100), (60, 80), (40, 60))
"""Hold-outs by time, in per cent of the friendships in their order: three fifths, each on its own past."""
HASH_PARTS: Final = 10
HASH_HOLD_OUTS: Final = 4
TRAINING_VIEWERS: Final = 1_500
"""Viewers of one hold-out whose candidates are learned from, at most: the cost of training is bounded."""
OTHER_VIEWERS: Final = 300
"""The same of viewers none of whose friendships was held out."""
TRAINING_ROWS: Final = 260_000
VALIDATION_PARTS: Final = 10
"""One part of the training viewers in so many judges the ranker and is not learned from."""
POOL_NEAR: Final = 100
POOL_WALK: Final = 100
POOL_CONTEXT: Final = 60
"""Candidates of one viewer that are scored: friends of friends by Adamic-Adar, by PageRank, by rarity of groups."""
POOL_RECENT: Final = 50
POOL_LIVELY: Final = 90
"""Where friendship times say something also: by PageRank over recent friendships, and whoever is lively now."""
SCORED_WALK_WIDTH: Final = 100
SCORED_WALK_EDGES: Final = 3_000
"""Nodes that a walk expands at its third and at its fourth step, the best first, as far as so many friendships go."""
CHUNK: Final = 1_000
"""Viewers scored at once: larger columns would be given back to the system and asked for again."""
DESCRIBED: Final = 5_000
"""People whose lists are described at once, for the same reason."""
LEAST_LEARNED_SCORE: Final = 1_000
"""A learned score is at least this, so that the popular (0-900) stand behind whom a signal proposes."""
