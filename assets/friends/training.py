"""The ranker is trained in the run itself (02, 2.3): friendships are held out, and found again.

By time where friendship times say something (the last three fifths, each on its own past: one time
is no measure of another), else four stable hash hold-outs of a tenth each. Learned is what share of
a viewer's held-out friendships a pair is. One part in ten of the viewers judges the ranker against
Adamic-Adar and is not learned from; where there is too little to learn from, or nothing is gained,
there is no model.
Does not belong here: signals, trees, the fixed weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.friends import boosting, evaluation, interactions, signals, sources
from assets.friends.config import (
    HASH_HOLD_OUTS,
    HASH_PARTS,
    LEARNED_SALT,
    LEAST_POSITIVES,
    OTHER_VIEWERS,
    TRAINING_ROWS,
    TRAINING_VIEWERS,
    VALIDATION_PARTS,
    WINDOWS,
)
from assets.friends.engine import Engine
from assets.friends.graph import PAIR, Flags, Index, Ints, Rows, stable_hash
from assets.friends.signals import Scene
from assets.friends.sources import World
from store.settings import FriendsSettings

Frames = Mapping[str, pl.LazyFrame]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """A trained ranker, or why there is none."""

    forest: boosting.Forest | None
    reason: str
    positive_count: int
    evaluation: Mapping[str, Any]
    """Validation figures: of the ranker and of Adamic-Adar on the same viewers."""


@dataclass(frozen=True)
class HoldOut:
    """A graph with friendships taken out, and those friendships both ways."""

    scene: Scene
    held: pl.DataFrame


def train(scene: Scene, frames: Frames, config: FriendsSettings, engine: Engine) -> Model:
    """Hold out, learn, judge; the same for any order of rows, any threads and buckets."""
    sizes = scene.world.friends.sizes.astype(np.int64)
    wedges = int((sizes * sizes).sum())
    if wedges > config.learned_max_wedges:
        reason = f"{wedges} two-paths are more than FRIENDS__LEARNED_MAX_WEDGES={config.learned_max_wedges}"
        return Model(None, reason, 0, {})
    taken = list(hold_outs(scene, frames))
    if sum(one.held.height // 2 for one in taken) < LEAST_POSITIVES:
        return Model(None, f"too few friendships to learn from: {LEAST_POSITIVES} are needed", 0, {})
    parts = [_examples(held, number, config.sources, engine) for number, held in enumerate(taken)]
    table = [np.concatenate(columns) for columns in zip(*(part[0] for part in parts), strict=True)]
    share, judge, row_hash = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
    is_positive = share > 0
    positives = sum(_friendships(part[4].filter(pl.Series(part[1] > 0))) for part in parts)
    if positives < LEAST_POSITIVES:
        return Model(None, f"{positives} friendships to learn from, {LEAST_POSITIVES} are needed", positives, {})
    learn = ~judge
    limit = max(TRAINING_ROWS - int((is_positive & learn).sum()), 1)
    waiting = np.sort(row_hash[learn & ~is_positive])
    if waiting.size > limit:
        learn &= is_positive | (row_hash < waiting[limit])
    forest = boosting.fit([column[learn] for column in table], share[learn], row_hash[learn])
    figures = _validate(parts, forest, scene.world.friends.sizes)
    better = is_better(figures)
    reason = "better than Adamic-Adar on validation" if better else "not better than Adamic-Adar on validation"
    return Model(forest if better else None, reason, positives, figures)


def is_better(figures: Mapping[str, Any]) -> bool:
    """Whether the ranker served the judging viewers better than Adamic-Adar, in recall and in MAP."""
    mine, theirs = figures["learned"], figures["adamic_adar"]
    return all(mine[name] > theirs[name] for name in ("recall_at_20", "map_at_20"))


def hold_outs(scene: Scene, frames: Frames) -> Iterator[HoldOut]:
    """Several hold-outs, by time or by hash."""
    world = scene.world
    pairs = world.friends.pairs().with_columns(pl.Series("since", scene.since))
    once = pairs.filter(pl.col("viewer") < pl.col("candidate"))
    if once.height < 2:
        return
    if scene.is_timed:
        for first, last in WINDOWS:
            yield _by_time(scene, frames, once, first, last)
        return
    ids = world.who.ids
    mixed = ids[once["viewer"].to_numpy()] * np.int64(1_000_003) + ids[once["candidate"].to_numpy()]
    part = stable_hash(mixed, LEARNED_SALT) % np.uint64(HASH_PARTS)
    for number in range(HASH_HOLD_OUTS):
        is_held = part == np.uint64(number)
        yield HoldOut(_without(scene, once, is_held), _both_ways(once.filter(pl.Series(is_held))))


def _by_time(scene: Scene, frames: Frames, once: pl.DataFrame, first: int, last: int) -> HoldOut:
    """What began from the ``first`` to the ``last`` per cent of friendships by time, on the graph before it."""
    world = scene.world
    began = np.sort(once["since"].to_numpy())
    cut, end = int(began[once.height * first // 100]), int(began[once.height * last // 100 - 1])
    once = once.filter(pl.col("since") <= end)
    since = once["since"].to_numpy()
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=cut)
    who = world.who
    there = scene.joined < cut
    past = replace(who, is_private=who.is_private | ~there, is_viewer=who.is_viewer & there)
    groups = sources.groups_of(frames["staged_groups"], frames["staged_memberships"], who, at)
    dealt = interactions.counts(interactions.events(frames, who, at))
    before = replace(scene, world=replace(world, who=past, groups=groups), dealt=dealt, at=cut,
                     acted=signals.acted(frames, who, at))  # fmt: skip
    is_held = since >= cut
    return HoldOut(_without(before, once, is_held), _both_ways(once.filter(pl.Series(is_held))))


def _friendships(pairs: pl.DataFrame) -> int:
    """How many friendships the pairs are: each may stand there from either side, or from both."""
    return pairs.select(pl.min_horizontal(*PAIR).alias("a"), pl.max_horizontal(*PAIR).alias("b")).n_unique()


def _both_ways(once: pl.DataFrame) -> pl.DataFrame:
    turned = once.select(pl.col("candidate").alias("viewer"), pl.col("viewer").alias("candidate"))
    return pl.concat([once.select(list(PAIR)), turned]).sort(list(PAIR))


def _without(scene: Scene, once: pl.DataFrame, is_held: Flags) -> Scene:
    """The scene without the held-out friendships."""
    left = once.filter(pl.Series(~is_held))
    a, b, since = left["viewer"].to_numpy(), left["candidate"].to_numpy(), left["since"].to_numpy()
    size = scene.world.who.size
    rows, columns = np.concatenate([a, b]), np.concatenate([b, a])
    order = np.lexsort((columns, rows))
    friends = Rows.of(rows, columns, size, size)
    world: World = replace(scene.world, friends=friends)
    return replace(scene, world=world, since=np.concatenate([since, since])[order])


def _examples(
    held: HoldOut, number: int, sources_on: tuple[str, ...], engine: Engine
) -> tuple[list[Ints], Floats, Flags, Any, pl.DataFrame, pl.DataFrame]:
    """Signals, what is learned, whether it judges, a stable hash per row; the pool, and what was held out.

    Learned is what share of the viewer's held-out friendships the pair is, 0 where it is none: recall
    counts every viewer the same, and under the exposure cap a mere probability would give lively
    candidates to the few viewers who befriend many, of whose friendships each is a small part.
    """
    scene = held.scene
    who = scene.world.who
    viewers = _viewers(held, number)
    pairs, _ = signals.pool(scene, viewers, sources_on, engine)
    marked = pairs.join(held.held.with_columns(is_positive=pl.lit(value=True)), on=list(PAIR), how="left",
                        maintain_order="left")  # fmt: skip
    v, c = pairs["viewer"].to_numpy(), pairs["candidate"].to_numpy()
    wanted = np.bincount(held.held["viewer"].to_numpy(), minlength=who.size)
    share = marked["is_positive"].fill_null(value=False).to_numpy() / np.maximum(wanted[v], 1)
    judge = stable_hash(who.ids[v], "judge") % np.uint64(VALIDATION_PARTS) == 0
    row_hash = stable_hash(who.ids[v] * np.int64(1_000_003) + who.ids[c], f"row {number}")
    table = signals.columns(scene, pairs, engine) if pairs.height else [np.zeros(0, np.int64)] * len(signals.SIGNALS)
    truth = held.held.join(pl.DataFrame({"viewer": viewers}, schema={"viewer": pl.Int32}), on="viewer", how="semi")
    return table, share, judge, row_hash, pairs, truth


def _viewers(held: HoldOut, number: int) -> Index:
    """Whose candidates are learned from: who has friendships to find, and a share of who has none.

    Scores decide between viewers where the exposure cap binds, so they must know who stays alone.
    """
    who = held.scene.world.who
    finds = np.zeros(who.size, dtype=np.bool_)
    finds[held.held["viewer"].to_numpy()] = True
    mixed = stable_hash(who.ids, f"{LEARNED_SALT} {number}")
    may = who.is_viewer & (held.scene.world.friends.sizes > 0)
    chosen = []
    for are_these, limit in ((may & finds, TRAINING_VIEWERS), (may & ~finds, OTHER_VIEWERS)):
        these = np.flatnonzero(are_these)
        chosen.append(these[np.lexsort((these, mixed[these]))[:limit]])
    return np.sort(np.concatenate(chosen)).astype(np.int32)


def _validate(parts: list[Any], forest: boosting.Forest, degrees: Ints) -> dict[str, Any]:
    """Ranker and Adamic-Adar over the judging viewers of all hold-outs; slices by ``degrees`` (per person)."""
    found: dict[str, list[pl.DataFrame]] = {"learned": [], "adamic_adar": []}
    truths = []
    column = signals.SIGNALS.index("adamic_adar_micro")
    for number, (table, _, judge, _, pairs, truth) in enumerate(parts):
        judging = pairs.filter(pl.Series(judge)).select(list(PAIR))
        score = forest.score([c[judge] for c in table]) if judging.height else np.zeros(0, np.int64)
        # One viewer is judged once per hold-out: numbers of different hold-outs are kept apart.
        apart = pl.col("viewer") * HASH_PARTS + number
        for name, values in (("learned", score), ("adamic_adar", table[column][judge])):
            top = evaluation.ranked(judging.with_columns(pl.Series("score", values)).filter(pl.col("score") > 0))
            found[name].append(top.with_columns(apart))
        truths.append(truth.join(judging.select("viewer").unique(), on="viewer", how="semi").with_columns(apart))
    truth = pl.concat(truths)
    told = {}
    for name, lists in found.items():
        viewers = evaluation.by_viewer(pl.concat(lists), truth)
        slices = evaluation.sliced(viewers, np.repeat(degrees, HASH_PARTS))
        told[name] = {**evaluation.figures(viewers), "slices": slices}
    return told
