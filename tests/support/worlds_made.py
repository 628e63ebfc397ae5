"""Generated worlds for tests: made once per size and seed in a session, read with Polars."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from functools import cache
from pathlib import Path

import polars as pl

from store.generator import generate_world


@cache
def _room() -> Path:
    room = Path(tempfile.mkdtemp(prefix="made-worlds-"))
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    return room


def made(users: int, seed: int = 7) -> Path:
    """The folder of a generated world."""
    return _made(users, seed)


@cache
def _made(users: int, seed: int) -> Path:
    return generate_world(_room() / f"{users}-{seed}", users=users, seed=seed).directory


@cache
def table(name: str, users: int, seed: int = 7) -> pl.DataFrame:
    """One of its tables."""
    return pl.read_parquet(made(users, seed) / f"{name}.parquet")


def digests(directory: Path) -> dict[str, str]:
    """Sha256 by file name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.iterdir())}
