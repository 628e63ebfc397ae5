"""One mapped dataset: lookups in microseconds through memoryviews of the Arrow buffers (spec 06.1).

Lives here: the reading of one ``<dataset>.arrow`` file. Does not belong here: manifests and checksums
(``store.serving.generation``), following ``CURRENT`` (``store.serving.follower``), or writing.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from store.serving.frames import decompressed

STATES: Final = ("ready", "empty", "cold_start")
"""States of a stored list; ``building`` and ``degraded`` are decided at read (06.2)."""

GUARD_KINDS: Final = 4
_PAGE_HEAD: Final = len(b'{"data":[')
_Code = Literal["Q", "q", "I", "B"]
_CODES: Final[dict[str, _Code]] = {"uint64": "Q", "int64": "q", "uint32": "I", "uint8": "B"}
_WIDTHS: Final[dict[_Code, int]] = {"Q": 8, "q": 8, "I": 4, "B": 1}


class CorruptGeneration(Exception):
    """A generation cannot be trusted; the message names the file and what is wrong with it."""


def what_is_wrong(error: Exception) -> str:
    """Why a file of JSON could not be read, in words: for messages that name the file already."""
    if isinstance(error, OSError):
        return "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON (line {error.lineno}, column {error.colno}): {error.msg}"
    if isinstance(error, KeyError):
        return f"lacks {error}"
    return f"does not hold what it should: {error}"


class Guards(NamedTuple):
    """Whose acts may revoke an item: ids of users, groups and activities, each sorted.

    ``circle``: the people whose friends alone, or who alone, may see it: empty for what is public. None in
    files of format 1, which do not tell.
    """

    users: tuple[int, ...]
    groups: tuple[int, ...]
    objects: tuple[int, ...]
    circle: tuple[int, ...] | None = None


@dataclass(frozen=True)
class DatasetInfo:
    """What the manifest says of one dataset."""

    name: str
    snapshot_id: str
    as_of: datetime
    is_carried_over: bool
    rows: int
    bytes: int
    sha256: str
    path: str
    guard_kinds: int = GUARD_KINDS
    items_in: int = 0
    """Rows of the product that it was made of."""
    items_out: int = 0
    """Those of them that are served: the items of lists, the documents of the others."""
    filtered: Mapping[str, int] = field(default_factory=dict)
    """Those that are not, by reason: ``items_in = items_out + sum(filtered)``."""


FEW_IDS: Final = 8


class _Part:
    """One mapped record batch: raw views of its buffers, by column."""

    __slots__ = ("_buffers", "etags", "keys", "pages", "rows")

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.rows: int = batch.num_rows
        self._buffers: dict[str, tuple[memoryview, memoryview]] = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            buffers = column.buffers()
            if pa.types.is_large_binary(column.type):
                self._buffers[name] = (_view(buffers[1], "q"), _view(buffers[2], "B"))
            elif pa.types.is_large_list(column.type):
                self._buffers[name] = (_view(buffers[1], "q"), _view(buffers[3], _code(column.type.value_type)))
            else:
                values = _view(buffers[1], _code(column.type))
                self._buffers[name] = (values, values)
        self.keys: memoryview = self._buffers["key"][1][: self.rows]
        nothing = memoryview(b"")
        self.pages = self._buffers.get("page", (nothing, nothing))
        self.etags = self._buffers.get("etag", (nothing, nothing))[1]

    def has(self, column: str) -> bool:
        return column in self._buffers

    def number(self, column: str, row: int) -> int:
        return int(self._buffers[column][1][row])

    def slice(self, column: str, row: int) -> memoryview:
        offsets, values = self._buffers[column]
        return values[offsets[row] : offsets[row + 1]]


def _view(buffer: pa.Buffer | None, code: _Code) -> memoryview:
    view = memoryview(buffer if buffer is not None else b"").cast("B")
    return view[: len(view) // _WIDTHS[code] * _WIDTHS[code]].cast(code)


def _code(kind: pa.DataType) -> _Code:
    return _CODES[str(kind)]


class Dataset:
    """One mapped dataset. Rows are found by key; every accessor takes the row found."""

    def __init__(self, info: DatasetInfo, path: Path) -> None:
        """Map ``path``. Raises :class:`CorruptGeneration` when its shape is not the manifest's."""
        self.info = info
        self.name = info.name
        self.snapshot_id = info.snapshot_id
        self.as_of = info.as_of
        self.as_of_text = info.as_of.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.is_carried_over = info.is_carried_over
        self.rows = info.rows
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path), "r"))
            batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
            self._parts = [_Part(batch) for batch in batches if batch.num_rows]
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise CorruptGeneration(f"{path}: cannot be read as Arrow IPC: {error}") from error
        if (found := sum(part.rows for part in self._parts)) != info.rows:
            raise CorruptGeneration(f"{path}: {found} rows, the manifest says {info.rows}")
        self._last_page: tuple[int, bytes] | None = None
        self._first_keys = [part.keys[0] for part in self._parts]
        self._bases = [0]
        for part in self._parts:
            self._bases.append(self._bases[-1] + part.rows)

    def find(self, key: int) -> int | None:
        """The row of ``key`` (an unsigned 64-bit integer), or None."""
        index = bisect_right(self._first_keys, key) - 1
        if index < 0:
            return None
        keys = self._parts[index].keys
        row = bisect_left(keys, key)
        return self._bases[index] + row if row < len(keys) and keys[row] == key else None

    def key(self, row: int) -> int:
        """The key of a row."""
        part, at = self._at(row)
        return int(part.keys[at])

    def keys_ascend(self) -> bool:
        """Whether the keys are sorted and unique, as :meth:`find` needs them."""
        every = [np.asarray(part.keys) for part in self._parts]
        return all(bool((keys[1:] > keys[:-1]).all()) for keys in every) and all(
            a[-1] < b[0] for a, b in pairwise(every)
        )

    def etag(self, row: int) -> str:
        """16 hex digits over data and state: equal content keeps it across generations."""
        part, at = self._at(row)
        return f"{part.number('etag', at):016x}"

    def state(self, row: int) -> str:
        """State of the whole list: ``ready``, ``empty`` or ``cold_start``."""
        part, at = self._at(row)
        return STATES[part.number("state", at)]

    def page(self, row: int) -> bytes:
        """The default request's whole body as one zstd frame; ``b""`` where none is stored."""
        part, at = self._at(row)
        return bytes(part.slice("page", at))

    def stored(self, row: int) -> tuple[str, memoryview]:
        """:meth:`etag`, and :meth:`page` as a view of the mapped file."""
        part, at = self._at(row)
        cuts, pages = part.pages
        return f"{part.etags[at]:016x}", pages[cuts[at] : cuts[at + 1]]

    def page_json(self, row: int) -> bytes:
        """The default request's whole body, decompressed; the last one is at hand."""
        last = self._last_page
        if last is None or last[0] != row:
            last = self._last_page = row, decompressed(self.page(row))
        return last[1]

    def count(self, row: int) -> int:
        """Number of items of the whole list."""
        part, at = self._at(row)
        return max(len(part.slice("fragment_offsets", at)) - 1, 0)

    def fragments(self, row: int, start: int = 0, stop: int | None = None) -> list[bytes]:
        """The JSON of each item in ``[start, stop)``, in order."""
        pieces: list[bytes] = []
        for data, cuts in self._pieces(row, start, stop):
            pieces += [data[a : b - 1] for a, b in pairwise(cuts)]
        return pieces

    def joined(self, row: int, start: int = 0, stop: int | None = None) -> bytes:
        """The items of ``[start, stop)`` joined by commas."""
        return b",".join([data[cuts[0] : cuts[-1] - 1] for data, cuts in self._pieces(row, start, stop)])

    def _pieces(self, row: int, start: int, stop: int | None) -> Iterator[tuple[bytes, list[int]]]:
        """Where the items of ``[start, stop)`` lie: in the page, and beyond it. Only what is needed is decompressed."""
        part, at = self._at(row)
        cuts = part.slice("fragment_offsets", at)
        stop = len(cuts) - 1 if stop is None else min(stop, len(cuts) - 1)
        if not part.has("page_count"):  # format 1 keeps every item as it is, each followed by a comma
            if start < stop:
                yield bytes(part.slice("fragments", at)), cuts[start : stop + 1].tolist()
            return
        paged = part.number("page_count", at)
        if start < min(stop, paged):
            yield self.page_json(row)[_PAGE_HEAD:], cuts[start : min(stop, paged) + 1].tolist()
        if (begin := max(start, paged)) < stop:
            base = cuts[paged]
            rest = decompressed(bytes(part.slice("fragments", at)))
            yield rest, [cut - base for cut in cuts[begin : stop + 1]]

    def fragment_keys(self, row: int) -> list[str]:
        """One key per item (feed: sort_key; friends: candidate_id; digests: due_at|digest_id …)."""
        part, at = self._at(row)
        return bytes(part.slice("fragment_keys", at)).decode().split("\n")[:-1]

    def guards(self, row: int, start: int = 0, stop: int | None = None) -> list[Guards]:
        """Per item of ``[start, stop)``, the principals, groups and objects whose revocation withholds it."""
        part, at = self._at(row)
        kinds = self.info.guard_kinds
        ids, cuts = part.slice("guards", at), part.slice("guard_offsets", at)
        cuts = cuts[start * kinds : len(cuts) if stop is None else stop * kinds + 1]
        spans = [tuple(ids[a:b]) for a, b in pairwise(cuts)]
        return [Guards(*spans[i : i + kinds]) for i in range(0, len(spans), kinds)]

    def guarded_by(self, row: int, ids: Collection[int]) -> list[int]:
        """Places of the items that any of ``ids`` guards, ascending."""
        part, at = self._at(row)
        every, kinds = np.asarray(part.slice("guards", at)), self.info.guard_kinds
        # Usually one id or two: comparing with each costs a sixth of isin.
        is_hit = np.isin(every, list(ids)) if len(ids) > FEW_IDS else sum((every == each for each in ids), every < 0)
        cuts = part.slice("guard_offsets", at)
        return sorted({(bisect_right(cuts, place) - 1) // kinds for place in np.flatnonzero(is_hit).tolist()})

    def guard_ids(self, row: int) -> memoryview:
        """Every guard id of the row, kinds mixed and repeated: a quick test before :meth:`guarded_by`."""
        part, at = self._at(row)
        return part.slice("guards", at)

    def body(self, row: int) -> bytes:
        """The JSON document of a dataset of single documents."""
        part, at = self._at(row)
        return bytes(part.slice("body", at))

    def html(self, row: int) -> bytes:
        """The rendered mail of ``digest_details``, decompressed."""
        part, at = self._at(row)
        return decompressed(bytes(part.slice("html", at)))

    def owner(self, row: int) -> int:
        """The user whom a document of ``digest_details`` belongs to."""
        part, at = self._at(row)
        return part.number("owner", at)

    def _at(self, row: int) -> tuple[_Part, int]:
        index = bisect_right(self._bases, row) - 1 if len(self._parts) > 1 else 0
        return self._parts[index], row - self._bases[index]
