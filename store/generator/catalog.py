"""The price list: plans, prices, features and meters. The same in every world, but for its instants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from store.generator.clock import DAY
from store.generator.columns import array, maybe
from store.generator.draws import Ints
from store.generator.tables import WorldWriter

CURRENCIES = ("EUR", "USD", "GBP")
INTERVALS = ("month", "quarter", "half_year", "year")
MONTHS = np.array([1, 3, 6, 12], np.int64)
PRICE_RISE_DAYS = 240
"""How long before as_of the plans' second versions came."""


@dataclass(frozen=True)
class Plan:
    """One version of a plan; ``monthly`` is its list price per month in cents, EUR."""

    id: int
    code: str
    version: int
    name: str
    rank: int
    monthly: int


PLANS = (
    Plan(1, "free", 1, "Free", 0, 0),
    Plan(2, "plus", 1, "Plus", 1, 399),
    Plan(3, "plus", 2, "Plus", 1, 499),
    Plan(4, "pro", 1, "Pro", 2, 999),
    Plan(5, "pro", 2, "Pro", 2, 1199),
)
_RATE = np.array([1.0, 1.0, 0.85])
_REBATE = np.array([1.0, 0.95, 0.9, 0.8])

METERS = (
    ("exports", "count", None, "export"),
    ("video_minutes", "sum", "minutes", "minute"),
    ("ai_captions", "sum", None, "caption"),
    ("collaborators", "unique_count", None, "person"),
    ("live_viewers", "max", None, "viewer"),
    ("storage_mb", "latest", None, "megabyte"),
    ("stream_quality", "min", None, "percent"),
)
EXPORTS, VIDEO, CAPTIONS, COLLABORATORS, VIEWERS, STORAGE, QUALITY = range(7)

# feature, kind, meter, reset, overage, rollover on paid plans, limits by plan (free, plus, pro; None = unlimited)
FEATURES: tuple[tuple[str, str, str | None, str, str, int, tuple[int | None, int | None, int | None]], ...] = (
    ("exports", "metered", "exports", "month_calendar", "block", 0, (3, 40, None)),
    ("video", "metered", "video_minutes", "month_anniversary", "soft", 60, (20, 180, 900)),
    ("ai_captions", "metered", "ai_captions", "month_anniversary", "block", 50, (5, 100, 500)),
    ("collaborators", "metered", "collaborators", "month_anniversary", "block", 0, (2, 8, 30)),
    ("live_viewers", "metered", "live_viewers", "month_calendar", "soft", 0, (10, 50, 250)),
    ("storage", "metered", "storage_mb", "never", "block", 0, (2_000, 50_000, 500_000)),
    ("pinned_posts", "static", None, "never", "block", 0, (1, 5, 20)),
    ("custom_themes", "boolean", None, "never", "block", 0, (0, 1, 1)),
    ("priority_support", "boolean", None, "never", "block", 0, (0, 0, 1)),
)


def price(plan: Ints, currency: Ints, interval: Ints) -> Ints:
    """List price in minor units, per interval, of plan ids."""
    monthly = np.array([0] + [p.monthly for p in PLANS], np.float64)[plan]
    raw = monthly * _RATE[currency] * MONTHS[interval] * _REBATE[interval]
    # prices end in 9, as prices do
    return np.where(raw > 0, np.maximum(np.round(raw / 10).astype(np.int64) * 10 - 1, 0), 0)


def write_catalog(world: WorldWriter, as_of: int) -> None:
    """Write ``plans``, ``plan_prices``, ``plan_features``, ``meters``."""
    world.write("plans", {
        "id": np.array([p.id for p in PLANS]), "code": array([p.code for p in PLANS]),
        "version": np.array([p.version for p in PLANS]), "name": array([p.name for p in PLANS]),
        "tier_rank": np.array([p.rank for p in PLANS]), "is_paid": np.array([p.rank > 0 for p in PLANS]),
    })  # fmt: skip
    rise, begin = as_of - PRICE_RISE_DAYS * DAY, as_of - 1200 * DAY
    paid = [p for p in PLANS if p.rank]
    rows = [(p, c, i) for p in paid for c in range(3) for i in range(4)]
    keys = np.array([(p.id, c, i) for p, c, i in rows], np.int64)
    plan, currency, interval = keys[:, 0], keys[:, 1], keys[:, 2]
    is_old = np.array([p.version == 1 for p, _, _ in rows])
    world.write("plan_prices", {
        "plan_id": plan, "currency": array([CURRENCIES[c] for c in currency]),
        "interval": array([INTERVALS[i] for i in interval]), "valid_from": np.where(is_old, begin, rise),
        "amount_minor": price(plan, currency, interval), "valid_to": maybe(np.full(len(rows), rise), is_old),
    })  # fmt: skip
    features = [(p, f) for p in PLANS for f in FEATURES]
    limits = [f[6][p.rank] for p, f in features]
    world.write("plan_features", {
        "plan_id": np.array([p.id for p, _ in features]), "feature_key": array([f[0] for _, f in features]),
        "kind": array([f[1] for _, f in features]), "limit_value": array(limits, pa.int64()),
        "meter_key": array([f[2] for _, f in features], pa.string()),
        "reset": array([f[3] for _, f in features]), "overage": array([f[4] for _, f in features]),
        "rollover_max": np.array([f[5] if p.rank else 0 for p, f in features]),
    })  # fmt: skip
    world.write("meters", {
        "key": array([m[0] for m in METERS]), "aggregation": array([m[1] for m in METERS]),
        "value_property": array([m[2] for m in METERS], pa.string()), "unit": array([m[3] for m in METERS]),
    })  # fmt: skip
