"""The product `friends`: the stages of 02, 2.3 in their order, and the four tables.

Lives here: the order of the stages and the shape of the tables. Does not belong here: any rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import polars.selectors as cs

from assets.frame import Inputs, Product, Result, StageCount
from assets.friends import (
    features,
    filters,
    gate,
    interactions,
    learned,
    plots,
    scoring,
    selection,
    signals,
    sources,
)
from assets.friends.boosting import Forest
from assets.friends.config import DESCRIBED, LEARNED, RANKER, SAMPLE_ABOVE_USERS, SAMPLE_PERCENT, VARIANTS
from assets.friends.engine import Engine
from assets.friends.graph import PAIR, Flags, People, Rows, arms, edges, people, stable_hash
from assets.friends.reasons import named, source_bits, sources_named, with_reasons
from assets.friends.signals import Scene
from assets.friends.sources import World
from assets.friends.training import Model, train
from store.settings import FriendsSettings

INPUTS = (
    "staged_users",
    "staged_friendships",
    "staged_friend_requests",
    "staged_blocks",
    "staged_mutes",
    "staged_recommendation_dismissals",
    "staged_recommendation_impressions",
    "staged_groups",
    "staged_memberships",
    "staged_activities",
)
TABLES = ("friend_recommendations", "friend_candidates", "friend_filter_counts", "friend_model")
CANDIDATE_FEATURES = (
    "common_neighbours",
    "adamic_adar_micro",
    "resource_allocation_micro",
    "jaccard_micro",
    "viewer_degree",
    "candidate_degree",
    "shared_group_count",
    "interaction_count",
    "impression_count",
)

DRAWN = (*PAIR, "score", "mutual_count", "is_near", "pagerank_micro")


@dataclass(frozen=True)
class Drawn:
    """What the sources proposed.

    ``pairs``: ``viewer, candidate, score, mutual_count, is_near, pagerank_micro``; ``near``: the
    friends of friends that `friend_candidates` holds.
    """

    pairs: pl.DataFrame
    near: pl.DataFrame
    is_short: Flags


def compute(inputs: Inputs[FriendsSettings], engine: Engine | None = None) -> Result:
    """Friend recommendations of one snapshot; the engine changes the time it takes, nothing else."""
    engine = engine or Engine(threads=pl.thread_pool_size())
    frames, config, as_of = inputs.frames, inputs.config, inputs.as_of
    world, stages = build_world(inputs)
    who = world.who
    between = interactions.events(frames, who, as_of)
    dealt = interactions.counts(between)
    kept = has_candidates(world, config)
    model = Model(None, "fixed documented weights: the setting says so", 0, {})
    if config.ranker == "learned":
        scene = signals.scene_of(world, frames, dealt, as_of)
        model = train(scene, frames, config, engine)
    if model.forest is None:
        drawn = draw(world, dealt, config, kept, engine)
    else:
        drawn = draw_learned(scene, model.forest, config, kept, engine)
    chosen = selection.select(drawn.pairs, world, config, drawn.is_short)

    told = chosen.shown.join(dealt, on=list(PAIR), how="semi")
    told = interactions.readable(told, between, frames, who, world.friends, as_of)
    parts = [described(*part, world, dealt, told, config, kept, engine)
             for part in in_parts(chosen.shown, drawn.near, who)]  # fmt: skip

    listed = drawn.pairs.height + int(chosen.shown["is_filled"].sum())
    possible = stages[-1].rows_out
    stages += [
        StageCount("sources", possible, listed, filtered={"not_proposed": possible - listed}),
        StageCount("selection", listed, chosen.shown.height,
                   filtered={"beyond_k": chosen.beyond_k, "exposure_cap": chosen.capped}),
    ]  # fmt: skip
    figures = gate.chosen(model.evaluation, is_learned=model.forest is not None)
    before = inputs.previous.get("friend_model", pl.LazyFrame(schema={"variant": pl.String})).collect()
    is_judged = config.ranker == "learned"
    fallen = gate.losses(figures, before, config.quality_margin_percent, is_judged=is_judged)
    tables = {
        "friend_recommendations": pl.concat([recommendations for recommendations, _ in parts], rechunk=True),
        "friend_candidates": pl.concat([candidates for _, candidates in parts], rechunk=True),
        "friend_filter_counts": world.filtered.counts,
        "friend_model": scoring.friend_model(model, signals.SIGNALS, fallen),
    }
    notes = {
        "ranker": RANKER if model.forest is None else LEARNED,
        "ranker_reason": model.reason,
        "validation": dict(model.evaluation),
        "fell_below_the_last_accepted": fallen,
        "sources": list(config.sources),
        "viewers": int(who.is_viewer.sum()),
        "viewers_short_of_friends_of_friends": int(drawn.is_short.sum()),
        "exposure_cap": selection.exposure_cap(who, config),
        "plots": plots.of_run(tables["friend_recommendations"]["score"], world.friends.sizes, figures),
    }
    return Result(tables, tuple(stages), notes)


def build_world(inputs: Inputs[FriendsSettings], only_viewer_id: int | None = None) -> tuple[World, list[StageCount]]:
    """People, friendships, groups and filters in index space, and their counts; of one viewer if so asked."""
    frames, as_of = inputs.frames, inputs.as_of
    who = people(frames["staged_users"], as_of)
    if only_viewer_id is not None:
        who = who.with_viewer(only_viewer_id)
    friends, edge_count = edges(frames["staged_friendships"], who, as_of)
    blocks = filters.blocked(frames["staged_blocks"], who).collect()
    block_rows = Rows.of(blocks["viewer"].to_numpy(), blocks["candidate"].to_numpy(), who.size, who.size)
    groups = sources.groups_of(frames["staged_groups"], frames["staged_memberships"], who, as_of)
    filtered = filters.apply(frames, who, friends, as_of, inputs.config)
    world = World(who, friends, block_rows, groups, filtered)
    return world, [who.count, edge_count, filtered.stage]


def has_candidates(world: World, config: FriendsSettings) -> Flags:
    """Whose candidates `friend_candidates` holds: every viewer's, of a large graph a stable sample's."""
    who = world.who
    if who.size <= SAMPLE_ABOVE_USERS or config.keep_candidates:
        return who.is_viewer
    in_sample = stable_hash(who.ids, "candidates") % np.uint64(100) < np.uint64(SAMPLE_PERCENT)
    return np.asarray(who.is_viewer & in_sample, dtype=np.bool_)


def draw(world: World, dealt: pl.DataFrame, config: FriendsSettings, kept: Flags, engine: Engine) -> Drawn:
    """Ask the sources that are switched on, and score what they propose."""
    who = world.who
    parts = []
    is_short = who.is_viewer.copy()
    near = pl.DataFrame(schema=PAIR)
    if "friends_of_friends" in config.sources:
        near, eligible = sources.friends_of_friends(world, who.viewers, config.k, sources.depth_of(kept), engine)
        is_short &= eligible < config.k
        best = near.filter("is_best")
        count = features.with_count(best, world.filtered.impressions, "impression_count")
        score = scoring.after_impressions(best["adamic_adar_micro"].to_numpy(), count.to_numpy())
        nothing = pl.lit(None, dtype=pl.Int64)
        parts.append(best.with_columns(pl.Series("score", score), is_near=pl.lit(value=True), pagerank_micro=nothing))
    listed = others(world, dealt, config, is_short, engine)
    listed = listed.join(near, on=list(PAIR), how="anti").sort(list(PAIR))
    known = features.of_pairs(listed, world, dealt, engine).with_columns(listed["pagerank_micro"])
    names = arms(who.ids, config.experiment_salt, [v.name for v in VARIANTS])
    known = known.with_columns(
        scoring.same_country(known, who),
        scoring.arm_numbers(names).gather(known["viewer"]),
        is_near=pl.col("common_neighbours") > 0,
    )
    base = known.select(scoring.base_score().alias("score"))["score"]
    score = scoring.after_impressions(base.to_numpy(), known["impression_count"].to_numpy())
    parts.append(known.with_columns(pl.Series("score", score)))
    held = near.filter(pl.Series(kept[near["viewer"].to_numpy()], dtype=pl.Boolean))
    return Drawn(pl.concat([part.select(DRAWN) for part in parts]), held, is_short)


def draw_learned(scene: Scene, forest: Forest, config: FriendsSettings, kept: Flags, engine: Engine) -> Drawn:
    """Ask every source that is on for every viewer, and score what they propose with the trained ranker."""
    world = scene.world
    pairs, near, eligible = learned.scored(scene, forest, config, kept, engine)
    is_short = world.who.is_viewer.copy()
    if "friends_of_friends" in config.sources:
        is_short &= eligible < config.k
    pairs = pairs.with_columns(mutual_count=features.published(pairs, world, engine))
    return Drawn(pairs.select(DRAWN), near, is_short)


def others(world: World, dealt: pl.DataFrame, config: FriendsSettings, is_short: Flags, engine: Engine) -> pl.DataFrame:
    """``viewer, candidate, pagerank_micro`` from every source but friends-of-friends, for the short."""
    short = np.flatnonzero(is_short).astype(np.int32)
    if not short.size:
        return pl.DataFrame(schema={**PAIR, "pagerank_micro": pl.Int64})
    nothing = pl.lit(None, dtype=pl.Int64).alias("pagerank_micro")
    found = [pl.DataFrame(schema={**PAIR, "pagerank_micro": pl.Int64})]
    if "pagerank" in config.sources:
        found.append(sources.pagerank(world, short, engine, is_beyond="friends_of_friends" in config.sources))
    if "co_membership" in config.sources:
        found.append(sources.co_membership(world, short, engine).with_columns(nothing))
    loose = []
    if "interaction" in config.sources:
        loose.append(sources.interaction(dealt, is_short))
    if "popular" in config.sources:
        loose.append(sources.interaction(world.filtered.impressions, is_short))
    found += [sources.allowed(pairs, world).with_columns(nothing) for pairs in loose]
    return pl.concat(found).group_by(list(PAIR)).agg(pl.col("pagerank_micro").max())


def in_parts(shown: pl.DataFrame, near: pl.DataFrame, who: People) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """What is shown and near, of `DESCRIBED` people at once; at least one part."""
    tables = [frame[np.argsort(frame["viewer"].to_numpy(), kind="stable")] for frame in (shown, near)]
    firsts = np.arange(0, max(who.size, 1), DESCRIBED)
    cuts = [[*np.searchsorted(frame["viewer"].to_numpy(), firsts).tolist(), frame.height] for frame in tables]
    for i in range(firsts.size):
        first, second = (frame[at[i] : at[i + 1]] for frame, at in zip(tables, cuts, strict=True))
        yield first, second


def described(
    part: pl.DataFrame, near: pl.DataFrame, world: World, dealt: pl.DataFrame, told: pl.DataFrame,
    config: FriendsSettings, kept: Flags, engine: Engine,
) -> tuple[pl.DataFrame, pl.DataFrame]:  # fmt: skip
    """`friend_recommendations` and `friend_candidates` of some viewers: features, sources, reasons of what is shown."""
    who = world.who
    pairs = pl.concat([part.select(list(PAIR)), near.select(list(PAIR))])
    rows = Rows.of(pairs["viewer"].to_numpy(), pairs["candidate"].to_numpy(), who.size, who.size).pairs()
    known = features.of_pairs(rows, world, dealt, engine)
    known = known.join(part, on=list(PAIR), how="left", maintain_order="left")
    known = known.with_columns(pl.col("is_filled").fill_null(value=False))
    known = known.with_columns(source_bits(config.sources))
    shown = known.filter(pl.col("score").is_not_null())
    shown = shown.with_columns(scoring.same_country(shown, who))
    shown = with_reasons(shown, world, told, engine)
    return friend_recommendations(shown, world, config), friend_candidates(known, world, kept)


def friend_recommendations(shown: pl.DataFrame, world: World, config: FriendsSettings) -> pl.DataFrame:
    """The table of 2.1, by viewer and rank."""
    ids, told = world.who.ids, ("reason_code", "shared_group_count", "source_bits")
    ordered = selection.ranked(shown.select(*PAIR, "score", "mutual_count", *told, cs.starts_with("sample_", "group_")))
    variants = pl.Series(arms(ids, config.experiment_salt, [v.name for v in VARIANTS]), dtype=pl.String)
    viewer = ordered["viewer"].to_numpy()
    return ordered.select(
        pl.Series("viewer_id", ids[viewer]),
        "rank",
        pl.Series("candidate_id", ids[ordered["candidate"].to_numpy()]),
        "score",
        "reason_code",
        "mutual_count",
        named(ordered, "sample", ids).alias("mutual_sample_ids"),
        "shared_group_count",
        named(ordered, "group", world.groups.ids).alias("shared_group_ids"),
        sources_named(ordered["source_bits"]),
        variants.gather(viewer).alias("variant"),
    )


def friend_candidates(known: pl.DataFrame, world: World, kept: Flags) -> pl.DataFrame:
    """The table of 2.1: features of eligible pairs, by viewer and candidate.

    Its ``shared_group_count`` counts every common group, places too: it is a feature, and nobody
    but the platform reads this table. In `friend_recommendations`, which clients are shown, the
    column counts what may be told: a shared place would reveal a visit (2.4).
    """
    rows = known.filter(pl.Series(kept[known["viewer"].to_numpy()], dtype=pl.Boolean)).sort(list(PAIR))
    ids = world.who.ids
    return rows.select(
        pl.Series("viewer_id", ids[rows["viewer"].to_numpy()]),
        pl.Series("candidate_id", ids[rows["candidate"].to_numpy()]),
        sources_named(rows["source_bits"]),
        *CANDIDATE_FEATURES,
    ).with_columns(shared_group_count=rows["common_group_count"])


friends: Product[FriendsSettings] = Product(
    name="friends",
    tables=TABLES,
    inputs=INPUTS,
    config=FriendsSettings,
    compute=compute,
    previous=("friend_model",),
    is_carriable=True,
)
