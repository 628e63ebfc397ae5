"""Worlds: folders of Parquet files in the source schema, loaded into a database of ours (spec 01.2).

Lives here: reading ``world.json``, loading a world whole or not at all, and the record of it in
the database. Does not belong here: making worlds (the generator), the rows' text form
(``store.world_rows``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from store.files import sha256_of
from store.home import HomeRecord, read_home, write_home
from store.manifest import canonical_json
from store.models import SCHEMA, TABLES
from store.source import PLATFORM_SCHEMA, migrate_within, require_ours, transaction
from store.world_rows import BadRow, WorldError, columns_of, copy_batches, name_bad_row
from store.world_rules import RowJudge, require_references

__all__ = ["BadRow", "Progress", "World", "WorldError", "load_world", "read_world", "world_of"]

DESCRIPTION = "world.json"
Progress = Callable[[str, int], None]
"""Called with a table and its rows so far."""

WORLD = sa.Table(
    "world",
    sa.MetaData(schema=PLATFORM_SCHEMA),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("as_of", sa.DateTime(timezone=True)),
    sa.Column("licence", sa.Text),
    sa.Column("source", sa.Text),
    sa.Column("content_sha256", sa.Text),
    sa.Column("loaded_at", sa.DateTime(timezone=True), server_default=sa.text("now()")),
)


@dataclass(frozen=True)
class World:
    """What a world is, and the hash of what it holds."""

    name: str
    as_of: datetime
    """The instant at which the world is looked at."""
    licence: str
    source: str
    content_sha256: str


class _Description(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str
    as_of: AwareDatetime
    licence: str
    source: str


def read_world(directory: Path) -> World:
    """The world in ``directory``: its description, after its files were found to be the source's.

    Raises:
        WorldError: naming the file, and the column or field.
    """
    path = directory / DESCRIPTION
    try:
        described = _Description.model_validate_json(path.read_bytes())
    except OSError as error:
        raise WorldError(f"{directory} is not a world: {DESCRIPTION} cannot be read") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise WorldError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    files = {}
    for file in sorted(directory.glob("*.parquet")):
        if file.stem not in TABLES:
            raise WorldError(f"{file.name}: the source has no table {file.stem}")
        columns_of(file, TABLES[file.stem])
        files[file.name] = sha256_of(file)
    content = {"files": files, **described.model_dump(mode="json")}
    return World(**described.model_dump(), content_sha256=hashlib.sha256(canonical_json(content)).hexdigest())


def require_free(directory: Path, *, replace: bool) -> None:
    """Raise ``FileExistsError`` when ``directory`` holds anything, unless it is a world and ``replace``."""
    is_world = (directory / DESCRIPTION).is_file()
    if directory.exists() and any(directory.iterdir()) and not (replace and is_world):
        raise FileExistsError(f"{directory} is not empty: name another folder" + (" or replace it" * is_world))


def load_world(
    engine_or_url: sa.Engine | str, directory: Path, *, replace: bool = False, progress: Progress | None = None
) -> World:
    """Migrate a database of ours and fill it with the world in ``directory``, all in one transaction.

    A missing file is an empty table; a missing column takes its default. ``replace`` empties the
    database first.

    Raises:
        BadRow: naming table, row, column, value and rule; nothing was loaded. Refused is what the schema
            refuses, and every bad row of spec 07.1; the moment of reading is the world's ``as_of``.
        WorldError: the folder or a file is not a world's, or the database is not empty.
        store.source.NotOurDatabase: the database is a customer's.
    """
    world = read_world(directory)
    with transaction(engine_or_url) as connection:
        require_ours(connection)
        migrate_within(connection)
        connection.execute(sa.text("SET LOCAL timezone = 'UTC'"))
        _empty(connection, replace=replace)
        for table in TABLES.values():
            if (path := directory / f"{table.name}.parquet").is_file():
                _copy(connection, table, path, RowJudge(table.name, world.as_of), progress)
        require_references(directory)
        connection.execute(sa.insert(WORLD).values(**world.__dict__))
    return world


def world_of(engine_or_url: sa.Engine | str) -> World | None:
    """The world a database was filled from; None for any other database, a customer's above all."""
    with transaction(engine_or_url) as connection:
        if connection.scalar(sa.text("SELECT to_regclass(:name)"), {"name": f"{PLATFORM_SCHEMA}.{WORLD.name}"}) is None:
            return None
        columns = (column for column in WORLD.columns if column.name != "loaded_at")
        found = connection.execute(sa.select(*columns)).mappings().first()
    return None if found is None else World(**found)


def remember(home: Path, world: World, origin: str | None = None) -> None:
    """Keep beside a home which world it holds; ``origin`` says what was asked for (else what stood, or its name)."""
    record = read_home(home)
    if origin is None and record is not None and (record.world, record.as_of) == (world.name, world.as_of):
        return
    write_home(home, HomeRecord(world=world.name, as_of=world.as_of, origin=origin or f"loaded:{world.name}"))


def _empty(connection: sa.Connection, *, replace: bool) -> None:
    probes = ", ".join(f'EXISTS (SELECT FROM {SCHEMA}."{name}")' for name in TABLES)
    full = [
        name
        for name, has_rows in zip(TABLES, connection.execute(sa.text(f"SELECT {probes}")).one(), strict=True)
        if has_rows
    ]
    if full and not replace:
        raise WorldError(f"the database is not empty ({full[0]} holds rows): load with --replace to empty it first")
    if full:
        connection.execute(sa.text("TRUNCATE " + ", ".join(f'{SCHEMA}."{name}"' for name in full)))
    connection.execute(sa.delete(WORLD))


def _copy(connection: sa.Connection, table: sa.Table, path: Path, judge: RowJudge, progress: Progress | None) -> None:
    columns = ", ".join(f'"{name}"' for name in columns_of(path, table))
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError("worlds are loaded through psycopg")
    rows = 0
    try:
        with driver.cursor() as cursor:
            with cursor.copy(f'COPY {SCHEMA}."{table.name}" ({columns}) FROM STDIN'.encode()) as copy:
                for batch, text in copy_batches(path):
                    judge.see(batch)
                    copy.write(text)
                    rows += batch.height
                    if progress is not None:
                        progress(table.name, rows)
            cursor.execute(f'ANALYZE {SCHEMA}."{table.name}"'.encode())
    except psycopg.Error as error:
        raise name_bad_row(error, table, path) from error
    judge.require_good()
