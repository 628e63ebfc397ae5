"""Payloads of entitlements, usage and the analysts' metrics (spec 05, 06.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from store.payloads.base import Count, Currency, Day, Instant, Metric, Payload, State


class Entitlement(Payload):
    """What one user may do with one feature (spec 05)."""

    feature_key: str
    kind: Literal["boolean", "static", "metered"]
    plan_code: str
    has_access: bool
    limit: int | None
    used: int | None
    granted: int | None
    balance: int | None
    overage: int | None
    unit: str | None
    period_start: Instant | None
    resets_at: Instant | None


class EntitlementList(Payload):
    """Every entitlement of one user."""

    data: list[Entitlement]
    state: State
    generation: str
    as_of: Instant


class EntitlementOne(Payload):
    """One entitlement of one user."""

    data: Entitlement
    generation: str
    as_of: Instant


class UsageDay(Payload):
    """One meter's use on one day."""

    meter_key: str
    date: Day
    value: int
    unit: str
    revision: int
    is_final: bool


class UsageList(Payload):
    """One user's use in ``[from, to)``, dates in ``time_zone``."""

    from_: Annotated[Day, Field(alias="from")]
    to: Day
    time_zone: str
    data: list[UsageDay]
    state: State
    generation: str
    as_of: Instant


class GrowthRow(Payload):
    """One row of ``growth_accounting``; ``segment`` is all, other, or a country code."""

    grain: Literal["day", "week", "month"]
    period_start: Day
    segment: str
    new: Count
    retained: Count
    resurrected: Count
    churned: Count
    active: Count


class RetentionRow(Payload):
    """One row of ``retention_cohorts``; null where small or censored."""

    grain: Literal["week", "month"]
    cohort_start: Day
    age: Count
    definition: Literal["classic", "rolling"]
    size: Count
    retained: Count | None
    interval_low: float | None
    interval_high: float | None
    is_censored: bool


class EngagementRow(Payload):
    """One day of ``engagement_daily`` with the histograms of active days."""

    date: Day
    dau: Count
    wau: Count
    mau: Count
    l7: Annotated[list[Count], Field(min_length=8, max_length=8)]
    l28: Annotated[list[Count], Field(min_length=29, max_length=29)]


class RevenueRow(Payload):
    """One month, currency and plan of ``mrr_waterfall_monthly``, with the month's retention ratios."""

    month: Day
    currency: Currency
    plan_code: str
    start_arr_minor: int
    new_minor: int
    reactivation_minor: int
    expansion_minor: int
    contraction_minor: int
    churn_minor: int
    transfer_in_minor: int
    transfer_out_minor: int
    end_arr_minor: int
    nrr_ppm: int | None
    grr_ppm: int | None


class PlanRow(Payload):
    """One day, plan and currency of ``plan_daily``."""

    date: Day
    plan_code: str
    currency: str
    active_count: Count
    trialing_count: Count
    new_count: Count
    churned_count: Count
    arr_minor: int


class MetricPage(Payload):
    """Rows of one analyst metric in ``[from, to)``."""

    metric: Metric
    definition_version: str
    reporting_time_zone: str
    from_: Annotated[Day, Field(alias="from")]
    to: Day
    as_of: Instant
    generation: str
    suppressed_count: Count
    data: list[GrowthRow | RetentionRow | EngagementRow | RevenueRow | PlanRow]
