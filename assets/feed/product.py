"""The precomputed feeds: ``feed(snapshot, config)``, a pure function (spec 03).

Lives here: the order of the stages and the buckets of viewers they run in. Each rule has its own
function in the sibling modules; the asset definitions are in ``defs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from assets.feed import cards, fill, people, rows, scoring, selection, tombstones, trim, window
from assets.feed.cards import Deck
from assets.feed.compressed import Compressed, numbers
from assets.feed.counting import Tally
from assets.feed.kernels import Flags, Numbers
from assets.feed.rows import Shown, Words
from assets.feed.scoring import Points
from assets.feed.selection import Items
from assets.feed.visibility import Pairs, Scene, circle, set_scene, visible
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
PAIRS_AT_ONCE = 1_000_000
"""(viewer, activity) pairs looked at together, by all threads; bounds memory, changes nothing else."""
MAX_THREADS = 8


@dataclass(frozen=True)
class Mode:
    """The deck of a mode, and the activities of it that some viewer can get (``trim``)."""

    deck: Deck
    is_needed: Flags


@dataclass(frozen=True)
class Stage:
    """Everything that is the same for all viewers."""

    scene: Scene
    config: FeedSettings
    ranked: Mode
    chronological: Mode
    points: Points
    words: Words
    near_acts: Compressed
    """By actor, the activities that some viewer can get."""
    public: Flags
    """Which people have a public profile."""
    may_fill: Flags
    """Which activities may be suggested, whatever their age."""
    fill_acts: Compressed
    """By actor, those of them that are inside the window."""


def compute(inputs: Inputs[FeedSettings]) -> Result:
    """Both modes of every viewer's feed, and the tombstones against the previous generation."""
    read = pl.collect_all([inputs.frames[name].select(columns) for name, columns in INPUTS.items()])
    frames = dict(zip(INPUTS, read, strict=True))
    viewer_ids, viewers_count = people.viewers_of_feeds(frames["staged_users"], inputs.as_of)
    stage, counts = prepare(frames, inputs.config, inputs.as_of)
    del read, frames
    items, tally = _feeds(numbers(stage.scene.relations.people.number(viewer_ids)), stage)
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
    with ThreadPoolExecutor(1, thread_name_prefix="feed") as beside:
        return _prepared(frames, config, as_of, beside)


def _prepared(
    frames: Mapping[str, pl.DataFrame], config: FeedSettings, as_of: datetime, beside: Executor
) -> tuple[Stage, tuple[StageCount, ...]]:
    known = people.number_people(frames)
    relations = people.relate(frames, known, as_of)
    active = people.active_users(frames["staged_users"], as_of)
    there, there_count = window.present(frames["staged_activities"], as_of)
    engagement = beside.submit(scoring.engagement, there, active["id"])
    resolved = window.resolve(there)
    affinity = beside.submit(scoring.affinity, resolved, known, as_of)
    ground, ground_counts = window.lay_ground(
        resolved, active["id"], known, relations.private_groups, as_of, config.window_days
    )
    ranked_deck = beside.submit(cards.ranked_deck, ground, known.ids)
    chronological_deck = cards.chronological_deck(ground)
    scene = set_scene(ground, relations, config.reply_rule)
    is_plain = trim.plain_acts(scene)
    ranked, chronological = (
        Mode(deck, trim.needed(deck, scene, is_plain, config.max_per_actor))
        for deck in (ranked_deck.result(), chronological_deck)
    )
    near = ranked.is_needed | chronological.is_needed
    public = fill.public_profiles(active, known)
    may_fill = fill.may_fill(ground, public)
    stage = Stage(
        scene=scene,
        config=config,
        ranked=ranked,
        chronological=chronological,
        points=scoring.points(
            ranked.deck,
            ground,
            engagement.result(),
            affinity.result(),
            config.half_life_hours,
        ),
        words=Words(
            scene,
            rows.catalogue([ranked.deck, chronological.deck]),
            rows.marks(frames["staged_feed_reads"], known, as_of),
        ),
        near_acts=ground.by_actor(near, known.count),
        public=public,
        may_fill=may_fill,
        fill_acts=ground.by_actor(may_fill & (np.arange(ground.count) < ground.in_window), known.count),
    )
    needed = int(near.sum())
    beyond = {"beyond_max_per_actor": ground.in_window - needed}
    return stage, (there_count, *ground_counts, StageCount("needed", ground.in_window, needed, filtered=beyond))


def _feeds(viewers: Numbers, stage: Stage) -> tuple[pl.DataFrame, Tally]:
    """Everybody's rows, bucket by bucket; a bucket is one thread's, and the next free thread takes the next bucket."""
    threads = min(MAX_THREADS, pl.thread_pool_size())
    buckets = _buckets(viewers, stage, max(1, PAIRS_AT_ONCE // threads))
    with ThreadPoolExecutor(threads, thread_name_prefix="feed") as pool:
        done = list(pool.map(lambda bucket: feeds_of(bucket, stage), buckets))
    return pl.concat([FEED_ITEMS.empty(), *(items for items, _ in done)]), Tally.of(tally for _, tally in done)


def feeds_of(viewers: Numbers, stage: Stage) -> tuple[pl.DataFrame, Tally]:
    """Rows of ``feed_items`` of some viewers (numbers), and their counts; viewers do not depend on one another."""
    tally = Tally()
    pairs = circle(stage.scene.relations, viewers).pairs(stage.near_acts)
    eligible, removed = visible(pairs, stage.scene)
    tally.add("eligible", pairs.count, eligible.count, removed)
    real = _ranked(eligible, stage, tally)
    suggested = _suggested(viewers, real, stage, tally)
    chronological = _chronological(eligible, stage, tally)
    shown = [
        Shown(chronological, "chronological", stage.points.deck_size),
        Shown(real, "ranked", 0),
        Shown(suggested, "ranked", 0, is_suggested=True),
    ]
    return rows.rows(shown, stage.words, stage.points.affinity), tally


def _ranked(eligible: Pairs, stage: Stage, tally: Tally) -> Items:
    scene, config = stage.scene, stage.config
    dealt, card = cards.deal(eligible, stage.ranked.deck, stage.ranked.is_needed, scene)
    grouped = cards.group(dealt, card, scene)
    merged = {"other_mode": eligible.count - dealt.count, "grouped": dealt.count - grouped.count}
    tally.add("ranked_cards", eligible.count, grouped.count, merged)
    kept = selection.ranked(grouped, stage.points, scene, config.max_per_actor, config.max_ranked)
    caps = {"max_per_actor": kept.capped, "max_ranked": grouped.count - kept.capped - kept.cards.count}
    tally.add("ranked_items", grouped.count, kept.cards.count, caps)
    return kept


def _suggested(viewers: Numbers, real: Items, stage: Stage, tally: Tally) -> Items:
    """Suggested items, placed after the real ones of short feeds."""
    scene, config, known = stage.scene, stage.config, stage.scene.relations.people
    room = fill.room(viewers, real.cards.viewer, config.max_ranked, known.count)
    edges = fill.at_distance_two(viewers[room > 0], stage.public, scene.relations)
    pairs = edges.pairs(stage.fill_acts)
    eligible, removed = visible(pairs, scene)
    grouped = cards.group(eligible, stage.ranked.deck.card[eligible.act], scene)
    placed = selection.ranked(grouped, stage.points, scene, config.max_per_actor, fill.FILL_TO)
    room_of = np.zeros(known.count, dtype=np.int64)
    room_of[viewers] = room
    free = room_of[placed.cards.viewer]
    kept = placed.take(np.flatnonzero(placed.position <= free))
    caps = {"max_per_actor": placed.capped, "feed_is_full": grouped.count - placed.capped - kept.cards.count}
    tally.add("suggested_items", pairs.count, kept.cards.count, {**removed, **caps})
    filled = min(fill.FILL_TO, config.max_ranked) - room_of[kept.cards.viewer]
    return replace(kept, position=kept.position + filled)


def _chronological(eligible: Pairs, stage: Stage, tally: Tally) -> Items:
    scene, config, mode = stage.scene, stage.config, stage.chronological
    dealt, card = cards.deal(eligible, mode.deck, mode.is_needed, scene)
    tally.add("chronological_cards", eligible.count, dealt.count, {"other_mode": eligible.count - dealt.count})
    single = cards.singles(dealt, card)
    kept = selection.chronological(
        single, scene, mode.deck.cards.height, config.max_per_actor, config.max_chronological
    )
    caps = {"max_per_actor": kept.capped, "max_chronological": single.count - kept.capped - kept.cards.count}
    tally.add("chronological_items", single.count, kept.cards.count, caps)
    return kept


def _buckets(viewers: Numbers, stage: Stage, size: int) -> list[Numbers]:
    """Viewers in id order, cut so that a bucket has about ``size`` pairs."""
    near = circle(stage.scene.relations, viewers)
    sizes = np.bincount(
        near.viewer, weights=np.diff(stage.near_acts.start)[near.other], minlength=stage.scene.relations.people.count
    )[viewers]
    bucket = np.cumsum(sizes).astype(np.int64) // size
    return [part for part in np.split(viewers, np.flatnonzero(np.diff(bucket)) + 1) if part.size]


def _tombstones(
    inputs: Inputs[FeedSettings], items: pl.DataFrame, viewer_ids: pl.Series, stage: Stage
) -> tuple[pl.DataFrame, StageCount]:
    now = items.select(tombstones.KEY)
    before = inputs.previous["feed_items"].select(tombstones.ITEM_COLUMNS).collect()
    told = inputs.previous["feed_tombstones"].collect()
    gone = tombstones.gone_items(before, now, viewer_ids)
    earlier = tombstones.still_told(told, now, viewer_ids, inputs.as_of)
    buried = tombstones.bury(gone, earlier, stage.scene, stage.may_fill, inputs.as_of)
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
