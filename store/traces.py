"""Traces of a person in everything below a home: the proof behind ``flowforge erase --verify`` (01.4, 07.3).

Every id column, every text the platform wrote, every payload of a generation is looked at; other people's
texts (bodies, payloads, properties, and what a digest quotes of its reader's own words) stay and are not
searched. Does not belong here: removing anything
(``store.erasure``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from quality.erasure import holds_a_person
from store.serving.dataset import CorruptGeneration
from store.serving.follower import FOLDER, list_ids
from store.serving.frames import decompressed

OWN_KEYS = frozenset(
    {"users", "feed", "feed_chronological", "friend_recommendations", "digests", "entitlements", "usage"}
)
"""Datasets of a generation whose key is the user id."""
OTHERS_TEXTS = frozenset({"body", "payload", "properties"})
LETTERS = frozenset({"html", "text"})
"""Columns of rendered digests, which quote the reader's own words."""
QUOTED = r"(?s:<blockquote[^>]*>.*?</blockquote>)|(?m:^  (?:“|„)[^\n]*(?:”|“)$)"
"""Those words, in the mail and in its plain text (the templates of the digests)."""
KEPT = frozenset({"erasure_requests", "staged_erasure_requests"})
LEAST_NAME = 3
_CHUNK = 4 << 20
_QUOTED_BYTES = re.compile(QUOTED.encode())


@dataclass(frozen=True)
class Person:
    """Whom to look for: the id, and what else is known of them (texts that nobody else carries)."""

    user_id: int
    texts: tuple[str, ...] = ()
    """Handle, display name, e-mail address."""

    @property
    def pattern(self) -> str | None:
        """A regular expression of the texts as whole words; None without any."""
        words = [re.escape(text) for text in self.texts if len(text) >= LEAST_NAME]
        return rf"(?:^|[^\w@.])(?:{'|'.join(words)})(?:$|[^\w@])" if words else None


@dataclass(frozen=True)
class Trace:
    """Where something of a person was found."""

    path: str
    what: str

    def __str__(self) -> str:
        """Path and finding."""
        return f"{self.path}: {self.what}"


def traces(home: Path, person: Person) -> list[Trace]:
    """Every trace of a person below ``home``, but for the source's own server."""
    found: list[Trace] = []
    for path in sorted((home / "lake").rglob("*.parquet")):
        found += [Trace(str(path.relative_to(home)), what) for what in _in_parquet(path, person)]
    for generation_id in list_ids(home / FOLDER):
        found += [
            Trace(f"{FOLDER}/{generation_id}/{name}.arrow", what)
            for name, what in _in_generation(home / FOLDER / generation_id, person)
        ]
    for folder in ("dagster", "revocations"):
        for path in sorted((home / folder).rglob("*")):
            if path.is_file() and _in_bytes(path, person):
                found.append(Trace(str(path.relative_to(home)), "holds a name or address"))
    return found


def generation_holds(folder: Path, people: Iterable[int]) -> bool:
    """Whether a generation holds one of ``people``."""
    return any(_in_generation(folder, Person(user)) for user in people)


def _in_parquet(path: Path, person: Person) -> list[str]:
    table = path.parent.name if path.name.startswith("part-") else path.stem
    if path.parents[2].name == "products":
        table = path.parents[1].name
    if table in KEPT:
        return []
    frame = pl.scan_parquet(path, glob=False)
    schema = dict(frame.collect_schema())
    found = []
    ids = pl.Series([person.user_id], dtype=pl.Int64)
    expression = holds_a_person(schema, table, ids)
    if expression is not None and (count := frame.select(expression.sum()).collect().item()):
        found.append(f"{count} row(s) with the id")
    if path.parents[1].name == "rejects":
        named = pl.col("key").str.split(",").list.contains(str(person.user_id))
        if (
            count := frame.select((named | (pl.col("value") == str(person.user_id)).fill_null(value=False)).sum())
            .collect()
            .item()
        ):
            found.append(f"{count} reject(s) with the id")
    if person.pattern:
        found += _texts(frame, schema, person.pattern)
    return found


def _texts(frame: pl.LazyFrame, schema: dict[str, pl.DataType], pattern: str) -> list[str]:
    found = []
    for name, dtype in schema.items():
        if name in OTHERS_TEXTS:
            continue
        column = frame.select(name)
        if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct):
            inner = column.explode(name).drop_nulls().unnest(name)
            found += [f"{name}.{what}" for what in _texts(inner, dict(inner.collect_schema()), pattern)]
        searched = pl.col(name).str.replace_all(QUOTED, "") if name in LETTERS else pl.col(name)
        if dtype == pl.String and (count := column.select(searched.str.contains(pattern).sum()).collect().item()):
            found.append(f"{name}: {count} row(s) with a name or address")
    return found


def _in_generation(folder: Path, person: Person) -> list[tuple[str, str]]:
    found = []
    for path in sorted(folder.glob("*.arrow")):
        try:
            with pa.memory_map(str(path)) as file:
                table = pa.ipc.open_file(file).read_all()
                if what := _in_dataset(path.stem, table, person):
                    found.append((path.stem, what))
        except (pa.ArrowException, OSError) as error:
            raise CorruptGeneration(f"{path}: cannot be read: {error}") from error
    return found


def _in_dataset(name: str, table: pa.Table, person: Person) -> str | None:
    names = table.column_names
    if name in OWN_KEYS and person.user_id in table["key"].to_numpy():
        return "has a row of their own"
    if "owner" in names and person.user_id in table["owner"].to_numpy():
        return "has a document of their own"
    pattern = _json_pattern(person)
    packed = {"html", "page"}
    if "page_count" in names:  # generations of format 1 hold fragments as they are
        packed.add("fragments")
    for column in ("fragments", "body", "html", "page"):
        if column in names and _any_match(table[column], pattern, is_packed=column in packed):
            return f"{column}: holds the id, a name or address"
    return None


def _json_pattern(person: Person) -> re.Pattern[bytes]:
    user = str(person.user_id)
    parts = [
        rf'"(?:user|viewer|candidate|actor|lead_actor|owner|object_owner)_id":"{user}"',
        rf'"(?:sample_actor_ids|mutual_sample_ids)":\[[^\]]*"{user}"',
        rf'"object_type":"user","object_id":"{user}"|"object_id":"{user}","object_type":"user"',
    ]
    if person.pattern:
        parts.append(person.pattern)
    return re.compile("|".join(parts).encode())


def _any_match(column: pa.ChunkedArray[Any], pattern: re.Pattern[bytes], *, is_packed: bool) -> bool:
    values: Sequence[Any] = column.to_pylist()
    texts = (decompressed(value) if is_packed else value for value in values if value)
    return any(pattern.search(_QUOTED_BYTES.sub(b"", text)) for text in texts)


def _in_bytes(path: Path, person: Person) -> bool:
    if person.pattern is None:
        return False
    pattern = re.compile(person.pattern.encode())
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if pattern.search(chunk):
                return True
    return False
