"""Publication: build in staging, fsync, rename, verify, audit, swap, retain (spec 06.1).

One publication at a time per home (a file lock); ``CURRENT`` is replaced last and by compare-and-set, so a
failure or a SIGKILL at any step leaves what was served before. Does not belong here: what the rows are
(``assets.published``), how an Arrow file is laid out (``store.datasets``).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from store.datasets import DatasetRows, write_dataset
from store.failpoints import hit
from store.files import staged_folder, sweep_leftovers
from store.generations.retention import prune, remove
from store.generations.standing import (
    GenerationRefused,
    as_of_of,
    lock,
    point,
    set_aside,
    standing_generation,
    verified,
    write_standing,
)
from store.lake import fingerprint_of
from store.manifest import Counts, FileEntry, InputEntry, Manifest, TableEntry, snapshot_id_of
from store.serving.dataset import CorruptGeneration
from store.serving.follower import FOLDER, read_current, read_standing
from store.serving.generation import FORMAT, MANIFEST, Generation, sealed
from store.settings import RetentionSettings

Audit = Callable[[Generation, Generation | None], Sequence[str]]
"""Candidate and live generation in, failures out: accepted products, cross-table truths, drift gates."""

PUBLISHED: Final = "published"
AUDIT_FAILED: Final = "audit: "
"""Begins the reason of a quarantine that a later, passed audit of the same generation lifts."""


@dataclass(frozen=True)
class GenerationPlan:
    """What identifies a generation before a byte of it is built."""

    as_of: datetime
    inputs: tuple[InputEntry, ...]
    code_version: str
    config_hash: str
    counts: Counts = field(default_factory=Counts)
    """What the products behind it took and left out."""

    @property
    def id(self) -> str:
        """``<snapshot_id>-<fingerprint>``: the same inputs, config and code give the same id."""
        return f"{snapshot_id_of(self.as_of)}-{fingerprint_of(self.inputs, self.config_hash, self.code_version)}"


def cursor_key_input(key: bytes) -> InputEntry:
    """The key that signs the cursors in stored pages, as a named input: another key is another generation."""
    return InputEntry(id="cursor_key", sha256=hmac.digest(key, b"flowforge cursor key id", "sha256").hex())


@dataclass(frozen=True)
class Publication:
    """What a publication came to."""

    generation: str
    is_live: bool
    is_reused: bool
    reason: str
    """Why it is not live, or ``published``."""
    pruned: tuple[str, ...] = ()


def publish(
    home: Path,
    plan: GenerationPlan,
    build: Callable[[str], Mapping[str, DatasetRows]],
    *,
    retention: RetentionSettings,
    audit: Audit | None = None,
    now: datetime | None = None,
) -> Publication:
    """Build the planned generation (or reuse the verified one that stands), audit it and make it live.

    ``build`` gets the generation's id and returns the rows of every dataset; it is not called when the
    generation stands and verifies. An older ``as_of`` than the live one, a pin, or a quarantine keeps the
    live one live: the result says so. Raises :class:`GenerationRefused` when verification or the audit
    fails, :class:`PublicationBusy` when the lock is held for too long.
    """
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder, "build"):
        sweep_leftovers(folder)
        candidate, is_reused = standing_generation(folder / plan.id), True
        if candidate is None:
            candidate, is_reused = _build(folder, plan, build), False
        hit("publish.verified")
        _audit(folder, candidate, audit)
        hit("publish.audited")
        reason = _swap(folder, candidate, now or datetime.now(UTC))
        pruned = prune(home, retention, now=now)
    return Publication(candidate.id, reason == PUBLISHED, is_reused, reason, tuple(pruned))


def _build(folder: Path, plan: GenerationPlan, build: Callable[[str], Mapping[str, DatasetRows]]) -> Generation:
    hit("publish.building")
    datasets = dict(build(plan.id))
    with staged_folder(folder / plan.id) as staging:
        # What a dataset was made of is let go when it is written.
        entries = {name: _write(staging, name, datasets.pop(name)) for name in sorted(datasets)}
        manifest = Manifest(
            format=FORMAT,
            kind="generation",
            id=plan.id,
            as_of=plan.as_of,
            inputs=plan.inputs,
            code_version=plan.code_version,
            config_hash=plan.config_hash,
            datasets=entries,
            counts=plan.counts,
        )
        (staging / MANIFEST).write_bytes(sealed(manifest.model_dump(mode="json", by_alias=True)))
        hit("publish.built")
    hit("publish.renamed")
    try:
        return verified(folder / plan.id)
    except CorruptGeneration as error:
        remove(folder / plan.id)
        raise GenerationRefused(f"generation {plan.id} does not verify after writing: {error}") from error


def _counts_of(rows: DatasetRows) -> Counts:
    """What became of the rows that a dataset was made of."""
    height = rows.table.num_rows
    return rows.counts or Counts(in_=height, out=height)


def _write(staging: Path, name: str, rows: DatasetRows) -> TableEntry:
    path = staging / f"{name}.arrow"
    written, height = write_dataset(path, name, rows.table), rows.table.num_rows
    return TableEntry.model_validate(
        {
            "rows": height,
            "files": (FileEntry(path=path.name, rows=height, bytes=written.bytes, sha256=written.sha256),),
            "schema_hash": written.schema_hash,
            "snapshot_id": rows.snapshot_id,
            "as_of": rows.as_of,
            "is_carried_over": rows.is_carried_over,
            "counts": _counts_of(rows).model_dump(by_alias=True),
        }
    )


def _audit(folder: Path, candidate: Generation, audit: Audit | None) -> None:
    if audit is None:
        return
    live = read_current(folder)
    standing = standing_generation(folder / live) if live and live != candidate.id else None
    if failures := list(audit(candidate, standing)):
        with lock(folder, "state"):
            set_aside(folder, candidate.id, AUDIT_FAILED + "; ".join(failures))
        raise GenerationRefused(f"generation {candidate.id} failed its audit: {'; '.join(failures)}")


def _swap(folder: Path, candidate: Generation, now: datetime) -> str:
    """Point ``CURRENT`` at the candidate if it may; returns ``published`` or why it may not."""
    with lock(folder, "state"):
        standing, live = read_standing(folder), read_current(folder)
        why = standing.quarantined.get(candidate.id, AUDIT_FAILED)
        if not why.startswith(AUDIT_FAILED):
            return f"quarantined: {why}"
        if standing.pinned is not None and standing.pinned != candidate.id:
            return f"{standing.pinned} is pinned"
        if live is not None and live != candidate.id and as_of_of(live) > as_of_of(candidate.id):
            return f"older than the live generation {live}"
        published = {**standing.published, candidate.id: standing.published.get(candidate.id, now)}
        quarantined = {i: reason for i, reason in standing.quarantined.items() if i != candidate.id}
        write_standing(folder, replace(standing, published=published, quarantined=quarantined))
        hit("publish.recorded")
        if live != candidate.id:
            point(folder, candidate.id)
        hit("publish.swapped")
        return PUBLISHED
