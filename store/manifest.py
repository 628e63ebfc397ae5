"""The manifest: what a snapshot, product or generation folder holds, and its checksums.

One model for the three kinds (spec 00). Does not belong here: where folders lie (``store.lake``)
or what a generation means (``store.generations``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from store.files import sha256_of

FORMAT = 1
READABLE_FORMATS = (FORMAT, FORMAT - 1)
MANIFEST = "_manifest.json"


class CorruptFile(Exception):
    """A stored file is missing, truncated, altered or unreadable; the message names it."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class FileEntry(_Model):
    """One file of a table; ``path`` is relative to the manifest's folder."""

    path: str
    rows: int
    bytes: int
    sha256: str


class TableEntry(_Model):
    """One table or dataset: its rows, files and the hash of its schema."""

    rows: int
    files: tuple[FileEntry, ...]
    schema_hash: str


class InputEntry(_Model):
    """A named input and the content hash of its manifest."""

    id: str
    sha256: str


class Counts(_Model):
    """``in = out + rejected + sum(filtered)`` (law 6)."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)
    in_: int = Field(0, alias="in")
    out: int = 0
    rejected: int = 0
    filtered: Mapping[str, int] = {}


class StageEntry(_Model):
    """The counts of one stage of a product, as its run saw them."""

    stage: str
    rows_in: int
    rows_out: int
    rejected: int
    filtered: Mapping[str, int]


class Manifest(_Model):
    """``_manifest.json`` of a snapshot, product or generation."""

    format: int = FORMAT
    kind: Literal["snapshot", "product", "generation"]
    id: str
    as_of: datetime
    inputs: tuple[InputEntry, ...] = ()
    code_version: str
    config_hash: str
    tables: Mapping[str, TableEntry] = {}
    datasets: Mapping[str, TableEntry] = {}
    counts: Counts = Counts()
    stages: tuple[StageEntry, ...] = ()

    @property
    def content_sha256(self) -> str:
        """Hash of what is stored (kind, id, every file's checksum), free of how and where it was made."""
        content = {
            "kind": self.kind,
            "id": self.id,
            "tables": {
                name: [entry.schema_hash, [(f.rows, f.sha256) for f in entry.files]]
                for name, entry in sorted({**self.tables, **self.datasets}.items())
            },
        }
        return hashlib.sha256(canonical_json(content)).hexdigest()

    def to_bytes(self) -> bytes:
        """The manifest as it is stored: canonical JSON, one line."""
        return canonical_json(self.model_dump(mode="json", by_alias=True, exclude_defaults=False)) + b"\n"


def read_manifest(folder: Path) -> Manifest:
    """Read and check a folder's manifest.

    Raises :class:`CorruptFile` naming the file when it is missing, unreadable or of an unknown format.
    """
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise CorruptFile(f"{path}: manifest is missing") from None
    except ValueError as error:
        raise CorruptFile(f"{path}: manifest cannot be read: {str(error).splitlines()[0]}") from error
    if manifest.format not in READABLE_FORMATS:
        raise CorruptFile(f"{path}: manifest format {manifest.format} is not one of {READABLE_FORMATS}")
    return manifest


def verify_files(folder: Path, entries: Iterable[TableEntry]) -> None:
    """Compare every file with its manifest entry; raise :class:`CorruptFile` naming the first that differs."""
    for entry in entries:
        for file in entry.files:
            path = folder / file.path
            if not path.is_file():
                raise CorruptFile(f"{path}: file is missing")
            if (size := path.stat().st_size) != file.bytes:
                raise CorruptFile(f"{path}: {size} bytes, the manifest says {file.bytes}")
            if (digest := sha256_of(path)) != file.sha256:
                raise CorruptFile(f"{path}: sha256 {digest[:12]}… differs from the manifest's {file.sha256[:12]}…")


def file_entry(folder: Path, path: Path, rows: int) -> FileEntry:
    """The manifest entry of a file just written below ``folder``."""
    return FileEntry(
        path=path.relative_to(folder).as_posix(), rows=rows, bytes=path.stat().st_size, sha256=sha256_of(path)
    )


def schema_hash(schema: Mapping[str, object]) -> str:
    """Sha256 (hex) over column names and types, in order."""
    return hashlib.sha256(canonical_json([[name, str(dtype)] for name, dtype in schema.items()])).hexdigest()


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def snapshot_id_of(as_of: datetime) -> str:
    """``as_of`` as ``YYYYMMDDTHHMMSSffffffZ``; sorts as text."""
    return as_of.astimezone(UTC).strftime("%Y%m%dT%H%M%S%fZ")
