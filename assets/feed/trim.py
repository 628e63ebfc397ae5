"""Lossless pre-trim before activities meet viewers (spec 03.5).

An activity is *plain* when whoever may see anything of its actor sees it: no rule but those about
the actor can remove it. When an actor has ``max_per_actor`` plain single-activity cards, every
single-activity card behind them in (last_activity_at desc, item_id asc) would be cut by the
per-actor cap for every viewer, so it need not be joined. Cards of more activities stay untrimmed,
or their counts would drift.
"""

from __future__ import annotations

import polars as pl

from assets.feed.people import Relations
from assets.feed.visibility import hidden_acts
from assets.feed.window import Ground


def plain_acts(ground: Ground, relations: Relations) -> pl.Series:
    """Which activities (by number) every friend of the actor sees who sees any of theirs (Boolean)."""
    others = ground.principals.filter(pl.col("other") != ground.of(ground.principals["act"], "actor"))["act"]
    private = ground.groups.filter(pl.col("group_id").is_in(relations.private_groups.implode()))["act"]
    hidden = hidden_acts(ground, relations)["act"]
    exempt = pl.concat([others, private, hidden]).unique()
    return ground.acts.select(
        (pl.col("verb") != "reshare")
        & (pl.col("owner") == pl.col("actor")).fill_null(value=False)
        & (pl.col("actor_level") < 2)
        & (pl.col("owner_level") < 2)
        & pl.col("reply_to").is_null()
        & ~pl.col("act").is_in(exempt.implode())
    ).to_series()


def needed(acts: pl.DataFrame, ground: Ground, is_plain: pl.Series, max_per_actor: int) -> pl.DataFrame:
    """``acts`` (``act, card, is_alone``) without the single-activity cards that no viewer can get."""
    placed = acts.with_columns(
        actor=ground.of(acts["act"], "actor"),
        created_us=ground.of(acts["act"], "created_us"),
        is_plain=is_plain.gather(acts["act"]),
    ).sort(["actor", "created_us", "card"], descending=[False, True, False])
    counts = (pl.col("is_alone") & pl.col("is_plain")).cast(pl.Int64)
    ahead = counts.cum_sum().over("actor") - counts
    kept = placed.filter(~pl.col("is_alone") | (ahead < max_per_actor))
    return kept.select(acts.columns)
