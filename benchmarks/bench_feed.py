"""Feeds (spec 03.7): full rebuild against plain DuckDB SQL of the same semantics, same bytes.

    python benchmarks/bench_feed.py [--home DIR] [--sizes 20000,60000,200000] [--rival 20000,200000] [--dormant 20000]

Worlds come from the generator and stay in ``--home``. Both sides read the same Parquet files and end
with the whole table in memory, each in a process of its own with two threads, after one unmeasured
run over a tiny world (code is loaded then); the table is then written as Parquet and compared by its
sha256. The rival is ``feed_rival.sql``. Sizes may be measured one by one: runs are kept in ``--home``,
and the section is written from all that were made at the same commit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from assets.feed.log2 import diversity_micro_bits, micro_bits
from assets.feed.product import INPUTS, feed
from assets.frame import Inputs, Result
from benchmarks.measure import exponent, in_child, machine_facts, measured, median, peak_mib, table, write_section
from quality.feed import FEED
from quality.staged import STAGED
from store.generator import generate_world
from store.settings import FeedSettings

HERE = Path(__file__).parent
SCHEMAS = {contract.name: contract.schema for contract in (*STAGED, *FEED)}
LONGEST = 1_500.0
TINY = 500


def commit() -> str:
    """What the runs are of: the feed's sources as committed."""
    asked = ["git", "rev-parse", "HEAD:assets/feed"]
    return subprocess.run(asked, capture_output=True, text=True, check=False, cwd=HERE).stdout.strip()


def as_of(world: Path) -> datetime:
    return datetime.fromisoformat(json.loads((world / "world.json").read_text())["as_of"])


def files(world: Path) -> dict[str, Path]:
    return {name: world / f"{name.removeprefix('staged_')}.parquet" for name in INPUTS}


def with_dormant(users: pl.LazyFrame, percent: int, at: datetime) -> pl.LazyFrame:
    """The same people, ``percent`` of them not seen for 60 days."""
    return users.with_columns(
        pl.when(pl.col("id").rank("ordinal") % 100 < percent)
        .then(pl.lit(at - timedelta(days=60)))
        .otherwise("last_seen_at")
        .cast(pl.Datetime("us", "UTC"))
        .alias("last_seen_at")
    )


def ours(world: Path, dormant: int) -> Result:
    frames = {name: pl.scan_parquet(path).select(list(SCHEMAS[name])) for name, path in files(world).items()}
    if dormant:
        frames["staged_users"] = with_dormant(frames["staged_users"], dormant, as_of(world))
    nothing = {name: pl.LazyFrame(schema=SCHEMAS[name]) for name in feed.tables}
    return feed.compute(Inputs(frames, nothing, None, FeedSettings(), as_of(world)))


def rival(world: Path) -> pl.DataFrame:
    config = FeedSettings()
    connection = duckdb.connect()
    connection.execute("SET threads = 2; SET TimeZone = 'UTC'")
    for name, path in files(world).items():
        connection.execute(f"CREATE VIEW {name.removeprefix('staged_')} AS FROM read_parquet('{path}')")
    connection.execute(
        """CREATE TABLE settings AS SELECT $1::TIMESTAMPTZ AS as_of, $2::INT AS window_days, $3::INT AS max_ranked,
        $4::INT AS max_chronological, $5::INT AS max_per_actor, $6 AS reply_rule, $7::BIGINT AS half_life_hours""",
        [as_of(world), config.window_days, config.max_ranked, config.max_chronological, config.max_per_actor,
         config.reply_rule, config.half_life_hours],
    )  # fmt: skip
    ranks, counts = range(config.max_per_actor), range(20_000)
    diversity = pl.DataFrame({"i": ranks, "k": [diversity_micro_bits(i) for i in ranks]})
    logs = pl.DataFrame({"n": counts, "l": [micro_bits(n) for n in counts]})
    connection.register("diversity", diversity)
    connection.register("logs", logs)
    connection.execute((HERE / "feed_rival.sql").read_text())
    items: pl.DataFrame = connection.sql("FROM feed_items").pl()
    return items


def digest(items: pl.DataFrame) -> str:
    """Sha256 of the table as one Parquet file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feed_items.parquet"
        items.rechunk().write_parquet(path, compression="uncompressed", statistics=False, row_group_size=1_000_000)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def child(side: str, world: Path, dormant: int) -> dict[str, Any]:
    """One measured run in this process, after one over a tiny world."""
    tiny = world.with_name(f"w{TINY}")
    _, starting = measured(lambda: rival(tiny) if side == "rival" else ours(tiny, 0))
    if side == "rival":
        items, figures = measured(lambda: rival(world))
        stages: dict[str, int] = {}
    else:
        result, figures = measured(lambda: ours(world, dormant))
        items = result.tables["feed_items"]
        stages = {count.stage: count.rows_in for count in result.counts}
    figures |= {"peak_mib": peak_mib(), "start_cpu": starting["cpu"]}
    viewers = items["viewer_id"].n_unique()
    return {**figures, "rows": items.height, "viewers": viewers, "stages": stages, "sha256": digest(items)}


def world_of(home: Path, users: int) -> Path:
    world = home / f"w{users}"
    if not (world / "world.json").exists():
        print(f"making a world of {users} users", flush=True)
        generate_world(world, users=users, replace=True)
    return world


def runs(side: str, world: Path, rounds: int, dormant: int = 0) -> list[dict[str, Any]]:
    done = []
    for _ in range(rounds):
        done.append(in_child(__file__, "--child", side, str(world), str(dormant), timeout=LONGEST))
        shown = {name: round(done[-1][name], 2) for name in ("cpu", "wall", "peak_mib")}
        print(f"{side:6} {world.name:8} dormant {dormant:3} % {shown}", flush=True)
    return done


class Book:
    """The runs made so far, in a file, by what they are of; those of another commit are dropped."""

    def __init__(self, home: Path) -> None:
        self.path = home / "runs.json"
        known = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.commit = commit()
        self.runs: dict[str, list[dict[str, Any]]] = known.get("runs", {}) if known.get("commit") == self.commit else {}

    def add(self, name: str, done: list[dict[str, Any]]) -> None:
        self.runs[name] = done
        self.path.write_text(json.dumps({"commit": self.commit, "runs": self.runs}))


def measure(home: Path, book: Book, sizes: list[int], rival_sizes: list[int], dormant: list[int]) -> None:
    world_of(home, TINY)
    for users in sizes:
        book.add(f"ours {users}", runs("ours", world_of(home, users), 3))
    for users in rival_sizes:
        book.add(f"rival {users}", runs("rival", world_of(home, users), 3))
    for users in dormant:
        for percent in (0, 50, 100):
            book.add(f"dormant {users} {percent}", runs("ours", world_of(home, users), 3, percent))


def compared(book: Book) -> str:
    """Both sides at every size, and how the cost grows."""
    rows, activities, costs, verdicts = [], [], [], []
    for users in sorted(int(name.split()[1]) for name in book.runs if name.startswith("ours ")):
        mine, theirs = book.runs[f"ours {users}"], book.runs.get(f"rival {users}", [])
        if len({run["sha256"] for run in (*mine, *theirs)}) != 1:
            raise SystemExit(f"the tables of {users} users differ")
        activities.append(mine[0]["stages"]["activities"])
        costs.append(median(mine, "cpu"))
        row = [f"{mine[0]['viewers']:,}", f"{activities[-1]:,}", f"{mine[0]['rows']:,}", len(mine), len(theirs)]
        for name in ("cpu", "wall", "peak_mib"):
            row += [f"{median(mine, name):,.1f}", f"{median(theirs, name):,.1f}" if theirs else "–"]
        ratios = [median(theirs, name) / median(mine, name) for name in ("cpu", "wall")] if theirs else []
        rows.append([*row, *([f"{ratio:.2f}" for ratio in ratios] or ["–", "–"])])
        if theirs:
            verdicts.append(f"{users:,} users: {ratios[0]:.2f} × by CPU, {ratios[1]:.2f} × by wall, same sha256")
    head = [
        "viewers", "activities", "items", "runs", "SQL runs", "CPU s", "SQL CPU s", "wall s", "SQL wall s",
        "peak MiB", "SQL peak MiB", "CPU ratio", "wall ratio",
    ]  # fmt: skip
    starts = [run["start_cpu"] for name, done in book.runs.items() if not name.startswith("rival") for run in done]
    loading = f"{statistics.median(starts):.1f} s of CPU"
    parts = [
        table(head, rows),
        f"A process's first run, over {TINY} users, loads the compiled code and is not in these figures: {loading}.",
        f"Goal ≥ 5 × plain SQL: {'; '.join(verdicts) or 'not measured'}.",
    ]
    if len(costs) > 1:
        sizes = ", ".join(f"{n:,}" for n in activities)
        parts.append(f"Goal exponent in activities ≤ 1.1: {exponent(activities, costs):.2f} over {sizes}.")
    return "\n\n".join(parts)


def dormant_cost(book: Book) -> str:
    """What viewers cost who have not been seen for long."""
    rows, users = [], 0
    for name, done in book.runs.items():
        if name.startswith("dormant "):
            users, percent = (int(part) for part in name.split()[1:])
            pairs = done[0]["stages"].get("eligible", 0)
            rows.append([f"{percent} %", f"{done[0]['viewers']:,}", f"{pairs:,}", f"{median(done, 'cpu'):.2f}"])
    head = ["dormant", "viewers", "(viewer, activity) pairs looked at", "CPU s"]
    return f"Dormant users ({users:,} users; what stays at 100 % is what all viewers share):\n\n{table(head, rows)}"


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "--child":
        print(json.dumps(child(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("var/bench/feed"))
    parser.add_argument("--sizes", default="20000,60000,200000", help="sizes the feed runs at")
    parser.add_argument("--rival", default="20000,200000", help="sizes the SQL runs at")
    parser.add_argument("--dormant", default="20000", help="sizes of which a part is dormant")
    arguments = parser.parse_args()
    sizes, rival_sizes, dormant = (
        [int(n) for n in text.split(",") if n] for text in (arguments.sizes, arguments.rival, arguments.dormant)
    )
    book = Book(arguments.home)
    measure(arguments.home, book, sizes, rival_sizes, dormant)
    body = "\n\n".join([machine_facts("polars", "duckdb", "numba"), compared(book), dormant_cost(book)])
    print(body)
    write_section("Feeds (03.7)", body)


if __name__ == "__main__":
    main()
