"""The slow oracle, first part: intake, usage, suppression, growth, cohorts and engagement, event by event."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any

from store.settings import PremiumSettings
from tests.support.premium import Row, World
from tests.support.premium_clock import DAY, after, day_of, period_of, start


class People:
    """Usage and people for one world, ``as_of`` and config."""

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
                        {
                            "source": later["source"],
                            "event_id": later["event_id"],
                            "ingested_at": later["ingested_at"],
                            "kept_ingested_at": kept["ingested_at"],
                            "fields": ",".join(fields),
                        }
                    )
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
            {
                "events_in": self.events_in,
                "counted": len(self.counted),
                "duplicates": self.duplicates,
                "conflicts": len(self.conflicts),
                "quarantined": len(self.quarantine),
            }
        ]

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
            "sum": lambda: sum(amounts),
            "count": lambda: len(events),
            "max": lambda: max(amounts),
            "min": lambda: min(amounts),
            "latest": lambda: amounts[-1],
            "unique_count": lambda: len({e["subject"] for e in events}),
        }[how]()

    def usage_daily(self) -> list[Row]:
        cells = defaultdict(list)
        for e in self.counted:
            u = self.users[e["user_id"]]
            if u["status"] != "deleted":
                cells[u["id"], e["meter_key"], day_of(e["occurred_at"], u["time_zone"])].append(e)
        return [
            {
                "user_id": uid,
                "meter_key": key,
                "day": day,
                "event_count": len(events),
                "value": self.total(self.meters[key]["aggregation"], events),
                "revision": 1,
                "is_final": start(day + DAY, self.users[uid]["time_zone"]) + timedelta(days=35) < self.as_of,
            }
            for (uid, key, day), events in cells.items()
        ]

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
                        {
                            "grain": grain,
                            "period_start": period,
                            "segment": name,
                            "new_count": len(now & group - seen),
                            "retained_count": len(now & group & last),
                            "active_count": len(now & group),
                            "revision": 1,
                            "resurrected_count": len((now & group & seen) - last),
                            "churned_count": len(group & last - now),
                        }
                    )
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
                found += [
                    {"day": row["day"], "window_days": n, "active_days": c, "user_count": x}
                    for c, x in merged.items()
                    if x
                ]
        return found

    def cohorts(self) -> list[Row]:
        """Rule 23, without the interval."""
        active = self.active_days()
        first = min((d for days in active.values() for d in days), default=None)
        found = []
        for grain in ("week", "month"):
            spine = self.complete(grain, first)
            seen = {
                u: sorted({spine.index(period_of(grain, d)) for d in days if period_of(grain, d) in spine})
                for u, days in active.items()
            }
            members = defaultdict(set)
            for u, indexes in seen.items():
                if indexes:
                    members[indexes[0]].add(u)
            gone = self.withheld({c: len(group) for c, group in members.items()})
            for cohort, group in members.items():
                for age in range(len(spine)) if cohort not in gone else ():
                    index = cohort + age
                    kept = {
                        "classic": sum(index in seen[u] for u in group),
                        "rolling": sum(seen[u][-1] >= index for u in group),
                    }
                    for definition, count in kept.items():
                        censored = index >= len(spine)
                        found.append(
                            {
                                "grain": grain,
                                "cohort_start": spine[cohort],
                                "definition": definition,
                                "age": age,
                                "size_count": len(group),
                                "retained_count": None if censored else count,
                                "is_censored": censored,
                            }
                        )
        return found
