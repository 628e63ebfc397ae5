"""Following the file of revocations: what a reader knows, and how long ago the source was read (spec 06.2).

Lives here: the poll, the swap of one reference, staleness. Does not belong here: the event loop
(``refresh`` blocks: run it in a thread), alerts.
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

from store.revocations.entries import CURRENT, FOLDER, RevocationFile, RevocationsUnreadable, micros, read_file
from store.revocations.rules import Held

Mode = Literal["required", "best_effort", "off"]
MAX_VIEWS: Final = 16
_Signature = tuple[int, int, int]


class View(NamedTuple):
    """What counts for data of one ``as_of``. ``is_degraded``: what is not public is to be withheld."""

    held: Held | None
    is_degraded: bool


class _Known(NamedTuple):
    """A file and its entries arranged by ``as_of``: swapped together, so that no view outlives its file."""

    file: RevocationFile
    views: dict[datetime, tuple[View, View]]
    """As it is while the file is fresh, and once it is stale."""
    asked: set[datetime]
    """Of those, what was looked at since the file came: only these are arranged for the next one."""
    editions: tuple[object, object]
    """What tells this file's entries from any other's, as they count while the file is fresh and once it is stale."""

    def arrange(self, as_of: datetime, mode: Mode, before: Held | None = None) -> tuple[View, View]:
        """The views of data of ``as_of``; ``before``: what was known of them until now."""
        held = Held(self.file.columns, micros(as_of), before)
        is_required = mode == "required"
        is_uncovered = as_of < self.file.since
        if len(self.views) >= MAX_VIEWS:
            self.views.clear()
        found = self.views[as_of] = View(held, is_required and is_uncovered), View(held, is_required)
        return found


_UNBOUND: Final = View(None, is_degraded=False)


class Revocations:
    """The revocations below ``home`` as one reader knows them."""

    def __init__(self, home: Path, mode: Mode, stale_seconds: float) -> None:
        """Nothing is read before the first :meth:`refresh`."""
        self.path = home / FOLDER / CURRENT
        self.mode = mode
        self.stale_seconds = stale_seconds
        self.last_error: str | None = None
        """Why the file that stands is not the one applied; None when it is."""
        self._known: _Known | None = None
        self._read_at = 0.0
        self._signature: _Signature | None = None

    def refresh(self) -> bool:
        """Look at the file; True when other entries are applied than before. What is known stays if it cannot be read.

        An unreadable file is looked at again when it is replaced; meanwhile what is known grows old.
        """
        if self.mode == "off":
            return False
        try:
            stat = self.path.stat()
            signature = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if signature == self._signature:
                return False
            self._signature, file = signature, read_file(self.path)
        except FileNotFoundError:
            self._signature, self.last_error = (
                None,
                f"{self.path}: there is none yet: is `flowforge revocations` running?",
            )
            return False
        except (RevocationsUnreadable, OSError) as error:
            self.last_error = str(error)
            return False
        self.last_error = None
        before = self._known
        is_other = before is None or (before.file.content, before.file.since) != (file.content, file.since)
        if is_other:
            known = _Known(file, {}, set(), (object(), object()))
            if before is not None:
                for as_of, (view, _) in list(before.views.items()):
                    if as_of in before.asked:
                        known.arrange(as_of, self.mode, view.held)
            self._known = known
        self._read_at = file.read_at.timestamp()
        return is_other

    def view(self, as_of: datetime) -> View:
        """What counts for data of ``as_of``, now."""
        if self.mode == "off":
            return _UNBOUND
        known = self._known
        if known is None:
            return View(None, self.mode == "required")
        known.asked.add(as_of)
        views = known.views.get(as_of) or known.arrange(as_of, self.mode)
        return views[self.mode == "required" and self.is_stale()]

    def edition(self) -> object:
        """Another object as soon as any :meth:`view` may be another: what was concluded from views holds until then."""
        known = self._known
        return None if known is None else known.editions[self.mode == "required" and self.is_stale()]

    def age_seconds(self) -> float | None:
        """Seconds since the source was read; None before the first file, and with mode ``off``.

        A time ahead of this clock by more than the limit is no knowledge either.
        """
        if self._known is None or self.mode == "off":
            return None
        age = time.time() - self._read_at
        return max(0.0, age) if age > -self.stale_seconds else None

    def is_stale(self) -> bool:
        """Whether more than ``stale_seconds`` passed since the source was read, or it was never read."""
        return self._known is None or not -self.stale_seconds < time.time() - self._read_at <= self.stale_seconds
