"""One mapped dataset against a plain dictionary."""

from __future__ import annotations

import hashlib
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.published import rows
from assets.published.rows import GUARDS, Envelope, document_rows, list_rows
from store import datasets
from store.payloads import etag_of
from store.serving import CorruptGeneration, Dataset, DatasetInfo, Guards, decompressed

AT = datetime(2026, 11, 22, tzinfo=UTC)
ids = st.integers(0, 2**63 - 1)
id_lists = st.lists(ids, max_size=4)
text = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=12)
item = st.tuples(text, text, st.booleans(), id_lists, id_lists, id_lists, id_lists)
worlds = st.dictionaries(ids, st.lists(item, max_size=25), max_size=8)


def items_frame(world: dict[int, list[Any]]) -> pl.DataFrame:
    rows = [(viewer, json.dumps(body), *rest) for viewer, items in sorted(world.items()) for body, *rest in items]
    lists = dict.fromkeys(GUARDS, pl.List(pl.Int64))
    schema = {"viewer_id": pl.Int64, "fragment": pl.String, "fragment_key": pl.String, "is_cold": pl.Boolean, **lists}
    return pl.DataFrame(rows, schema=schema, orient="row")


def mapped(name: str, table: pa.Table | datasets.Rows, folder: Path) -> Dataset:
    path = folder / f"{name}.arrow"
    datasets.write_dataset(path, name, table)
    info = DatasetInfo(name, "s", AT, False, table.num_rows, path.stat().st_size, "", path.name)
    return Dataset(info, path)


@given(world=worlds, other=ids)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_list_reads_back_as_it_was_given(world: dict[int, list[Any]], other: int) -> None:
    viewers = pl.Series(list(world), dtype=pl.Int64)
    envelope = Envelope("g", "t", lambda user, key: f"{user}:{len(key)}")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "ROWS_PER_BATCH", 3)  # several batches, each made in two steps
        patch.setattr(rows, "ROWS_AT_ONCE", 2)
        dataset = mapped("feed", list_rows(items_frame(world), viewers, envelope=envelope), Path(folder))
        assert dataset.rows == len(world)
        assert dataset.keys_ascend()
        assert (dataset.find(other) is None) == (other not in world)
        for viewer, items in world.items():
            row = dataset.find(viewer)
            assert row is not None
            assert dataset.key(row) == viewer
            check_list(dataset, row, viewer, items)


def check_list(dataset: Dataset, row: int, viewer: int, items: list[Any]) -> None:
    bodies = [json.dumps(body).encode() for body, *_ in items]
    assert dataset.count(row) == len(items)
    assert dataset.fragments(row) == bodies
    assert dataset.fragments(row, 2, 5) == bodies[2:5]
    assert dataset.joined(row) == b",".join(bodies)
    assert dataset.joined(row, 1, 4) == b",".join(bodies[1:4])
    assert dataset.joined(row, 3) == b",".join(bodies[3:])
    assert dataset.fragment_keys(row) == [key for _, key, *_ in items]
    assert dataset.guards(row) == [Guards(*(tuple(sorted(set(g))) for g in guards)) for _, _, _, *guards in items]
    assert dataset.guards(row, 2, 5) == dataset.guards(row)[2:5]
    known = sorted({each for _, _, _, *guards in items for ids in guards for each in ids})
    for some in (set(known[:1]), set(known[::3]), set(known), set(), {2**62 + 1}):
        places = [n for n, (_, _, _, *guards) in enumerate(items) if any(some.intersection(g) for g in guards)]
        assert dataset.guarded_by(row, some) == places
    assert set(dataset.guard_ids(row)) == {g for _, _, _, *guards in items for some in guards for g in some}
    state = "empty" if not items else "cold_start" if all(cold for _, _, cold, *_ in items) else "ready"
    assert dataset.state(row) == state
    page = json.loads(dataset.page_json(row))
    assert page["data"] == [body for body, *_ in items][:20]
    assert page["state"] == state
    assert page["next_cursor"] == (f"{viewer}:{len(items[19][1])}" if len(items) > 20 else None)
    assert dataset.etag(row) == etag_of(b"[" + b",".join(bodies[:20]) + b"]", state)


def test_items_of_people_who_are_not_viewers_are_left_out(tmp_path: Path) -> None:
    frame = items_frame({1: [("a", "k", False, [], [], [], [])], 2: [("b", "k", False, [], [], [], [])]})
    dataset = mapped("feed", list_rows(frame, pl.Series([2, 3], dtype=pl.Int64), envelope=None), tmp_path)
    assert [dataset.find(key) for key in (1, 2, 3)] == [None, 0, 1]
    assert dataset.fragments(0) == [b'"b"']
    assert dataset.state(1) == "empty"
    assert dataset.page(0) == b""


def test_the_arrow_file_is_the_same_whatever_the_order_of_viewers_and_chunks(tmp_path: Path) -> None:
    world = {n: [(str(n), "k", False, [n], [], [], [])] for n in range(50)}
    frame = items_frame(world)
    chunked = pl.concat([frame[:13], frame[13:]], rechunk=False)
    for name, items, order in (("a", frame, range(50)), ("b", chunked, reversed(range(50)))):
        table = list_rows(items, pl.Series(list(order), dtype=pl.Int64), envelope=None)
        datasets.write_dataset(tmp_path / name, "feed", table)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_polars_opens_a_dataset_as_it_is(tmp_path: Path) -> None:
    keys, bodies = pl.Series([9, 4]), pl.Series(['{"n":9}', '{"n":4}'])
    datasets.write_dataset(tmp_path / "users.arrow", "users", document_rows(keys, bodies))
    frame = pl.read_ipc(tmp_path / "users.arrow")
    assert frame["key"].to_list() == [4, 9]
    assert frame["body"].to_list() == [b'{"n":4}', b'{"n":9}']


@pytest.mark.parametrize("size", [1, datasets._CHUNK, 3 * datasets._CHUNK + 1])
def test_what_is_told_of_a_file_is_true_of_what_lies_on_the_disk(tmp_path: Path, size: int) -> None:
    table = document_rows(pl.Series([1], dtype=pl.UInt64), pl.Series(["x" * size]))
    told = datasets.write_dataset(tmp_path / "users", "users", table)
    content = (tmp_path / "users").read_bytes()
    assert (told.bytes, told.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert b"x" * size in content


def test_a_table_of_another_layout_is_not_written(tmp_path: Path) -> None:
    table = document_rows(pl.Series([1]), pl.Series(["{}"]))
    with pytest.raises(ValueError, match="layout"):
        datasets.write_dataset(tmp_path / "feed.arrow", "feed", table)


def test_rows_that_differ_from_the_manifest_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "users.arrow"
    datasets.write_dataset(path, "users", document_rows(pl.Series([1]), pl.Series(["{}"])))
    with pytest.raises(CorruptGeneration, match="1 rows, the manifest says 2"):
        Dataset(DatasetInfo("users", "s", AT, False, 2, 0, "", path.name), path)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_791, 65_792, 70_000, 200_000])
def test_a_zstd_frame_of_any_size_is_decompressed(size: int) -> None:
    content = bytes(i * 31 % 251 for i in range(size))
    assert decompressed(pa.Codec("zstd", 1).compress(content, asbytes=True)) == content


def test_nothing_decompresses_to_nothing() -> None:
    assert decompressed(b"") == b""
