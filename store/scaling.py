"""A world F times another: whole copies of it side by side, and a uniform sample of its users (spec 01.2).

F = 2.5 of a world of N users is two copies and N / 2 users drawn uniformly, with all that is among
them; F = 0.1 is a sample alone. Within a copy everything is as it was (degrees, circles, threads,
times); between copies there is nothing. Ids of copy c are moved by c × the span of their kind; what must be
unique and is text (handles, addresses, event ids, dedupe keys) is marked with the copy. Does not belong here:
worlds made from nothing (``store.generator``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from quality.erasure import ARRAYS, PRINCIPALS, names_an_erased_user, without_erased_ids
from store.files import staged_folder
from store.generator.draws import mix
from store.models import TABLES
from store.world_rows import BATCH_ROWS, WorldError
from store.worlds import DESCRIPTION, World, read_world, require_free

CATALOG = frozenset({"plans", "plan_prices", "plan_features", "meters"})
"""Tables that are the same for any number of users: written once."""
KEYS: dict[str, dict[str, str]] = {
    "friend_requests": {"id": "friend_requests"},
    "recommendation_impressions": {"id": "recommendation_impressions"},
    "groups": {"id": "groups"},
    "memberships": {"group_id": "groups"},
    "activities": {"id": "activities", "group_id": "groups"},
    "notifications": {"id": "notifications"},
    "subscription_versions": {"id": "subscription_versions", "subscription_id": "subscriptions"},
    "grants": {"id": "grants"},
    "erasure_requests": {"user_id": "users"},
}
"""Id columns other than those that name a user, and whose ids they hold."""
OBJECTS = {"post": "activities", "comment": "activities", "user": "users", "group": "groups"}
UNIQUE_TEXTS = {
    "users": ("handle", "email"),
    "notifications": ("dedupe_key",),
    "usage_events": ("event_id",),
}
MAX_USERS = 20_000_000


@dataclass(frozen=True)
class _Copy:
    number: int
    left_out: pl.Series | None
    """Users of the world who are not in this copy; None for a whole one."""


def scale_world(
    world: Path, directory: Path, *, factor: Decimal, seed: int = 7, replace: bool = False
) -> tuple[World, dict[str, int]]:
    """Write a world ``factor`` times ``world`` to ``directory``: same arguments, same bytes.

    Returns the new world and its rows by table.

    Raises:
        WorldError: ``world`` is none, has no users, or the result would have none or too many.
        FileExistsError: ``directory`` is not empty (``replace``: unless it holds a world).
    """
    described = read_world(world)
    require_free(directory, replace=replace)
    copies = _copies(world, factor, seed)
    spans = _spans(world)
    rows: dict[str, int] = {}
    with staged_folder(directory) as staging:
        for name in TABLES:
            if (path := world / f"{name}.parquet").is_file():
                rows[name] = _write(path, staging / path.name, name, copies[:1] if name in CATALOG else copies, spans)
        description = {
            "name": f"{described.name}-x{factor:f}",
            "as_of": described.as_of.isoformat(),
            "licence": described.licence,
            "source": f"{described.source}; {factor:f} times {described.name}, seed {seed}",
        }
        (staging / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    return read_world(directory), rows


def _copies(world: Path, factor: Decimal, seed: int) -> list[_Copy]:
    path = world / "users.parquet"
    ids = pl.read_parquet(path, columns=["id"], glob=False)["id"].cast(pl.Int64) if path.is_file() else pl.Series([])
    wanted = round(factor * ids.len())
    if not 1 <= wanted <= MAX_USERS:
        raise WorldError(f"{factor:f} times {ids.len()} users is {wanted}: a scaled world has 1 … {MAX_USERS} users")
    whole, sampled = divmod(wanted, ids.len())
    copies = [_Copy(number, None) for number in range(whole)]
    if sampled:
        drawn = pl.DataFrame({"id": ids, "order": mix(seed, "scale", ids.to_numpy())}).sort("order", "id")
        copies.append(_Copy(whole, drawn["id"].slice(sampled)))
    return copies


def _spans(world: Path) -> dict[str, int]:
    """By kind of id, how far one copy's ids are from the next one's."""
    spans = dict.fromkeys(OBJECTS.values(), 1)
    sources = {(table, column): kind for table, keys in KEYS.items() for column, kind in keys.items() if column == "id"}
    sources |= {("users", "id"): "users", ("subscription_versions", "subscription_id"): "subscriptions"}
    for (table, column), kind in sources.items():
        if (path := world / f"{table}.parquet").is_file():
            id_ = pl.col(column).cast(pl.Int64)
            low, high = pl.scan_parquet(path, glob=False).select(low=id_.min(), high=id_.max()).collect().row(0)
            spans[kind] = 1 if low is None else high - low + 1
    return spans


def _write(path: Path, target: Path, table: str, copies: list[_Copy], spans: dict[str, int]) -> int:
    """One table of all copies, a batch at a time; how many rows it has."""
    writer: pq.ParquetWriter | None = None
    count = 0
    try:
        for copy in copies:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=BATCH_ROWS):
                    made = _copied(table, pl.DataFrame(pl.from_arrow(batch)), copy, spans).to_arrow()
                    if writer is None:
                        writer = pq.ParquetWriter(target, made.schema, compression="zstd", compression_level=1)
                    writer.write_table(made)
                    count += made.num_rows
    finally:
        if writer is not None:
            writer.close()
    return count


def _copied(table: str, rows: pl.DataFrame, copy: _Copy, spans: dict[str, int]) -> pl.DataFrame:
    if copy.left_out is not None:
        gone = names_an_erased_user(table, copy.left_out)
        if table == "erasure_requests":
            gone = pl.col("user_id").is_in(copy.left_out.implode())
        if gone is not None:
            rows = rows.filter(~gone).with_columns(without_erased_ids(table, copy.left_out))
    kinds = dict.fromkeys(PRINCIPALS.get(table, ()), "users") | KEYS.get(table, {})
    moved = [pl.col(column).cast(pl.Int64) + copy.number * spans[kind] for column, kind in kinds.items()]
    moved += [pl.col(column).list.eval(pl.element() + copy.number * spans["users"]) for column in ARRAYS.get(table, ())]
    if "object_type" in rows.columns and "object_id" in rows.columns:
        by_type = {type_: copy.number * spans[kind] for type_, kind in OBJECTS.items()}
        shift = pl.col("object_type").cast(pl.String).replace_strict(by_type, return_dtype=pl.Int64)
        moved.append(pl.col("object_id").cast(pl.Int64) + shift)
    if copy.number:
        moved += [
            pl.concat_str(pl.lit(f"{copy.number}~"), pl.col(column).cast(pl.String)).alias(column)
            for column in UNIQUE_TEXTS.get(table, ())
        ]
    return rows.with_columns(expression for expression in moved if expression.meta.output_name() in rows.columns)
