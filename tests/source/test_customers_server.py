"""Spec 01.3, 01.4: a customer's server, reached by its URL, through a role that can only read; a hot standby."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from store.diagnosis import Finding, machine
from store.diagnosis import source as look_at
from store.embedded import EmbeddedPostgres
from store.lake import Lake
from store.pg_binaries import find_binaries, runnable_binaries, server_account
from store.settings import Settings, SnapshotSettings
from store.snapshots import take_snapshot
from store.source import libpq_url, migrate
from tests.support.flowforge import flowforge
from tests.support.source import run

DOCS = Path(__file__).parents[2] / "docs" / "source.md"
FILL = "INSERT INTO app.feed_reads SELECT i, now() FROM generate_series(1, 50) i"


@pytest.fixture
def customers(new_database: Callable[..., str], postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a database that carries no mark of ours, through the role that docs/source.md makes."""
    url = new_database()
    run(url, FILL, "DROP SCHEMA flowforge CASCADE")
    admin = postgres_server.url(make_url(url).database or "", "superuser")
    statements = re.search(r"```sql\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert statements
    run(admin, statements[1])
    parsed = make_url(url).set(username="flowforge_snapshots", password="choose-one")
    run(admin, f"GRANT CONNECT ON DATABASE {parsed.database} TO flowforge_snapshots")
    yield parsed.render_as_string(hide_password=False)
    run(admin, "DROP OWNED BY flowforge_snapshots", "DROP ROLE flowforge_snapshots")


def _not_ok(findings: Iterator[Finding]) -> dict[str, str]:
    return {f.what: f.status for f in findings if f.status != "ok"}


def test_the_documented_role_can_take_a_snapshot_and_nothing_else(customers: str, tmp_path: Path) -> None:
    manifest = take_snapshot(customers, Lake(tmp_path), SnapshotSettings())
    assert manifest.tables["feed_reads"].rows == 50
    assert _not_ok(look_at(customers)) == {}
    for statement in ("DELETE FROM app.feed_reads", "CREATE TABLE app.x (i int)", "TRUNCATE app.feed_reads"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(customers, statement)


def test_the_doctor_finds_a_customers_server_well_and_says_what_to_do_when_it_is_not(
    customers: str, tmp_path: Path
) -> None:
    good = flowforge("doctor", "--json", home=tmp_path / "home", FLOWFORGE_SOURCE__URL=libpq_url(customers))
    assert good.returncode == 0, good.stdout + good.stderr
    assert {"Python", "disk", "time zones", "server", "grants", "columns", "clock"} <= {
        finding["what"] for finding in json.loads(good.stdout)
    }
    bad = flowforge("doctor", home=tmp_path / "home", FLOWFORGE_SOURCE__URL="postgresql://x@127.0.0.1:1/app")
    assert bad.returncode == 1
    assert "correct FLOWFORGE_SOURCE__URL" in bad.stdout


def test_what_a_source_lacks_is_found(new_database: Callable[..., str], postgres_server: EmbeddedPostgres) -> None:
    url = new_database()
    reader = postgres_server.url(make_url(url).database or "", "reader")
    assert _not_ok(look_at(url)) == {"least privilege": "warning"}
    run(url, "REVOKE SELECT ON app.mutes FROM flowforge_reader", "ALTER TABLE app.groups ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE app.users ADD COLUMN phone text")  # fmt: skip
    findings = {finding.what: finding for finding in look_at(reader)}
    assert findings["grants"].said == "role flowforge_reader may not read mutes"
    assert "GRANT SELECT ON ALL TABLES IN SCHEMA app TO flowforge_reader" in findings["grants"].do
    assert "groups" in findings["row security"].said
    assert (findings["columns"].status, findings["columns"].said) == ("warning", "users.phone is not copied")
    run(url, "ALTER TABLE app.users DROP COLUMN locale")
    assert "users.locale: expected text, found no column" in {f.what: f for f in look_at(reader)}["columns"].said
    assert _not_ok(look_at(new_database(migrated=False))) == {"schema": "failed", "columns": "failed"}


def test_the_machine_this_runs_on_is_well(tmp_path: Path) -> None:
    assert _not_ok(machine(Settings(home=tmp_path))) == {}


def test_a_hot_standby_is_read_like_its_primary(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    account = server_account()
    programs = runnable_binaries(find_binaries(), account)
    if not (programs / "pg_basebackup").is_file():
        pytest.skip("these server binaries bring no pg_basebackup")
    options = {"fsync": "off", "wal_level": "replica", "max_wal_senders": "4"}
    with EmbeddedPostgres(tmp_path / "primary", options=options) as primary:
        migrate(primary.url())
        run(primary.url(), FILL)
        standby = EmbeddedPostgres(tmp_path / "standby", options=options)
        standby.folder.mkdir(parents=True)
        subprocess.run(
            [programs / "pg_basebackup", "-D", standby.data, "-R", "--checkpoint=fast", "--wal-method=stream",
             "-d", libpq_url(primary.url("postgres", "superuser"))],
            check=True, capture_output=True, cwd="/", env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        for path in (standby.data, *standby.data.rglob("*")) if account is not None else ():
            shutil.chown(path, account.uid, account.gid)
        shutil.copy(primary.folder / "credentials.json", standby.folder / "credentials.json")
        with standby:
            reader = standby.url(role="reader")
            assert run(reader, "SELECT pg_is_in_recovery()") == [(True,)]
            manifest = take_snapshot(reader, Lake(tmp_path / "home"), SnapshotSettings())
            assert manifest.tables["feed_reads"].rows == 50
            assert (manifest.model_extra or {})["lsn"] != "None"
            assert _not_ok(look_at(reader)) == {"standby": "warning"}
