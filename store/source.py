"""The app's Postgres: its URL and engine, its migrations, who owns it, and how many rows it holds.

Migrations run only on databases of ours: empty ones, and ones that carry our version table. A
customer's database is never changed. Does not belong here: the server (``store.embedded``),
worlds, snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from store.embedded import READER, EmbeddedPostgres, Role
from store.models import SCHEMA, TABLES
from store.settings import Settings

PLATFORM_SCHEMA = "flowforge"
MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "alembic_version"


class NotOurDatabase(Exception):
    """The platform was asked to change a database that it does not own."""


def embedded_server(settings: Settings) -> EmbeddedPostgres:
    """The embedded server of the settings' home (not started)."""
    return EmbeddedPostgres(settings.home, settings.source.pg_bin)


def source_url(settings: Settings, role: Role = "owner") -> str:
    """SQLAlchemy URL of the app's database: the customer's, else the running embedded server's.

    Raises :class:`store.embedded.EmbeddedPostgresError` if the embedded server does not run.
    """
    if settings.source.url:
        return sqlalchemy_url(settings.source.url)
    return embedded_server(settings).url(role=role)


def sqlalchemy_url(url: str) -> str:
    """``url`` with the driver that the platform uses (``postgres://`` and no driver are accepted)."""
    parsed = sa.make_url(url)
    if not parsed.drivername.startswith("postgres"):
        raise ValueError(f"not a Postgres URL: {parsed.render_as_string()}")
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def libpq_url(url: str) -> str:
    """The same address for libpq (psycopg, ADBC, psql)."""
    return sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def source_engine(url: str) -> sa.Engine:
    """An engine that keeps no idle connection open."""
    return sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)


def first_line(error: Exception) -> str:
    """What an error of the database says, in one line: without the driver's class and SQLAlchemy's links."""
    told = error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig is not None else error
    return (str(told).strip() or type(told).__name__).partition("\n")[0]


@contextmanager
def transaction(engine_or_url: sa.Engine | str) -> Iterator[sa.Connection]:
    """One transaction on one connection; the engine is disposed of if it was made here."""
    if isinstance(engine_or_url, sa.Engine):
        with engine_or_url.begin() as connection:
            yield connection
        return
    engine = source_engine(engine_or_url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def ownership(connection: sa.Connection) -> Literal["ours", "empty", "foreign"]:
    """Whether the database carries our version table, holds nothing of anyone, or is someone else's."""
    relations = connection.execute(
        sa.text(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
        )
    ).all()
    if (PLATFORM_SCHEMA, VERSION_TABLE) in {(schema, name) for schema, name in relations}:
        return "ours"
    return "foreign" if relations else "empty"


def require_ours(connection: sa.Connection) -> None:
    """Refuse a database that is neither empty nor ours.

    Raises:
        NotOurDatabase: naming the database.
    """
    if ownership(connection) == "foreign":
        name = connection.scalar(sa.text("SELECT current_database()"))
        raise NotOurDatabase(
            f"database {name} holds tables that this platform did not create: it is never migrated, loaded or emptied"
        )


def migrate(engine_or_url: sa.Engine | str, revision: str = "head") -> str:
    """Migrate a database of ours up to ``revision``; the revision it then stands at.

    Raises:
        NotOurDatabase: before anything is changed.
    """
    with transaction(engine_or_url) as connection:
        return migrate_within(connection, revision)


def migrate_within(connection: sa.Connection, revision: str = "head") -> str:
    """As :func:`migrate`, inside the caller's transaction."""
    require_ours(connection)
    connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {PLATFORM_SCHEMA}"))
    command.upgrade(migrations(connection, "source"), revision)
    _let_the_reader_read(connection)
    return current_revision(connection) or "base"


def migrate_down(engine_or_url: sa.Engine | str, revision: str = "base") -> str:
    """Migrate a database of ours down to ``revision``, dropping what is above it, data included."""
    with transaction(engine_or_url) as connection:
        require_ours(connection)
        if ownership(connection) == "ours":
            command.downgrade(migrations(connection, "source"), revision)
        return current_revision(connection) or "base"


def current_revision(connection: sa.Connection) -> str | None:
    """The migration the database stands at; None before the first."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": PLATFORM_SCHEMA})
    return context.get_current_revision()


def row_counts(engine_or_url: sa.Engine | str) -> dict[str, int]:
    """Rows of every table of schema ``app``, by table name."""
    union = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {SCHEMA}.\"{name}\"" for name in sorted(TABLES))
    with transaction(engine_or_url) as connection:
        return {row[0]: row[1] for row in connection.execute(sa.text(union))}


def migrations(connection: sa.Connection, chain: str) -> Config:
    """Alembic's configuration for one chain of migrations (``source``, ``ledger``) over an open connection."""
    config = Config()
    for option, folder in (("script_location", MIGRATIONS), ("version_locations", MIGRATIONS / "versions" / chain)):
        config.set_main_option(option, str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    return config


def _let_the_reader_read(connection: sa.Connection) -> None:
    """USAGE and SELECT, nothing else, for the role that takes snapshots (where the server has it)."""
    if not connection.scalar(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": READER}):
        return
    for schema in (SCHEMA, PLATFORM_SCHEMA):
        if connection.scalar(sa.text("SELECT 1 FROM pg_namespace WHERE nspname = :schema"), {"schema": schema}):
            connection.execute(sa.text(f"GRANT USAGE ON SCHEMA {schema} TO {READER}"))
            connection.execute(sa.text(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {READER}"))
