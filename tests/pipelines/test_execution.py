"""Running products against a lake: reuse, refusal, order, bulkheads (00 laws 2 and 5; 06.1; 07.1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from assets.execution import InputsRefused, OutOfOrder, execute
from assets.feed.product import feed
from assets.premium.defs import rejected_money
from assets.premium.product import premium
from assets.published.defs import choose
from assets.staged.product import CONTRACTS, stage
from quality.registry import REGISTRY
from store.generations import GenerationRefused
from store.lake import Lake
from store.manifest import CorruptFile, Manifest, TableEntry, file_entry, schema_hash, snapshot_id_of
from store.settings import Settings
from tests.staged.test_staging import PLAN, activity, friendship, price, user

AS_OF = datetime(2026, 6, 15, 9, 30, tzinfo=UTC)
PEOPLE = [user(1), user(2), user(3)]
SETTINGS = Settings()


def snapshot(lake: Lake, as_of: datetime = AS_OF, **tables: list[Mapping[str, object]]) -> Manifest:
    """A snapshot folder with these rows, as the coordinator would leave it."""
    snapshot_id = snapshot_id_of(as_of)
    folder = lake.snapshots_dir / snapshot_id
    entries = {}
    for table, contract in CONTRACTS.items():
        frame = pl.DataFrame(tables.get(table, []), schema=contract.schema, orient="row")
        part = folder / table / "part-000.parquet"
        part.parent.mkdir(parents=True)
        frame.write_parquet(part)
        entries[table] = TableEntry(
            rows=frame.height, files=(file_entry(folder, part, frame.height),), schema_hash=schema_hash(frame.schema)
        )
    manifest = Manifest(kind="snapshot", id=snapshot_id, as_of=as_of, code_version="1", config_hash="", tables=entries)
    (folder / "_manifest.json").write_bytes(manifest.to_bytes())
    return manifest


def staged(lake: Lake, manifest: Manifest) -> Manifest:
    done = stage(lake, manifest, SETTINGS.quality)
    assert done.is_acceptable
    lake.accept(list(done.tables.values()))
    return manifest


def run_feed(lake: Lake, manifest: Manifest):
    done = execute(feed, SETTINGS.feed, lake=lake, snapshot=manifest, contracts=REGISTRY)
    assert done.is_acceptable
    lake.accept(list(done.tables.values()))
    return done


SOCIAL = {"users": PEOPLE, "friendships": [friendship(1, 2)], "activities": [activity(10, 1), activity(11, 2)]}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_a_product_that_stands_and_verifies_is_reused(lake):
    manifest = staged(lake, snapshot(lake, **SOCIAL))
    first, second = run_feed(lake, manifest), run_feed(lake, manifest)
    assert (first.is_reused, second.is_reused) == (False, True)
    assert first.counts == second.counts
    assert first.tables["feed_items"].manifest == second.tables["feed_items"].manifest


def test_another_configuration_makes_another_folder(lake):
    manifest = staged(lake, snapshot(lake, **SOCIAL))
    first = run_feed(lake, manifest)
    other = SETTINGS.feed.model_copy(update={"window_days": 3})
    second = execute(feed, other, lake=lake, snapshot=manifest, contracts=REGISTRY)
    assert first.tables["feed_items"].folder != second.tables["feed_items"].folder


def test_a_damaged_product_is_refused_by_name(lake):
    manifest = staged(lake, snapshot(lake, **SOCIAL))
    part = run_feed(lake, manifest).tables["feed_items"].folder / "part-000.parquet"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(CorruptFile, match=r"feed_items/.*part-000\.parquet"):
        run_feed(lake, manifest)


def test_an_older_snapshot_than_the_newest_state_is_refused(lake):
    older = staged(lake, snapshot(lake, AS_OF - timedelta(hours=2), **SOCIAL))
    run_feed(lake, staged(lake, snapshot(lake, **SOCIAL)))
    with pytest.raises(OutOfOrder, match="a FLOWFORGE_HOME of its own"):
        run_feed(lake, older)


def test_the_next_run_reads_the_previous_accepted_feed_and_names_it(lake):
    before = run_feed(lake, staged(lake, snapshot(lake, AS_OF - timedelta(hours=2), **SOCIAL)))
    after = run_feed(lake, staged(lake, snapshot(lake, **{**SOCIAL, "activities": [activity(10, 1)]})))
    named = {entry.id for entry in after.tables["feed_items"].manifest.inputs}
    assert f"feed_items/{before.tables['feed_items'].manifest.id}" in named
    gone = after.tables["feed_tombstones"].scan().collect()
    assert set(gone["reason"]) == {"removed"}


def test_a_rejected_price_fails_premium_and_only_premium(lake):
    manifest = staged(lake, snapshot(lake, plans=[PLAN], plan_prices=[price(-1)], **SOCIAL))
    with pytest.raises(InputsRefused, match=r"plan_prices \(1\)"):
        execute(premium, SETTINGS.premium, lake=lake, snapshot=manifest, contracts=REGISTRY, refusal=rejected_money)
    run_feed(lake, manifest)


def test_a_generation_is_refused_while_a_required_product_is_not_accepted(lake):
    manifest = staged(lake, snapshot(lake, **SOCIAL))
    with pytest.raises(GenerationRefused, match="feed is not accepted"):
        choose(lake, manifest, SETTINGS)
