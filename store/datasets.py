"""The layout of a generation's Arrow files as they are written, and the checks of what was written.

Lives here: the schemas of the three kinds of dataset, the writing of one file, and the sampled check of
stored payloads against ``store.payloads``. Does not belong here: reading by key (``store.serving``),
lifecycle (``store.generations``), or how rows are made (``assets.published``). Spec 06.1.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
from pydantic import BaseModel, TypeAdapter, ValidationError

from store import payloads
from store.manifest import Counts, schema_hash
from store.serving import STATES, CorruptGeneration, Dataset, Generation

ROWS_PER_BATCH: Final = 1 << 17
"""Rows of lists that are made and written together: the more, the fewer parts a reader opens and looks through (0.12 ms
each); the fewer, the less memory."""
TABLE_ROWS_PER_BATCH: Final = 1 << 20
SAMPLED_ROWS: Final = 25
_CHUNK: Final = 1 << 18


def _fields(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


_OFFSETS: Final = pa.large_list(pa.field("item", pa.uint32(), nullable=False))
_IDS: Final = pa.large_list(pa.field("item", pa.int64(), nullable=False))

LISTS: Final = _fields(
    key=pa.uint64(),
    etag=pa.uint64(),
    state=pa.uint8(),
    page=pa.large_binary(),
    page_count=pa.uint32(),
    fragments=pa.large_binary(),
    fragment_offsets=_OFFSETS,
    fragment_keys=pa.large_binary(),
    guards=_IDS,
    guard_offsets=_OFFSETS,
)
"""A list per user. ``page``: the default page (zstd), which holds the first ``page_count`` items; ``fragments``: the
JSON of the others, between commas (zstd); ``fragment_offsets``: where each item, followed by a comma, begins in the
list of all, and the end; ``fragment_keys``: one line per item; ``guards``: per item users, groups, objects,
circle."""

DOCUMENTS: Final = _fields(key=pa.uint64(), etag=pa.uint64(), body=pa.large_binary())
"""One JSON document per key."""

MAILS: Final = _fields(
    key=pa.uint64(),
    etag=pa.uint64(),
    owner=pa.uint64(),
    body=pa.large_binary(),
    html=pa.large_binary(),
    guards=_IDS,
    guard_offsets=_OFFSETS,
)
"""One digest per key: its owner, its JSON, its mail (zstd), and guards per group."""

SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    "users": DOCUMENTS,
    "feed": LISTS,
    "feed_chronological": LISTS,
    "feed_tombstones": DOCUMENTS,
    "feed_scores": DOCUMENTS,
    "friend_recommendations": LISTS,
    "friend_scores": DOCUMENTS,
    "digests": LISTS,
    "digest_details": MAILS,
    "entitlements": LISTS,
    "usage": LISTS,
    "metrics": DOCUMENTS,
}
"""Every dataset of a generation and the layout it has."""

_PAGES: Final[Mapping[str, type[BaseModel]]] = {
    "feed": payloads.FeedPage,
    "feed_chronological": payloads.FeedPage,
    "friend_recommendations": payloads.FriendRecommendationPage,
    "digests": payloads.DigestPage,
    "entitlements": payloads.EntitlementList,
}
_ITEMS: Final[Mapping[str, type[BaseModel]]] = {
    "feed": payloads.FeedItem,
    "feed_chronological": payloads.FeedItem,
    "friend_recommendations": payloads.FriendRecommendation,
    "digests": payloads.Digest,
    "entitlements": payloads.Entitlement,
    "usage": payloads.UsageDay,
}
_METRIC_ROWS: Final[Mapping[str, TypeAdapter[Any]]] = {
    "growth": TypeAdapter(list[payloads.GrowthRow]),
    "retention": TypeAdapter(list[payloads.RetentionRow]),
    "engagement": TypeAdapter(list[payloads.EngagementRow]),
    "revenue": TypeAdapter(list[payloads.RevenueRow]),
    "plans": TypeAdapter(list[payloads.PlanRow]),
}


@dataclass(frozen=True)
class Rows:
    """Rows that are made as they are written.

    ``batches``: given a number of rows, batches of so many (the last of fewer), each there until the next is asked for.
    """

    num_rows: int
    batches: Callable[[int], Iterator[pa.RecordBatch]]
    item_count: int
    """Items of all rows."""


@dataclass(frozen=True)
class DatasetRows:
    """The rows of one dataset, sorted by key, and where they come from."""

    table: pa.Table | Rows
    snapshot_id: str
    as_of: datetime
    is_carried_over: bool = False
    counts: Counts | None = None
    """What became of the rows it was made of; None: every row of the table is one of them."""


@dataclass(frozen=True)
class WrittenDataset:
    """What a manifest says of a dataset's file."""

    schema_hash: str
    bytes: int
    sha256: str


class _Hashed(io.RawIOBase):
    """A file whose bytes are hashed as they are written, not read again for it."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.size = 0
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """All of ``data``, some of it at a time: what was hashed is in the processor's cache when it is written."""
        view = memoryview(data).cast("B")
        for begin in range(0, view.nbytes, _CHUNK):
            chunk = view[begin : begin + _CHUNK]
            self.digest.update(chunk)
            self._file.write(chunk)
        self.size += view.nbytes
        return view.nbytes


def write_dataset(path: Path, name: str, table: pa.Table | Rows) -> WrittenDataset:
    """Write a dataset's Arrow IPC file. Same rows, same bytes.

    Raises ``ValueError`` when the table does not have the layout of that dataset.
    """
    schema = SCHEMAS[name]
    with path.open("wb") as file:
        hashed = _Hashed(file)
        with pa.ipc.new_file(pa.PythonFile(hashed, "w"), schema) as writer:
            for batch in _batches(table):
                if not batch.schema.equals(schema):
                    raise ValueError(f"dataset {name} has the schema {batch.schema}, its layout is {schema}")
                writer.write_batch(batch)
    return WrittenDataset(
        schema_hash({field.name: field.type for field in schema}), hashed.size, hashed.digest.hexdigest()
    )


def _batches(table: pa.Table | Rows) -> Iterator[pa.RecordBatch]:
    if isinstance(table, Rows):
        return table.batches(ROWS_PER_BATCH)
    return iter(table.combine_chunks().to_batches(max_chunksize=TABLE_ROWS_PER_BATCH))


def check_payloads(generation: Generation) -> None:
    """Check key order, and sampled payloads of every dataset against the models of the API.

    Raises :class:`CorruptGeneration` naming the dataset, the key and what is wrong.
    """
    for name, info in generation.datasets.items():
        dataset = generation.dataset(name)
        path = generation.folder / info.path
        if dataset is None or name not in SCHEMAS:
            raise CorruptGeneration(f"{path}: dataset {name} is not one of {sorted(SCHEMAS)}")
        if not dataset.keys_ascend():
            raise CorruptGeneration(f"{path}: keys do not ascend")
        for row in _sampled(dataset.rows):
            try:
                _check_row(generation, dataset, row)
            except (ValidationError, ValueError, KeyError) as error:
                raise CorruptGeneration(f"{path}: payload of key {dataset.key(row)}: {error}") from error


def _sampled(rows: int) -> Iterator[int]:
    """Rows spread evenly over the dataset, the first and the last among them."""
    yield from sorted({i * (rows - 1) // max(SAMPLED_ROWS - 1, 1) for i in range(SAMPLED_ROWS)} if rows else ())


def _check_row(generation: Generation, dataset: Dataset, row: int) -> None:
    name = dataset.name
    if name in _ITEMS:
        fragments = dataset.fragments(row)
        for fragment in fragments:
            _ITEMS[name].model_validate_json(fragment)
        if not len(fragments) == len(dataset.fragment_keys(row)) == len(dataset.guards(row)):
            raise ValueError("items, their keys and their guards differ in number")
    if name in _PAGES:
        _check_page(generation, dataset, row)
    if name == "users":
        _require(set(json.loads(dataset.body(row))) == {"time_zone"}, "body is not {time_zone}")
    if name == "feed_tombstones":
        for gone in json.loads(dataset.body(row))["gone"]:
            payloads.RemovedItem.model_validate({key: gone[key] for key in ("item_id", "reason")})
    if name == "feed_scores":
        _check_scores(generation, dataset, row)
    if name == "metrics":
        body = json.loads(dataset.body(row))
        _METRIC_ROWS[payloads.METRICS[dataset.key(row)]].validate_python(body["data"])
    if name == "digest_details":
        body = {**json.loads(dataset.body(row)), "generation": generation.id, "as_of": dataset.as_of_text}
        detail = payloads.DigestDetail.model_validate(body)
        _require(int(detail.digest.digest_id[:16], 16) == dataset.key(row), "key is not that of digest_id")
        _require(bool(dataset.html(row)), "html is empty")


def _check_scores(generation: Generation, scores: Dataset, row: int) -> None:
    """The parts of a person's ranked items add up to the scores that their feed is ordered by."""
    feed = generation.dataset("feed")
    found = feed.find(scores.key(row)) if feed is not None else None
    if feed is None or found is None:
        raise ValueError("scores of a feed that is not there")
    ordered_by = [payloads.score_of(key) for key in feed.fragment_keys(found)]
    _require([sum(parts) for parts in json.loads(scores.body(row))["parts"]] == ordered_by, "parts are not the scores")


def _check_page(generation: Generation, dataset: Dataset, row: int) -> None:
    raw = dataset.page_json(row)
    _PAGES[dataset.name].model_validate_json(raw)
    body = json.loads(raw)
    _require(body["generation"] == generation.id, "page names another generation")
    _require(body["as_of"] == dataset.as_of_text, "page names another as_of")
    _require(body["state"] == dataset.state(row) and body["state"] in STATES, "page and row differ in state")
    shown = len(body["data"])
    data = b"[" + dataset.joined(row, 0, shown) + b"]"
    _require(json.loads(data) == body["data"], "page and fragments differ")
    _require(payloads.etag_of(data, body["state"]) == dataset.etag(row), "etag is not that of the page")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
