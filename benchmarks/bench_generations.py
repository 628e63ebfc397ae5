"""Generations (06.1, 06.3): building, size, opening, memory of a worker, for payloads of 2 KB, a million of them.

``python benchmarks/bench_generations.py [--payloads N]``. A payload is the JSON that a client reads for one request:
a feed page of five cards. Built by the product's own builder and published by its own writer, so the file holds
pages, guards and keys besides.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import polars as pl

from assets.published.encoding import compressed
from assets.published.feed import feed_list
from assets.published.rows import Envelope, document_rows, list_rows
from benchmarks.measure import in_child, machine_facts, measured, peak_mib, write_section
from store.datasets import DatasetRows
from store.generations import GenerationPlan, publish
from store.manifest import InputEntry, snapshot_id_of
from store.payloads import instant_text
from store.serving import Generation, Generations
from store.settings import RetentionSettings

AS_OF = datetime(2026, 11, 22, 14, 10, 3, tzinfo=UTC)
CARDS = 5
ACTIVITIES = 400_000
VERBS = ("post", "reshare", "comment", "reaction")
CODEC_SAMPLE = 50_000


def activities(chance: np.random.Generator, people: int) -> pl.DataFrame:
    """Activities that cards stand on: every eighth mentions somebody, every tenth is in a group."""
    some = pl.Series(chance.integers(1, people, ACTIVITIES))
    number = pl.int_range(1, ACTIVITIES + 1, dtype=pl.Int64)
    return pl.select(id=number).with_columns(
        actor_id=pl.Series(chance.integers(1, people, ACTIVITIES)),
        reply_to_user_id=pl.when(pl.col("id") % 4 == 0).then(some),
        mentioned_user_ids=pl.when(pl.col("id") % 8 == 0).then(pl.concat_list(some)).otherwise([]),
        group_id=pl.when(pl.col("id") % 10 == 0).then(pl.col("id") % 5_000),
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
        (pl.col("lead_activity_id").cast(pl.String) + pl.col("micros").cast(pl.String)).str.slice(0, 16).alias("item_id"),
        pl.Series(np.array(VERBS)[chance.integers(0, len(VERBS), rows)]).alias("verb"),
        pl.lit("post").alias("object_type"),
        pl.col("lead_activity_id").alias("object_id"),
        pl.col("lead_actor_id").alias("object_owner_id"),
        "lead_activity_id",
        "lead_actor_id",
        "actor_count",
        pl.concat_list("lead_actor_id", (pl.col("lead_actor_id") + 7)).list.head(pl.col("actor_count")).alias("sample_actor_ids"),
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
        self.payload_bytes = 0

    def __call__(self, generation: str) -> dict[str, DatasetRows]:
        """The datasets of the generation."""
        envelope = Envelope(generation, instant_text(AS_OF), no_cursor)
        items = self.timed("items as JSON, guards", lambda: feed_list(self.items.lazy(), self.acts.lazy(), "ranked"))
        table = self.timed("pages, etags, zstd, layout", lambda: list_rows(items, self.viewers, envelope=envelope))
        fixed = len(b'{"data":[') + len(envelope.tail("ready", None)) + CARDS - 1
        self.payload_bytes = items["fragment"].str.len_bytes().sum() + fixed * self.people
        users = document_rows(self.viewers, pl.Series(['{"time_zone":"Europe/Berlin"}']).new_from_index(0, self.people))
        return {name: DatasetRows(each, snapshot_id_of(AS_OF), AS_OF) for name, each in (("feed", table), ("users", users))}

    def timed(self, part: str, work: Any) -> Any:
        """What ``work`` gives; its CPU seconds are kept."""
        result, spent = measured(work)
        self.cpu[part] = spent["cpu"]
        return result


def codec_alone(generation: Generation) -> float:
    """CPU seconds a payload that zstd itself takes: the limit of any builder of compressed pages."""
    feed = generation.dataset("feed")
    assert feed is not None
    pages = [feed.page_json(row) for row in range(min(feed.rows, CODEC_SAMPLE))]
    data, cuts = np.frombuffer(b"".join(pages), dtype=np.uint8), np.cumsum([0, *map(len, pages)])
    return measured(lambda: compressed(data, cuts))[1]["cpu"] / len(pages)


def built(home: Path, people: int) -> dict[str, Any]:
    """Build and publish; figures."""
    Build(1_000)("g")  # compile
    build = Build(people)
    made_mib = peak_mib()
    plan = GenerationPlan(AS_OF, (InputEntry(id="bench", sha256="0" * 64),), "bench", "bench")
    _, whole = measured(lambda: publish(home, plan, build, retention=RetentionSettings()))
    folder = home / "generations" / plan.id
    generation, checked = measured(lambda: Generation.open(folder))
    path = folder / "feed.arrow"
    hashing = measured(lambda: hashlib.file_digest(path.open("rb"), "sha256"))[1]["cpu"]
    return {
        "parts": build.cpu,
        "publish_cpu": whole["cpu"],
        "publish_wall": whole["wall"],
        "payload": build.payload_bytes / people,
        "stored": path.stat().st_size / people,
        "page": path.stat().st_size,
        "hash_seconds": hashing,
        "checked_open": checked["wall"],
        "codec": codec_alone(generation),
        "peak_mib": peak_mib(),
        "input_mib": made_mib,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payloads", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flowforge-bench-") as folder:
        print(json.dumps(built(Path(folder), options.payloads), indent=1))


if __name__ == "__main__":
    main()
