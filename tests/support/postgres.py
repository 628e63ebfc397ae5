"""One embedded server for the whole test session, and a fresh migrated database for each test that asks."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from store.embedded import EmbeddedPostgres
from store.source import libpq_url, migrate

WORLDS = Path(__file__).parents[2].parent / "shared" / "worlds"
TEMPLATE = "template_migrated"
_numbers = itertools.count()


def world_folder(name: str) -> Path:
    """A shared world, or the test is skipped."""
    folder = WORLDS / name
    if not folder.is_dir():
        pytest.skip(f"world {name} is not beside the project ({WORLDS})")
    return folder


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running server; its data are thrown away, so it does not wait for the disk."""
    options = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    with EmbeddedPostgres(tmp_path_factory.mktemp("server"), options=options) as server:
        with psycopg.connect(libpq_url(server.url("postgres", "superuser")), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE} OWNER flowforge_owner")
        migrate(server.url(TEMPLATE))
        yield server


@pytest.fixture
def new_database(postgres_server: EmbeddedPostgres) -> Iterator[Callable[..., str]]:
    """Makes databases: ``new_database()`` is migrated and empty, ``new_database(migrated=False)`` bare."""
    made: list[str] = []
    admin = libpq_url(postgres_server.url("postgres", "superuser"))

    def make(*, migrated: bool = True) -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        template = TEMPLATE if migrated else "template0"
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER flowforge_owner TEMPLATE {template} STRATEGY file_copy")
        made.append(name)
        return postgres_server.url(name)

    yield make
    with psycopg.connect(admin, autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def fresh_database(new_database: Callable[..., str]) -> str:
    """SQLAlchemy URL of a migrated, empty database of this test alone."""
    return new_database()
