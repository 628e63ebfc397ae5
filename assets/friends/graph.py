"""People and adjacency in index space: who is there, who may see, who may be shown, who knows whom.

Lives here: the as_of test of users and friendships (02, 2.2), sorted compressed rows, the stable
integer hash. Users are numbered by ascending id, so the order of indexes is the order of ids.
Does not belong here: filters, sources, anything about scores.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.frame import StageCount
from assets.friends.config import MICRO

Ints = NDArray[np.int64]
Index = NDArray[np.int32]
Flags = NDArray[np.bool_]
Whole = int | np.int64

PAIR = {"viewer": pl.Int32, "candidate": pl.Int32}


@dataclass(frozen=True)
class Rows:
    """Compressed sparse rows: row i holds ``idx[ptr[i]:ptr[i + 1]]``, ascending, without repeats."""

    ptr: Ints
    idx: Index

    @classmethod
    def of(cls, rows: NDArray[Any], columns: NDArray[Any], row_count: int, column_count: int) -> Rows:
        """Rows from pairs in any order, with any repeats."""
        width = max(column_count, 1)
        keys = np.sort(rows.astype(np.int64) * width + columns.astype(np.int64))
        keys = keys[np.diff(keys, prepend=-1) > 0]
        ptr = np.zeros(row_count + 1, dtype=np.int64)
        np.cumsum(np.bincount(keys // width, minlength=row_count), out=ptr[1:])
        return cls(ptr, (keys % width).astype(np.int32))

    @property
    def sizes(self) -> Ints:
        """Length of every row."""
        return np.diff(self.ptr)

    def only(self, is_wanted: Flags) -> Rows:
        """The rows with the wanted columns only."""
        if is_wanted.all():
            return self
        kept = is_wanted[self.idx]
        before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(kept)])
        return Rows(before[self.ptr], self.idx[kept])

    def pairs(self) -> pl.DataFrame:
        """The pairs again: ``viewer, candidate`` (Int32), sorted."""
        row = np.repeat(np.arange(self.ptr.size - 1, dtype=np.int32), self.sizes)
        return pl.DataFrame({"viewer": row, "candidate": self.idx}, schema=PAIR)


@dataclass(frozen=True)
class People:
    """Active users that exist at ``as_of``, by ascending id; flags are arrays over them."""

    ids: Ints
    country: Index
    """A number per country, -1 where it is null."""
    is_viewer: Flags
    is_private: Flags
    is_discoverable: Flags
    is_opted_out: Flags
    has_private_list: Flags
    count: StageCount

    @property
    def size(self) -> int:
        """How many they are."""
        return int(self.ids.size)

    @property
    def is_showable(self) -> Flags:
        """May be shown to someone: no filter that looks at the candidate alone holds."""
        return np.asarray(~self.is_private & self.is_discoverable & ~self.is_opted_out, dtype=np.bool_)

    @property
    def viewers(self) -> Index:
        """Indexes of the viewers, ascending."""
        return np.flatnonzero(self.is_viewer).astype(np.int32)

    def with_viewer(self, viewer_id: int) -> People:
        """The same people, of whom only this one is a viewer (if they are)."""
        return replace(self, is_viewer=np.asarray(self.is_viewer & (self.ids == viewer_id), dtype=np.bool_))

    def locate(self, frame: pl.LazyFrame, **columns: str) -> pl.LazyFrame:
        """Add the index of the users named in ``columns`` (new name = id column); rows naming others are dropped."""
        numbers = pl.LazyFrame(
            {"id": self.ids, "index": np.arange(self.size, dtype=np.int32)},
            schema={"id": pl.Int64, "index": pl.Int32},
        )
        for name, column in columns.items():
            frame = frame.join(numbers.rename({"index": name}), left_on=column, right_on="id", how="inner")
        return frame


def people(users: pl.LazyFrame, as_of: datetime) -> People:
    """The users of 02, 2.2: active and there at ``as_of`` (erased users are already absent)."""
    everyone = users.sort("id").collect()
    there = everyone.filter(pl.col("created_at") < as_of)
    active = there.filter(pl.col("status") == "active")
    country = active["country"].rank("dense").cast(pl.Int32).fill_null(0).to_numpy() - 1
    filtered = {
        "not_yet_created": everyone.height - there.height,
        "user_not_active": there.height - active.height,
    }
    return People(
        ids=active["id"].to_numpy(),
        country=country.astype(np.int32),
        is_viewer=active["wants_recommendations"].to_numpy(),
        is_private=(active["profile_visibility"] == "private").to_numpy(),
        is_discoverable=active["is_discoverable"].to_numpy(),
        is_opted_out=(~active["wants_recommendations"]).to_numpy(),
        has_private_list=(active["friend_list_visibility"] == "private").to_numpy(writable=True),
        count=StageCount("users", everyone.height, active.height, filtered=filtered),
    )


def edges(friendships: pl.LazyFrame, who: People, as_of: datetime) -> tuple[Rows, StageCount]:
    """The friendships in force at ``as_of`` between people that are there, both ways, each once."""
    everything = friendships.collect()
    begun = everything.filter(pl.col("created_at") < as_of)
    lasting = begun.filter(pl.col("ended_at").is_null() | (pl.col("ended_at") > as_of))
    known = who.locate(lasting.lazy(), a="user_a_id", b="user_b_id").select("a", "b").collect()
    proper = known.filter(pl.col("a") != pl.col("b"))
    a, b = proper["a"].to_numpy(), proper["b"].to_numpy()
    rows = Rows.of(np.concatenate([a, b]), np.concatenate([b, a]), who.size, who.size)
    pairs = rows.idx.size // 2
    filtered = {
        "not_yet_created": everything.height - begun.height,
        "ended": begun.height - lasting.height,
        "user_not_active": lasting.height - known.height,
        "self": known.height - proper.height,
        "duplicate": proper.height - pairs,
    }
    return rows, StageCount("friendships", everything.height, pairs, filtered=filtered)


def log_weights(sizes: Ints) -> Ints:
    """``floor(10^6 / ln d)`` for d >= 2, else 0 (02, 2.1; float64 is exact for every d <= 60 000)."""
    values, where = np.unique(sizes, return_inverse=True)
    table = [math.floor(MICRO / math.log(d)) if d >= 2 else 0 for d in values.tolist()]
    return np.asarray(table, dtype=np.int64)[where].reshape(sizes.shape)


def stable_hash(ids: Ints, salt: str) -> NDArray[np.uint64]:
    """Splitmix64 of ``id xor h(salt)``: the same on every machine and in every process."""
    seed = np.uint64(int.from_bytes(hashlib.sha256(salt.encode()).digest()[:8], "little"))
    with np.errstate(over="ignore"):
        x = (ids.astype(np.uint64) ^ seed) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)), dtype=np.uint64)


def arms(ids: Ints, salt: str, names: Sequence[str]) -> list[str]:
    """Every viewer's variant: a stable hash of the viewer and the salt (02, 2.3)."""
    chosen = stable_hash(ids, salt) % np.uint64(len(names))
    return [names[i] for i in chosen.tolist()]
