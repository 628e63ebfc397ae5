"""Erasure: the set of erased people, and their removal from snapshots, rejects, products and generations (01.4).

Lives here: the set kept beside the lake, the rewriting of what must stay and the removal of what can be
computed again. Does not belong here: finding traces (``store.traces``), computing anew (``pipelines``),
age (``store.retention``).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from quality.erasure import holds_a_person, names_an_erased_user, without_erased_ids
from quality.registry import REGISTRY
from store.files import staged_folder, write_bytes_atomically
from store.generations.retention import remove
from store.generations.standing import lock, write_standing
from store.lake import Lake
from store.manifest import MANIFEST, Counts, InputEntry, Manifest, TableEntry, canonical_json, file_entry
from store.serving.follower import FOLDER, list_ids, read_current, read_standing
from store.traces import generation_holds

RECORD = "erased.json"
FORGOTTEN = "forgotten.json"
BATCH_ROWS = 131_072


def erased_people(home: Path) -> dict[int, datetime]:
    """The home's erasure set: user id to when they were added."""
    return _recorded(home, RECORD)


def remember(home: Path, user_id: int, at: datetime) -> None:
    """Add a person to the erasure set; whoever is in it stays in it."""
    _record(home, RECORD, [user_id], at)


def forgotten_people(home: Path) -> dict[int, datetime]:
    """Whose traces have all been removed, and when; nothing that holds them is made after it."""
    return _recorded(home, FORGOTTEN)


def record_forgotten(home: Path, people: Iterable[int], at: datetime) -> None:
    """Remember that every trace of ``people`` is gone, so that nobody looks for them again after each run."""
    _record(home, FORGOTTEN, people, at)


def _recorded(home: Path, name: str) -> dict[int, datetime]:
    path = home / "lake" / name
    if not path.is_file():
        return {}
    return {int(user): datetime.fromisoformat(at) for user, at in json.loads(path.read_bytes()).items()}


def _record(home: Path, name: str, people: Iterable[int], at: datetime) -> None:
    recorded = dict.fromkeys(people, at) | _recorded(home, name)
    content = {str(user): when.astimezone(UTC).isoformat() for user, when in sorted(recorded.items())}
    write_bytes_atomically(home / "lake" / name, canonical_json(content) + b"\n")


def erasure_input(people: Iterable[int]) -> InputEntry:
    """The part of the erasure set that a snapshot does not know, as a named input: erasure outranks reproducibility."""
    return InputEntry(id="erasure_set", sha256=hashlib.sha256(canonical_json(sorted(people))).hexdigest())


def erase_from_snapshots(lake: Lake, people: Iterable[int]) -> list[str]:
    """Rewrite every stored snapshot without the rows and array entries of ``people``; the ids of those changed.

    The snapshot keeps its id; its manifest says how many rows were erased, and its checksums are those of
    the new files.
    """
    ids = pl.Series(sorted(people), dtype=pl.Int64)
    return [i for i in lake.snapshot_ids() if _rewrite_snapshot(lake, lake.snapshot(i), ids)]


def erase_from_files(files: Mapping[Path, str], people: Iterable[int]) -> dict[Path, int]:
    """Rewrite Parquet files (path to source table) that hold ``people``, in place; the rows kept of each rewritten."""
    ids = pl.Series(sorted(people), dtype=pl.Int64)
    kept = {}
    for path, table in files.items():
        if _is_touched([path], table, ids):
            target = path.with_suffix(".kept")
            kept[path] = _rewrite_file(path, target, table, ids)
            target.replace(path)
    return kept


def erase_from_rejects(lake: Lake, people: Iterable[int]) -> int:
    """Drop reject rows whose key or value names one of ``people``; how many."""
    wanted = [str(user) for user in people]
    dropped = 0
    for folder in sorted(lake.rejects_dir.glob("[0-9]*")):
        frames = {path.name: pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
        named = pl.col("key").str.split(",").list.eval(pl.element().is_in(wanted)).list.any()
        kept = {
            name: frame.filter(~(named | pl.col("value").is_in(wanted).fill_null(value=False)))
            for name, frame in frames.items()
        }
        lost = sum(frames[name].height - kept[name].height for name in frames)
        if lost:
            with staged_folder(folder) as staging:
                for name, frame in kept.items():
                    frame.write_parquet(staging / name)
        dropped += lost
    return dropped


def forget_products(lake: Lake, people: Iterable[int]) -> list[str]:
    """Remove every product and staged table computed while ``people`` were in it; ``<group>/<product id>`` of each.

    What is removed can be computed again from its snapshot, and without them. The product that the digests
    go on from must have been computed anew before.
    """
    ids = pl.Series(sorted(people), dtype=pl.Int64)
    stale: set[tuple[str, str]] = set()
    for name, contract in REGISTRY.items():
        for folder in sorted((lake.products_dir / name).glob(f"[0-9]*/{MANIFEST}")):
            if (contract.group, folder.parent.name) not in stale and product_holds(folder.parent, name, ids):
                stale.add((contract.group, folder.parent.name))
    for group, product_id in sorted(stale):
        remove_product(lake, group, product_id)
    return [f"{group}/{product_id}" for group, product_id in sorted(stale)]


def remove_product(lake: Lake, group: str, product_id: str) -> None:
    """Remove one product, every table of it: pointers first, so that a killed removal leaves it not accepted."""
    tables = [name for name, contract in REGISTRY.items() if contract.group == group]
    for name in tables:
        pointer = lake.products_dir / name / f"{product_id.rsplit('-', 1)[0]}.json"
        if pointer.is_file() and json.loads(pointer.read_bytes()).get("id") == product_id:
            pointer.unlink()
    for name in tables:
        folder = lake.product_folder(name, product_id)
        if folder.is_dir():
            remove(folder)


def forget_generations(home: Path, people: Iterable[int]) -> tuple[list[str], str | None]:
    """Remove every generation that holds one of ``people``, pinned and quarantined ones too, but the live one.

    Returns the ids removed, and the live one's if it holds them (publish anew first).
    """
    folder = home / FOLDER
    people = sorted(people)
    removed: list[str] = []
    if not folder.is_dir():
        return removed, None
    with lock(folder, "state"):
        standing, live = read_standing(folder), read_current(folder)
        holding = [i for i in list_ids(folder) if generation_holds(folder / i, people)]
        removed = [i for i in holding if i != live]
        for generation_id in removed:
            remove(folder / generation_id)
        if removed:
            write_standing(
                folder,
                type(standing)(
                    published={i: at for i, at in standing.published.items() if i not in removed},
                    quarantined={i: why for i, why in standing.quarantined.items() if i not in removed},
                    pinned=None if standing.pinned in removed else standing.pinned,
                ),
            )
    return removed, live if live in holding else None


def product_holds(folder: Path, table: str, ids: pl.Series) -> bool:
    """Whether a stored table holds one of ``ids`` in an id column."""
    if table == "staged_erasure_requests":
        return False
    files = sorted(folder.glob("*.parquet"))
    frame = pl.scan_parquet(files, glob=False)
    expression = holds_a_person(dict(frame.collect_schema()), table, ids)
    return expression is not None and bool(frame.select(expression.any()).collect().item())


def _rewrite_snapshot(lake: Lake, manifest: Manifest, ids: pl.Series) -> bool:
    folder = lake.snapshots_dir / manifest.id
    paths = {table: [folder / file.path for file in entry.files] for table, entry in manifest.tables.items()}
    touched = [table for table in manifest.tables if _is_touched(paths[table], table, ids)]
    if not touched:
        return False
    erased = 0
    with staged_folder(folder) as staging:
        entries: dict[str, TableEntry] = {}
        for table, entry in manifest.tables.items():
            (staging / table).mkdir()
            files = []
            for file in entry.files:
                target = staging / file.path
                if table in touched:
                    rows = _rewrite_file(folder / file.path, target, table, ids)
                else:
                    shutil.copyfile(folder / file.path, target)
                    rows = file.rows
                erased += file.rows - rows
                files.append(file_entry(staging, target, rows))
            entries[table] = entry.model_copy(update={"rows": sum(f.rows for f in files), "files": tuple(files)})
        before = manifest.counts
        counts = Counts(
            in_=before.in_,
            out=before.out - erased,
            rejected=before.rejected,
            filtered={**before.filtered, "erased": before.filtered.get("erased", 0) + erased},
        )
        rewritten = manifest.model_copy(update={"tables": entries, "counts": counts})
        (staging / MANIFEST).write_bytes(rewritten.to_bytes())
    return True


def _is_touched(files: list[Path], table: str, ids: pl.Series) -> bool:
    frame = pl.scan_parquet(files, glob=False)
    expression = holds_a_person(dict(frame.collect_schema()), table, ids)
    if expression is None or table == "erasure_requests":
        return False
    return bool(frame.select(expression.any()).collect().item())


def _rewrite_file(source: Path, target: Path, table: str, ids: pl.Series) -> int:
    """Copy a file without what is erased, batch by batch; the rows kept."""
    named = names_an_erased_user(table, ids)
    rows = 0
    with (
        pq.ParquetFile(source) as file,
        pq.ParquetWriter(target, file.schema_arrow, compression="zstd", compression_level=1) as writer,
    ):
        for batch in file.iter_batches(BATCH_ROWS):
            frame = pl.DataFrame(pl.from_arrow(batch))
            kept = (frame if named is None else frame.filter(~named)).with_columns(without_erased_ids(table, ids))
            writer.write_table(kept.to_arrow().cast(file.schema_arrow))
            rows += kept.height
    return rows
