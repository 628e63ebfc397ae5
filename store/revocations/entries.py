"""The file of revocations: one entry a fact, and a header that says what the file knows (spec 06.2).

Lives here: kinds, columns, the bytes and their checksum. Does not belong here: what an entry withholds
(``rules``), or writing the file (``store.tailer``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FOLDER: Final = "revocations"
CURRENT: Final = "current.arrow"
FORMAT: Final = 1
LEVELS: Final = ("only_me", "friends", "public")
"""Audiences, narrowest first: an entry's ``detail`` counts by place."""

Columns = tuple[npt.NDArray[np.int64], ...]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class RevocationsUnreadable(Exception):
    """The file is not one of ours or not as it was written; the message names it."""


class Kind(IntEnum):
    """What happened. ``subject`` and ``other`` are user ids unless said otherwise."""

    GONE = 1
    """``subject`` is no longer active."""
    ERASED = 2
    """``subject`` is to be erased: holds against everything, whatever its ``as_of``."""
    DELETED = 3
    """The activity ``subject`` was deleted."""
    NARROWED = 4
    """The activity ``subject`` of ``other`` is not public (any more); ``detail``: 3 · audience + object audience."""
    BLOCKED = 5
    """``subject`` blocked ``other``; counts both ways."""
    UNFRIENDED = 6
    """The friendship of ``subject`` and ``other`` ended."""
    LEFT = 7
    """``subject`` left the private group ``other``."""
    MUTED = 8
    """``subject`` muted ``other``."""
    RESHARES_MUTED = 9
    """``subject`` muted the reshares of ``other``."""
    HIDDEN = 10
    """``subject`` hid the object ``other``; ``detail``: its type, a place in :data:`OBJECT_TYPES`."""
    DISMISSED = 11
    """``subject`` dismissed ``other`` as a recommendation."""
    REQUESTED = 12
    """``subject`` asked ``other`` to be friends; counts both ways."""


OBJECT_TYPES: Final = ("post", "comment", "user", "group")


class Entry(NamedTuple):
    """One revocation: holds against data whose ``as_of`` is before ``at`` (µs since 1970)."""

    kind: int
    subject: int
    other: int
    detail: int
    at: int


@dataclass(frozen=True)
class RevocationFile:
    """What one reading of the source left.

    ``read_at``: before which instant (clock of the tailer's host) everything committed is known;
    ``source_read_at``: the same by the source's clock; ``since``: data older than this are not covered;
    ``columns``: as :class:`Entry`, int64, one array each.
    """

    read_at: datetime
    source_read_at: datetime
    since: datetime
    content: str
    columns: Columns

    @property
    def count(self) -> int:
        """Number of entries."""
        return len(self.columns[0])


def micros(instant: datetime) -> int:
    """Microseconds since 1970."""
    return (instant - _EPOCH) // _MICROSECOND


def instant_of(value: int) -> datetime:
    """The instant so many microseconds after 1970."""
    return _EPOCH + value * _MICROSECOND


def columns_of(entries: Iterable[Entry]) -> Columns:
    """Entries in order, as columns."""
    table = np.array(sorted(entries), dtype=np.int64).reshape(-1, len(Entry._fields))
    return tuple(np.ascontiguousarray(table[:, i]) for i in range(table.shape[1]))


def encoded(columns: Columns, *, read_at: datetime, source_read_at: datetime, since: datetime) -> bytes:
    """The file's bytes: an Arrow IPC file, the header in the schema's metadata."""
    header: dict[bytes | str, bytes | str] = {
        "format": str(FORMAT),
        "read_at": read_at.isoformat(),
        "source_read_at": source_read_at.isoformat(),
        "since": since.isoformat(),
        "content": _digest(columns),
    }
    fields = [pa.field(name, pa.int64(), nullable=False) for name in Entry._fields]
    schema = pa.schema(fields, metadata=header)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch([pa.array(column) for column in columns], schema=schema))
    return sink.getvalue().to_pybytes()


def read_file(path: Path) -> RevocationFile:
    """Map, check and read the file.

    Raises :class:`RevocationsUnreadable` naming it, ``FileNotFoundError`` when there is none.
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path), "r"))
        header = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
        if int(header["format"]) not in (FORMAT, FORMAT - 1):
            raise RevocationsUnreadable(f"{path}: format {header['format']} is not {FORMAT}")
        table = reader.read_all()
        columns = tuple(np.asarray(table.column(name).combine_chunks()) for name in Entry._fields)
        if _digest(columns) != header["content"]:
            raise RevocationsUnreadable(f"{path}: sha256 differs from what the file says of itself")
        return RevocationFile(
            read_at=datetime.fromisoformat(header["read_at"]),
            source_read_at=datetime.fromisoformat(header["source_read_at"]),
            since=datetime.fromisoformat(header["since"]),
            content=header["content"],
            columns=columns,
        )
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise RevocationsUnreadable(f"{path}: cannot be read: {error!r}") from error


def _digest(columns: Iterable[npt.NDArray[np.int64]]) -> str:
    digest = hashlib.sha256()
    for column in columns:
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()
