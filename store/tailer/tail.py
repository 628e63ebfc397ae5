"""Tailing the source: one reading every few seconds into one file, whatever becomes of the source (spec 06.2).

Lives here: connections, the file, the loop and its patience. Does not belong here: what is read (``facts``).
The source is only read: a role with SELECT is enough.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from store.embedded import EmbeddedPostgresError
from store.erasure import erased_people
from store.files import write_bytes_atomically
from store.home import read_home
from store.revocations import CURRENT, FOLDER, Kind, columns_of, encoded, instant_of, micros
from store.serving import CorruptGeneration, read_info
from store.serving.follower import FOLDER as GENERATIONS
from store.serving.follower import list_ids
from store.settings import Settings
from store.source import PLATFORM_SCHEMA, first_line, source_url, sqlalchemy_url
from store.tailer.facts import Fact, Remembered, facts

MAX_PAUSE_SECONDS: Final = 15.0
STATEMENT_SECONDS: Final = 30
LOCK: Final = "tailer.lock"
_LOG: Final = logging.getLogger("flowforge.revocations")
_NOW: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_LOADED: Final = f"SELECT (extract(epoch FROM min(loaded_at)) * 1000000)::bigint FROM {PLATFORM_SCHEMA}.world"


class TailerRuns(Exception):
    """Another tailer of this home runs; the text says which process."""


@dataclass(frozen=True)
class Reading:
    """What one reading left in the file."""

    read_at: datetime
    since: datetime
    entries: int
    has_changed: bool


@contextmanager
def only_tailer(home: Path, *, wait: threading.Event | None = None) -> Iterator[None]:
    """Hold the home's one place for a tailer; raises :class:`TailerRuns`.

    With ``wait`` it stands by until the place is free; it is given up when the event is set.
    """
    path = home / FOLDER / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        is_told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                runs = f"process {path.read_text().strip()} tails for {home} already"
                if wait is not None and not is_told:
                    _LOG.info("%s: standing by until it ends", runs)
                    is_told = True
                if wait is None or wait.wait(0.5):
                    raise TailerRuns(runs) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class Tailer:
    """Keeps ``HOME/revocations/current.arrow`` true."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is read yet. Hold :func:`only_tailer` while it runs."""
        record = read_home(settings.home)
        self._settings = settings
        self._home = settings.home
        self._overlap = round(settings.revocations.overlap_seconds * 1_000_000)
        self._known = Remembered(self._overlap, floor=0 if record is None else micros(record.as_of) + 1)
        self._columns = columns_of(())
        self._read_until: int | None = None
        self._covered: int | None = None
        self._as_ofs: dict[str, int] = {}

    def read(self) -> Reading:
        """Read the source once and replace the file.

        Raises ``sqlalchemy.exc.SQLAlchemyError`` or :class:`EmbeddedPostgresError` when the source cannot be
        read, ``OSError`` when the file cannot be written; what was known stays.
        """
        begun = datetime.now(UTC)
        with self._transaction() as connection:
            now = int(connection.execute(sa.text(_NOW)).scalar_one())
            base = self._base(connection, now)
            start = base if self._read_until is None or base < (self._covered or 0) else self._read_until
            found = facts(connection, start - self._overlap, now, with_every_erasure=self._read_until is None)
            changes = sum(self._known.learn(fact, now) for fact in found)
        for user, at in erased_people(self._home).items():
            changes += self._known.learn(Fact(Kind.ERASED, user, 0, 0, micros(at)), now)
        changes += self._known.forget(base)
        if changes:
            self._columns = columns_of(self._known.entries())
        since = instant_of(base)
        content = encoded(self._columns, read_at=begun, source_read_at=instant_of(now), since=since)
        write_bytes_atomically(self._home / FOLDER / CURRENT, content)
        self._read_until, self._covered = now, base
        return Reading(begun, since, len(self._known), bool(changes))

    def run(self, stop: threading.Event, beside: Sequence[Callable[[], object]] = ()) -> None:
        """Read every ``REVOCATIONS__POLL_SECONDS`` until ``stop``; a source that is away is asked again.

        ``beside``: further work of each round; its errors are logged, and do not end the loop.
        """
        failures = 0
        while not stop.is_set():
            begun = time.monotonic()
            try:
                reading = self.read()
            except (sa.exc.SQLAlchemyError, EmbeddedPostgresError, OSError) as error:
                failures += 1
                pause = min(self._settings.revocations.poll_seconds * 2 ** min(failures, 8), MAX_PAUSE_SECONDS)
                _LOG.error("reading %d in a row failed, again in %g s: %s", failures, pause, first_line(error))
            else:
                pause = self._settings.revocations.poll_seconds
                if failures:
                    _LOG.info("the source is read again")
                if reading.has_changed:
                    _LOG.info("%d revocations since %s", reading.entries, reading.since.isoformat())
                failures = 0
            for work in beside:
                try:
                    work()
                except Exception:
                    _LOG.exception("work beside the tailer failed")
            stop.wait(max(0.0, pause - (time.monotonic() - begun)))

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """One read-only transaction: every table at the same instant."""
        given = {
            "connect_timeout": 5,
            "application_name": "flowforge revocations",
            "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c timezone=UTC",
            "tcp_user_timeout": STATEMENT_SECONDS * 1000,
        }
        url = sqlalchemy_url(source_url(self._settings, "reader"))
        engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=given)
        reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        try:
            with reading.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    def _base(self, connection: sa.Connection, now: int) -> int:
        """The oldest ``as_of`` that a reader can meet: facts before it are known to every generation kept."""
        folder = self._home / GENERATIONS
        standing = list_ids(folder)
        self._as_ofs = {i: at for i in standing if (at := self._as_ofs.get(i) or _oldest(folder / i)) is not None}
        base = min([now, *self._as_ofs.values()])
        if read_home(self._home) is not None and connection.scalar(sa.text("SELECT to_regclass('flowforge.world')")):
            base = min(base, connection.scalar(sa.text(_LOADED)) or base)
        return base


def _oldest(folder: Path) -> int | None:
    """The oldest ``as_of`` of a generation's datasets, a carried one among them."""
    try:
        return min((micros(dataset.as_of) for dataset in read_info(folder).datasets), default=None)
    except CorruptGeneration:
        return None
