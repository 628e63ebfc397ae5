"""One generation's folder: its manifest, its checksums, its opened datasets (spec 06.1).

Lives here: reading and verifying ``generations/<id>/``. Does not belong here: what a dataset's rows
mean (``store.serving.dataset``), which generation is live (``store.serving.follower``), or writing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from store.serving.dataset import GUARD_KINDS, CorruptGeneration, Dataset, DatasetInfo, what_is_wrong

FORMAT: Final = 2
"""2: guards tell the circle; a list's items are kept once, compressed: the first in its page, the others beside it."""
READABLE_FORMATS: Final = (FORMAT, FORMAT - 1)
_GUARD_KINDS: Final = {1: GUARD_KINDS - 1, FORMAT: GUARD_KINDS}
"""Format 1 did not record the circle."""
MANIFEST: Final = "_manifest.json"
_CHUNK: Final = 1 << 20
Facts = tuple[tuple[str, int, int, int, int, int], ...]


@dataclass(frozen=True)
class GenerationCounts:
    """Rows that the products behind a generation took, kept, rejected and filtered (``product.stage.reason``)."""

    rows_in: int
    rows_out: int
    rejected: int
    filtered: Mapping[str, int]


@dataclass(frozen=True)
class GenerationInfo:
    """What the manifest says of a generation; ``datasets`` in name order."""

    id: str
    as_of: datetime
    code_version: str
    config_hash: str
    datasets: tuple[DatasetInfo, ...]
    counts: GenerationCounts


class Generation:
    """One opened generation: its facts and its mapped datasets."""

    def __init__(self, folder: Path, info: GenerationInfo, datasets: Mapping[str, Dataset]) -> None:
        """Use :meth:`open`."""
        self.folder = folder
        self.info = info
        self.id = info.id
        self.as_of = info.as_of
        self.as_of_text = info.as_of.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.code_version = info.code_version
        self.config_hash = info.config_hash
        self.datasets = {dataset.name: dataset for dataset in info.datasets}
        self._opened = dict(datasets)

    @classmethod
    def open(cls, folder: Path) -> Generation:
        """Verify every file against the manifest, then map it.

        Raises :class:`CorruptGeneration` naming the file that is missing, altered or unreadable.
        """
        info = read_info(folder)
        for dataset in info.datasets:
            _verify_file(folder / dataset.path, dataset)
        return cls._mapped(folder, info)

    @classmethod
    def open_once_verified(cls, folder: Path) -> Generation:
        """Map it, verified only if nothing on this host has verified these very files before.

        Of several processes that ask at once one verifies, the others wait for it. Raises as :meth:`open`.
        """
        with _turn(folder):
            if is_marked(folder):
                return cls._mapped(folder, read_info(folder))
            facts = facts_of(folder)
            generation = cls.open(folder)
            mark(folder, facts)
            return generation

    @classmethod
    def _mapped(cls, folder: Path, info: GenerationInfo) -> Generation:
        return cls(folder, info, {d.name: Dataset(d, folder / d.path) for d in info.datasets})

    def dataset(self, name: str) -> Dataset | None:
        """A dataset by name, or None when this generation does not hold it."""
        return self._opened.get(name)


def facts_of(folder: Path) -> Facts:
    """What tells that files are the very ones that were verified: no copy and no change keeps the ctime."""
    try:
        found = sorted((path.name, path.stat()) for path in folder.iterdir())
    except OSError:
        return ()
    return tuple((name, s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in found)


def mark_path(folder: Path) -> Path:
    """Where the mark of a verified generation is kept: beside its folder, valid on this host only."""
    return folder.with_name(f".verified-{folder.name}")


def is_marked(folder: Path) -> bool:
    """Whether these very files were verified on this host."""
    try:
        return mark_path(folder).read_text() == repr(facts_of(folder))
    except (OSError, UnicodeDecodeError):
        return False


def mark(folder: Path, facts: Facts) -> None:
    """Note that the files of which ``facts`` were taken beforehand are verified, where anything can be written."""
    path = mark_path(folder)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        draft.write_text(repr(facts))
        draft.replace(path)


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One process of this host at a time, where a folder can be locked."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def read_info(folder: Path) -> GenerationInfo:
    """Read and check a generation's manifest (not the files it names).

    Raises :class:`CorruptGeneration` naming the manifest.
    """
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
        content = json.loads(raw)
        claimed = content.pop("manifest_sha256")
        if raw != sealed(content) or claimed != _digest(content):
            raise CorruptGeneration(f"{path}: sha256 differs from what the manifest says of itself")
        if content["format"] not in READABLE_FORMATS or content["kind"] != "generation":
            raise CorruptGeneration(f"{path}: not a generation of a format in {READABLE_FORMATS}")
        if content["id"] != folder.name:
            raise CorruptGeneration(f"{path}: is the manifest of {content['id']}")
        return GenerationInfo(
            id=content["id"],
            as_of=_instant(content["as_of"]),
            code_version=content["code_version"],
            config_hash=content["config_hash"],
            datasets=tuple(
                _dataset_info(name, entry, _GUARD_KINDS[content["format"]])
                for name, entry in sorted(content["datasets"].items())
            ),
            counts=_counts(content["counts"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CorruptGeneration(f"{path}: the manifest {what_is_wrong(error)}") from error


def sealed(content: Mapping[str, Any]) -> bytes:
    """A generation's manifest as stored: canonical JSON with the hash of its own content, one line."""
    return _canonical({**content, "manifest_sha256": _digest(content)}) + b"\n"


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _dataset_info(name: str, entry: Mapping[str, Any], guard_kinds: int) -> DatasetInfo:
    file, counts = entry["files"][0], entry.get("counts", {})
    if Path(file["path"]).name != file["path"]:
        raise ValueError(f"{file['path']!r} is not a file of the generation's folder")
    return DatasetInfo(
        name=name,
        snapshot_id=entry["snapshot_id"],
        as_of=_instant(entry["as_of"]),
        is_carried_over=entry["is_carried_over"],
        rows=entry["rows"],
        bytes=file["bytes"],
        sha256=file["sha256"],
        path=file["path"],
        guard_kinds=guard_kinds,
        items_in=counts.get("in", 0),
        items_out=counts.get("out", 0),
        filtered=counts.get("filtered", {}),
    )


def _counts(entry: Mapping[str, Any]) -> GenerationCounts:
    return GenerationCounts(entry["in"], entry["out"], entry["rejected"], dict(entry["filtered"]))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _verify_file(path: Path, dataset: DatasetInfo) -> None:
    digest = hashlib.sha256()
    try:
        if (size := path.stat().st_size) != dataset.bytes:
            raise CorruptGeneration(f"{path}: {size} bytes, the manifest says {dataset.bytes}")
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise CorruptGeneration(f"{path}: cannot be read: {error}") from error
    if digest.hexdigest() != dataset.sha256:
        raise CorruptGeneration(
            f"{path}: sha256 {digest.hexdigest()[:12]}… differs from the manifest's {dataset.sha256[:12]}…"
        )
