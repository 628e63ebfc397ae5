"""The slow oracle: spec 05 in plain Python loops. Nothing is shared with `assets.premium` but the settings.

Here its last part: plans held, entitlements and crossings, event by event.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

from store.zones import zone_info
from tests.support.premium import US, Row
from tests.support.premium_clock import DAY, add_months, day_of, start
from tests.support.premium_oracle_money import Money


class Oracle(Money):
    """Spec 05 for one world, ``as_of`` and config."""

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
        a = anchor.astimezone(zone_info(zone)).date()
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
            features = [f for f in self.world["plan_features"] if p and f["plan_id"] == p["id"]]
            found += [(u, p, f, self.periods(f, anchor, u)) for f in features]
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
            e
            for e in self.counted
            if e["user_id"] == u["id"]
            and e["meter_key"] == f["meter_key"]
            and begin <= e["occurred_at"]
            and (end is None or e["occurred_at"] < end)
        ]

    def entitlements(self) -> list[Row]:
        return [self.entitlement(*allowance) for allowance in self.allowances()]

    @staticmethod
    def live(g: Row, t: datetime) -> bool:
        return (
            g["effective_at"] <= t
            and (g["expires_at"] is None or t < g["expires_at"])
            and (g["voided_at"] is None or t < g["voided_at"])
        )

    def entitlement(self, u: Row, p: Row, f: Row, spans: list[tuple[datetime, datetime | None]]) -> Row:
        """Rules 18 and 19, event by event."""
        begin, end = spans[-1]
        row: Row = {
            "user_id": u["id"],
            "feature_key": f["feature_key"],
            "plan_id": p["id"],
            "kind": f["kind"],
            "meter_key": f["meter_key"],
            "period_start": begin,
            "resets_at": end,
            "limit_value": f["limit_value"],
            "rolled_over": 0,
            "used": None,
            "granted": None,
            "balance": None,
            "overage": None,
            "has_access": True,
            "as_of": self.as_of,
        }
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
            beginning = min(u["created_at"], self.plan_at(u["id"], self.as_of)[1])
            for b, e in spans:
                if e is not None and e <= beginning and (b, e) != spans[-1]:
                    continue
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
            row.update(
                rolled_over=rolled,
                overage=overage,
                balance=pot + left,
                granted=f["limit_value"] + rolled + burnt + left,
            )
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
                                {
                                    "user_id": u["id"],
                                    "feature_key": f["feature_key"],
                                    "period_start": begin,
                                    "threshold_percent": percent,
                                    "resets_at": end,
                                    "limit_value": terms["limit_value"],
                                    "crossed_at": e["occurred_at"],
                                }
                            )
                            break
        return found

    def adoption(self) -> list[Row]:
        """Rules 25 and 27."""
        day = day_of(self.as_of, self.zone) - DAY
        opens, closes = start(day - 27 * DAY, self.zone), start(day + DAY, self.zone)
        reached = {
            (c["user_id"], c["feature_key"], c["threshold_percent"])
            for c in self.crossings()
            if c["resets_at"] is None or c["resets_at"] > self.as_of
        }
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
                    found.append(
                        {
                            "day": day,
                            "plan_code": code,
                            "feature_key": f,
                            "eligible_count": len(users),
                            "adopted_count": adopted,
                            "users_80_count": at_80,
                            "users_100_count": at_100,
                        }
                    )
        return found
