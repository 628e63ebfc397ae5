"""Why a feed is what it is: every item with the parts of its score, and what each rule left out.

The product's own stages (``assets.feed.product``) run for one viewer, without the lossless pre-trim, so that
everything their friends did is counted under the rule that removed it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from assets.feed import people, window
from assets.feed.kernels import Numbers
from assets.feed.product import FEED_ITEMS, INPUTS, Stage, feed, feeds_of, prepare
from assets.feed.selection import PARTS
from assets.feed.visibility import RULES, circle
from assets.frame import Inputs, StageCount
from pipelines.explain.home import Home, Person
from pipelines.explain.told import EXAMPLES, Section, stage_of
from store.payloads import instant_text
from store.payloads.feed_words import Teller, card_of
from store.settings import FeedSettings

MOST = 999
"""Items looked at behind the caps, for examples."""
_CARD = ["verb", "object_type", "object_id", "object_owner_id", "lead_activity_id", "lead_actor_id", "actor_count",
         "sample_actor_ids", "other_count", "first_activity_at", "last_activity_at"]  # fmt: skip
Examples = dict[tuple[str, str], list[dict[str, object]]]


@dataclass(frozen=True)
class Found:
    """One viewer's items as computed now, the counts of every stage, and examples of what each removed (cards)."""

    items: pl.DataFrame
    counts: tuple[StageCount, ...]
    examples: Examples


def found(inputs: Inputs[FeedSettings], viewer_id: int) -> Found:
    """Run the product's stages for ``viewer_id``, who has a feed."""
    frames = {name: inputs.frames[name].select(columns).collect() for name, columns in INPUTS.items()}
    stage = _untrimmed(prepare(frames, inputs.config, inputs.as_of)[0])
    number = stage.scene.relations.people.number(pl.Series([viewer_id], dtype=pl.Int64))
    viewer = number.cast(pl.Int32).to_numpy()
    items, tally = feeds_of(viewer, stage)
    examples: Examples = defaultdict(list)
    seen = _seen(frames, stage, viewer, inputs, examples)
    _refused(stage, viewer, examples)
    _capped(stage, viewer, items, examples)
    return Found(pl.concat([FEED_ITEMS.empty(), items]), (*seen, *tally.counts()), examples)


def _untrimmed(stage: Stage) -> Stage:
    """The same stage with every activity of the window joined: the pre-trim changes no item (spec 03.5)."""
    ranked, chronological = (
        replace(mode, is_needed=np.asarray(mode.deck.card >= 0)) for mode in (stage.ranked, stage.chronological)
    )
    ground = stage.scene.ground
    is_inside = np.arange(ground.count) < ground.in_window
    near = ground.by_actor(is_inside, stage.scene.relations.people.count)
    return replace(stage, ranked=ranked, chronological=chronological, near_acts=near)


def _seen(
    frames: Mapping[str, pl.DataFrame],
    stage: Stage,
    viewer: Numbers,
    inputs: Inputs[FeedSettings],
    examples: Examples,
) -> list[StageCount]:
    """What the circle did, and why some of it may be shown to nobody."""
    known = stage.scene.relations.people.ids
    ids = known.gather(pl.Series(circle(stage.scene.relations, viewer).other))
    everything = frames["staged_activities"].filter(pl.col("actor_id").is_in(ids.implode()))
    there, _ = window.present(frames["staged_activities"], inputs.as_of)
    active = people.active_users(frames["staged_users"], inputs.as_of)["id"]
    judged = window.judge(window.resolve(there), active, inputs.as_of, inputs.config.window_days)
    mine = judged.filter(pl.col("actor_id").is_in(ids.implode()))
    inside = mine.filter("is_in_window")
    gone = inside.filter(pl.col("reason").is_not_null()).sort("created_at", "id", descending=[True, False])
    for (reason,), rows in gone.group_by("reason", maintain_order=True):
        examples["shareable", str(reason)] += [card_of(row) for row in rows.head(EXAMPLES).iter_rows(named=True)]
    why = dict(gone.group_by("reason").len().sort("reason").iter_rows())
    old = {"not_there_yet": everything.height - mine.height, "aged_out": mine.height - inside.height}
    return [
        StageCount("circle", everything.height, inside.height, filtered=old),
        StageCount("shareable", inside.height, inside.height - gone.height, filtered=why),
    ]


def _refused(stage: Stage, viewer: Numbers, examples: Examples) -> None:
    """The newest activities that each rule about a viewer removes."""
    ground, known = stage.scene.ground, stage.scene.relations.people.ids
    pairs = circle(stage.scene.relations, viewer).pairs(stage.near_acts)
    for reason, rule in RULES:
        is_kept = rule(pairs, stage.scene)
        acts = np.sort(pairs.act[~is_kept])[:EXAMPLES]
        rows = ground.acts[acts.tolist()].with_columns(actor_id=known.gather(pl.Series(ground.actor[acts])))
        examples["eligible", reason] += [card_of(row) for row in rows.iter_rows(named=True)]
        pairs = pairs.where(is_kept)


def _capped(stage: Stage, viewer: Numbers, items: pl.DataFrame, examples: Examples) -> None:
    """The best cards that have no place: behind the end, and behind one person's share."""
    longer = {"max_ranked": MOST, "max_chronological": MOST}
    seen = items
    for wider in (longer, {**longer, "max_per_actor": MOST}):
        more, _ = feeds_of(viewer, replace(stage, config=stage.config.model_copy(update=wider)))
        real = more.filter(pl.col("reason") != "suggested").join(seen, on=["mode", "item_id"], how="anti")
        for mode in ("ranked", "chronological"):
            reason = "max_per_actor" if "max_per_actor" in wider else f"max_{mode}"
            rows = real.filter(pl.col("mode") == mode).sort("position").head(EXAMPLES)
            examples[f"{mode}_items", reason] += list(rows.select(_CARD).iter_rows(named=True))
        seen = pl.concat([seen, real])


def section(home: Home, person: Person) -> Section | None:
    """The person's feed, explained; None where the generation holds no feeds."""
    tables = home.product(feed)
    if not tables:
        return None
    as_of = next(iter(tables.values())).manifest.as_of
    if person.state != "active":
        return Section("feed", instant_text(as_of), "building", _no_feed(person), (), (), ())
    stored = tables["feed_items"].scan().filter(pl.col("viewer_id") == person.user_id).collect()
    told = found(home.inputs(feed, home.settings.feed, tables), person.user_id)
    teller = teller_of(home, person.user_id, as_of, [*_shown(stored), *_every(told.examples)])
    rows = tuple(row_of(row, teller) for row in stored.sort("mode", "position", descending=[True, False]).to_dicts())
    stages = tuple(
        stage_of(count, {r: [teller.line(card) for card in told.examples[count.stage, r]] for r in count.filtered})
        for count in told.counts
    )
    is_cold = stored.height > 0 and set(stored["reason"]) == {"suggested"}
    state = "cold_start" if is_cold else "ready" if stored.height else "empty"
    ranked = stored.filter(pl.col("mode") == "ranked").height
    summary = f"{ranked} ranked and {stored.height - ranked} chronological items"
    return Section("feed", instant_text(as_of), state, summary, rows, stages, _notes(home, person, stored, told.items))


def _every(examples: Examples) -> list[dict[str, object]]:
    return [card for cards in examples.values() for card in cards]


def _shown(stored: pl.DataFrame) -> list[dict[str, object]]:
    return list(stored.select(_CARD).iter_rows(named=True))


def teller_of(home: Home, viewer_id: int, as_of: datetime, cards: list[dict[str, object]]) -> Teller:
    """Who tells these cards by name, with the texts they quote."""
    wanted = pl.Series([i for card in cards for i in (card["object_id"], card["lead_activity_id"])], dtype=pl.Int64)
    acts = home.staged("staged_activities").filter(pl.col("id").is_in(wanted.unique().implode())).collect()
    return Teller(viewer_id, as_of, home.names, home.groups, {row["id"]: row for row in acts.iter_rows(named=True)})


def row_of(row: Mapping[str, object], teller: Teller) -> dict[str, object]:
    """One stored item in words, with the parts that add up to its score."""
    return {
        "mode": row["mode"],
        "position": row["position"],
        "item_id": row["item_id"],
        "reason": row["reason"],
        "sentence": teller.line(row),
        "why": teller.why(row),
        "score": row["score"],
        "parts": {name: row[name] for name in PARTS},
        "is_unseen": row["is_unseen"],
    }


def _no_feed(person: Person) -> str:
    return {
        "dormant": f"no feed: last seen {person.last_seen_at:%Y-%m-%d}, more than 30 days before; the next run after "
        "they come back computes one",
        "not_active": f"no feed: the account is {person.status}",
        "not_there_yet": "no feed: the account was made at or after the snapshot",
    }[person.state]


def _notes(home: Home, person: Person, stored: pl.DataFrame, now: pl.DataFrame) -> tuple[str, ...]:
    notes = []
    if not now.equals(stored.select(now.columns).sort("mode", "position")):
        notes.append("recomputed, this feed differs from the served one: settings or code changed since that run")
    gone = home.product(feed)["feed_tombstones"].scan().filter(pl.col("viewer_id") == person.user_id).collect()
    for reason, count in gone.group_by("reason").len().sort("reason").iter_rows():
        notes.append(f"{count} item(s) of earlier generations are gone: {reason}")
    return tuple(notes)
