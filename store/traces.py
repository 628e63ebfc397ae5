"""Traces of a person in everything below a home: the proof behind ``flowforge erase --verify`` (01.4, 07.3).

Every id column, every text the platform wrote, every payload of a generation is looked at; other people's
texts (bodies, payloads, properties, and what a digest quotes of its reader's own words) stay and are not
searched. Does not belong here: removing anything
(``store.erasure``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from quality.erasure import holds_a_person
from store.serving.dataset import CorruptGeneration
from store.serving.follower import FOLDER, list_ids
from store.serving.frames import decompressed

OWN_KEYS = frozenset(
    {
        "users",
        "feed",
        "feed_chronological",
        "feed_scores",
        "friend_recommendations",
        "friend_scores",
        "digests",
        "entitlements",
        "usage",
    }
)
"""Datasets of a generation whose key is the user id."""
OTHERS_TEXTS = frozenset({"body", "payload", "properties"})
LETTERS = frozenset({"html", "text"})
"""Columns of rendered digests, which quote the reader's own words."""
QUOTED = r"(?s:<blockquote[^>]*>.*?</blockquote>)|(?m:^  (?:“|„)[^\n]*(?:”|“)$)"
"""Those words, in the mail and in its plain text (the templates of the digests)."""
NAMING = (
    r'"(?:user|viewer|candidate|actor|lead_actor|owner|object_owner)_id":"ID"',
    r'"(?:sample_actor_ids|mutual_sample_ids)":\[[^\]]*"ID"',
    r'"object_type":"user","object_id":"ID"|"object_id":"ID","object_type":"user"',
)
"""Where payloads name a person; ``ID`` stands for the id."""
PACKED = frozenset({"html", "page"})
KEPT = frozenset({"erasure_requests", "staged_erasure_requests"})
LEAST_NAME = 3
_CHUNK = 4 << 20
_QUOTED_BYTES = re.compile(QUOTED.encode())
_ANYBODY = re.compile("|".join(NAMING).replace("ID", "[0-9]+").encode())
_ID = re.compile(rb'"([0-9]+)"')


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
    """Whether a generation holds the id of one of ``people``: one reading, however many they are."""
    ids = frozenset(people)
    return bool(ids) and any(_names_one(path.stem, table, ids) for path, table in _datasets(folder))


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


def _datasets(folder: Path) -> Iterator[tuple[Path, pa.Table]]:
    for path in sorted(folder.glob("*.arrow")):
        try:
            with pa.memory_map(str(path)) as file:
                yield path, pa.ipc.open_file(file).read_all()
        except (pa.ArrowException, OSError) as error:
            raise CorruptGeneration(f"{path}: cannot be read: {error}") from error


def _in_generation(folder: Path, person: Person) -> list[tuple[str, str]]:
    found = [(path.stem, _in_dataset(path.stem, table, person)) for path, table in _datasets(folder)]
    return [(name, what) for name, what in found if what]


def _in_dataset(name: str, table: pa.Table, person: Person) -> str | None:
    names = table.column_names
    if name in OWN_KEYS and person.user_id in table["key"].to_numpy():
        return "has a row of their own"
    if "owner" in names and person.user_id in table["owner"].to_numpy():
        return "has a document of their own"
    pattern = _json_pattern(person)
    for column, texts in _payloads(table):
        if any(pattern.search(_QUOTED_BYTES.sub(b"", text)) for text in texts):
            return f"{column}: holds the id, a name or address"
    return None


def _names_one(name: str, table: pa.Table, ids: frozenset[int]) -> bool:
    owners = [*(("key",) if name in OWN_KEYS else ()), *(("owner",) if "owner" in table.column_names else ())]
    if any(np.isin(table[column].to_numpy(), list(ids)).any() for column in owners):
        return True
    named = (found for _, texts in _payloads(table) for text in texts for found in _ANYBODY.findall(text))
    return any(int(user) in ids for found in named for user in _ID.findall(found))


def _payloads(table: pa.Table) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Every payload column and its texts, unpacked; generations of format 1 hold fragments as they are."""
    packed = PACKED | ({"fragments"} if "page_count" in table.column_names else set())
    for column in ("fragments", "body", "html", "page"):
        if column in table.column_names:
            values = (value for value in table[column].to_pylist() if value)
            yield column, (decompressed(value) for value in values) if column in packed else values


def _json_pattern(person: Person) -> re.Pattern[bytes]:
    parts = [pattern.replace("ID", str(person.user_id)) for pattern in NAMING]
    if person.pattern:
        parts.append(person.pattern)
    return re.compile("|".join(parts).encode())


def _in_bytes(path: Path, person: Person) -> bool:
    if person.pattern is None:
        return False
    pattern = re.compile(person.pattern.encode())
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if pattern.search(chunk):
                return True
    return False
