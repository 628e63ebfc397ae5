"""Small worlds for the digest tests: rows as dicts, and a runner that carries the state on."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, time, timedelta
from typing import Any

import polars as pl

from assets.digests.product import CONTRACTS, CROSSINGS, STATE, digests
from assets.frame import Inputs, Result
from quality.contract import judge
from quality.digests import digest_truths
from quality.staged import STAGED
from store.settings import DigestsSettings

Row = dict[str, Any]
_SCHEMAS = {contract.name: contract.schema for contract in STAGED}
CROSSING_SCHEMA = {
    "user_id": pl.Int64,
    "feature_key": pl.String,
    "period_start": pl.Datetime("us", "UTC"),
    "threshold_percent": pl.Int64,
    "resets_at": pl.Datetime("us", "UTC"),
    "limit_value": pl.Int64,
    "crossed_at": pl.Datetime("us", "UTC"),
}
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
BODY_TEXT = '{"text": "a day at the lake"}'


def at(text: str) -> datetime:
    """``2026-03-08T07:30`` as a UTC instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class World:
    """Source rows by table, with builders that fill in what a test does not care about."""

    def __init__(self) -> None:
        self.tables: dict[str, list[Row]] = {name: [] for name in digests.inputs}
        self.crossings: list[Row] = []
        self._ids = 0

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def copy(self) -> World:
        return copy.deepcopy(self)

    def _add(self, table: str, row: Row) -> Row:
        self.tables[f"staged_{table}"].append(row)
        return row

    def user(self, user_id: int, **values: Any) -> Row:
        row = {
            "id": user_id, "handle": f"u{user_id}", "display_name": f"Person {user_id}", "time_zone": "UTC",
            "locale": "en", "country": None, "status": "active", "profile_visibility": "public",
            "friend_list_visibility": "public", "is_discoverable": True, "wants_recommendations": True,
            "created_at": LONG_AGO, "updated_at": LONG_AGO, "last_seen_at": None,
        }  # fmt: skip
        return self._add("users", row | values)

    def schedule(self, user_id: int, kind: str = "daily", local_time: time = time(9), **values: Any) -> Row:
        row = {
            "user_id": user_id, "kind": kind, "local_time": local_time, "week_day": None, "quiet_start": None,
            "quiet_end": None, "min_groups": 1, "max_groups": 10, "enabled_at": LONG_AGO, "paused_until": None,
        }  # fmt: skip
        return self._add("digest_schedules", row | values)

    def preference(self, user_id: int, category: str, mode: str = "daily", channel: str = "email") -> Row:
        row = {"user_id": user_id, "category": category, "channel": channel, "mode": mode, "updated_at": LONG_AGO}
        return self._add("notification_preferences", row)

    def notification(self, recipient_id: int, created_at: datetime, **values: Any) -> Row:
        row = {
            "id": self.next_id(), "recipient_id": recipient_id, "category": "reaction", "verb": "reaction",
            "actor_id": None, "object_type": None, "object_id": None, "priority": "normal", "dedupe_key": None,
            "sent_channels": [], "payload": "{}", "created_at": created_at, "read_at": None, "deleted_at": None,
        }  # fmt: skip
        return self._add("notifications", row | values)

    def activity(self, actor_id: int, verb: str = "post", **values: Any) -> Row:
        own_id = values.pop("id", None) or self.next_id()
        row = {
            "id": own_id, "actor_id": actor_id, "verb": verb, "object_type": "post",
            "object_id": own_id if verb == "post" else None, "object_owner_id": actor_id if verb == "post" else None,
            "reply_to_user_id": None, "mentioned_user_ids": [], "group_id": None, "audience": "public",
            "object_audience": "public", "body": BODY_TEXT, "created_at": LONG_AGO, "updated_at": None,
            "deleted_at": None,
        }  # fmt: skip
        return self._add("activities", row | values)

    def friends(self, one: int, other: int, **values: Any) -> Row:
        low, high = sorted((one, other))
        return self._add(
            "friendships", {"user_a_id": low, "user_b_id": high, "created_at": LONG_AGO, "ended_at": None} | values
        )

    def block(self, blocker_id: int, blocked_id: int) -> Row:
        return self._add("blocks", {"blocker_id": blocker_id, "blocked_id": blocked_id, "created_at": LONG_AGO})

    def mute(self, muter_id: int, muted_id: int, scope: str = "all", expires_at: datetime | None = None) -> Row:
        row = {"muter_id": muter_id, "muted_id": muted_id, "scope": scope, "created_at": LONG_AGO}
        return self._add("mutes", row | {"expires_at": expires_at})

    def group(self, group_id: int, is_private: bool = False) -> Row:
        row = {
            "id": group_id,
            "name": f"Group {group_id}",
            "kind": "group",
            "is_private": is_private,
            "created_at": LONG_AGO,
        }
        return self._add("groups", row)

    def member(self, group_id: int, user_id: int, **values: Any) -> Row:
        row = {"group_id": group_id, "user_id": user_id, "weight": 1, "joined_at": LONG_AGO, "left_at": None}
        return self._add("memberships", row | values)

    def erase(self, user_id: int) -> Row:
        return self._add("erasure_requests", {"user_id": user_id, "requested_at": LONG_AGO})

    def crossing(self, user_id: int, crossed_at: datetime, feature_key: str = "storage", percent: int = 80) -> Row:
        row = {
            "user_id": user_id, "feature_key": feature_key, "period_start": LONG_AGO, "threshold_percent": percent,
            "resets_at": crossed_at + timedelta(days=20), "limit_value": 100, "crossed_at": crossed_at,
        }  # fmt: skip
        self.crossings.append(row)
        return row

    def frames(self) -> dict[str, pl.LazyFrame]:
        return {
            name: pl.DataFrame(rows, schema=_SCHEMAS[name], orient="row").lazy() for name, rows in self.tables.items()
        }


def reader(world: World, user_id: int = 1, zone: str = "UTC", **schedule: Any) -> None:
    """A user with a daily e-mail digest of every category; ``schedule`` overrides the schedule."""
    kind = schedule.get("kind", "daily")
    world.user(user_id, time_zone=zone)
    world.schedule(user_id, **schedule)
    for category in ("social", "mention", "comment", "reaction", "group", "billing", "product"):
        world.preference(user_id, category, kind)


class Runs:
    """Consecutive runs: each gets the state the last one left."""

    def __init__(self, config: DigestsSettings | None = None) -> None:
        self.config = config or DigestsSettings()
        self.state = {name: CONTRACTS[name].empty() for name in STATE}
        self.previous_as_of: datetime | None = None
        self.results: list[Result] = []

    def inputs(self, world: World, as_of: datetime) -> Inputs[DigestsSettings]:
        crossings = pl.DataFrame(world.crossings, schema=CROSSING_SCHEMA, orient="row").lazy()
        previous = {name: frame.lazy() for name, frame in self.state.items()} | {CROSSINGS: crossings}
        return Inputs(world.frames(), previous, self.previous_as_of, self.config, as_of)

    def run(self, world: World, as_of: datetime) -> Result:
        """One run, its tables judged by their contracts, its state kept for the next."""
        result = digests.compute(self.inputs(world, as_of))
        failures = [str(f) for c in CONTRACTS.values() for f in judge(c, result.tables[c.name])]
        failures += [str(f) for found in digest_truths(result.tables).values() for f in found]
        assert not failures, failures
        self.state = {name: result.tables[name] for name in STATE}
        self.previous_as_of = as_of
        self.results.append(result)
        return result

    def table(self, name: str) -> pl.DataFrame:
        """``name`` accumulated over all runs, as serving holds it."""
        return pl.concat([result.tables[name] for result in self.results])


def one(rows: pl.DataFrame) -> Row:
    """The only row of a frame."""
    assert rows.height == 1, rows
    return rows.row(0, named=True)


def statuses(result: Result) -> list[str]:
    """Statuses of a run in the order of their dates."""
    return result.tables["digests"].sort("period_key")["status"].to_list()


def item_ids(result: Result) -> list[int]:
    """Ids of all items of a run's digests."""
    return sorted(result.tables["digest_items"]["notification_id"].to_list())
