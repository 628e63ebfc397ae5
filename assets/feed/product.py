"""The precomputed feeds: ``feed(snapshot, config)``, a pure function (spec 03).

Lives here: the order of the stages and the buckets of viewers they run in. Each rule has its own
function in the sibling modules; the asset definitions are in ``defs``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from assets.feed import cards, fill, people, rows, scoring, selection, tombstones, trim, window
from assets.feed.cards import Deck
from assets.feed.counting import Tally
from assets.feed.visibility import Scene, circle, pairs_of, visible
from assets.frame import Inputs, Product, Result, StageCount
from quality.feed import FEED
from store.settings import FeedSettings

INPUTS: Mapping[str, tuple[str, ...]] = {
    "staged_activities": (
        "id", "actor_id", "verb", "object_type", "object_id", "object_owner_id", "reply_to_user_id",
        "mentioned_user_ids", "group_id", "audience", "object_audience", "created_at", "deleted_at",
    ),
    "staged_blocks": ("blocker_id", "blocked_id"),
    "staged_feed_hides": ("user_id", "object_type", "object_id"),
    "staged_feed_reads": ("user_id", "seen_at"),
    "staged_friendships": ("user_a_id", "user_b_id", "created_at", "ended_at"),
    "staged_groups": ("id", "is_private"),
    "staged_memberships": ("group_id", "user_id", "joined_at", "left_at"),
    "staged_mutes": ("muter_id", "muted_id", "scope", "expires_at"),
    "staged_users": ("id", "status", "profile_visibility", "created_at", "last_seen_at"),
}  # fmt: skip
"""The staged tables, and the columns of them that are read."""
FEED_ITEMS, FEED_TOMBSTONES = FEED
MAX_ITEMS = 1_000
"""More than any mode's cap (settings: 500)."""
BUCKET_PAIRS = 2_000_000
"""(viewer, activity) pairs looked at together; bounds memory, changes nothing else."""


@dataclass(frozen=True)
class Stage:
    """Everything that is the same for all viewers."""

    scene: Scene
    config: FeedSettings
    ranked: Deck
    ranked_acts: pl.DataFrame
    """The activities of the ranked deck that some viewer can get (``trim``)."""
    chronological: Deck
    chronological_acts: pl.DataFrame
    affinity: pl.DataFrame
    seen: pl.DataFrame
    window_acts: pl.DataFrame
    fill_acts: pl.DataFrame


def compute(inputs: Inputs[FeedSettings]) -> Result:
    """Both modes of every viewer's feed, and the tombstones against the previous generation."""
    frames = {name: inputs.frames[name].select(columns).collect() for name, columns in INPUTS.items()}
    viewer_ids, viewers_count = people.viewers_of_feeds(frames["staged_users"], inputs.as_of)
    stage, counts = prepare(frames, inputs.config, inputs.as_of)
    tally = Tally()
    viewers = stage.scene.relations.people.number(viewer_ids)
    items = pl.concat([FEED_ITEMS.empty(), *(feeds_of(bucket, stage, tally) for bucket in _buckets(viewers, stage))])
    buried, buried_count = _tombstones(inputs, items, viewer_ids, stage)
    return Result(
        tables={"feed_items": items, "feed_tombstones": buried},
        counts=(viewers_count, *counts, *tally.counts(), buried_count),
        notes={"viewers": len(viewer_ids)},
    )


def prepare(
    frames: Mapping[str, pl.DataFrame], config: FeedSettings, as_of: datetime
) -> tuple[Stage, tuple[StageCount, ...]]:
    """What is the same for all viewers, with the counts of the stages that make it."""
    known = people.number_people(frames)
    relations = people.relate(frames, known, as_of)
    active = people.active_users(frames["staged_users"], as_of)
    there, there_count = window.present(frames["staged_activities"], as_of)
    resolved = window.resolve(there)
    ground, ground_counts = window.lay_ground(resolved, active["id"], known, as_of, config.window_days)
    ranked, chronological = cards.ranked_deck(ground, known.ids), cards.chronological_deck(ground)
    is_plain = trim.plain_acts(ground, relations)
    ranked_acts, chronological_acts = (
        trim.needed(deck.acts, ground, is_plain, config.max_per_actor) for deck in (ranked, chronological)
    )
    wanted = pl.concat([ranked_acts["act"], chronological_acts["act"]]).unique()
    window_acts = ground.acts.select("actor", "act").filter(pl.col("act").is_in(wanted.implode()))
    beyond = {"beyond_max_per_actor": ground.in_window - window_acts.height}
    stage = Stage(
        scene=Scene(ground, relations, config.reply_rule),
        config=config,
        ranked=Deck(scoring.with_card_parts(ranked.cards, scoring.engagement(there, active["id"])), ranked.acts),
        ranked_acts=ranked_acts,
        chronological=chronological,
        chronological_acts=chronological_acts,
        affinity=scoring.affinity(resolved, known, as_of),
        seen=rows.marks(frames["staged_feed_reads"], known, as_of),
        window_acts=window_acts,
        fill_acts=fill.fill_acts(ground, fill.public_profiles(active, known)).select("actor", "act"),
    )
    needed_count = StageCount("needed", ground.in_window, window_acts.height, filtered=beyond)
    return stage, (there_count, *ground_counts, needed_count)


def feeds_of(viewers: pl.Series, stage: Stage, tally: Tally) -> pl.DataFrame:
    """Rows of ``feed_items`` of some viewers (numbers); viewers do not depend on one another."""
    near = circle(stage.scene.relations, viewers)
    pairs = pairs_of(near, stage.window_acts)
    eligible, removed = visible(pairs, stage.scene)
    tally.add("eligible", pairs.height, eligible.height, removed)
    ranked = _ranked(viewers, eligible, near, stage, tally)
    chronological = _chronological(eligible, stage, tally)
    return _in_key_order(stage, chronological, ranked)


def _in_key_order(stage: Stage, chronological: pl.DataFrame, ranked: pl.DataFrame) -> pl.DataFrame:
    """Rows of both modes by (viewer_id, mode, position), sorted on one packed integer."""
    ground, known = stage.scene.ground, stage.scene.relations.people
    unsorted = pl.concat(
        [
            rows.rows(chronological, "chronological", stage.chronological, ground, stage.seen, known),
            rows.rows(ranked, "ranked", stage.ranked, ground, stage.seen, known),
        ]
    )
    place = [
        (items["viewer"].cast(pl.Int64) * 2 + mode) * MAX_ITEMS + items["position"]
        for mode, items in enumerate((chronological, ranked))
    ]
    return unsorted[pl.concat(place).arg_sort()]


def _ranked(viewers: pl.Series, eligible: pl.DataFrame, near: pl.DataFrame, stage: Stage, tally: Tally) -> pl.DataFrame:
    scene, config = stage.scene, stage.config
    dealt = cards.deal(eligible, stage.ranked_acts, scene, near)
    grouped, actors = cards.group(dealt, scene.ground)
    merged = {"other_mode": eligible.height - dealt.height, "grouped": dealt.height - grouped.height}
    tally.add("ranked_cards", eligible.height, grouped.height, merged)
    scored = selection.score(
        selection.with_lead(grouped, stage.ranked, scene.ground, scene.relations.people),
        stage.ranked,
        stage.affinity,
        config,
    )
    kept = selection.cut(selection.order_ranked(scored), config.max_ranked)
    caps = {"max_per_actor": grouped.height - scored.height, "max_ranked": scored.height - kept.height}
    tally.add("ranked_items", grouped.height, kept.height, caps)
    sample = cards.sample_actors(kept, actors, scene, stage.affinity)
    real = kept.join(sample, on=["viewer", "card"], how="left", maintain_order="left").with_columns(is_suggested=False)
    suggested = _suggested(fill.short_feeds(viewers, kept, config.max_ranked), stage, tally)
    return pl.concat([real, suggested.select(real.columns)])


def _suggested(short: pl.DataFrame, stage: Stage, tally: Tally) -> pl.DataFrame:
    """Suggested items after the real ones; ``short``: ``viewer, room``."""
    scene, config = stage.scene, stage.config
    acts = stage.fill_acts.filter(pl.col("act") < scene.ground.in_window)
    edges = fill.at_distance_two(short["viewer"], acts["actor"].unique(), scene.relations)
    pairs = pairs_of(edges, acts)
    eligible, removed = visible(pairs, scene)
    grouped, _ = cards.group(cards.deal(eligible, stage.ranked.acts, scene, edges), scene.ground)
    scored = selection.score(
        selection.with_lead(grouped, stage.ranked, scene.ground, scene.relations.people),
        stage.ranked,
        stage.affinity,
        config,
    )
    placed = selection.cut(selection.order_ranked(scored), fill.FILL_TO).join(short, on="viewer")
    kept = placed.filter(pl.col("position") <= pl.col("room"))
    before = min(fill.FILL_TO, config.max_ranked) - pl.col("room")
    caps = {"max_per_actor": grouped.height - scored.height, "feed_is_full": scored.height - kept.height}
    tally.add("suggested_items", pairs.height, kept.height, {**removed, **caps})
    return kept.with_columns(
        position=pl.col("position") + before,
        sample=pl.lit(None, dtype=pl.List(pl.Int64)),
        is_suggested=pl.lit(value=True),
    )


def _chronological(eligible: pl.DataFrame, stage: Stage, tally: Tally) -> pl.DataFrame:
    scene, config = stage.scene, stage.config
    dealt = eligible.join(stage.chronological_acts, on="act").select("viewer", "act", "card", "is_alone")
    tally.add("chronological_cards", eligible.height, dealt.height, {"other_mode": eligible.height - dealt.height})
    single, _ = cards.group(dealt, scene.ground)
    ordered = selection.order_chronological(
        selection.with_lead(single, stage.chronological, scene.ground, scene.relations.people), config
    )
    kept = selection.cut(ordered, config.max_chronological)
    caps = {"max_per_actor": single.height - ordered.height, "max_chronological": ordered.height - kept.height}
    tally.add("chronological_items", single.height, kept.height, caps)
    return kept.with_columns(sample=pl.lit(None, dtype=pl.List(pl.Int64)), is_suggested=pl.lit(value=False))


def _buckets(viewers: pl.Series, stage: Stage) -> Iterator[pl.Series]:
    """Viewers in id order, cut so that a bucket has about ``BUCKET_PAIRS`` pairs."""
    per_actor = stage.window_acts.group_by("actor").agg(pl.len().alias("pairs"))
    sizes = (
        circle(stage.scene.relations, viewers)
        .join(per_actor, left_on="other", right_on="actor", how="left")
        .group_by("viewer")
        .agg(pl.col("pairs").sum())
        .sort("viewer")
        .with_columns(bucket=pl.col("pairs").cum_sum() // BUCKET_PAIRS)
    )
    for _, bucket in sizes.group_by("bucket", maintain_order=True):
        yield bucket["viewer"]


def _tombstones(
    inputs: Inputs[FeedSettings], items: pl.DataFrame, viewer_ids: pl.Series, stage: Stage
) -> tuple[pl.DataFrame, StageCount]:
    now = items.select(tombstones.KEY)
    before = inputs.previous["feed_items"].select(tombstones.ITEM_COLUMNS).collect()
    told = inputs.previous["feed_tombstones"].collect()
    gone = tombstones.gone_items(before, now, viewer_ids)
    earlier = tombstones.still_told(told, now, viewer_ids, inputs.as_of)
    buried = tombstones.bury(gone, earlier, stage.scene, stage.fill_acts["act"], inputs.as_of)
    filtered = {
        "still_there_or_no_feed": before.height - gone.height,
        "back_expired_or_no_feed": told.height - earlier.height,
        "told_again": gone.height + earlier.height - buried.height,
    }
    count = StageCount("tombstones", before.height + told.height, buried.height, filtered=filtered)
    return pl.concat([FEED_TOMBSTONES.empty(), buried]), count


feed: Product[FeedSettings] = Product(
    name="feed",
    tables=("feed_items", "feed_tombstones"),
    inputs=tuple(INPUTS),
    config=FeedSettings,
    compute=compute,
    previous=("feed_items", "feed_tombstones"),
)
