"""Serving (06.3): requests a second and server CPU over the wire, against a bare ASGI app and the idiomatic stacks.

``python benchmarks/bench_serving.py [--users N] [--seconds S] [--rounds R]``. Needs ``wrk``, and ``asyncpg`` for
the Postgres rival. All checks are on: signature, claims, scope, limits, revocations, counts. One worker each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
import psycopg

from api.auth import demo_token
from api.server import free_port
from benchmarks.measure import machine_facts, table, write_section
from store.embedded import EmbeddedPostgres
from store.revocations import OBJECT_TYPES, Entry, Kind, columns_of, encoded, micros
from store.serving import Generations, decompressed
from store.settings import Settings

ROOT = Path(__file__).parents[1]
TICK = os.sysconf("SC_CLK_TCK")
PATHS = {
    "/v2/me/feed": "feed",
    "/v2/me/recommendations/friends": "friend_recommendations",
    "/v2/me/digests": "digests",
    "/v2/me/entitlements": "entitlements",
}
READERS = 1_500
CHANGE_SECONDS = 0.25
"""How often the revocations change under the joined pages: a reader meets each change with a page not joined yet."""
CONNECTIONS = 32
RIVAL = ("-m", "benchmarks.serving_rivals")
CREATE = """CREATE TABLE IF NOT EXISTS bench_feed_items (
  viewer_id bigint, sort_key text, item jsonb, PRIMARY KEY (viewer_id, sort_key))"""
FEED = "/v2/me/feed"
SCRIPT = """
local requests, at = {}, 0
function init()
  for token in io.lines("%(tokens)s") do
    requests[#requests + 1] = wrk.format("GET", "%(path)s", {
      ["Authorization"] = "Bearer " .. token, ["Accept-Encoding"] = "%(encoding)s", ["Accept"] = "application/json" })
  end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
"""


@contextlib.contextmanager
def server(command: list[str], port: int, environment: dict[str, str]) -> Iterator[int]:
    """A server in a process of its own, up; its pid. Ends with the block, or by itself after five minutes."""
    process = subprocess.Popen(
        ["timeout", "-k", "5", "300", sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/livez", timeout=2)
                break
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def cpu_seconds(root: int) -> float:
    """CPU seconds of a process and all below it."""
    parents, used = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            pid = int(stat.parent.name)
            parents[pid], used[pid] = int(fields[1]), (int(fields[11]) + int(fields[12])) / TICK
    tree, grown = {root}, True
    while grown:
        below = {pid for pid, parent in parents.items() if parent in tree} - tree
        tree, grown = tree | below, bool(below)
    return sum(used.get(pid, 0.0) for pid in tree)


def load(port: int, pid: int, path: str, tokens: Path, seconds: int, encoding: str = "zstd") -> dict[str, float]:
    """Requests a second, server CPU microseconds a request, answers that are no 2xx."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT % {"tokens": tokens, "path": path, "encoding": encoding})
        script.flush()
        before = cpu_seconds(pid)
        command = [
            "wrk",
            "-t1",
            f"-c{CONNECTIONS}",
            f"-d{seconds}s",
            "-s",
            script.name,
            f"http://127.0.0.1:{port}{path}",
        ]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
        used = cpu_seconds(pid) - before
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    total = float(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return {"rate": rate, "cpu": used / total * 1e6, "failed": float(failed[1]) if failed else 0.0}


def prepared(home: Path, users: int) -> tuple[dict[str, Any], Path, dict[str, float]]:
    """A home with a generation of a generated world: feed pages of its readers, their tokens, bytes by path."""
    command = [sys.executable, "-m", "pipelines.cli", "demo", "--once", "--users", str(users)]
    environment = os.environ | {"FLOWFORGE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    generations = Generations(home)
    generations.refresh()
    generation = generations.current()
    assert generation is not None
    feed = generation.dataset("feed")
    assert feed is not None
    rows = [row for row in range(feed.rows) if feed.count(row) >= 20][:READERS]
    settings = Settings(home=home)
    tokens = home / "tokens.txt"
    tokens.write_text("\n".join(demo_token(settings, feed.key(row)) for row in rows) + "\n")
    pages = {str(feed.key(row)): json.loads(decompressed(feed.page(row))) for row in rows}
    sizes = {}
    for path, name in PATHS.items():
        dataset = generation.dataset(name)
        assert dataset is not None
        found = [dataset.find(feed.key(row)) for row in rows]
        sizes[path] = statistics.median(len(dataset.page(at)) for at in found if at is not None)
    return pages, tokens, sizes


def filled(home: Path, pages: dict[str, Any]) -> str:
    """The rival's table, filled; its asyncpg URL. The home's server must run."""
    url = EmbeddedPostgres(home).url("flowforge")
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True) as connection:
        connection.execute(CREATE)
        connection.execute("TRUNCATE bench_feed_items")
        rows = [(int(v), i["sort_key"], json.dumps(i)) for v, page in pages.items() for i in page["data"]]
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO bench_feed_items VALUES (%s, %s, %s)", rows)
        connection.execute("ANALYZE bench_feed_items")
    return url.replace("postgresql+psycopg://", "postgresql+asyncpg://")


def revoked(home: Path, pages: dict[str, Any]) -> Path:
    """A second home of the same generations where every reader hid an item of their first page.

    In ``home`` itself a thousand others blocked each other, so that its pages are looked at and found untouched.
    """
    other = home / "revoked"
    other.mkdir(exist_ok=True)
    for name in ("generations", "secrets"):
        (other / name).symlink_to(home / name)
    write_revocations(home, blocked())
    write_revocations(other, blocked() + hidden(pages))
    return other


def blocked(more: int = 0) -> list[Entry]:
    """Blocks among people who are in no page."""
    at = micros(datetime.now(UTC))
    return [Entry(Kind.BLOCKED, 10**12 + n, 10**12 + n + 1, 0, at) for n in range(1000 + more)]


def hidden(pages: dict[str, Any]) -> list[Entry]:
    """Everybody hides the sixth item of their page."""
    at = micros(datetime.now(UTC))
    return [
        Entry(Kind.HIDDEN, int(viewer), int(item["object_id"]), OBJECT_TYPES.index(item["object_type"]), at)
        for viewer, page in pages.items()
        for item in page["data"][5:6]
    ]


def write_revocations(home: Path, entries: list[Entry]) -> None:
    """The file that the tailer would leave, in place of the last one."""
    path, now = home / "revocations" / "current.arrow", datetime.now(UTC)
    path.parent.mkdir(exist_ok=True)
    since = datetime(2000, 1, 1, tzinfo=UTC)
    draft = path.with_suffix(".draft")
    draft.write_bytes(encoded(columns_of(entries), read_at=now, source_read_at=now, since=since))
    draft.replace(path)


@contextlib.contextmanager
def changing(home: Path, pages: dict[str, Any]) -> Iterator[None]:
    """Somebody blocks somebody every quarter of a second until the block ends, so nothing found before holds."""
    stop = threading.Event()

    def change() -> None:
        more, hides = 0, hidden(pages)
        while not stop.wait(CHANGE_SECONDS):
            more += 1
            write_revocations(home, blocked(more) + hides)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def median(runs: list[dict[str, float]], name: str) -> float:
    """The median of one figure."""
    return statistics.median(run[name] for run in runs)


def measure(home: Path, users: int, seconds: int, rounds: int) -> str:
    """The section's text."""
    pages, tokens, sizes = prepared(home, users)
    (home / "pages.json").write_text(json.dumps(pages))
    ours = {
        "FLOWFORGE_HOME": str(home),
        "FLOWFORGE_API__RATE_USER": "600000000/60",
        "FLOWFORGE_REVOCATIONS__MODE": "best_effort",
    }
    other = revoked(home, pages)
    withheld = ours | {"FLOWFORGE_HOME": str(other)}
    rival = {"FLOWFORGE_HOME": str(home), "BENCH_PAGES": str(home / "pages.json")}
    with EmbeddedPostgres(home), contextlib.ExitStack() as stack:
        ports: dict[str, tuple[int, int]] = {}

        def up(name: str, command: list[str], environment: dict[str, str]) -> None:
            port = free_port("127.0.0.1")
            command = [*command, str(port)]
            ports[name] = (port, stack.enter_context(server(command, port, environment)))

        up("api", ["-m", "api.server", "--port"], ours)
        up("hit", ["-m", "api.server", "--port"], withheld)
        for path, size in sizes.items():
            up(
                f"bare {path}",
                ["-m", "benchmarks.serving_rivals", "bare"],
                rival | {"BENCH_BODY_BYTES": str(int(size))},
            )
        up("model", ["-m", "benchmarks.serving_rivals", "fastapi_model"], rival)
        has_postgres = find_spec("asyncpg") is not None
        if has_postgres:
            url = filled(home, pages)
            up("postgres", [*RIVAL, "fastapi_postgres"], rival | {"BENCH_POSTGRES": url})
        asked = [(path, name, name) for path in PATHS for name in ("api", f"bare {path}")]
        asked += [(FEED, "hit", "hit"), (FEED, "hit", "changing"), (FEED, "model", "model")] + (
            [(FEED, "postgres", "postgres")] if has_postgres else []
        )
        runs: dict[tuple[str, str], list[dict[str, float]]] = {}
        for number in range(rounds):
            # Forwards and backwards in turn, so that a machine that grows busier favours nobody.
            for path, name, label in asked if number % 2 == 0 else reversed(asked):
                with changing(other, pages) if label == "changing" else contextlib.nullcontext():
                    run = load(*ports[name], path, tokens, seconds)
                runs.setdefault((path, label), []).append(run)
                print(f"round {number + 1}: {label:40} {run['rate']:9,.0f}/s {run['cpu']:7.1f} us", flush=True)
        runs[FEED, "gzip"] = [load(*ports["api"], FEED, tokens, seconds, "gzip")]
        runs[FEED, "identity"] = [load(*ports["api"], FEED, tokens, seconds, "identity")]
    return told(runs, sizes, users, len(pages), seconds, rounds)


def told(
    runs: dict[tuple[str, str], list[dict[str, float]]],
    sizes: dict[str, float],
    users: int,
    readers: int,
    seconds: int,
    rounds: int,
) -> str:
    """Tables and verdicts."""
    hot, ratios = [], {}
    for path in PATHS:
        ours, bare = runs[path, "api"], runs[path, f"bare {path}"]
        ratios[path] = statistics.median(o["rate"] / b["rate"] for o, b in zip(ours, bare, strict=True))
        hot.append([f"`{path}`", f"{sizes[path]:,.0f}", f"{median(ours, 'rate'):,.0f}", f"{median(bare, 'rate'):,.0f}",
                    f"{ratios[path]:.2f}", f"{median(ours, 'cpu'):.1f}", f"{median(bare, 'cpu'):.1f}",
                    f"{median(bare, 'cpu') / median(ours, 'cpu'):.2f}"])  # fmt: skip
    feed = runs[FEED, "api"]
    others = [
        [label, f"{median(found, 'rate'):,.0f}", f"{median(found, 'cpu'):.0f}",
         f"{median(found, 'cpu') / median(feed, 'cpu'):.1f}"]
        for name, label in (("api", "FlowForge, zstd as stored"), ("hit", "FlowForge, joined under a hit"),
                            ("changing", "FlowForge, joined under hits that change"),
                            ("identity", "FlowForge, decompressed"),
                            ("gzip", "FlowForge, gzip"), ("model", "FastAPI, response_model, rows in memory"),
                            ("postgres", "FastAPI, SQLAlchemy async, asyncpg, Postgres"))
        if (found := runs.get((FEED, name)))
    ]  # fmt: skip
    bare = runs[FEED, f"bare {FEED}"]
    hit, cold = (
        statistics.median(h["rate"] / b["rate"] for h, b in zip(runs[FEED, name], bare, strict=True))
        for name in ("hit", "changing")
    )
    hit_verdict = "holds" if min(hit, cold) >= 0.25 else "falls short"
    failed = sum(run["failed"] for each in runs.values() for run in each)
    worst = min(ratios.values())
    verdict = "holds" if worst >= 0.7 else "the gate 0.55 holds" if worst >= 0.55 else "falls short"
    lines = [
        f"{machine_facts('granian', 'fastapi', 'joserfc')}",
        " ".join(
            (
                f"World of {users:,} generated users, {readers:,} of them reading over {CONNECTIONS} connections;",
                f"median of {rounds} interleaved rounds of {seconds} s; one worker; answers that failed: {failed:.0f}.",
            )
        ),
        table(["path", "bytes sent", "req/s", "bare req/s", "ratio", "CPU µs", "bare CPU µs", "ratio of CPU"], hot),
        (
            f"- a page joined under a revocation hit {hit:.2f} of bare once it is joined, {cold:.2f} while the"
            f" revocations change every {CHANGE_SECONDS} s, goal ≥ 0.25: {hit_verdict}"
        ),
        f"- least ratio {worst:.2f}, goal ≥ 0.70, gate 0.55: {verdict}",
        table(["feed by", "req/s", "server CPU µs/request", "× ours"], others),
    ]
    if (FEED, "postgres") in runs:
        times = median(runs[FEED, "postgres"], "cpu") / median(feed, "cpu")
        lines.append(f"- CPU against the idiomatic stack {times:.1f} × less (without the database's own), goal ≥ 10 ×: "
                     f"{'holds' if times >= 10 else 'falls short'}")  # fmt: skip
    return "\n\n".join(lines)


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("bench_serving needs wrk (Debian's package of that name)")
    with tempfile.TemporaryDirectory(prefix="flowforge-bench-") as folder:
        Path(folder).chmod(0o755)
        body = measure(Path(folder), options.users, options.seconds, options.rounds)
    print(body)
    write_section("Serving (bench_serving.py)", body)


if __name__ == "__main__":
    main()
