"""What a home was made for: the world it holds, kept beside its data.

A home made from a world knows its ``as_of`` before any server runs, because partitions start in
that year. A home on a customer's server has no record: it is live.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from store.files import write_bytes_atomically

RECORD = "home.json"


class HomeRecord(BaseModel):
    """The world a home was loaded from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    world: str
    as_of: datetime
    origin: str
    """What was asked for: ``world:<folder>`` or ``generated:<users>:<seed>``."""


def read_home(home: Path) -> HomeRecord | None:
    """The home's record, or None for a live or new one."""
    path = home / RECORD
    return HomeRecord.model_validate_json(path.read_bytes()) if path.is_file() else None


def write_home(home: Path, record: HomeRecord) -> None:
    """Write the record atomically; call it when the world is loaded."""
    write_bytes_atomically(home / RECORD, record.model_dump_json().encode() + b"\n")
