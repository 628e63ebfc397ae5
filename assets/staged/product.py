"""The stage ``staged`` against the lake: a snapshot in, accepted staged tables and rejects out.

Staged tables are stored like products, so that everything below reads them the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from assets.execution import counts_of, stage_entries, summed
from assets.frame import StageCount
from assets.staged.staging import StagedTable, stage_all
from assets.versions import code_version_of
from quality.contract import Contract, Failure, judge
from quality.staged import STAGED
from store.erasure import erased_people, erasure_input
from store.files import staged_folder
from store.lake import Lake, StoredTable, fingerprint_of
from store.manifest import InputEntry, Manifest
from store.settings import QualitySettings

CONTRACTS: Mapping[str, Contract] = {contract.name.removeprefix("staged_"): contract for contract in STAGED}
TABLES: tuple[str, ...] = tuple(contract.name for contract in STAGED)


@dataclass(frozen=True)
class Staging:
    """The staged tables of a snapshot as they stand in the lake."""

    tables: Mapping[str, StoredTable]
    failures: Mapping[str, tuple[Failure, ...]]
    counts: Mapping[str, StageCount]
    is_reused: bool

    @property
    def is_acceptable(self) -> bool:
        """Whether every staged table keeps its contract."""
        return not any(self.failures.values())


def stage(lake: Lake, snapshot: Manifest, budget: QualitySettings) -> Staging:
    """Stage ``snapshot``, or reuse what stands and verifies.

    Raises :class:`store.manifest.CorruptFile` naming a damaged snapshot file and
    :class:`assets.staged.staging.BadSource` when rejects exceed their budget.
    """
    code = code_version_of("staged")
    entries = [InputEntry(id=f"snapshots/{snapshot.id}", sha256=snapshot.content_sha256)]
    # The snapshot is verified even when its staged tables stand: one flipped bit is named, not ignored.
    raw = {table: lake.scan_snapshot(snapshot, table) for table in CONTRACTS}
    if forgotten := _erased_since(lake, raw["erasure_requests"]):
        entries.append(erasure_input(forgotten))
        rows = {"user_id": list(forgotten), "requested_at": list(forgotten.values())}
        late = pl.LazyFrame(rows, schema=raw["erasure_requests"].collect_schema())
        raw["erasure_requests"] = pl.concat([raw["erasure_requests"], late])
    product_id = f"{snapshot.id}-{fingerprint_of(entries, budget.config_hash(), code)}"
    found = {name: lake.stored(name, product_id) for name in TABLES}
    tables = {name: table for name, table in found.items() if table is not None}
    is_reused = len(tables) == len(TABLES)
    if not is_reused:
        staged = stage_all(raw, CONTRACTS, budget, snapshot.as_of)
        _write_rejects(lake, snapshot.id, staged)
        tables = {
            f"staged_{table}": lake.write_table(
                f"staged_{table}",
                result.frame,
                product_id=product_id,
                as_of=snapshot.as_of,
                inputs=entries,
                code_version=code,
                config_hash=budget.config_hash(),
                counts=summed((result.count,), result.frame.height),
                stages=stage_entries((result.count,)),
            )
            for table, result in staged.items()
        }
    return Staging(
        tables={name: tables[name] for name in TABLES},
        failures={f"staged_{t}": tuple(judge(c, tables[f"staged_{t}"].scan().collect())) for t, c in CONTRACTS.items()},
        counts={name: counts_of(tables[name])[0] for name in TABLES},
        is_reused=is_reused,
    )


def _erased_since(lake: Lake, requests: pl.LazyFrame) -> dict[int, datetime]:
    """Who is in the home's erasure set and not in the snapshot's own requests: erased since it was taken."""
    known = set(requests.select("user_id").collect()["user_id"])
    return {user: at for user, at in sorted(erased_people(lake.home).items()) if user not in known}


def _write_rejects(lake: Lake, snapshot_id: str, staged: Mapping[str, StagedTable]) -> None:
    rejects: dict[str, pl.DataFrame] = {t: s.rejects for t, s in staged.items() if s.rejects.height}
    if not rejects:
        return
    with staged_folder(lake.rejects_dir / snapshot_id) as folder:
        for table, frame in rejects.items():
            frame.write_parquet(folder / f"{table}.parquet")
