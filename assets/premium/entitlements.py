"""`entitlements` (rules 16 to 20): what each user may use in the period that holds ``as_of``.

Also the events of each allowance, which crossings share. Not here: periods and plans (`allowances.py`),
the order of burning (`burning.py`).
"""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from operator import itemgetter

import polars as pl

from assets.premium.allowances import is_level
from assets.premium.burning import Period, burn
from assets.premium.calendar import INSTANT, microseconds
from assets.premium.usage import aggregate
from assets.premium.versions import OPEN

BALANCE = {"rolled_over": pl.Int64, "burnt_grants": pl.Int64, "rest": pl.Int64, "left_grants": pl.Int64,
           "overage": pl.Int64}  # fmt: skip


def events_in_periods(counted: pl.DataFrame, rows: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """``row, period_start, seq, occurred_at, amount, subject, aggregation, is_current`` of metered allowances."""
    metered = rows.filter(pl.col("kind") == "metered").select("row", "user_id", "meter_key")
    spans = terms.select("row", "period_start", "period_end", "is_current")
    begin = spans.group_by("row").agg(pl.col("period_start").min().alias("begin"))
    candidates = counted.join(metered.join(begin, on="row"), on=["user_id", "meter_key"]).filter(
        pl.col("occurred_at") >= pl.col("begin")
    )
    return (
        candidates.sort("occurred_at")
        .join_asof(
            spans.sort("period_start"), left_on="occurred_at", right_on="period_start", by="row",
            check_sortedness=False, coalesce=False,
        )
        .filter(pl.col("period_end").is_null() | (pl.col("occurred_at") < pl.col("period_end")))
        .select("row", "period_start", "seq", "occurred_at", "amount", "subject", "aggregation", "is_current")
    )  # fmt: skip


def burning_events(events: pl.DataFrame) -> pl.DataFrame:
    """Of additive meters, the events that use something up: of each subject only the first in its period."""
    kept = events.filter(~is_level())
    is_unique = pl.col("aggregation") == "unique_count"
    first = kept.filter(is_unique).sort("seq").unique(["row", "period_start", "subject"], keep="first")
    return pl.concat([kept.filter(~is_unique), first]).sort("row", "seq")


def entitlements(
    rows: pl.DataFrame, terms: pl.DataFrame, events: pl.DataFrame, grants: pl.DataFrame, as_of: datetime
) -> pl.DataFrame:
    """The table, one row per allowance."""
    used = aggregate(events.filter("is_current"), ["row"]).select("row", pl.col("value").alias("used"))
    now = (
        rows.join(terms.filter("is_current").select("row", "period_start", "period_end"), on="row")
        .join(used, on="row", how="left")
        .with_columns(pl.col("used").fill_null(0).clip(lower_bound=0))
    )
    is_metered = pl.col("kind") == "metered"
    is_limited = is_metered & pl.col("limit_value").is_not_null()
    plain = now.filter(~is_limited).with_columns(
        pl.when(is_metered).then("used").alias("used"),
        pl.lit(0, pl.Int64).alias("rolled_over"),
        pl.lit(None, pl.Int64).alias("granted"),
        pl.lit(None, pl.Int64).alias("balance"),
        pl.when(is_metered).then(pl.lit(0, pl.Int64)).alias("overage"),
    )
    level = _levels(now.filter(is_limited & is_level()), grants, as_of)
    additive = _additive(now.filter(is_limited & ~is_level()), terms, events, grants, as_of)
    has_access = (~is_limited) | (pl.col("overage_policy") == "soft") | (pl.col("balance") > 0)
    return pl.concat([plain, level.select(plain.columns), additive.select(plain.columns)]).with_columns(
        has_access.alias("has_access"), pl.col("period_end").alias("resets_at"), pl.lit(as_of, INSTANT).alias("as_of")
    )


def _levels(now: pl.DataFrame, grants: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Rule 19: a level stands against the limit and the live grants; nothing burns."""
    live = grants.filter((pl.col("effective_at") <= as_of) & (pl.col("lives_until") > pl.lit(as_of).dt.epoch("us")))
    extra = live.group_by("user_id", "feature_key").agg(pl.col("amount").sum().alias("extra"))
    return (
        now.join(extra, on=["user_id", "feature_key"], how="left")
        .with_columns((pl.col("limit_value") + pl.col("extra").fill_null(0)).alias("granted"))
        .with_columns(
            pl.lit(0, pl.Int64).alias("rolled_over"),
            (pl.col("granted") - pl.col("used")).clip(lower_bound=0).alias("balance"),
            (pl.col("used") - pl.col("granted")).clip(lower_bound=0).alias("overage"),
        )
    )


def _additive(
    now: pl.DataFrame, terms: pl.DataFrame, events: pl.DataFrame, grants: pl.DataFrame, as_of: datetime
) -> pl.DataFrame:
    """Rule 19: pot, grants and overage of meters that add up."""
    simple = now.filter(~pl.col("has_history")).with_columns(
        pl.lit(0, pl.Int64).alias("rolled_over"),
        pl.lit(0, pl.Int64).alias("burnt_grants"),
        (pl.col("limit_value") - pl.col("used")).clip(lower_bound=0).alias("rest"),
        pl.lit(0, pl.Int64).alias("left_grants"),
        (pl.col("used") - pl.col("limit_value")).clip(lower_bound=0).alias("overage"),
    )
    chained = now.filter("has_history")
    walked = chained.join(_walk(chained, terms, events, grants, as_of), on="row").select(simple.columns)
    return pl.concat([simple, walked]).with_columns(
        pl.sum_horizontal("limit_value", "rolled_over", "burnt_grants", "left_grants").alias("granted"),
        pl.sum_horizontal("rest", "left_grants").alias("balance"),
    )


def with_life(grants: pl.DataFrame) -> pl.DataFrame:
    """Rule 18: grants in burning order, with ``lives_from`` and ``lives_until`` (Int64 µs)."""
    return grants.sort("priority", "expires_at", "id", nulls_last=True).with_columns(
        pl.col("effective_at").dt.epoch("us").alias("lives_from"),
        pl.min_horizontal("expires_at", "voided_at").dt.epoch("us").fill_null(OPEN).alias("lives_until"),
    )


def _walk(
    chained: pl.DataFrame, terms: pl.DataFrame, events: pl.DataFrame, grants: pl.DataFrame, as_of: datetime
) -> pl.DataFrame:
    """Burn every allowance with history from its first period on."""
    lives = _lives(chained, grants)
    beginning = pl.min_horizontal("created_at", "anchor_at")
    is_lived = pl.col("period_end").is_null() | (pl.col("period_end") > pl.col("beginning")) | pl.col("is_current")
    periods = (
        chained.select("row", beginning.alias("beginning"))
        .join(terms, on="row")
        .filter(is_lived)
        .sort("row", "period_start")
    )
    pieces = _pieces(burning_events(events.join(chained.select("row"), on="row", how="semi")), lives)
    usage = {key: [(at, amount) for _, _, at, amount in group]
             for key, group in groupby(pieces.iter_rows(), key=itemgetter(0, 1))}  # fmt: skip
    granted = {row: [grant[1:] for grant in group] for row, group in groupby(lives.iter_rows(), key=itemgetter(0))}
    now = microseconds(as_of)
    columns = ["row", "period_start", "plan_limit", "plan_rollover", "is_counted"]
    balances: list[tuple[int, int, int, int, int, int]] = []
    for row, group in groupby(periods.select(columns).with_columns(pl.col("period_start").dt.epoch("us")).iter_rows(),
                              key=itemgetter(0)):  # fmt: skip
        walk = [Period(limit or 0, rollover or 0, counted, usage.get((row, begin), ()))
                for _, begin, limit, rollover, counted in group]  # fmt: skip
        balances.append((row, *burn(walk, granted.get(row, ()), now)))
    return pl.DataFrame(balances, schema={"row": chained.schema["row"], **BALANCE}, orient="row")


def _lives(chained: pl.DataFrame, grants: pl.DataFrame) -> pl.DataFrame:
    """``row, lives_from, lives_until, amount`` of the allowances' grants, in burning order."""
    keys = ["user_id", "feature_key"]
    return (
        grants.with_row_index("rank")
        .join(chained.select("row", *keys), on=keys)
        .sort("row", "rank")
        .select("row", "lives_from", "lives_until", "amount")
    )


def _pieces(events: pl.DataFrame, lives: pl.DataFrame) -> pl.DataFrame:
    """Usage per allowance and period, cut where a grant begins or ends to live: ``row, period, at, amount``.

    Within a piece the grants that live are the same, so their order of burning is that of the single events.
    """
    cuts = pl.concat(
        [lives.select("row", pl.col(name).alias("cut")) for name in ("lives_from", "lives_until")]
    ).unique()
    timed = events.with_columns(
        pl.col("occurred_at").dt.epoch("us").alias("at"), pl.col("period_start").dt.epoch("us").alias("period")
    )
    return (
        timed.sort("at")
        .join_asof(cuts.sort("cut"), left_on="at", right_on="cut", by="row", check_sortedness=False, coalesce=False)
        .with_columns(pl.max_horizontal("period", pl.col("cut").fill_null(-OPEN)).alias("at"))
        .group_by("row", "period", "at")
        .agg(pl.col("amount").sum())
        .sort("row", "period", "at")
    )
