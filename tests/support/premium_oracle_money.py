"""The slow oracle, second part: subscriptions, movements, months and plans, day by day."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from functools import cache

from tests.support.premium import US, Row
from tests.support.premium_clock import DAY, add_months, day_of, start
from tests.support.premium_oracle_people import People

KINDS = ("new", "reactivation", "expansion", "contraction", "churn", "transfer_in", "transfer_out")


class Money(People):
    """Recurring revenue, from the state at each day's last microsecond."""

    def in_force(self, subscription: int, t: datetime) -> Row | None:
        """Rule 4."""
        here = [
            v
            for v in self.versions
            if v["subscription_id"] == subscription
            and v["valid_from"] <= t
            and (v["valid_to"] is None or t < v["valid_to"])
        ]
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
                                {
                                    "day": day,
                                    "user_id": customer[0],
                                    "currency": customer[1],
                                    "plan_code": p,
                                    "kind": k,
                                    "arr_delta_minor": sign * amount,
                                    "churn_reason": reason[0],
                                    "churn_requested_at": reason[1],
                                    "revision": 1,
                                }
                            )
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

                row = {
                    "month": month,
                    "currency": currency,
                    "plan_code": code,
                    "revision": 1,
                    "start_arr_minor": held(month - DAY),
                    "end_arr_minor": held(add_months(month, 1) - DAY),
                }
                for kind in KINDS:
                    row[f"{kind}_minor"] = sum(
                        m["arr_delta_minor"]
                        for m in moves
                        if (m["month"], m["currency"], m["plan_code"], m["kind"]) == (month, currency, code, kind)
                    )
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
                        "month": month,
                        "currency": currency,
                        "start_arr_minor": sum(was.values()),
                        "end_arr_minor": sum(now.values()),
                        "paying_start_count": len(was),
                        "paying_end_count": len(now),
                        "nrr_num_minor": sum(now.get(u, 0) for u in was),
                        "grr_num_minor": sum(min(x, now.get(u, 0)) for u, x in was.items()),
                        "logo_churned_count": len(set(was) - set(now)),
                        "churn_event_count": churns,
                        "quick_num_minor": moved("new", "reactivation", "expansion"),
                        "quick_den_minor": moved("contraction", "churn"),
                        "ltv_minor": sum(was.values()) // (12 * churns)
                        if churns >= self.config.ltv_min_churns
                        else None,
                        "trials_started_count": len(mine_trials),
                        "trials_mature_count": sum(t["mature"] for t in mine_trials),
                        "trials_converted_count": sum(t["converted"] for t in mine_trials),
                    }
                )
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
                {
                    "day": day_of(min(v["valid_from"] for v in versions), self.zone),
                    "currency": newest["currency"],
                    "mature": mature,
                    "converted": mature and self.arr(self.in_force(s, t), t) > 0,
                }
            )
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
                    return len(
                        {
                            m["user_id"]
                            for m in moves
                            if m["day"] == day
                            and m["currency"] == currency
                            and m["plan_code"] in mine
                            and m["kind"] == kind
                        }
                    )

                found.append(
                    {
                        "day": day,
                        "plan_code": code,
                        "currency": currency,
                        "active_count": len({k[0] for k in held}),
                        "trialing_count": len(
                            {u for u, c, p in self.trials_running(day) if c == currency and p in mine}
                        ),
                        "new_count": moved("new"),
                        "churned_count": moved("churn"),
                        "arr_minor": sum(held.values()),
                        "revision": 1,
                    }
                )
        return found
