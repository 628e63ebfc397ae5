"""What stands in files: format 1 is still read, and nothing of format 2 hides from a search."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa

from store.serving import Dataset, DatasetInfo, Generation
from store.traces import Person, generation_holds, traces
from tests.support.serving import AS_OF, ITEMS_OF_1, feed_item, sample_frames, small_generation, table


def of_format_1(found: Dataset, path: Path) -> Dataset:
    """The same lists as format 1 keeps them: every item as it is, followed by a comma."""
    with pa.memory_map(str(path)) as file:
        rows = pa.ipc.open_file(file).read_all()
    joined = [b"".join(item + b"," for item in found.fragments(row)) for row in range(found.rows)]
    at = rows.schema.get_field_index("fragments")
    field = pa.field("fragments", pa.large_binary(), nullable=False)
    old = rows.set_column(at, field, pa.array(joined, pa.large_binary())).drop_columns("page_count")
    written = path.with_suffix(".old")
    with pa.OSFile(str(written), "wb") as out, pa.ipc.new_file(out, old.schema) as writer:
        writer.write_table(old)
    return Dataset(DatasetInfo("feed", "s", AS_OF, False, found.rows, 0, "", written.name), written)


def test_a_dataset_of_format_1_reads_as_one_of_format_2(tmp_path: Path) -> None:
    folder = tmp_path / "generations" / small_generation(tmp_path).generation
    for name in ("feed", "usage", "entitlements"):
        new = Generation.open(folder).dataset(name)
        assert new is not None
        old = of_format_1(new, folder / f"{name}.arrow")
        for row in range(new.rows):
            for start, stop in ((0, None), (0, 20), (3, 25), (20, 45), (44, None), (0, 0), (19, 21), (50, 60)):
                assert old.fragments(row, start, stop) == new.fragments(row, start, stop)
                assert old.joined(row, start, stop) == new.joined(row, start, stop)
            assert (old.page(row), old.count(row), old.guards(row)) == (new.page(row), new.count(row), new.guards(row))


def test_a_person_named_beyond_the_page_is_found(tmp_path: Path) -> None:
    frames, somebody = sample_frames(), 424_242
    before = frames["feed_items"].filter(pl.col("position") < ITEMS_OF_1).collect().to_dicts()
    last = [feed_item(1, mode, ITEMS_OF_1, sample_actor_ids=[somebody]) for mode in ("ranked", "chronological")]
    frames["feed_items"] = table("feed_items", [*before, *last])
    done = small_generation(tmp_path, frames=frames)
    said = [str(trace) for trace in traces(tmp_path, Person(somebody))]
    assert any("feed" in each and "fragments" in each for each in said)
    assert generation_holds(tmp_path / "generations" / done.generation, [somebody])
    assert not traces(tmp_path, Person(somebody + 1))
