"""Feed tests' helpers: a small world as rows, and running the product on it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from assets.feed.product import feed
from assets.frame import Inputs, Result
from quality.feed import FEED
from quality.staged import STAGED
from store.settings import FeedSettings

AS_OF = datetime(2026, 3, 10, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCHEMAS = {contract.name: contract.schema for contract in (*STAGED, *FEED)}
Row = dict[str, Any]
IS_NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def examples(by_day: int, by_night: int) -> int:
    """How many examples the profile asks for."""
    return by_night if IS_NIGHTLY else by_day


@dataclass
class World:
    """Rows of the staged tables, as the products find them."""

    as_of: datetime = AS_OF
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def table(self, name: str) -> list[Row]:
        return self.rows.get(name, [])

    def frames(self) -> dict[str, pl.LazyFrame]:
        return {name: frame_of(name, self.table(name.removeprefix("staged_"))).lazy() for name in feed.inputs}

    def user(self, *ids: int, **more: Any) -> None:
        for id_ in ids:
            self.rows["users"].append({
                "id": id_, "handle": f"u{id_}", "display_name": f"User {id_}", "time_zone": "UTC", "locale": "en",
                "country": None, "status": "active", "profile_visibility": "public",
                "friend_list_visibility": "public", "is_discoverable": True, "wants_recommendations": True,
                "created_at": AS_OF - timedelta(days=1000), "updated_at": AS_OF - timedelta(days=1000),
                "last_seen_at": None, **more,
            })  # fmt: skip

    def friends(self, a: int, b: int, *, since: datetime | None = None, until: datetime | None = None) -> None:
        self.rows["friendships"].append({
            "user_a_id": min(a, b), "user_b_id": max(a, b),
            "created_at": since or AS_OF - timedelta(days=500), "ended_at": until,
        })  # fmt: skip

    def activity(self, id_: int, actor: int, verb: str, **more: Any) -> int:
        """Add an activity on the post or comment ``on``; greater ids are newer unless ``ago`` (hours) or ``at``."""
        made = {row["id"]: row for row in self.rows["activities"]}
        parent = made.get(more.pop("on", None))
        at = more.pop("at", None) or self.as_of - timedelta(hours=more.pop("ago", 100 - id_))
        row: Row = {
            "id": id_, "actor_id": actor, "verb": verb, "object_type": "post", "object_id": id_,
            "object_owner_id": actor, "reply_to_user_id": None, "mentioned_user_ids": [], "group_id": None,
            "audience": "public", "object_audience": "public", "body": "{}", "created_at": at,
            "updated_at": None, "deleted_at": None,
        }  # fmt: skip
        if parent is not None:
            row |= {
                "object_type": parent["verb"], "object_id": parent["id"], "object_owner_id": parent["actor_id"],
                "object_audience": parent["audience"],
            }  # fmt: skip
            if verb == "comment":
                row["reply_to_user_id"] = parent["actor_id"]
        self.rows["activities"].append(row | more)
        return id_

    def block(self, blocker: int, blocked: int) -> None:
        self.rows["blocks"].append({"blocker_id": blocker, "blocked_id": blocked, "created_at": AS_OF})

    def mute(self, muter: int, muted: int, scope: str = "all", expires_at: datetime | None = None) -> None:
        self.rows["mutes"].append(
            {"muter_id": muter, "muted_id": muted, "scope": scope, "created_at": AS_OF, "expires_at": expires_at}
        )

    def hide(self, user: int, object_type: str, object_id: int) -> None:
        self.rows["feed_hides"].append(
            {"user_id": user, "object_type": object_type, "object_id": object_id, "hidden_at": AS_OF}
        )

    def group(self, id_: int, *, is_private: bool = False) -> None:
        self.rows["groups"].append(
            {"id": id_, "name": f"g{id_}", "kind": "group", "is_private": is_private, "created_at": AS_OF}
        )

    def member(self, group: int, user: int, until: datetime | None = None) -> None:
        self.rows["memberships"].append({
            "group_id": group, "user_id": user, "weight": 1,
            "joined_at": AS_OF - timedelta(days=900), "left_at": until,
        })  # fmt: skip

    def read(self, user: int, seen_at: datetime) -> None:
        self.rows["feed_reads"].append({"user_id": user, "seen_at": seen_at})

    def delete(self, id_: int) -> None:
        for row in self.rows["activities"]:
            if row["id"] == id_:
                row["deleted_at"] = self.as_of


def frame_of(table: str, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    schema = SCHEMAS[table]
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema, orient="row")


def run(
    world: World, config: FeedSettings | None = None, previous: Result | None = None, *, shuffle: int | None = None
) -> Result:
    """The product on a world; ``shuffle`` seeds another order of every input's rows."""
    frames = world.frames()
    if shuffle is not None:
        frames = {
            name: frame.collect().sample(fraction=1, shuffle=True, seed=shuffle).lazy()
            for name, frame in frames.items()
        }
    before = previous.tables if previous else {name: frame_of(name, []) for name in feed.tables}
    return feed.compute(
        Inputs(
            frames=frames,
            previous={name: table.lazy() for name, table in before.items()},
            previous_as_of=None,
            config=config or FeedSettings(),
            as_of=world.as_of,
        )
    )


def items(result: Result, viewer: int, mode: str = "ranked") -> list[Row]:
    """One viewer's items, in order."""
    table = result.tables["feed_items"]
    return table.filter((pl.col("viewer_id") == viewer) & (pl.col("mode") == mode)).to_dicts()


def shown(result: Result, viewer: int, mode: str = "chronological") -> list[int]:
    """The lead activities of one viewer's items, in order."""
    return [row["lead_activity_id"] for row in items(result, viewer, mode)]


def micros(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND
