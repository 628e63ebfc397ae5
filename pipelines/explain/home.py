"""The tables behind the live generation, and who a person is in them.

Lives here: the way from ``CURRENT`` through manifests to the stored tables a product was computed from.
Does not belong here: explaining any of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import polars as pl

from assets.feed.people import SEEN_DAYS
from assets.frame import ConfigT, Inputs, Product
from quality.registry import REGISTRY
from store.lake import Lake, StoredTable
from store.serving import CorruptGeneration, GenerationInfo, read_info
from store.serving.follower import FOLDER, read_current
from store.serving.generation import MANIFEST
from store.settings import Settings


class CannotExplain(Exception):
    """There is nothing to explain from; the message says what to do."""


@dataclass(frozen=True)
class Home:
    """One home's live generation and the lake it came from."""

    settings: Settings
    lake: Lake
    info: GenerationInfo
    ids: Mapping[str, str]
    """Table to the id of the product that the generation was made of."""

    @classmethod
    def open(cls, settings: Settings) -> Home:
        """Raises :class:`CannotExplain` when nothing is published, or its manifest cannot be read."""
        folder = settings.home / FOLDER
        live = read_current(folder)
        if live is None:
            raise CannotExplain("nothing is published yet; `flowforge run` (or demo) publishes a generation")
        try:
            info = read_info(folder / live)
        except CorruptGeneration as error:
            raise CannotExplain(f"the live generation cannot be read: {error}") from error
        content = json.loads((folder / live / MANIFEST).read_bytes())
        entries = [entry["id"].split("/", 1) for entry in content["inputs"] if "/" in entry["id"]]
        return cls(settings, Lake(settings.home), info, {entry[0]: entry[1] for entry in entries})

    def product(self, product: Product[Any]) -> dict[str, StoredTable]:
        """The stored tables of a product as the generation holds it; none where it holds none.

        Raises :class:`CannotExplain` when they are no longer in the lake.
        """
        product_id = next((self.ids[table] for table in product.tables if table in self.ids), None)
        if product_id is None:
            return {}
        return {table: self.stored(table, product_id) for table in product.tables}

    def stored(self, table: str, product_id: str) -> StoredTable:
        """A stored table, verified."""
        found = self.lake.stored(table, product_id)
        if found is None:
            raise CannotExplain(
                f"{table} of {product_id} is no longer in the lake (RETENTION__PRODUCT_DAYS); `flowforge run` "
                "publishes a generation that can be explained"
            )
        return found

    def inputs(self, product: Product[ConfigT], config: ConfigT, tables: Mapping[str, StoredTable]) -> Inputs[ConfigT]:
        """What the product was computed from: the very tables its manifest names."""
        manifest = next(iter(tables.values())).manifest
        named = [entry.id.split("/", 1) for entry in manifest.inputs]
        found = {table: self.stored(table, product_id) for table, product_id in named}
        previous = {t: found[t].scan() if t in found else REGISTRY[t].empty().lazy() for t in product.previous}
        own = [found[t].manifest.as_of for t in product.previous if t in found and t in product.tables]
        return Inputs(
            frames={name: found[name].scan() for name in product.inputs},
            previous=previous,
            previous_as_of=max(own) if own else None,
            config=config,
            as_of=manifest.as_of,
        )

    def staged(self, table: str) -> pl.LazyFrame:
        """A staged table of the generation's snapshot."""
        product_id = self.ids.get(table)
        if product_id is not None:
            return self.stored(table, product_id).scan()
        snapshot_id = self.info.id.rsplit("-", 1)[0]
        found = self.lake.accepted([table], snapshot_id)
        if found is None:
            raise CannotExplain(f"{table} of snapshot {snapshot_id} is no longer in the lake")
        return found[table].scan()

    @cached_property
    def names(self) -> dict[int, str]:
        """Everybody's display name."""
        return dict(self.staged("staged_users").select("id", "display_name").collect().iter_rows())

    @cached_property
    def groups(self) -> dict[int, str]:
        """Every group's name."""
        return dict(self.staged("staged_groups").select("id", "name").collect().iter_rows())


@dataclass(frozen=True)
class Person:
    """Who somebody is at the generation's ``as_of``."""

    user_id: int
    name: str
    handle: str
    status: str
    state: str
    """``active``, ``dormant`` (not seen for 30 days), ``not_active`` or ``not_there_yet``."""
    created_at: datetime
    last_seen_at: datetime | None
    time_zone: str
    country: str | None
    friend_count: int
    wants_recommendations: bool


def person_of(home: Home, user_id: int) -> Person:
    """Raises :class:`CannotExplain` for somebody whom the snapshot does not hold."""
    as_of = home.info.as_of
    rows = home.staged("staged_users").filter(pl.col("id") == user_id).collect()
    if rows.is_empty():
        raise CannotExplain(
            f"there is no user {user_id} in the snapshot of {as_of:%Y-%m-%d %H:%M} UTC: never there, erased, or "
            "rejected as a bad row (lake/rejects); somebody newer comes with the next run"
        )
    row = rows.row(0, named=True)
    edges = home.staged("staged_friendships").filter(
        (pl.col("user_a_id") == user_id) | (pl.col("user_b_id") == user_id),
        pl.col("created_at") < as_of,
        pl.col("ended_at").is_null() | (pl.col("ended_at") > as_of),
    )
    return Person(
        user_id=user_id,
        name=row["display_name"],
        handle=row["handle"],
        status=row["status"],
        state=_state(row, as_of),
        created_at=row["created_at"],
        last_seen_at=row["last_seen_at"],
        time_zone=row["time_zone"],
        country=row["country"],
        friend_count=int(edges.select(pl.len()).collect().item()),
        wants_recommendations=row["wants_recommendations"],
    )


def _state(row: Mapping[str, Any], as_of: datetime) -> str:
    if row["created_at"] >= as_of:
        return "not_there_yet"
    if row["status"] != "active":
        return "not_active"
    seen = row["last_seen_at"]
    return "dormant" if seen is not None and seen < as_of - timedelta(days=SEEN_DAYS) else "active"
