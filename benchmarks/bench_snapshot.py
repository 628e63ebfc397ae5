"""How fast a snapshot is read, against what Postgres itself can send, and in how much memory (spec 01.4).

Goal: rows/s of ``activities`` at least 0.8 of ``psql -c "COPY … TO STDOUT (FORMAT binary)" > /dev/null`` in
the same run; peak memory at most 400 MB and within 10 % between 2 and 8 million rows.

``python benchmarks/bench_snapshot.py [ROWS] [ROUNDS]`` builds a database below a temporary folder. Every
contender reads in a process of its own; rounds are interleaved, so that a busy machine slows all alike.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import in_child, machine_facts, table, write_section

ROWS, ROUNDS, LARGE = 2_000_000, 3, 4
SAMPLE = 200_000
GOAL, MOST_MIB, MOST_GROWTH = 0.8, 400, 1.10

FILL = """
INSERT INTO app.activities
SELECT i, i % 50021 + 1, (ARRAY['post','comment','reaction','reshare']::app.activity_verb[])[i % 4 + 1],
       (ARRAY['post','comment']::app.object_type[])[i % 2 + 1], i - i % 7, i % 40009 + 1,
       CASE WHEN i % 3 = 0 THEN i % 30011 + 1 END,
       CASE WHEN i % 10 = 0 THEN ARRAY[i % 1000, i % 777]::bigint[] ELSE '{{}}' END,
       CASE WHEN i % 5 = 0 THEN i % 900 END, 'public', 'friends',
       jsonb_build_object('text', 'activity ' || i || ' ' || md5(i::text), 'tags', i % 12),
       timestamptz '2025-01-01' + i * interval '7 seconds', NULL,
       CASE WHEN i % 50 = 0 THEN timestamptz '2026-01-01' END
FROM generate_series({first}::bigint, {last}::bigint) AS i
"""


def main() -> None:
    """Build, measure, print, and write the section of the results."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    with tempfile.TemporaryDirectory(prefix="bench-snapshot-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        _bench(home, rows, rounds)


def _bench(home: Path, rows: int, rounds: int) -> None:
    # Imported here: a contender's process loads only what it needs.
    from store.embedded import EmbeddedPostgres  # noqa: PLC0415
    from store.pg_binaries import find_binaries  # noqa: PLC0415
    from store.source import libpq_url, migrate  # noqa: PLC0415

    with EmbeddedPostgres(home, options={"fsync": "off", "max_wal_size": "4GB"}) as server:
        url = libpq_url(server.url())
        migrate(url)
        _fill(url, 1, rows)
        psql = str(find_binaries().parent / "bin" / "psql")
        contenders = ("snapshot", "read_database_uri", "connectorx", "fetchmany")
        seconds: dict[str, list[float]] = {name: [] for name in ("psql", *contenders)}
        peaks: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            seconds["psql"].append(_psql(psql, url))
            for name in contenders:
                told = in_child(__file__, name, url, str(home / "lake"), timeout=900)
                if "skipped" not in told:
                    seconds[name].append(told["seconds"] * rows / told["rows"])
                    peaks[name].append(told["peak_mib"])
        _fill(url, rows + 1, LARGE * rows)
        large = in_child(__file__, "snapshot", url, str(home / "lake"), timeout=900)
    _report(rows, seconds, peaks, large)


def _report(rows: int, seconds: dict[str, list[float]], peaks: dict[str, list[float]], large: dict[str, Any]) -> None:
    # The ratio of each round, then the median: both sides of a round saw the same load.
    names = {"psql": "psql COPY BINARY > /dev/null", "snapshot": "**FlowForge snapshot** (locks to manifest)",
             "read_database_uri": "pl.read_database_uri (ADBC), no file", "connectorx": "connectorx to Arrow, no file",
             "fetchmany": f"SQLAlchemy fetchmany ({SAMPLE:,} rows)"}  # fmt: skip
    ratios = {
        name: statistics.median(a / b for a, b in zip(seconds["psql"], times, strict=True))
        for name, times in seconds.items() if times
    }  # fmt: skip
    lines = [
        (
            label,
            f"{rows / statistics.median(seconds[name]):,.0f}"
            if name in ratios
            else f"not installed (pip install {name})",
            f"{ratios[name]:.2f}" if name in ratios else "",
            f"{statistics.median(peaks[name]):.0f}" if peaks.get(name) else "",
        )
        for name, label in names.items()
    ]
    peak = statistics.median(peaks["snapshot"])
    growth = large["peak_mib"] / peak
    verdicts = [
        f"- ratio {ratios['snapshot']:.2f}, goal ≥ {GOAL}: {'holds' if ratios['snapshot'] >= GOAL else 'falls short'}",
        (
            f"- peak {max(peak, large['peak_mib']):.0f} MiB, goal ≤ {MOST_MIB}: "
            f"{'holds' if max(peak, large['peak_mib']) <= MOST_MIB else 'falls short'}"
        ),
        (
            f"- peak at {large['rows']:,} rows is {growth:.2f} × that at {rows:,}, goal ≤ {MOST_GROWTH:.2f}: "
            f"{'holds' if growth <= MOST_GROWTH else 'falls short'}; {large['rows'] / large['seconds']:,.0f} rows/s"
        ),
    ]
    body = "\n\n".join(
        (
            f"`activities`, {rows:,} rows, median of {len(seconds['psql'])} interleaved rounds, 2 workers.",
            machine_facts("adbc-driver-postgresql", "pyarrow", "polars", "sqlalchemy"),
            table(("reader", "rows/s", "of psql", "peak MiB"), lines),
            "\n".join(verdicts),
        )
    )
    print(body)
    write_section("Snapshot (bench_snapshot.py)", body)


def _fill(url: str, first: int, last: int) -> None:
    import psycopg  # noqa: PLC0415

    with psycopg.connect(url, autocommit=True) as connection:
        for (name,) in connection.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'activities' AND indexname LIKE 'ix_%'"
        ).fetchall():
            connection.execute(f"DROP INDEX app.{name}")
        connection.execute(FILL.format(first=first, last=last).encode())
        connection.execute("VACUUM (ANALYZE, FREEZE) app.activities")


def _psql(psql: str, url: str) -> float:
    from store.pg_binaries import runnable_binaries, server_account  # noqa: PLC0415

    program = runnable_binaries(Path(psql).parent, server_account()) / "psql"
    begin = time.perf_counter()
    with Path("/dev/null").open("wb") as nowhere:
        subprocess.run(
            [program, url, "-qAt", "-c", "COPY app.activities TO STDOUT (FORMAT binary)"], stdout=nowhere, check=True
        )
    return time.perf_counter() - begin


def _contend(name: str, url: str, lake: str) -> dict[str, Any]:
    """One read in this process: its rows, seconds and peak memory, or why it was skipped."""
    try:
        work = {
            "snapshot": _snapshot,
            "read_database_uri": _polars,
            "connectorx": _connectorx,
            "fetchmany": _fetchmany,
        }[name]
        rows, seconds = work(url, lake)
    except ImportError as error:
        return {"skipped": str(error)}
    status = Path("/proc/self/status").read_text().split()
    return {"rows": rows, "seconds": seconds, "peak_mib": int(status[status.index("VmHWM:") + 1]) / 1024}


def _snapshot(url: str, lake: str) -> tuple[int, float]:
    import shutil  # noqa: PLC0415

    from store.lake import Lake  # noqa: PLC0415
    from store.settings import SnapshotSettings  # noqa: PLC0415
    from store.snapshots import take_snapshot  # noqa: PLC0415

    begin = time.perf_counter()
    manifest = take_snapshot(url, Lake(Path(lake)), SnapshotSettings())
    seconds = time.perf_counter() - begin
    shutil.rmtree(lake)
    return manifest.tables["activities"].rows, seconds


def _query() -> str:
    from store.columns import select_list  # noqa: PLC0415
    from store.models import TABLES  # noqa: PLC0415

    return f"SELECT {select_list(TABLES['activities'])} FROM app.activities"


def _polars(url: str, _: str) -> tuple[int, float]:
    import polars as pl  # noqa: PLC0415

    query = _query()
    begin = time.perf_counter()
    frame = pl.read_database_uri(query, url, engine="adbc")
    return frame.height, time.perf_counter() - begin


def _connectorx(url: str, _: str) -> tuple[int, float]:
    import connectorx as cx  # noqa: PLC0415

    # A rival only, no dependency of ours: without it its line says how to get it.
    # connectorx has no reader for arrays of bigint and needs a TCP address.
    query = _query().replace('"mentioned_user_ids"', '"mentioned_user_ids"::text AS "mentioned_user_ids"')
    begin = time.perf_counter()
    read = cx.read_sql(_tcp(url), query, return_type="arrow")
    return len(read), time.perf_counter() - begin


def _fetchmany(url: str, _: str) -> tuple[int, float]:
    import sqlalchemy as sa  # noqa: PLC0415

    query = _query()
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    rows = 0
    with engine.connect().execution_options(stream_results=True, yield_per=10_000) as connection:
        begin = time.perf_counter()
        result = connection.execute(sa.text(f"{query} LIMIT {SAMPLE}"))
        while batch := result.fetchmany(10_000):
            rows += len(batch)
        return rows, time.perf_counter() - begin


def _tcp(url: str) -> str:
    import sqlalchemy as sa  # noqa: PLC0415

    parsed = sa.make_url(url)
    port = int(str(parsed.query["port"]))
    return parsed.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(_contend(sys.argv[1], sys.argv[2], sys.argv[3])))
    else:
        main()
