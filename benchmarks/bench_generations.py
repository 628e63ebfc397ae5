"""Generations (06.1, 06.3): building, size, opening, memory of a worker, for payloads of 2 KB, a million of them.

``python benchmarks/bench_generations.py [--payloads N] [--builds N]``. A payload is the JSON that a client reads for
one request: a feed page of five cards. Built by the product's own builder and published by its own writer, so the
file holds pages, guards and keys besides.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import polars as pl
import pyarrow as pa

from api.auth import demo_token
from api.server import free_port
from assets.published.encoding import Fragments, compressed
from assets.published.feed import feed_list
from assets.published.rows import ROWS_AT_ONCE, Envelope, document_rows, list_rows
from benchmarks.bench_serving import load, server
from benchmarks.measure import in_child, machine_facts, measured, median, peak_mib, table, write_section
from benchmarks.memory import FAIR_SHARE, PRIVATE, memory_mib, processes
from store.datasets import DatasetRows, Rows
from store.generations import GenerationPlan, publish
from store.manifest import InputEntry, snapshot_id_of
from store.payloads import instant_text
from store.serving import Generation, Generations
from store.settings import RetentionSettings, Settings
from tests.support.flips import Seen, flipped

AS_OF = datetime(2026, 11, 22, 14, 10, 3, tzinfo=UTC)
CARDS = 5
ACTIVITIES = 400_000
VERBS = ("post", "reshare", "comment", "reaction")
CODEC_SAMPLE = 50_000
READERS = 120_000
WORKERS = 2
"""Of which either is the extra one: what they share is counted for neither."""
LOAD_SECONDS = 100
"""At most, so that a slow machine reads fewer people, and says so."""
LONGEST_MICROS = 10
"""Of CPU a payload, for 100 k payloads/s/core."""
PARTS = ("items with their keys and guards", "JSON, pages, entity tags, zstd, layout", "a document per user")


def activities(chance: np.random.Generator, people: int) -> pl.DataFrame:
    """Activities that cards stand on: every eighth mentions somebody, every tenth is in a group."""
    some = pl.Series(chance.integers(1, people, ACTIVITIES))
    number = pl.int_range(1, ACTIVITIES + 1, dtype=pl.Int64)
    return pl.select(id=number).with_columns(
        actor_id=pl.Series(chance.integers(1, people, ACTIVITIES)),
        reply_to_user_id=pl.when(pl.col("id") % 4 == 0).then(some),
        mentioned_user_ids=pl.when(pl.col("id") % 8 == 0).then(pl.concat_list(some)).otherwise([]),
        group_id=pl.when(pl.col("id") % 10 == 0).then(pl.col("id") % 5_000),
        verb=pl.lit("post"),
        object_type=pl.lit("post"),
        object_id=pl.col("id"),
        object_owner_id=pl.lit(None, dtype=pl.Int64),
        audience=pl.when(pl.col("id") % 3 == 0).then(pl.lit("friends")).otherwise(pl.lit("public")),
        object_audience=pl.lit("public"),
        created_at=pl.lit(AS_OF - timedelta(days=3), dtype=pl.Datetime("us", "UTC")),
    )


def cards(chance: np.random.Generator, acts: pl.DataFrame, people: int) -> pl.DataFrame:
    """Rows of `feed_items`, :data:`CARDS` for each of ``people``, ranked."""
    rows = people * CARDS
    lead = chance.integers(1, ACTIVITIES + 1, rows)
    actor = acts["actor_id"].to_numpy()[lead - 1]
    micros = (AS_OF.timestamp() * 1e6 - chance.integers(0, 14 * 86_400_000_000, rows)).astype(np.int64)
    actors = chance.integers(1, 4, rows)
    at = pl.col("micros").cast(pl.Datetime("us", "UTC"))
    frame = pl.DataFrame({"lead_activity_id": lead, "lead_actor_id": actor, "micros": micros, "actor_count": actors})
    return frame.select(
        pl.Series(np.repeat(np.arange(1, people + 1), CARDS)).alias("viewer_id"),
        pl.lit("ranked").alias("mode"),
        pl.Series(np.tile(np.arange(1, CARDS + 1), people)).alias("position"),
        pl.concat_str("lead_activity_id", "micros").str.slice(0, 16).alias("item_id"),
        pl.Series(np.array(VERBS)[chance.integers(0, len(VERBS), rows)]).alias("verb"),
        pl.lit("post").alias("object_type"),
        pl.col("lead_activity_id").alias("object_id"),
        pl.col("lead_actor_id").alias("object_owner_id"),
        "lead_activity_id",
        "lead_actor_id",
        "actor_count",
        pl.concat_list("lead_actor_id", pl.col("lead_actor_id") + 7)
        .list.head(pl.col("actor_count"))
        .alias("sample_actor_ids"),
        (pl.col("actor_count") - 1).alias("other_count"),
        (at - timedelta(hours=1)).alias("first_activity_at"),
        at.alias("last_activity_at"),
        pl.Series(chance.integers(0, 1 << 40, rows)).alias("score"),
        pl.lit("friend").alias("reason"),
        (pl.col("lead_activity_id") % 2 == 0).alias("is_unseen"),
    )  # fmt: skip


def no_cursor(_user_id: int, _key: str) -> str:
    """Pages of five cards have no next page."""
    raise AssertionError


class Build:
    """One build of the dataset `feed`, its CPU seconds by part."""

    def __init__(self, people: int) -> None:
        chance = np.random.default_rng(6)
        self.people = people
        self.acts = activities(chance, people)
        self.items = cards(chance, self.acts, people)
        self.viewers = pl.Series(np.arange(1, people + 1))
        self.cpu: dict[str, float] = {}

    def __call__(self, generation: str) -> dict[str, DatasetRows]:
        """The datasets of the generation."""
        envelope = Envelope(generation, instant_text(AS_OF), no_cursor)
        items = self.timed(PARTS[0], lambda: feed_list(self.items.lazy(), self.acts.lazy(), "ranked"))
        rows = self.timed_rows(self.timed(PARTS[1], lambda: list_rows(items, self.viewers, envelope=envelope)))
        documents = pl.Series(['{"time_zone":"Europe/Berlin"}']).new_from_index(0, self.people)
        users = self.timed(PARTS[2], lambda: document_rows(self.viewers, documents))
        return {
            name: DatasetRows(each, snapshot_id_of(AS_OF), AS_OF) for name, each in (("feed", rows), ("users", users))
        }

    def timed(self, part: str, work: Any) -> Any:
        """What ``work`` gives; its CPU seconds are kept."""
        result, spent = measured(work)
        self.cpu[part] = self.cpu.get(part, 0) + spent["cpu"]
        return result

    def timed_rows(self, rows: Rows) -> Rows:
        """The same rows; the CPU seconds of making their batches are kept."""

        def batches(size: int) -> Iterator[Any]:
            made, end = rows.batches(size), object()
            while (batch := self.timed(PARTS[1], lambda: next(made, end))) is not end:
                yield batch

        return replace(rows, batches=batches)


def rendering() -> float:
    """CPU seconds a payload that writing its cards as JSON takes."""
    some = Build(CODEC_SAMPLE)
    fragments = feed_list(some.items.lazy(), some.acts.lazy(), "ranked")["fragment"]
    items = Fragments(fragments)
    return min(measured(lambda: written(items, len(fragments)))[1]["cpu"] for _ in range(3)) / CODEC_SAMPLE


def written(items: Fragments, count: int) -> None:
    """Every item's JSON, some thousand at a time as the product does."""
    for first in range(0, count, CARDS * ROWS_AT_ONCE):
        items.rows(first, min(CARDS * ROWS_AT_ONCE, count - first))


def publishing(generation: Generation, plan: GenerationPlan) -> float:
    """CPU seconds of publishing finished rows: pages as they are sent, with their tags, keys and guards.

    In another home, below the same plan: the pages name their generation.
    """

    def rows(name: str) -> DatasetRows:
        file = pa.ipc.open_file(pa.memory_map(str(generation.folder / f"{name}.arrow")))
        batches = [file.get_batch(number) for number in range(file.num_record_batches)]
        made = Rows(generation.datasets[name].rows, lambda _size: iter(batches), generation.datasets[name].items_in)
        return DatasetRows(made, snapshot_id_of(AS_OF), AS_OF)

    with tempfile.TemporaryDirectory(prefix="flowforge-bench-") as folder:
        return measured(
            lambda: publish(
                Path(folder),
                plan,
                lambda _: {name: rows(name) for name in generation.datasets},
                retention=RetentionSettings(),
            )
        )[1]["cpu"]


def codec_alone(generation: Generation) -> float:
    """CPU seconds a payload that zstd itself takes: the limit of any builder of compressed pages."""
    feed = generation.dataset("feed")
    assert feed is not None
    pages = [feed.page_json(row) for row in range(min(feed.rows, CODEC_SAMPLE))]
    data, cuts = np.frombuffer(b"".join(pages), dtype=np.uint8), np.cumsum([0, *map(len, pages)])
    return min(measured(lambda: compressed(data, cuts))[1]["cpu"] for _ in range(3)) / len(pages)


@dataclass(frozen=True)
class Served:
    """Memory of a server, MiB: of its largest worker alone, up and after pages were sent; and of all its processes."""

    fresh_mib: float
    mib: float
    whole_mib: float
    readers: int
    """People whose pages were sent, each once or more, by any worker."""


def served(home: Path, people: int) -> Served:
    """:data:`WORKERS` that send the pages of up to :data:`READERS` people, one after another, over the wire."""
    settings, port = Settings(home=home), free_port("127.0.0.1")
    tokens = home / "tokens.txt"
    every = range(1, people + 1, max(people // READERS, 1))[:READERS]
    tokens.write_text("".join(demo_token(settings, person) + "\n" for person in every))
    environment = {"FLOWFORGE_HOME": str(home), "FLOWFORGE_API__RATE_USER": "600000000/60"}
    with server(["-m", "api.server", "--workers", str(WORKERS), "--port", str(port)], port, environment) as pid:
        every_process, workers = processes(pid)
        fresh = max(memory_mib(worker, PRIVATE, home / "generations") for worker in workers)
        rate = load(port, pid, "/v2/me/feed", tokens, 2)["rate"]
        seconds = min(math.ceil(1.2 * len(every) / rate), LOAD_SECONDS)
        found = load(port, pid, "/v2/me/feed", tokens, seconds)
        if found["failed"]:
            raise RuntimeError(f"{found['failed']:.0f} requests failed")
        read = min(len(every), int(found["rate"] * seconds))
        private = max(memory_mib(worker, PRIVATE, home / "generations") for worker in workers)
        whole = sum(memory_mib(each, FAIR_SHARE, home / "generations") for each in every_process)
        return Served(fresh, private, whole, read)


def opened(home: Path) -> float:
    """Seconds until a new reader serves a generation that this host has verified: the median of 20."""
    walls = []
    for _ in range(20):
        reader = Generations(home)
        walls.append(measured(reader.refresh)[1]["wall"])
        assert reader.current() is not None
    return statistics.median(walls)


def built(home: Path, people: int) -> dict[str, Any]:
    """Build and publish; figures."""
    plan = GenerationPlan(AS_OF, (InputEntry(id="bench", sha256="0" * 64),), "bench", "bench")
    with tempfile.TemporaryDirectory(prefix="flowforge-bench-") as folder:  # all of it, so that all is compiled
        _, first = measured(lambda: publish(Path(folder), plan, Build(1_000), retention=RetentionSettings()))
    build = Build(people)
    given_mib = peak_mib()
    _, whole = measured(lambda: publish(home, plan, build, retention=RetentionSettings()))
    build_mib = peak_mib()
    generation, whole_open = measured(lambda: Generation.open(home / "generations" / plan.id))
    stored = {info.name: info.bytes / people for info in generation.info.datasets}
    feed = generation.dataset("feed")
    assert feed is not None
    return {
        **build.cpu,
        "first": first["cpu"],
        "publish": whole["cpu"],
        "publish_wall": whole["wall"],
        "payload": statistics.mean(len(feed.page_json(row)) for row in range(0, people, 97)),
        "rendering": rendering(),
        "stored": stored["feed"],
        "page": statistics.mean(len(feed.page(row)) for row in range(0, people, 97)),
        "checked_open": whole_open["wall"],
        "open": opened(home),
        "codec": codec_alone(generation),
        "publishing": publishing(generation, plan),
        "build_mib": build_mib - given_mib,
    }


def flips() -> Seen:
    """60 flips and 10 rollbacks, a corrupt generation among them, 2 workers, 6 connections."""
    with tempfile.TemporaryDirectory(prefix="flowforge-bench-") as folder:
        return flipped(Path(folder), flips=60, rollbacks=10)


def told(people: int, builds: int, found: dict[str, Any], served: Served, seen: Seen) -> str:
    """Tables and verdicts."""
    about = " ".join(
        (
            f"{people:,} payloads, medians of {builds} builds. A payload is the JSON that a client reads for one",
            f"request: a feed page of {CARDS} cards, {found['payload']:,.0f} bytes, each with entity tag, keys and",
            "guards; built and published by the product's own builder and writer. CPU time, so per core; without what",
            "loading the compiled code",
            f"takes, once a process: {found['first']:.1f} s for a first generation of 1,000 payloads.",
        )
    )
    micros = {name: spent / people * 1e6 for name, spent in found.items() if name in (*PARTS, "publish", "publishing")}
    total, codec, rendered = micros["publish"], found["codec"] * 1e6, found["rendering"] * 1e6
    parts = {
        **{name: micros[name] for name in PARTS},
        "write, fsync, sha256, verify, publish": total - sum(micros[name] for name in PARTS),
        "of all these the cards' JSON": rendered,
        "of all these zstd itself": codec,
    }
    from_json = total - micros[PARTS[0]] - rendered
    wholes = {
        "finished pages as they are sent, their tags, keys and guards": micros["publishing"],
        "ready JSON, keys and guards; without zstd itself": from_json - codec,
        "ready JSON, keys and guards": from_json,
        "rows of the product": total,
    }
    facts = machine_facts("pyarrow", "polars", "numba", "zstandard")
    rows = [[name, f"{spent:.1f}", f"{1e3 / spent:,.0f} k"] for name, spent in parts.items()]
    judged = [
        [name, f"{spent:.1f}", f"{1e3 / spent:,.0f} k", verdict(spent <= LONGEST_MICROS)]
        for name, spent in wholes.items()
    ]
    tables = (
        table(["part", "CPU µs/payload", "payloads/s/core"], rows),
        table(["to the published generation from", "CPU µs/payload", "payloads/s/core", "goal ≥ 100 k"], judged),
    )
    verdicts = judgements(found, served, seen)
    return "\n\n".join([facts, about, *tables, "\n".join(f"- {each}" for each in verdicts)])


def judgements(found: dict[str, Any], served: Served, seen: Seen) -> list[str]:
    """What else is asked of generations, and whether it holds."""
    ratio, times = found["stored"] / found["payload"], found["open"] * 1e3
    is_flipped = not seen.failed and not seen.mixed and max(seen.visible_seconds) <= 0.5
    return [
        (
            f"file {ratio:.2f} × payload, the page as sent {found['page'] / found['payload']:.2f} ×, goal ≤ 1.1: "
            f"{verdict(ratio <= 1.1)}"
        ),
        (
            f"open of a generation that this host has verified {times:.1f} ms, goal ≤ 5 ms: {verdict(times <= 5)};"
            f" the one whole verification per host {found['checked_open']:.1f} s, in a thread"
        ),
        (
            f"memory of an extra worker (one of {WORKERS}, the larger), which it shares with no other process"
            f" {served.fresh_mib:.0f} MiB when it is up, {served.mib:.0f} MiB after sending the pages of"
            f" {served.readers:,} people, goal ≤ 80 MB beyond the shared map: {verdict(served.mib * 1.048576 <= 80)};"
            f" all processes of the server together {served.whole_mib:.0f} MiB beyond the map"
        ),
        f"memory of the build beyond its input {found['build_mib'] / 1024:.1f} GiB, wall {found['publish_wall']:.0f} s",
        (
            f"{len(seen.visible_seconds)} changes of the live generation (60 flips, 10 rollbacks), a corrupt one among"
            f" them refused, 2 workers, 6 connections, {seen.answers:,} answers each compared with the files it names:"
            f" {len(seen.failed)} failed, {len(seen.mixed)} mixed; on every connection after"
            f" {statistics.median(seen.visible_seconds):.2f} s (median), {max(seen.visible_seconds):.2f} s (slowest),"
            f" goal ≤ 0.5 s: {verdict(is_flipped)}"
        ),
    ]


def verdict(holds: bool) -> str:
    """In a word."""
    return "holds" if holds else "falls short"


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payloads", type=int, default=1_000_000)
    parser.add_argument("--builds", type=int, default=3, help="so many, of which the medians are told")
    parser.add_argument("--home", type=Path, help="build there and print figures: a part of the whole, by itself")
    options = parser.parse_args()
    if options.home:
        print(json.dumps(built(options.home, options.payloads)))
        return
    with tempfile.TemporaryDirectory(prefix="flowforge-bench-") as folder:
        homes = [Path(folder) / str(number) for number in range(options.builds)]
        count = str(options.payloads)
        runs = [in_child(__file__, "--payloads", count, "--home", str(home), timeout=400) for home in homes]
        found = {name: median(runs, name) for name in runs[0]}
        serving = served(homes[-1], options.payloads)
    body = told(options.payloads, options.builds, found, serving, flips())
    print(body)
    write_section("Generations (bench_generations.py)", body)


if __name__ == "__main__":
    main()
