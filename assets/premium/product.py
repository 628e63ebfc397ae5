"""The premium product (spec 05): from staged tables to usage, limits, revenue and growth.

Here the stages are put in a row; each stage is in its own file. Pure: ``as_of`` and config are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from assets.frame import Inputs, Product, Result, StageCount
from assets.premium import adoption, allowances, cohorts, engagement, growth, movements, plans, revenue, versions
from assets.premium.calendar import add_months, last_complete, with_reporting_day
from assets.premium.crossings import usage_threshold_crossings
from assets.premium.entitlements import entitlements, events_in_periods, with_life
from assets.premium.intake import Intake, take_in, visible
from assets.premium.revisions import LINES, RESTATED, Past, restate, without_erased
from assets.premium.usage import usage_daily
from quality.contract import Contract
from quality.premium import PREMIUM
from store.settings import PremiumSettings

CONTRACTS: dict[str, Contract] = {contract.name: contract for contract in PREMIUM}
SMALL = ("staged_users", "staged_plans", "staged_plan_features", "staged_meters", "staged_grants")
INPUTS = (*SMALL, "staged_subscription_versions", "staged_usage_events", "staged_erasure_requests")
PREVIOUS = (*RESTATED, LINES)


@dataclass(frozen=True)
class _Source:
    """The staged tables, read; what is not visible at ``as_of`` is gone."""

    users: pl.DataFrame
    plans: pl.DataFrame
    features: pl.DataFrame
    meters: pl.DataFrame
    grants: pl.DataFrame
    versions: pl.DataFrame
    intake: Intake


Tables = dict[str, pl.DataFrame]


def compute(inputs: Inputs[PremiumSettings]) -> Result:
    """All premium tables of one snapshot, sorted by key, in the columns of their contracts."""
    source, counts = _read(inputs)
    in_force = versions.versions_in_force(source.versions, source.plans)
    tables: Tables = {
        **_usage(source, inputs),
        **_limits(source, in_force, inputs),
        **_money(source, in_force, inputs),
        **_people(source, inputs),
    }
    tables = {name: shaped(frame, CONTRACTS[name]) for name, frame in tables.items()}
    tables = _revised(tables, inputs)
    return Result({name: tables[name] for name in CONTRACTS}, counts)


def shaped(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """The contract's columns, types and order of rows."""
    columns = [pl.col(name).cast(dtype) for name, dtype in contract.schema.items()]
    return frame.select(columns).sort(contract.key, nulls_last=True)


def _read(inputs: Inputs[PremiumSettings]) -> tuple[_Source, tuple[StageCount, ...]]:
    frames = inputs.frames
    users, known_plans, features, meters, grants = (frames[name].collect() for name in SMALL)
    events, told = (
        _counted_collect(frames[name], known_at, inputs)
        for name, known_at in (("staged_usage_events", "ingested_at"), ("staged_subscription_versions", "recorded_at"))
    )
    intake = take_in(events[0], users, meters, inputs.config)
    summary = intake.summary.row(0, named=True)
    counts = (
        _visible_count("usage_events_visible", events, "not_ingested_yet"),
        StageCount(
            "usage_intake", summary["events_in"], summary["counted"], summary["quarantined"],
            {"duplicate": summary["duplicates"], "conflict": summary["conflicts"]},
        ),
        _visible_count("subscription_versions_visible", told, "not_recorded_yet"),
    )  # fmt: skip
    renamed = features.rename({"overage": "overage_policy"})
    return _Source(users, known_plans, renamed, meters, with_life(grants), told[0], intake), counts


def _visible_count(stage: str, seen: tuple[pl.DataFrame, int], reason: str) -> StageCount:
    rows, total = seen
    return StageCount(stage, total, rows.height, 0, {reason: total - rows.height})


def _counted_collect(frame: pl.LazyFrame, known_at: str, inputs: Inputs[PremiumSettings]) -> tuple[pl.DataFrame, int]:
    total = int(frame.select(pl.len()).collect().item())
    return visible(frame, known_at, inputs.as_of).collect(), total


def _usage(source: _Source, inputs: Inputs[PremiumSettings]) -> Tables:
    return {
        "usage_daily": usage_daily(source.intake.counted, source.users, inputs.config, inputs.as_of),
        "usage_quarantine": source.intake.quarantine,
        "usage_conflicts": source.intake.conflicts,
        "usage_intake": source.intake.summary,
    }


def _limits(source: _Source, in_force: pl.DataFrame, inputs: Inputs[PremiumSettings]) -> Tables:
    config, as_of = inputs.config, inputs.as_of
    keep = timedelta(days=config.late_days)
    timeline = versions.plan_timeline(versions.entitling(in_force, config.grace_days))
    default = allowances.default_plan(source.plans)
    held = allowances.holders(source.users, timeline, default, as_of)
    rows = allowances.allowances(held, source.features, source.meters, source.grants)
    spans = allowances.billing_periods(rows, as_of, keep)
    terms = allowances.with_terms(spans, rows, source.features, timeline, default)
    events = events_in_periods(source.intake.counted, rows, terms)
    crossings = usage_threshold_crossings(rows, terms, events, as_of, keep, config.threshold_percents)
    adopted = adoption.plan_feature_daily(
        source.users, timeline, default, source.plans, source.features, source.intake.counted, crossings,
        last_complete("day", as_of, config.reporting_time_zone), as_of, config,
    )  # fmt: skip
    return {
        "entitlements": entitlements(rows, terms, events, source.grants, as_of),
        "usage_threshold_crossings": crossings,
        "plan_feature_daily": adopted,
    }


def _money(source: _Source, in_force: pl.DataFrame, inputs: Inputs[PremiumSettings]) -> Tables:
    config, as_of = inputs.config, inputs.as_of
    zone = config.reporting_time_zone
    last_day, last_month = last_complete("day", as_of, zone), last_complete("month", as_of, zone)
    bringing = versions.bringing(in_force, config.grace_days)
    changes = movements.plan_changes(bringing, zone, last_day)
    trials = movements.trial_changes(versions.trialing(in_force), zone, last_day)
    customers = movements.customer_changes(changes)
    moves = movements.movements(changes, customers)
    reasons = movements.churn_reasons(customers, bringing, in_force)
    shown = plans.shown_plans(changes, trials, add_months(last_month, 1), config)
    public_moves = plans.as_shown(moves, shown)
    currencies = shown.filter(pl.col("shown_as").is_not_null()).select("currency").unique()
    begun = _trial_months(source.versions, zone)
    sums = revenue.monthly_sums(
        moves, customers, revenue.trials_monthly(source.versions, bringing, config, as_of, begun)
    )
    return {
        "mrr_movements_daily": movements.mrr_movements_daily(moves, reasons),
        "mrr_waterfall_monthly": revenue.mrr_waterfall_monthly(public_moves, last_month),
        "revenue_monthly": revenue.revenue_monthly(sums, currencies, last_month, config.ltv_min_churns),
        "plan_daily": plans.plan_daily(
            plans.as_shown(changes, shown), plans.as_shown(trials, shown), public_moves, last_day
        ),
    }


def _trial_months(told: pl.DataFrame, zone: str) -> pl.DataFrame:
    first = (
        told.filter(pl.col("status") == "trialing").group_by("subscription_id").agg(pl.col("valid_from").min())
    )  # fmt: skip
    return with_reporting_day(first, "valid_from", zone).select("subscription_id", revenue.MONTH)


def _people(source: _Source, inputs: Inputs[PremiumSettings]) -> Tables:
    config, as_of = inputs.config, inputs.as_of
    zone, k = config.reporting_time_zone, config.k_anonymity
    days = growth.active_days(source.intake.counted, zone)
    segment_of = growth.segments(days, source.users, k)
    complete: list[date] = growth.spine(days, "day", as_of, zone)
    return {
        "growth_accounting": growth.growth_accounting(days, segment_of, as_of, zone),
        "engagement_daily": engagement.engagement_daily(days, complete),
        "engagement_lness": engagement.engagement_lness(days, complete, k),
        "retention_cohorts": cohorts.retention_cohorts(days, as_of, zone, k),
    }


def _revised(tables: Mapping[str, pl.DataFrame], inputs: Inputs[PremiumSettings]) -> Tables:
    """Rule 28: with a previous premium, revisions go on from it; without one they are all 1."""
    lines_contract = CONTRACTS[LINES]
    if inputs.previous_as_of is None:
        return {**tables, LINES: lines_contract.empty()}
    erased = inputs.frames["staged_erasure_requests"].select("user_id").collect()
    before = {name: without_erased(inputs.previous[name].collect(), erased) for name in PREVIOUS}
    zones = inputs.frames["staged_users"].select(pl.col("id").alias("user_id"), pl.col("time_zone").alias("zone"))
    past = Past(before, inputs.previous_as_of, zones.collect(), inputs.config.reporting_time_zone)
    revised = dict(tables)
    lines = [before[LINES]]
    for name in RESTATED:
        revised[name], said = restate(tables[name], CONTRACTS[name], past, inputs.as_of)
        revised[name] = shaped(revised[name], CONTRACTS[name])
        lines.append(said)
    revised[LINES] = shaped(pl.concat(lines), lines_contract)
    return revised


premium: Product[PremiumSettings] = Product(
    name="premium",
    tables=tuple(CONTRACTS),
    inputs=INPUTS,
    config=PremiumSettings,
    compute=compute,
    previous=PREVIOUS,
    is_carriable=True,
)
