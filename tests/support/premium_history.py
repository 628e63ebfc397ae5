"""Random premium histories full of edges: small worlds from a seed."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta

from store.settings import PremiumSettings
from tests.support.premium import US, Row, World, event, feature, grant, meter, plan, user, version
from tests.support.premium_clock import start

ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "America/Havana", "Asia/Beirut", "Pacific/Chatham")
FIRST, SPAN = date(2024, 1, 10), 100


def history(seed: int) -> tuple[World, datetime, PremiumSettings]:
    """A small world full of edges: midnights, overlaps, corrections, duplicates, grants that end mid-period."""
    rng = random.Random(seed)
    users = [
        user(
            i,
            time_zone=rng.choice(ZONES),
            country=rng.choice([None, "DE", "FR"]),
            status=rng.choice(["active", "active", "active", "suspended", "deleted"]),
            created_at=_instant(rng, 0, 40),
        )
        for i in range(1, rng.randint(2, 7))
    ]
    zone = rng.choice(ZONES)
    config = PremiumSettings(reporting_time_zone=zone, k_anonymity=rng.choice([1, 1, 2, 3]), ltv_min_churns=1)
    world = {
        "users": users,
        "plans": [
            plan(1, "free"),
            plan(2, "basic"),
            plan(3, "basic", version=2, tier_rank=2),
            plan(4, "pro", tier_rank=2),
            plan(5, "free", version=2, tier_rank=rng.choice([1, 3]), is_paid=False),
        ],
        "meters": [
            meter("m_sum", "sum"),
            meter("m_count", "count"),
            meter("m_unique", "unique_count"),
            meter("m_max", "max"),
            meter("m_min", "min"),
            meter("m_latest", "latest"),
            meter("m_prop", "sum", "amount"),
        ],
        "plan_features": _features(rng),
        "subscription_versions": _versions(rng, users),
        "grants": _grants(rng, users),
        "usage_events": _events(rng, users),
    }
    return world, _instant(rng, SPAN - 30, SPAN), config


def _instant(rng: random.Random, low: int = 0, high: int = SPAN) -> datetime:
    day = FIRST + timedelta(days=rng.randint(low, high))
    if rng.random() < 0.4:
        return start(day, rng.choice(ZONES)) + rng.choice([-1, 0, 0, 1]) * US
    return datetime.combine(day, time(rng.randrange(24), rng.randrange(60)), tzinfo=UTC)


def _features(rng: random.Random) -> list[Row]:
    found = []
    for plan_id in range(1, 6):
        for key in ("m_sum", "m_count", "m_unique", "m_max", "m_min", "m_latest", "m_prop"):
            if rng.random() < 0.75:
                found += [
                    feature(
                        plan_id,
                        f"f_{key}",
                        kind=rng.choice(["metered"] * 8 + ["boolean"]),
                        limit_value=rng.choice([None, 0, 2, 5, 20, 50]),
                        meter_key=key if rng.random() < 0.9 else rng.choice(["m_sum", "m_count"]),
                        reset=rng.choice(["month_anniversary"] * 4 + ["month_calendar", "never"]),
                        overage=rng.choice(["block", "soft"]),
                        rollover_max=rng.choice([0, 0, 3, 30]),
                    )
                ]
        found.append(feature(plan_id, "f_flag", kind="static", limit_value=7, meter_key=None))
    return found


def _versions(rng: random.Random, users: list[Row]) -> list[Row]:
    found: list[Row] = []
    subscription = 0
    known = start(FIRST, "UTC")
    for owner in users:
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            subscription += 1
            anchor = _instant(rng, -20, 60)
            currency = rng.choice(["USD", "USD", "EUR"])
            for _ in range(rng.randint(1, 5)):
                begins = _instant(rng)
                ends = rng.choice([None, None, begins + timedelta(days=rng.randint(0, 40)), _instant(rng)])
                found.append(
                    version(
                        len(found) + 1,
                        subscription_id=subscription,
                        user_id=owner["id"],
                        plan_id=rng.choice([2, 2, 3, 4, 4, 1]),
                        amount_minor=rng.choice([0, 500, 1000, 1000, 2500]),
                        currency=currency if rng.random() < 0.9 else "EUR",
                        interval=rng.choice(["month", "month", "quarter", "half_year", "year"]),
                        quantity=rng.choice([1, 1, 2]),
                        discount_minor=rng.choice([0, 0, 300, 1200]),
                        status=rng.choice(["trialing", *["active"] * 3, "past_due", "paused", "cancelled"]),
                        anchor_at=anchor if rng.random() < 0.8 else begins,
                        trial_end=rng.choice([None, None, _instant(rng)]),
                        paid_until=rng.choice([None, _instant(rng), begins + timedelta(days=20)]),
                        valid_from=begins,
                        valid_to=ends,
                        recorded_at=rng.choice([begins, begins, begins + timedelta(days=rng.randint(0, 30)), known]),
                    )
                )
    return found


def _grants(rng: random.Random, users: list[Row]) -> list[Row]:
    return [
        grant(
            i,
            user_id=rng.choice(users)["id"],
            feature_key=rng.choice(["f_m_sum", "f_m_count", "f_m_unique", "f_m_max"]),
            amount=rng.choice([1, 5, 20]),
            priority=rng.choice([1, 1, 2]),
            effective_at=_instant(rng),
            expires_at=rng.choice([None, _instant(rng)]),
            voided_at=rng.choice([None, None, _instant(rng)]),
        )
        for i in range(1, rng.randint(1, 8))
    ]


LAGS = (
    timedelta(0),
    timedelta(minutes=3),
    timedelta(days=2),
    timedelta(days=20),
    timedelta(days=35),
    timedelta(days=35) + US,
    -timedelta(minutes=5),
    -timedelta(minutes=5) - US,
)
PROPERTIES = (
    "{}",
    '{"amount": 3}',
    '{"amount": "4"}',
    '{"amount": null}',
    '{"amount": "NaN"}',
    '{"amount": "-Infinity"}',
    '{"amount": "x"}',
    '{"amount": 1.5}',
    '{"amount": true}',
    '{"amount": 1000000000000001}',
    '{"amount": -2}',
    '{"amount": 123456789012345678901234567890}',
    '{"amount": [1]}',
    '{"amount": 3, "b": 1}',
    '{"b":1.0,"amount":3}',
)


def _events(rng: random.Random, users: list[Row]) -> list[Row]:
    found: dict[tuple[str, str, datetime], Row] = {}
    for n in range(rng.randint(0, 120)):
        occurred = _instant(rng)
        meter_key = rng.choice(
            ["m_sum"] * 3
            + ["m_count"] * 3
            + ["m_unique"] * 3
            + ["m_max", "m_min", "m_latest", "m_prop", "m_prop", "m_none"]
        )
        row = event(
            f"e{n}",
            occurred,
            user_id=rng.choice(users)["id"] if rng.random() < 0.97 else 99,
            meter_key=meter_key,
            value=rng.choice([None, 0, 1, 1, 2, 3, 10, 10**15, 10**15 + 1, -1] if rng.random() < 0.3 else [1, 2, 7]),
            subject=rng.choice(["a", "b", "c", "d", "", None]),
            properties=rng.choice(PROPERTIES),
            ingested_at=occurred + rng.choice((*LAGS, *LAGS[:3], *LAGS[:3])),
            source=rng.choice(["app", "web"]),
        )
        found[row["source"], row["event_id"], row["ingested_at"]] = row
        while rng.random() < 0.15:
            again = {**row, "ingested_at": row["ingested_at"] + timedelta(minutes=rng.randint(-3, 9))}
            if rng.random() < 0.5:
                name, value = rng.choice(
                    [
                        ("value", 9),
                        ("subject", "z"),
                        ("properties", rng.choice(PROPERTIES)),
                        ("user_id", 1),
                        ("meter_key", "m_sum"),
                        ("occurred_at", occurred + US),
                    ]
                )
                again[name] = value
            found[again["source"], again["event_id"], again["ingested_at"]] = again
    return list(found.values())
