"""The lake: where snapshots, products and rejects lie below HOME, and how they are read and written.

Lives here: paths, verified reading, atomic writing, acceptance pointers. Every reader verifies
the sha256 before it computes, because Parquet readers take one flipped bit for other data.
Does not belong here: computing, Dagster, generations.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from store.files import staged_folder, sweep_leftovers, write_bytes_atomically
from store.manifest import (
    MANIFEST,
    CorruptFile,
    Counts,
    InputEntry,
    Manifest,
    StageEntry,
    TableEntry,
    canonical_json,
    file_entry,
    read_manifest,
    schema_hash,
    verify_files,
)

ACCEPTED = "_accepted.json"
ROW_GROUP = 262_144


@dataclass(frozen=True)
class StoredTable:
    """A table of a product that stands in the lake."""

    name: str
    folder: Path
    manifest: Manifest

    @property
    def snapshot_id(self) -> str:
        """The snapshot it was computed from."""
        return self.manifest.id.rsplit("-", 1)[0]

    @property
    def input_entry(self) -> InputEntry:
        """How a later product names this table as its input."""
        return InputEntry(id=f"{self.name}/{self.manifest.id}", sha256=self.manifest.content_sha256)

    def scan(self) -> pl.LazyFrame:
        """The table's rows, after every file was verified.

        Raises :class:`store.manifest.CorruptFile` naming the file.
        """
        entry = self.manifest.tables[self.name]
        verify_files(self.folder, [entry])
        return pl.scan_parquet([self.folder / f.path for f in entry.files], glob=False)

    def is_accepted(self) -> bool:
        """Whether the product's last check accepted it."""
        return (self.folder / ACCEPTED).is_file()


@dataclass(frozen=True)
class Lake:
    """The files below ``home`` that hold data."""

    home: Path

    @property
    def snapshots_dir(self) -> Path:
        """``lake/snapshots``."""
        return self.home / "lake" / "snapshots"

    @property
    def products_dir(self) -> Path:
        """``lake/products``."""
        return self.home / "lake" / "products"

    @property
    def rejects_dir(self) -> Path:
        """``lake/rejects``."""
        return self.home / "lake" / "rejects"

    def sweep(self) -> list[Path]:
        """Remove what killed writers left behind; only for the holder of the home's run lock."""
        folders = [self.snapshots_dir, self.rejects_dir, *self.products_dir.glob("*")]
        return [path for folder in folders for path in sweep_leftovers(folder)]

    # snapshots

    def snapshot_ids(self) -> list[str]:
        """Ids of the snapshots that stand, oldest first."""
        return sorted(p.parent.name for p in self.snapshots_dir.glob(f"[0-9]*/{MANIFEST}"))

    def snapshot(self, snapshot_id: str) -> Manifest:
        """The manifest of a snapshot."""
        return read_manifest(self.snapshots_dir / snapshot_id)

    def newest_snapshot(self, *, start: datetime | None = None, before: datetime | None = None) -> Manifest | None:
        """The newest snapshot with ``start <= as_of < before`` (each bound optional)."""
        for snapshot_id in reversed(self.snapshot_ids()):
            manifest = self.snapshot(snapshot_id)
            if before is not None and manifest.as_of >= before:
                continue
            return None if start is not None and manifest.as_of < start else manifest
        return None

    def scan_snapshot(self, manifest: Manifest, table: str) -> pl.LazyFrame:
        """One table of a snapshot, after its files were verified."""
        folder = self.snapshots_dir / manifest.id
        entry = manifest.tables[table]
        verify_files(folder, [entry])
        return pl.scan_parquet([folder / f.path for f in entry.files], glob=False)

    # products

    def product_folder(self, table: str, product_id: str) -> Path:
        """Folder of one table of one product (``<snapshot_id>-<fingerprint>``)."""
        return self.products_dir / table / product_id

    def stored(self, table: str, product_id: str) -> StoredTable | None:
        """The table if it stands and every file verifies, else None."""
        folder = self.product_folder(table, product_id)
        if not (folder / MANIFEST).is_file():
            return None
        found = StoredTable(table, folder, read_manifest(folder))
        verify_files(folder, found.manifest.tables.values())
        return found

    def write_table(
        self,
        table: str,
        frame: pl.DataFrame,
        *,
        product_id: str,
        as_of: datetime,
        inputs: Sequence[InputEntry],
        code_version: str,
        config_hash: str,
        counts: Counts | None = None,
        stages: Sequence[StageEntry] = (),
    ) -> StoredTable:
        """Write one table of a product: same frame, same bytes; visible whole or not at all."""
        folder = self.product_folder(table, product_id)
        with staged_folder(folder) as staging:
            part = staging / "part-000.parquet"
            frame.rechunk().write_parquet(part, compression="zstd", compression_level=1, row_group_size=ROW_GROUP)
            manifest = Manifest(
                kind="product",
                id=product_id,
                as_of=as_of,
                inputs=tuple(inputs),
                code_version=code_version,
                config_hash=config_hash,
                tables={
                    table: TableEntry(
                        rows=frame.height,
                        files=(file_entry(staging, part, frame.height),),
                        schema_hash=schema_hash(frame.schema),
                    )
                },
                counts=counts or Counts(in_=frame.height, out=frame.height),
                stages=tuple(stages),
            )
            (staging / MANIFEST).write_bytes(manifest.to_bytes())
        return StoredTable(table, folder, manifest)

    # acceptance

    def accept(self, tables: Sequence[StoredTable]) -> None:
        """Mark a product's tables accepted and point each table's snapshot at them (atomically, one by one)."""
        for table in tables:
            write_bytes_atomically(table.folder / ACCEPTED, canonical_json({"id": table.manifest.id}) + b"\n")
        for table in tables:
            pointer = {"id": table.manifest.id, "sha256": table.manifest.content_sha256}
            write_bytes_atomically(self._pointer(table.name, table.snapshot_id), canonical_json(pointer) + b"\n")

    def accepted(self, tables: Sequence[str], snapshot_id: str) -> dict[str, StoredTable] | None:
        """The accepted product made of ``tables`` for a snapshot, or None if it is not accepted as a whole."""
        found = [self._pointed(table, snapshot_id) for table in tables]
        present = {t.name: t for t in found if t is not None}
        if len(present) < len(tables) or len({t.manifest.id for t in present.values()}) > 1:
            return None
        return present

    def newest_accepted(
        self, tables: Sequence[str], *, before: str | None = None, since: str | None = None
    ) -> dict[str, StoredTable] | None:
        """The newest accepted product with ``since <= snapshot_id < before`` (each bound optional)."""
        ids = sorted((p.stem for p in (self.products_dir / tables[0]).glob("[0-9]*.json")), reverse=True)
        for snapshot_id in ids:
            if before is not None and snapshot_id >= before:
                continue
            if since is not None and snapshot_id < since:
                return None
            if product := self.accepted(tables, snapshot_id):
                return product
        return None

    def _pointer(self, table: str, snapshot_id: str) -> Path:
        return self.products_dir / table / f"{snapshot_id}.json"

    def _pointed(self, table: str, snapshot_id: str) -> StoredTable | None:
        pointer = self._pointer(table, snapshot_id)
        if not pointer.is_file():
            return None
        try:
            product_id = json.loads(pointer.read_bytes())["id"]
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptFile(f"{pointer}: pointer cannot be read") from error
        folder = self.product_folder(table, product_id)
        found = StoredTable(table, folder, read_manifest(folder))
        return found if found.is_accepted() else None


def fingerprint_of(inputs: Sequence[InputEntry], config_hash: str, code_version: str) -> str:
    """First 12 hex digits of sha256(input manifests, config, code version): names a product's folder."""
    content: Mapping[str, object] = {
        "inputs": sorted((i.id, i.sha256) for i in inputs),
        "config": config_hash,
        "code": code_version,
    }
    return hashlib.sha256(canonical_json(content)).hexdigest()[:12]
