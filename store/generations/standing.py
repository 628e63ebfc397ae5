"""How the generations of a home stand: the pointer, the record beside it, the locks that guard both.

Lives here: ``CURRENT`` and ``_standing.json`` as they are written, the opening of a generation with every
check. Does not belong here: when any of it changes (``publication``, ``reversal``, ``retention``).
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Final

from store.datasets import check_payloads
from store.files import write_bytes_atomically
from store.manifest import canonical_json
from store.serving.dataset import CorruptGeneration
from store.serving.follower import (
    CURRENT,
    FOLDER,
    STANDING,
    GenerationEntry,
    Standing,
    list_ids,
    read_current,
    read_standing,
    status_of,
)
from store.serving.generation import Generation, facts_of, mark, read_info

LOCK_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.05


class GenerationRefused(Exception):
    """The generation was built but may not be served; the message says why."""


class PublicationBusy(Exception):
    """Another process is changing the generations of this home."""


@contextmanager
def lock(folder: Path, name: str) -> Iterator[None]:
    """Hold an advisory lock of this home; the kernel frees it when its holder dies."""
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_SECONDS
    with (folder / f".{name}.lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise PublicationBusy(f"{file.name} is held by another process") from None
                time.sleep(_POLL_SECONDS)
        yield


def verified(folder: Path) -> Generation:
    """Checksums, rows, key order, sampled payloads; raises :class:`CorruptGeneration`.

    What passes is marked, so that readers on this host need not read it all again.
    """
    facts = facts_of(folder)
    generation = Generation.open(folder)
    check_payloads(generation)
    mark(folder, facts)
    return generation


def standing_generation(folder: Path) -> Generation | None:
    """The verified generation in ``folder``, or None when it is absent or corrupt."""
    if not folder.is_dir():
        return None
    try:
        return verified(folder)
    except CorruptGeneration:
        return None


def verify(home: Path, generation_id: str | None = None) -> Generation:
    """Open a generation (else the live one) with every checksum compared and payloads sampled.

    Raises :class:`CorruptGeneration` naming the file, :class:`GenerationRefused` when there is no such generation.
    """
    folder = home / FOLDER
    wanted = generation_id or read_current(folder)
    if wanted is None:
        raise CorruptGeneration(f"{folder / CURRENT}: nothing was published yet")
    if "/" in wanted or not (folder / wanted).is_dir():
        named = "" if generation_id else f" though {folder / CURRENT} names it"
        raise GenerationRefused(
            f"generation {wanted} does not stand here{named}; `flowforge generations list` names those that do"
        )
    return verified(folder / wanted)


def live(home: Path) -> str | None:
    """The id that ``CURRENT`` of a home holds, or None when nothing was ever published."""
    return read_current(home / FOLDER)


def generations(home: Path) -> list[GenerationEntry]:
    """Every generation whose manifest can be read, newest first, and how it stands."""
    folder = home / FOLDER
    standing, current = read_standing(folder), read_current(folder)
    entries = []
    for generation_id in list_ids(folder):
        try:
            info = read_info(folder / generation_id)
        except CorruptGeneration:
            continue
        status = status_of(generation_id, current, standing)
        entries.append(GenerationEntry(info, status, standing.published.get(generation_id)))
    return entries


def point(folder: Path, generation_id: str) -> None:
    """Replace ``CURRENT``: from here on readers follow ``generation_id``."""
    write_bytes_atomically(folder / CURRENT, f"{generation_id}\n".encode())


def set_aside(folder: Path, generation_id: str, reason: str) -> None:
    """Quarantine a generation (and lift its pin): it is kept to be looked at, and not served again."""
    standing = read_standing(folder)
    write_standing(
        folder,
        replace(
            standing,
            quarantined={**standing.quarantined, generation_id: reason},
            pinned=None if standing.pinned == generation_id else standing.pinned,
        ),
    )


def write_standing(folder: Path, standing: Standing) -> None:
    """Replace the record beside ``CURRENT``."""
    content = {
        "published": {i: at.astimezone(UTC).isoformat() for i, at in standing.published.items()},
        "quarantined": dict(standing.quarantined),
        "pinned": standing.pinned,
    }
    write_bytes_atomically(folder / STANDING, canonical_json(content) + b"\n")


def as_of_of(generation_id: str) -> str:
    """The snapshot part of an id: sorts as its ``as_of``."""
    return generation_id.rsplit("-", 1)[0]
