"""From items to the rows of a dataset: pages, entity tags, the items beyond the page, keys, guards.

Lives here: the layout work, vectorised over flat buffers. Does not belong here: what an item's JSON holds (the
products' files of this folder), how columns become bytes (``encoding``), writing files (``store.datasets``). Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from assets.published.columns import Columns, binary, list_array, ragged_offsets
from assets.published.encoding import Fragments, GuardLists, Scratch, cumulative, frozen, text_buffers
from assets.published.kernels import Bytes, Longs, lines, wrapped, wrapped_cuts
from store.datasets import DOCUMENTS, Rows
from store.payloads import DEFAULT_LIMIT
from store.serving import STATES

GUARDS: Final = ("guard_users", "guard_groups", "guard_objects", "guard_circle")
"""Columns of an items frame that hold lists of ids: who may revoke the item (06.1), as ``store.serving.Guards``."""

NO_IDS: Final = pl.lit([], dtype=pl.List(pl.Int64))
ROWS_AT_ONCE: Final = 4_096
_DATA: Final = np.frombuffer(b'{"data":[', dtype=np.uint8)
_ARRAY: Final = np.frombuffer(b"[", dtype=np.uint8)
_TAGGED_STATES: Final = tuple(b"\n" + state.encode() for state in STATES)
_NOTHING: Final = np.zeros(0, dtype=np.uint8)

NextCursor = Callable[[int, str], str]
"""(user id, key of the page's last item) to the signed cursor of the next page."""


@dataclass(frozen=True)
class Envelope:
    """What surrounds the items of a default page."""

    generation: str
    as_of_text: str
    next_cursor: NextCursor | None
    """None for lists that are not paged (entitlements): the page is the whole list."""

    def tail(self, state: str, cursor: str | None) -> bytes:
        """Everything after the items, in the order of the API's models."""
        paging = "" if self.next_cursor is None else f'"next_cursor":{_text(cursor)},"prev_cursor":null,'
        return f'],{paging}"state":"{state}","generation":"{self.generation}","as_of":"{self.as_of_text}"}}'.encode()


@dataclass(frozen=True)
class _Lists:
    """The items of each row, in flat buffers: row ``r`` has items ``[starts[r], starts[r] + counts[r])``."""

    keys: Longs
    starts: Longs
    counts: Longs
    shown: Longs
    """How many items the page holds."""
    tagged: Longs
    """Over how many the entity tag is."""
    states: Longs
    fragments: Fragments
    item_keys: pl.Series
    guards: GuardLists


@dataclass(frozen=True)
class _Slice:
    """Some rows in a run, with the bytes of their items: as ``_Lists``, item 0 being the first of the first row."""

    rows: slice
    first: int
    starts: Longs
    counts: Longs
    states: Longs
    data: Bytes
    cuts: Longs


def list_rows(items: pl.DataFrame, viewers: pl.Series, *, envelope: Envelope | None) -> Rows:
    """Rows of a dataset of lists (``store.datasets.LISTS``), one per viewer, those without items included.

    ``items``: ``viewer_id`` i64, ``fragment`` str (JSON) or struct (its fields), ``fragment_key`` str, ``is_cold``
    bool (a list of nothing else is a cold start), the :data:`GUARDS`; each viewer's in the order served. Items of
    others than ``viewers`` are left out. ``envelope`` None stores no default page.
    """
    keys = viewers.unique().sort()
    kept = items if items["viewer_id"].is_sorted() else items.sort("viewer_id", maintain_order=True)
    starts, counts = _spans(kept["viewer_id"], keys)
    if counts.sum() != kept.height:
        kept = kept.filter(pl.col("viewer_id").is_in(keys.implode()))
        starts, counts = _spans(kept["viewer_id"], keys)
    limit = DEFAULT_LIMIT if envelope is not None and envelope.next_cursor is not None else counts.max(initial=0)
    lists = _Lists(
        keys=keys.to_numpy(),
        starts=starts,
        counts=counts,
        shown=np.minimum(counts, limit if envelope is not None else 0),
        tagged=np.minimum(counts, limit),
        states=_states(counts, starts, kept["is_cold"]),
        fragments=Fragments(kept["fragment"]),
        item_keys=kept["fragment_key"].rechunk(),
        guards=GuardLists(*kept.select(GUARDS).iter_columns()),
    )
    return Rows(len(keys), lambda size: _batches(lists, envelope, size), int(counts.sum()))


def _batches(lists: _Lists, envelope: Envelope | None, size: int) -> Iterator[pa.RecordBatch]:
    """Some rows at a time, so that what is copied about stays in the processor's caches.

    Every batch is made in the memory of the one before.
    """
    columns, scratch = Columns(), Scratch()
    for begin in range(0, len(lists.keys), size):
        rows = slice(begin, min(begin + size, len(lists.keys)))
        columns.clear()
        for first in range(begin, rows.stop, ROWS_AT_ONCE):
            some = slice(first, min(first + ROWS_AT_ONCE, rows.stop))
            _add(columns, lists, _slice(lists, some), envelope, scratch)
            if first == 0:  # the rows to come are as long as these, more or less
                columns.reserve(1.2 * rows.stop / some.stop)
        yield columns.batch(lists.keys[rows], lists.states[rows], lists.shown[rows])


def _slice(lists: _Lists, rows: slice) -> _Slice:
    starts, counts = lists.starts[rows], lists.counts[rows]
    first = int(starts[0])
    data, cuts = lists.fragments.rows(first, int(starts[-1] + counts[-1]) - first)
    return _Slice(rows, first, starts - first, counts, lists.states[rows], data, cuts)


def _add(columns: Columns, lists: _Lists, part: _Slice, envelope: Envelope | None, scratch: Scratch) -> None:
    """The pages, the items beyond them, entity tags, keys and guards of some rows."""
    shown, stop = part.starts + lists.shown[part.rows], part.starts + part.counts
    if envelope is not None:  # the page has in it what its tag is over
        tails, which = _tails(lists, part, envelope)
        pages, cuts = _laid(part, part.starts, shown, _DATA, tails, which, scratch)
        ends = cuts[1:] - np.array([len(tail) - 1 for tail in tails])[which]
        columns.etags.append(_etags(pages, cuts[:-1] + len(_DATA) - 1, ends, part.states))
        columns.pages.add_frames(pages, cuts)
    else:
        tagged = part.starts + lists.tagged[part.rows]
        arrays, cuts = _laid(part, part.starts, tagged, _ARRAY, [b"]"], np.zeros_like(tagged), scratch)
        columns.etags.append(_etags(arrays, cuts[:-1], cuts[1:], part.states))
        columns.pages.add(_NOTHING, np.zeros(len(part.starts) + 1, dtype=np.int64))
    columns.rest.add_frames(*_laid(part, shown, stop, _NOTHING, [b""], np.zeros_like(stop), scratch))
    # Every item is followed by a comma, every key by the end of its line.
    places = np.arange(len(part.cuts))
    columns.offsets.add_offsets(part.cuts + places, part.starts, part.counts)
    key_cuts, keys = text_buffers(lists.item_keys.slice(part.first, len(places) - 1))
    lines(columns.keys.heap.room(len(keys) + len(places) - 1), frozen(keys), frozen(key_cuts))
    columns.keys.sizes.append(np.diff(_bounds(key_cuts + places, part.starts, part.counts)))
    ids, cuts = lists.guards.rows(part.first, len(places) - 1)
    starts, counts = part.starts * len(GUARDS), part.counts * len(GUARDS)
    columns.guards.add(ids, _bounds(cuts, starts, counts))
    columns.guard_offsets.add_offsets(cuts, starts, counts)


def document_rows(keys: pl.Series, bodies: pl.Series) -> pa.Table:
    """Rows of a dataset of single JSON documents, sorted by key (unique)."""
    frame = pl.DataFrame({"key": keys, "body": bodies})
    frame = frame if frame["key"].is_sorted() else frame.sort("key")
    # Documents of few words are the same for many: hashed once.
    distinct = frame.select(pl.col("body").unique(maintain_order=True))
    etags = pl.Series("etag", [etag_number(body.encode(), "ready") for body in distinct["body"]], dtype=pl.UInt64)
    tagged = frame.select("body").join(distinct.with_columns(etags), on="body", how="left", maintain_order="left")
    return pa.Table.from_arrays(
        [
            pa.array(frame["key"].to_numpy().astype(np.uint64)),
            pa.array(tagged["etag"].to_numpy()),
            binary(*text_buffers(frame["body"])),
        ],
        schema=DOCUMENTS,
    )


def guard_columns(items: pl.DataFrame, starts: Longs, counts: Longs) -> tuple[pa.Array[Any], pa.Array[Any]]:
    """The guards of each row's items and where each kind of each item begins."""
    ids, cuts = GuardLists(*items.select(GUARDS).iter_columns()).rows(0, items.height)
    starts, counts = starts * len(GUARDS), counts * len(GUARDS)
    return list_array(_bounds(cuts, starts, counts), pa.array(ids)), ragged_offsets(cuts, starts, counts)


def etag_number(data: bytes, state: str) -> int:
    """``store.payloads.etag_of`` as the number that its 16 hex digits stand for."""
    return int.from_bytes(hashlib.sha256(data + b"\n" + state.encode()).digest()[:8], "big")


def _spans(sorted_ids: pl.Series, keys: pl.Series) -> tuple[Longs, Longs]:
    """First item and number of items of each key in ``sorted_ids``."""
    values, wanted = sorted_ids.to_numpy(), keys.to_numpy()
    starts = np.searchsorted(values, wanted, "left").astype(np.int64)
    return starts, np.searchsorted(values, wanted, "right").astype(np.int64) - starts


def _states(counts: Longs, starts: Longs, cold: pl.Series) -> Longs:
    """Index into STATES: empty without items, cold_start when every item is cold, else ready."""
    warm = cumulative((~cold).cast(pl.Int64).to_numpy())
    has_warm = warm[starts + counts] > warm[starts]
    filled = np.where(has_warm, STATES.index("ready"), STATES.index("cold_start"))
    return np.where(counts == 0, STATES.index("empty"), filled).astype(np.int64)


def _laid(
    part: _Slice, first: Longs, stop: Longs, head: Bytes, tails: list[bytes], which: Longs, scratch: Scratch
) -> tuple[Bytes, Longs]:
    """Bytes of the rows end to end, there until the scratch is used again, and the cuts."""
    ends = frozen(np.frombuffer(b"".join(tails), dtype=np.uint8)), frozen(cumulative([len(tail) for tail in tails]))
    cuts, spans, tail_of = frozen(part.cuts), (frozen(first), frozen(stop)), frozen(which)
    head = frozen(head)
    out_cuts = wrapped_cuts(cuts, *spans, head, ends[1], tail_of)
    out = scratch.of(int(out_cuts[-1]))
    wrapped(out, out_cuts, frozen(part.data), cuts, *spans, head, *ends, tail_of)
    return out[: out_cuts[-1]], out_cuts


def _tails(lists: _Lists, part: _Slice, envelope: Envelope) -> tuple[list[bytes], Longs]:
    """The ends of pages, and which is each row's: one per state, and one per row that has a cursor."""
    tails, which = [envelope.tail(state, None) for state in STATES], part.states.copy()
    if envelope.next_cursor is not None:
        long = np.flatnonzero(part.counts > DEFAULT_LIMIT)
        users = lists.keys[part.rows][long].tolist()
        last = lists.item_keys.gather(part.first + part.starts[long] + DEFAULT_LIMIT - 1)
        for state, user, key in zip(part.states[long].tolist(), users, last, strict=True):
            tails.append(envelope.tail(STATES[state], envelope.next_cursor(user, key)))
        which[long] = np.arange(len(STATES), len(tails))
    return tails, which


def _etags(data: Bytes, begins: Longs, ends: Longs, states: Longs) -> npt.NDArray[np.uint64]:
    """The numbers of ``store.payloads.etag_of`` over the JSON array of each row, which lies between begin and end."""
    view, sha256, digests = data.data, hashlib.sha256, []
    for begin, end, state in zip(begins.tolist(), ends.tolist(), states.tolist(), strict=True):
        digest = sha256(view[begin:end])
        digest.update(_TAGGED_STATES[state])
        digests.append(digest.digest())
    return np.frombuffer(b"".join(digests), dtype=">u8")[::4].astype(np.uint64)


def _text(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'


def _bounds(cuts: Longs, starts: Longs, counts: Longs) -> Longs:
    """Cuts between rows, when rows follow each other without gaps."""
    return np.append(cuts[starts], cuts[starts[-1] + counts[-1]]) if len(starts) else np.zeros(1, dtype=np.int64)
