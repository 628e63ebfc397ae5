"""Contracts of the premium product's tables (spec 05.9): columns, keys and row truths.

Cross-table sums are in ``assets.premium.reconciliations``; what a column means is in spec 05.
Only what analysts, clients or their own user may read is published; per-user money and the intake
are internal.
"""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from quality.contract import Contract, Rule
from quality.types import Instant, Strict


class entitlements(pa.DataFrameModel):
    """What each user may do now: one row per user and feature of the plan."""

    user_id: pl.Int64
    feature_key: pl.String
    plan_id: pl.Int64
    kind: pl.String
    meter_key: pl.String = pa.Field(nullable=True)
    period_start: Instant
    resets_at: Instant = pa.Field(nullable=True)
    limit_value: pl.Int64 = pa.Field(nullable=True)
    rolled_over: pl.Int64
    used: pl.Int64 = pa.Field(nullable=True)
    granted: pl.Int64 = pa.Field(nullable=True)
    balance: pl.Int64 = pa.Field(nullable=True)
    overage: pl.Int64 = pa.Field(nullable=True)
    has_access: pl.Boolean
    as_of: Instant

    Config = Strict


class usage_daily(pa.DataFrameModel):
    """A user's metered usage per local day."""

    user_id: pl.Int64
    meter_key: pl.String
    day: pl.Date
    value: pl.Int64
    event_count: pl.Int64
    is_final: pl.Boolean
    revision: pl.Int64

    Config = Strict


class usage_threshold_crossings(pa.DataFrameModel):
    """The first event of a period with which a share of the plan's limit was reached."""

    user_id: pl.Int64
    feature_key: pl.String
    period_start: Instant
    threshold_percent: pl.Int64
    resets_at: Instant = pa.Field(nullable=True)
    limit_value: pl.Int64
    crossed_at: Instant

    Config = Strict


class mrr_movements_daily(pa.DataFrameModel):
    """Changes of recurring revenue per user, currency, plan and kind; signed, annualised."""

    day: pl.Date
    user_id: pl.Int64
    currency: pl.String
    plan_code: pl.String
    kind: pl.String
    arr_delta_minor: pl.Int64
    churn_reason: pl.String = pa.Field(nullable=True)
    churn_requested_at: Instant = pa.Field(nullable=True)
    revision: pl.Int64

    Config = Strict


class mrr_waterfall_monthly(pa.DataFrameModel):
    """From start to end ARR of a month, per currency and plan; small plans merged."""

    month: pl.Date
    currency: pl.String
    plan_code: pl.String
    start_arr_minor: pl.Int64
    new_minor: pl.Int64
    reactivation_minor: pl.Int64
    expansion_minor: pl.Int64
    contraction_minor: pl.Int64
    churn_minor: pl.Int64
    transfer_in_minor: pl.Int64
    transfer_out_minor: pl.Int64
    end_arr_minor: pl.Int64
    revision: pl.Int64

    Config = Strict


class revenue_monthly(pa.DataFrameModel):
    """Numerators and denominators of the month's revenue ratios, per currency."""

    month: pl.Date
    currency: pl.String
    start_arr_minor: pl.Int64
    end_arr_minor: pl.Int64
    paying_start_count: pl.Int64
    paying_end_count: pl.Int64
    nrr_num_minor: pl.Int64
    grr_num_minor: pl.Int64
    logo_churned_count: pl.Int64
    churn_event_count: pl.Int64
    quick_num_minor: pl.Int64
    quick_den_minor: pl.Int64
    ltv_minor: pl.Int64 = pa.Field(nullable=True)
    trials_started_count: pl.Int64
    trials_mature_count: pl.Int64
    trials_converted_count: pl.Int64

    Config = Strict


class plan_daily(pa.DataFrameModel):
    """Paying and trialing users and ARR per plan at the end of a day; small plans merged."""

    day: pl.Date
    plan_code: pl.String
    currency: pl.String
    active_count: pl.Int64
    trialing_count: pl.Int64
    new_count: pl.Int64
    churned_count: pl.Int64
    arr_minor: pl.Int64
    revision: pl.Int64

    Config = Strict


class plan_feature_daily(pa.DataFrameModel):
    """Adoption of metered features per plan on the last complete day."""

    day: pl.Date
    plan_code: pl.String
    feature_key: pl.String
    eligible_count: pl.Int64
    adopted_count: pl.Int64
    users_80_count: pl.Int64
    users_100_count: pl.Int64

    Config = Strict


class growth_accounting(pa.DataFrameModel):
    """New, retained, resurrected and churned users per period and segment; small countries merged."""

    grain: pl.String
    period_start: pl.Date
    segment: pl.String
    new_count: pl.Int64
    retained_count: pl.Int64
    resurrected_count: pl.Int64
    churned_count: pl.Int64
    active_count: pl.Int64
    revision: pl.Int64

    Config = Strict


class retention_cohorts(pa.DataFrameModel):
    """How many of a first-time cohort came back, by age, with a Wilson interval."""

    grain: pl.String
    cohort_start: pl.Date
    definition: pl.String
    age: pl.Int64
    size_count: pl.Int64
    retained_count: pl.Int64 = pa.Field(nullable=True)
    is_censored: pl.Boolean
    interval_low: pl.Float64 = pa.Field(nullable=True)
    interval_high: pl.Float64 = pa.Field(nullable=True)

    Config = Strict


class engagement_lness(pa.DataFrameModel):
    """Users by number of active days in the window that ends with the day."""

    day: pl.Date
    window_days: pl.Int64
    active_days: pl.Int64
    user_count: pl.Int64

    Config = Strict


class engagement_daily(pa.DataFrameModel):
    """Users active on the day, in its last 7 and in its last 28 days."""

    day: pl.Date
    dau_count: pl.Int64
    wau_count: pl.Int64
    mau_count: pl.Int64
    revision: pl.Int64

    Config = Strict


class usage_quarantine(pa.DataFrameModel):
    """Events that keep their key but are not counted, and why."""

    source: pl.String
    event_id: pl.String
    ingested_at: Instant
    user_id: pl.Int64
    meter_key: pl.String
    reason: pl.String

    Config = Strict


class usage_conflicts(pa.DataFrameModel):
    """Later rows of an event's key that say something else, and in which fields."""

    source: pl.String
    event_id: pl.String
    ingested_at: Instant
    kept_ingested_at: Instant
    fields: pl.String

    Config = Strict


class usage_intake(pa.DataFrameModel):
    """One row: what became of the visible usage events."""

    events_in: pl.Int64
    counted: pl.Int64
    duplicates: pl.Int64
    conflicts: pl.Int64
    quarantined: pl.Int64

    Config = Strict


class metric_restatements(pa.DataFrameModel):
    """What a restated table said before, per key, column and revision."""

    table_name: pl.String
    key: pl.String
    column_name: pl.String
    revision: pl.Int64
    old_value: pl.String = pa.Field(nullable=True)
    new_value: pl.String = pa.Field(nullable=True)
    cause: pl.String
    previous_as_of: Instant
    as_of: Instant

    Config = Strict


_GAINS = ("new", "reactivation", "expansion", "transfer_in")
_LOSSES = ("contraction", "churn", "transfer_out")
_COLUMNS = {
    "new_minor": 1, "reactivation_minor": 1, "expansion_minor": 1, "transfer_in_minor": 1,
    "contraction_minor": -1, "churn_minor": -1, "transfer_out_minor": -1,
}  # fmt: skip


def _negative(*columns: str) -> tuple[Rule, ...]:
    return tuple(Rule(f"{column} is not negative", column, pl.col(column) < 0) for column in columns)


def _minor_signs() -> tuple[Rule, ...]:
    return tuple(
        Rule(f"{column} has its sign", column, pl.col(column) * sign < 0, is_money=True)
        for column, sign in _COLUMNS.items()
    )


_ENTITLEMENTS = (
    Rule(
        "used + balance - overage = granted",
        "granted",
        pl.col("granted").is_not_null()
        & (pl.col("used") + pl.col("balance") - pl.col("overage")).ne_missing(pl.col("granted")),
    ),
    Rule("the period holds as_of", "period_start", pl.col("resets_at") <= pl.col("as_of")),
    *_negative("rolled_over", "used", "balance", "overage"),
)
_MOVEMENTS = (
    Rule("kind is known", "kind", ~pl.col("kind").is_in(_GAINS + _LOSSES), is_money=True),
    Rule(
        "gains are positive, losses negative",
        "arr_delta_minor",
        pl.when(pl.col("kind").is_in(_GAINS))
        .then(pl.col("arr_delta_minor") <= 0)
        .otherwise(pl.col("arr_delta_minor") >= 0),
        is_money=True,
    ),
    Rule(
        "churn and only churn has a reason",
        "churn_reason",
        (pl.col("kind") == "churn") != pl.col("churn_reason").is_not_null(),
    ),
)
_WATERFALL = (
    *_minor_signs(),
    Rule(
        "end = start + movements",
        "end_arr_minor",
        pl.sum_horizontal("start_arr_minor", *_COLUMNS) != pl.col("end_arr_minor"),
        is_money=True,
    ),
    *_negative("start_arr_minor", "end_arr_minor"),
)
_REVENUE = (
    Rule("GRR is at most 1", "grr_num_minor", pl.col("grr_num_minor") > pl.col("start_arr_minor"), is_money=True),
    Rule("GRR is at most NRR", "grr_num_minor", pl.col("grr_num_minor") > pl.col("nrr_num_minor"), is_money=True),
    Rule("converted are mature", "trials_converted_count",
         pl.col("trials_converted_count") > pl.col("trials_mature_count")),
    Rule("mature are started", "trials_mature_count", pl.col("trials_mature_count") > pl.col("trials_started_count")),
    *_negative("start_arr_minor", "end_arr_minor", "paying_start_count", "paying_end_count", "nrr_num_minor",
               "grr_num_minor", "logo_churned_count", "churn_event_count", "quick_num_minor", "quick_den_minor"),
)  # fmt: skip
_GROWTH = (
    Rule(
        "new + retained + resurrected = active",
        "active_count",
        pl.col("new_count") + pl.col("retained_count") + pl.col("resurrected_count") != pl.col("active_count"),
    ),
    *_negative("new_count", "retained_count", "resurrected_count", "churned_count", "active_count"),
)
_ENGAGEMENT = (
    Rule("DAU is at most WAU", "dau_count", pl.col("dau_count") > pl.col("wau_count")),
    Rule("WAU is at most MAU", "wau_count", pl.col("wau_count") > pl.col("mau_count")),
)
_INTAKE = (
    Rule(
        "in = counted + duplicates + conflicts + quarantined",
        "events_in",
        pl.sum_horizontal("counted", "duplicates", "conflicts", "quarantined") != pl.col("events_in"),
    ),
)
_COHORTS = (
    Rule("retained are of the cohort", "retained_count", pl.col("retained_count") > pl.col("size_count")),
    Rule("censored says nothing", "is_censored", pl.col("is_censored") != pl.col("retained_count").is_null()),
)
_FEATURES = (
    Rule("adopted are eligible", "adopted_count", pl.col("adopted_count") > pl.col("eligible_count")),
    Rule("80 % comes before 100 %", "users_100_count", pl.col("users_100_count") > pl.col("users_80_count")),
)


def _contract(
    model: type[pa.DataFrameModel], *key: str, rules: tuple[Rule, ...] = (), is_published: bool = False
) -> Contract:
    return Contract(model, key=key, group="premium", kind="product", rules=rules, is_published=is_published)


PREMIUM: tuple[Contract, ...] = (
    _contract(entitlements, "user_id", "feature_key", rules=_ENTITLEMENTS, is_published=True),
    _contract(usage_daily, "user_id", "meter_key", "day", rules=_negative("event_count"), is_published=True),
    _contract(usage_threshold_crossings, "user_id", "feature_key", "period_start", "threshold_percent"),
    _contract(mrr_movements_daily, "day", "user_id", "currency", "plan_code", "kind", rules=_MOVEMENTS),
    _contract(mrr_waterfall_monthly, "month", "currency", "plan_code", rules=_WATERFALL, is_published=True),
    _contract(revenue_monthly, "month", "currency", rules=_REVENUE, is_published=True),
    _contract(plan_daily, "day", "plan_code", "currency", is_published=True,
              rules=_negative("active_count", "trialing_count", "new_count", "churned_count", "arr_minor")),
    _contract(plan_feature_daily, "day", "plan_code", "feature_key", rules=_FEATURES, is_published=True),
    _contract(growth_accounting, "grain", "period_start", "segment", rules=_GROWTH, is_published=True),
    _contract(retention_cohorts, "grain", "cohort_start", "definition", "age", rules=_COHORTS, is_published=True),
    _contract(engagement_lness, "day", "window_days", "active_days", is_published=True),
    _contract(engagement_daily, "day", rules=_ENGAGEMENT, is_published=True),
    _contract(usage_quarantine, "source", "event_id", "ingested_at"),
    _contract(usage_conflicts, "source", "event_id", "ingested_at"),
    _contract(usage_intake, "events_in", rules=_INTAKE),
    _contract(metric_restatements, "table_name", "key", "column_name", "revision"),
)  # fmt: skip
