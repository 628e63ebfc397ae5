"""Durable file writing: tmp → fsync → rename, so that nothing half-written is ever visible (law 4).

Lives here: the few primitives every writer of ours uses. Does not belong here: what is written.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Sha256 (hex) of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def fsync_file(path: Path) -> None:
    """Force a written file to disk."""
    _fsync(path, os.O_RDONLY)


def fsync_dir(path: Path) -> None:
    """Force a folder's entries (creations, renames) to disk."""
    _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``: readers see the old bytes or the new ones, never a mixture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_dir(path.parent)


@contextmanager
def staged_folder(final: Path) -> Iterator[Path]:
    """Yield a staging folder beside ``final``; on success fsync everything and rename it there.

    On an exception the staging folder is removed and ``final`` stays as it was. A folder that
    stands at ``final`` already is replaced (moved aside first, then removed).
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    staging = final.parent / f".staging-{final.name}-{secrets.token_hex(4)}"
    staging.mkdir()
    try:
        yield staging
        for path in sorted(staging.rglob("*")):
            fsync_dir(path) if path.is_dir() else fsync_file(path)
        fsync_dir(staging)
        if final.exists():
            aside = final.parent / f".replaced-{final.name}-{secrets.token_hex(4)}"
            final.rename(aside)
            staging.rename(final)
            shutil.rmtree(aside)
        else:
            staging.rename(final)
        fsync_dir(final.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def sweep_leftovers(folder: Path) -> list[Path]:
    """Remove staging folders and temporary files that a killed writer left in ``folder``."""
    left = [p for pattern in (".staging-*", ".replaced-*", ".*.tmp") for p in folder.glob(pattern)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return left
