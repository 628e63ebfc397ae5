"""Spec 07.2: a snapshot cut short anywhere leaves nothing to be seen; the next one succeeds; the error says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from store.embedded import EmbeddedPostgres
from store.failpoints import FAILPOINTS
from store.lake import Lake
from store.settings import SnapshotSettings
from store.snapshots import SnapshotError, take_snapshot
from store.source import libpq_url, migrate
from tests.support.flowforge import child_environment
from tests.support.source import run

POINTS = sorted(p for p in FAILPOINTS if p.startswith("snapshots.") and p != "snapshots.taken")
QUICK = ("snapshots.reading", "snapshots.written")
FILL = "INSERT INTO app.feed_reads SELECT i, now() FROM generate_series(1, 500) i"
CHILD = """
import sys
from pathlib import Path
from store.lake import Lake
from store.settings import SnapshotSettings
from store.snapshots import take_snapshot
print(take_snapshot(sys.argv[1], Lake(Path(sys.argv[2])), SnapshotSettings()).id)
"""


def _taken_by_a_child(url: str, home: Path, failpoint: str) -> subprocess.CompletedProcess[str]:
    environment = child_environment(home, {"FLOWFORGE_ENV": "test", "FLOWFORGE_FAILPOINT": failpoint})
    return subprocess.run(
        [sys.executable, "-c", CHILD, url, str(home)],
        env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("point", [p if p in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in POINTS])
def test_a_reader_killed_anywhere_leaves_no_half_snapshot(point: str, tmp_path: Path, fresh_database: str) -> None:
    run(fresh_database, FILL)
    lake = Lake(tmp_path / "home")
    good = take_snapshot(fresh_database, lake, SnapshotSettings())
    killed = _taken_by_a_child(fresh_database, lake.home, f"{point}:kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    whole = 2 if point == "snapshots.renamed" else 1
    assert len(lake.snapshot_ids()) == whole
    assert lake.snapshot_ids()[0] == good.id
    for snapshot_id in lake.snapshot_ids():
        manifest = lake.snapshot(snapshot_id)
        assert lake.scan_snapshot(manifest, "feed_reads").collect().height == 500
    lake.sweep()
    assert len(list(lake.snapshots_dir.iterdir())) == whole
    again = take_snapshot(fresh_database, lake, SnapshotSettings())
    assert again.tables["feed_reads"] == good.tables["feed_reads"]
    run(fresh_database, "SET lock_timeout = '5s'", "TRUNCATE app.feed_reads")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    tmp_path.chmod(0o755)
    with EmbeddedPostgres(tmp_path / "server", options={"fsync": "off"}) as server:
        yield server


def _stop_immediately(server: EmbeddedPostgres) -> None:
    """What ``pg_ctl -m immediate stop`` does."""
    running = server.running
    assert running is not None
    os.kill(running.pid, signal.SIGQUIT)
    _wait(lambda: server.running is None)


def _wait(until: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_stopped_at_once_anywhere_leaves_nothing_and_the_error_says_so(
    own_server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    migrate(own_server.url())
    run(own_server.url(), FILL)
    lake = Lake(tmp_path / "home")
    good = take_snapshot(own_server.url(), lake, SnapshotSettings())
    monkeypatch.setenv("FLOWFORGE_ENV", "test")
    for point in ("snapshots.locked", "snapshots.exported", "snapshots.read"):
        caplog.clear()
        monkeypatch.setenv("FLOWFORGE_FAILPOINT", f"{point}:sleep")
        with ThreadPoolExecutor(1) as pool:
            taken = pool.submit(take_snapshot, own_server.url(), lake, SnapshotSettings())
            _wait(lambda point=point: f"failpoint {point}: held" in caplog.text)
            _stop_immediately(own_server)
            monkeypatch.delenv("FLOWFORGE_FAILPOINT")
            error = taken.exception(60)
        assert isinstance(error, SnapshotError)
        assert "terminating connection" in str(error) or "server closed the connection" in str(error), str(error)
        assert [path.name for path in lake.snapshots_dir.iterdir()] == [good.id]
        assert own_server.start()
        with psycopg.connect(libpq_url(own_server.url())) as connection:
            assert connection.execute("SELECT count(*) FROM app.feed_reads").fetchone() == (500,)
    assert take_snapshot(own_server.url(), lake, SnapshotSettings()).tables["feed_reads"] == good.tables["feed_reads"]


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="the source failed"):
        take_snapshot("postgresql://nobody@127.0.0.1:1/app", Lake(tmp_path), SnapshotSettings())
