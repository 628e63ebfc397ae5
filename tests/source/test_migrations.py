"""Spec 01.1: the models are the schema; migrations go up and down; only databases of ours are changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint

from pipelines.schema_page import QUERIES, plans, plans_page
from store.models import TABLES, metadata
from store.source import NotOurDatabase, libpq_url, migrate, migrate_down, ownership, row_counts, transaction
from tests.support.source import run

DOCUMENTED_VERSION = 18
"""The major version of Postgres whose plans docs/indexes.md shows."""


def _differences(url: str) -> list[object]:
    with transaction(url) as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "compare_type": True,
                "compare_server_default": True,
                "include_name": lambda name, kind, _: name == "app" if kind == "schema" else True,
            },
        )
        return compare_metadata(context, metadata)


def test_the_migrations_build_exactly_the_models_also_after_down_and_up(new_database: Callable[..., str]) -> None:
    url = new_database(migrated=False)
    migrate(url)
    assert _differences(url) == []
    checks = run(url, "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'app'::regnamespace")
    wanted = {c.name for table in TABLES.values() for c in table.constraints if isinstance(c, CheckConstraint)}
    assert {name for (name,) in checks} == wanted
    assert migrate_down(url) == "base"
    assert run(url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'app'") == [(0,)]
    assert run(url, "SELECT count(*) FROM pg_type WHERE typtype = 'e'") == [(0,)]
    migrate(url)
    assert _differences(url) == []
    assert set(row_counts(url)) == set(TABLES)


def test_every_step_down_undoes_its_step_up(new_database: Callable[..., str]) -> None:
    url = new_database(migrated=False)
    for revision in ("0001", "0002", "0003"):
        assert migrate(url, revision) == revision
    for revision in ("0002", "0001"):
        assert migrate_down(url, revision) == revision
    assert run(url, "SELECT count(*) FROM pg_indexes WHERE schemaname = 'app' AND indexname LIKE 'ix_%'") == [(0,)]
    assert migrate(url) == "0003"


def test_a_customers_database_is_never_migrated(new_database: Callable[..., str]) -> None:
    url = new_database(migrated=False)
    run(url, "CREATE SCHEMA app", "CREATE TABLE app.users (id bigint)", "INSERT INTO app.users VALUES (1)")
    for change in (migrate, migrate_down):
        with pytest.raises(NotOurDatabase, match="did not create"):
            change(url)
    assert run(url, "SELECT id FROM app.users") == [(1,)]
    assert run(url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'flowforge'") == [(0,)]


def test_migrating_down_an_empty_database_does_nothing(new_database: Callable[..., str]) -> None:
    url = new_database(migrated=False)
    assert migrate_down(url) == "base"
    with transaction(url) as connection:
        assert ownership(connection) == "empty"


def test_data_survive_every_revision_down_and_up_again(new_database: Callable[..., str]) -> None:
    url = new_database(migrated=False)
    migrate(url)
    run(
        url,
        "INSERT INTO app.friendships VALUES (1, 2, now()), (1, 3, now())",
        "INSERT INTO flowforge.world VALUES ('w', now(), 'none', 'test', 'x')",
    )
    for revision in ("0002", "0001"):
        assert migrate_down(url, revision) == revision
        assert run(url, "SELECT count(*) FROM app.friendships") == [(2,)]
    for revision in ("0002", "0003"):
        assert migrate(url, revision) == revision
        assert run(url, "SELECT count(*) FROM app.friendships") == [(2,)]
    assert run(url, "SELECT count(*) FROM flowforge.world") == [(0,)], "what a step down drops is gone"
    assert _differences(url) == []


def test_every_index_serves_the_query_it_is_there_for(fresh_database: str) -> None:
    wanted = {str(index.name) for table in TABLES.values() for index in table.indexes}
    assert set(QUERIES) == wanted
    with psycopg.connect(libpq_url(fresh_database)) as connection:
        explained = plans(connection)
        version = connection.info.server_version
    for index, plan in explained.items():
        assert index[:63] in plan, plan
    if version // 10_000 == DOCUMENTED_VERSION:
        page = (Path(__file__).parents[2] / "docs" / "indexes.md").read_text()
        assert page == plans_page(explained), "run `python -m pipelines.schema_page`"
