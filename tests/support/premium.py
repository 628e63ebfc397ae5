"""Premium histories and a slow oracle: spec 05 in plain Python loops, one instant, day and event at a time.

Nothing here is shared with `assets.premium` but the settings.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from assets.frame import Inputs, Result
from assets.premium.product import CONTRACTS, INPUTS, PREVIOUS, premium
from quality.staged import STAGED
from store.settings import PremiumSettings

Row = dict[str, Any]
World = dict[str, list[Row]]
SCHEMAS = {contract.name: contract for contract in STAGED}
US = timedelta(microseconds=1)
DAY = timedelta(days=1)
KINDS = ("new", "reactivation", "expansion", "contraction", "churn", "transfer_in", "transfer_out")


# ---------------------------------------------------------------- building worlds


def at(text: str) -> datetime:
    """`2024-03-01` or `2024-03-01 12:30` as an instant (UTC)."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def user(id_: int, **more: Any) -> Row:
    row = {
        "id": id_, "handle": f"u{id_}", "display_name": f"User {id_}", "time_zone": "UTC", "locale": "en",
        "country": None, "status": "active", "profile_visibility": "public", "friend_list_visibility": "public",
        "is_discoverable": True, "wants_recommendations": True, "created_at": at("2024-01-01"),
        "updated_at": at("2024-01-01"), "last_seen_at": None,
    }  # fmt: skip
    return {**row, **more}


def plan(id_: int, code: str, **more: Any) -> Row:
    return {"id": id_, "code": code, "version": 1, "name": code, "tier_rank": id_, "is_paid": code != "free", **more}


def feature(plan_id: int, key: str, **more: Any) -> Row:
    row = {"plan_id": plan_id, "feature_key": key, "kind": "metered", "limit_value": 100, "meter_key": key,
           "reset": "month_anniversary", "overage": "block", "rollover_max": 0}  # fmt: skip
    return {**row, **more}


def meter(key: str, aggregation: str, value_property: str | None = None) -> Row:
    return {"key": key, "aggregation": aggregation, "value_property": value_property, "unit": "unit"}


def version(id_: int, **more: Any) -> Row:
    row = {
        "id": id_, "subscription_id": 1, "user_id": 1, "plan_id": 2, "amount_minor": 1000, "currency": "USD",
        "interval": "month", "quantity": 1, "discount_minor": 0, "status": "active", "anchor_at": at("2024-01-01"),
        "trial_end": None, "paid_until": None, "valid_from": at("2024-01-01"), "valid_to": None,
    }  # fmt: skip
    row = {**row, **more}
    return {"recorded_at": row["valid_from"], **row}


def grant(id_: int, **more: Any) -> Row:
    row = {"id": id_, "user_id": 1, "feature_key": "calls", "amount": 100, "priority": 1,
           "effective_at": at("2024-01-01"), "expires_at": None, "voided_at": None}  # fmt: skip
    return {**row, **more}


def event(id_: str, occurred_at: datetime, **more: Any) -> Row:
    row = {"source": "app", "event_id": id_, "user_id": 1, "meter_key": "calls", "value": None, "subject": None,
           "occurred_at": occurred_at, "ingested_at": occurred_at, "properties": "{}"}  # fmt: skip
    return {**row, **more}


def inputs(
    world: World, as_of: datetime, config: PremiumSettings | None = None, previous: Result | None = None,
    previous_as_of: datetime | None = None,
) -> Inputs[PremiumSettings]:  # fmt: skip
    """The world's rows as staged frames (erased users' rows already removed, as the staged tables have it)."""
    frames = {}
    for name in INPUTS:
        contract = SCHEMAS[name]
        rows = world.get(name.removeprefix("staged_"), [])
        frames[name] = pl.DataFrame(rows, schema=contract.schema).lazy()
    before = {
        name: (previous.tables[name] if previous else CONTRACTS[name].empty()).lazy() for name in PREVIOUS
    }  # fmt: skip
    return Inputs(frames, before, previous_as_of, config or PremiumSettings(), as_of)


def compute(world: World, as_of: datetime, config: PremiumSettings | None = None, **more: Any) -> Result:
    return premium.compute(inputs(world, as_of, config, **more))


def rows(frame: pl.DataFrame, *drop: str) -> list[Row]:
    return frame.drop(drop).to_dicts()


# ---------------------------------------------------------------- random histories

ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "America/Havana", "Asia/Beirut", "Pacific/Chatham")
FIRST, SPAN = date(2024, 1, 10), 100


def history(seed: int) -> tuple[World, datetime, PremiumSettings]:
    """A small world full of edges: midnights, overlaps, corrections, duplicates, grants that end mid-period."""
    rng = random.Random(seed)
    users = [
        user(
            i, time_zone=rng.choice(ZONES), country=rng.choice([None, "DE", "FR"]),
            status=rng.choice(["active", "active", "active", "suspended", "deleted"]),
            created_at=_instant(rng, 0, 40),
        )
        for i in range(1, rng.randint(2, 7))
    ]  # fmt: skip
    zone = rng.choice(ZONES)
    config = PremiumSettings(reporting_time_zone=zone, k_anonymity=rng.choice([1, 1, 2, 3]), ltv_min_churns=1)
    world = {
        "users": users,
        "plans": [
            plan(1, "free"), plan(2, "basic"), plan(3, "basic", version=2, tier_rank=2), plan(4, "pro", tier_rank=2),
            plan(5, "free", version=2, tier_rank=rng.choice([1, 3]), is_paid=False),
        ],
        "meters": [
            meter("m_sum", "sum"), meter("m_count", "count"), meter("m_unique", "unique_count"), meter("m_max", "max"),
            meter("m_min", "min"), meter("m_latest", "latest"), meter("m_prop", "sum", "amount"),
        ],
        "plan_features": _features(rng),
        "subscription_versions": _versions(rng, users),
        "grants": _grants(rng, users),
        "usage_events": _events(rng, users),
    }  # fmt: skip
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
                found.append(
                    feature(
                        plan_id, f"f_{key}", kind=rng.choice(["metered"] * 8 + ["boolean"]),
                        limit_value=rng.choice([None, 0, 2, 5, 20, 50]),
                        meter_key=key if rng.random() < 0.9 else rng.choice(["m_sum", "m_count"]),
                        reset=rng.choice(["month_anniversary"] * 4 + ["month_calendar", "never"]),
                        overage=rng.choice(["block", "soft"]), rollover_max=rng.choice([0, 0, 3, 30]),
                    )
                )  # fmt: skip
        found.append(feature(plan_id, "f_flag", kind="static", limit_value=7, meter_key=None))
    return found


def _versions(rng: random.Random, users: list[Row]) -> list[Row]:
    found: list[Row] = []
    subscription = 0
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
                        len(found) + 1, subscription_id=subscription, user_id=owner["id"],
                        plan_id=rng.choice([2, 2, 3, 4, 4, 1]), amount_minor=rng.choice([0, 500, 1000, 1000, 2500]),
                        currency=currency if rng.random() < 0.9 else "EUR",
                        interval=rng.choice(["month", "month", "quarter", "half_year", "year"]),
                        quantity=rng.choice([1, 1, 2]), discount_minor=rng.choice([0, 0, 300, 1200]),
                        status=rng.choice(["trialing", "active", "active", "active", "past_due", "paused", "cancelled"]),
                        anchor_at=anchor if rng.random() < 0.8 else begins,
                        trial_end=rng.choice([None, None, _instant(rng)]),
                        paid_until=rng.choice([None, _instant(rng), begins + timedelta(days=20)]),
                        valid_from=begins, valid_to=ends,
                        recorded_at=rng.choice([begins, begins, begins + timedelta(days=rng.randint(0, 30))]),
                    )
                )  # fmt: skip
    return found


def _grants(rng: random.Random, users: list[Row]) -> list[Row]:
    return [
        grant(
            i, user_id=rng.choice(users)["id"], feature_key=rng.choice(["f_m_sum", "f_m_count", "f_m_unique", "f_m_max"]),
            amount=rng.choice([1, 5, 20]), priority=rng.choice([1, 1, 2]), effective_at=_instant(rng),
            expires_at=rng.choice([None, _instant(rng)]), voided_at=rng.choice([None, None, _instant(rng)]),
        )
        for i in range(1, rng.randint(1, 8))
    ]  # fmt: skip


LAGS = (
    timedelta(0), timedelta(minutes=3), timedelta(days=2), timedelta(days=20), timedelta(days=35),
    timedelta(days=35) + US, -timedelta(minutes=5), -timedelta(minutes=5) - US,
)  # fmt: skip
PROPERTIES = (
    "{}", '{"amount": 3}', '{"amount": "4"}', '{"amount": null}', '{"amount": "NaN"}', '{"amount": "-Infinity"}',
    '{"amount": "x"}', '{"amount": 1.5}', '{"amount": true}', '{"amount": 1000000000000001}', '{"amount": -2}',
    '{"amount": 123456789012345678901234567890}', '{"amount": [1]}', '{"amount": 3, "b": 1}', '{"b":1.0,"amount":3}',
)  # fmt: skip


def _events(rng: random.Random, users: list[Row]) -> list[Row]:
    found: dict[tuple[str, str, datetime], Row] = {}
    for n in range(rng.randint(0, 120)):
        occurred = _instant(rng)
        meter_key = rng.choice(["m_sum"] * 3 + ["m_count"] * 3 + ["m_unique"] * 3 + ["m_max", "m_min", "m_latest",
                                "m_prop", "m_prop", "m_none"])  # fmt: skip
        row = event(
            f"e{n}", occurred, user_id=rng.choice(users)["id"] if rng.random() < 0.97 else 99, meter_key=meter_key,
            value=rng.choice([None, 0, 1, 1, 2, 3, 10, 10**15, 10**15 + 1, -1] if rng.random() < 0.3 else [1, 2, 7]),
            subject=rng.choice(["a", "b", "c", "d", "", None]), properties=rng.choice(PROPERTIES),
            ingested_at=occurred + rng.choice((*LAGS, *LAGS[:3], *LAGS[:3])), source=rng.choice(["app", "web"]),
        )  # fmt: skip
        found[row["source"], row["event_id"], row["ingested_at"]] = row
        while rng.random() < 0.15:
            again = {**row, "ingested_at": row["ingested_at"] + timedelta(minutes=rng.randint(-3, 9))}
            if rng.random() < 0.5:
                name, value = rng.choice([("value", 9), ("subject", "z"), ("properties", rng.choice(PROPERTIES)),
                                          ("user_id", 1), ("meter_key", "m_sum"), ("occurred_at", occurred + US)])  # fmt: skip
                again[name] = value
            found[again["source"], again["event_id"], again["ingested_at"]] = again
    return list(found.values())


# ---------------------------------------------------------------- the oracle: time


@cache
def start(day: date, zone: str) -> datetime:
    """Rule 2 by looking at every quarter of an hour (offsets of our zones are whole quarters)."""
    tz = ZoneInfo(zone)
    instant = datetime.combine(day, time(), tzinfo=UTC) - timedelta(hours=30)
    while instant.astimezone(tz).date() < day:
        instant += timedelta(minutes=15)
    return instant


def day_of(instant: datetime, zone: str) -> date:
    day = instant.date() - 3 * DAY
    while start(day + DAY, zone) <= instant:
        day += DAY
    return day


def add_months(day: date, n: int) -> date:
    month = day.month - 1 + n
    year, month = day.year + month // 12, month % 12 + 1
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError


def period_of(grain: str, day: date) -> date:
    return {"day": day, "week": day - day.weekday() * DAY, "month": day.replace(day=1)}[grain]


def after(grain: str, period: date) -> date:
    return {"day": period + DAY, "week": period + 7 * DAY, "month": add_months(period, 1)}[grain]


class Oracle:
    """Spec 05 for one world, ``as_of`` and config."""

    def __init__(self, world: World, as_of: datetime, config: PremiumSettings) -> None:
        self.world, self.as_of, self.config = world, as_of, config
        self.zone, self.k = config.reporting_time_zone, config.k_anonymity
        self.users = {u["id"]: u for u in world["users"]}
        self.meters = {m["key"]: m for m in world["meters"]}
        self.plans = {p["id"]: p for p in world["plans"]}
        self.versions = [v for v in world["subscription_versions"] if v["recorded_at"] < as_of]
        self.subscriptions = sorted({v["subscription_id"] for v in self.versions})
        self.intake()

    def complete(self, grain: str, first: date | None) -> list[date]:
        """Rule 3."""
        found = []
        period = period_of(grain, first) if first else None
        while period and start(after(grain, period), self.zone) <= self.as_of:
            found.append(period)
            period = after(grain, period)
        return found

    # ---- usage

    def intake(self) -> None:
        visible = [e for e in self.world["usage_events"] if e["ingested_at"] < self.as_of]
        by_key = defaultdict(list)
        for e in visible:
            by_key[e["source"], e["event_id"]].append(e)
        self.duplicates, self.conflicts, self.counted, self.quarantine = 0, [], [], []
        for group in by_key.values():
            group.sort(key=lambda e: e["ingested_at"])
            kept = group[0]
            for later in group[1:]:
                names = ("user_id", "meter_key", "value", "subject", "occurred_at", "properties")
                fields = [n for n in names if self.said(later, n) != self.said(kept, n)]
                if fields:
                    self.conflicts.append(
                        {"source": later["source"], "event_id": later["event_id"], "ingested_at": later["ingested_at"],
                         "kept_ingested_at": kept["ingested_at"], "fields": ",".join(fields)}
                    )  # fmt: skip
                else:
                    self.duplicates += 1
            reason, amount = self.judge(kept)
            if reason:
                names = ("source", "event_id", "ingested_at", "user_id", "meter_key")
                self.quarantine.append({**{n: kept[n] for n in names}, "reason": reason})
            else:
                self.counted.append({**kept, "amount": amount})
        self.counted.sort(key=lambda e: (e["occurred_at"], e["ingested_at"], e["source"], e["event_id"]))
        self.events_in = len(visible)

    def summary(self) -> list[Row]:
        return [
            {"events_in": self.events_in, "counted": len(self.counted), "duplicates": self.duplicates,
             "conflicts": len(self.conflicts), "quarantined": len(self.quarantine)}
        ]  # fmt: skip

    @staticmethod
    def said(e: Row, name: str) -> Any:
        return json.loads(e["properties"]) if name == "properties" else e[name]

    def judge(self, e: Row) -> tuple[str | None, int | None]:
        """Rule 14."""
        if e["user_id"] not in self.users:
            return "unknown_user", None
        if e["meter_key"] not in self.meters:
            return "unknown_meter", None
        if e["occurred_at"] - e["ingested_at"] > timedelta(minutes=5):
            return "in_future", None
        if e["ingested_at"] - e["occurred_at"] > timedelta(days=35):
            return "too_old", None
        m = self.meters[e["meter_key"]]
        how = m["aggregation"]
        if how == "unique_count":
            return (None, 1) if e["subject"] else ("missing_subject", None)
        if how == "count":
            return None, 1
        value = json.loads(e["properties"]).get(m["value_property"]) if m["value_property"] else e["value"]
        if value is None:
            return "missing_value", None
        if isinstance(value, str) and value.lower().strip("+-") in ("nan", "inf", "infinity"):
            return "not_finite", None
        if isinstance(value, str) and value.lstrip("-").isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return "unparseable", None
        if abs(value) > 10**15:
            return "out_of_range", None
        if how == "sum" and value < 0:
            return "negative", None
        return None, value

    @staticmethod
    def total(how: str, events: list[Row]) -> int:
        amounts = [e["amount"] for e in events]
        return {
            "sum": lambda: sum(amounts), "count": lambda: len(events), "max": lambda: max(amounts),
            "min": lambda: min(amounts), "latest": lambda: amounts[-1],
            "unique_count": lambda: len({e["subject"] for e in events}),
        }[how]()  # fmt: skip

    def usage_daily(self) -> list[Row]:
        cells = defaultdict(list)
        for e in self.counted:
            u = self.users[e["user_id"]]
            if u["status"] != "deleted":
                cells[u["id"], e["meter_key"], day_of(e["occurred_at"], u["time_zone"])].append(e)
        return [
            {"user_id": uid, "meter_key": key, "day": day, "event_count": len(events),
             "value": self.total(self.meters[key]["aggregation"], events), "revision": 1,
             "is_final": start(day + DAY, self.users[uid]["time_zone"]) + timedelta(days=35) < self.as_of}
            for (uid, key, day), events in cells.items()
        ]  # fmt: skip

    # ---- subscriptions

    def in_force(self, subscription: int, t: datetime) -> Row | None:
        """Rule 4."""
        here = [
            v for v in self.versions
            if v["subscription_id"] == subscription and v["valid_from"] <= t and (v["valid_to"] is None or t < v["valid_to"])
        ]  # fmt: skip
        return max(here, key=lambda v: (v["recorded_at"], v["id"]), default=None)

    def arr(self, v: Row | None, t: datetime) -> int:
        """Rules 5 and 6."""
        if v is None:
            return 0
        times = {"month": 12, "quarter": 4, "half_year": 2, "year": 1}[v["interval"]]
        amount = max(0, v["amount_minor"] * v["quantity"] - v["discount_minor"]) * times
        paid, trial = v["paid_until"], v["trial_end"]
        brings = (
            v["status"] == "active"
            or (v["status"] == "past_due" and t < (paid or v["valid_from"]) + timedelta(days=14))
            or (v["status"] == "cancelled" and paid is not None and t < paid and not (trial and trial >= paid))
        )
        return amount if brings else 0

    @cache  # noqa: B019
    def state(self, day: date) -> dict[tuple[int, str, str], int]:
        """Rule 7."""
        t = start(day + DAY, self.zone) - US
        found: dict[tuple[int, str, str], int] = defaultdict(int)
        for s in self.subscriptions:
            v = self.in_force(s, t)
            if x := self.arr(v, t):
                found[v["user_id"], v["currency"], self.plans[v["plan_id"]]["code"]] += x
        return dict(found)

    @cache  # noqa: B019
    def trials_running(self, day: date) -> frozenset[tuple[int, str, str]]:
        t = start(day + DAY, self.zone) - US
        found = set()
        for s in self.subscriptions:
            v = self.in_force(s, t)
            if v and v["status"] == "trialing" and (v["trial_end"] is None or t < v["trial_end"]):
                found.add((v["user_id"], v["currency"], self.plans[v["plan_id"]]["code"]))
        return frozenset(found)

    def days(self) -> list[date]:
        if not self.versions:
            return []
        return self.complete("day", day_of(min(v["valid_from"] for v in self.versions), self.zone))

    def movements(self) -> list[Row]:
        """Rules 8 and 9."""
        found, ever = [], set()
        for day in self.days():
            was, now = self.state(day - DAY), self.state(day)
            for customer in sorted({key[:2] for key in (*was, *now)}):
                plans = sorted({key[2] for key in (*was, *now) if key[:2] == customer})
                delta = {p: now.get((*customer, p), 0) - was.get((*customer, p), 0) for p in plans}
                before = sum(was.get((*customer, p), 0) for p in plans)
                total = sum(now.get((*customer, p), 0) for p in plans)
                if before == 0:
                    kind = "reactivation" if customer in ever else "new"
                else:
                    kind = "churn" if total == 0 else "expansion" if total > before else "contraction"
                if total:
                    ever.add(customer)
                gains = sum(d for d in delta.values() if d > 0)
                losses = sum(-d for d in delta.values() if d < 0)
                moved = min(gains, losses) if before and total else 0
                left = {"transfer_in": moved, "transfer_out": moved}
                for p in plans:
                    name = "transfer_in" if delta[p] > 0 else "transfer_out"
                    part = min(abs(delta[p]), left[name])
                    left[name] -= part
                    sign = 1 if delta[p] > 0 else -1
                    for k, amount in ((name, part), (kind, abs(delta[p]) - part)):
                        if amount:
                            reason = self.churn_reason(customer, day) if k == "churn" else (None, None)
                            found.append(
                                {"day": day, "user_id": customer[0], "currency": customer[1], "plan_code": p, "kind": k,
                                 "arr_delta_minor": sign * amount, "churn_reason": reason[0],
                                 "churn_requested_at": reason[1], "revision": 1}
                            )  # fmt: skip
        return found

    def churn_reason(self, customer: tuple[int, str], day: date) -> tuple[str, datetime | None]:
        yesterday, today = start(day, self.zone) - US, start(day + DAY, self.zone) - US
        reasons, requested = set(), []
        for s in self.subscriptions:
            old = self.in_force(s, yesterday)
            if old is None or (old["user_id"], old["currency"]) != customer or not self.arr(old, yesterday):
                continue
            new = self.in_force(s, today)
            v = new or old
            if v["status"] == "cancelled":
                reasons.add("cancel")
                requested.append(v["valid_from"])
            elif v["status"] in ("past_due", "paused"):
                reasons.add({"past_due": "payment_failed", "paused": "pause"}[v["status"]])
            else:
                reasons.add("downgrade" if new else "expired")
        for reason in ("cancel", "payment_failed", "pause", "downgrade", "expired"):
            if reason in reasons:
                return reason, min(requested) if reason == "cancel" else None
        raise AssertionError

    # ---- suppression

    def merge(self, members: dict[str, set[int]], dominated: Any = lambda codes: False) -> dict[str, str | None]:
        """Rule 26."""

        def small(codes: set[str]) -> bool:
            return len(set().union(*(members[c] for c in codes))) < self.k or dominated(codes)

        other = {c for c in members if small({c})}
        rest = sorted(set(members) - other, key=lambda c: (len(members[c]), c))
        while other and small(other) and rest:
            other.add(rest.pop(0))
        gone = bool(other) and small(other)
        return {c: c if c not in other else None if gone else "other" for c in members}

    def shown(self) -> dict[tuple[str, str], str | None]:
        members: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        for day in self.days():
            for uid, currency, code in (*self.state(day), *self.trials_running(day)):
                members[currency][code].add(uid)
        months = self.complete("month", self.days()[0]) if self.days() else []
        ends = self.state(add_months(months[-1], 1) - DAY) if months else {}
        found = {}
        for currency, codes in members.items():

            def dominated(names: set[str], currency: str = currency) -> bool:
                held: dict[int, int] = defaultdict(int)
                for (uid, c, code), x in ends.items():
                    if c == currency and code in names:
                        held[uid] += x
                return bool(held) and max(held.values()) * 100 > 80 * sum(held.values())

            found.update({(currency, code): name for code, name in self.merge(codes, dominated).items()})
        return found

    # ---- money by month and day

    def waterfall(self) -> list[Row]:
        shown = self.shown()
        moves = [
            {**m, "plan_code": shown[m["currency"], m["plan_code"]], "month": m["day"].replace(day=1)}
            for m in self.movements()
            if shown[m["currency"], m["plan_code"]] is not None
        ]
        months = self.complete("month", min((m["day"] for m in moves), default=None))
        lines = sorted({(m["currency"], m["plan_code"]) for m in moves if m["month"] in months})
        found = []
        for month in months:
            for currency, code in lines:

                def held(day: date, currency: str = currency, code: str = code) -> int:
                    return sum(x for (_, c, p), x in self.state(day).items() if c == currency and shown[c, p] == code)

                row = {"month": month, "currency": currency, "plan_code": code, "revision": 1,
                       "start_arr_minor": held(month - DAY), "end_arr_minor": held(add_months(month, 1) - DAY)}  # fmt: skip
                for kind in KINDS:
                    row[f"{kind}_minor"] = sum(
                        m["arr_delta_minor"] for m in moves
                        if (m["month"], m["currency"], m["plan_code"], m["kind"]) == (month, currency, code, kind)
                    )  # fmt: skip
                found.append(row)
        return found

    def revenue(self) -> list[Row]:
        """Rules 10 and 11."""
        shown, moves, trials = self.shown(), self.movements(), self.trials()
        currencies = sorted({c for (c, _), name in shown.items() if name is not None})
        firsts = [m["day"] for m in moves if m["currency"] in currencies]
        firsts += [t["day"] for t in trials if t["currency"] in currencies]
        found = []
        for month in self.complete("month", min(firsts, default=None)):
            for currency in currencies:

                def totals(day: date, currency: str = currency) -> dict[int, int]:
                    held: dict[int, int] = defaultdict(int)
                    for (uid, c, _), x in self.state(day).items():
                        if c == currency:
                            held[uid] += x
                    return dict(held)

                was, now = totals(month - DAY), totals(add_months(month, 1) - DAY)
                mine = [m for m in moves if m["currency"] == currency and m["day"].replace(day=1) == month]
                mine_trials = [t for t in trials if t["currency"] == currency and t["day"].replace(day=1) == month]
                churns = len({(m["user_id"], m["day"]) for m in mine if m["kind"] == "churn"})

                def moved(*kinds: str, mine: list[Row] = mine) -> int:
                    return abs(sum(m["arr_delta_minor"] for m in mine if m["kind"] in kinds))

                found.append(
                    {
                        "month": month, "currency": currency, "start_arr_minor": sum(was.values()),
                        "end_arr_minor": sum(now.values()), "paying_start_count": len(was), "paying_end_count": len(now),
                        "nrr_num_minor": sum(now.get(u, 0) for u in was),
                        "grr_num_minor": sum(min(x, now.get(u, 0)) for u, x in was.items()),
                        "logo_churned_count": len(set(was) - set(now)), "churn_event_count": churns,
                        "quick_num_minor": moved("new", "reactivation", "expansion"),
                        "quick_den_minor": moved("contraction", "churn"),
                        "ltv_minor": sum(was.values()) // (12 * churns) if churns >= self.config.ltv_min_churns else None,
                        "trials_started_count": len(mine_trials),
                        "trials_mature_count": sum(t["mature"] for t in mine_trials),
                        "trials_converted_count": sum(t["converted"] for t in mine_trials),
                    }
                )  # fmt: skip
        return found

    def trials(self) -> list[Row]:
        found = []
        for s in self.subscriptions:
            versions = [v for v in self.versions if v["subscription_id"] == s and v["status"] == "trialing"]
            if not versions:
                continue
            newest = max(versions, key=lambda v: (v["recorded_at"], v["id"]))
            end = newest["trial_end"] or newest["valid_to"]
            mature = end is not None and end + timedelta(days=7) <= self.as_of
            t = end + timedelta(days=7) - US if mature else self.as_of
            found.append(
                {"day": day_of(min(v["valid_from"] for v in versions), self.zone), "currency": newest["currency"],
                 "mature": mature, "converted": mature and self.arr(self.in_force(s, t), t) > 0}
            )  # fmt: skip
        return found

    def plan_daily(self) -> list[Row]:
        shown = self.shown()
        moves = self.movements()
        seen = [d for d in self.days() if any(shown[c, p] for _, c, p in (*self.state(d), *self.trials_running(d)))]
        lines = sorted({(c, name) for (c, _), name in shown.items() if name is not None})
        found = []
        for day in self.complete("day", seen[0] if seen else None):
            for currency, code in lines:
                mine = {p for (c, p), name in shown.items() if (c, name) == (currency, code)}
                held = {k: x for k, x in self.state(day).items() if k[1] == currency and k[2] in mine}

                def moved(kind: str, day: date = day, currency: str = currency, mine: set[str] = mine) -> int:
                    return len({m["user_id"] for m in moves if m["day"] == day and m["currency"] == currency
                                and m["plan_code"] in mine and m["kind"] == kind})  # fmt: skip

                found.append(
                    {"day": day, "plan_code": code, "currency": currency, "active_count": len({k[0] for k in held}),
                     "trialing_count": len({u for u, c, p in self.trials_running(day) if c == currency and p in mine}),
                     "new_count": moved("new"), "churned_count": moved("churn"), "arr_minor": sum(held.values()),
                     "revision": 1}
                )  # fmt: skip
        return found

    # ---- entitlements

    def plan_at(self, uid: int, t: datetime) -> tuple[Row | None, datetime]:
        """Rule 16."""
        found = []
        for s in self.subscriptions:
            v = self.in_force(s, t)
            if v is None or v["user_id"] != uid:
                continue
            paid = v["paid_until"]
            if (
                v["status"] == "active"
                or (v["status"] == "trialing" and (v["trial_end"] is None or t < v["trial_end"]))
                or (v["status"] == "past_due" and t < (paid or v["valid_from"]) + timedelta(days=14))
                or (v["status"] == "cancelled" and paid is not None and t < paid)
            ):
                p = self.plans[v["plan_id"]]
                found.append((p["tier_rank"], p["version"], -s, p, v["anchor_at"]))
        if found:
            best = max(found, key=lambda x: x[:3])
            return best[3], best[4]
        free = [p for p in self.plans.values() if not p["is_paid"]]
        default = min(free, key=lambda p: (p["tier_rank"], -p["version"], p["id"]), default=None)
        return default, self.users[uid]["created_at"]

    def feature(self, p: Row | None, key: str) -> Row | None:
        return next(
            (f for f in self.world["plan_features"] if p and (f["plan_id"], f["feature_key"]) == (p["id"], key)), None
        )

    def periods(self, f: Row, anchor: datetime, u: Row) -> list[tuple[datetime, datetime | None]]:
        """Rule 17, from the user's beginning (or 35 days back) to the period that holds as_of."""
        zone = u["time_zone"]
        a = anchor.astimezone(ZoneInfo(zone)).date()
        if f["reset"] == "never":
            return [(start(a, zone), None)]
        if f["reset"] == "month_calendar":
            a = a.replace(day=1)
        since = min(u["created_at"], anchor, self.as_of - timedelta(days=35))
        spans = [(start(add_months(a, n), zone), start(add_months(a, n + 1), zone)) for n in range(-9, 9)]
        return [(b, e) for b, e in spans if b <= self.as_of and (e > since or e > self.as_of)]

    def allowances(self) -> list[tuple[Row, Row, Row, list[tuple[datetime, datetime | None]]]]:
        found = []
        for u in self.users.values():
            if u["status"] == "deleted":
                continue
            p, anchor = self.plan_at(u["id"], self.as_of)
            for f in self.world["plan_features"]:
                if p and f["plan_id"] == p["id"]:
                    found.append((u, p, f, self.periods(f, anchor, u)))
        return found

    def terms(self, u: Row, f: Row, end: datetime | None, is_current: bool) -> Row | None:
        """Rule 18: the feature as the plan of the period has it, if anything burns there."""
        if not is_current:
            f0 = f
            f = self.feature(self.plan_at(u["id"], end - US)[0], f["feature_key"])
            if f is None or f["meter_key"] != f0["meter_key"]:
                return None
        return f if f["kind"] == "metered" and f["limit_value"] is not None else None

    def period_events(self, u: Row, f: Row, begin: datetime, end: datetime | None) -> list[Row]:
        return [
            e for e in self.counted
            if e["user_id"] == u["id"] and e["meter_key"] == f["meter_key"] and begin <= e["occurred_at"]
            and (end is None or e["occurred_at"] < end)
        ]  # fmt: skip

    def entitlements(self) -> list[Row]:
        return [self.entitlement(*allowance) for allowance in self.allowances()]

    @staticmethod
    def live(g: Row, t: datetime) -> bool:
        return (
            g["effective_at"] <= t and (g["expires_at"] is None or t < g["expires_at"])
            and (g["voided_at"] is None or t < g["voided_at"])
        )  # fmt: skip

    def entitlement(self, u: Row, p: Row, f: Row, spans: list[tuple[datetime, datetime | None]]) -> Row:
        """Rules 18 and 19, event by event."""
        begin, end = spans[-1]
        row: Row = {
            "user_id": u["id"], "feature_key": f["feature_key"], "plan_id": p["id"], "kind": f["kind"],
            "meter_key": f["meter_key"], "period_start": begin, "resets_at": end, "limit_value": f["limit_value"],
            "rolled_over": 0, "used": None, "granted": None, "balance": None, "overage": None, "has_access": True,
            "as_of": self.as_of,
        }  # fmt: skip
        if f["kind"] != "metered":
            return row
        how = self.meters[f["meter_key"]]["aggregation"]
        mine = self.period_events(u, f, begin, end)
        row["used"] = max(0, self.total(how, mine)) if mine else 0
        row["overage"] = 0
        if f["limit_value"] is None:
            return row
        grants = sorted(
            (dict(g) for g in self.world["grants"] if (g["user_id"], g["feature_key"]) == (u["id"], f["feature_key"])),
            key=lambda g: (g["priority"], g["expires_at"] is None, g["expires_at"] or g["effective_at"], g["id"]),
        )
        if how in ("max", "min", "latest"):
            row["granted"] = f["limit_value"] + sum(g["amount"] for g in grants if self.live(g, self.as_of))
            row["balance"] = max(0, row["granted"] - row["used"])
            row["overage"] = max(0, row["used"] - row["granted"])
        else:
            carried = 0
            for b, e in spans:
                terms = self.terms(u, f, e, (b, e) == spans[-1])
                if terms is None:
                    carried = 0
                    continue
                rolled, burnt, overage = carried, 0, 0
                pot = terms["limit_value"] + rolled
                seen = set()
                for ev in self.period_events(u, f, b, e):
                    need = ev["amount"]
                    if how == "unique_count":
                        need = 0 if ev["subject"] in seen else 1
                        seen.add(ev["subject"])
                    part = min(pot, need)
                    pot, need = pot - part, need - part
                    for g in grants:
                        if self.live(g, ev["occurred_at"]):
                            part = min(g["amount"], need)
                            g["amount"], need, burnt = g["amount"] - part, need - part, burnt + part
                    overage += need
                carried = min(terms["rollover_max"], pot)
            left = sum(g["amount"] for g in grants if self.live(g, self.as_of))
            row.update(rolled_over=rolled, overage=overage, balance=pot + left,
                       granted=f["limit_value"] + rolled + burnt + left)  # fmt: skip
        row["has_access"] = f["overage"] == "soft" or row["balance"] > 0
        return row

    def crossings(self) -> list[Row]:
        """Rule 21."""
        found = []
        for u, _, f, spans in self.allowances():
            for begin, end in spans:
                terms = self.terms(u, f, end, (begin, end) == spans[-1])
                if terms is None or f["kind"] != "metered" or terms["limit_value"] <= 0:
                    continue
                if end is not None and end <= self.as_of - timedelta(days=35):
                    continue
                how = self.meters[f["meter_key"]]["aggregation"]
                events = self.period_events(u, f, begin, end)
                for percent in self.config.threshold_percents:
                    for n, e in enumerate(events):
                        level = e["amount"] if how in ("max", "latest") else self.total(how, events[: n + 1])
                        if how != "min" and level * 100 >= percent * terms["limit_value"]:
                            found.append(
                                {"user_id": u["id"], "feature_key": f["feature_key"], "period_start": begin,
                                 "threshold_percent": percent, "resets_at": end, "limit_value": terms["limit_value"],
                                 "crossed_at": e["occurred_at"]}
                            )  # fmt: skip
                            break
        return found

    def adoption(self) -> list[Row]:
        """Rules 25 and 27."""
        day = day_of(self.as_of, self.zone) - DAY
        opens, closes = start(day - 27 * DAY, self.zone), start(day + DAY, self.zone)
        reached = {
            (c["user_id"], c["feature_key"], c["threshold_percent"])
            for c in self.crossings() if c["resets_at"] is None or c["resets_at"] > self.as_of
        }  # fmt: skip
        recent = {(e["user_id"], e["meter_key"]) for e in self.counted if opens <= e["occurred_at"] < closes}
        cells: dict[tuple[str, str], list[tuple[bool, bool, bool]]] = defaultdict(list)
        for u in self.users.values():
            p = self.plan_at(u["id"], closes - US)[0]
            for f in self.world["plan_features"]:
                if p and u["status"] != "deleted" and f["plan_id"] == p["id"] and f["kind"] == "metered":
                    at_80, at_100 = ((u["id"], f["feature_key"], percent) in reached for percent in (80, 100))
                    cells[f["feature_key"], p["code"]].append(((u["id"], f["meter_key"]) in recent, at_80, at_100))
        found = []
        for key in {key for key, _ in cells}:
            gone = self.withheld({code: len(users) for (f, code), users in cells.items() if f == key})
            for (f, code), users in cells.items():
                if f == key and code not in gone:
                    adopted, at_80, at_100 = (sum(flags) for flags in zip(*users, strict=True))
                    found.append({"day": day, "plan_code": code, "feature_key": f, "eligible_count": len(users),
                                  "adopted_count": adopted, "users_80_count": at_80, "users_100_count": at_100})  # fmt: skip
        return found

    # ---- people

    def active_days(self) -> dict[int, set[date]]:
        found = defaultdict(set)
        for e in self.counted:
            found[e["user_id"]].add(day_of(e["occurred_at"], self.zone))
        return found

    def growth(self) -> list[Row]:
        active = self.active_days()
        first = min((d for days in active.values() for d in days), default=None)
        members: dict[str, set[int]] = defaultdict(set)
        for uid in active:
            members[self.users[uid]["country"] or "none"].add(uid)
        shown = self.merge(members)
        groups: dict[str, set[int]] = {"all": set(active)}
        for country, name in shown.items():
            if name is not None:
                groups[name] = groups.get(name, set()) | members[country]
        found = []
        for grain in ("day", "week", "month"):
            seen: set[int] = set()
            last: set[int] = set()
            for period in self.complete(grain, first):
                now = {uid for uid, days in active.items() if any(period_of(grain, d) == period for d in days)}
                for name, group in groups.items():
                    found.append(
                        {"grain": grain, "period_start": period, "segment": name, "new_count": len(now & group - seen),
                         "retained_count": len(now & group & last), "active_count": len(now & group), "revision": 1,
                         "resurrected_count": len((now & group & seen) - last), "churned_count": len(group & last - now)}
                    )  # fmt: skip
                seen |= now
                last = now
        return found

    def engagement(self) -> list[Row]:
        active = self.active_days()
        first = min((d for days in active.values() for d in days), default=None)

        def window(day: date, n: int) -> int:
            return sum(1 for days in active.values() if any(day - n * DAY < d <= day for d in days))

        return [
            {
                "day": day,
                "dau_count": window(day, 1),
                "wau_count": window(day, 7),
                "mau_count": window(day, 28),
                "revision": 1,
            }
            for day in self.complete("day", first)
        ]

    def withheld(self, sizes: dict[Any, int]) -> set[Any]:
        """Rule 27: cells under k, plus the smallest others until k are withheld."""
        order = sorted(sizes, key=lambda c: (sizes[c], c))
        gone = [c for c in order if sizes[c] < self.k]
        for c in order[len(gone) :]:
            if gone and sum(sizes[g] for g in gone) < self.k:
                gone.append(c)
        return set(gone)

    def lness(self) -> list[Row]:
        active = self.active_days()
        found = []
        for row in self.engagement():
            for n in (7, 28):
                cells: dict[int, int] = defaultdict(int)
                for days in active.values():
                    if count := sum(1 for d in days if row["day"] - n * DAY < d <= row["day"]):
                        cells[count] += 1
                gone = self.withheld(dict(cells))
                merged = {c: x for c, x in cells.items() if c not in gone}
                if sum(cells[c] for c in gone) >= self.k:
                    merged[0] = sum(cells[c] for c in gone)
                found += [{"day": row["day"], "window_days": n, "active_days": c, "user_count": x}
                          for c, x in merged.items() if x]  # fmt: skip
        return found

    def cohorts(self) -> list[Row]:
        """Rule 23, without the interval."""
        active = self.active_days()
        first = min((d for days in active.values() for d in days), default=None)
        found = []
        for grain in ("week", "month"):
            spine = self.complete(grain, first)
            seen = {u: sorted({spine.index(period_of(grain, d)) for d in days if period_of(grain, d) in spine})
                    for u, days in active.items()}  # fmt: skip
            members = defaultdict(set)
            for u, indexes in seen.items():
                if indexes:
                    members[indexes[0]].add(u)
            gone = self.withheld({c: len(group) for c, group in members.items()})
            for cohort, group in members.items():
                for age in range(len(spine)) if cohort not in gone else ():
                    index = cohort + age
                    kept = {"classic": sum(index in seen[u] for u in group),
                            "rolling": sum(seen[u][-1] >= index for u in group)}  # fmt: skip
                    for definition, count in kept.items():
                        censored = index >= len(spine)
                        found.append(
                            {"grain": grain, "cohort_start": spine[cohort], "definition": definition, "age": age,
                             "size_count": len(group), "retained_count": None if censored else count,
                             "is_censored": censored}
                        )  # fmt: skip
        return found
