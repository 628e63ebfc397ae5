"""The slow, plain-Python oracle of 04.1-04.4: dicts and loops over the whole ledger, no pruning.

Written from the text of the spec; it shares the zones' data with the product, and no rule.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from store.zones import zone_info, zone_names
from tests.support.digests import Row, World

H = timedelta(hours=1)
D = timedelta(days=1)
FLOOR = {"daily": 72 * H, "weekdays": 96 * H, "weekly": 15 * D}
EXPIRE = {"daily": 6 * H, "weekdays": 6 * H, "weekly": 48 * H}
GAP = {"daily": 12 * H, "weekdays": 12 * H, "weekly": 3 * D}
RANK = {"low": 0, "normal": 1, "high": 2, "critical": 3}
ZONES = zone_names()


@lru_cache(maxsize=100_000)
def instant(zone: str, day: date, at: time) -> datetime:
    """Among all offsets the zone has around the date, the earliest instant that shows the wall clock;
    in a gap (none shows it) the wall clock minus the offset before the gap."""
    wanted = datetime.combine(day, at)
    tz = zone_info(zone)
    around = [wanted.replace(tzinfo=UTC) + n * H for n in range(-50, 51, 2)]
    offsets = {u.astimezone(tz).utcoffset() for u in around} | {
        (wanted + n * H / 4).replace(tzinfo=tz, fold=f).utcoffset() for n in (-1, 0, 1) for f in (0, 1)
    }
    hits = [
        wanted.replace(tzinfo=UTC) - offset
        for offset in offsets
        if (wanted.replace(tzinfo=UTC) - offset).astimezone(tz).replace(tzinfo=None) == wanted
    ]
    if hits:
        return min(hits)
    # a gap: walk back to the last wall clock that was shown and keep its offset
    low = wanted.replace(tzinfo=UTC) - 50 * H
    high = wanted.replace(tzinfo=UTC) + 50 * H
    while high - low > timedelta(microseconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(tz).replace(tzinfo=None) < wanted:
            low = middle
        else:
            high = middle
    before = low.astimezone(tz).utcoffset()
    assert before is not None
    return wanted.replace(tzinfo=UTC) - before


@lru_cache(maxsize=100_000)
def exists(zone: str, day: date) -> bool:
    tz = zone_info(zone)
    noon = datetime.combine(day, time(12), tzinfo=UTC)
    return any((noon + n * H / 2).astimezone(tz).date() == day for n in range(-80, 81))


def scheduled(schedule: Row, day: date) -> bool:
    if schedule["kind"] == "daily":
        return True
    if schedule["kind"] == "weekdays":
        return day.weekday() < 5
    return day.isoweekday() == (schedule["week_day"] or 1)


class Oracle:
    """The ledger: every row, group and item ever, and one method that settles a run."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.items: list[Row] = []

    def run(self, world: World, as_of: datetime) -> tuple[list[Row], list[Row], list[Row]]:
        """New (digests, groups, items) of this run."""
        self.t = {name.removeprefix("staged_"): rows for name, rows in world.tables.items()}
        self.as_of = as_of
        erased = {row["user_id"] for row in self.t["erasure_requests"]}
        self.active = {
            u["id"]: u
            for u in self.t["users"]
            if u["status"] == "active" and u["id"] not in erased and u["created_at"] < as_of
        }
        self.notes = [dict(n) for n in self.t["notifications"]] + [self.crossing(c) for c in world.crossings]
        new_rows: list[Row] = []
        new_groups: list[Row] = []
        new_items: list[Row] = []
        before = len(self.rows)
        for user_id in sorted(self.active):
            for channel in ("email", "in_app", "push"):
                due = []
                for schedule in self.t["digest_schedules"]:
                    if schedule["user_id"] == user_id and self.mode_exists(user_id, schedule["kind"], channel):
                        due += self.occurrences(user_id, channel, schedule, before)
                for nominal, day, _, schedule in sorted(due, key=lambda o: o[:3]):
                    row, groups, items = self.settle(user_id, channel, schedule, nominal, day)
                    new_rows.append(row)
                    new_groups += groups
                    new_items += items
        return new_rows, new_groups, new_items

    def mode_exists(self, user_id: int, kind: str, channel: str) -> bool:
        return any(
            p["user_id"] == user_id and p["mode"] == kind and p["channel"] == channel
            for p in self.t["notification_preferences"]
        )

    def zone(self, user_id: int) -> str:
        name = self.active[user_id]["time_zone"]
        return name if name in ZONES else "UTC"

    def of_stream(self, user_id: int, channel: str, kind: str) -> list[Row]:
        return [r for r in self.rows if (r["user_id"], r["channel"], r["kind"]) == (user_id, channel, kind)]

    def occurrences(self, user_id: int, channel: str, schedule: Row, _: int) -> list[tuple[Any, ...]]:
        kind, zone = schedule["kind"], self.zone(user_id)
        mine = self.of_stream(user_id, channel, kind)
        settled_days = {r["period_key"] for r in mine}
        last = max((r["due_at"] for r in mine if r["due_at"] is not None), default=None)
        found = []
        day = (self.as_of - FLOOR[kind]).date() - 3 * D
        while day <= self.as_of.date() + 3 * D:
            if scheduled(schedule, day):
                due = instant(zone, day, schedule["local_time"])
                if (
                    due > schedule["enabled_at"]
                    and due > self.as_of - FLOOR[kind]
                    and due + timedelta(minutes=5) <= self.as_of
                    and (last is None or due > last)
                    and f"{kind}:{day}" not in settled_days
                ):
                    found.append((due, day, kind, schedule))
            day += D
        if not mine:
            found = [o for o in found if exists(zone, o[1])][-1:]
        return found

    def settle(
        self, user_id: int, channel: str, schedule: Row, due: datetime, day: date
    ) -> tuple[Row, list[Row], list[Row]]:
        kind, zone = schedule["kind"], self.zone(user_id)
        mine = self.of_stream(user_id, channel, kind)
        closed = [r["window_end"] for r in mine if r["status"] in ("built", "skipped_empty")]
        key = f"{kind}:{day.isoformat()}"
        row: Row = {
            "digest_id": hashlib.sha256(f"digest|v1|{user_id}|{channel}|{key}".encode()).hexdigest(),
            "user_id": user_id, "kind": kind, "channel": channel, "period_key": key,
            "window_start": None, "window_end": None, "due_at": None, "deliver_after": None,
            "time_zone": zone,
            "eligible_count": 0, "group_count": 0, "more_count": 0, "late_count": 0,
        }  # fmt: skip
        self.rows.append(row)
        if not exists(zone, day):
            row["status"] = "no_occurrence"
            return row, [], []
        row["due_at"] = row["window_end"] = due
        if closed:
            base = closed[-1]
        elif mine:
            base = mine[0]["window_start"]
        else:
            earlier = day - D
            while not (scheduled(schedule, earlier) and exists(zone, earlier)):
                earlier -= D
            base = max(schedule["enabled_at"], instant(zone, earlier, schedule["local_time"]))
        row["window_start"] = start = max(base, due - FLOOR[kind])
        if schedule["paused_until"] is not None and due < schedule["paused_until"]:
            row["status"] = "paused"
        elif closed and due - closed[-1] < GAP[kind]:
            row["status"] = "skipped_gap"
        elif self.as_of - due > EXPIRE[kind]:
            row["status"] = "expired"
        if "status" in row:
            return row, [], []
        items = self.find_items(user_id, channel, schedule, start, due)
        if not items:
            row["status"] = "skipped_empty"
            return row, [], []
        groups = self.group(row["digest_id"], items)
        rendered = groups[: schedule["max_groups"]]
        row["eligible_count"] = len(items)
        row["group_count"] = len(groups)
        row["more_count"] = len(items) - sum(g["item_count"] for g in rendered)
        row["late_count"] = sum(n["created_at"] < start for n in items)
        if len(groups) < schedule["min_groups"]:
            row["status"] = "skipped_below_min"
            return row, [], []
        row["status"] = "built"
        row["deliver_after"] = self.after_quiet(zone, due, schedule)
        for n in items:
            self.items.append({"user_id": user_id, "channel": channel, "note": n})
        listed = [
            {
                "digest_id": row["digest_id"], "notification_id": n["id"], "group_key": self.key(n),
                "is_late": n["created_at"] < start,
            }
            for n in items
        ]  # fmt: skip
        return row, rendered, listed

    def after_quiet(self, zone: str, due: datetime, schedule: Row) -> datetime:
        start, end = schedule["quiet_start"], schedule["quiet_end"]
        if start is None or end is None or start == end:
            return due
        wall = due.astimezone(zone_info(zone))
        for first in (wall.date() - D, wall.date()):
            last = first if start < end else first + D
            if datetime.combine(first, start) <= wall.replace(tzinfo=None) < datetime.combine(last, end):
                return instant(zone, last, end)
        return due

    @staticmethod
    def key(n: Row) -> str:
        return f"{n['verb']}|{n['object_type'] or ''}|{'' if n['object_id'] is None else n['object_id']}"

    def find_items(self, user_id: int, channel: str, schedule: Row, start: datetime, due: datetime) -> list[Row]:
        before = [i["note"] for i in self.items if (i["user_id"], i["channel"]) == (user_id, channel)]
        good = []
        for n in self.notes:
            if n["recipient_id"] != user_id:
                continue
            created = n["created_at"]
            if not (start - 48 * H <= created < due) or created < schedule["enabled_at"]:
                continue
            if any(b["id"] == n["id"] for b in before):
                continue
            if n["dedupe_key"] is not None and any(
                b["dedupe_key"] == n["dedupe_key"] and (b["created_at"], b["id"]) > (created, n["id"]) for b in before
            ):
                continue
            if n["read_at"] is not None and n["read_at"] <= self.as_of:
                continue
            if n["deleted_at"] is not None or channel in n["sent_channels"] or n["priority"] == "critical":
                continue
            if self.mode(user_id, n["category"], channel) != schedule["kind"] or n["actor_id"] == user_id:
                continue
            if self.allowed(user_id, n):
                good.append(n)
        return [
            n
            for n in good
            if n["dedupe_key"] is None
            or not any(
                m["dedupe_key"] == n["dedupe_key"] and (m["created_at"], m["id"]) > (n["created_at"], n["id"])
                for m in good
            )
        ]

    def mode(self, user_id: int, category: str, channel: str) -> str | None:
        for p in self.t["notification_preferences"]:
            if (p["user_id"], p["category"], p["channel"]) == (user_id, category, channel):
                return str(p["mode"])
        return None

    def person_ok(self, reader: int, person: int, is_reshare: bool) -> bool:
        if person not in self.active:
            return False
        for b in self.t["blocks"]:
            if {b["blocker_id"], b["blocked_id"]} == {reader, person}:
                return False
        for m in self.t["mutes"]:
            running = m["expires_at"] is None or m["expires_at"] > self.as_of
            if (m["muter_id"], m["muted_id"]) == (reader, person) and running and (m["scope"] == "all" or is_reshare):
                return False
        return True

    def is_friend(self, a: int, b: int) -> bool:
        return any(
            {f["user_a_id"], f["user_b_id"]} == {a, b}
            and f["created_at"] < self.as_of
            and (f["ended_at"] is None or f["ended_at"] > self.as_of)
            for f in self.t["friendships"]
        )

    def admits(self, audience: str, owner: int | None, reader: int) -> bool:
        if audience == "public":
            return True
        if owner is None:
            return False
        return owner == reader or (audience == "friends" and self.is_friend(owner, reader))

    def made(self, object_type: str, object_id: int | None) -> Row | None:
        for a in self.t["activities"]:
            if a["id"] == object_id and a["verb"] == object_type and a["created_at"] < self.as_of:
                return dict(a)
        return None

    def allowed(self, reader: int, n: Row) -> bool:
        if n["actor_id"] is not None and not self.person_ok(reader, n["actor_id"], n["verb"] == "reshare"):
            return False
        kind, object_id = n["object_type"], n["object_id"]
        if kind is None:
            return True
        if kind == "group":
            return any(g["id"] == object_id and g["created_at"] < self.as_of for g in self.t["groups"])
        if kind == "user":
            return object_id is not None and self.person_ok(reader, object_id, False)
        own = self.made(kind, object_id)
        if own is None or own["deleted_at"] is not None:
            return False
        author = own["actor_id"]
        if not self.person_ok(reader, author, False):
            return False
        target = self.made(own["object_type"], own["object_id"])
        target_owner = target["actor_id"] if target else own["object_owner_id"]
        if not self.admits(own["audience"], author, reader):
            return False
        if not self.admits(own["object_audience"], target_owner, reader):
            return False
        if own["group_id"] is not None:
            group = next((g for g in self.t["groups"] if g["id"] == own["group_id"]), None)
            if group is not None and group["is_private"]:
                return any(
                    m["group_id"] == own["group_id"]
                    and m["user_id"] == reader
                    and m["joined_at"] < self.as_of
                    and (m["left_at"] is None or m["left_at"] > self.as_of)
                    for m in self.t["memberships"]
                )
        return True

    def group(self, digest_id: str, items: list[Row]) -> list[Row]:
        groups = []
        for key in {self.key(n) for n in items}:
            mine = sorted((n for n in items if self.key(n) == key), key=lambda n: (n["created_at"], n["id"]))
            newest = mine[-1]
            last: dict[int, datetime] = {}
            for n in mine:
                if n["actor_id"] is not None:
                    last[n["actor_id"]] = n["created_at"]
            people = sorted(sorted(last), key=lambda a: last[a], reverse=True)
            groups.append({
                "digest_id": digest_id, "group_key": key, "category": newest["category"], "verb": newest["verb"],
                "object_type": newest["object_type"], "object_id": newest["object_id"], "item_count": len(mine),
                "actor_count": len(last), "sample_actor_ids": people[:3], "last_activity_at": newest["created_at"],
                "_priority": max(RANK[n["priority"]] for n in mine),
            })  # fmt: skip
        groups.sort(key=lambda g: g["group_key"].encode())
        groups.sort(key=lambda g: (g["_priority"], g["actor_count"], g["last_activity_at"]), reverse=True)
        for rank, g in enumerate(groups, 1):
            g["rank"] = rank
            del g["_priority"]
        return groups

    @staticmethod
    def crossing(c: Row) -> Row:
        start = c["period_start"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        key = f"crossing|v1|{c['user_id']}|{c['feature_key']}|{start}|{c['threshold_percent']}"
        number = int(hashlib.sha256(key.encode()).hexdigest()[:16], 16) // 2
        return {
            "id": -1 - number, "recipient_id": c["user_id"], "category": "billing", "verb": "limit_reached",
            "actor_id": None, "object_type": None, "object_id": None, "priority": "normal", "dedupe_key": None,
            "sent_channels": [], "created_at": c["crossed_at"], "read_at": None, "deleted_at": None,
        }  # fmt: skip
