"""The ledger in Postgres (spec 04.5): its address, its migrations, and who must not be written to.

Lives here: the table ``suppressions`` and the booking of the notes that one-click unsubscriptions leave in HOME.
Does not belong here: the app's database (``store.source``), the notes' text (``store.payloads``), sending.
"""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import Final, Self

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.dialects.postgresql import insert

from store.embedded import LEDGER_DATABASE, EmbeddedPostgresError
from store.files import fsync_dir
from store.payloads import INBOX, UnsubscribeInvalid, read_note
from store.payloads.unsubscribes import EVERY_CATEGORY
from store.pg_binaries import PostgresNotFound
from store.settings import Settings
from store.source import PLATFORM_SCHEMA, embedded_server, first_line, migrations, sqlalchemy_url, transaction

VERSION_TABLE: Final = "alembic_version_ledger"
STALE_DRAFT_SECONDS: Final = 3600.0
SAID_AGAIN_SECONDS: Final = 600.0
NOTES: Final = "unsubscribe-*.json"
log = logging.getLogger("flowforge.ledger")

metadata = sa.MetaData(schema=PLATFORM_SCHEMA)
SUPPRESSIONS: Final = sa.Table(
    "suppressions",
    metadata,
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("category", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("reason IN ('unsubscribed', 'bounced', 'complained')", name="ck_suppressions_reason"),
)
"""Whom not to write to over a channel; ``category`` null = every one. One row for each reason."""
_columns = SUPPRESSIONS.c
sa.Index(
    "ux_suppressions",
    _columns.user_id,
    _columns.channel,
    sa.func.coalesce(_columns.category, sa.literal_column("''")),
    _columns.reason,
    unique=True,
)


def ledger_url(settings: Settings) -> str:
    """SQLAlchemy URL of the ledger: the one configured, else database ``flowforge`` on the running embedded server.

    Raises :class:`store.embedded.EmbeddedPostgresError` if the embedded server does not run.
    """
    if settings.ledger.url:
        return sqlalchemy_url(settings.ledger.url)
    return embedded_server(settings).url(LEDGER_DATABASE)


def migrate_ledger(engine_or_url: sa.Engine | str, revision: str = "head") -> None:
    """Migrate the ledger up to ``revision``. Only schema ``flowforge`` is touched: it may lie beside other tables."""
    with transaction(engine_or_url) as connection:
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {PLATFORM_SCHEMA}"))
        command.upgrade(_config(connection), revision)


def migrate_ledger_down(engine_or_url: sa.Engine | str, revision: str = "base") -> None:
    """Migrate the ledger down to ``revision``, dropping what is above it, data included."""
    with transaction(engine_or_url) as connection:
        command.downgrade(_config(connection), revision)


def book_unsubscribes(home: Path, engine_or_url: sa.Engine | str) -> int:
    """Book the notes in ``home/inbox`` into ``suppressions``; how many were there. To be called before any send.

    A note is removed only after its row is committed, and a row that stands is left as it is: a crash at any
    moment and two callers at once lose nothing and book nothing twice. A note that cannot be read is set aside
    (``.refused``) and logged, so that it does not keep the others waiting. The ledger must be migrated.
    """
    folder = home / INBOX
    _sweep(folder)
    notes = _notes(folder)
    if not notes:
        return 0
    statement = insert(SUPPRESSIONS).on_conflict_do_nothing()
    with transaction(engine_or_url) as connection:
        connection.execute(statement, list(notes.values()))
    for path in notes:
        path.unlink(missing_ok=True)
    fsync_dir(folder)
    return len(notes)


class LedgerAway(Exception):
    """The ledger cannot be had; the message says why, which setting names it, and that no note is lost."""


class Bookkeeper:
    """Books the inbox of a home into the ledger of its settings, for as long as a tailer runs.

    A context manager: where no ledger is configured it starts the home's embedded server when there is something to
    book, though the app's data lie elsewhere, and stops it at the end if it started it.
    """

    def __init__(self, settings: Settings, repeat_seconds: float = SAID_AGAIN_SECONDS) -> None:
        self._settings = settings
        self._repeat_seconds = repeat_seconds
        self._started = contextlib.ExitStack()
        self._said_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()

    def book(self) -> int:
        """Book what was left, the ledger migrated first; how many notes. An empty inbox asks no server.

        Raises :class:`LedgerAway`; the notes stay where they are.
        """
        home = self._settings.home
        if not (waiting := len(list((home / INBOX).glob(NOTES)))):
            return 0
        try:
            self._start()
            url = ledger_url(self._settings)
            migrate_ledger(url)
            return book_unsubscribes(home, url)
        except (sa.exc.SQLAlchemyError, EmbeddedPostgresError, PostgresNotFound, OSError, ValueError) as error:
            raise LedgerAway(
                f"unsubscriptions cannot be booked: {waiting} kept in {home / INBOX} until the ledger can be had "
                f"({_named(self._settings)}): {first_line(error)}"
            ) from error

    def book_or_say(self) -> None:
        """As :meth:`book`, for a round of a loop: a ledger that is away is said once, and again at intervals."""
        try:
            booked = self.book()
        except LedgerAway as error:
            if self._said_at is None or time.monotonic() - self._said_at >= self._repeat_seconds:
                log.error("%s", error)
                self._said_at = time.monotonic()
            return
        self._said_at = None
        if booked:
            log.info("unsubscriptions booked: %d", booked)

    def _start(self) -> None:
        server = embedded_server(self._settings)
        if self._settings.ledger.url is None and server.running is None:
            self._started.enter_context(server)
            log.info("the ledger is %s", _named(self._settings))


def _named(settings: Settings) -> str:
    """Where the ledger is, by the setting that says so; never its URL, which may hold a password."""
    if settings.ledger.url:
        return "FLOWFORGE_LEDGER__URL"
    return f"database {LEDGER_DATABASE} on the embedded Postgres of {settings.home}; FLOWFORGE_LEDGER__URL is not set"


def _notes(folder: Path) -> dict[Path, dict[str, object]]:
    """The rows of the notes that can be read, by their file."""
    found: dict[Path, dict[str, object]] = {}
    for path in sorted(folder.glob(NOTES)):
        try:
            asked, at = read_note(path)
        except FileNotFoundError:
            continue  # another caller booked it
        except UnsubscribeInvalid as error:
            log.error("an unsubscription is set aside: %s", error)
            with contextlib.suppress(FileNotFoundError):
                path.replace(path.with_suffix(".refused"))
            continue
        category = None if asked.category == EVERY_CATEGORY else asked.category
        found[path] = {"user_id": asked.user_id, "channel": asked.channel, "category": category,
                       "reason": "unsubscribed", "created_at": at}  # fmt: skip
    return found


def _sweep(folder: Path) -> None:
    """Remove drafts that a killed writer left; one that is young may be in use."""
    for draft in folder.glob(".*.tmp"):
        try:
            if time.time() - draft.stat().st_mtime > STALE_DRAFT_SECONDS:
                draft.unlink()
        except FileNotFoundError:
            continue


def _config(connection: sa.Connection) -> Config:
    config = migrations(connection, "ledger")
    config.attributes["version_table"] = VERSION_TABLE
    return config
