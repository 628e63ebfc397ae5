"""Why these people are recommended: the score of each, and what removed everybody else.

The product's own filters and sources run with one viewer. The exposure cap looks at all viewers at once, so
what it took is read off the stored rows: whoever would stand before the last one shown, and is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from assets.frame import Inputs, StageCount
from assets.friends import features, filters, interactions, scoring
from assets.friends.config import CANDIDATE_FILTERS, FILTERS, VARIANTS
from assets.friends.engine import Engine
from assets.friends.graph import PAIR, Flags, arms
from assets.friends.product import build_world, draw, friends
from assets.friends.sources import World
from assets.published.carry import still_recommendable
from pipelines.explain.home import Home, Person
from pipelines.explain.told import EXAMPLES, Section, stage_of
from store.payloads import instant_text
from store.payloads.words import name_of, recommendation_line
from store.settings import FriendsSettings

Examples = Mapping[str, list[int]]


@dataclass(frozen=True)
class Found:
    """One viewer's rows with how each score came about, the counts of every stage, and examples (ids by reason)."""

    rows: pl.DataFrame
    """The stored rows plus ``base_score, impression_count``; null where scores are not computed again."""
    counts: tuple[StageCount, ...]
    examples: Examples


def found(inputs: Inputs[FriendsSettings], viewer_id: int, stored: pl.DataFrame, *, is_learned: bool) -> Found:
    """What filters, sources and scores say of ``viewer_id``, whose rows of the product are ``stored``.

    A learned ranker is trained in its run and not kept: then scores are not computed again.
    """
    world, stages = build_world(inputs, viewer_id)
    nothing = pl.lit(None, dtype=pl.Int64)
    if not world.who.viewers.size:
        return Found(stored.with_columns(base_score=nothing, impression_count=nothing), (), {})
    examples = _barred(inputs, world)
    if is_learned:
        return Found(stored.with_columns(base_score=nothing, impression_count=nothing), (stages[-1],), examples)
    engine = Engine()
    dealt = interactions.counts(interactions.events(inputs.frames, world.who, inputs.as_of))
    listed = draw(world, dealt, inputs.config, world.who.is_viewer, engine).pairs
    listed = listed.with_columns(pl.Series("candidate_id", world.who.ids[listed["candidate"].to_numpy()]))
    counts, beaten = _selected(listed, stored, stages[-1].rows_out, inputs.config.k)
    rows = _scored(stored, listed, world, dealt, inputs.config, engine)
    return Found(rows, (stages[-1], *counts), {**examples, **beaten})


def _barred(inputs: Inputs[FriendsSettings], world: World) -> dict[str, list[int]]:
    """A few people under each filter, by id."""
    who, config = world.who, inputs.config
    shown = filters.impressions(inputs.frames["staged_recommendation_impressions"], who, inputs.as_of, config)
    pairs = filters.removed_pairs(inputs.frames, who, world.friends, shown, inputs.as_of, config).sort("candidate")
    taken = np.ones(who.size, dtype=np.bool_)
    taken[who.viewers] = False
    taken[world.friends.pairs().filter(pl.col("viewer").is_in(who.viewers))["candidate"].to_numpy()] = False
    named: dict[str, list[int]] = {}
    for number, reason in enumerate(FILTERS):
        if reason in CANDIDATE_FILTERS:
            continue
        candidates = pairs.filter(pl.col("order") == number)["candidate"].to_numpy()
        named[reason] = who.ids[candidates].tolist()
        if reason != "impressions_exhausted":
            taken[candidates] = False
    flags: tuple[Flags, ...] = (who.is_private, ~who.is_discoverable, who.is_opted_out)
    for reason, flag in zip(CANDIDATE_FILTERS, flags, strict=True):
        named[reason] = who.ids[taken & flag].tolist()
        taken &= ~flag
    named["impressions_exhausted"] = [i for i in named["impressions_exhausted"] if taken[np.searchsorted(who.ids, i)]]
    return named


def _selected(
    listed: pl.DataFrame, stored: pl.DataFrame, possible: int, k: int
) -> tuple[tuple[StageCount, ...], dict[str, list[int]]]:
    """Who was proposed, who of them stands behind the last one shown, and who was kept for others by the cap."""
    filled = stored.join(listed, on="candidate_id", how="anti").height
    rest = _places(listed.join(stored, on="candidate_id", how="anti"))
    last = max(_places(stored)) if stored.height >= k else None
    capped = [place[-1] for place in rest if last is None or place < last]
    beyond = [place[-1] for place in rest if last is not None and place > last]
    proposed = listed.height + filled
    return (
        StageCount("sources", possible, proposed, filtered={"not_proposed": possible - proposed}),
        StageCount(
            "selection", proposed, stored.height, filtered={"beyond_k": len(beyond), "exposure_cap": len(capped)}
        ),
    ), {"beyond_k": beyond, "exposure_cap": capped}


def _places(rows: pl.DataFrame) -> list[tuple[int, int, int]]:
    """What orders the rows of one viewer (spec 02.1), sorted; the candidate comes last."""
    return sorted(rows.select(-pl.col("score"), -pl.col("mutual_count"), "candidate_id").rows())


def _scored(
    stored: pl.DataFrame,
    listed: pl.DataFrame,
    world: World,
    dealt: pl.DataFrame,
    config: FriendsSettings,
    engine: Engine,
) -> pl.DataFrame:
    """Add ``base_score`` (before impressions) and ``impression_count``: the two that make the score."""
    ids = world.who.ids
    pairs = stored.select(
        pl.Series("viewer", np.searchsorted(ids, stored["viewer_id"].to_numpy()), dtype=pl.Int32),
        pl.Series("candidate", np.searchsorted(ids, stored["candidate_id"].to_numpy()), dtype=pl.Int32),
    )
    known = features.of_pairs(pairs, world, dealt, engine)
    walked = listed.select(*PAIR, "pagerank_micro")
    names = arms(ids, config.experiment_salt, [variant.name for variant in VARIANTS])
    known = known.join(walked, on=list(PAIR), how="left", maintain_order="left").with_columns(
        scoring.same_country(known, world.who), scoring.arm_numbers(names).gather(known["viewer"])
    )
    base = known.select(
        pl.Series("candidate_id", ids[known["candidate"].to_numpy()]),
        "impression_count",
        scoring.base_score().alias("base_score"),
    )
    return stored.join(base, on="candidate_id", how="left", maintain_order="left")


def section(home: Home, person: Person) -> Section | None:
    """The person's recommendations, explained; None where the generation holds none."""
    tables = home.product(friends)
    if not tables:
        return None
    as_of = next(iter(tables.values())).manifest.as_of
    if person.state in ("not_active", "not_there_yet") or person.created_at >= as_of:
        return Section("friends", instant_text(as_of), "building", "no recommendations are computed", (), (), ())
    if not person.wants_recommendations:
        return Section("friends", instant_text(as_of), "empty", "does not want recommendations", (), (), ())
    stored = tables["friend_recommendations"].scan().filter(pl.col("viewer_id") == person.user_id).collect()
    is_learned = bool(tables["friend_model"].scan().select(pl.col("is_learned").any()).collect().item())
    inputs = home.inputs(friends, home.settings.friends, tables)
    told = found(inputs, person.user_id, stored.sort("rank"), is_learned=is_learned)
    rows, notes = told.rows, []
    if is_learned:
        notes.append("a learned ranker gave these scores; it is trained in its run and not kept")
    if as_of != home.info.as_of:
        rows = _carried(home, rows)
        notes.append(f"carried over from {instant_text(as_of)}; {told.rows.height - rows.height} left out since")
    stages = tuple(
        stage_of(
            count, {r: [name_of(i, home.names) for i in told.examples.get(r, ())[:EXAMPLES]] for r in count.filtered}
        )
        for count in told.counts
    )
    lines = tuple(_row(row, home.names) for row in rows.iter_rows(named=True))
    state = "ready" if lines else "empty"
    return Section("friends", instant_text(as_of), state, f"{len(lines)} people", lines, stages, tuple(notes))


def _carried(home: Home, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that the generation serves: carried ones are filtered again (spec 06.1)."""
    frames = {table: home.staged(table) for table in friends.inputs}
    kept = still_recommendable(rows.select(pl.exclude("base_score", "impression_count")).lazy(), frames,
                               home.info.as_of, home.settings.friends).collect()  # fmt: skip
    scores = rows.select("candidate_id", "base_score", "impression_count")
    return kept.join(scores, on="candidate_id", how="left", maintain_order="left")


def _row(row: Mapping[str, object], names: Mapping[int, str]) -> dict[str, object]:
    """One recommendation in words."""
    return {
        "rank": row["rank"],
        "candidate_id": row["candidate_id"],
        "name": name_of(int(str(row["candidate_id"])), names),
        "why": recommendation_line(row, names),
        "reason": row["reason_code"],
        "score": row["score"],
        "base_score": row["base_score"],
        "impression_count": row["impression_count"],
        "sources": row["sources"],
        "variant": row["variant"],
    }
