"""Following ``CURRENT``: which generation a reader serves, and which others it may still cut pages from.

Lives here: the poll, the swap of one reference, the refusal of what is corrupt, and the standing
(published, pinned, quarantined) kept beside ``CURRENT``. Does not belong here: changing any of it
(``store.generations``), or the event loop (``refresh`` blocks: run it in a thread).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from store.serving.dataset import CorruptGeneration, what_is_wrong
from store.serving.generation import MANIFEST, Facts, Generation, GenerationInfo, facts_of, read_info

FOLDER: Final = "generations"
CURRENT: Final = "CURRENT"
STANDING: Final = "_standing.json"

_ID: Final = re.compile(r"[0-9TZ]{22}-[0-9a-f]{12}")

Status = Literal["live", "retained", "pinned", "quarantined"]


@dataclass(frozen=True)
class Standing:
    """What is known of generations besides their files: ``_standing.json``."""

    published: Mapping[str, datetime] = field(default_factory=dict)
    quarantined: Mapping[str, str] = field(default_factory=dict)
    """Generation to the reason it was set aside for."""
    pinned: str | None = None


@dataclass(frozen=True)
class GenerationEntry:
    """A line of the list of generations."""

    info: GenerationInfo
    status: Status
    published_at: datetime | None


def is_generation_id(text: str) -> bool:
    """Whether a text that came from outside could name a generation; any other is asked of no file system."""
    return _ID.fullmatch(text) is not None


def read_current(folder: Path) -> str | None:
    """The id that ``CURRENT`` holds, or None when nothing was ever published."""
    try:
        return (folder / CURRENT).read_text().strip() or None
    except FileNotFoundError:
        return None


def read_standing(folder: Path) -> Standing:
    """The standing kept in ``folder``; an empty one when there is none yet.

    Raises :class:`CorruptGeneration` naming the file when it cannot be read.
    """
    path = folder / STANDING
    try:
        content = json.loads(path.read_bytes())
        return Standing(
            published={i: datetime.fromisoformat(at) for i, at in content["published"].items()},
            quarantined=dict(content["quarantined"]),
            pinned=content["pinned"],
        )
    except FileNotFoundError:
        return Standing()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptGeneration(f"{path}: {what_is_wrong(error)}") from error


def list_ids(folder: Path) -> list[str]:
    """Ids of the generations that stand in ``folder``, newest first."""
    return sorted((path.parent.name for path in folder.glob(f"[0-9]*/{MANIFEST}")), reverse=True)


def status_of(generation_id: str, live: str | None, standing: Standing) -> Status:
    """``quarantined`` and ``pinned`` outrank ``live``; everything else that stands is ``retained``."""
    if generation_id in standing.quarantined:
        return "quarantined"
    if generation_id == standing.pinned:
        return "pinned"
    return "live" if generation_id == live else "retained"


class Generations:
    """The generations below ``home`` as one reader sees them.

    ``current`` never blocks; ``refresh`` polls, opens and verifies, and is meant for a thread.
    """

    def __init__(self, home: Path) -> None:
        """Nothing is opened before the first :meth:`refresh`."""
        self.folder = home / FOLDER
        self.last_error: str | None = None
        """Why the generation that ``CURRENT`` names is not served; None when it is."""
        self._current: Generation | None = None
        self._standing = Standing()
        self._opened: dict[str, tuple[Generation, Facts]] = {}
        self._refused: dict[str, tuple[Facts, str]] = {}
        self._lock = threading.Lock()

    def current(self) -> Generation | None:
        """The generation served now, or None before the first good one."""
        return self._current

    def refresh(self) -> bool:
        """Follow ``CURRENT``; True when another generation is served than before.

        The last good one stays when anything is wrong, and ``last_error`` names the file. A mapped
        file whose size, time or inode changed is verified again; if it is corrupt, the newest
        verified generation that is kept takes over.
        """
        with self._lock:
            before = self._current.id if self._current else None
            try:
                self._standing = read_standing(self.folder)
                self._follow(read_current(self.folder))
            except (CorruptGeneration, OSError, UnicodeDecodeError) as error:
                self.last_error = str(error)
            self._forget_pruned()
            return (self._current.id if self._current else None) != before

    def get(self, generation_id: str) -> Generation | None:
        """A retained generation by id (for cursors); opened and verified at first use, else None."""
        current = self._current
        if current is not None and current.id == generation_id:
            return current
        if generation_id in self._standing.quarantined:
            return None
        if (held := self._opened.get(generation_id)) is not None:
            return held[0]
        if not is_generation_id(generation_id) or not (self.folder / generation_id / MANIFEST).is_file():
            return None
        with self._lock:
            return self._open(generation_id)

    def ids(self) -> list[str]:
        """Ids of the generations that stand, newest first."""
        return list_ids(self.folder)

    def status(self, generation_id: str) -> Status:
        """How a generation stands for this reader."""
        return status_of(generation_id, self._current.id if self._current else None, self._standing)

    def published_at(self, generation_id: str) -> datetime | None:
        """When a generation was first made live."""
        return self._standing.published.get(generation_id)

    def entries(self) -> list[GenerationEntry]:
        """Every generation whose manifest can be read, newest first; no dataset is opened."""
        entries = []
        for generation_id in self.ids():
            try:
                info = read_info(self.folder / generation_id)
            except CorruptGeneration:
                continue
            entries.append(GenerationEntry(info, self.status(generation_id), self.published_at(generation_id)))
        return entries

    def _follow(self, wanted: str | None) -> None:
        if wanted is None:
            return
        if "/" in wanted or not (self.folder / wanted).is_dir():
            raise CorruptGeneration(f"{self.folder / CURRENT}: names {wanted!r}, which does not stand here")
        if (generation := self._open(wanted)) is not None:
            self._current, self.last_error = generation, None
            return
        self.last_error = self._refused[wanted][1]
        if self._current is not None and self._current.id != wanted and self._is_intact(self._current):
            return
        kept = (i for i in self.ids() if i != wanted and i not in self._standing.quarantined)
        self._current = next((g for g in map(self._open, kept) if g is not None), None)

    def _open(self, generation_id: str) -> Generation | None:
        """The opened and verified generation; None, with the reason kept, when it is corrupt."""
        folder = self.folder / generation_id
        signature = facts_of(folder)
        if (held := self._opened.get(generation_id)) is not None and held[1] == signature:
            return held[0]
        if (refused := self._refused.get(generation_id)) is not None and refused[0] == signature:
            return None
        try:
            generation = Generation.open_once_verified(folder)
        except CorruptGeneration as error:
            self._opened.pop(generation_id, None)
            self._refused[generation_id] = (signature, str(error))
            return None
        self._refused.pop(generation_id, None)
        self._opened[generation_id] = (generation, signature)
        return generation

    def _is_intact(self, generation: Generation) -> bool:
        """Whether a held generation still is what was verified; a pruned one is, through its mapping."""
        return not generation.folder.is_dir() or self._open(generation.id) is not None

    def _forget_pruned(self) -> None:
        for held in (self._opened, self._refused):
            for generation_id in [i for i in held if not (self.folder / i).is_dir()]:
                held.pop(generation_id, None)
